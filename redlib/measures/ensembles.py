"""What the mean prediction of several nets gets wrong, beside what each of them does."""

from __future__ import annotations

from torch import Tensor

from redlib.data.numbers import whole_labels
from redlib.errors import BadInput
from redlib.nets.losses import check_loss


def ensemble_errors(logits: Tensor, y: Tensor, loss: str = "cross_entropy") -> tuple[Tensor, Tensor]:
    """Return the error of the mean prediction of K members, and their own mean error: shares in [0, 1], float64 [...].

    logits [..., K, B, classes], labels y [B]. Predictions are outputs after "mse", probabilities after cross-entropy.
    BadInput for no labels, another number of them, labels that are no output, an unknown loss, and NaN.
    """
    if logits.dim() < 3 or tuple(y.shape) != (logits.shape[-2],) or not len(y):
        raise BadInput.of(
            "shape of logits", tuple(logits.shape), f"[..., members, {len(y)}, classes]", "One label [B] each."
        )
    if bool(logits.isnan().any()):
        raise BadInput.of("logits", "NaN", "numbers", "Has a net diverged? The largest of NaN would be some class.")
    y = whole_labels(y)
    if not 0 <= int(y.min()) <= int(y.max()) < logits.shape[-1]:
        allowed = f"0 <= label < {logits.shape[-1]}, the outputs"
        raise BadInput.of("labels", (int(y.min()), int(y.max())), allowed, "Number the classes from 0.")
    predicted = logits if check_loss(loss) == "mse" else logits.softmax(-1)
    if bool(predicted.isnan().any()):
        raise BadInput.of("logits", "infinity", "finite numbers", "Their softmax is NaN.")
    together = (predicted.mean(-3).argmax(-1) != y).double().mean(-1)
    return together, (predicted.argmax(-1) != y).double().mean((-2, -1))
