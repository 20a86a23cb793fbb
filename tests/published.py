"""Which committed pages and results are of today: others wait for their profile's next run, as `make status` says."""

from functools import cache
from pathlib import Path

from redlib.report.profiles import studies
from redlib.report.status import notebook_digest, recorded

ROOT = Path(__file__).parents[1]


@cache
def of_today(profile: str) -> list[str]:
    """Return the studies whose committed results at a profile were made by the notebook of today."""
    made = recorded(ROOT / "results" / profile)
    return [study for study in studies() if made.get(study, {}).get("notebook") == notebook_digest(study)]


def is_of_today(page: Path) -> bool:
    """Return whether reports/<profile>/<study>.html is; an index, where any study of its profile is."""
    current = of_today(page.parent.name)
    return page.stem in current or page.stem == "index" and bool(current)
