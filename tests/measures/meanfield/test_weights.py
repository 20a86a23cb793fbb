"""What theory says of given weights and masks, against simulated nets and hand-made ones."""

import math

import numpy as np
import pytest
import torch
from meanfield_oracles import inputs, mlp, normal
from torch import nn

from redlib.errors import BadInput
from redlib.measures import meanfield as mf


@pytest.fixture(scope="module")
def eight_layers():
    return mlp(8, 256, range(1000, 1008))


@pytest.mark.parametrize("kept", [0.51, 0.2, 0.04])
def test_a_simulated_pruned_net_has_the_predicted_q(draw, eight_layers, kept):
    net, x, size = eight_layers, inputs(draw, 6, 256), 256**2
    masks = [w.abs() > w.abs().flatten(1).kthvalue(round((1 - kept) * size)).values[:, None, None] for w in net.weights]
    found = float(mf.empirical_q(net, x, masks)[:, 2:].mean())
    w = 1.4 * float(mf.magnitude_second_moment(kept)) ** 0.5
    assert found == pytest.approx(float(mf.q_profile(1, np.full(8, w), 0.3)[2:].mean()), rel=0.03)
    laws = {law: mf.predicted_q(net.weights, net.biases, x, "tanh", masks, law)[:, 2:].mean() for law in mf.LAWS}
    assert [laws["rows"], laws["density"]] == pytest.approx([found, found], rel=0.03)
    assert laws["naive"] > 1.5 * found


def test_a_random_mask_acts_as_a_smaller_sigma(draw):
    net, x = mlp(5, 512, [1000, 1001]), inputs(draw, 40, 512)
    masks = [torch.rand(w.shape, generator=draw) < 0.2 for w in net.weights]
    expected = mf.q_profile(1, np.full(5, 1.4 * math.sqrt(0.2)), 0.3)
    assert mf.empirical_q(net, x, masks).mean((0, 2)).numpy() == pytest.approx(expected, rel=0.05)
    assert mf.predicted_q(net.weights, net.biases, x, "tanh", masks, "rows").mean((0, 2)) == pytest.approx(
        expected, rel=0.05
    )
    sigma_w, sigma_b = mf.layer_sigmas(net.weights, net.biases, masks)
    assert sigma_w == pytest.approx(np.full((2, 5), 1.4 * math.sqrt(0.2)), rel=0.02)
    assert sigma_b == pytest.approx(np.full((2, 5), 0.3), rel=0.1)
    assert mf.layer_sigmas(net.weights, net.biases, masks, "naive")[0] == pytest.approx(np.full((2, 5), 1.4), rel=0.02)


def test_the_rows_matter_only_where_they_differ(draw):
    weights = [torch.full((2, 30, 30), 0.2).double() * normal(draw, 2, 30, 30).sign() for _ in range(3)]
    biases = [0.3 * normal(draw, 2, 30).sign(), None, 0.3 * normal(draw, 2, 30).sign()]
    x = inputs(draw, 4, 30)
    equal = [torch.stack([torch.roll(torch.arange(30) < 9, i) for i in range(30)]).expand(2, -1, -1)] * 3
    for masks in (None, equal):
        rows, mean = (mf.predicted_q(weights, biases, x.sign(), "tanh", masks, law) for law in ("rows", "density"))
        assert rows == pytest.approx(mean, rel=1e-12) and rows.shape == (2, 3, 4)
    uneven = [(torch.arange(30)[:, None] % 3 == 0).expand(2, 30, 30)] * 3  # a third of the units keep everything
    rows, mean = (mf.predicted_q(weights, biases, x.sign(), "tanh", uneven, law) for law in ("rows", "density"))
    assert rows[:, 0] == pytest.approx(mean[:, 0], rel=1e-12) and np.all(rows[:, 1] < 0.98 * mean[:, 1])


def test_units_of_one_layer_are_row_sums(draw):
    w, b, x = normal(draw, 2, 3, 5), normal(draw, 2, 3), normal(draw, 4, 5)
    mask = torch.rand(2, 3, 5, generator=draw) < 0.5
    (q,) = mf.unit_q([w], [b], x, masks=[mask])
    expected = torch.einsum("roi,bi->rbo", (w * mask).square(), x.square()) + b.square().mean(1)[:, None, None]
    assert q == pytest.approx(expected.numpy())
    signs, biases = normal(draw, 20000, 3, 5).sign(), b[0].square().mean().sqrt() * normal(draw, 20000, 1, 3)
    drawn = torch.einsum("soi,bi->sbo", signs * w[0] * mask[0], x) + biases
    assert q[0] == pytest.approx(drawn.square().mean(0).numpy(), rel=0.05)


def test_the_law_of_the_kept_spread_is_that_of_the_rows_in_the_mean(draw):
    w, mask = normal(draw, 2, 6, 8), torch.rand(2, 6, 8, generator=draw) < 0.3
    rows = (w * mask).square().sum(2).mean(1).sqrt()
    assert mf.layer_sigmas([w], [None], [mask])[0][:, 0] == pytest.approx(rows.numpy())
    kept = [math.sqrt(8 * float(w[r][mask[r]].square().mean())) for r in range(2)]
    assert mf.layer_sigmas([w], [None], [mask], "naive")[0][:, 0] == pytest.approx(kept)
    emptied = mf.layer_sigmas([w], [None], [mask & False], "naive")
    assert emptied[0].tolist() == [[0], [0]] and emptied[1].tolist() == [[0], [0]]


NET = mlp(3, 4, [1, 2], inputs=5, outputs=3)
X, W, B = torch.ones(2, 5), NET.weights, NET.biases
FULL = [torch.ones_like(w, dtype=torch.bool) for w in W]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: mf.layer_sigmas(W, B, law="rows"), "law = 'rows'"),
        (lambda: mf.predicted_q(W, B, X, law="exact"), "law = 'exact'"),
        (lambda: mf.layer_sigmas(W, B[:2]), "number of biases"),
        (lambda: mf.layer_sigmas(W, [B[0], B[1], B[1]]), "shape of bias 2"),
        (lambda: mf.layer_sigmas([w[0] for w in W], B), "shape of weights 0"),
        (lambda: mf.layer_sigmas([W[0][:, :0]], B[:1]), "width 0"),
        (lambda: mf.layer_sigmas([], []), "number of masks"),
        (lambda: mf.layer_sigmas(W, B, FULL[:1]), "number of masks = 1"),
        (lambda: mf.layer_sigmas(W, B, [FULL[0], FULL[0], None]), "mask 1"),
        (lambda: mf.unit_q(W, B, X, masks=[m.double() for m in FULL]), "mask 0"),
        (lambda: mf.unit_q(W, B, X[:, :4]), "inputs of layer 1"),
        (lambda: mf.unit_q([W[0], W[0]], [B[0], B[0]], X), "inputs of layer 2"),
        (lambda: mf.unit_q(W, B, X.expand(3, 2, 5)), "inputs of layer 1"),
        (lambda: mf.unit_q(W, B, X[0]), "shape of x"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()


@pytest.mark.parametrize(
    "measure", [mf.layer_sigmas, lambda w, b: mf.unit_q(w, b, X), lambda w, b: mf.predicted_q(w, b, X)]
)
def test_nan_and_a_modules_own_weight_are_refused(measure):
    broken = [w.clone() for w in W]
    broken[1][0, 1, 2] = torch.nan
    with pytest.raises(BadInput, match="weights 1 = 'nan or inf'"):
        measure(broken, B)
    with pytest.raises(BadInput, match="bias 0 = 'nan or inf'"):
        measure(W, [B[0] * torch.nan, *B[1:]])
    with pytest.raises(BadInput, match="Replicates first"):
        measure([nn.Conv1d(5, 4, 3).weight], [None])  # [out, in, kernel], not [R, out, in]


def test_nan_inputs_have_no_variance():
    for call in (lambda x: mf.unit_q(W, B, x), lambda x: mf.predicted_q(W, B, x, law="density")):
        with pytest.raises(BadInput, match="x = 'nan or inf'"):
            call(X * torch.nan)
