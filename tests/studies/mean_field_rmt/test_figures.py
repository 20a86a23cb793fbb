"""What the figures of the mean-field study show: rows by name, theory's curves at known values, every chain."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_panels import lines, rows
from matplotlib import pyplot

from redlib.experiments.results import Results
from redlib.measures import meanfield
from redlib.studies.mean_field_rmt import claims, figures, runs


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def title(ax):
    return ax.get_title("left") or ax.get_title()  # by the style sheet, or without it


def test_rows_stand_in_the_order_of_their_looks_and_only_where_there_are_values():
    looks = {"a": ("first", "blue"), "b": ("second", "grey"), "c": ("third", "gold")}
    assert figures.named(looks, {"c": 3, "a": 1}) == {"first": (1, "blue"), "third": (3, "gold")}
    fig = figures.leads(looks, {"c": np.array([3.0, 4]), "a": np.array([1.0, 2])}, "Leads")
    assert rows(fig.axes[0]) == ["first", "third"]


def test_parts_of_a_net_are_first_hidden_and_output_layer():
    found = figures.by_part(np.arange(4.0)[None, None])
    assert {name: part.item() for name, (part, _) in found.items()} == {
        "first layer": 0, "hidden layers": 1.5, "output layer": 3,
    }  # fmt: skip


def test_chi_of_a_gaussian_cut_by_magnitude_is_that_of_the_ledger(small):
    tickets = small["tickets"]
    shares = claims.density(tickets)
    fig = figures.chi(claims.nets(tickets, small["arms"]), tickets, runs.Tanh())
    theory = lines(fig.axes[0])
    cut, random = (theory[f"theory, {name}"].get_ydata() for name in ("cut once by magnitude", "random mask"))
    assert np.allclose(np.interp([-1, -0.51, -0.21, -0.044], -shares, cut), [1.003, 0.974, 0.825, 0.400], atol=5e-3)
    assert random[0] == pytest.approx(cut[0]) and (random[1:] < cut[1:]).all(), "chance takes the variance with it"
    assert len(lines(fig.axes[1])["random mask"].get_xdata()) == 4, "every level of the arm"


def test_survivors_of_one_cut_have_the_standard_deviation_of_erratum_e9(small):
    fig = figures.spreads(small["tickets"], 1.4)
    law = lines(fig.axes[0])["Gaussian cut by magnitude"].get_ydata()
    assert np.interp(-0.2, -claims.density(small["tickets"]), law) == pytest.approx(2.52, abs=0.02)


def test_correlations_stay_at_the_edge_s_fixed_point(small):
    lab = runs.Tanh(hidden=(8,) * 4)
    found = Results({"c": np.ones((2, 5)), "chi": np.ones((2, 4))}, {"c": ("seed", "layer"), "chi": ("seed", "gap")})
    fig = figures.correlations({"full": found}, {"full": runs.Start(lab)})
    theory = [line for line in fig.axes[0].get_lines() if line.get_linestyle() == ":"]
    assert len(theory) == 1 and np.allclose(theory[0].get_ydata(), 1)


def test_gains_at_equal_loss_are_shown_where_nets_got_there(small):
    chains = {name: small["tickets"] for name in figures.CHAINS}
    for lead, last in ((np.array([1.0, np.nan, 2]), "normal, equal loss"), (np.full(3, np.nan), "ConvNet")):
        fig = figures.rises(chains, small["arms"], Results({"lead": lead}, {"lead": ("seed",)}))
        assert rows(fig.axes[1])[-1] == last and "ConvNet" not in lines(fig.axes[0])


def test_the_two_corrections_are_told_apart_where_they_lie_on_each_other(small):
    _, right = figures.elsewhere(small["tickets"]).axes
    broad, thin = (lines(right)[figures.LAWS[law][0]] for law in ("density", "rows"))
    assert broad.get_linewidth() > 2 * thin.get_linewidth() and broad.get_linestyle() != thin.get_linestyle()
    assert broad.get_marker() != thin.get_marker() and broad.get_color() != thin.get_color()
    assert right.get_lines().index(thin) > right.get_lines().index(broad), "the thin one on top"
    assert right.get_legend() is not None
    off = {law: 1 + claims.prediction_error(small["tickets"], law).mean(0) for law in ("density", "rows")}
    told = f"{np.abs(off['rows'] / off['density'] - 1).max():.1%}"
    assert any(told in text.get_text() for text in right.texts)


def test_on_the_line_over_the_map_of_fixed_points_chi_is_one():
    wide = Results({"q": np.ones((2, 1, 5))}, {"q": ("seed", "sigma", "layer")}, {"sigma": ((1.4, 0.3),)})
    edge = lines(figures.fixed_points(wide).axes[0])["edge of chaos, χ₁ = 1"]
    widths, biases = claims.GRID
    x, y = (values[np.isfinite(edge.get_xdata())] for values in edge.get_data())
    sigma_w = np.interp(x, range(len(widths)), widths)
    sigma_b = np.interp(len(biases) - 1 - y, range(len(biases)), biases)
    assert np.allclose(meanfield.chi_1(sigma_w, sigma_b), 1, atol=1e-6) and len(x) > 20


def test_depth_scales_are_drawn_over_accuracy_and_over_the_trainable_depth():
    reached = np.tile(np.array([0.9, 0.6, 0.2])[:, None], (2, 1, 3))
    labels = {"depth": (4, 12, 40), "sigma": (1.0, 1.4, 3.0)}
    brief = Results({"train_accuracy": reached}, {"train_accuracy": ("seed", "depth", "sigma")}, labels)
    left, right = (ax for ax in figures.trainability(brief, 0.3).axes if ax.get_title("left") or ax.get_title())
    curve = lines(left)[f"{figures.SCALES} ξ of theory"]
    x, y = (np.asarray(values) for values in curve.get_data())
    known = np.isfinite(y)
    sigma, depth = np.interp(x, range(3), labels["sigma"]), np.interp(y[known], range(3), labels["depth"])
    assert known.sum() > 20 and depth == pytest.approx(6 * meanfield.depth_scales(sigma[known], 0.3)[1])
    ratio = {name: np.divide(*line.get_data()[::-1]) for name, line in lines(right).items()}
    assert ratio["ξ"] == pytest.approx([1, 1]) and ratio["6 ξ"] == pytest.approx([6, 6])


def test_theories_and_histograms_have_a_panel_for_rewound_and_trained_weights(small):
    titles = [title(ax) for ax in figures.theories(small["tickets"]).axes]
    assert titles == ["Rewound: q", "Rewound: theory / measured", "Trained: theory / measured"]
    titles = [title(ax) for ax in figures.two_peaks(small["peaks"], small["tickets"]).axes]
    assert titles == ["100%, rewound", "21%, rewound", "100%, trained", "21%, trained"]
