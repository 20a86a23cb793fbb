"""Flatness: the Hessian of a linear classifier in closed form, scale, what untrained and trained nets show, bounds."""

import math

import audit_nets as toys
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from redlib.audit import flatness
from redlib.audit.inputs import examples, subject
from redlib.audit.layers import count_macs, layers
from redlib.audit.measure import level_of
from redlib.measures.curvature import eigenvalues


def measured(net, data, effort=1.0, seed=toys.SEED):
    found, given = subject(net), examples(data)
    examined, _ = layers(found)
    count_macs(found, examined, next(given.batches(found.like, 2)))
    return flatness.flatness_measures(found, examined, given, seed, level_of(1, 12), effort)


def numbers(net, data):
    return flatness.numbers(subject(net), examples(data), toys.SEED)


def test_a_linear_classifier_has_a_known_hessian():
    net, x = toys.seeded(lambda: nn.Linear(6, 3, bias=False)), toys.drawn(50, 6)
    p = net(x).softmax(1).double().detach()
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    exact = torch.einsum("nij,na,nb->iajb", inner, x.double(), x.double()).reshape(18, 18) / 50
    for y in (torch.arange(50) % 3, None):  # it does not depend on the labels
        own = numbers(net, x if y is None else (x, y))
        values = torch.linalg.eigvalsh(exact)
        assert own["top_eigenvalue"] == pytest.approx(float(values[-1]), rel=1e-3)
        assert abs(own["top_eigenvalue"] - float(values[-1])) <= own["top_eigenvalue_error"] + 1e-9
        assert abs(own["trace"] - float(exact.trace())) < 4 * own["trace_error"] < float(exact.trace())
        scale = net.weight.detach().abs().double().flatten()
        adapted = torch.linalg.eigvalsh(scale[:, None] * exact * scale)
        assert own["adaptive_sharpness"] == pytest.approx(float(adapted[-1]), rel=1e-3)


def test_scale_moves_raw_numbers_alone():
    net, data = toys.seeded(toys.mlp), (toys.drawn(64, 20), torch.arange(64) % 5)
    before = numbers(net, data)
    with torch.no_grad():
        net[0].weight.mul_(10)
        net[0].bias.mul_(10)
        net[2].weight.div_(10)
    after = numbers(net, data)
    assert after["adaptive_sharpness"] == pytest.approx(before["adaptive_sharpness"], rel=0.01)
    assert after["top_eigenvalue"] > 3 * before["top_eigenvalue"] and after["trace"] > 3 * before["trace"]


@pytest.mark.parametrize("outputs", [1, 3, "sequence", "map"])
def test_the_loss_is_that_of_the_decisions(outputs):
    if outputs == "sequence":
        net, x, y = toys.seeded(toys.Words), torch.arange(1, 31).view(5, 6), torch.arange(30).view(5, 6)
        wanted = nn.functional.cross_entropy(net.eval()(x).transpose(1, 2), y)
    elif outputs == "map":
        net, x, y = toys.seeded(lambda: nn.Conv2d(2, 4, 3)), toys.drawn(5, 2, 6, 6), torch.arange(80).view(5, 4, 4) % 4
        wanted = nn.functional.cross_entropy(net(x), y)
    else:
        net, x, y = toys.seeded(lambda: nn.Linear(6, outputs)), toys.drawn(20, 6), torch.arange(20) % 2
        logistic = nn.functional.binary_cross_entropy_with_logits
        wanted = logistic(net(x)[:, 0], y.float()) if outputs == 1 else nn.functional.cross_entropy(net(x), y)
    found = flatness.loss_at(subject(net.eval()), examples([(x, y)]), toys.SEED)
    assert float(found.value()[0]) == pytest.approx(float(wanted.detach()), rel=1e-5)


@pytest.mark.parametrize("seed", [1000, 1001, 1002])
def test_an_untrained_net_is_as_flat_as_its_twins(seed):
    data = toys.drawn(100, 20, key=seed), torch.arange(100) % 5
    found, used = measured(toys.seeded(toys.mlp, seed), data, seed=seed)
    assert used["examples"] == 100 and used["twins"] == flatness.MOST_TWINS and "kinks" in used["notes"][0]
    assert [m.says for m in found.values() if m.beyond] == [] and all(found[name].draws for name in flatness.WORDS)


def test_a_fitted_net_is_flatter_than_its_twins_and_that_is_no_surplus():
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16).float()[:200], torch.tensor(y)[:200]
    net = toys.seeded(lambda: toys.mlp((64, 32, 10)))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    for p in net[0].parameters():
        p.requires_grad_(False)  # frozen ones count all the same, and stay frozen
    before = toys.state_of(net)
    found, _ = measured(net.train(), (x, y))
    assert found["trace"].beyond == found["top_eigenvalue"].beyond == -1
    assert not any(m.redundant for m in found.values())
    assert found["top_eigenvalue"].low < found["top_eigenvalue"].null < found["top_eigenvalue"].high
    loss = flatness.loss_at(subject(nn.Sequential(net[1], net[2]).eval()), examples((x[:, :32], y)), 0)
    exact = float(eigenvalues(loss)[0, 0])
    assert numbers(nn.Sequential(net[1], net[2]), (x[:, :32], y))["top_eigenvalue"] == pytest.approx(exact, rel=0.01)
    assert toys.unchanged(net, before) and net.training and not net[0].weight.requires_grad


def test_what_is_too_much_or_not_smooth_says_so(tmp_path):
    net, x = toys.seeded(toys.mlp), toys.drawn(64, 20)
    found, used = measured(net, x, effort=1e-4)
    assert found == {} and "it takes an effort of 1 for 32 examples" in used["left out"]
    found, used = measured(net, x, effort=0.05)
    assert used["twins"] == 0 and found["trace"].says.endswith("(not compared with twins).")

    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(20, 5)

        def forward(self, x):
            return self.line(x).detach()

    found, used = measured(toys.seeded(Steps), x)
    assert found == {} and used["left out"].startswith("it could not be measured")
    torch.jit.save(torch.jit.script(net), tmp_path / "net.pt")
    assert "archive" in measured(torch.jit.load(tmp_path / "net.pt"), x)[1]["left out"]


def test_masked_weights_come_back_as_they_act():
    net = toys.seeded(toys.mlp)
    nn.utils.prune.random_unstructured(net[0], "weight", 0.5)
    own = numbers(net, (toys.drawn(40, 20), torch.arange(40) % 5))
    assert math.isfinite(own["trace"]) and net[0].weight.dtype == torch.float32
    assert torch.equal(net[0].weight, net[0].weight_orig * net[0].weight_mask)


@pytest.mark.parametrize("part", ["own", "block"])
def test_a_part_of_two_names_comes_back_as_it_was(part):
    line = toys.seeded(lambda: nn.Linear(6, 6))
    again = line if part == "own" else nn.Sequential(line)
    net = nn.Sequential(again, nn.ReLU(), again, nn.ReLU(), nn.Linear(6, 3))
    before, held = toys.state_of(net), list(net.parameters())
    found, used = measured(net, toys.drawn(40, 6))
    assert found == {} and "has two names" in used["left out"]
    assert toys.unchanged(net, before) and all(a is b for a, b in zip(held, net.parameters(), strict=True))
    act = nn.ReLU()  # what has no weights may have as many names as it likes
    assert measured(nn.Sequential(nn.Linear(6, 6), act, nn.Linear(6, 6), act, nn.Linear(6, 3)), toys.drawn(40, 6))[0]
