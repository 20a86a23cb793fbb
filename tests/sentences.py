"""Sentences that no data make false: what one may not say, what a page says, and what a notebook would say.

A notebook is made to say its sentences with each statistic of each record positive, negative, zero, hardly below zero,
and unknown. It runs as at profile smoke, without drawing; REDLIB_STORE holds its runs.

    python tests/sentences.py 03_pruning sentences.json

writes what one notebook says, {case: {where: text}}.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from redlib.report.profiles import load_profile, notebook_source

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


# --- what a notebook would say at other data ------------------------------------------------------------------

CASES = ("positive", "negative", "zero", "hardly negative", "unknown")
CENTRES = {  # by the scale of a part's interval, in multiples of what is measured at smoke where the scale is linear
    "linear": {"positive": 1.0, "negative": -1.0, "zero": 0.0, "hardly negative": -1e-4},
    "log": {"positive": 2.0, "negative": 0.5, "zero": 1.0, "hardly negative": 0.9999},
    "logit": {"positive": 0.9, "negative": 0.1, "zero": 0.5, "hardly negative": 1e-4},
    "percent": {"positive": 90.0, "negative": 10.0, "zero": 50.0, "hardly negative": 1e-2},
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
    return centre + SPREAD * (abs(centre) if scale in ("log", "logit", "percent") else size) * around


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


if __name__ == "__main__":
    main()
