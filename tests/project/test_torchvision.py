"""redlib and torchvision can be imported in either order, and `import redlib` alone loads neither it nor torch."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
BEFORE = """
try:
    import torchvision
except RuntimeError as error:  # a torch for CPUs beside a torchvision built for CUDA
    assert "nms does not exist" in str(error), error
"""
USE = """
import torch, torchvision
from torchvision import transforms
assert torchvision.models.squeezenet1_1(num_classes=3)(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
assert transforms.Resize(4)(torch.zeros(1, 8, 8)).shape == (1, 4, 4)
assert type(torchvision.__spec__.loader).__module__ != "redlib.importing"
print("used")
"""


def run(code: str, *arguments: str) -> str:
    """A process of its own: a module is imported once per process."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("first", ["import redlib", BEFORE + "import redlib"])
def test_torchvision_can_be_imported_after_redlib_whatever_was_tried_before(first):
    assert run(first + USE) == "used"


def test_redlib_alone_loads_neither_and_its_finder_stands_there_once():
    code = """
import sys, importlib, redlib
assert not {"torch", "torchvision"} & set(sys.modules), "a second and more that nobody asked for"
importlib.reload(redlib)
print(sum(type(finder).__module__ == "redlib.importing" for finder in sys.meta_path))
"""
    assert run(code) == "1"


def test_another_error_of_torchvision_passes(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('too old')\n")
    code = """
import sys, redlib
sys.path.insert(0, sys.argv[1])
try:
    import torchvision
except RuntimeError as error:
    print(error)
"""
    assert run(code, str(tmp_path)) == "too old"
