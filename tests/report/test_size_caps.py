"""What is committed stays small: people clone it and open it on a phone."""

from pathlib import Path

import pytest

from redlib.evidence.paths import EVIDENCE_PROFILES

ROOT = Path(__file__).parents[2]
PAGE_BYTES, STUDY_BYTES = 1.5e6, 4e6  # of a page; of a page and a dozen or two figures in two forms each


def files(kind, profile):
    """Return {name: bytes} of the files in reports/ or figures/ of a profile."""
    return {path.name: path.stat().st_size for path in (ROOT / kind / profile).glob("**/*") if path.is_file()}


@pytest.mark.parametrize("profile", EVIDENCE_PROFILES)
def test_every_report_is_at_most_1_5_mb(profile):
    pages = files("reports", profile)
    if not pages:
        pytest.skip(f"no reports of profile {profile} are committed")
    assert {name: size for name, size in pages.items() if size > PAGE_BYTES} == {}


@pytest.mark.parametrize("profile", EVIDENCE_PROFILES)
def test_reports_and_figures_of_a_profile_are_at_most_4_mb_a_study(profile):
    pages, figures = files("reports", profile), files("figures", profile)
    studies = sum(name[0].isdigit() for name in pages)
    if not studies:
        pytest.skip(f"no reports of profile {profile} are committed")
    assert sum([*pages.values(), *figures.values()]) <= STUDY_BYTES * studies
