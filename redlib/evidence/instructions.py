"""One instruction set for evidence: the same bits on every x86-64 machine with AVX2, whatever else it can do.

The last bits of a sum depend on how many numbers are added at once. Libraries choose that by the machine they find, but
each also reads a variable when it is loaded. Processes that compute evidence start with all of them. A user's own `fit`
keeps the full speed; REDLIB_NATIVE=1 gives that to evidence, too, and every record says so. Other processors (arm64)
and GPUs have no such promise.
"""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from pathlib import Path

from redlib.errors import BadInput

NATIVE = "REDLIB_NATIVE"
FIXED = "AVX2"
VARIABLES = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own loops, its random normal numbers among them
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions
    "MKL_CBWR": "AVX2",  # torch's products and decompositions; without it some depend on where memory happens to lie
    "OPENBLAS_CORETYPE": "Haswell",  # those of NumPy and SciPy
    "NUMBA_CPU_NAME": "x86-64-v3",  # the sparse kernels
    "NUMBA_CPU_FEATURES": "+avx2,+fma",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4,AVX512_ICL,AVX512_SPR",  # NumPy's own loops
}


def fixed_environment() -> dict[str, str]:
    """Return the variables that a process needs at its start to compute evidence: {} with REDLIB_NATIVE=1.

    Also {} on a machine that does not have AVX2: what it computes is recorded as native.
    """
    if os.environ.get(NATIVE) == "1" or FIXED not in supported():
        return {}
    return dict(VARIABLES)


def wanted() -> str:
    """Return what evidence is to be computed with here: "AVX2", or "native" on request or for want of it."""
    return FIXED if fixed_environment() else "native"


def in_force() -> str:
    """Return what this process computes with: "AVX2" where it was started with the variables, else "native"."""
    return FIXED if all(_AT_START.get(name) == value for name, value in VARIABLES.items()) else "native"


def serves(made_with: str | None, asked: str) -> bool:
    """Return whether what these instructions made is the evidence asked for; where "native" is, anything is."""
    return asked in ("native", made_with)


@cache
def supported(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """Return which of AVX2 and AVX512F an x86-64 processor has, () for others.

    Where the system does not tell (macOS, Windows), an x86-64 machine is taken to have AVX2: all since 2013 do.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ()
    try:
        flags = next(line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return (FIXED,)
    return tuple(name for name in (FIXED, "AVX512F") if name.lower() in flags.split())


def fix() -> None:
    """Let this process compute evidence, and those that it starts; to be called before NumPy and torch are imported.

    Raises BadInput where torch already is: what it does cannot be changed any more.
    """
    if "torch" in sys.modules:
        raise BadInput.of("instructions", "fix()", "a call before the first import of torch", "Call it earlier.")
    os.environ.update(fixed_environment())
    _AT_START.update(fixed_environment())


_AT_START = dict(os.environ)

if __name__ == "__main__":  # to start a worker elsewhere: env $(python -m redlib.evidence.instructions) dask worker ...
    print(*(f"{name}={value}" for name, value in fixed_environment().items()))
