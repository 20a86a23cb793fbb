"""Allocation: how many weights each layer keeps and which, against exact arithmetic and brute force."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.measures.cost import training_step
from redlib.nets.stacked import StackedMLP, unstacked
from redlib.pruning.allocation import (
    EmptyLayer,
    check_density,
    erk_counts,
    keep,
    keep_global,
    layer_counts,
    pruned,
    random_masks,
    round_counts,
    shapes_of,
    shuffled,
)
from redlib.pruning.masks import counts, density, empty_layers, masks_of, weights_of

LENET = {"layer1": (300, 784), "layer2": (100, 300), "layer3": (10, 100)}  # LeNet-300-100
SMALL = {"a": (6, 5), "b": (4, 3, 2, 2)}


def best(values: list[float], count: int) -> set[int]:
    """Indices of the `count` largest values, of equal ones the first: a stable sort in plain Python."""
    return set(sorted(range(len(values)), key=lambda i: -values[i])[:count])


def drawn(shapes=SMALL, replicates: int = 4, levels: int = 0, seed: int = 0) -> dict[str, torch.Tensor]:
    """Scores [R, *shape]: normal, or with `levels` many ties among so many values."""
    g = torch.Generator().manual_seed(seed)
    full = {name: (replicates, *shape) for name, shape in shapes.items()}
    if levels:
        return {name: torch.randint(levels, shape, generator=g).float() - 1 for name, shape in full.items()}
    return {name: torch.randn(shape, generator=g) for name, shape in full.items()}


def kept(mask: torch.Tensor) -> list[set[int]]:
    return [set(row.nonzero()[:, 0].tolist()) for row in mask.flatten(1)]


# ---- how many ----


@pytest.mark.parametrize("rounds", [0, 1, 2, 3, 7, 9, 10, 15, 24])
def test_kept_counts_are_those_of_exact_fractions(rounds):
    exact = {
        "layer1": round(235_200 * Fraction(4, 5) ** rounds),
        "layer2": round(30_000 * Fraction(4, 5) ** rounds),
        "layer3": round(1_000 * Fraction(9, 10) ** rounds),
    }
    assert round_counts(LENET, rounds) == exact


@pytest.mark.parametrize("rounds, percent", [(3, 51.28), (7, 21.07), (9, 13.52), (15, 3.58)])
def test_lenet_has_the_densities_of_the_paper(rounds, percent):
    # Weights count, biases do not: 266,200 in all; the output layer, 1,000 of them, loses 10% a round. Rounding each
    # layer to whole weights changes the density by less than 0.001 points.
    share = Fraction(sum(round_counts(LENET, rounds).values()), 266_200)
    assert abs(100 * share - Fraction(str(percent))) < Fraction(1, 200)


def test_counts_never_grow_from_round_to_round():
    chain = [round_counts(LENET, rounds) for rounds in range(30)]
    assert chain[0] == {name: prod(shape) for name, shape in LENET.items()}
    for fewer, more in zip(chain[1:], chain[:-1], strict=True):
        assert all(fewer[name] <= more[name] for name in LENET)


def test_rates_of_a_round_are_shares_cut_and_only_the_last_layer_has_its_own():
    assert round_counts({"x": (10, 10), "y": (10, 10), "z": (10, 10)}, 2, rate=0.3, last=0.5) == {
        "x": 49,
        "y": 49,
        "z": 25,
    }
    assert round_counts({"only": (10, 10)}, 1) == {"only": 90}
    assert round_counts(LENET, 5, rate=0.0, last=0.0) == round_counts(LENET, 0)


@pytest.mark.parametrize("wrong", [{"rounds": -1}, {"rate": 1.0}, {"rate": -0.1}, {"last": 1.0}, {"last": -0.2}])
def test_rounds_and_rates_outside_their_range_are_refused(wrong):
    with pytest.raises(BadInput, match="CUT"):
        round_counts(LENET, **{"rounds": 1, **wrong})


def test_density_is_the_fraction_kept_not_removed():
    shapes = {"a": (10, 10), "b": (3, 5), "c": (1, 5)}
    assert layer_counts(shapes, 0.9) == {"a": 90, "b": 14, "c": 4}  # 13.5 and 4.5: halves go to the even count
    assert layer_counts(shapes, 0.1) == {"a": 10, "b": 2, "c": 0}
    assert layer_counts(shapes, 1.0) == {"a": 100, "b": 15, "c": 5}
    scores = drawn({"a": (20, 10), "b": (50, 2)})
    masks = keep(scores, layer_counts(shapes_of(scores), 0.9))
    assert density(masks).tolist() == pytest.approx([0.9] * 4)


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.5, 80, float("nan")])
@pytest.mark.parametrize("function", [lambda d: layer_counts(SMALL, d), lambda d: erk_counts(SMALL, d), check_density])
def test_a_density_outside_0_to_1_is_refused(function, wrong):
    with pytest.raises(BadInput, match="density.*KEPT"):
        function(wrong)


def test_erdos_renyi_counts_agree_with_a_hand_computation():
    # a: 4 x 4, sum 8; b: 10 x 10, sum 20; kernel c: 8 x 4 x 3 x 3, sum 18 of 288.
    shapes = {"a": (4, 4), "b": (10, 10)}
    assert erk_counts(shapes, 0.25) == {"a": 8, "b": 21}  # 29 / 28 = 1.0357: 8.29 and 20.7
    # 58 / 28 = 2.07 would keep 16.6 of a's 16: a stays whole, b gets the other 42.
    assert erk_counts(shapes, 0.5) == {"a": 16, "b": 42}
    # 101 / 46 = 2.196 keeps 17.6 of a: whole; then 85 / 38 = 2.237 for b and c.
    assert erk_counts(shapes | {"c": (8, 4, 3, 3)}, 0.25) == {"a": 16, "b": 45, "c": 40}


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.9, 0.99, 1.0])
def test_erdos_renyi_counts_add_up_and_layers_not_full_are_in_proportion(share):
    shapes = LENET | {"kernel": (16, 8, 3, 3), "square": (20, 20)}
    found = erk_counts(shapes, share)
    assert abs(sum(found.values()) - share * sum(map(prod, shapes.values()))) <= len(shapes) / 2
    assert all(0 < found[name] <= prod(shape) for name, shape in shapes.items())
    scales = [found[name] / sum(shape) for name, shape in shapes.items() if found[name] < prod(shape)]
    assert max(scales, default=0) - min(scales, default=0) <= 2 * 0.5 / min(map(sum, shapes.values()))
    full = [prod(shape) / sum(shape) for name, shape in shapes.items() if found[name] == prod(shape)]
    assert not full or not scales or max(full) <= min(scales) + 0.01  # a full layer could not take its share


# ---- which: layer by layer ----


@pytest.mark.parametrize("levels", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("share", [1, 2, 13, 29, 30])
def test_exactly_k_are_kept_the_best_by_brute_force_of_equal_ones_the_first(levels, share):
    scores = drawn(levels=levels)
    wanted = {"a": share, "b": min(48, 2 * share)}
    masks = keep(scores, wanted)
    for name, mask in masks.items():
        assert mask.dtype == torch.bool and mask.shape == scores[name].shape
        assert kept(mask) == [best(row, wanted[name]) for row in scores[name].flatten(1).tolist()]


def test_of_equal_scores_the_lower_flat_indices_stay():
    mask = keep({"a": torch.zeros(2, 3, 4)}, {"a": 5})["a"]
    assert mask.int().tolist() == [[[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]] * 2
    # 3 stays; of the four 2s the first two.
    assert keep({"a": torch.tensor([[2.0, 1, 2, 3, 2, 2]])}, {"a": 3})["a"].int().tolist() == [[1, 0, 1, 1, 0, 0]]
    assert keep({"a": torch.tensor([[0.0, -0.0, 0.0]])}, {"a": 2})["a"].int().tolist() == [[1, 1, 0]]


@pytest.mark.parametrize("levels", [0, 3])
def test_a_replicate_is_ranked_alone(levels):
    scores, wanted = drawn(levels=levels), {"a": 11, "b": 17}
    together = keep(scores, wanted)
    for r in range(4):
        alone = keep({name: values[r : r + 1] for name, values in scores.items()}, wanted)
        assert all(torch.equal(alone[name][0], together[name][r]) for name in wanted)


@pytest.mark.parametrize("levels", [0, 2])
def test_masks_are_nested_in_the_earlier_ones_and_the_best_of_what_they_left(levels):
    masks = keep(drawn(levels=levels), {"a": 20, "b": 30})
    for seed, (a, b) in enumerate([(20, 29), (12, 12), (1, 3)], 1):
        scores, before = drawn(levels=levels, seed=seed), masks
        masks = keep(scores, {"a": a, "b": b}, within=before)
        for name, count in (("a", a), ("b", b)):
            assert not (masks[name] & ~before[name]).any()
            rows = zip(scores[name].flatten(1).tolist(), kept(before[name]), strict=True)
            left = [[v if i in alive else -np.inf for i, v in enumerate(row)] for row, alive in rows]
            assert kept(masks[name]) == [best(row, count) for row in left]


def test_what_was_cut_stays_cut_where_the_rest_scores_minus_infinity():
    scores = torch.tensor([[9.0, 9.0, -torch.inf, -torch.inf, 5.0]])
    before = torch.tensor([[False, False, True, True, True]])
    for count, expected in ((1, [0, 0, 0, 0, 1]), (2, [0, 0, 1, 0, 1]), (3, [0, 0, 1, 1, 1])):
        assert keep({"a": scores}, {"a": count}, {"a": before})["a"].int().tolist() == [expected]
        assert keep_global({"a": scores}, count, {"a": before})["a"].int().tolist() == [expected]
    assert scores.tolist() == [[9, 9, -np.inf, -np.inf, 5]], "scores are not changed"


def test_an_emptied_layer_raises_and_so_do_counts_that_do_not_fit():
    scores = drawn()
    before = keep(scores, {"a": 10, "b": 10})
    with pytest.raises(EmptyLayer, match="weights kept in b = 0"):
        keep(scores, {"a": 3, "b": 0})
    for wanted, within, message in (
        ({"a": 31, "b": 3}, None, "weights kept in a = 31.*<= 30 left"),
        ({"a": 3, "b": 11}, before, "weights kept in b = 11.*<= 10 left"),
        ({"a": 3}, None, "layers of counts"),
        ({"a": 3, "b": 3, "c": 3}, None, "layers of counts"),
    ):
        with pytest.raises(BadInput, match=message):
            keep(scores, wanted, within)
    before["a"][2, 0] = False  # one replicate is poorer than the others
    poorest = int(before["a"].flatten(1).sum(1).min())
    with pytest.raises(BadInput, match=f"<= {poorest} left"):
        keep(scores, {"a": poorest + 1, "b": 3}, before)
    assert issubclass(EmptyLayer, BadInput)


@pytest.mark.parametrize("function", [lambda s: keep(s, {"a": 2, "b": 2}), lambda s: keep_global(s, 4)])
def test_scores_that_are_no_numbers_are_refused(function):
    scores = drawn()
    scores["b"][1, 0, 0] = torch.nan
    with pytest.raises(BadInput, match="NaN"):
        function(scores)


# ---- which: all layers together ----


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("levels", [0, 1, 3])
@pytest.mark.parametrize("total", [1, 5, 40, 77])
def test_one_ranking_over_all_layers_is_a_brute_force_sort_of_them_joined(total, levels, nested):
    scores = drawn(levels=levels)
    within = keep(drawn(seed=9), {"a": 29, "b": 48}) if nested else None
    masks = keep_global(scores, total, within, allow_empty=True)
    joined = torch.cat([values.flatten(1) for values in scores.values()], 1)
    if within is not None:
        joined[~torch.cat([mask.flatten(1) for mask in within.values()], 1)] = -torch.inf
    assert kept(torch.cat([mask.flatten(1) for mask in masks.values()], 1)) == [
        best(row, total) for row in joined.tolist()
    ]
    assert {name: mask.shape for name, mask in masks.items()} == {name: v.shape for name, v in scores.items()}


def collapsing() -> dict[str, torch.Tensor]:
    """Replicate 0: all large scores are in a. Replicate 1: the layers are alike."""
    scores = drawn(replicates=2)
    scores["a"][0] += 100
    return scores


def test_a_layer_emptied_by_a_global_ranking_raises_and_names_it():
    with pytest.raises(EmptyLayer, match=r"\['b'\].*allow_empty"):
        keep_global(collapsing(), 30)
    assert not empty_layers(keep_global(collapsing(), 31)).any()  # the 31st weight of replicate 0 is in b


def test_a_collapse_is_measured_where_it_is_allowed():
    masks = keep_global(collapsing(), 30, allow_empty=True)
    assert empty_layers(masks).tolist() == [1, 0]
    assert counts(masks)["a"][0] == 30 and 0 < counts(masks)["a"][1] < 30
    assert torch.stack(list(counts(masks).values())).sum(0).tolist() == [30, 30]


@pytest.mark.parametrize("total, within", [(0, False), (79, False), (41, True), (-3, False)])
def test_a_total_out_of_range_is_refused(total, within):
    scores = drawn()
    before = keep(scores, {"a": 20, "b": 20}) if within else None
    with pytest.raises(BadInput, match=f"1 <= total <= {40 if within else 78}"):
        keep_global(scores, total, before)


# ---- at random ----


def test_a_shuffled_mask_keeps_the_counts_and_forgets_the_positions():
    shapes = {"a": (40, 30), "b": (10, 12, 3, 3)}
    ticket = keep(drawn(shapes), {"a": 300, "b": 108})
    before = {name: mask.clone() for name, mask in ticket.items()}
    moved = shuffled(ticket, seeds=[0, 1, 2, 3])
    for name, mask in moved.items():
        assert torch.equal(counts(moved)[name], counts(ticket)[name]) and mask.shape == ticket[name].shape
        overlap = (mask & ticket[name]).flatten(1).double().mean(1)  # a "shuffle" that rebinds a variable: the density
        share = counts(ticket)[name][0] / prod(shapes[name])
        assert torch.allclose(overlap, (share**2).double(), atol=0.25 * float(share))
        assert torch.equal(ticket[name], before[name])


def test_a_shuffle_depends_on_seed_key_and_layer_and_on_nothing_else():
    mask = keep(drawn({"a": (20, 20)}), {"a": 100})["a"]
    ticket = {"a": mask, "b": mask}
    first = shuffled(ticket, [7, 8, 9, 7], key=3)
    torch.manual_seed(1), np.random.seed(1)
    again = shuffled(ticket, [7, 8, 9, 7], key=3)
    assert all(torch.equal(first[name], again[name]) for name in ticket)
    alone = shuffled({name: values[1:2] for name, values in ticket.items()}, [8], key=3)
    assert all(torch.equal(alone[name][0], first[name][1]) for name in ticket)
    same = {"a": mask[:1].expand(4, -1, -1)}  # one mask: what differs is the draw
    rows = shuffled(same, [7, 8, 9, 7], key=3)["a"]
    assert torch.equal(rows[0], rows[3]) and not torch.equal(rows[0], rows[1]) and not torch.equal(rows[1], rows[2])
    assert not torch.equal(shuffled(same, [7, 8, 9, 7], key=4)["a"][0], rows[0])
    assert not torch.equal(first["a"][0], first["b"][0])


def test_random_masks_have_the_counts_asked_for_and_every_weight_the_same_chance():
    seeds = list(range(400))
    masks = random_masks(SMALL, {"a": 9, "b": 48}, seeds)
    assert counts(masks)["a"].tolist() == [9] * 400 and masks["b"].all() and masks["a"].shape == (400, 6, 5)
    chance = masks["a"].double().mean(0)
    assert (chance - 0.3).abs().max() < 5 * (0.3 * 0.7 / 400) ** 0.5  # five standard errors
    assert len({row.numpy().tobytes() for row in masks["a"]}) == 400
    again = random_masks(SMALL, {"a": 9, "b": 48}, [5])
    assert torch.equal(again["a"][0], masks["a"][5])
    assert not torch.equal(random_masks(SMALL, {"a": 9, "b": 48}, [5], key=1)["a"], again["a"])


def test_random_masks_refuse_empty_layers_and_more_weights_than_there_are():
    with pytest.raises(EmptyLayer, match="a"):
        random_masks(SMALL, {"a": 0, "b": 3}, [0])
    with pytest.raises(BadInput, match="'b': 49"):
        random_masks(SMALL, {"a": 30, "b": 49}, [0])


# ---- the net itself ----


def test_a_pruned_net_keeps_the_largest_weights_of_each_layer_and_the_net_is_left_alone():
    stack = StackedMLP.create((20, 16, 8, 4), (3, 4))
    for net in (stack, unstacked(stack, 0)):
        before = weights_of(net)
        for every_pass in (False, True):
            cut = pruned(net, 0.25, every_pass)
            assert all(m.all() for m in masks_of(cut).values()) is not every_pass
            for name, weights in weights_of(cut).items():
                assert (weights != 0).flatten(1).sum(1).tolist() == [round(0.25 * weights[0].numel())] * len(weights)
                for now, was in zip(weights, before[name], strict=True):
                    assert torch.equal(now[now != 0], was[now != 0])
                    assert was[now != 0].abs().min() >= was[now == 0].abs().max()
        assert all(torch.equal(weights, before[name]) for name, weights in weights_of(net).items())


def test_a_mask_in_every_pass_holds_through_training():
    net = unstacked(StackedMLP.create((20, 16, 4), (3,)), 0)
    x, y = torch.randn(30, 20), torch.arange(30) % 4
    masked = pruned(net, 0.2, every_pass=True)
    cut = {name: weights == 0 for name, weights in weights_of(masked).items()}
    before = torch.nn.functional.cross_entropy(masked(x), y)
    step = training_step(masked, y, lr=0.1)
    for _ in range(5):
        step(x)
    assert torch.nn.functional.cross_entropy(masked(x), y) < before
    assert all((weights[cut[name]] == 0).all() for name, weights in weights_of(masked).items())
