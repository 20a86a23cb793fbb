"""What all explorers share: ids by content, a limit of their size, plots, and life in a page that holds them twice."""

from __future__ import annotations

import json
import re
from math import log10, nan
from typing import Any

import numpy as np
import pytest
import report_fixtures as given
from barriers import nameless, serious

from redlib.errors import BadInput
from redlib.report import explorers
from redlib.report.explorers import fragments
from redlib.report.explorers.fragments import Axis, Plot
from redlib.report.explorers.path import path_explorer as paths
from redlib.report.explorers.vectors import vector_explorer as vectors
from redlib.report.policy import content_policy


def made(**changes: Any) -> str:
    """Return a fragment of little content, in the looks of the curve explorer."""
    content: dict[str, Any] = {"kind": "curves", "data": {"a": 1}, "body": "<p>here</p>", "title": ""} | changes
    body = content.pop("body")
    return fragments.fragment(**content, body=lambda id: f'<i id="{id}-i"></i>{body}', remedy="Say less.")


def ids(html: str) -> list[str]:
    return re.findall(r' id="(\S+)"', html)


def test_fragments_that_differ_in_anything_have_ids_of_their_own():
    changed = [{}, {"data": {"a": 2}}, {"body": "<p>there</p>"}, {"title": "here"}, {"kind": "masks"}]
    found = [ids(made(**change)) for change in changed]
    assert len({first for first, _ in found}) == len(changed) and made() == made()
    assert all(re.fullmatch(r"explorer-[0-9a-f]{8}", first) and inner == f"{first}-i" for first, inner in found)
    assert f'querySelectorAll("#{found[0][0]}")' in made() and '({"a":1}, (root, data)' in made()


def test_nothing_of_the_templates_is_left_to_fill_in():
    for kind in ("blur", "curves", "masks", "points", "signals"):
        html = made(kind=kind)
        style = re.search(r"<style>(.*)</style>", html, re.DOTALL)[1]
        assert not re.search(r"THE-ID|THE_DATA|SCRIPT;|DARK;", html) and "&" not in style
        assert (
            ".explorer[data-kind] .slider" in style
            and f'.explorer[data-kind="{kind}"]' in style
            and "--ink: #e4e7eb" in style
        )  # the report's dark ink


def test_data_cannot_end_the_script_and_the_title_is_text():
    html = made(data={"a": "</script><!--"}, title="<b>")
    assert html.count("</script>") == 1 and "<!--" not in html and '<p class="title">&lt;b&gt;</p>' in html


def test_one_too_large_is_refused_with_the_remedy():
    room = fragments.MAX_BYTES - len(made().encode())
    assert len(made(body="<p>here</p>" + "é" * (room // 2)).encode()) >= fragments.MAX_BYTES - 1
    with pytest.raises(BadInput, match=r"(?s)size of the explorer.*Say less\."):
        made(body="<p>here</p>" + "é" * (room // 2 + 1))


# --- plots --------------------------------------------------------------------------------------------------


def test_ticks_and_ranges_are_round():
    assert fragments.round_ticks(0.1, 0.93) == [0.2, 0.4, 0.6, 0.8]
    assert fragments.round_ticks(-3, 3) == [-2, 0, 2] and fragments.round_ticks(0, 0.5) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert fragments.round_range(3, 97) == (0, 100, 20) and fragments.round_range(7, 7) == (6, 8, 2)


def test_an_axis_may_fall_and_may_be_logarithmic():
    assert [Axis(0, 4, 10, 50)(value) for value in (0, 1, 4)] == [10, 20, 50]
    assert [Axis(100, 1, 0, 80, log10)(value) for value in (100, 10, 1)] == [0, 40, 80]
    assert Axis(5, 5, 0, 80)(5) == 40 and np.isnan(Axis(0, 1, 0, 80)(nan))


def test_paths_stop_and_bands_close_up_where_a_value_is_missing():
    plot = Plot(Axis(0, 3, 0, 30), Axis(0, 10, 100, 0))
    assert plot.path([0, 1, 2, 3], [0, nan, 5, 10]) == "M0 100M20 50L30 0"
    assert plot.band([0, 1, 2], [0, 1, 2], [5, nan, 6]) == "M0 100L20 80L20 40L0 50"
    assert plot.band([0], [nan], [nan]) == ""


def test_a_frame_has_lines_across_the_plot_or_marks_outside():
    plot = Plot(Axis(0, 2, 10, 30), Axis(0, 10, 100, 0))
    lines, marks = plot.frame([(2, "two")], [5], "name"), plot.frame([(2, "two")], [5], "name", marks=True)
    assert 'd="M10 50H30"' in lines and 'd="M10 50h-4"' in marks
    assert '<text class="x" x="30" y="117">two</text>' in lines and '<text class="x name" x="20" y="135">name' in lines
    assert plot.cut("inside") == '<svg x="10" y="0" width="20" height="100" viewBox="10 0 20 100">inside</svg>'


# --- in a browser: as JupyterLab does it --------------------------------------------------------------------

DENSITIES = [1.0, 0.5, 0.25]
PLACES = np.random.default_rng(0).normal(size=(3, 4, 2))


def mask_explorer() -> str:
    arms = {"ticket": (np.array([[90.0, 80, 70], [92, 84, 70]]), "blue")}
    return explorers.mask_explorer(DENSITIES, {"a": np.arange(6.0).reshape(2, 3)}, {"a": [[2, 1, 0], [0, 1, 2]]}, arms)


def blur_explorer() -> str:
    rates, curve = ["1 in 10", "1 in 50"], [np.array([[0.0, 10], [0, 20]])] * 3
    labels = {"told": [[1, 2], [3, 4]], "true": [[1, 5], [3, 5]], "predicted": [[[1, 2], [1, 5]], [[3, 4], [3, 5]]]}
    pixels, blurs = np.ones((2, 2, 4, 4)), np.stack([np.eye(4), np.eye(4) / 2])
    curves = {"mislabelled": curve, "correctly labelled": curve}
    return explorers.blur_explorer(rates, [0, 1], pixels, **labels, curves=curves, blurred_matrix=blurs)


def point_player() -> str:
    names, frames = ["cat", "dog"], ["start", "middle", "end"]
    panel = explorers.Panel("All", PLACES, means=True)
    return explorers.point_player([panel], np.array([0, 0, 1, 1]), names, frames, ticks=frames)


def signal_explorer() -> str:
    return explorers.signal_explorer([0.5, 1.0, 1.5], [0, 0.5], [1, 0.5], activations=["erf", "relu"])


def edge_explorer() -> str:
    falling, rising = np.linspace(2, 0.1, 5), np.linspace(5, 30, 5)
    loss, sharpness = (np.broadcast_to(curve, (3, 3, 5)) for curve in (falling, rising))
    return explorers.edge_explorer([0.05, 0.1, 0.2], [8, 16, 32], [0, 10, 20, 30, 40], loss, sharpness)


def vector_explorer() -> str:
    weights = np.random.default_rng(1).normal(size=(2, 2, 2, 3, 4, 2))
    weights[:, :, 0, :, 2:] = np.nan
    errors = np.random.default_rng(2).random((2, 2, 2, 2, 3))
    names = {"counts": [1, 2], "sets": ["all", "few"], "seeds": [5, 6]}
    return vectors(weights, *errors, [0, 1, 100], **names)


def path_explorer() -> str:
    drawn = np.random.default_rng(3)
    plane = np.stack([np.linspace(-1, 2, 4)] * 2)
    return paths(
        drawn.integers(0, 256, (2, 2, 3, 5, 5)).astype(np.uint8), *drawn.random((2, 2, 2, 3)),
        drawn.random((2, 2, 3)) + 0.1, plane=(drawn.random((2, 4, 4)) + 0.1, plane, plane),
        at=drawn.random((2, 2, 3, 2)), away=np.zeros((2, 2, 3)), points=drawn.uniform(-1, 1, (2, 6, 2)),
        moons=np.tile([0, 1], (2, 3)), reach=1.0, positions=[0, 0.5, 1], paths=["line", "curve"], seeds=[5, 6],
    )  # fmt: skip


KINDS = [
    mask_explorer, given.explorer, point_player, blur_explorer, signal_explorer, edge_explorer, vector_explorer,
    path_explorer,
]  # fmt: skip
SLIDERS = {
    mask_explorer: ["Weights kept"],
    given.explorer: ["Label noise", "Width", "Epoch"],
    point_player: ["Epoch"],
    blur_explorer: ["Blur σ pixels of a 28-pixel image"],
    signal_explorer: ["σw weights", "σb biases", "density kept"],
    edge_explorer: ["Step size η", "Width", "Step"],
    vector_explorer: ["Step"],
    path_explorer: ["Position t"],
}
# A slider and where its output says that its number comes from, for each explorer.
OUTPUTS = """() => [...document.querySelectorAll('.slider')].map(
    part => [part.querySelector('input').id, part.querySelector('output').htmlFor.value])"""
# JupyterLab inserts the HTML of an output, in which scripts do not run, and then a copy of each script, which does.
INSERT = """html => {
    const output = document.createElement('div');
    output.className = 'jp-RenderedHTMLCommon';
    output.innerHTML = html;
    for (const script of output.querySelectorAll('script')) {
        const copy = document.createElement('script');
        copy.textContent = script.textContent;
        script.replaceWith(copy);
    }
    document.body.append(output); }"""
# It takes arrow keys for its own before an output sees them, unless the focused element says that it needs them.
SHORTCUTS = """() => document.addEventListener('keydown', event => {
    if (!event.key.startsWith('Arrow') || event.target.hasAttribute('data-lm-suppress-shortcuts')) return;
    event.preventDefault();
    event.stopPropagation(); }, true)"""
# Where all that an explorer shows is written: its drawings, and for pixels their colours.
SEEN = """() => [...document.querySelectorAll('.explorer')].map(root => [...root.querySelectorAll('*')].map(part =>
    ['d', 'cx', 'cy', 'x', 'y', 'x1'].map(name => part.getAttribute(name)).join() + (
        part.matches('output, .readout, .said') ? part.textContent : part.matches('canvas') ? part.toDataURL() : '')
    ).join())"""
IDS = "() => [...document.querySelectorAll('[id]')].map(part => part.id)"
BROKEN = """() => [...document.querySelectorAll('use')].map(use => use.getAttribute('href')).filter(
    href => !document.querySelector(href))"""


@pytest.fixture
def jupyter(browser):
    """Return a function that opens a page as JupyterLab has it, in its light or dark theme; no error may be seen."""
    contexts, troubles = [], []

    def opened(light: bool = True) -> Any:
        contexts.append(browser.new_context(viewport={"width": 1000, "height": 900}))
        tab = contexts[-1].new_page()
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        colours = "#111; color: #fff" if not light else "#fff; color: #000"
        tab.set_content(f'<body data-jp-theme-light="{json.dumps(light)}" style="background: {colours}"></body>')
        tab.evaluate(SHORTCUTS)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_two_copies_inserted_as_jupyterlab_does_move_on_their_own(jupyter, kind):
    tab, html = jupyter(), kind()
    for _ in range(2):
        tab.evaluate(INSERT, html)
    assert not tab.evaluate(BROKEN) and len(set(tab.evaluate(IDS))) == len(tab.evaluate(IDS)) >= 2
    for copy in (0, 1):
        for control in tab.locator(".explorer").nth(copy).locator("input:not(:checked)").all():
            before = tab.evaluate(SEEN)
            control.focus()
            move = "ArrowRight" if control.input_value() == "0" else "ArrowLeft"
            control.press("Space" if control.get_attribute("type") == "radio" else move)
            after = tab.evaluate(SEEN)
            assert before[copy] != after[copy] and before[1 - copy] == after[1 - copy]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_two_copies_in_one_page_are_both_alive(jupyter, kind):
    tab, html = jupyter(), kind()
    policy = content_policy(re.findall(r"<script>(.*?)</script>", html, re.DOTALL))
    tab.set_content(f'<meta http-equiv="Content-Security-Policy" content="{policy}"><body>{html * 2}</body>')
    assert tab.locator(".controls").count() == 2 and all(bar.is_visible() for bar in tab.locator(".controls").all())
    assert len(set(tab.evaluate(IDS))) == len(tab.evaluate(IDS))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_control_has_a_name_and_every_output_its_slider(jupyter, kind):
    tab, html = jupyter(), kind()
    for _ in range(2):
        tab.evaluate(INSERT, html)
    assert nameless(tab) == []
    for name in SLIDERS[kind]:
        assert tab.get_by_role("slider", name=name, exact=True).count() == 2
    pairs = tab.evaluate(OUTPUTS)
    assert len(pairs) == 2 * len(SLIDERS[kind]) and all(slider == output for slider, output in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_axe_finds_nothing_serious(jupyter, kind, light):
    tab = jupyter(light)
    tab.evaluate(INSERT, kind())
    assert serious(tab, ".explorer") == []


@pytest.mark.slow
@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_ink_is_legible_in_both_themes_of_jupyterlab(jupyter, kind, light):
    tab = jupyter(light)
    tab.evaluate(INSERT, kind())
    asked = """() => [...document.querySelectorAll(
        '.explorer :is(p, span, small, output, li, text, td, button):not(:checked + span)'
    )].filter(part => part.getClientRects().length && part.textContent).map(part => {
        const style = getComputedStyle(part); return part.matches('text') ? style.fill : style.color; })"""
    paper = tab.evaluate("() => getComputedStyle(document.querySelector('.explorer')).backgroundColor")
    inks = set(tab.evaluate(asked))
    assert inks and all(contrast(ink, paper) >= 4.5 for ink in inks), (inks, paper)
    assert (luminance(paper) > 0.5) is light


def luminance(colour: str) -> float:
    """Return the relative luminance of a CSS colour rgb(r, g, b), by WCAG 2."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(*colours: str) -> float:
    """Return the contrast of two CSS colours, by WCAG 2."""
    dark, light = sorted(map(luminance, colours))
    return (light + 0.05) / (dark + 0.05)
