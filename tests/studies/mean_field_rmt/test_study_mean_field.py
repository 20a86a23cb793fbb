"""The mean-field study does what it says: chains, control arms and random nets, and the numbers of its claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch.nn import functional

from redlib.errors import BadInput
from redlib.evidence.claims import load_claims
from redlib.measures import meanfield as mf
from redlib.measures.dip import dip
from redlib.nets import StackedMLP, mean_field
from redlib.pruning.masks import masks_of
from redlib.pruning.tickets import masks_at, prepare
from redlib.studies import mean_field as m
from redlib.studies import mean_field_look as look
from redlib.studies import mean_field_nets as nets
from redlib.studies import mean_field_plan as plans
from redlib.studies import mean_field_random as random
from redlib.studies import mean_field_statistics as ms
from redlib.studies.tickets import unpacked

TINY = m.Lab(
    pool=200, validation=50, tests=100, hidden=(24,) * 4, epochs=1, looks=1, inputs=4, seeds=(1000, 1001)
)  # fmt: skip
SMALL = {
    "conv": {"pool": 100, "tests": 100, "layers": 2, "channels": 3, "epochs": 1},
    "wide": {"width": 32, "depth": 6, "inputs": 2},
    "residual wide": {"width": 32, "depth": 4, "inputs": 2},
    "depths": {"pool": 100, "tests": 100, "width": 8, "depths": (2, 3), "steps": 3, "sigmas": (1.0, 1.4, 2.0)},
    "dips": {"draws": 99, "sample": 40},
    "fitted": {"epochs": 2},
}
PLAN = plans.experiments(TINY, settings=SMALL)
CLAIMS = [f"RMT-{number}" for number in range(21)]


@pytest.fixture(scope="module")
def done():
    known = {}

    def result(config):
        if config not in known:
            before = getattr(config, "previous", None)
            chained = (None if before is None else result(before),) if hasattr(config, "previous") else ()
            known[config] = m.run(config, *chained)
        return known[config]

    return {name: result(config) for name, config in PLAN.items()}


@pytest.fixture(scope="module")
def start():
    return m.setting(TINY)


@pytest.fixture(scope="module")
def ticket(done, start):
    """Return the masks of three rounds of pruning."""
    return masks_at(unpacked(done["normal 3"]["survives"], masks_of(start[2])), 3)


def made(name, start, ticket, key=3):
    return m.arm_net(name, start[2], ticket, TINY, start[1]["test"].x[:4], key)


# ---- chains ----


def test_levels_keep_what_they_say_and_rewind(done, start, ticket):
    net = start[2]
    shares = [0.8**3] * 4 + [0.9**3]
    for weights, mask, share in zip(net.weights, ticket.values(), shares, strict=True):
        assert mask.flatten(1).sum(1).tolist() == [round(share * weights[0].numel())] * 2
    survives = done["normal 15"]["survives"]
    assert survives.min() == 0 and survives.max() == 15, "each mask lies within the one before"
    rewound = prepare(m.lottery.ARMS["ticket"], net, ticket)
    for w, first, mask in zip(rewound.weights, net.weights, ticket.values(), strict=True):
        assert torch.equal(w[mask], first[mask]) and not w[~mask].any()
    seen = look.weight_look(rewound)
    assert np.array_equal(seen["std"], done["normal 3"]["start_std"])
    assert np.allclose(seen["density"][0], shares, atol=2e-3)


def test_a_level_goes_on_from_the_one_before(done):
    assert m.Level(TINY).previous is None and m.Level(TINY, 2).previous == m.Level(TINY, 1)
    with pytest.raises(BadInput, match="before"):
        m.run(m.Level(TINY, 1))
    with pytest.raises(BadInput, match="before"):
        m.run(replace(PLAN["conv 0"], level=1))
    cut = done["normal 1"]["survives"] >= 1
    final = np.split(done["normal 1"]["final"], np.cumsum([40 * 24, 24]), axis=1)[0]
    assert not final[~cut[:, : 40 * 24]].any() and final[cut[:, : 40 * 24]].all()


def test_a_seed_is_trained_alike_alone(done):
    alone = m.run(m.Level(replace(TINY, seeds=(1001,))))
    for name in ("final", "start_q", "end_chi", "final_error", "q_even"):
        assert np.allclose(alone[name][0], done["normal 0"][name][1], atol=1e-6), name


def test_conv_nets_keep_what_they_say(done):
    first, last = done["conv 0"], done["conv 2"]
    assert (first["density"] == 1).all() and (last["density"] < 0.45).all()
    for name in (name for name in last if name.startswith("mask.")):
        assert not last["end." + name[5:]][~last[name]].any() and not (last[name] & ~done["conv 1"][name]).any()
    rows = m.run(replace(PLAN["conv 0"], dataset="mnist1d"))
    assert rows["mask.0"].shape == (2, 3, 1, 3), "one-dimensional data take one-dimensional convolutions"


def test_residual_nets_have_the_gradient_of_their_skips():
    net = nets.ResidualTanh.create((5, 6, 6, 6, 6, 6, 3), (1, 2), "tanh", mean_field(1.4, 0.3))
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 7, 5, generator=source), torch.randint(0, 3, (2, 7), generator=source)
    ours = torch.zeros_like(net.flat)
    net.gradient(net.pad(x), y, "cross_entropy", ours)
    weights = [w.clone().requires_grad_() for w in net.weights]
    h: list[torch.Tensor] = []
    for layer, (w, b) in enumerate(zip(weights, net.biases, strict=True)):
        above = (h[-1].tanh() if h else x) @ w.mT + b[:, None]
        h.append(above + h[-2] if layer in (2, 4) else above)
    assert torch.allclose(net.logits(x), h[-1], atol=1e-5)
    sum(functional.cross_entropy(h[-1][r], y[r]) for r in range(2)).backward()
    for view, w in zip(net.views(ours), weights, strict=True):
        assert torch.allclose(view[:, : w.shape[1], : w.shape[2]], w.grad, atol=1e-6)


def test_augmented_inputs_are_rolled_and_the_first_are_the_originals():
    _, parts, _ = m.setting(replace(TINY, shifts=(-1, 2)))
    x = m.dataset(TINY).train.x
    assert len(parts["train"]) == len(x) and parts["train"].variants == 3
    assert torch.equal(parts["train"].x[: len(x)], x)
    assert torch.equal(parts["train"].x[len(x) : 2 * len(x), :-1], x[:, 1:])


def test_orthogonal_weights_are_orthogonal_and_unknown_starts_refused():
    w, b = nets.orthogonal(1.4, 0.3)(np.random.default_rng(0), 30, 12)
    assert np.allclose(w.T @ w, 1.96 * np.eye(12)) and b.shape == (30,)
    wide, _ = nets.orthogonal(1.0, 0.0)(np.random.default_rng(0), 12, 30)
    assert np.allclose(wide @ wide.T, np.eye(12))
    with pytest.raises(BadInput, match="init"):
        m.initialiser(replace(TINY, init="uniform"))


def test_a_configuration_of_another_study_is_refused():
    with pytest.raises(BadInput, match="config"):
        m.run(object())


# ---- arms ----


@pytest.mark.parametrize("name", m.ARMS)
def test_every_arm_keeps_as_many_weights_of_each_layer(name, start, ticket):
    net = made(name, start, ticket)
    same = m.ARMS[name].mask == "ticket"
    for w, mask, other in zip(net.weights, masks_of(net).values(), ticket.values(), strict=True):
        assert torch.equal(mask.sum((1, 2)), other.sum((1, 2))) and not w[~mask].any() and w[mask].all()
        assert torch.equal(mask, other) == same


def test_arms_start_from_the_weights_they_name(start, ticket):
    nets = {name: made(name, start, ticket) for name in m.ARMS}
    one = nets["random"].weights[1]
    mask = masks_of(nets["random"])["layer2"]
    assert torch.equal(one[mask], start[2].weights[1][mask])
    assert torch.allclose(nets["corrected"].weights[1], one / mask[0].double().mean().sqrt().float())
    assert torch.allclose(nets["random_2.24"].weights[1], one * 2.24 / 1.4)
    assert torch.allclose(nets["fresh_3.13"].weights[1], nets["fresh"].weights[1] * 3.13 / 1.4)
    assert not torch.equal(nets["fresh"].weights[1], nets["ticket"].weights[1])
    assert torch.equal(nets["bimodal"].biases[0], start[2].biases[0])


def test_redrawn_weights_have_the_ticket_s_law(start, ticket):
    own = look.kept_values(start[2].weights[2], ticket["layer3"])
    for name, mask in (("bimodal", "random"), ("bimodal_ticket", "ticket"), ("normal", "random")):
        net = made(name, start, ticket)
        drawn = look.kept_values(net.weights[2], masks_of(net)["layer3"])
        assert m.ARMS[name].mask == mask and not np.array_equal(np.sort(drawn), np.sort(own))
        assert np.allclose(np.square(drawn).mean(1), np.square(own).mean(1), rtol=0.35)
        if name != "normal":
            assert (np.abs(drawn).max(1) <= np.abs(own).max(1) + 1e-6).all()
            assert np.allclose(np.quantile(drawn, 0.8, axis=1), np.quantile(own, 0.8, axis=1), atol=0.12)


def test_chi_matched_nets_have_the_chi_of_the_ticket(start, ticket):
    x = start[1]["test"].x[:4]
    nets = [made(name, start, ticket) for name in ("chi_matched", "ticket", "random")]
    matched, wanted, random = (mf.empirical_chi(net, x).mean(2) for net in nets)
    assert torch.allclose(matched, wanted, rtol=1e-5) and not torch.allclose(random, wanted, rtol=1e-2)


def test_unknown_arms_are_refused(start, ticket):
    with pytest.raises(BadInput, match="arm"):
        made("lucky", start, ticket)


def test_arms_have_axes_of_arms_and_levels(done):
    config, found = PLAN["rescaled"], done["rescaled"]
    shape = 2, len(config.arms), len(config.levels)
    assert found["final_error"].shape == shape and found["start_chi"].shape == (*shape, 4)
    ms_cells = ms.cells(done, PLAN, "final_error")
    assert np.array_equal(ms_cells["corrected", m.D11], found["final_error"][:, 1, 1])


def test_nets_of_equal_fit_stop_at_the_loss_asked_for(done):
    easy = m.run(m.Fitted(m.Level(TINY), 3, target=50.0, epochs=2), done["normal 3"])
    assert (easy["stopped_at"] == 2).all() and easy["test_error"].shape == (2, 2), "after the first epoch"
    assert (done["fitted"]["stopped_at"] == -1).all() and np.isnan(ms.equal_fit(done["fitted"])["gap"]).all()
    gap = 100 * (easy["test_error"] - easy["train_error"])
    assert np.allclose(ms.equal_fit(easy)["gap"], gap[:, 1] - gap[:, 0])


# ---- measures ----


def distance_from_unimodal(sample):
    """Return the dip by linear programming: for each mode the nearest distribution convex before, concave after."""
    x, n, best = np.sort(sample), len(sample), 1.0
    for mode in range(n):
        rows, bounds = [], []

        def add(terms, bound, rows=rows, bounds=bounds):
            row = np.zeros(n + 2)  # the values at x (from the left, at the mode), that from its right, the distance
            for position, factor in terms:
                row[position] += factor
            rows.append(row), bounds.append(bound)

        def right(i, mode=mode):
            return n if i == mode else i

        def slope(i, after, sign, mode=mode):
            first = right(i) if after else i
            return [(i + 1, sign / (x[i + 1] - x[i])), (first, -sign / (x[i + 1] - x[i]))]

        for i in range(n):
            add([(i, 1), (n + 1, -1)], i / n)
            add([(right(i), -1), (n + 1, -1)], -(i + 1) / n)
        add([(n, 1), (n + 1, -1)], (mode + 1) / n)
        add([(mode, 1), (n, -1)], 0)
        for i in range(n - 1):
            add([(right(i), 1), (i + 1, -1)], 0)
        for i in range(mode - 1):
            add(slope(i, False, 1) + slope(i + 1, False, -1), 0)
        for i in range(mode, n - 2):
            add(slope(i, True, -1) + slope(i + 1, True, 1), 0)
        limits = [(0, 1)] * (n + 1) + [(0, None)]
        found = linprog(np.eye(n + 2)[-1], np.array(rows), bounds, bounds=limits)
        best = min(best, found.fun) if found.status == 0 else best
    return best


def test_the_dip_is_the_distance_from_the_nearest_unimodal_distribution():
    source = np.random.default_rng(0)
    for size in (4, 5, 6, 7, 8, 9):
        for sample in (source.random(size), np.concatenate([source.normal(-2, 0.3, size), source.normal(2, 0.3, 2)])):
            assert dip(sample) == pytest.approx(distance_from_unimodal(sample), abs=1e-7)
    assert dip(np.arange(10.0)) == pytest.approx(1 / 20), "evenly spaced: half a step, the least there is"
    assert dip(np.concatenate([np.arange(50) / 100, 10 + np.arange(50) / 100])) == pytest.approx(0.25, abs=0.02)


def test_density_at_zero_tells_one_peak_from_two():
    source = np.random.default_rng(0)
    one = source.standard_normal(5000)
    two = np.concatenate([one[:2500] - 4, one[2500:] + 4])
    flat = look.density_at_zero(np.stack([one, two, np.zeros(5000)]))
    assert flat[0] > 0.85 and flat[1] < 0.02 and np.isnan(flat[2])


def test_the_dip_test_tells_two_peaks_from_one(done):
    found = done["dips"]
    assert found["start_p"].shape == (2, 5) and found["null"].shape == (2, 99)
    assert found["start_p"].min() >= 0.01 and found["end_p"].max() <= 1
    assert (found["start_p"][:, 1] < 0.05).all(), "rewound weights just above the bar, few weights and few steps"


def test_evening_out_in_degrees_keeps_what_leaves_each_input(start, ticket):
    net, x = prepare(m.lottery.ARMS["ticket"], start[2], ticket), start[1]["test"].x[:4]
    found = look.in_degrees(net, x)
    rows = mf.predicted_q(net.weights, net.biases, x, masks=list(ticket.values()), law="rows").mean(2)
    assert np.allclose(found["q_even_rows"][:, 0], rows[:, 0]), "the mean over the units of the first layer stays"
    assert not np.allclose(found["q_even_rows"][:, 2], rows[:, 2])
    assert not np.allclose(found["q_even"][:, 0], rows[:, 0]), "what is measured depends on the signs"
    assert found["degree_ratio"].shape == (2, 5)


def test_signals_are_those_of_the_library(done, start):
    net, x = start[2], start[1]["test"].x[:4]
    dense = done["normal 0"]
    assert np.allclose(dense["start_q"], mf.empirical_q(net, x).mean(2))
    singular = mf.jacobian_spectrum(net, x)
    assert np.allclose(dense["start_log_mean_square"], singular.square().mean(2).log().mean(1))
    assert np.allclose(dense["start_q_naive"], dense["start_q_density"]), "nothing is cut yet"
    assert (done["normal 7"]["start_q_naive"] > done["normal 7"]["start_q_density"]).all()
    assert "start_q" not in done["residual 0"]


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
def test_wide_nets_follow_their_recursion(residual):
    config = random.Wide(400, 6, ((1.4, 0.3),), residual, seeds=tuple(range(1000, 1006)))
    q = m.run(config)["q"][:, 0].mean(0)
    plain = mf.q_profile(1.0, [1.4] * 6, 0.3)
    assert np.allclose(q, ms.residual_law(1.4, 0.3, 6) if residual else plain, rtol=0.15)


# ---- claims ----


def test_every_statistic_of_the_claims_is_there(done):
    claims, known = ms.all_claims(done, PLAN), load_claims()
    assert list(claims) == CLAIMS
    for id, found in claims.items():
        assert set(found) == {part.statistic for part in known[id].check_for("laptop").parts}, id
        assert all(np.shape(values) == (2,) for values in found.values()), id
        if id != "RMT-20":  # nets of eight units learn nothing in three steps, so that all depths tie
            assert all(np.isfinite(values).all() for values in found.values()), id
    assert set(ms.learned(ms.chain(done, "normal", 1)).values()) == {False}
    assert set(ms.bracketed(done["depths"]).values()) == {False}
    assert set(ms.shape_alone(ms.accuracies(done, PLAN, ms.chain(done, "normal", 15)))) == {"random_mask", "imp_mask"}
    assert ms.measured_change(ms.chain(done, "normal", 3)).shape == (2, 4)


def test_the_best_density_is_chosen_by_the_other_seeds():
    accuracy = np.array([[50, 95, 60, 55], [50, 40, 70, 55], [50, 40, 70, 55.0]])
    assert ms.best_level(accuracy).tolist() == [2, 1, 1], "the lucky 95 counts for the others, not for its own seed"
    results = {"final_error": 1 - accuracy / 100}
    assert np.allclose(ms.gain(results), [10, -10, -10])
    assert ms.best_level(accuracy[:1]).tolist() == [1]


def test_predictions_depart_from_what_they_were_for_the_dense_net():
    measured = np.ones((2, 4, 5))
    drift = np.array([[0.2, 0.25, 0.35, 0.5], [0.0, 0.02, 0.05, 0.08]])  # the first net is off by chance from the start
    tickets = {
        "start_q": measured, "start_q_naive": measured * (1 + drift)[..., None],
        "start_density": np.broadcast_to(np.array([1, 0.8, 0.64, 0.51])[:, None], (2, 4, 5)),
    }  # fmt: skip
    assert np.allclose(ms.prediction_error(tickets, "naive"), drift)
    assert ms.departure(tickets, "naive").tolist() == [0.64, 0.51], "at the third level; never, so the least"
    assert np.isnan(ms.mean_departure(tickets, "naive")), "two nets so far apart say nothing of their mean"
    sure = tickets | {"start_q_naive": measured * (1 + drift[[0, 0]] + [[0], [0.01]])[..., None]}
    assert ms.mean_departure(sure, "naive") == 1


def test_trainable_depths_lie_where_accuracy_falls_through_a_half():
    accuracy = np.array([[[0.9, 0.7, 0.3, 0.1], [0.4, 0.3, 0.2, 0.1], [0.9, 0.9, 0.8, 0.6]]])
    depths = (4, 8, 16, 32)
    assert np.allclose(ms.trainable_depth({"train_accuracy": accuracy}, depths), [[8 * 2**0.5, 4, 32]])
    sigmas = (1.2, 1.0, 1.4)  # in this order of depth scales: middle, least, largest
    claim = ms.depth_claim({"train_accuracy": accuracy}, depths, sigmas, 0.3)
    assert np.allclose(claim["rank_correlation_trainable_depth_depth_scale"], 1)
    assert ms.bracketed({"train_accuracy": accuracy[:, :1]}) == {"depths_span_trainability": True}


def test_a_correlation_given_chi_leaves_out_what_chi_explains():
    source = np.random.default_rng(0)
    chi, own = source.standard_normal((2, 3, 400))
    jacobian, reach = ms._residuals(2 * chi + own, chi), ms._residuals(-3 * chi + own, chi)
    assert (ms._correlations(2 * chi + own, -3 * chi + own) < -0.5).all()
    assert (ms._correlations(jacobian, reach) > 0.99).all()
    assert np.isnan(ms._correlations(np.ones((1, 4)), np.arange(4.0)[None])).all()


def test_the_edge_of_chaos_is_where_theory_has_it(done):
    starts = {name: done[f"start {name}"] for name in ("full", "literal", "orthogonal")}
    claim = ms.edge_claim(starts, {name: PLAN[f"start {name}"].lab for name in starts})
    assert claim["chi_bias_0p3"][0] == pytest.approx(1.0026647, abs=1e-6)
    assert claim["chi_bias_0p3_over_16"][0] == pytest.approx(1.0996, abs=1e-3)
    assert claim["chi_orthogonal"][0] == pytest.approx(0.70, abs=0.01)


def test_plans_take_settings_by_name_and_refuse_unknown_ones():
    assert PLAN["conv 1"].channels == 3 and PLAN["wide"].width == 32 and PLAN["residual wide"].residual
    assert isinstance(m.setting(PLAN["residual 0"].lab)[2], nets.ResidualTanh) and plans.LITERAL == 0.3 / 16
    assert type(m.setting(PLAN["normal 0"].lab)[2]) is StackedMLP
    with pytest.raises(BadInput, match="widht"):
        plans.experiments(TINY, settings={"wide": {"widht": 3}})
