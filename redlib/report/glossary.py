"""The glossary: technical terms in plain words, shown on the index and on the pages that use them."""

from __future__ import annotations

from typing import Final

GLOSSARY: Final = {
    "barrier": (
        "How much higher the error, or the loss, gets on a path between two trained networks than it is at its ends."
    ),
    "bias and variance": (
        "The two parts of expected error beside the noise: how far the average model is from the truth, "
        "and how much models trained on different samples differ from each other."
    ),
    "censored": (
        "Said of a seed whose run had not reached what is measured when it was stopped, so that it has no value. Such "
        "seeds are counted, never guessed; where they are more than half, the part stays undecided."
    ),
    "confidence interval": (
        "The range of values compatible with the seeds that were run. A 95% interval misses the true "
        "value in one of twenty repetitions. Here it always counts seeds, never test images."
    ),
    "choosers and judges": (
        "Where a place is chosen from the data (a peak, a best level), a third of the seeds choose it and the others "
        "measure there, so that picking the highest point of a flat, noisy curve does not look like a peak."
    ),
    "confirmation": (
        "Every claim judged a second time, with the same settings, on seeds that nobody had looked at when checks and "
        "settings were fixed."
    ),
    "confirmed": "Said of a claim with the same verdict on the judged seeds and on fresh ones.",
    "curvature (largest eigenvalue of the Hessian)": (
        "How fast the slope of the loss changes with the weights; the Hessian is the matrix of second derivatives, and "
        "its largest eigenvalue belongs to the direction that bends most."
    ),
    "density": "The share of weights that a pruned network keeps.",
    "double descent": (
        "Test error falls, rises to a peak, and falls again as a model grows, trains longer or gets more "
        "data; the peak sits where the model can only just fit its training data."
    ),
    "edge of chaos": (
        "The initialisation at which two slightly different inputs neither merge nor drift apart on their "
        "way through a deep network."
    ),
    "effective model complexity": (
        "The largest number of samples that a training procedure fits with almost no training error (EMC)."
    ),
    "effective rank": (
        "Roughly, along how many directions a matrix extends: the exponential of the entropy of its singular values. "
        "It lies between 1 and the smaller of rows and columns."
    ),
    "equivalence (TOST)": (
        "Two one-sided tests that an effect is smaller than a margin ±δ fixed beforehand. The way to show "
        "that there is no effect that matters; a large p-value is not."
    ),
    "exploratory": (
        "Said of a verdict whose check was written after its seeds had been seen. Only fresh seeds can judge it."
    ),
    "forecast": ("What we expected before the run. It is shown beside each verdict, so that our misses stay visible."),
    "fragile": (
        "Said of a claim that both blocks of seeds decide, and not alike. Neither verdict should be built on; both "
        "numbers are shown."
    ),
    "fresh seeds": (
        "The second block of seeds, that of the confirmation. A check written after the first block had been seen is "
        "judged on these alone."
    ),
    "frame potential": (
        "The sum of the squared cosines between all pairs of some vectors. The smaller, the more "
        "evenly they are spread."
    ),
    "gate": (
        "A test of the setting itself, fixed before the run (did training converge, did the widest net fit its data?). "
        "Where it fails, the verdict is inconclusive, never contradicted."
    ),
    "hinge loss": (
        "A loss that is zero once the output is on the right side by a margin, and grows in a straight line before."
    ),
    "Holm correction": (
        "With many claims tested some succeed by luck. A claim marked Holm would still succeed if all "
        "primary claims of its profile were tested together at 5%."
    ),
    "interpolation threshold": (
        "The model size at which the training error first reaches zero. For least squares: as many "
        "parameters as samples."
    ),
    "intrinsic dimension": (
        "The least number of random directions in which training comes near to what it reaches in all of them; here "
        "nine tenths of the full accuracy."
    ),
    "iterative magnitude pruning": (
        "Train, cut the smallest weights, set the rest back to where they started, and repeat: the recipe that finds "
        "lottery tickets."
    ),
    "label noise": "Training labels changed to a wrong class on purpose, an exact share of each.",
    "lazy training": (
        "Training in which a network's function changes while its weights hardly move, so that it acts like a linear "
        "model of its weights. The opposite is rich: the features change."
    ),
    "linear barrier": (
        "How much the error rises on the straight line between two trained networks. Near zero, they lie in one valley."
    ),
    "lottery ticket": (
        "A sparse subnetwork together with its initial weights that trains as well as the dense network."
    ),
    "mask": "One yes or no for each weight: kept or cut.",
    "minimum-norm solution": (
        "Of all the weights that fit the data exactly, those of the smallest length; gradient descent "
        "from zero finds them in linear models."
    ),
    "neural collapse": (
        "Late in training the last-layer features of each class shrink to a point, and the points of all "
        "classes spread as evenly as they can."
    ),
    "octave": "A doubling. One octave up is twice the value, two are four times; log₂ counts them.",
    "our part": (
        "A part of a check that we added: a stricter bound, a tolerance, a yardstick that the source does not state. "
        "It is told beside the verdict and decides nothing, unlike the source's part."
    ),
    "outdated": (
        "Said of a confirmation that had another check than the verdict it is set against, or some of its seeds. It "
        "confirms nothing until it is run again."
    ),
    "over-parameterised": "More parameters than needed to fit the training data exactly.",
    "percentage point (pp)": "The difference of two percentages: from 5% to 7% is +2 pp.",
    "posterior": (
        "What chance gives once the data are known: the shares of functions among those random networks that fit them."
    ),
    "primary claim": "Marked ★. The claims that carry a study; they alone get a Holm mark.",
    "profile": (
        "A scale at which all studies run with the same code: smoke (seconds, no evidence), laptop, "
        "mnist, paper. Each profile has its own verdicts; they are never merged."
    ),
    "random Fourier features": (
        "A layer of fixed random waves followed by least squares: the simplest model whose width can be "
        "raised through the interpolation threshold."
    ),
    "rank correlation": (
        "From −1 to 1: how well the order of one quantity goes with the order of another. 1 is the same order, −1 the "
        "opposite one, 0 no relation; it says nothing of the shape of the relation."
    ),
    "reading (of a source)": (
        "One of several ways to understand what a source says, where its words leave that open. Each is judged; one "
        "that holds is enough."
    ),
    "regulariser": (
        "Something in training that is to keep a network simple: weight decay, dropout, data "
        "augmentation, stopping early."
    ),
    "reinit": (
        "Short for re-initialised: the weights that pruning kept are given new random values instead of those "
        "they started from. The control that shows whether the old ones matter."
    ),
    "replicate": "One of several networks trained at once that differ in their seed, width or mask.",
    "rewinding": ("Giving the weights that survive pruning the values they had at the start, or early in training."),
    "silhouette": (
        "How much nearer a point is to its own cluster than to the next one, from −1 to 1: near 1 clusters are tight, "
        "near 0 there is hardly any."
    ),
    "smallest effect of interest": (
        "The margin ±δ, fixed beforehand, within which a difference would matter to nobody. A direction whose 90% "
        "interval lies inside has no effect, whichever side of zero it is on."
    ),
    "seed": ("One independent repetition: initial weights, order of the data, subsample and noise are all drawn anew."),
    "source's part": (
        "A part of a check that the source itself states. These parts make the verdict; ours are told beside it."
    ),
    "supermask": "A mask that makes an untrained random network classify well.",
    "tunnel": (
        "The room of low loss around a solution. Its half-width is how far one can go in a random direction until the "
        "loss is too high."
    ),
    "undecided": (
        "Said of a claim that is inconclusive on one block of seeds at least, or that each block decides by other "
        "parts."
    ),
    "underpowered": (
        "Said of a part with too few seeds: even if there were no effect at all, the test for equivalence would show "
        "it in less than 80% of repetitions. A “no effect” there took luck, and an “undecided” is no surprise."
    ),
}
