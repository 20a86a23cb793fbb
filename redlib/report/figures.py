"""Matplotlib SVG -> inline SVG that follows the page: its colours, its font, its width."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Final
from xml.etree import ElementTree as ET

from redlib.errors import BadInput

# The colours of plots.py become variables of the page: one SVG serves the light, dark and printed page.
SENTINELS: Final = {
    "#1b1f24": "var(--ink)",
    "#000000": "var(--ink)",
    "#c8ced6": "var(--grid)",
    "#ffffff": "var(--figure-paper)",
    "#0072b2": "var(--blue)",
    "#d55e00": "var(--orange)",
    "#009e73": "var(--green)",
    "#aa4499": "var(--purple)",
    "#c98a00": "var(--gold)",
    "#3aa0d8": "var(--sky)",
    "#7a828c": "var(--grey)",
    "#7f2704": "var(--warm-1)",
    "#c2410c": "var(--warm-2)",
    "#e8792b": "var(--warm-3)",
    "#f2a65e": "var(--warm-4)",
    "#08306b": "var(--cold-1)",
    "#2171b5": "var(--cold-2)",
    "#5ba3d9": "var(--cold-3)",
}
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_LOCAL = re.compile(r"url\(#([^)]+)\)")
_FAMILY = re.compile(r"'DejaVu Sans'(?:,[^;]*?sans-serif)?")
_COLOUR = re.compile("|".join(SENTINELS), re.IGNORECASE)
_SHAPE_ATTRIBUTES = {"d", "x", "y", "x1", "x2", "y1", "y2", "points"}
_DROPPED = {"metadata", "style", "title", "script"}
_LARGE_SIDE_PT: Final = 1e4


def inline_svg(svg: str, name: str, alt: str = "") -> str:
    """Return `svg` (a matplotlib file) as inline SVG with role=img and `alt` as its label.

    The colours of plots.py become CSS variables, the font the page's; ids get the prefix `name`, coordinates
    two decimals of a point; metadata, doctype and namespaces go, so that nothing names an outside address.
    The drawing is a group with id `art-<name>`: a thumbnail is a <use> of it and costs nothing.
    """
    root = _parse(svg, name)
    width, height = _size(root, name)
    _clean(root)
    _prefix_ids(root, name)
    body = "".join(ET.tostring(child, encoding="unicode") for child in root)
    body = re.sub(r">\s+<", "><", body)
    label = f'aria-label="{escape(alt, quote=True)}"' if alt else 'aria-hidden="true"'
    return (
        f'<svg class="plot" role="img" {label} viewBox="0 0 {width:g} {height:g}"'
        f' style="--w:{width:g}"><g id="art-{name}">{body}</g></svg>'
    )


def thumbnail(svg: str, name: str, alt: str = "") -> str:
    """Return an <svg> that shows again the figure `name`, which `inline_svg` draws; it is decorative without `alt`."""
    width, height = _size(_parse(svg, name), name)
    label = f'role="img" aria-label="{escape(alt, quote=True)}"' if alt else 'aria-hidden="true"'
    box = f'viewBox="0 0 {width:g} {height:g}" style="--w:{width:g}"'
    return f'<svg class="plot" {label} {box}><use href="#art-{name}"/></svg>'


def _parse(svg: str, name: str) -> ET.Element:
    """Return the root element of the SVG text, tags without namespaces."""
    try:
        root = ET.fromstring(svg)
    except ET.ParseError as error:
        raise BadInput.of(f"figure {name}", svg[:60], "an SVG document", f"Save it again ({error}).") from error
    for element in root.iter():
        element.tag = str(element.tag).rpartition("}")[2]
        element.attrib = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    if root.tag != "svg":
        raise BadInput.of(f"figure {name}", root.tag, "an <svg> root", "Save it again with format='svg'.")
    return root


def _size(root: ET.Element, name: str) -> tuple[float, float]:
    """Return (width, height) of the viewBox, in points."""
    box = [float(part) for part in root.get("viewBox", "").replace(",", " ").split()]
    if len(box) != 4 or not all(0 < side < _LARGE_SIDE_PT for side in box[2:]):
        raise BadInput.of(f"viewBox of figure {name}", root.get("viewBox"), "'0 0 width height'", "Save it again.")
    return box[2], box[3]


def _walk(root: ET.Element) -> Iterator[tuple[ET.Element, ET.Element]]:
    """Yield (parent, child), the children of each parent in a copy of its list: the caller may remove."""
    for parent in root.iter():
        for child in list(parent):
            yield parent, child


def _clean(root: ET.Element) -> None:
    """Remove what the page does not need; theme colours and fonts; round coordinates."""
    for parent, child in _walk(root):
        if child.tag in _DROPPED:
            parent.remove(child)
    for element in root.iter():
        element.attrib = {key: value for key, value in element.attrib.items() if not key.lower().startswith("on")}
        for key, value in element.attrib.items():
            if key in _SHAPE_ATTRIBUTES:
                element.set(key, _NUMBER.sub(_two_decimals, " ".join(value.split())))
            elif key == "style" or key in {"fill", "stroke"}:
                element.set(key, _theme(value))
        if element.tag == "text":
            _flow(element)
        elif element.tag == "image":
            element.set("href", "".join(element.get("href", "").split()))


def _theme(style: str) -> str:
    coloured = _COLOUR.sub(lambda hit: SENTINELS[hit[0].lower()], style)
    return _FAMILY.sub("var(--sans)", coloured)


def _two_decimals(hit: re.Match[str]) -> str:
    return f"{float(hit[0]):.2f}".rstrip("0").rstrip(".") or "0"


def _flow(text: ET.Element) -> None:
    """Join mathtext's tspan per glyph into runs that flow: the page's font is not as wide as matplotlib's."""
    spans = list(text)
    places = [float(span.get("x", "0").split()[0]) for span in spans]
    if not spans or places != sorted(places):
        return
    before: ET.Element | None = None
    level = 0.0
    text.text = None
    for span in spans:
        height, span.tail = float(span.get("y", "0").split()[0]), None
        span.set("y", f"{height:g}")
        if before is not None and span.get("style") == before.get("style") and abs(height - level) < 0.01:
            before.text = (before.text or "") + (span.text or "")
            text.remove(span)
            continue
        if before is not None:
            span.attrib.pop("x", None)
            span.attrib.pop("y", None)
            span.set("dy", f"{height - level:.2f}")
        before, level = span, height


def _prefix_ids(root: ET.Element, name: str) -> None:
    """Rename the ids that something refers to `<name>-id`, and drop the others."""
    used: set[str] = set()
    for element in root.iter():
        used.update(hit for value in element.attrib.values() for hit in _LOCAL.findall(value))
        if element.get("href", "").startswith("#"):
            used.add(element.attrib["href"][1:])
    for element in root.iter():
        own = element.attrib.pop("id", None)
        for key, value in element.attrib.items():
            element.set(key, _LOCAL.sub(rf"url(#{name}-\1)", value))
        if element.get("href", "").startswith("#"):
            element.set("href", f"#{name}-{element.attrib['href'][1:]}")
        if own in used:
            element.set("id", f"{name}-{own}")
