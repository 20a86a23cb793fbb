"""Conv tickets are what they say: exact counts, true rewinding, fair arms, honest early stops and barriers."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from redlib.errors import BadInput
from redlib.evidence.sweep import sweep
from redlib.nets.ticketnets import build
from redlib.pruning.masks import counts, weights_of
from redlib.pruning.tickets import REINIT
from redlib.studies import tickets_conv as conv
from redlib.studies import tickets_conv_statistics as cstat
from redlib.studies.tickets_statistics import stable_and_matching

TINY = conv.ConvLevel(
    pool=200, validation=60, tests=80, n=48, width=0.0625, batch=16, steps=8, probes=4, lr=0.01, weight_decay=0.1,
    snapshots=(3,), rates=(0.2, 0.4, 0.2), seeds=(1000, 1001),
)  # fmt: skip
BATCH_NORM = replace(TINY, net="small_conv", width=2, optimizer="sgd", lr=0.1, rates=(0.5, 0.0, 0.2))


@cache
def level(config: conv.ConvLevel) -> conv.Arrays:
    previous = config.previous
    return conv.run(config, None if previous is None else level(previous))


def state(arrays: conv.Arrays, when: str) -> dict[str, np.ndarray]:
    return {name.partition(".")[2]: values for name, values in conv.stored(arrays, when).items()}


def test_the_levels_of_a_chain_share_one_dense_net():
    third = replace(TINY, level=2, rewind=3)
    assert third.previous == replace(TINY, level=1, rewind=3)
    assert third.previous.previous == replace(TINY, level=0, rewind=0) and TINY.previous is None
    assert replace(TINY, level=1).previous == third.previous.previous


def test_each_level_keeps_the_stated_number_of_the_largest_final_weights_within_the_last_mask():
    before, after = level(replace(TINY, level=1)), level(replace(TINY, level=2))
    old, new = conv.unpacked(before), conv.unpacked(after)
    rates = {"0": 0.2, "2": 0.2, "6": 0.4, "8": 0.4, "10": 0.2}
    assert list(new) == list(rates)
    for name, rate in rates.items():
        left = round(old[name][0].numel() * (1 - rate) ** 2)
        for r in range(2):
            size = np.where(old[name][r], np.abs(before[f"end.{name}.weight"][r]), -1).ravel()
            assert set(np.flatnonzero(new[name][r])) == set(np.argsort(-size, kind="stable")[:left])


def test_cut_weights_stay_zero_under_adam_and_weight_decay_and_biases_are_trained():
    after = level(replace(TINY, level=2))
    for name, mask in conv.unpacked(after).items():
        final = after[f"end.{name}.weight"]
        assert (final[~mask.numpy()] == 0).all() and (final[mask.numpy()] != 0).all()
        assert (after[f"end.{name}.bias"] != 0).mean() > 0.5  # they begin at zero; those of dead units stay there


@pytest.mark.parametrize("rewind", [0, 3])
@pytest.mark.parametrize("source", [TINY, BATCH_NORM])
def test_kept_weights_go_back_bit_for_bit_to_their_values_at_the_rewind_step(source, rewind):
    first = level(source)
    still = conv.run(replace(source, level=1, rewind=rewind, optimizer="sgd", lr=0.0), first)  # nothing moves
    data = conv.examples(source)
    for r, net in enumerate(conv.fresh_nets(source, data)):
        start = state(first, "start3") if rewind else {name: v[None] for name, v in net.state_dict().items()}
        for name, mask in conv.unpacked(still).items():
            expected = np.asarray(start[f"{name}.weight"][r if rewind else 0]) * mask[r].numpy()
            assert np.array_equal(still[f"end.{name}.weight"][r], expected)
        if rewind:  # whatever else was trained goes back too
            assert np.array_equal(still["end.0.bias" if source is TINY else "end.1.bias"][r],
                                  start["0.bias" if source is TINY else "1.bias"][r])  # fmt: skip


def test_keeping_snapshots_changes_nothing_and_a_snapshot_is_the_end_of_a_shorter_run():
    for config in (TINY, replace(TINY, drops=(0.5,))):  # a drop halfway to the end, not halfway to the snapshot
        with_one, without = level(config), level(replace(config, snapshots=()))
        for name, values in state(without, "end").items():
            assert np.array_equal(values, state(with_one, "end")[name])
    with_one = level(TINY)
    short = level(replace(TINY, snapshots=(), steps=3, probes=1))
    for name, values in state(short, "end").items():
        assert np.array_equal(values, state(with_one, "start3")[name])


def test_training_on_from_a_snapshot_follows_order_and_schedule_of_the_whole_run():
    # Without momentum a new optimiser changes nothing: the resumed copy must end where the whole run ended.
    config = replace(TINY, optimizer="sgd", lr=0.1, momentum=0.0, warm=2, drops=(0.5,))
    whole = level(config)
    resumed = conv.run(conv.ConvBarrier(config, 3, alphas=2), whole)
    assert np.array_equal(resumed["train_loss"], whole["train_loss"])
    assert np.array_equal(resumed["validation_loss"], whole["validation_loss"][:, whole["steps"] > 3])


def test_a_seed_trained_among_others_equals_that_seed_alone():
    both, alone = level(replace(TINY, dropout=0.5)), level(replace(TINY, dropout=0.5, seeds=(1001,)))
    assert all(np.array_equal(both[name][1], alone[name][0]) for name in alone if name != "steps")


def test_dropout_acts_in_training():
    plain, thinned = level(TINY), level(replace(TINY, dropout=0.5))
    assert not np.array_equal(plain["end.6.weight"], thinned["end.6.weight"])


def test_early_stop_reports_the_net_of_the_least_validation_loss():
    config = replace(TINY, optimizer="sgd", lr=0.3, steps=16, snapshots=())  # so fast that it unlearns again
    found = level(config)
    assert found["validation_loss"].shape == (2, len(found["steps"]))
    assert found["early_step"].tolist() == found["steps"][found["validation_loss"].argmin(1)].tolist()
    r = int(np.flatnonzero(found["early_error"] != found["final_error"])[0])
    stopped = level(replace(config, steps=int(found["early_step"][r]), probes=1))
    assert stopped["final_error"][r] == found["early_error"][r]


def arm(name: str, source: conv.ConvLevel | None = None):
    config = conv.ConvArm(source or replace(TINY, level=2), name)
    nets, masks, _, _ = conv.arm_nets(config, level(config.previous))
    return weights_of(nets), masks


def test_arms_differ_in_exactly_what_they_are_named_after():
    own = conv.unpacked(level(replace(TINY, level=2)))
    initial = weights_of([build("conv2", seed, 10, 1, 8, width=0.0625) for seed in TINY.seeds])
    fresh = weights_of([build("conv2", seed + 3 * REINIT, 10, 1, 8, width=0.0625) for seed in TINY.seeds])
    expected = {
        "ticket": (initial, True), "reinit": (fresh, True), "random": (fresh, False), "shuffled": (initial, False),
    }  # fmt: skip
    for name, (start, same_masks) in expected.items():
        weights, masks = arm(name)
        assert all(torch.equal(weights[layer], start[layer]) for layer in start)
        assert all(torch.equal(counts(masks)[layer], counts(own)[layer]) for layer in own)
        assert all(torch.equal(masks[layer], own[layer]) for layer in own) == same_masks
    assert all(bool(mask.all()) for mask in arm("dense")[1].values())


def test_frozen_weights_stay_where_they_were_drawn():
    config = conv.ConvArm(replace(TINY, level=2), "frozen")
    nets, masks, settings, data = conv.arm_nets(config, level(config.previous))
    before = weights_of(nets)
    achieved, _ = conv.train(nets, masks, settings, data, cut="freeze")
    assert np.array_equal(conv.run(config, level(config.previous))["train_loss"], achieved["train_loss"])
    for name, after in weights_of(nets).items():
        assert torch.equal(after[~masks[name]], before[name][~masks[name]])
        assert not torch.equal(after[masks[name]], before[name][masks[name]])


def test_the_ticket_arm_is_the_level_itself_and_a_longer_one_goes_on():
    config = replace(TINY, level=2)
    same = conv.run(conv.ConvArm(config, "ticket"), level(config))
    assert all(np.array_equal(same[name], level(config)[name]) for name in conv.ACHIEVED)
    longer = conv.run(conv.ConvArm(replace(TINY, level=2, snapshots=()), "reinit", 24), level(config))
    assert longer["steps"][-1] == 24


@pytest.mark.parametrize(("source", "start"), [(replace(TINY, level=1), 0), (BATCH_NORM, 3)])
def test_the_line_joins_copies_that_began_alike_and_saw_other_orders(source, start):
    found = conv.run(conv.ConvBarrier(source, start, alphas=3), level(source))
    assert found["path_error"].shape == (2, 3)
    masks, data = conv.unpacked(level(source)), conv.examples(source)
    nets = conv.fresh_nets(source, data)
    conv.load_states(nets, conv.stored(level(source), f"start{start}"))
    other, _ = conv.train(nets, masks, source, data, orders=[s + REINIT for s in source.seeds], start=start)
    assert np.array_equal(found["other_error"], other["early_error"])
    if source.net == "conv2":  # batch norm is measured anew, so there the ends may differ
        assert np.array_equal(found["path_error"][:, 0], level(source)["final_error"])
        assert np.array_equal(found["path_error"][:, -1], other["final_error"])
    assert not np.array_equal(other["train_loss"], found["train_loss"])


def test_copies_that_do_not_move_have_no_barrier():
    still = replace(TINY, optimizer="sgd", lr=0.0)
    found = conv.run(conv.ConvBarrier(still, 3, alphas=4), conv.run(still))
    assert (found["path_error"] == found["path_error"][:, :1]).all() and (cstat.barriers(found) == 0).all()


def test_one_ranking_over_all_convolutions_keeps_their_total_and_spares_the_output_layer():
    config = replace(BATCH_NORM, pooled=True, rates=(0.5, 0.0, 0.0))
    by_layer, pooled = (conv.unpacked(level(replace(c, level=2))) for c in (replace(config, pooled=False), config))
    total = [sum(int(mask[r].sum()) for mask in masks.values()) for masks in (by_layer, pooled) for r in range(2)]
    assert abs(total[0] - total[2]) <= 4 and total[2] == total[3]  # by layer each count is rounded
    assert bool(list(pooled.values())[-1].all())
    assert any(pooled[name][0].sum() != by_layer[name][0].sum() for name in pooled)


def test_densities_are_known_before_training():
    assert conv.densities(TINY, 2) == pytest.approx([level(replace(TINY, level=k))["density"][0] for k in range(3)])


def test_masks_survive_packing_whatever_their_size():
    masks = {"a": torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0)) > 0.5}
    arrays = conv.packed(masks) | {"end.a.weight": np.zeros((2, 3, 5))}
    assert torch.equal(conv.unpacked(arrays)["a"], masks["a"]) and arrays["mask.a"].shape == (2, 2)


def test_every_seed_draws_its_own_images_and_shrinking_averages_squares():
    data, half = conv.examples(TINY), conv.examples(replace(TINY, shrink=2))
    assert data.train.rows.shape == (2, 48) and not torch.equal(*data.train.rows)
    assert (data.image, half.image, half.channels) == (8, 4, 1)
    torch.testing.assert_close(half.test.x[0, 0, 0, 0], data.test.x[0, 0, :2, :2].mean())


def test_a_sweep_runs_a_level_from_the_stored_ones_before_it(tmp_path):
    config = replace(TINY, level=1)
    done = sweep(conv.run, [config, conv.ConvArm(config, "reinit")], store=tmp_path, workers=1)
    # Not to the bit: a sweep gives every run one thread, and convolutions round differently on several.
    np.testing.assert_allclose(done.results[0]["end.0.weight"], level(config)["end.0.weight"], rtol=1e-3, atol=1e-5)
    assert sweep(conv.run, [config], store=tmp_path, workers=1).computed == 0


def test_augmented_copies_start_alike_and_shift_their_images_differently():
    config = replace(TINY, augment=True)
    data = conv.examples(config)
    first, second = (conv.fresh_nets(config, data, copied=number) for number in range(2))
    assert all(torch.equal(weights_of(first)[name], weights_of(second)[name]) for name in weights_of(first))
    x = data.test.x[:20]
    assert not torch.equal(first[0].train()[0](x), second[0].train()[0](x))
    assert torch.equal(first[0].eval()[0](x), x)
    done = conv.run(replace(config, level=1, rewind=3), level(config))
    assert "end.1.0.weight" in done and done["density"][0] < 1


@pytest.mark.parametrize("name", sorted(conv.PAPER))
def test_the_papers_own_protocols_are_runnable_configurations(name, monkeypatch):
    digits = conv.dataset(TINY)

    def colour(part):
        return replace(part, x=torch.nn.functional.interpolate(part.x, size=32).expand(-1, 3, -1, -1).contiguous())

    parts = {part: colour(getattr(digits, part)) for part in ("train", "validation", "test")}
    monkeypatch.setattr(conv, "dataset", lambda config: replace(digits, **parts))
    width = {"resnet20": 0.125, "vgg19": 1 / 32}.get(name, 1 / 16)
    config = replace(conv.PAPER[name], n=16, batch=8, steps=2, probes=1, snapshots=(1,), width=width, seeds=(1000,))
    first = conv.run(config)
    second = conv.run(replace(config, level=1, rewind=1), first)
    assert 0.75 < second["density"][0] < 0.93 and np.isfinite(second["validation_loss"]).all()


def test_paper_protocols_last_as_long_as_published():
    vgg = conv.PAPER["vgg19"]
    assert vgg.steps == 160 * -(-45_000 // 64) - 160  # the paper drops the last, smaller batch of each epoch
    assert [round(share * vgg.steps / 703) for share in vgg.drops] == [80, 120]
    assert [conv.PAPER[f"conv{n}"].steps for n in (2, 4, 6)] == [20_000, 25_000, 30_000]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(TINY, rewind=2), "rewind = 2"),
        (lambda: replace(TINY, snapshots=(8,)), "snapshots"),
        (lambda: replace(TINY, rates=(0.2, 1.0, 0.2)), "rates"),
        (lambda: conv.ConvArm(TINY, "finetuned"), "initial or fresh weights"),
        (lambda: conv.ConvArm(TINY, "rewound"), "arm = 'rewound'"),
        (lambda: conv.ConvBarrier(TINY, 5), "start = 5"),
        (lambda: conv.ConvBarrier(replace(TINY, level=1), 3), "where the level rewinds to"),
        (lambda: conv.run(replace(TINY, level=1)), "before = None"),
        (lambda: conv.run(replace(TINY, optimizer="lion")), "optimizer = 'lion'"),
        (lambda: conv.examples(replace(TINY, validation=0)), "validation = 0"),
        (lambda: conv.stored(level(TINY), "start2"), "Name the step in `snapshots`"),
        (lambda: conv.run("no config"), "configuration of this module"),
    ],
)
def test_bad_settings_say_what_is_allowed(make, message):
    with pytest.raises(BadInput, match=message):
        make()


# ---- statistics, on literal numbers --------------------------------------------------------------------------


def errors(*shares: float, **more) -> conv.Arrays:
    return {"early_error": np.array(shares)} | {name: np.array(value) for name, value in more.items()}


def line(*barriers: float) -> conv.Arrays:
    """Barriers in points, one a seed, of paths whose ends have 10% errors."""
    return {"path_error": np.array([[0.1, 0.1 + b / 100, 0.1] for b in barriers])}


def test_gains_are_points_of_accuracy_paired_by_seed():
    assert cstat.control_claim(errors(0.10, 0.2), errors(0.12, 0.19))["cnn_reinit_minus_random"] == pytest.approx(
        [2, -1]
    )
    assert cstat.dropout_claim(errors(0.1), errors(0.15, 0.9))["dropout_gain"] == pytest.approx([5])


def test_a_ticket_that_stops_in_half_the_steps_is_twice_as_fast():
    dense, ticket = errors(0.2, early_step=[100], steps=[50, 100]), errors(0.1, early_step=[50], steps=[50, 100])
    found = cstat.ticket_claim("conv2", dense, {9: ticket})
    assert found["conv2_gain_over_dense_d9"] == pytest.approx([10]) and found["conv2_speedup_d9"] == pytest.approx([2])
    assert cstat.stopped(dense).tolist() == [True] and cstat.stopped(ticket).tolist() == [False]


def test_rewinding_is_averaged_over_levels_and_needs_equal_ones():
    late, initial = [errors(0.1, 0.2), errors(0.2, 0.2)], [errors(0.14, 0.2), errors(0.22, 0.1)]
    assert cstat.rewind_claim(late, initial)["cnn_late_minus_initial"] == pytest.approx([3, -5])
    with pytest.raises(BadInput, match="levels"):
        cstat.rewind_claim(late, initial[:1])


def test_a_barrier_that_falls_by_one_point_per_factor_e_has_slope_minus_one_and_step_0_takes_no_part():
    by_start = {0: line(50, 50)} | {k: line(5 - np.log(k), 9 - 2 * np.log(k)) for k in (1, 4, 16)}
    assert cstat.barrier_claim(by_start)["cnn_barrier_slope"] == pytest.approx([-1, -2])


def test_onset_is_the_first_step_from_which_on_the_net_is_stable():
    by_start = {0: line(9, 1, 1), 10: line(1, 3, 1), 20: line(1, 1, 9)}
    found = cstat.onset_claim("resnet20", by_start)["resnet20_onset_step"]
    assert found[:2].tolist() == [10, 20] and np.isnan(found[2])
    assert cstat.onset_claim("x", {0: line(1), 10: line(1)})["x_onset_step"].tolist() == [0]


def test_barrier_runs_join_the_table_of_stable_and_matching_nets():
    cells = [line(1, 2) | errors(0.10, 0.10), line(9, 9) | errors(0.2, 0.2)]
    stable, matching = stable_and_matching(cstat.as_nets(cells), np.array([90.0, 90.0, 0.0]), 0.2)
    assert stable.tolist() == [True, False] and matching.tolist() == [True, False]


def test_gates_fail_where_their_premise_does():
    fitted, short = errors(0.1, train_error=[0.0]), errors(0.2, train_error=[0.3])
    assert cstat.arms_fit(fitted) == {"all_arms_fit": True} and cstat.arms_fit(fitted, short) == {"all_arms_fit": False}
    assert all(cstat.rewinding_matters(fitted, [short], line(9)).values())
    assert not any(cstat.rewinding_matters(short, [fitted], line(1)).values())
