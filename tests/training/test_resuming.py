"""A state is only gone on from by the run that it belongs to; others are refused, and nothing of the net moves."""

from __future__ import annotations

import copy
import io
import time

import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.training import SGD, Adam, Examples, fit
from redlib.training import resuming as resuming_module
from redlib.training.resuming import architecture, data_digest

KINDS = ("stack", "ragged", "modules")
OPTIONS = {"optimizer": Adam(1e-2), "batch_size": 16, "device": "cpu"}


def nets_of(kind, width=6, seeds=(0, 1), activation="relu"):
    if kind == "stack":
        return StackedMLP.create((8, width, 3), seeds, activation)
    if kind == "ragged":
        return RaggedMLP.create(8, (4, width), 3, seeds)
    made = []
    for seed in seeds:
        torch.manual_seed(seed)
        made.append(nn.Sequential(nn.Linear(8, width), nn.ReLU() if activation == "relu" else nn.Tanh(),
                                  nn.Linear(width, 3)))  # fmt: skip
    return made


def contents(net):
    return [p.detach().clone() for m in net for p in m.parameters()] if isinstance(net, list) else [net.flat.clone()]


def examples(seed=0):
    g = torch.Generator().manual_seed(seed)
    return Examples(torch.randn(64, 8, generator=g), torch.randint(0, 3, (64,), generator=g))


def moved(data, what):
    x, y = data.x.clone(), data.y.clone()
    if what == "input":
        x[63, 7] += 1e-6
    else:
        y[63] = (y[63] + 1) % 3
    return Examples(x, y)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_is_the_uninterrupted_one_also_from_a_file(kind):
    whole, broken, fresh = (nets_of(kind) for _ in range(3))
    fit(whole, examples(), steps=20, **OPTIONS)
    state = fit(broken, examples(), steps=9, **OPTIONS).state
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    fit(fresh, examples(), steps=20, resume=torch.load(file, weights_only=False), **OPTIONS)
    assert all(torch.equal(a, b) for a, b in zip(contents(whole), contents(fresh), strict=True))


OTHERS = {
    "wider": ({"width": 7}, {}, "net of the run"),
    "other seeds": ({"seeds": (0, 2)}, {}, "seeds of the run"),
    "swapped seeds": ({"seeds": (1, 0)}, {}, "seeds of the run"),
    "third net": ({"seeds": (0, 1, 2)}, {}, "of the run"),
    "other activation": ({"activation": "tanh"}, {}, "net of the run"),
    "other rule": ({}, {"optimizer": SGD(1e-2, momentum=0.9)}, "optimizer of the run"),
    "other rate": ({}, {"optimizer": Adam(2e-2)}, "optimizer of the run"),
    "other loss": ({}, {"loss": "mse"}, "loss of the run"),
    "other batches": ({}, {"batch_size": 8}, "batch_size of the run"),
    "no last batch": ({}, {"drop_last": True}, "drop_last of the run"),
    "other input": ({}, {"examples": moved(examples(), "input")}, "data of the run"),
    "other label": ({}, {"examples": moved(examples(), "label")}, "data of the run"),
    "fewer": ({}, {"examples": Examples(examples().x[:60], examples().y[:60])}, "data of the run"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", OTHERS)
def test_a_state_of_another_run_is_refused_with_what_differs(kind, other):
    shape, options, match = OTHERS[other]
    if kind == "ragged" and "activation" in shape:
        pytest.skip("width sweeps are relu nets")
    state = fit(nets_of(kind), examples(), steps=5, **OPTIONS | ({"seeds": (0, 1)} if kind == "modules" else {})).state
    net = nets_of(kind, **shape)
    options = OPTIONS | options
    if kind == "modules":
        options["seeds"] = shape.get("seeds", (0, 1))
    before, data = contents(net), options.pop("examples", examples())
    with pytest.raises(BadInput, match=match):
        fit(net, data, steps=20, resume=state, **options)
    assert all(torch.equal(a, b) for a, b in zip(contents(net), before, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spoil", ["run", "rest", "history", "other kind"])
def test_what_is_no_state_of_this_kind_is_refused(kind, spoil):
    history = fit(nets_of(kind), examples(), steps=5, **OPTIONS)
    state = dict(history.state)
    if spoil == "other kind":
        state = fit(nets_of("stack" if kind == "modules" else "modules"), examples(), steps=5, **OPTIONS).state
    elif spoil == "history":
        state = history
    else:
        state.pop("run") if spoil == "run" else [state.pop(name) for name in list(state) if name != "run"]
    with pytest.raises(BadInput, match="resume|of the run"):
        fit(nets_of(kind), examples(), steps=9, resume=state, **OPTIONS)


def test_precision_belongs_to_the_run():
    state = fit(nets_of("modules"), examples(), steps=5, **OPTIONS).state
    with pytest.raises(BadInput, match="precision of the run"):
        fit(nets_of("modules"), examples(), steps=9, resume=state, precision="bf16", **OPTIONS)


def test_masks_belong_to_the_run_of_a_stack():
    net = nets_of("stack")
    state = fit(net, examples(), steps=5, **OPTIONS).state
    net.apply_masks([torch.arange(48).view(1, 6, 8).expand(2, 6, 8) % 3 > 0, None])
    with pytest.raises(BadInput, match="masked"):
        fit(net, examples(), steps=9, resume=state, **OPTIONS)


def test_masks_belong_to_the_run_of_modules():
    def masked(every):
        net = nets_of("modules", seeds=(0,))
        net[0][0].register_buffer("mask", torch.arange(48).view(6, 8) % every > 0)
        return net

    state = fit(masked(3), examples(), steps=5, **OPTIONS).state
    fit(masked(3), examples(), steps=6, resume=state, **OPTIONS)
    with pytest.raises(BadInput, match="net of the run.*masked"):
        fit(masked(4), examples(), steps=9, resume=state, **OPTIONS)


def test_equal_architectures_have_one_line_and_others_have_not():
    one, same, wide = (nets_of("modules", width, (0,))[0] for width in (6, 6, 7))
    assert architecture(one) == architecture(same) == architecture(copy.deepcopy(one)) != architecture(wide)
    assert "75 parameters" in architecture(one)


def test_the_digest_of_large_data_is_quick_and_reads_every_example(monkeypatch):
    g = torch.Generator().manual_seed(0)
    monkeypatch.setattr(resuming_module, "DIGEST_BYTES", 2**16)
    x, y = torch.randn(1000, 2000, generator=g), torch.zeros(1000, dtype=torch.long)  # 8 MB, every 123rd number
    whole = data_digest(Examples(x, y))
    changed = x.clone()
    changed[500] += 1
    assert data_digest(Examples(changed, y)) != whole == data_digest(Examples(x.clone(), y))
    monkeypatch.setattr(resuming_module, "DIGEST_BYTES", 4 * 2**20)
    begin = time.perf_counter()
    data_digest(Examples(torch.zeros(50_000, 784), torch.zeros(50_000, dtype=torch.long)))
    assert time.perf_counter() - begin < 2
