"""No published sentence contradicts its number, by rules that are tried here on sentences of both kinds.

What a notebook would say at other data is in `test_smoke`, whose runs it needs.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from published import of_today
from sentences import CASES, NO_INTERVAL, NoDrawing, Sentences, bent_finding, every_fault, faults, told_by

from redlib.evidence.paths import EVIDENCE_PROFILES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("text", [
    "The peak moves by −0.0 octaves.", "It changes by -0.00 points", "−0% of the weights", "[-0.0, 1.0]",
    "The mean is nan.", "A width of inf units", "95% CI [−inf, inf]", "at ∞ points",
    "beats equal rates by −3.2 points", "Accuracy falls by −2", "it gains -0.4 points", "error rises −1.5 points",
    "averaging helps the single nets −2.1", "takes more time: it loses -3.0 points", "is better by −0.3",
    "leaves fewer by -12", "up to −1.4 points worse", "The peak is −2.0 points above the valley", "-0.3% more than",
    "−0.25 octaves larger", "leaves a rise of -0.4 points", "a gain of −1.1", "Lowers by −.5",
])  # fmt: skip
def test_a_sentence_that_contradicts_its_number_is_found(text):
    assert faults(text)


@pytest.mark.parametrize("text", [
    "The peak moves by −0.3 octaves.", "from -0.05 to +0.05", "It changes by 0.0 points, give or take 10-0.5",
    "a loss of 2e-05, or 1.0e-0 of it, 2^-0", "x^-0.0", "infinite width, nano, influence, banana, information",
    "beats equal rates by 3.2 points", "gains +0.4", "Accuracy falls from −1.2 to −3.4 in log units",
    "Longer training changes accuracy by −3.2", "more data change it by −0.5", "shuffling changes SNIP by −5.4",
    "It lies −2.0 steps of the grid from the smallest width", "is −1.4 points from random ones",
    "The more is cut, the better it is. −3 points come of it.", "larger nets end −0.4 points from small ones",
    "the worse half (−0.3)", "better, −0.3 for one", "a rise of 0.4 points", "more than −1", "up to 1.4 points worse",
    "layers 2−3 more often", "higher in 9-10 of them", "less is more: −0.4", "falls to −1 on a log axis",
])  # fmt: skip
def test_a_sentence_that_fits_its_number_passes(text):
    assert faults(text) == []


def test_the_sentences_of_a_page_are_read_whole_and_its_code_is_not():
    html = """<main><p class="answer">It <b>falls</b> by −1.</p><figure>
    <svg class="plot" role="img" aria-label="A −0.0"><path d=""/></svg>
    <figcaption>One<br>two <span class="meaning">three</span></figcaption></figure>
    <img alt="four"><pre>np.inf</pre><p>last [−inf, inf]</p></main>"""
    page = Sentences(html)
    assert [" ".join(text.split()) for text in page.texts.values()] == [
        "It falls by −1.", "A −0.0", "Onetwo three", "three", "four",
    ]  # fmt: skip
    assert len(every_fault(page.texts)) == 2
    assert NO_INTERVAL.search("".join(page.words)) and "np" not in "".join(page.words)


def made_today(profile: str) -> list[str]:
    """Return the studies of a profile whose results are of today; skip a profile that has none."""
    return of_today(profile) or pytest.skip(f"no results of today's notebooks are committed at profile {profile}")


@pytest.mark.parametrize("profile", EVIDENCE_PROFILES)
def test_no_published_page_contradicts_its_numbers(profile):
    pages = {study: ROOT / "reports" / profile / f"{study}.html" for study in [*made_today(profile), "index"]}
    read = {study: Sentences(path.read_text(encoding="utf-8")) for study, path in pages.items()}
    assert all(page.texts for page in read.values())
    wrong = {name: found for name, page in read.items() if (found := every_fault(page.texts))}
    unbounded = [name for name, page in read.items() if NO_INTERVAL.search("".join(page.words))]
    assert (wrong, unbounded) == ({}, [])


@pytest.mark.parametrize("profile", EVIDENCE_PROFILES)
def test_no_record_of_a_run_contradicts_its_numbers(profile):
    current, path = made_today(profile), ROOT / "results" / profile / "runs.json"
    runs = json.loads(path.read_text(encoding="utf-8"))
    told = {study: told_by(runs[study]) for study in current}
    assert all(told.values())
    assert {study: wrong for study, texts in told.items() if (wrong := every_fault(texts))} == {}


def test_bent_evidence_shows_what_it_is_bent_to():
    import numpy as np

    from redlib.evidence.claims import Finding, check, parse_claim

    entry = {"id": "A-1", "study": "01_a", "statement": "It rises.", "source": "S", "prior": "R"}
    parts = [
        {"name": "rise", "kind": "greater", "statistic": "rise", "than": 0, "unit": "pp", "delta": 0.5},
        {"name": "factor", "kind": "greater", "statistic": "factor", "than": 1, "unit": "ratio", "delta": 0.1},
    ]
    claim = parse_claim(entry | {"check": {"kind": "conjunction", "parts": parts}})
    finding = Finding("A-1", {"rise": [3.0, -5.0, np.nan], "factor": np.array([7.0, 3.0, 4.0])}, {"learns": False})
    records = {case: check(claim, "laptop", bent_finding(claim, finding, case)) for case in CASES}
    verdicts = {case: record.verdict for case, record in records.items()}
    assert verdicts == dict(zip(CASES, ("replicated", "contradicted", "null", "null", "inconclusive"), strict=True))
    assert records["positive"]["rise"] == pytest.approx(4) and records["negative"]["rise"] == pytest.approx(-4)
    assert records["negative"]["factor"] == pytest.approx(0.5) and records["zero"]["factor"] == pytest.approx(1)
    assert np.isnan(records["unknown"]["rise"]) and -0.01 < records["hardly negative"]["rise"] < 0


def test_only_what_is_drawn_is_taken_out_of_a_cell():
    tree = NoDrawing().visit(
        ast.parse("study.figure(draw(x), name, caption=f(x))\nother.figure(draw(x))\nstudy.check(y)")
    )
    assert ast.unparse(tree) == "study.figure(None, name, caption=f(x))\nother.figure(draw(x))\nstudy.check(y)"
