"""Lazy images: the same pixels as eager ones, none decoded before it is wanted, memory bounded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import kfkd
from kfkd.augment.copies import copied
from kfkd.errors import DataError, KfkdError
from kfkd.faces import image_groups
from kfkd.pipelines import lazy_images, photo_faces
from kfkd.pipelines.batches import evaluation_batches, training_batches
from kfkd.pipelines.lazy_images import LazyImages
from kfkd.pipelines.photo_folder import read_photo_folder
from kfkd.pipelines.splits import grouped_split

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def decoded(monkeypatch):
    """The photos that were decoded, in order."""
    seen, read = [], lazy_images.read_photo

    def counted(path, most_pixels):
        seen.append(str(path))
        return read(path, most_pixels)

    monkeypatch.setattr(lazy_images, "read_photo", counted)
    return seen


@pytest.fixture
def folder(layouts, tmp_path):
    return layouts.write_folder(tmp_path / "cats", 10)


def load(folder, **options):
    return kfkd.load_faces("folder", folder, size=(24, 32), channels=3, quiet=True, **options)


def test_lazy_images_are_the_eager_ones(folder):
    eager, lazy = load(folder), load(folder, lazy=True)
    assert isinstance(eager.images, np.ndarray) and isinstance(lazy.images, LazyImages)
    images, pixels = lazy.images, eager.images
    facts = ("shape", "dtype", "ndim", "size")
    assert [getattr(images, f) for f in facts] == [getattr(pixels, f) for f in facts]
    np.testing.assert_array_equal(images, pixels)
    np.testing.assert_array_equal(np.stack(list(images)), pixels)
    np.testing.assert_array_equal(images[3], pixels[3])
    np.testing.assert_array_equal(images[-1], pixels[-1])
    for rows in ([4, 1, 1], np.arange(10) % 2 == 0, slice(7, 2, -2), [], np.empty(0, int)):
        rows = np.array(rows, int) if isinstance(rows, list) else rows
        np.testing.assert_array_equal(images[rows], pixels[rows])
    np.testing.assert_array_equal(lazy[2:5][1:].images, pixels[3:5])
    np.testing.assert_array_equal(eager.keypoints, lazy.keypoints)
    with pytest.raises(KfkdError, match="picked by rows alone"):
        images[:, 0]


def test_nothing_is_decoded_before_it_is_wanted(folder, decoded):
    faces = load(folder, lazy=True)
    learn, held_out = (faces[rows] for rows in grouped_split(faces, 0.4, 0))
    assert len(learn) + len(held_out) == 10
    assert faces.fingerprint and learn.fingerprint and len(image_groups(faces.images)) == 10
    assert decoded == []
    assert np.asarray(faces.images[2:4]).shape == (2, 24, 32, 3)
    assert sorted(decoded) == [str(folder / "2.jpg"), str(folder / "3.jpg")]


def test_fingerprint_changes_with_contents_and_crops_not_with_the_place(folder, layouts, tmp_path):
    known = load(folder, lazy=True).fingerprint
    copy = layouts.write_folder(tmp_path / "elsewhere", 10)
    assert load(copy, lazy=True).fingerprint == known
    assert kfkd.load_faces("folder", folder, lazy=True, quiet=True).fingerprint != known
    layouts.photo(copy / "3.jpg", 80, 48, seed=99)
    changed = load(copy, lazy=True)
    assert changed.fingerprint != known
    same = image_groups(changed.images) == image_groups(load(folder, lazy=True).images)
    assert np.flatnonzero(~same).tolist() == [3]


def test_decoded_pixels_are_kept_until_a_photo_changes(folder, layouts, decoded):
    first = load(folder)
    assert len(decoded) == 10
    assert load(folder).fingerprint == first.fingerprint and len(decoded) == 10
    assert load(folder, cache=False).fingerprint == first.fingerprint and len(decoded) == 20
    layouts.photo(folder / "4.jpg", 64, 48, seed=77)
    assert load(folder).fingerprint != first.fingerprint and len(decoded) == 30


def test_damaged_cache_is_made_again(folder, decoded, own_cache):
    known = set((own_cache / "arrays").glob("*")) if (own_cache / "arrays").is_dir() else set()
    first = load(folder).fingerprint
    (entry,) = set((own_cache / "arrays").glob("*-photos-1.npz")) - known
    entry.write_bytes(entry.read_bytes()[:2000])
    assert load(folder).fingerprint == first and len(decoded) == 20


def test_photo_that_changed_its_size_is_named(folder, layouts):
    faces = load(folder, lazy=True)
    layouts.photo(folder / "5.jpg", 30, 20)
    with pytest.raises(DataError, match=r"5.jpg: the photo is 30 × 20 pixels now, 80 × 48 when"):
        np.asarray(faces.images)


def test_large_photo_is_decoded_reduced_and_its_points_stay_put(tmp_path):
    from PIL import Image, ImageDraw

    photo = Image.new("RGB", (2400, 1800))
    ImageDraw.Draw(photo).ellipse((1480, 580, 1520, 620), "white")
    photo.save(tmp_path / "a.jpg")
    (tmp_path / "a.csv").write_text("file,dot_x,dot_y\na.jpg,1500,600\n")
    faces = kfkd.load_faces("folder", tmp_path, size=(150, 200), lazy=True, quiet=True)
    matrix = faces.images.matrices[0]
    assert lazy_images._enough(matrix, 2400 * 1800) == 2400 * 1800 // 36
    weight = np.asarray(faces.images)[0, :, :, 0].astype(float)
    y, x = np.mgrid[:150, :200]
    found = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
    assert np.abs(found - faces.keypoints[0, 0]).max() < 0.1


def batches_of(faces, **options):
    made = training_batches(faces, 4, seed=3, epochs=3, first_epoch=1, **options)
    return [(np.asarray(a), np.asarray(b)) for a, b in made]


def test_batches_are_the_eager_ones(folder, keras_ready):
    eager, lazy = load(folder), load(folder, lazy=True)

    def darker(images, points, seed):
        return images // 2, points + 1.0

    for options in ({}, {"augment": darker}):
        pairs = list(zip(batches_of(eager, **options), batches_of(lazy, **options), strict=True))
        assert len(pairs) == 6
        for (a, b), (c, d) in pairs:
            np.testing.assert_array_equal(a, c)
            np.testing.assert_array_equal(b, d)
    batches = training_batches(lazy, 4)
    (images, targets) = getattr(batches, "element_spec", None) or batches[0]
    assert images.shape == (4, 24, 32, 3) and targets.shape == (4, 6)
    for (a, b), (c, d) in zip(
        evaluation_batches(eager, 4), evaluation_batches(lazy, 4), strict=True
    ):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_mixes_work_on_lazy_images_and_fixed_copies_say_why_not(folder, keras_ready):
    from kfkd.augment import mix

    lazy = load(folder, lazy=True)
    flipped = mix("flip(p=1)").bind(lazy.skeleton)
    (images, _) = next(iter(training_batches(lazy, 10, augment=flipped)))
    (plain, _) = next(iter(training_batches(lazy, 10)))
    np.testing.assert_array_equal(images[:, :, ::-1], plain)
    with pytest.raises(KfkdError, match=r"10 are left in their files.*copies=False"):
        copied(lazy, "study_4x")


def test_training_on_lazy_images_comes_to_the_same_as_on_eager_ones(folder, tmp_path, tiny_zoo):
    def trained(name, **options):
        faces = load(folder, **options)
        return kfkd.train(
            "tiny", faces, subsets="all", epochs=2, batch_size=4, out=tmp_path / name, quiet=True
        )

    eager, lazy = trained("eager"), trained("lazy", lazy=True)
    np.testing.assert_array_equal(*(kfkd.predict(run, load(folder)) for run in (eager, lazy)))
    assert kfkd.predict(lazy, load(folder, lazy=True)).shape == (10, 3, 2)
    assert kfkd.evaluate(lazy).images == lazy.record["split"]["validation"]
    assert eager.record["metrics"]["model"] == lazy.record["metrics"]["model"]


def test_photo_that_breaks_in_the_middle_of_a_training_is_named(folder, tmp_path, tiny_zoo):
    faces = load(folder, lazy=True)
    whole = (folder / "6.jpg").read_bytes()
    (folder / "6.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"6.jpg: cannot be read as an image"):
        kfkd.train("tiny", faces, subsets="all", epochs=1, out=tmp_path / "run", quiet=True)


def test_large_sets_are_lazy_unless_asked(folder, monkeypatch):
    monkeypatch.setattr(photo_faces, "MOST_BYTES", 1000)
    assert isinstance(load(folder).images, LazyImages)
    assert isinstance(load(folder, lazy=False).images, np.ndarray)


def test_exploring_lazy_faces(folder, tmp_path):
    pixels = [
        kfkd.explore(load(folder, **options), tmp_path / name, quiet=True).summary["pixels"]
        for name, options in (("lazy", {"lazy": True}), ("eager", {}))
    ]
    assert pixels[0] == pixels[1]


def held():
    """Bytes that this process holds; tracemalloc may crash beside threads that allocate."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_hundred_thousand_photos_in_bounded_memory(layouts, tmp_path, decoded, keras_ready):
    """920 MB of pixels: none is decoded for loading, a few batches' worth for a few batches."""
    count, batch, wanted = 100_000, 64, 5
    real = [layouts.photo(tmp_path / f"{i}.jpg", seed=i) for i in range(10)]
    lines = ["file,nose_x,nose_y"]
    for i in range(count):
        name = f"{i // 1000}/{i}.jpg"
        if i % 1000 == 0:
            (tmp_path / str(i // 1000)).mkdir()
        os.link(real[i % 10], tmp_path / name)
        lines.append(f"{name},{i % 64},{i % 48}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    photos = read_photo_folder(tmp_path)
    faces = photo_faces.faces_of(photos, (96, 96), 1)
    assert isinstance(faces.images, LazyImages) and faces.images.size == count * 96 * 96
    assert len(np.unique(faces.group)) == 10
    learn, _ = grouped_split(faces, 0.2, 0)
    train = faces[learn]
    assert train.fingerprint and decoded == []
    batches = iter(training_batches(train, batch, epochs=50))
    next(batches)
    before = held()
    for _ in range(wanted):
        images, targets = next(batches)
    grown = held() - before
    assert images.shape == (batch, 96, 96, 1) and targets.shape == (batch, 2)
    # Two being decoded, two waiting and one handed over, besides those that were asked for.
    assert len(decoded) <= (1 + wanted + 5) * batch
    assert grown < 200_000_000
