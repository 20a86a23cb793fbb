"""Where results come from: commit, versions, hardware, threads, memory; volatile, so no evidence."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from redlib.evidence.instructions import in_force, supported
from redlib.evidence.paths import project_root
from redlib.evidence.sweep import cores

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib", "mnist1d")
GENERATED = ("results", "figures", "reports")  # rewritten by every run, so they say nothing about the code


def environment() -> dict[str, Any]:
    """Return {commit, dirty, python, platform, versions, cpu, instructions, cores, threads, workers, ram_gib, gpu}.

    Anything that cannot be found out (no git, no /proc, no GPU) is None; nothing here raises or names a
    person, a machine or a folder.
    """
    commit, dirty = git_state()
    torch = sys.modules.get("torch")
    return {
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
        "cpu": cpu_model(),
        "instructions": {"machine": list(supported()), "evidence": in_force()},
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads() if torch else None,
        "workers": cores(),
        "ram_gib": ram_gib(),
        "gpu": torch.cuda.get_device_name(0) if torch and torch.cuda.is_available() else None,
    }


def git_state(root: Path | None = None) -> tuple[str | None, bool | None]:
    """Return (commit, dirty) of the project; (None, None) without git or a commit.

    Dirty means that a file outside the generated folders differs from the commit or is new.
    """
    where = str(root or project_root())
    paths = [".", *(f":(exclude,top){folder}" for folder in GENERATED)]
    commit = _output("git", "-C", where, "rev-parse", "HEAD")
    changes = _output("git", "-C", where, "status", "--porcelain", "--", *paths)
    return (commit, bool(changes)) if commit and changes is not None else (None, None)


def git_output(*arguments: str) -> str | None:
    """Return what git says in the project, stripped; None where it fails or there is none."""
    return _output("git", "-C", str(project_root()), *arguments)


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Return {package: version} of the installed packages that results depend on."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


@lru_cache(maxsize=1)
def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Return the name of the processor: /proc/cpuinfo on Linux, sysctl on macOS, else what Python knows."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        name = _output("sysctl", "-n", "machdep.cpu.brand_string") or ""
    return name or platform.processor() or platform.machine() or None


def ram_gib() -> float | None:
    """Return the physical memory in GiB, or None where the system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def peak_memory_mb() -> float | None:
    """Return the peak resident memory in MB of this process plus that of its largest child.

    None on Windows. Call `sweep.close_workers()` first: a child is counted only when it has ended.
    """
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(sum(peaks) * unit / 1e6, 1)
