"""The claims on mislabelled data: each part is what its name says, worked out by hand from results made up here."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from redlib.evidence.claims import load_claims
from redlib.experiments.results import Results
from redlib.studies.mislabel_blurring import claims

spec = importlib.util.spec_from_file_location("made_blurring", Path(__file__).with_name("made.py"))
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
some, rising, rated, planted, GRID = made.some, made.rising, made.rated, made.planted, made.GRID


def replaced(results, **arrays):
    return Results({**results.arrays, **arrays}, results.axes, results.labels)


# Curves


def test_curves_count_by_group_what_is_changed_wrong_and_returned():
    found = some(rising(0.5), [0, 0, 0.2, 0.4, 0.6, 1])
    assert claims.blurs(found).tolist() == list(GRID) and claims.counts(found).tolist() == [[20, 200]] * 2
    assert np.allclose(claims.changed(found, "mislabelled")[1], [0, 0, 20, 40, 60, 100])
    assert np.allclose(claims.changed(found, "clean")[0, [0, -1]], [0, 50])
    assert np.allclose(claims.wrong(found)[0, -1], 100 * 120 / 220)
    assert np.allclose(claims.changed(found, "unseen")[0, -1], 50)
    found["train"][:, 3, -1] = 0  # a mislabelled image taken for its true class
    assert np.allclose(claims.returned(found)[0], [0, 0, 0, 5, 0, 0])


def test_only_learned_images_can_change_and_wrong_is_by_the_label_told():
    found = some(rising(0.5), [0, 0, 0, 0, 1, 1])
    found["train"][0, :, -5:] = 3  # never learned
    assert np.allclose(claims.wrong(found, "mislabelled")[0], [25, 25, 25, 25, 100, 100])
    assert np.allclose(claims.changed(found, "mislabelled")[0], [0, 0, 0, 0, 100, 100])
    found["train"][0, 0, 200:] = 3
    none, every = claims.changed(found, "mislabelled")
    assert np.isnan(none).all() and np.isfinite(every).all()


def test_several_rates_give_what_each_gives_alone():
    by_rate = {k: some(rising(0.5 + k / 100), rising(1)) for k in (10, 20)}
    both = rated(by_rate)
    for k, one in by_rate.items():
        at = both.labels["rate"].index(k)
        for curve in (claims.wrong, claims.returned, claims.changed_area, claims.weight, claims.accuracy):
            assert np.array_equal(curve(both)[:, at], curve(one))
        assert np.array_equal(claims.changed(both, "clean")[:, at], claims.changed(one, "clean"))


def test_areas_are_means_between_1p3_and_4_of_the_clean_images():
    found = some(rising(0.5), rising(1.0))
    assert np.allclose(claims.changed_area(found), 25, atol=0.3)
    assert np.allclose(claims.changed_area(found, "mislabelled"), 50, atol=2.5)
    main = rated({10: some(rising(0.8), rising(1)), 100: some(rising(0.4), rising(1))})
    rates, table = claims.areas(main)
    assert np.allclose(table, [[20, 40]] * 2, atol=0.3) and np.allclose(2.0**rates, [0.01, 0.1])
    assert np.allclose(claims.drop(main, 10, 100), 20, atol=0.3)


def test_the_fit_is_the_first_look_at_999_of_a_thousand():
    found = some(rising(0), rising(0), n=(900, 100), lost=((30, 20), (1, 1), (1, 0), (0, 0)))
    assert np.allclose(claims.accuracy(found)[0], [0.95, 0.998, 0.999, 1])
    assert claims.epochs_to_fit(found).tolist() == [12, 12]
    assert claims.events(found).tolist() == [[1, 0], [1, 0]]
    never = some(rising(0), rising(0), lost=((30, 20), (1, 1)))
    assert np.isnan(claims.epochs_to_fit(never)).all() and np.isnan(claims.events(never)).all()


def test_nets_are_strata_weighted_by_their_groups():
    one, two = some(rising(0), rising(1)), some(rising(0), rising(0.5), n=(180, 40))
    weights = 200 * 20 / 220, 180 * 40 / 220
    expected = (100 * weights[0] + 50 * weights[1]) / sum(weights)
    assert np.allclose(claims.difference(rated({10: one, 5: two}))[:, -1], expected)
    none = some(rising(0), rising(1))
    none["train"][0, 0, 200:] = 3  # a seed that has learned no wrong label
    assert claims.difference(rated({10: none}))[0] == pytest.approx([np.nan] * 6, nan_ok=True)
    assert np.allclose(claims.difference(rated({10: none, 5: two}))[:, -1], [50, expected])


# Gates


def test_rates_are_compared_only_where_their_counts_differ():
    def main(**counts):
        return rated({int(k[1:]): some(rising(0), rising(0), n=(240 - n, n)) for k, n in counts.items()})

    every = main(k10=40, k70=20, k80=18, k100=18)
    assert claims.above(every).tolist() == [True, True, False, False]
    assert claims.counts_differ(every) == {"rates_differ": True}
    assert claims.counts_differ(main(k70=20, k80=18)) == {"rates_differ": False}
    assert claims.counts_fall(every) == {"rates_differ": False}
    assert claims.counts_fall(main(k80=18, k10=40, k70=20)) == {"rates_differ": True}


def test_every_net_must_have_fitted_at_the_end():
    whole, part = (some(rising(0), rising(0), lost=((9, 9), last)) for last in ((0, 0), (0, 9)))
    assert claims.fitted(whole, rated({10: whole})) == {"nets_fitted": True}
    assert claims.fitted(whole, rated({10: whole, 20: part})) == {"nets_fitted": False}


# Claims


def test_blur_0_is_judged_at_the_end_and_by_the_slowest_rate():
    early = some(rising(0), rising(0), lost=((9, 9), (0, 0), (0, 0)))
    late = some(rising(0), rising(0), lost=((9, 9), (9, 9), (0, 0)))
    lost = some(rising(0), rising(0), lost=((9, 9), (0, 0), (9, 9)))
    assert claims.blur_0(rated({10: early, 20: late})).parts["epochs_needed"].tolist() == [12, 12]
    assert claims.blur_0(rated({10: early, 20: lost})).parts["runs_fitted"].tolist() == [0.5, 0.5]


def at_the_start(clean, mislabelled, n, lost):
    """Results of nets that take so many images wrongly at the end, hardly blurred, and `lost` ones when they fit."""
    first = [[0, count / size, 1, 1, 1, 1] for count, size in zip((clean, mislabelled), n, strict=True)]
    return some(*first, n=n, lost=((900, 900), lost))


def test_blur_1_is_the_ratio_of_the_trained_nets_with_half_an_event_more():
    many = at_the_start(6, 9, (18_000, 2000), (40, 20))
    few = at_the_start(7, 8, (19_800, 200), (30, 10))
    expected = (9.5 / 2000) / (6.5 / 18_000), (8.5 / 200) / (7.5 / 19_800)
    parts = claims.blur_1(rated({10: many, 100: few})).parts
    assert np.allclose(parts["tenfold_high_rates"], expected[0])
    assert np.allclose(parts["hundredfold_low_rates"], expected[1])
    assert np.allclose(parts["low_rates_larger"], expected[1] / expected[0])
    assert np.allclose(parts["more_often"], 50 * (9 / 2000 - 6 / 18_000 + 8 / 200 - 7 / 19_800))
    rare = at_the_start(4, 9, (18_000, 2000), (9, 6))
    parts = claims.blur_1(rated({10: rare, 100: few})).parts
    assert np.isnan(parts["tenfold_high_rates"]).all() and np.isfinite(parts["more_often"]).all()


def test_blur_1_also_tells_the_ratios_when_the_nets_first_fit():
    many = some(rising(0), rising(0), n=(18_000, 2000), lost=((900, 900), (9, 6)))
    few = some(rising(0), rising(0), n=(19_800, 200), lost=((900, 900), (8, 7)))
    parts = claims.blur_1(rated({10: many, 100: few})).parts
    assert np.allclose(parts["tenfold_at_fit"], (9.5 / 2000) / (6.5 / 18_000))
    assert np.allclose(parts["hundredfold_at_fit"], (8.5 / 200) / (7.5 / 19_800))
    assert np.isnan(parts["tenfold_high_rates"]).all() and (parts["more_often"] == 0).all(), "all is learned in the end"


def test_blur_2_is_the_largest_rate_at_the_least_blur():
    one, two = some([0, 0.1, 1, 1, 1, 1], [0, 0.2, 1, 1, 1, 1]), some([0, 0, 1, 1, 1, 1], [0, 0.3, 1, 1, 1, 1])
    parts = claims.blur_2(rated({10: one, 20: two})).parts
    assert parts["mislabelled"].tolist() == [30, 30] and parts["clean"].tolist() == [10, 10]


def test_blur_3_keeps_the_sign_of_the_largest_difference():
    parts = claims.blur_3(rated({10: some([0, 0, 0, 0.5, 0, 0], [0, 0.1, 0, 0, 0.2, 0])})).parts
    assert parts["largest_difference"].tolist() == [-50, -50]
    found = some(rising(0.2), rising(0.6))
    expected = claims.changed_area(found, "mislabelled") - claims.changed_area(found, "clean")
    assert np.allclose(claims.blur_3(rated({10: found})).parts["mean_difference"], expected)


def test_blur_4_finds_jitter_beyond_that_of_as_many_clean_images():
    noise = np.random.default_rng(1)
    true = (np.arange(660) % 3).astype(np.int8)
    assigned = np.tile(true + (np.arange(660) >= 600), (3, 1)).astype(np.int8)
    train = np.where(noise.random((3, 6, 660)) < 0.3, 9, assigned[:, None]).astype(np.int8)
    train[:, 0] = assigned
    alike = replaced(some(rising(0), rising(0), n=(600, 60), seeds=3), true=true, assigned=assigned, train=train)
    parts = claims.blur_4(rated({10: alike}), draws=200).parts
    p = parts["roughness_null_p"]
    assert p.shape == (3,) and np.median(p) > 0.2 and abs(parts["zigzag_mislabelled_minus_clean"].mean()) < 15
    jagged = replaced(alike, train=train.copy())
    jagged["train"][:, 2::2, 600:] = 9
    alone = claims.blur_4(rated({10: jagged}), draws=200).parts
    both = claims.blur_4(rated({10: jagged, 20: alike}), draws=200).parts
    assert np.allclose([alone["roughness_null_p"], both["roughness_null_p"]], 1 / 201), "summed over rates"
    plain, own, mean = (each["zigzag_mislabelled_minus_clean"] for each in (parts, alone, both))
    assert (own > 100).all() and np.allclose(mean, (own + plain) / 2), "as many images each"
    assert (alone["returns_mislabelled_minus_clean"] > 0.3).all()
    jagged["train"][0, 0, 600:] = 9
    none = claims.blur_4(rated({10: jagged}), draws=20).parts
    assert [np.isnan(values).tolist() for values in none.values()] == [[True, False, False]] * 3


def test_blur_4_draws_anew_for_every_seed_wherever_the_seeds_begin():
    """With the data of one seed in all three places only the draws differ, and they follow the seeds."""
    noise = np.random.default_rng(2)
    assigned = np.tile((np.arange(660) % 3 + (np.arange(660) >= 600)).astype(np.int8), (3, 1))
    train = np.where(noise.random((1, 6, 660)) < 0.3, 9, assigned[:1, None]).astype(np.int8)
    train[:, 0] = assigned[:1]
    one = replaced(some(rising(0), rising(0), n=(600, 60), seeds=3), true=(np.arange(660) % 3).astype(np.int8),
                   assigned=assigned, train=np.repeat(train, 3, 0))  # fmt: skip
    judged, fresh = (
        claims.blur_4(rated({10: one}), draws=50, first=first).parts["zigzag_mislabelled_minus_clean"]
        for first in (0, 2)
    )
    assert judged[2] == fresh[0] and len({*judged, *fresh}) == 5


def test_a_steep_curve_does_not_zigzag_and_a_jagged_one_does():
    steep, hill, jagged = [0, 0, 0, 90, 100, 100], [0, 10, 80, 100, 60, 50], [0, 30, 10, 50, 40, 60]
    assert claims.zigzag(np.array([steep, hill, jagged], float)).tolist() == [0, 0, 60]
    once_back = np.array([[0, 0], [1, 1], [0, 1], [1, 1]], bool)
    assert claims.returns(once_back) == 0.5


def test_blur_4_is_not_taken_in_by_a_steep_curve():
    bent = rated({10: some(rising(0.9), [0, 0, 0.02, 0.98, 1, 1], n=(600, 60), seeds=3)})
    parts = claims.blur_4(bent, draws=200).parts
    assert (parts["roughness_null_p"] < 0.05).all(), "the old measure is"
    assert parts["zigzag_mislabelled_minus_clean"] == pytest.approx([0] * 3, abs=1e-9)
    assert (parts["returns_mislabelled_minus_clean"] == 0).all()


def test_what_the_figure_draws_of_a_rate_is_what_the_claim_judges():
    jagged = some(rising(0), rising(0), n=(600, 60), seeds=3)
    for place in (2, 4):
        jagged["train"][:, place, 600:][:, ::2] = 9
    main = rated({10: jagged})
    judged = claims.blur_4(main, draws=50).parts["zigzag_mislabelled_minus_clean"]
    assert (judged > 0).all() and claims.zigzag_excess(main, draws=50)[:, 0] == pytest.approx(judged)


def test_the_excess_roughness_is_bend_or_chance():
    bent = some(rising(0), [0, 0, 1, 1, 1, 1], n=(600, 60))
    found = claims.rough_excess(rated({10: bent, 20: bent}))
    assert np.allclose(found, [2 * 20_000, 0]), "0, 1: second differences of ±100, twice"
    jagged = some(rising(0), rising(0), n=(600, 60))
    for place in (2, 4):
        jagged["train"][:, place, 600:][:, ::2] = 9
    assert (claims.rough_excess(rated({10: jagged})) > 0).all()


def test_blur_5_and_7_tell_a_planted_step():
    main = planted(10)
    parts = claims.blur_5(main, draws=200).parts
    assert np.allclose(parts["drop_at_transition"], 10, atol=1) and np.allclose(parts["step_beyond_line"], 10, atol=1)
    assert np.allclose(parts["drop_of_mislabelled"], 0, atol=2), "planted in the clean images alone"
    assert (parts["step_beats_line"] > 5).all() and (parts["step_beats_constant"] > 5).all()
    assert np.allclose(parts["break_rate"], 100 / 5600**0.5), "between one in 70 and one in 80"
    assert np.allclose(parts["single_run_false_split"], 0), "these seeds do not differ by three points"
    same = claims.blur_7(main).parts
    assert np.allclose(same["one_in_10_versus_70"], 0, atol=1) and len(same) == 7
    assert (claims.blur_5(planted(0), draws=200).parts["step_beats_constant"] < 3).all()


def test_a_trend_over_the_rates_is_no_step():
    main, rates = planted(0), np.array(made.RATES)
    line, step = 50 - 7 * np.log2(rates), np.where(rates <= 70, 3.0, 0.0)
    assert np.allclose(claims.beyond_line(main, np.stack([line, line + step, -line - step])), [0, 3, -3])


def test_what_chance_does_is_told_in_percent():
    found = claims.by_chance(planted(10), draws=100)
    assert found["best"] == {"constant": 0, "linear": 0, "step": 100}
    assert list(found["place"])[2] == "1/80 |\n1/70" and found["place"]["1/80 |\n1/70"] == 100
    assert len(found["place"]) == 6 and sum(found["place"].values()) == 100 == pytest.approx(
        sum(found["noise"].values())
    )
    assert found["split"]["as claimed"] == 0


def test_chance_splits_single_runs_only_where_seeds_differ():
    table, main = np.random.default_rng(0).normal(0, 20, (5, 7)), planted(0)
    assert 0.01 < claims.split_chance(main, table, draws=4000) < 2 / 35, "at most by chance: 2 of 35 orders"
    rising_areas = table + 50 * claims.areas(main)[0]
    found = [claims.split_chance(main, rising_areas, *how, draws=4000) for how in ((), (True,), (True, True))]
    assert found[0] < found[1] < found[2], "somewhere, and about a trend"
    assert claims.split_chance(main, table / 1000) == 0 and np.isnan(claims.split_chance(main, table[:1]))


def test_blur_6_and_9_compare_groups_of_rates():
    tops = ((10, 0.8, 0.9), (70, 0.6, 0.8), (80, 0.3, 0.3), (100, 0.1, 0.2))
    main = rated({k: some(rising(t), rising(1), test=rising(u)) for k, t, u in tops})
    slower = claims.blur_6(main, made.kernel(2)).parts
    assert np.allclose(slower["slower_below_transition"], (20 - 70) / 2.7, rtol=0.02)
    assert np.allclose(slower["at_the_transition"], (30 - 60) / 2.7, rtol=0.02)
    assert np.allclose(slower["slower_beyond_line"], -claims.beyond_line(main, claims.slopes(main)))
    assert slower["visibility"].tolist() == [0.8, 0.9]
    unseen = claims.blur_9(main).parts
    found = [unseen[part][0] for part in ("low_rates", "high_rates", "interaction", "high_rates_on_low_curves")]
    assert found == pytest.approx([2.5, 7.5, 5.0, 42.5 - 10], abs=0.3)


def test_blur_8_is_one_where_wrong_decisions_only_grow():
    grown = some([0, 0.1, 0.2, 0.3, 0.4, 0.5], [0, 0.1, 0.2, 0.3, 0.4, 0.5])
    fallen = some([0.5, 0.4, 0.3, 0.2, 0.1, 0], [0.5, 0.4, 0.3, 0.2, 0.1, 0])
    parts = claims.blur_8(made.kernel(2), rated({10: grown})).parts
    assert np.allclose(parts["monotone"], 1) and parts["flat_zero"][1] == pytest.approx(2.2)
    assert np.allclose(parts["steady"], 1)
    assert np.allclose(claims.blur_8(made.kernel(2), rated({10: grown, 20: fallen})).parts["monotone"], 0)


def test_blur_10_counts_settings_with_the_signs_of_the_main_run():
    main = {10: some(rising(0.6), rising(1)), 100: some(rising(0.2), rising(1))}
    pair = np.array([[0.9, 0.9], [0.1, 0.1]])  # mislabelled, clean
    noise = {10: np.stack([pair, pair[::-1]]) + 0.05, 100: np.stack([pair, pair[::-1]])}
    other = rated({k: some(rising(0), rising(0), changed_noise=noise[k]) for k in main})
    swapped = rated({10: main[100], 100: main[10]})
    same = claims.numbers_of({"main": rated(main), "same": rated(main), "swapped": swapped}, ("blur",))
    numbers = same | claims.numbers_of({"other": other}, ("noise",))
    assert list(numbers) == ["main, blur", "same, blur", "swapped, blur", "other, noise"]
    assert np.allclose(numbers["other, noise"], [[80, -80], [5, 5]])
    assert np.allclose(numbers["main, blur"][1], 20, atol=0.5), "the highest rate less the lowest"
    found = claims.blur_10(numbers, rated(main))
    assert np.allclose(found.parts["treated_as_in_main_run"], [1, 2 / 3])
    assert np.allclose(found.parts["transition"], [2 / 3, 2 / 3]) and found.gate == {"nets_fitted": True}


def test_blur_11_compares_learning_and_gaps():
    flips = {"flips_gradient": [[0.1, 0.5], [0.2, 0.6]]}, {"flips_gradient": [[0.4, 0.4], [0.3, 0.4]]}
    robust, standard = some(rising(0.2), rising(0.2), **flips[0]), some(rising(0.2), rising(0.6), **flips[1])
    robust["train"][:, :, -10:] = 3
    found = claims.blur_11(robust, standard)
    assert np.allclose(found.parts["memorisation"], -50)
    gaps = [claims.changed_area(r, "mislabelled") - claims.changed_area(r) for r in (robust, standard)]
    assert np.allclose(found.parts["blur_gap"], gaps[0] - gaps[1]) and (found.parts["blur_gap"] < 0).all()
    assert found.gate == {"robust_nets_withstand_more": False, "nets_fitted": True}, "one of two nets does"


def test_blur_12_is_fifteen_of_ten_thousand():
    human = claims.blur_12().parts["human_validated_error_percent"]
    assert human.estimate == pytest.approx(0.15) and 0.08 < human.low < 0.1 and 0.24 < human.high < 0.26
    census = Results({"disagreement": np.array([2.0, 2.1])}, {"disagreement": ("seed",)})
    assert claims.blur_12(census).parts["cross_validation_disagreement_percent"].tolist() == [2.0, 2.1]


def test_blur_13_interpolates_on_the_logarithm_of_density():
    one = made.tickets({10: (100, 100, 50, 0), 40: (98, 100, 98, 0)})
    assert claims.at_density(one, (0.4 * 0.16) ** 0.5)[0].tolist() == pytest.approx([75, 99])
    assert claims.breakdown(one)[0, 1] == pytest.approx((0.4 * 0.16) ** 0.5), "a dense net may do worse"
    found = claims.blur_13(made.tickets({10: (100, 100, 98, 0), 40: (100, 100, 100, 98)}))
    assert found.parts["memorises"] == pytest.approx(np.interp(np.log(0.2), np.log([0.16, 0.4]), [98, 100]))
    assert found.parts["memorises_d0p1"] == pytest.approx(np.interp(np.log(0.1), np.log([0.064, 0.16]), [0, 98]))
    assert found.parts["fails_when_small"] == found.parts["memorises"], "the smallest ticket learns none"
    assert found.parts["breakdown_trend"] == pytest.approx(np.log2(2.5) / 2)
    assert found.gate == {"dense_nets_memorise": True}
    never = claims.blur_13(made.tickets({10: (100, 100, 98, 0), 40: (9, 9, 9, 9)}))
    assert np.isnan(never.parts["breakdown_trend"]).all() and never.gate == {"dense_nets_memorise": False}


def test_blur_14_takes_the_step_asked_for():
    found = some(rising(0), rising(0), seeds=1, flips_gradient=[[0.6, 0.9]], flips_random=[[0.1, 0.2]])
    for step, more in ((0.05, 0.5), (0.1, 0.7)):
        assert [values.tolist() for values in claims.blur_14(found, step).parts.values()] == [[pytest.approx(more)]] * 2


def test_findings_hold_what_their_checks_ask_for():
    main, pruned = planted(5), made.tickets({10: (100, 100, 98, 0), 20: (100, 100, 100, 98)})
    census = Results({"disagreement": np.zeros(3)}, {"disagreement": ("seed",)})
    numbers = claims.numbers_of({"conv": main, "same": main}, ("blur",))
    findings = [
        claims.blur_0(main), claims.blur_1(main), claims.blur_2(main), claims.blur_3(main),
        claims.blur_4(main, 20), claims.blur_5(main, 50),
        claims.blur_6(main, made.kernel()), claims.blur_7(main), claims.blur_8(made.kernel(), main),
        claims.blur_9(main), claims.blur_10(numbers, main), claims.blur_11(main.at(rate=10), main.at(rate=20)),
        claims.blur_12(census), claims.blur_13(pruned), claims.blur_14(main.at(rate=10), 0.05),
    ]  # fmt: skip
    for found in findings:
        parts = load_claims()[found.id].check.parts
        assert [name in (part.name, part.statistic) for name, part in zip(found.parts, parts, strict=True)], found.id
        lengths = {len(values) for values in found.parts.values() if isinstance(values, np.ndarray)}
        assert lengths == {1 if found.id == "BLUR-13" else 3}, found.id
