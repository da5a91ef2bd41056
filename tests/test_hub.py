"""Pre-trained backbones: TF-Hub's modules and those of keras.applications."""

import json
import tarfile
import zipfile
from dataclasses import asdict
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import kfkd
from kfkd.cli import main
from kfkd.errors import DataError, KfkdError, RunError, WeightsError
from kfkd.learning.fine_tuning import fine_tuning, fine_tuning_flags
from kfkd.learning.fitting import _freeze
from kfkd.learning.trainer import _save_model
from kfkd.models.hub_layer import hub_backbone
from kfkd.models.hub_modules import cached_folder
from kfkd.pipelines.synthetic import synthetic_faces, write_kaggle_folder
from kfkd.recording import training_command
from kfkd.registry import Phase, entry
from kfkd.runs import load_model, load_run
from kfkd.training import resume

pytestmark = pytest.mark.usefixtures("keras_ready")

SCOPES = ("Tiny/Conv", "Tiny/expanded_conv/depthwise", "Tiny/Conv_1")
"""By depth; by name, as the module lists them, Conv_1 would be the second."""


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(48, seed=1)


@pytest.fixture(scope="module")
def module(slim, tmp_path_factory):
    """The folder of a module of three layers: 16 features, 568 parameters."""
    return slim.save_module(slim.Module("tiny"), tmp_path_factory.mktemp("module") / "tiny")


@pytest.fixture
def model(module):
    return kfkd.build("mobilenet_v2_050", 8, weights=str(module))


def values(model):
    return {f"{i} {v.path}": np.array(v) for i, v in enumerate(model.get_layer("backbone").weights)}


def changed(model, faces, unfreeze):
    """Trains a step with the last layers unfrozen; what changed, by layer."""
    _freeze(model, unfreeze)
    model.compile("adam", "mse")
    before = values(model)
    model.train_on_batch(faces.images[:16], faces.keypoints[:16, :4].reshape(16, 8) * 0)
    layers = model.get_layer("backbone").layers
    names = [layer.name for layer in layers for _ in layer.weights]
    after = zip(names, before.items(), values(model).values(), strict=True)
    return {(name, key.split(" ")[1]) for name, (key, old), new in after if (old != new).any()}


# The layer


def test_layers_are_found_in_the_order_of_depth(slim, module, tmp_path):
    nested = slim.save_module(slim.Module("tiny", nested=True), tmp_path / "nested")
    for folder in (module, nested):
        assert hub_backbone(str(folder), (96, 96, 3)).scopes == SCOPES


def test_images_reach_the_module_in_unit_range_and_grey_as_colour(slim, model, module, faces):
    import tensorflow as tf

    grey = faces.images[:3]
    colour = kfkd.build("mobilenet_v2_050", 8, (96, 96, 3), weights=str(module))
    colour.get_layer("coordinates").set_weights(model.get_layer("coordinates").get_weights())
    np.testing.assert_allclose(colour(np.repeat(grey, 3, -1)), model(grey), rtol=1e-5)
    features = tf.saved_model.load(str(module))(np.repeat(grey, 3, -1) / np.float32(255))
    kernel, bias = model.get_layer("coordinates").get_weights()
    np.testing.assert_allclose(model(grey), features @ kernel + bias, rtol=1e-4)


def test_a_frozen_backbone_keeps_every_number(model, faces):
    assert [w.path for w in model.trainable_weights] == ["coordinates/kernel", "coordinates/bias"]
    assert changed(model, faces, 0) == set()


def test_a_fine_tuned_backbone_changes_but_for_its_statistics(model, faces):
    found = changed(model, faces, None)
    assert {kind for _, kind in found} == {"gamma", "beta", "weights", "depthwise_weights"}
    assert {name for name, _ in found} == {scope.replace("/", ".") for scope in SCOPES}


def test_the_last_layers_change_alone(model, faces):
    assert changed(model, faces, 1) == {("Tiny.Conv_1", k) for k in ("weights", "gamma", "beta")}
    names = {name for name, _ in changed(model, faces, 2)}
    assert names == {"Tiny.expanded_conv.depthwise", "Tiny.Conv_1"}
    assert changed(model, faces, 0) == set()


def test_several_devices_are_refused_before_a_module_is_loaded(module, monkeypatch):
    import tensorflow as tf

    two = SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: two)
    with pytest.raises(KfkdError, match=r"modules train on one device\. Received: devices=2$"):
        kfkd.build("mobilenet_v2_050", 8, weights=str(module))


def test_toggling_trainable_toggles_every_layer(model):
    backbone = model.get_layer("backbone")
    assert not backbone.trainable
    backbone.unfreeze(1)
    assert backbone.trainable and len(backbone.trainable_weights) == 3
    backbone.trainable = True
    assert len(backbone.trainable_weights) == 9
    backbone.trainable = False
    assert not backbone.trainable_weights


@pytest.mark.parametrize("unfreeze", [0, 2, None])
def test_a_module_computes_in_training_as_in_use(model, faces, unfreeze):
    model.get_layer("backbone").unfreeze(unfreeze)
    calm = np.array(model(faces.images[:8]))
    np.testing.assert_array_equal(model(faces.images[:8], training=True), calm)


@pytest.mark.parametrize("unfreeze", [0, 2, None])
def test_saved_models_need_neither_module_nor_hub(module, faces, tmp_path, unfreeze):
    import tensorflow as tf

    own = tmp_path / "own"
    for path in (p for p in module.rglob("*") if p.is_file()):
        tf.io.gfile.makedirs(str((own / path.relative_to(module)).parent))
        (own / path.relative_to(module)).write_bytes(path.read_bytes())
    model = kfkd.build("mobilenet_v2_050", 8, weights=str(own))
    changed(model, faces, unfreeze)  # so that the weights are no longer the module's
    tf.io.gfile.rmtree(str(own))
    _save_model(model, tmp_path / "first.keras")
    first = load_model(tmp_path / "first.keras")
    _save_model(first, tmp_path / "second.keras")
    second = load_model(tmp_path / "second.keras")
    for loaded in (first, second):
        np.testing.assert_array_equal(loaded(faces.images), model(faces.images))
        assert loaded.count_params() == model.count_params()
        assert len(loaded.trainable_weights) == len(model.trainable_weights)
    assert changed(second, faces, None), "a loaded model can be trained on"


def test_a_hidden_layer_and_dropout_go_above_the_module(module, faces, tmp_path):
    options = {"units": 5, "dropout": 0.5, "activation": "elu"}
    model = kfkd.build("mobilenet_v2_050", 8, weights=str(module), **options)
    assert [type(x).__name__ for x in model.layers[-3:]] == ["Dense", "Dropout", "Dense"]
    assert model.layers[-3].activation.__name__ == "elu"
    assert sum(x.count_params() for x in model.layers[-3:]) == 17 * 5 + 6 * 8
    _save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(faces.images), model(faces.images))


def test_weights_files_fit_too(model, module, faces, tmp_path):
    changed(model, faces, None)
    model.save_weights(tmp_path / "x.weights.h5")
    other = kfkd.build("mobilenet_v2_050", 8, weights=str(module))
    other.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_array_equal(other(faces.images), model(faces.images))


def test_a_copied_layer_says_that_it_has_no_module(model, faces):
    copy = keras.models.clone_model(model)
    with pytest.raises(KfkdError, match="copied without its module"):
        copy(faces.images)


# Finding modules


def test_handles_archives_and_folders_give_the_same_model(hub, module, faces, tmp_path):
    archive = tmp_path / "tiny.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(module, arcname=".")
    handle = "https://tfhub.dev/someone/tiny/1"
    cached = cached_folder(handle)
    for path in (p for p in module.rglob("*") if p.is_file()):
        (cached / path.relative_to(module)).parent.mkdir(parents=True, exist_ok=True)
        (cached / path.relative_to(module)).write_bytes(path.read_bytes())
    features = [
        hub_backbone(str(weights), (96, 96, 3))(faces.images.repeat(3, -1) / 255.0)
        for weights in (module, archive, handle)
    ]
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_array_equal(features[0], features[2])


def test_a_module_out_of_reach_is_one_clear_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    handle = "https://tfhub.invalid/google/imagenet/mobilenet_v2_050_96/feature_vector/4"
    with pytest.raises(WeightsError) as caught:
        kfkd.build("mobilenet_v2_050", weights=handle)
    told = str(caught.value)
    assert f"module {handle} cannot be had" in told and f"download {handle}?tf-hub-format=" in told
    assert str(cached_folder(handle)) in told and str(tmp_path) in told
    assert "urlopen" not in told
    data = write_kaggle_folder(tmp_path / "kaggle", train=20, test=2)
    command = ["train", "mobilenet_v2_050", "--data", data, "--weights", handle, "--quiet"]
    assert main([*map(str, command), "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.splitlines() == [f"kfkd: {told}"]


def test_broken_modules_are_named(module, tmp_path):
    def refused(path, message):
        with pytest.raises(DataError, match=message) as caught:
            kfkd.build("mobilenet_v2_050", weights=str(path))
        assert str(path) in str(caught.value)

    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"holds no saved_model\.pb")
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "saved_model.pb").write_bytes(b"noise")
    refused(tmp_path / "noise", "is not a SavedModel")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "saved_model.pb").write_bytes((module / "saved_model.pb").read_bytes())
    refused(tmp_path / "bare", "cannot be loaded as a SavedModel")
    (tmp_path / "x.tar.gz").write_bytes(b"noise")
    refused(tmp_path / "x.tar.gz", r"not a readable \.tar\.gz")
    with pytest.raises(WeightsError, match="Received: 'nowhere', which does not exist"):
        kfkd.build("mobilenet_v2_050", weights="nowhere")
    with pytest.raises(KfkdError, match="does not take images of"):
        kfkd.build("mobilenet_v2_050", 8, (64, 64, 1), weights=str(module))


def test_a_savedmodel_that_is_no_feature_vector_is_refused(tmp_path):
    import tensorflow as tf

    tf.saved_model.save(tf.train.Checkpoint(x=tf.Variable(1.0)), str(tmp_path / "x"))
    with pytest.raises(DataError, match="lacks __call__, variables"):
        kfkd.build("mobilenet_v2_050", weights=str(tmp_path / "x"))


def test_modules_and_model_files_that_touch_files_are_refused(slim, model, tmp_path):
    written = tmp_path / "written"
    unsafe = slim.save_module(slim.Writer(str(written)), tmp_path / "unsafe")
    written.unlink(missing_ok=True)
    with pytest.raises(DataError, match="holds the operation WriteFile"):
        kfkd.build("mobilenet_v2_050", weights=str(unsafe))
    _save_model(model, tmp_path / "good.keras")
    with (
        zipfile.ZipFile(tmp_path / "good.keras") as good,
        zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad,
    ):
        for name in good.namelist():
            graph = name.endswith("saved_model.pb")
            bad.writestr(
                name, (unsafe / "saved_model.pb").read_bytes() if graph else good.read(name)
            )
    with pytest.raises(RunError, match="WriteFile"):
        load_model(tmp_path / "bad.keras")
    assert not written.exists()


def test_describing_needs_no_module(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("tensorflow_hub.resolve", failing)
    description = kfkd.describe("mobilenet_v2_050")
    assert description.params == {"dense": 716_472, "sparse": 734_406}
    assert description.layers == {} and description.gflops == {"dense": None, "sparse": None}
    assert "not shown: the TF-Hub module" in str(description)
    assert "dense: 716,472 parameters, — GFLOPs" in str(description)
    json.dumps(description.as_dict())
    [row] = [row for row in kfkd.list_models("hub") if row["name"] == "mobilenet_v2_050"]
    assert row["gflops"] == {} and row["params"][30] == 744_654


def failing(handle):
    raise OSError("no network")


def test_describing_shows_a_module_that_is_there(hub):
    hub("mobilenet_v2_075_96")
    text = str(kfkd.describe("mobilenet_v2_075"))
    assert "HubBackbone" in text and "1,382,064" in text and "— GFLOPs" in text


# Features


def same_padding(x, kernel, stride):
    """TensorFlow's: what does not divide evenly comes at the bottom and right."""
    pads = []
    for size in x.shape[1:3]:
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, [(0, 0), *pads, (0, 0)])


def convolved(x, weights, stride):
    size, depthwise = weights.shape[0], weights.shape[3] == 1 and weights.shape[2] > 1
    steps = [-(-n // stride) for n in x.shape[1:3]]
    padded, total = same_padding(x, size, stride), 0.0
    for i in range(size):
        for j in range(size):
            part = padded[:, i : i + stride * steps[0] : stride, j : j + stride * steps[1] : stride]
            part = part[:, : steps[0], : steps[1]]
            total = total + (part * weights[i, j, :, 0] if depthwise else part @ weights[i, j])
    return total


def features_in_numpy(tensors, images):
    """MobileNetV2 0.50's features of images (b, 96, 96, 3) in [0, 1]."""

    def layer(x, scope, stride=1, clip=True):
        name = f"{scope}/weights" if f"{scope}/weights" in tensors else f"{scope}/depthwise_weights"
        gamma, beta, mean, variance = (
            tensors[f"{scope}/BatchNorm/{part}"].astype(np.float64)
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        x = convolved(x, tensors[name].astype(np.float64), stride)
        x = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        return np.clip(x, 0, 6) if clip else x

    x = layer(2.0 * images - 1, "Conv", 2)
    for i, stride in enumerate((1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)):
        scope = f"expanded_conv_{i}" if i else "expanded_conv"
        y = layer(x, f"{scope}/expand") if i else x
        y = layer(layer(y, f"{scope}/depthwise", stride), f"{scope}/project", clip=False)
        x = x + y if stride == 1 and x.shape == y.shape else y
    return layer(x, "Conv_1").mean(axis=(1, 2))


@pytest.mark.real
def test_real_weights_give_the_right_features(slim, imagenet_weights, faces, tmp_path):
    with np.load(imagenet_weights) as stored:
        tensors = {name: stored[name] for name in stored.files}
    assert sum(a.size for a in tensors.values()) == 706_224
    folder = slim.save_module(slim.Module("mobilenet_v2_050_96", tensors), tmp_path / "real")
    images = faces.images[:2]
    expected = features_in_numpy(tensors, images.repeat(3, -1) / 255.0)
    assert expected.std() > 0.1
    for name, weights in (
        ("mobilenet_v2_050", folder),
        ("mobilenet_v2_050_keras", imagenet_weights),
    ):
        model = kfkd.build(name, 8, weights=str(weights))
        head = model.get_layer("coordinates")
        found = keras.Model(model.input, head.input)(images)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def slim_archive(hub, path):
    import tensorflow as tf

    variables = tf.saved_model.load(str(hub("mobilenet_v2_050_96"))).variables
    named = {v.name.partition("/")[2].partition(":")[0]: v.numpy() for v in variables}
    np.savez(path, **named)
    return named


def test_hub_and_keras_agree_on_the_same_weights(hub, faces, tmp_path):
    slim_archive(hub, tmp_path / "x.npz")
    ours = kfkd.build("mobilenet_v2_050", 8)
    keras_own = kfkd.build("mobilenet_v2_050_keras", 8, weights=str(tmp_path / "x.npz"))
    spatial = kfkd.build("mobilenet_v2_050_spatial", 8, weights=str(tmp_path / "x.npz"))
    assert ours.count_params() == 716_472
    features = [
        np.array(keras.Model(m.input, m.get_layer("coordinates").input)(faces.images[:4]))
        for m in (ours, keras_own, spatial)
    ]
    np.testing.assert_allclose(features[1], features[0], rtol=1e-3, atol=1e-4)
    pooled = features[2].reshape(4, 9, 1280).mean(1)
    np.testing.assert_allclose(pooled, features[0], rtol=1e-3, atol=1e-4)


# keras.applications


def test_every_tensor_is_used_exactly_once(hub, tmp_path):
    def refused(message, **tensors):
        np.savez(tmp_path / "y.npz", **tensors)
        with pytest.raises(DataError, match=message):
            kfkd.build("mobilenet_v2_050_keras", weights=str(tmp_path / "y.npz"))

    whole = slim_archive(hub, tmp_path / "x.npz")
    part = {k: v for k, v in whole.items() if k != "expanded_conv_3/expand/weights"}
    refused("it lacks expanded_conv_3/expand/weights", **part)
    refused(r"Logits/weights is not of this net", **whole, **{"Logits/weights": np.zeros(3)})
    refused(r"Conv_1/weights is \(3,\), not", **{**whole, "Conv_1/weights": np.zeros(3)})
    broken = {**whole, "Conv/weights": whole["Conv/weights"] * np.nan}
    refused("Conv/weights is not finite", **broken)
    (tmp_path / "y.npz").write_bytes(b"noise")
    with pytest.raises(DataError, match=r"not a readable \.npz"):
        kfkd.build("mobilenet_v2_050_keras", weights=str(tmp_path / "y.npz"))
    with pytest.raises(DataError, match="wants each of the net's 260 tensors"):
        kfkd.build("mobilenet_v2_075_keras", weights=str(tmp_path / "x.npz"))


def test_keras_files_go_in_and_others_are_refused(faces, tmp_path):
    source = kfkd.build("mobilenet_v2_050_keras", 8, weights=None)
    source.get_layer("backbone").save_weights(tmp_path / "x.weights.h5")
    other = kfkd.build("mobilenet_v2_050_keras", 8, weights=str(tmp_path / "x.weights.h5"))
    for a, b in zip(other.weights[:260], source.weights[:260], strict=True):
        np.testing.assert_array_equal(a, b)
    (tmp_path / "noise.h5").write_bytes(b"noise")
    with pytest.raises(DataError, match="does not hold this net's weights"):
        kfkd.build("mobilenet_v2_050_keras", weights=str(tmp_path / "noise.h5"))
    with pytest.raises(WeightsError, match=r"MobileNetV2 weights 'absent.h5' .*no such file"):
        kfkd.build("mobilenet_v2_050_keras", weights="absent.h5")
    with pytest.raises(KfkdError, match="no pooling is called 'max'"):
        kfkd.build("mobilenet_v2_050_keras", weights=None, pooling="max")


def test_imagenet_weights_out_of_reach_say_the_way_out(monkeypatch):
    def refuse(*arguments, **named):
        raise OSError("no network") if named["weights"] else AssertionError

    monkeypatch.setattr(keras.applications, "MobileNetV2", refuse)
    with pytest.raises(WeightsError, match=r"'imagenet' cannot be had \(no network\); download"):
        kfkd.build("mobilenet_v2_050_keras")


# Training


def trained(folder, faces, module, callbacks=(), **settings):
    settings = {"phases": (Phase(1, 0), Phase(2, 2, 1e-4)), "epochs": 3, **settings}
    return kfkd.train(
        "mobilenet_v2_050",
        faces,
        subsets="dense",
        options={"weights": str(module)},
        callbacks=callbacks,
        out=folder,
        quiet=True,
        **settings,
    )


def interrupt_in(batch):
    callback, left = keras.callbacks.Callback(), iter(range(batch - 1, -1, -1))

    def stop(*arguments, **named):
        if next(left) == 0:
            raise KeyboardInterrupt

    callback.on_train_batch_end = stop
    return callback


def test_two_phases_survive_being_killed(module, faces, tmp_path, monkeypatch):
    monkeypatch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
    alone = trained(tmp_path / "alone", faces, module)
    rates = [row["learning_rate"] for row in alone.history()["dense"]]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-4])
    steps = -(-len(faces) * 8 // 10 // 8)
    for batch in (steps + 2, steps + 1):  # in the second phase's first epoch, then its second
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "run", faces, module, [interrupt_in(batch)])
    run = resume(tmp_path / "run", faces, quiet=True)
    np.testing.assert_array_equal(run.predict(faces.images), alone.predict(faces.images))
    assert load_run(tmp_path / "run").record["settings"]["recipe"]["phases"][1]["unfreeze"] == 2
    command = training_command(run)
    assert "--fine-tune 2 --head-epochs 1 --fine-tune-rate 0.0001" in command
    untouched = load_model(tmp_path / "run" / "dense.keras").get_layer("backbone").layers[0]
    built = kfkd.build("mobilenet_v2_050", 8, weights=str(module)).get_layer("backbone").layers[0]
    for a, b in zip(untouched.weights, built.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_fine_tuning_on_the_command_line(module, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
    data, run = write_kaggle_folder(tmp_path / "kaggle", train=40, test=2), tmp_path / "run"
    asked = ["train", "mobilenet_v2_050", "--data", str(data), "--subsets", "dense", "--quiet"]
    asked += ["--epochs", "2", "--weights", str(module)]
    assert main([*asked, "--fine-tune", "all", "--head-epochs", "1", "--out", str(run)]) == 0
    recipe = load_run(run).record["settings"]["recipe"]
    assert [phase["unfreeze"] for phase in recipe["phases"]] == [0, None]
    assert "--fine-tune all --head-epochs 1" in training_command(load_run(run))
    for flags, message in (
        (["--head-epochs", "1"], "want --fine-tune"),
        (["--fine-tune", "some"], "a number of layers from 1, or all"),
        (["--fine-tune", "0"], "a number of layers from 1, or all"),
        (["--fine-tune", "3", "--head-epochs", "2"], "from 0 to 1 of the 2 epochs"),
        (["--fine-tune", "3", "--fine-tune-rate", "0"], "phases wants"),
    ):
        assert main([*asked, *flags, "--out", str(tmp_path / "other")]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("asked", [(20, 40, 5, 1e-4), (20, "all", 0, 1e-3), (20, "all", None)])
def test_flags_and_phases_say_the_same(asked):
    phases = fine_tuning(*asked)
    assert sum(phase.epochs for phase in phases) == 20
    recipe = {"epochs": 20, "phases": [asdict(phase) for phase in phases]}
    assert fine_tuning(20, *fine_tuning_flags(recipe).values()) == phases


def test_phases_without_flags_are_not_made_up():
    odd = [asdict(p) for p in (Phase(5, 1), Phase(5, 2), Phase(10, None, 1e-4))]
    assert fine_tuning_flags({"epochs": 20, "phases": odd}) == {}
    assert fine_tuning_flags({"epochs": 20, "phases": []}) == {}
    frozen = [asdict(p) for p in entry("mobilenet_v2_050").recipe.phases]
    assert fine_tuning_flags({"epochs": 50, "phases": frozen}) == {}


def test_fine_tuning_wants_a_backbone(faces, tmp_path):
    with pytest.raises(KfkdError, match="simple_cnn has no layer called 'backbone'"):
        kfkd.train(
            "simple_cnn",
            faces,
            epochs=2,
            augment=None,
            phases=fine_tuning(2, 5, 1),
            out=tmp_path / "run",
            quiet=True,
        )
