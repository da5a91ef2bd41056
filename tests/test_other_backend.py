"""Training under JAX: without TensorFlow, on the same batches, from end to end."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kfkd.bench.train import _noise
from kfkd.bench.training import compiled_entry
from kfkd.codecs import Coordinates
from kfkd.errors import KfkdError, RunError
from kfkd.pipelines.batches import evaluation_batches, training_batches
from kfkd.pipelines.device_steps import one_batch
from kfkd.pipelines.synthetic import synthetic_faces, write_kaggle_folder
from kfkd.registry import entries, entry

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed"
)
SETTINGS = {"subset": "dense", "seed": 3, "first_epoch": 1, "epochs": 3}

BATCHES = """
import json, sys
import numpy as np
from kfkd.augment import mix
from kfkd.codecs import Coordinates
from kfkd.pipelines.batches import evaluation_batches, training_batches
from kfkd.pipelines.synthetic import synthetic_faces

import jax

faces, codec = synthetic_faces(30, seed=2), Coordinates(48.0, 48.0)
found = {}
for name in ("none", "flip(p=0.5), rotate(15)"):
    bound = mix(name).bind(faces.skeleton) if name != "none" else None
    made = training_batches(faces, 8, codec=codec, augment=bound, **json.loads(sys.argv[2]))
    for i, arrays in enumerate(made):
        assert all(isinstance(array, jax.Array) for array in arrays)
        found |= {f"{name}_{i}_{j}": np.asarray(array) for j, array in enumerate(arrays)}
held = evaluation_batches(faces, 8, codec=codec)
for i, arrays in enumerate(held):
    found |= {f"held_{i}_{j}": np.asarray(array) for j, array in enumerate(arrays)}
kept = {array.unsafe_buffer_pointer() for array, _ in held}
assert kept == {array.unsafe_buffer_pointer() for array, _ in held}, "copied in every epoch"
np.savez(sys.argv[1], **found)
"""

WHOLE_WAY = """
import sys
from pathlib import Path

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tensorflow_hub", "tf_keras"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoTensorFlow())
import kfkd

data, out = Path(sys.argv[1]), Path(sys.argv[2])
run = kfkd.train(
    "simple_cnn", data, subsets="all", epochs=1, augment="standard", out=out / "run", quiet=True
)
assert run.finished and run.record["backend"] == "jax"
assert kfkd.evaluate(run, data, quiet=True).images == run.record["split"]["validation"]
assert kfkd.predict(run, data, quiet=True).shape == (5, 15, 2)
assert kfkd.submit(run, data, out=out / "mine.csv", quiet=True, force=True).is_file()
kfkd.explore(data, out / "explore", quiet=True)
try:
    kfkd.train("mobilenet_v2_050", data, out=out / "hub", quiet=True)
except kfkd.errors.KfkdError as error:
    assert "KERAS_BACKEND=tensorflow" in str(error), error
else:
    raise AssertionError("a TF-Hub module cannot run under JAX")
assert "tensorflow" not in sys.modules
"""


def under_jax(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@needs_jax
@pytest.mark.slow
def test_jax_goes_the_whole_way_without_tensorflow(tmp_path):
    data = write_kaggle_folder(tmp_path / "data", train=60, test=5)
    under_jax(WHOLE_WAY, data, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, e in entries().items() if e.family != "hub"])
def test_every_entry_with_weights_of_its_own_learns_a_step(name, keras_ready):
    """Under whichever backend this is: CI asks JAX, where there is no TensorFlow."""
    found, subset = entry(name), entry(name).subsets[0]
    faces, settings = _noise(found, 4), {"subset": subset, "codec": found.codec}
    model = compiled_entry(found, faces, "float32", subset, found.offline)
    measured = evaluation_batches(faces, 4, **settings)
    batches = training_batches(faces, 2, **settings)
    told = model.fit(batches, steps_per_epoch=1, validation_data=measured, shuffle=False, verbose=0)
    assert {*told.history} == {"loss", "rmse", "val_loss", "val_rmse"}
    assert all(np.isfinite(value).all() for value in told.history.values())
    keras.utils.clear_session()


@needs_jax
@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="compares TensorFlow with JAX")
def test_batches_are_those_of_tensorflow(tmp_path, keras_ready):
    from kfkd.augment import mix

    under_jax(BATCHES, tmp_path / "found.npz", json.dumps(SETTINGS))
    faces, codec = synthetic_faces(30, seed=2), Coordinates(48.0, 48.0)
    with np.load(tmp_path / "found.npz") as stored:
        found = dict(stored)
    for name in ("none", "flip(p=0.5), rotate(15)"):
        bound = mix(name).bind(faces.skeleton) if name != "none" else None
        wanted = list(training_batches(faces, 8, codec=codec, augment=bound, **SETTINGS))
        assert sum(key.startswith(name) for key in found) == 2 * len(wanted) == 16
        for i, (images, targets) in enumerate(wanted):
            off = np.abs(found[f"{name}_{i}_0"].astype(int) - np.asarray(images))
            assert np.quantile(off, 0.999) <= (0 if bound is None else 1)
            np.testing.assert_allclose(found[f"{name}_{i}_1"], targets, atol=1e-4)
    for i, (images, targets) in enumerate(evaluation_batches(faces, 8, codec=codec)):
        np.testing.assert_array_equal(found[f"held_{i}_0"], images)
        np.testing.assert_allclose(found[f"held_{i}_1"], targets, atol=1e-6)


def test_one_batch_comes_again_and_again(keras_ready):
    faces = synthetic_faces(30, seed=2)
    (images, targets), *_ = training_batches(faces, 8, seed=1)
    again = list(one_batch(training_batches(faces, 8, seed=1), 6))
    assert len(again) == 6
    for other_images, other_targets in again:
        np.testing.assert_array_equal(other_images, images)
        np.testing.assert_array_equal(other_targets, targets)


def test_a_training_goes_on_under_its_own_backend_alone(tmp_path, tiny_zoo, monkeypatch):
    import kfkd
    from kfkd.storage.files import read_json, write_json

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    faces = synthetic_faces(30, seed=2)
    settings = {"subsets": "dense", "epochs": 2, "out": tmp_path / "run", "quiet": True}
    with pytest.raises(KeyboardInterrupt):
        kfkd.train("tiny", faces, callbacks=[Stop()], **settings)
    record = tmp_path / "run" / "run.json"
    facts = read_json(record)
    assert facts["backend"] == keras.config.backend()
    write_json(record, {**facts, "backend": "torch"})
    with pytest.raises(RunError, match=r"other backend \(received \w+, it has torch\)"):
        kfkd.train("tiny", faces, **settings)
    write_json(record, facts)
    assert kfkd.train("tiny", faces, **settings).finished


def test_bench_train_gives_ratios_first(tiny_zoo):
    from kfkd.bench.train import bench_train

    figures = bench_train(
        "tiny", batch_size=4, augment="flip(p=0.5)", rounds=1, steps=2, quiet=True
    )
    assert list(figures)[:2] == ["pipeline_share", "of_matrix_rate"]
    assert figures["pipeline_share"] < 1 and 0 < figures["of_matrix_rate"] < 1
    assert figures["backend"] == keras.config.backend() and figures["device"]
    step = figures["step_ms"] / 1000
    assert figures["images_per_s"] == pytest.approx(4 / step, rel=0.01)
    assert figures["tflops"] == pytest.approx(
        figures["gflops_per_image"] * 4 / step / 1000, rel=0.01, abs=2e-4
    )
    with pytest.raises(KfkdError, match=r"want to be 1 at least\. Received: 4, 0, 2"):
        bench_train("tiny", batch_size=4, rounds=0, steps=2)
    with pytest.raises(KfkdError, match="no precision is called 'float8'"):
        bench_train("tiny", precision="float8")
