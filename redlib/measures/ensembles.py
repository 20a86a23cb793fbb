"""What the mean prediction of several nets gets wrong, beside what each of them does."""

from __future__ import annotations

from torch import Tensor

from redlib.errors import BadInput
from redlib.nets.losses import check_loss


def ensemble_errors(logits: Tensor, y: Tensor, loss: str = "cross_entropy") -> tuple[Tensor, Tensor]:
    """Return the error of the mean prediction of K members, and their own mean error: shares in [0, 1], float64 [...].

    logits [..., K, B, classes], labels y [B]. Predictions are outputs after "mse", probabilities after cross-entropy.
    BadInput for another number of labels, an unknown loss, and NaN.
    """
    if logits.dim() < 3 or logits.shape[-2] != len(y):
        raise BadInput.of(
            "shape of logits", tuple(logits.shape), f"[..., members, {len(y)}, classes]", "One label each."
        )
    if bool(logits.isnan().any()):
        raise BadInput.of("logits", "NaN", "numbers", "Has a net diverged? The largest of NaN would be some class.")
    predicted = logits if check_loss(loss) == "mse" else logits.softmax(-1)
    together = (predicted.mean(-3).argmax(-1) != y).double().mean(-1)
    return together, (predicted.argmax(-1) != y).double().mean((-2, -1))
