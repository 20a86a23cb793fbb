"""From the runs of the pruning study to one number a seed for each part of a claim, and to the gates of the claims.

Accuracies are in percentage points, at the step of least validation loss (`early`) or at the end (`final`). Every
array is [S]. A gate holds for the mean over the seeds; where one fails, the setting cannot test its claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from redlib.pruning.masks import empty_layers, weights_of
from redlib.pruning.tickets import masks_at
from redlib.studies.pruning import EXTRUSION_ARMS, WEIGHTS, MidCuts, Units, Zoo
from redlib.studies.pruning_conv import ARMS as FILTER_ARMS
from redlib.studies.tickets import Arrays, Lab, setting, unpacked
from redlib.studies.tickets_statistics import Floats, accuracy, at_end

BEFORE = ("snip", "grasp", "synflow", "magnitude")  # criteria that the claims compare with tickets and random masks
DENSITIES = ("d10", "d05")
CHANCE = 10.0  # accuracy of guessing among ten classes


def by_arm(found: Arrays, names: Sequence[str], when: str = "early") -> dict[str, Floats]:
    """Return the accuracy [S, ...] of each arm, by name, from a result with axes [S, arms, ...]."""
    return {name: accuracy(found, at, when=when) for at, name in enumerate(names)}


def cell(config: Zoo, found: Arrays, criterion: str, level: int, arm: str = "ticket", when: str = "early") -> Floats:
    """Return the accuracy of one criterion, level and arm of a zoo."""
    at = config.criteria.index(criterion), config.levels.index(level), config.arms.index(arm)
    return accuracy(found, *at, when=when)


def zoo_claim(config: Zoo, found: Arrays, tickets: Sequence[Arrays], when: str = "early") -> dict[str, Floats]:
    """Return LTH-27 for weights; `tickets` are the results of the two levels of the zoo, the denser first."""
    claim: dict[str, Floats] = {}
    for density, level, ticket in zip(DENSITIES, config.levels, tickets, strict=True):
        random = cell(config, found, "random", level, when=when)
        for name in BEFORE:
            own = cell(config, found, name, level, when=when)
            claim[f"{name}_minus_random_{density}"] = own - random
            claim[f"iterative_minus_{name}_{density}"] = accuracy(ticket, when=when) - own
    return claim


def units_claim(config: Units, found: Arrays, round_: int = 0, when: str = "early") -> dict[str, Floats]:
    """Return LTH-27 for whole units after one round of cuts: activation counts (APoZ) and size (l2)."""
    activation, size, random = (
        accuracy(found, config.criteria.index(name), round_, when=when) for name in ("apoz", "l2", "random")
    )
    return {
        "activation_units_minus_random_units": activation - random,
        "size_units_minus_random_units": size - random,
        "activation_units_minus_size_units": activation - size,
    }


def shuffle_claim(
    original: tuple[Zoo, Arrays],
    changed: tuple[Zoo, Arrays],
    ticket: Floats,
    ticket_changed: Floats,
    arm: str = "shuffled",
    when: str = "early",
) -> dict[str, Floats]:
    """Return LTH-28: accuracy with masks changed as `arm` says, minus that of the masks as they were found.

    At the first level of `changed`; the accuracies of the ticket at that level are given.
    """
    level = changed[0].levels[0]
    claim = {
        f"{name}_{arm}_minus_original": cell(*changed, name, level, arm, when) - cell(*original, name, level, when=when)
        for name in BEFORE
    }
    return claim | {f"iterative_{arm}_minus_original": ticket_changed - ticket}


def collapse_claim(found: Arrays, criteria: Sequence[str] = ("snip", "grasp", "magnitude")) -> dict[str, Floats]:
    """Return LTH-29 from the run of Collapse: log2 of SynFlow's density at collapse over that of each criterion.

    seeds_out_of_order is 1 for a seed in which SynFlow is not below every other.
    """
    at = collapse_weights(found)
    ratios = np.log2(at[:, -1:] / at[:, :-1])
    claim = {f"log2_density_at_collapse_vs_{name}": ratios[:, i] for i, name in enumerate(criteria)}
    return claim | {"seeds_out_of_order": (ratios >= 0).any(1).astype(float)}


def collapse_weights(found: Arrays) -> Floats:
    """Return the largest number of weights on the grid at which a layer is empty, [S, criteria + SynFlow]."""
    empty = (found["kept"] == 0).any(3)
    # The grid ends at fewer weights than layers, so every method gets there.
    return np.asarray(found["weights"][empty.argmax(2)], float)


def layer_densities(found: Arrays, density: float) -> Floats:
    """Return the share of each layer's weights kept, [S, criteria + SynFlow, layers], nearest to a total density."""
    at = np.abs(np.log(found["weights"] / found["weights"][0] / density)).argmin()
    return np.asarray(found["kept"][:, :, at] / found["kept"][:, :, 0])


def depth_claim(
    deep: tuple[Arrays, Arrays], shallow: tuple[Arrays, Arrays], emptied: Floats, when: str = "early"
) -> dict[str, Floats]:
    """Return LTH-30: pairs (one ranking over all layers, equal rates) at one level, of a deep net and the lab's own."""
    gaps = [accuracy(whole, when=when) - accuracy(each, when=when) for whole, each in (deep, shallow)]
    return {"deep_global_minus_layerwise": gaps[0], "lenet_global_minus_layerwise": gaps[1], "emptied_layers": emptied}


def ticket_masks(lab: Lab, ticket: Arrays, level: int) -> dict[str, Tensor]:
    """Return the masks of a ticket, {layer: bool [S, out, in]}."""
    return masks_at(unpacked(ticket["survives"], weights_of(setting(lab)[2])), level)


def emptied(lab: Lab, ticket: Arrays, level: int) -> Floats:
    """Return how many layers of a ticket have no weight left."""
    return empty_layers(ticket_masks(lab, ticket, level)).numpy().astype(float)


def first_layer_kept(lab: Lab, ticket: Arrays, level: int) -> Floats:
    """Return the share of the first layer's weights that a ticket keeps, in %."""
    first = next(iter(ticket_masks(lab, ticket, level).values()))
    return 100 * first.flatten(1).double().mean(1).numpy()


def extrusion_claim(found: Arrays, when: str = "early") -> dict[str, Floats]:
    """Return LTH-31."""
    arms = by_arm(found, EXTRUSION_ARMS, when)
    own = arms["extruded"]
    return {
        "extruded_minus_random": own - arms["random"],
        "extruded_minus_ticket": own - arms["ticket"],
        "extruded_minus_budget_matched_random": own - arms["random_long"],
        "masked_norm_at_cut": found["norm_at_cut"][:, 0],
    }


def unit_tickets_claim(config: Units, found: Arrays, when: str = "early") -> dict[str, Floats]:
    """Return LTH-22: p25, p50, p75 are the percentages of units cut; the last two are means over all rounds."""
    values = by_arm(found, config.criteria, when)
    size = values["l2"] - values["random"]
    claim = {f"size_minus_random_p{round(100 * (1 - kept))}": size[:, k] for k, kept in enumerate(config.kept)}
    return claim | {
        "gradient_minus_random": (values["gradient"] - values["random"]).mean(1),
        "units_minus_single_weights": (values["l2"] - values[WEIGHTS]).mean(1),
    }


def mid_cuts_claim(config: MidCuts, found: Arrays) -> dict[str, Floats]:
    """Return LTH-26 at the end of training, differences as means over the shares of units kept.

    drop_gain_correlation: within a seed, over all arms, between the mean accuracy lost at a cut and final accuracy.
    """
    final, drop = at_end(found), found["drop"].mean(2)
    arms = final[:, 1:].reshape(len(final), len(config.choices), len(config.kept)).mean(2)
    largest, smallest = (arms[:, config.choices.index(name)] for name in ("largest", "smallest"))
    pairs = zip(drop, final, strict=True)
    return {
        "largest_minus_smallest": largest - smallest,
        "largest_minus_unpruned": largest - final[:, 0],
        "drop_gain_correlation": np.array([np.corrcoef(lost, end)[0, 1] for lost, end in pairs]),
    }


def filters_claim(by_share: Mapping[float, Arrays]) -> dict[str, Floats]:
    """Return LTH-21 at the end of training; p30 and p50 are the percentages of filters cut, from the share kept."""
    claim: dict[str, Floats] = {}
    for kept, found in by_share.items():
        share = f"p{round(100 * (1 - kept))}"
        arms = by_arm(found, FILTER_ARMS, "final")
        claim[f"scratch_equal_epochs_minus_finetune_{share}"] = arms["scratch_epochs"] - arms["finetune"]
        claim[f"scratch_equal_compute_minus_finetune_{share}"] = arms["scratch_compute"] - arms["finetune"]
        claim[f"ticket_minus_reinit_{share}"] = arms["ticket"] - arms["scratch_epochs"]
    return claim


def learns(**results: Arrays) -> dict[str, bool]:
    """Return the gate that nets reach three times the accuracy of guessing, "<name>_learns" for each result."""
    return {f"{name}_learns": bool(at_end(found).mean() > 3 * CHANCE) for name, found in results.items()}


def extrusion_works(found: Arrays, at_most: float = 0.1) -> dict[str, bool]:
    """Return the gate that little is left of the doomed weights when they are cut."""
    return {"doomed_weights_shrink": bool(found["norm_at_cut"][:, 0].mean() < at_most)}


def cuts_disturb(config: MidCuts, found: Arrays, spare: float = 2.0) -> dict[str, bool]:
    """Return the gates of LTH-26: the largest units are missed more than the smallest, and size is not what lacks.

    The second: nets that lost random units fit the training examples to within `spare` points of the whole net.
    """
    shape = len(config.choices), len(config.kept)
    drop = found["drop"].mean((0, 2))[1:].reshape(shape).mean(1)
    fit = 100 * found["train_error"].mean(0)
    random = fit[1:].reshape(shape)[config.choices.index("random")].mean()
    ahead = drop[config.choices.index("largest")] > drop[config.choices.index("smallest")]
    return {"largest_units_are_missed_more": bool(ahead), "small_nets_still_fit": bool(random < fit[0] + spare)}


def filters_matter(wide: Arrays, by_share: Mapping[float, Arrays]) -> dict[str, bool]:
    """Return the gates of LTH-21: the wide net fits its examples, does not excel, and misses its filters (1 point)."""
    lost = [100 * (found["cut_error"] - wide["final_error"]).mean() for found in by_share.values()]
    return {
        "wide_net_fits": bool(wide["train_error"].mean() < 0.02),
        "room_above_wide_net": bool(wide["final_error"].mean() > 0.005),
        "filters_are_missed": bool(min(lost) > 1),
    }
