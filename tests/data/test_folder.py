"""Folders of images: pixels as torchvision reads them, decoded once, never from a stale or damaged cache."""

import errno
import os
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from redlib.data import ensure_torchvision, folder, load
from redlib.errors import BadInput

PROJECT = Path(__file__).resolve().parents[2]
JPEGS = PROJECT / os.environ.get("REDLIB_DATA", "../shared/data") / "cifar10_jpeg.tar.xz"


def save(path: Path, value: int, size: tuple[int, int] = (6, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """ROOT/{train,test}/{ant,bee}: 6 + 4 and 2 + 2 images, one a level deeper, beside a file that is none."""
    monkeypatch.setenv("REDLIB_HOME", str(tmp_path / "home"))
    root = tmp_path / "insects"
    for number in range(6):
        save(root / f"train/ant/{number}.png", number)
    for number in range(4):
        save(root / f"train/bee/{'deep/' if number == 3 else ''}{number}.png", 10 + number)
    for number in range(2):
        save(root / f"test/ant/{number}.png", 20 + number)
        save(root / f"test/bee/{number}.png", 30 + number)
    (root / "train/ant/notes.txt").write_text("not an image")
    (root / "train/.ipynb_checkpoints").mkdir()
    return root


def caches(home: Path) -> list[Path]:
    return sorted((home / "build/cache").iterdir())


def test_pixels_and_labels_are_those_of_torchvisions_image_folder(images):
    datasets = ensure_torchvision().datasets
    (images / "train/.ipynb_checkpoints").rmdir()  # torchvision takes it for a class
    arrays, listing = folder.read_folder(images)
    assert listing.classes == ("ant", "bee") and listing.n_train == 10
    stored = [*datasets.ImageFolder(str(images / "train")), *datasets.ImageFolder(str(images / "test"))]
    assert arrays["x"].shape == (14, 3, 5, 6) and arrays["x"].dtype == np.uint8
    assert arrays["y"].tolist() == [label for _, label in stored]
    for ours, (theirs, _) in zip(arrays["x"], stored, strict=True):
        assert np.array_equal(ours, np.asarray(theirs).transpose(2, 0, 1))


def test_a_folder_loads_under_both_spellings_with_its_provenance(images):
    data = load("image_folder", root=images, label="insects_png", flatten=False)
    assert data.name == "insects_png" and data.classes == 2
    assert data.train.x.shape == (10, 3, 5, 6) and data.test.x.shape == (4, 3, 5, 6)
    assert float(data.train.x.max()) <= 1
    assert data.provenance["re_encoding"] == "stored as png, read as RGB"
    other = load(f"imagefolder:{images}", flatten=False)
    assert other.name == "insects" and other.digest == data.digest
    assert str(images) not in repr(data.provenance)


def test_a_folder_is_decoded_once(images, monkeypatch):
    first = load("image_folder", root=images)
    monkeypatch.setattr(folder, "read_picture", lambda *a: pytest.fail("decodes again"))
    assert load("image_folder", root=images).digest == first.digest


@pytest.mark.parametrize("change", ["one bit", "cut", "garbage", "empty"])
def test_a_damaged_cache_is_noticed_and_decoded_anew(images, tmp_path, change):
    first = load("image_folder", root=images)
    (cache,) = caches(tmp_path / "home")
    content = bytearray(cache.read_bytes())
    at = content.find(first_image_bytes(images))
    assert at > 0
    content[at + 40] ^= 1
    cache.write_bytes({"one bit": content, "cut": content[:-300], "garbage": b"garbage", "empty": b""}[change])
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert load("image_folder", root=images).digest == first.digest
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load("image_folder", root=images).digest == first.digest


def first_image_bytes(images: Path) -> bytes:
    return np.asarray(Image.open(images / "train/ant/0.png")).transpose(2, 0, 1).tobytes()


def test_arrays_that_do_not_match_their_checksum_are_noticed(images, tmp_path):
    """A file that is a whole npz with right CRCs, but not of these arrays."""
    first = load("image_folder", root=images)
    (cache,) = caches(tmp_path / "home")
    with np.load(cache) as file:
        stored = dict(file)
    stored["x"] = stored["x"] ^ 1
    np.savez(cache, **stored)
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert load("image_folder", root=images).digest == first.digest


@pytest.mark.parametrize("change", ["replaced", "added", "removed", "touched"])
def test_a_changed_folder_is_decoded_anew_without_a_warning(images, tmp_path, change):
    before = load("image_folder", root=images)
    one = images / "train/ant/0.png"
    if change == "replaced":
        save(one, 99)
    elif change == "added":
        save(images / "train/ant/9.png", 99)
    elif change == "removed":
        one.unlink()
    os.utime(images / "train/ant/1.png", ns=(1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = load("image_folder", root=images)
    assert (after.digest == before.digest) == (change == "touched")
    assert len(caches(tmp_path / "home")) == 1


def test_a_file_replaced_by_one_of_the_same_name_size_and_time_is_seen(images):
    before = load("image_folder", root=images)
    one, stat = images / "train/ant/0.bmp", (images / "train/ant/0.png").stat()
    (images / "train/ant/0.png").unlink()
    digests = []
    for value in (0, 99):
        save(one, value)  # a BMP has the same size whatever it shows
        os.utime(one, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        digests.append((one.stat().st_size, load("image_folder", root=images).digest))
    assert digests[0][0] == digests[1][0]
    assert digests[0][1] == before.digest != digests[1][1]


def test_a_full_disk_costs_the_cache_but_not_the_data(images, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        data = load("image_folder", root=images)
    assert caches(tmp_path / "home") == []
    monkeypatch.undo()
    monkeypatch.setenv("REDLIB_HOME", str(tmp_path / "home"))
    assert load("image_folder", root=images).digest == data.digest


def test_without_a_test_folder_a_stratified_fifth_is_held_out(images):
    data = load("image_folder", root=images / "train", label="flat", normalise=None)
    assert len(data.train) == 8 and len(data.test) == 2
    rows = {tuple(row) for row in torch.cat([data.train.x, data.test.x]).tolist()}
    assert len(rows) == 10
    assert sorted(data.test.y.tolist()) == [0, 1]


def test_images_can_be_scaled_and_read_as_grey(images):
    save(images / "train/ant/big.png", 7, size=(12, 12))
    data = load("image_folder", root=images, size=4, mode="L", flatten=False)
    assert data.train.x.shape == (11, 1, 4, 4)
    assert data.provenance["re_encoding"] == "stored as png, read as L, scaled to 4 × 4"


def test_a_jpeg_is_called_lossy(images):
    save(images / "train/ant/x.jpg", 7)
    assert "jpg, png (lossy)" in load("image_folder", root=images).provenance["re_encoding"]


def test_val_serves_as_test_folder(images):
    digest = load("image_folder", root=images).digest
    (images / "test").rename(images / "val")
    assert load("image_folder", root=images).digest == digest


def break_image(root):
    (root / "train/ant/3.png").write_bytes(b"\x89PNG broken")


def empty_images(root):
    for number in (2, 3):
        (root / f"train/ant/{number}.png").write_bytes(b"")


def dangle(root):
    (root / "train/ant/7.png").symlink_to(root / "gone.png")


def rename_class(root):
    (root / "test/bee").rename(root / "test/wasp")


def empty_class(root):
    (root / "train/cat").mkdir()


def drop_test(root):
    (root / "test").rename(root / "elsewhere")


@pytest.mark.parametrize(
    "spoil, what",
    [
        (break_image, "3.png.*remove or replace"),
        (empty_images, "ant/2.png.*ant/3.png.*not empty"),
        (dangle, "ant/7.png.*links to nothing"),
        (lambda root: save(root / "test/bee/z.png", 1, (9, 9)), "z.png: 9 × 9.*6 × 5.*size=N"),
        (rename_class, r"\['bee', 'wasp'\]"),
        (empty_class, "train/cat.*images"),
        (drop_test, "add the test images"),
    ],
)
def test_a_spoilt_folder_raises_with_the_file_and_leaves_no_cache(images, tmp_path, spoil, what):
    spoil(images)
    with pytest.raises(BadInput, match=what):
        load("image_folder", root=images)
    assert not (tmp_path / "home/build/cache").exists()


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"name": "image_folder"}, "root = None"),
        ({"name": "imagefolder:x", "root": "y"}, "name the folder once"),
        ({"name": "imagefolder:nowhere"}, "nowhere.*train/CLASS"),
        ({"name": "image_folder", "root": ".", "label": "cifar10"}, "'cifar10'.*cifar10_jpeg"),
        ({"name": "image_folder", "root": ".", "mode": "CMYK"}, "'CMYK'.*'RGB'"),
        ({"name": "image_folder", "root": ".", "size": 0}, "size = 0"),
        ({"name": "image_folder", "root": ".", "size": 2.5}, "size = 2.5.*whole"),
        ({"name": "image_folder", "root": ".", "background": "blurple"}, "'blurple'.*'white'"),
        ({"name": "imagefolder:~nobody-of-this-name"}, "root = '~nobody-of-this-name'"),
        ({"name": "image_folder", "root": ".", "crop": 3}, r"\['crop'\].*label.*size"),
    ],
)
def test_bad_arguments_raise_with_the_allowed_ones(arguments, what):
    with pytest.raises(BadInput, match=what):
        load(**arguments)


# ---- what is no data, and what lies there twice -------------------------------------------------------------


def listed(root: Path) -> list[str]:
    return list(folder.list_images(root).names)


@pytest.mark.parametrize(
    "left",
    [
        "train/ant/.ipynb_checkpoints/0-checkpoint.png", "train/ant/._0.png", "train/__MACOSX/ant/._0.png",
        "train/__MACOSX/0.png", "train/ant/__MACOSX/0.png", "train/ant/deep/.hidden/0.png", "train/.cache/0.png",
        "train/@eaDir/ant/0.png", "train/ant/Thumbs.db",
    ],
)  # fmt: skip
def test_what_programs_leave_behind_is_no_data(images, left):
    before, digest = listed(images), load("image_folder", root=images).digest
    save(images / f"{left}.png", 0)
    (images / f"{left}.png").rename(images / left)
    assert listed(images) == before and load("image_folder", root=images).digest == digest


def test_a_folder_below_a_hidden_one_is_read(images, tmp_path):
    hidden = tmp_path / ".cache"
    hidden.mkdir()
    before = listed(images)
    images.rename(hidden / "insects")
    assert listed(hidden / "insects") == before


@pytest.mark.parametrize("target", [".", "..", "../..", "../ant"])
def test_a_link_upward_is_not_followed_round_in_circles(images, target):
    before = listed(images)
    (images / "train/ant/loop").symlink_to(target, target_is_directory=True)
    assert listed(images) == before


def test_two_folders_that_link_to_each_other_have_an_end(images):
    for here, there in (("ant", "bee"), ("bee", "ant")):
        (images / "train" / here / "other").symlink_to(images / "train" / there, target_is_directory=True)
    assert len(listed(images)) == 14 + 4 + 6


def test_a_link_to_a_folder_elsewhere_is_followed(images, tmp_path):
    save(tmp_path / "elsewhere/more.png", 77)
    (images / "train/ant/linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "train/ant/linked/more.png" in listed(images)


def test_an_image_on_both_sides_of_the_split_is_named(images):
    save(images / "test/bee/copy.bmp", 3)  # the pixels of train/ant/3.png, in another format and class
    with pytest.warns(
        RuntimeWarning, match=r"insects holds the same.*1 times: test/bee/copy.bmp \(test\) = train/ant/3.png \(train\)"
    ):
        data = load("image_folder", root=images)
    assert data.provenance["copies across the split"] == 1


def test_copies_are_named_where_the_split_is_drawn_here(images):
    root = images / "train"
    for number in range(6):
        save(root / f"ant/{number}-copy.bmp", number)
    with pytest.warns(RuntimeWarning, match="drawn holds the same image on both sides.*ant/"):
        data = load("image_folder", root=root, label="drawn", n_validation=5, n_test=4)
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    sides: dict[tuple, set[str]] = {}
    for name, part in parts.items():
        for row in part.x.tolist():
            sides.setdefault(tuple(row), set()).add(name)
    assert data.provenance["copies across the split"] == sum(len(names) - 1 for names in sides.values()) > 0


def test_copies_on_one_side_are_no_matter(images):
    save(images / "train/ant/copy.bmp", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "copies across the split" not in load("image_folder", root=images).provenance


# ---- pixel formats ------------------------------------------------------------------------------------------


def test_what_reading_changed_is_told_also_from_the_cache(images, monkeypatch):
    for number in range(3):
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.open(images / f"train/ant/{number}.png").save(images / f"train/ant/{number}.png", exif=exif)
    expected = "stored as png, read as RGB; 3 of 14 images turned upright by their EXIF orientation"
    first = load("image_folder", root=images)
    monkeypatch.setattr(folder, "read_picture", lambda *a: pytest.fail("decodes again"))
    again = load("image_folder", root=images)
    assert [data.provenance["re_encoding"] for data in (first, again)] == [expected] * 2


def test_a_background_makes_another_cache(images, tmp_path):
    image = Image.new("RGBA", (6, 5), (0, 0, 0, 0))
    image.save(images / "train/ant/0.png")
    with pytest.raises(BadInput, match="0.png: transparent.*background"):
        load("image_folder", root=images)
    found = [load("image_folder", root=images, background=colour, normalise=None) for colour in ("white", "black")]
    assert [float(data.train.x.sum(1).max()) == 255 * 90 for data in found] == [True, False]
    assert float(found[1].train.x.sum(1).min()) == 0 and len(caches(tmp_path / "home")) == 2


@pytest.mark.skipif(not JPEGS.is_file(), reason="no cifar10_jpeg.tar.xz in REDLIB_DATA or ../shared/data")
def test_the_jpeg_copy_of_cifar10_is_read_and_named_as_such(tmp_path, monkeypatch):
    monkeypatch.setenv("REDLIB_HOME", str(tmp_path / "home"))
    wanted = {f"test/{kind}/{number:04}.jpg" for kind in ("airplane", "automobile") for number in range(10)}
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # early versions of Python 3.11 have none
    with tarfile.open(JPEGS, "r|xz") as archive:  # a stream, left as soon as all are found
        for member in archive:
            if member.name in wanted:
                archive.extract(member, tmp_path, **safely)
                wanted.remove(member.name)
            if not wanted:
                break
    data = load("image_folder", root=tmp_path / "test", label="cifar10_jpeg", n_test=4, flatten=False)
    assert data.name == "cifar10_jpeg" and data.train.x.shape == (16, 3, 32, 32)
    assert data.provenance["re_encoding"] == "stored as jpg (lossy), read as RGB"
    assert data.train.y.bincount().tolist() == [8, 8] and data.test.y.bincount().tolist() == [2, 2]
