"""Markdown and code -> HTML that reads offline: MathML, colour classes, outside addresses as plain text."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from html import escape, unescape
from typing import Any, Final, NamedTuple

import mistune
from latex2mathml.converter import convert
from pygments import highlight as coloured
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from redlib.errors import BadInput
from redlib.report.references import Reference

_SPECIAL = re.compile(
    r"(?P<code>```.*?```|~~~.*?~~~|`[^`\n]+`|\\\$)"
    r"|\[(?P<cited>@[\w:-]+(?:;\s*@[\w:-]+)*)\]"
    r"|\$\$(?P<block>.+?)\$\$"
    r"|\$(?=\S)(?P<inline>[^$\n]*?[^\s$\\])\$(?!\d)",
    re.DOTALL,
)
_MARK: Final = "xMATHx{}xHTAMx"
_MARKED = re.compile(r"<p>xMATHx(\d+)xHTAMx</p>|xMATHx(\d+)xHTAMx")
_MATHML: Final = (
    "math|semantics|merror|mfenced|menclose|mfrac|mglyph|mi|mmultiscripts|mn|mo|mover|mpadded|mphantom|mprescripts|mroot|"
    "mrow|ms|mspace|msqrt|mstyle|msub|msubsup|msup|mtable|mtd|mtext|mtr|munder|munderover|none"
)
_POWER = re.compile(r"(?<![\w.])(\d+)\^([-−]?\d+(?:\.\d+)?)")
_NO_MATHML = re.compile(rf"<(?!/?(?:{_MATHML})[\s/>])")
_OUTSIDE = re.compile(r"^(?:[a-z]+:)?//|^mailto:", re.IGNORECASE)


class Heading(NamedTuple):
    """One heading of the page: its level (2, 3, ...), its anchor and its text."""

    level: int
    anchor: str
    text: str


class Prose:
    """Renders the markdown cells of one page, so that anchors stay unique and headings are collected.

    `siblings` are the names of the studies that have a page: links to their notebooks lead there, links to
    other notebooks become text. `references` are the works that may be cited as [@key], or by author and year as
    their label says; those that were are in `cited`, in order.
    """

    def __init__(self, siblings: Collection[str] = (), references: Mapping[str, Reference] | None = None) -> None:
        self.headings: list[Heading] = []
        self.cited: dict[str, Reference] = {}
        self._references = references or {}
        self._labels = _labels(self._references)
        self._pattern = re.compile(f"{_SPECIAL.pattern}|{_named(self._labels)}", re.DOTALL)
        self._markdown = mistune.create_markdown(
            renderer=_Renderer(self.headings, siblings), plugins=["table", "strikethrough", "footnotes"]
        )

    def html(self, markdown: str) -> str:
        """Return the HTML of `markdown`; formulas ($...$, $$...$$) and citations are made first."""
        made: list[str] = []

        def protect(hit: re.Match[str]) -> str:
            if hit["code"]:
                return hit["code"]
            if hit["named"] and markdown.startswith("#", markdown.rfind("\n", 0, hit.start()) + 1):
                return hit[0]  # a heading is the text of a link already
            if hit["named"]:
                made.append(self._linked(hit))
            elif hit["cited"]:
                made.append(self._cite(re.findall(r"@([\w:-]+)", hit["cited"])))
            else:
                made.append(mathml((hit["block"] or hit["inline"]).strip(), "block" if hit["block"] else "inline"))
            return _MARK.format(len(made) - 1)

        body = scrolling_tables(str(self._markdown(self._pattern.sub(protect, markdown))))
        return _MARKED.sub(lambda hit: made[at] if (at := int(hit[1] or hit[2])) < len(made) else hit[0], body)

    def _cite(self, keys: Sequence[str]) -> str:
        for key in keys:
            if key not in self._references:
                known = ", ".join(sorted(self._references)) or "nothing"
                raise BadInput.of("citation", f"@{key}", known, "Add the work to references.bib.")
            self.cited[key] = self._references[key]
        links = (f'<a href="#ref-{key}">{escape(self.cited[key].label)}</a>' for key in keys)
        return f"({'; '.join(links)})"

    def linked(self, text: str) -> str:
        """Return plain text as HTML in which works named by author and year lead to the list of references."""
        made, end = [], 0
        for hit in re.finditer(_named(self._labels), text):
            made += [escape(text[end : hit.start()]), self._linked(hit)]
            end = hit.end()
        return "".join([*made, escape(text[end:])])

    def _linked(self, hit: re.Match[str]) -> str:
        key = self._labels[re.sub(r"\((\d+)\)", r"\1", hit[0])]
        self.cited[key] = self._references[key]
        return f'<a href="#ref-{key}">{escape(hit[0])}</a>'


def _labels(references: Mapping[str, Reference]) -> dict[str, str]:
    """Return label -> key of the works that no other has the label of."""
    every = [work.label for work in references.values()]
    return {work.label: key for key, work in references.items() if every.count(work.label) == 1}


def _named(labels: Collection[str]) -> str:
    """Return a pattern for the labels, 'Belkin et al. 2019' and 'Belkin et al. (2019)', outside the text of a link."""
    ways = [rf"{re.escape(name)} (?:{year}|\({year}\))" for name, _, year in (each.rpartition(" ") for each in labels)]
    return rf"(?<![\w\[])(?P<named>{'|'.join(ways)})(?!\w)" if ways else r"(?P<named>(?!))"


def inline(markdown: str) -> str:
    """Return the HTML of one paragraph of markdown without its <p>: a title, a question, a caption; 2^6 is raised."""
    return _POWER.sub(r"\1<sup>\2</sup>", re.sub(r"^<p>|</p>$", "", Prose().html(markdown).strip()))


def mathml(latex: str, display: str = "inline") -> str:
    """Return the MathML of one formula (display 'inline' or 'block'), without the namespace address."""
    try:
        markup = convert(latex, display=display)
        if unknown := re.search(r">(\\[a-zA-Z]+)<", markup):
            raise ValueError(f"unknown command {unknown[1]}")
    except Exception as error:  # the converter has no base class of its own for what it cannot read
        raise BadInput.of("formula", latex, "LaTeX that latex2mathml reads", f"Simplify it ({error!r}).") from error
    markup = _NO_MATHML.sub("&lt;", markup)  # the converter passes on what stands in \text
    markup = re.sub(r' xmlns="[^"]*"', "", markup).replace("<math ", f'<math alttext="{escape(latex)}" ', 1)
    return f'<div class="formula" tabindex="0">{markup}</div>' if display == "block" else markup


def highlight(source: str, language: str = "python") -> str:
    """Return `source` as <pre><code> with pygments' short class names; an unknown language stays plain."""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    body = coloured(source.strip("\n"), lexer, HtmlFormatter(nowrap=True))
    return f'<pre class="code" tabindex="0"><code>{body}</code></pre>\n'


def scrolling_tables(html: str) -> str:
    """Return table HTML (pandas', mistune's) in containers that scroll, without style blocks and borders."""
    html = re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL)
    html = re.sub(r'\s(?:border="\d+"|style="[^"]*")', "", html)
    return html.replace("<table", '<div class="scroll" tabindex="0"><table').replace("</table>", "</table></div>")


def slug(text: str) -> str:
    """Return an anchor made of the words of `text` (HTML allowed)."""
    words = re.findall(r"[a-z0-9]+", unescape(re.sub(r"<[^>]+>|xMATHx\d+xHTAMx", "", text)).lower())
    return "-".join(words[:8]) or "section"


class _Renderer(mistune.HTMLRenderer):
    """mistune's HTML with anchored headings, coloured code, scrolling tables, no outside address and no HTML of others.

    Names of folders and classes reach captions and answers: a tag in them is text like the rest.
    """

    def __init__(self, headings: list[Heading], siblings: Collection[str]) -> None:
        super().__init__(escape=False)  # True would also show entities (&sigma;) as they are written
        self._headings, self._siblings = headings, siblings

    def inline_html(self, html: str) -> str:
        return escape(html)

    def block_html(self, html: str) -> str:
        return f"<p>{escape(html.strip())}</p>\n"

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        base = anchor = "s-" + slug(text)
        taken, count = {heading.anchor for heading in self._headings}, 1
        while anchor in taken:
            count += 1
            anchor = f"{base}-{count}"
        level = max(level, 2)
        self._headings.append(Heading(level, anchor, re.sub(r"<[^>]+>", "", text)))
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        notebook = re.fullmatch(r"(?:\./)?(\w+)\.(?:ipynb|py|html)(#.*)?", url)
        if notebook:
            target = f"{notebook[1]}.html{notebook[2] or ''}"
            return f'<a href="{_attribute(target)}">{text}</a>' if notebook[1] in self._siblings else text
        if url.startswith("#"):
            return f'<a href="{_attribute(url)}">{text}</a>'
        return f'{text} <span class="address">{escape(_printed(url))}</span>' if _printed(url) not in text else text

    def image(self, text: str, url: str, title: str | None = None) -> str:
        if not url.startswith("data:image/"):
            raise BadInput.of("image", url, "data:image/... only", "Draw it in a code cell with study.figure.")
        return f'<img src="{_attribute(url)}" alt="{_attribute(text)}">'

    def block_code(self, code: str, info: str | None = None) -> str:
        return highlight(code, (info or "text").split()[0])


def _attribute(text: str) -> str:
    """Return text for an attribute; no formula can stand there, its quotes would end it."""
    return escape(re.sub(r"xMATHx\d+xHTAMx", "", text), quote=True)


def _printed(url: str) -> str:
    """Return how an outside address is printed: a DOI as such, others without their scheme."""
    doi = re.match(r"https?://(?:dx\.)?doi\.org/(.+)", url)
    return f"doi:{doi[1]}" if doi else _OUTSIDE.sub("", url)
