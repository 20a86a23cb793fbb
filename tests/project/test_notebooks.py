"""Notebooks: the .ipynb agrees with its source, profiles name its parameters, and it stays readable."""

import ast
import re
from pathlib import Path

import jupytext
import nbformat
import papermill
import pytest

from redlib.evidence.paths import PROFILES
from redlib.report.notebooks import read_source
from redlib.report.profiles import load_profile, studies

ROOT = Path(__file__).parents[2]
STUDIES = studies() or [pytest.param("", marks=pytest.mark.skip(reason="no notebooks exist yet"))]
for_each_study = pytest.mark.parametrize("study", STUDIES)

MAX_LINES, MAX_CELL_LINES, MAX_HELPER_LINES = 560, 30, 15


def code_cells(study):
    """Return, for each code cell, its lines that are neither empty nor comments."""
    cells = [cell.source.splitlines() for cell in read_source(study).cells if cell.cell_type == "code"]
    return [[line for line in lines if line.strip() and not line.strip().startswith("#")] for lines in cells]


def syntax(study):
    source = "\n".join(cell.source for cell in read_source(study).cells if cell.cell_type == "code")
    return list(ast.walk(ast.parse(source)))


@for_each_study
def test_ipynb_agrees_with_its_source_and_has_no_outputs(study):
    paired = nbformat.read(ROOT / "notebooks" / f"{study}.ipynb", as_version=4)
    shown = [
        [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in nb.cells] for nb in (paired, read_source(study))
    ]
    assert shown[0] == shown[1], "regenerate it: python -m redlib.report pair"
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in paired.cells)
    nbformat.validate(paired)


@for_each_study
def test_jupytext_writes_the_pair_as_its_source_is(study):
    source = (ROOT / "notebooks" / f"{study}.py").read_text(encoding="utf-8")
    written = jupytext.writes(nbformat.read(ROOT / "notebooks" / f"{study}.ipynb", as_version=4), "py:percent")
    cells = [text[text.index("# %%") :].strip() for text in (source, written)]
    assert cells[0] == cells[1], "JupyterLab refuses to open a pair that differs: mind the blank line above each # %%"


@for_each_study
def test_every_profile_passes_only_parameters_the_notebook_has(study):
    known = papermill.inspect_notebook(ROOT / "notebooks" / f"{study}.ipynb")
    for name in PROFILES:
        unknown = set(load_profile(name).notebooks.get(study, {})) - set(known)
        assert not unknown, name


@for_each_study
def test_a_notebook_stays_within_its_budget_of_formatted_lines(study):
    source = (ROOT / "notebooks" / f"{study}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MAX_LINES
    assert [cell[0] for cell in code_cells(study) if len(cell) > MAX_CELL_LINES] == []


@for_each_study
def test_prose_is_four_to_eight_words_for_a_line_of_code(study, record_property):
    words = sum(len(c.source.split()) for c in read_source(study).cells if c.cell_type == "markdown")
    ratio = words / sum(map(len, code_cells(study)))
    record_property("words of prose per line of code", round(ratio, 2))
    assert 3.5 <= ratio < 8  # drawing is no longer among the code


@for_each_study
def test_no_classes_and_no_long_helpers(study):
    nodes = syntax(study)
    assert [node.name for node in nodes if isinstance(node, ast.ClassDef)] == []
    helpers = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    assert [f.name for f in helpers if f.end_lineno - f.lineno + 1 > MAX_HELPER_LINES] == []


@for_each_study
def test_notebook_concludes_and_asks_its_question_first(study):
    notebook = read_source(study)
    assert "Question" in notebook.cells[0].source
    assert "study.conclude(" in "\n".join(c.source for c in notebook.cells if c.cell_type == "code")


@for_each_study
def test_every_work_cited_is_in_the_bibliography(study):
    known = set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "references.bib").read_text(), re.MULTILINE))
    prose = "\n".join(c.source for c in read_source(study).cells if c.cell_type == "markdown")
    cited = set(re.findall(r"(?<![\w.])@([a-z]+\d{4}[a-z]+)", prose))
    assert cited, "cite the works tested as [@key]"
    assert cited <= known


@for_each_study
def test_the_seeds_of_a_notebook_can_begin_elsewhere(study):
    """`make confirm` passes `first`: every notebook has it, hands it to its study, and begins ranges of seeds there."""
    nodes = syntax(study)
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    started = [call for call in calls if getattr(call.func, "id", "") == "Study"]
    assert [[getattr(argument, "id", argument) for argument in call.args[1:]] for call in started] == [
        ["profile", "first"]
    ]
    ranges = [ast.unparse(word.value) for call in calls for word in call.keywords if word.arg == "seeds"]
    assert [each for each in ranges if each.startswith("range(") and not each.startswith("range(first, first + ")] == []
    known = papermill.inspect_notebook(ROOT / "notebooks" / f"{study}.ipynb")
    assert known["first"]["default"] == "0"
