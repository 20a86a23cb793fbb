"""Notebooks as files: pair a .py source with its .ipynb, check its parameters, execute it headless.

The .py is the source, and the way is one-way: `jupytext --sync` goes by timestamps, and after a checkout it
can silently revert an edited source.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
import papermill
import yaml
from nbformat import NotebookNode

import redlib
from redlib.errors import BadInput
from redlib.evidence import instructions
from redlib.evidence.confirmation import CONFIRMATION, JUDGED, VARIABLE
from redlib.evidence.files import build_folder, held, make_folder, write_atomic
from redlib.evidence.paths import project_root
from redlib.evidence.sweep import SCHEDULER, THREAD_VARIABLES
from redlib.report.profiles import Parameters, notebook_source

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
    "jupytext": {"formats": "ipynb,py:percent"},
}


@dataclass(frozen=True)
class Execution:
    """How the run of one notebook ended: `error` is "" where it succeeded, else what to show the user."""

    study: str
    notebook: Path
    log: Path
    wall_s: float
    error: str = ""


def read_source(study: str) -> NotebookNode:
    """Return notebooks/<study>.py as a notebook without outputs; the same source gives the same bytes."""
    notebook = jupytext.read(notebook_source(study), fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode({"tags": tags} if tags else {})
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def pair(study: str) -> bool:
    """Write notebooks/<study>.ipynb from its .py where they differ; return whether it was written.

    What it replaces is kept in build/replaced/: somebody may have played in the .ipynb.
    """
    path = notebook_source(study).with_suffix(".ipynb")
    text = nbformat.writes(read_source(study)) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    if path.exists():
        shutil.copy2(path, build_folder("replaced") / path.name)
    write_atomic(path, text.encode())
    return True


def executed_path(profile: str, study: str, block: str = JUDGED) -> Path:
    """Return where the executed notebook of a successful run lies, build/executed/<profile>/<study>.ipynb.

    That of a confirmation lies beside it, in <profile>+confirmation: a page is made of the judged one.
    """
    return project_root() / "build" / "executed" / _folder(profile, block) / f"{study}.ipynb"


@contextlib.contextmanager
def alone_with(profile: str, studies: Sequence[str], block: str = JUDGED) -> Iterator[None]:
    """Keep other commands from running this block of these studies at this profile; BadInput where one does.

    It names the process. Two runs of a study at once would write the same notebooks under build/executed.
    """
    with contextlib.ExitStack() as locks:
        for study in sorted(studies):
            locks.enter_context(held(executed_path(profile, study, block).with_suffix(".lock"), "study", study))
        yield


def prepare(profile: str, study: str, parameters: Parameters, block: str = JUDGED) -> Path:
    """Write the notebook papermill is to run and return its path; BadInput for an unknown parameter."""
    path = executed_path(profile, study, block).with_suffix(".input.ipynb")
    write_atomic(path, nbformat.writes(read_source(study)).encode())
    known = papermill.inspect_notebook(_literal(path))
    if not known:
        raise BadInput.of("parameters", study, "a notebook with a cell tagged `parameters`", "add that cell")
    if block == CONFIRMATION and "first" not in known:
        remedy = "add `first = 0` to it, begin all seeds there, and pass it on: Study(name, profile, first)"
        raise BadInput.of("parameters", study, "a notebook with the parameter `first` for its first seed", remedy)
    for name in parameters:
        if name not in known:
            raise BadInput.named(f"parameter of {study}", name, known, f"correct profiles/{profile}.yaml")
    write_atomic(_parameter_file(path), yaml.safe_dump(dict(parameters), sort_keys=False).encode())
    return path


def execute(
    profile: str,
    study: str,
    environment: dict[str, str],
    echo: Callable[[str], None] = print,
    block: str = JUDGED,
) -> Execution:
    """Run the prepared notebook of `study` and return how it ended.

    The output appears at `executed_path` only when every cell succeeded; a failed one is kept beside it as
    <study>.failed.ipynb. Lines the notebook prints go to build/logs/<profile>/<study>.log and to `echo`.
    """
    done = executed_path(profile, study, block)
    running, failed = done.with_suffix(".tmp.ipynb"), done.with_suffix(".failed.ipynb")
    running.unlink(missing_ok=True)
    log = project_root() / "build" / "logs" / _folder(profile, block) / f"{study}.log"
    start = time.monotonic()
    command = _command(done.with_suffix(".input.ipynb"), running)
    code = _run(command, environment, log, lambda line: echo(f"{study} | {line}"))
    wall_s = time.monotonic() - start
    if code == 0:
        os.replace(running, done)
        failed.unlink(missing_ok=True)
        return Execution(study, done, log, wall_s)
    if running.exists():
        os.replace(running, failed)
    return Execution(study, failed, log, wall_s, last_error(failed) or f"it ended with exit code {code}")


def kernel_environment(
    profile: str, cores: int, keep_stale: bool = False, scheduler: str | None = None, block: str = JUDGED
) -> dict[str, str]:
    """Return the environment of a notebook's process: where evidence goes, its cores or scheduler, this very redlib.

    A confirmation never uses results of older code, whatever the caller's environment says.
    """
    environment = {**os.environ, "REDLIB_WORKERS": str(cores), "REDLIB_PROGRESS": "log"}
    environment |= dict.fromkeys(THREAD_VARIABLES, str(cores)) | instructions.fixed_environment()
    paths = [str(Path(redlib.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment["REDLIB_HOME"] = str(project_root())
    # Whatever the locale: notebooks, pages and logs are UTF-8, and a path may have any letter.
    environment |= {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}
    # The kernel of this interpreter, whatever kernel named python3 the user has installed elsewhere.
    environment["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else every kernel warns about frozen modules
    environment.pop("MPLBACKEND", None)  # a forced Agg makes inline figures vanish
    environment["REDLIB_OUT"] = "" if profile == "smoke" else "commit"
    environment[VARIABLE] = block
    if keep_stale:
        environment["REDLIB_KEEP_STALE"] = "1"
    if block == CONFIRMATION:
        environment.pop("REDLIB_KEEP_STALE", None)
    if scheduler:
        environment[SCHEDULER] = scheduler
    return environment


def last_error(notebook: Path) -> str:
    """Return "In [7]: ValueError: …" for the error that stopped a notebook, or "" if there is none."""
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (FileNotFoundError, ValueError):  # never written, or cut off when its process was killed
        return ""
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"In [{cell.execution_count}]: {output.ename}: {output.evalue}"
    return ""


def _folder(profile: str, block: str) -> str:
    return profile if block == JUDGED else f"{profile}+{block}"


def _command(source: Path, target: Path) -> list[str]:
    """Return the papermill call; parameters go by file, since -p would turn a list into a string."""
    folder = str(project_root() / "notebooks")
    options = ["-k", "python3", "--cwd", folder, "-f", str(_parameter_file(source))]
    quiet = ["--no-progress-bar", "--log-level", "WARNING", "--stdout-file", "-", "--stderr-file", "-"]
    return [sys.executable, "-m", "redlib.report.papermill_child", _literal(source), _literal(target), *options, *quiet]


def _literal(path: Path) -> str:
    """Return a path as papermill wants it: it fills in what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _run(command: list[str], environment: dict[str, str], log: Path, echo: Callable[[str], None]) -> int:
    make_folder(log.parent)
    with (
        open(log, "w", encoding="utf-8") as file,
        subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, encoding="utf-8", errors="replace") as process,
    ):  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            file.flush()
            if not line.startswith("[IPKernelApp]"):  # about the kernel's transport, of no use to the reader
                echo(line.rstrip())
    return process.returncode


def _parameter_file(source: Path) -> Path:
    return source.with_name(source.name.removesuffix(".input.ipynb") + ".parameters.yaml")
