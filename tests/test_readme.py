"""The README's example runs as it stands and does what its comments say."""

from __future__ import annotations

import re

import numpy as np

from redlib.evidence.paths import project_root


def test_the_example_of_the_readme_trains_thirty_two_networks():
    text = (project_root() / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict = {}
    exec(example, names)
    errors = names["history"].final("test_error")
    assert errors.shape == (32,) and (errors < 0.6).all() and np.std(errors) > 0
