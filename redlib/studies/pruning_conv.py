"""Filters of a conv net cut after training: the smaller net fine-tuned, or trained from scratch (LTH-21).

Li et al. 2017 cut the filters of least l1 norm and fine-tune; Liu et al. 2019 train the smaller net anew, for as many
epochs as the wide net had, or for as many operations. All smaller nets are really small. The `run` of the conv tickets
carries it out; arrays have the seeds on the first axis, errors are shares in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from redlib.errors import BadInput
from redlib.measures.cost import flops
from redlib.nets.ticketnets import build
from redlib.pruning.compaction import compact, filter_scores, top_filters
from redlib.pruning.masks import dense, weights_of
from redlib.pruning.tickets import REINIT
from redlib.studies.tickets_conv import (
    Arrays,
    ConvLevel,
    Data,
    Nets,
    examples,
    fresh_nets,
    load_states,
    measured,
    run,
    stored,
    train,
)  # fmt: skip

ARMS = ("finetune", "scratch_epochs", "scratch_compute", "ticket")
WIDE = ConvLevel(
    pool=1000, validation=200, tests=597, n=1000, net="small_conv", width=10, optimizer="sgd", lr=0.1,
    weight_decay=5e-4, drops=(0.5, 0.75), batch=100, steps=200, probes=10, seeds=tuple(range(8)),
)  # fmt: skip


@dataclass(frozen=True)
class FilterCuts:
    """Small nets with the fraction `kept` of each layer's filters, trained in the ways that ARMS lists.

    finetune goes on from the trained filters with the wide net's schedule, but from the rate `finetune_lr` and for
    `finetune` times its steps; ticket starts from the initial values of the same filters, the two scratch arms from
    fresh ones. BadInput where `kept` leaves no whole number of filters in some layer.
    """

    wide: ConvLevel = WIDE
    kept: float = 0.7
    finetune: float = 0.25
    finetune_lr: float = 0.1  # the best of those tried: the lowest rate, as in the papers, recovers less
    most: float = 2.0  # scratch_compute trains at most this many times as long as the wide net (Liu et al. 2019)

    @property
    def previous(self) -> ConvLevel:
        """The wide net."""
        return replace(self.wide, level=0)

    @property
    def cost(self) -> float:
        """Relative time of the run."""
        return self.wide.cost * (self.kept**2 * (2 + self.finetune) + 1)


@run.register
def run_filters(config: FilterCuts, before: Arrays) -> Arrays:
    """Return what each arm achieved (see `tickets_conv.train`; curves left out), [S, ARMS], and its steps [ARMS].

    Beside them cut_error [S], on test data just after the cut, and flops_ratio [S], of the wide net to the small one.
    """
    lab, data = config.wide, examples(config.wide)
    initial, trained = fresh_nets(lab, data), fresh_nets(lab, data)
    load_states(trained, stored(before, "end"))
    keep = [top_filters(filter_scores(net), config.kept) for net in trained]
    cut, ticket = ([compact(net, k) for net, k in zip(nets, keep, strict=True)] for nets in (trained, initial))
    shape = data.test.x.shape[1:]
    ratio = flops(initial[0], shape) / flops(cut[0], shape)
    once = {"cut_error": measured(cut, data.test, lab)[1].numpy(), "flops_ratio": np.full(len(cut), ratio)}
    tuned = replace(lab, steps=round(lab.steps * config.finetune), lr=config.finetune_lr)
    longer = replace(lab, steps=round(lab.steps * min(ratio, config.most)))
    arms = ((cut, tuned), (_fresh(config, data, cut), lab), (_fresh(config, data, cut), longer), (ticket, lab))
    found = [train(nets, dense(weights_of(nets)), how, data)[0] for nets, how in arms]
    names = ("early_step", "early_error", "final_error", "train_loss", "train_error")
    steps = np.array([how.steps for _, how in arms])
    return once | {"steps": steps} | {name: np.stack([one[name] for one in found], 1) for name in names}


def _fresh(config: FilterCuts, data: Data, like: Sequence[nn.Module]) -> Nets:
    """Return untrained nets of the shape of `like`, drawn as nets of that width are."""
    lab = config.wide
    sizes = data.classes, data.channels, data.image
    nets = [build(lab.net, seed + REINIT, *sizes, width=lab.width * config.kept) for seed in lab.seeds]
    shapes = [[tuple(p.shape) for p in one[0].parameters()] for one in (nets, like)]
    if shapes[0] != shapes[1]:
        allowed = f"a share of width {lab.width} that is whole in every layer"
        raise BadInput.of("kept", config.kept, allowed, "Change it, or the width.")
    return nets
