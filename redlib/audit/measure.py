"""A number beside what chance gives: the measured value, a matched null and its interval, and one plain sentence.

A null is drawn K times. The interval holds one further draw of it with the probability 1 - level, so that a value
outside is beyond chance at that level. Levels are small, since a net has many layers and each many measures: FAMILY is
the chance that the audit of a net without any structure calls a single one of them beyond chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

FAMILY = 0.01
SMALLEST = 1e-9  # of a standard deviation, relative to the mean: equal draws differ by rounding


@dataclass(frozen=True)
class Measure:
    """One number of one layer: `value`, the null's mean, and the interval `low` to `high` of one draw of it.

    NaN for a value that cannot be had; `against` says what the null is ("" for none), `draws` how many there were.
    `surplus` is the side of the interval that means redundancy: -1 below, 1 above, 0 either or none. `says` is the
    sentence, `what` its subject ("" where it was written otherwise).
    """

    value: float
    null: float = math.nan
    low: float = math.nan
    high: float = math.nan
    draws: int = 0
    against: str = ""
    surplus: int = 0
    says: str = ""
    what: str = ""

    @property
    def beyond(self) -> int:
        """-1 below what chance gives, 1 above, 0 within or unknown."""
        return int(self.value > self.high) - int(self.value < self.low)

    @property
    def redundant(self) -> bool:
        """Whether it is beyond chance on the side that means redundancy."""
        return self.surplus != 0 and self.beyond == self.surplus


def level_of(layers: int, measures: int) -> float:
    """Return the level of one comparison of `layers` with so many `measures` each: half of FAMILY over their number.

    The other half is for what is told of the net as a whole.
    """
    return FAMILY / 2 / max(1, layers * measures)


def against_draws(
    value: float, draws: Sequence[float], level: float, what: str, against: str, surplus: int = 0, whole: bool = False
) -> Measure:
    """Return `value` beside a null drawn K >= 2 times: the interval of one more draw by Student's t.

    mean ± t·s·√(1 + 1/K) (Geisser 1993, prediction interval). With `whole`, of numbers that are counted, s is at least
    1/2. A value or draws that are not finite give no interval.
    """
    drawn = np.asarray([draw for draw in draws if math.isfinite(draw)], np.float64)
    if len(drawn) < 2 or not math.isfinite(value):
        return Measure(value, says=f"{what}: {_short(value)}.")
    mean, spread = float(drawn.mean()), float(drawn.std(ddof=1))
    spread = max(spread, 0.5 if whole else SMALLEST * abs(mean))
    reach = float(stats.t.isf(level / 2, len(drawn) - 1)) * spread * math.sqrt(1 + 1 / len(drawn))
    return said(Measure(value, mean, mean - reach, mean + reach, len(drawn), against, surplus), what)


def against_counts(value: int, draws: Sequence[int], level: float, what: str, against: str) -> Measure:
    """Return a count of rare things beside a null drawn K times; more than chance gives mean redundancy.

    The upper end is that of the negative binomial law that predicts a Poisson count after K others (Jeffreys' prior),
    or of `against_draws` where counts scatter more than Poisson's.
    """
    total, number = sum(draws), len(draws)
    high = float(stats.nbinom.isf(level, total + 0.5, number / (number + 1)))
    wide = against_draws(value, draws, level, what, against, 1) if max(draws) > min(draws) else None
    high = max(high, wide.high if wide else 0)
    return said(Measure(value, total / number, 0, high, number, against, 1), what)


def share_against(value: float, size: int, least: float, most: float, level: float, what: str, against: str) -> Measure:
    """Return the share of `size` numbers beside laws under which it is between `least` and `most`, with scatter."""
    low = float(stats.binom.isf(1 - level / 2, size, least)) / size
    high = float(stats.binom.isf(level / 2, size, most)) / size
    return said(Measure(value, most, low, high, 0, against, 1), what)


def logarithms(values: Sequence[float], least: float) -> list[float]:
    """Return decimal logarithms of values, of those below `least` that of `least`; NaN for what is not finite."""
    return [math.log10(max(value, least)) if math.isfinite(value) else math.nan for value in values]


def alone(value: float, what: str, why: str = "") -> Measure:
    """Return a number without a null; `why` says why there is none, or why the number is NaN."""
    return Measure(value, says=f"{what}: {_short(value)}{f' ({why})' if why else ''}.")


def within(measure: Measure, least: float, most: float) -> Measure:
    """Return a measure whose interval ends where the number itself must, at `least` and `most`, with a new sentence.

    The verdict stays: a cut that would change it, as rounding of a value at the end does, is not made.
    """
    low, high = max(measure.low, least), min(measure.high, most)
    found = replace(measure, low=low, high=high)
    cut = low > measure.low or high < measure.high
    return said(found, measure.what) if cut and measure.what and found.beyond == measure.beyond else measure


def points(number: float, shape: str = "g") -> str:
    """Return a number of points in words, the number formatted by `shape`."""
    told = f"{number:{shape}}"
    return f"{told} point" if told == "1" else f"{told} points"


def said(measure: Measure, what: str) -> Measure:
    """Return a measure with a null and the sentence that compares both."""
    side = {-1: "below", 0: "within", 1: "above"}[measure.beyond]
    span = f"{_short(measure.low)} to {_short(measure.high)}"
    says = f"{what}: {_short(measure.value)}, {side} chance ({_short(measure.null)} in {measure.against}; {span})."
    return replace(measure, says=says, what=what)


def _short(value: float) -> str:
    if not math.isfinite(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
