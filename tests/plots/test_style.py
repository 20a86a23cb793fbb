"""Figures look the same whatever matplotlibrc their maker has."""

import os
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt

from redlib import plots

DRAW = """
import hashlib
import matplotlib
matplotlib.use("agg")
from redlib import plots
from redlib.evidence.study import _rendered
plots.use_style()
fig, axes = plots.panels()
axes[0].plot([1, 2])
axes[0].set_title("Test error falls")
print(*(hashlib.sha256(content).hexdigest() for content in _rendered(fig)))
"""


def drawn(folder, rc):
    folder.mkdir()
    (folder / "matplotlibrc").write_text(rc)
    environment = os.environ | {"MATPLOTLIBRC": str(folder)}
    done = subprocess.run([sys.executable, "-c", DRAW], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_matplotlibrc_changes_no_byte_of_a_figure(tmp_path):
    plain = drawn(tmp_path / "plain", "")
    assert len(set(plain)) == 2
    taste = "text.usetex: True\nfont.family: serif\nsavefig.bbox: tight\nsavefig.dpi: 37\naxes.xmargin: 0.3\n"
    assert drawn(tmp_path / "taste", taste) == plain


def test_the_style_stands_on_matplotlibs_defaults_and_leaves_windows_alone():
    own = {"text.usetex": True, "savefig.bbox": "tight", "font.family": ["serif"], "lines.linestyle": ":"}
    windows = {"figure.max_open_warning": 3, "interactive": True}
    with plt.rc_context(own | windows):
        backend = matplotlib.get_backend()
        plots.use_style()
        for name in own:
            assert plt.rcParams[name] == matplotlib.rcParamsDefault[name], name
        assert {name: plt.rcParams[name] for name in windows} == windows
        assert matplotlib.get_backend() == backend
        assert {name: plt.rcParams[name] for name in plots.STYLE} == plots.STYLE
