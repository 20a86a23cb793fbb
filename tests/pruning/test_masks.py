"""Masks: what is cut stays exactly where it is whatever the optimiser remembers, and nothing else is touched."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning import masks as masking
from redlib.pruning.masks import (
    apply,
    check_masks,
    concat,
    counts,
    degrees,
    dense,
    density,
    empty_layers,
    kept_by_layer,
    load_weights,
    masks_of,
    packed,
    remove,
    select_replicates,
    unpacked,
    weights_of,
)  # fmt: skip
from redlib.training import SGD, Adam, AdamW, Examples, fit

SIZES, SEEDS = (7, 13, 11, 4), (3, 4)
RULES = {
    "sgd": SGD(0.1),
    "momentum decay": SGD(0.05, momentum=0.9, weight_decay=1e-2),
    "nesterov decay": SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adam": Adam(3e-3),
    "adam decay": Adam(3e-3, weight_decay=1e-2),
    "adamw": AdamW(3e-3, weight_decay=0.1),
}
MEMORY = ("velocity", "grad", "mean", "square")  # of stacks; scratch holds no state between steps


pytestmark = pytest.mark.usefixtures("one_thread_throughout")


def stacked(dtype: torch.dtype = torch.float32) -> StackedMLP:
    return StackedMLP.create(SIZES, SEEDS, activation="tanh", dtype=dtype)  # tanh: every weight has a gradient


def linear(net: StackedMLP | None = None) -> list[nn.Module]:
    """The nets of `stacked` as plain modules."""
    net = stacked() if net is None else net
    modules = []
    for r in range(net.replicates):
        layers: list[nn.Module] = []
        for w, b in zip(net.weights, net.biases, strict=True):
            layers += [nn.Linear(w.shape[2], w.shape[1], dtype=w.dtype), nn.Tanh()]
            layers[-2].weight.data.copy_(w[r])
            layers[-2].bias.data.copy_(b[r])
        modules.append(nn.Sequential(*layers[:-1]))
    return modules


def conv() -> list[nn.Module]:
    """Two convolutional nets with batch normalisation, for inputs of 7 numbers."""
    torch.manual_seed(1)
    return [
        nn.Sequential(
            nn.Unflatten(1, (1, 7)), nn.Conv1d(1, 4, 3, bias=False), nn.BatchNorm1d(4), nn.Tanh(),
            nn.Unflatten(2, (5, 1)), nn.Conv2d(4, 3, (3, 1)), nn.Tanh(), nn.Flatten(), nn.Linear(9, 4),
        )
        for _ in SEEDS
    ]  # fmt: skip


NETS: dict[str, Callable[[], masking.Net]] = {"stacked": stacked, "linear": linear, "conv": conv}


def some_masks(net: masking.Net, kept: float = 0.4) -> masking.Tensors:
    """Random masks in which no unit loses all it sends: it would have no gradient."""
    g = torch.Generator().manual_seed(0)
    masks = {name: torch.rand(values.shape, generator=g) < kept for name, values in weights_of(net).items()}
    for mask in masks.values():
        mask[:, 0] = True
    return masks


def problem(n: int = 90, dtype: torch.dtype = torch.float32) -> Examples:
    g = torch.Generator().manual_seed(5)
    return Examples(torch.randn(n, 7, generator=g, dtype=dtype), torch.randint(4, (n,), generator=g))


def biases_of(net: masking.Net) -> list[Tensor]:
    """Copies of everything that is no prunable weight."""
    if isinstance(net, StackedMLP):
        return [bias.clone() for bias in net.biases]
    return [p.detach().clone() for module in net for name, p in module.named_parameters() if "weight" not in name]


def remembered(net: masking.Net, history) -> list[tuple[str, Tensor]]:
    """(layer, what the optimiser holds for its weights [R, *shape]) of every state tensor."""
    if isinstance(net, StackedMLP):
        (chunk,) = history.state["chunks"]
        tensors = {n: t for n, t in chunk["engine"]["tensors"].items() if n in MEMORY}
        layers = list(weights_of(net).items())
        return [
            (name, view[:, : values.shape[1], : values.shape[2]])
            for tensor in tensors.values()
            for (name, values), view in zip(layers, net.views(tensor), strict=True)
        ]
    found = []
    for name in weights_of(net):
        place = list(dict(net[0].named_parameters())).index(f"{name}.parametrizations.weight.original")
        states = [optimiser["state"].get(place, {}) for _, optimiser in history.state["engine"]["modules"]]
        keys = [key for key, value in states[0].items() if torch.is_tensor(value) and value.dim()]
        found += [(name, torch.stack([state[key] for state in states])) for key in keys]
    return found


def train(net: masking.Net, rule=RULES["momentum decay"], steps: int = 10):
    options = {"chunk": 2, "execution": "dense"} if isinstance(net, StackedMLP) else {"seeds": SEEDS}
    return fit(net, problem(), optimizer=rule, steps=steps, batch_size=16, **options)


@pytest.mark.parametrize("cut", ["zero", "freeze"])
@pytest.mark.parametrize("kind", NETS)
def test_cutting_changes_only_what_is_cut_and_no_bias(kind, cut):
    net = NETS[kind]()
    before, biases, masks = weights_of(net), biases_of(net), some_masks(net)
    apply(net, masks, cut)
    for name, values in weights_of(net).items():
        assert torch.equal(values, torch.where(masks[name], before[name], 0) if cut == "zero" else before[name])
    assert all(map(torch.equal, biases_of(net), biases))
    assert all(torch.equal(masks_of(net)[name], masks[name]) for name in masks)


@pytest.mark.parametrize("cut", ["zero", "freeze"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", NETS)
def test_neither_momentum_nor_decay_nor_adam_revives_a_cut_weight(kind, rule, cut):
    net = NETS[kind]()
    masks, biases = some_masks(net), biases_of(net)
    apply(net, masks, cut)
    before = weights_of(net)
    train(net, RULES[rule])
    for name, values in weights_of(net).items():
        kept = masks[name]
        assert torch.equal(values[~kept], before[name][~kept]) and (cut == "freeze" or not values[~kept].any())
        # Every kept weight moves, whatever its sign: `weight < epsilon` once froze all negative ones.
        for sign in (before[name] < 0, before[name] > 0):
            assert (kept & sign).any() and (values != before[name])[kept & sign].all()
    assert not any(map(torch.equal, biases_of(net), biases))


@pytest.mark.parametrize("cut", ["zero", "freeze"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", NETS)
def test_the_optimiser_holds_nothing_for_a_cut_weight(kind, rule, cut):
    net = NETS[kind]()
    masks = some_masks(net)
    apply(net, masks, cut)
    held = remembered(net, train(net, RULES[rule], steps=3))
    assert bool(held) or rule.startswith("sgd")
    for name, state in held:
        assert not state[~masks[name]].any() and state[masks[name]].any()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cut", ["zero", "freeze"])
def test_masked_training_is_the_textbook_rule_with_the_gradient_masked(cut, rule):
    """Stack, modules, and torch's optimiser fed with masked gradients by hand (no decay where cut)."""
    net = stacked(torch.float64)
    modules, masks = linear(net), some_masks(net)
    apply(net, masks, cut)
    apply(modules, dict(zip(weights_of(modules), masks.values(), strict=True)), cut)
    start = net.clone()
    for target in (net, modules):
        fit(target, problem(dtype=torch.float64), optimizer=RULES[rule], steps=20, batch_size=None, seeds=SEEDS)
    for r, module in enumerate(modules):
        expected = by_hand(start, [mask[r] for mask in masks.values()], r, RULES[rule])
        for layer, w in enumerate(expected):
            torch.testing.assert_close(net.weights[layer][r], w, atol=1e-6, rtol=0)
            torch.testing.assert_close(module[2 * layer].weight, w, atol=1e-6, rtol=0, check_device=False)


def by_hand(start: StackedMLP, masks: list[Tensor], r: int, rule) -> list[Tensor]:
    fixed = [(w[r] * ~mask).clone() for w, mask in zip(start.weights, masks, strict=True)]
    free = [(w[r] * mask).clone().requires_grad_() for w, mask in zip(start.weights, masks, strict=True)]
    biases = [b[r].clone().requires_grad_() for b in start.biases]
    options = {"lr": rule.lr, "weight_decay": rule.weight_decay}
    if isinstance(rule, SGD):
        optimiser = torch.optim.SGD([*free, *biases], momentum=rule.momentum, nesterov=rule.nesterov, **options)
    else:
        optimiser = (torch.optim.AdamW if rule.decoupled else torch.optim.Adam)([*free, *biases], **options)
    data = problem(dtype=torch.float64)
    for _ in range(20):
        x = data.x
        for layer, bias in enumerate(biases):
            x = x @ (free[layer] + fixed[layer]).T + bias
            x = x.tanh() if layer < len(biases) - 1 else x
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(x, data.y).backward()
        for w, mask in zip(free, masks, strict=True):
            w.grad.mul_(mask)
        optimiser.step()
    return [(a + b).detach() for a, b in zip(free, fixed, strict=True)]


@pytest.mark.parametrize("kind", NETS)
def test_masks_applied_again_replace_the_earlier_ones(kind):
    net = NETS[kind]()
    first = some_masks(net)
    second = {name: ~mask for name, mask in first.items()}
    apply(net, first)
    apply(net, second)
    assert not any(values.any() for values in weights_of(net).values())  # both halves have been cut
    train(net, RULES["adamw"], steps=3)
    for name, values in weights_of(net).items():
        assert not values[first[name]].any() and torch.equal(masks_of(net)[name], second[name])


@pytest.mark.parametrize("kind", NETS)
def test_frozen_weights_can_be_freed_and_cut_ones_come_back_as_zeros(kind):
    net = NETS[kind]()
    masks, before = some_masks(net), weights_of(net)
    apply(net, masks, "freeze")
    apply(net, dense(masks))
    assert all(torch.equal(values, before[name]) for name, values in weights_of(net).items())
    apply(net, masks, "zero")
    apply(net, dense(masks))
    train(net)
    for name, values in weights_of(net).items():
        assert (values != before[name] * masks[name]).all()


@pytest.mark.parametrize("cut", ["zero", "freeze"])
@pytest.mark.parametrize("kind", NETS)
def test_removed_masks_leave_the_weights_as_they_acted_and_free_to_move(kind, cut):
    net = NETS[kind]()
    apply(net, some_masks(net), cut)
    train(net, steps=3)
    before = weights_of(net)
    remove(net)
    assert all(torch.equal(values, before[name]) for name, values in weights_of(net).items())
    assert all(mask.all() for mask in masks_of(net).values())
    if not isinstance(net, StackedMLP):
        assert not [name for module in net for name, _ in module.named_parameters() if "parametrizations" in name]
    train(net, steps=3)
    assert all((values != before[name]).all() for name, values in weights_of(net).items())


@pytest.mark.parametrize("cut", ["zero", "freeze"])
@pytest.mark.parametrize("kind", NETS)
def test_rewinding_a_masked_net_restores_the_kept_weights_bit_for_bit_and_revives_none(kind, cut):
    net = NETS[kind]()
    initial, masks = weights_of(net), some_masks(net)
    apply(net, masks, cut)
    acting = weights_of(net)
    train(net)
    biases = biases_of(net)
    load_weights(net, initial)
    for name, values in weights_of(net).items():
        assert torch.equal(values, acting[name]) and torch.equal(values[masks[name]], initial[name][masks[name]])
    assert all(map(torch.equal, biases_of(net), biases))
    load_weights(net, {name: values + 1 for name, values in initial.items()})
    held = remembered(net, train(net, RULES["adam decay"], steps=3))
    for name, values in weights_of(net).items():
        assert torch.equal(values[~masks[name]], acting[name][~masks[name]])
    assert all(not state[~masks[name]].any() for name, state in held)


def test_a_masked_forward_pass_is_that_of_the_net_with_its_cut_weights_at_zero():
    net = conv()[:1]
    plain, masks = copy.deepcopy(net), some_masks(net)
    apply(net, masks)
    with torch.no_grad():
        for name, mask in masks.items():
            plain[0].get_submodule(name).weight.mul_(mask[0])
    x = problem().x
    assert torch.equal(net[0](x), plain[0](x))
    twin = copy.deepcopy(net)
    train_one = {"optimizer": SGD(0.1, 0.9, weight_decay=0.1), "steps": 5, "batch_size": 10}
    fit(twin, problem(), **train_one)
    for name, mask in masks.items():
        assert not weights_of(twin)[name][~mask].any()
        assert torch.equal(weights_of(net)[name], weights_of(plain)[name]), "a copy trains alone"


@pytest.mark.parametrize("kind", NETS)
def test_what_is_read_from_a_net_is_a_copy(kind):
    net = NETS[kind]()
    before = weights_of(net)
    for values in weights_of(net).values():
        values.zero_()
    assert all(torch.equal(values, before[name]) for name, values in weights_of(net).items())


def test_layers_are_named_in_order_with_the_replicate_first():
    shapes = {name: tuple(values.shape) for name, values in weights_of(stacked()).items()}
    assert list(shapes.items()) == [("layer1", (2, 13, 7)), ("layer2", (2, 11, 13)), ("layer3", (2, 4, 11))]
    shapes = {name: tuple(values.shape) for name, values in weights_of(conv()).items()}
    assert list(shapes.items()) == [("1", (2, 4, 1, 3)), ("5", (2, 3, 4, 3, 1)), ("8", (2, 4, 9))]
    one = nn.Linear(3, 2)
    assert torch.equal(weights_of(one)[""][0], one.weight)


WRONG = {
    "missing layer": lambda m: {n: v for n, v in m.items() if n != "layer2"},
    "unknown layer": lambda m: m | {"layer9": m["layer1"]},
    "other order": lambda m: dict(reversed(m.items())),
    "no replicate axis": lambda m: {n: v[0] for n, v in m.items()},
    "one replicate for two": lambda m: {n: v[:1] for n, v in m.items()},
    "transposed": lambda m: {n: v.transpose(1, 2) for n, v in m.items()},
    "float": lambda m: {n: v.float() for n, v in m.items()},
    "uint8": lambda m: {n: v.to(torch.uint8) for n, v in m.items()},
}


@pytest.mark.parametrize("fault", WRONG)
def test_masks_that_do_not_fit_are_refused_and_change_nothing(fault):
    net = stacked()
    before, wrong = net.flat.clone(), WRONG[fault](some_masks(net))
    names = r"type of mask" if fault in ("float", "uint8") else r"names of mask|shape of mask"
    for refuse in (lambda: check_masks(wrong, weights_of(net)), lambda: apply(net, wrong)):
        with pytest.raises(BadInput, match=names):
            refuse()
    assert torch.equal(net.flat, before) and net.masks is None
    modules = linear()
    renamed = {n.replace("layer", "x") if n == "layer9" else str(2 * (int(n[-1]) - 1)): v for n, v in wrong.items()}
    with pytest.raises(BadInput, match=names):
        apply(modules, renamed)


def test_weights_that_do_not_fit_and_unknown_cuts_are_refused():
    net = stacked()
    with pytest.raises(BadInput, match="shape of weights layer1"):
        load_weights(net, {name: values[:1] for name, values in weights_of(net).items()})
    with pytest.raises(BadInput, match="names of weights"):
        load_weights(linear(), weights_of(net))
    for target in (net, linear()):
        with pytest.raises(BadInput, match="zero or freeze"):
            apply(target, dense(weights_of(target)), "half")  # type: ignore[arg-type]
    assert net.masks is None


TWO = {
    "a": torch.tensor([[[1, 0, 0], [1, 1, 0]], [[0, 0, 0], [0, 0, 0]]], dtype=torch.bool),
    "b": torch.tensor([[[1, 0]], [[0, 0]]], dtype=torch.bool),
}


def test_density_is_the_share_kept_over_all_layers_by_replicate():
    assert density(TWO).tolist() == [0.5, 0.0]  # 4 of 8 weights
    assert {name: kept.tolist() for name, kept in counts(TWO).items()} == {"a": [3, 0], "b": [1, 0]}
    assert density(dense(TWO)).tolist() == [1.0, 1.0]
    assert {name: (mask.dtype, mask.shape) for name, mask in dense({"w": torch.zeros(2, 3)}).items()} == {
        "w": (torch.bool, (2, 3))
    }


def test_counts_of_all_layers_are_one_array():
    assert kept_by_layer(TWO).tolist() == [[3, 1], [0, 0]]


def test_packed_layers_are_one_row_a_replicate_and_unpack_to_themselves():
    rows = packed(TWO)
    assert rows.shape == (2, 8) and rows[0].sum() == 4 and not rows[1].any()
    back = unpacked(rows, {name: torch.zeros(mask.shape) for name, mask in TWO.items()})
    assert list(back) == list(TWO) and all(torch.equal(back[name], TWO[name]) for name in TWO)
    one = unpacked(rows[:1], TWO)  # another number of replicates
    assert torch.equal(one["a"], TWO["a"][:1])
    with pytest.raises(BadInput, match="packed layers"):
        unpacked(rows[:, 1:], TWO)


def test_degrees_count_the_survivors_of_each_unit_and_of_each_channel():
    incoming, outgoing = degrees(TWO["a"])
    assert incoming.tolist() == [[1, 2], [0, 0]] and outgoing.tolist() == [[2, 1, 0], [0, 0, 0]]
    kernel = torch.zeros(1, 2, 3, 2, 2, dtype=torch.bool)
    kernel[0, 0, 1] = True  # a full kernel from channel 1 to channel 0
    kernel[0, 1, 2, 0, 1] = True
    incoming, outgoing = degrees(kernel)
    assert incoming.tolist() == [[4, 1]] and outgoing.tolist() == [[0, 4, 1]]


def test_emptied_layers_are_counted_by_replicate():
    assert empty_layers(TWO).tolist() == [0, 2]
    assert empty_layers({"a": TWO["a"], "b": TWO["b"].flip(0)}).tolist() == [1, 1]


def test_replicates_are_picked_and_joined_along_the_first_axis():
    picked = select_replicates(TWO, [1, 0, 0])
    assert torch.equal(picked["a"], torch.stack([TWO["a"][1], TWO["a"][0], TWO["a"][0]]))
    joined = concat([picked, select_replicates(TWO, [1])])
    assert torch.equal(joined["b"], TWO["b"][[1, 0, 0, 1]]) and list(joined) == ["a", "b"]


def test_masks_of_a_stack_with_dense_layers_are_filled_in():
    net = stacked()
    only = some_masks(net)["layer2"]
    net.apply_masks([None, only, None])
    found = masks_of(net)
    assert found["layer1"].all() and found["layer3"].all() and torch.equal(found["layer2"], only)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", NETS)
def test_masked_training_on_cuda_agrees_with_the_cpu(kind):
    found = []
    for device in ("cpu", "cuda"):
        net = NETS[kind]()
        masks = some_masks(net)
        apply(net, masks, "zero")
        fit(net, problem(), optimizer=RULES["momentum decay"], steps=20, batch_size=16, seeds=SEEDS, device=device)
        found.append({name: values.cpu() for name, values in weights_of(net).items()})
    for name, values in found[1].items():
        assert not values[~masks[name]].any()
        torch.testing.assert_close(values, found[0][name], atol=1e-4, rtol=1e-3)


# One parameter with two names


def tied(kind="parameter") -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    shared = {
        "parameter": lambda w: w,
        "memory": lambda w: nn.Parameter(w.data),
        "transposed": lambda w: nn.Parameter(w.data.T),
    }
    net[2].weight = shared[kind](net[0].weight)
    return net


@pytest.mark.parametrize("kind", ["parameter", "memory", "transposed"])
def test_a_weight_with_two_names_is_refused_by_both_and_nothing_changes(kind):
    net = tied(kind)
    before, count = copy.deepcopy(net.state_dict()), len(list(net.parameters()))
    masks = {name: torch.rand(1, *shape) > 0.5 for name, shape in {"0": (8, 8), "2": (8, 8), "4": (3, 8)}.items()}
    for refused in (
        lambda: weights_of(net),
        lambda: apply(net, masks),
        lambda: masks_of(net),
        lambda: load_weights(net, {name: mask.float() for name, mask in masks.items()}),
    ):
        with pytest.raises(BadInput, match=r"0\.weight and 2\.weight.*copy"):
            refused()
    remove(net)
    assert len(list(net.parameters())) == count and all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_the_remedy_for_a_shared_weight_works():
    net = tied()
    net.get_submodule("2").weight = nn.Parameter(net.get_submodule("2").weight.detach().clone())
    apply(net, some_masks(net))
    kept = {name: int(mask.sum()) for name, mask in masks_of(net).items()}
    assert kept == {name: int((values != 0).sum()) for name, values in weights_of(net).items()}


def test_an_output_layer_tied_to_an_embedding_is_refused_and_shared_biases_are_not():
    net = nn.ModuleDict({"embed": nn.Embedding(9, 4), "out": nn.Linear(4, 9, bias=False)})
    net["out"].weight = net["embed"].weight
    with pytest.raises(BadInput, match=r"embed\.weight and out\.weight"):
        weights_of(net)
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].bias = net[0].bias
    assert list(weights_of(net)) == ["0", "1"]


def test_a_part_that_is_used_twice_is_masked_once_and_in_both_places():
    layer = nn.Linear(4, 4, bias=False)
    net, x = nn.Sequential(layer, nn.ReLU(), layer), torch.randn(3, 4)
    assert list(weights_of(net)) == ["0"]
    masks = some_masks(net)
    acting = layer.weight.detach() * masks["0"][0]
    apply(net, masks)
    torch.testing.assert_close(net(x), torch.relu(x @ acting.T) @ acting.T)


def test_parts_of_one_storage_that_do_not_overlap_are_no_shared_weight():
    chunk = torch.randn(32)
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    net[0].weight, net[1].weight = nn.Parameter(chunk[:16].view(4, 4)), nn.Parameter(chunk[16:].view(4, 4))
    assert list(weights_of(net)) == ["0", "1"]


def test_replicates_that_are_one_module_or_share_a_weight_cannot_be_masked_apart():
    net, other = linear()[0], linear()[1]
    other[2].weight = net[2].weight
    for nets in ([net, net], [net, other]):
        masks = some_masks(nets)
        with pytest.raises(BadInput, match="replicates 0 and 1"):
            apply(nets, masks)


# What masks leave of a user's net


@pytest.mark.parametrize("cut", ["zero", "freeze"])
def test_masks_come_off_a_net_whose_parameters_are_the_ones_it_had_in_their_order(cut):
    net = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(12, 4)).to(memory_format=torch.channels_last)
    before = list(net.named_parameters())
    optimiser = torch.optim.SGD(net.parameters(), 0.1)
    apply(net, some_masks(net), cut)
    remove(net)
    after = list(net.named_parameters())
    assert [name for name, _ in after] == [name for name, _ in before]
    assert all(now is then for (_, now), (_, then) in zip(after, before, strict=True))
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
    values = weights_of(net)
    net(torch.randn(5, 2, 3, 3)).square().sum().backward()
    optimiser.step()
    assert all((now != values[name]).any() for name, now in weights_of(net).items()), "the optimiser lost a weight"


def test_a_weight_that_is_computed_already_keeps_what_computes_it():
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 2))
    pruned = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    prune.l1_unstructured(pruned[0], "weight", 0.5)
    for net in (normed, pruned):
        names = [name for name, _ in net.named_parameters()]
        weights = weights_of(net)
        for refused in (lambda net=net: apply(net, some_masks(net)), lambda net=net, w=weights: load_weights(net, w)):
            with pytest.raises(BadInput, match=r"weight of '0' = 'computed"):
                refused()
        remove(net)
        assert [name for name, _ in net.named_parameters()] == names
    assert bool((masks_of(pruned)["0"]).all()) and density(masks_of(normed)).tolist() == [1.0]


# Any module


class Recurrent(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.embed, self.part, self.out = nn.Embedding(9, 6), part, nn.Linear(5, 3)

    def forward(self, tokens):
        return self.out(self.part(self.embed(tokens))[0][:, -1])


class Attentive(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.embed, self.part = nn.Embedding(9, 6), nn.MultiheadAttention(6, 2, batch_first=True, **options)
        self.place, self.out = nn.Parameter(torch.randn(1, 7, 6)), nn.Linear(6, 3)

    def forward(self, tokens):
        x = self.embed(tokens) + self.place
        return self.out(self.part(x, x[..., : self.part.kdim], x[..., : self.part.vdim])[0].mean(1))


class Cells(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.part, self.out = nn.Embedding(9, 6), nn.GRUCell(6, 5), nn.Linear(5, 3)

    def forward(self, tokens):
        h = None
        for x in self.embed(tokens).unbind(1):
            h = self.part(x, h)
        return self.out(h)


class Upwards(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.part, self.out = nn.Embedding(9, 6), nn.ConvTranspose1d(6, 4, 3, groups=2), nn.Linear(4, 3)

    def forward(self, tokens):
        return self.out(self.part(self.embed(tokens).mT).mean(2))


IH, HH = "part.weight_ih", "part.weight_hh"
ANY = {
    "lstm": (lambda: Recurrent(nn.LSTM(6, 5, batch_first=True)), [f"{IH}_l0", f"{HH}_l0", "out"]),
    "gru, both ways": (
        lambda: Recurrent(nn.GRU(6, 5, batch_first=True, bidirectional=True)),
        [f"{IH}_l0", f"{HH}_l0", f"{IH}_l0_reverse", f"{HH}_l0_reverse", "out"],
    ),
    "rnn of two layers": (
        lambda: Recurrent(nn.RNN(6, 5, 2, batch_first=True)),
        [f"{IH}_l0", f"{HH}_l0", f"{IH}_l1", f"{HH}_l1", "out"],
    ),
    "cell": (Cells, [IH, HH, "out"]),
    "attention": (Attentive, ["part.in_proj_weight", "part.out_proj", "out"]),
    "attention in parts": (
        lambda: Attentive(kdim=4, vdim=5),
        [*(f"part.{kind}_proj_weight" for kind in "qkv"), "part.out_proj", "out"],
    ),
    "transposed": (Upwards, ["part", "out"]),
}
TOKENS = torch.arange(28).view(4, 7) % 9


def module_of(kind: str) -> nn.Module:
    torch.manual_seed(1)
    made = ANY[kind][0]()
    if kind == "gru, both ways":
        made.out = nn.Linear(10, 3)
    return made


@pytest.mark.filterwarnings("ignore:no masks for")
@pytest.mark.parametrize("kind", ANY)
def test_every_matrix_of_a_module_is_masked_counted_and_kept_cut(kind):
    net = module_of(kind)
    assert list(weights_of(net)) == ANY[kind][1]
    matrices = {n: p for n, p in net.named_parameters() if p.dim() > 1 and "embed" not in n and n != "place"}
    assert sum(values.numel() for values in weights_of(net).values()) == sum(p.numel() for p in matrices.values())
    masks, names = some_masks(net), [name for name, _ in net.named_parameters()]
    plain = copy.deepcopy(net)
    load_weights(plain, {name: values * masks[name] for name, values in weights_of(net).items()})
    apply(net, masks)
    assert torch.equal(net(TOKENS), plain(TOKENS))
    optimiser = torch.optim.AdamW(net.parameters(), 0.1, weight_decay=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(TOKENS), torch.arange(4) % 3).backward()
        optimiser.step()
    twin = copy.deepcopy(copy.deepcopy(net).double()).float()
    for name, values in weights_of(net).items():
        assert not values[~masks[name]].any() and (values != weights_of(plain)[name])[masks[name]].any()
    with torch.no_grad():
        for one in (net, twin):
            one.eval()
        acted = net(TOKENS)
        assert torch.equal(twin(TOKENS), acted)
        remove(net)
        torch.testing.assert_close(net(TOKENS), acted)
    assert [name for name, _ in net.named_parameters()] == names
    net.train()(TOKENS).sum().backward()


@pytest.mark.filterwarnings("ignore:no masks for")
def test_embeddings_and_a_modules_own_parameters_are_masked_when_asked_and_come_first():
    net = module_of("attention")
    assert "embed" not in weights_of(net) and masking.left_out(net) == ["place"]
    weights = weights_of(net, also=["place", "embed"])
    assert list(weights) == ["place", "embed", *ANY["attention"][1]]
    masks = {name: torch.rand(values.shape) < 0.5 for name, values in weights.items()}
    apply(net, masks)
    found = masks_of(net)
    assert set(found) == set(masks) and all(torch.equal(found[name], masks[name]) for name in masks)
    assert not net.embed.weight[~masks["embed"][0]].any() and not net.place[~masks["place"][0]].any()
    assert masking.left_out(net, ["place"]) == []
    with pytest.raises(BadInput, match="name in `also`"):
        weights_of(net, also=["embedding"])
    with pytest.raises(BadInput, match="names of mask"):  # a norm or a bias is no weight
        apply(net, masks | {"out.bias": torch.ones(1, 3, dtype=torch.bool)})
    with pytest.raises(BadInput, match="also"):
        weights_of(stacked(), also=["place"])


def test_what_is_left_out_is_told_by_name():
    with pytest.warns(UserWarning, match=r"\['place'\]"):
        weights_of(module_of("attention"))


def test_nets_without_weights_of_unlike_shape_or_not_built_yet_are_refused():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = nn.Parameter(torch.ones(3, 3))

    with pytest.raises(BadInput, match=r"weights of the net.*'matrix'"), pytest.warns(UserWarning):
        weights_of(Own())
    with pytest.raises(BadInput, match="weights of replicate 1"):
        weights_of([nn.Linear(3, 2), nn.Linear(2, 2)])
    with pytest.raises(BadInput, match="Run it once"):
        weights_of(nn.LazyLinear(3))
    for nothing in ([], "net", [nn.Linear(2, 2), 3]):
        with pytest.raises(BadInput, match="net = "):
            weights_of(nothing)


def test_degrees_of_grouped_and_transposed_convolutions_count_by_channel():
    weight = nn.Conv1d(4, 6, 3, groups=2).weight
    mask = torch.zeros(1, *weight.shape, dtype=torch.bool)  # [1, 6, 2, 3]
    mask[0, 1, 0], mask[0, 4, 1, :2] = True, True  # channel 0 to 1, and channel 3 to 4
    incoming, outgoing = degrees(mask, groups=2)
    assert incoming.tolist() == [[0, 3, 0, 0, 2, 0]] and outgoing.tolist() == [[3, 0, 0, 2]]
    turned = degrees(mask, groups=2, transposed=True)
    assert torch.equal(turned[0], outgoing) and torch.equal(turned[1], incoming)
    with pytest.raises(BadInput, match="mask and groups"):
        degrees(mask[0, 0])
