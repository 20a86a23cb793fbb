"""Learned masks: the step equals autograd, the weights never move, replicates do not see each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning import supermasks
from redlib.pruning.masks import density
from redlib.pruning.supermasks import ScoredMLP, sampled_accuracy, signed_constant
from redlib.training import SGD, Adam, AdamW, Examples, evaluate, fit

SIZES = (7, 13, 11, 4)
KINDS = [(mode, rescale) for mode in ("bernoulli", "popup") for rescale in (False, True)]
RULES = {
    "sgd": SGD(1.0),
    "momentum decay": SGD(1.0, momentum=0.9, weight_decay=1e-2),
    "adam": Adam(1e-2),
    "adamw": AdamW(1e-2, weight_decay=0.1),
}


def problem(n=90, double=False) -> Examples:
    """Four overlapping clusters."""
    g = torch.Generator().manual_seed(5)
    centres, y = 2 * torch.randn(4, 7, generator=g), torch.randint(4, (n,), generator=g)
    x = centres[y] + torch.randn(n, 7, generator=g)
    return Examples(x.double() if double else x, y)


def dense(seeds=(3, 4), dtype=torch.float32, init="torch") -> StackedMLP:
    return StackedMLP.create(SIZES, seeds, init=init, dtype=dtype)


class TopK(torch.autograd.Function):
    """1 for the k largest values, else 0; the gradient passes straight through."""

    @staticmethod
    def forward(ctx, values, k):
        mask = torch.zeros_like(values).flatten()
        mask[values.flatten().topk(k).indices] = 1
        return mask.view_as(values)

    @staticmethod
    def backward(ctx, grad):
        return grad, None


class Reference:
    """One replicate in autograd, straight from the papers' definitions."""

    def __init__(self, net: ScoredMLP, r: int):
        self.mode, self.rescale, self.keep, self.seed, self.step = net.mode, net.rescale, net.keep, net.seeds[r], 0
        self.weights, self.biases = ([p[r].clone() for p in ps] for ps in (net.frozen.weights, net.frozen.biases))
        self.scores = [nn.Parameter(s[r].clone()) for s in net.weights]

    def masks(self) -> list[Tensor]:
        if self.mode == "popup":
            return [TopK.apply(s.abs(), round(self.keep * s.numel())) for s in self.scores]
        source, masks = rng(self.seed, "mask", self.step), []
        for scores in self.scores:
            chance = torch.sigmoid(scores)
            drawn = (torch.from_numpy(source.random(scores.shape)) < chance).double()
            masks.append(drawn + chance - chance.detach())
        return masks

    def loss(self, x: Tensor, y: Tensor, loss: str = "cross_entropy") -> Tensor:
        for layer, (w, b, mask) in enumerate(zip(self.weights, self.biases, self.masks(), strict=True)):
            factor = mask.numel() / (mask.sum() if self.mode == "bernoulli" else mask.sum().detach())
            x = x @ (w * mask * (factor if self.rescale else 1)).T + b
            x = x.relu() if layer < len(self.weights) - 1 else x
        self.step += 1
        if loss == "mse":
            return nn.functional.mse_loss(x, nn.functional.one_hot(y, x.shape[1]).double())
        return nn.functional.cross_entropy(x, y)


@pytest.mark.parametrize("rule", ["sgd", "momentum decay", "adam", "adamw"])
@pytest.mark.parametrize(("mode", "rescale"), KINDS)
def test_steps_equal_autograd_through_the_mask(mode, rescale, rule):
    # float64: what is compared is the algebra, not rounding
    net = ScoredMLP.create(dense(dtype=torch.float64), mode, keep=0.3, rescale=rescale)
    references = [Reference(net, r) for r in range(2)]
    start, data, optimizer = net.flat.clone(), problem(double=True), RULES[rule]
    fit(net, data, optimizer=optimizer, steps=8, batch_size=None)
    assert max(float(s.sub(b).abs().max()) for s, b in zip(net.blocks, net.views(start), strict=True)) > 1e-2
    for r, reference in enumerate(references):
        make = torch.optim.SGD if isinstance(optimizer, SGD) else torch.optim.Adam
        options = {"lr": optimizer.lr, "weight_decay": optimizer.weight_decay}
        if isinstance(optimizer, SGD):
            options["momentum"] = optimizer.momentum
        elif optimizer.decoupled:
            make = torch.optim.AdamW
        step = make(reference.scores, **options)
        for _ in range(8):
            step.zero_grad()
            reference.loss(data.x, data.y).backward()
            step.step()
        for ours, theirs in zip(net.weights, reference.scores, strict=True):
            torch.testing.assert_close(ours[r], theirs.detach(), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(("mode", "rescale"), KINDS)
def test_gradient_adds_its_scaled_value_and_touches_scores_only(mode, rescale, loss):
    net = ScoredMLP.create(dense(dtype=torch.float64), mode, rescale=rescale)
    for scores in net.weights:  # far from the start, where all Bernoulli slopes are equal
        scores.copy_(torch.randn(scores.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    references = [Reference(net, r) for r in range(2)]
    data = problem(double=True)
    out = torch.full_like(net.flat, 2.0)
    batch = net.pad(data.x).expand(2, -1, -1).contiguous(), data.y.expand(2, -1)
    scale = torch.tensor([0.5, -3.0], dtype=torch.float64)
    losses = net.gradient(*batch, loss, out, beta=0.25, scale=scale)
    expected = net.views(torch.full_like(out, 0.5))
    for r, reference in enumerate(references):
        theirs = reference.loss(data.x, data.y, loss)
        theirs.backward()
        assert losses[r].item() == pytest.approx(theirs.item())
        for view, scores in zip(expected, reference.scores, strict=True):
            view[r, : scores.shape[0], : scores.shape[1]] += scale[r] * scores.grad
    for ours, theirs in zip(net.views(out), expected, strict=True):
        assert bool((theirs != 0.5).any())
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    assert out[-2:].tolist() == [2.0, 2.0] and net.steps.tolist() == [1, 1]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("mode", "rescale"), KINDS)
def test_training_moves_scores_and_never_a_weight_or_bias(mode, rescale, rule):
    original = dense()
    before = original.flat.clone()
    net = ScoredMLP.create(original, mode, rescale=rescale)
    start = net.clone()
    fit(net, problem(), optimizer=RULES[rule], steps=20, batch_size=16)
    assert torch.equal(net.frozen.flat, before) and torch.equal(original.flat, before)
    assert net.frozen.flat.data_ptr() != original.flat.data_ptr()
    assert all(torch.equal(a, b) for a, b in zip(net.subnet().biases, original.biases, strict=True))
    assert all((a != b).any() for a, b in zip(net.weights, start.weights, strict=True))
    assert all(bool((b == 0).all()) for b in net.biases)


@pytest.mark.parametrize(("mode", "rescale"), KINDS)
def test_what_acts_is_the_frozen_weight_times_mask_times_size_over_ones(mode, rescale):
    net = ScoredMLP.create(dense(), mode, keep=0.3, rescale=rescale)
    fit(net, problem(), optimizer=SGD(1.0), steps=5, batch_size=16)
    sub = net.subnet(sample=2)
    for mask, acting, frozen in zip(net.supermasks(2).values(), sub.weights, net.frozen.weights, strict=True):
        ones = mask.sum((1, 2)).tolist()
        assert min(ones) > 0 and max(ones) < mask[0].numel()
        for r, count in enumerate(ones):
            factor = mask[r].numel() / count if rescale else 1.0
            torch.testing.assert_close(acting[r], frozen[r] * mask[r] * factor)


@pytest.mark.parametrize("keep", [0.01, 0.1, 0.5, 0.9, 1.0])
def test_popup_keeps_exactly_k_of_each_layer_and_the_largest(keep):
    net = ScoredMLP.create(StackedMLP.create((90, 110, 60), seeds=range(3)), "popup", keep=keep)
    for scores in net.weights:
        for r in range(3):
            mask = net.supermasks()[f"layer{1 + (scores is not net.weights[0])}"][r]
            count = round(keep * mask.numel())
            best = scores[r].abs().flatten().topk(count).indices
            assert mask.flatten().nonzero().flatten().tolist() == sorted(best.tolist())


def test_popup_breaks_ties_by_position_and_keeps_exactly_k():
    net = ScoredMLP.create(StackedMLP.create((4, 3), seeds=(0, 1)), "popup", keep=0.5)
    net.weights[0][0] = torch.tensor([[1, -1, 1, 1], [1, 1, 1, -1], [1, 1, 1, 1]])
    net.weights[0][1] = torch.tensor([[0, 0, 0, 0], [0, 0, -3, 0], [0, 2, 0, 0]])
    mask = net.supermasks()["layer1"].int()
    assert mask[0].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert mask[1].tolist() == [[1, 1, 1, 1], [0, 0, 1, 0], [0, 1, 0, 0]]


def rows() -> dict[str, np.ndarray]:
    source, n = np.random.default_rng(0), 3 * supermasks.FEW + 7
    periodic = np.arange(n) % supermasks.STRIDE  # what the sample sees of it is one value
    return {
        "continuous": source.standard_normal(n),
        "heavy ties": source.integers(0, 3, n),
        "equal": np.ones(n),
        "sorted": np.arange(n),
        "misleads the sample": np.where(periodic == 0, 1e6, source.standard_normal(n)),
        "short": source.standard_normal(50),
    }


@pytest.mark.parametrize("kind", rows())
def test_ranks_are_those_of_a_full_sort(kind):
    row = rows()[kind].astype(np.float32)
    ordered = np.sort(row)
    for rank in (0, 1, len(row) // 3, len(row) // 2, len(row) - 2, len(row) - 1):
        assert supermasks._ranked(row, rank) == ordered[rank]


@pytest.mark.parametrize("others", [1, 4])
@pytest.mark.parametrize(("mode", "rescale"), KINDS)
def test_replicate_alone_equals_replicate_among_others_bit_for_bit(mode, rescale, others):
    def train(seeds):
        net = ScoredMLP.create(dense(seeds), mode, rescale=rescale)
        history = fit(net, problem(), optimizer=RULES["momentum decay"], steps=40, batch_size=32,
                      evaluate={"train": problem()})  # fmt: skip
        return net.vector(), history.batch_loss, history["train_loss"]

    alone, among = train([9]), train([*range(others), 9])
    assert all(np.array_equal(a[0], b[-1]) for a, b in zip(alone, among, strict=True))


@pytest.mark.parametrize("mode", ["bernoulli", "popup"])
def test_chunks_and_evaluation_do_not_change_training(mode):
    nets = [ScoredMLP.create(dense(range(7)), mode) for _ in range(2)]
    rest = {"optimizer": Adam(1e-2), "steps": 30, "batch_size": 16}
    fit(nets[0], problem(), chunk=100, **rest)
    fit(nets[1], problem(), chunk=2, evaluate={"train": problem()}, probe_steps=range(0, 31, 3), **rest)
    assert torch.equal(nets[0].flat, nets[1].flat)
    assert nets[0].steps.tolist() == [30] * 7


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("mode", ["bernoulli", "popup"])
def test_resumed_equals_uninterrupted_even_onto_a_fresh_net(mode, rule):
    def net():
        return ScoredMLP.create(dense(), mode, rescale=True)

    rest = {"optimizer": RULES[rule], "batch_size": 16}
    whole, broken, fresh = net(), net(), net()
    fit(whole, problem(), steps=50, **rest)
    first = fit(broken, problem(), steps=23, **rest)
    fit(fresh, problem(), steps=50, resume=first.state, **rest)
    assert torch.equal(whole.flat, fresh.flat)


def test_bernoulli_masks_are_new_at_every_step_and_follow_their_chances():
    net = ScoredMLP.create(StackedMLP.create((40, 50), seeds=(0, 1)), "bernoulli")
    net.weights[0][0], net.weights[0][1] = 0.0, -2.0
    x, y, drawn = net.pad(torch.zeros(2, 1, 40)), torch.zeros(2, 1, dtype=torch.int64), []
    for _ in range(20):
        net.gradient(x, y, "mse", torch.zeros_like(net.flat))
        drawn.append(net._layers[0].mask.clone())
    chances = torch.sigmoid(torch.tensor([0.0, -2.0]))
    error = (torch.stack(drawn).mean((0, 2, 3)) - chances).abs()
    assert bool((error < 4 * (chances * (1 - chances) / 40_000).sqrt()).all())
    overlap = (drawn[0][0] == drawn[1][0]).float().mean()  # equal masks would agree everywhere
    assert 0.44 < overlap < 0.56
    torch.testing.assert_close(density(net.supermasks()), chances, atol=0.06, rtol=0)


def test_accuracy_is_the_mean_over_sampled_masks_and_logits_are_those_of_sample_zero():
    data, net = problem(), ScoredMLP.create(dense(), "bernoulli", rescale=True)
    fit(net, data, optimizer=SGD(10.0), steps=30, batch_size=None)
    right = []
    for sample in range(3):
        x = data.x.expand(2, -1, -1)
        for layer, mask in enumerate(net.supermasks(sample).values()):
            weights = net.frozen.weights[layer] * mask * (mask[0].numel() / mask.sum((1, 2)))[:, None, None]
            x = torch.einsum("rbi,roi->rbo", x, weights) + net.frozen.biases[layer][:, None]
            x = x.relu() if layer < 2 else x
        right.append((x.argmax(2) == data.y).double().mean(1))
        if sample == 0:
            torch.testing.assert_close(net.logits(data.x), x, atol=1e-5, rtol=1e-5)
    assert not torch.equal(right[0], right[1])
    torch.testing.assert_close(sampled_accuracy(net, data, samples=3), torch.stack(right).mean(0))
    torch.testing.assert_close(evaluate(net, data)["error"], 1 - right[0])


def test_popup_has_one_mask_whatever_the_sample():
    net, data = ScoredMLP.create(dense(), "popup"), problem()
    assert all(torch.equal(a, b) for a, b in zip(net.supermasks(0).values(), net.supermasks(7).values(), strict=True))
    assert torch.equal(sampled_accuracy(net, data), 1 - evaluate(net, data)["error"])


@pytest.mark.parametrize(("mode", "rule"), [("bernoulli", SGD(10.0, momentum=0.9)), ("popup", SGD(0.1, momentum=0.9))])
@pytest.mark.parametrize("signed", [False, True])
def test_learning_masks_alone_raises_accuracy(mode, rule, signed):
    start = StackedMLP.create((7, 100, 4), seeds=range(3), init="glorot")
    net = ScoredMLP.create(signed_constant(start) if signed else start, mode, rescale=True)
    before = sampled_accuracy(net, problem(300))
    fit(net, problem(300), optimizer=rule, steps=200, batch_size=50)
    after = sampled_accuracy(net, problem(300))
    assert bool((before < 0.6).all()) and bool((after > 0.9).all())


def test_a_subnet_goes_on_training_within_its_mask():
    net = ScoredMLP.create(dense(), "popup", keep=0.3)
    sub, masks = net.subnet(), net.supermasks()
    before = sub.flat.clone()
    fit(sub, problem(), optimizer=AdamW(1e-2, weight_decay=0.5), steps=10, batch_size=16)
    assert not torch.equal(sub.flat, before)
    assert all(bool((w[~m] == 0).all()) for w, m in zip(sub.weights, masks.values(), strict=True))


def test_popup_scores_start_kaiming_uniform_each_from_its_own_seed():
    net = ScoredMLP.create(StackedMLP.create((100, 80, 5), seeds=(0, 0, 1)), "popup")
    for scores, fan_in in zip(net.weights, (100, 80), strict=True):
        assert scores.abs().max() <= fan_in**-0.5
        assert scores[0].std() == pytest.approx((3 * fan_in) ** -0.5, rel=0.1)
        assert torch.equal(scores[0], scores[1]) and not torch.equal(scores[0], scores[2])
    assert not torch.equal(net.weights[0][0], net.frozen.weights[0][0])


def test_an_empty_mask_gives_no_output_rather_than_nan():
    net = ScoredMLP.create(dense(), "bernoulli", rescale=True)
    for scores in net.weights:
        scores.fill_(-50.0)
    assert bool((density(net.supermasks()) == 0).all())
    losses = net.gradient(net.pad(torch.ones(2, 3, 7)), torch.zeros(2, 3, dtype=torch.int64), "mse", net.flat.clone())
    assert bool(losses.isfinite().all()) and bool(net.logits(torch.ones(3, 7)).isfinite().all())
    assert bool(net._grad.isfinite().all())


def test_a_signed_constant_keeps_signs_and_the_layers_spread():
    net = dense(init="glorot")
    before = net.flat.clone()
    constant = signed_constant(net, multiplier=2.0)
    for ours, weights in zip(constant.weights, net.weights, strict=True):
        for r in range(2):
            std = np.std(weights[r].double().numpy())
            np.testing.assert_allclose(ours[r], np.sign(weights[r].numpy()) * 2 * std, rtol=1e-5)
    assert torch.equal(net.flat, before)
    biased = dense()
    kept = zip(signed_constant(biased).biases, biased.biases, strict=True)
    assert all(torch.equal(a, b) and bool(b.any()) for a, b in kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"mode": "top"}, "mode = 'top'"), ({"keep": 0.0}, "KEPT"), ({"keep": 1.5}, "KEPT"), ({"keep": 0.001}, ">= 1")],
)
def test_bad_arguments_are_named_with_their_range(change, message):
    with pytest.raises(BadInput, match=message):
        ScoredMLP.create(dense(), **{"mode": "popup", **change})


def test_masks_and_scores_do_not_mix_silently():
    masked = dense()
    masked.apply_masks([torch.ones_like(w, dtype=torch.bool) for w in masked.weights])
    with pytest.raises(BadInput, match="dense"):
        ScoredMLP.create(masked, "popup")
    net = ScoredMLP.create(dense(), "popup")
    with pytest.raises(BadInput, match="learns its masks"):
        net.apply_masks(masked.masks)
    net.masks = masked.masks
    with pytest.raises(BadInput, match="learns its masks"):
        fit(net, problem(), steps=1)
    with pytest.raises(BadInput, match="samples"):
        sampled_accuracy(net, problem(), samples=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("mode", "rescale"), KINDS)
def test_training_on_cuda_agrees_with_the_cpu(mode, rescale):
    def trained(device):
        net = ScoredMLP.create(dense(), mode, rescale=rescale)
        fit(net, problem(), optimizer=SGD(1.0), steps=10, batch_size=16, device=device)
        return net.flat

    torch.testing.assert_close(trained("cpu"), trained("cuda"), atol=1e-4, rtol=1e-3)
