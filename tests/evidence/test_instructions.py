"""Evidence has one instruction set: the same bits whatever the libraries would choose for the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.evidence import instructions
from redlib.evidence.store import scan

LOWER = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NUMBA_CPU_NAME": "nehalem",
    "NUMBA_CPU_FEATURES": "+sse4.2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3,X86_V4,AVX512_ICL,AVX512_SPR",
}
HIGHER: dict[str, str] = dict.fromkeys(LOWER, "")  # as the libraries find the machine
here = pytest.mark.skipif(
    instructions.FIXED not in instructions.supported(), reason="this machine has no AVX2, and so no promise"
)

SCRIPT = """
import sys
from pathlib import Path
from redlib.evidence.sweep import sweep
from rounding_run import Rounding
if __name__ == "__main__":
    for name, values in sorted(sweep([Rounding()], store=Path(sys.argv[1])).results[0].items()):
        print(name, values.tobytes().hex())
"""


def bits(folder: Path, variables: dict[str, str], **more: str) -> dict[str, str]:
    """Return what a run gives, by name, in a process whose libraries are told to use other instructions."""
    kept = {name: value for name, value in os.environ.items() if name not in LOWER}
    told = {name: value for name, value in variables.items() if value}
    root = Path(__file__).parents[2]
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = kept | told | more | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "REDLIB_PROGRESS": "off"}
    store = folder / f"store{len(list(folder.iterdir()))}"
    done = subprocess.run(
        [sys.executable, str(script), str(store)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [entry[1]["instructions"] for entry in scan(store)] == ["native" if more else "AVX2"]
    return dict(line.split() for line in done.stdout.splitlines())


@here
def test_evidence_has_the_same_bits_whatever_the_machine_has_and_a_native_run_has_not(tmp_path):
    pytest.importorskip("numba")
    fixed = bits(tmp_path, LOWER)
    assert fixed == bits(tmp_path, HIGHER)
    native = bits(tmp_path, LOWER, REDLIB_NATIVE="1")
    assert {name for name in fixed if native[name] != fixed[name]} == set(fixed), "each kind of sum can tell"


def test_every_wider_instruction_of_this_numpy_is_switched_off():
    known = np.show_config(mode="dicts")["SIMD Extensions"]
    wider = {name for kind in known.values() for name in kind if name.startswith(("AVX512", "X86_V4"))}
    off = instructions.VARIABLES["NPY_DISABLE_CPU_FEATURES"].split(",")
    assert wider <= set(off)


@pytest.mark.parametrize(
    ("machine", "text", "found"),
    [
        ("x86_64", "flags\t: sse4_2 avx avx2 avx512f\n", ("AVX2", "AVX512F")),
        ("AMD64", "flags\t: sse4_2 avx avx2\n", ("AVX2",)),
        ("x86_64", "flags\t: sse4_2 avx\n", ()),
        ("x86_64", "", ("AVX2",)),
        ("aarch64", "flags\t: avx2\n", ()),
    ],
)
def test_the_machine_is_read_from_what_the_system_tells(tmp_path, monkeypatch, machine, text, found):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert instructions.supported(path) == found


def test_without_avx2_or_on_request_evidence_is_native_and_says_so(monkeypatch):
    monkeypatch.setattr(instructions, "supported", lambda: ())
    assert instructions.fixed_environment() == {} and instructions.wanted() == "native"
    monkeypatch.setattr(instructions, "supported", lambda: ("AVX2",))
    assert instructions.fixed_environment() == instructions.VARIABLES and instructions.wanted() == "AVX2"
    monkeypatch.setenv(instructions.NATIVE, "1")
    assert instructions.fixed_environment() == {} and instructions.wanted() == "native"


@pytest.mark.parametrize(
    ("made", "asked", "serves"),
    [("AVX2", "AVX2", True), ("native", "AVX2", False), (None, "AVX2", False), ("AVX2", "native", True)],
)
def test_native_results_are_no_evidence_where_fixed_ones_are_asked_for(made, asked, serves):
    assert instructions.serves(made, asked) == serves


def test_fixing_comes_too_late_once_torch_is_there():
    import torch  # noqa: F401

    with pytest.raises(BadInput, match="before the first import of torch"):
        instructions.fix()
