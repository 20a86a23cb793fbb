"""Functions of random nets against nets one by one, exact probabilities and enumerations; posteriors against both."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from redlib.data.bits import distinct, packed, unpacked
from redlib.data.streams import rng
from redlib.errors import BadInput
from redlib.nets import StackedMLP, mean_field
from redlib.nets.boolean import (
    RandomNets,
    agreeing,
    every_input,
    functions_found,
    rejection_posterior,
    sample_functions,
    values_at,
)
from redlib.training import SGD, Adam, Examples, fit

SMALL = RandomNets((3, 6, 1), "tanh")


def test_every_input_is_counted_in_binary():
    assert every_input(2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert every_input(2, signed=True).tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert every_input(3).tolist() == [list(map(float, bits)) for bits in itertools.product([0, 1], repeat=3)]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_functions_are_those_of_nets_one_by_one(activation, prior, signed, monkeypatch):
    """The parameters are taken from the draw, as it says it scales them; each net is computed in float64."""
    from redlib.nets import boolean

    nets, seen = RandomNets((4, 5, 3, 1), activation, prior, 1.3, 0.7, signed), []
    draw = boolean._layer
    monkeypatch.setattr(boolean, "_layer", lambda *args: seen.append(draw(*args)) or seen[-1])
    codes = sample_functions(nets, 1000, 50)
    found, x = unpacked(codes, 16), every_input(4, signed).double()
    for sample in range(50):
        fields = x
        for at, layer in enumerate(seen):
            own = layer[sample].double()
            active = fields if not at else fields.relu() if activation == "relu" else fields.tanh()
            fields = active @ own[:, :-1].T + own[:, -1]
        sure = fields[:, 0].abs() > 1e-5
        assert np.array_equal(found[sample][sure], (fields[:, 0] > 0).numpy()[sure])
    assert len(np.unique(codes, axis=0)) > 5


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_parameters_have_the_variances_of_the_prior(prior):
    from redlib.nets.boolean import _layer

    layer = _layer(RandomNets(prior=prior, sigma_w=2.0, sigma_b=0.5), rng(1000, "init"), 40, 16)
    weights, biases = layer[..., :-1].flatten().numpy(), layer[..., -1].flatten().numpy()
    for drawn, sd in ((weights, 2 / 4), (biases, 0.5)):
        kind = stats.norm(scale=sd) if prior == "normal" else stats.uniform(-sd * math.sqrt(3), 2 * sd * math.sqrt(3))
        assert stats.kstest(drawn[:4000], kind.cdf).pvalue > 1e-4
        assert drawn.std() == pytest.approx(sd, rel=0.02)


def test_a_perceptron_of_one_bit_has_its_exact_probabilities():
    """f(0) = [b > 0] and f(1) = [w + b > 0] are signs of Gaussians of correlation 1/√2: agreement 1 - acos(1/√2)/π."""
    codes = sample_functions(RandomNets((1, 1)), 1000, 20_000)
    shares = np.bincount(codes[:, 0], minlength=4) / 20_000
    assert shares == pytest.approx([3 / 8, 1 / 8, 1 / 8, 3 / 8], abs=0.02)


def test_a_perceptron_without_bias_computes_no_parity():
    signed = RandomNets((2, 1), sigma_b=0.0, signed=True)
    functions, counts = distinct(sample_functions(signed, 1000, 8000))
    assert not {0b0110, 0b1001} & set(functions[:, 0].tolist())
    # Odd functions alone: four half planes, which turn into each other by quarter turns.
    assert len(functions) == 4 and counts / 8000 == pytest.approx([0.25] * 4, abs=0.03)


def test_the_same_samples_however_a_draw_is_split():
    whole = sample_functions(SMALL, 1001, 700)
    parts = [sample_functions(SMALL, 1001, b - a, a) for a, b in itertools.pairwise((0, 1, 255, 256, 513, 700))]
    assert np.array_equal(whole, np.concatenate(parts))
    assert not np.array_equal(whole, sample_functions(SMALL, 1002, 700))


@pytest.mark.parametrize("sizes", [(3, 6, 1), (1, 1)])
def test_heads_are_samples_of_the_same_prior(sizes):
    """The first head of each draw is a sample of its own; all of them are as frequent as independent samples."""
    one, many = RandomNets(sizes, "tanh"), RandomNets(sizes, "tanh", heads=8)
    alone, together = sample_functions(one, 1000, 6000)[:, 0], sample_functions(many, 1003, 6000 * 8)[:, 0]
    first, all_heads = (np.bincount(codes, minlength=256) for codes in (together[::8], together))
    independent = np.bincount(alone, minlength=256)
    often = independent + first >= 20
    assert stats.chi2_contingency([independent[often], first[often]]).pvalue > 1e-4
    assert all_heads[often] / 8 == pytest.approx(independent[often], abs=6 * 6000**0.5 / 2**0.5)
    parts = [sample_functions(many, 1003, b - a, a)[:, 0] for a, b in itertools.pairwise((0, 3, 2050, 5000))]
    assert np.array_equal(np.concatenate(parts), together[:5000])


def test_heads_of_a_draw_share_their_hidden_layers():
    """A net of one hidden unit without biases computes a function, its complement or a constant, whatever its head."""
    nets = RandomNets((3, 1, 1), "tanh", sigma_b=0.0, signed=True, heads=5)
    values = unpacked(sample_functions(nets, 1000, 500), 8).reshape(100, 5, 8)
    same = (values == values[:, :1]).all(2) | (values != values[:, :1]).all(2)
    assert same.all() and len(np.unique(values[:, 0], axis=0)) > 8


def test_two_logits_find_functions_as_often_as_one_output():
    count = 3000
    prior = RandomNets((2, 4, 1), "relu", sigma_w=1.5, sigma_b=0.5)
    one = np.bincount(sample_functions(prior, 1000, count)[:, 0], minlength=16)
    stack = StackedMLP.create((2, 4, 2), range(1000, 1000 + count), init=mean_field(1.5, 0.5))
    two = np.bincount(functions_found(stack, every_input(2))[:, 0], minlength=16)
    often = one + two >= 20
    assert stats.chi2_contingency([one[often], two[often]]).pvalue > 1e-4


def test_agreeing_functions_are_found_by_looking():
    codes = packed(every_input(4).numpy())  # all functions of two bits
    kept = agreeing(codes, 4, [2, 0], [1, 0])
    assert {tuple(row) for row in unpacked(codes[kept], 4).tolist()} == {(0, a, 1, b) for a in (0, 1) for b in (0, 1)}


def test_the_posterior_counts_the_samples_that_agree():
    samples = sample_functions(SMALL, 1000, 1000)
    target = distinct(samples)[0][4]
    places = [1, 4, 6]
    labels = values_at(target, 8, places)
    found = rejection_posterior(SMALL, 1000, places, labels, 1000)
    functions, counts = distinct(samples[(unpacked(samples, 8)[:, places] == labels).all(1)])
    assert np.array_equal(found.codes, functions) and np.array_equal(found.counts, counts)
    assert found.samples == 1000 and found.evidence == counts.sum() / 1000 and found.draws == counts.sum()
    asked = np.concatenate([functions[::-1], [[255 - int(target[0])]]]).astype(np.uint8)
    assert found.counts_of(asked).tolist() == [*counts[::-1].tolist(), 0]


def test_the_posterior_of_a_perceptron_is_exact():
    """Given f(1) = 1, f(0) is 1 with probability 3/4 (see above)."""
    found = rejection_posterior(RandomNets((1, 1)), 1000, [1], [1], 20_000)
    assert found.evidence == pytest.approx(0.5, abs=0.02)
    assert found.codes[:, 0].tolist() == [3, 2]
    assert found.counts / found.accepted == pytest.approx([0.75, 0.25], abs=0.02)


def test_the_posterior_tells_how_many_draws_its_samples_are_from():
    nets = RandomNets((3, 6, 1), "tanh", heads=4)
    fits = agreeing(sample_functions(nets, 1000, 3000), 8, [0, 5], [1, 0])
    found = rejection_posterior(nets, 1000, [0, 5], [1, 0], 3000)
    assert found.accepted == fits.sum() and found.draws == fits.reshape(-1, 4).any(1).sum() < found.accepted


def test_rejection_ends_with_the_block_in_which_enough_fit():
    found = rejection_posterior(SMALL, 1000, [0], [1], 10_000, accepted=200)
    assert 200 <= found.accepted <= 200 + 256 and found.samples % 256 == 0 and found.samples < 10_000
    same = rejection_posterior(SMALL, 1000, [0], [1], found.samples)
    assert np.array_equal(found.codes, same.codes) and np.array_equal(found.counts, same.counts)


def test_functions_found_are_the_larger_logits():
    x = every_input(3)
    stack = StackedMLP.create((3, 5, 2), [1000, 1001, 1002])
    logits = stack.logits(x)
    assert np.array_equal(unpacked(functions_found(stack, x), 8), (logits[..., 1] > logits[..., 0]).numpy())
    alone = StackedMLP.create((3, 5, 1), [1000, 1001])
    assert np.array_equal(unpacked(functions_found(alone, x), 8), (alone.logits(x)[..., 0] > 0).numpy())


@pytest.mark.parametrize("rule", [SGD(0.3), Adam(0.02)])
def test_trained_nets_find_functions_that_fit_what_they_saw(rule):
    x, places, labels = every_input(3), np.array([0, 3, 5, 6]), np.array([0, 1, 1, 0])
    net = StackedMLP.create((3, 20, 2), range(1000, 1040), "tanh", mean_field(1.0, 1.0))
    seen = Examples(x[places], torch.from_numpy(labels))
    found = fit(net, seen, optimizer=rule, batch_size=2, epochs=300, evaluate={"train": seen}, probe_epochs=range(301),
                stop=lambda values: values["train_error"] == 0)  # fmt: skip
    codes = functions_found(net, x)
    assert (found.stopped_at >= 0).all() and agreeing(codes, 8, places, labels).all()
    assert len(np.unique(codes)) > 2


def test_what_cannot_be_is_refused():
    stack = StackedMLP.create((3, 5, 3), [1000])
    broken = StackedMLP.create((3, 2), [1000])
    broken.flat.fill_(math.nan)
    for refused in (
        lambda: RandomNets((3, 4, 2)),
        lambda: RandomNets((3,)),
        lambda: RandomNets((3, 0, 1)),
        lambda: RandomNets((17, 1)),
        lambda: RandomNets(activation="relo"),
        lambda: RandomNets(prior="gauss"),
        lambda: RandomNets(heads=0),
        lambda: RandomNets(sigma_w=0.0),
        lambda: RandomNets(sigma_b=math.nan),
        lambda: sample_functions(SMALL, 1000, 0),
        lambda: sample_functions(SMALL, 1000, 5, -1),
        lambda: rejection_posterior(SMALL, 1000, [], [], 10),
        lambda: rejection_posterior(SMALL, 1000, [0, 0], [1, 1], 10),
        lambda: rejection_posterior(SMALL, 1000, [8], [1], 10),
        lambda: rejection_posterior(SMALL, 1000, [0, 1], [1], 10),
        lambda: rejection_posterior(SMALL, 1000, [0], [2], 10),
        lambda: rejection_posterior(SMALL, 1000, [0], [0.5], 10),
        lambda: functions_found(stack, every_input(3)),
        lambda: functions_found(broken, every_input(3)),
        lambda: functions_found(StackedMLP.create((3, 2), [1000]), every_input(2)),
    ):
        with pytest.raises(BadInput):
            refused()


def test_a_training_set_that_no_sample_fits_is_refused():
    parity = [bin(i).count("1") % 2 for i in range(8)]
    with pytest.raises(BadInput, match="fit the training set"):
        rejection_posterior(RandomNets((3, 1)), 1000, range(8), parity, 2000)
