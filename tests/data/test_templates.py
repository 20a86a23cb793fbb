"""The second family of MNIST-1D templates: the rule, the range of its correlations, and the data made of it."""

import numpy as np
import pytest
from mnist1d.data import get_dataset_args, get_templates, make_dataset

from redlib.data import load
from redlib.data import templates as module
from redlib.data.readers import generate_mnist1d
from redlib.errors import BadInput


def pairs(shapes):
    return np.corrcoef(shapes)[np.triu_indices(len(shapes), 1)]


def test_no_two_shapes_are_more_alike_than_those_of_the_authors():
    theirs, ours = pairs(get_templates()["x"]), pairs(module.shapes())
    assert np.allclose([theirs.min(), theirs.max()], module.CORRELATIONS, atol=0.005)
    assert module.CORRELATIONS[0] <= ours.min() and ours.max() <= module.CORRELATIONS[1]
    across = np.corrcoef(get_templates()["x"], module.shapes())[:10, 10:]
    assert abs(across).max() < 0.995, "none of theirs"


def test_shapes_are_sums_of_four_waves_that_begin_and_end_at_nothing():
    shapes = module.shapes()
    assert shapes.shape == (10, 12) and (shapes[:, [0, -1]] == 0).all()
    waves = np.sin(np.pi * np.outer(np.arange(1, 5), np.arange(12) / 11))
    heights, *_ = np.linalg.lstsq(waves.T, shapes.T)
    assert abs(heights.T @ waves - shapes).max() < 0.006, "up to hundredths"
    assert (abs(heights.T) <= 1 / np.arange(1, 5) + 0.005).all()
    assert shapes[0].tolist() == FIRST


def test_candidates_too_much_like_an_earlier_one_are_left_out():
    kept, number = [], 0
    while len(kept) < 10:
        one, number = module.shape(number), number + 1
        if not kept or max(np.corrcoef(one, other)[0, 1] for other in kept) <= 0.93:
            kept.append(one)
    assert np.array_equal(kept, module.shapes()) and number > 10, "some are"


def test_templates_are_scaled_as_the_authors_scale_theirs():
    ours, theirs = module.second_family(), get_templates()
    assert set(ours) == set(theirs) and all(np.array_equal(ours[name], theirs[name]) for name in "ty")
    for family in (ours, theirs):
        assert (family["x"][:, 0] == 0).all() and np.allclose(family["x"].std(1), 1 / 6)


def test_the_data_are_what_the_package_makes_of_the_templates():
    arguments = get_dataset_args()
    arguments.num_samples, arguments.train_split, arguments.seed = 100, 1.0, 43
    made = make_dataset(arguments, module.second_family())
    x, y = generate_mnist1d(100, 43, "mnist1d_b")
    assert np.array_equal(x, made["x"].astype(np.float32)) and np.array_equal(y, made["y"])


def test_load_gives_the_second_family_in_the_sizes_of_the_first_with_another_seed():
    first, second = (load(name, n_train=60, n_test=40) for name in ("mnist1d", "mnist1d_b"))
    assert second.name == "mnist1d_b" and second.train.x.shape == first.train.x.shape == (60, 40)
    assert second.train.y.bincount().tolist() == [6] * 10 and second.classes == 10
    assert second.provenance["seeds"] == {"split": 0, "mnist1d_b": 43}, "no shift and no noise is shared"
    assert second.provenance["templates"] == module.second_family_digest() and first.digest != second.digest
    seen = {row.numpy().tobytes() for split in (second.train, second.test) for row in split.x}
    assert len(seen) == 100
    with pytest.raises(BadInput, match="generator_seed"):
        load("mnist1d_b", generator_seed=-1)


FIRST = [0.0, -0.29, -0.32, -0.04, 0.33, 0.55, 0.53, 0.35, 0.18, 0.08, 0.04, 0.0]
