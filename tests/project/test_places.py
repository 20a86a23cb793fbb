"""Folders named by the environment follow one rule, whoever asks for them."""

import os
from pathlib import Path

import pytest

from redlib import places
from redlib.data.places import cache_root, data_root
from redlib.errors import BadInput
from redlib.evidence import paths

FOLDERS = {"REDLIB_HOME": places.project_root, "REDLIB_DATA": data_root, "REDLIB_STORE": paths.store_root}


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in FOLDERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "me"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("variable", FOLDERS)
def test_a_tilde_is_the_home_folder_in_every_variable(variable, monkeypatch, tmp_path):
    monkeypatch.setenv(variable, "~/there")
    assert FOLDERS[variable]() == (tmp_path / "me" / "there").resolve()


@pytest.mark.parametrize("variable", FOLDERS)
def test_the_home_of_nobody_is_bad_input(variable, monkeypatch):
    monkeypatch.setenv(variable, "~nobody-of-this-name/there")
    with pytest.raises(BadInput, match=f"{variable} = '~nobody-of-this-name/there'"):
        FOLDERS[variable]()


@pytest.mark.parametrize("variable", FOLDERS)
def test_a_file_is_no_folder(variable, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    with pytest.raises(BadInput, match=f"{variable}.*this is a file"):
        FOLDERS[variable]()


@pytest.mark.parametrize("variable", ["REDLIB_DATA", "REDLIB_STORE"])
def test_relative_folders_count_from_the_projects_root(variable, monkeypatch, tmp_path):
    project = tmp_path / "project"
    (project / "notebooks").mkdir(parents=True)
    (project / "pyproject.toml").touch()
    monkeypatch.chdir(project / "notebooks")
    monkeypatch.setenv(variable, "elsewhere")
    assert FOLDERS[variable]() == project.resolve() / "elsewhere"


@pytest.mark.parametrize("variable", FOLDERS)
def test_an_empty_variable_is_none(variable, monkeypatch):
    unset = FOLDERS[variable]()
    monkeypatch.setenv(variable, "")
    assert FOLDERS[variable]() == unset


def test_data_and_evidence_have_one_root(monkeypatch, tmp_path):
    assert paths.project_root is places.project_root
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").touch()
    monkeypatch.chdir(project)
    root = project.resolve()
    found = [data_root(), cache_root(), paths.store_root()]
    assert found == [root / "data", root / "build/cache", root / "build/store"]
    assert paths.outputs("smoke").results == root / "build/smoke/results"


def test_outside_of_any_project_the_root_is_the_checkout():
    checkout = Path(places.__file__).resolve().parents[1]
    assert places.project_root() == checkout and (checkout / "claims").is_dir()


def test_where_redlib_is_installed_is_no_project(monkeypatch, tmp_path):
    installed = tmp_path / "site-packages" / "redlib" / "places.py"
    monkeypatch.setattr(places, "__file__", str(installed))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert places.project_root() == (tmp_path / "work").resolve()


def test_an_argument_may_have_a_tilde_and_counts_from_here(tmp_path):
    assert data_root("~/sets") == (tmp_path / "me" / "sets").resolve()
    assert data_root("sets") == Path(os.getcwd()).resolve() / "sets"
