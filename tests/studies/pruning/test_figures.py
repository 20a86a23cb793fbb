"""What the figures of the pruning study show: rows by name and in order, lines at the values they are named after."""

import numpy as np
import pytest
from drawn_panels import lines
from matplotlib import pyplot

from redlib import plots
from redlib.experiments.results import Results
from redlib.measures import cost
from redlib.studies.pruning import figures, runs

CRITERIA = ("snip", "grasp", "synflow", "magnitude", "random", "erk")
UNITS = ("l2", "random", "gradient", "taylor", "weights")


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def made(errors, **labels):
    """Results with these early and final errors, [S, *labels]."""
    arrays = {name: np.asarray(errors, float) for name in ("early_error", "final_error")}
    return Results(arrays, dict.fromkeys(arrays, ("seed", *labels)), labels)


def beside(found, **more):
    """The same results with other arrays, given as (array, axes)."""
    axes = {name: tuple(own.split()) for name, (_, own) in more.items()}
    return Results(found.arrays | {name: v for name, (v, _) in more.items()}, found.axes | axes, found.labels)


def rows(ax):
    """Return {label: mean} of the rows of dots, from the top down."""
    means = [line.get_xdata()[0] for line in ax.get_lines() if line.get_markersize() == 6.5]
    return dict(zip([label.get_text() for label in ax.get_yticklabels()], np.round(means, 6), strict=True))


def levels(axis):
    """Return the heights of horizontal lines by name."""
    return {name: line.get_ydata()[0] for name, line in lines(axis).items() if len(line.get_ydata()) == 2}


def test_the_ticket_stands_above_the_zoo_at_each_density():
    errors = np.tile(np.arange(6).reshape(1, 6, 1, 1) / 10, (2, 1, 2, 1))
    zoo = made(errors, criterion=CRITERIA, level=(11, 15), arm=("ticket",))
    tickets = made(np.full((2, 3), 0.05), level=(0, 11, 15))
    tickets = beside(tickets, density=(np.tile([1, 0.1, 0.05], (2, 1)), "seed level"))
    fig = figures.zoo(zoo, tickets)
    assert [ax.get_title() for ax in fig.axes] == ["10% of the weights kept", "5% of the weights kept"]
    expected = {"ticket": 95, "SNIP": 100, "GraSP": 90, "SynFlow": 80, "magnitude": 70}
    expected |= {"random, small layers denser": 50, "random, every layer alike": 60}
    assert [rows(ax) for ax in fig.axes] == [expected] * 2 and [*rows(fig.axes[0])] == [*expected]


def test_each_way_to_change_a_mask_has_a_panel():
    changes = {"Mask shuffled": {"snip": np.array([-1.0, -3]), "ticket": np.array([-8.0, -9])}}
    fig = figures.shuffles(changes | {"Fresh weights": {"synflow": np.array([1.0, 2])}})
    assert [(ax.get_title(), rows(ax)) for ax in fig.axes] == [
        ("Mask shuffled", {"SNIP": -2, "ticket": -8.5}),
        ("Fresh weights", {"SynFlow": 1.5}),
    ]


def test_layers_are_shown_at_the_grid_s_nearest_density_and_the_death_of_one_as_a_power_of_ten():
    names = ("snip", "grasp", "magnitude", "synflow")
    kept = np.tile([[500, 500], [30, 70], [0, 10]], (2, 4, 1, 1))
    axes = {"kept": ("seed", "criterion", "total", "layer"), "weights": ("total",)}
    found = Results({"kept": kept, "weights": np.array([1000, 100, 10])}, axes, {"criterion": names})
    left, right = figures.collapse(found).axes
    shares = {name: line.get_ydata().round(6).tolist() for name, line in lines(left).items()}
    called = "SNIP", "GraSP", "magnitude", "SynFlow"
    assert shares == dict.fromkeys(called, [6, 14])
    assert rows(right) == dict.fromkeys(called, -2)


def test_one_list_and_equal_rates_stand_beside_each_other_in_every_net():
    cut = np.tile(np.arange(6).reshape(1, 3, 2) / 10, (2, 1, 1))
    cut = Results({"cut_error": cut}, {"cut_error": ("seed", "layer", "density")}, {"density": (0.5, 0.1)})
    pairs = {
        "deep": {"list": made([0.4, 0.4]), "layers": made([0.5, 0.5])},
        "even": {"list": made([0.3] * 2), "layers": made([0.25] * 2)},
        "own": {"list": made([0.2] * 2), "layers": made([0.1] * 2)},
    }
    left, right = figures.layerwise(cut, pairs).axes
    assert {name: line.get_ydata().round(6).tolist() for name, line in lines(left).items()} == {
        "layer 1 alone": [100, 90], "layer 2 alone": [80, 70], "layer 3 alone": [60, 50],
    }  # fmt: skip
    assert rows(right) == {
        "deep net, one list": 60, "deep net, layer by layer": 50,
        "equal layers, one list": 70, "equal layers, layer by layer": 75,
        "our net, one list": 80, "our net, layer by layer": 90,
    }  # fmt: skip


def test_arms_of_extrusion_and_cuts_in_mid_training_are_named_and_the_uncut_net_is_the_mark():
    squeezed = made([[0.4, 0.5, 0.3]] * 2, arm=("extruded", "random_long", "ticket"))
    arms = (("none", 1.0), ("largest", 0.85), ("random", 0.7))
    left, right = figures.while_training(squeezed, made([[0.3, 0.4, 0.35]] * 2, arm=arms)).axes
    assert rows(left) == {"squeezed, then cut": 60, "cut at once, as many steps": 50, "ticket": 70}
    assert rows(right) == {"no cut": 70, "largest cut, 85% kept": 60, "random cut, 70% kept": 65}
    assert any(set(line.get_xdata()) == {70.0} and len(line.get_xdata()) == 2 for line in right.get_lines())


@pytest.mark.parametrize("names", [UNITS, ("random", "l2", "weights")])
def test_criteria_of_units_that_were_run_and_all_small_conv_nets_are_shown(names):
    found = made(np.tile(np.arange(len(names)) / 10, (2, 3, 1)), kept=(0.75, 0.5, 0.25), criterion=names)
    arms = ("finetune", "scratch_epochs", "scratch_compute", "ticket")
    cuts = {share: made([[0.1, 0.2, 0.3, 0.4]] * 2, arm=arms) for share in (0.7, 0.5)}
    left, right = figures.units(found, made([0.05, 0.05]), cuts).axes
    assert {name: line.get_ydata()[0].round(6) for name, line in lines(left).items()} == {
        figures.UNIT_NAMES[name]: 100 - 10 * k for k, name in enumerate(names)
    }
    assert rows(right) == {"whole net": 95} | {
        f"{share}%: {arm}": value
        for share in (70, 50)
        for arm, value in (
            ("finetuned", 90),
            ("fresh weights, equal epochs", 80),
            ("fresh weights, equal compute", 70),
            ("ticket", 60),
        )
    }


def test_speed_is_shown_over_the_dense_net_in_milliseconds_and_in_megabytes():
    densities, repeated = np.array([1.0, 0.1]), (2, 1, 1)
    stored = np.full((len(cost.LAYOUTS), 2), np.nan)
    stored[0] = 4e6
    times = {"dense_s": 8.0, "half_units_s": 4.0}
    forward = {name: np.full((2, 3), value) for name, value in times.items()}
    forward |= {"masked_s": np.full((2, 2, 3), 8.0), "csr_s": np.tile([[[16.0] * 3, [2.0] * 3]], repeated)}
    steps = {"stack_s": np.full((2, 3), 0.004), "densities": densities}
    steps |= {"sparse_s": np.tile([[[0.008] * 3, [0.001] * 3]], repeated), "masked_s": np.full((2, 2, 3), 0.006)}
    forward |= {"densities": densities, "stored_bytes": stored}
    left, middle, right = figures.speed(*(Results(each, dict.fromkeys(each, ())) for each in (forward, steps))).axes
    assert lines(left)["sparse (CSR)"].get_ydata() == pytest.approx([0.5, 4])
    assert levels(left)["half of the units, dense"] == 2
    assert lines(middle)["sparse step"].get_ydata() == pytest.approx([8, 1])
    assert levels(middle)["dense stack"] == pytest.approx(4)
    assert lines(middle)["in proportion"].get_ydata() == pytest.approx([4, 0.4])
    assert lines(right)["dense"].get_ydata().tolist() == [4, 4] and len(lines(right)) == len(cost.LAYOUTS)


def test_no_row_is_called_by_a_name_of_the_code():
    names = {*runs.SMALLER, *figures.CRITERIA}
    told = [*map(figures.called, names), *figures.EXTRUDED.values(), *figures.UNIT_NAMES.values()]
    assert not [name for name in told if "_" in name or name in ("snip", "grasp", "synflow", "erk", "l2")]
    assert set(figures.EXTRUDED) == {*runs.EXTRUDED} and set(figures.UNIT_NAMES) == set(figures.UNITS)


def test_every_row_has_a_colour_of_the_palette():
    colours = {*figures.CRITERIA.values(), *figures.UNITS.values(), *figures.LAYOUTS.values()}
    assert all(plots.paint(colour) for colour in colours) and set(figures.LAYOUTS) == set(cost.LAYOUTS)
