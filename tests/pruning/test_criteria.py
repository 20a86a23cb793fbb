"""Scores agree with finite differences, closed forms and conservation laws, and are those of the net itself."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.autograd import functional as autograd

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.nets.convnets import cnn5, seeded
from redlib.nets.losses import losses_and_errors
from redlib.pruning.allocation import EmptyLayer, keep, layer_counts, shapes_of
from redlib.pruning.criteria import CRITERIA, Context, class_batch, context_of, functional, score, synflow
from redlib.pruning.masks import apply, counts, density, empty_layers, load_weights, weights_of
from redlib.training import Examples

SIZES, SEEDS = (5, 6, 4, 3), (3, 8, 9)
ON_BATCH = ["snip", "gradient", "grasp", "taylor"]


def tensor(*rows):
    return {"layer1": torch.tensor([rows])}


def stack(seeds=SEEDS, dtype=torch.float64, activation="tanh", init="torch"):
    return StackedMLP.create(SIZES, seeds, activation, init=init, dtype=dtype)


def batch(replicates=None, count=12):
    source = torch.Generator().manual_seed(1)
    shape = (count,) if replicates is None else (replicates, count)
    x = torch.randn(*shape, SIZES[0], generator=source, dtype=torch.float64)
    return x, torch.randint(0, SIZES[-1], shape, generator=source)


def of_net(net, **known):
    """The context of a net with all that any criterion needs; final weights are twice the initial ones."""
    known = {"batch": batch(), "final": {k: -1.3 * w for k, w in weights_of(net).items()}} | known
    return context_of(net, **known)


def net_losses(net, x, y, loss="cross_entropy", temperature=1.0):
    """Mean losses [R] through the net's own forward pass."""
    return losses_and_errors(net.logits(x) / temperature, y, loss)[0].mean(-1)


def slopes(function, net, name, h=1e-5):
    """Central differences of function() [R] by every weight of one layer, [R, *shape]."""
    weights = net.weights[int(name[-1]) - 1]
    found = torch.zeros_like(weights)
    for position in torch.cartesian_prod(*(torch.arange(n) for n in weights.shape[1:])):
        at = (slice(None), *position.tolist())
        start = weights[at].clone()
        values = []
        for step in (h, -h):
            weights[at] = start + step
            values.append(function())
        weights[at] = start
        found[at] = (values[0] - values[1]) / (2 * h)
    return found


# ---- weights only ----


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("large_final", [4.0, 1.0, 3.0]),
        ("magnitude", [4.0, 1.0, 3.0]),
        ("small_final", [-4.0, -1.0, -3.0]),
        ("large_init", [1.0, 3.0, 2.0]),
        ("small_init", [-1.0, -3.0, -2.0]),
        ("magnitude_increase", [3.0, -2.0, 1.0]),
        ("movement", [3.0, 2.0, 5.0]),
    ],
)
def test_scores_of_weights_are_the_formulas(name, expected):
    context = Context(initial=tensor([1.0, -3.0, 2.0]), final=tensor([4.0, -1.0, -3.0]))
    assert score(name, context)["layer1"].tolist() == [[expected]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("large_final_same_sign", [4.0, 1.0, 0.0, 0.0]),
        ("large_final_diff_sign", [0.0, 0.0, 3.0, 5.0]),
        ("magnitude_increase_same_sign", [3.0, -2.0, 0.0, 0.0]),
        ("magnitude_increase_diff_sign", [0.0, 0.0, 1.0, -2.0]),
    ],
)
def test_sign_criteria_put_the_wrong_signs_at_zero(name, expected):
    context = Context(initial=tensor([1.0, -3.0, 2.0, -7.0]), final=tensor([4.0, -1.0, -3.0, 5.0]), seeds=(0,))
    found = score(name, context)["layer1"][0, 0]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-29, rtol=0)
    assert len(set(found.tolist())) == 4  # no ties


def test_most_signs_agree_and_yet_the_first_units_are_not_kept_whole():
    first = {"layer1": torch.ones(1, 40, 25)}
    context = Context(initial=first, final={"layer1": 2 * torch.ones(1, 40, 25)}, seeds=(5,))
    scores = score("large_final_diff_sign", context)
    kept = keep(scores, layer_counts(shapes_of(first), 0.5))["layer1"][0].sum(1)
    # Half of 1,000 equal scores, spread over 40 units of 25: 12.5 each, hypergeometric with deviation 2.5.
    assert kept.min() > 3 and kept.max() < 22


def test_both_large_means_among_the_best_of_both_rankings():
    # Ranks of |w0| are 1 2 3 4 and of |wT| 4 2 3 1 of four: the scale of either does not matter.
    first, last = tensor([0.1, 0.2, 0.3, 0.4]), tensor([400.0, 200.0, 300.0, 100.0])
    context = Context(initial=first, final=last)
    assert score("large_init_large_final", context)["layer1"].tolist() == [[[0.25, 0.5, 0.75, 0.25]]]
    assert score("small_init_small_final", context)["layer1"].tolist() == [[[0.25, 0.75, 0.5, 0.25]]]


def test_equal_magnitudes_have_equal_ranks_wherever_they_stand():
    context = Context(initial=tensor([2.0, -2.0, 1.0]), final=tensor([3.0, 3.0, 3.0]))
    assert score("large_init_large_final", context)["layer1"][0, 0, :2].unique().numel() == 1


def test_weights_cut_before_are_not_ranked():
    first, last = tensor([9.0, 0.2, 0.3, 0.4]), tensor([9.0, 2.0, 1.0, 3.0])
    masks = {"layer1": torch.tensor([[[False, True, True, True]]])}
    found = score("large_init_large_final", Context(initial=first, final=last, masks=masks))["layer1"][0, 0]
    assert found[0] == -torch.inf
    assert found[1:].argsort().tolist() == [0, 1, 2] and found[1] == found[2] == 0.5 and found[3] == 1.0


def test_random_scores_depend_on_seed_key_and_layer_alone():
    net = stack()
    context = context_of(net)
    whole = score("random", context)
    alone = score("random", context_of(stack(seeds=SEEDS[1:2])))
    for name in whole:
        assert torch.equal(whole[name][1:2], alone[name])
        assert not torch.equal(whole[name][0], whole[name][1])
        assert not torch.equal(whole[name], score("random", replace(context, key=1))[name])
    assert whole["layer1"].min() >= 0 and whole["layer1"].max() < 1
    ties = score("large_final_diff_sign", replace(context, final=context.initial))["layer1"] * 1e30
    assert not torch.allclose(ties, whole["layer1"])


def test_cut_weights_score_below_everything_under_every_criterion():
    net = stack()
    masks = {name: w > 0 for name, w in weights_of(net).items()}
    context = of_net(net, masks=masks)
    for name in CRITERIA:
        for layer, values in score(name, context).items():
            assert (values[~masks[layer]] == -torch.inf).all() and values[masks[layer]].isfinite().all(), name


# ---- gradients ----


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_functional_forward_is_the_nets_own(activation):
    net = stack(activation=activation)
    x, _ = batch(len(SEEDS))
    assert torch.allclose(functional(net)(weights_of(net), x), net.logits(x), atol=1e-14)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_gradient_scores_are_finite_differences_of_the_loss_of_the_net_itself(loss):
    net = stack()
    context = of_net(net, loss=loss, final=weights_of(net))
    snip, gradient, taylor = (score(name, context) for name in ("snip", "gradient", "taylor"))
    for name, weights in context.initial.items():
        slope = slopes(lambda: net_losses(net, *batch(), loss=loss), net, name)
        assert torch.allclose(gradient[name], slope.abs(), atol=1e-9)
        assert torch.allclose(snip[name], (slope * weights).abs(), atol=1e-9)
        assert torch.allclose(taylor[name], (slope * weights) ** 2, atol=1e-9)


def test_scores_of_a_net_with_other_weights_are_others():
    # Known bug of public SNIP and GraSP code: the saliency of a re-initialised copy, whatever the net.
    # Without weights and biases no signal passes, so every gradient is 0; a copy with new weights would have some.
    net = stack(activation="relu")
    for bias in net.biases:
        bias.zero_()
    before = score("gradient", context_of(net, batch=batch(), loss="mse"))
    torch.manual_seed(0)
    again = score("gradient", context_of(net, batch=batch(), loss="mse"))
    load_weights(net, {name: 0 * w for name, w in weights_of(net).items()})
    emptied = score("gradient", context_of(net, batch=batch(), loss="mse"))
    assert all(torch.equal(before[name], again[name]) for name in before)
    assert all(before[name].count_nonzero() > 0 and emptied[name].count_nonzero() == 0 for name in before)


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_is_weight_times_hessian_times_gradient(temperature):
    net = StackedMLP.create((2, 3, 2), (4,), "tanh", dtype=torch.float64)
    x, y = torch.randn(7, 2, dtype=torch.float64), torch.randint(0, 2, (7,))
    shapes, biases = [(3, 2), (2, 3)], [b[0].clone() for b in net.biases]

    def loss(flat):
        w1, w2 = (p.view(s) for p, s in zip(flat.split([6, 6]), shapes, strict=True))
        logits = torch.tanh(x @ w1.T + biases[0]) @ w2.T + biases[1]
        return nn.functional.cross_entropy(logits / temperature, y)

    flat = torch.cat([w[0].flatten() for w in net.weights])
    gradient, hessian = (f(loss, flat) for f in (autograd.jacobian, autograd.hessian))
    found = score("grasp", context_of(net, batch=(x, y), temperature=temperature))
    scored = torch.cat([values.flatten() for values in found.values()])
    assert torch.allclose(scored, flat * (hessian @ gradient), rtol=1e-9, atol=0)


def test_grasp_keeps_what_carries_the_gradient_flow():
    # Minus twice the score is the slope of the squared gradient norm as a weight shrinks to 0.
    net = stack()
    context = of_net(net, temperature=1.0)
    scores = score("grasp", context)

    def flow():
        now = replace(context, initial=weights_of(net))
        return torch.stack([g.flatten(1).square().sum(1) for g in score("gradient", now).values()]).sum(0)

    for name, weights in context.initial.items():
        towards_zero = -weights * slopes(flow, net, name)
        assert torch.allclose(scores[name], -towards_zero / 2, atol=1e-8)


def test_gradients_are_taken_of_the_masked_net():
    net = stack()
    masks = {name: w > -0.1 for name, w in weights_of(net).items()}
    context = of_net(net, masks=masks)
    found = {name: score(name, context) for name in ON_BATCH}
    apply(net, masks)
    cut = {name: score(name, of_net(net)) for name in ON_BATCH}
    for name in ON_BATCH:
        for layer, mask in masks.items():
            assert torch.allclose(found[name][layer][mask], cut[name][layer][mask], rtol=1e-12), name


def test_rewound_weights_are_scored_where_there_are_some():
    net, later = stack(), {name: 0.5 * w for name, w in weights_of(stack()).items()}
    context = of_net(net, rewound=later)
    moved = of_net(net, initial=later)
    for name in ("snip", "gradient", "grasp", "synflow"):
        found, expected = score(name, context), score(name, moved)
        assert all(torch.equal(found[layer], expected[layer]) for layer in expected)
        assert not torch.equal(found["layer1"], score(name, of_net(net))["layer1"])
    assert torch.equal(score("taylor", context)["layer1"], score("taylor", of_net(net))["layer1"])


@pytest.mark.parametrize("name", [*ON_BATCH, "synflow", "random"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_replicate_scores_alone_as_among_others(name, dtype):
    whole = score(name, of_net(stack(dtype=dtype)))
    alone = score(name, of_net(stack(seeds=SEEDS[2:], dtype=dtype)))
    assert all(torch.equal(whole[layer][2:], alone[layer]) for layer in whole)


@pytest.mark.parametrize("name", [*ON_BATCH, "synflow"])
def test_permuting_units_permutes_scores(name):
    net, order = stack(), torch.tensor([2, 0, 5, 4, 1, 3])
    before = score(name, of_net(net))
    permuted = net.clone()
    for part in (permuted.weights[0], permuted.biases[0]):
        part.copy_(part[:, order].clone())
    permuted.weights[1].copy_(permuted.weights[1][:, :, order].clone())
    after = score(name, of_net(permuted))
    assert torch.allclose(after["layer1"], before["layer1"][:, order], atol=1e-14)
    assert torch.allclose(after["layer2"], before["layer2"][:, :, order], atol=1e-14)


def test_scoring_changes_nothing_in_the_net():
    net, module = stack(), seeded(cnn5, 1, 2, classes=3, channels=1, image=8)
    before, state = net.flat.clone(), copy.deepcopy(module.state_dict())
    for name in CRITERIA:
        score(name, of_net(net))
    for name in ON_BATCH[:3]:
        score(name, context_of(module, batch=(torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))))
    synflow(module, 0.1, 3, input_shape=(1, 8, 8))
    assert torch.equal(net.flat, before) and module.training
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


# ---- modules ----


def test_a_module_scores_like_the_stacked_net_of_equal_weights():
    net = stack(activation="relu")
    modules = []
    for r in range(len(SEEDS)):
        parts = [nn.Linear(a, b, dtype=torch.float64) for a, b in zip(SIZES[:-1], SIZES[1:], strict=True)]
        for part, weight, bias in zip(parts, net.weights, net.biases, strict=True):
            part.weight.data, part.bias.data = weight[r].clone(), bias[r].clone()
        modules.append(nn.Sequential(parts[0], nn.ReLU(), parts[1], nn.ReLU(), parts[2]))
    for name in (*ON_BATCH, "synflow"):
        ours, theirs = score(name, of_net(net)), score(name, of_net(modules))
        assert list(theirs) == ["0", "2", "4"]
        for a, b in zip(ours.values(), theirs.values(), strict=True):
            assert torch.allclose(a, b, rtol=1e-10, atol=0), name


def test_masked_modules_score_as_their_masks_act():
    module = seeded(cnn5, 1, 2, classes=3, channels=1, image=8)
    known = {"batch": (torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))}
    masks = {name: w > 0 for name, w in weights_of(module).items()}
    expected = score("snip", context_of(module, masks=masks, **known))
    apply(module, masks)
    found = score("snip", context_of(module, masks=masks, **known))
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_conv_net_is_scored_with_batch_normalisation_as_in_training():
    module = seeded(cnn5, 1, 2, classes=3, channels=1, image=8)
    x, y = torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    found = score("gradient", context_of(module, batch=(x, y)))
    nn.functional.cross_entropy(module.train()(x), y).backward()
    for name, values in found.items():
        assert torch.allclose(values[0], module.get_submodule(name).weight.grad.abs(), atol=1e-6)


# ---- SynFlow ----


def test_synflow_is_conserved_at_every_hidden_unit_and_layer():
    # With trained-looking biases on purpose: they must not leak into the flow.
    for activation in ("relu", "tanh"):
        net = stack(dtype=torch.float32, activation=activation)
        scores = list(score("synflow", context_of(net)).values())
        for below, above in zip(scores[:-1], scores[1:], strict=True):
            assert torch.allclose(below.sum(2), above.sum(1), rtol=1e-12)
        sums = torch.stack([values.sum((1, 2)) for values in scores])
        path_sum = torch.ones(len(SEEDS), 1, SIZES[0], dtype=torch.float64)
        for weights in net.weights:
            path_sum = path_sum @ weights.double().abs().transpose(1, 2)
        assert torch.allclose(sums, path_sum.sum((1, 2)).expand_as(sums), rtol=1e-12)


def test_synflow_of_a_conv_net_has_equal_sums_in_all_layers():
    module = seeded(cnn5, 1, 2, classes=3, channels=1, image=8).train()
    module(5 + torch.randn(32, 1, 8, 8))  # running means and variances that are not 0 and 1
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.bias.normal_(), part.weight.normal_()
    sums = [values.sum().item() for values in score("synflow", context_of(module, input_shape=(1, 8, 8))).values()]
    assert len(sums) == 5 and sums[0] > 0
    assert torch.allclose(torch.tensor(sums), torch.tensor(sums[0]), rtol=1e-6)


def test_synflow_does_not_overflow_in_float32_nets():
    net = stack(dtype=torch.float32)
    load_weights(net, {name: 1e15 * torch.ones_like(w) for name, w in weights_of(net).items()})
    assert all(values.isfinite().all() for values in score("synflow", context_of(net)).values())


def test_iterative_synflow_keeps_the_exact_number_in_every_replicate():
    net = stack()
    masks = synflow(net, 0.3, rounds=20)
    total = sum(w[0].numel() for w in net.weights)
    assert (density(masks) * total).round().tolist() == [round(0.3 * total)] * len(SEEDS)
    assert (empty_layers(masks) == 0).all()


def test_one_round_of_synflow_is_its_score_in_one_global_ranking():
    net = stack()
    masks, scores = synflow(net, 0.4, rounds=1), score("synflow", context_of(net))
    for r in range(len(SEEDS)):
        kept = torch.cat([values[r][masks[name][r]] for name, values in scores.items()])
        cut = torch.cat([values[r][~masks[name][r]] for name, values in scores.items()])
        assert kept.min() >= cut.max()


def test_iterations_save_synflow_from_the_layer_collapse_of_one_shot():
    # Wide layers have small scores per weight (their sum is conserved), so one round empties the widest first.
    net = StackedMLP.create((30, 40, 40, 4), (0, 1), dtype=torch.float64)
    few = 12 / sum(w[0].numel() for w in net.weights)
    assert (empty_layers(synflow(net, few, rounds=1, allow_empty=True)) > 0).any()
    assert (empty_layers(synflow(net, few, rounds=100)) == 0).all()
    with pytest.raises(EmptyLayer):
        synflow(net, few, rounds=1)


def test_what_synflow_keeps_lies_on_a_path_from_input_to_output():
    masks = synflow(StackedMLP.create((30, 40, 40, 4), (0,), dtype=torch.float64), 0.01)
    layers = [mask[0] for mask in masks.values()]
    for below, above in zip(layers[:-1], layers[1:], strict=True):
        assert torch.equal(below.any(1), above.any(0))


# ---- batches ----


def test_class_batches_hold_equally_many_of_every_class():
    y = torch.tensor([0] * 50 + [1] * 9 + [2] * 4)
    data = Examples(torch.arange(63.0)[:, None], y)
    x, labels = class_batch(data, 4, SEEDS)
    assert x.shape == (3, 12, 1) and labels.shape == (3, 12)
    assert all(row.bincount().tolist() == [4, 4, 4] for row in labels)
    assert torch.equal(y[x[..., 0].long()], labels) and all(row.unique().numel() == 12 for row in x)
    assert torch.equal(class_batch(data, 4, SEEDS[1:2])[0], x[1:2]) and not torch.equal(x[0], x[1])


def test_class_batches_take_only_rows_a_replicate_sees_and_its_labels():
    rows = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])
    data = Examples(torch.arange(8.0)[:, None], torch.tensor([[0, 0, 1, 1], [1, 0, 1, 0]]), rows)
    x, y = class_batch(data, 2, (0, 1))
    seen = [dict(zip(a.flatten().tolist(), b.tolist(), strict=True)) for a, b in zip(x, y, strict=True)]
    assert seen == [{0: 0, 1: 0, 2: 1, 3: 1}, {4: 1, 5: 0, 6: 1, 7: 0}]


def test_a_batch_per_replicate_scores_each_on_its_own():
    net, (x, y) = stack(), batch(len(SEEDS))
    together = score("snip", of_net(net, batch=(x, y)))
    for r in range(len(SEEDS)):
        shared = score("snip", of_net(net, batch=(x[r], y[r])))
        assert all(torch.equal(together[name][r], shared[name][r]) for name in together)


# ---- bad input ----


@pytest.mark.parametrize("name", ON_BATCH)
def test_criteria_of_gradients_ask_for_a_batch_and_a_model(name):
    with pytest.raises(BadInput, match="batch = None.*class_batch"):
        score(name, of_net(stack(), batch=None))
    with pytest.raises(BadInput, match="model = None.*functional"):
        score(name, of_net(stack(), model=None))


@pytest.mark.parametrize(
    "name",
    ["magnitude", "small_final", "movement", "magnitude_increase", "large_init_large_final", "taylor",
     "large_final_same_sign"],
)  # fmt: skip
def test_criteria_of_trained_weights_ask_for_them(name):
    with pytest.raises(BadInput, match="final weights = None.*weights_of"):
        score(name, of_net(stack(), final=None))


def test_random_needs_a_seed_per_replicate_and_synflow_a_shape():
    with pytest.raises(BadInput, match=r"seeds = \(1,\)"):
        score("random", of_net(stack(), seeds=(1,)))
    with pytest.raises(BadInput, match="input_shape = None"):
        score("synflow", of_net(stack(), input_shape=None))
    with pytest.raises(BadInput, match="input_shape = None"):
        synflow(nn.Linear(2, 2), 0.5)


def test_what_does_not_fit_the_net_is_refused_before_anything_is_scored():
    net = stack()
    short = {"layer1": weights_of(net)["layer1"]}
    with pytest.raises(BadInput, match="names of final weights"):
        of_net(net, final=short)
    with pytest.raises(BadInput, match="names of mask"):
        of_net(net, masks={"layer1": short["layer1"] > 0})
    with pytest.raises(BadInput, match="type of mask layer1"):
        of_net(net, masks=weights_of(net))
    with pytest.raises(BadInput, match="criterion = 'sinp'"):
        score("sinp", of_net(net))
    with pytest.raises(BadInput, match="temperature = 0"):
        of_net(net, temperature=0.0)
    with pytest.raises(BadInput, match="shapes of batch"):
        score("snip", of_net(net, batch=batch(2)))
    with pytest.raises(BadInput, match="shape of inputs"):
        score("snip", of_net(net, batch=(torch.zeros(12, 4), batch()[1])))
    with pytest.raises(BadInput, match="density = 2"):
        synflow(net, 2.0)
    with pytest.raises(BadInput, match="rounds = 0"):
        synflow(net, 0.5, rounds=0)
    with pytest.raises(BadInput, match="per_class = 3.*<= 2, all there are of class 1"):
        class_batch(Examples(torch.zeros(5, 1), torch.tensor([0, 0, 0, 1, 1])), 3, (0,))


def test_a_net_that_is_one_layer_has_scores_under_its_empty_name():
    module = nn.Linear(3, 2)
    found = score("snip", context_of(module, batch=(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))))
    assert found[""].shape == (1, 2, 3)
    assert int(counts(synflow(module, 0.5, 2, input_shape=(3,)))[""]) == 3


# ---- weights of any module, and of none ----


class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.part, self.out = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.part(x)[0][:, -1])


@pytest.mark.parametrize("masked", [False, True])
def test_recurrent_matrices_are_scored_by_their_gradients(masked):
    torch.manual_seed(0)
    net, x, y = Steps(), torch.randn(6, 5, 3), torch.arange(6) % 2
    torch.nn.functional.cross_entropy(net(x), y).backward()
    slopes = {name: p.grad for name, p in net.named_parameters() if "weight" in name}
    if masked:
        apply(net, {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights_of(net).items()})
    found = score("gradient", context_of(net, batch=(x, y)))
    assert list(found) == ["part.weight_ih_l0", "part.weight_hh_l0", "out"]
    for name, values in found.items():
        torch.testing.assert_close(values[0], slopes["out.weight" if name == "out" else name].abs())


def test_weights_that_are_parameters_or_none_are_refused():
    net = Steps()
    with pytest.raises(BadInput, match="replicate axis"):
        Context(initial={"out": net.out.weight})
    with pytest.raises(BadInput, match="initial weights"):
        Context(initial={})


def test_synflow_refuses_densities_that_must_empty_a_layer_before_it_starts():
    net = StackedMLP.create((4, 3, 2), [0, 1])
    with pytest.raises(EmptyLayer, match="1 weights for 2 layers"):
        synflow(net, 1 / 18)
    assert [int(n) for n in sum(counts(synflow(net, 1 / 18, allow_empty=True)).values())] == [1, 1]
