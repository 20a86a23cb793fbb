"""The code digest: comments and docstrings do not count, code does, through every import."""

import importlib
import os
import sys
import time

import pytest

from redlib.errors import BadInput
from redlib.evidence import code

FILES = {
    "__init__.py": "",
    "runs.py": '"""Docstring."""\nimport os\nfrom .deep.tools import helper\nfrom . import settings\n\n\n'
    'def run(config):\n    """Another."""\n    return helper(config)  # a comment\n',
    "settings.py": "RATE = 0.1\n",
    "unused.py": "X = 1\n",
    "deep/__init__.py": "",
    "deep/tools.py": "def helper(config):\n    from shop.deep import base\n    return base.VALUE\n",
    "deep/base.py": "VALUE = 1\n",
}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A package `shop` on the path; returns a function that edits one of its files."""
    monkeypatch.syspath_prepend(tmp_path)

    def edit(name, old="", new=""):
        path = tmp_path / "shop" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        stamp = path.stat().st_mtime_ns + 10**9  # editors save more than a clock tick apart
        os.utime(path, ns=(stamp, stamp))

    for name, text in FILES.items():
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_text(text)
    importlib.invalidate_caches()
    return edit


def test_exactly_the_modules_reached_by_imports_count(shop):
    reached = ["shop", "shop.deep", "shop.deep.base", "shop.deep.tools", "shop.runs", "shop.settings"]
    assert list(code.module_digests("shop.runs")) == reached


def test_nothing_is_executed(shop):
    shop("deep/tools.py", "def helper", "raise SystemExit\ndef helper")
    code.code_digest("shop.runs")
    assert not [name for name in sys.modules if name.startswith("shop")]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("runs.py", "# a comment", "# another, longer comment"),
        ("runs.py", '"""Docstring."""', '"""A new docstring\nof two lines."""\n'),
        ("runs.py", '    """Another."""\n', ""),
        ("runs.py", "\n\n\n", "\n\n"),
        ("runs.py", "helper(config)", "helper( config )"),
        ("deep/base.py", "VALUE = 1", "VALUE = 1  # why"),
        ("unused.py", "1", "2"),
    ],
)
def test_an_edit_that_no_run_can_notice_changes_nothing(shop, file, old, new):
    before = code.code_digest("shop.runs")
    shop(file, old, new)
    assert code.code_digest("shop.runs") == before


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("runs.py", "return helper(config)", "return -helper(config)", "shop.runs"),
        ("settings.py", "0.1", "0.2", "shop.settings"),
        ("deep/base.py", "1", "2", "shop.deep.base"),
        ("deep/__init__.py", "", "import os\n", "shop.deep"),
        ("__init__.py", "", "X = 1\n", "shop"),
    ],
)
def test_an_edit_of_code_counts_however_deep_and_is_named(shop, file, old, new, changed):
    before, modules = code.code_digest("shop.runs"), code.module_digests("shop.runs")
    shop(file, old, new)
    assert code.code_digest("shop.runs") != before
    assert code.changed_modules(modules, "shop.runs") == [changed]


def test_a_module_outside_redlib_brings_the_redlib_modules_it_imports():
    found = code.module_digests("toy_runs")
    assert {"toy_runs", "redlib", "redlib.errors", "redlib.importing"} == {*found}


def test_edits_are_seen_by_time_and_a_wrong_clock_is_no_edit(shop, tmp_path):
    path = tmp_path / "shop" / "deep" / "base.py"
    now = time.time()
    for when, edited in ((now - 100, False), (now - 1, True), (now + 9999, False)):
        os.utime(path, (when, when))
        for other in (tmp_path / "shop").rglob("*.py"):
            if other != path:
                os.utime(other, (now - 100, now - 100))
        assert code.edited_since("shop.runs", now - 50) is edited


def test_a_module_without_a_file_is_refused():
    for name in ("no_such_module", "sys", "redlib.no_such_module"):
        with pytest.raises(BadInput, match=name):
            code.code_digest(name)
