"""Students wider than their teachers: do surplus units average out noise, and do they help to find the whole teacher?

Two toys on committees (`redlib.nets.committee`): noisy labels (UNIT-5, after Goldt et al. 2019), and lucky units
(UNIT-6, after Tian et al. 2019). Training is online: each step sees a fresh input and the teacher's answer to it.
Students of all widths see the same examples, and at the start the units of a narrow one are among those of a wider one
of the same seed. The defaults are the profile `laptop`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redlib.errors import BadInput
from redlib.experiments.experiment import Experiment
from redlib.experiments.results import Arrays, Labels
from redlib.nets.committee import Committee, Learnt, learn, measured_error, students, teachers, together
from redlib.nets.lucky import Matches, matches

_STEP = 1e4  # what a step costs whatever the stack is, in units of a number that is touched


@dataclass(frozen=True, kw_only=True)
class Students(Experiment):
    """What both toys share: teachers, students of several widths in one stack, and steps that are looked at."""

    teacher_units: int = 2
    widths: tuple[int, ...] = (2, 4, 8, 16)
    inputs: int = 20
    activation: str = "erf"
    teacher_outer: float = 1.0  # weight of each of the teacher's units in the second layer
    scale: float = 1.0  # standard deviation of the students' weights at the start
    rate: float = 0.2
    steps: int = 40000
    times: int = 50  # that students are looked at, evenly spaced, and once before training
    seeds: tuple[int, ...] = tuple(range(100))

    @property
    def looked(self) -> tuple[int, ...]:
        """The numbers of steps after which students are looked at."""
        return tuple(np.linspace(0, self.steps, self.times + 1).astype(int).tolist())

    @property
    def one(self) -> float:
        """Relative time of one training of the stack."""
        nets = len(self.seeds) * len(self.widths) * max(self.widths)
        return self.steps * (_STEP + nets * (32 + 1.5 * self.inputs)) / 1e9

    def taught(self) -> Committee:
        """Return the teachers, [S]."""
        drawn = self.seeds, self.teacher_units, self.inputs, self.activation
        return teachers(*drawn, outer=self.teacher_outer, orthogonal=True)

    def begun(self, outer: float | str) -> Committee:
        """Return the students of all widths before training, one stack [W*S]; `outer` as in `committee.students`."""
        return together([
            students(self.seeds, width, self.inputs, self.activation, outer=outer, scale=self.scale)
            for width in self.widths
        ])  # fmt: skip

    def learnt(self, start: Committee, **options: Any) -> Learnt:
        """Return what online descent makes of the students; `options` are those of `committee.learn`."""
        count = len(self.widths)
        every = together([self.taught()] * count)
        return learn(start, every, [*self.seeds] * count, self.steps, self.rate, looks=self.looked, **options)


ARMS: dict[str, tuple[bool, bool]] = {
    "both": (True, True), "first": (False, True), "both, no noise": (True, False), "first, no noise": (False, False),
}  # fmt: skip
"""Whether the second layer is trained too, and whether the labels are noisy."""


@dataclass(frozen=True, kw_only=True)
class Goldt(Students):
    """Students of noisy teachers: the error that is left, by the number of units and the layers trained (UNIT-5).

    Where the first layer alone is trained, outgoing weights are those of the teacher's units (`teacher_outer`), as in
    the authors' code; else they begin as normal numbers. With few inputs students come to rest sooner, and the exact
    error holds for any number of them.
    """

    teacher_outer: float = 4.0
    rate: float = 0.1
    steps: int = 60000
    arms: tuple[str, ...] = ("both", "first", "both, no noise")
    noise: float = 0.5  # standard deviation of what is added to each label
    fresh: int = 4000  # inputs on which the error is measured at the end
    seeds: tuple[int, ...] = tuple(range(20))

    arrays = """
    error: seed arm width look
    measured_error measured_spread: seed arm width
    """

    @property
    def labels(self) -> Labels:
        """Arms, widths, and the steps of the looks."""
        return {"arm": self.arms, "width": self.widths, "look": self.looked}

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return len(self.arms) * self.one

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the generalisation errors of each arm and width: exact at each look, measured at the end.

        Both are half the mean square of the difference to the teacher's answers without noise. measured_spread: the
        standard error of the measured one over its inputs, which are the same for all students of a seed.
        """
        found = [self.arm(name) for name in self.arms]
        return {name: np.stack([one[name] for one in found], 1) for name in found[0]}

    def arm(self, name: str) -> Arrays:
        """Return the arrays of one arm, [S, widths, ...]; BadInput for an unknown one."""
        if name not in ARMS:
            raise BadInput.named("arm", name, ARMS, "name one of these.")
        both, noisy = ARMS[name]
        start = self.begun("normal" if both else self.teacher_outer)
        end = self.learnt(start, noise=self.noise * noisy, outer_rate=self.rate * both)
        errors, spreads = self.measured(end.student)
        exact = end.error.reshape(len(self.looked), len(self.widths), -1).permute(2, 1, 0).numpy()
        return {"error": exact, "measured_error": errors, "measured_spread": spreads}

    def measured(self, every: Committee) -> np.ndarray:
        """Return the errors of the students on fresh inputs, and their standard errors: [2, S, widths].

        One student at a time: sums over inputs round otherwise in company.
        """
        teacher, count = self.taught(), len(self.seeds)
        found = [
            measured_error(every.select([row]), teacher.select([row % count]), [self.seeds[row % count]], self.fresh)
            for row in range(len(every.w))
        ]
        values = torch.stack([torch.cat(each) for each in found], 1)
        return values.reshape(2, len(self.widths), count).transpose(1, 2).numpy()


@dataclass(frozen=True, kw_only=True)
class Tian(Students):
    """Students as wide as their teacher and wider: which units match the teacher's, and what the others do (UNIT-6).

    Both layers are trained, on labels without noise unless some is set. For erf, whose sign the second layer can turn,
    a unit matches in either sign.
    """

    teacher_units: int = 4
    widths: tuple[int, ...] = (4, 16)
    activation: str = "relu"
    scale: float = 0.3
    rate: float = 0.3
    steps: int = 20000
    times: int = 20
    noise: float = 0.0  # standard deviation of what is added to each label
    least: float = 0.95  # cosine above which a unit matches
    seeds: tuple[int, ...] = tuple(range(100))

    arrays = """
    error: seed width look
    matched complete outgoing_matched outgoing_unmatched unmatched by_nearest: seed width
    """

    @property
    def labels(self) -> Labels:
        """Widths, and the steps of the looks."""
        return {"width": self.widths, "look": self.looked}

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.one

    def run(self, before: Arrays | None = None) -> Arrays:
        """Return the exact errors at each look, and of each width what its units do at the end.

        matched: how many of the teacher's units some unit of the student matches; complete: all of them?;
        unmatched: how many units match none; outgoing_matched and outgoing_unmatched: mean outgoing weight, in
        magnitude, of units that match one and of those that match none, NaN where there are none; by_nearest: how many
        of the matched units of the teacher are matched best by the unit that began nearest to it.
        """
        start = self.begun("normal")
        end = self.learnt(start, noise=self.noise, outer_rate=self.rate)
        found = [self.width(place, start, end.student) for place in range(len(self.widths))]
        exact = end.error.reshape(len(self.looked), len(self.widths), -1).permute(2, 1, 0).numpy()
        return {"error": exact} | {name: np.stack([one[name] for one in found], 1) for name in found[0]}

    def width(self, place: int, start: Committee, end: Committee) -> Arrays:
        """Return what the students of the width at this place do, [S]."""
        rows, own = slice(place * len(self.seeds), (place + 1) * len(self.seeds)), self.widths[place]
        before, after = (self.matches(net.w[rows, :own]) for net in (start, end))
        nearest, best = (self.likeness(found).argmax(1) for found in (before, after))
        weights = end.v[rows, :own].abs()
        return {
            "matched": after.matched.sum(1).numpy(),
            "complete": after.complete.numpy(),
            "unmatched": after.unmatched.sum(1).numpy(),
            "outgoing_matched": mean_where(weights, ~after.unmatched),
            "outgoing_unmatched": mean_where(weights, after.unmatched),
            "by_nearest": ((nearest == best) & after.matched).sum(1).numpy(),
        }

    def matches(self, units: Tensor) -> Matches:
        """Return how units [S, K, N] lie to those of the teachers."""
        return matches(units, self.taught().w, self.least, odd=self.activation == "erf")

    def likeness(self, found: Matches) -> Tensor:
        """Return the cosines [S, K, M], in magnitude where the sign does not count."""
        return found.cosine.abs() if self.activation == "erf" else found.cosine


def mean_where(values: Tensor, chosen: Tensor) -> np.ndarray:
    """Return the mean of the chosen of values [S, K], [S]; NaN where none is."""
    found: np.ndarray = (torch.where(chosen, values, 0).sum(1) / chosen.sum(1)).numpy()
    return found
