"""Loss and error of nets outside of training, and the error of each class, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.training import Examples, class_errors, evaluate

CLASSES = 4


def data(n=90):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, 5, generator=g), torch.randint(0, CLASSES - 1, (n,), generator=g)  # the last class is absent


def modules(count=2):
    torch.manual_seed(0)
    return [
        nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, CLASSES)) for _ in range(count)
    ]


def by_hand(outputs, y):
    wrong, count = np.full(CLASSES, np.nan), np.bincount(y.numpy(), minlength=CLASSES)
    for k in np.flatnonzero(count):
        wrong[k] = (outputs.argmax(1) != y)[y == k].double().mean()
    return wrong, count


@pytest.mark.parametrize("kind", ["stack", "ragged", "modules", "module"])
@pytest.mark.parametrize("own", [False, True])
def test_class_errors_are_those_of_counting_and_nan_where_a_class_is_absent(kind, own):
    x, y = data()
    rows = torch.stack([torch.arange(80), torch.arange(10, 90)][: 1 if kind == "module" else 2]) if own else None
    examples = Examples(x, y, rows)
    if kind == "stack":
        net = StackedMLP.create((5, 7, CLASSES), (0, 1))
        outputs = net.logits(net.pad(x.expand(2, *x.shape)))
    elif kind == "ragged":
        net = RaggedMLP.create(5, (3, 6), CLASSES, (0, 1))
        outputs = net.logits(net.pad(x.expand(2, *x.shape)))
    else:
        net = modules(1 if kind == "module" else 2)
        outputs = torch.stack([module.eval()(x) for module in net])
        net = net[0].train() if kind == "module" else [module.train() for module in net]
    found, whole = class_errors(net, examples), evaluate(net, examples)
    assert found["error"].shape == (len(outputs), CLASSES) and found["count"].dtype == torch.int64
    each = len(outputs) // (1 if rows is None else len(rows))
    for r, logits in enumerate(outputs):
        seen = slice(None) if rows is None else rows[r // each]
        wrong, count = by_hand(logits[seen], y[seen])
        np.testing.assert_allclose(found["error"][r], wrong)
        assert found["count"][r].tolist() == count.tolist() and np.isnan(wrong[-1])
        assert np.nansum(wrong * count) / count.sum() == pytest.approx(whole["error"][r].item())


def test_modules_are_evaluated_as_by_torch_and_keep_their_mode():
    (x, y), nets = data(), modules()
    nets[0].eval()
    found = evaluate(nets, Examples(x, y))
    assert [[part.training for part in net.modules()] for net in nets] == [[False] * 5, [True] * 5]
    for r, net in enumerate(nets):
        outputs = net.eval()(x)
        assert found["loss"][r].item() == pytest.approx(functional.cross_entropy(outputs, y).item(), rel=1e-5)
        assert found["error"][r].item() == pytest.approx((outputs.argmax(1) != y).double().mean().item())
    targets = Examples(x, torch.randn(len(x), CLASSES))
    own = evaluate(nets, targets, functional.mse_loss)
    assert own["error"].isnan().all()
    assert own["loss"][1].item() == pytest.approx(functional.mse_loss(nets[1](x), targets.y).item(), rel=1e-5)


def test_class_errors_per_token_count_tokens_that_count():
    torch.manual_seed(0)
    net, x = nn.Conv1d(2, 3, 1), torch.randn(6, 2, 5)
    y = torch.arange(30).view(6, 5) % 2
    y[:, 3:] = -1
    found = class_errors(net, Examples(x, y, ignore=-1))
    wrong = net(x).argmax(1) != y
    assert found["count"].tolist() == [[9, 9, 0]]
    expected = [wrong[y == k].double().mean().item() for k in (0, 1)]
    np.testing.assert_allclose(found["error"][0], [*expected, np.nan])


def test_outputs_that_are_nan_have_no_error():
    net = StackedMLP.create((5, CLASSES), (0, 1))
    net.weights[0][1] = np.nan
    found = class_errors(net, Examples(*data()))["error"]
    assert found[1].isnan().all() and found[0, :3].isfinite().all()


def test_labels_beyond_the_outputs_are_refused():
    x, y = data()
    for net in (modules(), StackedMLP.create((5, 2), (0, 1))):
        with pytest.raises(BadInput, match="labels"):
            class_errors(net, Examples(x, y + 3))
    with pytest.raises(BadInput, match="outputs of the net"):
        evaluate(nn.Conv1d(5, 5, 1), Examples(x[..., None], y))
    with pytest.raises(BadInput, match="loss"):
        evaluate(modules(), Examples(x, y), "hinge")
