"""The edge explorer shows loss and sharpness at a step size, and says whether the sharpness reaches 2/η."""

from __future__ import annotations

import base64
import json
import re
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from barriers import nameless, serious

from redlib.errors import BadInput
from redlib.report.explorers import edge_explorer
from redlib.report.explorers.edge import FLOOR, LEFT, RIGHT, TOP, Descent, number
from redlib.report.explorers.fragments import MAX_BYTES

RATES, WIDTHS, STEPS = [0.01, 0.02, 0.04], [16, 64], np.arange(0, 410, 10)
LINEAR = {"rate": 0.02, "width": 64, "step": 200}


def runs() -> tuple[np.ndarray, np.ndarray]:
    """Return made-up loss and sharpness [rate, width, step]: the latter rises to 2/η, the last run diverges."""
    rate, width, step = np.meshgrid(RATES, WIDTHS, STEPS, indexing="ij")
    sharpness = np.minimum((10 + 15 * step * rate) * (1 + width / 640), 2.02 / rate)
    loss = 2 * np.exp(-step * rate / 1.5) + 0.01
    loss[2, 1, 20:], sharpness[2, 1, 20:] = nan, nan
    return loss, sharpness


def made(**changes: Any) -> str:
    loss, sharpness = runs()
    given = {"rates": RATES, "widths": WIDTHS, "steps": STEPS, "loss": loss, "sharpness": sharpness, "start": LINEAR}
    return edge_explorer(**(given | changes))


def payload(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"\}\)\)\((\{.*\}), \(root", html)[1])


def unpacked(data: dict[str, Any], name: str, kind: str = "mean") -> np.ndarray:
    triples = np.frombuffer(base64.b64decode(data["curves"][name][kind]), np.uint8).reshape(-1, 3)
    return np.pad(triples, ((0, 0), (0, 1))).reshape(-1).view(">f4").reshape(data["shape"])


def panel(html: str, name: str) -> str:
    return re.search(rf'<svg class="curves {name}".*?</svg></div>', html)[0]


def places(path: str) -> np.ndarray:
    """Return x and y of a path of lines [2, n]."""
    return np.array([place.split() for place in path.removeprefix("M").split("L")], dtype=float).T


def drawn(html: str, name: str, kind: str = "curve") -> np.ndarray:
    return places(re.search(rf'<path class="{kind}" d="([^"]*)"', panel(html, name))[1])


def number_of(html: str, name: str, pattern: str) -> float:
    return float(re.search(pattern, panel(html, name))[1])


# --- what is said -------------------------------------------------------------------------------------------


def said(sharpness: list[float], loss: list[float] | None = None, rate: float = 0.02) -> str:
    falling = [2.0, 1.0, 0.5, 0.25][: len(sharpness)] if loss is None else loss
    steps = ["0", "10", "20", "30"][: len(sharpness)]
    words = Descent(rate, steps, np.array(falling), np.array(sharpness)).sentences("At this")
    return words.replace("\u00a0", " ")


@pytest.mark.parametrize(
    "sharpness, words",
    [
        ([10, 60, 90, 80], "never reaches 2/η = 100: it is at most 90.0, at step 20."),
        ([10, 100, 110, 119], "reaches 2/η = 100 at step 10 and stays within 20% of it."),
        ([10, 101, 79, 90], "at step 10 and ends within 20% of it, at 90.0, after values from 79.0 to 101."),
        ([10, 101, 90, 70], "reaches 2/η = 100 at step 10 and falls to 70.0."),
        ([10, 101, 110, 150], "reaches 2/η = 100 at step 10 and ends at 150."),
        ([150, 120, 60, 50], "starts at 150, above 2/η = 100, and falls to 50.0."),
        ([10, 20, 40, 100], "reaches 2/η = 100 at step 30."),
    ],
)
def test_words_say_whether_the_sharpness_reaches_the_line_and_what_it_does_then(sharpness, words):
    assert words in said(sharpness)


@pytest.mark.parametrize(
    "sharpness, loss, words",
    [
        ([10, 101, 100, 99], [2, 1, 0.5, 0.25], "From there the loss goes on falling, from 1.00 to 0.250."),
        ([10, 101, 100, 99], [2, 1, 1.5, 0.25], "goes on falling, from 1.00 to 0.250, with rises on the way."),
        ([10, 101, 100, 99], [2, 1, 1.5, 1.5], "From there the loss does not fall: it begins at 1.00 and ends at 1.50"),
        ([10, 20, 30, 40], [2, 1, 0.5, 0.25], "The loss falls from 2.00 to 0.250."),
        ([10, 20, 30, 101], [2, 1, 0.5, 0.25], "The loss falls from 2.00 to 0.250."),
        ([150, 120, 99, 98], [2, 3, 0.5, 0.25], "The loss falls from 2.00 to 0.250, with rises on the way."),
        ([10, 101, 300, nan], [2, 1, 9, nan], "at step 10. Training diverges: the curves end at step 20."),
        ([nan] * 4, [nan] * 4, "At this there are no values."),
    ],
)
def test_words_say_what_the_loss_does_from_there(sharpness, loss, words):
    assert words in said(sharpness, loss)


def test_the_point_of_instability_is_the_first_step_at_or_above_the_line():
    run = Descent(0.02, list("abcd"), np.ones(4), np.array([10, 99.9, 100, 90]))
    assert run.limit == 100 and run.crossing == 2 and run.end == 3
    assert Descent(0.03, list("abcd"), np.ones(4), np.full(4, 66.0)).crossing == -1
    assert payload(made())["crossings"] == [-1, -1, 30, 27, 7, 6]  # 10 + 15 η step against 2/η, by hand


def test_numbers_have_three_digits_and_powers_of_ten():
    values = [0, 0.00123456, 1.5, 66.6667, 123.4, 54321.0, 0.000456, 2.5e7, 1e-12, -0.5, nan, inf]
    wanted = ["0.00", "0.00123", "1.50", "66.7", "123", "54321"]
    wanted += ["4.56 × 10⁻⁴", "2.50 × 10⁷", "1.00 × 10⁻¹²", "-0.500", "–", "–"]
    assert [number(value).replace("\u00a0", " ") for value in values] == wanted


def test_the_width_is_named_where_there_are_several():
    loss, sharpness = runs()
    one = made(widths=[16], loss=loss[:, :1], sharpness=sharpness[:, :1], start=None)
    assert all(words.startswith("At step size 0.0") and "width" not in words for words in payload(one)["sentences"])
    assert payload(made())["sentences"][3].startswith("At step size 0.02 and width 64 the sharpness reaches")


# --- without the script -------------------------------------------------------------------------------------


def test_it_holds_the_curves_to_five_digits():
    data = payload(made(low={"loss": runs()[0] / 2}, high={"loss": runs()[0] * 2}))
    for name, array in zip(("loss", "sharpness"), runs(), strict=True):
        assert np.allclose(unpacked(data, name), array, rtol=1.6e-5, atol=0, equal_nan=True)
    assert np.allclose(unpacked(data, "loss", "low"), runs()[0] / 2, rtol=1.6e-5, equal_nan=True)
    assert list(data["curves"]["sharpness"]) == ["mean"]


def test_it_has_a_slider_for_each_axis_that_was_varied():
    loss, sharpness = (found[:1, :1] for found in runs())
    html = made(rates=[0.01], widths=[16], loss=loss, sharpness=sharpness, start=None)
    assert re.findall(r'data-axis="(\w+)" min="0" max="(\d+)" step="1" value="(\d+)"', html) == [("step", "40", "40")]
    three = re.findall(r'data-axis="(\w+)" min="0" max="(\d+)" step="1" value="(\d+)"', made())
    assert three == [("rate", "2", "1"), ("width", "1", "1"), ("step", "40", "20")]
    assert all(f">{name}</label>" in made() for name in ("Step size η", "Width", "Step"))


def test_the_start_is_drawn_without_the_script():
    html, (loss, sharpness) = made(), runs()
    rows = payload(html)["rows"]
    for name, array, scale in (("loss", loss, np.log10), ("sharpness", sharpness, np.asarray)):
        x, y = drawn(html, name)
        low, high = scale(rows[name]["low"]), scale(rows[name]["high"])
        assert rows[name]["log"] is (name == "loss") and np.allclose(x, payload(html)["x"], atol=0.06)
        assert (x[0], x[-1]) == (LEFT, RIGHT) and np.allclose(np.diff(x, 2), 0, atol=0.21)  # steps are even
        assert np.allclose(y, FLOOR - (FLOOR - TOP) * (scale(array[1, 1]) - low) / (high - low), atol=0.06)
        middle = number_of(html, name, r'class="cursor" x1="(\S+)"')
        assert middle == number_of(html, name, r'class="dot" r="4.5" cx="(\S+)"') == x[20]
        assert number_of(html, name, r'class="dot" r="4.5" cx="\S+" cy="(\S+)"') == y[20]
        assert number_of(html, name, r'class="onset" transform="translate\((\S+),0\)') == x[27]
    high = rows["sharpness"]["high"]
    line = number_of(html, "sharpness", r'class="limit" transform="translate\(0,(\S+)\)')
    assert line == pytest.approx(FLOOR - (FLOOR - TOP) * 100 / high, abs=0.06) and ">2/η\u00a0=\u00a0100<" in html
    words = f"Step 200: loss {number(loss[1, 1, 20])}, sharpness λ\u00a0=\u00a0{number(sharpness[1, 1, 20])}, "
    assert words + f"η·λ/2\u00a0=\u00a0{number(sharpness[1, 1, 20] / 100)}." in html
    assert payload(html)["sentences"][3] in html and '<div class="controls" hidden>' in html


def test_a_run_that_diverged_ends_where_it_did_and_says_so():
    html = made(start={"rate": 0.04, "width": 64, "step": 250})
    assert len(drawn(html, "loss")[0]) == len(drawn(html, "sharpness")[0]) == 20
    assert "Training diverges: the curves end at step 190." in html and "Step 250: no values." in html
    assert 'class="dot" r="4.5" cx="-99" cy="-99"' in panel(html, "loss")


def test_infinite_values_are_a_divergence_and_both_curves_end_with_the_first():
    loss, sharpness = runs()
    loss[0, 0, 30:], sharpness[0, 1, 30:], loss[0, 1, 30] = inf, nan, 1e300
    data = payload(made(loss=loss, sharpness=sharpness))
    for name in ("loss", "sharpness"):
        assert (np.isfinite(unpacked(data, name)).sum(-1) == [[30, 30], [41, 41], [41, 20]]).all()


def test_what_shoots_up_leaves_the_plot_and_flattens_nothing():
    loss, sharpness = runs()
    loss[2, 1, 19], sharpness[2, 1, 19] = 1e20, 1e9
    for spoilt in (True, False):
        rows = payload(made(loss=loss, sharpness=sharpness) if spoilt else made())["rows"]
        assert rows["loss"]["high"] < 100 and rows["sharpness"]["high"] < 1100  # 4 * 2/η, and room
    html = made(loss=loss, sharpness=sharpness, start={"rate": 0.04, "width": 64, "step": 190})
    assert drawn(html, "loss")[1].min() < TOP and 'cx="-99" cy="-99"' in panel(html, "loss")
    assert "loss 1.00\u00a0×\u00a010²⁰" in html


def test_every_line_of_2_over_eta_lies_within_the_plot():
    for rates in ([1e-5, 0.02, 5.0], RATES):
        html = made(rates=rates, start=None)
        row = payload(html)["rows"]["sharpness"]
        assert all(row["low"] <= 2 / rate <= row["high"] for rate in rates) and row["log"] is (rates[0] == 1e-5)


def test_where_nothing_is_reached_nothing_is_marked():
    html = made(rates=[0.0001, 0.0002, 0.0004], start=None)
    assert "never reaches" in html and payload(html)["crossings"] == [-1] * 6
    assert all("translate(-999,0)" in panel(html, name) for name in ("loss", "sharpness"))
    assert 'class="ring" r="6" cy="-99"' in panel(html, "sharpness")


@pytest.mark.parametrize(
    "steps, wanted",
    [
        ([0, 1, 10, 100, 1000, 10000], ["1", "10", "100", "1000", "10\u202f000"]),
        ([0, 1, 2, 3, 4, 5], ["0", "1", "2", "3", "4", "5"]),
        ([*range(0, 4100, 100)], ["0", "1000", "2000", "3000", "4000"]),
    ],
)
def test_steps_that_grow_rare_have_a_logarithmic_axis(steps, wanted):
    loss, sharpness = (found[..., : len(steps)] for found in runs())
    html = made(steps=steps, loss=loss, sharpness=sharpness, start=None)
    for name in ("loss", "sharpness"):
        assert re.findall(r'<text class="x" x="\S+" y="\S+">([^<]+)<', panel(html, name)) == wanted


@pytest.mark.parametrize(
    "low, high, wanted",
    [
        (1e-6, 3.0, ["10⁻⁶", "10⁻⁴", "0.01", "1"]),
        (0.1, 2.0, ["0.1", "0.2", "0.5", "1", "2"]),
        (0.31, 0.45, ["0.3", "0.35", "0.4", "0.45"]),
    ],
)
def test_a_logarithmic_axis_has_round_numbers(low, high, wanted):
    loss = np.broadcast_to(np.geomspace(high, low, len(STEPS)), runs()[0].shape)
    found = panel(made(loss=loss, sharpness=1 + loss), "loss")
    assert re.findall(r'<text class="y"[^>]*>([^<]+)<', found) == wanted


def test_bands_may_reach_below_the_axis_of_the_loss():
    loss, sharpness = runs()
    html = made(low={"loss": loss - 1, "sharpness": sharpness - 3}, high={"loss": loss + 1, "sharpness": sharpness + 3})
    for name in ("loss", "sharpness"):
        assert drawn(html, name, "band").shape == (2, 2 * len(STEPS))
    assert drawn(html, "loss", "band")[1].max() > FLOOR  # the drawing cuts it off


def test_one_of_6_x_3_x_300_is_far_below_the_limit_and_one_too_large_says_what_to_do():
    rates, steps = np.linspace(0.01, 0.06, 6), np.arange(1, 2001)
    shape = (6, 3, 2000)
    curves = {"loss": np.full(shape, 0.5), "sharpness": np.full(shape, 20.0)}
    few = {name: found[..., :300] for name, found in curves.items()}
    given = {"rates": rates, "widths": [1, 2, 3], "start": None}
    assert len(made(**given, steps=steps[:300], **few).encode()) < 0.5 * MAX_BYTES
    with pytest.raises(BadInput, match=r"(?s)size of the explorer.*Thin out the steps"):
        made(**given, steps=steps, **curves)


def test_explorers_have_ids_of_their_own_no_address_and_safe_titles():
    one, two = made(), made(start=None)
    first, second = (set(re.findall(r' id="(\S+)"', html)) for html in (one, two))
    assert len(first) == len(second) == 4 and first.isdisjoint(second)
    assert "http" not in one and made() == one and "&lt;b&gt;" in made(title="<b>")


def spoilt(name: str, at: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    found = dict(zip(("loss", "sharpness"), runs(), strict=True))
    found[name][at] = value
    return found


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"rates": RATES[::-1]}, "rates"),
        ({"rates": [0.01, 0.01, 0.02]}, "rates"),
        ({"rates": [0.0, 0.01, 0.02]}, "least of rates"),
        ({"rates": [-0.01, 0.01, 0.02]}, "least of rates"),
        ({"rates": [0.01, 0.02, inf]}, "rates"),
        ({"rates": []}, "rates"),
        ({"widths": [64, 16]}, "widths"),
        ({"widths": [0, 16]}, "least of widths"),
        ({"steps": STEPS[::-1]}, "steps"),
        ({"steps": STEPS - 10}, "least of steps"),
        ({"steps": STEPS[None]}, "steps"),
        ({"steps": STEPS[:1]}, "steps"),
        ({"steps": STEPS[:20]}, "shape of mean of loss"),
        ({"loss": runs()[0][0]}, "shape of mean of loss"),
        ({"sharpness": runs()[1].transpose(1, 0, 2)}, "shape of mean of sharpness"),
        (spoilt("loss", (0, 0, 5), 0.0), "least loss"),
        (spoilt("loss", (0, 0, 5), -1.0), "least loss"),
        (spoilt("loss", (0, 0, 5), nan), "go on after"),
        (spoilt("sharpness", (0, 0, 0), nan), "go on after"),
        ({"loss": np.full(runs()[0].shape, nan)}, "finite values"),
        ({"low": {"loss": runs()[0]}}, "low and high"),
        ({"low": {"error": runs()[0]}, "high": {"error": runs()[0]}}, "low and high"),
        ({"low": {"loss": runs()[0][0]}, "high": {"loss": runs()[0]}}, "shape of low of loss"),
        ({"start": {"rate": 0.03}}, r"start\['rate'\]"),
        ({"start": {"epoch": 1}}, r"start\['epoch'\]"),
    ],
)
def test_it_refuses_what_it_cannot_show(changes, message):
    with pytest.raises(BadInput, match=message):
        made(**changes)


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer() -> str:
    """Return what the page of these tests holds."""
    loss, sharpness = runs()
    return made(low={"loss": loss * 0.8}, high={"loss": loss * 1.2}, title="At the edge")


def texts(tab: Any) -> list[str]:
    return [tab.locator(f".explorer {part}").inner_text().replace("\u00a0", " ") for part in (".course", ".readout")]


@pytest.mark.slow
def test_the_script_begins_with_what_is_drawn_without_it(visit):
    still, live = visit(java_script_enabled=False), visit()
    for name in ("loss", "sharpness"):
        before, after = (panel(tab.content(), name) for tab in (still, live))
        numbers = [re.findall(r"(?<=[\sMLH\"(,])-?\d+(?:\.\d+)?", source) for source in (before, after)]
        assert len(numbers[0]) > 100 and np.allclose(*(np.array(found, dtype=float) for found in numbers), atol=0.11)
        assert re.findall(r">([^<]+)</text>", before) == re.findall(r">([^<]+)</text>", after)
    assert texts(still) == texts(live)
    assert not still.locator("input").first.is_visible() and still.locator("noscript p").is_visible()


@pytest.mark.slow
def test_keys_move_each_slider_and_it_says_what_it_was_given(visit):
    tab = visit()
    loss, sharpness = runs()
    places = {"rate": 1, "width": 1, "step": 20}
    for axis in places:
        slider, before = tab.locator(f'input[data-axis="{axis}"]'), tab.locator(".explorer").inner_html()
        slider.focus()
        slider.press("ArrowLeft")  # as somebody without a mouse would
        places[axis] -= 1
        i, j, k = places.values()
        words = f"Step {STEPS[k]}: loss {number(loss[i, j, k])}, sharpness λ = {number(sharpness[i, j, k])}, "
        assert texts(tab)[1] == words + f"η·λ/2 = {number(RATES[i] * sharpness[i, j, k] / 2)}."
        assert texts(tab)[0] == payload(tab.content())["sentences"][2 * i + j].replace("\u00a0", " ")
        assert tab.locator(".explorer").inner_html() != before
        told = tab.locator(f'.slider:has([data-axis="{axis}"]) output').inner_text()
        assert slider.get_attribute("aria-valuetext") == told


@pytest.mark.slow
def test_the_line_the_mark_and_the_curves_follow_the_step_size(visit):
    tab = visit()
    for i, rate in enumerate(RATES):
        tab.locator('input[data-axis="rate"]').fill(str(i))
        html = made(start=LINEAR | {"rate": rate})
        for name in ("loss", "sharpness"):
            for kind in ("limit", "onset") if name == "sharpness" else ("onset",):
                found = tab.locator(f".{name} .{kind}").get_attribute("transform")
                assert re.search(rf'class="{kind}" transform="([^"]+)"', panel(html, name))[1] == found
            path = tab.locator(f".{name} .curve").get_attribute("d")
            assert np.allclose(places(path), drawn(html, name), atol=0.11)
        assert tab.locator(".limit text").text_content() == f"2/η\u00a0=\u00a0{2 / rate:g}"


@pytest.mark.slow
def test_a_run_that_diverged_has_no_dot_after_its_end(visit):
    tab = visit()
    for axis, at in (("rate", 2), ("width", 1), ("step", 30)):
        tab.locator(f'input[data-axis="{axis}"]').fill(str(at))
    assert "Training diverges: the curves end at step 190." in texts(tab)[0] and texts(tab)[1] == "Step 300: no values."
    assert [dot.get_attribute("cx") for dot in tab.locator(".dot").all()] == ["-99", "-99"]
    assert tab.locator(".loss .band").get_attribute("d").count("L") == 2 * 20 - 1
    tab.locator('input[data-axis="step"]').fill("5")
    assert all(float(dot.get_attribute("cx")) > LEFT for dot in tab.locator(".dot").all())


@pytest.mark.slow
def test_a_click_into_either_panel_moves_the_step(visit):
    tab = visit()
    for name, share, step in (("loss", 0.25, 100), ("sharpness", 0.75, 300)):
        box = tab.locator(f"svg.{name}").bounding_box()
        x = (LEFT + (RIGHT - LEFT) * share) * box["width"] / 320
        tab.mouse.click(box["x"] + x, box["y"] + box["height"] / 2)
        assert tab.locator('.slider:has([data-axis="step"]) output').inner_text() == str(step)


SMALLEST = """() => Math.min(...[...document.querySelectorAll('.explorer :is(text, label, p, small, output)')].filter(
    part => part.getClientRects().length).map(part => parseFloat(getComputedStyle(part).fontSize) * (
        part.closest('svg.curves') ? part.closest('svg.curves').getScreenCTM().a : 1)))"""
OUTSIDE = """() => [...document.querySelectorAll('svg.curves')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]).filter(
        ([, box]) => box.right > -500 && (box.left < frame.left || box.right > frame.right
            || box.top < frame.top || box.bottom > frame.bottom)).map(([words]) => words); })"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 760, 1400])
def test_nothing_is_cut_off_and_letters_are_large_enough(visit, width):
    tab = visit(width)
    for rate in range(3):
        tab.locator('input[data-axis="rate"]').fill(str(rate))
        assert tab.evaluate(OUTSIDE) == []
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= width and tab.evaluate(SMALLEST) >= 10.9
    left, right = (tab.locator(f"svg.{name}").bounding_box() for name in ("loss", "sharpness"))
    assert (right["y"] > left["y"] + 100) is (width == 360) and (right["x"] > left["x"] + 100) is (width != 360)


@pytest.mark.slow
def test_panels_stay_where_they_are_while_the_words_change(visit):
    tab = visit(400)
    tops = []
    for rate in range(3):
        tab.locator('input[data-axis="rate"]').fill(str(rate))
        tops.append(tab.evaluate("() => document.querySelector('.panels').offsetTop"))
    assert len(set(tops)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_every_control_has_a_name(visit, scheme):
    tab = visit(color_scheme=scheme)
    assert serious(tab, ".explorer") == [] and nameless(tab) == []
    for name in ("Step size η", "Width", "Step"):
        assert tab.get_by_role("slider", name=name, exact=True).count() == 1


@pytest.mark.slow
def test_colours_follow_the_theme_and_print_keeps_words_and_pictures(visit):
    asked = """() => ['.loss .curve', '.sharpness .curve', '.limit path', '.ring'].map(
        name => getComputedStyle(document.querySelector(name)).stroke)"""
    light, dark = (visit(color_scheme=scheme).evaluate(asked) for scheme in ("light", "dark"))
    assert light[:2] == ["rgb(0, 114, 178)", "rgb(213, 94, 0)"]  # blue, orange
    assert all(old != new for old, new in zip(light, dark, strict=True))
    tab = visit(color_scheme="dark")
    tab.emulate_media(media="print")
    assert not tab.locator(".controls").is_visible() and tab.evaluate(asked) == light
    assert all(tab.locator(part).is_visible() for part in (".course", "svg.loss", "svg.sharpness", ".readout"))


@pytest.mark.slow
def test_two_copies_in_one_page_move_on_their_own(browser, explorer):
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    tab, asked = context.new_page(), "() => [...document.querySelectorAll('.readout')].map(part => part.textContent)"
    tab.set_content(f'<body data-jp-theme-light="true">{explorer * 2}</body>')
    ids = tab.evaluate("() => [...document.querySelectorAll('[id]')].map(part => part.id)")
    before = tab.evaluate(asked)
    tab.locator('input[data-axis="step"]').nth(1).fill("3")
    after = tab.evaluate(asked)
    context.close()
    assert len(ids) == len(set(ids)) == 8 and before[0] == after[0] == before[1] != after[1]
