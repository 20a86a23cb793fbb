"""The experiments of the ticket study by name: which chains, which arms on them, which nets beside them.

Rounds and densities are those of `tickets.Level`; `quick` are its rates where two rounds are taken in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from redlib.pruning.allocation import round_counts
from redlib.pruning.tickets import shapes
from redlib.studies import configure
from redlib.studies.experiments import levels
from redlib.studies.supermasks import Learned, Popup
from redlib.studies.tickets import Arms, Barriers, Flips, Lab, Level, OneShot, SmallNets, Untrained, setting
from redlib.studies.tickets_conv import PAPER, ConvArm, ConvBarrier, ConvLevel

D21, D11 = 7, 10  # rounds of 20% that leave about 21% and 10.7% (the output layer keeps more)
QUICK_ROUNDS = 5
CONTROLS = ("keep_sign", "signed_constant", "frozen", "noise_half", "noise_three")
MOVED = {"halves": ("first", "second"), "to other": ("large", "other"), "from other": ("other", "large")}
SPARSE_CELLS = ((1, 0), (1, 1), (2, 0), (2, 1), (4, 0), (4, 1))  # (level, 0 or late) of the conv net's barriers
Runs = dict[str, Any]
Rates = Mapping[str, float]


def experiments(
    main: Lab, few: Lab, chains: Mapping[str, Lab], rounds: Mapping[str, Any], arms: Mapping[str, Sequence[str]],
    times: Mapping[str, Any], rates: Sequence[float], sizes: Mapping[str, Any],
) -> Runs:  # fmt: skip
    """Return all runs on the main data by name; `chains` are the labs of short chains (`chain_labs`)."""
    runs = main_runs(main, few, rounds, arms["controls"], times)
    runs |= side_runs(chains["plain"], few, arms["criteria"], rounds["quick"], times)
    runs |= chain_runs(chains, rates, rounds["quick"])
    for levels_of_size in size_runs(few, sizes["hidden"], sizes["target"]).values():
        runs |= levels_of_size
    return runs


def main_runs(lab: Lab, few: Lab, rounds: Mapping[str, Any], arms: Sequence[str], times: Mapping[str, Any]) -> Runs:
    """Return the main chain, and every arm that needs its masks; dear ones take the seeds of `few`."""
    dear = replace(lab, seeds=few.seeds)
    top, watched = Level(lab), tuple(rounds["watched"])
    return levels("main", top, rounds["depth"]) | {
        "arms": Arms(top, tuple(arms), watched),
        "controls": Arms(top, CONTROLS, tuple(rounds["signs"])),
        "finetuned": Arms(top, ("finetuned",), (D11,)),
        "patient": Arms(Level(dear), ("reinit",), (D11,), length=times["reinit"]),
        "late": Arms(top, ("ticket",), (D11,), start=times["late"]),
        "early": Arms(top, ("ticket", "reshuffled", "noise_one"), (D11,), start=times["early"]),
        "oneshot": OneShot(top, ("magnitude",), watched),
        "cut only": Untrained(top, tuple(range(rounds["depth"] + 1)), "magnitude", ("finetuned",)),
        "flips": Flips(lab),
        "small": SmallNets(dear, weights_kept(lab, D11)),
    }


def side_runs(aside: Lab, few: Lab, criteria: Sequence[str], quick: Rates, times: Mapping[str, Any]) -> Runs:
    """Return the criteria of one cut, the single ticket with the budget of all rounds, and the barriers."""
    whole, part = (Level(lab, **quick) for lab in (aside, few))  # type: ignore[arg-type]
    return {
        "criteria": OneShot(Level(aside), tuple(criteria), (D21, D11)),
        "patient oneshot": OneShot(whole, ("magnitude",), (QUICK_ROUNDS,), length=times["oneshot"]),
        "barriers": Barriers(part, (0, QUICK_ROUNDS), tuple(times["starts"]), tests=1000),
    }


def chain_labs(aside: Lab, few: Lab, optimisers: Mapping[str, Any]) -> dict[str, Lab]:
    """Return the labs with a short chain of their own: plain, both halves of the data, two rates, another optimiser."""
    sgd = replace(few, optimizer="momentum")
    labs = {
        "plain": aside,
        "large": replace(sgd, lr=optimisers["large"]),
        "small": replace(sgd, lr=optimisers["rates"][0]),
    }
    labs["other"] = replace(few, **optimisers["other"])
    return labs | {part: replace(few, part=part) for part in ("first", "second")}


def chain_runs(labs: Mapping[str, Lab], rates: Sequence[float], quick: Rates) -> Runs:
    """Return the short chains, fresh and random arms at their ends, tickets carried between them, a grid of rates."""
    sources = {name: Level(lab, **quick) for name, lab in labs.items()}  # type: ignore[arg-type]
    runs: Runs = {}
    for name, source in sources.items():
        runs |= levels(name, source, QUICK_ROUNDS) | {
            f"{name} arms": Arms(source, ("reinit", "random"), (QUICK_ROUNDS,))
        }
    runs |= {name: Arms(sources[a], ("ticket",), (QUICK_ROUNDS,), labs[b]) for name, (a, b) in MOVED.items()}
    return runs | {f"rate {lr}": Level(replace(labs["small"], lr=lr)) for lr in rates}


def size_runs(lab: Lab, sizes: Sequence[Sequence[int]], target: int) -> dict[int, Runs]:
    """Return, by number of weights, the chain that leaves `target` of them after five equal rounds (LTH-8)."""
    found: dict[int, Runs] = {}
    for hidden in sizes:
        one = replace(lab, hidden=tuple(hidden))
        weights = weights_kept(one, 0)
        rate = 1 - (target / weights) ** (1 / QUICK_ROUNDS)
        found[weights] = levels(f"size {weights}", Level(one, rate=rate, last=rate), QUICK_ROUNDS)
    return found


def mask_runs(images: Lab, learned: Mapping[str, Any], narrow: Mapping[float, Lab]) -> Runs:
    """Return the trained net and masks without training: cut, learned, and by edge-popup in nets of several widths."""
    trained = Level(images)
    runs = {
        "images": trained,
        "untrained": Untrained(trained, tuple(range(1, 16))),
        "learned": Learned(images, **learned),
    }
    runs |= {f"popup {width}": Popup(lab) for width, lab in narrow.items()}
    return runs | {f"trained {width}": Level(lab) for width, lab in narrow.items()}


def narrower(images: Lab, widths: Sequence[float]) -> dict[float, Lab]:
    """Return labs of He-initialised nets whose hidden layers are multiples of those of `images`."""
    hidden = {width: tuple(max(2, round(width * units)) for units in images.hidden) for width in widths}
    return {width: replace(images, init="he", hidden=hidden[width]) for width in widths}


def conv_runs(calm: ConvLevel, rough: ConvLevel, arm_steps: int, late: int, depth: int = 4) -> Runs:
    """Return the conv experiments: tickets and control arms of one net, rewinding and barriers of one at a high rate.

    `rough` is pruned twice, its weights going back to step 0 and to step `late`.
    """
    runs: Runs = {f"conv {level}": replace(calm, level=level) for level in range(4)}
    runs |= {f"conv {arm}": ConvArm(replace(calm, level=3), arm, arm_steps) for arm in ("reinit", "random")}
    for start in (0, late):
        runs |= {f"from {start} {k}": replace(rough, level=k, rewind=start if k else 0) for k in range(depth + 1)}
    runs |= {f"dense barrier {start}": ConvBarrier(rough, start) for start in rough.snapshots}
    for level, start in SPARSE_CELLS:
        step = late if start else 0
        runs[f"sparse barrier {level} {start}"] = ConvBarrier(replace(rough, level=level, rewind=step), step)
    return runs


def conv_level(settings: Mapping[str, Any], seeds: Sequence[int]) -> ConvLevel:
    """Return a conv net's level 0; {"paper": name} takes the papers' own net and training of that name."""
    rest = {name: value for name, value in settings.items() if name != "paper"}
    base = vars(PAPER[settings["paper"]]) if "paper" in settings else {}
    return configure(ConvLevel, base, rest, seeds=seeds)


def weights_kept(lab: Lab, rounds: int) -> int:
    """Return the number of weights that a ticket of so many rounds of 20% (output layer 10%) keeps."""
    return sum(round_counts(shapes(setting(replace(lab, seeds=lab.seeds[:1]))[2]), rounds).values())
