"""The signal explorer says of a random net what mean-field theory says, with and without its script."""

from __future__ import annotations

import json
import re
from math import inf, isnan, nan, sqrt
from typing import Any

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.measures import meanfield
from redlib.report.explorers import signal_explorer
from redlib.report.explorers.fragments import MAX_BYTES
from redlib.report.explorers.signals import (
    ACTIVATIONS,
    FLOOR,
    LEFT,
    RIGHT,
    TOP,
    Scene,
    State,
    arrow,
    cobweb,
    number,
    share_kept,
)

ACROSS, DOWN = RIGHT - LEFT, FLOOR - TOP
SIGMA_W = [n / 10 for n in range(1, 31)]
SIGMA_B = [n / 10 for n in range(11)]
DENSITIES = [1, 0.8, 0.5, 0.2, 0.05]
CUTS = ["magnitude", "random"]
# activation, σ_w, σ_b: both phases, the edge, no biases, no finite fixed point, and every q a fixed point
POINTS = [
    *(("tanh", 1.4, 0.3), ("tanh", 2.5, 0.1), ("tanh", 0.8, 0.2), ("tanh", 3.0, 1.0), ("tanh", 0.5, 0.0)),
    *(("erf", 1.4, 0.3), ("erf", 0.6, 0.9), ("erf", 2.0, 0.0), ("relu", 1.4, 0.3), ("relu", 2.0, 0.5)),
    *(("relu", 0.7, 0.0), ("linear", 0.9, 0.4), ("linear", 1.0, 0.4), ("linear", 1.0, 0.0), ("linear", 1.7, 0.1)),
]
START = ("tanh", 1.4, 0.3, 0.2)
KEPT_W = 1.4 * sqrt(float(meanfield.magnitude_second_moment(0.2)))


def given(**changes: Any) -> dict[str, Any]:
    return {"sigma_w": SIGMA_W, "sigma_b": SIGMA_B, "densities": DENSITIES, "start": START} | changes


def truth(name: str, w: float, b: float) -> list[float]:
    """Return q*, χ₁, ξ and c* of `meanfield`."""
    ask = (
        meanfield.q_fixed_point,
        meanfield.chi_1,
        lambda *at: meanfield.depth_scales(*at)[1],
        meanfield.c_fixed_point,
    )
    return [float(function(w, b, name)) for function in ask]


def payload(html: str) -> dict[str, Any]:
    return json.loads(re.search(r"\}\)\)\((\{.*\}), \(root", html)[1])


def panel(html: str, kind: str) -> str:
    return re.search(rf'<svg class="{kind}".*?</svg></div>', html)[0]


def dot(part: str, kind: str) -> tuple[float, float]:
    found = re.search(rf'<circle class="{kind}-dot" r="\S+" cx="(\S+)" cy="(\S+)"', part)
    return float(found[1]), float(found[2])


# --- what is shown ------------------------------------------------------------------------------------------


def test_phases_have_an_edge_of_one_per_cent():
    by_chi = {chi: State("relu", sqrt(2 * chi), 0).phase for chi in (0.98, 0.991, 1, 1.009, 1.02, 9)}
    assert list(by_chi.values()) == ["ordered", "edge", "edge", "edge", "chaotic", "chaotic"]


def test_what_a_density_leaves_of_the_second_moment_depends_on_the_cut():
    assert share_kept(DENSITIES, "random").tolist() == DENSITIES
    weights = np.sort(np.random.default_rng(0).normal(size=200_000) ** 2)[::-1]
    for density in (0.5, 0.2, 0.05):
        largest = weights[: int(density * len(weights))].sum() / weights.sum()
        assert share_kept(density, "magnitude") == pytest.approx(largest, rel=0.01)


@pytest.mark.parametrize("w, b", [(1.0, 0.3), (2.5, 0.1)])
def test_cobwebs_lead_to_the_fixed_points(w, b):
    scene = Scene("tanh", w, b, w)
    q_web, c_web = scene.q_web(), scene.c_web()
    assert q_web[-1][0] == pytest.approx(scene.sparse.q, abs=0.05 * scene.reach)
    assert abs(c_web[-1][0] - scene.sparse.c) < 0.25 * abs(c_web[0][0] - scene.sparse.c)
    ups, flats = q_web[1::2], q_web[2::2]
    assert all(x == u and y == v for (x, _), (u, _), (y, v) in zip(q_web[::2], ups, flats, strict=False))
    assert cobweb(lambda x: 10 * x, 1.0, 2.0) == [(1.0, 0.0), (1.0, 10.0), (10.0, 10.0)]  # it leaves the plot


def test_the_tangent_has_the_slope_of_the_map_at_one():
    for w in (0.8, 2.5):
        scene = Scene("tanh", w, 0.3, w)
        (x, y), end = scene.tangent()
        near = float(scene.sparse.correlate(1 - 1e-4))
        assert end == (1, 1) and (1 - y) / (1 - x) == pytest.approx(scene.sparse.chi)
        assert (1 - near) / 1e-4 == pytest.approx(scene.sparse.chi, rel=2e-3)
        assert x >= 0 and y >= 0 and f"χ₁ = {number(scene.sparse.chi)}" in scene.note()


@pytest.mark.parametrize(
    "name, w, b, note", [("relu", 2.0, 0.5, "grows"), ("tanh", 0.5, 0.0, "vanishes"), ("linear", 1.0, 0.0, "every q")]
)
def test_where_no_q_is_left_the_limit_is_drawn_and_said_so(name, w, b, note):
    scene = Scene(name, w, b, w)
    assert note in scene.note() and scene.tangent() == []
    curve = scene.sparse.correlate(np.linspace(0, 1, 9))
    assert np.isfinite([*scene.q_web(), *scene.c_web()]).all() and np.isfinite(scene.reach)
    assert np.isfinite(curve).all() and curve[-1] == pytest.approx(1)
    large = meanfield.c_map(0.5, {"grows": 1e9, "vanishes": 1e-9, "every q": 3.0}[note], w, b, name)
    assert scene.sparse.correlate(0.5) == pytest.approx(float(large), abs=2e-4)


def test_numbers_have_about_three_digits():
    values = [0, 0.0456, 0.9994, 0.99996, 1.234, 9.9999, 12.34, 99.9999, 123.4, inf, nan]
    assert [number(value) for value in values] == [
        *("0.000", "0.046", "0.999", "1.00", "1.23", "10.0", "12.3", "100", "123", "∞", "–"),
    ]


# --- without the script -------------------------------------------------------------------------------------


def test_the_start_is_drawn_without_the_script():
    html = signal_explorer(**given())
    scene = Scene("tanh", 1.4, 0.3, KEPT_W)
    for kind, w in (("dense", 1.4), ("sparse", KEPT_W)):
        assert dot(panel(html, "plane"), kind) == pytest.approx((LEFT + ACROSS * w / 3, TOP + DOWN * 0.7), abs=0.06)
    for kind, state in (("dense", scene.dense), ("sparse", scene.sparse)):
        along = state.q / scene.reach
        assert dot(panel(html, "q-map"), kind) == pytest.approx(
            (LEFT + ACROSS * along, TOP + DOWN * (1 - along)), abs=0.06
        )
        assert "".join(f"<td>{word}</td>" for word in state.words[:4]) in html
    assert (
        '<div class="controls" hidden>' in html
        and "tanh, σ<sub>w</sub> = 1.4, σ<sub>b</sub> = 0.3, cut by magnitude<" in html
    )
    assert '<td class="edge">edge</td>' in html and '<td class="ordered">ordered</td>' in html
    for words in ("ordered</text>", "chaotic</text>", "χ₁ = 1</text>", scene.note(), "20%</span>"):
        assert words in html


def test_the_edge_is_drawn_where_theory_has_it():
    edge = re.search(r'<path class="edge-line" d="M(.*?)"', signal_explorer(**given()))[1]
    places = np.array([place.split() for place in edge.split("L")], dtype=float)
    assert np.allclose(places[:, 0], LEFT + ACROSS * meanfield.edge_of_chaos(SIGMA_B) / 3, atol=0.06)
    assert np.allclose(places[:, 1], TOP + DOWN * (1 - np.array(SIGMA_B)), atol=0.06)


def test_an_arrow_leads_from_the_dense_net_to_the_pruned_one_but_not_from_dot_to_dot():
    assert re.search(r'<path class="arrow" d="M\S', signal_explorer(**given()))
    assert '<path class="arrow" d=""/>' in signal_explorer(**given(start=("tanh", 1.4, 0.3, 1)))
    assert arrow(100, 90, 5) == "" and arrow(100, 60, 5).startswith("M93 5H67M")


def test_sliders_stand_at_the_start_and_in_the_middle_without_one():
    def pressed(html: str) -> list[str]:
        return re.findall(r" checked><span>([^<]+)</span>", html)

    def places(html: str) -> list[str]:
        return re.findall(r'max="(\d+)" step="1" value="(\d+)"', html)

    assert places(signal_explorer(**given())) == [("29", "13"), ("10", "3"), ("4", "3")]
    html = signal_explorer(**given(start=None))
    assert places(html) == [("29", "15"), ("10", "5"), ("4", "0")]
    assert pressed(html) == ["tanh", "by magnitude"]
    assert pressed(signal_explorer(**given(start=("erf", 1.4, 0.3, 0.5), cut="random"))) == ["erf", "at random"]
    moved = signal_explorer(**given(start=("tanh", 1.4 + 1e-12, 0.3, 0.2)))
    assert places(moved) == places(signal_explorer(**given()))


def test_one_is_far_below_the_limit_and_one_too_large_is_refused():
    assert len(signal_explorer(**given()).encode()) < 0.5 * MAX_BYTES
    with pytest.raises(BadInput, match="size of the explorer"):
        signal_explorer(**given(sigma_b=np.linspace(0, 1, 5000), start=None))


def test_explorers_have_ids_of_their_own_and_no_address():
    changed = [
        {},
        {"start": None},
        {"title": "Two"},
        {"activations": ["tanh"]},
        {"cut": "random"},
        {"densities": [1, 0.2]},
    ]
    found = [re.findall(r' id="(\S+)"', signal_explorer(**given(**change))) for change in changed]
    assert len({id for ids in found for id in ids}) == sum(map(len, found))
    html = signal_explorer(**given())
    assert "http" not in html and html == signal_explorer(**given())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"activations": []}, "activations"),
        ({"activations": ["gelu"]}, "activations"),
        ({"activations": ["erf"]}, "activation = 'tanh'"),
        ({"cut": "size"}, "cut = 'size'"),
        ({"start": ("gelu", 1.4, 0.3, 0.5)}, "activation = 'gelu'"),
        ({"start": ("tanh", 1.44, 0.3, 0.5)}, "start of sigma_w"),
        ({"start": ("tanh", 1.4, nan, 0.5)}, "start of sigma_b"),
        ({"start": ("tanh", 1.4, 0.3, 0.9)}, "start of density"),
        ({"sigma_w": SIGMA_W[::-1]}, "sigma_w"),
        ({"sigma_w": [1.4]}, "shape of sigma_w"),
        ({"sigma_w": [SIGMA_W]}, "shape of sigma_w"),
        ({"sigma_w": [*SIGMA_W, inf]}, "sigma_w"),
        ({"sigma_w": [-1.0, *SIGMA_W]}, "least sigma_w"),
        ({"sigma_b": [-0.1, *SIGMA_B[1:]]}, "least sigma_w and sigma_b"),
        ({"sigma_b": [nan, *SIGMA_B[1:]]}, "sigma_b"),
        ({"densities": []}, "densities"),
        ({"densities": DENSITIES[::-1]}, "densities"),
        ({"densities": [1.2, 0.5]}, "density"),
        ({"densities": [1, 0.5, 0]}, "density"),
    ],
)
def test_it_refuses_what_it_cannot_show(changes, message):
    with pytest.raises(BadInput, match=message):
        signal_explorer(**given(**changes))


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer() -> str:
    """Return what the page of these tests holds."""
    return signal_explorer(**given())


MOVE = """([kind, cut, ...places]) => {
    [['kind', kind], ['cut', cut]].forEach(([axis, n]) => {
        document.querySelectorAll(`[data-axis=${axis}] input`)[n].checked = true;
    });
    const inputs = [...document.querySelectorAll('[type=range]')];
    inputs.forEach((input, n) => { input.value = places[n]; });
    inputs[0].dispatchEvent(new Event('input'));
    const rows = [...document.querySelectorAll('.readout tbody tr')];
    return rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.textContent)); }"""
DOT = "([panel, net]) => ['cx', 'cy'].map(name => +document.querySelector(`.${panel} .${net}-dot`).getAttribute(name))"
SMALLEST = """() => Math.min(...[...document.querySelectorAll(
    ['text', 'tspan', 'td', 'th', 'li', 'label', 'sub', 'small'].map(name => `.explorer ${name}`).join()
    )].filter(e => e.getClientRects().length).map(e => parseFloat(getComputedStyle(e).fontSize) * (
        e.closest('.panel svg') ? e.closest('.panel svg').getScreenCTM().a : 1)))"""
LEFTS = "() => [...document.querySelectorAll('.panel > svg')].map(svg => svg.getBoundingClientRect().x)"


def value(word: str) -> float:
    return {"∞": inf, "–": nan}.get(word) if word in "∞–" else float(word)


@pytest.mark.slow
def test_the_script_finds_what_theory_says(visit):
    tab = visit()
    shares = {cut: sqrt(float(share_kept(0.2, cut))) for cut in CUTS}
    for (name, w, b), cut in ((point, cut) for point in POINTS for cut in CUTS):
        places = [list(ACTIVATIONS).index(name), CUTS.index(cut), SIGMA_W.index(w), SIGMA_B.index(b), 3]
        for words, sigma in zip(tab.evaluate(MOVE, places), (w, w * shares[cut]), strict=True):
            wanted = truth(name, sigma, b)
            for word, true in zip(words[:4], wanted, strict=True):
                if isnan(true):
                    assert word == "–"
                else:  # ξ is 1/|log slope|: a slope off by 2e-6 is ξ off by a share of 2e-6 ξ
                    near = pytest.approx(true, rel=0.01 + 2e-6 * (true if 100 < true < inf else 0), abs=6e-4)
                    assert value(word) == near, (name, w, b, words, wanted)
            assert words[4] == State(name, sigma, b).phase


@pytest.mark.slow
def test_at_half_of_the_weights_the_cut_decides_what_is_left_of_chi(visit):
    """At the point of the source; the page shows the cut by magnitude first."""
    tab = visit()
    half = DENSITIES.index(0.5)
    for cut, told in (("magnitude", "0.971"), ("random", "0.691")):
        words = tab.evaluate(MOVE, [0, CUTS.index(cut), SIGMA_W.index(1.4), SIGMA_B.index(0.3), half])[1]
        true = float(meanfield.chi_1(1.4 * sqrt(float(share_kept(0.5, cut))), 0.3))
        assert number(true) == told and value(words[1]) == pytest.approx(true, abs=6e-4)


@pytest.mark.slow
def test_the_script_begins_with_what_is_drawn_without_it(visit):
    still, live = visit(java_script_enabled=False), visit()
    html = still.content()
    for kind in ("plane", "q-map", "c-map"):
        numbers = [
            re.findall(r"(?<=[\sMLHV\"])-?\d+(?:\.\d+)?", panel(source, kind)) for source in (html, live.content())
        ]
        assert np.allclose(*(np.array(found, dtype=float) for found in numbers), atol=0.11)
    assert live.locator(".slope").text_content() in html
    assert live.locator(".readout").text_content() == still.locator(".readout").text_content()


@pytest.mark.slow
def test_keys_move_the_point_in_the_plane(visit):
    tab = visit()
    before = [tab.evaluate(DOT, ["plane", net]) for net in ("dense", "sparse")]
    tab.locator("[data-axis=w]").focus()
    tab.keyboard.press("ArrowRight")
    wide = [tab.evaluate(DOT, ["plane", net]) for net in ("dense", "sparse")]
    assert wide[0] == pytest.approx([LEFT + ACROSS * 0.5, TOP + DOWN * 0.7], abs=0.06)
    assert wide[1][0] - before[1][0] == pytest.approx(ACROSS * 0.1 * KEPT_W / 1.4 / 3, abs=0.11)
    tab.locator("[data-axis=b]").focus()
    tab.keyboard.press("ArrowLeft")
    assert tab.evaluate(DOT, ["plane", "dense"])[1] == pytest.approx(TOP + DOWN * 0.8, abs=0.06)
    tab.locator("[data-axis=d]").focus()
    tab.keyboard.press("Home")
    assert tab.evaluate(DOT, ["plane", "dense"]) == tab.evaluate(DOT, ["plane", "sparse"])
    assert tab.locator(".arrow").get_attribute("d") == ""
    assert tab.locator("output").all_inner_texts() == ["1.5", "0.2", "100%"]
    assert tab.locator("[data-axis=d]").get_attribute("aria-valuetext") == "100%"
    said = tab.locator(".said").text_content()
    assert said.startswith("tanh, σ_w 1.5, σ_b 0.2. Dense: chaotic, q* ")
    assert "100% of weights kept, cut by magnitude: chaotic" in said


@pytest.mark.slow
def test_keys_choose_the_activation_and_its_edge(visit):
    tab = visit()
    edge = tab.locator(".edge-line").get_attribute("d")
    tab.locator("[data-axis=kind] input").first.focus()
    tab.keyboard.press("ArrowRight")
    assert tab.get_by_label("ReLU").is_checked() and tab.locator(".edge-line").get_attribute("d") != edge
    x = LEFT + ACROSS * sqrt(2) / 3
    assert tab.locator(".edge-line").get_attribute("d").startswith(f"M{round(x, 1):g} ")
    assert tab.locator(".said").text_content().startswith("ReLU, ")


@pytest.mark.slow
def test_keys_switch_between_a_cut_by_magnitude_and_at_random(visit):
    tab = visit()
    tab.locator("[data-axis=cut] input").first.focus()
    for key, cut in (("ArrowRight", "random"), ("ArrowLeft", "magnitude")):
        tab.keyboard.press(key)
        x = LEFT + ACROSS * 1.4 * sqrt(float(share_kept(0.2, cut))) / 3
        assert tab.evaluate(DOT, ["plane", "sparse"])[0] == pytest.approx(x, abs=0.06)
        words = State("tanh", 1.4 * sqrt(float(share_kept(0.2, cut))), 0.3).words
        assert tab.locator(".readout .sparse td").all_inner_texts()[4] == words[4]
    assert "20% of weights kept, cut by magnitude: ordered" in tab.locator(".said").text_content()


@pytest.mark.slow
def test_a_click_into_the_plane_moves_the_dense_net_there(visit):
    tab = visit()
    box = tab.locator(".plane").bounding_box()
    scale = box["width"] / 300
    tab.mouse.click(box["x"] + scale * (LEFT + ACROSS * 0.9), box["y"] + scale * (TOP + DOWN * 0.1))
    assert tab.locator("output").all_inner_texts() == ["2.7", "0.9", "20%"]


@pytest.mark.slow
def test_without_scripts_the_start_is_there_and_no_dead_slider(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator(".panel > svg").count() == 3 and tab.locator(".plane").is_visible()
    assert tab.locator(".setting").is_visible() and not tab.locator("[data-axis=w]").is_visible()
    assert not visit().locator(".setting").is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_is_wider_than_the_page_and_letters_are_large_enough(visit, width):
    tab = visit(width)
    tab.evaluate(MOVE, [1, 1, 13, 10, 4])
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= width
    frame = tab.locator(".explorer").bounding_box()
    for element in tab.locator(".panel > svg, input, output, td, th, .key li").all():
        box = element.bounding_box()
        assert box["x"] >= frame["x"] and box["x"] + box["width"] <= frame["x"] + frame["width"] - 12
    assert tab.evaluate(SMALLEST) >= 11
    lefts = tab.evaluate(LEFTS)
    assert (min(np.diff(lefts)) > 100) == (width == 1400)  # below each other on a phone


@pytest.mark.slow
def test_colours_follow_the_theme(visit):
    asked = """() => ['.ordered.side', '.chaotic.side', '.edge-line', '.q-map .sparse-line', '.explorer'].map(name => {
        const style = getComputedStyle(document.querySelector(name));
        return [style.fill, style.stroke, style.backgroundColor]; })"""
    light, dark = (visit(color_scheme=scheme).evaluate(asked) for scheme in ("light", "dark"))
    assert all(old != new for old, new in zip(light, dark, strict=True))
    strokes = [[stroke for _, stroke, _ in theme] for theme in (light, dark)]
    assert "rgb(170, 68, 153)" in strokes[0] and "rgb(216, 132, 202)" in strokes[1]  # purple
