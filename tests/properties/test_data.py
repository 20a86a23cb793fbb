"""Images, labels and rows against torch's own operators and against counting; draws that depend on nothing else."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from layouts import FEW, SEEDS, TENSORS, laid
from torch.nn import functional

from redlib.data import blur, mislabel, noise, replicates, transforms

INTEGERS = st.sampled_from([torch.int64, torch.int32, torch.int16, torch.uint8])
PADDINGS = {"reflect": "reflect", "replicate": "replicate", "circular": "circular", "zero": "constant"}
# Beside what torch computes in float64, values in 0 ... 1 of a type are this far off at most.
OFF = {torch.float16: 4e-3, torch.bfloat16: 3e-2, torch.float32: 2e-6, torch.float64: 1e-12}


def images(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


@FEW
@given(
    SEEDS, st.integers(1, 3), st.integers(1, 2), st.integers(3, 7), st.integers(3, 7), st.floats(0, 3),
    st.sampled_from(sorted(PADDINGS)), st.sampled_from(sorted(OFF, key=str)), TENSORS,
)  # fmt: skip
def test_blur_is_torchs_convolution_in_every_layout(seed, n, channels, high, wide, sigma, padding, dtype, layout):
    size = 3 if min(high, wide) < 5 else 5
    x = images(seed, n, channels, high, wide).to(dtype)
    taps = torch.exp(-((torch.arange(size) - size // 2).double() ** 2) / (2 * max(sigma, 1e-9) ** 2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    padded = functional.pad(x.double(), [size // 2] * 4, PADDINGS[padding])
    expected = functional.conv2d(padded, kernel.expand(channels, 1, size, size), groups=channels)
    found = blur.blur(laid(x, layout), [0.0, sigma], size, padding)
    assert torch.equal(found[0], x) and found.dtype == dtype
    torch.testing.assert_close(found[1].double(), expected, rtol=0, atol=OFF[dtype])
    alone = blur.blur(x[-1:], [sigma], size, padding)
    torch.testing.assert_close(alone[0].double(), found[1, -1:].double(), rtol=0, atol=OFF[dtype])


@FEW
@given(SEEDS, st.sampled_from(sorted(transforms.TRANSFORMS)), st.integers(2, 4), st.integers(3, 6), TENSORS)
def test_changes_start_at_nothing_and_know_neither_layout_nor_later_images(seed, name, n, width, layout):
    x, change = images(seed, n, 1, width, width), transforms.TRANSFORMS[name]
    ahead = images(seed + 1, *x.shape) + 0.1
    strengths = [0.0, 0.5, 1.0]
    found = change(x, strengths, seed=seed, direction=ahead)
    assert torch.equal(found[0], x) and found.shape == (3, *x.shape)
    torch.testing.assert_close(change(laid(x, layout), strengths, seed=seed, direction=ahead), found)
    torch.testing.assert_close(change(x[:-1], strengths, seed=seed, direction=ahead[:-1]), found[:, :-1])
    if name in ("noise", "gradient"):  # a ray
        torch.testing.assert_close(found[2] - x, 2 * (found[1] - x))
    norms = transforms.change_norms(x, found)
    torch.testing.assert_close(norms, torch.stack([(part - x).flatten(1).norm(dim=1).mean() for part in found]))
    matched = transforms.matched_strengths(name, x, norms[1:2], seed, ahead)
    reached = transforms.change_norms(x, change(x, matched, seed=seed, direction=ahead))
    torch.testing.assert_close(reached, norms[1:2], rtol=1e-4, atol=1e-6)


@FEW
@given(SEEDS, st.integers(1, 40), st.integers(2, 5), st.floats(0, 1), st.floats(0, 1), st.booleans(), INTEGERS)
def test_noise_is_exact_nested_and_never_the_truth(seed, n, classes, one, two, per_class, kind):
    y = torch.from_numpy(np.random.default_rng(seed).integers(0, classes, n)).to(kind)
    less, more = sorted([one, two])
    noisy, wrong = noise.corrupt_labels(y, more, classes, seed, per_class=per_class)
    groups = [y == c for c in y.unique()] if per_class else [torch.ones(n).bool()]
    assert [int(wrong[group].sum()) for group in groups] == [round(more * int(group.sum())) for group in groups]
    assert torch.equal(noisy != y, wrong) and int(noisy.min()) >= 0 and int(noisy.max()) < classes
    fewer, among = noise.corrupt_labels(y.tolist(), less, classes, seed, per_class=per_class)
    assert not (among & ~wrong).any() and torch.equal(fewer[among], noisy[among])


@FEW
@given(SEEDS, st.integers(2, 5), st.integers(2, 5), st.integers(0, 4), INTEGERS)
def test_every_kth_image_of_a_class_is_told_wrong(seed, k, classes, more, kind):
    draw = np.random.default_rng(seed)
    y = torch.from_numpy(draw.permutation(np.repeat(np.arange(classes), k + more))).to(kind)
    told, wrong = mislabel.mislabel(y, k, classes, seed)
    assert [int(wrong[y == c].sum()) for c in range(classes)] == [(k + more) // k] * classes
    assert torch.equal(told != y, wrong)
    for c in range(classes):
        assert wrong[y == c].nonzero().flatten().tolist() == list(range(k - 1, k + more, k))
    rows = mislabel.mislabel_rows(y, k, classes, [seed, 7])
    assert torch.equal(rows[1:], mislabel.mislabel_rows(y.numpy(), k, classes, [7]))
    assert (rows != y).sum(1).tolist() == [int(wrong.sum())] * 2


@FEW
@given(SEEDS, st.integers(2, 30), st.data())
def test_rows_are_nested_and_folds_share_the_pool_out(seed, pool, data):
    n, folds = data.draw(st.integers(1, pool)), data.draw(st.integers(2, pool))
    rows = replicates.draw_rows(pool, n, [7, seed])
    assert all(len(set(row)) == n and set(row) <= set(range(pool)) for row in rows.tolist())
    assert torch.equal(replicates.draw_rows(pool, pool, [seed])[0, :n], rows[1])
    kept, held = replicates.fold_rows(pool, folds, [7, seed])
    assert torch.equal(replicates.fold_rows(pool, folds, [seed])[1], held[folds:])
    assert sorted(held[folds:].flatten().tolist()) == sorted({*held[folds:].flatten().tolist()})
    assert held.shape == (2 * folds, pool // folds)
    assert all(
        not {*a} & {*b} and len(a) == (folds - 1) * len(b) for a, b in zip(kept.tolist(), held.tolist(), strict=True)
    )
