"""The runs on the loss landscape do what they say: ends of paths, where nets stop, which functions are counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from redlib.data.bits import distinct, packed, unpacked
from redlib.errors import BadInput
from redlib.measures.ranks import spearman
from redlib.measures.simplicity import complexity, frequencies
from redlib.nets import StackedMLP, mean_field
from redlib.nets.boolean import every_input, functions_found, sample_functions
from redlib.nets.stacked import unstacked
from redlib.pruning.tickets import REINIT
from redlib.studies.loss_landscape import around, functions
from redlib.studies.loss_landscape.around import HALFWAY, TRAINED, UNTRAINED, Steps, Tunnels
from redlib.studies.loss_landscape.functions import ADAM_RULE, RANDOM, SGD_AGAIN, SGD_RULE, Found, RandomFunctions
from redlib.studies.loss_landscape.pairs import CURVE, LINE, MATCHED, Pairs, Planes
from redlib.training import evaluate

SEEDS = (1000, 1001)
SMALL = {"pool": 300, "tests": 120, "n": 60, "batch": 20, "epochs": 100, "lr": 0.03, "seeds": SEEDS}
PAIRS = Pairs(**SMALL, widths=(12,), positions=5, directions=3, steps_of_bend=80)
STEPS = Steps(**SMALL, width=12, directions=6, lengths=(0.001, 0.1, 3.0))
TUNNELS = Tunnels(
    **SMALL | {"lr": 0.05}, width=12, directions=3, decays=(0.0, 0.01), rates=(0.05, 0.1), dropouts=(0.0, 0.2)
)
FOUND = Found(bits=3, hidden=(10,), told=4, starts=30, samples=20_000, accepted=200, epochs=100, shown=20,
              seeds=SEEDS)  # fmt: skip
DOWN = 0.05  # the loss that Tunnels train down to


# ---- pairs ----


@pytest.fixture(scope="module")
def pair():
    return PAIRS.pair(12)


@pytest.fixture(scope="module")
def joined():
    return PAIRS.results(PAIRS.run()).at(width=12)


def test_nets_of_a_pair_fit_the_same_examples_from_starts_of_their_own(pair):
    first, second = pair
    assert first.seeds == SEEDS and second.seeds == tuple(seed + REINIT for seed in SEEDS)
    assert not torch.allclose(first.vector(), second.vector())
    for net in pair:
        seen = evaluate(net, PAIRS.parts()["train"], PAIRS.loss)
        assert (seen["error"] == 0).all() and (seen["loss"] <= PAIRS.until).all()


def test_all_paths_end_at_the_two_nets(pair, joined):
    parts = PAIRS.parts()
    for place, net in ((0, pair[0]), (-1, pair[1])):
        told, new = (evaluate(net, parts[name], PAIRS.loss) for name in ("train", "test"))
        for path in (LINE, MATCHED, CURVE):
            own = joined.at(path=path)
            # Units in another order are the same net.
            assert own["train_loss"][:, place] == pytest.approx(told["loss"].numpy(), abs=1e-5)
            assert own["test_error"][:, place] == pytest.approx(new["error"].numpy(), abs=1e-6)
    assert joined["at"].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_the_middle_of_the_line_is_the_mean_of_both_nets_and_the_curve_is_lower(pair, joined):
    middle = pair[0].with_vector((pair[0].vector() + pair[1].vector()) / 2)
    seen = evaluate(middle, PAIRS.parts()["train"], PAIRS.loss)
    assert joined.at(path=LINE)["train_loss"][:, 2] == pytest.approx(seen["loss"].numpy(), rel=1e-4)
    line, curve = (joined.at(path=path)["train_loss"].max(1) for path in (LINE, CURVE))
    assert (curve < line / 2).all()


def test_matching_brings_nets_nearer_and_changes_no_end(pair, joined):
    apart = (pair[0].vector() - pair[1].vector()).norm(dim=1).numpy()
    assert joined["distance"] == pytest.approx(apart, rel=1e-4)
    assert (joined["matched_distance"] < joined["distance"]).all()
    assert (joined.at(path=MATCHED)["train_loss"][:, 2] != joined.at(path=LINE)["train_loss"][:, 2]).all()


def test_half_widths_are_positive_and_grow_with_the_wall(pair, joined):
    higher = replace(PAIRS, times=4.0).tunnels(pair[0])
    for name, wide in higher.items():
        assert (joined[name] > 0).all() and (joined[name] < wide).all()


def test_corners_of_a_plane_are_as_far_apart_as_the_nets(pair):
    run = Planes(**SMALL, width=12, grid=3, steps_of_bend=20)
    held = run.run()
    corners = held["corners"]
    apart = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1)
    assert apart == pytest.approx((pair[0].vector() - pair[1].vector()).norm(dim=1).numpy(), rel=1e-4)
    assert held["loss"].shape == (2, 3, 3) and (np.diff(held["x"]) > 0).all() and (np.diff(held["y"]) > 0).all()


# ---- around ----


@pytest.fixture(scope="module")
def stepped():
    return STEPS.results(STEPS.run())


def test_halfway_is_the_first_look_at_half_of_the_loss_of_the_start():
    """Nets stop at the first step at which the loss is down: one step before it was not."""
    train, start = STEPS.parts()["train"], STEPS.nets(12)
    half = around.HALF * evaluate(start, train, STEPS.loss)["loss"]
    net, seen = STEPS.nets(12), []
    around.descend(STEPS, net, half.tolist())
    curves = STEPS.fit(
        STEPS.nets(12), train, seeds=SEEDS, evaluate={"train": train}, probe_steps=range(0, 60),
        stop=lambda one: seen.append(np.asarray(one["train_loss"])) or np.zeros(2, bool),
    )  # fmt: skip
    losses = np.stack(seen)
    first = (losses <= half.numpy()).argmax(0)
    assert (first > 0).all() and curves is not None
    ends = evaluate(net, train, STEPS.loss)["loss"].numpy()
    assert ends == pytest.approx(losses[first, [0, 1]], rel=1e-4)
    assert (ends <= half.numpy()).all() and (losses[first - 1, [0, 1]] > half.numpy()).all()


def test_losses_fall_from_state_to_state_and_a_trained_net_is_surrounded_by_walls(stepped):
    loss = {state: stepped.at(state=state)["loss"] for state in STEPS.states}
    assert (loss[HALFWAY] <= loss[UNTRAINED] / 2).all() and (loss[TRAINED] <= STEPS.until).all()
    assert (loss[HALFWAY] > loss[UNTRAINED] / 4).all(), "one step goes not that far"
    start = evaluate(STEPS.nets(12), STEPS.parts()["train"], STEPS.loss)["loss"].numpy()
    assert loss[UNTRAINED] == pytest.approx(start, rel=1e-5)
    long = stepped.at(state=TRAINED, length=3.0)
    assert (long["rises"] == 1).all() and (long["change"] > 0).all()
    assert ((stepped["rises"] >= 0) & (stepped["rises"] <= 1)).all()


@pytest.fixture(scope="module")
def tunnels():
    return TUNNELS.results(TUNNELS.run())


def test_tunnels_begin_at_one_loss_and_end_at_walls(tunnels):
    assert (tunnels["train_loss"] <= DOWN).all() and (tunnels["train_loss"] > DOWN / 4).all()
    assert TUNNELS.wall == 2 * DOWN
    for name in ("raw_width", "filter_width", "curvature", "invariant", "length"):
        assert np.isfinite(tunnels[name]).all() and (tunnels[name] > 0).all(), name


def test_the_least_of_a_knob_is_the_plain_net_and_the_most_is_another(tunnels):
    plain = [tunnels.at(knob=knob, level=0) for knob in TUNNELS.labels["knob"]]
    for name in ("train_loss", "raw_width", "length"):
        # No decay, the rate 0.05 and no dropout are the defaults: one net, looked at three times.
        assert np.array_equal(plain[0][name], plain[1][name]) and np.array_equal(plain[0][name], plain[2][name])
        for knob in TUNNELS.labels["knob"]:
            assert (tunnels.at(knob=knob, level=1)[name] != plain[0][name]).any(), (knob, name)
    assert (tunnels.at(knob="weight decay", level=1)["length"] < plain[0]["length"]).all()


def test_nets_that_stop_early_do_not_reach_the_loss_and_say_so():
    early = replace(TUNNELS, epochs=1, times=1e4).around()
    assert (early["train_loss"] > DOWN).all()


def test_dropout_stands_behind_each_activation_and_is_silent_in_evaluation():
    plain = unstacked(TUNNELS.nets(12), 1)
    thin = around.thinned(plain, 0.5)
    kinds = [type(part) for part in thin]
    assert kinds == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    x = torch.randn(50, plain[0].in_features, generator=torch.Generator().manual_seed(0))
    assert torch.equal(thin.eval()(x), plain(x)) and not torch.equal(thin.train()(x), plain(x))
    assert all(not one.training for one in around.ready([thin, plain]))


def test_modules_with_dropout_begin_as_the_stack_does():
    stack, modules = TUNNELS.begun(), replace(TUNNELS, dropout=0.3).begun()
    assert isinstance(stack, StackedMLP) and len(modules) == len(SEEDS)
    x = TUNNELS.parts()["test"].x[:20]
    for place, one in enumerate(modules):
        with torch.no_grad():
            assert torch.allclose(one.eval()(x.flatten(1)), stack.logits(x.flatten(1))[place], atol=1e-5)
    assert [one.seeds for one in around.alone(stack)] == [(seed,) for seed in SEEDS]
    assert around.alone(modules) == [[one] for one in modules]


# ---- functions ----


@pytest.mark.parametrize("seed", (1000, 1001, 1002))
def test_targets_are_balanced_and_random_nets_compute_them_now_and_then(seed):
    one = replace(FOUND, bits=4)
    target = one.target(seed)
    drawn = frequencies(sample_functions(replace(one.nets, heads=1), seed, functions.RARE), 16)
    place = np.flatnonzero((drawn.codes == target).all(1))
    assert len(place) == 1 and drawn.counts[place[0]] >= functions.SEEN
    assert 4 <= unpacked(target[None], 16).sum() <= 12


def test_targets_differ_between_seeds_and_are_refused_where_there_are_none():
    assert len({FOUND.target(seed).tobytes() for seed in range(1000, 1004)}) > 1
    with pytest.raises(BadInput, match="balanced"):
        replace(FOUND, sigma_b=100.0, sigma_w=1e-3).target(1000)


@pytest.mark.parametrize("rule", [RANDOM, SGD_RULE, SGD_AGAIN, ADAM_RULE])
def test_every_function_that_is_counted_has_the_values_that_were_told(rule):
    target = unpacked(FOUND.target(1000)[None], 8)[0]
    places = np.array([0, 3, 5, 6])
    codes, counts, fit = FOUND.by(rule, 1000, places, target[places].astype(np.int64))
    assert len(codes) == len(counts) > 0 and (unpacked(codes, 8)[:, places] == target[places]).all()
    assert len(distinct(codes)[0]) == len(codes), "each function once"
    if rule == RANDOM:
        assert counts.sum() >= FOUND.accepted and 0 < fit < 1
    else:
        assert counts.sum() == round(fit * FOUND.starts) and fit > 0.9


def test_counts_add_up_to_the_nets_that_fit_and_the_second_sgd_has_other_starts():
    run = FOUND.results(FOUND.run())
    assert (np.nansum(run["counts"], -1) == run["samples"]).all(), "four free values: at most 16 functions of 20"
    assert run.at(rule=SGD_RULE)["samples"] == pytest.approx(FOUND.starts * run.at(rule=SGD_RULE)["fit"])
    first, again = (run.at(rule=rule)["counts"] for rule in (SGD_RULE, SGD_AGAIN))
    assert not np.array_equal(first, again, equal_nan=True)
    gone = np.isnan(run["complexity"])
    assert (np.isnan(run["counts"]) == gone[:, None]).all() and gone.any()


def test_a_rule_whose_nets_never_fit_counts_nothing():
    run = replace(FOUND, epochs=1, rates=(("sgd", 1e-9), ("adam", 1e-9)), told=7, hidden=(10,), starts=4)
    held = run.run()
    assert (held["samples"][:, 1:] == 0).any() and np.isfinite(held["samples"]).all()
    for counts, samples in zip(held["counts"].reshape(-1, 20), held["samples"].ravel(), strict=True):
        assert np.nansum(counts) == samples


def test_counts_of_rules_are_put_together_exactly():
    a, b, c = (packed([text]) for text in ("00000001", "11111111", "01010101"))
    every = [np.concatenate([a, b]), np.concatenate([c, a]), np.zeros((0, 1), np.uint8)]
    codes, table = functions.together(every, [np.array([3, 1]), np.array([60, 40]), np.zeros(0, np.int64)], 9)
    # Shares: a 3/4 + 40/100, c 60/100, b 1/4.
    assert codes.tolist() == np.concatenate([a, c, b]).tolist()
    assert table.tolist() == [[3, 0, 1], [40, 60, 0], [0, 0, 0]]
    codes, table = functions.together(every, [np.array([3, 1]), np.array([60, 40]), np.zeros(0, np.int64)], 2)
    assert codes.tolist() == np.concatenate([a, c]).tolist() and table.tolist() == [[3, 0], [40, 60], [0, 0]]


def test_values_in_a_random_order_keep_their_number_of_ones_and_little_else():
    seen = frequencies(sample_functions(FOUND.nets, 1000, 500), 8)
    mixed = functions.in_random_order(seen, 1000)
    assert unpacked(mixed, 8).sum(1).tolist() == seen.ones.tolist()
    balanced = (seen.ones > 1) & (seen.ones < 7)
    assert (mixed != seen.codes).any(1)[balanced].mean() > 0.8
    assert np.array_equal(mixed, functions.in_random_order(seen, 1000))
    assert not np.array_equal(mixed, functions.in_random_order(seen, 1001))


def test_untrained_stacks_compute_functions_as_often_as_random_nets():
    """The posterior's nets and the starts of training follow one law: frequencies agree within their scatter."""
    nets, count = replace(FOUND.nets, heads=1), 1500
    stack = StackedMLP.create((3, 10, 2), range(1_000_000, 1_000_000 + count), FOUND.activation,
                              mean_field(FOUND.sigma_w, FOUND.sigma_b))  # fmt: skip
    ours, theirs = (
        frequencies(codes, 8)
        for codes in (functions_found(stack, every_input(3)), sample_functions(nets, 1000, 10 * count))
    )
    chance = dict(zip([code.tobytes() for code in theirs.codes], theirs.counts / (10 * count), strict=True))
    known = np.array([chance.get(code.tobytes(), 0) for code in ours.codes])
    common = known > 0.01
    z = (ours.counts / count - known)[common] / np.sqrt(1.1 * known[common] / count)
    assert common.sum() >= 10 and np.abs(z).max() < 4.5 and 0.5 < z.std() < 1.6


def test_probabilities_and_correlations_are_those_of_the_drawn_functions():
    one = RandomFunctions(bits=4, hidden=(8,), samples=2000, shown=30, seeds=(1000,), priors=("ReLU",))
    held = one.of(1000, "ReLU")
    drawn = sample_functions(functions.RandomNets((4, 8, 1)), 1000, 2000)
    counts, often = distinct(drawn)[1], frequencies(drawn, 16).seen(2)
    assert held["seen"] == len(counts) and held["seen_twice"] == (counts > 1).sum()
    assert held["log2_probability"] == pytest.approx(np.log2(counts[:30] / 2000))
    assert (
        held["correlation"] == pytest.approx(float(spearman(often.complexity, often.counts)))
        and held["correlation"] < 0
    )
    mixed = complexity(functions.in_random_order(often, 1000), 16)
    assert held["shuffled_correlation"] == pytest.approx(float(spearman(mixed, often.counts)))


def test_where_no_function_is_seen_twice_there_is_no_correlation():
    held = RandomFunctions(bits=7, samples=2, shown=3, seeds=(1000,)).of(1000, functions.CHAOTIC)
    assert held["seen"] == 2 and held["seen_twice"] == 0 and np.isnan(held["correlation"])
    assert np.isnan(held["shuffled_correlation"]) and np.isnan(held["complexity"]).tolist() == [False, False, True]
    with pytest.raises(BadInput, match="prior"):
        RandomFunctions().of(1000, "relu")
