import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

import kfkd
from kfkd.codecs import Coordinates, Heatmap, Integral, codec_from
from kfkd.errors import KfkdError, RunError, UnknownName
from kfkd.gaussians import DECODERS, gaussian_maps
from kfkd.losses import LOSSES, PixelRMSE, masked_mse
from kfkd.map_losses import MAP_LOSSES, adaptive_wing, weighted_mse
from kfkd.pipelines.batches import evaluation_batches, evaluation_size, training_batches
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.registry import Recipe, register

pytestmark = pytest.mark.usefixtures("keras_ready", "undrawn")

NAN = float("nan")
GRIDS = st.sampled_from([(1, 2.0), (1, 0.75), (2, 3.0), (3, 4.0), (4, 6.0), (1, 5.0), (1, 10.0)])
SHARES = st.floats(0, 1, width=32)
CELLS = (24, 30)


def codec_of(grid, decoder="dark", window=None):
    return Heatmap(stride=grid[0], sigma=grid[1], decoder=decoder, window=window)


def point_at(codec, shares, edge=0.0):
    """A point of the image, `edge` cells from its border at least."""
    sides = np.float32([CELLS[1], CELLS[0]]) * codec.stride - 1
    return (edge * codec.stride + shares * (sides - 2 * edge * codec.stride)).astype(np.float32)


def through(codec, *points):
    keypoints = np.float32(points)[None]
    return np.asarray(codec.decode(codec.encode(keypoints, CELLS)))[0]


# From points to maps and back


@settings(max_examples=60, deadline=None)
@given(GRIDS, SHARES, SHARES)
@example((1, 2.0), 0.0, 1.0)
def test_dark_gives_every_point_of_the_image_back(grid, across, down):
    codec = codec_of(grid)
    point = point_at(codec, np.float32([across, down]))
    np.testing.assert_allclose(through(codec, point)[0], point, atol=0.05)


@settings(max_examples=60, deadline=None)
@given(GRIDS, SHARES, SHARES)
@example((1, 10.0), 0.0, 0.0)
@example((2, 1.0), 1.0, 0.0)
def test_soft_argmax_does_so_too_where_the_border_cuts_gaussians_off(grid, across, down):
    codec = codec_of(grid, "soft_argmax")
    # From border to border: half a pixel beyond the middle of the outermost ones.
    point = point_at(codec, np.float32([across, down]), edge=-0.5 / codec.stride)
    np.testing.assert_allclose(through(codec, point)[0], point, atol=0.01)


@settings(max_examples=60, deadline=None)
@given(GRIDS, SHARES, SHARES)
def test_argmax_and_top_k_are_as_near_as_they_say(grid, across, down):
    shares = np.float32([across, down])
    codec = codec_of(grid, "argmax")
    point = point_at(codec, shares)
    assert np.abs(through(codec, point)[0] - point).max() <= 0.51 * codec.stride
    codec = codec_of(grid, "top_k")
    point = point_at(codec, shares, edge=min(11, 2.5 * max(1, codec.sigma / codec.stride)))
    assert np.abs(through(codec, point)[0] - point).max() <= 0.15 * codec.stride
    point = point_at(codec, shares, edge=-0.5 / codec.stride)
    most = max(0.7 * codec.sigma, 0.65 * codec.stride)
    assert np.abs(through(codec, point)[0] - point).max() <= most


def test_argmax_alone_cannot_tell_points_within_a_cell_apart():
    coarse = Heatmap(stride=4, sigma=4.0, decoder="argmax")
    np.testing.assert_array_equal(*through(coarse, [20.2, 20.9], [22.7, 22.1]))


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_window_moves_no_point(decoder):
    codec = Heatmap(stride=1, sigma=2.0, decoder=decoder, window=12.0)
    point = [13.3, 11.6]
    tolerance = {"argmax": 0.5, "top_k": 0.15}.get(decoder, 0.05)
    np.testing.assert_allclose(through(codec, point)[0], point, atol=tolerance)
    maps = np.asarray(codec.encode(np.float32([[point]]), CELLS))
    assert maps[0, 11, 7, 0] == 0 and maps[0, 11, 8, 0] > 0


@settings(max_examples=100, deadline=None)
@given(GRIDS | st.just((1, 30.0)), st.floats(1, 6), SHARES, SHARES)
@example((1, 10.0), 2.0, 0.0, 0.0)
@example((1, 60.0), 1.0, 1.0, 0.5)
@example((2, 3.0), 4.3, 0.0, 1.0)
def test_nor_do_narrow_ones_with_decoders_between_cells(grid, sigmas, across, down):
    window = max(sigmas * grid[1], 5 * grid[0])
    for decoder in ("dark", "soft_argmax"):
        codec = codec_of(grid, decoder, window)
        point = point_at(codec, np.float32([across, down]))
        np.testing.assert_allclose(through(codec, point)[0], point, atol=0.05)


@pytest.mark.parametrize("decoder", DECODERS)
def test_points_without_label_or_off_the_image_have_maps_of_nan(decoder):
    codec = Heatmap(stride=2, sigma=3.0, decoder=decoder)
    points = [[NAN, 5], [20, 20], [5, NAN], [-0.6, 5], [5, 47.6], [-0.4, 47.4]]
    keypoints = np.float32(points)[None]
    maps = np.asarray(codec.encode(keypoints, CELLS))
    lost = [True, False, True, True, True, False]
    assert [bool(np.isnan(maps[0, ..., i]).all()) for i in range(6)] == lost
    assert [bool(np.isnan(maps[0, ..., i]).any()) for i in range(6)] == lost
    back = np.asarray(codec.decode(maps))
    np.testing.assert_array_equal(np.isnan(back).any(axis=2)[0], lost)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_flat_maps_give_a_cell_of_theirs(decoder, value):
    codec = Heatmap(stride=1, sigma=2.0, decoder=decoder)
    back = np.asarray(codec.decode(np.full((1, 8, 9, 2), value, np.float32)))
    assert np.isfinite(back).all() and (back >= 0).all() and (back <= [8, 7]).all()


@pytest.mark.parametrize("decoder", ["dark", "soft_argmax"])
def test_lower_peaks_and_another_bump_do_not_move_a_point(decoder):
    codec = Heatmap(stride=1, sigma=1.5, decoder=decoder)
    maps = np.asarray(codec.encode(np.float32([[[8.3, 9.7]], [[24.0, 18.0]]]), CELLS))
    mixed = 0.3 * maps[:1] + 0.2 * maps[1:]
    np.testing.assert_allclose(np.asarray(codec.decode(mixed))[0, 0], [8.3, 9.7], atol=0.05)


def test_a_cells_centre_is_amid_its_pixels():
    maps = np.asarray(Heatmap(stride=4, sigma=4.0).encode(np.float32([[[1.5, 5.5]]]), (6, 6)))
    assert maps[0, 1, 0, 0] == 1
    assert maps[0, 1, 1, 0] == pytest.approx(np.exp(-0.5))
    plain = np.asarray(gaussian_maps(np.float32([[[2, 3]]]), (5, 6), 1.0))
    assert plain.shape == (1, 5, 6, 1) and np.unravel_index(plain.argmax(), (5, 6)) == (3, 2)


def test_decoding_runs_in_a_graph_as_eagerly():
    points = np.float32(np.random.Generator(np.random.PCG64(2)).uniform(4, 18, (3, 4, 2)))
    for decoder in DECODERS:
        codec = Heatmap(stride=1, sigma=2.0, decoder=decoder)
        maps = np.asarray(codec.encode(points, CELLS))
        graph = tf.function(codec.decode, input_signature=[tf.TensorSpec((None, *CELLS, 4))])
        np.testing.assert_allclose(graph(maps), codec.decode(maps), atol=1e-4)


# The codec as a codec


def test_heatmaps_are_as_many_as_keypoints_and_cover_the_image():
    codec = Heatmap(stride=2, sigma=3.0)
    assert codec.outputs(68) == 68
    assert codec.output_shape(68, (97, 96, 1)) == (49, 48, 68)
    assert codec_from(codec.config()) == codec
    assert codec_from({"codec": "heatmap", "stride": 4, "sigma": 4.0}).decoder == "dark"


@pytest.mark.parametrize(
    "wrong",
    [
        {"stride": 0},
        {"stride": 1.5},
        {"sigma": 0},
        {"sigma": NAN},
        {"window": 0},
        {"window": -2.0},
        {"window": 4.9},
        {"window": 19.0, "sigma": 20.0},
        {"stride": 8, "sigma": 3.0},
    ],
)
def test_numbers_that_make_no_map_are_refused(wrong):
    with pytest.raises(KfkdError, match="a heatmap wants"):
        Heatmap(**wrong)


def test_unknown_decoders_are_refused():
    with pytest.raises(UnknownName, match="no decoder of heatmaps is called 'darc'; did you mean"):
        Heatmap(decoder="darc")


def test_batches_carry_keypoints_and_the_loss_makes_the_maps():
    faces = synthetic_faces(6, seed=3)
    codec = Heatmap(stride=4, sigma=6.0)
    for batches in (
        training_batches(faces, 6, codec=codec),
        evaluation_batches(faces, 6, codec=codec),
    ):
        _, targets = next(iter(batches))
        assert targets.shape == (6, 30)
    maps = codec.encode(faces.keypoints, (24, 24))
    target = codec.targets(faces.keypoints)
    np.testing.assert_array_equal(np.asarray(codec.truth(target)), faces.keypoints)
    assert float(codec.loss(masked_mse)(target, maps)) == 0
    assert float(codec.loss(masked_mse)(target, maps * 0)) > 0
    assert Coordinates().loss(masked_mse) is masked_mse


def test_pixel_rmse_compares_labels_with_decoded_maps():
    codec = Heatmap(stride=2, sigma=3.0)
    truth = np.float32([[[10, 12], [NAN, NAN]], [[20, 22], [30, 31]]])
    moved = truth + np.float32([3, 4])
    maps = np.nan_to_num(np.asarray(codec.encode(moved, (24, 24))))
    metric = PixelRMSE(codec)
    metric.update_state(codec.targets(truth), maps)
    assert float(metric.result()) == pytest.approx(np.sqrt((9 + 16) / 2), abs=0.01)


# Losses on maps


@pytest.mark.parametrize("name", MAP_LOSSES)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("unlabelled", [0, 1, 3])
def test_map_losses_leave_unlabelled_maps_out(name, exact, unlabelled):
    points = np.float32([[[5, 6], [11, 9], [3, 3]]])
    points[:, :unlabelled] = NAN
    target = np.asarray(gaussian_maps(points, (16, 16), 1.5))
    start = np.nan_to_num(target) if exact else np.nan_to_num(target) * 0.5 + 0.1
    output = tf.Variable(start)
    with tf.GradientTape() as tape:
        loss = LOSSES[name](target, output)
    gradient = tape.gradient(loss, output).numpy()
    assert np.isfinite(float(loss)) and np.isfinite(gradient).all()
    assert not gradient[..., :unlabelled].any()
    assert (float(loss) > 0) == (not exact and unlabelled < 3)


def by_the_paper(target, output, weight=10.0):
    """Adaptive wing as the paper's equations have it, one number at a time."""
    alpha, omega, epsilon, theta = 2.1, 14, 1, 0.5
    height, width = target.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            t, error = target[y, x], abs(target[y, x] - output[y, x])
            power, bend = alpha - t, theta / epsilon
            a = omega / (1 + bend**power) * power * bend ** (power - 1) / epsilon
            c = theta * a - omega * np.log(1 + bend**power)
            loss = omega * np.log(1 + (error / epsilon) ** power) if error < theta else None
            loss = a * error - c if loss is None else loss
            near = target[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max() >= 0.2
            total += loss * (1 + weight * near)
    return total / target.size


def test_adaptive_wing_is_the_papers():
    rng = np.random.Generator(np.random.PCG64(4))
    target = np.asarray(gaussian_maps(np.float32([[[4.2, 5.1]]]), (10, 12), 1.5))
    output = rng.uniform(-0.2, 1.2, target.shape).astype(np.float32)
    wanted = by_the_paper(target[0, ..., 0].astype(float), output[0, ..., 0])
    assert float(adaptive_wing(target, output)) == pytest.approx(wanted, rel=1e-4)


def test_weighted_mse_weighs_peaks():
    target, output = np.float32([[[[1.0], [0.0]]]]), np.float32([[[[0.5], [0.5]]]])
    assert float(weighted_mse(target, output, weight=3.0)) == pytest.approx((4 + 1) * 0.25 / 2)
    assert float(weighted_mse(target, output, weight=0.0)) == pytest.approx(0.25)


# Training


def tiny_maps(outputs, input_shape=(96, 96, 1)):
    """A few convolutions on a quarter of the image's size."""
    layers = keras.layers
    image = keras.Input(input_shape)
    x = layers.Rescaling(1 / 255)(image)
    for filters, kernel, strides in ((8, 4, 4), (8, 5, 1)):
        x = layers.Conv2D(filters, kernel, strides=strides, padding="same", activation="relu")(x)
    return keras.Model(image, layers.Conv2D(outputs, 1, dtype="float32")(x))


@pytest.fixture
def map_zoo(monkeypatch):
    from kfkd import registry

    monkeypatch.setattr(registry, "_ENTRIES", registry.entries())
    recipe = Recipe(loss="adaptive_wing", epochs=2, batch_size=16, validation=0.25)
    register(codec=Heatmap(stride=4, sigma=6.0), subsets=("dense",), recipe=recipe)(tiny_maps)


def test_a_heatmap_entry_trains_predicts_and_comes_back(map_zoo, tmp_path):
    faces = synthetic_faces(48, seed=5)
    run = kfkd.train("tiny_maps", faces, out=tmp_path / "run", quiet=True)
    rows = run.history()["dense"]
    assert rows[-1]["loss"] < rows[0]["loss"] and np.isfinite(rows[-1]["val_rmse"])
    predicted = kfkd.load_run(tmp_path / "run").predict(faces.images[:5])
    assert run.codec("dense") == Heatmap(stride=4, sigma=6.0)
    dense = list(faces.skeleton.subset("dense"))
    assert predicted.shape == (5, 15, 2) and np.isfinite(predicted[:, dense]).all()
    assert (predicted[:, dense] > -3).all() and (predicted[:, dense] < 99).all()
    # Few images at a time give the same.
    np.testing.assert_allclose(run.predict(faces.images[:5], batch_size=2), predicted, atol=1e-3)
    _check_decoders(run, faces)


def _check_decoders(run, faces):
    """Its maps are scored by other decoders as well, and the run stays as it was."""
    names = ("dark", "top_k", "soft_argmax")
    scores = [kfkd.evaluate(run, faces, decoder=name).model["dense"] for name in (None, *names)]
    assert scores[0] == scores[1]
    assert len({*scores}) == len(names)
    other = kfkd.load_run(run.folder)
    other.record["subsets"]["dense"]["codec"]["decoder"] = "top_k"
    assert kfkd.evaluate(other, faces).model["dense"] == scores[2]
    assert run.codec("dense").decoder == "dark"
    with pytest.raises(UnknownName, match="decoder of heatmaps"):
        kfkd.evaluate(run, faces, decoder="darker")


def test_map_losses_want_maps(map_zoo, tmp_path):
    with pytest.raises(KfkdError, match="adaptive_wing wants a model that answers with heatmaps"):
        kfkd.train("simple_cnn", loss="adaptive_wing", out=tmp_path / "run", quiet=True)


def test_a_training_may_change_the_codec(map_zoo, tmp_path):
    faces = synthetic_faces(32, seed=5)
    given = {"loss": "mse", "epochs": 1, "quiet": True}
    run = kfkd.train("tiny_maps", faces, codec={"sigma": 4.0}, out=tmp_path / "run", **given)
    assert run.codec("dense") == Heatmap(stride=4, sigma=4.0)
    assert run.record["settings"]["codec"] == {"sigma": 4.0}
    with pytest.raises(RunError, match="other settings"):
        kfkd.train("tiny_maps", faces, out=tmp_path / "run", **given)
    # The same maps as coordinates: their softmax's mean.
    integral = {"codec": "integral", "stride": 4, "margin": 0}
    run = kfkd.train("tiny_maps", faces, codec=integral, out=tmp_path / "mean", **given)
    dense = list(faces.skeleton.subset("dense"))
    assert run.codec("dense") == Integral(stride=4, margin=0)
    assert np.isfinite(run.predict(faces.images[:2])[:, dense]).all()


def test_a_net_of_coordinates_takes_a_head_of_maps(tmp_path):
    faces, codec = synthetic_faces(32, seed=5), {"codec": "heatmap", "stride": 4, "sigma": 6.0}
    given = {"loss": "adaptive_wing", "epochs": 1, "subsets": "dense", "quiet": True}
    run = kfkd.train("simple_cnn", faces, codec=codec, out=tmp_path / "run", **given)
    assert run.model("dense").output_shape == (None, 24, 24, 4)
    dense = list(faces.skeleton.subset("dense"))
    assert np.isfinite(run.predict(faces.images[:5])[:, dense]).all()


def test_a_head_of_maps_is_packed_along(tmp_path):
    faces, codec = synthetic_faces(32, seed=5), {"codec": "integral", "stride": 4}
    given = {"loss": "huber(2)", "epochs": 1, "subsets": "dense", "quiet": True}
    run = kfkd.train("simple_cnn", faces, codec=codec, out=tmp_path / "run", **given)
    copy = kfkd.load_run(kfkd.pack(run, tmp_path / "packed"))
    assert copy.model("dense").output_shape == (None, 26, 26, 4)


def test_maps_whose_softmax_is_taken_are_scores_without_bounds():
    few = {"outputs": 3, "input_shape": (32, 32, 3), "width": 0.25}
    bounded = kfkd.build("unet_heatmap_68", **few)
    assert bounded.layers[-1].activation is keras.activations.sigmoid
    free = kfkd.build("unet_heatmap_68", codec=Integral(stride=1, margin=0), **few)
    assert free.layers[-1].activation is keras.activations.linear
    assert (free.name, free.count_params()) == (bounded.name, bounded.count_params())
    assert [w.shape for w in free.weights] == [w.shape for w in bounded.weights]
    assert free.layers[-1].dtype_policy == bounded.layers[-1].dtype_policy
    own = kfkd.build("unet_heatmap_68", codec=Heatmap(sigma=5), **few)
    assert own.layers[-1].activation is keras.activations.sigmoid


@pytest.mark.parametrize(
    ("name", "codec", "shape"),
    [
        ("resnet18_gray", Heatmap(stride=4, sigma=6.0), (16, 16, 5)),
        ("nose_cnn3", Heatmap(stride=3, sigma=6.0), (22, 22, 5)),
        ("lenet5", Integral(stride=2), (34, 34, 5)),
    ],
)
def test_maps_have_the_size_that_the_codec_wants(name, codec, shape):
    model = kfkd.build(name, 5, (64, 64, 1), codec=codec)
    assert model.output_shape == (None, *shape)
    assert codec.decode(model(np.zeros((1, 64, 64, 1)))).shape == (1, 5, 2)


def test_a_net_without_maps_takes_no_head_of_maps(map_zoo):
    @register
    def flat(outputs, input_shape=(96, 96, 1)):
        image = keras.Input(input_shape)
        x = keras.layers.AveragePooling2D(96)(image)
        return keras.Model(image, keras.layers.Dense(outputs)(keras.layers.Reshape((1,))(x)))

    with pytest.raises(KfkdError, match="no maps under its dense layers"):
        kfkd.build("flat", 5, codec=Heatmap(stride=4, sigma=6.0))


def test_losses_on_maps_want_maps_they_can_bear(map_zoo, tmp_path):
    given = {"codec": {"height": 4.0}, "out": tmp_path / "run", "quiet": True}
    with pytest.raises(KfkdError, match="adaptive_wing wants heatmaps of height 1 at most"):
        kfkd.train("tiny_maps", **given)
    with pytest.raises(KfkdError, match="pyramid, whose codec is integral"):
        kfkd.train("pyramid", loss="weighted_mse", out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("codec", "words"),
    [
        ({"sigmas": 3}, "no setting of the codec heatmap is called 'sigmas'"),
        ({"codec": "coordinates"}, "answers with 24×24×1 numbers a keypoint"),
        ({"codec": "integral", "stride": 4}, "wants 26×26×1"),
        ({"sigma": -1}, "sigma from half of it"),
        ({"codec": "maps"}, "no codec is called 'maps'"),
    ],
)
def test_a_codec_that_does_not_fit_is_refused(map_zoo, tmp_path, codec, words):
    with pytest.raises(KfkdError, match=words):
        kfkd.train("tiny_maps", codec=codec, loss="mse", out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "codec", "words"),
    [
        ("unet_small_68", Coordinates(), r"answers with \d+×\d+×1 numbers a keypoint.* wants 2$"),
        ("pyramid", Heatmap(stride=4, sigma=6.0), r"answers with 26×26×1 .* wants 24×24×1"),
    ],
)
def test_build_refuses_it_too(name, codec, words):
    with pytest.raises(KfkdError, match=words):
        kfkd.build(name, codec=codec)


def test_build_counts_outputs_by_the_codec_asked_for():
    maps = Heatmap(stride=4, sigma=6.0)
    assert kfkd.build("simple_cnn", codec=maps).output_shape == (None, 24, 24, 4)
    settings = {"codec": "heatmap", "stride": 4, "sigma": 6.0}
    assert kfkd.build("simple_cnn", codec=settings).output_shape == (None, 24, 24, 4)
    with pytest.raises(KfkdError, match=r"codec wants one of kfkd.codecs.* Received: 'heatmap'"):
        kfkd.build("simple_cnn", codec="heatmap")


def test_lower_gaussians_give_the_same_points():
    low, point = Heatmap(stride=2, sigma=3.0, height=0.0177), np.array([[[20.25, 31.5]]])
    maps = low.encode(point, (32, 32))
    assert 0.016 < float(np.max(maps)) <= 0.0177
    np.testing.assert_allclose(low.decode(maps), point, atol=0.05)


def test_large_images_are_measured_a_few_at_a_time():
    assert [evaluation_size((side, side, 1)) for side in (48, 96, 192, 10_000)] == [256, 256, 64, 1]
