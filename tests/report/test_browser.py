"""The pages in a real browser without a network: Debian's chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import report_fixtures as given
from barriers import CONTRAST, WITHOUT_CONTRAST, nameless, serious
from published import is_of_today

from redlib.report.html import index_page, study_card, study_page

pytestmark = pytest.mark.slow
COMMITTED = sorted(Path(__file__).parents[2].glob("reports/*/*.html"))
BOTH = [f"both/{name}" for name in ("index.html", f"{given.STUDY}.html")]  # with two blocks of seeds
NAMES = ["index.html", f"{given.STUDY}.html", *BOTH]
# A name is a page of the fixture, a path one of the repository; pages of older templates cannot be written anew without
# a run. They come last, so that a page has one number in both lists: by it, pytest does all tests of a page together.
OF_TODAY = [*NAMES, *filter(is_of_today, COMMITTED)]
# Other profiles have the colours of this one; what is left out comes last, as above.
OF_ONE_PROFILE = [page for page in OF_TODAY if isinstance(page, str) or page.parent.name in ("audit", "laptop")]
PAGES = [*OF_TODAY, *(page for page in COMMITTED if page not in OF_TODAY)]

# In the page: addresses that lead nowhere, and elements that stick out to the right.
BROKEN = """() => [...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))
    .filter(href => href.startsWith('#') && !document.getElementById(href.slice(1)))"""
OUTSIDE = """() => [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .filter(e => !e.closest('.art, .scroll, pre, .formula, .top, .skip, thead'))
    .map(e => e.tagName + '.' + e.className)"""
DRAWN = "explorer => [...explorer.querySelectorAll('svg')].map(svg => svg.innerHTML).join()"
PAINT = """() => [...document.querySelectorAll(
    '.chip, .soft, .question, .answer, .outcome, .star, .standing, .second')].map(e => {
    const paper = element => getComputedStyle(element).backgroundColor;
    let box = e;
    while (paper(box) === 'rgba(0, 0, 0, 0)') box = box.parentElement;
    return [e.className, getComputedStyle(e).color, paper(box)]; })"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Return a folder with the two fixture pages, and a second pair with a confirmation and rewritten checks."""
    where = tmp_path_factory.mktemp("pages")
    claims = given.claims()
    new = {id: replace(claims[id], rewritten="It asked for more.") for id in ("DD-5", "DD-11")}
    _write(where, claims, ())
    _write(where / "both", {**claims, **new}, given.confirmation())
    return where


def _write(where: Path, claims: Any, fresh: Any) -> None:
    """Write the pages of the study and of the index, with the records of a confirmation."""
    where.mkdir(exist_ok=True)
    notebook, records, run = given.notebook(), given.records(), given.run()
    more = {"siblings": [given.STUDY], "references": given.REFERENCES, "apart": ["code", "claims"] if fresh else []}
    study = study_page(notebook, records, run, claims, "laptop", study=given.STUDY, confirmation=fresh, **more)
    cards, runs = [study_card(notebook, given.STUDY)], {"laptop": {given.STUDY: run}}
    index = index_page(cards, claims, {"laptop": records}, runs, "laptop", {"laptop": fresh})
    (where / NAMES[0]).write_text(index, "utf-8")
    (where / NAMES[1]).write_text(study, "utf-8")


@contextmanager
def windows(browser: Any, folder: Path) -> Iterator[tuple[Callable[..., Any], list[str]]]:
    """Give a function that opens a page offline, and a list that fills with errors and requests seen since."""
    contexts, troubles = [], []

    def asked(route: Any) -> None:
        if not route.request.url.startswith("file://"):
            troubles.append(f"request for {route.request.url}")
        route.continue_()

    def opened(page: str | Path, width: int = 1400, anchor: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_offline(True)
        context.route("**/*", asked)
        tab = context.new_page()
        tab.on("console", lambda line: line.type in ("error", "warning") and troubles.append(line.text))
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.on("requestfailed", lambda request: troubles.append(f"failed: {request.url}"))
        tab.goto((folder / page).as_uri() + anchor)
        return tab

    yield opened, troubles
    for context in contexts:
        context.close()


@pytest.fixture
def visit(browser, folder) -> Iterator[Any]:
    """Return a function that opens a page offline; at the end, no error and no request may have been seen."""
    with windows(browser, folder) as (opened, troubles):
        yield opened
    assert troubles == []


@pytest.fixture(scope="module")
def page(request) -> str | Path:
    """Return the page that a test is given; the module's tests of one page come together."""
    return request.param


@pytest.fixture(scope="module")
def tabs(browser, folder, page) -> Iterator[tuple[Callable[..., Any], list[str]]]:
    """Give a function that opens the page once at each width and scheme, and a list of the troubles seen."""
    with windows(browser, folder) as (opened, troubles):
        yield cache(lambda width, scheme: opened(page, width, color_scheme=scheme)), troubles


@pytest.fixture
def look(tabs) -> Iterator[Callable[..., Any]]:
    """Return a function that shows the page to tests that only look, and may unfold; none may have seen a trouble."""
    shown, troubles = tabs
    yield lambda width=1400, scheme="light": shown(width, scheme)
    assert troubles == []


def name(page: str | Path) -> str:
    return page if isinstance(page, str) else f"{page.parent.name}/{page.name}"


@pytest.mark.parametrize("page", PAGES, ids=name, indirect=True)
def test_a_page_opens_without_network_errors_or_requests(look):
    tab = look()
    assert tab.locator("h1").is_visible() and tab.locator("main").is_visible()


def test_a_script_or_handler_that_is_not_ours_does_not_run(browser, folder):
    """The guard refuses such a page; should one get past it, the policy still stops the code and says so."""
    foreign = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
    html = (folder / NAMES[1]).read_text("utf-8").replace("<article>", f"<article>{foreign}", 1)
    path = folder / "attacked.html"
    path.write_text(html, "utf-8")
    tab, refused = browser.new_page(), []
    tab.on("console", lambda line: refused.append(line.text))
    tab.goto(path.as_uri())
    tab.locator("#theme").click()
    assert tab.evaluate("() => document.documentElement.dataset.theme"), "our own script runs"
    assert tab.title() != "owned"
    assert sum("Content Security Policy" in text for text in refused) >= 2
    tab.close()


@pytest.mark.parametrize("page", PAGES, ids=name, indirect=True)
def test_every_link_leads_somewhere(look, folder, page):
    tab = look()
    assert tab.evaluate(BROKEN) == []
    links = tab.eval_on_selector_all("a[href]", "found => found.map(a => a.getAttribute('href'))")
    for target, anchor in {tuple(link.partition("#")[::2]) for link in links if not link.startswith("#")}:
        file = (folder / page).parent / target
        assert file.exists(), target
        assert not anchor or f'id="{anchor}"' in file.read_text(encoding="utf-8"), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name, indirect=True)
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_overflows_even_with_everything_unfolded(look, width):
    tab = look(width)
    tab.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= width
    assert tab.evaluate(OUTSIDE) == []


@pytest.mark.parametrize("page", PAGES, ids=name, indirect=True)
def test_every_figure_has_a_size_and_a_name(look):
    tab = look()
    tab.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for figure in tab.locator("svg.plot").all():
        box, strip = figure.bounding_box(), "strip" in (figure.get_attribute("class") or "").split()  # a row a layer
        assert box["width"] > 150 and box["height"] > (10 if strip else 60)
        assert figure.get_attribute("aria-label") or figure.get_attribute("aria-hidden") == "true"


def test_every_committed_slider_changes_the_picture(visit):
    studies = [page for page in COMMITTED if page.name != "index.html"]
    found = 0
    for tab in map(visit, studies):
        for explorer in tab.locator(".explorer").all():
            slider = explorer.locator("input").last
            before = explorer.evaluate(DRAWN)
            slider.focus()
            slider.press("Home")
            slider.press("ArrowRight")
            assert explorer.evaluate(DRAWN) != before
            found += 1
    if not found:
        pytest.skip("no committed report has an explorer")


@pytest.mark.parametrize("page", OF_TODAY, ids=name, indirect=True)
@pytest.mark.parametrize("width", [400, 1400])
def test_axe_finds_nothing_serious(look, page, width):
    assert [(name(page), found) for found in serious(look(width), options=WITHOUT_CONTRAST)] == []


@pytest.mark.parametrize("page", OF_ONE_PROFILE, ids=name, indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_enough_contrast(look, page, scheme):
    assert [(name(page), found) for found in serious(look(scheme=scheme), options=CONTRAST)] == []


@pytest.mark.parametrize("page", OF_TODAY, ids=name, indirect=True)
def test_every_control_has_a_name(look):
    tab = look()
    assert tab.locator("button").count() and nameless(tab) == []


def test_barriers_are_found(visit):
    """The same page with a pale text, a figure without a name and a label that names an output."""
    tab = visit(NAMES[1])
    tab.evaluate("""() => document.querySelector('main').insertAdjacentHTML('afterbegin',
        '<p style="color: #bbb; background: #fff">pale</p><svg role="img" viewBox="0 0 1 1"></svg>' +
        '<label>name <output></output><input type="range"></label>')""")
    found = " ".join(serious(tab))
    assert "color-contrast (serious)" in found and "svg-img-alt (serious)" in found
    assert nameless(tab) == ['<input type="range">']


def test_one_button_shows_and_hides_all_code(visit):
    tab = visit(NAMES[1])
    unfolded = "() => [...document.querySelectorAll('details.cell')].filter(d => d.open).length"
    counts = [tab.evaluate(unfolded)]
    for _ in range(2):
        tab.locator("#code").click()
        counts.append(tab.evaluate(unfolded))
    assert counts[0] == counts[2] == 0 and counts[1] == tab.locator("details.cell").count() > 5


@pytest.mark.parametrize("page", NAMES)
def test_the_bar_shows_its_last_button_on_a_small_phone(visit, page):
    box = visit(page, width=360).locator("#theme").bounding_box()
    assert box["x"] + box["width"] <= 360


@pytest.mark.parametrize("page", NAMES)
def test_the_theme_follows_the_system_and_the_button_and_is_remembered(visit, page):
    background = "() => getComputedStyle(document.body).backgroundColor"
    light, dark = (visit(page, color_scheme=scheme).evaluate(background) for scheme in ("light", "dark"))
    assert light != dark
    tab = visit(page, color_scheme="light")
    tab.locator("#theme").click()
    assert tab.evaluate(background) == dark
    tab.reload()
    assert tab.evaluate(background) == dark


def test_figures_change_their_ink_with_the_theme(visit):
    colours = """() => [...document.querySelectorAll('article svg.plot *')].flatMap(
        e => [getComputedStyle(e).fill, getComputedStyle(e).stroke])"""
    light, dark = (set(visit(NAMES[1], color_scheme=s).evaluate(colours)) for s in ("light", "dark"))
    assert {"rgb(27, 31, 36)", "rgb(200, 206, 214)"} <= light - dark  # ink and grid
    assert {"rgb(228, 231, 235)", "rgb(58, 66, 75)"} <= dark - light


def test_print_hides_code_and_buttons_and_is_light(visit):
    tab = visit(NAMES[1], color_scheme="dark")
    tab.emulate_media(media="print")
    assert not tab.locator("nav.top").is_visible() and not tab.locator("details.cell").first.is_visible()
    assert tab.evaluate("() => getComputedStyle(document.querySelector('h1')).color") == "rgb(27, 31, 36)"
    assert tab.locator("article svg.plot").first.is_visible()


def test_the_index_filters_its_claims_by_verdict_and_by_word(visit):
    tab = visit(NAMES[0])
    rows = "() => [...document.querySelectorAll('.ledger tbody tr')].filter(r => !r.closest('[hidden]'))"
    shown = f"() => ({rows})().map(row => row.dataset.verdict)"
    tab.locator('.filters button[data-verdict="replicated"]').click()
    assert tab.evaluate(shown) == ["replicated"] * 3
    tab.locator("#find").fill("label noise")
    assert tab.evaluate(shown) == ["replicated"] * 2  # DD-5 and DD-13


def test_a_thumbnail_leads_to_its_figure(visit):
    tab = visit(NAMES[1])
    tab.locator('.finding a[href="#fig-dd_model"]').click()
    assert tab.locator("#fig-dd_model").bounding_box()["y"] < 300


def test_text_contrasts_with_its_background(visit):
    """Every verdict and the soft text reach 4.5:1 (WCAG AA) in both themes."""
    for scheme in ("light", "dark"):
        for page in NAMES:
            for what, ink, paper in visit(page, color_scheme=scheme).evaluate(PAINT):
                assert contrast(ink, paper) >= 4.5, (scheme, what, ink, paper)


def contrast(*colours: str) -> float:
    """Return the contrast of two CSS colours rgb(r, g, b), by WCAG 2."""
    light = []
    for colour in colours:
        channels = [int(part) / 255 for part in colour[4:-1].split(",")]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        light.append(sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))
    return (max(light) + 0.05) / (min(light) + 0.05)
