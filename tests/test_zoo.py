import json
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

import kfkd
from kfkd import registry
from kfkd.building import subset_outputs
from kfkd.catalogue import models_table
from kfkd.errors import KfkdError, UnknownName
from kfkd.learning.fitting import _freeze
from kfkd.learning.surroundings import precision
from kfkd.learning.trainer import _save_model
from kfkd.losses import loss_called
from kfkd.models.blocks import conv_norm, with_places
from kfkd.models.costs import gflops
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.registry import entries, entry
from kfkd.runs import load_model
from kfkd.zoo_tables import packaged

pytestmark = pytest.mark.usefixtures("keras_ready")

STUDY_PARAMS = {
    "baseline": {30: 2_650_930},
    "lenet5": {30: 21_965_926, 8: 21_964_056, 22: 21_965_246},
    "alexnet": {30: 8_299_998, 8: 8_255_976, 22: 8_283_990},
    "vgg16": {30: 54_500_342},
    "vgg16_small": {30: 4_977_230},
    "vgg_condensed": {8: 24_822_464, 22: 24_879_822},
    "vgg16_transfer": {30: 15_902_302},
    "simple_cnn": {8: 1_731_338, 22: 1_732_752},
    "study_model_1": {8: 2_625_160, 22: 2_632_342},
    "study_model_2": {8: 4_986_344, 22: 4_993_526},
    "study_model_3": {8: 7_081_512, 22: 7_088_694},
    "study_model_4": {8: 7_081_512, 22: 7_088_694},
    "study_model_5": {8: 7_081_512, 22: 7_088_694},
    "study_model_6": {8: 4_986_344, 22: 4_993_526},
    "mobilenet_v2_050": {30: 744_654, 8: 716_472, 22: 734_406},
    "mobilenet_v2_075": {8: 1_392_312, 22: 1_410_246},
    "inception_v2": {30: 10_203_862, 8: 10_181_312, 22: 10_195_662},
    "resnet_v2_50": {30: 23_626_270},
}
"""The study's own counts, from its reports: an entry must not drift away from them."""

REPORTS_TRAINABLE = {
    "nose_cnn4": {2: 257_522},
    "imm58_cnn6": {116: 5_010_580},
    "resnet50_68": {136: 23_786_696},
    "youtube_cnn5": {136: 9_225_352},
    "nose_cnn3": {2: 105_998},
    "imm58_cnn5": {116: 123_149},
    "resnet18_k5": {136: 11_238_472},
    "nose_funnel": {2: 351_220},
    "nose_fan": {2: 381_460},
    "imm58_funnel5": {116: 366_945},
    "resnet18_gray": {136: 11_240_008},
    "unet_heatmap_68": {68: 7_765_252},
    "unet_small_68": {68: 1_946_388},
}
"""The course and YouTube reports' counts of what learns; nose_cnn3, imm58_cnn5, nose_funnel,
nose_fan, imm58_funnel5 and unet_small_68 follow from our choices where a report leaves them open.
"""

NOT_TRAINABLE = {
    "vgg_condensed": 5_168,
    "simple_cnn": 28,
    "study_model_1": 1_984,
    "study_model_2": 3_968,
    "study_model_3": 3_968,
    "study_model_4": 3_968,
    "study_model_5": 3_968,
    "study_model_6": 3_968,
    "mobilenet_v2_050": 706_224,
    "mobilenet_v2_075": 1_382_064,
    "inception_v2": 10_173_112,
    "resnet_v2_50": 23_564_800,
}
"""Moving means and variances of the batch normalisations, and whole frozen backbones."""

HUB = {
    "mobilenet_v2_050": "mobilenet_v2_050_96",
    "mobilenet_v2_075": "mobilenet_v2_075_96",
    "inception_v2": "inception_v2",
    "resnet_v2_50": "resnet_v2_50",
}
"""Their modules; these entries cannot be built without."""

LARGE = ("vgg16", "vgg_condensed")
LONG = ("resnet50_68", "resnet_v2_50", "resnet_v2_50_keras", "inception_v2", "inception_v3_keras")
EVERY_SIZE = [
    pytest.param(name, outputs, marks=[pytest.mark.slow] if name in LONG else [])
    for name, e in entries().items()
    for outputs in e.params
]


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(4, seed=1)


@pytest.fixture
def own_zoo(monkeypatch):
    """A registry of this test's own: what is registered here is gone afterwards."""
    monkeypatch.setattr(registry, "_ENTRIES", entries())


@pytest.fixture(autouse=True)
def module_at_hand(request):
    """The TF-Hub module of the entry that a test is about, rebuilt with random weights."""
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    if name in HUB:
        request.getfixturevalue("hub")(HUB[name])


def built(name, *arguments):
    return kfkd.build(name, *arguments, **entry(name).offline)


def weights_in(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


@pytest.mark.parametrize(("name", "outputs"), EVERY_SIZE)
def test_every_model_is_as_published_learns_and_survives_saving(name, outputs, faces, tmp_path):
    e = entry(name)
    keras.utils.set_random_seed(0)
    model = built(name, outputs)
    assert model.count_params() == e.params[outputs]
    assert model.output_shape == (None, *e.codec.output_shape(outputs, e.input_shape))
    assert model.input_shape == (None, *e.input_shape)
    if e.trainable:
        assert weights_in(model.trainable_weights) == e.trainable[outputs]
    assert model.name == e.build.__name__
    cost = gflops(model)
    known = packaged("costs.json").get(name, {}).get(str(outputs))
    assert (cost and round(cost, 4)) == known
    if outputs == next(iter(e.params)):
        if np.prod(e.input_shape[:2]) > 96 * 96:
            model = built(name, outputs, (96, 96, e.input_shape[2]))
        few = fitting(faces[: 2 if name in LARGE else 4], model, e)
        check_learning(model, e, few)
        check_saving(model, e, few, tmp_path / "model.keras")


def fitting(faces, model, e):
    """The faces as large as the model wants them, their keypoints as many as it answers with."""
    count = model.output_shape[-1] // e.codec.outputs(1)
    _, height, width, channels = model.input_shape
    rows, columns = (np.arange(side) * 96 // side for side in (height, width))
    keypoints = faces.keypoints[:, np.arange(count) % 15] * [width / 96, height / 96]
    return SimpleNamespace(
        images=np.repeat(faces.images[:, rows][:, :, columns], channels, axis=3),
        keypoints=keypoints.astype(np.float32),
    )


def check_learning(model, e, faces):
    model.compile(
        keras.optimizers.Adam(1e-4),
        e.codec.loss(loss_called(e.recipe.loss)),
        run_eagerly=True,
        jit_compile=False,
    )
    targets = e.codec.targets(faces.keypoints)
    losses = []
    for _ in range(4):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(faces.images, targets)))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def check_saving(model, e, faces, path):
    _save_model(model, path)
    loaded = load_model(path)
    np.testing.assert_array_equal(loaded(faces.images), model(faces.images))
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json").decode()
    assert "kfkd" not in config or e.family == "hub", "plain Keras must load the file"
    assert not json.loads(config).get("compile_config")


@pytest.mark.parametrize("name", STUDY_PARAMS)
def test_entries_keep_the_studys_counts(name):
    assert dict(entry(name).params) == STUDY_PARAMS[name]


@pytest.mark.parametrize("name", REPORTS_TRAINABLE)
def test_entries_keep_the_reports_counts(name):
    assert dict(entry(name).trainable) == REPORTS_TRAINABLE[name]


@pytest.mark.parametrize("name", STUDY_PARAMS)
def test_moving_statistics_are_all_that_does_not_learn(name):
    model = kfkd.build(name)
    assert weights_in(model.non_trainable_weights) == NOT_TRAINABLE.get(name, 0)


@pytest.mark.parametrize("name", entries())
def test_an_entry_has_what_reproducing_it_needs(name):
    e = entry(name)
    assert e.summary.endswith(".")
    assert e.source and e.family != "own"
    assert {subset_outputs(e, subset) for subset in e.subsets} <= set(e.params)
    loss_called(e.recipe.loss)
    keras.optimizers.get(e.recipe.optimizer)


def test_costs_are_those_of_the_entries():
    counted = {name: e for name, e in entries().items() if name not in HUB}
    sizes = {name: {str(outputs) for outputs in e.params} for name, e in counted.items()}
    assert {name: set(row) for name, row in packaged("costs.json").items()} == sizes


@pytest.mark.parametrize("name", entries())
def test_outputs_are_float32_in_mixed_precision(name):
    with precision("mixed_bfloat16"):
        model = built(name)
    assert model.outputs[0].dtype == "float32"
    hidden = [x for x in model._flatten_layers() if isinstance(x, layers.Conv2D | layers.Dense)]
    if name in HUB:
        assert model.get_layer("backbone").compute_dtype == "float32", "a module's types are fixed"
    else:
        assert "bfloat16" in {layer.compute_dtype for layer in hidden}


# Particulars of single entries


@pytest.mark.parametrize(("outputs", "activation"), [(8, "linear"), (22, "linear"), (30, "relu")])
def test_alexnets_second_dense_layer_is_linear_for_the_subsets(outputs, activation):
    dense = [x for x in kfkd.build("alexnet", outputs).layers if isinstance(x, layers.Dense)]
    assert [x.units for x in dense] == [2000, 2000, outputs]
    assert [x.activation.__name__ for x in dense] == ["relu", activation, "linear"]


def test_vgg16_transfer_learns_its_head_then_its_last_layers():
    model = kfkd.build("vgg16_transfer")
    phases = entry("vgg16_transfer").recipe.phases
    counts = []
    for unfreeze in (*(phase.unfreeze for phase in phases), None):
        _freeze(model, unfreeze)
        counts.append(weights_in(model.trainable_weights))
    last_convolutions = 3 * (3 * 3 * 512 * 512 + 512)
    assert counts == [1_187_614, 1_187_614 + last_convolutions, 15_902_302]


def test_vgg16_transfer_preprocesses_colours_and_greys_on_request(faces):
    grey = kfkd.build("vgg16_transfer", 30, preprocess=True)
    subtracted = keras.Model(grey.input, grey.get_layer("normalization").output)
    pixel = np.asarray(subtracted(faces.images))[0, 5, 7]
    np.testing.assert_allclose(
        pixel, faces.images[0, 5, 7, 0] - np.array([103.939, 116.779, 123.68]), rtol=1e-5
    )
    assert kfkd.build("vgg16_transfer", 30, (64, 64, 3)).input_shape == (None, 64, 64, 3)


def test_missing_weights_are_an_error_with_a_way_out(tmp_path):
    with pytest.raises(KfkdError, match=r"VGG16 weights .*download"):
        kfkd.build("vgg16_transfer", weights=str(tmp_path / "absent.h5"))


def test_model_3_and_4_differ_in_the_dense_layer_alone():
    third, fourth = (kfkd.build(f"study_model_{i}").get_config()["layers"] for i in (3, 4))
    differing = [
        (a["config"]["activation"], b["config"]["activation"])
        for a, b in zip(third, fourth, strict=True)
        if a["config"].get("activation") != b["config"].get("activation")
    ]
    assert differing == [("relu", "linear")]


@pytest.mark.parametrize("shape", [(96, 96, 1), (60, 80, 3), (33, 50, 1)])
@pytest.mark.parametrize("name", ["unet_heatmap_68", "unet_small_68"])
def test_unets_take_images_of_any_size(name, shape):
    size = entry(name).codec.output_shape(15, shape)
    assert kfkd.build(name, 15, shape).output_shape == (None, *size)


def test_pixels_may_be_told_where_they_lie():
    image = keras.Input((4, 8, 1))
    found = np.asarray(keras.Model(image, with_places(image))(np.full((2, 4, 8, 1), 9.0)))
    assert found.shape == (2, 4, 8, 3) and (found[..., 0] == 9).all()
    np.testing.assert_allclose(found[1, 3, :, 1], np.arange(1, 9) / 4 - 1, atol=1e-6)
    np.testing.assert_allclose(found[1, :, 5, 2], np.arange(1, 5) / 2 - 1, atol=1e-6)


def test_a_step_of_two_is_padded_alike_on_all_sides():
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, conv_norm(image, 1, 3, strides=2))
    model.layers[2].kernel.assign(np.ones((3, 3, 1, 1), np.float32))
    corner = np.zeros((1, 8, 8, 1), np.float32)
    corner[0, 7, 7] = 1.0
    # As in PyTorch the last window is centred on row 6; Keras' own "same" would centre it on 7.
    found = np.asarray(model(corner))[0, :, :, 0]
    assert found.shape == (4, 4) and found[3, 3] == pytest.approx(1.0, abs=1e-4)
    corner[0, 7, 7], corner[0, 0, 0] = 0.0, 1.0
    assert np.asarray(model(corner))[0, 0, 0, 0] == pytest.approx(1.0, abs=1e-4)


# Building, listing, describing


def test_build_takes_the_first_subsets_outputs_and_other_shapes():
    assert kfkd.build("simple_cnn").output_shape == (None, 8)
    assert kfkd.build("baseline").output_shape == (None, 30)
    assert kfkd.build("simple_cnn", 6, (32, 48, 3)).input_shape == (None, 32, 48, 3)
    with pytest.raises(KfkdError, match=r"outputs=0"):
        kfkd.build("simple_cnn", 0)


@pytest.mark.parametrize("call", [kfkd.build, kfkd.describe, entry])
def test_unknown_models_are_refused_with_near_names(call):
    with pytest.raises(UnknownName, match=r"no model is called 'lenet'; did you mean lenet5"):
        call("lenet")


def test_the_list_has_a_row_a_model():
    rows = kfkd.list_models()
    assert {row["name"] for row in rows} == set(entries())
    assert [row["family"] for row in rows] == sorted(row["family"] for row in rows)
    [row] = kfkd.list_models("alexnet")
    assert row["params"] == STUDY_PARAMS["alexnet"]
    assert row["published"]["private"] == 3.81822
    with pytest.raises(UnknownName, match=r"alexnet, .*hub, .*vgg"):
        kfkd.list_models("no such family")


def test_the_list_as_a_table():
    lines = models_table(kfkd.list_models()).splitlines()
    assert len(lines) == 2 + len(entries())
    [line] = [line for line in lines if line.startswith("vgg_condensed")]
    assert "24.82 M + 24.88 M" in line and "4.48 + 4.48" in line and "2.301 / 2.621" in line


def test_listing_needs_no_framework():
    script = (
        "import sys, kfkd; kfkd.list_models(); loaded = set(sys.modules);"
        "print(sorted(loaded & {'tensorflow', 'keras', 'matplotlib', 'pandas', 'cv2'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["simple_cnn", "vgg16_transfer"])
def test_a_description_names_layers_costs_and_mistakes(name):
    description = kfkd.describe(name)
    e, text = entry(name), str(description)
    assert text.startswith(f"{name}: {e.summary}")
    assert "Conv2D 5×5 same relu" in text or "Functional" in text
    for subset in e.subsets:
        outputs = subset_outputs(e, subset)
        assert description.params[subset] == e.params[outputs]
        assert f"{subset}: {e.params[outputs]:,} parameters" in text
        kind, shape, count = description.layers[subset][-1]
        assert (kind, shape) == ("Dense linear", str(outputs)) and count > outputs
        assert sum(row[2] for row in description.layers[subset]) == e.params[outputs]
    assert all(mistake in text for mistake in e.mistakes)
    json.dumps(description.as_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width wants a number above 0"),
        ({"deeper": -1}, "deeper wants a whole number from 0"),
        ({"deeper": 0.5}, "deeper wants a whole number"),
        ({"units": -1}, "units wants a whole number from 0"),
        ({"dropout": 1}, "dropout wants a number from 0 to below 1"),
    ],
)
def test_options_that_make_no_net_are_refused(options, message):
    with pytest.raises(KfkdError, match=message):
        kfkd.build("study_model_1", 8, **options)


# Models of one's own


def test_an_own_model_takes_three_lines(own_zoo):
    @kfkd.register
    def my_net(outputs, input_shape=(96, 96, 1)):
        """Mine."""
        return keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(outputs)])

    assert kfkd.build("my_net", outputs=8).count_params() == 73_736
    assert my_net(8).count_params() == 73_736
    [row] = kfkd.list_models("own")
    assert (row["name"], row["gflops"], row["measured"]) == ("my_net", {}, {})
    assert "my_net" in models_table(kfkd.list_models())
    assert "dense: 73,736 parameters" in str(kfkd.describe("my_net"))
    assert list(entries())[-1] == "my_net"


def test_a_taken_name_is_refused_unless_replaced(own_zoo):
    def lenet5(outputs, input_shape=(96, 96, 1)):
        return None

    with pytest.raises(KfkdError, match="already registered as 'lenet5'"):
        kfkd.register(lenet5)
    assert entry("lenet5").build is not lenet5
    kfkd.register(replace=True, family="mine", subsets=("all",))(lenet5)
    assert entry("lenet5").build is lenet5 and entry("lenet5").family == "mine"


def test_what_a_test_registers_is_gone_afterwards():
    assert "my_net" not in entries()
    assert entry("lenet5").family == "lenet"
