"""The blur explorer shows what a net takes blurred training images for."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from redlib.errors import BadInput
from redlib.report.explorers import blur_explorer
from redlib.report.explorers.blur import FLOOR, LEFT, RIGHT, TOP, WIDTH, blurring
from redlib.report.explorers.fragments import MAX_BYTES

RATES, SIGMAS, SIDE = ["1 in 10", "1 in 50"], [0.0, 0.5, 1.0, 2.0], 8
BLURS = np.stack([np.eye(SIDE), *(gaussian_filter1d(np.eye(SIDE), s, axis=0, mode="mirror") for s in SIGMAS[1:])])
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, SIDE, SIDE)) / 255
PIXELS[:, :, :3] = 0  # as around a digit
TOLD = np.array([[1, 7, 3, 4, 5], [2, 2, 9, 1, 0]])
TRUE = np.array([[1, 2, 3, 9, 5], [2, 3, 9, 8, 0]])  # the second and the fourth are mislabelled
DRAWN = [1, 3, 0, 2, 4]
SAID = np.repeat(TOLD[:, None], 4, 1)
SAID[0, 2:, 1], SAID[0, 3, [3, 4]], SAID[1, 1:, 1] = 2, (6, 0), 3
# of the first rate and the second, in the order of drawing
WANTED = {(0, 0): ["told"] * 5, (0, 2): ["true"] + ["told"] * 4, (0, 3): ["true", "else", "told", "told", "else"],
          (1, 0): ["told"] * 5, (1, 3): ["true"] + ["told"] * 4}  # fmt: skip
WRONG, RIGHT_ONES = np.array([[0, 10, 40, 60], [0, 20, 50, 80.0]]), np.array([[0, 1, 5, 30], [0, 0, 2, 20.0]])
CURVES = {"mislabelled": (WRONG, WRONG - 5, WRONG + 15), "correctly labelled": (RIGHT_ONES,) * 3}


def given(**changes: Any) -> dict[str, Any]:
    arguments = {"rates": RATES, "sigmas": SIGMAS, "pixels": PIXELS, "told": TOLD, "true": TRUE, "predicted": SAID}
    return arguments | {"curves": CURVES, "blurred_matrix": BLURS, "start": ("1 in 10", 1.0)} | changes


def with_wrong(*parts: Any) -> dict[str, Any]:
    return {"curves": CURVES | {"mislabelled": parts}}


def payload(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"\}\)\)\((\{.*\}), \(root", html)[1])


def unpacked(text: str) -> np.ndarray:
    """Return the bytes that a 0 and the number behind it stand for, and all others as they are."""
    bytes_ = iter(base64.b64decode(text))
    return np.array([value for byte in bytes_ for value in ([byte] if byte else [0] * next(bytes_))], dtype=int)


def cards(html: str) -> list[tuple[str, ...]]:
    """Return outcome, sign, decision, told and true of each picture as written in the page."""
    rest = r'.*?href="#explorer-[\w-]+-(\w+)".*?<b>(\d+)</b>.*?told (\d+),.*?true (\d+)<'
    return re.findall(r'<li class="(\w+)"><canvas' + rest, html)


# --- the contents -------------------------------------------------------------------------------------------


def test_mislabelled_images_come_first_with_all_that_belongs_to_them():
    seen = blurring(**given())
    assert seen.wrong == 2 and (seen.told == TOLD[:, DRAWN]).all() and (seen.true == TRUE[:, DRAWN]).all()
    assert (seen.predicted == SAID[:, :, DRAWN]).all() and (seen.pixels == np.rint(255 * PIXELS[:, DRAWN])).all()


def test_decisions_are_as_told_back_to_the_truth_or_something_else():
    seen = blurring(**given())
    assert {place: seen.outcomes(*place) for place in WANTED} == WANTED


def test_shares_are_written_with_their_interval_within_0_and_100():
    seen = blurring(**given(**with_wrong(WRONG, WRONG - 5, WRONG + 30)))
    assert (
        seen.words("mislabelled", 0, 1) == "10.0% (5.0–40.0)" and seen.words("mislabelled", 0, 0) == "0.0% (0.0–30.0)"
    )
    assert seen.words("mislabelled", 1, 3) == "80.0% (75.0–100.0)" and seen.plot.y.high == 100
    seen = blurring(**given(**with_wrong(WRONG / 2, WRONG * np.nan, WRONG * np.nan)))
    assert seen.words("mislabelled", 0, 2) == "20.0%" and seen.plot.y.high == 40


# --- without the script -------------------------------------------------------------------------------------


def test_the_page_holds_every_image_once_and_the_matrices_to_a_step_of_65_535():
    data = payload(blur_explorer(**given(pixels=PIXELS[[0, 0]])))
    images = unpacked(data["pixels"]).reshape(-1, SIDE, SIDE)
    assert data["images"] == len(images) == 5 and data["image"][0] == data["image"][1]
    assert (images[data["image"][1]] == np.rint(255 * PIXELS[0, DRAWN])).all()
    high, low = unpacked(data["matrices"]).reshape(2, 4, SIDE, SIDE)
    assert np.abs((256 * high + low) / 65_535 - BLURS).max() <= 0.5 / 65_535
    assert payload(blur_explorer(**given()))["images"] == 10


def test_long_runs_of_zeros_come_back():
    dark = np.zeros((2, 5, 28, 28))
    dark[:, 0, 27, 27] = 1 / 255
    data = payload(blur_explorer(**given(pixels=dark, blurred_matrix=np.stack([np.eye(28)] * 4))))
    images = unpacked(data["pixels"]).reshape(-1, 28, 28)
    assert images.sum() == 1 and images[data["image"][0][2], 27, 27] == 1 and len(data["pixels"]) < 40


def test_the_start_is_written_without_the_script():
    html = blur_explorer(**given())
    outcomes, said, told, true = (list(part) for part in (WANTED[0, 2], SAID[0, 2], TOLD[0], TRUE[0]))
    wanted = [(outcomes[n], outcomes[n], *(str(part[k]) for part in (said, told, true))) for n, k in enumerate(DRAWN)]
    assert cards(html) == wanted
    assert "1 in 10 mislabelled, σ = 1 pixels" in html and ">40.0% (35.0–55.0)</b>" in html
    assert 'max="3" step="1" value="2"' in html and 'value="0" checked' in html
    assert len(re.findall(r"<(?:canvas|div)[^>]* hidden>", html)) == 5 + 1


def test_it_starts_in_the_middle_of_the_first_rate_or_where_it_is_told():
    assert 'max="3" step="1" value="2"' in blur_explorer(**given(start=None))
    html = blur_explorer(**given(start=("1 in 50", 0.5)))
    assert 'max="3" step="1" value="1"' in html and 'value="1" checked' in html
    assert re.findall(r'<g class="rate( shown)?">', html) == ["", " shown"]


def curve(html: str, rate: int, kind: str, part: str) -> np.ndarray:
    group = html.split('<g class="rate')[1 + rate]
    path = re.search(rf'<g class="{kind}">.*?<path class="{part}" d="M?([^"]*)"', group)[1]
    return np.array([place.split() for place in path.split("L") if place], dtype=float)


def test_curves_and_bands_of_every_rate_lie_where_their_shares_are():
    html = blur_explorer(**given())
    down = FLOOR - TOP
    for rate in range(2):
        for kind, (mean, low, high) in zip(("mislabelled", "correctly"), CURVES.values(), strict=True):
            found = curve(html, rate, kind, "curve")
            across = LEFT + (WIDTH - LEFT - RIGHT) * np.array(SIGMAS) / 2
            assert np.allclose(found, np.stack([across, TOP + down * (1 - mean[rate] / 100)], 1), atol=0.06)
            wanted = TOP + down * (1 - np.concatenate([low[rate], high[rate][::-1]]) / 100)
            assert np.allclose(curve(html, rate, kind, "band")[:, 1], wanted, atol=0.06)
    nothing = blur_explorer(**given(**with_wrong(WRONG, WRONG * np.nan, WRONG * np.nan)))
    assert len(curve(nothing, 0, "mislabelled", "band")) == 0 and "nan" not in nothing.lower()


@pytest.mark.parametrize(
    "sigmas, wanted, linear",
    [
        ([0, 0.5, 1, 4], [0, 1, 2, 3, 4], True),
        ([0, 0.1, 1, 10], [0, 0.1, 0.2, 0.5, 1, 2, 5, 10], False),
        ([0, 0.01, 1, 10], [0, 0.01, 0.1, 1, 10], False),
    ],
)
def test_a_long_axis_of_blurs_is_logarithmic_with_0_at_its_left_end(sigmas, wanted, linear):
    html = blur_explorer(**given(sigmas=sigmas, start=None))
    ticks = re.findall(r'<text class="x" x="(\S+)" y="\S+">([\d.]+)</text>', html)
    assert [float(tick) for _, tick in ticks] == wanted
    places = np.array([float(x) for x, _ in ticks])
    assert (np.diff(places) > 20).all() and places[0] == LEFT and places[-1] == WIDTH - RIGHT
    x = payload(html)["x"]
    if linear:
        assert x[2] - x[0] == pytest.approx((x[3] - x[0]) / 4, abs=0.11)
    else:
        assert (x[3] - x[2]) * np.log(1 / sigmas[1]) == pytest.approx((x[2] - x[1]) * np.log(10), abs=0.3)


def test_26_blurs_of_84_digits_are_far_below_the_limit_and_too_many_are_refused():
    sigmas, shape = [0, *np.geomspace(0.1, 10, 25)], (7, 12)
    blurs = np.stack([np.eye(28), *(gaussian_filter1d(np.eye(28), s, axis=0, mode="mirror") for s in sigmas[1:])])
    rng = np.random.default_rng(1)
    inks = np.zeros((*shape, 28, 28))
    inks[..., 4:24, 9:19] = rng.uniform(0, 1, (*shape, 20, 10))
    told = np.tile(np.arange(12), (7, 1))
    changed = {"rates": [f"1 in {k}" for k in range(7)], "sigmas": sigmas, "pixels": inks, "told": told, "start": None}
    changed |= {"true": told // 2, "predicted": np.repeat(told[:, None], 26, 1), "blurred_matrix": blurs}
    changed |= {"curves": dict.fromkeys(CURVES, [np.full((7, 26), 50.0)] * 3)}
    assert len(blur_explorer(**given(**changed)).encode()) < 0.7 * MAX_BYTES
    with pytest.raises(BadInput, match="size of the explorer"):
        blur_explorer(**given(**changed | {"pixels": rng.uniform(0, 1, inks.shape)}))


def test_explorers_have_ids_of_their_own_no_address_and_safe_names():
    changed = [{}, {"start": ("1 in 10", 0.5)}, {"start": ("1 in 50", 1.0)}, {"title": "Two"}, {"pixels": PIXELS / 2}]
    found = [re.findall(r' id="(\S+)"', blur_explorer(**given(**change))) for change in changed]
    assert len({ids[0] for ids in found}) == len(changed)
    assert all(id.startswith(ids[0]) for ids in found for id in ids)
    html = blur_explorer(**given())
    assert "http" not in html and html == blur_explorer(**given())
    risky = ["</script><b>", '"><b>&amp;']
    html = blur_explorer(**given(rates=risky, start=None, title=risky[0]))
    assert html.count("</script>") == html.count("<script") == 1
    assert "<b>" not in re.sub(r"<b>[\d.]", "", html) and "&amp;amp;" in html and payload(html)["rates"] == risky


HOLE = np.where(PIXELS[0, 0, 4, 4] == PIXELS, np.nan, PIXELS)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"rates": []}, "rates"),
        ({"rates": ["1 in 10"] * 2}, "rates"),
        ({"rates": ["1 in 10"]}, "shape of pixels"),
        ({"sigmas": [0.1, 0.5, 1, 2]}, "sigmas"),
        ({"sigmas": [0, 1, 0.5, 2]}, "sigmas"),
        ({"sigmas": [0, 0.5, 1, np.inf]}, "sigmas"),
        ({"sigmas": [0, 0.5, np.nan, 1]}, "sigmas"),
        ({"sigmas": [0]}, "sigmas"),
        ({"sigmas": SIGMAS[:3]}, "predicted"),
        ({"pixels": PIXELS[0]}, "shape of pixels"),
        ({"pixels": PIXELS[:, :, 1:]}, "shape of pixels"),
        ({"pixels": PIXELS[:, :0]}, "shape of pixels"),
        ({"pixels": PIXELS[:, :4]}, "told"),
        ({"pixels": PIXELS * 255}, "largest of pixels"),
        ({"pixels": PIXELS - 0.1}, "largest of pixels"),
        ({"pixels": HOLE}, "largest of pixels"),
        ({"told": TOLD * 1.0}, "told"),
        ({"true": TRUE[0]}, "true"),
        ({"predicted": SAID[:, :, :4]}, "predicted"),
        ({"predicted": SAID.astype(str)}, "predicted"),
        ({"told": TRUE}, "mislabelled images"),
        ({"told": TRUE + 1}, "mislabelled images"),
        ({"told": np.stack([TOLD[0], TRUE[1]])}, "mislabelled images"),
        ({"curves": {"mislabelled": CURVES["mislabelled"]}}, "curves"),
        ({"curves": CURVES | {"test": CURVES["mislabelled"]}}, "curves"),
        (with_wrong(WRONG, WRONG), "shapes of mislabelled"),
        (with_wrong(WRONG[:, 1:], WRONG, WRONG), "shapes of mislabelled"),
        (with_wrong(WRONG, WRONG[0], WRONG), "shapes of mislabelled"),
        (with_wrong(WRONG * 2, WRONG * 2, WRONG * 2), "largest of mean of mislabelled"),
        (with_wrong(WRONG * np.nan, WRONG, WRONG), "largest of mean of mislabelled"),
        (with_wrong(WRONG, WRONG + 1, WRONG + 2), "beside their mean = 8"),
        (with_wrong(WRONG, WRONG - 2, WRONG - 1), "beside their mean = 8"),
        (with_wrong(WRONG, WRONG, WRONG * np.nan), "beside their mean = 8"),
        ({"blurred_matrix": BLURS[:3]}, "shape of blurred_matrix"),
        ({"blurred_matrix": BLURS[:, 1:, 1:]}, "shape of blurred_matrix"),
        ({"blurred_matrix": BLURS * 1.01}, "largest of blurred_matrix"),
        ({"blurred_matrix": BLURS * np.array([1, 1, 1.01, 1])[:, None, None]}, "sum of a row"),
        ({"blurred_matrix": BLURS - 0.01}, "largest of blurred_matrix"),
        ({"blurred_matrix": BLURS * np.nan}, "largest of blurred_matrix"),
        ({"blurred_matrix": BLURS[[1, 1, 2, 3]]}, "first blurred_matrix"),
        ({"start": ("1 in 20", 1.0)}, "start"),
        ({"start": ("1 in 10", 1.1)}, "start"),
    ],
)
def test_the_explorer_refuses_what_it_cannot_show(changes, message):
    with pytest.raises(BadInput, match=message):
        blur_explorer(**given(**changes))


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer() -> str:
    """Return what the page of these tests holds."""
    return blur_explorer(**given(title="Blur"))


PAINTED = """() => [...document.querySelectorAll('canvas')].map(canvas => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext('2d', { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    return [...context.getImageData(0, 0, copy.width, copy.height).data]; })"""
SIGNS = "() => [...document.querySelectorAll('ol use')].map(use => use.getAttribute('href').split('-').pop())"
SMALLEST = """() => Math.min(...[...document.querySelectorAll(
    ['text', 'p', 'span', 'li', 'small', 'b'].map(name => `.explorer ${name}`).join()
    )].map(e => parseFloat(getComputedStyle(e).fontSize) * (e.ownerSVGElement ? e.getScreenCTM().a : 1)))"""


def painted(tab: Any) -> np.ndarray:
    """Return the pixels of all canvases [n, W, W, 4]."""
    return np.reshape(tab.evaluate(PAINTED), (-1, SIDE, SIDE, 4))


@pytest.mark.slow
def test_keys_move_the_blur_and_everything_that_depends_on_it(visit):
    tab = visit()
    slider = tab.locator("[type=range]")
    slider.focus()
    slider.press("Home")
    for sigma, told in enumerate(("0", "0.5", "1", "2")):
        assert tab.locator("output").inner_text() == slider.get_attribute("aria-valuetext") == told
        x = LEFT + (WIDTH - LEFT - RIGHT) * SIGMAS[sigma] / 2
        line, dots = tab.locator(".cursor"), tab.locator(".curves .dot")
        assert float(line.get_attribute("x1")) == float(line.get_attribute("x2")) == pytest.approx(x, abs=0.06)
        for group, shares in enumerate((WRONG, RIGHT_ONES)):
            place = [float(dots.nth(group).get_attribute(name)) for name in ("cx", "cy")]
            assert place == pytest.approx([x, TOP + (FLOOR - TOP) * (1 - shares[0, sigma] / 100)], abs=0.06)
        seen = painted(tab)
        wanted = 255 * BLURS[sigma] @ PIXELS[0, DRAWN] @ BLURS[sigma].T
        assert np.abs(seen[..., 0] - wanted).max() < 0.62 and (seen[..., 3] == 255).all()
        assert (seen[..., 0] == seen[..., 1]).all() and (seen[..., 0] == seen[..., 2]).all()
        assert tab.locator("ol b").all_inner_texts() == [str(said) for said in SAID[0, sigma][DRAWN]]
        if (0, sigma) in WANTED:
            assert [card.get_attribute("class") for card in tab.locator("ol li").all()] == WANTED[0, sigma]
            assert tab.evaluate(SIGNS) == WANTED[0, sigma]
        slider.press("ArrowRight")
    said = "mislabelled 60.0% (55.0–75.0), correctly labelled 30.0% (30.0–30.0)."
    assert tab.locator(".said").text_content() == f"1 in 10 mislabelled, σ 2. Changed decisions: {said}"
    assert tab.locator("canvas").nth(1).get_attribute("aria-label") == "told 4, true 9, decision 6"


@pytest.mark.slow
def test_keys_choose_the_rate_with_its_images_labels_and_curves(visit):
    tab = visit()
    tab.locator("[type=radio]").first.focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("[type=radio]").nth(1).is_checked()
    assert np.abs(painted(tab)[..., 0] - 255 * BLURS[2] @ PIXELS[1, DRAWN] @ BLURS[2].T).max() < 0.62
    labels = [text.split() for text in tab.locator(".labels").all_inner_texts()]
    assert [int(words[1][:-1]) for words in labels] == TOLD[1, DRAWN].tolist()
    assert [int(words[3]) for words in labels] == TRUE[1, DRAWN].tolist()
    assert [group.is_visible() for group in tab.locator(".rate").all()] == [False, True]
    assert tab.locator(".values b").all_inner_texts() == ["50.0% (45.0–65.0)", "2.0% (2.0–2.0)"]
    assert tab.locator(".said").text_content().startswith("1 in 50 mislabelled, σ 1.")


@pytest.mark.slow
def test_the_script_begins_with_what_is_written_without_it_and_shows_its_controls(visit):
    still, live = visit(java_script_enabled=False), visit()
    assert cards(still.content()) == [tuple(card) for card in cards(blur_explorer(**given()))]
    for selector in (".says", ".labels", ".values", ".key"):
        assert live.locator(selector).all_inner_texts() == still.locator(selector).all_inner_texts()
    for selector, there in ((".setting", still), ("canvas", live), ("[type=range]", live), (".choice", live)):
        shown = {tab: tab.locator(selector).first.is_visible() for tab in (still, live)}
        assert shown == {tab: tab is there for tab in (still, live)}


@pytest.mark.slow
def test_a_click_into_the_curves_moves_the_slider(visit):
    tab = visit()
    box = tab.locator(".curves").bounding_box()
    tab.mouse.click(box["x"] + box["width"] * (LEFT + 0.3 * (WIDTH - LEFT - RIGHT)) / WIDTH, box["y"] + 50)
    assert tab.locator("output").inner_text() == "0.5"


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_is_wider_than_the_page_and_letters_are_large_enough(visit, width):
    tab = visit(width)
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= width
    frame = tab.locator(".explorer").bounding_box()
    for element in tab.locator(
        ".explorer :is(canvas, svg.curves, input, label, .key li, .labels span, .values li)"
    ).all():
        box = element.bounding_box()
        assert box["x"] >= frame["x"] and box["x"] + box["width"] <= frame["x"] + frame["width"] - 12
    assert tab.evaluate(SMALLEST) >= 11
    images, plot = (tab.locator(part).bounding_box() for part in (".images", ".plot"))
    beside = plot["x"] >= images["x"] + images["width"]
    assert beside == (width == 1400) and (plot["y"] >= images["y"] + images["height"]) != beside
    boxes = [element.bounding_box() for element in tab.locator("ol li").all()]
    assert min(right["x"] - left["x"] - left["width"] for left, right in zip(boxes, boxes[1:2], strict=False)) >= 4


@pytest.mark.slow
def test_outcomes_differ_in_colour_and_in_shape_and_follow_the_theme(visit):
    asked = """() => [...document.querySelectorAll('.key .sign')].map(e => [
        getComputedStyle(e).color, document.querySelector(e.firstChild.getAttribute('href')).getAttribute('d')])"""
    framed = "() => [...document.querySelectorAll('canvas')].map(e => getComputedStyle(e).border)"
    themes = []
    for scheme in ("light", "dark"):
        tab = visit(color_scheme=scheme)
        tab.locator("[type=range]").fill("3")
        signs, frames = tab.evaluate(asked), tab.evaluate(framed)
        assert len({colour for colour, _ in signs}) == len({shape for _, shape in signs}) == 3
        assert len(set(frames[:3])) == 3 and frames[1] == frames[4] and "dashed" in frames[1]  # as in WANTED
        themes.append([colour for colour, _ in signs])
    assert themes[0][1] == "rgb(0, 158, 115)" and all(old != new for old, new in zip(*themes, strict=True))
