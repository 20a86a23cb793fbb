"""What a study's results were made from, kept as digests, so that what is stale is named with its reason."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from redlib.errors import BadInput
from redlib.evidence import confirmation, instructions
from redlib.evidence.claims import load_claims
from redlib.evidence.code import module_digests
from redlib.evidence.confirmation import CONFIRMATION, JUDGED, first_seed
from redlib.evidence.files import locked, write_atomic
from redlib.evidence.paths import PROFILES, outputs, project_root
from redlib.evidence.reading import read_json, read_text
from redlib.report.profiles import Parameters, load_profile, notebook_source, studies
from redlib.report.records import read_records

Inputs = dict[str, Any]
FEW = 5  # names of what changed that a line has room for


def inputs(study: str, parameters: Parameters, block: str = JUDGED) -> Inputs:
    """Return what a block of the results of `study` depends on: code by module, notebook, checks and parameters.

    Digests are 16 hex digits of SHA-256; `code` are the syntax trees of all modules of redlib the notebook
    imports, so that an edited comment changes nothing. A confirmation has the parameter `first` and, since no record of
    its run is kept, the instructions that it is computed with.
    """
    source = read_text(notebook_source(study))
    code: dict[str, str] = {}
    for module in sorted(set(_imported(source, study))):
        code |= module_digests(module)
    claims = [dataclasses.asdict(claim) for claim in load_claims().values() if claim.study == study]
    text, confirming = json.dumps(claims, sort_keys=True), block == CONFIRMATION
    return {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "code": dict(sorted(code.items())),
        "notebook": _digest(source),
        "claims": _digest(text),
        "parameters": json.loads(json.dumps(parameters | ({"first": first_seed(study)} if confirming else {}))),
    } | ({"instructions": instructions.wanted()} if confirming else {})


def notebook_digest(study: str) -> str:
    """Return what `inputs` records of a notebook's source, without the code that it imports."""
    return _digest(read_text(notebook_source(study)))


def record(results: Path, made_from: dict[str, Inputs]) -> None:
    """Write the inputs of the studies just run, by `confirmation.key`, into <results>/inputs.json; others stay."""
    with locked(project_root() / "build" / "locks" / "inputs.lock"):
        known = recorded(results) | made_from
        text = json.dumps(dict(sorted(known.items())), indent=1, sort_keys=True) + "\n"
        write_atomic(results / "inputs.json", text.encode())


def recorded(results: Path) -> dict[str, Inputs]:
    """Return the recorded inputs by study, those of a confirmation by its key; empty where nothing was ever run."""
    return read_json(results / "inputs.json")


def reasons(then: Inputs, now: Inputs) -> list[str]:
    """Return in words what changed between two `inputs`; empty when the results are up to date."""
    if then["python"] != now["python"]:
        return [f"Python {then['python']} to {now['python']}, whose syntax trees cannot be compared,"]
    why = []
    for what, key in (("code of", "code"), ("parameter", "parameters")):
        old, new = then[key], now[key]
        names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        shown = names if len(names) <= FEW else [*names[: FEW - 1], f"and {len(names) - FEW + 1} more"]
        why += [f"{what} {', '.join(shown)}"] if names else []
    return why + [what for what in ("notebook", "claims") if then[what] != now[what]]


def rows(study: str | None = None) -> list[tuple[str, str, str]]:
    """Return (study, profile, state) for every study and profile that runs it, or for one `study`.

    A study that has been confirmed has a second line, on its confirmation.
    """
    found = []
    for name in PROFILES:
        profile = load_profile(name)
        for each, parameters in profile.notebooks.items():
            if study in (None, each):
                states = [_state(name, each, parameters), *_confirmation(name, each, parameters)]
                found += [(each, name, state) for state in states]
    if not found and study in studies():
        raise BadInput.of("study", study, "one that a profile runs", "name it in profiles/")
    if not found:
        raise BadInput.named("study", str(study), studies(), "see notebooks/ and profiles/")
    return sorted(found, key=lambda row: (row[0], PROFILES.index(row[1])))


def apart(results: Path, study: str, made_from: Mapping[str, Inputs] | None = None) -> list[str]:
    """Return in what the two blocks of a study were not made alike ("code", "claims", …); [] without a confirmation.

    `made_from` are inputs of judged studies that are not recorded yet.
    """
    known = recorded(results) | dict(made_from or {})
    judged, confirmed = known.get(study), known.get(confirmation.key(study, CONFIRMATION))
    if judged is None or confirmed is None:
        return []
    same = judged | {"parameters": judged["parameters"] | {"first": confirmed["parameters"].get("first")}}
    return [why.split()[0] for why in reasons(same, confirmed)]


def _confirmation(profile: str, study: str, parameters: Parameters) -> list[str]:
    """Return [how up to date the confirmation of a study is], [] where there is none.

    Records whose inputs were never noted are those of a command that was killed before its end.
    """
    then = recorded(outputs(profile).results).get(confirmation.key(study, CONFIRMATION))
    if then is None:
        begun = any(row["study"] == study for row in read_records(profile, CONFIRMATION))
        return ["confirmation not finished: make confirm goes on with it"] if begun else []
    why = reasons(then, inputs(study, parameters, CONFIRMATION))
    native = ", computed with native instructions" if then.get("instructions") == "native" else ""
    return [f"confirmation stale: {'; '.join(why)} changed" if why else f"confirmation up to date{native}"]


def _state(profile: str, study: str, parameters: Parameters) -> str:
    where = outputs(profile)
    then = recorded(where.results).get(study)
    if then is None:
        return "never run"
    why = reasons(then, inputs(study, parameters))
    if why:
        return f"stale: {'; '.join(why)} changed"
    return "up to date" if (where.reports / f"{study}.html").exists() else "up to date, but its report is missing"


def _imported(source: str, study: str) -> Iterator[str]:
    """Yield the modules of redlib that `source` imports; `from a import b` gives a.b where that is one."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise BadInput(f"notebooks/{study}.py is not valid Python: line {error.lineno}: {error.msg}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "redlib")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "redlib":
            for alias in node.names:
                yield (f"{node.module}.{alias.name}" if _is_module(f"{node.module}.{alias.name}") else str(node.module))


def _is_module(name: str) -> bool:
    try:
        return name in module_digests(name)
    except BadInput:
        return False


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
