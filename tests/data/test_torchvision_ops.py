"""The torchvision shim declares two schemas where the binary operators cannot load, and nothing elsewhere."""

import ast
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def run(code: str, *arguments: str) -> str:
    """A process of its own: torchvision is imported once per process, and must be fresh or faked there."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


REAL = """
import gc, torch
try:
    import torchvision
    loads = True
except RuntimeError as error:
    assert "nms does not exist" in str(error), error
    loads = False
from redlib.data.torchvision_ops import declared, ensure_torchvision
torchvision = ensure_torchvision()
assert ensure_torchvision() is torchvision
assert declared() is not loads, (declared(), loads)
gc.collect()
assert hasattr(torch.ops.torchvision, "nms")
net = torchvision.models.resnet18(num_classes=3)
assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
assert torchvision.transforms.functional.hflip(torch.arange(3)[None]).tolist() == [[2, 1, 0]]
assert len(torchvision.datasets.FakeData(size=4)) == 4
box, score = torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1)
try:
    assert torchvision.ops.nms(box, score, 0.5).tolist() == [0] and loads
except RuntimeError as error:
    assert not loads and "Couldn't load custom C++ ops" in str(error), error
print("declared" if declared() else "loads")
"""


def test_the_installed_torchvision_works_and_is_patched_exactly_if_it_must_be():
    assert run(REAL) in {"declared", "loads"}


FAKE = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from redlib.data.torchvision_ops import declared, ensure_torchvision
try:
    module = ensure_torchvision()
    print(module.__file__.startswith(sys.argv[1]), module.name, declared())
except Exception as error:
    print(type(error).__name__, error, declared())
"""


def fake(folder: Path, source: str) -> str:
    package = folder / "torchvision"
    package.mkdir()
    (package / "part.py").write_text("count = 1\n")
    (package / "__init__.py").write_text(source)
    return run(FAKE, str(folder))


def test_nothing_is_declared_where_the_operators_load(tmp_path):
    source = """
import torch
library = torch.library.Library("torchvision", "DEF")  # as the binary does; a second definition would raise
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
name = "loads"
"""
    assert fake(tmp_path, source) == "True loads False"


def test_the_schemas_are_declared_and_half_imported_parts_forgotten_where_they_do_not(tmp_path):
    source = """
import torch
from torchvision import part
part.count += 1  # the first, failing import
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, iou_threshold): ...
@torch.library.register_fake("torchvision::qnms")
def qnms(dets, scores, iou_threshold): ...
name = part.count
"""
    assert fake(tmp_path, source) == "True 2 True"


def test_other_import_errors_pass_unchanged(tmp_path):
    assert fake(tmp_path, "raise RuntimeError('too old')") == "RuntimeError too old False"


def test_nothing_in_redlib_imports_torchvision_but_through_the_shim():
    found = []
    for path in sorted((PROJECT / "redlib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found += [f"{path.name}: {name}" for name in names if name.split(".")[0] == "torchvision"]
    assert found == []
