"""The mask explorer shows which weights a density keeps and what each arm reaches there."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.report.explorers import mask_explorer, survival
from redlib.report.explorers.fragments import MAX_BYTES
from redlib.report.explorers.masks import LEFT, RIGHT, WIDTH

DENSITIES = [1.0, 0.5, 0.25, 0.125]
WEIGHTS = np.arange(-4.0, 4.0).reshape(2, 4)  # -4 ... 3
LEVELS = np.array([[3, 2, 1, 0], [0, 0, 0, 1]])
SEEDS = np.array([[90.0, 80.0, 70.0, 61.0], [92.0, 84.0, 70.0, 63.0]])  # 0.5 a seed from the mean -> t(1) * 0.5
ARMS = {"ticket": (SEEDS, "blue"), "dense": (np.full((2, 4), [95.0, np.nan, np.nan, np.nan]), "grey")}


def given(**changes: Any) -> dict[str, Any]:
    arguments = {"densities": DENSITIES, "matrices": {"layer1": WEIGHTS}, "levels": {"layer1": LEVELS}, "arms": ARMS}
    return arguments | changes


def payload(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"\}\)\)\((\{.*\}), \(root", html)[1])


def unpacked(layer: dict[str, Any], name: str, dtype: type) -> np.ndarray:
    return np.frombuffer(base64.b64decode(layer[name]), dtype)


def nested_masks(shape: tuple[int, int], count: int) -> np.ndarray:
    rank = np.random.default_rng(0).permutation(shape[0] * shape[1]).reshape(shape)
    return np.stack([rank < 0.8**level * rank.size for level in range(count)])


# --- the contents -------------------------------------------------------------------------------------------


def test_survival_is_the_last_level_at_which_a_weight_is_kept():
    masks = np.array([[[1, 1, 1]], [[1, 0, 1]], [[0, 0, 1]]], dtype=bool)
    assert survival({"a": masks})["a"].tolist() == [[1, 0, 2]]
    assert survival({"a": masks[1:]})["a"].tolist() == [[0, -1, 1]]


def test_masks_in_which_a_weight_comes_back_have_no_survival():
    masks = np.array([[[1, 0]], [[1, 1]]], dtype=bool)
    with pytest.raises(BadInput, match="come back"):
        survival({"a": masks})
    with pytest.raises(BadInput, match="masks of a"):
        survival({"a": masks.astype(int)})


def test_it_keeps_sign_and_order_of_the_weights_and_every_level():
    layer = payload(mask_explorer(**given()))["layers"][0]
    shades = unpacked(layer, "shades", np.int8)
    assert (np.sign(shades) == [-1, -1, -1, -1, 1, 1, 1, 1]).all()  # a weight of 0 counts as positive
    assert shades[0] == -127 and (np.diff(shades[:4].astype(int)) > 0).all() and (np.diff(shades[4:]) > 0).all()
    assert np.abs(shades.astype(int)).min() == 32  # a kept weight never looks cut
    assert (unpacked(layer, "last", np.uint8) == LEVELS.ravel() + 1).all()


def test_it_counts_what_the_masks_keep_at_each_density():
    masks = nested_masks((30, 20), 12)
    levels = survival({"a": masks})
    densities = [0.8**level for level in range(12)]
    arms = {"x": (np.ones((2, 12)), "blue")}
    kept = payload(mask_explorer(densities, {"a": masks[0] * 1.0}, levels, arms))["layers"][0]["kept"]
    assert [int(words.split()[0]) for words in kept] == masks.sum((1, 2)).tolist()
    assert kept[1] == "480 kept, 80%"


def test_it_shows_the_mean_and_its_t_interval_and_leaves_missing_values_out():
    arms = payload(mask_explorer(**given()))["arms"]
    mean, low, high = arms[0]["at"]
    assert mean == [910, 820, 700, 620]  # tenths of a per cent
    assert (low[0], high[0]) == (910 - 127, 910 + 127)  # t(.975, 1) = 12.706, standard error 1
    assert (low[2], high[2]) == (700, 700)
    assert arms[1]["at"] == [[950, None, None, None]] * 3


def test_a_single_seed_has_no_interval():
    arm = payload(mask_explorer(**given(arms={"one": (SEEDS[:1], "blue")})))["arms"][0]["at"]
    assert arm == [[900, 800, 700, 610], [None] * 4, [None] * 4]


def test_the_slider_starts_near_a_fifth_or_where_it_is_told():
    assert 'max="3" step="1" value="2"' in mask_explorer(**given())
    assert 'max="3" step="1" value="1"' in mask_explorer(**given(), start=0.5)


def test_a_net_of_264_000_weights_is_cropped_to_whole_rows_below_150_kb_and_says_so():
    shapes = {"layer1": (300, 784), "layer2": (100, 300), "layer3": (10, 100)}
    masks = {name: nested_masks(shape, 22) for name, shape in shapes.items()}
    matrices = {name: np.random.default_rng(1).normal(size=shape) for name, shape in shapes.items()}
    noise = np.random.default_rng(2).uniform(0, 90, (5, 22))
    arms = {f"arm {n}": (noise, colour) for n, colour in enumerate(["blue", "orange", "green", "grey", "sky", "gold"])}
    html = mask_explorer([0.8**level for level in range(22)], matrices, survival(masks), arms)
    data = payload(html)["layers"]
    rows = len(unpacked(data[0], "shades", np.int8)) // 784
    assert 20 < rows < 100 and f"first {rows} of 300 units" in html and f"first {rows} rows" in html
    assert len(unpacked(data[2], "last", np.uint8)) == 1000
    assert data[0]["kept"][0] == "235\u202f200 kept, 100%"  # counts are of the whole layer
    assert len(html.encode()) < MAX_BYTES


def test_densities_lie_on_a_logarithmic_axis_from_the_densest_on_the_left():
    places = np.array(payload(mask_explorer(**given()))["x"])
    assert (
        places[0] == LEFT
        and places[-1] == WIDTH - RIGHT
        and np.allclose(np.diff(places), np.diff(places)[0], atol=0.11)
    )


def test_labels_of_densities_are_per_cent():
    densities = [1.0, 0.5128, 0.2107, 0.0358]
    assert payload(mask_explorer(**given(densities=densities)))["labels"] == ["100%", "51.3%", "21.1%", "3.58%"]


def test_explorers_have_ids_of_their_own_no_address_and_safe_names():
    one, two = mask_explorer(**given()), mask_explorer(**given(start=0.5))
    first, second = (set(re.findall(r' id="(\S+)"', html)) for html in (one, two))
    assert len(first) == len(second) == 2 and first.isdisjoint(second)  # its own and that of its slider
    assert "http" not in one and mask_explorer(**given()) == one
    risky = "</script><b>"
    html = mask_explorer(**given(arms={risky: (SEEDS, "blue")}, title=risky))
    assert html.count("</script>") == 1 and "<b>" not in re.sub(r"<script>.*", "", html, flags=re.DOTALL)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"densities": [0.5, 1.0, 0.25, 0.1]}, "densities"),
        ({"densities": [50.0, 25.0, 12.0, 6.0]}, "densities"),
        ({"densities": [0.5, 0.25, 0.1, 0.0]}, "densities"),
        ({"levels": {"layer2": LEVELS}}, "layers"),
        ({"levels": {"layer1": LEVELS.T}}, "levels of layer1"),
        ({"levels": {"layer1": LEVELS == 3}}, "levels of layer1"),
        ({"levels": {"layer1": LEVELS + 1}}, "levels of layer1"),
        ({"levels": {"layer1": LEVELS - 2}}, "levels of layer1"),
        ({"matrices": {"layer1": WEIGHTS[None]}}, "matrix layer1"),
        ({"matrices": {"layer1": np.where(WEIGHTS == 0, np.nan, WEIGHTS)}}, "matrix layer1"),
        ({"arms": {"ticket": (SEEDS[:, :3], "blue")}}, "shape of ticket"),
        ({"arms": {"ticket": (SEEDS[0], "blue")}}, "shape of ticket"),
        ({"arms": {"ticket": (np.where(SEEDS == 61, np.nan, SEEDS), "blue")}}, "values"),
        ({"arms": {"ticket": (SEEDS, "#123456")}}, "colour of ticket"),
        ({"arms": {}}, "arms"),
        ({"start": 0.3}, "start"),
    ],
)
def test_it_refuses_what_it_cannot_show(changes, message):
    with pytest.raises(BadInput, match=message):
        mask_explorer(**given(**changes))


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer() -> str:
    """Return what the page of these tests holds."""
    return mask_explorer(**given())


@pytest.fixture
def tab(visit):
    """Return the page, open on a phone."""
    return visit(400)


PIXELS = """() => {
    const canvas = document.querySelector('canvas'), copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext('2d', { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    return [...context.getImageData(0, 0, copy.width, copy.height).data]; }"""


def pixels(tab: Any) -> np.ndarray:
    return np.reshape(tab.evaluate(PIXELS), (*WEIGHTS.shape, 4))


@pytest.mark.slow
def test_exactly_the_weights_kept_are_painted_and_by_their_sign(tab):
    slider = tab.locator("input")
    slider.focus()
    slider.press("Home")
    for level in range(4):
        seen = pixels(tab)
        kept = level <= LEVELS
        assert ((seen[..., 3] > 0) == kept).all()
        redder = seen[..., 0].astype(int) > seen[..., 2]  # orange against blue
        assert (redder == (kept & (WEIGHTS >= 0))).all()
        assert tab.locator(".kept").inner_text().startswith(f"{kept.sum()} kept")
        slider.press("ArrowRight")


@pytest.mark.slow
def test_the_slider_says_its_density_and_each_arm_its_accuracy(tab):
    slider = tab.locator("input")
    assert slider.get_attribute("aria-valuetext") == tab.locator("output").inner_text() == "25%"
    slider.fill("0")
    assert [row.text_content() for row in tab.locator(".value").all()] == ["91.0% (78.3–103.7)", "95.0% (95.0–95.0)"]
    slider.fill("1")
    said = "With 50% of the weights: ticket 82.0% (56.6 to 107.4), dense no value."
    assert tab.locator(".said").text_content() == said


@pytest.mark.slow
def test_a_click_into_the_curves_moves_the_slider(tab):
    box = tab.locator("svg.curves").bounding_box()
    tab.mouse.click(box["x"] + 0.95 * box["width"], box["y"] + box["height"] / 2)
    assert tab.locator("output").inner_text() == "12.5%"


@pytest.mark.slow
def test_weights_are_repainted_when_the_theme_changes(tab):
    before = pixels(tab)
    tab.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    tab.wait_for_timeout(50)
    after = pixels(tab)
    kept = LEVELS >= 2
    assert (before[..., 3] == after[..., 3]).all() and (before[kept] != after[kept]).any(-1).all()


@pytest.mark.slow
def test_nothing_is_wider_than_a_phone(tab):
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= 400
    for element in tab.locator(".explorer canvas, .explorer svg, .explorer input").all():
        box = element.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 400
