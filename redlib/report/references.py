"""references.bib, read: the works that the notebooks cite as [@key], as a short label and a full line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redlib.errors import BadInput

_ENTRY = re.compile(r"^@(\w+)\{([^,\s]+),(.*?)^\}", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"^\s*(\w+)\s*=\s*\{(.*?)\}\s*,?\s*$", re.MULTILINE)
_ACCENT = re.compile(r"\{\\(['`^\"~cv])\{?([A-Za-z])\}?\}")
_COMBINING: Final = {
    "'": "\u0301",
    "`": "\u0300",
    "^": "\u0302",
    '"': "\u0308",
    "~": "\u0303",
    "c": "\u0327",
    "v": "\u030c",
}


@dataclass(frozen=True)
class Reference:
    """A cited work: 'Belkin et al. 2019', and authors, year, title, place and DOI in one line."""

    label: str
    line: str


def load(path: Path) -> dict[str, Reference]:
    """Return the works of a BibTeX file by key (one field a line, values in braces); {} without the file.

    Raises BadInput for an entry without author, title or year, and for a key that occurs twice.
    """
    found: dict[str, Reference] = {}
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for _, key, body in _ENTRY.findall(text):
        fields = {name.lower(): _plain(value) for name, value in _FIELD.findall(body)}
        missing = {"author", "title", "year"} - set(fields)
        if missing or key in found:
            why = f"an entry without {', '.join(sorted(missing))}" if missing else "twice"
            raise BadInput.of(f"{path.name} entry", key, "one entry with author, title, year", f"It is there {why}.")
        found[key] = _reference(fields)
    return found


def _reference(fields: Mapping[str, str]) -> Reference:
    people = [_surname(name) for name in fields["author"].split(" and ")]
    short = people[0] if len(people) == 1 else " & ".join(people) if len(people) == 2 else f"{people[0]} et al."
    everybody = people[0] if len(people) == 1 else f"{', '.join(people[:-1])} and {people[-1]}"
    where = next(
        (fields[name] for name in ("journal", "booktitle", "howpublished", "institution") if name in fields), ""
    )
    volume = f" {fields['volume']}" if "volume" in fields else ""
    pages = f", {fields['pages']}" if "pages" in fields else ""
    at = f"doi:{fields['doi']}" if "doi" in fields else f"arXiv:{fields['eprint']}" if "eprint" in fields else ""
    parts = [f"{everybody} ({fields['year']})", fields["title"], f"{where}{volume}{pages}", fields.get("note", ""), at]
    return Reference(f"{short} {fields['year']}", ". ".join(part for part in parts if part) + ".")


def _surname(name: str) -> str:
    return name.split(",")[0].strip() if "," in name else name.split()[-1]


def _plain(value: str) -> str:
    """Return a BibTeX value as text: accents, dashes, no braces."""
    accented = _ACCENT.sub(lambda hit: unicodedata.normalize("NFC", hit[2] + _COMBINING[hit[1]]), value)
    return re.sub(r"[{}]", "", accented).replace("--", "–").strip()
