"""The README's example runs as it stands and does what its comments say."""

from __future__ import annotations

import re

import numpy as np

from redlib.evidence.paths import project_root


def test_the_examples_of_the_readme_train_and_prune_networks():
    text = (project_root() / "README.md").read_text(encoding="utf-8")
    names: dict = {}
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(example, names)
    assert names["arms"].replicates == 24
    assert {name: int(kept[0].sum()) for name, kept in names["masks"][3].items()} == {
        "layer1": 2048,  # 4,000 x .8 x .8 x .8
        "layer2": 5120,
        "layer3": 729,  # 1,000 x .9 x .9 x .9
    }
    errors = names["history"].final("test_error")
    assert errors.shape == (32,) and (errors < 0.6).all() and np.std(errors) > 0


def test_the_readme_is_short_and_every_link_leads_somewhere():
    root = project_root()
    text = (root / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert len(links) > 5 and [link for link in links if not (root / link).exists()] == []
