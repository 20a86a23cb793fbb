"""The progress wrapper: a bar for somebody who watches, timed lines for a log, silence on demand."""

import re
import sys
import types

import pytest

from redlib import progress as module
from redlib.errors import BadInput
from redlib.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances 4 seconds whenever it is read."""
    ticks = iter(range(0, 10_000, 4))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(ticks)))


@pytest.fixture(autouse=True)
def no_override(monkeypatch):
    monkeypatch.delenv("REDLIB_PROGRESS", raising=False)


def test_headless_prints_one_timed_line_per_interval_and_no_bar(clock, capsys):
    assert list(progress(range(9), "sweep", every_s=10.0)) == list(range(9))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and "\r" not in err
    assert [re.match(r"sweep: (\d)/9 ", line)[1] for line in lines] == ["3", "6", "9"]
    assert lines[0] == "sweep: 3/9 (33%) after 12 s, about 24 s to go"


def test_headless_loop_shorter_than_the_interval_is_silent(capsys):
    assert sum(progress(iter([1, 2]), "short")) == 3
    assert capsys.readouterr() == ("", "")


def test_unknown_length_reports_count_and_time(clock, capsys):
    list(progress((n for n in range(3)), "rows", every_s=10.0))
    assert capsys.readouterr().err == "rows: 3 after 12 s\n"


def test_off_is_silent_even_when_slow(clock, capsys, monkeypatch):
    monkeypatch.setenv("REDLIB_PROGRESS", "off")
    assert list(progress(range(9), "sweep", every_s=0.0)) == list(range(9))
    assert capsys.readouterr() == ("", "")


def test_bar_mode_draws_a_bar(capsys, monkeypatch):
    monkeypatch.setenv("REDLIB_PROGRESS", "bar")
    assert list(progress(range(3), "sweep")) == [0, 1, 2]
    assert re.search(r"sweep: 100%.*3/3", capsys.readouterr().err)


def test_a_terminal_gets_a_bar_and_a_pipe_a_log(monkeypatch):
    for tty, expected in ((True, "bar"), (False, "log")):
        monkeypatch.setattr(sys, "stderr", types.SimpleNamespace(isatty=lambda tty=tty: tty))
        assert module.mode() == expected


def test_only_a_kernel_whose_front_end_takes_input_is_interactive(monkeypatch):
    for takes_input in (True, False):
        shell = types.SimpleNamespace(kernel=types.SimpleNamespace(_allow_stdin=takes_input))
        monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert module.interactive() is takes_input


def test_bad_arguments_raise_before_the_first_item(monkeypatch):
    with pytest.raises(BadInput, match="every_s = -1"):
        progress([1], "x", every_s=-1)
    monkeypatch.setenv("REDLIB_PROGRESS", "loud")
    with pytest.raises(BadInput, match=r"'loud'.*bar \| log \| off"):
        progress([1], "x")
