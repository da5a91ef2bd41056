"""Looking into runs: filters, feature maps, and the images they are made from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import kfkd
from kfkd.cli import main
from kfkd.drawing.feature_pictures import MOST_MAPS, maps_figure
from kfkd.drawing.figures import DPI
from kfkd.drawing.filter_pictures import kernel_figure
from kfkd.drawing.tiles import fitted
from kfkd.errors import DataError, KfkdError, RunError, UnknownName
from kfkd.model_layers import layer_outputs, layer_shapes, named_layers, stage_outputs
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.seeing import draw_features, draw_filters, layers_of
from kfkd.seen_images import seen_image

pytestmark = pytest.mark.usefixtures("tiny_zoo")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(60, seed=2)


@pytest.fixture(scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.drawing.run_pictures.draw_run", lambda *arguments: None)
        yield


@pytest.fixture(scope="module")
def run(tiny_zoo, quick, faces, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "kaggle"
    return kfkd.train("tiny", faces, epochs=1, out=out, quiet=True)


@pytest.fixture(scope="module")
def nested(tiny_zoo, quick, layouts, tmp_path_factory):
    """A run with a backbone inside, on RGB photos of 60 × 80."""
    folder = layouts.write_imm(tmp_path_factory.mktemp("imm"), persons=4)
    out = tmp_path_factory.mktemp("runs") / "imm"
    data = f"imm:{folder}?size=60x80&channels=3"
    settings = {"subsets": "all", "epochs": 2, "validation": 0.5, "quiet": True}
    return kfkd.train("tiny_phases", data, out=out, **settings)


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def overlapping(figure):
    """Pairs of words that lie on each other, and words that leave the picture."""
    figure.canvas.draw()
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text()]
    width = figure.get_size_inches()[0] * DPI
    outside = [a for a, box in boxes if box.x0 < 0 or box.x1 > width or box.y0 < 0]
    return outside + [
        (a, b)
        for i, (a, one) in enumerate(boxes)
        for b, two in boxes[i + 1 :]
        if one.x0 < two.x1 and two.x0 < one.x1 and one.y0 < two.y1 and two.y0 < one.y1
    ]


# Filters


def test_kernels_are_drawn_in_one_symmetric_grey():
    kernel = np.zeros((1, 1, 1, 3), np.float32)
    kernel[..., :] = -0.5, 0, 0.25
    figure = kernel_figure(kernel, "three")
    levels = {tuple(v) for v in pixels(figure).reshape(-1, 3)}
    assert {(0, 0, 0), (128, 128, 128), (191, 191, 191)} <= levels
    told = words(figure)
    assert "3 filters of 1×1, 1 input channel; black −0.5, grey 0, white 0.5" in told
    assert {"1", "2", "3"} <= set(told)
    assert not overlapping(figure)


def test_kernels_of_colour_have_their_channels_and_the_colour():
    kernel = np.zeros((1, 1, 3, 1), np.float32)
    kernel[0, 0, :, 0] = 1, 0, -1
    figure = kernel_figure(kernel, "one")
    assert words(figure)[-4:] == ["1  red", "green", "blue", "in colour"]
    assert (255, 128, 0) in {tuple(v) for v in pixels(figure).reshape(-1, 3)}
    assert not overlapping(figure)


def test_many_filters_and_channels_are_bounded_and_said():
    figure = kernel_figure(np.random.default_rng(0).normal(size=(3, 3, 9, 200)), "many")
    assert any(
        "the first 128 filters, the first 8 channels shown" in text for text in words(figure)
    )
    assert len(words(figure)) == 2 + 128 * 8
    flat = kernel_figure(np.zeros((3, 3, 1, 4), np.float32), "all zero")
    assert (128, 128, 128) in {tuple(v) for v in pixels(flat).reshape(-1, 3)}


def test_filters_of_a_run_and_of_one_with_a_backbone(run, nested, tmp_path):
    kernel = run.model("dense").layers[2].kernel
    assert kernel.shape == (5, 5, 1, 4)
    told = words(kfkd.filters_figure(run))
    assert told[0].startswith("tiny, dense: filters of conv2d")
    assert told[1].startswith("4 filters of 5×5, 1 input channel;")
    assert words(kfkd.filters_figure(run, "sparse"))[0].startswith("tiny, sparse")
    inside = words(kfkd.filters_figure(str(nested.folder)))
    assert inside[0].startswith("tiny_phases, all: filters of backbone/conv2d")
    assert inside[1].startswith("4 filters of 8×8, 3 input channels;")
    made = draw_filters(run, tmp_path / "deep")
    assert [path.name for path in made] == ["filters-dense.png", "filters-sparse.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


def test_a_model_without_a_convolution_is_an_error(run):
    from keras import Input, Sequential, layers

    flat = Sequential([Input((96, 96, 1)), layers.Flatten(), layers.Dense(8)], name="flat")
    assert stage_outputs(flat, layer_shapes(flat)) == []
    other = replace(run, _models={"dense": flat, "sparse": flat})
    with pytest.raises(RunError, match="the model of sparse has no Conv2D layer to draw"):
        kfkd.filters_figure(other, "sparse")
    with pytest.raises(RunError, match="the model of dense has no layer that gives maps"):
        kfkd.features_figure(other, np.zeros((96, 96), np.uint8))


# Layers


def stages_of(model):
    return stage_outputs(model, layer_shapes(model))


def test_layers_have_the_same_names_in_every_model_of_a_run(run):
    rows = layers_of(run)
    assert [row["name"] for row in rows[1:4]] == ["conv2d", "batch_normalization", "conv2d_1"]
    assert [row["name"] for row in layers_of(run, "sparse")] == [row["name"] for row in rows]
    assert rows[1] == {"name": "conv2d", "kind": "Conv2D", "shape": [23, 23, 4], "drawn": False}
    assert [row["name"] for row in rows if row["drawn"]] == [
        "batch_normalization",
        "batch_normalization_1",
    ]


def test_layers_are_found_through_nested_models(nested):
    model = nested.model("all")
    shapes = layer_shapes(model)
    assert [(name.partition("/")[0], shape) for name, shape in shapes.items()] == [
        (next(iter(shapes)), (60, 80, 3)),
        ("backbone", (7, 10, 4)),
        ("backbone", (3, 4, 4)),
        ("backbone", (48,)),
        ("dropout", (48,)),
        ("dense", (116,)),
    ]
    assert set(shapes) <= set(named_layers(model))
    assert stages_of(model) == list(shapes)[1:3]


def test_what_layers_give_is_what_the_model_computes(nested):
    from keras import ops

    model = nested.model("all")
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    names = list(layer_shapes(model))
    found = layer_outputs(model, image, [names[-1], names[1]])
    assert list(found) == [names[-1], names[1]]
    whole = ops.convert_to_numpy(model(image[None], training=False))[0]
    np.testing.assert_allclose(found[names[-1]], whole, rtol=1e-5)
    first = named_layers(model)[names[1]]
    assert "call" not in vars(first)
    alone = ops.convert_to_numpy(first(ops.convert_to_tensor(image[None] / np.float32(255))))
    np.testing.assert_allclose(found[names[1]], alone[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(UnknownName, match="no layer is called 'conv2d_99'; did you mean"):
        layer_outputs(model, image, ["conv2d_99"])


def test_stages_end_where_maps_change_their_size():
    from kfkd.building import build

    stages = stages_of(build("study_model_2"))
    assert len(stages) == 6 and all("batch_normalization" in name for name in stages)


def test_a_layer_that_is_used_twice_is_seen_once():
    from keras import Input, Model, layers

    image, shared = Input((8, 8, 1)), layers.Conv2D(2, 3, padding="same", name="shared")
    inner_in = Input((8, 8, 1))
    inner = Model(inner_in, shared(inner_in), name="inner")
    model = Model(image, layers.Add()([shared(image), inner(image)]))
    assert [name for name in layer_shapes(model) if "shared" in name] == ["shared"]
    assert "call" not in vars(shared)


# Feature maps


def test_maps_are_bounded_titled_and_clear():
    rng = np.random.default_rng(0)
    many = rng.normal(size=(6, 6, 200)).astype(np.float32)
    many[..., 10:20] = 3
    maps = {"conv": many, "late": rng.normal(size=(150, 120, 3)).astype(np.float32)}
    face = synthetic_faces(1)
    figure = maps_figure(maps, face.images[0], "what it sees", face.keypoints[0], None)
    told = words(figure)
    shown = "conv: 200 maps of 6×6, the 64 with the most contrast shown"
    assert f"{shown}; 10 of the 200 the same everywhere" in told
    assert "late: 3 maps of 150×120" in told
    assert len(told) == 1 + 2 + MOST_MAPS + 3
    assert not {str(n) for n in range(11, 21)} & set(told)
    assert not overlapping(figure)
    with pytest.raises(KfkdError, match=r"dense gives \(30,\), wanted maps"):
        maps_figure({"dense": np.zeros(30)}, face.images[0], "flat")


def test_tiles_keep_whole_pixels_or_are_averaged():
    tile = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    assert fitted(tile, 7).shape == (1, 6, 6, 1)
    assert fitted(tile, 7)[0, :3, 3:].max() == fitted(tile, 7)[0, :3, 3:].min() == 1
    assert fitted(np.zeros((2, 300, 200, 3), np.uint8), 96).shape == (2, 96, 64, 3)


def test_features_of_a_row_and_of_chosen_layers(run, faces, tmp_path):
    told = words(kfkd.features_figure(run, 7, data=faces))
    assert told[0] == "tiny, dense: what its layers make of row 7"
    assert sum(" maps of " in t for t in told) == 2
    chosen = words(kfkd.features_figure(run, 7, ["conv2d_1"], subset="sparse", data=faces))
    assert chosen[0].startswith("tiny, sparse") and sum(" maps of " in t for t in chosen) == 1
    made = draw_features(run, 7, tmp_path, data=faces)
    assert [path.name for path in made] == ["features-dense.png", "features-sparse.png"]
    with pytest.raises(DataError, match="the data has no row 61, its 60 rows are 1 to 60"):
        kfkd.features_figure(run, 61, data=faces)


def test_an_image_of_the_runs_size_is_taken_as_it_is(run, nested, faces, tmp_path):
    Image.fromarray(faces.images[4, ..., 0]).save(tmp_path / "face.png")
    seen = seen_image(run, tmp_path / "face.png", "dense")
    np.testing.assert_array_equal(seen.image, faces.images[4])
    assert (seen.name, seen.truth) == ("face.png", None)
    array = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    np.testing.assert_array_equal(seen_image(nested, array, "all").image, array)


def test_of_other_images_the_biggest_face_is_cropped_as_detect_does(run, tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    boxes = [(20, 20, 30, 30), (90, 40, 100, 110)]
    seen = seen_image(run, photo, "dense", detects=lambda images: [boxes], quiet=True)
    from kfkd.crop_maps import crop_matrix
    from kfkd.crops import Face
    from kfkd.pipelines.cropping import crop_faces

    matrix = crop_matrix(Face(boxes[1]), run.crop_rule, "own")
    np.testing.assert_array_equal(seen.image, crop_faces(photo, [matrix], (96, 96), 1)[0])
    with pytest.raises(DataError, match=r"no face was found; give a crop of 96 × 96 pixels"):
        seen_image(run, photo, "dense", detects=lambda images: [[]], quiet=True)


# The command line


def asked(capsys, *arguments, code=0):
    assert main([str(a) for a in arguments]) == code
    return capsys.readouterr()


def test_filters_and_features_from_the_command_line(run, faces, nested, tmp_path, capsys):
    out = asked(capsys, "filters", run.folder, "--out", tmp_path, "--json").out
    assert json.loads(out) == [str(tmp_path / f"filters-{s}.png") for s in ("dense", "sparse")]
    Image.fromarray(faces.images[4, ..., 0]).save(tmp_path / "face.png")
    made = asked(capsys, "features", run.folder, tmp_path / "face.png", "--out", tmp_path).out
    assert made.split() == [str(tmp_path / f"features-{s}.png") for s in ("dense", "sparse")]
    listed = asked(capsys, "features", nested.folder, "--list").out
    assert "backbone/conv2d" in listed and "7×10×4" in listed
    asked(capsys, "features", nested.folder, 3, "--out", tmp_path, "--quiet")
    assert (tmp_path / "features-all.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "wants an IMAGE before its options, or --list"),
        (("nowhere.jpg",), "nowhere.jpg: cannot be read"),
        (("nowhere.jpg", "--data", "synthetic"), "--data is for the number of a row"),
        (("1", "--data", "synthetic", "--layers", "conv"), "no layer is called 'conv'"),
        (("1", "--data", "synthetic", "--layers", "dense"), "dense gives (8,), wanted maps"),
    ],
)
def test_errors_are_one_line(run, tmp_path, capsys, arguments, message):
    shown = asked(capsys, "features", run.folder, *arguments, "--out", tmp_path / "no", code=2)
    assert message in shown.err and len(shown.err.splitlines()) == 1 and shown.out == ""
    assert not (tmp_path / "no").exists()
