"""Masks before training keep what was asked, and counts on the way down are those of the masks themselves."""

from __future__ import annotations

import pytest
import torch

from redlib.errors import BadInput
from redlib.nets import StackedMLP
from redlib.pruning.allocation import EmptyLayer, erk_counts, keep_global, layer_counts, shapes_of
from redlib.pruning.before_training import RANKED, kept_by_rank, kept_by_synflow, masks_at_start
from redlib.pruning.criteria import context_of, score, synflow
from redlib.pruning.masks import counts, kept_by_layer, weights_of

SIZES, SEEDS = (12, 8, 6, 4), (3, 8)


def a_net() -> StackedMLP:
    return StackedMLP.create(SIZES, SEEDS, init="glorot")


def batch():
    source = torch.Generator().manual_seed(1)
    return torch.randn(16, SIZES[0], generator=source), torch.randint(0, SIZES[-1], (16,), generator=source)


@pytest.mark.parametrize("name", [*RANKED, "synflow", "random", "erk"])
def test_every_name_keeps_as_many_weights_as_asked(name):
    kept = kept_by_layer(masks_at_start(name, a_net(), 60, batch()))
    assert kept.shape == (2, 3) and abs(kept.sum(1) - 60).max() <= (1 if name in ("random", "erk") else 0)
    sizes = shapes_of(weights_of(a_net()))
    if name in ("random", "erk"):
        share = {"random": layer_counts, "erk": erk_counts}[name](sizes, 60 / 168)
        assert kept.tolist() == [list(share.values())] * 2


def test_magnitude_ranks_the_initial_weights_of_all_layers_together():
    net = a_net()
    found = masks_at_start("magnitude", net, 60, batch())
    for r in range(2):
        every = torch.cat([w[r].abs().flatten() for w in net.weights])
        bar = every.sort(descending=True).values[59]
        assert all(torch.equal(m[r], w[r].abs() >= bar) for m, w in zip(found.values(), net.weights, strict=True))


def test_unknown_names_and_emptied_layers_are_refused():
    with pytest.raises(BadInput, match="criterion before training"):
        masks_at_start("largest", a_net(), 60, batch())
    with pytest.raises(EmptyLayer):
        masks_at_start("magnitude", a_net(), 1, batch())


def test_ranks_count_what_a_global_ranking_keeps_ties_included():
    scores = {"a": torch.tensor([[[3.0, 1.0], [1.0, 0.0]]]), "b": torch.tensor([[[1.0, 2.0, 0.0]]])}
    weights = [7, 4, 3, 2, 1]
    expected = [
        [int(kept[0]) for kept in counts(keep_global(scores, total, allow_empty=True)).values()] for total in weights
    ]
    assert kept_by_rank(scores, weights).tolist() == [expected] and [2, 1] in expected


def test_ranks_of_a_net_count_each_replicate_alone():
    scores = score("large_init", context_of(a_net()))
    found = kept_by_rank(scores, [100, 30])
    for t, total in enumerate((100, 30)):
        assert (found[:, t] == kept_by_layer(keep_global(scores, total, allow_empty=True))).all()
    assert (found[0] != found[1]).any()


def test_a_path_of_synflow_goes_through_the_masks_of_the_published_algorithm():
    net = a_net()
    path = [round(0.1 ** (i / 5) * 168) for i in range(6)]
    found = kept_by_synflow(context_of(net), path)
    assert found[:, -1].tolist() == kept_by_layer(synflow(net, 0.1, 5)).tolist() and (found.sum(2) == path).all()
