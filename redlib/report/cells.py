"""An executed notebook, read: title, question, parameters, figures, and its cells as blocks of HTML."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from redlib.errors import BadInput
from redlib.evidence.study import IDENTIFIER
from redlib.report.figures import inline_svg
from redlib.report.prose import Prose, highlight, inline, scrolling_tables
from redlib.report.wording import minus

WIDGET: Final = "application/vnd.jupyter.widget-view+json"
FOLDED_LINES: Final = 8  # printed output longer than this is folded
FOLDED_ROWS: Final = 20  # a longer table as well
_QUESTION = re.compile(r"^(?:>\s*)?\**Question\**\s*[.:]?\**\s*(.+?)(?=\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r"^#\s+(.+)$", re.MULTILINE)
# What a cell that draws leaves behind: the figures that count are shown by study.figure, and addresses in
# memory would make every report differ from the last.
_REPR = re.compile(r"(?s)<Figure size|<[\w.]+[^>]* at 0x[0-9a-f]+>$|[(\[].*(<matplotlib\.|None, None)")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """A figure of the notebook: SVG text, the finding it shows (caption), what one sees (alt), claim ids.

    `meaning` says what follows from it; `data` is the address of the table of what it draws, from the page.
    """

    name: str
    svg: str
    caption: str
    alt: str
    claims: tuple[str, ...]
    meaning: str = ""
    data: str = ""


@dataclass(frozen=True)
class Parameter:
    """A knob of the notebook: name, value in this run and the comment beside its default."""

    name: str
    value: str
    comment: str


def front(notebook: Any) -> tuple[str, str, str]:
    """Return (title, question, the rest of the first markdown cell); '' for what it lacks.

    The title is the first `# heading`, the question the paragraph that starts with "Question".
    """
    first = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    title, question = _TITLE.search(first), _QUESTION.search(first)
    rest = _QUESTION.sub("", _TITLE.sub("", first, count=1), count=1).strip()
    words = re.sub(r"\n>?\s*", " ", question[1]).strip() if question else ""
    return title[1].strip() if title else "", words, rest


def figures(notebook: Any) -> list[Figure]:
    """Return the figures that study.figure showed, in order; BadInput for two of one name."""
    found = [_figure(output, about) for output, about in _outputs(notebook) if about.get("kind") == "figure"]
    names = [figure.name for figure in found]
    for name in names:
        if names.count(name) > 1:
            raise BadInput.of("figure", name, "one figure of a name", "Give study.figure another name.")
    return found


def parameters(notebook: Any) -> list[Parameter]:
    """Return the parameters of the run: injected values over the defaults, with the defaults' comments."""
    default, injected = (_assignments(notebook, tag) for tag in ("parameters", "injected-parameters"))
    return [Parameter(name, injected.get(name, (value, ""))[0], comment) for name, (value, comment) in default.items()]


def minutes_to_read(notebook: Any) -> int:
    """Return the minutes a reader needs: 220 words a minute and 20 seconds a figure."""
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    shown = sum(about.get("kind") in {"figure", "explorer"} for _, about in _outputs(notebook))
    return max(1, round(words / 220 + shown / 3))


def verdicts(notebook: Any) -> list[str]:
    """Return the ids of the claims whose verdicts the notebook shows, in order."""
    return [about["id"] for _, about in _outputs(notebook) if about.get("kind") == "verdict"]


def scripts(notebook: Any) -> list[str]:
    """Return the scripts of the explorers that study.explorer showed, in order; of other outputs none may run."""
    shown = (output for output, about in _outputs(notebook) if about.get("kind") == "explorer")
    return [script for output in shown for script in _SCRIPT.findall(_text(output.data.get("text/html", "")))]


def blocks(
    notebook: Any, prose: Prose, card: Callable[[str], str], marks: Callable[[Figure], str] = lambda _: ""
) -> Iterator[str]:
    """Yield the HTML of each cell in order.

    `card(claim id)` is the HTML of a verdict card, `marks(figure)` what follows a figure's caption.
    """
    show: dict[str, Callable[[Any, dict[str, Any]], str]] = {
        "figure": lambda output, about: figure_html(figure := _figure(output, about), marks(figure)),
        "verdict": lambda _, about: card(about["id"]),
        "explorer": lambda output, about: _explorer(_text(output.data["text/html"]), about),
    }
    opening = True
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "remove-cell" in tags:
            continue
        if cell.cell_type == "markdown":
            yield prose.html(front(notebook)[2] if opening else cell.source)
            opening = False
        elif cell.cell_type == "code":
            yield _code(cell.source, tags)
            for output, about in _cell_outputs(cell):
                known = show.get(about.get("kind", ""))
                yield known(output, about) if known else _output(output, prose)


def _outputs(notebook: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield from _cell_outputs(cell)


def _cell_outputs(cell: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield (output, what redlib says about it); printed pieces that follow each other are one."""
    printed = ""
    for output in cell.outputs:
        if output.output_type == "stream":
            printed += "" if output.name == "stderr" else _text(output.text)
        else:
            yield output, dict(output.get("metadata", {}).get("redlib", {}))
    if printed.strip():
        yield {"output_type": "stream", "text": printed}, {}


def _figure(output: Any, about: dict[str, Any]) -> Figure:
    if not re.fullmatch(IDENTIFIER, str(about.get("name"))):
        allowed, remedy = "lower-case letters, digits and _", "It becomes an id of the page: show it with study.figure."
        raise BadInput.of("figure", about.get("name"), allowed, remedy)
    svg = _text(output.data.get("image/svg+xml", ""))
    told = {name: str(about.get(name, "")) for name in ("caption", "alt", "meaning", "data")}
    return Figure(name=about["name"], svg=svg, claims=tuple(about.get("claims", ())), **told)


def figure_html(figure: Figure, marks: str = "") -> str:
    """Return the <figure> with its caption; `marks` is HTML put after the caption (its verdicts)."""
    art = inline_svg(figure.svg, figure.name, figure.alt or figure.caption)
    told = inline(minus(figure.caption)) + meaning_html(figure)
    caption = f'{told}<span class="marks">{marks}</span>{data_html(figure)}'
    drawn = f'<div class="art" tabindex="0">{art}</div><figcaption>{caption}</figcaption>'
    return f'<figure id="fig-{figure.name}">{drawn}</figure>'


def meaning_html(figure: Figure) -> str:
    """Return what a figure means, to stand under its caption; '' where nothing is said."""
    told = inline(minus(figure.meaning)) if figure.meaning else ""
    return f'<span class="meaning"><strong>What it means</strong> {told}</span>' if told else ""


def data_html(figure: Figure) -> str:
    """Return the link to the table of what a figure draws; '' where there is none."""
    return f'<a class="data" href="{escape(figure.data)}">The data behind this figure</a>' if figure.data else ""


def _code(source: str, tags: Sequence[str]) -> str:
    if not source.strip() or {"hide-input", "remove-input"} & set(tags):
        return ""
    lines = len(source.strip().splitlines())
    label = {"parameters": "Parameters (defaults)", "injected-parameters": "Parameters of this run"}
    name = next((label[tag] for tag in tags if tag in label), "Code")
    count = f"{lines} line{'s' if lines > 1 else ''}"
    return f'<details class="cell"><summary>{name} <span>{count}</span></summary>{highlight(source)}</details>'


def _output(output: Any, prose: Prose) -> str:
    """Return an output redlib says nothing about in its richest form; a widget needs a kernel and is left out."""
    if output["output_type"] == "stream":
        return _printed(output["text"])
    if output["output_type"] == "error":
        trace = _ANSI.sub("", "\n".join(output.traceback) or f"{output.ename}: {output.evalue}")
        return f'<pre class="error" role="alert" tabindex="0">{escape(trace)}</pre>'
    data = output.data
    if WIDGET in data or _REPR.match(_text(data.get("text/plain", ""))):
        return ""
    if "text/html" in data:
        return _table(scrolling_tables(_text(data["text/html"])))
    if "text/markdown" in data:
        return prose.html(_text(data["text/markdown"]))
    if "image/png" in data:
        png = "".join(_text(data["image/png"]).split())
        return f'<figure><img alt="" src="data:image/png;base64,{png}"></figure>'
    return _printed(_text(data.get("text/plain", "")))


def _explorer(html: str, about: dict[str, Any]) -> str:
    label = escape(about.get("alt") or about.get("caption", ""), quote=True)
    caption = f"<figcaption>{inline(about.get('caption', ''))}</figcaption>"
    return f'<figure class="explorable" role="group" aria-label="{label}">{html}{caption}</figure>'


def _table(html: str) -> str:
    """Return a table, folded where it is long: a reader of the story passes it by, a researcher opens it."""
    if (rows := html.partition("<tbody>")[2].count("<tr")) <= FOLDED_ROWS:
        return html
    name = "Settings" if "<th>setting</th>" in html else "Table"
    return f'<details class="cell"><summary>{name} <span>{rows} rows</span></summary>{html}</details>'


def _printed(text: str) -> str:
    lines = _ANSI.sub("", text).strip().splitlines()
    shown = f'<pre class="printed" tabindex="0">{escape(chr(10).join(lines))}</pre>' if lines else ""
    if len(lines) <= FOLDED_LINES:
        return shown
    return f'<details class="cell"><summary>Printed <span>{len(lines)} lines</span></summary>{shown}</details>'


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)


def _assignments(notebook: Any, tag: str) -> dict[str, tuple[str, str]]:
    """Return name -> (value as written, comment at the end of its line) of the cells with this tag."""
    found: dict[str, tuple[str, str]] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code" or tag not in cell.metadata.get("tags", []):
            continue
        lines = cell.source.splitlines()
        for node in ast.parse(cell.source).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and value is not None:
                after = lines[(node.end_lineno or 1) - 1].encode()[node.end_col_offset :].decode()
                found[target.id] = (ast.unparse(value), after.strip().lstrip("# "))
    return found
