"""Weights without structure show none; planted structure of each kind is found, and by the measure that is for it."""

import audit_nets as toys
import pytest
import torch
from torch import nn

from redlib.audit import weights
from redlib.audit.inputs import subject
from redlib.audit.layers import layers
from redlib.audit.measure import level_of
from redlib.measures import spectra

LEVEL = level_of(20, weights.MEASURES)


def measured(layer: nn.Module, key: int = 0):
    return weights.weight_measures(layers(subject(layer))[0][0], toys.SEED, key, LEVEL)


def linear(values: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(values.shape[1], values.shape[0], bias=False)
    with torch.no_grad():
        layer.weight.copy_(values)
    return layer


NOISE = toys.drawn(60, 200)


@pytest.mark.parametrize("noise", [1e-3, 0.32, 0.34])
def test_repeated_filters_of_tall_layers_are_those_of_all_pairs(noise):
    """Copies with noise: |cos| of about 1, and on both sides of the limit 1/√(1 + noise²) = 0.95."""
    rows = toys.drawn(1500, 40, key=5)
    rows[700:800] = rows[:100] + noise * toys.drawn(100, 40, key=6)
    rows[1400] = -3 * rows[300]
    rows[7] = 0
    found, _ = measured(linear(rows))
    unit = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-9)
    exact = int(((unit @ unit.T).abs().fill_diagonal_(0) > weights.ALIKE).any(1).sum())
    assert found["repeated_filters"].value == exact and found["dead_filters"].value == 1
    assert exact == 200 if noise < 0.1 else 2 < exact < 200


def test_a_small_matrix_has_no_edge_and_its_rank_shows_all_the_same():
    found, _ = measured(linear(toys.drawn(16, 2, key=7) @ toys.drawn(2, 40, key=8)))
    assert "largest_over_edge" not in found and "spikes" not in found
    assert found["rank99"].value == 2 and found["rank99"].redundant


@pytest.mark.parametrize("build", [toys.Every, toys.Words, toys.mlp], ids=["every", "words", "mlp"])
@pytest.mark.parametrize("seed", [1000, 1001, 1002])
def test_an_untrained_net_shows_nothing(build, seed):
    examined, _ = layers(subject(toys.seeded(build, seed)))
    for key, layer in enumerate(examined):
        found, facts = weights.weight_measures(layer, seed, key, level_of(len(examined), weights.MEASURES))
        assert [m.says for m in found.values() if m.beyond] == []
        assert facts["phase"].startswith(("random-like", "none")) and "(" not in facts["phase"]
        assert found["alpha"].value != found["alpha"].value or not found["power_law"].value


def test_values_are_those_of_the_measures():
    found, facts = measured(linear(NOISE))
    assert found["stable_rank"].value == pytest.approx(float(spectra.stable_rank(NOISE)[0]))
    assert found["effective_rank"].value == pytest.approx(float(spectra.effective_rank(NOISE)[0]))
    assert facts == {
        "matrices": [1, 60, 200], "examined": [1, 60, 200], "notes": [], "zeros": 0.0, "phase": "random-like",
        "phases": {"random-like": 1},
    }  # fmt: skip


def test_a_signal_of_rank_one_is_a_spike():
    found, facts = measured(linear(NOISE + torch.outer(toys.drawn(60, key=1), toys.drawn(200, key=2))))
    assert found["spikes"].value == 1 and found["largest_over_edge"].beyond == 1
    assert found["stable_rank"].redundant and facts["phase"] == "bulk+spikes"
    assert found["repeated_filters"].beyond == found["dead_filters"].beyond == 0


def test_a_low_rank_is_one():
    found, facts = measured(linear(NOISE[:, :9] @ toys.drawn(9, 200, key=3)))
    assert found["rank99"].value <= 9 and found["rank99"].redundant and facts["phase"] == "rank-collapse"


def test_a_heavy_tail_is_a_power_law_and_noise_is_not():
    u, _, v = torch.linalg.svd(NOISE, full_matrices=False)
    heavy = u @ torch.diag(torch.arange(1, 61).float() ** -1.0) @ v
    found, facts = measured(linear(heavy))
    assert found["power_law"].value == 1 and facts["phase"] == "heavy-tailed" and found["z_exponential"].beyond == 1
    noise, _ = measured(linear(NOISE))
    assert noise["power_law"].value == 0 and "not a power law" in noise["alpha"].says


def test_repeated_and_dead_filters_are_counted():
    values = NOISE.clone()
    values[10:15] = -2 * values[:5] + 0.01 * toys.drawn(5, 200, key=4)
    values[50:] = 0
    found, facts = measured(linear(values))
    assert found["repeated_filters"].value == 10 and found["repeated_filters"].redundant
    assert found["dead_filters"].value == 10 and found["dead_filters"].redundant
    assert facts["zeros"] == pytest.approx(1 / 6)


def test_repeated_outputs_of_a_transposed_convolution():
    layer = toys.seeded(lambda: nn.ConvTranspose2d(16, 32, 3, bias=False))
    with torch.no_grad():
        layer.weight[:, 20:30] = layer.weight[:, :10]
    assert measured(layer)[0]["repeated_filters"].value == 20


def test_a_tall_layer_has_its_filters_counted_too():
    values = toys.drawn(200, 30, key=5)
    values[190:] = values[:10]
    assert measured(linear(values))[0]["repeated_filters"].value == 20


def test_pruned_weights_are_near_zero_but_have_no_order():
    mask = toys.drawn(60, 200, key=6).abs() > 1
    found, facts = measured(linear(NOISE * mask))
    assert found["near_zero"].redundant and facts["phase"] == "random-like"
    assert {name for name, m in found.items() if m.redundant} == {"near_zero"}


def test_orthogonal_weights_are_narrower_than_chance():
    found, facts = measured(linear(torch.linalg.qr(NOISE.T).Q.T))
    assert facts["phase"] == "narrow" and found["effective_rank"].beyond == 1 and not found["effective_rank"].redundant


def test_a_layer_of_zeros_has_no_spectrum():
    found, facts = measured(linear(torch.zeros(60, 200)))
    assert found == {} and facts["zeros"] == 1 and "all weights are 0" in facts["phase"]


def test_one_head_that_differs_is_told():
    net = toys.seeded(lambda: nn.MultiheadAttention(128, 2, bias=False))
    with torch.no_grad():
        net.in_proj_weight[:64] += torch.outer(toys.drawn(64, key=7), toys.drawn(128, key=8))
    _, facts = measured(net)
    assert facts["phases"] == {"bulk+spikes": 1, "random-like": 1} and "1 of 2" in facts["phase"]


def test_larger_matrices_are_sampled_and_say_so(monkeypatch):
    monkeypatch.setattr(weights, "MOST", (40, 100))
    found, facts = measured(linear(NOISE))
    assert facts["matrices"] == [1, 60, 200] and facts["examined"] == [1, 40, 100]
    assert facts["notes"] == ["40 of 60 rows, drawn at random", "100 of 200 columns, drawn at random"]
    assert found["effective_rank"].value < 40 and facts["phase"] == "none: fewer than 50 rows or columns"


def test_draws_depend_on_seed_and_layer_alone():
    first, again, other = (measured(linear(NOISE), key)[0]["stable_rank"].null for key in (3, 3, 4))
    assert first == again != other
    assert weights.draws_for((1, 64, 576)) == 20 and weights.draws_for((1, 2048, 8192)) == 6
