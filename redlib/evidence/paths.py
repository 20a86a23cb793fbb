"""Where things lie: the project root, the run store, and the folders a profile's evidence goes to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from redlib.errors import BadInput
from redlib.places import named_folder, project_root

EVIDENCE_PROFILES = ("laptop", "mnist", "paper")
PROFILES = ("smoke", *EVIDENCE_PROFILES)
STORE_VARIABLE = "REDLIB_STORE"


@dataclass(frozen=True)
class Outputs:
    """The three folders one profile writes to (not created yet)."""

    results: Path
    figures: Path
    reports: Path


def store_root() -> Path:
    """Return the folder of the run store: `REDLIB_STORE`, else build/store under the project root."""
    return named_folder(STORE_VARIABLE, "build/store")


def check_profile(profile: str) -> str:
    """Return `profile` unchanged; raise BadInput when there is no such profile."""
    if profile not in PROFILES:
        raise BadInput.of("profile", profile, " | ".join(PROFILES), "pass one of these names")
    return profile


def outputs(profile: str) -> Outputs:
    """Return the folders of `profile`.

    Only `REDLIB_OUT=commit` (set by the reproduce command) points at the committed evidence, so that a
    notebook somebody plays with can never overwrite it; smoke runs, no evidence, always stay under build/.
    """
    root, kinds = project_root(), ("results", "figures", "reports")
    if check_profile(profile) == "smoke":
        return Outputs(*(root / "build" / "smoke" / kind for kind in kinds))
    if os.environ.get("REDLIB_OUT") != "commit":
        return Outputs(*(root / "build" / "interactive" / profile / kind for kind in kinds))
    return Outputs(*(root / kind / profile for kind in kinds))
