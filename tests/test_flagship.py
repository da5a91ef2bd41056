"""What `pyramid` needs: points by source, the integral codec, views, schedules, running means."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kfkd
from kfkd.answering import _usual, answers
from kfkd.by_source import FOUR_POINT, KAGGLE_BY_SOURCE, join_sources, split_sources
from kfkd.codecs import Integral, codec_from
from kfkd.errors import DataError, KfkdError, RunError, UnknownName
from kfkd.exports.graph import looking_once
from kfkd.learning.optimizing import optimizer_for
from kfkd.losses import LOSSES, loss_called, masked_huber
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.registry import Recipe
from kfkd.runs import Run, load_run
from kfkd.second_looks import to_usual, unusual
from kfkd.skeletons import IMM_58, KAGGLE_15
from kfkd.training import resume
from kfkd.views import Views, views_from, zoomed

pytestmark = pytest.mark.usefixtures("keras_ready", "undrawn")

SMALL = {"widths": [4, 6, 8, 8], "depths": [0, 1, 1, 1], "decoder": [6, 8]}
SETTINGS = {"options": SMALL, "batch_size": 16, "augment": None, "quiet": True}


@pytest.fixture(scope="module")
def faces():
    every = synthetic_faces(160, seed=1)
    return every[np.r_[0:48, 112:160]]


@pytest.fixture(scope="module")
def run(faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flagship") / "run"
    return kfkd.train("pyramid", faces, epochs=2, out=folder, **SETTINGS)


# Sources


def test_each_source_labels_points_of_its_own(faces):
    split = split_sources(faces)
    full = faces.source == "full"
    assert 0 < full.sum() < len(faces)
    np.testing.assert_array_equal(split.keypoints[full, :15], faces.keypoints[full])
    np.testing.assert_array_equal(
        split.keypoints[~full, 15:], faces.keypoints[~full][:, FOUR_POINT]
    )
    assert np.isnan(split.keypoints[full, 15:]).all()
    assert np.isnan(split.keypoints[~full, :15]).all()


def test_joining_gives_every_image_the_points_of_its_source(faces):
    split = split_sources(faces)
    np.testing.assert_array_equal(join_sources(split.keypoints, faces.source), faces.keypoints)
    points = np.arange(2 * 19 * 2, dtype=float).reshape(2, 19, 2)
    joined = join_sources(points, np.array(["full", "four_point"]))
    np.testing.assert_array_equal(joined[0], points[0, :15])
    np.testing.assert_array_equal(joined[1, list(FOUR_POINT)], points[1, 15:])
    others = [i for i in range(15) if i not in FOUR_POINT]
    np.testing.assert_array_equal(joined[1, others], points[1, others])
    np.testing.assert_array_equal(join_sources(points, "full"), points[:, :15])


@pytest.mark.parametrize("wrong", ["fourpoint", "imm", 3, None, ["full"], [1, 2], ["full"] * 3])
def test_sources_that_nobody_knows_are_refused(wrong):
    with pytest.raises(KfkdError, match="source wants full or four_point"):
        join_sources(np.zeros((2, 19, 2)), wrong)
    own = np.array(["imm", "four_point"])
    assert join_sources(np.zeros((2, 19, 2)), own).shape == (2, 15, 2)


def test_a_mirror_swaps_the_eyes_of_both_sources():
    mirror = KAGGLE_BY_SOURCE.mirror
    assert [mirror[mirror[i]] for i in range(19)] == list(range(19))
    assert (mirror[15], mirror[16], mirror[17]) == (16, 15, 17)
    assert mirror[:15] == KAGGLE_15.mirror


def test_other_points_have_no_sources(faces):
    from dataclasses import replace

    other = replace(faces, keypoints=np.zeros((len(faces), 58, 2), np.float32), skeleton=IMM_58)
    with pytest.raises(DataError, match="IMM_58"):
        split_sources(other)


# The integral codec

PLACES = st.floats(-4, 99, width=32)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=4))
def test_a_point_comes_back_from_its_gaussian(points):
    codec = Integral(stride=4, margin=6, sigma=4.0)
    keypoints = np.array([points], np.float32)
    shares = np.asarray(codec.encode(keypoints, (36, 36)))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    scores = np.log(np.maximum(shares, 1e-30)).reshape(1, 36, 36, -1)
    np.testing.assert_allclose(codec.decode(scores), keypoints, atol=0.05)
    np.testing.assert_allclose(codec.spread(scores), 4.0, atol=0.3)


def test_cells_lie_where_the_pixels_are():
    codec = Integral(stride=4, margin=1)
    assert codec.centres(26)[[0, 1, 25]].tolist() == [-2.5, 1.5, 97.5]
    assert codec.output_shape(19, (96, 96, 1)) == (26, 26, 19)
    scores = np.zeros((1, 26, 26, 1), np.float32)
    scores[0, 3, 5] = 50.0
    np.testing.assert_allclose(codec.decode(scores)[0, 0], [17.5, 9.5], atol=1e-4)
    np.testing.assert_allclose(codec.decode(np.zeros_like(scores))[0, 0], [47.5, 47.5], atol=1e-3)


def test_the_loss_leaves_missing_labels_out():
    codec = Integral(map_share=0.5)
    random = np.random.default_rng(0)
    scores = random.normal(size=(3, 26, 26, 4)).astype(np.float32)
    truth = random.uniform(0, 95, (3, 4, 2)).astype(np.float32)
    truth[0, 1] = np.nan
    truth[2, :, 0] = np.nan
    loss = codec.loss(LOSSES["huber"])
    there = float(loss(np.asarray(codec.targets(truth)), scores))
    changed = scores.copy()
    changed[0, :, :, 1] += random.normal(size=(26, 26))
    assert float(loss(np.asarray(codec.targets(truth)), changed)) == pytest.approx(there, rel=1e-6)
    nothing = np.full((3, 8), np.nan, np.float32)
    assert float(loss(nothing, scores)) == 0


def test_the_cross_entropy_is_least_at_the_gaussian():
    truth = np.array([[[30.0, 60.0]]], np.float32)
    codec = Integral(map_share=1.0)
    shares = np.asarray(codec.encode(truth, (26, 26))).reshape(1, 26, 26, 1)
    loss = codec.loss(LOSSES["mse"])
    at = [float(loss(truth.reshape(1, 2), np.log(shares + 1e-20) * power)) for power in (1, 0.7, 2)]
    assert at[0] < min(at[1:])


def test_the_codec_is_plain_data():
    codec = Integral(map_share=0.2, sigma=3.0)
    assert codec_from(json.loads(json.dumps(codec.config()))) == codec


@pytest.mark.parametrize(
    "wrong",
    [{"stride": 0}, {"margin": -1}, {"sigma": 0}, {"map_share": float("inf")}, {"stride": 1.5}],
)
def test_a_codec_without_sense_is_refused(wrong):
    with pytest.raises(KfkdError, match="integral codec wants"):
        Integral(**wrong)


# Views


def test_views_of_an_equivariant_predictor_change_nothing():
    image = np.zeros((2, 40, 40, 1), np.uint8)
    image[0, 12, 9], image[1, 25, 30] = 255, 255

    def brightest(seen):
        weights = seen[..., 0].astype(float)
        weights /= weights.sum(axis=(1, 2), keepdims=True)
        y, x = np.mgrid[: seen.shape[1], : seen.shape[2]]
        place = [(weights * x).sum((1, 2)), (weights * y).sum((1, 2)), np.full(len(seen), 2.0)]
        return np.stack([np.stack(place, axis=-1)] * 2, axis=1)

    views = Views(flip=True, scales=(0.8, 1.0, 1.25))
    found = views.predict(image, brightest, (1, 0))
    np.testing.assert_allclose(found[:, 0, :2], [[9, 12], [30, 25]], atol=0.35)
    np.testing.assert_allclose(found[..., 2], 2.0, atol=0.4)
    assert len(views) == 6
    np.testing.assert_array_equal(Views().predict(image, brightest, (1, 0)), brightest(image))


def test_a_mirror_view_swaps_names_and_mirrors_about_the_last_pixel():
    images = np.zeros((1, 4, 10, 1), np.uint8)
    answer = np.array([[[2.0, 1, np.nan], [5, 3, np.nan]]])
    found = Views(flip=True).predict(
        images, lambda seen: np.repeat(answer, len(seen), axis=0), (1, 0)
    )
    # As it is: (2, 1) and (5, 3). Mirrored back: (9 − 5, 3) and (9 − 2, 1): 1 px off the mean.
    np.testing.assert_allclose(found[0], [[3, 2, 1], [6, 2, 1]])


def test_few_images_and_many_have_the_same_points():
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    asked: list[int] = []

    def answer(seen):
        asked.append(len(seen))
        return seen.reshape(len(seen), -1, 1)[:, :4].astype(np.float32).repeat(3, axis=2)

    views = Views(flip=True, scales=(1.0, 0.8))
    found = views.predict(images, answer, (1, 0, 3, 2))
    few = np.concatenate([views.predict(images[i : i + 10], answer, (1, 0, 3, 2)) for i in (0, 10)])
    np.testing.assert_allclose(few, found[:20], rtol=1e-6)
    assert asked == [40] * 4 + [40] * 2, "ten images in four views make one call"


def test_zooming_keeps_the_middle():
    image = np.zeros((1, 41, 41, 1), np.uint8)
    image[0, 18:23, 18:23] = 200
    for scale in (0.5, 2.0):
        assert zoomed(image, scale)[0, 20, 20, 0] == 200
        assert zoomed(image, scale).shape == image.shape


@pytest.mark.parametrize(
    "wrong", [{"scales": []}, {"scales": [0]}, {"scales": "1"}, {"turn": 1}, 3]
)
def test_views_from_anyone_are_checked(wrong):
    with pytest.raises(KfkdError, match="views want"):
        views_from(wrong)


# Losses and optimisers


def test_a_loss_takes_numbers_from_its_text():
    target, output = np.array([[1.0, np.nan, 9.0]]), np.array([[0.0, 5.0, 0.0]])
    asked = float(loss_called("huber(3)")(target, output))
    assert asked == pytest.approx(float(masked_huber(target, output, 3.0)))
    assert loss_called("mse") is LOSSES["mse"]
    with pytest.raises(KfkdError, match=r"mse takes at most 0 numbers.*mse\(2\)"):
        loss_called("mse(2)")
    with pytest.raises(KfkdError, match="above 0"):
        loss_called("huber(0)")
    with pytest.raises(UnknownName, match="hubber"):
        loss_called("hubber(2)")


def test_a_cosine_climbs_and_falls_to_nothing():
    recipe = Recipe(optimizer="adamw", learning_rate=0.1, schedule="cosine", weight_decay=0.02)
    optimizer = optimizer_for(recipe, None, 200)
    rate = optimizer._learning_rate
    rates = [float(rate(step)) for step in range(201)]
    assert rates[0] < 0.02
    assert max(rates) == pytest.approx(0.1, rel=1e-3)
    assert np.argmax(rates) == 10
    assert rates[200] == pytest.approx(0, abs=1e-6)
    assert (np.diff(rates[10:]) <= 0).all()
    assert optimizer.weight_decay == 0.02


def test_a_pyramid_of_levels_that_do_not_fit_is_refused():
    assert kfkd.build("pyramid", 4, widths=(4, 6, 8), depths=(0, 1, 1), decoder=(6,)).count_params()
    for wrong in ({"widths": (4, 6, 8)}, {"depths": (1,)}, {"decoder": (6,)}):
        with pytest.raises(KfkdError, match="as many depths as widths, and two fewer"):
            kfkd.build("pyramid", 4, **wrong)


def test_only_kernels_decay(faces):
    model = kfkd.build("pyramid", 19, (96, 96, 1), **SMALL)
    optimizer = optimizer_for(Recipe(optimizer="adamw", weight_decay=0.5), None, 10)
    optimizer.build(model.trainable_variables)
    decays = {
        v.path.rsplit("/", 1)[-1]: optimizer._use_weight_decay(v) for v in model.trainable_variables
    }
    assert decays == {"kernel": True, "gamma": False, "beta": False, "bias": False}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"schedule": "linear"}, "schedule wants cosine"),
        ({"ema": 1.0}, "ema wants a momentum"),
        ({"weight_decay": -1}, "weight_decay wants"),
        ({"restore_best": True}, "ema keeps the mean"),
        ({"views": {"flip": True}}, "views wants"),
        ({"loss": "huber(0)"}, "above 0"),
    ],
)
def test_settings_without_sense_are_refused(tmp_path, faces, wrong, said):
    with pytest.raises(KfkdError, match=said):
        kfkd.train("pyramid", faces, epochs=1, out=tmp_path / "run", **SETTINGS, **wrong)
    assert not (tmp_path / "run").exists()


# Training


def test_the_run_knows_sources_and_views(run, faces):
    facts = run.record["subsets"]["all"]
    assert facts["by_source"] is True
    assert facts["views"] == {"flip": True, "scales": [1.0]}
    assert facts["codec"]["codec"] == "integral"
    one = run.predict(faces.images, source="full")
    other = run.predict(faces.images, source="four_point")
    assert one.shape == other.shape == (len(faces), 15, 2)
    others = [i for i in range(15) if i not in FOUR_POINT]
    np.testing.assert_array_equal(one[:, others], other[:, others])
    assert (one[:, list(FOUR_POINT)] != other[:, list(FOUR_POINT)]).all()
    mixed = run.predict(faces.images, source=faces.source)
    full = faces.source == "full"
    np.testing.assert_array_equal(mixed[full], one[full])
    np.testing.assert_array_equal(mixed[~full], other[~full])


def test_scores_and_pictures_take_each_image_as_its_source_labels_it(run, faces):
    scores = kfkd.evaluate(run, faces)
    assert scores.model["kaggle_rmse"] == pytest.approx(run.metrics["model"]["kaggle_rmse"])
    held_out = kfkd.evaluate(run, faces, part="all")
    truth, mixed = faces.keypoints, run.predict(faces.images, source=faces.source)
    error = np.sqrt(np.nanmean((truth - mixed) ** 2))
    assert held_out.model["all"] == pytest.approx(error, abs=1e-4)


def test_predictions_are_the_mean_of_an_image_and_its_mirror(run, faces):
    images = faces.images[:6]
    both = looking_once(run).predict(images)
    plain = looking_once(load_run(run.folder))
    offset = plain.record["subsets"]["all"].pop("label_offset")[0]
    del plain.record["subsets"]["all"]["views"]
    one, mirrored = plain.predict(images), plain.predict(images[:, :, ::-1])
    back = mirrored[:, list(KAGGLE_15.mirror)].copy()
    back[..., 0] = 95 - back[..., 0]
    np.testing.assert_allclose(both, (one + back) / 2 + offset, atol=2e-3)


def test_a_run_looks_again_at_faces_out_of_their_place(run, faces):
    images = faces.images[:8]
    once, twice = (answers(one, "all", images, None) for one in (looking_once(run), run))
    assert run.record["subsets"]["all"]["second_look"] is True
    assert run.record["settings"]["recipe"]["second_look"] is True
    usual = np.concatenate([run.mean_face("full"), run.mean_face("four_point")[list(FOUR_POINT)]])
    # After two epochs its answers lie anywhere but where faces are.
    far = unusual(to_usual(once[..., :2], usual), (96, 96))
    assert far.any()
    assert (once != twice).any(axis=(1, 2)).tolist() == far.tolist()


@pytest.mark.parametrize("sources", [("all", "full"), ("all", "four_point"), ("all", "mine")])
def test_a_source_that_labelled_nothing_brings_no_face_to_its_place(run, sources):
    means = run.record["mean_face"]
    record = {**run.record, "mean_face": {name: means.get(name, means["all"]) for name in sources}}
    known = np.isfinite(_usual(Run(run.folder, record), "all")).all(axis=1)
    other = sources[1] != "four_point"
    assert known[:15].all() == other and known[15:].all() == (not other)


def test_doubt_is_the_spread_of_maps_and_views(run, faces):
    points, doubt = run.predict_with_doubt(faces.images[:5], source="four_point")
    np.testing.assert_array_equal(points, run.predict(faces.images[:5], source="four_point"))
    assert doubt.shape == (5, 15)
    assert (doubt > 0).all()


@pytest.mark.slow
def test_the_mean_weights_are_kept(run, faces, tmp_path):
    last = kfkd.train("pyramid", faces, epochs=2, out=tmp_path / "last", ema=None, **SETTINGS)
    mean, end = run.model("all").get_weights(), last.model("all").get_weights()
    assert any((a != b).any() for a, b in zip(mean, end, strict=True))
    # Two trainings, so their sums may be added up in another order.
    ended = last.history()["all"][-1]["loss"]
    assert run.history()["all"][-1]["loss"] == pytest.approx(ended, rel=1e-5)


class _Stop(Exception):
    pass


class _Killer(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise _Stop


@pytest.mark.slow
def test_schedule_and_mean_weights_resume_exactly(run, faces, tmp_path):
    folder = tmp_path / "killed"
    with pytest.raises(_Stop):
        kfkd.train("pyramid", faces, epochs=2, out=folder, callbacks=[_Killer(1)], **SETTINGS)
    resumed = resume(folder, faces, quiet=True)
    for ours, theirs in zip(
        resumed.model("all").get_weights(), run.model("all").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert resumed.metrics == run.metrics


@pytest.mark.slow
def test_a_training_killed_after_its_last_epoch_still_gets_its_mean_weights(
    run, faces, tmp_path, monkeypatch
):
    folder = tmp_path / "killed"

    def stop(*arguments):
        raise _Stop

    with monkeypatch.context() as patch, pytest.raises(_Stop):
        patch.setattr("kfkd.learning.trainer._save_model", stop)
        kfkd.train("pyramid", faces, epochs=2, out=folder, **SETTINGS)
    resumed = kfkd.train("pyramid", faces, epochs=2, out=folder, **SETTINGS)
    for ours, theirs in zip(
        resumed.model("all").get_weights(), run.model("all").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_run_json_with_broken_views_is_refused(run, tmp_path):
    record = json.loads((run.folder / "run.json").read_text())
    record["subsets"]["all"]["views"] = {"flip": True, "scales": ["__import__"]}
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="views want"):
        load_run(tmp_path)
