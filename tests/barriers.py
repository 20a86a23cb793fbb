"""What keeps somebody from using a page: what axe-core finds in a browser, and controls without a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

_AXE: Final = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
# All rules of axe-core, with everything unfolded; its impacts are minor, moderate, serious and critical.
_SEEK: Final = """async ([where, options]) => {
    document.querySelectorAll('details').forEach(d => { d.open = true; });
    const found = await axe.run(where || document, {resultTypes: ['violations'], ...options});
    return found.violations.filter(rule => ['serious', 'critical'].includes(rule.impact)).flatMap(
        rule => rule.nodes.map(node => `${rule.id} (${rule.impact}): ${node.target.join(' ')}`)); }"""
# A label names the first control inside it, which may be another than the one that it seems to name.
_NAMELESS: Final = """() => [...document.querySelectorAll('input, select, textarea, button')].filter(control => {
    const told = (control.getAttribute('aria-labelledby') || '').split(' ').map(id => document.getElementById(id));
    const names = [...told, ...(control.labels || []), control.matches('button') ? control : null];
    return !(control.getAttribute('aria-label') || names.some(name => name && name.textContent.trim()));
    }).map(control => control.outerHTML.slice(0, 120))"""
# This rule alone takes four fifths of the time, minutes on a narrow page, and colours are the same at all widths.
CONTRAST: Final = {"runOnly": ["color-contrast"]}
WITHOUT_CONTRAST: Final = {"rules": {"color-contrast": {"enabled": False}}}


def serious(tab: Any, where: str = "", options: dict[str, Any] | None = None) -> list[str]:
    """Return rule, impact and element of what axe-core calls serious or critical, in the page or within `where`."""
    tab.evaluate(_AXE.read_text(encoding="utf-8"))
    return tab.evaluate(_SEEK, [where, options or {}])


def nameless(tab: Any) -> list[str]:
    """Return the start of each control's HTML that has no label, no aria-label and, if a button, no text."""
    return tab.evaluate(_NAMELESS)
