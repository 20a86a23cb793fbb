"""What a page may do: a policy that lets only its own scripts run, and no address or handler of anybody else in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Final

from redlib.errors import BadInput

# Attributes that name an address: it must lie in the file or beside it.
_ADDRESSES: Final = {
    *("src", "srcset", "imagesrcset", "href", "xlink:href", "action", "formaction", "data", "poster", "background"),
    *("cite", "ping", "longdesc", "manifest"),
}
_FORBIDDEN: Final = {"iframe", "frame", "object", "embed", "applet", "base", "form", "portal"}
_INSIDE: Final = re.compile(r"#|data:|(?:(?:\.\./){1,2}(?:\w+/)+)?[\w.-]+(?:#|$)|$")  # ../: profiles, results
_STYLE: Final = re.compile(r"@import|url\(\s*[\"']?\s*(?:https?:)?//", re.IGNORECASE)


def content_policy(scripts: Iterable[str]) -> str:
    """Return the Content-Security-Policy of a page whose `scripts` (the text between their tags) alone may run.

    Scripts go by their SHA-256, so one that a name smuggles in does not run, nor does an attribute such as onerror.
    Styles are inline, images are data, and nothing else is loaded or sent.
    """
    digests = (hashlib.sha256(_as_read(script).encode()).digest() for script in scripts)
    allowed = dict.fromkeys(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    sources = " ".join(allowed) or "'none'"
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {sources}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def check_page(html: str) -> str:
    """Return the page unchanged; BadInput where it leads outside, holds a handler, or frames another page."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    if style := _STYLE.search(html):
        reader.refused.append(html[max(0, style.start() - 20) : style.end() + 60])
    if reader.refused:
        allowed = "addresses inside the file only, and no code in attributes"
        raise BadInput.of("address in the report", reader.refused[0], allowed, "Print it as text.")
    return html


def _as_read(script: str) -> str:
    """Return a script as a browser reads it, which has one kind of line end."""
    return script.replace("\r\n", "\n").replace("\r", "\n")


class _Reader(HTMLParser):
    """Collects the tags that a page may not have, as they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        elsewhere = tag == "meta" and (dict(attrs).get("http-equiv") or "").strip().lower() == "refresh"
        if elsewhere or tag in _FORBIDDEN or any(_leads_outside(name, value or "") for name, value in attrs):
            self.refused.append((self.get_starttag_text() or tag)[:200])


def _leads_outside(name: str, value: str) -> bool:
    if name.startswith("on") or name == "srcdoc":
        return True
    return name in _ADDRESSES and not _INSIDE.match("".join(value.split()))
