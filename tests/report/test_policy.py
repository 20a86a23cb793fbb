"""What a page may do: names that are markup stay text, no script but its own may run, nothing leads outside."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape

import nbformat
import pytest
import report_fixtures as given

from redlib.errors import BadInput
from redlib.report import cells
from redlib.report.figures import inline_svg
from redlib.report.html import index_page, study_card, study_page
from redlib.report.policy import check_page, content_policy
from redlib.report.prose import Prose, inline, mathml

ATTACK = "<img src=x onerror=alert(1)>"  # a folder of images may be called so
ATTACKS = [
    ATTACK,
    f"{ATTACK} wins",
    f"a\n\n{ATTACK}\n\nb",
    "<script>alert(1)</script>",
    "<svg onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<!-- <b> -->",
    r"$\text{<img src=x onerror=alert(1)>}$",
    "[t](#$onmouseover=alert(1)$)",
    "![x $y$ onerror=alert(1)](data:image/png;base64,AA==)",
    "[t](javascript:alert(1))",
    'xMATHx9xHTAMx <b a="xMATHx0xHTAMx">',
]
OURS = re.compile(r"</?(?:p|em|strong|code|span|math|m[a-z]+|semantics|a|img)\b[^<>]*>")


@pytest.mark.parametrize("text", ATTACKS)
def test_markup_in_prose_is_text(text):
    for html in (inline(text), Prose().html(text)):
        left = OURS.sub(lambda tag: "" if check_page(tag[0]) else "", html)
        assert "<" not in left, left


def test_what_is_escaped_can_still_be_read_and_the_rest_is_as_it_was():
    assert inline(f"*Images* of {ATTACK}") == f"<em>Images</em> of {escape(ATTACK)}"
    assert inline("a < b & c &sigma; `<b>`") == "a &lt; b &amp; c σ <code>&lt;b&gt;</code>"
    assert "<mo>&#x0003C;</mo>" in mathml("n<d")


def page(notebook, **run):
    """Return the study page of a notebook; `run` changes its entry of runs.json."""
    about = given.run() | run
    return study_page(
        notebook, given.records(), about, given.claims(), "laptop", study=given.STUDY, references=given.REFERENCES
    )


def test_a_name_that_is_markup_reaches_no_page_raw():
    caption = f"Error on {ATTACK} falls."
    notebook = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_markdown_cell(f"# On {ATTACK}\n\n**Question.** Is {ATTACK} hard?\n\n{ATTACK}\n\n## {ATTACK}"),
        given.code("1", given.shown_figure("dd_rff", caption), given.printed(ATTACK)),
        given.code("2", given.shown({"text/html": "<b>x</b>"}, kind="explorer", caption=ATTACK, alt=ATTACK)),
    ])  # fmt: skip
    run = given.run() | {"answer": f"Yes, {ATTACK}.", "cpu": ATTACK, "data": [{"name": ATTACK, "digest": "0"}]}
    study = page(notebook, **run)
    cards = [study_card(notebook, given.STUDY)]
    index = index_page(cards, given.claims(), {"laptop": given.records()}, {"laptop": {given.STUDY: run}}, "laptop")
    for html in (study, index):
        assert "<img" not in html and escape(ATTACK) in html


@pytest.mark.parametrize("name", ['x" onload="alert(1)', "../x", "", None])
def test_a_figure_whose_name_could_leave_its_attribute_is_refused(name):
    notebook = nbformat.v4.new_notebook(cells=[given.code("1", given.shown({}, kind="figure", name=name))])
    with pytest.raises(BadInput, match="figure = "):
        cells.figures(notebook)


def test_a_figure_loses_its_handlers_and_scripts():
    svg = '<svg viewBox="0 0 9 9" onload="a()"><g onClick="b()"><script>c()</script><text>t</text></g></svg>'
    drawn = inline_svg(svg, "x", "alt")
    assert "a()" not in drawn and "b()" not in drawn and "c()" not in drawn and "<text>t</text>" in drawn


def policy_of(html):
    """Return the directives of a page's policy: {name: sources}."""
    found = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
    assert len(found) == 1
    return dict(part.strip().split(" ", 1) for part in found[0].split(";"))


def digest(script):
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def test_the_policy_of_a_page_names_its_own_scripts_and_no_others():
    foreign = "alert('not ours')"
    notebook = given.notebook()
    notebook.cells.append(given.code("3", given.shown({"text/html": f"<p>x</p><script>{foreign}</script>"})))
    html = page(notebook)
    allowed = policy_of(html)["script-src"].split()
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 3 and foreign in scripts
    assert {digest(script) for script in scripts if script != foreign} == set(allowed)
    assert policy_of(html)["default-src"] == policy_of(html)["base-uri"] == "'none'"


def test_the_policy_of_the_index_lets_one_script_run():
    html = index_page([], given.claims(), {"laptop": given.records()}, {}, "laptop")
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert policy_of(html)["script-src"] == digest(script)


def test_a_policy_without_scripts_lets_none_run_and_line_ends_are_those_of_a_browser():
    assert "script-src 'none';" in content_policy([])
    assert content_policy(["a\r\nb\rc"]) == content_policy(["a\nb\nc"]) != content_policy(["abc"])


@pytest.mark.parametrize(
    "tag",
    [
        '<img srcset="https://a.b/c 2x">',
        "<img src=x onerror=alert(1)>",
        "<div ONCLICK='a()'>",
        '<iframe srcdoc="&lt;script&gt;">',
        '<p srcdoc="x">',
        '<a href="java&#115;cript:alert(1)">',
        '<a href=" java\nscript:alert(1)">',
        '<a href="//a.b">',
        '<a href="/etc/passwd">',
        '<a ping="https://a.b">',
        '<video poster="http://a.b/c"></video>',
        '<svg><use xlink:href="http://a.b/c#d"/></svg>',
        '<body background="//a.b">',
        '<base href="x">',
        '<form action="x"><button formaction="https://a.b">',
        '<meta http-equiv="Refresh" content="0;url=x">',
        "<object data=x></object>",
        "<style>@IMPORT 'x'</style>",
        '<p style="background:url( //a.b/c)">',
    ],
)
def test_a_page_that_leads_outside_or_holds_a_handler_is_refused(tag):
    with pytest.raises(BadInput, match="address in the report"):
        check_page(f"<p>x</p>{tag}")


def test_addresses_inside_the_file_and_words_about_handlers_are_no_fault():
    html = (
        '<link rel="icon" href="data:,"><a href="#x">a</a><a href="01_x.html#claim-1">b</a><a href="index.html">c</a>'
        '<img src="data:image/png;base64,AA=="><svg><use href="#art"/></svg><p>onerror=alert(1) src=//a.b &lt;</p>'
        '<script>const href = "https:"; a.onclick = "<img src=//x>";</script>'
    )
    assert check_page(html) == html
