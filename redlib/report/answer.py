"""What the index says before its cards, from the records: what the surplus does, what can go, what stays open, where
profiles agree, and all claims in one picture.

It knows no study. A file of claims/ may say which of its claims answer the title of the index, best first:

    answers: {does: [DD-1, DD-5], goes: [LTH-2]}

For a study whose file does not, its first primary claims speak.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any, Final, NamedTuple

from redlib.errors import BadInput
from redlib.evidence.claims import Claim, StudyInfo, load_studies
from redlib.evidence.confirmation import Both, together
from redlib.evidence.paths import EVIDENCE_PROFILES
from redlib.evidence.verdicts import DECIDED
from redlib.report.wording import STANDINGS, VERDICTS, in_words

Answers = Mapping[str, Mapping[str, Sequence[str]]]  # by study: {group: claim ids}
Found = Mapping[str, Mapping[str, Both]]  # by profile: the blocks of each claim
Records = Mapping[str, Sequence[Mapping[str, Any]]]  # by profile

OTHERS: Final = "others"  # the group of studies that name no answers
GROUPS: Final = {
    "does": "What the surplus does",
    "goes": "What can go",
    OTHERS: "What the first claims of other studies came to",
}
FEW: Final = 2  # claims that speak for a study which names none
LEADS: Final = {  # how a sentence on a claim begins, by verdict
    "replicated": "Holds",
    "partly": "Holds in part",
    "contradicted": "Does not hold",
    "null": "No effect that matters",
    "not_seen": "Not seen",
    "inconclusive": "Undecided",
    "descriptive": "Measured only",
    "plumbing_ok": "Ran, which is no evidence,",
    "not_run": "Not run",
    "not_yet": "No result yet",
}
WHY_OPEN: Final = {  # why a verdict is inconclusive, in the order in which a record is asked
    "setting": "the setting failed a check of its own",
    "censored": "too few seeds ever got to what is measured",
    "power": "there are too few seeds to tell a small effect from none",
    "overlap": "the interval reaches over an end of the claimed range",
}
WIDTH: Final = 400  # of the picture, in pixels of a phone: its letters are as large there as they are here
LEFT, CELL, COLUMNS, HEAD, GAP = 50, 17.5, 20, 24, 8


class Sentence(NamedTuple):
    """A sentence on one claim: how it begins, what the claim says; `verdict` is that of the page's profile."""

    claim: Claim
    verdict: str
    lead: str


class Links:
    """Claim ids as links to the pages that exist."""

    def __init__(self, claims: Mapping[str, Claim], pages: Collection[str]) -> None:
        self._where = {id: claim.study for id, claim in claims.items() if claim.study in pages}

    def __call__(self, id: str) -> str:
        """Return the id as HTML, a link where the claim's study has a page."""
        return f'<a href="{self._where[id]}.html#claim-{id}">{id}</a>' if id in self._where else escape(id)

    def every(self, ids: Iterable[str]) -> str:
        """Return the ids as HTML, with commas."""
        return ", ".join(map(self, ids))


def section(
    claims: Mapping[str, Claim],
    titles: Mapping[str, str],
    records: Records,
    confirmations: Records,
    profile: str,
    pages: Collection[str],
    answers: Answers | None = None,
) -> str:
    """Return the answer as HTML, "" before anything was judged at `profile`.

    `titles` are those of the studies; `records` and `confirmations` are by profile; `pages` are the studies that have a
    page beside the index; `answers` (default: what claims/ says) name the claims that answer, by study.
    """
    found = blocks(claims, records, confirmations, profile)
    if not found[profile]:
        return ""
    named, link = stated(claims, load_studies()) if answers is None else answers, Links(claims, pages)
    groups = chosen(claims, named, {claims[id].study for each in found.values() for id in each})
    told = {GROUPS[group]: _list(sentences(claims, ids, found, profile), link) for group, ids in groups.items()}
    rest = {"What could not be decided": _paragraph(undecided(found[profile], profile, link))}
    for first, second in combinations(found, 2):
        head = f"Where {first} and {second} agree, and where not"
        rest[head] = _paragraph(agreement(found[first], found[second], first, second, link))
    style = (Path(__file__).parent / "templates" / "answer.css").read_text(encoding="utf-8")
    beside = f"{figure(claims, titles, found)}\n{_headed(rest)}"
    body = f'<div class="answers">\n<div>\n{_headed(told)}</div>\n<div>\n{beside}</div>\n</div>'
    return f'<section id="answer">\n<style>{style}</style>\n<h2>The answer so far</h2>\n{body}\n</section>'


def blocks(claims: Mapping[str, Claim], records: Records, confirmations: Records, profile: str) -> Found:
    """Return the blocks of each claim by the profiles that are shown together: a smoke run, no evidence, stands alone.

    Records on claims that are no more are left out.
    """
    evidence = [name for name in EVIDENCE_PROFILES if records.get(name) or name == profile]
    shown = evidence if profile in evidence else [profile]
    known = {name: [row for row in records.get(name, ()) if row["id"] in claims] for name in shown}
    return {name: together(claims, rows, confirmations.get(name, ())) for name, rows in known.items()}


def stated(claims: Mapping[str, Claim], studies: Mapping[str, StudyInfo]) -> Answers:
    """Return which claims answer, {study: {"does" | "goes": ids}}, as `studies` say; those that do not are left out.

    BadInput for a group of another name, or an id that is none of the study's claims.
    """
    own = {study: [claim.id for claim in claims.values() if claim.study == study] for study in studies}
    return {study: _checked(about.answers, study, own[study]) for study, about in studies.items() if about.answers}


def _checked(answers: Any, study: str, own: Sequence[str]) -> dict[str, list[str]]:
    what, groups = f"answers in {study}.yaml", [group for group in GROUPS if group != OTHERS]
    if not isinstance(answers, Mapping) or not all(isinstance(ids, list) for ids in answers.values()):
        raise BadInput.of(
            what, answers, "lists of claim ids by group", f"Write {{{groups[0]}: [{', '.join(own[:2])}]}}"
        )
    for group, ids in answers.items():
        if group not in groups:
            raise BadInput.named(f"group of {what}", group, groups, "correct its spelling")
        for id in ids:
            if id not in own:
                raise BadInput.named(f"claim of {what}", id, own, "name claims of this very file")
    return {group: [*ids] for group, ids in answers.items()}


def chosen(claims: Mapping[str, Claim], answers: Answers, studies: Collection[str]) -> dict[str, list[str]]:
    """Return the ids of the claims that speak, by group in the order of GROUPS, groups without any left out.

    Of `studies`, those in `answers` speak by the claims named there, others by their first primary ones.
    """
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    for study in sorted(studies):
        primary = [claim.id for claim in claims.values() if claim.study == study and claim.primary]
        for group, ids in answers.get(study, {OTHERS: primary[:FEW]}).items():
            found[group] += ids
    return {group: ids for group, ids in found.items() if ids}


def sentences(claims: Mapping[str, Claim], ids: Iterable[str], found: Found, profile: str) -> list[Sentence]:
    """Return a sentence on each claim, those with one verdict of `profile` together, in the order of VERDICTS."""
    made = [Sentence(claims[id], verdict(found[profile].get(id)), lead(id, found)) for id in ids]
    order = list(VERDICTS)
    return sorted(made, key=lambda one: order.index(one.verdict))


def lead(id: str, found: Found) -> str:
    """Return how the sentence on a claim begins: "Holds at laptop and mnist (confirmed), undecided at paper"."""
    alike: dict[str, dict[str, list[str]]] = {}  # verdict -> standing -> profiles
    for name, own in found.items():
        if both := own.get(id):
            alike.setdefault(verdict(both), {}).setdefault(both.standing, []).append(name)
    told = [f"{LEADS[word]} at {_and([_standing(*each) for each in by.items()])}" for word, by in alike.items()]
    told = told or [LEADS["not_yet"]]
    return ", ".join([told[0], *(one[0].lower() + one[1:] for one in told[1:])])


def _standing(standing: str, profiles: Sequence[str]) -> str:
    return f"{_and(profiles)} ({STANDINGS[standing].word})" if standing else _and(profiles)


def verdict(both: Both | None) -> str:
    """Return the verdict that counts, "not_yet" where there is no record."""
    return str(both.row["verdict"]) if both else "not_yet"


def undecided(found: Mapping[str, Both], profile: str, link: Links) -> list[str]:
    """Return sentences, as HTML, on what a profile could not decide, and why, and on what fresh seeds turned."""
    judged = [id for id, both in found.items() if verdict(both) in DECIDED]
    still = [id for id in judged if verdict(found[id]) == "inconclusive"]
    reasons = {id: why_open(found[id].row) for id in still}
    by_reason = {reason: [id for id in still if reasons[id] == reason] for reason in WHY_OPEN}
    told = [
        f"{in_words(len(ids))} because {WHY_OPEN[why]} ({link.every(ids)})" for why, ids in by_reason.items() if ids
    ]
    if not judged:
        first = f"Nothing was put to a decision at {profile}."
    elif not still:
        first = f"Nothing that was judged at {profile} stayed open ({_claims(len(judged))})."
    else:
        first = f"At {profile} {in_words(len(still))} of {_claims(len(judged))} stayed open: {_and(told)}."
    turned = [id for id, both in found.items() if both.standing == "fragile"]
    more = f"Fresh seeds turned {in_words(len(turned))}: {link.every(turned)}." if turned else ""
    return [first, more] if more else [first]


def why_open(row: Mapping[str, Any]) -> str:
    """Return why the verdict of an inconclusive record is open, a key of WHY_OPEN."""
    if not all((row.get("adequacy") or {}).values()):
        return "setting"
    parts = [part for part in row.get("parts", ()) if part["verdict"] == "inconclusive" and part.get("of") != "ours"]
    if any(2 * part.get("censored", 0) > part.get("censored", 0) + part.get("n", 0) for part in parts):
        return "censored"
    return "power" if any(part.get("underpowered") for part in parts) else "overlap"


def agreement(one: Mapping[str, Both], other: Mapping[str, Both], name: str, another: str, link: Links) -> list[str]:
    """Return sentences, as HTML, on the claims that two profiles both decide: how many alike, and which not."""
    decisions = [{id: verdict(both) for id, both in found.items() if _decides(both)} for found in (one, other)]
    shared = [id for id in decisions[0] if id in decisions[1]]
    apart = [id for id in shared if decisions[0][id] != decisions[1][id]]
    judged = [id for id in one if id in other and {verdict(one[id]), verdict(other[id])} <= {*DECIDED}]
    if not shared:
        return [f"No claim is decided at both {name} and {another}."]
    told = [f"Both decide {_claims(len(shared))}, and {_alike(len(shared), len(apart))}."]
    for id in apart:
        first, second = (VERDICTS[decided[id]].word for decided in decisions)
        told.append(f"{link(id)}: {first} at {name}, {second} at {another}.")
    if rest := len(judged) - len(shared):
        told.append(f"{_claims(rest).capitalize()} more stayed open at one of them, or at both.")
    return told


def _alike(shared: int, apart: int) -> str:
    if not apart:
        return "come to the same verdict each time"
    return f"agree on {in_words(shared - apart)}" if apart < shared else "agree on none"


def _decides(both: Both) -> bool:
    return verdict(both) in DECIDED and verdict(both) != "inconclusive"


def _claims(number: int) -> str:
    return f"{in_words(number)} claim{'s' * (number != 1)}"


def figure(claims: Mapping[str, Claim], titles: Mapping[str, str], found: Found) -> str:
    """Return the picture of all claims as HTML: for each study that has records a mark a claim, a line a profile."""
    studies = sorted({claims[id].study for own in found.values() for id in own})
    y, drawn = 0.0, []
    for study in studies:
        columns = _columns([claim.id for claim in claims.values() if claim.study == study], found)
        art, y = _study(titles.get(study, study), columns, list(found), y)
        drawn.append(art)
    label = escape(f"Verdicts by study. {_summary(claims, titles, found, studies)}", quote=True)
    svg = f'<svg class="whole" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {y:g}">{"".join(drawn)}</svg>'
    waiting = [titles.get(study, study) for study in sorted({c.study for c in claims.values()} - {*studies})]
    rest = f" Nothing yet from: {escape(_and(waiting))}." if waiting else ""
    lines = f"; a line for each profile ({escape(', '.join(found))})" if len(found) > 1 else ""
    words = f"Every claim is a mark, like verdicts together{lines}.{rest}"
    return f'<figure class="summary">{svg}\n<figcaption>{_key(claims, found, studies)}{words}</figcaption></figure>'


def _columns(ids: Sequence[str], found: Found) -> list[tuple[str, list[str]]]:
    """Return (id, verdict at each profile) of a study's claims, like verdicts side by side."""
    order = list(VERDICTS)
    every = [(id, [verdict(own.get(id)) for own in found.values()]) for id in ids]
    return sorted(every, key=lambda one: [order.index(word) for word in one[1]])


def _study(
    title: str, columns: Sequence[tuple[str, list[str]]], profiles: Sequence[str], y: float
) -> tuple[str, float]:
    """Return the SVG of a study's row, which begins at height `y`, and the height at which it ends."""
    words = f"{len(columns)} claim{'s' * (len(columns) != 1)}"
    art = [f'<text y="{y + 15:g}">{escape(title)}</text><text class="few" x="{WIDTH}" y="{y + 15:g}">{words}</text>']
    y += HEAD
    for start in range(0, len(columns), COLUMNS):
        for number, profile in enumerate(profiles):
            art.append(f'<text class="line" y="{y + 13:g}">{escape(profile)}</text>')
            marks = [(id, words[number]) for id, words in columns[start : start + COLUMNS]]
            art += [_mark(id, word, profile, LEFT + CELL * at, y) for at, (id, word) in enumerate(marks)]
            y += CELL
        y += GAP
    return "".join(art), y


def _mark(id: str, word: str, profile: str, x: float, y: float) -> str:
    shape = f'<rect width="16" height="16" rx="3"/><path d="{VERDICTS[word].icon}"/>'
    title = f"<title>{escape(id)}: {VERDICTS[word].word} at {escape(profile)}</title>"
    return f'<g class="v-{word}" transform="translate({x:g} {y:g})">{title}{shape}</g>'


def _summary(claims: Mapping[str, Claim], titles: Mapping[str, str], found: Found, studies: Sequence[str]) -> str:
    """Return the picture in words: for each study and profile how many claims have which verdict."""
    told = []
    for study in studies:
        ids = [claim.id for claim in claims.values() if claim.study == study]
        lines = [f"{name}: {_tally(verdict(own.get(id)) for id in ids)}" for name, own in found.items()]
        told.append(f"{titles.get(study, study)}, {'; '.join(lines)}.")
    return " ".join(told)


def _tally(words: Iterable[str]) -> str:
    listed = list(words)
    return ", ".join(f"{listed.count(word)} {about.word}" for word, about in VERDICTS.items() if word in listed)


def _key(claims: Mapping[str, Claim], found: Found, studies: Sequence[str]) -> str:
    """Return the key to the marks that the picture has, as HTML."""
    ids = [claim.id for claim in claims.values() if claim.study in studies]
    seen = {verdict(own.get(id)) for own in found.values() for id in ids}
    chips = [
        f'<span class="chip v-{word}">{_icon(word)}{VERDICTS[word].word}</span>' for word in VERDICTS if word in seen
    ]
    return f'<span class="chips">{" ".join(chips)}</span>'


def _icon(word: str) -> str:
    return f'<svg class="icon" aria-hidden="true" viewBox="0 0 16 16"><path d="{VERDICTS[word].icon}"/></svg>'


def _headed(told: Mapping[str, str]) -> str:
    return "".join(f"<h3>{head}</h3>\n{body}\n" for head, body in told.items())


def _list(told: Sequence[Sentence], link: Links) -> str:
    lines = [
        f'<li class="v-{one.verdict}">{_icon(one.verdict)}<span><b>{escape(one.lead)}:</b> '
        f"{escape(one.claim.statement.rstrip('.'))} ({link(one.claim.id)}).</span></li>"
        for one in told
    ]
    return f'<ul class="told">\n{chr(10).join(lines)}\n</ul>'


def _paragraph(told: Sequence[str]) -> str:
    return f"<p>{' '.join(told)}</p>"


def _and(words: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
