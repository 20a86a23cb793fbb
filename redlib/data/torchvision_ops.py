"""Importing torchvision also where its binary operators cannot load.

A CPU-only torch beside the package index's torchvision (built for CUDA) cannot load `torchvision/_C.so`;
`import torchvision` then stops at "operator torchvision::nms does not exist", although data sets,
transforms and models need none of these operators. Declaring the two schemas is enough.
"""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_SYMPTOM = re.compile(r"operator torchvision::q?nms does not exist")

# A Library takes its declarations back when it is garbage-collected: it lives as long as this module.
_declared: torch.library.Library | None = None


def ensure_torchvision() -> ModuleType:
    """Return the imported module torchvision; declare the operators nms and qnms only if it needs that.

    Where the operators load this is a plain import. Where they do not, torchvision's own detection
    operators (nms, roi_align, ...) still raise its clear error when called. Other import errors pass.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if not declare_for(error):
            raise
    _forget_partial_import()
    return importlib.import_module("torchvision")


def declare_for(error: RuntimeError) -> bool:
    """Declare the operators if `error` says that they are missing, and return whether it does."""
    missing = bool(_SYMPTOM.search(str(error)))
    if missing:
        _declare()
    return missing


def declared() -> bool:
    """Return whether the schemas had to be declared in this process."""
    return _declared is not None


def _declare() -> None:
    global _declared
    if _declared is None:
        library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS:
            library.define(schema)
        _declared = library


def _forget_partial_import() -> None:
    """Python drops only the failed package itself; its submodules hold references to the dead half."""
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]
