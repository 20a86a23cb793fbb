"""What the runs of the neural-collapse study say of each claim: one function a claim, parts and gate together.

Runs are `Results` of `runs.Terminal`, [S, T] over the looks; what comes out is one number a seed, [S]. The terminal
phase begins at the first look at which a net makes no training error. The gate of all claims: every seed makes no
error at the end, and trains at least as long again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from redlib.evidence.claims import Finding
from redlib.evidence.peaks import judged_best
from redlib.experiments.results import Results
from redlib.studies.neural_collapse.look import FINEST

Floats = np.ndarray
LAST = -1


def at_fit(run: Results, name: str) -> Floats:
    """Return a quantity at each seed's first look without a training error [S], NaN where there is none."""
    fits = run["train_error"] == 0
    values = np.take_along_axis(run[name], fits.argmax(1)[:, None], 1)[:, 0]
    return np.where(fits.any(1), values, np.nan)


def at_end(run: Results, name: str) -> Floats:
    """Return a quantity at the end of training [S]."""
    return run[name][:, LAST]


def fall(run: Results, name: str) -> Floats:
    """Return the quantity at the end over its value at the first look without an error [S]."""
    return at_end(run, name) / at_fit(run, name)


def gain(run: Results, name: str) -> Floats:
    """Return the quantity at the end minus its value at the first look without an error [S]."""
    return at_end(run, name) - at_fit(run, name)


def terminal(run: Results) -> bool:
    """Return whether every seed makes no training error at the end, and trains at least as long again."""
    fits = run["train_error"] == 0
    return bool(fits[:, LAST].all() and (run["epochs"][LAST] >= 2 * run["epochs"][fits.argmax(1)]).all())


def judged(id: str, run: Results, parts: Mapping[str, Floats], **more: bool) -> Finding:
    """Return the finding on a claim about one run, with the gate of all claims and `more` checks of the setting."""
    return Finding(id, parts, {"terminal_phase": terminal(run), **more})


def nc_1(main: Results) -> Finding:
    """The features of a class shrink to a point: NC1 `falls` after zero error.

    How far is `falls_tenfold`, and to what `end_value`.
    """
    return judged("NC-1", main, {"nc1_end_over_first_zero_error": fall(main, "nc1"), "nc1_end": at_end(main, "nc1")})


def nc_2(main: Results, noise: tuple[float, float]) -> Finding:
    """Class means become a simplex, from the untrained net on, and come nearer to it than `simplex.of_noise`.

    `lengths_converge`, `lengths_beat_noise` and `lengths_equal` are of the spread of their lengths, `angles_converge`,
    `angles_beat_noise` and `angles_equal` of the deviation of their cosines.
    """
    norms, angles = main["nc2_norms"], main["nc2_angles"]
    parts = {
        "norm_variation_end_minus_start": norms[:, LAST] - norms[:, 0],
        "cosine_deviation_end_minus_start": angles[:, LAST] - angles[:, 0],
        "norm_variation_end_minus_noise": norms[:, LAST] - noise[0],
        "cosine_deviation_end_minus_noise": angles[:, LAST] - noise[1],
        "norm_variation_end": norms[:, LAST],
        "mean_abs_cosine_deviation": angles[:, LAST],
    }
    return judged("NC-2", main, parts)


def nc_3(main: Results) -> Finding:
    """Rows of the classifier point as their class means: the distance `falls` and `beats_chance`, which is 2.

    How far is `halves`, and to what `end_value`.
    """
    return judged("NC-3", main, {"nc3_end": at_end(main, "nc3"), "nc3_end_over_first_zero_error": fall(main, "nc3")})


def nc_4(main: Results, examples: int) -> Finding:
    """The decision becomes that of the nearest class mean: `same_decision`, but for a few `examples` (points of all).

    The disagreement `falls` from the untrained net on, and `falls_after_zero_error`.
    """
    end = counted(at_end(main, "nc4"), examples)
    start, fit = (counted(values, examples) for values in (main["nc4"][:, 0], at_fit(main, "nc4")))
    parts = {
        "log2_mismatch_end_over_start": np.log2(end / start),
        "nearest_mean_mismatch_train": 100 * end,
        "log2_mismatch_end_over_first_zero_error": np.log2(end / fit),
    }
    return judged("NC-4", main, parts)


def counted(share: Floats, examples: int) -> Floats:
    """Return a share of examples with half a one added to those in it and to the others: never 0 or 1 (Jeffreys)."""
    return np.asarray((share * examples + 0.5) / (examples + 1))


def nc_5(widest: Results, narrowest: Results, examples: int) -> Finding:
    """Examples reach the corners of the simplex in a wide net (`wide_at_corners`, `nearly_all`), fewer in a small one.

    `wide_converges`: how many more than at zero error, `wide_beats_small`: than in the small net; the gate also asks
    that the narrowest net is too small to fit.
    """
    wide, narrow = (at_end(run, "confident") for run in (widest, narrowest))
    parts = {
        "share_confident_wide": counted(wide, examples),
        "share_confident_wide_end_minus_first_zero_error": gain(widest, "confident"),
        "share_confident_wide_minus_underparameterised": wide - narrow,
    }
    errs = bool((at_end(narrowest, "train_error") > 0).all())
    return judged("NC-5", widest, parts, narrowest_net_errs=errs)


def nc_6(plain: Results) -> Finding:
    """Logits cluster by class as well (`clusters`, `clusters_tenfold`), but not at unit vectors (`not_unit`).

    Without weight decay their length `grows` on.
    """
    nc1 = plain["logit_nc1"]
    parts = {
        "logit_nc1_end_over_start": nc1[:, LAST] / nc1[:, 0],
        "log2_logit_norm_end": np.log2(at_end(plain, "logit_norm")),
        "log2_logit_norm_growth_after_zero_error": np.log2(fall(plain, "logit_norm")),
    }
    return judged("NC-6", plain, parts)


def nc_7(main: Results) -> Finding:
    """From layer to layer more of the neighbours have an image's class, and most of the rise is one late step.

    rise_k5_train, rise_k5_test, rise_k30_train, rise_k30_test: from inputs to outputs; sharp_k5_train, sharp_k5_test,
    sharp_k30_train, sharp_k30_test: what share of that one step makes in the later half of the net.
    """
    parts = {
        "chi_output_minus_input_k5_train": rise(main["chi5_train"]),
        "chi_output_minus_input_k5_test": rise(main["chi5_test"]),
        "chi_output_minus_input_k30_train": rise(main["chi30_train"]),
        "chi_output_minus_input_k30_test": rise(main["chi30_test"]),
        "chi_late_step_share_k5_train": late_step(main["chi5_train"]),
        "chi_late_step_share_k5_test": late_step(main["chi5_test"]),
        "chi_late_step_share_k30_train": late_step(main["chi30_train"]),
        "chi_late_step_share_k30_test": late_step(main["chi30_test"]),
    }
    return judged("NC-7", main, parts)


def rise(chi: Floats) -> Floats:
    """Return how far chi [S, T, layers] rises from inputs to outputs at the end [S]."""
    return chi[:, LAST, -1] - chi[:, LAST, 0]


def late_step(chi: Floats) -> Floats:
    """Return the share of that rise that the largest step in the later half of the layers makes; see `judged_best`."""
    steps = np.diff(chi[:, LAST], axis=1)
    step = judged_best(steps[:, steps.shape[1] // 2 :])
    return np.asarray(step / rise(chi)[: len(step)])


def nc_8(clean: Results, noisy: Results) -> Finding:
    """Wrong labels spread classes (`noise_spreads`), and mislabelled images join `told_not_true_class`.

    Both ways are described, `as_guessed` and `not_home` are what we expected of them. `no_true_label_collapse`: their
    NC1 by the true label does not fall after zero error. Both nets train equally long.
    """
    parts = {
        "log2_nc1_noise20_over_clean": np.log2(at_end(noisy, "nc1") / at_end(clean, "nc1")),
        "log2_mislabelled_nc1_true_over_told": np.log2(
            at_end(noisy, "mislabelled_nc1_true") / at_end(noisy, "mislabelled_nc1_told")
        ),
        "nc1_true_labels_mislabelled_end_over_first_zero_error": fall(noisy, "mislabelled_nc1_true"),
    }
    return judged("NC-8", clean, parts, noisy_labels_learned=terminal(noisy))


def nc_9(main: Results, compared: Sequence[Results]) -> Finding:
    """Collapse makes nets better: after zero error `accuracy_rises` (in points) and `margin_rises`.

    `collapse_goes_with_accuracy` among the nets `compared`, `main` one of them: their rank correlation is negative.
    """
    parts = {
        "test_accuracy_end_minus_first_zero_error": -100 * gain(main, "test_error"),
        "log2_smallest_fgsm_epsilon_end_over_first_zero_error": margin_growth(main),
        "partial_correlation_nc1_accuracy": correlation(compared),
    }
    return judged("NC-9", main, parts)


def margin_growth(run: Results) -> Floats:
    """Return log2 of the margin's growth after zero error [S], NaN where for most seeds it is one number both times.

    Then it lies beyond the longest step, or below the finest, for which margins below it are taken.
    """
    end, fit = (np.maximum(values, FINEST) for values in (at_end(run, "margin"), at_fit(run, "margin")))
    growth = np.log2(end / fit)
    return np.where((growth == 0).mean() > 0.5, np.nan, growth)


def correlation(compared: Sequence[Results]) -> Floats:
    """Return, for each seed, the rank correlation over settings of NC1 and test accuracy at the end [S].

    Training error is held fixed by taking only settings without any, so nothing is left to be partialled out.
    NaN where fewer than four settings remain.
    """
    nc1, error, train = (
        np.stack([at_end(run, name) for run in compared], 1) for name in ("nc1", "test_error", "train_error")
    )
    fits = zip(nc1, error, train == 0, strict=True)
    return np.array([-spearmanr(a[ok], b[ok]).statistic if ok.sum() > 3 else np.nan for a, b, ok in fits])


def nc_10(tickets: Results, dense: Results, examples: int) -> Finding:
    """How much a ticket collapses beside the dense net: nc1_ratio, nc2_ratio, nc3_ratio, nc4_ratio.

    Within a factor of two would be nc1_same, nc2_same, nc3_same, nc4_same; beside a random mask they are
    nc1_versus_random, nc2_versus_random, nc3_versus_random, nc4_versus_random. All are log2 of the ratio at the end.
    NC4 counts examples out of `examples`; half a count is added to each, as both may be 0.
    """
    ticket, random = (_sizes(tickets.at(arm=arm), examples) for arm in ("ticket", "random"))
    whole = _sizes(dense, examples)
    parts = {
        "log2_nc1_ticket_over_dense": ticket["nc1"] - whole["nc1"],
        "log2_nc2_ticket_over_dense": ticket["nc2_angles"] - whole["nc2_angles"],
        "log2_nc3_ticket_over_dense": ticket["nc3"] - whole["nc3"],
        "log2_nc4_ticket_over_dense": ticket["nc4"] - whole["nc4"],
        "log2_nc1_ticket_over_random": ticket["nc1"] - random["nc1"],
        "log2_nc2_ticket_over_random": ticket["nc2_angles"] - random["nc2_angles"],
        "log2_nc3_ticket_over_random": ticket["nc3"] - random["nc3"],
        "log2_nc4_ticket_over_random": ticket["nc4"] - random["nc4"],
    }
    gate = {"ticket_terminal_phase": terminal(tickets.at(arm="ticket")), "dense_terminal_phase": terminal(dense)}
    return Finding("NC-10", parts, gate)


def nc_11(main: Results) -> Finding:
    """Weight vectors of the last hidden layer align otherwise than those of the earlier ones, each less its start."""
    gained = main["alignment"][:, LAST] - main["alignment"][:, 0]
    apart = gained[:, -2] - gained[:, :-2].mean(1)
    return judged("NC-11", main, {"weight_alignment_last_minus_earlier_layers": apart})


def _sizes(run: Results, examples: int) -> dict[str, Floats]:
    """Return log2 of the four measures of collapse at the end, by name."""
    ends = {name: at_end(run, name) for name in ("nc1", "nc2_angles", "nc3", "nc4")}
    return {name: np.log2(v * examples + 0.5 if name == "nc4" else v) for name, v in ends.items()}
