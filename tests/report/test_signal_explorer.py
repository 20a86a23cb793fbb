"""The signal explorers say of a random net what mean-field theory says, with and without a kernel."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from math import inf, isnan, nan, sqrt
from pathlib import Path
from typing import Any

import ipywidgets
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.measures import meanfield
from redlib.report.fragments import MAX_BYTES
from redlib.report.signal_explorer import ACROSS, DOWN, LEFT, TOP, arrow, signal_explorer, signal_twin
from redlib.report.signal_theory import Scene, SignalTable, State, cobweb, cubic, number, signals

matplotlib.use("agg")
TEMPLATES = Path(__file__).parents[2] / "redlib" / "report" / "templates"
SIGMA_W = [n / 10 for n in range(1, 31)]
SIGMA_B = [n / 10 for n in range(11)]
DENSITIES = [1, 0.8, 0.5, 0.2, 0.05]
THEORY = {"tanh": "tanh", "ReLU": "relu", "erf": "erf", "linear": "linear"}
# activation, σ_w, σ_b: both phases, the edge, no biases, no finite fixed point, and every q a fixed point
POINTS = [
    *(("tanh", 1.4, 0.3), ("tanh", 2.5, 0.1), ("tanh", 0.8, 0.2), ("tanh", 3.0, 1.0), ("tanh", 0.5, 0.0)),
    *(("erf", 1.4, 0.3), ("erf", 0.6, 0.9), ("erf", 2.0, 0.0), ("ReLU", 1.4, 0.3), ("ReLU", 2.0, 0.5)),
    *(("ReLU", 0.7, 0.0), ("linear", 0.9, 0.4), ("linear", 1.0, 0.4), ("linear", 1.0, 0.0), ("linear", 1.7, 0.1)),
]


def table(activation: str, variances: int = 64, correlations: int = 25) -> SignalTable:
    """Return what a notebook passes for one activation of `meanfield`."""
    q = np.geomspace(1e-4, 16, variances)
    c = np.sin(np.linspace(0, np.pi / 2, correlations))  # cosines of equally spaced angles
    return SignalTable(
        q=q,
        c=c,
        square=meanfield.q_map(q, 1, 0, activation),
        gain=meanfield.chi(q, 1, activation),
        correlation=meanfield.c_map(c, q[:, None], 1, 0, activation),
        edge=meanfield.edge_of_chaos(SIGMA_B, activation),
    )


TABLES = {name: table(activation) for name, activation in THEORY.items()}
TANH = TABLES["tanh"]
START = ("tanh", 1.4, 0.3, 0.5)
SEEN = signals(TABLES, SIGMA_W, SIGMA_B, DENSITIES)


def given(**changes: Any) -> dict[str, Any]:
    arguments = {"tables": TABLES, "sigma_w": SIGMA_W, "sigma_b": SIGMA_B, "densities": DENSITIES, "start": START}
    return arguments | changes


def with_tanh(**changes: Any) -> dict[str, Any]:
    return {"tables": TABLES | {"tanh": replace(TANH, **changes)}}


def truth(name: str, w: float, b: float) -> list[float]:
    """Return q*, χ₁, ξ and c* of `meanfield`."""
    arguments = (w, b, THEORY[name])
    depth = meanfield.depth_scales(*arguments)[1]
    return [
        *(float(meanfield.q_fixed_point(*arguments)), float(meanfield.chi_1(*arguments))),
        *(float(depth), float(meanfield.c_fixed_point(*arguments))),
    ]


def payload(html: str) -> dict[str, Any]:
    return json.loads(re.search(r'getElementById\("twin-\w+"\), (\{.*\})\);', html)[1])


def panel(html: str, kind: str) -> str:
    return re.search(rf'<svg class="{kind}".*?</svg></div>', html)[0]


def dot(part: str, kind: str) -> tuple[float, float]:
    found = re.search(rf'<circle class="{kind}-dot" r="\S+" cx="(\S+)" cy="(\S+)"', part)
    return float(found[1]), float(found[2])


# --- the theory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, w, b", POINTS)
def test_the_tables_give_back_what_theory_says(name, w, b):
    found = SEEN.theories[name].state(w, b)
    q, chi, depth, c = truth(name, w, b)
    assert found.q == pytest.approx(q, rel=1e-4, abs=1e-9, nan_ok=True)
    assert found.chi == pytest.approx(chi, rel=1e-3)
    assert found.c == pytest.approx(c, rel=1e-3, abs=1e-3, nan_ok=True)
    assert found.depth == pytest.approx(depth, rel=5e-3, nan_ok=True)


def test_phases_have_an_edge_of_one_per_cent():
    phases = [State(1.0, chi, 1.0, 1.0, 1.0).phase for chi in (0, 0.98, 0.991, 1, 1.009, 1.02, 9)]
    assert phases == ["ordered", "ordered", "edge", "edge", "edge", "chaotic", "chaotic"]


def test_maps_are_those_of_theory_between_the_nodes_too():
    for name, w, b in (("tanh", 2.0, 0.5), ("erf", 1.1, 0.2), ("ReLU", 1.2, 0.4)):
        theory, q = SEEN.theories[name], np.array([0.013, 0.37, 2.9])
        assert np.allclose([theory.up(x, w, b) for x in q], meanfield.q_map(q, w, b, THEORY[name]), rtol=1e-5)
        state, c = theory.state(w, b), np.array([0, 0.123, 0.77, 0.9999, 1])
        wanted = meanfield.c_map(c, meanfield.q_fixed_point(w, b, THEORY[name]), w, b, THEORY[name])
        assert np.allclose([theory.correlate(x, state) for x in c], wanted, atol=1e-4)


def test_a_cubic_is_exact_for_cubics_and_passes_through_its_nodes():
    nodes = np.array([0.0, 0.5, 1.5, 2.0, 4.0, 7.0])
    for x in (0.0, 0.1, 1.5, 1.7, 3.0, 6.5, 7.0):
        weights = cubic(nodes, x)
        assert weights @ (nodes**3 - 2 * nodes + 1) == pytest.approx(x**3 - 2 * x + 1)
        assert (weights != 0).sum() <= 4
    assert np.allclose([cubic(nodes, x) for x in nodes], np.eye(6))


def test_a_density_moves_the_net_to_the_root_of_it():
    scene = Scene(SEEN.theories["tanh"], 2.0, 0.3, 0.25)
    assert scene.kept_w == 1.0
    assert scene.sparse == SEEN.theories["tanh"].state(1.0, 0.3) and scene.dense == SEEN.theories["tanh"].state(
        2.0, 0.3
    )
    assert Scene(SEEN.theories["tanh"], 2.0, 0.3, 1.0).sparse == scene.dense


@pytest.mark.parametrize("w, b", [(1.0, 0.3), (2.5, 0.1)])
def test_cobwebs_lead_to_the_fixed_points(w, b):
    scene = Scene(SEEN.theories["tanh"], w, b, 1.0)
    q_web, c_web = scene.q_web(), scene.c_web()
    assert q_web[-1][0] == pytest.approx(scene.sparse.q, abs=0.05 * scene.reach)
    assert abs(c_web[-1][0] - scene.sparse.c) < 0.25 * abs(c_web[0][0] - scene.sparse.c)
    ups, flats = q_web[1::2], q_web[2::2]
    assert all(x == u and y == v for (x, _), (u, _), (y, v) in zip(q_web[::2], ups, flats, strict=False))
    assert cobweb(lambda x: 10 * x, 1.0, 2.0) == [(1.0, 0.0), (1.0, 10.0), (10.0, 10.0)]  # it leaves the plot


def test_the_tangent_has_the_slope_of_the_map_at_one():
    for w in (0.8, 2.5):
        scene = Scene(SEEN.theories["tanh"], w, 0.3, 1.0)
        (x, y), end = scene.tangent()
        near = scene.theory.correlate(1 - 1e-4, scene.sparse)
        assert end == (1, 1) and (1 - y) / (1 - x) == pytest.approx(scene.sparse.chi)
        assert (1 - near) / 1e-4 == pytest.approx(scene.sparse.chi, rel=2e-3)
        assert x >= 0 and y >= 0 and f"χ₁ = {number(scene.sparse.chi)}" in scene.note()


@pytest.mark.parametrize(
    "name, w, b, note", [("ReLU", 2.0, 0.5, "grows"), ("tanh", 0.5, 0.0, "vanishes"), ("linear", 1.0, 0.0, "every q")]
)
def test_where_no_q_is_left_the_limit_is_drawn_and_said_so(name, w, b, note):
    scene = Scene(SEEN.theories[name], w, b, 1.0)
    assert note in scene.note() and scene.tangent() == []
    curves = [*scene.c_curve(scene.sparse), *scene.q_curve(w), *scene.q_web(), *scene.c_web()]
    assert np.isfinite(curves).all() and scene.c_curve(scene.sparse)[-1] == (1, 1) and np.isfinite(scene.reach)


def test_numbers_have_about_three_digits():
    values = [0, 0.0456, 0.9994, 0.99996, 1.234, 9.9999, 12.34, 99.9999, 123.4, inf, nan]
    assert [number(value) for value in values] == [
        *("0.000", "0.046", "0.999", "1.00", "1.23", "10.0", "12.3", "100", "123", "∞", "–"),
    ]


# --- the twin without the script ----------------------------------------------------------------------------


def test_the_start_is_drawn_without_the_script():
    html = signal_twin(**given())
    scene = Scene(SEEN.theories["tanh"], 1.4, 0.3, 0.5)
    for kind, w in (("dense", 1.4), ("sparse", 1.4 * sqrt(0.5))):
        assert dot(panel(html, "plane"), kind) == pytest.approx((LEFT + ACROSS * w / 3, TOP + DOWN * 0.7), abs=0.06)
    for kind, state in (("dense", scene.dense), ("sparse", scene.sparse)):
        along = state.q / scene.reach
        assert dot(panel(html, "q-map"), kind) == pytest.approx(
            (LEFT + ACROSS * along, TOP + DOWN * (1 - along)), abs=0.06
        )
        assert "".join(f"<td>{word}</td>" for word in state.words[:4]) in html
    assert '<div class="controls" hidden>' in html and "tanh, σ<sub>w</sub> = 1.4, σ<sub>b</sub> = 0.3" in html
    assert '<td class="edge">edge</td>' in html and '<td class="ordered">ordered</td>' in html
    for words in ("ordered</text>", "chaotic</text>", "χ₁ = 1</text>", scene.note(), "50%</span>"):
        assert words in html


def test_the_edge_is_drawn_where_theory_has_it():
    edge = re.search(r'<path class="edge-line" d="M(.*?)"', signal_twin(**given()))[1]
    places = np.array([place.split() for place in edge.split("L")], dtype=float)
    assert np.allclose(places[:, 0], LEFT + ACROSS * meanfield.edge_of_chaos(SIGMA_B) / 3, atol=0.06)
    assert np.allclose(places[:, 1], TOP + DOWN * (1 - np.array(SIGMA_B)), atol=0.06)


def test_an_arrow_leads_from_the_dense_net_to_the_pruned_one_but_not_from_dot_to_dot():
    assert re.search(r'<path class="arrow" d="M\S', signal_twin(**given()))
    assert '<path class="arrow" d=""/>' in signal_twin(**given(start=("tanh", 1.4, 0.3, 1)))
    assert arrow(100, 90, 5) == "" and arrow(100, 60, 5).startswith("M93.0 5.0H67.0M")


def test_sliders_stand_at_the_start_and_in_the_middle_without_one():
    def places(html: str) -> list[str]:
        return re.findall(r'max="(\d+)" step="1" value="(\d+)"', html)

    assert places(signal_twin(**given())) == [("29", "13"), ("10", "3"), ("4", "2")]
    html = signal_twin(**given(start=None))
    assert places(html) == [("29", "15"), ("10", "5"), ("4", "0")] and 'value="tanh" checked' in html
    assert 'value="erf" checked' in signal_twin(**given(start=("erf", 1.4, 0.3, 0.5)))
    moved = signal_twin(**given(start=("tanh", 1.4 + 1e-12, 0.3, 0.5)))
    assert places(moved) == places(signal_twin(**given()))


def test_a_twin_is_far_below_the_limit_and_one_too_large_is_refused():
    assert len(signal_twin(**given()).encode()) < 0.5 * MAX_BYTES
    with pytest.raises(BadInput, match="size of the explorer"):
        signal_twin(**given(tables={name: table("erf", 250, 80) for name in THEORY}))


def test_twins_have_ids_of_their_own_and_no_address():
    changed = [{}, {"start": None}, {"title": "Two"}, {"tables": {"tanh": TANH}}, {"densities": [1, 0.5]}]
    found = [re.findall(r' id="(\S+)"', signal_twin(**given(**change))) for change in changed]
    assert len({id for ids in found for id in ids}) == len(changed)
    html = signal_twin(**given())
    assert "http" not in html and html == signal_twin(**given())


def test_names_are_text_wherever_they_stand():
    risky = ["</script><b>", '"><b>', "<!--<script>", "&amp;"]
    html = signal_twin(**given(tables=dict.fromkeys(risky, TANH), start=(risky[0], 1.4, 0.3, 0.5), title=risky[1]))
    assert html.count("</script>") == html.count("<script") == 1
    assert "<b>" not in html and "<!--" not in html and "&amp;amp;" in html
    assert list(payload(html)["kinds"]) == risky


HOLE = np.where(np.arange(64) == 9, np.nan, 1.0)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"tables": {}}, "tables"),
        ({"tables": {"erf": TABLES["erf"]}}, "activation = 'tanh'"),
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
        ({"sigma_b": SIGMA_B[1:]}, "shape of edge of tanh"),
        ({"sigma_b": [nan, *SIGMA_B[1:]]}, "sigma_b"),
        ({"densities": []}, "densities"),
        ({"densities": DENSITIES[::-1]}, "densities"),
        ({"densities": [1.2, 0.5]}, "densities"),
        ({"densities": [1, 0.5, 0]}, "densities"),
        (with_tanh(q=-TANH.q[::-1]), "least q of tanh"),
        (with_tanh(q=TANH.q * 1000), "least q of tanh"),
        (with_tanh(q=TANH.q[::-1]), "q of tanh"),
        (with_tanh(q=TANH.q * HOLE), "q of tanh"),
        (with_tanh(q=TANH.q[:3]), "shape of q of tanh"),
        (with_tanh(c=TANH.c[:-1]), "ends of c of tanh"),
        (with_tanh(c=TANH.c[1:]), "ends of c of tanh"),
        (with_tanh(c=TANH.c[::-1]), "c of tanh"),
        (with_tanh(square=TANH.square[1:]), "shape of square of tanh"),
        (with_tanh(square=-TANH.square), "least square of tanh"),
        (with_tanh(gain=TANH.gain * HOLE), "least gain of tanh"),
        (with_tanh(gain=TANH.gain[None]), "shape of gain of tanh"),
        (with_tanh(correlation=TANH.correlation.T), "shape of correlation of tanh"),
        (with_tanh(correlation=TANH.correlation * HOLE[:, None]), "largest correlation of tanh"),
        (with_tanh(correlation=TANH.correlation * 3), "largest correlation of tanh"),
        (with_tanh(correlation=TANH.correlation * TANH.square[:, None]), "correlation of tanh at c = 1"),
        (with_tanh(edge=TANH.edge[1:]), "shape of edge of tanh"),
        (with_tanh(edge=TANH.edge * nan), "least edge of tanh"),
        ({"sigma_w": [1.4, 40.0]}, "largest q of tanh"),
    ],
)
def test_the_explorers_refuse_what_they_cannot_show(changes, message):
    for explorer in (signal_twin, signal_explorer):
        with pytest.raises(BadInput, match=message):
            explorer(**given(**changes))


# --- the live widget ----------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch) -> list[Any]:
    """Return the list to which each drawing adds its figure."""
    figures: list[Any] = []
    monkeypatch.setattr(plt, "show", lambda: figures.append(plt.gcf()))
    yield figures
    plt.close("all")


def dots(ax: Any) -> list[list[float]]:
    """Return the places of the dense and of the pruned net."""
    return [line.get_xydata()[0].tolist() for line in ax.lines if line.get_marker() == "o"]


def test_the_live_explorer_draws_the_net_of_its_sliders(drawn):
    explorer = signal_explorer(**given(title="Signals"))
    kinds, sliders = explorer.children[0], explorer.children[1].children
    assert isinstance(kinds, ipywidgets.ToggleButtons) and [slider.index for slider in sliders] == [13, 3, 2]
    for place, w in ((13, 1.4), (24, 2.5)):
        sliders[0].index = place
        scene = Scene(SEEN.theories["tanh"], w, 0.3, 0.5)
        plane, q_map, c_map = drawn[-1].axes
        assert np.allclose(dots(plane), [(w, 0.3), (scene.kept_w, 0.3)])
        assert np.allclose(dots(q_map), [[scene.dense.q] * 2, [scene.sparse.q] * 2])
        assert np.allclose(dots(c_map), [[scene.dense.c] * 2, [scene.sparse.c] * 2])
        assert drawn[-1].get_suptitle().split("\n") == ["Signals", *scene.lines()]
        assert c_map.get_title("right") == scene.note() and c_map.get_title("left") == "C-map: correlation"


def test_the_live_explorer_follows_activation_and_density_where_q_is_infinite_too(drawn):
    explorer = signal_explorer(**given(start=None))
    explorer.children[0].value = "linear"  # σ_w = 1.6: q grows without bound
    assert len(dots(drawn[-1].axes[1])) == 0 and "q* = ∞" in drawn[-1].get_suptitle()
    explorer.children[1].children[2].index = 3
    assert len(dots(drawn[-1].axes[1])) == 1 and "20% kept: q* = " in drawn[-1].get_suptitle()


# --- the twin in a browser ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twin() -> str:
    """Return what the page of these tests holds."""
    return signal_twin(**given())


MOVE = """([kind, ...places]) => {
    document.querySelector(`[value="${kind}"]`).checked = true;
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
    for name, w, b in POINTS:
        places = [name, SIGMA_W.index(w), SIGMA_B.index(b), 2]
        for words, sigma in zip(tab.evaluate(MOVE, places), (w, w * sqrt(0.5)), strict=True):
            wanted = truth(name, sigma, b)
            for word, true in zip(words[:4], wanted, strict=True):
                if isnan(true):
                    assert word == "–"
                else:
                    assert value(word) == pytest.approx(true, rel=0.01, abs=6e-4), (name, w, b, words, wanted)
            assert words == SEEN.theories[name].state(sigma, b).words  # and what the static twin would say


@pytest.mark.slow
def test_the_script_begins_with_what_is_drawn_without_it(visit):
    still, live = visit(java_script_enabled=False), visit()
    html = still.content()
    for kind in ("plane", "q-map", "c-map"):
        numbers = [re.findall(r"-?\d+\.\d", panel(source, kind)) for source in (html, live.content())]
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
    assert wide[1][0] - before[1][0] == pytest.approx(ACROSS * 0.1 * sqrt(0.5) / 3, abs=0.11)
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
    assert said.startswith("tanh, σ_w 1.5, σ_b 0.2. Dense: chaotic, q* ") and "100% of weights kept: chaotic" in said


@pytest.mark.slow
def test_keys_choose_the_activation_and_its_edge(visit):
    tab = visit()
    edge = tab.locator(".edge-line").get_attribute("d")
    tab.locator("[value=tanh]").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("[value=ReLU]").is_checked() and tab.locator(".edge-line").get_attribute("d") != edge
    x = LEFT + ACROSS * sqrt(2) / 3
    assert tab.locator(".edge-line").get_attribute("d").startswith(f"M{x:.1f} ")
    assert tab.locator(".said").text_content().startswith("ReLU, ")


@pytest.mark.slow
def test_a_click_into_the_plane_moves_the_dense_net_there(visit):
    tab = visit()
    box = tab.locator(".plane").bounding_box()
    scale = box["width"] / 300
    tab.mouse.click(box["x"] + scale * (LEFT + ACROSS * 0.9), box["y"] + scale * (TOP + DOWN * 0.1))
    assert tab.locator("output").all_inner_texts() == ["2.7", "0.9", "50%"]


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
    tab.evaluate(MOVE, ["ReLU", 13, 10, 4])
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
