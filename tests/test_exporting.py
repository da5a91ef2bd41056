import json
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pytest

import kfkd
from kfkd import float32
from kfkd.cli import main
from kfkd.codecs import Coordinates, Heatmap, Integral
from kfkd.data import built_in_images
from kfkd.errors import KfkdError, RunError, UnknownName, WriteError
from kfkd.exporting import furthest
from kfkd.exports.graph import run_in_float32
from kfkd.exports.views import zoom_weights
from kfkd.float32 import is_mixed
from kfkd.gaussians import DECODERS
from kfkd.pipelines.exported_models import (
    litert_predictor,
    onnx_predictor,
    saved_model_predictor,
)
from kfkd.skeletons import KAGGLE_15
from kfkd.views import Views, zoomed

pytestmark = pytest.mark.usefixtures("tiny_zoo")

SMALL = {"widths": [4, 6, 8, 8], "depths": [0, 1, 1, 1], "decoder": [6, 8]}
UNITS = Coordinates(48.0, 48.0)
PREDICTORS = {
    "onnx": onnx_predictor,
    "litert": litert_predictor,
    "saved_model": saved_model_predictor,
}
NEAR = 1e-3


def maps(outputs):
    layers = keras.layers
    image = keras.Input((96, 96, 1))
    x = layers.Normalization(mean=[130.0], variance=[3000.0])(image)
    x = layers.Conv2D(8, 5, strides=4, padding="same", bias_initializer="random_normal")(x)
    # The zeros around win over what is negative.
    x = layers.MaxPooling2D(3, strides=1)(layers.ZeroPadding2D(1)(x))
    return keras.Model(image, layers.Conv2D(outputs, 3, padding="same")(x))


@pytest.fixture(scope="module")
def make(tiny_zoo, tmp_path_factory):
    """Makes runs whose models have their first weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        from untrained import untrained_run

        def made(models, codec, **settings):
            keras.utils.set_random_seed(3)
            built = {subset: build() for subset, build in models.items()}
            return untrained_run(tmp_path_factory.mktemp("runs") / "net", built, codec, **settings)

        yield made


@pytest.fixture(scope="module")
def tiny_run(make):
    build = {"dense": lambda: kfkd.build("tiny", 8), "sparse": lambda: kfkd.build("tiny", 22)}
    return make(build, UNITS)


@pytest.fixture(scope="module")
def pyramid(make):
    def build():
        return kfkd.build("pyramid", 19, (96, 96, 1), **SMALL)

    codec, views = Integral(stride=4, margin=1), Views(flip=True)
    return make({"all": build}, codec, name="pyramid", by_source=True, views=views)


@pytest.fixture(scope="module")
def heatmap(make):
    return make({"dense": lambda: maps(4)}, Heatmap(stride=4, sigma=6.0))


@pytest.fixture(scope="module")
def images():
    return built_in_images(5, (96, 96, 1))


def whole(run, source="full"):
    """What a run is as one Keras model, nothing converted."""
    from kfkd.exports.graph import exported_model

    model = exported_model(run, source)
    return lambda images: np.asarray(model(images)["keypoints"])


def near(found, wanted):
    assert found.dtype == np.float32
    assert furthest(found, wanted) <= NEAR


# One model of all


@pytest.mark.parametrize("source", ["full", "four_point"])
def test_one_model_answers_as_the_run_with_views_and_sources(pyramid, images, source):
    near(whole(pyramid, source)(images), pyramid.predict(images, source=source))


def test_the_sources_differ(pyramid, images):
    full, four = (whole(pyramid, source)(images) for source in ("full", "four_point"))
    differ = np.abs(full - four).max(axis=(0, 2)) > 1e-6
    assert np.flatnonzero(differ).tolist() == list(KAGGLE_15.subset("dense"))


def test_the_keypoints_of_all_subsets_stand_in_the_skeletons_order(tiny_run, images):
    found = whole(tiny_run)(images)
    near(found, tiny_run.predict(images))
    assert np.isfinite(found).all()


def test_keypoints_without_a_model_are_nan(heatmap, images):
    found = whole(heatmap)(images)
    near(found, heatmap.predict(images))
    known = np.isfinite(found).all(axis=(0, 2))
    assert np.flatnonzero(known).tolist() == list(KAGGLE_15.subset("dense"))


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_answers_alike_inside(make, images, decoder):
    run = make({"all": lambda: maps(15)}, Heatmap(stride=4, sigma=6.0, decoder=decoder))
    near(whole(run)(images), run.predict(images))


def test_zoomed_views_are_opencvs_to_the_last_bit():
    drawn = np.random.default_rng(0).integers(0, 256, (3, 61, 80, 2), dtype=np.uint8)
    for scale in (0.5, 0.87, 1.0899870556771378, 1.15, 3.99):
        down, across = zoom_weights((61, 80), scale)
        np.testing.assert_array_equal(down.sum(axis=1), 1)
        seen = np.einsum("hy,nyxc->nhxc", down, drawn, optimize=True)
        seen = np.einsum("wx,nhxc->nhwc", across, seen, optimize=True)
        np.testing.assert_array_equal(np.floor(seen + 0.5), zoomed(drawn, scale))


def test_zoomed_and_mirrored_views_are_averaged(make, images):
    views = Views(flip=True, scales=(0.87, 1.0, 1.15))
    run = make({"all": lambda: maps(15)}, Integral(stride=4, margin=0), views=views)
    near(whole(run)(images), run.predict(images))


# Formats


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_run, pyramid, heatmap):
    """Exports a run once for all tests: (its name, format) → the path."""
    runs = {"tiny": tiny_run, "pyramid": pyramid, "heatmap": heatmap}
    folder, made = tmp_path_factory.mktemp("exported"), {}
    ends = {"onnx": ".onnx", "litert": ".tflite", "saved_model": "_saved_model"}

    def path(name, to):
        if to == "onnx":
            pytest.importorskip("tf2onnx")
            pytest.importorskip("onnxruntime")
        if (name, to) not in made:
            source = "four_point" if name == "pyramid" else None
            out = folder / f"{name}{ends[to]}"
            made[name, to] = kfkd.export(runs[name], to, out, source=source, quiet=True)
        return made[name, to]

    return path


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("tiny", "saved_model"),
        ("tiny", "litert"),
        ("tiny", "onnx"),
        ("pyramid", "onnx"),
        ("heatmap", "onnx"),
        ("heatmap", "litert"),
        pytest.param("pyramid", "litert", marks=pytest.mark.slow),
        pytest.param("pyramid", "saved_model", marks=pytest.mark.slow),
        pytest.param("heatmap", "saved_model", marks=pytest.mark.slow),
    ],
)
def test_every_runtime_answers_as_the_run(exported, request, images, name, to):
    run = request.getfixturevalue("tiny_run" if name == "tiny" else name)
    source = "four_point" if name == "pyramid" else "full"
    predict = PREDICTORS[to](exported(name, to))
    near(predict(images), run.predict(images, source=source))
    near(predict(images[:2]), run.predict(images[:2], source=source))


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_activations_of_the_searches_are_known_to_onnx(make, images, tmp_path, activation):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    run = make({"dense": lambda: kfkd.build("simple_cnn", 8, activation=activation)}, UNITS)
    path = kfkd.export(run, "onnx", tmp_path / "net.onnx", quiet=True)
    near(PREDICTORS["onnx"](path)(images), run.predict(images))


@pytest.fixture(scope="module")
def long_sums(make):
    """A `baseline`: each coordinate is a sum of 88,360 products."""
    return make({"all": lambda: kfkd.build("baseline", 30)}, UNITS)


def in_float64(run, images):
    """Keypoints of a `baseline` without float32's rounding."""
    *_, convolution, _, dense = run.model("all").layers
    kernel, bias, weights, offset = (
        np.asarray(w, np.float64) for w in (*convolution.weights, *dense.weights)
    )
    patches = np.lib.stride_tricks.sliding_window_view(images / 255, kernel.shape[:2], (1, 2))
    maps = np.maximum(np.einsum("nyxcij,ijcf->nyxf", patches, kernel) + bias, 0)
    points = maps.reshape(len(images), -1) @ weights + offset
    return (48 * points + 48).reshape(len(images), -1, 2)


def test_rounding_of_long_sums_stays_small_in_litert(long_sums, images, tmp_path):
    path = kfkd.export(long_sums, "litert", tmp_path / "net.tflite", quiet=True)
    found, exact = litert_predictor(path)(images), in_float64(long_sums, images)
    assert furthest(found, exact) < NEAR / 5 and furthest(long_sums.predict(images), exact) < NEAR


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "litert"])
def test_the_run_that_comes_along_answers_alike_on_real_faces(kaggle_folder, tmp_path, to):
    if to == "onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    out = tmp_path / ("pyramid.onnx" if to == "onnx" else "pyramid.tflite")
    kfkd.export("pyramid", to, out, data=kaggle_folder, quiet=True)
    check = json.loads(Path(f"{out}.json").read_text())["check"]
    assert check["images"].endswith(" images") and int(check["images"].split()[0]) > 100
    assert check["largest_difference_px"] <= NEAR and check["points_further_off"] == 0


def test_litert_takes_several_images_after_resizing(exported, tiny_run, images):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    model = interpreter(model_path=str(exported("tiny", "litert")))
    into, out = model.get_input_details()[0], model.get_output_details()[0]
    model.resize_tensor_input(into["index"], images.shape)
    model.allocate_tensors()
    model.set_tensor(into["index"], images)
    model.invoke()
    near(model.get_tensor(out["index"]), tiny_run.predict(images))


def test_an_onnx_file_says_what_it_is(exported):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported("pyramid", "onnx"))
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert tuple(told["keypoints"].split(",")) == KAGGLE_15.points
    assert json.loads(told["kfkd"])["source"] == "four_point"
    (image,), (points,) = model.graph.input, model.graph.output
    assert (image.name, points.name) == ("images", "keypoints")
    sides = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert sides == ["n", 96, 96, 1]
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_the_facts_lie_beside(exported, tiny_run):
    path = exported("tiny", "saved_model")
    text = path.with_name(f"{path.name}.json").read_text()
    facts = json.loads(text)
    assert facts["keypoints"] == list(KAGGLE_15.points)
    assert facts["input"]["shape"] == ["n", 96, 96, 1]
    assert facts["subsets"]["dense"]["codec"] == UNITS.config()
    assert facts["scores"]["model"] == tiny_run.metrics["model"]
    assert facts["source"] is None and facts["not_predicted"] == []
    assert facts["check"]["largest_difference_px"] <= NEAR
    assert "/home/me" not in text and str(tiny_run.folder) not in text


def test_each_weight_is_kept_once(exported, tiny_run):
    path = exported("tiny", "saved_model")
    weights = sum(tiny_run.model(s).count_params() for s in tiny_run.subsets)
    assert (path / "variables/variables.data-00000-of-00001").stat().st_size < 6 * weights


def test_what_an_export_leaves_is_the_model_and_its_facts(exported):
    path = exported("tiny", "litert")
    assert {f.name.partition(".")[0] for f in path.parent.iterdir()} <= {
        *("tiny", "pyramid", "heatmap"),
        *("tiny_saved_model", "pyramid_saved_model", "heatmap_saved_model"),
    }


# Mixed precision, views


@pytest.fixture
def mixed_run(make):
    from kfkd.learning.surroundings import precision

    def build():
        with precision("mixed_bfloat16"):
            return kfkd.build("tiny", 30)

    return make({"all": build}, UNITS, precision="mixed_bfloat16")


def test_a_run_in_mixed_precision_is_exported_in_float32(
    mixed_run, images, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(float32, "slow_here", lambda precision: None)
    path = kfkd.export(mixed_run, "saved_model", tmp_path / "mixed")
    assert is_mixed(mixed_run.model("all")), "the run itself stays as it is"
    apart = json.loads((tmp_path / "mixed.json").read_text())["check"]["from_mixed_precision_px"]
    found = saved_model_predictor(path)(images)
    assert 0 < furthest(found, mixed_run.predict(images)) <= 2 * apart < 1
    assert "in mixed precision, as trained" in capsys.readouterr().err


def test_where_mixed_precision_is_emulated_a_run_answers_in_float32(
    mixed_run, images, tmp_path, capsys, monkeypatch
):
    asked = []
    monkeypatch.setattr(float32, "slow_here", lambda precision: asked.append(precision) or "slow")
    found = mixed_run.predict(images)
    assert {*asked} == {"mixed_bfloat16"}
    np.testing.assert_array_equal(found, run_in_float32(mixed_run).predict(images))
    model = mixed_run.model("all")
    assert is_mixed(model) and not float32.answers_mixed(mixed_run)
    before = model.get_weights()
    model.set_weights([np.zeros_like(weight) for weight in before])
    assert (mixed_run.predict(images) == 48).all(), "it answers with the weights of its model"
    model.set_weights(before)
    kfkd.export(mixed_run, "saved_model", tmp_path / "mixed")
    assert "from_mixed" not in (tmp_path / "mixed.json").read_text()
    assert "mixed precision" not in capsys.readouterr().err


def test_views_can_be_left_out(pyramid, images):
    plain = run_in_float32(pyramid, views=False)
    near(whole(plain)(images), plain.predict(images))
    assert furthest(plain.predict(images), pyramid.predict(images)) > NEAR
    assert len(pyramid.views("all")) == 2 and len(plain.views("all")) == 1


# What goes wrong


@pytest.fixture
def no_converter(monkeypatch):
    """Formats whose converter writes nothing and whose runtime answers with zeros."""
    from dataclasses import replace

    from kfkd.exports.formats import FORMATS

    def write(model, signature, path):
        (path / "model.pb" if path.is_dir() else path).write_bytes(b"model")

    def zeros(path, threads):
        return lambda images: np.zeros((len(images), 15, 2), np.float32)

    for name, one in list(FORMATS.items()):
        monkeypatch.setitem(FORMATS, name, replace(one, write=write, predictor=zeros))
    return FORMATS


@pytest.mark.parametrize("to", ["litert", "saved_model"])
def test_a_model_that_answers_otherwise_is_not_kept(no_converter, tiny_run, tmp_path, to):
    out = tmp_path / ("a.tflite" if to == "litert" else "a")
    with pytest.raises(RunError, match=r"answers up to \S+ px from Keras"):
        kfkd.export(tiny_run, to, out, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_converted_or_run_is_not_kept(
    no_converter, tiny_run, tmp_path, monkeypatch
):
    from dataclasses import replace

    def fail(*arguments):
        raise ValueError("ops: FlexBitwiseAnd (and) FlexErf\nmore")

    def full(model, signature, path):
        path.write_bytes(b"half")
        raise RuntimeError("/tmp/variables; No space left on device [Op:SaveV2]")

    plain = no_converter["litert"]
    for wrong, said in (
        ({"write": full}, r"cannot write .*/a\.tflite: No space left on device$"),
        ({"write": fail}, "tiny cannot be converted to litert: ops: FlexB"),
        ({"predictor": fail}, "tiny does not run in LiteRT: it lacks BitwiseAnd, Erf"),
    ):
        monkeypatch.setitem(no_converter, "litert", replace(plain, **wrong))
        with pytest.raises(KfkdError, match=said):
            kfkd.export(tiny_run, "litert", tmp_path / "a.tflite", quiet=True)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def no_file_beyond(limit):
    """No file may grow beyond so many bytes, which to a process is as good as a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("to", ["onnx", "litert", "saved_model"])
def test_on_a_full_disk_the_old_export_stays(exported, tiny_run, tmp_path, to):
    path, old = exported("tiny", to), tmp_path / exported("tiny", to).name
    sizes = [2000]
    if path.is_file():
        old.write_text("old")
        # ONNX's tools write the model twice, the second time with its facts.
        sizes.append(path.stat().st_size - 100)
    for size in sizes:
        told = pytest.raises(WriteError, match=rf"cannot write {old}: File too large$")
        with told, no_file_beyond(size):
            kfkd.export(tiny_run, to, old, quiet=True)
        assert [file.read_text() for file in tmp_path.iterdir()] == ["old"] * path.is_file()


def test_a_full_folder_is_left_alone(tiny_run, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(KfkdError, match="holds something already"):
        kfkd.export(tiny_run, "saved_model", tmp_path, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_wrong_wishes_are_told(tiny_run, pyramid, tmp_path, monkeypatch):
    def refuse(run, said, kind=KfkdError, **wishes):
        with pytest.raises(kind, match=said):
            kfkd.export(run, **{"to": "litert", "out": tmp_path / "a.tflite", **wishes})

    refuse(tiny_run, "no format of exported models is called 'tflight'", UnknownName, to="tflight")
    refuse(tiny_run, r"wants a file \.tflite", out=tmp_path / "a.onnx")
    refuse(tiny_run, "knows no label sources", source="full")
    refuse(pyramid, "did you mean four_point", UnknownName, source="fourpoint")
    refuse(tmp_path, "is not a run", RunError)
    monkeypatch.setattr("kfkd.exports.formats.find_spec", lambda name: None)
    refuse(tiny_run, "pip install tf2onnx onnx onnxruntime", to="onnx", out=tmp_path / "a.onnx")
    monkeypatch.setattr("keras.config.backend", lambda: "jax")
    refuse(tiny_run, r"wants KERAS_BACKEND=tensorflow\. Received: jax")
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_run_is_refused(make, tmp_path):
    run = make({"all": lambda: kfkd.build("tiny", 30)}, UNITS, status="running")
    with pytest.raises(RunError, match="is not finished"):
        kfkd.export(run, "saved_model", tmp_path / "a")


# The command line


@pytest.fixture
def zeros_allowed(no_converter, monkeypatch):
    monkeypatch.setattr("kfkd.exporting.NEAR", 1e9)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")


def test_the_command_names_the_file_after_the_run(
    zeros_allowed, tiny_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(tiny_run.folder), "--to", "litert", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("net.tflite\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.tflite", "net.tflite.json"]
    assert main(["export", str(tiny_run.folder), "--to", "litert", "--source", "full"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_benchmark_compares_with_keras(zeros_allowed, pyramid, monkeypatch, capsys):
    monkeypatch.setattr("kfkd.bench.export.one_thread", lambda: True)
    command = ["bench", "export", str(pyramid.folder), "--formats", "litert", "--rounds", "1"]
    assert main([*command, "--faces", "3", "--quiet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["rows"]) == ["keras", "litert"]
    assert found["rows"]["keras"]["times_faster"] == 1
    assert (found["views"], found["threads"], found["lacking"]) == (2, 1, {})
    assert found["faces"] == 3
    assert found["refused"] == {}
    assert main([*command, "--faces", "0"]) == 2
    assert "faces, rounds and calls want to be 1 at least" in capsys.readouterr().err
    monkeypatch.setattr("kfkd.bench.export.one_thread", lambda: False)
    assert main(command) == 2
    assert "fresh Python process" in capsys.readouterr().err


def test_the_benchmark_goes_on_without_a_format_that_fails(
    no_converter, tiny_run, monkeypatch, capsys
):
    from dataclasses import replace

    right = replace(no_converter["saved_model"], predictor=lambda path, threads: tiny_run.predict)
    monkeypatch.setitem(no_converter, "saved_model", right)
    monkeypatch.setattr("kfkd.bench.export.one_thread", lambda: True)
    command = ["bench", "export", str(tiny_run.folder), "--rounds", "1", "--quiet"]
    assert main([*command, "--formats", "litert", "saved_model"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told[-3:]] == ["keras", "saved_model", "litert"]
    assert told[-1].startswith("litert is left out: tiny in LiteRT answers up to ")
    assert main([*command, "--formats", "litert", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["rows"]) == ["keras"] and list(found["refused"]) == ["litert"]
