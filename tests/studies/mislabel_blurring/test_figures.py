"""The figures of the study of mislabelled data: colours of rates, what is drawn, the explorer's contents."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from redlib import plots
from redlib.evidence.stats import wilson
from redlib.experiments.results import stack
from redlib.report.explorers import blur_explorer
from redlib.studies.mislabel_blurring import claims, figures
from redlib.studies.mislabel_blurring.runs import Blurred

spec = importlib.util.spec_from_file_location("made_blurring_too", Path(__file__).with_name("made.py"))
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
TINY = Blurred(tests=20, epochs=1, batch=400, looks=1, sigmas=(0.1, 2.1), seeds=(1000, 1001))


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def trained():
    every = {k: replace(TINY, every=k) for k in (10, 100)}
    return stack({k: one.results(one.run()) for k, one in every.items()}, "rate")


def drawn(ax):
    """Return {label: heights} of the named lines."""
    return {line.get_label(): np.asarray(line.get_ydata()) for line in ax.get_lines() if line.get_label()[0] != "_"}


def test_rates_above_the_transition_are_warm_and_solid_and_those_below_blue_and_dashed():
    found = figures.lines(made.planted(1), np.zeros((3, 7, 2)))
    assert list(found) == [f"1 in {k}" for k in made.RATES]
    styles = [(colour, line["linestyle"]) for _, colour, line in found.values()]
    assert styles == [(tint, "-") for tint in figures.WARM] + [(tint, "--") for tint in figures.COLD]
    assert {*figures.WARM, *figures.COLD} == set(plots.SHADES)


def test_rates_keep_their_values_and_colours_in_any_order():
    main = made.rated({k: made.some(made.rising(k / 200), made.rising(1)) for k in (100, 10)})
    found = figures.rows(main, claims.changed_area(main))
    assert list(found) == ["1 in 10", "1 in 100"] and found["1 in 100"][1] == "cold-1"
    assert found["1 in 10"][0] == pytest.approx(claims.changed_area(main.at(rate=10)))


def test_a_net_that_has_learned_no_wrong_label_is_told_and_has_no_curve():
    main = made.planted(1)
    main["train"][:] = main["true"]
    *both, right = figures.rough(main, 0).axes
    assert [text.get_text() for ax in both for text in ax.texts] == ["no wrong label was learned"] * 2
    assert not [line for ax in both for line in ax.get_lines()] and not right.get_yticklabels()


def test_the_zigzag_of_every_rate_is_drawn():
    main = made.planted(5)
    *_, right = figures.rough(main, 0).axes
    means = [line.get_xdata()[0] for line in right.get_lines() if line.get_markersize() == 6.5]
    assert [text.get_text() for text in right.get_yticklabels()] == [figures.name(k) for k in main.labels["rate"]]
    assert means == pytest.approx(claims.zigzag_excess(main).mean(0).tolist())


def test_rows_leave_out_what_is_not_known():
    found = figures.known({"a": (np.array([1.0, np.nan]), "blue"), "b": (np.array([np.nan]), "grey")})
    assert list(found) == ["a"] and found["a"][0].tolist() == [1]


def test_one_net_is_drawn_with_wilsons_interval_over_its_images():
    main = made.planted(5)
    ax = figures.one_net(main).axes[0]
    assert np.allclose(drawn(ax)["mislabelled"], claims.changed(main.at(rate=10), "mislabelled")[0])
    band = ax.collections[0].get_paths()[0].vertices
    interval = wilson(100, 100)
    at_four = band[np.isclose(band[:, 0], 4), 1]
    assert at_four.min() == pytest.approx(100 * interval.low) and at_four.max() == pytest.approx(100 * interval.high)


def test_curves_are_those_of_the_claims():
    main = made.planted(5)
    left, middle, right = figures.treatment(main).axes
    assert np.allclose(drawn(left)["correctly labelled"], claims.changed(main.at(rate=10), "clean").mean(0))
    assert np.allclose(drawn(middle)["mislabelled less clean"], claims.difference(main).mean(0))
    assert set(drawn(right)) == {"changed", "to the true class"}
    clean, _, dots = figures.phase(main).axes
    assert np.allclose(drawn(clean)["1 in 125"], claims.changed(main.at(rate=125), "clean").mean(0))
    heights = np.concatenate([line.get_ydata() for line in dots.get_lines() if len(line.get_xdata()) == main.seeds])
    assert sorted(heights) == pytest.approx(sorted(claims.changed_area(main).ravel()))


def test_every_other_figure_draws_what_it_is_given():
    main, hard = made.planted(5), made.planted(0).at(rate=10)
    numbers = claims.numbers_of({"conv": main}, ("blur",)) | {"conv, noise": np.array([[1.0, 2, np.nan], [3, 4, 5]])}
    assert len(figures.fit(main).axes) == len(figures.gap(main).axes) == len(figures.rough(main, 0).axes) - 1 == 2
    assert [text.get_text() for text in figures.slopes(main).axes[0].get_yticklabels()][-1] == "1 in 125"
    assert [text.get_text() for text in figures.kernel(made.kernel()).axes[0].get_yticklabels()] == [
        "mirrored", "repeated", "black", "wrapped around"
    ]  # fmt: skip
    assert set(drawn(figures.unseen(main).axes[0])) == {"clean", "unseen"}
    settings = [text.get_text() for text in figures.elsewhere(numbers).axes[1].get_yticklabels()]
    assert settings == ["conv net: blur", "conv net: noise"]
    every = [ax for one in (figures.fit, figures.gap, figures.unseen) for ax in one(main).axes]
    assert all(ax.get_title("left") or ax.get_title() for ax in every)
    curves, flips = figures.robust(hard, main.at(rate=10)).axes
    assert len(drawn(curves)) == 4 and drawn(flips)["gradient, robust"].tolist() == [30, 60]
    pruned = made.tickets({10: (100, 100, 98, 0), 80: (100, 100, 100, 98)})
    assert drawn(figures.tickets(pruned).axes[0])["1 in 80 labels wrong"].tolist() == [100, 100, 100, 98]


def test_bars_are_what_chance_does():
    found = claims.by_chance(made.planted(10), draws=50)
    left, middle, _ = figures.chance(found).axes
    assert [bar.get_height() for bar in left.patches][:3] == [0, 0, 100]
    assert [bar.get_height() for bar in middle.patches] == [0, 0, 100, 0, 0, 0]


def test_the_explorer_shows_mislabelled_images_first_with_what_the_first_seed_decides(trained):
    data, second = TINY.load(), trained.at(rate=100)
    shown = figures.explorer(trained, data, (100, 2.1))
    rows = figures.pictures(second)
    wrong, others = figures.PICTURES.values()
    assert claims.groups(second)["mislabelled"][0][rows].tolist() == [True] * wrong + [False] * others
    assert shown["pixels"].shape == (2, wrong + others, 8, 8) and shown["sigmas"] == [0, 0.1, 2.1]
    assert np.array_equal(shown["predicted"][1], second["train"][0][:, rows])
    assert np.array_equal(shown["pixels"][1], data.train.x[rows][:, 0])
    assert np.array_equal(shown["told"][1] != shown["true"][1], [True] * wrong + [False] * others)
    assert "1 in 100" in blur_explorer(**shown)
