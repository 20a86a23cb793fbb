"""The run on filters: what is trained, and what its clusters are compared with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from redlib.studies.redundant_units.filters import Filters, first_filters

SEEDS = (1000, 1001)
RUN = Filters(pool=300, tests=60, n=60, filters=20, epochs=60, batch=20, ks=(2, 4), seeds=SEEDS)


@pytest.fixture(scope="module")
def found():
    return RUN.results(RUN.run())


def test_nets_fit_and_their_filters_moved_from_the_untrained_ones(found):
    assert (found["train_error"] == 0).all() and (found["test_error"] < 0.6).all()
    start = first_filters(RUN.nets()).numpy()
    assert np.array_equal(found.at(kind="untrained")["vectors"], start)
    assert not np.allclose(found.at(kind="trained")["vectors"], start, atol=1e-2)


def test_the_matched_null_has_the_second_moments_of_the_trained_filters():
    wide = replace(RUN, filters=2000, epochs=1, ks=(2,), seeds=SEEDS[:1])
    kinds = dict(zip(wide.kinds, wide.run()["vectors"][0], strict=True))
    own, null = (kinds[kind].T @ kinds[kind] / 2000 for kind in ("trained", "matched"))
    assert np.allclose(own, null, atol=0.15 * own.max())


def test_vectors_of_four_directions_lie_at_their_centres():
    bundles = torch.eye(9, dtype=torch.float64)[:4].repeat(5, 1) * torch.rand(20, 1)
    clustered = RUN.clustered(bundles.repeat(2, 1, 1))
    assert np.allclose(clustered["angles"], 0, atol=1e-6)
    assert (clustered["silhouette"][:, 1] > 0.99).all() and (clustered["silhouette"][:, 0] < 0.9).all()


def test_no_seed_depends_on_its_company(found):
    alone = replace(RUN, seeds=SEEDS[1:]).run()
    for name, values in alone.items():
        assert np.allclose(values, found[name][1:], rtol=1e-4, atol=1e-6), name
