"""python -m redlib.report COMMAND: what the Makefile calls."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from redlib.errors import BadInput
from redlib.evidence import instructions
from redlib.evidence.confirmation import CONFIRMATION, JUDGED
from redlib.evidence.paths import PROFILES
from redlib.report import compare, new_study, readme, reproduce, status
from redlib.report.profiles import load_profile, studies

HELP = {
    "reproduce": "run the notebooks of a profile and publish their results",
    "smoke": "the same at profile smoke: does everything work?",
    "study": "the same for one notebook (--study)",
    "confirm": "run the notebooks on fresh seeds and keep their verdicts beside the judged ones",
    "report": "rebuild HTML and README tables from the notebooks already run",
    "status": "say which results are up to date, which are stale, and why",
    "compare": "list what differs from the committed results",
    "readme": "rebuild the generated tables of README.md",
    "new-study": "write the skeleton of a study: claims, runs, figures, notebook, tests",
    "pair": "regenerate notebooks/*.ipynb from their .py",
    "clean": "remove what redlib made in build/, except the store of computed runs",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 well, 1 failure or difference, 2 bad input or full disk."""
    speak_anywhere()
    options = parser().parse_args(arguments)
    # These commands are about the committed evidence; a notebook opened by hand writes to build/.
    os.environ["REDLIB_OUT"] = "commit"
    if getattr(options, "native", False):
        os.environ[instructions.NATIVE] = "1"
    try:
        return run(options)
    except (BadInput, OSError) as error:  # OSError: a full disk, with what was needed and where
        print(f"error: {error}", file=sys.stderr)
        return 2


def speak_anywhere() -> None:
    r"""Let stdout and stderr write any letter: what their encoding lacks is spelt out (\u03c3) instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run(options: argparse.Namespace) -> int:
    """Dispatch to the function behind the command; return its exit code."""
    match options.command:
        case "reproduce" | "smoke" | "study" | "confirm":
            block = CONFIRMATION if options.command == "confirm" else JUDGED
            chosen = (options.profile, options.study, options.jobs, options.keep_stale, options.scheduler)
            return reproduce.reproduce(*chosen, block)
        case "report":
            pages = reproduce.republish(options.profile, list(load_profile(options.profile).chosen(options.study)))
            print("\n".join(str(page) for page in pages.values()))
        case "status":
            for row in status.rows(options.study):
                print(f"{row[0]:<24}{row[1]:<8}{row[2]}")
        case "compare":
            return _compare(options)
        case "readme":
            print("README.md rewritten" if readme.refresh() else "README.md is up to date")
        case "new-study":
            print("\n".join(f"wrote {path}" for path in new_study.create(options.name)))
            reproduce.pair_all([options.name])
        case "pair":
            return 1 if reproduce.pair_all(studies()) else 0
        case "clean":
            removed, left = reproduce.clean(options.all)
            print("\n".join(f"removed {path}" for path in removed) or "nothing to remove")
            for path in left:
                print(f"left {path}: nothing in it says that redlib made it; remove it by hand if it may go")
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; every command has only the options it uses."""
    top = argparse.ArgumentParser(prog="python -m redlib.report", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = {name: commands.add_parser(name, help=text, description=text) for name, text in HELP.items()}
    for name in ("reproduce", "study", "confirm", "report", "compare"):
        made[name].add_argument("--profile", choices=PROFILES, default="laptop")
    made["smoke"].set_defaults(profile="smoke")
    for name in ("reproduce", "smoke", "confirm", "report", "status", "compare"):
        made[name].add_argument("--study", help="e.g. 01_double_descent (default: all)")
    made["study"].add_argument("--study", required=True, help="e.g. 01_double_descent")
    for name in ("reproduce", "smoke", "study", "confirm"):
        made[name].add_argument("--jobs", type=int, default=1, help="notebooks at a time; they share the cores")
        made[name].add_argument("--native", action="store_true", help="all instructions of this machine; other bits")
        made[name].add_argument("--scheduler", help="a Dask scheduler that runs all sweeps, e.g. tcp://HOST:8786")
    for name in ("reproduce", "smoke", "study"):
        made[name].add_argument("--keep-stale", action="store_true", help="use results of older code, with a badge")
    made["confirm"].set_defaults(keep_stale=False)  # no record of a confirmation could say so
    made["new-study"].add_argument("name", help="e.g. 10_my_study")
    made["clean"].add_argument("--all", action="store_true", help="the run store, too")
    return top


def _compare(options: argparse.Namespace) -> int:
    found, told = compare.compare(options.profile, options.study)
    print("\n".join(found) or "every verdict as committed, every estimate within its committed interval")
    print("\n".join(told))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
