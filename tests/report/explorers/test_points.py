"""The point player shows each point where it is in each frame, with and without its script."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.measures.simplex import simplex_etf
from redlib.plots import COLOURS
from redlib.report.explorers import Panel, like_triangle, on_triangle, point_player, seen_from_the_diagonal, triangle
from redlib.report.explorers.fragments import MAX_BYTES
from redlib.report.explorers.points import (
    HEIGHT,
    MARGIN,
    UNIT,
    WIDTH,
    moving,
)

LABELS = np.array([0, 0, 1, 1, 2, 2])
DRAWN = [0, 2, 4, 1, 3, 5]  # classes take turns
NAMES = ["cat", "dog", "owl"]
FRAMES = [f"epoch {epoch} · error {error}%" for epoch, error in zip((0, 1, 10, 100), (66, 33, 5, 0), strict=True)]
TICKS = ["0", "1", "10", "100"]
NOISE = np.random.default_rng(0).normal(size=(6, 2))
PLANE = np.stack([share * 10 * triangle()[LABELS] + (1 - share) * NOISE for share in (0, 0.2, 0.6, 1.0)])
SHARES = np.stack([share * np.eye(3)[LABELS] + (1 - share) / 3 for share in (0, 0.3, 0.6, 1.0)])
OUTPUTS = Panel("Outputs", on_triangle(SHARES), outline=triangle(), corners=NAMES)
FEATURES = Panel("Features", PLANE, means=True)
MARKED = np.array([False, False, True, False, False, False])


def given(**changes: Any) -> dict[str, Any]:
    arguments = {"panels": [OUTPUTS, FEATURES], "labels": LABELS, "names": NAMES, "frames": FRAMES, "ticks": TICKS}
    return arguments | changes


def large(frames: int, points: int) -> dict[str, Any]:
    """Return arguments of three panels with this many frames and points."""
    places = np.random.default_rng(1).normal(size=(frames, points, 2))
    panels = [Panel(f"panel {n}", places, means=True) for n in range(3)]
    words = [f"epoch {frame} · training error 12.3% · NC1 0.123" for frame in range(frames)]
    ticks = [str(frame) for frame in range(frames)]
    return {"panels": panels, "labels": np.arange(points) % 3, "names": NAMES, "frames": words, "ticks": ticks}


def payload(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"\}\)\)\((\{.*\}), \(root", html)[1])


def unpacked(text: str, frames: int = 4) -> np.ndarray:
    """Return the points [T, n, 2] in pixels."""
    high, both, low = np.frombuffer(base64.b64decode(text), np.uint8).astype(int).reshape(frames, -1, 3).T
    return np.stack([high << 4 | both >> 4, (both & 15) << 8 | low]).T * UNIT


def still(html: str) -> list[np.ndarray]:
    """Return the points [n, 2] in pixels that each panel shows without the script."""
    groups = re.findall(r"<g>(<use.*?)</g>", html)
    return [np.array(re.findall(r'x="(\S+)" y="(\S+)"', group), dtype=float) for group in groups]


# --- the triangle -------------------------------------------------------------------------------------------


def test_the_triangle_is_equilateral_upright_and_around_the_origin():
    corners = triangle()
    sides = np.linalg.norm(corners - np.roll(corners, 1, 0), axis=1)
    assert np.allclose(sides, np.sqrt(3)) and np.allclose(np.linalg.norm(corners, axis=1), 1)
    assert np.allclose(corners.mean(0), 0) and np.allclose(corners[2], [0, 1]) and corners[0, 0] < corners[1, 0]


def test_logits_and_features_are_turned_to_the_corners():
    alone = np.stack([5 + np.eye(3), 2 * np.eye(3) - 1])
    assert np.allclose(seen_from_the_diagonal(alone), np.stack([triangle(), 2 * triangle()]))
    assert np.allclose(like_triangle(simplex_etf(3, 2).numpy()[None]), triangle())


def test_probabilities_lie_at_their_barycentric_place():
    assert np.allclose(on_triangle(np.eye(3)), triangle())
    assert np.allclose(on_triangle([1 / 3, 1 / 3, 1 / 3]), [0, 0])
    assert np.allclose(on_triangle([0.5, 0.5, 0]), [0, -0.5])  # the middle of the lower side
    assert on_triangle(np.full((4, 5, 3), 1 / 3)).shape == (4, 5, 2)
    assert np.allclose(on_triangle([0.99995, 0, 0]), triangle()[0], atol=1e-4)  # rounded elsewhere


@pytest.mark.parametrize(
    "values", [[0.5, 0.5], 1.0, [0.5, 0.5, 0.1], [1.2, -0.2, 0], [np.nan, 0.5, 0.5], [[1, 0, 0], [1, 1, 0]]]
)
def test_what_is_no_probability_of_three_classes_has_no_place(values):
    with pytest.raises(BadInput):
        on_triangle(values)


# --- the contents -------------------------------------------------------------------------------------------


def test_every_frame_lies_where_its_points_are_on_one_scale():
    data = payload(point_player(**given()))
    placed = moving(**given()).panels[1]
    found = unpacked(data["points"][1])
    assert found.shape == (4, 6, 2) and np.abs(found - placed.pixels(PLANE[:, DRAWN])).max() < UNIT
    across, down = np.moveaxis(found, -1, 0)
    assert min(across.min(), down.min()) >= MARGIN - UNIT
    assert across.max() <= WIDTH - MARGIN + UNIT and down.max() <= HEIGHT - MARGIN + UNIT
    moved = (found[3] - found[0]) / (PLANE[3] - PLANE[0])[DRAWN]
    assert np.allclose(moved, moved[0, 0] * np.array([1, -1]), atol=0.1)  # equal aspect, upwards is up
    assert data["labels"] == [0, 1, 2, 0, 1, 2] and data["frames"] == FRAMES and data["ticks"] == TICKS


def test_without_the_script_the_last_frame_is_shown_whatever_the_start():
    html = point_player(**given(start=1))
    data = payload(html)
    for panel, places in enumerate(still(html)):
        assert np.abs(places - unpacked(data["points"][panel])[-1]).max() < 0.1
    assert f">{FRAMES[-1]}</span>" in html and '<div class="controls" hidden>' in html
    assert 'max="3" step="1" value="1"' in html and 'value="3"' in point_player(**given())


def test_classes_have_colours_and_shapes_of_their_own():
    points = np.zeros((1, 10, 2))
    names = [f"class {n}" for n in range(10)]
    arguments = {"labels": np.arange(10), "names": names, "frames": ["one"], "ticks": ["0"]}
    html = point_player([Panel("All", points)], **arguments)
    shapes = re.findall(r'<g id="\S+" style="--c:var\(--(\w+),#\w+\)"><path [^>]* d="(\S[^"]*)"', html)
    assert len(set(shapes)) == 10 and [name for name, _ in shapes[:7]] == list(COLOURS)
    assert len({shape for _, shape in shapes[:3]}) == 3 and len({shape for _, shape in shapes[3:7]}) == 1


def test_marked_points_are_hollow_come_last_and_are_in_the_key():
    plain, html = point_player(**given()), point_player(**given(marked=MARKED))
    assert "wrong label" in html and "wrong label" not in plain
    kinds = re.findall(r'<use href="#explorer-\w{8}-(\w+)" x=', html)
    assert kinds == ["0", "2", "0", "1", "2", "1h"] * 2
    assert payload(html)["labels"] == [0, 2, 0, 1, 2, 1]


def test_means_are_drawn_only_where_they_are_asked_for():
    html = point_player(**given())
    rings = re.findall(r'<circle class="ring" r="7" cx="(\S+)" cy="(\S+)"', html)
    placed = moving(**given()).panels[1]
    middle = placed.pixels([PLANE[-1][label == LABELS].mean(0) for label in range(3)])
    assert np.allclose(np.array(rings, dtype=float), middle, atol=0.06) and html.count('class="spoke"') == 3
    assert "class mean" in html and "class mean" not in point_player(**given(panels=[OUTPUTS]))


def test_rescaled_frames_have_one_size_and_say_so():
    growing = Panel("Growing", PLANE * np.array([1, 10, 100, 1e6])[:, None, None], rescale=True)
    placed = moving(**given(panels=[growing])).panels[0]
    assert np.allclose(np.linalg.norm(placed.points, axis=-1).max(1), 1)
    assert "scaled to fit" in point_player(**given(panels=[growing])) and "scaled to fit" not in point_player(**given())
    nothing = replace(growing, points=np.zeros((4, 6, 2)))
    assert (moving(**given(panels=[nothing])).panels[0].points == 0).all()


def test_points_that_never_move_lie_in_the_middle():
    html = point_player(**given(panels=[Panel("Still", np.full((4, 6, 2), 7.0))]))
    assert np.abs(unpacked(payload(html)["points"][0]) - [WIDTH / 2, HEIGHT / 2]).max() < UNIT


def test_the_outline_and_its_corners_are_in_view():
    html = point_player(**given())
    (path,) = re.findall(r'<path class="outline" d="M(\S.*?)Z"/>', html)
    corners = np.array([place.split() for place in path.split("L")], dtype=float)
    assert (corners > 0).all() and (corners < [WIDTH, HEIGHT]).all()
    assert np.allclose(corners[2], [WIDTH / 2, corners[:, 1].min()], atol=0.1)
    texts = re.findall(r'<text x="(\S+)" y="(\S+)" text-anchor="middle">(\w+)</text>', html)
    assert [name for *_, name in texts] == NAMES
    assert all(0 < float(x) < WIDTH and 8 < float(y) < HEIGHT for x, y, _ in texts)


def test_a_player_of_20_frames_and_180_points_is_far_below_the_limit_and_one_too_large_is_refused():
    assert len(point_player(**large(20, 180)).encode()) < 0.6 * MAX_BYTES
    assert len(point_player(**large(30, 200)).encode()) < MAX_BYTES
    with pytest.raises(BadInput, match="size of the explorer"):
        point_player(**large(60, 200))


def test_players_have_ids_of_their_own_and_no_address():
    changed = [{}, {"start": 0}, {"title": "Two"}, {"what": "Step"}, {"names": NAMES[::-1]}, {"marked": MARKED}]
    changed += [{"panels": [OUTPUTS, replace(FEATURES, means=False)]}]
    found = [re.findall(r' id="(\S+)"', point_player(**given(**change))) for change in changed]
    assert len({ids[0] for ids in found}) == len(changed)
    assert found[0] == [found[0][0], *(f"{found[0][0]}-{part}" for part in ("frame", 0, 1, 2))]
    html = point_player(**given())
    assert "http" not in html and html == point_player(**given())


def test_names_are_text_wherever_they_stand():
    risky = ["</script><b>", '"><b>', "<!--<script>", "&amp;"]
    panels = [replace(OUTPUTS, title=risky[0], corners=risky[:3])]
    html = point_player(
        **given(panels=panels, names=risky[1:], frames=risky, ticks=risky, title=risky[0], what=risky[1])
    )
    assert html.count("</script>") == html.count("<script") == 1
    assert "<b>" not in html and "<!--" not in html and "&amp;amp;" in html
    assert payload(html)["frames"] == risky


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"panels": []}, "panels"),
        ({"panels": [replace(FEATURES, points=PLANE[:3])]}, "shape of points of Features"),
        ({"panels": [replace(FEATURES, points=PLANE[:, :5])]}, "shape of points of Features"),
        ({"panels": [replace(FEATURES, points=np.zeros((4, 6, 3)))]}, "shape of points of Features"),
        ({"panels": [replace(FEATURES, points=np.where(PLANE[2, 1, 0] == PLANE, np.nan, PLANE))]}, "not finite = 1"),
        ({"panels": [replace(FEATURES, points=np.full((4, 6, 2), np.inf))]}, "not finite = 48"),
        ({"panels": [replace(OUTPUTS, outline=triangle()[:2])]}, "outline of Outputs"),
        ({"panels": [replace(OUTPUTS, outline=triangle()[None])]}, "outline of Outputs"),
        ({"panels": [replace(OUTPUTS, outline=np.zeros((3, 3)))]}, "outline of Outputs"),
        ({"panels": [replace(OUTPUTS, outline=np.full((3, 2), np.nan))]}, "outline of Outputs"),
        ({"panels": [replace(OUTPUTS, corners=NAMES[:2])]}, "corners of Outputs"),
        ({"panels": [replace(OUTPUTS, outline=None)]}, "corners of Outputs"),
        ({"frames": [], "ticks": []}, "frames and ticks"),
        ({"ticks": TICKS[:3]}, "frames and ticks"),
        ({"frames": FRAMES[:3]}, "frames and ticks"),
        ({"start": 4}, "start = 4"),
        ({"start": -1}, "start = -1"),
        ({"labels": LABELS[:5]}, "shape of points of Outputs"),
        ({"labels": LABELS + 1}, "labels"),
        ({"labels": LABELS - 1}, "labels"),
        ({"labels": LABELS * 1.0}, "labels"),
        ({"labels": LABELS[None]}, "labels"),
        ({"labels": np.zeros(0, dtype=int)}, "labels"),
        ({"labels": LABELS // 2}, "labels"),  # no owl
        ({"names": NAMES[:2]}, "labels"),
        ({"names": []}, "number of classes"),
        ({"names": [*"abcdefghijk"]}, "number of classes"),
        ({"marked": MARKED[:3]}, "marked"),
        ({"marked": MARKED.astype(int)}, "marked"),
    ],
)
def test_the_player_refuses_what_it_cannot_show(changes, message):
    with pytest.raises(BadInput, match=message):
        point_player(**given(**changes))


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer() -> str:
    """Return what the page of these tests holds."""
    return point_player(**given(marked=MARKED, title="Collapse"))


PLACES = """panel => [...document.querySelectorAll('.panel svg')[panel].querySelectorAll('g > use')].map(
    use => [+use.getAttribute('x'), +use.getAttribute('y')])"""
SPAN = "() => [...document.querySelectorAll('.panel svg')].map(svg => svg.getBoundingClientRect().x)"
SMALLEST = """() => Math.min(...[...document.querySelectorAll('.explorer text, .explorer small, .explorer li')].map(
    e => parseFloat(getComputedStyle(e).fontSize) * (e.getScreenCTM ? e.getScreenCTM().a : 1)))"""


def expected(panel: int, frame: float) -> np.ndarray:
    """Return where the points are in a frame, or between two."""
    seen = moving(**given(marked=MARKED))
    placed = seen.panels[panel]
    low = min(int(frame), 2)
    return placed.pixels(placed.points[low] * (low + 1 - frame) + placed.points[low + 1] * (frame - low))


@pytest.mark.slow
def test_the_slider_moves_the_points_and_says_its_frame(visit):
    tab = visit()
    slider = tab.locator("input")
    slider.focus()
    slider.press("Home")  # as somebody without a mouse would
    for frame in range(4):
        for panel in range(2):
            assert np.abs(np.array(tab.evaluate(PLACES, panel)) - expected(panel, frame)).max() <= 0.1
        assert tab.locator("output").inner_text() == slider.get_attribute("aria-valuetext") == TICKS[frame]
        assert tab.locator(".readout").inner_text() == FRAMES[frame]
        ring = tab.locator(".ring").nth(1)
        middle = expected(1, frame)[[3, 5]].mean(0)  # dogs
        assert np.allclose([float(ring.get_attribute(name)) for name in ("cx", "cy")], middle, atol=0.11)
        slider.press("ArrowRight")


@pytest.mark.slow
def test_it_plays_only_upon_the_button_moves_between_frames_and_stops_at_the_end(visit):
    tab = visit()
    button, icon = tab.locator("button"), "() => getComputedStyle(document.querySelector('button i')).clipPath"
    triangular = tab.evaluate(icon)
    tab.wait_for_timeout(300)
    assert tab.locator("input").input_value() == "3" and button.inner_text() == "Play"
    button.focus()
    button.press("Enter")  # from the last frame it starts again
    assert button.inner_text() == "Pause" and tab.evaluate(icon) != triangular
    stop = "document.querySelector('input').value === '1' && (document.querySelector('button').click(), true)"
    tab.wait_for_function(f"() => {stop}")  # in the page: no slow machine comes too late
    assert button.inner_text() == "Play"
    paused = np.array(tab.evaluate(PLACES, 1))
    tab.wait_for_timeout(100)
    assert (paused == tab.evaluate(PLACES, 1)).all()
    shares = np.linspace(0, 3, 3001)
    assert min(np.abs(expected(1, share) - paused).max() for share in shares) < 0.2
    button.press("Enter")
    tab.wait_for_function("() => document.querySelector('input').value === '3'")
    tab.wait_for_function("() => document.querySelector('button').innerText === 'Play'")
    assert np.abs(np.array(tab.evaluate(PLACES, 1)) - expected(1, 3)).max() <= 0.1


@pytest.mark.slow
def test_moving_the_slider_stops_the_film(visit):
    tab = visit()
    tab.locator("button").click()
    tab.locator("input").fill("2")
    assert tab.locator("button").inner_text() == "Play"
    tab.wait_for_timeout(150)
    assert np.abs(np.array(tab.evaluate(PLACES, 0)) - expected(0, 2)).max() <= 0.1


@pytest.mark.slow
def test_with_reduced_motion_points_jump_from_frame_to_frame(visit):
    tab = visit(reduced_motion="reduce")
    tab.locator("button").click()
    stops = [expected(1, frame) for frame in range(4)]
    for _ in range(12):
        tab.wait_for_timeout(60)
        places = np.array(tab.evaluate(PLACES, 1))
        assert min(np.abs(places - stop).max() for stop in stops) <= 0.1


@pytest.mark.slow
def test_without_scripts_the_last_frame_and_its_words_are_there_and_no_dead_button(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator(".panel svg").count() == 2 and tab.locator(".panel svg").first.is_visible()
    assert tab.locator(".readout").inner_text() == FRAMES[-1]
    assert not tab.locator("button").is_visible() and not tab.locator("input").is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_is_wider_than_the_page_and_letters_are_large_enough(visit, width):
    tab = visit(width)
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= width
    for element in tab.locator(".panel svg, input, button, .key li").all():
        box = element.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert tab.evaluate(SMALLEST) >= 11
    left, right = tab.evaluate(SPAN)
    assert (right > left + 100) == (width == 1400)  # below each other on a phone


@pytest.mark.slow
def test_colours_follow_the_theme(visit):
    asked = """() => [...document.querySelectorAll('defs path, .ring, .outline, .explorer')].map(e => {
        const style = getComputedStyle(e); return [style.fill, style.stroke, style.backgroundColor]; })"""
    light, dark = (visit(color_scheme=scheme).evaluate(asked) for scheme in ("light", "dark"))
    assert all(old != new for old, new in zip(light, dark, strict=True))
    fills = [[fill for fill, *_ in theme] for theme in (light, dark)]
    assert "rgb(0, 114, 178)" in fills[0] and "rgb(75, 166, 224)" in fills[1]  # blue
