"""The claims on double descent, judged on numbers whose answer is known, and on the phenomenon itself, small."""

import importlib.util
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.evidence.claims import check, load_claims
from redlib.experiments.results import Results
from redlib.studies.double_descent import claims, linear, nets

spec = importlib.util.spec_from_file_location("tiny_double_descent", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
EVERY = tiny.tiny()
WIDTHS = 2, 4, 8, 16
HILL, FITS = [30, 20, 40, 10], [50, 10, 1, 0]  # test and training errors in per cent


@lru_cache
def found(name):
    return EVERY[name].results(EVERY[name].run())


def made(axes, **arrays):
    """Return results of these arrays, all with the same axes; labels of an axis in `axes`, None for none."""
    given = {name: np.asarray(values, float) for name, values in arrays.items()}
    labels = {axis: values for axis, values in axes.items() if values is not None}
    return Results(given, dict.fromkeys(given, ("seed", *axes)), labels)


def sweep(test, train, widths=WIDTHS, epochs=(9,), validation=None):
    """Return a sweep from per cents [seeds, widths] at the end, or [seeds, widths, epochs]."""
    every = {"test_error": test, "train_error": train, "validation_error": test if validation is None else validation}
    curves = {name: np.asarray(values, float) / 100 for name, values in every.items()}
    curves = {name: values if values.ndim == 3 else values[..., None] for name, values in curves.items()}
    return made({"width": widths, "epoch": epochs}, **curves)


def part(finding, name):
    return finding.parts[name].tolist()


def test_every_claim_gets_the_parts_that_its_check_asks_for():
    hills = sweep([HILL] * 2, [FITS] * 2)
    by_n = {n: hills for n in (200, 400, 800)}
    systems = made(
        {"number": None}, **dict.fromkeys(("residual", "rank", "rank_augmented", "rows", "generic"), [[1]] * 2)
    )
    handed = [claims.dd_8(hills, hills), claims.dd_9(hills, hills), claims.dd_10(by_n, 400), claims.dd_12(by_n, 400)]
    handed += [claims.dd_13(hills), claims.dd_15(hills), claims.dd_5(hills), claims.dd_11(hills)]
    handed += [claims.dd_20(hills, hills), claims.dd_17(found("ridge"), hills, hills)]
    handed += [claims.dd_14(EVERY["isotropic"], found("isotropic")), claims.dd_4(found("sgd"))]
    handed += [claims.dd_0(EVERY["polynomial"], found("polynomial")), claims.dd_18(EVERY["parts"], found("parts"))]
    handed += [claims.dd_19(systems, found("students").first(2))]
    for finding in handed:
        claim = load_claims()[finding.id]
        own = {leaf.name: finding.parts.get(leaf.name, finding.parts.get(leaf.statistic)) for leaf in claim.check.parts}
        assert set(finding.parts) <= {name for leaf in claim.check.parts for name in (leaf.name, leaf.statistic)}
        assert check(claim, "smoke", replace(finding, parts=own)).verdict == "plumbing_ok", finding.id


# ---- sweeps of nets ----


def test_thresholds_and_peaks_of_literal_curves():
    hills = sweep([HILL] * 4, [FITS] * 3 + [[50, 10, 5, 3]])
    first = 4 * 2 ** (8 / 9)  # from 10% to 1%, 2% is 8/9 of the way
    assert claims.threshold(hills)[:3] == pytest.approx([first] * 3) and np.isnan(claims.threshold(hills)[3])
    assert claims.threshold(hills, 0.05)[3] == pytest.approx(8)
    assert claims.gate(hills) == {"widest_net_interpolates": False}
    finding = claims.dd_5(hills)
    assert part(finding, "height_left") == pytest.approx([20] * 3), "the fourth seed chooses, three judge"
    assert part(finding, "height_right") == pytest.approx([30] * 3)
    assert part(finding, "peak_width") == pytest.approx([8 * 2**-0.1] * 4)  # the vertex through 20, 40, 10
    assert part(finding, "grid_steps_above_threshold")[:3] == pytest.approx([1.9 - (1 + 8 / 9)] * 3)
    assert part(finding, "modern_below_classical") == part(finding, "falls_first") == pytest.approx([10] * 3)


def test_the_error_at_the_first_fit_is_compared_with_the_best_smaller_net_and_the_widest():
    hills = sweep([HILL] * 4, [FITS] * 3 + [[50, 10, 5, 3]])
    there = 20 + 20 * 8 / 9  # log-linear between the widths 4 and 8
    assert claims.at_fit(hills)[:3] == pytest.approx([there] * 3) and np.isnan(claims.at_fit(hills)[3])
    assert part(claims.dd_5(hills), "first_fit_minus_valley") == pytest.approx([there - 20] * 3)
    assert part(claims.dd_5(hills), "first_fit_minus_widest")[:3] == pytest.approx([there - 10] * 3)
    at_once = sweep([HILL] * 4, [[0] * 4] * 4)
    assert part(claims.dd_5(at_once), "first_fit_minus_valley") == [0] * 3, "there is no smaller net"
    never = claims.risen(sweep([HILL] * 4, [[50] * 4] * 4))
    assert np.isnan(never).all()


def test_a_falling_curve_has_no_peak_and_only_an_easy_task_counts():
    falls = claims.dd_13(sweep([[30, 20, 15, 10]] * 4, [[50, 10, 2, 0]] * 4))
    assert part(falls, "first_fit_minus_valley") == pytest.approx([15 - 20] * 3) and all(falls.gate.values())
    assert not claims.dd_13(sweep([[70, 60, 50, 40]] * 4, [FITS] * 4)).gate["easy_task"]


def test_reusing_nets_go_on_as_fresh_ones_beyond_their_threshold():
    losses = {"test_loss": np.arange(8.0).reshape(2, 4, 1), "train_error": np.zeros((2, 4, 1))}
    fresh = made({"width": WIDTHS, "epoch": (9,)}, **losses)
    reused = made({"width": WIDTHS[:2], "epoch": (9,)}, **{name: each[:1, :2] + 50 for name, each in losses.items()})
    assert claims.continued(reused, fresh)["test_loss"][..., 0].tolist() == [[50, 51, 2, 3]]


def test_the_peak_is_placed_by_its_parameters_over_the_numbers_to_fit():
    config = nets.WidthSweep(dataset="digits", pool=300, validation=50, tests=80, n=20, widths=WIDTHS)
    loss = made({"width": WIDTHS, "epoch": (9,)}, test_loss=[[[1], [0.5], [2], [1]]] * 2, train_error=[[[0]] * 4] * 2)
    finding = claims.dd_2(config, loss, loss)
    assert part(finding, "params_at_peak_over_kn") == pytest.approx([((65 + 10) * 8 * 2**0.1 + 10) / 200] * 2)
    assert part(finding, "height_left") == [1.5] and finding.gate["widest_net_interpolates"]
    assert part(finding, "reuse_height_left") == [1.5] and part(finding, "reuse_height_right") == [1]


def test_the_threshold_of_nets_and_features_grows_with_the_examples():
    narrow, wide = sweep([HILL] * 2, [[50, 2, 0, 0]] * 2), sweep([HILL] * 2, [[50, 10, 10, 2]] * 2)
    finding = claims.dd_3(found("threshold").first(2), {100: narrow, 400: wide})
    assert part(finding, "net_slope") == pytest.approx([1] * 2)  # width 4 to 16 as n goes from 100 to 400
    assert part(finding, "rff_slope") == pytest.approx([1] * 2)


def test_the_threshold_through_training_is_tracked_where_all_seeds_have_one():
    train = np.array([[[50, 50, 50, 9], [50, 50, 9, 2], [50, 9, 2, 0], [50, 2, 0, 0]]] * 2)
    nets_ = sweep(train, train, epochs=(0, 1, 2, 4))
    epochs, widths = claims.tracks(nets_)
    assert epochs.tolist() == [1, 2, 4] and np.allclose(widths, [[4, 3, 2]] * 2)
    assert part(claims.dd_11(nets_), "threshold_time_slope") == pytest.approx([-1] * 2)
    short = sweep(train[..., :2], train[..., :2], epochs=(0, 1))
    assert np.isnan(claims.dd_11(short).parts["threshold_time_slope"]).all()


def test_fall_rise_and_fall_of_the_widest_net_are_timed_by_its_fit():
    test = np.zeros((2, 4, 7)) + np.array([90, 50, 30, 40, 60, 50, 45])
    train = np.zeros((2, 4, 7)) + np.array([90, 50, 20, 2, 0, 0, 0])
    finding = claims.dd_6(sweep(test, train, epochs=(0, 1, 2, 4, 8, 16, 32)))
    assert part(finding, "rise") == pytest.approx([30]) and part(finding, "fall") == pytest.approx([15])
    assert part(finding, "t2_over_interpolation") == pytest.approx([2 * 2 ** (1 / 6)] * 2)  # vertex of 40, 60, 50
    assert part(finding, "falls_first") == pytest.approx([20])
    assert part(finding, "rise_across_fit") == pytest.approx([60 - 30] * 2)  # epochs 2 and 8 around the fit at 4


def test_more_data_hurt_by_the_error_at_n_minus_that_at_half():
    errors = np.array([[1.0, 5.0, 2.0], [0.5, 0.25, 0.125]])[..., None] / 100
    samples = made({"sample": (50, 100, 200), "count": (100,)}, test_zero_one=errors)
    half = sweep([[30, 20, 33, 10], [30, 20, 44, 10]], [FITS] * 2)
    finding = claims.dd_7(samples, {200: half, 400: sweep([HILL] * 2, [FITS] * 2)}, 400)
    assert part(finding, "rff_harm") == pytest.approx([4.0, -0.25])
    assert part(finding, "net_harm") == pytest.approx([40 - 33]), "the second seed chooses"
    with pytest.raises(BadInput, match="sample = 50"):
        claims.dd_7(made({"sample": (60, 120), "count": (100,)}, test_zero_one=errors[:, :2]), {400: half}, 400)


def test_noise_shifts_and_data_move_thresholds_and_peaks_by_octaves():
    low, high = sweep([[30, 20, 40, 10]] * 4, [FITS] * 4), sweep([[30, 40, 20, 10]] * 4, [[50, 2, 0, 0]] * 4)
    low["train_error"][:, 2] = 0.02
    noise = claims.dd_8(low, high)
    assert part(noise, "threshold_shift") == [1] * 4 and part(noise, "height_gain") == pytest.approx([10] * 3)
    assert part(noise, "height_right_gain") == pytest.approx([30 - 30] * 3)
    moved = claims.dd_20(low, high)
    assert part(moved, "peak_shift") == pytest.approx([1 - 0.1 + 1 / 6] * 4) and all(moved.gate.values())
    assert not claims.dd_20(low, sweep([[40, 30, 20, 10]] * 4, [FITS] * 4)).gate["peak_with_less_noise"]
    assert part(claims.dd_9(low.first(2), high), "peak_shift") == pytest.approx([1 - 0.1 + 1 / 6] * 2)
    assert part(claims.dd_9(low.first(2), high), "threshold_shift") == [1] * 2
    assert part(claims.dd_10({400: high, 800: low}, 400), "peak_shift") == pytest.approx([1 - 0.1 + 1 / 6] * 4)


def test_complexity_interpolates_between_sample_sizes_in_log_n_and_between_widths():
    zero, fifth = sweep([[30, 40, 10]], [[0, 0, 0]], (4, 8, 16)), sweep([[30, 40]], [[20, 10]], (4, 8))
    by_n, grid = {400: fifth, 100: zero}, (4, 8, 16)
    assert claims.complexity(by_n, grid, np.array([4.0])) == pytest.approx(200)  # half-way from 0 to 20% error
    assert claims.complexity(by_n, grid, np.array([8.0]), 0.05) == pytest.approx(200)
    between = claims.complexity(by_n, grid, np.array([32**0.5]), 0.05)  # half-way from 4 to 8 units
    assert between == pytest.approx((100 * 4**0.25 * 200) ** 0.5)
    assert np.isnan(claims.complexity(by_n, grid, np.array([16.0]))[0]), "400 examples were not tried there"


def test_effective_complexity_is_read_at_each_seeds_own_peak():
    tested = (100, 400)
    errors = {n: [[50, 10, wrong, 0]] * 2 for n, wrong in zip(tested, (0, 20), strict=True)}
    both = {n: sweep([[30, 20, 40, 20]] * 2, errors[n]) for n in tested}
    finding = claims.dd_12(both, 100)
    assert part(finding, "emc_over_n") == pytest.approx([2, 2])
    assert part(finding, "emc_over_n_at_0p05") == pytest.approx([2**0.5] * 2)  # a quarter of the way from n to 4 n
    assert part(finding, "emc_over_n_at_0p01") == pytest.approx([2**0.1] * 2)
    elsewhere = {n: sweep([[30, 20, 40, 20], [30, 40, 20, 10]], errors[n]) for n in tested}
    assert np.isnan(part(claims.dd_12(elsewhere, 100), "emc_over_n")[1]), "the second seed peaks where no size brackets"


def test_after_the_fit_counts_from_the_first_perfect_width_and_censors_seeds_without_one():
    finding = claims.dd_15(sweep([[9, 5, 8, 3]] * 3, [[5, 0, 0, 0], [5, 1, 1, 1], [5, 1, 1, 0]]))
    gain, late = finding.parts["gain"], finding.parts["late_gain"]
    assert gain[0] == pytest.approx(3 - 5) and late[0] == pytest.approx(3 - 8)
    assert np.isnan([gain[1:], late[1:]]).all(), "no perfect width, or none beyond it"
    assert "halves_agree" not in finding.gate


def test_noise_alone_makes_no_gain_beyond_the_fit():
    errors = np.random.default_rng(0).normal(50, 1, (4000, 8))
    finding = claims.dd_15(sweep(errors, np.zeros((4000, 8)), 2 ** np.arange(8)))
    assert abs(finding.parts["gain"].mean()) < 0.1 and abs(finding.parts["late_gain"].mean()) < 0.1


def test_ensembles_by_hand():
    team = made({"width": (4, 8, 16)}, member_error=[[0.2, 0.4, 0.1]], ensemble_error=[[0.15, 0.25, 0.08]])
    trained = sweep([HILL[:3]], [[0] * 3], (4, 8, 16))
    finding = claims.dd_16(Results(team.arrays | trained.arrays, team.axes | trained.axes, trained.labels))
    assert part(finding, "gain_difference") == pytest.approx([13])
    assert part(finding, "gain_over_valley") == pytest.approx([10])
    assert part(finding, "height_left_minus_half") == pytest.approx([25 - 15 - 10])
    assert part(finding, "remaining_height_ratio") == pytest.approx([0.5]) and finding.gate["single_nets_peak"]
    flat = made({"width": (4, 8, 16)}, member_error=[[0.2, 0.1, 0.1]], ensemble_error=[[0.15, 0.05, 0.08]])
    gate = claims.dd_16(Results(flat.arrays | trained.arrays, flat.axes | trained.axes, trained.labels)).gate
    assert not gate["single_nets_peak"]


def test_the_penalty_is_that_of_the_validation_set_not_of_the_test_set():
    plain = sweep([[50, 60, 99], [7, 7, 7]], [[0] * 3] * 2, (2, 4, 8), validation=[[10, 30, 0], [1, 1, 1]])
    decayed = sweep([[1, 2]], [[0] * 2], (2, 4), validation=[[20, 20]])
    assert claims.final(claims.tuned(plain, decayed)).tolist() == [[50, 2]]


def test_the_best_penalty_is_the_theoretical_one_and_its_risk_falls_with_n():
    flat = sweep([[30, 20, 20, 10]] * 3, [FITS] * 3)
    finding = claims.dd_17(found("ridge"), flat, sweep([HILL] * 5, [FITS] * 5))
    assert max(part(finding, "ridge_worst_step")) < 0 and part(finding, "net_height_left") == [0] * 2
    assert part(finding, "net_height_cut") == pytest.approx([20] * 2)
    many = linear.RidgeSweep(dim=12, samples=(12,), multiples=(0.25, 1.0, 4.0), repetitions=400, seeds=tiny.SEEDS)
    best = many.results(many.run())["ridge"].mean(-1).argmin(-1)
    assert (best == 1).all() and part(finding, "best_penalty_over_theory")


def test_systems_are_solvable_exactly_when_the_ranks_agree_and_a_broken_identity_is_counted():
    students = made({"multiple": (1, 2, 4)}, success=[[0.2, 0.5, 0.8]] * 3)
    finding = claims.dd_19(found("systems"), students)
    assert part(finding, "rank_identity_failures") == [0] * 3
    assert part(finding, "success_trend") == pytest.approx([0.3] * 3)
    one = {"residual": 0.5, "rank": 2.0, "rank_augmented": 2.0, "rows": 3.0, "columns": 4.0, "generic": 1.0}
    broken = made({"number": None}, **{name: np.full((3, 5), value) for name, value in one.items()})
    assert part(claims.dd_19(broken, students), "rank_identity_failures") == [5] * 3


# ---- models we can solve ----


def test_random_features_double_descend():
    sixty = found("features").at(sample=60)
    one = Results({k: v[:, None] for k, v in sixty.items()}, found("features").axes, {"sample": (60,), **sixty.labels})
    finding = claims.dd_1(one)
    for name in ("falls_first", "height_left", "height_right", "modern_below_classical", "norm_falls"):
        assert min(part(finding, name)) > 0, name
    assert part(finding, "peak_over_n") == pytest.approx([1] * 3, abs=0.2)
    assert part(finding, "norm_peak_over_n") == [1] * 3


def test_sgd_converges_only_with_many_features():
    finding = claims.dd_4(found("sgd"))
    assert max(part(finding, "modern_train_loss")) < 1e-5 and min(part(finding, "modern_linear_r2")) > 0.9
    assert min(part(finding, "log2_excess_over_gradient_descent")) > np.log2(10)
    assert min(part(finding, "log2_modern_rate_over_gd_epochs")) > 0


def test_sgd_is_judged_on_literal_losses():
    modern = 10.0 ** -np.arange(9)  # a tenth in each epoch
    classical = 0.5 + np.array([9.0, 8, 8, 4, 4, 2, 2, 1, 1])  # excess above 0.5, in quarters of two epochs
    curves = made({"count": (25, 500), "epoch": None}, sgd_loss=[[classical, modern]])
    slow = {"gd_excess": np.full((1, 2, 9), 1 / 16), "gd_excess_steps": np.full((1, 2, 9), 1 / 64)}
    slow["gd_excess"][:, 1], slow["gd_excess_steps"][:, 1] = 10.0 ** (-np.arange(9) / 4), 10.0 ** (-4 * np.arange(9))
    arrays = curves.arrays | slow | {"least_loss": np.array([[0.5, 0.0]])}
    finding = claims.dd_4(Results(arrays, dict.fromkeys(arrays, ("seed", "count")), curves.labels))
    assert part(finding, "modern_train_loss") == pytest.approx([1e-8])
    assert part(finding, "modern_linear_r2") == pytest.approx([1])
    assert part(finding, "log2_excess_over_gradient_descent") == pytest.approx([4])
    assert part(finding, "log2_modern_rate_over_gd_epochs") == pytest.approx([2])
    # To 1e-25, the floor, in seven epochs and not to 1e-32 in eight:
    assert part(finding, "log2_modern_rate_over_gd_steps") == pytest.approx([-np.log2(25 / 7)])


def test_the_polynomial_risk_is_u_shaped():
    finding = claims.dd_0(EVERY["polynomial"], found("polynomial"))
    assert max(part(finding, "identity_gap")) < 0.08  # 3600 noise draws: a standard error of 2.4%
    assert max(part(finding, "bias_slope")) < 0 < min(part(finding, "variance_slope"))
    assert min(part(finding, "interior_left")) > 0 and min(part(finding, "interior_right")) > 0


def test_the_interior_minimum_is_chosen_by_the_other_seeds():
    total = np.array([[4.0, 1.0, 3.0, 5.0], [4.0, 2.0, 1.0, 5.0]])  # each would choose its own minimum
    config = linear.PolynomialBias(degrees=(1, 2, 3, 4), noise=0.0)
    finding = claims.dd_0(config, made({"degree": config.degrees}, bias2=total, variance=np.zeros((2, 4)), total=total))
    assert part(finding, "interior_left") == [1] and part(finding, "interior_right") == [2]
    assert part(finding, "identity_gap") == part(finding, "mean_identity_gap") == [0, 0]


def test_gaussian_least_squares_follows_its_closed_form_and_no_other():
    config = EVERY["isotropic"]
    assert max(part(claims.dd_14(config, found("isotropic")), "max_abs_z")) < 4
    assert min(part(claims.dd_14(replace(config, noise=1.0), found("isotropic")), "max_abs_z")) > 4
    assert claims.far(linear.Gaussian(dim=100, samples=(90, 91, 100, 110))).tolist() == [True, False, False, True]


def test_the_median_error_of_least_squares_falls_rises_and_falls():
    config = linear.Gaussian(dim=20, samples=(4, 12, 20, 40), repetitions=100, seeds=tiny.SEEDS)
    finding = claims.dd_14(config, config.results(config.run()))
    for name in ("falls_first", "rises_to_d", "falls_beyond_d"):
        assert min(part(finding, name)) > 0, name
    assert len(part(finding, "falls_first")) == 2 and len(part(finding, "falls_beyond_d")) == 3


def test_the_peak_is_variance():
    finding = claims.dd_18(EVERY["parts"], found("parts"))
    assert min(part(finding, "log2_variance_ratio")) > 1


def test_the_bias_step_is_measured_in_jackknife_errors():
    config = linear.RffBiasVariance(n=10, counts=(5, 10, 20, 40), resamples=3)
    arrays = {
        "bias2": np.array([[1.0, 9.0, 1.3, 1.3]]),  # the count n itself is left out
        "variance": np.array([[1.0, 8.0, 3.0, 2.0]]),
        "bias2_left_out": np.array([[[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.2, 1.3, 1.4], [1.0, 1.3, 1.4]]]),
    }
    finding = claims.dd_18(config, Results(arrays, dict.fromkeys(arrays, ("seed", "count")), config.labels))
    assert part(finding, "log2_variance_ratio") == pytest.approx([2])
    assert part(finding, "bias_worst_step") == pytest.approx([0.3])
    assert part(finding, "bias_upward_step_z") == pytest.approx([0.3 / np.sqrt(2 / 3 * 0.02)])
