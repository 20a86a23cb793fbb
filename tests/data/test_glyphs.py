"""Glyphs: outlines and distances against known shapes, variations against what they are called, images bit for bit."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from fontTools.ttLib import TTFont

from redlib.data import glyphs, load
from redlib.errors import BadInput

PLAIN = {name: middle for name, (middle, _) in glyphs.VARIATIONS.items()} | {"bolder": 0.0}
SQUARE = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
CLASSES = {letter: i for i, letter in enumerate(glyphs.LETTERS)}


def sides(corners):
    return np.stack([corners, np.roll(corners, -1, 0)], 1)


def drawn(letter, font="DejaVuSans", **how):
    """One image of a letter that is not varied but as `how` says."""
    varied = {name: np.array([float(value)]) for name, value in (PLAIN | how).items()}
    return glyphs.draw(np.array([CLASSES[letter]]), np.array([glyphs.FONTS.index(font)]), varied)[0]


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


# ---- outlines and distances ----


def test_distances_to_a_square_are_those_of_plane_geometry():
    at = np.arange(glyphs._GRID) * glyphs._STEP - glyphs._REACH
    x, y = np.meshgrid(at, at)
    beyond_x, beyond_y = np.maximum(abs(x) - 1, 0), np.maximum(abs(y) - 1, 0)
    outside = -np.hypot(beyond_x, beyond_y)
    expected = np.where((abs(x) < 1) & (abs(y) < 1), 1 - np.maximum(abs(x), abs(y)), outside)
    for corners in (SQUARE, SQUARE[::-1]):
        np.testing.assert_allclose(glyphs.inside(sides(corners)), expected, atol=1e-6)


def test_a_hole_is_outside_and_overlapping_parts_are_inside():
    hole = glyphs.inside(np.concatenate([sides(SQUARE), sides(SQUARE[::-1] / 2)]))
    twice = glyphs.inside(np.concatenate([sides(SQUARE), sides(SQUARE / 2)]))
    middle = glyphs._GRID // 2
    assert hole[middle, middle] < -0.4 and twice[middle, middle] > 0.4


def test_a_contour_goes_through_the_points_that_font_files_leave_out():
    # Four points that pull, at the corners of a square: Bézier arcs from middle to middle of its sides.
    rounded = glyphs.polygon(SQUARE, np.zeros(4, bool))
    assert len(rounded) == 4 * (1 + len(glyphs._CHORDS))
    on_arc = [[-1, 0], [-0.9375, -0.4375], [-0.75, -0.75], [-0.4375, -0.9375], [0, -1]]
    assert all((abs(rounded - corner).max(1) < 1e-12).any() for corner in np.array(on_arc))
    assert np.array_equal(glyphs.polygon(SQUARE, np.ones(4, bool)), SQUARE)


def test_outlines_are_closed_centred_and_two_half_heights_tall():
    for path in glyphs.font_files():
        with TTFont(path) as font:
            for letter in glyphs.LETTERS:
                segments = glyphs.outline(font, letter)
                corners = segments.reshape(-1, 2)
                assert np.allclose([corners.min(0)[1], corners.max(0)[1]], [-1, 1]), (path.name, letter)
                assert np.allclose(corners.min(0), -corners.max(0)) and corners.max() < glyphs._REACH - 0.1
                starts, ends = ({tuple(point) for point in segments[:, side]} for side in (0, 1))
                assert starts == ends


def test_letters_without_holes_have_one_contour_and_those_with_one_have_two():
    with TTFont(glyphs.font_files()[0]) as font:
        table = font["glyf"]
        ends = {letter: len(table[letter].getCoordinates(table)[1]) for letter in "EFPR"}
        assert ends == {"E": 1, "F": 1, "P": 2, "R": 2}
        # The stem of an E lies left, the bowl of a P is empty in the middle.
        field = {letter: glyphs.inside(glyphs.outline(font, letter)) for letter in "EP"}
    row = np.flatnonzero(field["E"][glyphs._GRID // 2 + 12] > 0)
    assert row.size and row.max() < glyphs._GRID / 2
    assert field["P"][int((0.45 + glyphs._REACH) / glyphs._STEP), glyphs._GRID // 2] < 0


def test_missing_fonts_are_named_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    folder = tmp_path / "fonts" / "ttf"
    folder.mkdir(parents=True)
    for name in glyphs.FONTS[2:]:
        (folder / f"{name}.ttf").touch()
    with pytest.raises(BadInput, match=r"DejaVuSans\.ttf, DejaVuSans-Bold\.ttf.*Install matplotlib"):
        glyphs.font_files()


# ---- one image ----


def test_a_move_by_whole_pixels_moves_the_picture():
    still = drawn("R")
    assert np.array_equal(drawn("R", right=2), np.roll(still, 2, 1))
    assert np.array_equal(drawn("R", up=3), np.roll(still, -3, 0))


def test_a_turn_is_counter_clockwise_and_a_quarter_is_exact():
    still = drawn("F")
    assert np.array_equal(drawn("F", half_tangent=1), np.rot90(still))
    assert np.array_equal(drawn("F", half_tangent=-1), np.rot90(still, -1))
    assert not np.array_equal(np.rot90(still), np.rot90(still, -1))


def test_heights_and_widths_are_in_pixels_and_shares():
    for half_height in (7, 10):
        rows = np.flatnonzero(drawn("E", half_height=half_height).max(1) > 127)
        assert len(rows) == 2 * half_height
    wide = [drawn("E", stretch=s)[21].sum() / 255 for s in (0.8, 1.25)]
    assert wide[1] / wide[0] == pytest.approx(1.25 / 0.8, rel=0.03), "the length of its lowest bar"


def test_a_shear_leans_to_the_right_and_keeps_the_rows():
    still, leaning = drawn("E"), drawn("E", shear=0.35)
    left = [int(np.flatnonzero(image[row] > 127)[0]) for row in (6, 21) for image in (still, leaning)]
    assert left[1] > left[0] and left[3] < left[2]
    assert np.array_equal(still.max(1) > 127, leaning.max(1) > 127)


def test_strokes_grow_by_pixels_on_either_side_and_edges_fade():
    thin, plain, bold = (drawn("E", bolder=b, softness=1) for b in (-0.5, 0, 0.5))
    row = 10  # through the stem alone
    widths = [image[row].sum() / 255 for image in (thin, plain, bold)]
    assert np.diff(widths) == pytest.approx([1, 1], abs=0.1)
    hard, soft = (drawn("X", softness=s) for s in (0.6, 1.8))
    between = [((image > 25) & (image < 230)).sum() for image in (hard, soft)]
    assert between[1] > 1.5 * between[0]


# ---- the data ----


def test_images_are_the_same_bit_for_bit_everywhere():
    x, y = glyphs.glyphs(40, seed=0)
    assert x.shape == (40, 28, 28) and x.dtype == np.uint8 and y.tolist() == [*range(10)] * 4
    assert sha(x) == TRAIN_SHA
    assert sha(glyphs.glyphs(40, seed=0, part="test")[0]) == TEST_SHA


def test_fewer_images_are_the_beginning_of_more():
    more = glyphs.glyphs(600, seed=3)
    for n in (1, 250, 251):
        x, y = glyphs.glyphs(n, seed=3)
        assert np.array_equal(x, more[0][:n]) and np.array_equal(y, more[1][:n])


def test_seeds_and_parts_draw_other_images():
    seen = [sha(glyphs.glyphs(20, seed, part)[0]) for seed in (0, 1) for part in glyphs.SIZES]
    assert len(set(seen)) == 4


def test_variations_fill_their_ranges_and_use_every_font():
    fonts, how = glyphs.variations(20_000, 0, "train")
    assert np.bincount(fonts, minlength=len(glyphs.FONTS)).min() > 0.8 * 20_000 / len(glyphs.FONTS)
    for name, (middle, spread) in glyphs.VARIATIONS.items():
        away = (how[name] - middle) / spread
        assert abs(away).max() <= 1 and abs(away).max() > 0.97, name
        assert abs(away.mean()) < 0.02 and away.std() == pytest.approx(6**-0.5, rel=0.03), "a sum of two uniform draws"
    assert abs(np.corrcoef([*how.values()]) - np.eye(len(how))).max() < 0.03


def test_images_hold_ink_of_every_grey_on_black():
    x, _ = glyphs.glyphs(2000, seed=0)
    assert x.min() == 0 and x.max() == 255 and len(np.unique(x)) == 256
    brightest, ink = x.reshape(2000, -1).max(1), x.reshape(2000, -1).mean(1) / 255
    assert (brightest > 100).all() and (ink > 0.01).all() and (ink < 0.5).all()
    assert 0.1 < ink.mean() < 0.25, "MNIST: 0.13"
    border = np.concatenate([x[:, [0, -1]].reshape(2000, -1), x[:, :, [0, -1]].reshape(2000, -1)], 1)
    assert (border.max(1) > 127).mean() < 0.15, "few letters reach the edge"


def test_unknown_parts_and_sizes_are_refused():
    with pytest.raises(BadInput, match="part = 'validation'.*train"):
        glyphs.glyphs(5, 0, "validation")
    with pytest.raises(BadInput, match="n = 0"):
        glyphs.glyphs(0, 0)


def test_the_cache_is_used_by_other_processes_and_drawn_anew_for_other_fonts(monkeypatch, tmp_path):
    monkeypatch.setattr("redlib.data.glyphs.cache_root", lambda: tmp_path)
    monkeypatch.setattr(glyphs, "SIZES", {"train": 30, "test": 20})
    made = glyphs.generate_glyphs.__wrapped__(5)
    assert {name: values.shape for name, values in made.items()} == {
        "x": (30, 28, 28), "y": (30,), "x_test": (20, 28, 28), "y_test": (20,)
    }  # fmt: skip
    with pytest.raises(ValueError, match="read-only"):
        made["x"][0] = 0
    monkeypatch.setattr(glyphs, "glyphs", lambda *_: pytest.fail("draws again"))
    assert np.array_equal(glyphs.generate_glyphs.__wrapped__(5)["x"], made["x"])
    monkeypatch.setattr(glyphs, "fonts_digest", lambda: "other fonts")
    monkeypatch.setattr(glyphs, "glyphs", lambda n, *_: (np.ones((n, 28, 28), np.uint8), np.zeros(n, np.int64)))
    assert glyphs.generate_glyphs.__wrapped__(5)["x"].max() == 1


@pytest.fixture(scope="module")
def whole():
    return SimpleNamespace(**glyphs.generate_glyphs(0))


def test_sixty_thousand_and_ten_thousand_images_of_equal_classes_and_none_twice(whole):
    assert (len(whole.x), len(whole.x_test)) == (60_000, 10_000)
    assert np.bincount(whole.y).tolist() == [6000] * 10 and np.bincount(whole.y_test).tolist() == [1000] * 10
    seen = {hashlib.blake2b(image.tobytes(), digest_size=16).digest() for x in (whole.x, whole.x_test) for image in x}
    assert len(seen) == 70_000, "none in both parts, and none twice"


def test_load_takes_subsets_as_of_mnist(whole):
    data = load("glyphs", n_train=300, n_validation=50, n_test=100)
    assert data.name == "glyphs" and data.classes == 10 and data.train.x.shape == (300, 784)
    assert data.train.y.bincount().tolist() == [30] * 10 and data.test.y.bincount().tolist() == [10] * 10
    pool = {image.tobytes() for image in whole.x.reshape(60_000, -1)}
    assert all((255 * row).round().byte().numpy().tobytes() in pool for row in data.train.x[:20])
    fewer = load("glyphs", n_train=100, n_test=100, flatten=False)
    assert fewer.train.x.shape == (100, 1, 28, 28) and (fewer.train.x.flatten(1) == data.train.x[:100]).all()
    assert data.digest == LOADED_SHA
    assert data.provenance["seeds"] == {"split": 0, "glyphs": 0} and len(data.provenance["fonts"]) == 64


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"n_train": 60_001}, "n_train = 60001.*60000"),
        ({"n_test": 10_001}, "n_test = 10001.*10000"),
        ({"generator_seed": -1}, "generator_seed = -1"),
        ({"side": 8}, r"\['side'\].*generator_seed"),
    ],
)
def test_load_refuses_what_there_is_not(options, what):
    with pytest.raises(BadInput, match=what):
        load("glyphs", **options)


TRAIN_SHA = "f0b52f8146087357e52c7e84c697df73afefcee806b13da7021177621d0708bb"
TEST_SHA = "79a958d7ab2f8b069e5b1a0c159cd922db8a82076f906a3fbb3a72dbbc97080f"
LOADED_SHA = "a7e12e16f3098c93e481b2f0ae17d8e3bf285063a0bc4622a5aff801f6175108"
