"""Every entry has a search space around what is published, and what it draws can be built."""

from dataclasses import replace

import numpy as np
import pytest
from keras_tuner import HyperParameters

import kfkd
from kfkd.building import subset_outputs
from kfkd.learning.settings import chosen_mix
from kfkd.registry import entries, entry
from kfkd.searches.checks import check_settings, space_facts
from kfkd.searches.oracles import oracle_for
from kfkd.searches.plan import Plan
from kfkd.searches.spaces import builder_options, search_space
from kfkd.searches.text import space_text

pytestmark = pytest.mark.usefixtures("keras_ready")

HUB = ("mobilenet_v2_050", "mobilenet_v2_075", "inception_v2", "resnet_v2_50")
"""Entries whose builders want a module of TF-Hub; tests/test_hub.py builds one."""

LARGE = ("lenet5", "vgg", "alexnet", "resnet50", "resnet_v2", "inception", "youtube", "unet_heat")
NAMES = list(entries())


def marked(name):
    return pytest.param(name, marks=pytest.mark.slow) if name.startswith(LARGE) else name


def declared(name):
    hp = HyperParameters()
    return hp, search_space(name)(hp)


def plan_for(name, tmp_path):
    return Plan(
        **{"out": tmp_path, "model": name, "tuner": "random", "trials": 1, "epochs": 1, "seed": 0},
        **{"factor": 3, "settings": {}, "space": search_space(name), "own_space": False},
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_spaces_defaults_are_the_published_settings(name, tmp_path):
    found = entry(name)
    hp, drawn = declared(name)
    plan = plan_for(name, tmp_path)
    check_settings(plan, plan.drawn(hp))
    assert {"optimizer", "learning_rate", "batch_size", "loss", "augment"} <= set(drawn)
    options = builder_options(found)
    for key, value in drawn.pop("options", {}).items():
        assert value == (list(options[key]) if isinstance(value, list) else options[key])
    mix = drawn.pop("augment")
    recipe, _, _ = chosen_mix(replace(found.recipe, **drawn), mix, None)
    assert recipe == chosen_mix(found.recipe, "published", None)[0]


@pytest.mark.parametrize("name", [marked(name) for name in NAMES if name not in HUB])
def test_what_a_space_draws_can_be_built(name, tmp_path):
    found, plan = entry(name), plan_for(name, tmp_path)
    hp, published = declared(name)
    for number, parameter in enumerate(hp.space):
        hp.values[parameter.name] = parameter.random_sample(number + 3)
    drawn = plan.drawn(hp)
    check_settings(plan, drawn)
    assert drawn != published
    height, width, channels = found.input_shape
    shape = (96, 96, channels) if height * width > 96 * 96 * 3 else found.input_shape
    outputs = subset_outputs(found, found.subsets[0])
    model = kfkd.build(name, outputs, shape, **{**drawn["options"], **found.offline})
    usual = {**dict(found.offline), **published.get("options", {})}
    assert model.count_params() > 0 and set(drawn["options"]) <= {*builder_options(found), *usual}


@pytest.mark.parametrize("name", NAMES)
def test_every_space_has_all_that_its_net_has(name):
    found, names = entry(name), {parameter.name for parameter in declared(name)[0].space}
    lacking = {"width", "deeper", "units", "dropout", "activation"} - names
    if found.recipe.phases:
        assert lacking == {"width", "deeper"}, "a backbone's are those of its weights"
    else:
        assert lacking == (
            {"units"} if len(found.codec.output_shape(3, (96, 96, 1))) > 1 else set()
        )


@pytest.mark.parametrize(
    ("name", "options", "params"),
    [
        ("study_model_1", {"width": 0.5, "deeper": 1, "units": 64, "dropout": 0.0}, None),
        ("imm58_cnn5", {"width": 2.0, "activation": "gelu", "dropout": 0.3}, None),
        ("simple_cnn", {"units": 50}, 8 * 51 + 50 * (93 * 93 * 2 + 1)),
        ("baseline", {"units": 50, "width": 0.2}, 30 * 51 + 50 * (94 * 94 * 2 + 1)),
        ("resnet18_gray", {"units": 64, "width": 0.125}, 136 * 65 + 64 * (64 + 1)),
        ("mobilenet_v2_050_keras", {"weights": None, "units": 64}, 8 * 65 + 64 * (1280 + 1)),
    ],
)
def test_options_change_the_net(name, options, params):
    found = entry(name)
    outputs = subset_outputs(found, found.subsets[0])
    model, usual = (kfkd.build(name, outputs, **o) for o in (options, dict(found.offline)))
    assert model.count_params() != usual.count_params()
    kinds = [type(layer).__name__ for layer in model.layers]
    assert ("Dropout" in kinds) == bool(options.get("dropout"))
    if "deeper" in options:
        count = [type(layer).__name__ for layer in usual.layers].count("Conv2D")
        assert kinds.count("Conv2D") == 2 * count
    if "activation" in options:
        assert model.layers[2].activation.__name__ == "gelu"
    if params:
        assert sum(x.count_params() for x in model.layers[-2:]) == params


def dense_and_dropouts(name, **options):
    found = entry(name)
    narrow = {"width": 0.1} if "width" in builder_options(found) else {}
    layers = kfkd.build(name, 8, **{**found.offline, **narrow, **options}).layers
    dense = [x.units for x in layers if type(x).__name__ == "Dense"]
    return dense, [type(x).__name__ for x in layers].count("Dropout")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if entry(name).recipe.phases else name
        for name in NAMES
        if "units" in builder_options(entry(name)) and name not in HUB
    ],
)
def test_without_units_there_is_no_hidden_dense_layer(name):
    assert dense_and_dropouts(name, units=0, dropout=0.5) == ([8], 1)


@pytest.mark.parametrize(
    ("name", "units", "dense"),
    [
        ("vgg16", 8, [8, 8, 2, 8]),
        ("vgg16", 1, [1, 1, 1, 8]),
        ("vgg16_small", 3, [3, 1, 1, 8]),
        ("lenet5", 10, [10, 7, 8]),
        ("alexnet", 1, [1, 1, 8]),
    ],
)
def test_further_dense_layers_keep_their_ratio_to_the_first(name, units, dense):
    assert dense_and_dropouts(name, units=units)[0] == dense


@pytest.mark.parametrize("name", ["baseline", "pyramid", "unet_small_68", "resnet18_gray"])
def test_an_activation_takes_every_relus_place(name):
    usual, other = (activations(kfkd.build(name, 8, activation=a)) for a in ("relu", "silu"))
    assert "relu" in usual and other == ["silu" if a == "relu" else a for a in usual]


def activations(model):
    """Names of activations other than none, by layer."""
    found = [
        "relu" if type(x).__name__ == "ReLU" else getattr(x, "activation", None)
        for x in model.layers
    ]
    names = [a if isinstance(a, str) else getattr(a, "__name__", "linear") for a in found]
    return [a for a in names if a != "linear"]


@pytest.mark.parametrize("name", ["pyramid", "unet_small_68"])
def test_maps_have_whole_channels_left_out(name):
    *_, dropout, maps = kfkd.build(name, 3, (64, 64, 1), dropout=0.5).layers
    assert maps.name == "maps"
    kept = np.asarray(dropout(np.ones((4, *dropout.input.shape[1:])), training=True))
    assert {0.0, 2.0} == {*kept.ravel()} and (kept == kept[:, :1, :1]).all()


def test_losses_are_in_pixels_whatever_the_codec():
    choices = {name: dict_of(name, "loss")["values"] for name in ("study_model_1", "nose_cnn3")}
    assert choices["study_model_1"] == ["mse", "mae", "huber(3)", "wing(10, 2)"]
    assert choices["nose_cnn3"] == ["mse", "mae", "huber(0.0375)", "wing(0.125, 0.025)"]
    assert dict_of("unet_small_68", "loss")["values"] == ["adaptive_wing", "mse", "weighted_mse"]


def dict_of(name, setting):
    return next(row for row in space_facts(declared(name)[0]) if row["name"] == setting)


def test_backbones_are_fine_tuned_or_not():
    hp, drawn = declared("mobilenet_v2_050")
    assert drawn["phases"] == entry("mobilenet_v2_050").recipe.phases
    hp.values["fine_tune"] = 20
    head, whole = search_space("mobilenet_v2_050")(hp)["phases"]
    assert (head.unfreeze, whole.unfreeze, whole.learning_rate) == (0, 20, pytest.approx(1e-4))
    hp, _ = declared("vgg16_transfer")
    hp.values["fine_tune"] = 0
    assert [phase.unfreeze for phase in search_space("vgg16_transfer")(hp)["phases"]] == [0]


def test_a_backbones_activation_is_drawn_where_there_is_a_hidden_layer():
    name = "mobilenet_v2_050_keras"
    hp, drawn = declared(name)
    assert drawn["options"]["units"] == 0 and "activation" not in drawn["options"]
    assert "activation" not in hp.values and "activation" in [p.name for p in hp.space]
    for units, activation in ((128, "gelu"), (512, "elu")):
        hp.values |= {"units": units, "activation": activation}
        assert search_space(name)(hp)["options"]["activation"] == activation
    assert [p.name for p in hp.space].count("activation") == 1
    fixed = search_space(name, fixed={"units"})(HyperParameters())["options"]
    assert fixed["activation"] == "relu", "units may be any then"
    assert declared("vgg16_transfer")[1]["options"]["activation"] == "relu"


@pytest.mark.parametrize("tuner", ["random", "grid"])
def test_trials_without_a_hidden_layer_have_no_activation(tuner, tmp_path):
    fixed = {"optimizer", "learning_rate", "batch_size", "loss", "augment", "phases", "dropout"}
    space = search_space("mobilenet_v2_050_keras", {*fixed, "pooling", "preprocess"})
    plan = replace(plan_for("lenet5", tmp_path), tuner=tuner, space=space, trials=20)
    hp = HyperParameters()
    space(hp)
    plan = replace(plan, objective="rmse")
    oracle = oracle_for(plan, hp, lambda *ended: None, lambda message: None)
    oracle._set_project_dir(tmp_path, "search")
    drawn = []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        drawn.append(trial.hyperparameters.values)
        oracle.update_trial(trial.trial_id, {"rmse": 1.0})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert len(drawn) == 11, "no hidden layer, or one of two widths with one of five activations"
    assert all(("activation" in values) == (values["units"] > 0) for values in drawn)


def test_a_space_as_text():
    lines = space_text(space_facts(declared("study_model_1")[0])).splitlines()
    assert lines[0].split() == ["varied", "published", "values"]
    [rate] = [line for line in lines if line.startswith("learning_rate")]
    assert "0.001" in rate and "0.0001 to 0.01, log" in rate
