"""The vector explorer shows the filters of small nets in the plane, and counts those near the four patterns."""

from __future__ import annotations

import base64
import json
import re
from math import inf, nan
from typing import Any

import numpy as np
import pytest
import torch
from barriers import nameless, serious

from redlib.data.xord import PATTERNS
from redlib.errors import BadInput
from redlib.nets import xord
from redlib.report.explorers.fragments import MAX_BYTES
from redlib.report.explorers.vectors import (
    FLOOR,
    LEFT,
    PARTS,
    REACH,
    RIGHT,
    SIDE,
    TOP,
    Net,
    name,
    percent,
    vector_explorer,
    written,
)

SEEDS, SETS, COUNTS, STEPS = [3, 4], ["all", "one missing"], [1, 3], [0, 1, 10, 100, 1000]
NAMES = {"counts": COUNTS, "sets": SETS, "seeds": SEEDS}
LACKS = {"one missing": [(1, 1)]}


def nets() -> np.ndarray:
    """Return weights [seed, set, count, step, filter, coordinate]: random, still from the fourth step on."""
    weights = np.random.default_rng(7).normal(size=(2, 2, 2, 5, 6, 2)) * np.arange(1, 6)[:, None, None]
    weights[..., 4, :, :] = weights[..., 3, :, :]
    weights[1, 0, 1, 4, 0] += 1  # one net still moves
    weights[:, :, 0, :, 2:] = nan
    return weights


def errors() -> np.ndarray:
    """Return training errors and errors on new points [2, seed, set, count, step]."""
    return np.random.default_rng(8).random((2, 2, 2, 2, 5)) * 0.6


def made(**changes: Any) -> str:
    train, fresh = errors()
    given = {"weights": nets(), "train_error": train, "fresh_error": fresh, "steps": STEPS, "lacks": LACKS} | NAMES
    return vector_explorer(**(given | changes))


def payload(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"\}\)\)\((\{.*\}), \(root", html)[1])


def read(data: dict[str, Any], what: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data[what]), kind).astype(int)


def net(weights: Any) -> Net:
    """Return one net, with errors of 0, from its weights [T, 2k, 2]."""
    found = np.array(weights, float)
    zeros = np.zeros(len(found), int)
    return Net(list(range(len(found))), found, {"train": zeros, "fresh": zeros})


def turned(*degrees: float, length: float = 1.0) -> np.ndarray:
    return length * np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], -1)


def drawn(html: str) -> np.ndarray:
    """Return where the shapes at the ends are drawn [2k, 2], the filters in their order."""
    ends = re.search(r'<g class="ends">(.*?)</g>', html)[1]
    turns = np.array(re.findall(r'x="(\S+)" y="(\S+?)"', ends), float)
    return np.concatenate([turns[::2], turns[1::2]])


def counted(html: str) -> list[list[int]]:
    """Return the numbers in the corners: a row for each pattern, filters for label 1 and for -1."""
    found = [int(count) for count in re.findall(r'<text class="count"[^>]*>(\d+)<', html)]
    return [found[n : n + 2] for n in range(0, len(found), 2)]


# --- what is counted ----------------------------------------------------------------------------------------


def test_a_filter_is_near_a_pattern_within_ten_degrees_of_it():
    first, second = turned(45, 54.9, 55.1, 35.1, 34.9, 225), turned(315, 135, 130, 145.1, 0, 90)
    still = net([np.concatenate([first, second])] * 2)
    assert still.clusters[0].tolist() == [[3, 0], [1, 0], [0, 1], [0, 2]]  # in the order of PATTERNS
    assert np.array_equal(still.clusters[0], still.clusters[1])


def test_counts_agree_with_the_angles_that_the_study_measures():
    weights = torch.from_numpy(nets()[:, :, 1].reshape(-1, 6, 2))
    for found, one in zip(xord.angles(weights), weights.numpy(), strict=True):
        assert net([one, one]).clusters[0].sum() == int((found <= 10).sum())


def test_length_counts_and_a_filter_of_zero_is_nowhere():
    weights = np.concatenate([turned(45, length=3), turned(0), np.zeros((1, 2)), turned(90)])
    still = net([weights] * 2)
    assert still.clusters.sum() == 2 and still.shares.tolist() == [60, 60]  # one at each step; 3 of 5
    nothing = net(np.zeros((2, 2, 2)))
    assert nothing.shares.tolist() == [0, 0] and nothing.clusters.sum() == 0 and nothing.reach == 1


def test_rest_is_the_first_step_from_which_nothing_moves():
    a, b = turned(45, 225), turned(50, 225)
    assert [net(w).rest for w in ([a, b, b, b], [a, a], [a, b], [a, b, a, a], [b, a, b])] == [1, 0, 1, 2, 2]


def test_the_sentence_says_step_counts_length_and_errors():
    one = Net([0, 20_000], np.stack([[*turned(0, 0)], [*turned(45, 0)]]), {k: np.array([5000, 3]) for k in ("train",)})
    one.errors["fresh"] = np.array([5000, 1221])
    words = "Step 20\u202f000: 1 of 2 filters, with 50% of the total length, lie within 10° of a direction; "
    assert one.sentence(1) == words + "training error <0.1%, error on new points 12.2%."
    assert one.sentence(0).startswith("Step 0: 0 of 2 filters, with 0% of the total length")
    assert "1 and 0 at (1, 1), 0 and 0 at (−1, −1), 0 and 0 at (1, −1)" in one.described(1)


def test_numbers_are_short():
    parts = [0, 1, 4, 5, 10, 1221, 1225, 5000, 10_000]
    assert [percent(n) for n in parts] == ["0%", "<0.1%", "<0.1%", "0.1%", "0.1%", "12.2%", "12.3%", "50%", "100%"]
    assert [written(n) for n in (0, 10, 9999, 10_000)] == ["0", "10", "9999", "10\u202f000"]
    assert [name(n) for n in range(4)] == ["(1, 1)", "(−1, −1)", "(1, −1)", "(−1, 1)"]


@pytest.mark.parametrize(
    "reach, wanted", [(0.252, ["0.2", "0.1"]), (1, ["1", "0.5"]), (6.5, ["5", "2.5"]), (0.049, ["0.02", "0.01"])]
)
def test_rings_stand_for_round_lengths(reach, wanted):
    rings = net([turned(45, 0, length=reach)] * 2).rings
    assert [words for _, words in rings] == wanted
    assert [radius for radius, _ in rings] == pytest.approx([REACH * float(w) / reach for w in wanted], abs=0.06)


# --- without the script -------------------------------------------------------------------------------------


def test_the_payload_holds_every_place_to_half_a_unit_and_exact_numbers():
    data, weights = payload(made()), nets()
    first, moves, table = (read(data, *which) for which in (("first", "<i2"), ("moves", "i1"), ("table", "<u2")))
    table = table.reshape(8, 5, 11)
    assert data["rests"] == [3, 3, 3, 3, 3, 4, 3, 3]
    for run, (i, j, c) in enumerate(np.ndindex(2, 2, 2)):
        size, rest, unit = 4 * COUNTS[c], data["rests"][run], data["units"][run]
        start, first = first[:size], first[size:]
        steps, moves = moves[: size * rest], moves[size * rest :]
        whole = start + np.concatenate([np.zeros((1, size), int), np.cumsum(steps.reshape(rest, size), 0)])
        wanted = weights[i, j, c, :, : size // 2]
        scaled = wanted * [1, -1] * REACH / np.linalg.norm(wanted, axis=-1).max()
        assert np.abs(whole.reshape(-1, size // 2, 2) * unit - scaled[: rest + 1]).max() <= unit / 2 + 1e-9
        assert 0.05 <= unit < 2.1 and np.abs(steps).max() > 63  # fine, but not finer than needed
        assert table[run, :, :8].sum() == net(wanted).near.sum() and (table[run, :, 8] <= 100).all()
        assert np.abs(table[run, :, 9:] / PARTS - errors()[:, i, j, c].T).max() <= 0.5 / PARTS
    assert not len(first) and not len(moves)


def test_a_still_net_costs_no_moves():
    weights = nets()
    weights[:] = weights[..., :1, :, :]
    data = payload(made(weights=weights))
    assert data["moves"] == "" and data["rests"] == [0] * 8


@pytest.mark.parametrize("start", [{}, {"seed": 4, "set": "one missing", "count": 1, "step": 10}])
def test_the_start_is_drawn_without_the_script(start):
    html = made(start=start)
    i, j, c, t = (1, 1, 0, 2) if start else (0, 0, 1, 4)
    shown = nets()[i, j, c, :, : 2 * COUNTS[c]]
    one, run = net(shown), 4 * i + 2 * j + c
    scaled = SIDE / 2 + shown[t] * [1, -1] * REACH / one.reach
    assert np.abs(drawn(html) - scaled).max() <= payload(html)["units"][run] / 2 + 0.051
    assert counted(html) == one.clusters[t].tolist()
    words = f"Step {STEPS[t]}: {one.clusters[t].sum()} of {2 * COUNTS[c]} filters, with {one.shares[t]}% of the total"
    train, fresh = (np.rint(found[i, j, c, t] * PARTS) for found in errors())
    assert words in html and f"training error {percent(train)}, error on new points {percent(fresh)}." in html
    assert f">{2 * COUNTS[c]} weight vectors</span>" in html and f">{SETS[j]}, seed {SEEDS[i]}</small>" in html
    assert html.count(" not in training</text>") == html.count('class="way lacking"') == (1 if start else 0)
    assert '<div class="controls" hidden>' in html and '<div class="choices" hidden>' in html


def test_both_errors_the_cursor_and_the_rest_are_drawn():
    html = made(start={"step": 10})
    high = payload(html)["row"][2]
    assert high == 60
    for found, curve in zip(errors(), ("train", "fresh"), strict=True):
        path = re.search(rf'<path class="curve {curve}" d="(M3[^"]+)"', html)[1]
        x, y = np.array([place.split() for place in path[1:].split("L")], float).T
        assert np.allclose(y, FLOOR - (FLOOR - TOP) * 100 * found[0, 0, 1] / high, atol=0.07)
        assert (x[0], x[-1]) == (LEFT, RIGHT) and np.allclose(np.diff(x[1:], 2), 0, atol=0.21)  # a logarithm
        assert x[1] - x[0] == pytest.approx((x[2] - x[1]) * np.log10(2), abs=0.11)  # 0 stands where 0.5 would
        assert float(re.search(rf'class="dot {curve}" r="4.5" cx="(\S+)"', html)[1]) == x[2]
    assert float(re.search(r'class="cursor" x1="(\S+)"', html)[1]) == x[2]
    assert float(re.search(r'class="rest" transform="translate\((\S+),0\)', html)[1]) == x[3]
    assert 'class="rest" transform="translate(-999,0)' in made(start={"seed": 4})


@pytest.mark.parametrize(
    "steps, wanted", [(STEPS, ["0", "1", "10", "100", "1000"]), ([0, 5, 10, 15, 20], ["0", "5", "10", "15", "20"])]
)
def test_steps_have_a_logarithmic_axis_where_they_span_a_lot(steps, wanted):
    assert re.findall(r'<text class="x" x="\S+" y="\S+">([^<]+)<', made(steps=steps)) == wanted


def test_a_choice_of_one_is_none():
    everything = re.findall(r'<div class="choice" data-axis="(\w+)"', made())
    assert everything == ["count", "set", "seed"]
    train, fresh = errors()[:, :1, :1]
    names = {"seeds": [3], "sets": ["all"], "lacks": None}
    html = made(weights=nets()[:1, :1], train_error=train, fresh_error=fresh, **names)
    assert re.findall(r'<div class="choice" data-axis="(\w+)"', html) == ["count"]


def test_every_direction_points_at_its_pattern():
    rays = re.findall(r'<path class="ray" d="M160 160L(\S+) (\S+)"', made())
    away = (np.array(rays, float) - SIDE / 2) * [1, -1]
    assert np.allclose(away / np.abs(away), PATTERNS) and np.allclose(np.abs(away), (REACH + 6) / 2**0.5, atol=0.06)
    bands = re.findall(r'<path class="band" d="M160 160L(\S+) (\S+)A\S+ \S+ 0 0 1 (\S+) (\S+)Z"', made())
    ends = (np.array(bands, float).reshape(4, 2, 2) - SIDE / 2) * [1, -1]
    cosines = np.einsum("pec,pc->pe", ends, away) / (REACH + 6) ** 2
    assert np.allclose(cosines, np.cos(np.radians(10)), atol=1e-3)


def long(looks: int) -> dict[str, Any]:
    """Return nets of 2, 8, 32 and 120 filters a kind that never rest."""
    weights = np.random.default_rng(0).normal(size=(2, 2, 4, looks, 240, 2)).cumsum(3)
    counts = [2, 8, 32, 120]
    for c, k in enumerate(counts):
        weights[:, :, c, :, 2 * k :] = nan
    shares = np.zeros((2, 2, 4, looks))
    return {"weights": weights, "train_error": shares, "fresh_error": shares, "counts": counts, "steps": range(looks)}


def test_25_looks_at_nets_that_never_rest_fit_and_too_many_say_what_to_do():
    assert len(made(**long(25)).encode()) < MAX_BYTES
    with pytest.raises(BadInput, match=r"(?s)size of the explorer.*Thin out the steps"):
        made(**long(40))


def test_explorers_have_ids_of_their_own_no_address_and_safe_names():
    one, two = made(), made(start={"step": 0})
    first, second = (set(re.findall(r' id="(\S+)"', html)) for html in (one, two))
    assert len(first) == len(second) == 4 and first.isdisjoint(second)
    assert "http" not in one and made() == one
    risky = ["</script><b>", '"><b>']
    html = made(sets=risky, lacks={risky[0]: [(1, -1)]}, title="<b>")
    assert html.count("</script>") == html.count("<script") == 1 and "<b>" not in html
    rare = np.full((2, 2, 2, 5), 1e-4)
    drawing = made(train_error=rare).split("<script>")[0]
    assert drawing.count("training error &lt;0.1%") == 2 and "<0.1" not in drawing
    assert payload(html)["set"] == risky and payload(html)["lacks"] == [[2], []]


def spoilt(at: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    found = nets()
    found[at] = value
    return {"weights": found}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"weights": nets()[0]}, "shape of weights"),
        ({"weights": nets()[..., :4, :]}, "shape of weights"),
        ({"weights": nets()[..., :3, :, :]}, "shape of weights"),
        (spoilt((0, 0, 0, 2, 1, 1), nan), r"weights\[0, 0, 0, 2, 1\] = .* finite in the first 2 places"),
        (spoilt((1, 1, 1, 4, 5), nan), r"weights\[1, 1, 1, 4, 5\] = .* finite in the first 6 places"),
        (spoilt((0, 0, 1, 0, 0, 0), inf), r"weights\[0, 0, 1, 0, 0\]"),
        (spoilt((0, 1, 0, 0, 2), 0.0), r"weights\[0, 1, 0, 0, 2\]"),
        (spoilt((0, 1, 0, 0, 2, 0), inf), r"weights\[0, 1, 0, 0, 2\]"),
        ({"train_error": errors()[0, 0]}, "shape of train_error"),
        ({"train_error": errors()[0] * 100}, "least and largest train_error"),
        ({"fresh_error": errors()[1] - 0.5}, "least and largest fresh_error"),
        ({"fresh_error": np.full((2, 2, 2, 5), nan)}, "least and largest fresh_error"),
        ({"steps": STEPS[::-1]}, "steps"),
        ({"steps": [0, 1, 1, 2, 3]}, "steps"),
        ({"steps": [1, 2, 3, 4, 5]}, "the first of them 0"),
        ({"steps": [0]}, "two or more"),
        ({"steps": [0, 1.5, 2, 3, 4]}, "whole number"),
        ({"counts": [3, 1]}, "counts"),
        ({"counts": [0, 3]}, "counts"),
        ({"counts": []}, "counts"),
        ({"sets": ["all", "all"]}, "sets"),
        ({"seeds": [3, 3]}, "seeds"),
        ({"seeds": [3]}, "shape of train_error"),
        ({"lacks": {"one mising": [(1, 1)]}}, "Did you mean one missing"),
        ({"lacks": {"all": [(1, 0)]}}, "lacks"),
        ({"start": {"set": "none"}}, r"start\['set'\]"),
        ({"start": {"seeds": 3}}, "Did you mean seed"),
    ],
)
def test_it_refuses_what_it_cannot_show(changes, message):
    with pytest.raises(BadInput, match=message):
        made(**changes)


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer() -> str:
    """Return what the page of these tests holds."""
    return made(title="Vectors")


def picture(html: str) -> list[str]:
    """Return the drawings of an explorer; the browser writes some tags in another way."""
    return re.findall(r"<svg class=\"(?:plane|curves)\".*?</ul>", html)


def same(before: str, after: str) -> None:
    """Fail unless both drawings have the same words, and numbers that differ by no more than rounding does."""
    numbers, words = [], []
    for source in picture(before), picture(after):
        assert len(source) == 2
        numbers.append(re.findall(r'(?<=[\sMLhV"(,])-?\d+(?:\.\d+)?(?=[\sMLhzV",)])', "".join(source)))
        words.append(re.findall(r">([^<>]+)</text>", "".join(source)))
    assert len(numbers[0]) > 80 and np.allclose(*(np.array(found, float) for found in numbers), atol=0.11)
    assert words[0] == words[1]


def choose(tab: Any, **places: int) -> None:
    for axis, at in places.items():
        tab.locator(f'[data-axis="{axis}"] input').nth(at).check(force=True)


@pytest.mark.slow
def test_the_script_begins_with_what_is_drawn_without_it(visit):
    still, live = visit(java_script_enabled=False), visit()
    same(still.content(), live.content())
    assert still.locator(".readout").inner_text() == live.locator(".readout").inner_text()
    assert not still.locator("input").first.is_visible() and not still.locator("button").is_visible()
    assert live.locator("button").is_visible() and live.locator(".choices").is_visible()


@pytest.mark.slow
def test_every_choice_and_step_looks_as_if_it_were_the_start(visit):
    tab = visit()
    for i, j, c, t in [(1, 1, 0, 2), (1, 0, 1, 4), (0, 1, 1, 0), (0, 0, 0, 3)]:
        choose(tab, seed=i, set=j, count=c)
        tab.locator('input[data-axis="step"]').fill(str(t))
        html = made(start={"seed": SEEDS[i], "set": SETS[j], "count": COUNTS[c], "step": STEPS[t]})
        same(html, tab.content())
        assert re.search(r'aria-live="polite">([^<]+)<', html)[1] == tab.locator(".readout").inner_text()
        assert re.search(r'aria-label="(The weight[^"]+)"', html)[1] == tab.locator(".plane").get_attribute(
            "aria-label"
        )
        assert tab.locator(".which").inner_text() == f"{SETS[j]}, seed {SEEDS[i]}"
        assert tab.locator(".lacking").count() == j and tab.locator("output").inner_text() == str(STEPS[t])


@pytest.mark.slow
def test_it_plays_from_the_start_until_the_net_is_at_rest(visit):
    tab = visit()
    button, step = tab.locator("button"), "document.querySelector('input[data-axis=step]').value"
    button.focus()
    button.press("Enter")
    assert button.inner_text() == "Pause" and tab.evaluate(step) in ("0", "1")
    tab.wait_for_function("() => document.querySelector('button').innerText === 'Play'")
    assert tab.evaluate(step) == "3"  # of 0 to 4
    same(made(start={"step": STEPS[3]}), tab.content())


@pytest.mark.slow
def test_keys_move_the_step_and_a_click_into_the_errors_does(visit):
    tab = visit()
    slider = tab.locator('input[data-axis="step"]')
    slider.focus()
    slider.press("Home")
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == tab.locator("output").inner_text() == "1"
    box = tab.locator("svg.curves").bounding_box()
    x = payload(tab.content())["x"][2] * box["width"] / 320
    tab.mouse.click(box["x"] + x, box["y"] + box["height"] / 2)
    assert tab.locator("output").inner_text() == "10"
    same(made(start={"step": 10}), tab.content())


OUTSIDE = """() => [...document.querySelectorAll('svg.plane, svg.curves')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]).filter(
        ([, box]) => box.right > -500 && (box.left < frame.left || box.right > frame.right
            || box.top < frame.top || box.bottom > frame.bottom)).map(([words]) => words); })"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll('.explorer :is(text, label, p, small, output, li)')]
    .filter(part => part.getClientRects().length).map(part => parseFloat(getComputedStyle(part).fontSize) * (
        part.closest('text') ? part.getScreenCTM().a : 1)))"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_is_cut_off_and_letters_are_large_enough(visit, width):
    tab = visit(width)
    for j in range(2):
        choose(tab, set=j)
        assert tab.evaluate(OUTSIDE) == []
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= width and tab.evaluate(SMALLEST) >= 10.9
    left, right = (tab.locator(f"svg.{kind}").bounding_box() for kind in ("plane", "curves"))
    assert (right["y"] > left["y"] + 100) is (width == 360) and (right["x"] > left["x"] + 100) is (width != 360)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_every_control_has_a_name(visit, scheme):
    tab = visit(color_scheme=scheme)
    assert serious(tab, ".explorer") == [] and nameless(tab) == []
    assert tab.get_by_role("slider", name="Step", exact=True).count() == 1
    for group in ("Filters per kind", "Training set", "Seed"):
        assert tab.get_by_role("radiogroup", name=group, exact=True).count() == 1


@pytest.mark.slow
def test_colours_follow_the_theme_and_print_has_no_controls(visit):
    asked = """() => ['.spokes', '.spokes ~ .spokes', '.curve.fresh', '.curve.train'].map(
        name => getComputedStyle(document.querySelector(name)).stroke)"""
    light, dark = (visit(color_scheme=scheme).evaluate(asked) for scheme in ("light", "dark"))
    assert light[:2] == ["rgb(0, 114, 178)", "rgb(213, 94, 0)"]  # blue, orange
    assert all(old != new for old, new in zip(light, dark, strict=True))
    tab = visit(color_scheme="dark")
    tab.emulate_media(media="print")
    assert not tab.locator(".controls").is_visible() and not tab.locator(".choices").is_visible()
    assert tab.evaluate(asked) == light and tab.locator(".readout").is_visible() and tab.locator(".plane").is_visible()
