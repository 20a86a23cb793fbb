"""Nets that nobody here wrote: whatever their code does with a unit, a number of it is right, or there is none."""

import audit_nets as toys
import pytest
import torch
from torch import nn
from torch.nn import functional, utils
from torch.nn.utils import prune

from redlib.audit import activations, advice, audit, compact, depth, flatness, inputs, removal
from redlib.audit.inputs import examples, subject, understood
from redlib.audit.layers import count_macs, head_of, layers
from redlib.audit.twins import twin
from redlib.errors import BadInput


class Strange(nn.Module):
    """Parts by name, and a function of the net and x."""

    def __init__(self, rule, **parts):
        super().__init__()
        self.rule = rule
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.rule(self, x)


def states(kind, **options):
    """A recurrent part of which the head reads the last state alone, not the sequence."""
    ways = 2 if options.get("bidirectional") else 1

    def rule(net, x):
        state = net.own(x)[1]
        state = state[0] if isinstance(state, tuple) else state
        return net.head(torch.cat(list(state[-ways:]), 1))

    size = options.get("proj_size", 7)
    return Strange(rule, own=getattr(nn, kind)(6, 7, batch_first=True, **options), head=nn.Linear(ways * size, 3))


def shared(net, x):
    return net.head(net.act(net.own(x)) - net.act(net.own(-2 * x)))


def beside_a_shortcut(net, x):
    h = net.own(x)
    return net.head(net.act(net.norm(h)) + h)


def in_place(net, x):
    h = net.own(x)
    net.act(h)  # what it returns is not used
    return net.head(h)


def line(rule, *acts):
    parts = {"own": nn.Linear(6, 7), "norm": nn.BatchNorm1d(7), "act": acts[0] if acts else nn.ReLU()}
    return Strange(rule, **parts, head=nn.Linear(7, 3))


NETS = {
    "lstm": lambda: states("LSTM"),
    "gru": lambda: states("GRU"),
    "rnn": lambda: states("RNN", num_layers=2),
    "both ways": lambda: states("LSTM", bidirectional=True),
    "projected": lambda: states("LSTM", proj_size=4),
    "shared": lambda: line(shared),
    "shortcut": lambda: line(beside_a_shortcut),
    "in place": lambda: line(in_place, nn.ReLU(inplace=True)),
}


def sites_of(net, x):
    found, given = subject(net), examples(x)
    examined, _ = layers(found)
    count_macs(found, examined, next(given.batches(found.like, 2)))
    sites, missing = activations.find_sites(found, examined, next(given.batches(found.like, 2)))
    return found, given, examined, {site.layer.module: site for site in sites}, missing


@pytest.mark.parametrize("kind", NETS)
def test_nothing_of_x_gets_past_units_that_are_all_removed(kind):
    net, x = toys.seeded(NETS[kind]), toys.drawn(20, *((5, 6) if hasattr(NETS[kind]().own, "num_layers") else (6,)))
    found, given, examined, sites, _ = sites_of(net, x)
    at = removal.bench(found, given, examined, 1, 0.5, toys.SEED)
    site = removal.unit_site(sites["own"].layer, list(sites.values()))
    values = removal.unit_remover(at, {site: range(activations.own_units(site))})(1.0).values
    assert torch.allclose(values, values[:1].expand_as(values), atol=1e-6)
    assert at.intact.values.std(0).min() > 1e-2


def test_norms_of_recurrent_units_are_those_of_their_own_rows():
    net = toys.seeded(lambda: states("GRU", bidirectional=True, num_layers=2))
    site = sites_of(net, toys.drawn(4, 5, 6))[3]["own"]
    norms = removal._norms(site)
    assert len(norms) == activations.own_units(site) == 14
    for way, end in enumerate(("_l1", "_l1_reverse")):
        rows = torch.cat([getattr(net.own, f"weight_{kind}{end}") for kind in ("ih", "hh")], 1)
        for unit in range(7):
            assert float(norms[7 * way + unit]) == pytest.approx(float(rows[unit::7].norm()), rel=1e-5)


def test_all_calls_count_and_a_unit_that_one_of_them_switches_on_is_not_dead():
    net = line(shared)
    with torch.no_grad():
        net.own.weight.zero_()
        net.own.weight[:, 0] = 1
        net.own.bias.zero_()
    x = toys.drawn(80, 6).abs() + 1  # the first call switches all units on, the second none
    found, given, examined, sites, _ = sites_of(net, x)
    assert sites["own"].after == "ReLU, all 2 calls"
    seen = activations._seen(found, list(sites.values()), None, given, toys.SEED)
    assert seen.layers["own"]["dead_units"] == 0 and seen.layers["own"]["near_dead_units"] == 0


def test_a_layer_is_read_before_a_shortcut_and_after_what_takes_it_alone():
    assert sites_of(line(beside_a_shortcut), toys.drawn(8, 6))[3]["own"].after == "its own output"
    alone = line(lambda net, x: net.head(net.act(net.norm(net.own(x)))))
    assert sites_of(alone, toys.drawn(8, 6))[3]["own"].after == "BatchNorm1d and ReLU"


def test_the_last_layer_is_the_one_that_is_called_last():
    net = Strange(lambda net, x: net.head(net.body(x).relu()), head=nn.Linear(7, 3), body=nn.Linear(6, 7))
    _, _, examined, sites, _ = sites_of(net, toys.drawn(8, 6))
    assert head_of(examined).name == depth._classifier(examined).name == "head"
    assert removal.unit_site(sites["head"].layer, list(sites.values())) is None
    assert removal.unit_site(sites["body"].layer, list(sites.values())) is sites["body"]
    two = Strange(lambda net, x: (net.a(net.body(x)), net.b(net.body(x)).softmax(1)),
                  body=nn.Linear(6, 7), a=nn.Linear(7, 3), b=nn.Linear(7, 2))  # fmt: skip
    sites = sites_of(two, toys.drawn(8, 6))[3]
    assert {name for name, site in sites.items() if site.final} == {"a", "b"}


def test_sequences_that_come_first_are_told_from_as_many_positions():
    net = Strange(
        lambda net, x: net.head(net.own(x.transpose(0, 1))).mean(0), own=nn.Linear(6, 7), head=nn.Linear(7, 3)
    )
    x = toys.drawn(9, 9, 6)  # as many positions as examples
    found, given, _, sites, _ = sites_of(net, x)
    read, _ = depth._read(found, depth.find_places(found, list(sites.values()), x), None, given, toys.SEED)
    assert sites["own"].late and torch.allclose(read["own"], net.own(given.x).mean(1), atol=1e-5)


def test_one_score_decides_by_its_sign_wherever_it_is():
    assert inputs.decisions(torch.tensor([[[[1.0, -1.0]]], [[[-2.0, 3.0]]]])).tolist() == [[[1, 0]], [[0, 1]]]
    assert inputs.decisions(torch.tensor([[[1.0], [-1.0]]])).tolist() == [[1, 0]]
    assert inputs.decisions(torch.tensor([[1.0, torch.nan], [2.0, 3.0]])).tolist() == [-1, 1]
    maps = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
    x = toys.drawn(30, 3, 6, 6)
    at, *_ = (removal.bench(found, given, examined, 1, 0.5, 1000) for found, given, examined, *_ in [sites_of(maps, x)])
    assert at.intact.decisions.shape == (30, 6, 6) and not at.constant


@pytest.mark.parametrize(("outputs", "turn"), [(3, lambda z: z.softmax(1)), (1, lambda z: torch.sigmoid(z)[:, 0])])
def test_probabilities_are_read_as_the_logits_they_came_from(outputs, turn):
    logits = toys.seeded(lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, outputs)))
    net, x = Strange(lambda net, x: turn(net.body(x)), body=logits), toys.drawn(40, 6)
    with torch.no_grad():
        logits[2].weight.mul_(5)
    plain, given = subject(logits), examples(x)
    assert not understood(plain, given).probable
    found = understood(subject(net), given)
    assert found.probable
    own, other = flatness.numbers(found, given, 1000), flatness.numbers(plain, given, 1000)
    assert own["top_eigenvalue"] == pytest.approx(other["top_eigenvalue"], rel=1e-2)
    wrong = flatness.numbers(subject(net), given, 1000)
    assert abs(wrong["top_eigenvalue"] / other["top_eigenvalue"] - 1) > 0.1
    assert torch.equal(removal.decide(found, given).decisions, removal.decide(plain, given).decisions)


def test_numbers_between_0_and_1_that_no_sigmoid_made_are_scores():
    net = Strange(lambda net, x: net.body(x) * 0.01 + 0.5, body=nn.Linear(6, 1))
    assert not understood(subject(net), examples(toys.drawn(40, 6))).probable


def test_classes_are_on_the_axis_that_the_labels_or_the_last_layer_tell():
    net, x = nn.Conv1d(3, 5, 1), toys.drawn(12, 3, 8)
    found, y = subject(net), net(x).argmax(1)
    for given, by_filter in ((examples((x, y)), False), (examples(x), True)):
        out = removal.decide(understood(found, given, by_filter), given)
        assert torch.equal(out.decisions, net(given.x).argmax(1))
    assert removal.decide(understood(found, examples(x)), examples(x)).decisions.shape == (12, 5)  # as [n, T, C]


@pytest.mark.parametrize(
    ("build", "y", "says"),
    [
        (lambda: Strange(lambda n, x: n.own(functional.dropout(x, 0.5)), own=nn.Linear(6, 3)), None, "when run twice"),
        (lambda: nn.Sequential(nn.Linear(6, 5), nn.LazyLinear(3)), None, "none yet for 1.weight"),
        (lambda: nn.Linear(6, 3), torch.eye(3).repeat(7, 1), "y.argmax"),
        (lambda: Strange(lambda n, x: n.own(x).argmax(1), own=nn.Linear(6, 3)), None, "floating-point"),
        (lambda: Strange(lambda n, x: n.own(x).sum(), own=nn.Linear(6, 3)), None, "one for each example"),
    ],
    ids=["dropout", "lazy", "one-hot", "decided", "sum"],
)
def test_what_would_give_wrong_numbers_is_refused_with_a_remedy(build, y, says):
    x = toys.drawn(21, 6)
    net = build()
    with pytest.raises(BadInput, match=says):
        audit(net, x if y is None else (x, y))
    if says.startswith("none"):
        assert isinstance(net[1].weight, nn.parameter.UninitializedParameter)  # the net is as it was


def test_an_example_that_gives_no_number_is_counted():
    net = Strange(lambda net, x: net.own(x.sqrt()), own=nn.Linear(6, 3))
    x = toys.drawn(90, 6).abs()
    x[40:43, 0] = -1
    found, given, examined, sites, _ = sites_of(net, x)
    with pytest.raises(BadInput, match="3 of 90 examples"):
        activations.activation_measures(found, examined, list(sites.values()), given, 1000, 0.01, 0.01)


def test_numbers_that_are_not_real_are_not_examined():
    whole = nn.Linear(6, 5)
    whole.weight = nn.Parameter(torch.ones(5, 6, dtype=torch.int8), requires_grad=False)
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 6, dtype=torch.complex64), whole)
    examined, skipped = layers(subject(net))
    assert [layer.name for layer in examined] == ["0"]
    assert [(one.name, one.parameters) for one in skipped] == [("1", 42), ("2", 35)]
    assert "complex" in skipped[0].reason and "whole numbers" in skipped[1].reason


def test_what_a_mask_hides_goes_first_and_is_no_value_of_a_twin():
    net = toys.seeded(toys.mlp)
    mask = (toys.drawn(50, 64) > 0.3).float()  # most weights, large ones as well as small ones
    prune.custom_from_mask(net[2], "weight", mask)
    x, before = toys.drawn(70, 20), toys.state_of(net)
    found, given, examined, _, _ = sites_of(net, x)
    at = removal.bench(found, given, examined, 2, 0.5, 1000)
    curve = removal.without_weights(at, examined[1:2], "2")
    hidden = float((mask == 0).float().mean())
    assert 0.5 < hidden < 0.7
    assert all(change == 0 for share, change in zip(removal.GRID, curve.change, strict=True) if share <= hidden)
    assert all(change > 0 for share, change in zip(removal.GRID, curve.change, strict=True) if share > hidden)
    own = (net[2].weight_orig * mask).detach()
    with twin(found, examined, given, 1000, 0):
        acting = net[2].weight_orig * net[2].weight_mask
        assert torch.equal(acting.flatten().sort().values, own.flatten().sort().values)
        assert not torch.equal(acting == 0, own == 0)
    assert toys.unchanged(net, before)


@pytest.mark.parametrize("norm", [utils.spectral_norm, utils.parametrizations.spectral_norm, utils.weight_norm])
@pytest.mark.filterwarnings("ignore:`torch.nn.utils")
def test_a_weight_divided_by_its_norm_is_not_taken_for_a_pruned_one(norm):
    net = toys.seeded(toys.mlp)
    net[2] = norm(net[2])
    _, _, examined, _, _ = sites_of(net.eval(), toys.drawn(40, 20))
    assert [layer.stored is None for layer in examined] == [False, True, False]
    assert not removal.removable(examined[1]) and examined[1].notes


@pytest.mark.parametrize("way", ["around", "in place", "inside"])
def test_a_compiled_net_gives_the_numbers_of_the_net_itself(way, monkeypatch):
    monkeypatch.setattr(removal, "GRID", (0.0, 0.5, 1.0))
    x, runs = toys.drawn(40, 20), []

    def backend(graph, _):
        runs.append(graph)
        return graph.forward

    def made():
        return Strange(lambda net, x: net.body(x), body=toys.seeded(toys.mlp))

    plain, net = audit(made(), x, seed=1000), made()
    if way == "around":
        net = torch.compile(net, backend=backend)
    elif way == "in place":
        net.compile(backend=backend)
    else:
        net.body = torch.compile(net.body, backend=backend)
    found = audit(net, x, seed=1000)
    assert not runs and net(x).shape == (40, 5) and runs  # compiled afterwards as before
    assert found.whole["weights"].change == plain.whole["weights"].change
    assert {n: m.value for n, m in found.features.items()} == {n: m.value for n, m in plain.features.items()}
    assert [list(r.measures) for r in found.records] == [list(r.measures) for r in plain.records]


def test_a_net_of_quantised_parts_alone_says_why_it_is_not_examined():
    quantised = type("Linear", (nn.Module,), {"__module__": "torch.ao.nn.quantized.dynamic.modules.linear"})
    with pytest.raises(BadInput, match="quantised: examine the net before"):
        layers(subject(nn.Sequential(quantised())))


@pytest.mark.parametrize("x", [torch.ones(40, 20), toys.drawn(2, 20), toys.drawn(3, 20)], ids=["same", "two", "three"])
def test_examples_that_say_little_are_said_to(x, monkeypatch):
    monkeypatch.setattr(removal, "GRID", (0.0, 0.5, 1.0))
    report = audit(toys.seeded(toys.mlp), (x, torch.arange(len(x)) % 5), seed=1000)
    assert report.complete and report.html() and report.to_json()
    assert advice.next_step(report).startswith(("Do not cut yet", "Give more examples", "Nothing here is safe"))


def test_norms_of_a_converted_checkpoint_take_their_statistics_in_twins():
    net = nn.Sequential(nn.Linear(6, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3))
    net[1].running_mean.fill_(5)  # and no batch was counted
    found, given, examined, _, _ = sites_of(net, toys.drawn(64, 6))
    with twin(found, examined, given, 1000, 0):
        assert torch.allclose(net[1].running_mean, net[0](given.x).mean(0), atol=1e-5)
    assert bool((net[1].running_mean == 5).all()) and int(net[1].num_batches_tracked) == 0


def test_a_net_that_decides_the_same_for_all_examples_says_so():
    net = toys.seeded(toys.mlp)
    with torch.no_grad():
        net[-1].bias[2] = 100
    found, given, examined, sites, _ = sites_of(net, toys.drawn(40, 20))
    at = removal.bench(found, given, examined, 2, 0.5, 1000)
    assert "says nothing" in removal.without_weights(at, examined[:1], "0").says
    assert compact.gains(at, list(sites.values()), {"0": 0.5})[1] is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_net_of_half_precision_is_compacted(dtype):
    pytest.importorskip("torch_pruning", reason="the optional extra 'structured'")
    net, x = toys.seeded(toys.mlp).to(dtype), toys.drawn(40, 20).to(dtype)
    small = compact.compact(net, x, {"0": [1, 5]})
    assert small.net[0].weight.shape == (62, 20) and small.net[0].weight.dtype == dtype and small.removed == {"0": 2}
