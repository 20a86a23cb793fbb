"""Seeds one by one: stacked in order, with labels from the settings of the axes' names."""

from dataclasses import dataclass

import numpy as np
import pytest

from redlib.experiments.seedwise import Seedwise


@dataclass(frozen=True, kw_only=True)
class Powers(Seedwise):
    """Powers of a seed, and of its negative."""

    degrees: tuple[int, ...] = (1, 2, 3)
    seeds: tuple[int, ...] = (2, 3)

    arrays = "plus minus: seed degree"

    def one(self, seed):
        """Return both, [degrees]."""
        return self.named([(seed**d, (-seed) ** d) for d in self.degrees])


@dataclass(frozen=True, kw_only=True)
class Repeats(Seedwise):
    """A seed, several times."""

    times: int = 2

    arrays = "again: seed time"

    def one(self, seed):
        """Return it [times]."""
        return {"again": np.full(self.times, seed)}


def test_seeds_are_stacked_and_axes_labelled_by_the_setting_of_their_name():
    found = Powers().results(Powers().run())
    assert found.labels == {"degree": (1, 2, 3)}
    assert found.at(degree=2)["plus"].tolist() == [4, 9] and found["minus"].tolist() == [[-2, 4, -8], [-3, 9, -27]]
    assert Powers().with_seeds([5]).run()["plus"].tolist() == [[5, 25, 125]]


def test_an_axis_whose_setting_is_a_number_has_no_labels():
    assert Repeats().labels == {} and Repeats().run()["again"].shape == (10, 2)


def test_rows_need_a_number_for_every_array_that_is_declared():
    with pytest.raises(ValueError, match="zip"):
        Powers().named([(1.0,), (2.0,)])
    with pytest.raises(NotImplementedError):
        Seedwise().run()
