"""Verdicts, forecasts and numbers, said for a reader: words, icons, units, small pictures of intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from math import floor, inf, isfinite, log10
from typing import Any, Final, NamedTuple

from redlib.evidence.confirmation import Both
from redlib.evidence.verdicts import Leaf


class Standing(NamedTuple):
    """How a claim stands on fresh seeds: the word of its mark, and what that means."""

    word: str
    meaning: str


class Verdict(NamedTuple):
    """How a verdict is shown: its word, the path of its icon (16 x 16) and what it means."""

    word: str
    icon: str
    meaning: str


VERDICTS: Final = {
    "replicated": Verdict(
        "replicated",
        "M3 8.6l3.3 3.3L13 4.6",
        "The whole interval lies in the claimed range, in every part that the source states. Where a source can be "
        "read in several ways, one that holds is enough.",
    ),
    "partly": Verdict(
        "partly replicated",
        "M3 8.6l2.4 2.4L10 6M10.5 9.5l3.5 3.5M14 9.5l-3.5 3.5",
        "One part of what the source states holds and another does not; the reason names it.",
    ),
    "contradicted": Verdict(
        "contradicted",
        "M4 4l8 8M12 4l-8 8",
        "The interval lies in the other direction, or excludes a value that the source states, and no part holds. A "
        "small profile can only refute “it holds at this scale”.",
    ),
    "null": Verdict(
        "no effect",
        "M3.5 6h9M3.5 10h9",
        "No effect that matters: the 90% interval lies within the smallest effect of interest, ±δ, fixed beforehand.",
    ),
    "not_seen": Verdict(
        "not seen here",
        "M2.5 8s2-3.6 5.5-3.6S13.5 8 13.5 8s-2 3.6-5.5 3.6S2.5 8 2.5 8M3.5 13l9-10",
        "The source says that something can be. It is not in this setting, which refutes nothing.",
    ),
    "inconclusive": Verdict(
        "inconclusive",
        "M5.2 5.7a2.8 2.8 0 1 1 4.5 2.2C8.6 8.7 8 9.2 8 10.3M8 12.9v.3",
        "The interval overlaps the claimed range without lying in it, or the setting failed its own adequacy check.",
    ),
    "descriptive": Verdict(
        "descriptive",
        "M8 7v5.2M8 3.8v.3",
        "The source gives no direction or value: a measurement, no decision.",
    ),
    "plumbing_ok": Verdict(
        "plumbing ok",
        "M8 3.2a4.8 4.8 0 1 0 0 9.6a4.8 4.8 0 1 0 0-9.6M5.9 8.1l1.5 1.5 2.8-3",
        "A smoke run: the code ran and its numbers are finite. This is no evidence for or against the claim.",
    ),
    "not_run": Verdict("not run", "M4 8h8", "Not run at this profile, for the reason given."),
    "not_yet": Verdict(
        "not yet", "M8 3.4a4.6 4.6 0 1 0 0 9.2a4.6 4.6 0 1 0 0-9.2", "There is no result at this profile yet."
    ),
}
STANDINGS: Final = {
    "confirmed": Standing("confirmed", "The same verdict on the judged seeds and on fresh ones."),
    "fragile": Standing(
        "fragile",
        "Both blocks of seeds decide, and not alike: opposite directions, an effect and none, or a part that holds on "
        "one block and fails on the other. Both numbers are shown.",
    ),
    "undecided": Standing(
        "undecided",
        "On one block of seeds at least the verdict is inconclusive, or it is the same on both by different parts.",
    ),
    "fresh": Standing(
        "on fresh seeds",
        "The check was written after the first seeds had been seen, so only the fresh ones judge it.",
    ),
    "exploratory": Standing(
        "exploratory",
        "The check was written after these seeds had been seen, and fresh ones have not been run yet.",
    ),
    "outdated": Standing(
        "outdated",
        "The confirmation had another check, or seeds that are judged here: it confirms nothing.",
    ),
}
FORECASTS: Final = {
    "R": ("replicates", "expected to replicate"),
    "P": ("paper scale", "expected only at the paper's scale"),
    "D": ("doubtful", "doubtful: could go either way"),
    "X": ("fails", "expected not to replicate, or contested"),
    "E": ("open", "exploratory: the source gives no direction"),
}
_SUFFIX: Final = {"pp": " pp", "log2": " log₂", "nats": " nats", "z": " σ", "seconds": " s"}
_SIGNED: Final = {"pp", "log2", "slope", "correlation"}
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def forecast(prior: str, verdict: str) -> str:
    """Return 'as expected' or 'not as expected' where forecast and verdict can be compared, else ''."""
    expected = {"R": {"replicated"}, "X": {"contradicted", "null", "not_seen"}}.get(prior, set())
    if not expected or verdict not in {"replicated", "contradicted", "null", "not_seen"}:
        return ""
    return "as expected" if verdict in expected else "not as expected"


def number(value: float | None, spread: float = 0.0, signed: bool = False) -> str:
    """Return `value` with as many digits as its uncertainty `spread` (an interval's half-width) justifies."""
    if value is None or not isfinite(value):
        return "∞" if value == inf else "–"
    size, scale = abs(value), spread if spread > 0 and isfinite(spread) else abs(value) / 10
    if size >= 1e5 or max(size, 10 * scale) < 1e-3 and size > 0:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    else:
        decimals = min(4, max(0, 1 - floor(log10(scale)))) if scale else 0
        text = f"{value:,.{decimals}f}".replace(",", " ")
    text = text.replace("-", "−")
    if set(text) <= set("−0. "):
        text = text.lstrip("−")
    return f"+{text}" if signed and value > 0 else text


def estimate(part: dict[str, Any]) -> str:
    """Return an estimate with its unit: '+5.1 pp', '+0.50 log₂ (×1.41)'."""
    value, unit = part["estimate"], part["unit"]
    if value is None:
        return "–"
    text = number(value, half(part["ci95"]), unit in _SIGNED) + _SUFFIX.get(unit, "")
    return f"{text} (×{number(2.0**value, 2.0**value * half(part['ci95']))})" if unit == "log2" else text


def interval(part: dict[str, Any]) -> str:
    """Return the 95% interval of a part as '[1.2, 3.4]', '' where there is none."""
    if not part["ci95"] or None in part["ci95"]:
        return ""
    spread = half(part["ci95"])
    return "[{}, {}]".format(*(number(end, spread) for end in part["ci95"]))


def sentence(text: str) -> str:
    """Return text that starts with a capital and ends with a full stop, with minus signs."""
    return minus(text[:1].upper() + text[1:]).rstrip(".") + "." if text else ""


def threshold(leaf: Leaf) -> str:
    """Return the claimed range in words: '> 0 pp', '0.8 to 1.25', '0 ± 0.3 pp'; '' where nothing is claimed."""
    if leaf.region is None:
        return ""
    suffix = _SUFFIX.get(leaf.unit, "")
    if leaf.kind == "equivalence":
        return minus(f"{leaf.bounds.get('centre', 0.0):.3g} ± {leaf.bounds['delta']:.3g}{suffix}")
    low, high = leaf.region
    if isfinite(low) and isfinite(high):
        return minus(f"{low:.3g} to {high:.3g}{suffix}")
    sign, edge = (">", low) if isfinite(low) else ("<", high)
    factor = f" (×{2.0**edge:.3g})" if leaf.unit == "log2" and edge else ""
    return minus(f"{sign} {edge:.3g}{suffix}{factor}")


def plain(name: str) -> str:
    """Return an identifier as words."""
    return name.replace("_", " ")


def minus(text: str) -> str:
    """Return text in which hyphens before numbers are minus signs."""
    return re.sub(r"(?<![\w.])-(?=\.?\d)", "−", text)


def duration(seconds: float | None) -> str:
    """Return a wall time as '42 s', '3 min 12 s' or '1 h 5 min'; '–' for None."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def seed_count(row: dict[str, Any]) -> int:
    """Return how many seeds a record rests on, 0 where its unit is no seed."""
    per_seed = row.get("per_seed") or {}
    return len(row.get("seeds") or max((values or [] for values in per_seed.values()), key=len, default=[]))


def span(row: Mapping[str, Any], otherwise: str = "") -> str:
    """Return which seeds a record rests on, "seeds 0–9", `otherwise` where its unit is no seed."""
    own = row.get("seeds") or ()
    return f"seeds {min(own)}–{max(own)}" if len(own) > 1 else f"seed {own[0]}" if own else otherwise


def blocks(both: Both) -> str:
    """Return in a sentence what each block of seeds came to, "" where there is only one and nothing to say of it."""
    if both.standing == "exploratory":
        return "The check was written after these seeds were seen: exploratory."
    if both.standing == "outdated":
        return "Its confirmation had another check, or seeds that are judged here: make confirm renews it."
    if both.beside is None:
        return ""
    own, its = (VERDICTS[row["verdict"]].word for row in (both.row, both.beside))
    if both.standing == "fresh":
        where = span(both.beside, "the first ones")
        return f"Judged on fresh seeds{_bracketed(both.row)}; on {where}, where the check was written: {its}."
    first, second = span(both.row, "first seeds").capitalize(), span(both.beside, "fresh seeds")
    return f"{first}: {own}; {second}: {its}."


def _bracketed(row: Mapping[str, Any]) -> str:
    ends = span(row).partition(" ")[2]
    return f" ({ends})" if ends else ""


def seeds(rows: Sequence[dict[str, Any]]) -> str:
    """Return the number of seeds behind the records, '10' or '5 to 10' ('–' without any)."""
    counts = sorted({seed_count(row) for row in rows} - {0})
    return "–" if not counts else str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def instructions(record: dict[str, Any] | None) -> str:
    """Return with which instructions a run was computed, on a machine that has which; "" where nothing is recorded."""
    if not record:
        return ""
    machine = ", ".join(record["machine"]) or "no x86-64"
    used = "all of them" if record["evidence"] == "native" else f"{record['evidence']} only"
    return f"{used} (the machine has {machine})"


def picture(part: dict[str, Any], leaf: Leaf | None) -> str:
    """Return a small SVG of the interval against the claimed range (shaded); '' without an interval."""
    ends = part["ci95"]
    if not ends or None in ends or part["estimate"] is None:
        return ""
    region = leaf.region if leaf else None
    known = [*ends, part["estimate"], *(edge for edge in region or () if isfinite(edge))]
    low, high = min(known), max(known)
    pad = 0.18 * (high - low) or abs(high) or 1.0
    low, high = low - pad, high + pad

    def x(value: float) -> float:
        return round(120 * (min(max(value, low), high) - low) / (high - low), 1)

    shade = edges = ""
    if region:
        left, right = x(region[0]), x(region[1])
        shade = f'<rect class="claimed" x="{left:g}" y="1" width="{right - left:g}" height="18" rx="2"/>'
        edges = "".join(f'<path class="edge" d="M{x(e):g} 1v18"/>' for e in region if isfinite(e))
    claimed = (threshold(leaf) if leaf else "") or "nothing"
    label = escape(f"{estimate(part)} {interval(part)}, claimed: {claimed}", quote=True)
    line = f'<path class="ci" d="M{x(ends[0]):g} 10H{x(ends[1]):g}"/>'
    dot = f'<circle class="dot" cx="{x(part["estimate"]):g}" cy="10" r="3.6"/>'
    art = shade + edges + line + dot
    return f'<svg class="interval" role="img" aria-label="{label}" viewBox="0 0 120 20">{art}</svg>'


def half(ends: Sequence[float | None] | None) -> float:
    """Return half the width of an interval, 0 where it has none."""
    if not ends or ends[0] is None or ends[1] is None:
        return 0.0
    return (ends[1] - ends[0]) / 2
