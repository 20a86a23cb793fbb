"""Neural collapse against closed forms, dense matrices and its own definition; streams, stacks and precision."""

import math
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from redlib.errors import BadInput
from redlib.measures import collapse as nc
from redlib.measures.simplex import equiangularity, equinorm, simplex_etf


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(1000)


def normal(draw, *shape):
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def white_noise(draw, count, dim):
    """Rows [count, dim] whose mean is exactly 0 and whose covariance is exactly I."""
    rows = normal(draw, count, dim)
    return torch.linalg.qr(rows - rows.mean(0)).Q * count**0.5


def clouds(draw, means, mixing, each):
    """`each` examples around every class mean [C, p], with covariance mixingᵀ·mixing within each class."""
    noise = torch.cat([white_noise(draw, each, means.shape[1]) @ mixing for _ in means])
    labels = torch.arange(len(means)).repeat_interleave(each)
    return means[labels] + noise, labels


def random_case(draw, replicates=(), classes=5, dim=12, count=200):
    features = normal(draw, *replicates, count, dim)
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (count - classes,), generator=draw)])
    features += 2 * normal(draw, *replicates, classes, dim)[..., labels, :]
    return features, labels, normal(draw, *replicates, classes, dim), normal(draw, *replicates, classes)


def values(measures):
    return torch.stack([value.double() for value in measures.values()])


def dense(features, labels):
    """Σ_W and Σ_B by their definitions."""
    means = torch.stack([features[labels == c].mean(0) for c in range(int(labels.max()) + 1)])
    around, centred = features - means[labels], means - means.mean(0)
    return around.T @ around / len(features), centred.T @ centred / len(means)


# Closed forms


def test_white_noise_on_a_simplex_has_the_nc1_of_the_formula(draw):
    classes, radius, sigma, dim = 10, 3, 0.05, 20
    means = radius * simplex_etf(classes, dim) + normal(draw, dim)
    features, labels = clouds(draw, means, sigma * torch.eye(dim).double(), 50)
    found = nc.collapse([(features, labels)], classes)
    assert found["nc1"] == pytest.approx([sigma**2 * (classes - 1) ** 2 / (radius**2 * classes)], rel=1e-10)
    assert found["nc1"] == pytest.approx([0.00225], rel=1e-10)
    assert found["nc1_ratio"] == pytest.approx([dim * sigma**2 / radius**2], rel=1e-10)
    assert found["rank"].tolist() == [9]
    assert found["nc2_norms"] == pytest.approx([0], abs=1e-12)
    assert found["nc2_angles"] == pytest.approx([0], abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_in_full_collapse_everything_is_zero(draw, dtype):
    centre = normal(draw, 15)
    etf = simplex_etf(10, 15) @ torch.linalg.qr(normal(draw, 15, 15)).Q
    labels = torch.arange(10).repeat(7)
    features, weight = (centre + 4 * etf)[labels].to(dtype), (0.3 * etf).to(dtype)
    found = nc.collapse([(features, labels)], 10, (weight, (-weight.double() @ centre).to(dtype)))
    assert found.pop("rank").tolist() == [9] and found.pop("nc4").tolist() == [0]
    assert values(found) == pytest.approx(0, abs=1e-13 if dtype == torch.float64 else 1e-6)
    assert list(found) == ["nc1", "nc1_ratio", "nc2_norms", "nc2_angles", "nc3"]


def test_the_bias_counts(draw):
    etf = simplex_etf(10, 12)
    centre = 20 * etf[3]  # W·centre alone would decide for class 3, whatever the example
    labels = torch.arange(10).repeat(4)
    batches = [((centre + etf)[labels], labels)]
    means = nc.class_means(batches, 10)
    assert nc.ncc_mismatch(batches, means, etf, -etf @ centre).tolist() == [0]
    assert nc.ncc_mismatch(batches, means, etf, None).tolist() == [0.9]
    assert nc.collapse(batches, 10, (etf, None))["nc4"].tolist() == [0.9]


@pytest.mark.parametrize(("classes", "dim"), [(4, 9), (6, 3), (2, 5)])
def test_any_covariances_give_what_dense_matrices_give(draw, classes, dim):
    features, labels, _, _ = random_case(draw, (), classes, dim)
    within, between = dense(features, labels)
    found = nc.variability([(features, labels)], nc.class_means([(features, labels)], classes))
    inverse = torch.linalg.pinv(between, hermitian=True, rtol=1e-10)
    assert found.nc1 == pytest.approx([float((within @ inverse).trace()) / classes], rel=1e-10)
    assert found.within == pytest.approx([float(within.trace())])
    assert found.between == pytest.approx([float(between.trace())])
    assert found.ratio == pytest.approx([float(within.trace() / between.trace())])
    assert found.rank.tolist() == [min(classes - 1, dim)]
    everything = nc.variability([(features, labels)], nc.class_means([(features, labels)], classes), rtol=1e-30)
    torch.testing.assert_close(everything.nc1, found.nc1)  # what is 0 but for rounding never counts


def test_gaussian_clouds_of_known_covariance(draw):
    scales = torch.tensor([0.2, 0.4, 3.0]).double()  # within; the means lie in the first two axes
    corners = torch.tensor([[2.0, 1, 0], [-2, 1, 0], [-2, -1, 0], [2, -1, 0]]).double()  # Σ_B = diag(4, 1, 0)
    labels = torch.arange(4).repeat(5000)
    features = corners[labels] + scales * normal(draw, 20_000, 3)
    means = nc.class_means([(features, labels)], 4)
    found = nc.variability([(features, labels)], means, rtol=0.1)  # sampled means leave their plane a little
    assert found.rank.tolist() == [2]
    assert found.nc1 == pytest.approx([(0.04 / 4 + 0.16 / 1) / 4], rel=0.03)
    assert found.ratio == pytest.approx([(0.04 + 0.16 + 9) / 5], rel=0.03)


def test_means_on_a_line_leave_one_direction(draw):
    places = torch.tensor([-3.0, 0, 1, 2]).double()  # variance 3.5
    direction = torch.nn.functional.normalize(normal(draw, 16), dim=0)
    features, labels = clouds(draw, places[:, None] * direction, 0.1 * torch.eye(16).double(), 30)
    for dtype in (torch.float32, torch.float64):  # rounding of float32 must not make directions of its own
        means = nc.class_means([(features.to(dtype), labels)], 4)
        found = nc.variability([(features.to(dtype), labels)], means)
        assert found.rank.tolist() == [1] and found.nc1 == pytest.approx([0.01 / 3.5 / 4], rel=1e-5)


def test_duality_is_zero_two_or_four(draw):
    means = nc.ClassMeans(normal(draw, 1, 4, 9) + 5, torch.ones(1, 4).long())
    along = means.centred[0]
    across = normal(draw, 4, 9)
    across -= (across * along).sum() / along.square().sum() * along
    found = [float(nc.self_duality(means, weight)) for weight in (0.1 * along, across, -7 * along)]
    assert found == pytest.approx([0, 2, 4], abs=1e-12)


def test_decisions_differ_exactly_between_the_two_boundaries():
    features = torch.tensor([-3.0, -2, -1, 0.5, 1.5, 2, 2.5])[:, None]
    means = nc.ClassMeans(torch.tensor([[[-2.0], [2.0]]]).double(), torch.tensor([[3, 4]]))
    weight, bias = torch.tensor([[-1.0], [1.0]]), torch.tensor([1.7, -1.7])  # boundary at 1.7 instead of 0
    labels = torch.zeros(7, dtype=torch.int64)  # not used: these may be test data
    assert nc.ncc_mismatch([(features, labels)], means, weight, bias).tolist() == [2 / 7]


def test_decisions_differ_as_a_search_for_the_nearest_mean_says(draw):
    features, labels, weight, bias = random_case(draw, (2,))
    features = features * (1 + labels[:, None])  # means of unequal norm
    means = nc.class_means([(features, labels)], 5)
    nearest = torch.cdist(features, means.means).argmin(2)
    expected = (nearest != (features @ weight.mT + bias[:, None]).argmax(2)).double().mean(1)
    assert torch.equal(nc.ncc_mismatch([(features, labels)], means, weight, bias), expected)
    assert expected.min() > 0 and expected.max() < 1


def test_noise_has_the_angles_and_norms_of_chance_in_many_dimensions(draw):
    features, labels = normal(draw, 40, 500, 256), torch.arange(500) % 10
    found = nc.collapse([(features, labels)], 10)
    level = math.sqrt(2 / (math.pi * 256)) * (1 - 1 / 81)
    assert float(found["nc2_angles"].mean()) == pytest.approx(level, rel=0.05) and level < 0.05
    assert float(found["nc2_norms"].mean()) == pytest.approx(1 / math.sqrt(512), rel=0.15)
    assert found["nc1"] == pytest.approx(9 * 50 / 256, rel=0.1)  # means of 50 examples: Σ_B ≈ 256/50/10, 9 times


# Invariances


def test_turning_scaling_and_shifting_features_changes_nothing(draw):
    features, labels, weight, bias = random_case(draw)
    turn, shift = torch.linalg.qr(normal(draw, 12, 12)).Q, normal(draw, 12)
    moved = 7 * features @ turn + shift
    turned = weight @ turn / 7
    before = nc.collapse([(features, labels)], 5, (weight, bias))
    after = nc.collapse([(moved, labels)], 5, (turned, bias - turned @ shift))
    torch.testing.assert_close(values(after), values(before), rtol=1e-9, atol=1e-12)
    assert 0 < before["nc4"] < 1


def test_within_class_spread_counts_squared_and_only_along_the_means(draw):
    features, labels, _, _ = random_case(draw, classes=3)
    means = nc.class_means([(features, labels)], 3)
    halved = means.means[0][labels] + (features - means.means[0][labels]) / 2
    before, after = (nc.variability([(x, labels)], means) for x in (features, halved))
    torch.testing.assert_close(after.nc1, before.nc1 / 4)
    torch.testing.assert_close(after.ratio, before.ratio / 4)
    # New axes without class information: NC1 stays, the ratio of traces grows by what they hold.
    wide = torch.cat([features, white_noise(draw, 200, 6)], 1)
    wide[:, 12:] -= nc.class_means([(wide[:, 12:], labels)], 3).means[0][labels]
    wider = nc.variability([(wide, labels)], nc.class_means([(wide, labels)], 3))
    torch.testing.assert_close(wider.nc1, before.nc1)
    assert wider.ratio > 1.1 * before.ratio


# Streams and stacks


@pytest.mark.parametrize("sizes", [[200], [1] * 200, [150, 3, 0, 47]])
def test_a_stream_equals_the_whole_set(draw, monkeypatch, sizes):
    features, labels, weight, bias = random_case(draw, (2,))
    whole = nc.collapse([(features, labels)], 5, (weight, bias))
    batches = list(zip(features.split(sizes, 1), labels.split(sizes), strict=True))
    for chunk in (nc.CHUNK, 12 * 7):
        monkeypatch.setattr(nc, "CHUNK", chunk)
        streamed = nc.collapse(batches, 5, (weight, bias))
        torch.testing.assert_close(values(streamed), values(whole), rtol=1e-10, atol=1e-12)
        single = nc.collapse([(x[1], y) for x, y in batches], 5, (weight[1], bias[1]))
        torch.testing.assert_close(values(single)[:, 0], values(whole)[:, 1], rtol=1e-10, atol=1e-12)


def test_replicates_equal_each_alone(draw):
    features, labels, weight, bias = random_case(draw, (3,))
    own = torch.stack([labels[torch.randperm(200, generator=draw)] for _ in range(3)])
    for y in (labels, own):
        together = nc.collapse([(features, y)], 5, (weight, bias))
        for r in range(3):
            alone = nc.collapse([(features[r], y if y.dim() == 1 else y[r])], 5, (weight[r], bias[r]))
            torch.testing.assert_close(values(together)[:, r], values(alone)[:, 0], rtol=1e-12, atol=1e-14)
    assert not torch.allclose(together["nc1"][:1], together["nc1"][1:])


def test_one_summary_agrees_with_its_parts(draw):
    features, labels, weight, bias = random_case(draw, (2,))
    batches = [(features, labels)]
    found, means = nc.collapse(batches, 5, (weight, bias)), nc.class_means(batches, 5)
    spread = nc.variability(batches, means)
    parts = [spread.nc1, spread.ratio, spread.rank, equinorm(means.centred), equiangularity(means.centred)]
    parts += [nc.self_duality(means, weight), nc.ncc_mismatch(batches, means, weight, bias)]
    assert torch.equal(values(found), torch.stack([part.double() for part in parts]))
    assert list(nc.collapse(batches, 5)) == list(found)[:5]


def test_the_global_mean_is_that_of_the_classes_and_counts_are_kept(draw):
    features, labels = torch.tensor([[0.0], [2.0], [4.0], [10.0]]), torch.tensor([0, 0, 0, 1])
    means = nc.class_means([(features, labels)], 2)
    assert means.means.tolist() == [[[2], [10]]] and means.counts.tolist() == [[3, 1]]
    assert means.global_mean.tolist() == [[6]] and means.centred.tolist() == [[[-4], [4]]]


# Precision and memory


def test_float32_features_lose_nothing_where_one_pass_would(draw):
    features, labels, _, _ = random_case(draw, count=400)
    means = nc.class_means([(features, labels)], 5).means[0]
    collapsed = (50 + means[labels] + 1e-4 * features).float()
    within, between = dense(collapsed.double(), labels)
    found = nc.variability([(collapsed, labels)], nc.class_means([(collapsed, labels)], 5))
    expected = float((within @ torch.linalg.pinv(between, hermitian=True, rtol=1e-10)).trace()) / 5
    assert found.nc1 == pytest.approx([expected], rel=1e-8)
    assert found.within == pytest.approx([float(within.trace())], rel=1e-8)
    squares = torch.stack([collapsed[labels == c].square().mean(0) for c in range(5)])
    one_pass = (squares - torch.stack([collapsed[labels == c].mean(0) for c in range(5)]).square()).sum(1).mean()
    assert abs(float(one_pass) / float(within.trace()) - 1) > 1


class Largest(TorchDispatchMode):
    """The number of bytes of the largest tensor that any operation makes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor)}
        for made in out if isinstance(out, tuple | list) else [out]:
            if isinstance(made, torch.Tensor) and made.untyped_storage().data_ptr() not in given:
                self.bytes = max(self.bytes, made.untyped_storage().nbytes())
        return out


@pytest.mark.parametrize(("count", "dim"), [(60, 3000), (9000, 200)])
def test_neither_a_square_matrix_nor_a_copy_of_the_features_is_made(draw, count, dim):
    features, labels, weight, bias = random_case(draw, (), 5, dim, count)
    with Largest() as largest:
        nc.collapse([(features.float(), labels)], 5, (weight, bias))
    copy_as_float32 = 4 * count * dim  # made by the test itself
    assert largest.bytes <= max(8 * nc.CHUNK, copy_as_float32) < 8 * max(dim * dim, count * dim)


LARGE = """
import resource, time, torch
from redlib.measures import collapse as nc
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def run(n):
    features, labels = torch.randn(n, 512), torch.arange(n) % 10
    start, before = time.perf_counter(), peak()
    found = nc.collapse([(features, labels)], 10, (torch.randn(10, 512), torch.randn(10)))
    return time.perf_counter() - start, peak() - before, float(found["nc1_ratio"])
run(5000)
print(*run(50_000))
"""


@pytest.mark.slow
def test_fifty_thousand_examples_take_seconds_and_little_memory():
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True, timeout=120)
    seconds, mebibytes, ratio = map(float, done.stdout.split())
    assert seconds < 10  # 0.5 s on one core of the laptop
    assert mebibytes < 50  # the features are 98, in float64 195
    assert ratio == pytest.approx(5000 / (1 - 1 / 10), rel=0.1)  # Σ_W = I, Σ_B of means of 5,000


# What cannot be measured


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_a_layer_whose_class_means_coincide_is_nan(draw, value):
    features, labels, weight, bias = random_case(draw, (2,))
    features[1] = value  # a dead layer; the sums of 0.1 over classes of unequal size differ by rounding
    found = nc.collapse([(features, labels)], 5, (weight, bias))
    assert found["rank"].tolist() == [4, 0]
    for name in ("nc1", "nc1_ratio", "nc2_norms", "nc2_angles", "nc3"):
        assert found[name].isnan().tolist() == [False, True]


X, Y, W, B = torch.arange(12.0).reshape(6, 2) ** 2, torch.arange(6) % 3, torch.ones(3, 2), torch.ones(3)
MEANS = nc.class_means([(X, Y)], 3)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: nc.collapse([(X, Y * 0)], 1), "classes = 1"),
        (lambda: nc.collapse([(X, Y)], 4), "examples of class 3 in replicate 0 = 0"),
        (lambda: nc.collapse([(X, Y)], 2), "largest label"),
        (lambda: nc.collapse([(X, Y - 1)], 3), "largest label"),
        (lambda: nc.collapse([(X.where(X != 9, math.nan), Y)], 3), "features of class 1 in replicate 0"),
        (lambda: nc.collapse([(X.where(X > 0, -math.inf), Y)], 3), "features of class 0"),
        (lambda: nc.collapse([], 3), "number of batches"),
        (lambda: nc.collapse(iter([(X, Y)]), 3), "batches"),
        (lambda: nc.collapse((X, Y), 3), "batch"),
        (lambda: nc.collapse([(X, Y), (X[:, :1], Y)], 3), "replicates and features"),
        (lambda: nc.collapse([(X, Y), (X.expand(2, 6, 2), Y)], 3), "replicates and features"),
        (lambda: nc.collapse([(X.long(), Y)], 3), "features"),
        (lambda: nc.collapse([(X[None, None], Y)], 3), "features"),
        (lambda: nc.collapse([(X[:, :0], Y)], 3), "features"),
        (lambda: nc.collapse([(X[0], Y)], 3), "features"),
        (lambda: nc.collapse([(X, Y.double())], 3), "labels"),
        (lambda: nc.collapse([(X, Y > 0)], 3), "labels"),
        (lambda: nc.collapse([(X, Y[:5])], 3), "labels"),
        (lambda: nc.collapse([(X, Y)], 3, rtol=0), "rtol = 0"),
        (lambda: nc.collapse([(X, Y)], 3, (W.T, B)), "shape of weight"),
        (lambda: nc.collapse([(X, Y)], 3, (W * math.nan, B)), "weight"),
        (lambda: nc.collapse([(X, Y)], 3, (W, B[:2])), "shape of bias"),
        (lambda: nc.collapse([(X, Y)], 3, (W, B * math.inf)), "bias"),
        (lambda: nc.variability([(X[:3], Y[:3])], MEANS), "second pass"),
        (lambda: nc.variability([(X * math.nan, Y)], MEANS), "second pass"),
        (lambda: nc.ncc_mismatch([], MEANS, W, B), "number of examples"),
        (lambda: nc.ncc_mismatch([(X * math.nan, Y)], MEANS, W, B), "features of replicate 0"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(BadInput, match=match):
        call()


# The spectrum of the means, and some examples alone


def test_class_means_on_a_simplex_are_equally_strong_in_all_directions(draw):
    rotation = torch.linalg.qr(normal(draw, 7, 7)).Q
    corners, y = simplex_etf(5, 7) @ rotation + 3, torch.arange(5)
    assert nc.mean_spectrum(nc.class_means([(corners, y)], 5)).shape == (1, 4)
    torch.testing.assert_close(nc.mean_spectrum(nc.class_means([(corners, y)], 5)), corners.new_ones(1, 4))
    # Two axes, one three times as long: means at (+-3, 0) and (0, +-1).
    cross = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]]).double()
    assert nc.mean_spectrum(nc.class_means([(cross, torch.arange(4))], 4))[0, 1].item() == pytest.approx(1 / 3)


def test_nc1_among_some_examples_is_that_of_these_alone(draw):
    features, labels, _, _ = random_case(draw, (3,))
    among = torch.rand(3, 200, generator=draw) > 0.3
    among[2] = labels != 4
    found = nc.nc1_among(features, labels, among, 5)
    for r in range(2):
        alone = nc.collapse([(features[r][among[r]], labels[among[r]])], 5)["nc1"]
        assert found[r] == alone[0]
    assert found[2].isnan(), "a class has no example"
    other = nc.nc1_among(features, labels.expand(3, -1).flip(0), among, 5)
    assert torch.equal(other[:2], found[:2]), "labels of each replicate"


def test_features_in_the_plane_of_their_means_point_to_the_simplex(draw):
    corners, y = simplex_etf(3, 2), torch.arange(3).repeat(5)
    turned = torch.linalg.qr(normal(draw, 6, 6))[0][:2]
    features = torch.stack([4 * corners[y] @ turned + 1, corners[y] @ turned.flip(1)]).float()
    found = nc.in_plane(features, y, 3)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), torch.stack([4 * corners[y], corners[y]]), atol=1e-5, rtol=0)
    assert nc.in_plane(normal(draw, 1, 40, 8), torch.arange(40) % 5, 5).shape == (1, 40, 2)


def test_nan_features_have_no_collapse(draw):
    features, labels, weight, _ = random_case(draw)
    features[3, 2] = torch.nan
    whole = torch.ones(1, len(labels), dtype=torch.bool)
    for call in (
        lambda: nc.collapse([(features, labels)], 5),
        lambda: nc.nc1_among(features[None], labels, whole, 5),
        lambda: nc.in_plane(features[None], labels, 5),
    ):
        with pytest.raises(BadInput, match="nan or inf"):
            call()
    good = nc.class_means([(torch.nan_to_num(features), labels)], 5)
    for call in (
        lambda: nc.variability([(features, labels)], good),
        lambda: nc.ncc_mismatch([(features, labels)], good, weight, None),
        lambda: nc.self_duality(good, weight * torch.nan),
    ):
        with pytest.raises(BadInput, match="nan or inf|finite"):
            call()
