"""Judging a mix: sheets and numbers, the per-image code it is compared with, and the bench."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kfkd
from kfkd.augment import MIXES, mix
from kfkd.cli import main
from kfkd.drawing.augmenting_pictures import shown_rows
from kfkd.errors import KfkdError
from kfkd.pipelines.per_image_augment import PerImage
from kfkd.pipelines.synthetic import synthetic_faces, write_kaggle_folder
from kfkd.skeletons import KAGGLE_15

pytestmark = pytest.mark.usefixtures("keras_ready")


@pytest.fixture(autouse=True)
def loud_tensorflow(monkeypatch):
    """Commands set stderr aside for TensorFlow's import; under pytest it is not theirs."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(60, seed=4)


def picture(path):
    from matplotlib.image import imread

    return imread(path)


def test_sheets_show_every_draw_and_every_transform(faces, tmp_path):
    made = kfkd.draw_mix("light", faces, tmp_path, faces=2, draws=3, quiet=True)
    assert made.files == ("mix.png", "transforms.png")
    whole, parts = (picture(tmp_path / name) for name in made.files)
    assert whole.shape[1] == parts.shape[1] >= 4 * 192
    assert whole.shape[0] >= 2 * 192
    assert parts.shape[0] >= 6 * 192
    assert min(whole.std(), parts.std()) > 0.1
    assert made.numbers["points"] > 500
    assert 0 <= made.numbers["points_lost"] < 0.02


def test_branches_have_rows_of_their_own_and_stale_sheets_go(faces, tmp_path):
    text = "original | flip | rotate(5), blur(1)"
    made = kfkd.draw_mix(text, faces, tmp_path, faces=1, draws=2, quiet=True)
    assert made.as_dict()["branches"] == [[], ["flip"], ["rotate(degrees=5)", "blur(low=1)"]]
    assert "one image in 3:\n  original\n" in made.table()
    # flip, rotate, blur; original and the pair
    assert 5 * 192 < picture(tmp_path / "transforms.png").shape[0] < 5 * 192 + 250
    made = kfkd.draw_mix("none", faces, tmp_path, faces=1, draws=1, quiet=True)
    assert made.files == ("mix.png",)
    assert not (tmp_path / "transforms.png").exists()
    assert made.numbers["points_lost"] == 0


def test_points_that_leave_are_counted_whatever_becomes_of_them(faces, tmp_path):
    few = {"faces": 1, "draws": 1, "quiet": True}
    lost = [
        kfkd.draw_mix(f"shift(0.5), frame(outside='{word}')", faces, tmp_path, **few).numbers
        for word in ("nan", "keep")
    ]
    assert lost[0] == lost[1]
    assert lost[0]["points_lost"] > 0.2
    assert lost[0]["faces_losing"] > lost[0]["points_lost"]


def test_images_of_another_size_and_without_labels(faces, tmp_path):
    what = "scale(0.8, 1.2), frame(size=(48, 64))"
    made = kfkd.draw_mix(what, faces.images, tmp_path, faces=1, draws=1, quiet=True)
    assert made.numbers["points_lost"] is None
    assert "no labelled keypoints" in made.table()


def test_faces_shown_are_spread_over_the_well_labelled(faces):
    complete = np.flatnonzero(faces.labelled.all(axis=(1, 2)))
    rows = shown_rows(faces, 4)
    assert set(rows) <= set(complete)
    assert np.ptp(rows) > np.ptp(complete) / 3
    assert len(set(shown_rows(faces, len(complete) + 5))) == len(complete) + 5
    assert len(shown_rows(faces[:3], 9)) == 3


def asked(capsys, *arguments, code=0):
    assert main([str(a) for a in arguments]) == code
    return capsys.readouterr()


def test_the_command_lists_mixes(capsys):
    assert json.loads(asked(capsys, "augment", "--json").out) == dict(MIXES)
    shown = asked(capsys, "augment").out
    assert all(f"{name} " in shown for name in MIXES)
    assert max(map(len, shown.splitlines())) <= 100
    assert " ".join(shown.split()).count(" ".join(MIXES["strong"].split())) == 1


def test_the_command_draws(capsys, tmp_path):
    data = write_kaggle_folder(tmp_path / "kaggle", train=40, test=2, quiet=True)
    few = ("--data", data, "--faces", 1, "--draws", 2, "--out", tmp_path, "--quiet")
    shown = asked(capsys, "augment", "flip(p=0.5), noise(20)", *few)
    assert shown.err == ""
    assert "flip(p=0.5), noise(low=20)" in shown.out
    assert "leave the frame" in shown.out
    assert (tmp_path / "transforms.png").stat().st_size > 10_000
    told = json.loads(asked(capsys, "augment", "none", *few, "--json").out)
    assert told["pictures"] == [str(tmp_path / "mix.png")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("augment", "stronk"), "did you mean strong"),
        (("augment", "flip(7"), "a mix reads like"),
        (("augment", "light", "--faces", "0", "--data", "synthetic"), "faces wants a whole number"),
        (("augment", "light", "--data", "nowhere"), "nowhere"),
        (("augment", "--data", "synthetic"), "wants a mix to draw"),
        (("bench", "augment", "--mixes", "stronk"), "did you mean strong"),
        (("bench", "augment", "--mixes", "flip, frame(size=(9, 9))"), "keeps the images' size"),
        (("bench", "augment", "--rounds", "0"), "rounds and steps want to be 1 at least"),
    ],
)
def test_errors_are_one_line_and_exit_2(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    shown = asked(capsys, *arguments, code=2)
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def blobs(rng, n=15, size=96):
    """A dark picture with a bright spot at each keypoint, far from the others."""
    places = rng.permutation(16)[:n]
    points = np.stack([places % 4, places // 4], axis=1) * 16.0 + 24 + rng.uniform(-2, 2, (n, 2))
    y, x = np.mgrid[:size, :size]
    near = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8) for px, py in points]
    return np.rint(255 * np.max(near, axis=0)).astype(np.uint8)[..., None], points.astype("float32")


def centre_near(image, point):
    """The centre of brightness around a point."""
    y, x = np.mgrid[:96, :96]
    weights = image[..., 0] * (np.hypot(x - point[0], y - point[1]) < 6.5)
    return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


@pytest.mark.parametrize(
    "text",
    [
        "flip",
        "rotate(30)",
        "shift(0.1), scale(0.8, 1.2, aspect=1.1), shear(0.1)",
        "perspective(0.1)",
        "crop(0.8)",
        "elastic(0.01)",
        "flip(p=0.5), rotate(10), perspective(0.1), elastic(0.01, wave=1)",
    ],
)
def test_per_image_code_moves_keypoints_with_pixels(text):
    rng, one = np.random.default_rng(0), PerImage(mix(text), KAGGLE_15)
    seen = 0
    for _ in range(4):
        image, points = blobs(rng)
        image, points = one(image, points)
        inner = (points > 8).all(axis=1) & (points < 87).all(axis=1)
        for point in points[inner]:
            np.testing.assert_allclose(centre_near(image, point), point, atol=0.6)
        seen += int(inner.sum())
    assert seen > 30


def test_per_image_code_swaps_names_and_loses_points_as_ours(faces):
    image, points = faces.images[0], faces.keypoints[0]
    ours = mix("flip").bind(KAGGLE_15)(image[None], points[None], np.zeros(2, np.int32))
    theirs = PerImage(mix("flip"), KAGGLE_15)(image, points)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(mine)[0], other, atol=1e-3)
    _, far = PerImage(mix("shift(1)"), KAGGLE_15, seed=3)(image, points)
    assert np.isnan(far).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_per_image_code_takes_every_transform(faces, channels):
    from kfkd.augment.notation import KINDS

    some = {"elastic": "0.01", "clahe": "2.0", "crop": "0.8", "cut_out": "0.1, 0.4"}
    ranged = dict.fromkeys(("scale", "contrast", "gamma"), "0.7, 1.4") | {"jpeg": "20, 80"}
    small = dict.fromkeys(("shift", "shear", "perspective", "brightness"), "0.1")
    args = {"flip": "", "equalize": "", **some, **ranged, **small}
    images = np.repeat(faces.images, channels, axis=3)
    for name in KINDS:
        one = PerImage(mix(f"{name}({args.get(name, '5')})"), KAGGLE_15)
        image, points = one(images[1], faces.keypoints[1])
        assert (image.shape, image.dtype) == (images[1].shape, np.uint8), name
        assert points.dtype == np.float32, name
        assert not np.array_equal(image, images[1]), name


def test_per_image_code_keeps_the_size():
    with pytest.raises(KfkdError, match="keeps the images' size"):
        PerImage(mix("flip, frame(size=(9, 9))"), KAGGLE_15)


def test_bench_augment_measures_everything(faces, tiny_zoo):
    from importlib.util import find_spec

    from kfkd.bench.augment import bench_augment

    small = {"rounds": 2, "steps": 2, "faces": faces, "quiet": True}
    found = bench_augment("tiny", ["none", "flip(p=0.5), noise(9)"], **small)
    name = "flip(p=0.5), noise(9)"
    rates = [value for key, value in found.items() if key.endswith("images_per_s")]
    assert len(rates) == 6
    without = {key for key, value in found.items() if value is None}
    absent = {f"{name}_albumentations_images_per_s", f"{name}_against_albumentations"}
    assert without == (absent if find_spec("albumentations") is None else set())
    assert all(value > 0 for value in rates if value is not None)
    assert found[f"{name}_extra"] > -1
    assert json.dumps(found)
