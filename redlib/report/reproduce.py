"""The command behind make: run the notebooks of a profile, publish or confirm what they found, and sum it up."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

from redlib.errors import BadInput
from redlib.evidence import confirmation
from redlib.evidence.claims import VERDICTS, load_claims
from redlib.evidence.confirmation import CONFIRMATION, JUDGED, first_seed
from redlib.evidence.files import MARKER, build_folder, held, locked
from redlib.evidence.paths import EVIDENCE_PROFILES, outputs, project_root
from redlib.evidence.sweep import SCHEDULER, close_workers, cluster, cores
from redlib.report import history, readme, status
from redlib.report.notebooks import Execution, alone_with, execute, kernel_environment, pair, prepare
from redlib.report.pages import publish
from redlib.report.profiles import Parameters, load_profile
from redlib.report.records import Row, read_records, read_runs

SWEEP_COUNTS = ("loaded", "computed", "stale", "corrupt")


def reproduce(
    profile: str,
    study: str | None = None,
    jobs: int = 1,
    keep_stale: bool = False,
    scheduler: str | None = None,
    block: str = JUDGED,
) -> int:
    """Run the notebooks of `profile` (or one `study`), publish those that succeed; return the exit code.

    Of a `block` of fresh seeds only the records are kept, beside those judged before; no page, figure or table changes.

    All parameters are checked before anything runs. A notebook that fails leaves its last output as it was;
    the others still run, and the exit code is then 1. A Dask `scheduler` (its address) gets all sweeps. BadInput where
    another process runs one of these studies at this profile.
    """
    chosen = load_profile(profile).chosen(study)
    if not chosen:
        raise BadInput.of("profile", profile, "a profile with notebooks", f"name them in profiles/{profile}.yaml")
    if block == CONFIRMATION:
        check_fresh(profile, list(chosen))
        chosen = {name: parameters | {"first": first_seed(name)} for name, parameters in chosen.items()}
    made_from = {name: status.inputs(name, parameters, block) for name, parameters in chosen.items()}
    check_scheduler(scheduler or os.environ.get(SCHEDULER))
    with alone_with(profile, list(chosen), block):
        if profile in EVIDENCE_PROFILES:
            pair_all(list(chosen))
        executions = run_all(profile, chosen, jobs, keep_stale, scheduler, block)
        done = [execution.study for execution in executions if not execution.error]
        try:
            if done:
                keep(profile, {name: made_from[name] for name in done}, block)
        except BaseException:  # a report that cannot be made must not hide what was found, nor the other way round
            with contextlib.suppress(ValueError, OSError):
                print(summary(profile, executions, block), flush=True)
            raise
        print(summary(profile, executions, block), flush=True)
    return 0 if len(done) == len(executions) else 1


def keep(profile: str, made_from: dict[str, status.Inputs], block: str = JUDGED) -> None:
    """Note what the studies of `made_from` came to and by what; publish them, unless the block is a confirmation."""
    results, keys = outputs(profile).results, {name: confirmation.key(name, block) for name in made_from}
    known = status.recorded(results)
    then = {name: known[own] for name, own in keys.items() if own in known}
    history.append(profile, list(made_from), then, made_from, block)
    if block == JUDGED:
        republish(profile, list(made_from), made_from)
    status.record(results, {keys[name]: inputs for name, inputs in made_from.items()})


def check_fresh(profile: str, studies: Sequence[str]) -> None:
    """Raise BadInput where the judged verdicts of a study rest on seeds of the confirmation: they are not fresh."""
    for row in read_records(profile):
        fresh = first_seed(row["study"]) if row["study"] in studies else inf
        if any(seed >= fresh for seed in row.get("seeds", ())):
            remedy = f"Judge it on fewer seeds, or let `fresh` in claims/{row['study']}.yaml begin beyond them"
            raise BadInput.of(f"seeds of {row['id']} at {profile}", row["seeds"], f"seeds below {fresh}", remedy)


def run_all(
    profile: str,
    chosen: dict[str, Parameters],
    jobs: int,
    keep_stale: bool,
    scheduler: str | None = None,
    block: str = JUDGED,
) -> list[Execution]:
    """Execute the notebooks, `jobs` at a time; these share the cores, so that none waits for another."""
    jobs = min(check_jobs(jobs), len(chosen))
    for name, parameters in chosen.items():
        prepare(profile, name, parameters, block)
    build_folder("cache")  # of decoded images: marked as ours before a notebook fills it
    environment = kernel_environment(profile, max(1, cores() // jobs), keep_stale, scheduler, block)
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda name: execute(profile, name, environment, _echo, block), chosen))


def check_jobs(jobs: int) -> int:
    """Return `jobs`; BadInput unless at least 1 and at most the number of cores."""
    if not 1 <= jobs <= cores():
        raise BadInput.of("jobs", jobs, f"1 to {cores()}, the cores here", "leave it out to run one after another")
    return jobs


def check_scheduler(address: str | None) -> None:
    """Raise BadInput unless a Dask scheduler with a worker answers at `address`; None asks for nothing."""
    if address:
        cluster(address)
        close_workers()


def republish(
    profile: str, studies: list[str], made_from: Mapping[str, status.Inputs] | None = None
) -> dict[str, Path]:
    """Write the pages of `studies` and the index, and refresh the README for a profile that is evidence.

    `made_from` are inputs of studies just run, which are recorded when their pages are there.
    """
    # Index and README are made of what all studies left: two commands at once would each drop the other's.
    with locked(project_root() / "build" / "locks" / "pages.lock"):
        pages = publish(profile, studies, made_from)
        if profile in EVIDENCE_PROFILES and (project_root() / "README.md").exists():
            readme.refresh()
    return pages


def pair_all(studies: Sequence[str]) -> list[str]:
    """Regenerate the .ipynb of each study where it differs from its .py; return those written, and say so."""
    written = [study for study in studies if pair(study)]
    for study in written:
        print(f"notebooks/{study}.ipynb regenerated from its .py", flush=True)
    return written


def clean(everything: bool = False) -> tuple[list[Path], list[Path]]:
    """Remove what redlib made in build/ except the run store (`everything`: that too); return (removed, left).

    What no marker says redlib made is left, and so is what lies elsewhere behind a link. BadInput while a study runs.
    """
    build = project_root() / "build"
    found = [path for path in sorted(build.glob("*")) if everything or path.name != "store"]
    ours = [path for path in found if _is_ours(path)]
    running = build / "executed"
    with contextlib.ExitStack() as locks:
        for path in sorted(running.glob("*/*.lock")) if running in ours else []:
            locks.enter_context(held(path, "study", path.stem))
        for path in ours:
            shutil.rmtree(path)
    return ours, [path for path in found if path not in ours]


def _is_ours(path: Path) -> bool:
    """Return whether a folder of build/ lies in this project and holds the marker of what redlib made."""
    inside = path.resolve().is_relative_to(project_root().resolve()) and not path.is_symlink()
    return inside and path.is_dir() and (path / MARKER).is_file()


def summary(profile: str, executions: Sequence[Execution], block: str = JUDGED) -> str:
    """Return the table at the end: notebook, verdicts, wall time, what the store gave, report, its size.

    Of a confirmation: how its verdicts stand to the judged ones, and the command that shows both.
    """
    last = ["with the judged seeds"] if block == CONFIRMATION else [*SWEEP_COUNTS, "report"]
    row = _confirmed if block == CONFIRMATION else _row
    table = _aligned([["notebook", "verdicts", "wall", *last], *(row(profile, one) for one in executions)])
    failed = [one for one in executions if one.error]
    told = [f"{one.study} failed: {one.error}\n  log: {_relative(one.log)}" for one in failed]
    if block == CONFIRMATION:
        return "\n".join(["", table, *told, f"Show both blocks: make report PROFILE={profile}"])
    index = outputs(profile).reports / "index.html"
    opened = [f"Open {_relative(index)}"] if index.exists() else []
    return "\n".join(["", table, *told, *opened])


def _row(profile: str, one: Execution) -> list[str]:
    """Return one line of the summary; for a failed notebook, where to look instead of what it found."""
    if one.error:
        return [one.study, "FAILED", _clock(one.wall_s), *("" for _ in SWEEP_COUNTS), _shown(one.notebook)]
    sweeps = read_runs(profile).get(one.study, {}).get("sweeps", [])
    counts = [str(sum(done[name] for done in sweeps)) for name in SWEEP_COUNTS]
    return [
        one.study,
        _verdicts(read_records(profile), one.study),
        _clock(one.wall_s),
        *counts,
        _shown(outputs(profile).reports / f"{one.study}.html"),
    ]


def _confirmed(profile: str, one: Execution) -> list[str]:
    """Return one line of a confirmation's summary; "" beside the verdicts where none was judged before."""
    if one.error:
        return [one.study, "FAILED", _clock(one.wall_s), _shown(one.notebook)]
    fresh = read_records(profile, CONFIRMATION)
    judged = [row for row in read_records(profile) if row["study"] == one.study]
    counts = confirmation.standings(confirmation.together(load_claims(), judged, fresh).values())
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    return [one.study, _verdicts(fresh, one.study), _clock(one.wall_s), told]


def _verdicts(records: Sequence[Row], study: str) -> str:
    """Return "9 replicated, 2 null" for the records of a study."""
    found = Counter(row["verdict"] for row in records if row["study"] == study)
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in VERDICTS if found[verdict])


def _echo(line: str) -> None:
    print(line, flush=True, file=sys.stderr)


def _shown(path: Path) -> str:
    return f"{_relative(path)} ({path.stat().st_size / 1e3:,.0f} KB)" if path.exists() else "none"


def _relative(path: Path) -> str:
    return path.relative_to(project_root()).as_posix()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as columns, two spaces apart."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
