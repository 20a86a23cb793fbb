"""`import torchvision` works once redlib is imported, also where its binary operators cannot load.

See `redlib.data.torchvision_ops`, which does the same where redlib itself imports it. Nothing is loaded before somebody
asks for torchvision, and where it loads nothing is changed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

NAME = "torchvision"


class Retrying(Loader):
    """Loads a module as `inner` does; where the operators are missing it declares their schemas and starts again."""

    def __init__(self, inner: Loader):
        self.inner = inner

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what `inner` creates."""
        return self.inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module; other errors than that of the missing operators pass."""
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = self.inner  # nobody shall notice
        before = dict(module.__dict__)
        try:
            self.inner.exec_module(module)
        except RuntimeError as error:
            # By name: an import statement would count all of redlib.data as code of every run there is.
            if not importlib.import_module("redlib.data.torchvision_ops").declare_for(error):
                raise
            for name in [name for name in sys.modules if name.startswith(f"{NAME}.")]:
                del sys.modules[name]  # these hold references to the half that failed
            module.__dict__.clear()
            module.__dict__.update(before)
            self.inner.exec_module(module)


class Finder(MetaPathFinder):
    """Finds torchvision where Python does, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of torchvision with a loader that tries again, None for other modules."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname == NAME else None
        if spec is not None and spec.loader is not None:
            spec.loader = Retrying(spec.loader)
        return spec


def install() -> None:
    """Put the finder first, once."""
    if not any(type(finder).__name__ == Finder.__name__ and finder.__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
