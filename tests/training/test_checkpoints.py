"""A killed run goes on from its file to the bits of an uninterrupted one; damaged and foreign files are refused."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from redlib.errors import BadInput
from redlib.nets import RaggedMLP, StackedMLP
from redlib.training import SGD, Adam, Examples, checkpoints, fit, load_state, save_state
from redlib.training.early import EarlyStop

KINDS = ("stack", "ragged", "modules", "sparse")
STEPS, EVERY, KILLED = 50, 7, 30  # the last state before the kill is that of step 28


pytestmark = pytest.mark.usefixtures("one_thread")


def nets(kind):
    if kind == "stack":
        return StackedMLP.create((8, 6, 3), range(5))
    if kind == "sparse":
        net = StackedMLP.create((8, 6, 3), range(3))
        net.apply_masks([torch.arange(w[0].numel()).view(1, *w.shape[1:]).expand_as(w) % 3 == 0 for w in net.weights])
        return net
    if kind == "ragged":
        return RaggedMLP.create(8, (4, 6), 3, range(3))
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        made.append(nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3)))
    return made


def examples():
    g = torch.Generator().manual_seed(0)
    return Examples(torch.randn(64, 8, generator=g), torch.randint(0, 3, (64,), generator=g))


def train(kind, checkpoint=None, killed=None, net=None, every=EVERY, **options):
    """Return (net, history); at step `killed` the process ends as by `kill -9`, -1: no step may be taken."""
    net, data = nets(kind) if net is None else net, examples()

    def schedule(step, total):
        if step == killed:
            os.kill(os.getpid(), signal.SIGKILL)
        assert killed != -1
        return 1 - step / STEPS

    if kind != "modules":
        options = {"chunk": 2, "execution": "sparse" if kind == "sparse" else "dense"} | options
    rule = SGD(0.1, momentum=0.9) if kind == "sparse" else Adam(1e-2)
    options = {"optimizer": rule, "steps": STEPS, "probe_steps": [0, 5, 14, 33, STEPS]} | options
    return net, fit(
        net, data, schedule=schedule, batch_size=16, evaluate={"all": data}, device="cpu",
        checkpoint=checkpoint, checkpoint_every=checkpoint and every, **options,
    )  # fmt: skip


def contents(net):
    if isinstance(net, list):
        return [value for module in net for value in module.state_dict().values()]
    return [net.flat]


def assert_same(one, other):
    assert all(torch.equal(a, b) for a, b in zip(contents(one[0]), contents(other[0]), strict=True))
    mine, theirs = one[1], other[1]
    assert mine.values.keys() == theirs.values.keys()
    for a, b in [*((mine[name], theirs[name]) for name in mine.values), (mine.steps, theirs.steps),
                 (mine.batch_loss, theirs.batch_loss), (mine.stopped_at, theirs.stopped_at)]:  # fmt: skip
        assert a.dtype == b.dtype and np.array_equal(a, b)


KILL = """
import os, runpy, torch
torch.set_num_threads(1)
train = runpy.run_path({file!r})["train"]
for kind in {kinds!r}:  # one process each, and the imports only once
    child = os.fork()
    if not child:
        train(kind, os.path.join({folder!r}, kind), {killed})
    print(kind, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_killed_runs_go_on_to_the_bits_and_the_history_of_uninterrupted_ones(tmp_path):
    kinds = ("stack", "modules")
    code = KILL.format(file=__file__, kinds=kinds, folder=str(tmp_path), killed=KILLED)
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout.split() == [str(word) for kind in kinds for word in (kind, -signal.SIGKILL)], done.stderr
    for kind in kinds:
        state = load_state(tmp_path / kind)
        assert {part["step"] for part in state.get("chunks", [state])} == {KILLED - KILLED % EVERY}
        assert_same(train(kind, tmp_path / kind), train(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_change_nothing_and_a_finished_run_is_read_not_trained(kind, tmp_path):
    pytest.importorskip("numba") if kind == "sparse" else None
    path = tmp_path / "new" / "run.state"
    whole = train(kind)
    assert_same(train(kind, path), whole)
    for _ in range(2):
        assert_same(train(kind, path, killed=-1), whole)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("kind", "chunk"), [("stack", 99), ("stack", 2), ("modules", None)])
def test_replicates_that_have_stopped_stay_so_across_checkpoints(kind, chunk, tmp_path):
    options = {"probe_steps": range(0, STEPS + 1, 5), "chunk": chunk}
    bar = float(np.median(train(kind, **options)[1]["all_loss"][:, 6]))
    options["stop"] = lambda seen: seen["all_loss"] <= bar
    whole = train(kind, **options)
    assert (whole[1].stopped_at >= 0).any() and (whole[1].stopped_at < STEPS).all()
    assert_same(train(kind, tmp_path / "run.state", **options), whole)
    every = options | {"stop": lambda seen: seen["all_loss"] < 10}
    assert_same(train(kind, tmp_path / "all.state", **every), train(kind, **every))


def test_a_longer_run_goes_on_from_a_finished_one(tmp_path):
    path, options = tmp_path / "run.state", {"probe_steps": None}
    short = train("stack", path, steps=20, **options)[1]
    long = train("stack", path, every=None, **options)[1]
    assert long.steps.tolist() == [20, STEPS] and np.array_equal(long.batch_loss[:, :20], short.batch_loss)
    assert load_state(path)["chunks"][0]["step"] == STEPS


def test_a_state_of_a_run_without_a_file_goes_on_with_one(tmp_path):
    path = tmp_path / "run.state"
    first = train("modules", steps=20, probe_steps=[20])
    options = {"resume": first[1].state, "probe_steps": [33, STEPS]}
    assert_same(train("modules", path, **options), train("modules", **options))
    with pytest.raises(BadInput, match="resume = 'a state'.*None where the checkpoint exists"):
        train("modules", path, resume=first[1].state)


def test_saved_states_are_what_fit_resumes_from(tmp_path):
    path = save_state(tmp_path / "a.state", train("stack", steps=20, probe_steps=[20])[1].state)
    options = {"probe_steps": [STEPS]}
    resumed = train("stack", resume=load_state(path), **options)
    assert torch.equal(resumed[0].flat, train("stack", **options)[0].flat)
    assert resumed[1].steps.tolist() == [STEPS]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "run.state"
    save_state(path, {"step": 1})
    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints.os, broken, lambda *_: (_ for _ in ()).throw(OSError("disk full")))
            with pytest.raises(OSError, match="disk full"):
                save_state(path, {"step": 2})
    assert load_state(path) == {"step": 1} and list(tmp_path.iterdir()) == [path]


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    "spoil", ["byte", "cut", "empty", "text", "torch", "code", "pickle", "number", "none", "folder"]
)
def test_files_that_are_no_whole_states_are_refused_and_no_code_in_them_runs(spoil, tmp_path):
    path, trap = save_state(tmp_path / "run.state", {"step": 1, "weights": torch.arange(2000.0)}), tmp_path / "trap"
    data = bytearray(path.read_bytes())

    def forged(content):
        return checkpoints.HEAD + checkpoints._digest(memoryview(content)) + content

    if spoil == "byte":
        data[len(data) // 2] ^= 1
    path.write_bytes({"byte": data, "cut": data[:-100], "empty": b"", "text": b"loss 0.3\n"}.get(spoil, data))
    if spoil == "torch":
        torch.save({"step": 1}, path)
    elif spoil == "code":
        torch.save({"step": Evil(str(trap))}, path)
        path.write_bytes(forged(path.read_bytes()))
    elif spoil == "pickle":
        path.write_bytes(forged(pickle.dumps(Evil(str(trap)), protocol=2)))
    elif spoil == "number":
        save_state(path, 3)
    elif spoil in ("none", "folder"):
        path.unlink()
        path.mkdir() if spoil == "folder" else None
    match = {"byte": "damaged", "cut": "damaged", "none": "a file", "folder": "this is a folder"}
    with pytest.raises(BadInput, match=match.get(spoil, "a state that redlib wrote|tensors, numbers and texts")):
        load_state(path)
    assert not trap.exists()
    if spoil != "none":
        with pytest.raises(BadInput, match="checkpoint"):
            train("stack", path)


def test_states_that_could_not_be_read_again_are_refused_when_written(tmp_path):
    with pytest.raises(BadInput, match="parts of the state"):
        save_state(tmp_path / "run.state", {"step": Path("x")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"net": StackedMLP.create((8, 7, 3), range(5))}, "weights before the run"),
        ({"optimizer": SGD(0.1)}, "optimizer of the run"),
        ({"loss": "mse"}, "loss of the run"),
        ({"probes": {"size": lambda net: net.flat.new_zeros(net.replicates)}}, "probes = .*those of the state"),
    ],
)
def test_the_file_of_another_run_is_refused_and_stays(change, match, tmp_path):
    path = tmp_path / "run.state"
    train("stack", path, steps=20, probe_steps=[5])
    written = path.read_bytes()
    with pytest.raises(BadInput, match=match):
        train("stack", path, **change)
    assert path.read_bytes() == written


@pytest.mark.parametrize("kind", ["stack", "modules"])
def test_a_finished_run_does_not_stand_for_one_of_other_weights(kind, tmp_path):
    """Else the arms of a comparison, or the rounds of pruning, that name one file would all be the first."""
    path = tmp_path / "run.state"
    first = train(kind, path, steps=20, probe_steps=[5])
    before = [value.clone() for value in contents(first[0])]
    with pytest.raises(BadInput, match="weights before the run of run.state.*began with"):
        train(kind, path, net=first[0])
    assert all(torch.equal(a, b) for a, b in zip(contents(first[0]), before, strict=True))
    going_on = train(kind, net=first[0], resume=load_state(path), probe_steps=[5, STEPS])
    assert_same(going_on, train(kind, probe_steps=[5, STEPS]))


def test_options_that_cannot_be_are_refused_before_the_first_step(tmp_path):
    net, data = nets("stack"), examples()
    early = EarlyStop(net, data, data, calls=2)
    with pytest.raises(BadInput, match=r"probes = \['early'\].*remember"):
        train("stack", tmp_path / "run.state", probes={"early": early}, probe_steps=[5, 9])
    with pytest.raises(BadInput, match="checkpoint_every = 0"):
        train("stack", tmp_path / "run.state", every=0)
    with pytest.raises(BadInput, match="checkpoint_every = 5"):
        fit(net, data, steps=9, checkpoint_every=5)
    assert not list(tmp_path.iterdir())


def test_without_a_number_a_state_is_written_every_epoch(tmp_path, monkeypatch):
    seen, real = [], checkpoints.save_state
    monkeypatch.setattr(checkpoints, "save_state", lambda path, state: seen.append(state["step"]) or real(path, state))
    train("modules", tmp_path / "run.state", every=None, steps=10, probe_steps=None)
    assert seen == [4, 8, 10], "64 examples in batches of 16"
