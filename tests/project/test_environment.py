"""The environment is stated three times (ranges, pins, conda); these tests keep the three in step."""

import ast
import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {
    "pytorch": "torch",
    "matplotlib-base": "matplotlib",
    "seaborn-base": "seaborn",
    "dask-core": "dask",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*extras):
    """Return {name: specifier} of the dependencies and the extras named."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return {canonicalize_name(Requirement(line).name): Requirement(line).specifier for line in lines}


def pins():
    """Return [(name, version text)] of constraints.txt, in its order."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in lines), "every line is name==version"
    return [(canonicalize_name(line.split("==")[0]), line.split("==")[1]) for line in lines]


def conda():
    """Return {PyPI name: specifier} of environment.yml, without python and pip."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    lines = [line for entry in entries for line in (entry["pip"] if isinstance(entry, dict) else [entry])]
    found = {Requirement(line).name: Requirement(line).specifier for line in lines}
    return {canonicalize_name(CONDA_NAMES.get(k, k)): v for k, v in found.items() if k not in ("python", "pip")}


def test_conda_mirror_names_the_same_packages_in_the_same_ranges():
    assert conda() == requirements("dev", "sparse", "structured", "dask")


def test_conda_mirror_allows_the_same_pythons():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = next(e for e in entries if isinstance(e, str) and e.startswith("python>"))
    assert Requirement(python).specifier == SpecifierSet(PROJECT["requires-python"])


def test_every_requirement_is_pinned_within_its_range():
    pinned = dict(pins())
    wrong = {
        name: pinned.get(name)
        for name, specifier in requirements("dev", "sparse", "structured", "dask", "oracles").items()
        if name not in pinned or Version(pinned[name]) not in specifier
    }
    assert not wrong


def test_pins_are_unique_and_without_local_suffixes():
    names = [name for name, _ in pins()]
    assert len(names) == len(set(names))
    assert not [pin for pin in pins() if Version(pin[1]).local]


def test_torch_and_torchvision_are_the_pair_that_fits():
    pinned = dict(pins())
    assert (pinned["torch"], pinned["torchvision"]) == ("2.13.0", "0.28.0")


@pytest.mark.skipif(not (Path(sys.prefix) / ".installed").exists(), reason="not the .venv that make env installs")
def test_installed_packages_are_the_pinned_ones():
    pinned = dict(pins())
    installed = {canonicalize_name(d.name): Version(d.version).public for d in importlib.metadata.distributions()}
    ours = {name: version for name, version in installed.items() if name not in ("redlib", "pip")}
    assert ours == {name: pinned.get(name) for name in ours}


def imported(folder):
    """Return the top-level names of what the sources of `folder` import, without the standard library."""
    names = set()
    for path in (ROOT / folder).glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    local = {"redlib", "benchmarks"} | {path.stem for path in (ROOT / "tests").glob("*.py")}
    return names - set(sys.stdlib_module_names) - local


@pytest.mark.parametrize(
    ("folder", "extras"),
    [("redlib", ()), ("notebooks", ()), ("benchmarks", ("dev",)), ("tests", ("dev", "dask"))],
)
def test_everything_imported_is_declared(folder, extras):
    owners = importlib.metadata.packages_distributions()
    declared = requirements(*extras)
    optional = {
        "dask",
        "distributed",
        "numba",
        "torch_pruning",
    }  # imported inside functions, where someone asks for them
    undeclared = {
        name
        for name in imported(folder) - optional
        if not {canonicalize_name(owner) for owner in owners.get(name, [name])} & set(declared)
    }
    assert not undeclared
