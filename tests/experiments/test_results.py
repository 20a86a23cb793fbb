"""Results: axes are declared, never guessed; joins, stacks and selections keep every seed in its place."""

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.experiments.results import Results, among, join, stack, table

DECLARED = """
steps: step
loss: seed step
weights error: seed
state: seed ...
"""


def made(seeds, **more):
    seeds = np.asarray(seeds, float)
    arrays = {"steps": np.array([1, 5]), "loss": seeds[:, None] + [0, 0.5], "weights": seeds * 10, "error": seeds}
    return Results.declared(arrays | {"state": np.zeros((len(seeds), 3, 2))} | more, DECLARED, {}, len(seeds))


def test_a_table_names_the_axes_of_every_array_and_more_of_them_go_behind_the_seeds():
    assert table(DECLARED)["loss"] == ("seed", "step") and table(DECLARED)["steps"] == ("step",)
    inner = table(among("arm level", DECLARED))
    assert inner["loss"] == ("seed", "arm", "level", "step") and inner["steps"] == ("step",)
    with pytest.raises(BadInput, match="names: axes"):
        table("steps step")


def test_what_is_called_weights_is_joined_over_seeds_like_all_that_has_them():
    """The name decided once: per-seed `weights` of two groups came back as those of the first group."""
    both = join([made([0, 1, 2, 3, 4]), made([5, 6, 7, 8, 9])])
    assert both["weights"].tolist() == [10.0 * seed for seed in range(10)]
    assert both["steps"].tolist() == [1, 5] and both["loss"].shape == (10, 2) and both.seeds == 10


def test_groups_that_differ_in_what_they_share_are_refused():
    other = made([5], steps=np.array([1, 6]))
    with pytest.raises(BadInput, match="different between groups of seeds"):
        join([made([0]), other])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"surprise": np.zeros(2)}, "array of a run = 'surprise'"),
        ({"error": np.zeros(3)}, "shape of error"),
        ({"error": np.zeros((2, 2))}, "shape of error"),
        ({"loss": np.zeros((2, 3))}, "shape of loss"),
        ({"state": np.zeros(())}, "shape of state"),
    ],
)
def test_undeclared_arrays_and_wrong_shapes_are_refused(more, message):
    with pytest.raises(BadInput, match=message):
        made([0, 1], **more)


def armed():
    values = np.arange(12.0).reshape(2, 3, 2)
    labels = {"arm": ("ticket", "random", "reinit"), "level": (7, 10)}
    return Results.declared({"error": values, "steps": np.array([4])}, "error: seed arm level\nsteps: step", labels, 2)


def test_cells_are_selected_by_label_not_by_position():
    assert armed().at(arm="random", level=10)["error"].tolist() == [3.0, 9.0]
    assert armed().at(level=7).at(arm="reinit")["error"].tolist() == [4.0, 10.0]
    assert armed().at(level=7).axes["error"] == ("seed", "arm") and "level" not in armed().at(level=7).labels
    assert armed().at(arm="ticket")["steps"].tolist() == [4], "what has no arms stays"


@pytest.mark.parametrize(("where", "known"), [({"arm": "dense"}, "ticket"), ({"round": 7}, "arm")])
def test_unknown_labels_and_axes_name_the_known_ones(where, known):
    with pytest.raises(BadInput, match=known):
        armed().at(**where)


def test_a_stack_leaves_out_curves_of_different_lengths():
    def curve(steps):
        arrays = {"steps": np.arange(steps), "loss": np.zeros((2, steps)), "end": np.full(2, steps)}
        return Results.declared(arrays, "steps: step\nloss: seed step\nend: seed", {}, 2)

    found = stack({1: curve(4), 2: curve(3)})
    assert {*found} == {"end"} and found.at(level=2)["end"].tolist() == [3, 3]
    assert {*stack({1: curve(4), 2: curve(4)})} == {"steps", "loss", "end"}


def test_a_stack_puts_its_axis_behind_the_seeds_and_leaves_out_what_only_a_chain_needs():
    levels = stack({0: made([0, 1]), 3: made([2, 3])})
    assert levels["error"].tolist() == [[0, 2], [1, 3]] and levels["loss"].shape == (2, 2, 2)
    assert levels.at(level=3)["loss"].tolist() == made([2, 3])["loss"].tolist()
    assert "state" not in levels and levels["steps"].tolist() == [1, 5] and levels.labels["level"] == (0, 3)


def test_the_first_seeds_are_those_of_a_dearer_run():
    assert made([4, 5, 6]).first(2)["error"].tolist() == [4, 5] and made([4, 5, 6]).first(2)["steps"].tolist() == [1, 5]


def test_an_unknown_array_is_refused_with_the_known_ones():
    with pytest.raises(BadInput, match="'loss'"):
        made([0])["los"]
    assert set(made([0])) == {"steps", "loss", "weights", "error", "state"} and len(made([0])) == 5


def test_a_frame_has_a_row_a_cell():
    frame = armed().frame("error")
    assert list(frame.columns) == ["seed", "arm", "level", "error"] and len(frame) == 12
    assert frame[(frame.arm == "random") & (frame.level == 10)]["error"].tolist() == [3.0, 9.0]
