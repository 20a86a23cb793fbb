"""A small executed notebook with every kind of output, and records and claims to go with it."""

from __future__ import annotations

import io
import json
from functools import lru_cache
from typing import Any

import nbformat
import numpy as np
import yaml
from matplotlib import rc_context
from matplotlib.figure import Figure

from redlib.evidence.claims import Claim, Claims, Finding, check, not_run, parse_claim
from redlib.plots import STYLE
from redlib.report.explorers import curve_explorer
from redlib.report.references import Reference

STUDY, SEEDS = "01_double_descent", list(range(10))
WIDTHS = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512]
EPOCHS = [1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500, 800, 1200, 2000]

# One claim for each kind of check and each verdict, two of studies that are not written.
CLAIMS = """
- id: DD-1
  study: 01_double_descent
  primary: true
  prior: R
  figure: dd_rff
  statement: Test risk of random-feature regression is U-shaped, peaks at the interpolation threshold, then
    falls below the classical minimum.
  source: S1 (slides 1-2), S2; Belkin et al. 2019
  reported: MNIST, random Fourier features, minimum-norm fit; peak at N = n
  check:
    kind: conjunction
    parts:
    - {name: peak_location, kind: interval, statistic: n_peak_over_n, low: 0.8, high: 1.25, unit: ratio}
    - {name: left_height, kind: greater, statistic: height_left, than: 0, unit: pp}
    - {name: right_height, kind: greater, statistic: height_right, than: 0, unit: pp}
    - {name: below_classical, kind: less, statistic: modern_minus_classical, than: 0, unit: pp}
- id: DD-5
  study: 01_double_descent
  primary: true
  prior: R
  prior_note: shallow nets may only plateau
  figure: dd_model
  statement: With label noise, deep networks show double descent in their width.
  source: S1 (DD-3), S2; Nakkiran et al. 2019
  reported: "ResNet18, CIFAR-10: peak at k ≈ 10"
  check: {kind: greater, statistic: height_left, than: 0, unit: pp, delta: 0.5}
- id: DD-8
  study: 01_double_descent
  prior: R
  statement: Label noise raises the peak and shifts it to the right.
  source: S1; Nakkiran et al. 2019
  reported: noise makes a plateau a peak
  check:
    kind: conjunction
    parts:
    - {name: height, kind: greater, statistic: height_gain, than: 0, unit: pp}
    - {name: shift, kind: greater, statistic: log2_shift, than: 0, unit: log2}
- id: DD-11
  study: 01_double_descent
  prior: X
  statement: More epochs move the threshold to larger models.
  source: S1 (E4)
  reported: the slides say larger, the paper smaller
  check: {kind: two_sided, statistic: slope, unit: slope, zero: 0, claimed: positive}
- id: DD-13
  study: 01_double_descent
  prior: R
  statement: Without label noise there is only a plateau.
  source: paper
  reported: CIFAR-10 plateaus
  check: {kind: equivalence, statistic: height_left, delta: 0.3, unit: pp}
- id: DD-12
  study: 01_double_descent
  prior: D
  statement: The peak lies where effective complexity equals n.
  source: S1
  check: {kind: interval, statistic: emc_over_n, low: 0.5, high: 2, unit: ratio}
- id: DD-4
  study: 01_double_descent
  prior: R
  statement: A small step reaches gradient descent's solution.
  source: S1
  check: {kind: greater, statistic: excess, than: 0, unit: none, delta: 0.2}
- id: DD-16
  study: 01_double_descent
  prior: E
  statement: Ensembling removes the peak.
  source: S1
  check: {kind: descriptive, statistic: gain, unit: pp}
- id: DD-17
  study: 01_double_descent
  primary: true
  prior: P
  statement: ResNet18 peaks at width 10.
  source: S1
  reported: k = 10
  not_run: {laptop: "needs one GPU: ResNet18-k on CIFAR"}
  check: {kind: interval, statistic: k_peak, low: 5, high: 20, unit: count}
- id: LTH-1
  study: 02_lottery_tickets
  primary: true
  prior: R
  statement: A winning ticket beats the same mask with new weights.
  source: S1; Frankle & Carbin 2019
  check: {kind: greater, statistic: gain, than: 0, unit: pp}
- id: BLUR-15
  study: 06_mislabel_blurring
  prior: E
  statement: The share of wrong labels is a non-robust feature.
  source: S3
  untestable: true
"""

INTRODUCTION = r"""# Double descent

**Question.** Why can test error fall *again* when a model grows past the point where it fits its training
data perfectly?

Classical statistics says that a model should be neither too small nor too large. This study follows the error
far beyond the point where $\hat R_n(f) = 0$."""

LEAST_SQUARES = r"""## 1. Least squares: the whole story in one formula

For isotropic inputs with $n$ samples and $d$ features the excess risk of the minimum-norm fit is

$$\mathbb{E}[R] = \begin{cases} \sigma^2 \dfrac{d}{n-d-1} & n > d+1 \\
\|\beta\|^2 \left(1 - \dfrac{n}{d}\right) + \sigma^2 \dfrac{n}{d-n-1} & n < d-1 \end{cases}$$

Both explode at the *interpolation threshold* $n = d$ ([Hastie et al. 2022](https://doi.org/10.1214/21-AOS)).
It has been studied before [@hastie2022]. With label noise of $5 or 10% the peak grows; `x_a * y_b` stays code.

| quantity | below | above |
|---|---|---|
| bias | $0$ | $1-n/d$ |
| variance | grows | falls |"""

NETWORKS = """## 2. Networks under label noise

The same happens in networks. See [tickets](02_lottery_tickets.ipynb) and [the claims](#claims)."""

LIMITS = """## 3. Limits and exercises

- Digits and MNIST-1D are small.
- Settings tried: 4.

**Exercise.** Halve the noise. Where does the peak go?"""

DEFAULTS = """profile = "laptop"
widths = [2, 4, 8]  # hidden units tried
noise = [0.0, 0.2]  # share of wrong labels"""

SWEEP = """curves = study.sweep(run, configs)
fig = plot(curves)  # one line a seed
study.figure(fig, 'dd_rff')"""

RFF = """Random features: test error peaks exactly where the model can only just fit its 400 training digits,
then falls below its classical minimum.""".replace("\n", " ")


REFERENCES = {"hastie2022": Reference("Hastie et al. 2022", "Hastie (2022). Surprises. doi:10.1/x.")}


@lru_cache(maxsize=1)
def claims() -> dict[str, Claim]:
    """Return the eleven claims by id."""
    return Claims({entry["id"]: parse_claim(entry) for entry in yaml.safe_load(CLAIMS)})


def _around(mean: float, spread: float, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=len(SEEDS))
    return mean + spread * (drawn - drawn.mean())


def records(profile: str = "laptop") -> list[dict[str, Any]]:
    """Return the records of the study as lines of claims.jsonl, parsed: one of each verdict."""
    conjunction = {
        "peak_location": _around(1.0, 0.04, 1),
        "left_height": _around(31.2, 6.0, 2),
        "right_height": _around(44.0, 7.0, 3),
        "below_classical": _around(-2.4, 0.8, 4),
    }
    evidence: dict[str, Any] = {
        "DD-1": conjunction,
        "DD-5": _around(4.1, 1.9, 5),
        "DD-8": {"height": _around(3.1, 1.2, 6), "shift": _around(0.2, 0.6, 7)},
        "DD-11": _around(-0.31, 0.08, 8),
        "DD-13": _around(0.05, 0.3, 9),
        "DD-12": np.append(_around(2.1, 1.2, 10)[:-1], np.nan),
        "DD-4": _around(0.01, 0.1, 11),
        "DD-16": _around(5.2, 1.4, 12),
    }
    made = [check(claims()[id], profile, Finding(id, values), seeds=SEEDS) for id, values in evidence.items()]
    made.append(not_run(claims()["DD-17"], profile, "needs one GPU: ResNet18-k on CIFAR"))
    return [json.loads(record.as_json()) for record in made]


def confirmation(profile: str = "laptop") -> list[dict[str, Any]]:
    """Return records on fresh seeds: DD-1 as before, DD-5 turned round, DD-8 still open, DD-16 only measured."""
    again = {
        "DD-1": {
            "peak_location": _around(1.02, 0.04, 21),
            "left_height": _around(28.5, 6.0, 22),
            "right_height": _around(41.0, 7.0, 23),
            "below_classical": _around(-2.1, 0.8, 24),
        },
        "DD-5": _around(-3.2, 1.9, 25),
        "DD-8": {"height": _around(2.9, 1.2, 26), "shift": _around(0.1, 0.6, 27)},
        "DD-16": _around(4.4, 1.4, 28),
    }
    made = [check(claims()[id], profile, Finding(id, values), first=10) for id, values in again.items()]
    return [json.loads(record.as_json()) for record in made]


def run(kept_stale: bool = False) -> dict[str, Any]:
    """Return the study's entry of runs.json."""
    return {
        "answer": "Test error peaks where a model can only just fit its training data, because the fit is "
        "then unique and wild; wider models average many fits and do better again.",
        "wall_s": 192.4,
        "minutes": 3.2,
        "commit": "8d1f0c2a9b7e6d5c4b3a29180f7e6d5c4b3a2918",
        "dirty": False,
        "python": "3.11.2",
        "platform": "Linux x86_64",
        "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
        "cpu": "Example CPU @ 2.60GHz",
        "cores": 2,
        "ram_gib": 15.6,
        "gpu": None,
        "peak_memory_mb": 812.3,
        "data": [{"name": "digits", "digest": "0123456789abcdef0123"}],
        "sweeps": [
            {"loaded": 100, "computed": 5, "stale": 3, "kept_stale": kept_stale, "run_s": 240.0},
            {"loaded": 12, "computed": 3, "stale": 0, "kept_stale": False, "run_s": 62.0},
        ],
    }


def error_curves() -> tuple[np.ndarray, np.ndarray]:
    """Return made-up (test, train) errors in per cent [noise, width, epoch] with a peak at the threshold."""
    noise, width, epoch = np.meshgrid([0.0, 0.1, 0.2], np.log2(WIDTHS), np.log2(EPOCHS), indexing="ij")
    power = width + 0.45 * epoch - 8.5
    train = (60 + 100 * noise) / (1 + np.exp(1.6 * power))
    peak = (6 + 60 * noise) * np.exp(-((power - 1.6) ** 2) / 1.4)
    return 28 + 45 / (1 + np.exp(0.7 * (power + 1))) + peak, train


@lru_cache(maxsize=8)
def figure(name: str, panels: int = 1) -> str:
    """Return a figure in the project's style as SVG text: two curves, a band, a few words."""
    test, train = error_curves()
    with rc_context(STYLE | {"svg.hashsalt": "fixture"}):
        fig = Figure(figsize=(4.9 * panels, 3.4))
        for number, axis in enumerate(np.atleast_1d(fig.subplots(1, panels, sharey=True))):
            curve = test[2 - number, :, -4]
            axis.plot(WIDTHS, curve, color="#d55e00", marker="o", lw=2, markeredgecolor="#ffffff")
            axis.fill_between(WIDTHS, curve - 2, curve + 2, color="#d55e00", alpha=0.2, lw=0)
            axis.plot(WIDTHS, train[2 - number, :, -4], color="#0072b2", lw=2)
            axis.axvline(32, color="#1b1f24", lw=0.8, ls=":")
            axis.text(34, 60, "threshold", fontsize=9)
            axis.text(300, curve[-1] + 4, "test", color="#d55e00")
            axis.set(xscale="log", xlabel="hidden units $H_1$", title=name)
        written = io.StringIO()
        fig.savefig(written, format="svg")
    return written.getvalue()


def shown(data: dict[str, str], **about: Any) -> Any:
    """Return a cell output; `about` is what redlib says about it."""
    metadata = {"redlib": about} if about else {}
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata)


def shown_figure(name: str, caption: str, *ids: str, panels: int = 1) -> Any:
    """Return the output of study.figure."""
    alt = "Error against width: down, up to a peak, and down again"
    data = {"image/svg+xml": figure(name, panels)}
    return shown(data, kind="figure", name=name, caption=caption, alt=alt, claims=list(ids))


def shown_verdicts(*ids: str) -> list[Any]:
    """Return the outputs of study.check."""
    return [shown({"text/html": "<div class='verdict'></div>"}, kind="verdict", id=id) for id in ids]


def code(source: str, *outputs: Any, tags: tuple[str, ...] = ()) -> Any:
    """Return an executed code cell."""
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def printed(text: str, name: str = "stdout") -> Any:
    """Return printed text as a cell output."""
    return nbformat.v4.new_output("stream", name=name, text=text)


def explorer() -> str:
    """Return the explorer of the made-up errors."""
    test, train = error_curves()
    axes = {"noise": [0, 0.1, 0.2], "width": WIDTHS, "epoch": EPOCHS}
    return curve_explorer(axes, {"test": test, "train": train}, low={"test": test - 2}, high={"test": test + 2})


def wide_table() -> str:
    """Return a table as pandas shows it, too wide for a page."""
    head = "".join(f"<th>column {n}</th>" for n in range(12))
    body = "<td>0.12345678</td>" * 12
    style = "<style scoped>td {color: red}</style>"
    return f'{style}<table border="1" class="dataframe"><tr>{head}</tr><tr>{body}</tr></table>'


def notebook() -> Any:
    """Return an executed notebook: figures, verdicts, an explorer, tables, printed text, a widget, formulas."""
    markdown = nbformat.v4.new_markdown_cell
    steps = "\n".join(f"step {n}: loss {1 / n:.3f}" for n in range(1, 13))
    progress = printed("  0%|  | 0/120\r100%|##| 120/120\n", "stderr")
    noise = "With a fifth of the labels wrong, a net of 64 hidden units is worse than one of 16 and one of 512."
    time = "Longer training moves the threshold to smaller models, not larger ones."
    others = shown_verdicts("DD-11", "DD-12", "DD-4", "DD-13", "DD-16", "DD-17")
    widget = {"application/vnd.jupyter.widget-view+json": "{}", "text/plain": "interactive(children=(...))"}
    explorable = shown({"text/html": explorer()}, kind="explorer", caption="Explore.", alt="Two panels of error curves")
    cells = [
        markdown(INTRODUCTION),
        code(DEFAULTS, tags=("parameters",)),
        code(f"profile = 'laptop'\nwidths = {WIDTHS}", tags=("injected-parameters",)),
        markdown(LEAST_SQUARES),
        code(SWEEP, progress, printed(steps), shown_figure("dd_rff", RFF, "DD-1", panels=2)),
        code("study.check(dd_1(curves))", *shown_verdicts("DD-1")),
        markdown(NETWORKS),
        code("study.figure(fig, 'dd_model')", shown_figure("dd_model", noise, "DD-5", "DD-8")),
        code("study.check(dd_5(nets))", *shown_verdicts("DD-5", "DD-8")),
        code("study.figure(fig, 'dd_noise')", shown_figure("dd_noise", "Noise raises the peak.", "DD-8")),
        code("study.figure(fig, 'dd_time')", shown_figure("dd_time", time, "DD-11"), *others),
        markdown("### Try it\n\nMove the width through the threshold."),
        code("study.explorer(html, ...)", shown(widget), explorable),
        code("frame.head()", shown({"text/html": wide_table(), "text/plain": "column 0"})),
        markdown(LIMITS),
    ]
    return nbformat.v4.new_notebook(cells=cells)
