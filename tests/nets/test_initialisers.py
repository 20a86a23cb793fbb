"""Starting laws have the variances they name; orthogonal weights are isometries times their gain."""

from __future__ import annotations

import numpy as np
import pytest

from redlib.errors import BadInput
from redlib.nets.initialisers import glorot, he, initialiser, mean_field, orthogonal, torch_default

OUT, IN = 300, 200


@pytest.mark.parametrize(
    ("draw", "variance", "of_biases"),
    [
        (torch_default, 1 / (3 * IN), 1 / (3 * IN)),  # uniform in +-1/sqrt(IN)
        (he, 2 / IN, 0.0),
        (glorot, 2 / (IN + OUT), 0.0),
        (mean_field(1.4, 0.3), 1.96 / IN, 0.09),
        (orthogonal(1.4, 0.3), 1.96 / OUT, 0.09),  # the columns have length 1.4
    ],
)
def test_weights_and_biases_have_the_variances_of_their_law(draw, variance, of_biases):
    weights, biases = draw(np.random.default_rng(0), OUT, IN)
    assert weights.shape == (OUT, IN) and biases.shape == (OUT,)
    assert np.square(weights).mean() == pytest.approx(variance, rel=0.02)
    assert np.square(biases).mean() == pytest.approx(of_biases, rel=0.2)


def test_orthogonal_weights_are_isometries_times_their_gain():
    tall, biases = orthogonal(1.4, 0.3)(np.random.default_rng(0), 30, 12)
    assert np.allclose(tall.T @ tall, 1.96 * np.eye(12)) and biases.shape == (30,)
    wide, none = orthogonal(1.0, 0.0)(np.random.default_rng(0), 12, 30)
    assert np.allclose(wide @ wide.T, np.eye(12)) and not none.any()


def test_orthogonal_matrices_are_uniform():
    """Of a uniform 2 x 2 one the first entry is a cosine, of mean 0; without the signs of R it is never positive."""
    drawn = [orthogonal(1.0, 0.0)(np.random.default_rng(i), 2, 2)[0] for i in range(400)]
    assert abs(np.mean([q[0, 0] for q in drawn])) < 0.12  # 3.4 standard errors
    assert np.mean([np.linalg.det(q) > 0 for q in drawn]) == pytest.approx(0.5, abs=0.1)


def test_a_law_is_named_or_passed_and_unknown_names_are_refused():
    assert initialiser("he") is he and initialiser(orthogonal) is orthogonal
    with pytest.raises(BadInput, match="init = 'uniform'"):
        initialiser("uniform")
