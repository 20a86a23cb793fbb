"""Verdicts, forecasts and numbers, said for a reader: words, icons, units, small pictures of intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, inf, isfinite, log10
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from redlib.evidence import verdicts
from redlib.evidence.claims import PRIORS
from redlib.evidence.confirmation import Both
from redlib.evidence.verdicts import MOST_SEEDS, Leaf


class Standing(NamedTuple):
    """How a claim stands on fresh seeds: the word of its mark, and what that means."""

    word: str
    meaning: str


class Verdict(NamedTuple):
    """How a verdict is shown: its word, the path of its icon (16 x 16) and what it means."""

    word: str
    icon: str
    meaning: str


NUMBERS: Final = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
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
_FORECAST_WORDS: Final = {"R": "replicates", "P": "paper scale", "D": "doubtful", "X": "fails", "E": "open"}
FORECASTS: Final = {letter: (_FORECAST_WORDS[letter], meaning) for letter, meaning in PRIORS.items()}
SOURCES: Final = {  # the documents whose claims are run again; what they cite stands beside them by author and year
    "S0": "the essay “Sources of Redundancy”",
    "S1": "the lecture slides “Dive into DNNs”",
    "S2": "the text “Neural collapse and pruning”",
    "S3": "the report “Overparameterization”, on mislabelled images",
    "S4": "the slides “LTH through RMT”, on lottery tickets, mean field theory and random matrices",
}
OUTCOMES: Final = {  # what a part came to, at the end of its sentence
    "replicated": "it holds",
    "contradicted": "it does not hold",
    "null": "no effect that matters",
    "inconclusive": "undecided",
    "plumbing_ok": "not judged",
}
SCALES: Final = {
    "smoke": "smoke: tiny, no evidence",
    "laptop": "laptop: small embedded data",
    "mnist": "mnist: MNIST and its like",
    "paper": "paper: the papers' own settings",
}
_SUFFIX: Final = {"pp": " pp", "log2": " log₂", "nats": " nats", "z": " σ", "seconds": " s"}
FAR: Final = 100  # an end of a range between two numbers that lies as far stands for none
SIGNS: Final = {">": "more than", "<": "less than", "≥": "at least", "≤": "at most"}
_SIGNED: Final = {"pp", "log2", "slope", "correlation"}
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def in_words(number: int) -> str:
    """Return a number in words up to twelve, in digits beyond."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


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
    """Return text that starts with a capital and ends with a full stop, if with no other, with minus signs."""
    told = minus(text[:1].upper() + text[1:])
    return told if told.endswith(("?", "!")) or not told else told.rstrip(".") + "."


def because(text: str) -> str:
    """Return why a part claims its range, as sentences: that of the claim, and that of the smallest effect."""
    return " ".join(map(sentence, re.split(r" (?=No effect within )", text)))


def threshold(leaf: Leaf) -> str:
    """Return the claimed range in words: '> 0 pp', '0.8 to 1.25', '0 ± 0.3 pp'; '' where nothing is claimed."""
    if leaf.region is None:
        return ""
    suffix = _SUFFIX.get(leaf.unit, "")
    if leaf.kind == "equivalence":
        return minus(f"{leaf.bounds.get('centre', 0.0):.3g} ± {leaf.bounds['delta']:.3g}{suffix}")
    (low, high), closed = _ends(leaf.region), all(map(isfinite, leaf.region))
    if isfinite(low) and isfinite(high):
        return minus(f"{low:.3g} to {high:.3g}{suffix}")
    sign, edge = ("≥" if closed else ">", low) if isfinite(low) else ("≤" if closed else "<", high)
    factor = f" (×{2.0**edge:.3g})" if leaf.unit == "log2" and edge else ""
    return minus(f"{sign} {edge:.3g}{suffix}{factor}")


def _ends(region: tuple[float, float]) -> tuple[float, float]:
    """Return the ends of a claimed range, infinite where a finite one stands for none."""
    low, high = region
    return (low, inf) if high == FAR and isfinite(low) else (-inf, high) if low == -FAR and isfinite(high) else region


def asked(leaf: Leaf) -> str:
    """Return the claimed range for a sentence: 'more than 0 pp', 'a value between 0.8 and 1.25'; '' without one."""
    if leaf.region is None:
        return ""
    suffix = _SUFFIX.get(leaf.unit, "")
    if leaf.kind == "equivalence":
        return minus(f"at most {leaf.bounds['delta']:.3g}{suffix} away from {leaf.bounds.get('centre', 0.0):.3g}")
    low, high = _ends(leaf.region)
    if low == high:
        return minus(f"exactly {low:.3g}{suffix}")
    if isfinite(low) and isfinite(high):
        return minus(f"a value between {low:.3g} and {high:.3g}{suffix}")
    sign, edge = threshold(leaf).split(" ", 1)
    return f"{SIGNS[sign]} {edge}"


def says(part: Mapping[str, Any], leaf: Leaf | None) -> str:
    """Return what a part measures: the words of claims/, its name where there are none."""
    return (leaf.says if leaf else "") or plain(part["name"])


def question(part: Mapping[str, Any], leaf: Leaf | None) -> str:
    """Return what is asked of a part: 'asked for more than 0 pp', in which reading of the source."""
    reading = f"read as {plain(part['reading'])}, " if part.get("reading") else ""
    wanted = asked(leaf) if leaf else minus(part["threshold"])
    return f"{reading}asked for {wanted}" if wanted else f"{reading}no range is named"


def reason(row: Mapping[str, Any], leaves: Mapping[str, Leaf]) -> str:
    """Return a record's reason as a sentence: parts in their words, and no interval without ends."""
    text = re.sub(r"in \[([-−]?[\d.]+), 100\]", r"at least \1", row.get("reason", ""))
    text = re.sub(r"in \[[-−]100, ([-−]?[\d.]+)\]", r"at most \1", text)
    text = re.sub(r"(; )?\d\d% CI \[[-−]?(inf|∞), (inf|∞)\]", r"\1no interval", text)
    named, verdict = "|".join(map(re.escape, leaves)), "|".join(VERDICTS)
    if named:
        text = re.sub(rf"(^|: |; )({named}) ({verdict}):", lambda hit: _told_part(hit, leaves), text)
    return sentence(text)


def _told_part(hit: re.Match[str], leaves: Mapping[str, Leaf]) -> str:
    return f"{hit[1]}{says({'name': hit[2]}, leaves[hit[2]])}: {VERDICTS[hit[3]].word},"


class Open(NamedTuple):
    """Why a claim is inconclusive, and what would settle it; `seeds` is how many would, 0 where more are no help."""

    why: str
    settle: str
    seeds: int = 0


def undecided(row: Mapping[str, Any], leaves: Mapping[str, Leaf], gates: Mapping[str, str]) -> Open:
    """Return why an inconclusive record is so and what would settle it; `gates` says what it means where one fails."""
    if failed := [name for name, passed in row.get("adequacy", {}).items() if not passed]:
        told = "; ".join(gates.get(name) or f"“{plain(name)}” does not hold" for name in failed)
        why = f"The setting failed a test of its own, fixed before the run: {told.rstrip('.')}."
        return Open(minus(why), "A setting that passes it; until then the numbers say nothing on the claim.")
    parts = [SimpleNamespace(**{"of": "source", "reading": "", **part}) for part in row.get("parts", ())]
    counting = verdicts.deciding(parts)
    still = [part for part in counting if part.verdict == "inconclusive"]
    found = [_open_part(vars(part), leaves.get(part.name), _drawn(row, part.name)) for part in still]
    if not found:  # a record of an older algebra
        return Open(reason(row, leaves), "")
    if len(counting) < 2:
        return Open(_capital(found[0].why), found[0].settle)
    first = f"{len(still)} of {len(counting)} parts {'is' if len(still) == 1 else 'are'} open."
    each = (
        f"{_capital(says(vars(part), leaves.get(part.name)))}: {one.why}"
        for part, one in zip(still, found, strict=True)
    )
    last = max(found, key=lambda one: one.seeds)  # where seeds help all parts, the one that needs most of them
    hard = [one.settle for one in found if not one.seeds] or [last.settle]
    return Open(" ".join([first, *each]), " ".join(dict.fromkeys(hard)), last.seeds if hard == [last.settle] else 0)


def _drawn(row: Mapping[str, Any], name: str) -> list[float]:
    """Return the values per seed of a part, NaN where censored; none where its unit is no seed."""
    values = (row.get("per_seed") or {}).get(name) or []
    return [float("nan") if value is None else value for value in values]


def _open_part(part: Mapping[str, Any], leaf: Leaf | None, values: Sequence[float]) -> Open:
    """Return why one part is open, and what would settle it."""
    censored, seeds_ = part.get("censored") or 0, len(values)
    if 2 * censored > seeds_:
        settle = "Runs that get there, longer or over a wider range, on at least half of the seeds."
        return Open(f"{censored} of {seeds_} seeds have no value: they never got to what is measured.", settle)
    missing = f" {censored} of {seeds_} seeds have no value." if censored else ""
    if not interval(dict(part)):
        return Open(f"there are too few values for an interval.{missing}", "More seeds.")
    over = f"the interval, {_range(part, leaf)}, reaches across {_crossed(part, leaf)}.{missing}"
    if not seeds_ or leaf is None:
        return Open(over, _more_data(part, leaf))
    wanted, now = verdicts.seeds_needed(leaf, values), seeds_ - censored
    if wanted is None:
        over += f" Too much spread over {now} seeds for so small a distance to that end."
        return Open(over, f"A clearer effect or less spread: no number of seeds below {MOST_SEEDS} would do.")
    over += f" {now} seeds are too few for their spread."
    return Open(over, f"About {wanted} seeds, if mean and spread stay as they are.", wanted)


def _range(part: Mapping[str, Any], leaf: Leaf | None) -> str:
    ends = _deciding_ends(part, leaf)
    low, high = (number(end, half(ends)) for end in ends)
    return f"{low} to {high}{_SUFFIX.get(part['unit'], '')}"


def _deciding_ends(part: Mapping[str, Any], leaf: Leaf | None) -> Sequence[float]:
    """Return the ends of the interval that decides a part: 90% for an equivalence, if it is kept."""
    narrow = part.get("ci90") if leaf is not None and leaf.kind == "equivalence" else None
    return narrow if narrow and None not in narrow else part["ci95"]


def _edges(part: Mapping[str, Any], leaf: Leaf | None) -> list[float]:
    """Return the ends of the claimed range that the deciding interval reaches over."""
    low, high = _deciding_ends(part, leaf)
    return [edge for edge in (leaf.region if leaf else None) or () if isfinite(edge) and low <= edge <= high]


def _crossed(part: Mapping[str, Any], leaf: Leaf | None) -> str:
    found = [f"{edge:.3g}" for edge in _edges(part, leaf)]
    named = f"the bound{'s' * (len(found) > 1)} {' and '.join(found)}{_SUFFIX.get(part['unit'], '')}"
    return minus(named) if found else "an end of the claimed range"


def _more_data(part: Mapping[str, Any], leaf: Leaf | None) -> str:
    """Return how much more data would settle a part whose interval is not one over seeds, as its width shrinks."""
    low, high = _deciding_ends(part, leaf)
    there = part["estimate"]
    sides = [(edge - there, (high if edge > there else low) - there) for edge in _edges(part, leaf)]
    times = max((ceil((width / gap) ** 2) for gap, width in sides if gap), default=None)
    if not sides or times is None or times > MOST_SEEDS:
        return "A clearer effect: its interval rests on all data together, and no likely amount of them would do."
    return f"About {max(times, 2)} times the data, if the estimate stays: its interval rests on all of them together."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


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
