"""Tickets and their control arms: exact counts, weights rewound bit for bit, controls that really differ."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning import masks as masking
from redlib.pruning import tickets
from redlib.pruning.allocation import EmptyLayer, keep, layer_counts, random_masks
from redlib.pruning.masks import concat, counts, dense, density, select_replicates, weights_of
from redlib.pruning.tickets import (
    ARMS,
    REINIT,
    Arm,
    Cut,
    arm_named,
    find_tickets,
    fresh,
    masks_at,
    prepare,
    reseeded,
    shapes,
    stack,
    stacked_arms,
    survival,
    ticket_rounds,
)
from redlib.training import SGD, Adam, AdamW, Examples, fit

SIZES, SEEDS = (7, 20, 13, 4), (3, 4, 5)
RULE = SGD(0.05, 0.9, weight_decay=1e-2)
SHAPES = {"layer1": (20, 7), "layer2": (13, 20), "layer3": (4, 13)}


pytestmark = pytest.mark.usefixtures("one_thread_throughout")


def initial(seeds=SEEDS, init="torch") -> StackedMLP:
    """Fresh nets; torch's initialiser has biases that are not 0, so that a bias not rewound is seen."""
    return StackedMLP.create(SIZES, seeds, init=init)


def problem() -> Examples:
    g = torch.Generator().manual_seed(5)
    return Examples(torch.randn(90, 7, generator=g), torch.randint(4, (90,), generator=g))


def train(net: StackedMLP, rule=RULE, steps=6):
    return fit(net, problem(), optimizer=rule, steps=steps, batch_size=16, execution="dense")  # no timing decides


def trained_net(seeds=SEEDS) -> StackedMLP:
    net = initial(seeds)
    train(net)
    return net


def ticket(seeds=SEEDS, share=0.5):
    """Masks of the largest half of the trained weights of each layer."""
    net = trained_net(seeds)
    sizes = {name: weights.abs() for name, weights in weights_of(net).items()}
    return keep(sizes, layer_counts(shapes(net), share))


def same(a: StackedMLP, b: StackedMLP) -> bool:
    """Whether two stacks agree in every bit of weights, biases, masks and seeds."""
    masks = [tickets._masks(net).values() for net in (a, b)]
    return torch.equal(a.vector(), b.vector()) and a.seeds == b.seeds and all(map(torch.equal, *masks))


def rounded(n: int, rate: float, rounds: int) -> int:
    return round(n * (1 - rate) ** rounds)


# ---- iterative pruning ----


@pytest.mark.parametrize("late", [False, True])
def test_tickets_have_exact_counts_are_nested_and_each_round_starts_from_the_rewound_weights_bit_for_bit(late):
    start, begun, ended = initial(), [], []
    rewound = initial()
    if late:
        train(rewound, steps=2)
    origin, theta = (rewound if late else start), (rewound if late else initial()).vector()

    def recorded(net):
        begun.append(net.clone())
        train(net)
        ended.append(net.clone())

    masks = find_tickets(start, recorded, rounds=6, rewound=rewound if late else None)
    assert len(masks) == 7 and len(begun) == 6 and all(mask.all() for mask in masks[0].values())
    assert same(start, initial()) and torch.equal(origin.vector(), theta), "training moved the net to rewind to"
    for done, (net, after) in enumerate(zip(begun, ended, strict=True)):
        for layer, (name, mask) in enumerate(masks[done].items()):
            assert torch.equal(net.weights[layer], origin.weights[layer] * mask)
            assert torch.equal(net.biases[layer], origin.biases[layer])
            assert not torch.equal(after.biases[layer], origin.biases[layer])  # else nothing was rewound
            assert not after.weights[layer][~mask].any()
            n = math.prod(SHAPES[name])
            count = rounded(n, 0.1 if name == "layer3" else 0.2, done + 1)
            assert counts(masks[done + 1])[name].tolist() == [count] * 3
            sizes = np.where(mask, np.abs(after.weights[layer].numpy()), -1).reshape(3, -1)
            expected = np.argsort(-sizes, axis=1, kind="stable")[:, :count]
            found = [np.flatnonzero(row) for row in masks[done + 1][name].flatten(1).numpy()]
            assert [sorted(row) for row in expected] == [row.tolist() for row in found]
            assert not (masks[done + 1][name] & ~mask).any()


def test_fifteen_rounds_on_lenet_have_the_counts_and_densities_of_the_paper():
    def jiggle(net):
        for layer, weights in enumerate(net.weights):
            g = torch.Generator().manual_seed(layer)
            weights.add_(0.1 * torch.randn(weights.shape, generator=g) * (weights != 0))

    masks = find_tickets(StackedMLP.create((784, 300, 100, 10), [0], init="glorot"), jiggle, rounds=15)
    for done, level in enumerate(masks):
        kept = {name: int(n) for name, n in counts(level).items()}
        sizes = {"layer1": (235_200, 0.2), "layer2": (30_000, 0.2), "layer3": (1_000, 0.1)}
        assert kept == {name: rounded(n, rate, done) for name, (n, rate) in sizes.items()}
    # Weights only: biases are never cut and do not count.
    found = {done: round(100 * density(masks[done]).item(), 2) for done in (3, 7, 9, 15)}
    assert found == {3: 51.28, 7: 21.07, 9: 13.52, 15: 3.58}


def test_pruning_stops_before_a_layer_loses_its_last_weight():
    net = StackedMLP.create((7, 20, 1, 4), SEEDS)  # layer 2 has 20 weights: 20 * 0.8^17 = 0.45
    assert len(find_tickets(net, lambda net: None, rounds=16)) == 17
    with pytest.raises(EmptyLayer, match="layer2"):
        find_tickets(net, lambda net: None, rounds=17)


def test_other_rates_and_criteria_are_followed():
    masks = find_tickets(initial(), train, rounds=2, cut=Cut(0.5, 0.25, criterion="large_init"))
    assert {name: kept.tolist() for name, kept in counts(masks[2]).items()} == {
        "layer1": [35] * 3,
        "layer2": [65] * 3,
        "layer3": [29] * 3,  # 52 * 0.5625 = 29.25
    }
    bar = initial().weights[1].abs().flatten(1).sort(1, descending=True).values[:, 64]
    assert torch.equal(masks[2]["layer2"], initial().weights[1].abs() >= bar[:, None, None])


def test_the_chain_of_a_replicate_does_not_depend_on_its_company():
    together = find_tickets(initial(), train, rounds=4)
    alone = find_tickets(initial(SEEDS[1:2]), train, rounds=4)
    for a, b in zip(together, alone, strict=True):
        assert all(torch.equal(a[name][1], b[name][0]) for name in a)


def test_survival_keeps_nested_masks_in_one_byte_a_weight():
    masks = find_tickets(initial(), train, rounds=5)
    last = survival(masks)
    assert all(values.dtype == torch.int8 for values in last.values())
    for level, expected in enumerate(masks):
        assert all(torch.equal(masks_at(last, level)[name], expected[name]) for name in expected)
    tiny = [{"a": torch.tensor([row], dtype=torch.bool)} for row in ([1, 1, 1], [1, 0, 1], [0, 0, 1])]
    assert survival(tiny)["a"].tolist() == [[1, 0, 2]]


# ---- arms ----


def test_dense_nets_of_one_seed_are_equal_and_of_another_differ():
    torch.manual_seed(1)
    first = initial()
    torch.manual_seed(2)
    again = initial()
    assert torch.equal(first.flat, again.flat)
    for net in (first, again):
        train(net)
    assert torch.equal(first.flat, again.flat)
    arm = prepare(ARMS["dense"], initial(), ticket())
    train(arm)
    ones = prepare(ARMS["ticket"], initial(), dense(ticket()))
    train(ones)
    assert torch.equal(arm.vector(), ones.vector())
    torch.testing.assert_close(arm.vector(), first.vector())  # masked steps round otherwise than unmasked ones
    assert (first.vector()[0] != first.vector()[1]).double().mean() > 0.99


def test_a_ticket_has_its_initial_weights_and_biases_bit_for_bit_and_zeros_elsewhere():
    start, masks = trained_net(), ticket()
    before = start.flat.clone()
    net = prepare(ARMS["ticket"], start, masks)
    for mine, theirs, mask in zip(net.weights, start.weights, masks.values(), strict=True):
        assert torch.equal(mine, theirs * mask) and theirs[~mask].all()
    assert all(map(torch.equal, net.biases, start.biases))
    train(net)
    assert torch.equal(start.flat, before) and start.masks is None, "an arm shares nothing with what it starts from"


def test_a_reinitialised_arm_is_the_next_net_of_its_seed_with_biases_of_its_own():
    masks = ticket()
    net, again = (prepare(ARMS["reinit"], initial(), masks, "torch") for _ in range(2))
    assert same(net, again)
    other = prepare(ARMS["reinit"], initial(), masks, "torch", key=1)
    drawn = [initial([seed + draw * REINIT for seed in SEEDS]) for draw in (1, 2)]
    for layer, mask in enumerate(masks.values()):
        for made, source in ((net, drawn[0]), (other, drawn[1])):
            assert torch.equal(made.weights[layer], source.weights[layer] * mask)
            assert torch.equal(made.biases[layer], source.biases[layer])
        assert not (net.weights[layer] == initial().weights[layer])[mask].any()
        assert not (net.weights[layer] == other.weights[layer])[mask].any(), "levels are drawn apart"
        assert not (net.biases[layer] == initial().biases[layer]).any()
        assert not (net.weights[layer][0] == net.weights[layer][1])[mask[0] & mask[1]].any()
    assert net.seeds == SEEDS, "its order of examples stays that of the ticket"
    assert torch.equal(fresh(initial(), "torch", 0).flat, initial().flat)


def test_fresh_weights_have_the_distribution_asked_for():
    net = StackedMLP.create((200, 100, 4), [0], init="glorot")
    for init, deviation in (("glorot", (2 / 300) ** 0.5), ("he", 0.1)):
        w = prepare(ARMS["reinit"], net, dense(weights_of(net)), init).weights[0]
        assert w.std().item() == pytest.approx(deviation, rel=0.03) and abs(w.mean().item()) < 0.03 * deviation


def test_a_shuffled_mask_has_the_layer_counts_of_the_ticket_and_other_positions():
    start, masks = initial(), ticket()
    net, random = (prepare(ARMS[name], start, masks, "torch", key=2) for name in ("shuffled", "random"))
    for layer, (name, mask) in enumerate(masks.items()):
        mine = net.masks[layer]
        assert torch.equal(mine.flatten(1).sum(1), counts(masks)[name]) and (mine != mask).double().mean() > 0.25
        assert torch.equal(net.weights[layer], start.weights[layer] * mine)
        assert torch.equal(net.biases[layer], start.biases[layer])
        # The random arm is the shuffled mask with fresh weights: between the two only the weights differ.
        assert torch.equal(random.masks[layer], mine)
        redrawn = initial([seed + 3 * REINIT for seed in SEEDS])
        assert torch.equal(random.weights[layer], redrawn.weights[layer] * mine)
    assert not torch.equal(prepare(ARMS["shuffled"], start, masks, key=3).masks[1], net.masks[1])


def test_shuffled_weights_are_the_kept_ones_in_another_order_within_layer_and_replicate():
    start, masks = initial(), ticket()
    net = prepare(ARMS["reshuffled"], start, masks)
    for mine, theirs, mask in zip(net.weights, start.weights, masks.values(), strict=True):
        assert not mine[~mask].any()
        for r in range(3):
            assert torch.equal(mine[r][mask[r]].sort().values, theirs[r][mask[r]].sort().values)
            assert (mine[r][mask[r]] != theirs[r][mask[r]]).double().mean() > 0.8
    assert all(map(torch.equal, net.biases, start.biases))
    assert not torch.equal(prepare(ARMS["reshuffled"], start, masks, key=1).flat, net.flat)


def test_a_signed_constant_is_the_spread_of_the_layer_with_the_signs_of_the_start():
    start, masks = initial(), ticket()
    net = prepare(ARMS["signed_constant"], start, masks)
    for mine, theirs, mask in zip(net.weights, start.weights, masks.values(), strict=True):
        for r in range(3):
            constant = np.std(theirs[r].double().numpy())  # over all weights of the layer, cut ones included
            expected = np.where(mask[r], theirs[r].sign() * constant, 0)
            np.testing.assert_allclose(mine[r], expected, rtol=1e-5)
        assert (mine > 0).any() and (mine < 0).any()
    assert all(map(torch.equal, net.biases, start.biases))


def test_keeping_the_signs_takes_the_sizes_of_the_reinitialised_arm():
    start, masks = initial(), ticket()
    net, redrawn = (prepare(ARMS[name], start, masks, "torch", key=4) for name in ("keep_sign", "reinit"))
    for layer, mask in enumerate(masks.values()):
        assert torch.equal(net.weights[layer].abs(), redrawn.weights[layer].abs())
        assert torch.equal(net.weights[layer].sign(), start.weights[layer].sign() * mask)
        assert (net.weights[layer] != redrawn.weights[layer])[mask].double().mean() == pytest.approx(0.5, abs=0.15)
    assert all(map(torch.equal, net.biases, start.biases))


def test_noise_is_normal_in_units_of_the_spread_of_the_layer():
    start = StackedMLP.create((60, 80, 4), [0, 1], init="torch")
    masks = random_masks({"layer1": (80, 60), "layer2": (4, 80)}, {"layer1": 3000, "layer2": 200}, [0, 1])
    spread = start.weights[0].flatten(1).std(1, correction=0)[:, None]
    moves = {}
    for name, size in (("noise_half", 0.5), ("noise_one", 1.0), ("noise_three", 3.0)):
        net = prepare(ARMS[name], start, masks, key=1)
        moved = (net.weights[0] - start.weights[0])[masks["layer1"]].view(2, -1) / spread / size
        assert moved.std(1).tolist() == pytest.approx([1, 1], abs=0.05) and moved.mean().abs() < 0.05
        assert (moved.abs() < 1).double().mean().item() == pytest.approx(math.erf(0.5**0.5), abs=0.03)
        assert not net.weights[0][~masks["layer1"]].any() and all(map(torch.equal, net.biases, start.biases))
        moves[name] = moved
    torch.testing.assert_close(moves["noise_half"], moves["noise_three"], atol=1e-3, rtol=0)  # one draw, three sizes
    # A fifth arm of another size differs by its level too.
    twin = prepare(ARMS["noise_one"], start, masks, key=2).weights[0] - start.weights[0]
    assert abs(np.corrcoef(twin[masks["layer1"]], (moves["noise_one"] * spread).flatten())[0, 1]) < 0.1


def test_finetuned_keeps_what_training_left_biases_too_and_needs_the_trained_net():
    start, masks, end = initial(), ticket(), trained_net()
    net = prepare(ARMS["finetuned"], start, masks, trained=end)
    for mine, theirs, mask in zip(net.weights, end.weights, masks.values(), strict=True):
        assert torch.equal(mine, theirs * mask)
    assert all(map(torch.equal, net.biases, end.biases)) and not torch.equal(net.biases[0], start.biases[0])
    with pytest.raises(BadInput, match="trained"):
        prepare(ARMS["finetuned"], start, masks)
    with pytest.raises(BadInput, match="trained"):  # for one of two levels only
        stacked_arms(start, {1: masks, 2: masks}, ["finetuned"], trained={2: end})


def test_frozen_weights_stay_at_their_initial_values():
    start, masks = initial(), ticket()
    net = prepare(ARMS["frozen"], start, masks)
    assert torch.equal(net.vector(), start.vector())
    train(net)
    for mine, theirs, mask in zip(net.weights, start.weights, masks.values(), strict=True):
        assert torch.equal(mine[~mask], theirs[~mask]) and not torch.equal(mine[mask], theirs[mask])


@pytest.mark.parametrize("rule", [SGD(0.05, 0.9, weight_decay=0.1), Adam(0.01, weight_decay=0.1), AdamW(0.01)])
def test_no_arm_revives_a_cut_weight(rule):
    start, masks = initial(), ticket()
    net = stacked_arms(start, {1: masks}, list(ARMS), "torch", {1: trained_net()})
    before = net.clone()
    train(net, rule, steps=10)
    for mine, theirs, mask in zip(net.weights, before.weights, net.masks, strict=True):
        assert torch.equal(mine[~mask], theirs[~mask])
        assert not (mine == theirs)[mask].flatten().double().mean() > 0.2  # dead units have no gradient


@pytest.mark.parametrize("wrong", [{"weights": "rewound"}, {"mask": "random"}, {"cut": "keep"}])
def test_unknown_arms_are_refused(wrong):
    with pytest.raises(BadInput, match="See Arm"):
        Arm(**wrong)
    with pytest.raises(BadInput, match="finetuned"):
        arm_named("ticked")


def test_masks_that_do_not_fit_are_refused():
    masks = ticket()
    floats, first = {name: mask.float() for name, mask in masks.items()}, {"layer1": masks["layer1"]}
    for wrong in (select_replicates(masks, [0, 1]), floats, first):
        with pytest.raises(BadInput, match="mask"):
            prepare(ARMS["ticket"], initial(), wrong)


# ---- stacks ----


def test_a_stack_lists_the_nets_in_order_and_trains_each_as_it_would_alone():
    masks = ticket()
    nets = [prepare(ARMS[name], initial(), masks, "torch") for name in ("ticket", "reinit", "dense")]
    nets.append(initial((8,)))  # no masks, and other seeds
    whole = stack(nets)
    assert whole.seeds == (*SEEDS * 3, 8) and torch.equal(whole.vector(), torch.cat([net.vector() for net in nets]))
    assert torch.equal(whole.masks[1], torch.cat([*[masks["layer2"]] * 2, torch.ones(4, 13, 20, dtype=torch.bool)]))
    nets[-1].masks = [torch.ones_like(w, dtype=torch.bool) for w in nets[-1].weights]
    for net in (whole, *nets):
        train(net)
    assert torch.equal(whole.vector(), torch.cat([net.vector() for net in nets]))
    with pytest.raises(BadInput, match="one shape"):
        stack([initial(), StackedMLP.create((7, 20, 4), SEEDS)])
    with pytest.raises(BadInput, match="one shape"):
        stack([initial(), StackedMLP.create(SIZES, SEEDS, activation="tanh")])


def test_stacked_arms_have_arms_first_then_levels_then_replicates():
    masks = find_tickets(initial(), train, rounds=3)
    levels = {3: masks[3], 1: masks[1]}
    named = ["ticket", "reinit", Arm("noise", noise=2.0), "shuffled", "dense"]
    whole = stacked_arms(initial(), levels, named, "torch")
    assert whole.seeds == SEEDS * 10
    at = 0
    for arm in named:
        for level, mask in levels.items():
            one = prepare(arm if isinstance(arm, Arm) else ARMS[arm], initial(), mask, "torch", key=level)
            assert same(whole.select(range(at, at + 3)), one)
            at += 3


def test_a_replicate_trains_the_same_alone_and_among_others_in_every_arm():
    def of(seeds):
        chain = find_tickets(initial(seeds), train, rounds=2)
        levels, ends = {1: chain[1], 2: chain[2]}, dict.fromkeys((1, 2), trained_net(seeds))
        net = stacked_arms(initial(seeds), levels, list(ARMS), "torch", ends)
        history = train(net)
        return net.vector().view(len(ARMS), 2, len(seeds), -1), history.batch_loss.reshape(len(ARMS), 2, len(seeds), -1)

    together, losses = of(SEEDS)
    for r, seed in enumerate(SEEDS[1:], 1):
        alone, own = of((seed,))
        assert torch.equal(alone[:, :, 0], together[:, :, r]) and np.array_equal(own[:, :, 0], losses[:, :, r])


def test_arms_of_a_replicate_see_the_same_examples_in_the_same_order():
    masks = ticket()
    net = stacked_arms(initial(), {1: masks, 2: masks}, ["ticket", "dense"], "torch")
    losses = train(net).batch_loss.reshape(2, 2, 3, -1)
    assert np.array_equal(losses[:, 0], losses[:, 1]), "same weights, same mask, same order"
    assert not np.array_equal(losses[0], losses[1])


def test_a_reseeded_net_starts_equal_and_meets_other_examples():
    net = prepare(ARMS["ticket"], initial(), ticket())
    twin, same_seed = reseeded(net, 1), reseeded(net, 0)
    assert torch.equal(twin.vector(), net.vector()) and twin.seeds == tuple(seed + REINIT for seed in SEEDS)
    losses = [train(one).batch_loss for one in (net, twin, same_seed)]
    assert torch.equal(same_seed.flat, net.flat) and not torch.equal(twin.flat, net.flat)
    assert np.array_equal(losses[0], losses[2]) and not (losses[0] == losses[1]).any()
    assert all(not w[~m].any() for w, m in zip(twin.weights, twin.masks, strict=True))


def test_joined_tickets_of_seeds_are_the_tickets_of_all():
    parts = [ticket((seed,)) for seed in SEEDS]
    assert all(torch.equal(values, ticket()[name]) for name, values in concat(parts).items())


# ---- the policy of a chain ----


def conv_weights() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(5)
    shapes_by_name = {"conv1": (4, 1, 3, 3), "conv2": (6, 4, 3, 3), "hidden": (10, 24), "out": (3, 10)}
    return {name: torch.randn(2, *shape, generator=g) for name, shape in shapes_by_name.items()}


def test_rates_differ_by_kind_of_layer():
    found = Cut(rate=0.5, last=0.1, linear=0.25).counts({n: w.shape[1:] for n, w in conv_weights().items()}, 2)
    assert found == {"conv1": 9, "conv2": 54, "hidden": 135, "out": 24}  # 36/4, 216/4, 240 * .5625, 30 * .81 = 24.3


@pytest.mark.parametrize(("ranking", "alone"), [("layers", 4), ("convolutions", 2), ("net", 0)])
def test_rankings_pool_what_they_say(monkeypatch, ranking, alone):
    weights = conv_weights()
    weights["conv2"] *= 2  # in one list with conv1 more of it is kept
    monkeypatch.setattr(tickets, "weights_of", lambda net: net)
    cut = Cut(0.5, 0.5, ranking=ranking)
    masks = cut.masks(weights, weights, dense(weights), 1, (0, 1))
    wanted = cut.counts({n: w.shape[1:] for n, w in weights.items()}, 1)
    kept = {name: int(count[0]) for name, count in counts(masks).items()}
    assert sum(kept.values()) == sum(wanted.values()) and list(masks) == list(weights)
    assert [name for name in wanted if kept[name] == wanted[name]] == list(wanted)[4 - alone :]


@pytest.mark.parametrize("settings", [{"rate": 1.0}, {"last": -0.1}, {"linear": 1.5}, {"ranking": "units"}])
def test_a_policy_that_cannot_be_is_refused(settings):
    with pytest.raises(BadInput, match="cut"):
        Cut(**settings)


# Any module


class Residual(nn.Module):
    """A net that is no Sequential, with a skip, a norm and a recurrent part."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(7, 6), nn.BatchNorm1d(6), nn.Linear(6, 6)
        self.steps, self.out = nn.GRU(2, 3, batch_first=True), nn.Linear(3, 4)

    def forward(self, x):
        h = torch.relu(self.norm(self.first(x)))
        h = h + torch.relu(self.second(h))
        return self.out(self.steps(h.view(-1, 3, 2))[0][:, -1])


def modules(count=3, draw=0) -> list[nn.Module]:
    found = []
    for r in range(count):
        torch.manual_seed(100 * draw + r)
        found.append(Residual())
    return found


def train_modules(nets, steps=6):
    return fit(nets, problem(), optimizer=RULE, steps=steps, batch_size=16, seeds=SEEDS[: len(nets)])


def test_tickets_of_any_module_have_exact_counts_and_start_from_their_own_weights():
    start, begun = modules(), []

    def recorded(nets):
        begun.append(weights_of(nets))
        train_modules(nets)

    masks = find_tickets(start, recorded, rounds=3)
    rates = {name: 0.1 if name == "out" else 0.2 for name in masks[0]}
    assert {"steps.weight_ih_l0", "steps.weight_hh_l0", "second"} < set(rates)
    for done, level in enumerate(masks):
        for name, kept in counts(level).items():
            assert kept.tolist() == [rounded(level[name][0].numel(), rates[name], done)] * 3
    for acting, level in zip(begun, masks[:-1], strict=True):
        assert all(torch.equal(acting[name], weights_of(start)[name] * level[name]) for name in level)
    alone = find_tickets(start[1], lambda net: train_modules([net]), rounds=2)
    assert all(mask.shape[0] == 1 for mask in alone[2].values())


def test_what_is_pruned_on_request_is_pruned_in_every_round():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = nn.Embedding(30, 4), nn.Linear(4, 5)

    masks = find_tickets(Tokens(), lambda net: None, rounds=2, also=["embed"])
    assert [int(level["embed"].sum()) for level in masks] == [120, 96, 77]
    assert [int(level["out"].sum()) for level in masks] == [20, 18, 16]


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_is_made_of_modules(arm):
    start, end, masks = modules(), modules(draw=5), None
    masks = find_tickets(start, train_modules, rounds=2)[2]
    before = [copy.deepcopy(net.state_dict()) for net in start]
    nets = prepare(ARMS[arm], start, masks, init=lambda k: modules(draw=k), trained=end, key=1)
    again = prepare(ARMS[arm], start, masks, init=lambda k: modules(draw=k), trained=end, key=1)
    acting, twice = weights_of(nets), weights_of(again)
    for one, state in zip(start, before, strict=True):
        assert all(torch.equal(values, state[name]) for name, values in one.state_dict().items())
    source = weights_of(modules(draw=2) if ARMS[arm].weights == "reinit" else end if arm == "finetuned" else start)
    for name, values in acting.items():
        assert torch.equal(values, twice[name])
        mask = masking.masks_of(nets)[name]
        same_counts = arm == "dense" or torch.equal(mask.flatten(1).sum(1), masks[name].flatten(1).sum(1))
        assert same_counts and (arm in ("shuffled", "random", "dense")) != torch.equal(mask, masks[name])
        if arm == "frozen":
            assert torch.equal(values, source[name])
        elif ARMS[arm].weights in ("rewind", "reinit", "trained"):
            assert torch.equal(values, source[name] * mask)
        elif arm == "reshuffled":
            for r in range(3):
                kept = values[r][mask[r]], source[name][r][mask[r]]
                assert torch.equal(kept[0].sort().values, kept[1].sort().values)
        elif arm in ("keep_sign", "signed_constant"):
            assert torch.equal(values.sign(), source[name].sign() * mask)
        else:
            moved = (values - source[name])[mask] / source[name].std()
            assert moved.std().item() == pytest.approx(ARMS[arm].noise, rel=0.6)
    train_modules(nets)
    assert all((now != acting[name]).any() for name, now in weights_of(nets).items())


def test_arms_of_modules_stand_in_the_order_of_those_of_a_stack():
    start = modules(2)
    levels = dict(enumerate(find_tickets(start, train_modules, rounds=2)))
    nets = stacked_arms(start, {1: levels[1], 2: levels[2]}, ["ticket", "shuffled"])
    assert len(nets) == 2 * 2 * 2
    kept = masking.masks_of(nets)
    for name in kept:
        assert torch.equal(kept[name][:4], torch.cat([levels[1][name], levels[2][name]]))
    with pytest.raises(BadInput, match="init = 'glorot'"):
        prepare(ARMS["reinit"], start, levels[1])
    with pytest.raises(BadInput, match="seeds"):
        prepare(ARMS["shuffled"], start, levels[1], seeds=[1])


# What train returns


@pytest.mark.parametrize("kind", ["stack", "modules"])
def test_a_net_that_train_returns_is_the_trained_one(kind):
    start = initial() if kind == "stack" else modules()
    run = train if kind == "stack" else train_modules

    def copied(net):
        twin = net.clone() if kind == "stack" else copy.deepcopy(net)
        run(twin)
        return twin

    in_place, returned = find_tickets(start, run, rounds=2), find_tickets(start, copied, rounds=2)
    untrained = find_tickets(start, lambda net: None, rounds=2)
    name = next(iter(untrained[2]))
    assert all(torch.equal(returned[2][name], mask) for name, mask in in_place[2].items())
    assert not torch.equal(returned[2][name], untrained[2][name])


@pytest.mark.parametrize("packed", [lambda net: (net, 0.1), lambda net: {"net": net}, lambda net: [net, 3]])
def test_a_net_hidden_in_what_train_returns_is_refused(packed):
    with pytest.raises(BadInput, match="what train returned"):
        find_tickets(initial(), lambda net: packed(net.clone()), rounds=1)
    find_tickets(initial(), packed, rounds=1)  # the net itself, trained in place


# Rounds that cannot be


@pytest.mark.parametrize(
    ("policy", "rounds", "lost"),
    [
        (Cut(), 17, "layer2"),
        (Cut(0.5), 6, "layer2"),
        (Cut(0.99, 0.99, ranking="net"), 2, "layer1"),
    ],
)
def test_impossible_rounds_are_refused_before_the_first_training(policy, rounds, lost):
    net, calls = StackedMLP.create((7, 20, 1, 4), SEEDS), []
    with pytest.raises(EmptyLayer, match=rf"{lost}.*round {rounds}.*at most {rounds - 1} rounds"):
        find_tickets(net, calls.append, rounds=rounds, cut=policy)
    assert not calls
    assert len(find_tickets(net, calls.append, rounds=rounds - 1, cut=policy)) == rounds == len(calls) + 1


def test_a_list_of_convolutions_needs_a_weight_for_each():
    net, calls = nn.Sequential(*(nn.Conv1d(2, 2, 2) for _ in range(3)), nn.Flatten(), nn.Linear(8, 9)), []
    policy = Cut(0.5, 0.0, ranking="convolutions")
    with pytest.raises(EmptyLayer, match="round 4"):  # 3 x round(8 / 2**4) = 0 weights for three layers
        find_tickets(net, calls.append, rounds=4, cut=policy)
    assert not calls


@pytest.mark.parametrize("rounds", [-1, 1.5])
def test_rounds_are_whole_numbers(rounds):
    with pytest.raises(BadInput, match="rounds"):
        find_tickets(initial(), train, rounds=rounds)


def test_an_error_in_a_later_round_keeps_the_masks_of_those_before():
    calls = []

    def failing(net):
        calls.append(train(net))
        if len(calls) == 3:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut") as caught:
        find_tickets(initial(), failing, rounds=5)
    expected = find_tickets(initial(), train, rounds=2)
    assert len(caught.value.masks) == 3 and "2 rounds" in caught.value.__notes__[0]
    assert all(torch.equal(caught.value.masks[2][name], expected[2][name]) for name in expected[2])


def test_rounds_come_one_by_one():
    calls = []
    rounds = ticket_rounds(initial(), lambda net: calls.append(train(net)), 2)
    assert all(mask.all() for mask in next(rounds).values()) and not calls
    first = next(rounds)
    assert len(calls) == 1 and torch.equal(first["layer1"], find_tickets(initial(), train, 1)[1]["layer1"])


def test_more_levels_than_a_byte_can_number_are_refused():
    masks = [{"a": torch.ones(1, 2, dtype=torch.bool)}]
    assert survival(masks * tickets.LEVELS)["a"].tolist() == [[tickets.LEVELS - 1] * 2]
    for count in (0, tickets.LEVELS + 1):
        with pytest.raises(BadInput, match="number of levels"):
            survival(masks * count)
