"""The curve explorer shows error against width and against epoch where its sliders stand."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import report_fixtures as given

from redlib.errors import BadInput
from redlib.report.explorers import curve_explorer
from redlib.report.explorers.curves import FLOOR, LEFT, RIGHT, STRIP, TOP, WIDTH


def made(**changes: Any) -> str:
    test, train = given.error_curves()
    axes = {"noise": [0, 0.1, 0.2], "width": given.WIDTHS, "epoch": given.EPOCHS}
    return curve_explorer(**({"axes": axes, "curves": {"test": test, "train": train}} | changes))


def payload(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"\}\)\)\((\{.*\}), \(root", html)[1])


def panel(html: str, name: str) -> str:
    return re.search(rf'<g class="{name}".*?</svg>(?=<circle)', html)[0]


def test_it_holds_the_curves_to_a_twentieth_of_a_point():
    test, train = given.error_curves()
    data = payload(made())
    for name, array in (("test", test), ("train", train)):
        held = np.reshape(data["mean"][name], data["shape"]) / data["scale"]
        assert np.abs(held - array).max() <= 0.0501


def test_it_has_a_slider_for_each_axis_that_was_varied():
    test, train = (curve[:1] for curve in given.error_curves())
    axes = {"noise": [0.2], "width": given.WIDTHS, "epoch": given.EPOCHS}
    html = made(axes=axes, curves={"test": test, "train": train}, labels={"width": "Units"})
    assert re.findall(r'data-axis="(\w+)" min="0" max="(\d+)"', html) == [("width", "13"), ("epoch", "16")]
    assert ">Units</label>" in html and ">Epoch</label>" in html


def test_missing_values_stay_missing():
    test, _ = given.error_curves()
    test[0, 0, 0] = np.nan
    assert payload(made(curves={"test": test}))["mean"]["test"][0] is None


def test_the_start_is_drawn_without_the_script():
    curves = dict(zip(("test", "train"), given.error_curves(), strict=True))
    for focus, strip in (("", (TOP, FLOOR)), ("test", STRIP)):
        html = made(start={"noise": 0.1, "width": given.WIDTHS[3], "epoch": given.EPOCHS[5]}, focus=focus)
        for label, (top, foot) in {"test": (TOP, FLOOR), "train": strip}.items():
            for name, at in (("width", (1, slice(None), 5)), ("epoch", (1, 3))):
                x, y = drawn(html, name, label)
                share = (curves[label][at] - ends(html, label)[0]) / np.ptp(ends(html, label))
                assert np.allclose(x, payload(html)["x"][name]) and (x[0], x[-1]) == (LEFT, RIGHT)
                assert np.allclose(y, foot + (top - foot) * share, atol=0.06)
    assert f"translate({WIDTH},0)" in panel(html, "epoch")


def drawn(html: str, name: str, label: str) -> np.ndarray:
    """Return x and y of a curve in a panel [2, n]."""
    path = re.search(rf'class="line curve {label}" d="M([^"]*)"', panel(html, name))[1]
    return np.array([place.split() for place in path.split("L")], dtype=float).T


def ends(html: str, label: str) -> tuple[float, float]:
    """Return the ends of the vertical axis of a curve, in per cent."""
    row = payload(html)["rows"][label]
    return row["min"] / 10, row["max"] / 10


def test_beside_a_focus_the_other_curve_is_seen_whole():
    """On the axis of test errors around 70%, a training error that falls to 0 would lie below the plot."""
    test, train = 70 + given.error_curves()[0] / 10, given.error_curves()[1]
    html = made(curves={"test": test, "train": train}, focus="test")
    low, high = ends(html, "train")
    assert ends(html, "test")[0] > low == 0 and high >= train.max()
    for name in ("width", "epoch"):
        heights = drawn(html, name, "train")[1]
        assert STRIP[0] <= heights.min() and heights.max() <= STRIP[1]
        marks = re.findall(r'<text class="y" x="\S+" y="(\S+)">', panel(html, name))
        assert sum(float(y) > STRIP[0] for y in marks) == 3
    assert ends(made(curves={"test": test, "train": 0 * train}, focus="test"), "train")[1] > 0


def test_a_band_is_interrupted_where_it_is_not_known():
    test, _ = given.error_curves()
    high = test + 1
    high[:, 2] = np.nan
    html = made(low={"test": test - 1}, high={"test": high})
    band = re.search(r'class="band test" d="M([^"]*)"', panel(html, "width"))[1]
    assert len(band.split("L")) == 2 * (len(given.WIDTHS) - 1)


@pytest.mark.parametrize(
    "epochs, wanted",
    [([0, 1, 10, 100, 2000], ["1", "10", "100", "1000"]), ([0, 5, 10, 20], ["0", "5", "10", "15", "20"])],
)
def test_a_long_axis_of_epochs_is_logarithmic(epochs, wanted):
    axes = {"noise": [0], "width": [1, 2], "epoch": epochs}
    html = made(axes=axes, curves={"test": np.ones((1, 2, len(epochs)))})
    assert re.findall(r'<text class="x" x="\S+" y="\S+">([^<]+)<', panel(html, "epoch")) == wanted


def test_one_with_bands_at_2_x_14_x_40_is_far_below_150_kb():
    rng = np.random.default_rng(0)
    axes = {"noise": [0, 0.2], "width": given.WIDTHS, "epoch": list(range(1, 41))}
    curves, low, high = ({name: rng.uniform(0, 90, (2, 14, 40)) for name in ("test", "train")} for _ in range(3))
    assert len(curve_explorer(axes, curves, low=low, high=high)) < 60_000


def test_explorers_of_different_data_have_different_ids_and_no_outside_address():
    test, _ = given.error_curves()
    one, two = ({*re.findall(r' id="([^"]+)"', html)} for html in (made(), made(curves={"test": test})))
    assert one and one.isdisjoint(two) and "http" not in made() and made() == made()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"axes": {"width": [1, 2]}}, "axes"),
        ({"axes": {"noise": [0, 0.2, 0.1], "width": given.WIDTHS, "epoch": given.EPOCHS}}, "axis noise"),
        (
            {"axes": {"noise": [0, 0.1, 0.2], "width": [0, *given.WIDTHS[1:]], "epoch": given.EPOCHS}},
            "axis width",
        ),
        ({"curves": {"train": np.zeros((3, 14, 17))}}, "curves"),
        ({"curves": {"test": np.zeros((3, 14))}}, "shape of test"),
        ({"low": {"test": np.zeros((3, 14, 17))}}, "curves"),
        ({"start": {"width": 5}}, "start"),
        ({"focus": "both"}, "focus"),
    ],
)
def test_it_refuses_what_it_cannot_show(changes, message):
    with pytest.raises(BadInput, match=message):
        made(**changes)


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer() -> str:
    """Return what the page of these tests holds."""
    return given.explorer()


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["noise", "width", "epoch"])
def test_each_slider_changes_the_picture_its_label_and_the_numbers(visit, axis):
    tab = visit()
    slider = tab.locator(f'input[data-axis="{axis}"]')
    seen = [".explorer", f'.slider:has([data-axis="{axis}"]) output', ".explorer .readout"]
    before = [tab.locator(selector).inner_html() for selector in seen]
    slider.focus()
    slider.press("ArrowLeft")  # as somebody without a mouse would
    after = [tab.locator(selector).inner_html() for selector in seen]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert slider.get_attribute("aria-valuetext") == tab.locator(seen[1]).inner_text()


@pytest.mark.slow
def test_it_says_what_it_was_given(visit):
    tab = visit()
    for axis, index in (("noise", 1), ("width", 10), ("epoch", 12)):
        tab.locator(f'input[data-axis="{axis}"]').fill(str(index))
    test, train = (curve[1, 10, 12] for curve in given.error_curves())
    assert tab.locator(".readout").inner_text() == f"Error here: test {test:.1f}%, train {train:.1f}%."


@pytest.mark.slow
def test_the_script_begins_with_what_is_drawn_without_it(visit):
    still, live = visit(java_script_enabled=False), visit()
    for name in ("width", "epoch"):
        for part in (".line", ".band"):
            found = [tab.locator(f"g.{name} {part}.test").get_attribute("d") for tab in (still, live)]
            numbers = [np.array(re.findall(r"[\d.]+", path), dtype=float) for path in found]
            assert len(numbers[0]) > 10 and np.allclose(*numbers, atol=0.6)  # the script has whole tenths of a point
        places = [tab.locator(f"g.{name} .cursor").get_attribute("x1") for tab in (still, live)]
        assert float(places[0]) == float(places[1])
    assert not still.locator("input").first.is_visible()
    assert still.locator("noscript p").is_visible()


@pytest.mark.slow
def test_a_click_into_a_panel_moves_its_slider(visit):
    tab = visit()
    area = tab.locator("g.width > rect")
    box = area.bounding_box()
    tab.mouse.click(box["x"] + 0.97 * box["width"], box["y"] + box["height"] / 2)
    assert tab.locator('.slider:has([data-axis="width"]) output').inner_text() == "512"
    box = tab.locator("g.epoch > rect").bounding_box()
    tab.mouse.click(box["x"] + box["width"] * LEFT / WIDTH, box["y"] + box["height"] / 2)
    assert tab.locator('.slider:has([data-axis="epoch"]) output').inner_text() == str(given.EPOCHS[0])


@pytest.mark.slow
def test_panels_stand_below_each_other_on_a_phone(visit):
    for width, below in ((400, True), (1400, False)):
        tab = visit(width)
        left, right = (tab.locator(f"g.{name} > rect").bounding_box() for name in ("width", "epoch"))
        assert (right["y"] > left["y"] + 100) is below and (right["x"] > left["x"] + 100) is not below
        assert tab.evaluate("() => document.documentElement.scrollWidth") <= width
