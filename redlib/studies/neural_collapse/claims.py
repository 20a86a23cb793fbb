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
from redlib.experiments.results import Results

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
    """The features of a class shrink to a point: NC1 `falls` after zero error, and its `end_value` is small."""
    return judged("NC-1", main, {"nc1_end_over_first_zero_error": fall(main, "nc1"), "nc1_end": at_end(main, "nc1")})


def nc_2(main: Results) -> Finding:
    """Class means form a simplex: `lengths_converge` from the untrained net on, `lengths_equal`, `angles_equal`."""
    norms = main["nc2_norms"]
    parts = {
        "norm_variation_end_minus_start": norms[:, LAST] - norms[:, 0],
        "norm_variation_end": norms[:, LAST],
        "mean_abs_cosine_deviation": at_end(main, "nc2_angles"),
    }
    return judged("NC-2", main, parts)


def nc_3(main: Results) -> Finding:
    """Rows of the classifier point as their class means: the distance `falls` to a small `end_value`."""
    return judged("NC-3", main, {"nc3_end": at_end(main, "nc3"), "nc3_end_over_first_zero_error": fall(main, "nc3")})


def nc_4(main: Results) -> Finding:
    """The decision is the nearest class mean, but for a few examples (points of all)."""
    return judged("NC-4", main, {"nearest_mean_mismatch_train": 100 * at_end(main, "nc4")})


def nc_5(widest: Results, narrowest: Results) -> Finding:
    """Examples reach the corners of the simplex in a wide net (`wide_at_corners`), fewer in a small one.

    `wide_beats_small`: by how many; the gate also asks that the narrowest net is too small to fit.
    """
    wide, narrow = (at_end(run, "confident") for run in (widest, narrowest))
    parts = {"share_confident_wide": wide, "share_confident_wide_minus_underparameterised": wide - narrow}
    errs = bool((at_end(narrowest, "train_error") > 0).all())
    return judged("NC-5", widest, parts, narrowest_net_errs=errs)


def nc_6(plain: Results) -> Finding:
    """Logits cluster by class as well (`clusters`), but without weight decay their length `grows` on."""
    nc1, growth = plain["logit_nc1"], np.log2(fall(plain, "logit_norm"))
    parts = {"logit_nc1_end_over_start": nc1[:, LAST] / nc1[:, 0], "log2_logit_norm_growth_after_zero_error": growth}
    return judged("NC-6", plain, parts)


def nc_7(main: Results) -> Finding:
    """From layer to layer more of the neighbours have an image's class, and most of the rise is one step.

    rise_k5_train, rise_k5_test, rise_k30_train, rise_k30_test: from inputs to outputs; sharp_k5_train, sharp_k5_test,
    sharp_k30_train, sharp_k30_test: the largest step's share of that.
    """
    parts = {
        "chi_output_minus_input_k5_train": rise(main["chi5_train"]),
        "chi_output_minus_input_k5_test": rise(main["chi5_test"]),
        "chi_output_minus_input_k30_train": rise(main["chi30_train"]),
        "chi_output_minus_input_k30_test": rise(main["chi30_test"]),
        "chi_largest_step_share_k5_train": largest_step(main["chi5_train"]),
        "chi_largest_step_share_k5_test": largest_step(main["chi5_test"]),
        "chi_largest_step_share_k30_train": largest_step(main["chi30_train"]),
        "chi_largest_step_share_k30_test": largest_step(main["chi30_test"]),
    }
    return judged("NC-7", main, parts)


def rise(chi: Floats) -> Floats:
    """Return how far chi [S, T, layers] rises from inputs to outputs at the end [S]."""
    return chi[:, LAST, -1] - chi[:, LAST, 0]


def largest_step(chi: Floats) -> Floats:
    """Return the share of that rise that the largest step between two layers makes [S]."""
    return np.diff(chi[:, LAST], axis=1).max(1) / rise(chi)


def nc_8(clean: Results, noisy: Results) -> Finding:
    """Wrong labels spread classes (`noise_spreads`), and mislabelled images do not join their true class.

    `no_true_label_collapse`: their NC1 by the true label does not fall after zero error. Both nets train equally long.
    """
    parts = {
        "nc1_noise20_minus_clean": at_end(noisy, "nc1") - at_end(clean, "nc1"),
        "nc1_true_labels_mislabelled_end_over_first_zero_error": fall(noisy, "mislabelled_nc1_true"),
    }
    return judged("NC-8", clean, parts, noisy_labels_learned=terminal(noisy))


def nc_9(main: Results, compared: Sequence[Results]) -> Finding:
    """Collapse makes nets better: after zero error `accuracy_rises` (in points) and `margin_rises`.

    `collapse_goes_with_accuracy` among the nets `compared`, `main` one of them: their rank correlation is negative.
    """
    parts = {
        "test_accuracy_end_minus_first_zero_error": -100 * gain(main, "test_error"),
        "smallest_fgsm_epsilon_end_minus_first_zero_error": gain(main, "margin"),
        "partial_correlation_nc1_accuracy": correlation(compared),
    }
    return judged("NC-9", main, parts)


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
    """A ticket collapses as much as the dense net: nc1_same, nc2_same, nc3_same, nc4_same within a factor of two.

    Described alone: nc1_versus_random, nc2_versus_random, nc3_versus_random, nc4_versus_random. All are log2 of the
    ratio at the end. NC4 counts examples out of `examples`; half a count is added to each, as both may be 0.
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
