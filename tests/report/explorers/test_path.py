"""The path explorer shows the maps, errors and places of nets as they are given, and moves along the path."""

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
from redlib.report.explorers.fragments import MAX_BYTES
from redlib.report.explorers.path import FLOOR, LEFT, LEVELS, LONG, RIGHT, SIDE, TOP, Paths, path_explorer

SEEDS, PATHS, AT, GRID, PLACES = [3, 4], ["straight line", "units matched", "curve"], [0, 0.25, 0.5, 0.75, 1], 10, 8
REACH = 2.0


def smooth(seed: int, *shape: int) -> np.ndarray:
    """Return uint8 maps [*shape, GRID, GRID]: each is a slope of its own, so that no two are alike."""
    source = np.random.default_rng(seed)
    a, b, c = source.normal(size=(3, *shape, 1, 1)) * 2
    x = np.linspace(-2, 2, GRID)
    return np.rint(255 / (1 + np.exp(-(a * x[None] + b * x[:, None] + c)))).astype(np.uint8)


def arrays() -> dict[str, Any]:
    """Return made-up results of two seeds: the matched line leaves the plane, the others keep to it."""
    source, shape = np.random.default_rng(7), (2, 3, 5)
    t, reached = np.array(AT), np.array([10.0, 12.0])[:, None]
    at = np.zeros((*shape, 2))
    at[:, 0, :, 0] = at[:, 2, :, 0] = t * reached
    at[:, 1] = 0.4 * at[:, 0]
    at[:, 2, :, 1] = 4 * t * (1 - t) * reached / 2
    away = np.zeros(shape)
    away[:, 1] = t * [[2.0], [3.0]]
    grid = np.stack([np.linspace(-2, 14, PLACES), np.linspace(-3, 15, PLACES)])
    return {
        "decisions": smooth(8, *shape),
        "train_error": source.random(shape) * 0.3, "test_error": source.random(shape) * 0.3,
        "train_loss": 10 ** source.uniform(-6, 1, shape),
        "plane": (10 ** source.uniform(-3.4, 1.9, (2, PLACES, PLACES)), grid, grid - 3),
        "at": at, "away": away,
        "points": source.uniform(-1.8, 1.8, (2, 9, 2)), "moons": np.tile(np.arange(9) % 2, (2, 1)),
    }  # fmt: skip


def made(**changes: Any) -> str:
    return path_explorer(**(arrays() | {"reach": REACH, "positions": AT, "paths": PATHS, "seeds": SEEDS} | changes))


def payload(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"\}\)\)\((\{.*\}), \(root", html)[1])


def unpacked(text: str) -> np.ndarray:
    """Return the numbers of packed maps."""
    found, source = [], iter(base64.b64decode(text))
    for byte in source:
        level, rest = divmod(byte, LONG)
        found += [level] * (rest + 1 if rest < LONG - 1 else LONG * (next(source) + 1))
    return np.array(found)


def panel(html: str, kind: str) -> str:
    """Return the drawing of that kind: plane, curves, or a map ("map here")."""
    return re.search(rf'<svg class="{kind}".*?</svg>(?=<ul|</div>)', html)[0]


def square(paths: list[str], size: int) -> np.ndarray:
    """Return how many of the layers hold each place of a square."""
    held = np.zeros((size, size), int)
    for path in paths:
        for x, y, wide in re.findall(r"M(\d+) (\d+)h(\d+)", path):
            held[int(y), int(x) : int(x) + int(wide)] += 1
    return held


def layers(html: str, kind: str, size: int) -> np.ndarray:
    return square(re.findall(rf'<path class="{kind}" d="([^"]*)"', html), size)


# --- without the script -------------------------------------------------------------------------------------


def test_maps_are_kept_in_eighths_that_part_at_one_half():
    levels = np.moveaxis(unpacked(payload(made())["maps"]).reshape(2, 3, GRID, GRID, 5), -1, 2)
    decisions = arrays()["decisions"][..., ::-1, :]
    assert np.array_equal(levels >= LEVELS // 2, decisions >= 128)
    assert np.array_equal(levels, np.floor(decisions / 256 * LEVELS)) and set(levels.ravel()) == {*range(LEVELS)}


@pytest.mark.parametrize("value", [0, 255])
def test_long_runs_of_one_decision_are_short(value):
    data = payload(made(decisions=np.full((2, 3, 5, 120, 120), value, np.uint8)))
    assert len(data["maps"]) < 150
    assert np.array_equal(unpacked(data["maps"]), np.full(2 * 3 * 5 * 120**2, 7 * (value > 0)))


@pytest.mark.parametrize("start", [{}, {"seed": 4, "path": "curve", "position": 0.75}])
def test_the_start_and_both_ends_are_drawn_without_the_script(start):
    html, given = made(start=start), arrays()
    s, p, t = (1, 2, 3) if start else (0, 0, 2)
    for kind, place in (("first", 0), ("here", t), ("last", 4)):
        held = layers(panel(html, f"map {kind}"), "shade", GRID)
        levels = np.floor(given["decisions"][s, p, place, ::-1] / 256 * LEVELS)
        assert np.array_equal(held, np.where(levels < 4, 4 - levels, levels - 3))
        share = round(100 * (given["decisions"][s, p, place] >= 128).mean())
        assert f": {share}% of the square go to moon 1" in panel(html, f"map {kind}")
    loss, train, test = (given[name][s, p, t] for name in ("train_loss", "train_error", "test_error"))
    words = re.search(r'aria-live="polite">([^<]+)<', html)[1]
    name, told = ("Curve", "0.75") if start else ("Straight line", "0.50")
    assert words.startswith(f"{name}, t\u00a0=\u00a0{told}: training loss ")
    assert words.endswith(f", training error {100 * train:.1f}%, test error {100 * test:.1f}%.")
    digits = re.search(r"loss ([\d.]+)(?:\D+10(\S+))?,", words)
    power = int((digits[2] or "⁰").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    assert float(digits[1]) * 10.0**power == pytest.approx(loss, rel=6e-3)
    assert f"{PATHS[p]}, seed {SEEDS[s]}</span>" in html and f'<span class="which">{SEEDS[s]}</span>' in html
    assert '<div class="controls" hidden>' in html and '<div class="choices" hidden>' in html


def test_points_are_drawn_where_they_are_each_moon_in_its_shape():
    given, html = arrays(), made(start={"seed": 4})
    pixels = SIDE * (0.5 + given["points"][1] * [1, -1] / 4)
    for kind in ("first", "here", "last"):
        for moon, shape in enumerate(("l0 0", "m0-4.2l3.8 6.6h-7.6z")):
            for layer in ("halo", "spot"):
                path = re.search(rf'<path class="{layer} moon-{moon}" d="([^"]+)"', panel(html, f"map {kind}"))[1]
                places = [part.split(" ") for part in path.replace(shape, "").split("M")[1:]]
                assert np.abs(np.array(places, float) - pixels[given["moons"][1] == moon]).max() <= 0.051


def test_the_plane_is_drawn_in_half_decades_with_what_lies_in_it():
    given, html = arrays(), made(start={"seed": 4, "position": 0.25})
    loss, x, y = (part[1] for part in given["plane"])
    drawing = panel(html, "plane")
    edges = 10 ** np.arange(-2.5, 1.6, 0.5)  # five decades below 100
    assert np.array_equal(layers(drawing, "high", PLACES), (loss[::-1, :, None] >= edges).sum(-1))
    step = x[1] - x[0]
    low = np.array([x[0], y[0]]) - step / 2
    pixels = (given["at"][1] - low) / (PLACES * step) * [1, -1] * SIDE + [0, SIDE]
    for way, path in re.findall(r'<path class="way way-(\d)[^"]*" style="[^"]+" d="([^"]*)"', drawing):
        places = np.array([part.split() for part in path[1:].split("L")], float) if path else np.zeros((0, 2))
        assert len(places) == (0 if way == "1" else 5)
        assert np.allclose(places, pixels[int(way)][: len(places)], atol=0.051)
    ring = np.array(re.search(r'class="ring" r="6.5" cx="(\S+)" cy="(\S+)"', drawing).groups(), float)
    assert np.allclose(ring, pixels[0, 1], atol=0.051)
    ends = np.array(re.findall(r'class="end" transform="translate\((\S+) (\S+)\)"', drawing), float)
    assert np.allclose(ends, pixels[0, [0, -1]], atol=0.051)
    assert "The ring is the net at t." in html and re.findall(r'class="way way-(\d) chosen"', drawing) == ["0"]


def test_a_path_that_leaves_the_plane_is_not_on_it():
    html = made(start={"path": "units matched"})
    assert "This path leaves the plane: here it is 1.00 away from it." in html
    assert 'class="ring" r="6.5" cx="-99" cy="-99"' in panel(html, "plane")
    begins = made(start={"path": "units matched", "position": 0})
    assert 'cx="-99"' not in panel(begins, "plane")  # there it is the first net
    assert re.findall(r'class="way way-(\d)" d="M0 6H28"', html) == ["0", "2"]  # the key


def test_the_scale_names_whole_decades():
    scale = re.search(r'<svg class="scale".*?</svg>', made())[0]
    marks = re.findall(r'<text class="x" x="(\S+)" y="24">([^<]+)<', scale)
    assert [words for _, words in marks] == ["0.01", "0.1", "1", "10"]
    assert [float(x) for x, _ in marks] == pytest.approx([SIDE * n / 10 for n in (2, 4, 6, 8)], abs=0.06)


def test_errors_and_the_cursor_are_drawn():
    html, given = made(start={"position": 0.75, "path": "curve"}), arrays()
    drawing, high = panel(html, "curves"), payload(html)["row"][2]
    assert 100 * max(given["train_error"].max(), given["test_error"].max()) <= high <= 40
    for curve in ("train", "test"):
        path = re.search(rf'<path class="curve {curve}" d="M([^"]+)"', drawing)[1]
        x, y = np.array([place.split() for place in path.split("L")], float).T
        assert np.allclose(x, LEFT + np.array(AT) * (RIGHT - LEFT), atol=0.051)
        wanted = FLOOR - (FLOOR - TOP) * 100 * given[f"{curve}_error"][0, 2] / high
        assert np.allclose(y, wanted, atol=0.1)
        assert f'class="dot {curve}" r="4.5" cx="{x[3]:g}" cy="{y[3]:g}"' in drawing
    assert f'class="cursor" x1="{x[3]:g}"' in drawing


def test_a_choice_of_one_is_none():
    cut = {name: found[:1, :1] for name, found in arrays().items() if name not in ("plane", "points", "moons")}
    cut |= {name: arrays()[name][:1] for name in ("points", "moons")}
    html = made(**cut, plane=tuple(part[:1] for part in arrays()["plane"]), seeds=[3], paths=["line"])
    assert re.findall(r'<div class="choice" data-axis="(\w+)"', made()) == ["path", "seed"]
    assert 'class="choice"' not in html.split("<script>")[0] and 'data-axis="position"' in html


def test_explorers_have_ids_of_their_own_no_address_and_safe_names():
    one, two = made(), made(start={"position": 0})
    assert {*re.findall(r' id="(\S+)"', one)}.isdisjoint(re.findall(r' id="(\S+)"', two))
    assert "http" not in one and made() == one
    risky = ["</script><b>", '"><b>', "a"]
    html = made(paths=risky, title="<b>")
    assert html.count("</script>") == html.count("<script") == 1 and "<b>" not in html
    assert payload(html)["path"] == risky


def test_a_hundred_points_and_three_seeds_fit_and_too_much_says_what_to_do():
    source = np.random.default_rng(3)
    slopes = np.repeat(smooth(9, 3, 3, 21), 5, 3).repeat(5, 4)  # edges of blocks: 50 places each way
    shape, grid = (3, 3, 21), np.tile(np.linspace(-2, 14, 32), (3, 1))
    more = {
        "decisions": slopes, "plane": (10 ** source.uniform(-3, 2, (3, 32, 32)), grid, grid), "seeds": [1, 2, 3],
        **{name: source.random(shape) for name in ("train_error", "test_error", "train_loss", "away")},
        "at": source.random((*shape, 2)), "points": source.uniform(-2, 2, (3, 100, 2)),
        "positions": np.linspace(0, 1, 21),
        "moons": np.tile(np.arange(100) % 2, (3, 1)),
    }  # fmt: skip
    noise = source.integers(0, 256, (*shape, 50, 50)).astype(np.uint8)
    with pytest.raises(BadInput, match=r"(?s)size of the explorer.*fewer seeds"):
        made(**(more | {"decisions": noise}))
    steady = np.broadcast_to(slopes[:, :, :1], slopes.shape)
    assert len(made(**(more | {"decisions": steady})).encode()) < MAX_BYTES


def spoilt(name: str, at: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    found = arrays()[name]
    found[at] = value
    return {name: found}


def planes(part: int, found: np.ndarray) -> dict[str, Any]:
    given = list(arrays()["plane"])
    given[part] = found
    return {"plane": tuple(given)}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"decisions": arrays()["decisions"][0]}, "decisions"),
        ({"decisions": arrays()["decisions"] / 255}, "Round 255 times"),
        ({"decisions": arrays()["decisions"][..., :4]}, "decisions"),
        ({"decisions": arrays()["decisions"][:, :, :4]}, "decisions"),
        ({"train_error": arrays()["train_error"][0]}, "shape of train_error"),
        ({"train_error": arrays()["train_error"] * 100}, "least and largest train_error"),
        (spoilt("test_error", (0, 0, 1), nan), "test_error"),
        (spoilt("train_loss", (0, 0, 1), inf), "train_loss"),
        (spoilt("train_loss", (0, 0, 1), -1.0), "least train_loss"),
        ({"at": arrays()["at"][..., :1]}, "shape of at"),
        ({"away": arrays()["away"][:1]}, "shape of away"),
        ({"points": arrays()["points"][0]}, "shape of points"),
        ({"moons": arrays()["moons"] + 1}, "moons"),
        ({"moons": arrays()["moons"][:, 1:]}, "moons"),
        ({"reach": 0}, "reach"),
        (planes(0, arrays()["plane"][0][0]), "shape of losses on the plane"),
        (planes(0, arrays()["plane"][0] * 0), "largest loss on the plane"),
        (planes(1, arrays()["plane"][1][:, :4]), "shape of x of the plane"),
        (planes(1, arrays()["plane"][1] ** 3), "steps of the plane"),
        (planes(2, arrays()["plane"][2] * 2), "steps of the plane"),
        (planes(2, arrays()["plane"][2][:, ::-1]), "steps of the plane"),
        ({"positions": [0, 0.5, 0.25, 0.75, 1]}, "positions"),
        ({"positions": [0.1, 0.25, 0.5, 0.75, 1]}, "positions"),
        ({"positions": [0, 1]}, "positions"),
        ({"paths": ["a", "a", "b"]}, "paths"),
        ({"paths": list("abcd")}, "at most 3"),
        ({"seeds": [3, 3]}, "seeds"),
        ({"seeds": [3]}, "shape"),
        ({"start": {"path": "detour"}}, r"start\['path'\]"),
        ({"start": {"seeds": 3}}, "Did you mean seed"),
    ],
)
def test_it_refuses_what_it_cannot_show(changes, message):
    with pytest.raises(BadInput, match=message):
        made(**changes)


def test_losses_far_below_the_highest_share_one_band():
    one = np.array([[[1e-30, 1e-9], [0.0, 5.0]]])
    rest = {"begin": {}, **dict.fromkeys(("values", "levels", "errors", "losses", "at", "away"), None)}
    seen = Paths(plane=one, within=one, points=one, moons=one, **rest)
    assert seen.bands.tolist() == [[[0, 0], [0, 9]]] and seen.edges[0] == pytest.approx(10**-3.5)


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer() -> str:
    """Return what the page of these tests holds."""
    return made(title="Paths")


DRAWN = """() => [...document.querySelectorAll('svg.plane *, svg.curves *, svg.map, svg.map *')].map(part => [
    part.tagName, ...['class', 'd', 'cx', 'cy', 'x1', 'transform', 'aria-label'].map(
        name => part.getAttribute(name) || '')].join('|'))"""
SAID = """() => ['.readout', '.where', '.along', '.which', '.maps'].map(
    where => document.querySelector(where).textContent.replace(/\\u00a0/g, ' '))"""


def same(tab: Any, other: Any) -> None:
    """Fail unless two pages have the same words and drawings, whose numbers differ by no more than rounding does."""
    number = re.compile(r"-?\d+(?:\.\d+)?")
    drawn = ["\n".join(page.evaluate(DRAWN)) for page in (tab, other)]
    assert number.sub("#", drawn[0]) == number.sub("#", drawn[1]) and drawn[0].count("\n") > 80
    one, two = (np.array(number.findall(every), float) for every in drawn)
    assert np.abs(one - two).max() < 0.11 and len(one) > 500
    assert tab.evaluate(SAID) == other.evaluate(SAID)


def choose(tab: Any, **places: int) -> None:
    for axis, at in places.items():
        tab.locator(f'[data-axis="{axis}"] input').nth(at).check(force=True)


@pytest.mark.slow
def test_the_script_begins_with_what_is_drawn_without_it(visit):
    live, still = visit(), visit(java_script_enabled=False)
    html = still.content()
    frozen = visit()
    frozen.evaluate("html => { document.body.innerHTML = html; }", html[html.index("<main") : html.index("</main>")])
    same(live, frozen)
    assert not still.locator("input").first.is_visible() and not still.locator("button").is_visible()
    assert all(still.locator(f"svg.map.{kind}").is_visible() for kind in ("first", "here", "last"))
    assert live.locator("button").is_visible() and live.locator(".choices").is_visible()


@pytest.mark.slow
def test_every_choice_and_position_looks_as_if_it_were_the_start(visit):
    tab, other = visit(), visit()
    for s, p, t in [(1, 2, 3), (1, 1, 0), (0, 1, 4), (0, 0, 1)]:
        choose(tab, seed=s, path=p)
        tab.locator('input[data-axis="position"]').fill(str(t))
        html = made(start={"seed": SEEDS[s], "path": PATHS[p], "position": AT[t]})
        other.evaluate("html => { document.body.innerHTML = html; }", html)
        same(tab, other)
        assert tab.locator("output").inner_text() == f"{AT[t]:.2f}"


@pytest.mark.slow
def test_it_plays_to_the_end_and_then_from_the_start(visit):
    tab = visit()
    button, place = tab.locator("button"), "document.querySelector('input[data-axis=position]').value"
    tab.locator('input[data-axis="position"]').fill("4")
    button.focus()
    button.press("Enter")
    assert button.inner_text() == "Pause" and tab.evaluate(place) in ("0", "1")
    assert tab.locator(".readout").get_attribute("aria-live") == "off"
    tab.wait_for_function("() => document.querySelector('button').innerText === 'Play'")
    assert tab.evaluate(place) == "4" and tab.locator(".readout").get_attribute("aria-live") == "polite"
    button.click()
    button.click()
    before = tab.evaluate(place)
    tab.wait_for_timeout(800)
    assert tab.evaluate(place) == before and button.inner_text() == "Play"


@pytest.mark.slow
def test_keys_and_clicks_move_the_net(visit):
    tab = visit()
    slider, output = tab.locator('input[data-axis="position"]'), tab.locator("output")
    slider.focus()
    slider.press("Home")
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == output.inner_text() == "0.25"
    box = tab.locator("svg.curves").bounding_box()
    tab.mouse.click(box["x"] + payload(tab.content())["x"][3] * box["width"] / 320, box["y"] + box["height"] / 2)
    assert output.inner_text() == "0.75"
    choose(tab, path=2)
    assert output.inner_text() == "0.75"  # a choice keeps the position
    ring, plane = tab.locator(".ring"), tab.locator("svg.plane").bounding_box()
    slider.fill("2")
    x, y = (float(ring.get_attribute(name)) * plane["width"] / SIDE for name in ("cx", "cy"))
    slider.fill("0")
    tab.mouse.click(plane["x"] + x + 3, plane["y"] + y - 3)
    assert output.inner_text() == "0.50"
    choose(tab, path=1)
    tab.mouse.click(plane["x"] + 5, plane["y"] + 5)
    assert output.inner_text() == "0.50"  # on the plane there is nothing of this path


@pytest.mark.slow
def test_a_finger_moves_the_net(visit):
    tab = visit(400, has_touch=True)
    curves, scale = tab.locator("svg.curves"), tab.locator("svg.curves").bounding_box()["width"] / 320
    curves.tap(position={"x": payload(tab.content())["x"][1] * scale, "y": 200 * scale})
    assert tab.locator("output").inner_text() == "0.25"


OUTSIDE = """() => [...document.querySelectorAll('.explorer svg')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]).filter(
        ([, box]) => box.left < frame.left || box.right > frame.right
            || box.top < frame.top || box.bottom > frame.bottom).map(([words]) => words); })"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll('.explorer :is(text, label, p, small, output, li)')]
    .filter(part => part.getClientRects().length).map(part => parseFloat(getComputedStyle(part).fontSize) * (
        part.closest('text') ? part.getScreenCTM().a : 1)))"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 400, 1400])
def test_nothing_is_cut_off_and_letters_are_large_enough(visit, width):
    tab = visit(width)
    for p in range(3):
        choose(tab, path=p)
        assert tab.evaluate(OUTSIDE) == []
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= width and tab.evaluate(SMALLEST) >= 10.9
    first, here, last = (tab.locator(f"svg.map.{kind}").bounding_box() for kind in ("first", "here", "last"))
    assert (here["width"] > 1.8 * first["width"]) is (width < 600) and first["y"] == last["y"]
    assert width < 600 or first["x"] + first["width"] < here["x"] < last["x"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_every_control_has_a_name(visit, scheme):
    tab = visit(color_scheme=scheme)
    assert serious(tab, ".explorer") == [] and nameless(tab) == []
    assert tab.get_by_role("slider", name="Position t", exact=True).count() == 1
    for group in ("Path", "Seed"):
        assert tab.get_by_role("radiogroup", name=group, exact=True).count() == 1


@pytest.mark.slow
def test_colours_follow_the_theme_and_print_has_no_controls(visit):
    asked = """() => ['.side .shade', '.side ~ .side .shade', '.plane .way-0', '.plane .way-2', '.test', '.high'].map(
        name => getComputedStyle(document.querySelector(name)).stroke)"""
    light, dark = (visit(color_scheme=scheme).evaluate(asked) for scheme in ("light", "dark"))
    assert light[:2] == ["rgb(0, 114, 178)", "rgb(213, 94, 0)"]  # blue, orange
    assert len({*light[:4]}) == 4 and all(old != new for old, new in zip(light, dark, strict=True))
    tab = visit(color_scheme="dark")
    tab.emulate_media(media="print")
    assert not tab.locator(".controls").is_visible() and not tab.locator(".choices").is_visible()
    assert tab.evaluate(asked) == light and tab.locator(".readout").is_visible() and tab.locator(".plane").is_visible()


@pytest.mark.slow
def test_two_copies_in_one_page_move_on_their_own(visit):
    tab = visit()
    tab.evaluate(
        """html => { for (let n = 0; n < 2; n++) {
        const output = document.createElement('div');
        output.innerHTML = html;
        document.querySelector('main').append(output);
        const [script, copy] = [output.querySelector('script'), document.createElement('script')];
        copy.textContent = script.textContent;
        script.replaceWith(copy); } }""",
        made(title="Paths"),
    )  # the text whose digest the policy of the page allows
    assert tab.locator(".controls").count() == 3 and all(bar.is_visible() for bar in tab.locator(".controls").all())
    tab.locator('input[data-axis="position"]').nth(1).fill("0")
    tab.locator('[data-axis="path"] >> nth=2').locator("input").nth(2).check(force=True)
    words = tab.locator(".readout").all_inner_texts()
    assert [line.split(":")[0].replace("\u00a0", " ") for line in words] == [
        "Straight line, t = 0.50", "Straight line, t = 0.00", "Curve, t = 0.50",
    ]  # fmt: skip
