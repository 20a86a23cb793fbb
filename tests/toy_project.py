"""A project of two toy notebooks, and the command behind make in it: for the tests of what runs notebooks."""

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
PATIENCE = 600.0  # seconds until something hangs; beside other work a toy takes minutes
CLAIMS = """
study: STUDY
title: A toy
question: Does the toy rise?
claims:
- {id: CLAIM, primary: true, statement: A toy rises., source: S1, prior: R,
   check: {kind: greater, statistic: rise, than: 0, unit: pp}}
"""
NOTEBOOK = """
# %% [markdown]
# # A toy
#
# **Question.** Does the toy rise?

# %% tags=["parameters"]
profile = "smoke"
first = 0
rise = 1.0  # mean rise, pp
size = 8
pause_s = 0.0
runs = 5

# %%
from toy_runs import Toy

from redlib.evidence.claims import Finding
from redlib.evidence.study import Study

study = Study("STUDY", profile, first)

# %%
configs = [Toy(seed, size=size, pause_s=pause_s) for seed in range(first, first + runs)]
values = [run["values"][0] + rise for run in study.sweep(configs).results]

# %%
print("about to check")
study.check(Finding("CLAIM", values if rise else 1 / rise), seeds=range(first, first + runs))
study.conclude("It rises.")
"""


def project(root, laptop):
    """Write a project with two toy notebooks and the parameters of profile laptop; return its root."""
    for folder in ("notebooks", "profiles", "claims"):
        (root / folder).mkdir(parents=True)
    for study, claim in (("01_good", "DD-1"), ("02_bad", "DD-2")):
        for text, path in ((NOTEBOOK, f"notebooks/{study}.py"), (CLAIMS, f"claims/{study}.yaml")):
            (root / path).write_text(text.replace("STUDY", study).replace("CLAIM", claim).lstrip())
    for name in ("smoke", "mnist", "paper"):
        (root / "profiles" / f"{name}.yaml").write_text(f"profile: {name}\nnotebooks: {{}}\n")
    write_profile(root, laptop)
    markers = "\n".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->" for name in ("claims", "speed"))
    (root / "README.md").write_text(f"# Toy\n\n{markers}\n")
    return root


def write_profile(root, sections, name="laptop"):
    """Write a profile with the parameters of its notebooks."""
    (root / "profiles" / f"{name}.yaml").write_text(json.dumps({"profile": name, "notebooks": sections}))


def command(root, *arguments, **variables):
    """Start python -m redlib.report as make does, in the project at `root`, with more environment `variables`."""
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "REDLIB_HOME": str(root), "PYTHONPATH": path, "REDLIB_WORKERS": "2"}
    for name in ("REDLIB_STORE", "REDLIB_OUT", "REDLIB_KEEP_STALE", "REDLIB_SCHEDULER", "REDLIB_BLOCK"):
        environment.pop(name, None)
    environment |= variables
    return subprocess.Popen(
        [sys.executable, "-m", "redlib.report", *arguments],
        cwd=TESTS.parent, env=environment, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
