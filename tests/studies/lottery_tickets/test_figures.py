"""Rows of the figures, the explorer's contents and the table of published numbers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from redlib.experiments.chain import D11, Level, levels
from redlib.experiments.results import Results, stack
from redlib.studies.lottery_tickets import figures, runs

spec = importlib.util.spec_from_file_location("tiny_tickets", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
DENSITY = np.array([0.8**k for k in range(16)])


def made(errors, **labels):
    axes = ("seed", *labels)
    arrays = {name: np.asarray(errors, float) for name in ("early_error", "final_error")}
    return Results(arrays, dict.fromkeys(arrays, axes), labels)


def tickets(seeds=2):
    found = made(np.full((seeds, 16), 0.3), level=tuple(range(16)))
    arrays = found.arrays | {"density": np.tile(DENSITY, (seeds, 1))}
    return Results(arrays, found.axes | {"density": ("seed", "level")}, found.labels)


def texts(fig):
    return [label.get_text() for ax in fig.axes for label in ax.get_yticklabels()]


def test_controls_stand_from_the_ticket_down_to_what_keeps_nothing_of_it():
    arms = made(np.full((2, 3, 2), 0.5), arm=tuple(figures.ARMS), level=(7, D11))
    names = [name for name in figures.CONTROLS if name not in ("dense", "ticket", *figures.ARMS)]
    fig = figures.controls(tickets(), arms, {name: made([0.4, 0.4]) for name in names})
    assert texts(fig) == [label for label, _ in figures.CONTROLS.values()]
    with pytest.raises(KeyError):
        figures.controls(tickets(), arms, {})


def test_criteria_stand_in_order_and_are_grey_below_random():
    errors = np.array([[[0.98], [0.99], [0.97]]] * 2)
    ranked = made(errors, criterion=("random", "small_final", "movement"), level=(D11,))
    once = made(np.full((2, 2), 0.5), level=(3, D11))
    fig = figures.criteria(tickets(), once, made([0.5, 0.5]), ranked)
    assert texts(fig)[-3:] == ["movement", "random", "small final"]
    means = [line.get_color() for line in fig.axes[1].get_lines() if line.get_markersize() == 6.5]
    assert means == [figures.plots.paint(colour) for colour in ("blue", "grey", "grey")]


def test_published_numbers_stand_beside_ours():
    chain, masks = tickets(), {"trained weights": (np.array([90.0, 91.0]), "orange")}
    arms = made(np.full((2, 1, 2), 0.5), arm=("random",), level=(7, 15))
    table = figures.outside(chain, arms, masks, None)
    assert list(table.columns) == ["quantity", "published", "ours"] and len(table) == 4 + 1 + 6
    assert table.iloc[0].tolist() == ["density after 3 rounds", "51.28", 51.2]
    assert table.iloc[4].tolist() == ["mask: trained weights", "97.7", 90.5]
    # 5% kept: 0.8^13 is nearest of all levels, 0.8^15 of those of the arms.
    near = table.iloc[[7, 10]]
    assert near["quantity"].tolist() == [
        "MNIST-1D, magnitude mask, 95% cut (our net: 95%)",
        "MNIST-1D, random mask, 95% cut (our net: 96%)",
    ]
    assert near["ours"].tolist() == [70, 50]
    arrays = {"dense": np.array([60.0]), "magnitude": np.full((1, 3), 70.0), "random": np.full((1, 3), 50.0)}
    axes = {"dense": ("seed",), "magnitude": ("seed", "sparsity"), "random": ("seed", "sparsity")}
    table = figures.outside(chain, arms, {}, Results(arrays, axes, {"sparsity": [0.8, 0.92, 0.95]}))
    assert table.iloc[4].tolist() == ["MNIST-1D, dense", "60.6, 66.4, 61.4, 64.8", 60.0] and len(table) == 4 + 7
    assert table["ours"].tolist()[5:] == [70] * 3 + [50] * 3


def test_the_explorer_shows_the_last_level_of_every_weight_among_those_with_arms():
    source, found = Level(tiny.LAB), []
    for level in levels(source, 3).values():
        found.append(level.results(level.run(found[-1].arrays if found else None)))
    chain = stack(dict(enumerate(found)))
    arms = made(np.full((3, 1, 2), 0.5), arm=("reinit",), level=(1, 3))
    density, weights, last, shown = figures.explored(tiny.LAB, chain, arms, found[3])
    assert density.tolist() == pytest.approx(chain["density"][0, [0, 1, 3]].tolist())
    assert weights["layer1"].shape == (14, 64) and set(shown) == {"ticket", "dense", "reinit"}
    counts = [int((last["layer1"] >= place).sum()) for place in range(3)]
    assert counts == [896, round(896 * 0.8), round(896 * 0.8**3)]
    assert shown["reinit"][0].shape == (3, 3)


def test_transfer_shows_what_is_carried_between_its_native_and_a_random_net():
    one, arms = made(np.full((2, 2), 0.3), level=(0, 5)), made(np.full((2, 1, 1), 0.5), arm=("random",), level=(5,))
    carried = {pair: made(np.full((2, 1, 1), 0.4), arm=("ticket",), level=(5,)) for pair in runs.MOVED}
    patient = made(np.full((2, 2, 1), 0.2), arm=("ticket", "reinit"), level=(5,))
    carried |= {(rate, "patient"): patient for rate in ("small", "large")}
    goals = "second", "other", "away"
    fig = figures.transfer(dict.fromkeys(goals, one), dict.fromkeys(goals, arms), carried)
    moves = [
        f"other {what}: {net}"
        for what in ("half of the data", "data set", "optimiser")
        for net in ("its own ticket", "ticket carried over", "random mask")
    ]
    assert texts(fig)[:9] == moves


def titles(fig):
    return [ax.get_title("left") or ax.get_title() for ax in fig.axes]


def test_ratios_of_single_seeds_are_strokes_below_the_null_and_every_panel_has_a_title():
    weights, null = [{"layer1": torch.arange(24.0).reshape(2, 4, 3)}] * 2, np.array([[1.0, 1.2, 1.1], [2.0, 2.4, 2.2]])
    cut = Results({"test_accuracy": np.full((2, 16), 0.5)}, {"test_accuracy": ("seed", "level")}, tickets().labels)
    fig = figures.inside(weights, tickets(), cut, null.mean(1) * [1.5, 2], null)
    left, _, right = fig.axes
    (strokes,) = [line for line in right.get_lines() if line.get_marker() == "|"]
    assert strokes.get_xdata() == pytest.approx([1.5, 2]) and right.get_ylim()[0] < max(strokes.get_ydata()) < 0
    assert min(right.get_yticks()) >= 0, "no negative density"
    assert left.get_xlabel() == "weights of layer 1, first seed" and all(titles(fig))


def test_masks_alone_name_their_data_in_words():
    popup = {"test_accuracy": np.full((2, 1, 2), 0.5)}, {"test_accuracy": ("seed", "width", "level")}
    popup = Results(*popup, {"width": (0.5,), "level": (0.1, 0.3)})
    rows = {"trained weights": (np.array([90.0, 91.0]), "orange")}
    fig = figures.untrained(rows, popup, made([[0.3], [0.3]], level=(0.5,)), (2, 4), np.full((2, 2), 0.1), "glyphs")
    assert titles(fig)[0] == "Masks alone, on letters"
