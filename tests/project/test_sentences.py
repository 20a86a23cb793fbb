"""No sentence is false at other data: captions, alt texts, meanings and answers choose their words by the numbers.

Two ways to see it: what is published is read, and every notebook is made to say its sentences with each statistic of
each record positive, negative, zero, hardly below zero, and unknown. A notebook runs as at profile smoke, without
drawing; its runs are kept in build/smoke/store, so that only the first time computes them.

    python -m tests.project.test_sentences 03_pruning sentences.json

writes what one notebook says, {case: {where: text}}.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from redlib.evidence.paths import EVIDENCE_PROFILES
from redlib.report.profiles import load_profile, notebook_source, studies

ROOT = Path(__file__).parents[2]
STORE = ROOT / "build" / "smoke" / "store"
STUDIES = studies() or [pytest.param("", marks=pytest.mark.skip(reason="no notebooks exist yet"))]

# --- what a sentence may not say ------------------------------------------------------------------------------

_VERBS = (
    "beats?|beaten|outdo(?:es)?|gains?|gained|rises?|rose|falls?|fell|drops?|dropped|loses?|lost|grows?|grew|shrinks?"
    "|shrank|raises?|raised|lowers?|lowered|increases?|increased|decreases?|decreased|improves?|improved|exceeds?|leads?"
    "|led|adds?|helps?|helped|costs?|saves?|takes? away"
)
_THAN = (
    "better|worse|more|fewer|less|higher|lower|larger|smaller|greater|faster|slower|longer|shorter|wider|nearer|farther"
)
_SIDES = "above|below|ahead|behind|over|under"
_NOUNS = "rise|fall|gain|drop|lead|increase|decrease|advantage|improvement|harm|benefit"
# Between a comparative and a number that it does not compare: "more data change it by -0.5", "falls from 1 to -1".
_BETWEEN = (
    "than|from|to|at|of|in|on|with|where|when|is|are|was|were|be|and|or|but|if|lies?|stands?|ends?|differs?|differ"
    "|chang(?:e|es|ed|ing)|mov(?:e|es|ed|ing)|shift(?:s|ed)?|correlat\\w+|slopes?|between|has|have|shows?|until|since"
)
_NEGATIVE = r"[-−](?=\.?\d)(?!0(?:\.0+)?(?![\d.]))"  # a negative number that is not zero
_UNIT = r"(?:\s?(?:%|pp|points?|times|octaves?|steps?|standard errors?|nats|bits|σ|log₂))?"
RULES: dict[str, re.Pattern[str]] = {
    "a zero with a sign": re.compile(r"(?<![\w.)\]^])[-−]0(?:\.0+)?(?![\d.]*\d)(?!e[-+])"),
    "no number": re.compile(r"(?<!\w)(?:nan|inf|NaN|[-−]?∞)(?!\w)"),
    "a negative comparative": re.compile(
        rf"\b(?:{_VERBS}|{_THAN})\b(?:\s+(?!(?:{_BETWEEN})\b)[^\s\d.,;:()+−-][^\s.,;:()]*){{0,4}}?\s+{_NEGATIVE}",
        re.IGNORECASE,
    ),
    "a negative number of a comparative": re.compile(
        rf"(?<![\w.]){_NEGATIVE}[\d.]+{_UNIT}\s+(?:{_THAN}|{_SIDES})\b", re.IGNORECASE
    ),
    "a negative change of a direction": re.compile(
        rf"\b(?:{_NOUNS})\s+(?:of|by|is|was)\s+(?:about\s+)?{_NEGATIVE}", re.IGNORECASE
    ),
}
NO_INTERVAL = re.compile(r"\[\s*[-−]?(?:inf|∞)\s*,\s*\+?(?:inf|∞)\s*\]")


def faults(text: str) -> list[str]:
    """Return what a sentence may not say but does, each with its rule."""
    found = [(rule, match) for rule, pattern in RULES.items() for match in pattern.finditer(text)]
    return [f"{rule}: …{text[max(0, match.start() - 30) : match.end() + 15]}…" for rule, match in found]


def every_fault(texts: dict[str, str]) -> dict[str, list[str]]:
    """Return the faults of many texts, by where they stand; those without any are left out."""
    return {where: wrong for where, text in texts.items() if (wrong := faults(text))}


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


# --- what is published ----------------------------------------------------------------------------------------


class Sentences(HTMLParser):
    """Captions, meanings, answers and alt texts of a page, and all of its words but code."""

    SPOKEN = {"caption", "answer", "meaning"}  # classes
    SILENT = {"pre", "code", "script", "style"}
    EMPTY = {"br", "hr", "img", "input", "meta", "link", "col", "wbr", "source"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.words: list[str] = []
        self._open: list[tuple[str, str]] = []  # (tag, the key of the text that it is, or "")
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = {name: value or "" for name, value in attrs}
        label = about.get("aria-label") or about.get("alt", "")
        classes = {*about.get("class", "").split()}
        if label and (about.get("role") == "img" or tag == "img" or "explorer" in classes):
            self.texts[f"alt {len(self.texts)}"] = label
        spoken = next(iter(classes & self.SPOKEN), "") or {"figcaption": "caption"}.get(tag, "")
        spoken = spoken or ("answer" if about.get("id") == "answer" else "")
        key = f"{spoken} {len(self.texts)}" if spoken else ""
        if key:
            self.texts[key] = ""
        if tag not in self.EMPTY:
            self._open.append((tag, key))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        while any(tag == name for name, _ in self._open) and self._open.pop()[0] != tag:
            pass  # an element whose end is left out ends with its parent

    def handle_data(self, data: str) -> None:
        if not {name for name, _ in self._open} & self.SILENT:
            self.words.append(data)
            for _, key in self._open:
                if key:
                    self.texts[key] += data


def told_by(run: dict[str, Any]) -> dict[str, str]:
    """Return the sentences of one study's entry of runs.json, by where they stand."""
    figures = {f"{about['name']} {kind}": about.get(kind, "") for about in run.get("figures", ())
               for kind in ("caption", "alt", "meaning")}  # fmt: skip
    return {"answer": run.get("answer", ""), **figures}


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


@pytest.mark.parametrize("profile", EVIDENCE_PROFILES)
def test_no_published_page_contradicts_its_numbers(profile):
    pages = sorted((ROOT / "reports" / profile).glob("*.html"))
    if not pages:
        pytest.skip(f"no reports of profile {profile} are committed")
    read = {path.stem: Sentences(path.read_text(encoding="utf-8")) for path in pages}
    assert all(page.texts for page in read.values())
    wrong = {name: found for name, page in read.items() if (found := every_fault(page.texts))}
    unbounded = [name for name, page in read.items() if NO_INTERVAL.search("".join(page.words))]
    assert (wrong, unbounded) == ({}, [])


@pytest.mark.parametrize("profile", EVIDENCE_PROFILES)
def test_no_record_of_a_run_contradicts_its_numbers(profile):
    path = ROOT / "results" / profile / "runs.json"
    if not path.exists():
        pytest.skip(f"no results of profile {profile} are committed")
    runs = json.loads(path.read_text(encoding="utf-8"))
    assert runs
    assert {study: wrong for study, run in runs.items() if (wrong := every_fault(told_by(run)))} == {}


# --- what a notebook would say at other data ------------------------------------------------------------------

CASES = ("positive", "negative", "zero", "hardly negative", "unknown")
CENTRES = {  # by the scale of a part's interval, in multiples of what is measured at smoke where the scale is linear
    "linear": {"positive": 1.0, "negative": -1.0, "zero": 0.0, "hardly negative": -1e-4},
    "log": {"positive": 2.0, "negative": 0.5, "zero": 1.0, "hardly negative": 0.9999},
    "logit": {"positive": 0.9, "negative": 0.1, "zero": 0.5, "hardly negative": 1e-4},
    "Fisher": {"positive": 0.9, "negative": -0.9, "zero": 0.0, "hardly negative": -1e-4},
}
SPREAD = 1e-3


def bent(evidence: Any, case: str, scale: str) -> Any:
    """Return evidence of the same kind and length as `evidence` that shows what the case says, on its scale."""
    import numpy as np

    from redlib.evidence.stats import Interval

    known = [evidence.estimate] if isinstance(evidence, Interval) else np.asarray(evidence, dtype=float)
    known = np.asarray(known)[np.isfinite(known)]
    scale = "linear" if scale == "log" and (known <= 0).any() else scale
    size = float(np.abs(known).mean()) if scale == "linear" and known.any() else 1.0
    centre = CENTRES[scale].get(case, 0.0) * size
    if isinstance(evidence, Interval):
        half = float("inf") if case == "unknown" else SPREAD * size
        return replace(evidence, estimate=centre, low=centre - half, high=centre + half)
    if case == "unknown":
        return np.full(len(evidence), np.nan)
    around = np.linspace(-1, 1, len(evidence)) if len(evidence) > 1 else np.zeros(1)
    return centre + SPREAD * (abs(centre) if scale in ("log", "logit") else size) * around


def bent_finding(claim: Any, finding: Any, case: str) -> Any:
    """Return the finding with every part bent, and a setting that passed all its gates."""
    from redlib.evidence.verdicts import SCALE_OF

    checks = [check for check in (claim.check, *claim.profiles.values()) if check]
    scales = {}
    for leaf in (leaf for check in checks for leaf in check.parts):
        scales |= dict.fromkeys((leaf.name, leaf.statistic), leaf.scale or SCALE_OF.get(leaf.unit, "linear"))
    if hasattr(finding.parts, "items"):
        given = finding.parts.items()
        parts = {k: None if v is None else bent(v, case, scales.get(k, "linear")) for k, v in given}
    else:
        parts = bent(finding.parts, case, next(iter(scales.values())))
    return replace(finding, parts=parts, gate=dict.fromkeys(finding.gate, True))


def made_to_say(texts: dict[str, str], case: str, swept: dict[str, Any]) -> type:
    """Return a class to be put in the place of Study: it bends what is checked, keeps what is said, writes nothing.

    Sweeps are run once, by what they are asked for; `swept` holds them for the next case.
    """
    from redlib.evidence import claims as ledger
    from redlib.evidence import study

    ledger._plumbing = lambda decision: decision  # at smoke nothing would be decided
    study._show = lambda content, about: None

    class Saying(study.Study):
        def sweep(self, configs, **options):
            listed = list(configs)
            key = repr(listed)
            if key not in swept:
                swept[key] = super().sweep(listed, **options)
            return swept[key]

        def check(self, finding, **more):
            return super().check(bent_finding(self._claims[finding.id], finding, case), **more)

        def figure(self, fig, name, *, caption, alt, claims=(), meaning="", **more):
            words = {"caption": caption, "alt": alt, "meaning": meaning}
            texts.update({f"{name} {kind}": study.plain_numbers(text) for kind, text in words.items()})

        def explorer(self, html, *, caption, alt, **more):
            number = sum(where.startswith("explorer") for where in texts) // 2
            texts.update({f"explorer {number} caption": study.plain_numbers(caption), f"explorer {number} alt": alt})

        def table(self, *given, **more):
            pass

        def conclude(self, answer, **more):
            texts["answer"] = study.plain_numbers(answer)

    return Saying


class NoDrawing(ast.NodeTransformer):
    """Takes what is shown out of study.figure(…) and study.explorer(…): only the words beside it are wanted."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        shows = isinstance(node.func, ast.Attribute) and node.func.attr in ("figure", "explorer")
        if shows and isinstance(node.func.value, ast.Name) and node.func.value.id == "study" and node.args:
            node.args[0] = ast.copy_location(ast.Constant(None), node.args[0])
        return node


def steps(study: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield the code cells of a notebook as functions of its names, with the parameters of profile smoke.

    Of what stands before the parameters (lines to play with) only the imports are left.
    """
    import jupytext

    parameters, begun = load_profile("smoke").notebooks[study], False
    for number, cell in enumerate(jupytext.read(notebook_source(study), fmt="py:percent").cells):
        if cell.cell_type != "code":
            continue
        tree = NoDrawing().visit(ast.parse(cell.source))
        begun = begun or "parameters" in cell.metadata.get("tags", ())
        if not begun:
            tree.body = [line for line in tree.body if isinstance(line, ast.Import | ast.ImportFrom)]
        code = compile(ast.fix_missing_locations(tree), f"{study}, cell {number}", "exec")
        yield lambda names, code=code: exec(code, names)
        if "parameters" in cell.metadata.get("tags", ()):
            yield lambda names: names.update(parameters)


def said(study: str) -> dict[str, dict[str, str]]:
    """Return what the notebook says in every case: {case: {where: text}}."""
    from redlib.evidence import study as module

    swept: dict[str, Any] = {}
    code, real, found = list(steps(study)), module.Study, {}
    for case in CASES:
        texts: dict[str, str] = {}
        module.Study, names = real, {"__name__": study}
        module.Study = made_to_say(texts, case, swept)
        for step in code:
            step(names)
        found[case] = texts
    module.Study = real
    return found


def main() -> None:
    """Write what the notebook argv[1] says to the file argv[2]."""
    Path(sys.argv[2]).write_text(json.dumps(said(sys.argv[1]), ensure_ascii=False, indent=1), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_no_sentence_of_a_notebook_contradicts_its_numbers_whatever_they_are(study, tmp_path):
    environment = {**os.environ, "REDLIB_STORE": str(STORE), "REDLIB_WORKERS": "1", "REDLIB_PROGRESS": "off"}
    for name in ("REDLIB_HOME", "REDLIB_OUT", "REDLIB_BLOCK", "REDLIB_SCHEDULER"):
        environment.pop(name, None)
    path = tmp_path / "sentences.json"
    words = [sys.executable, "-m", "tests.project.test_sentences", study, str(path)]
    environment |= {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    told = json.loads(path.read_text(encoding="utf-8"))
    assert [*told] == [*CASES] and all("answer" in texts and len(texts) > 8 for texts in told.values())
    assert told["positive"] != told["negative"] != told["zero"], "its sentences do not depend on its records"
    assert {case: wrong for case, texts in told.items() if (wrong := every_fault(texts))} == {}


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


if __name__ == "__main__":
    main()
