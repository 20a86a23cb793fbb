"""The rules of the project: short functions, docstrings, one-way imports, addresses, make targets."""

import ast
import re
import statistics
import subprocess
from pathlib import Path

import pytest

from redlib.evidence.code import module_digests

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "redlib").glob("**/*.py"))
MEDIAN_LINES, MAX_LINES = 10, 50

# Which packages each package may import, besides itself: all that stand on lower floors; report knows no study.
FLOORS = ["data", "nets", "training", "pruning", "measures", "evidence", "plots", "experiments", "studies"]
LAYERS = {floor: set(FLOORS[:at]) for at, floor in enumerate(FLOORS)} | {
    "measures": {"data", "nets"},
    "evidence": {"data"},
    "plots": {"evidence"},
    "report": {"data", "evidence", "plots", "measures"},
    "audit": {"data", "nets", "measures", "evidence", "pruning"},
}
# What a run executes, which the store's keys digest, may not know how it is judged or drawn.
EXECUTED = ["experiments/experiment", "experiments/results", "experiments/lab", "experiments/chain"]
NOT_EXECUTED = re.compile(r"/(claims|figures)(/\w+)?\.py$")
TARGETS = [
    *("help", "env", "lab", "smoke", "reproduce", "study", "confirm", "report", "status", "compare", "new-study"),
    *("test", "lint", "types", "bench", "clean"),
]


def tree(source):
    return ast.parse((ROOT / source).read_text(), filename=source)


def functions(source):
    return [n for n in ast.walk(tree(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(function):
    return function.end_lineno - function.lineno + 1


def test_functions_are_short():
    lengths = {f"{source}:{f.name}": length(f) for source in SOURCES for f in functions(source)}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_LINES


def is_overload(node):
    """Return whether a function only gives types to the one below it, which is documented."""
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in getattr(node, "decorator_list", []))


@pytest.mark.parametrize("source", SOURCES)
def test_modules_and_public_functions_say_what_they_are(source):
    module = tree(source)
    if not module.body:
        return  # an empty __init__.py
    classes = [n for n in module.body if isinstance(n, ast.ClassDef)]
    # A method that overrides one of a base class is documented there.
    methods = [m for c in classes if not c.bases for m in c.body if isinstance(m, ast.FunctionDef)]
    named = [*classes, *methods, *(n for n in module.body if isinstance(n, ast.FunctionDef))]
    public = [module, *(n for n in named if not n.name.startswith("_"))]
    silent = [n for n in public if not ast.get_docstring(n) and not is_overload(n)]
    assert [getattr(n, "name", "module") for n in silent] == []


def imported(source):
    """Return the packages of redlib that a file imports."""
    used = set()
    for node in ast.walk(tree(source)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{a.name}" for a in node.names] if node.module == "redlib" else [node.module or ""]
        used |= {name.split(".")[1] for name in names if name.startswith("redlib.")}
    return used & {*LAYERS}


@pytest.mark.parametrize("source", [source for source in SOURCES if source.count("/") > 1])
def test_imports_go_one_way(source):
    package = source.split("/")[1]
    assert imported(source) - LAYERS[package] <= {package}


def executed():
    """Return the modules of runs: those of experiments, and of studies all but what judges and draws."""
    studies = [source for source in SOURCES if re.match(r"redlib/studies/\w+/", source)]
    runs = [source for source in studies if not NOT_EXECUTED.search(source) and not source.endswith("__init__.py")]
    return [*(f"redlib/{name}.py" for name in EXECUTED), *runs]


@pytest.mark.parametrize("source", executed())
def test_what_a_run_executes_knows_nothing_of_verdicts_and_pictures(source):
    reached = module_digests(source.removesuffix(".py").replace("/", "."))
    assert [
        name for name in reached if name.split(".")[1:2] and name.split(".")[1] in ("evidence", "plots", "report")
    ] == []


def test_no_study_imports_another():
    for source in SOURCES:
        if match := re.match(r"redlib/studies/(\w+)/", source):
            others = re.findall(
                r"redlib\.studies\.(\w+)|from redlib\.studies import (\w+)", (ROOT / source).read_text()
            )
            assert {name for pair in others for name in pair if name} <= {match[1]}, source


@pytest.mark.parametrize(
    "path",
    sorted(path for path in (ROOT / "redlib" / "report").glob("**/templates/**/*") if path.is_file()),
    ids=lambda p: p.name,
)
def test_templates_name_no_outside_address(path):
    text = path.read_text()
    assert re.findall(r"""(?:src|href|url\(|@import)\s*[=("'\s]*(?:https?:)?//[^\s"')]+""", text) == []


def test_make_help_lists_every_target():
    # Under `make test` this is a make in a make, which would say so in its output.
    command = ["make", "--no-print-directory", "help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in shown.split("\n\n")[0].splitlines()] == TARGETS


def test_workflows_call_only_targets_that_exist():
    scripts = [*(ROOT / ".github" / "workflows").glob("*.yml"), ROOT / ".ci" / "run"]
    calls = re.findall(r"(?<=\bmake )[a-z ]+", "\n".join(path.read_text() for path in scripts))
    assert calls, "the workflows run make"
    assert {name for call in calls for name in call.split()} <= set(TARGETS)


def test_every_reference_has_what_its_kind_needs():
    text = (ROOT / "references.bib").read_text()
    needed = {
        "article": "journal",
        "inproceedings": "booktitle",
        "techreport": "institution",
        "misc": "howpublished",
    }
    entries = re.findall(r"^@(\w+)\{([a-z]+\d{4}[a-z]+),(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert len(entries) == text.count("\n@") + text.startswith("@")
    assert len({key for _, key, _ in entries}) == len(entries)
    for kind, key, body in entries:
        fields = set(re.findall(r"^\s*(\w+)\s*=\s*\{.+\},$", body, re.MULTILINE))
        assert {"title", "author", "year", needed[kind]} <= fields, key


def test_project_files_name_no_machine_of_ours():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    host_path = re.compile(r"(?<![\w.])/(?:work|root|home)/\w+")
    texts = {
        ".py",
        ".md",
        ".yaml",
        ".yml",
        ".toml",
        ".txt",
        ".jsonl",
        ".json",
        ".html",
        ".csv",
        ".bib",
        ".ipynb",
    }
    found = {}
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in texts and path.exists():
            hits = host_path.findall(path.read_text(encoding="utf-8"))
            found |= {name: hits} if hits else {}
    assert found == {}


def test_make_hands_the_scheduler_to_every_command_that_sweeps():
    for target in ("reproduce", "smoke", "study", "confirm"):
        command = ["make", "--no-print-directory", "-n", target, "STUDY=01_x", "SCHEDULER=tcp://HOST:8786"]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
        assert f"redlib.report {target} " in shown and "--scheduler tcp://HOST:8786" in shown


def test_make_clean_without_an_environment_removes_nothing(tmp_path):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "build" / "theirs").mkdir(parents=True)
    done = subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "build" / "theirs").exists()
