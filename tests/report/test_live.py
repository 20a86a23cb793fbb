"""Live explorers draw where a person watches, and make no output that a headless run would wait for."""

from __future__ import annotations

from types import SimpleNamespace

import ipywidgets
import pytest

from redlib.report import live


@pytest.mark.parametrize(("allow", "drawn"), [(True, True), (False, False)])
def test_a_kernel_draws_only_for_a_person(monkeypatch, allow, drawn):
    seen = []
    kernel = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=allow))
    monkeypatch.setattr("redlib.progress.shell", lambda: kernel)
    monkeypatch.setattr(live, "shell", lambda: kernel)
    slider = ipywidgets.IntSlider(value=3)
    found = live.drawn(lambda k: seen.append(k), {"k": slider})
    assert isinstance(found, ipywidgets.Output) == drawn and seen == ([3] if drawn else [])


def test_outside_a_kernel_it_draws():
    seen = []
    live.drawn(lambda k: seen.append(k), {"k": ipywidgets.IntSlider(value=3)})
    assert seen == [3]
