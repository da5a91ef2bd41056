"""Several devices and machines train what one device trains; what is lost is said, and goes on."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

from kfkd.cli import main
from kfkd.errors import KfkdError
from kfkd.learning.determinism import take_memory_as_needed
from kfkd.machines.cluster import LostMachine, Machines
from kfkd.machines.devices import Devices, check_devices, devices_for
from kfkd.machines.joining import join, machines_asked
from kfkd.pipelines.sharing import filled_batches, unlabelled
from kfkd.pipelines.synthetic import write_kaggle_folder
from kfkd.runs import load_run
from kfkd.training import resume

TWO = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


def needs(package):
    absent = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(absent, reason=f"{package} is not installed")


ZOO = """
import json, os, signal, sys
import kfkd, kfkd.learning.trainer
from kfkd.registry import Recipe, entries, register

entries()
dropout = 0.2 if os.environ["KERAS_BACKEND"] == "jax" else 0.0  # TensorFlow's draw differs

def even(outputs, input_shape=(96, 96, 1)):
    from keras import Input, Model, layers
    image = Input(input_shape)
    x = layers.Conv2D(4, 5, strides=4, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.BatchNormalization()(layers.Conv2D(8, 5, strides=4, activation="relu")(x))
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    return Model(image, layers.Dense(outputs, dtype="float32")(x))

# Not Adam, which makes steps out of gradients that are nothing but rounding.
mean = {"ema": 0.9, "optimizer": "sgd", "weight_decay": 0.01, "loss": "rmse"}
register(recipe=Recipe(learning_rate=0.01, batch_size=18, epochs=2, validation=0.2, **mean))(even)
kfkd.learning.trainer.draw_run = lambda *arguments: None
"""

ONE_AND_ALL = """
if os.environ["KERAS_BACKEND"] == "tensorflow":
    import tensorflow as tf
    processor = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(processor, parts)
import keras
from kfkd.pipelines.synthetic import synthetic_faces

out, settings = sys.argv[1], {"subsets": "all", "quiet": True}
settings["augment"] = "flip(p=0.5), rotate(15)"
faces = synthetic_faces(76, seed=1)
class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

try:
    kfkd.train("even", faces, out=f"{out}/all", devices="all", callbacks=[Stop()], **settings)
except KeyboardInterrupt:
    print("stopped after an epoch")
for devices in (None, "all"):
    run = kfkd.train("even", faces, out=f"{out}/{devices}", devices=devices, **settings)
    assert run.record["split"]["validation"] % 2, "a last batch that cannot be shared evenly"
try:
    kfkd.train("even", faces, out=f"{out}/3", devices=3, **settings)
except kfkd.errors.KfkdError as error:
    assert "wants no more than" in str(error) and "sees, 2 (" in str(error), error
else:
    raise AssertionError("there are no three devices")
"""

COMMAND = """
import kfkd.learning.fitting
from kfkd.cli import main

class Dying(kfkd.learning.fitting.EpochLog):
    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "dies":
    kfkd.learning.fitting.EpochLog = Dying
sys.exit(main(sys.argv[2:]))
"""

BATCHES = """
import sys
from contextlib import nullcontext
import keras
import numpy as np
import kfkd
from kfkd.augment import mix
from kfkd.pipelines.batches import evaluation_batches, training_batches

def arrays(batches):
    return [tuple(map(np.asarray, batch)) for batch in batches]

for lazy in (False, True):
    faces = kfkd.load_faces("ibug", sys.argv[1], lazy=lazy, quiet=True, size=(32, 32))
    bound = mix("flip(p=0.5), rotate(15), noise(5)").bind(faces.skeleton)
    def made():
        batches = training_batches(faces, 4, seed=3, epochs=2, augment=bound)
        return arrays(batches), arrays(evaluation_batches(faces, 4))
    (learn, measure), devices = made(), keras.distribution.DataParallel(auto_shard_dataset=False)
    with devices.scope():
        ours, measured = made()
    for (images, targets), (other, others) in zip(learn, ours, strict=True):
        assert np.abs(images.astype(int) - other).max() <= 1
        np.testing.assert_allclose(targets, others, atol=1e-4)
    for (images, targets), (other, others, weights) in zip(measure, measured, strict=True):
        n = len(images)
        assert len(other) % 2 == 0 and weights.tolist() == [1.0] * n + [0.0] * (len(other) - n)
        np.testing.assert_array_equal(images, other[:n])
        np.testing.assert_array_equal(targets, others[:n])
        assert np.isnan(others[n:]).all()
    assert n == 3
"""


def started(script, *arguments, **environment):
    command = [sys.executable, "-c", script, *arguments]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(list(map(str, command)), env=env, **pipes)


def ended(process, code=0):
    said, errors = process.communicate(timeout=600)
    assert process.returncode == code, errors[-3000:]
    return said, errors


def assert_same(one, other, subset, tolerance=1e-4):
    """Histories and weights of two runs' folders are equal but for rounding."""
    one, other = load_run(one), load_run(other)
    pairs = zip(one.history()[subset], other.history()[subset], strict=True)
    for row, wanted in pairs:
        for key in ("loss", "rmse", "val_loss", "val_rmse"):
            assert row[key] == pytest.approx(wanted[key], rel=tolerance), key
    weights = (run.model(subset).get_weights() for run in (one, other))
    for found, wanted in zip(*weights, strict=True):
        np.testing.assert_allclose(found, wanted, atol=tolerance)


# The same result


@needs("tensorflow")
@pytest.mark.slow
def test_two_devices_train_what_one_does_under_tensorflow(tmp_path, keras_ready):
    said, _ = ended(started(ZOO + ONE_AND_ALL, tmp_path, KERAS_BACKEND="tensorflow"))
    assert "stopped after an epoch" in said
    assert_same(tmp_path / "all", tmp_path / "None", "all")
    facts = load_run(tmp_path / "all").record["devices"]
    assert facts == {"count": 2, "kind": "cpu", "machines": 1}
    assert "devices" not in load_run(tmp_path / "None").record


@needs("jax")
@pytest.mark.slow
def test_two_devices_train_what_one_does_under_jax(tmp_path, keras_ready):
    said, _ = ended(started(ZOO + ONE_AND_ALL, tmp_path, **TWO))
    assert "stopped after an epoch" in said
    assert_same(tmp_path / "all", tmp_path / "None", "all")


@needs("jax")
@pytest.mark.slow
def test_a_killed_machine_is_told_and_the_run_goes_on_to_what_one_device_trains(
    tmp_path, keras_ready
):
    data = write_kaggle_folder(tmp_path / "data", train=77, test=5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["train", "even", "--data", data, "--epochs", 3, "--subsets", "all"]

    def machines(folders, dying=""):
        for index, folder in enumerate(folders):
            which = ["--machines", 2, "--machine", index, "--coordinator", place]
            manner = "dies" if dying == str(index) else "lives"
            out = [*command, "--out", tmp_path / folder, *which]
            yield started(ZOO + COMMAND, manner, *out, KERAS_BACKEND="jax")

    first, killed = machines(("run", "nowhere"), dying="1")
    _, said = ended(first, 2)
    assert re.search(r"kfkd: machine 0 of 2 lost another one.*start the same command on all", said)
    _, said = ended(killed, -signal.SIGKILL)
    assert "kfkd: machine 1 of 2 was killed, or lost another one" in said
    assert [row["epoch"] for row in load_run(tmp_path / "run").history()["all"]] == [1]
    at = {"KERAS_BACKEND": "jax", "KFKD_MACHINES": "2", "KFKD_COORDINATOR": place}
    again = [
        started(ZOO + COMMAND, "lives", "resume", tmp_path / folder, **at, KFKD_MACHINE=str(index))
        for index, folder in enumerate(("run", "nowhere"))
    ]
    for process in again:
        ended(process)
    assert not (tmp_path / "nowhere").exists(), "one machine alone writes"
    out = [*command, "--out", tmp_path / "alone"]
    ended(started(ZOO + COMMAND, "lives", *out, KERAS_BACKEND="jax"))
    assert_same(tmp_path / "run", tmp_path / "alone", "all")
    assert load_run(tmp_path / "run").record["devices"]["machines"] == 2


@needs("jax")
@pytest.mark.slow
def test_two_devices_share_the_batches_of_one(tmp_path, layouts):
    layouts.write_ibug(tmp_path / "ibug", count=11)
    ended(started(BATCHES, tmp_path / "ibug", **TWO))


def test_validation_batches_are_filled_up_with_rows_that_do_not_count():
    batches = filled_batches(7, 4, devices=3)
    assert [rows.tolist() for rows, _ in batches] == [[0, 1, 2, 3, 0, 0], [4, 5, 6]]
    assert [weights.tolist() for _, weights in batches] == [[1, 1, 1, 1, 0, 0], [1, 1, 1]]
    targets = unlabelled(np.ones((3, 2), np.float32), np.array([1.0, 0.0, 1.0]))
    assert (
        targets.dtype == np.float32 and np.isnan(targets).sum() == 2 == np.isnan(targets[1]).sum()
    )
    assert Devices().weight(7, 4) == 1.0


# What is asked for


def test_a_batch_must_be_shared_evenly():
    devices = Devices(("GPU:0", "GPU:1", "GPU:2"))
    devices.check_batch(48)
    with pytest.raises(KfkdError, match=r"such as 48 or 51\. Received: batch_size=50"):
        devices.check_batch(50)
    with pytest.raises(KfkdError, match=r"such as 3\. Received: batch_size=2"):
        devices.check_batch(2)
    assert devices.facts() == {"devices": {"count": 3, "kind": "gpu", "machines": 1}}
    assert Devices().facts() == {} and Devices().told() == ""


@pytest.mark.parametrize("asked", ["two", 0, -1, 1.5, True])
def test_other_numbers_of_devices_are_refused(asked):
    with pytest.raises(KfkdError, match=r'devices wants a whole number from 1, or "all"'):
        check_devices(asked, several=False)
    with pytest.raises(KfkdError, match="several machines train on all of their devices"):
        check_devices(2, several=True)
    check_devices("all", several=True)


def test_one_device_is_one_device(keras_ready):
    assert devices_for(None, Machines()) == devices_for(1, Machines()) == Devices()
    assert devices_for("all", Machines()).count >= 1


@needs("tensorflow")
def test_a_gpus_memory_is_taken_as_needed_where_that_can_be_set(monkeypatch):
    import tensorflow as tf

    asked = []

    def grow(gpu, on):
        asked.append((gpu, on))
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"{kind}:0", f"{kind}:1"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", grow)
    take_memory_as_needed()
    assert asked == [("GPU:0", True), ("GPU:1", True)]


def test_machines_come_from_flags_or_the_environment(monkeypatch):
    assert machines_asked() is None
    assert machines_asked("2", 1, "a:1") == Machines(2, 1, "a:1")
    assert machines_asked("auto") == Machines(None, None, None)
    with pytest.raises(KfkdError, match="--machine and --coordinator want --machines"):
        machines_asked(None, 1)
    for variable, value in (("MACHINES", "4"), ("MACHINE", "3"), ("COORDINATOR", "b:2")):
        monkeypatch.setenv(f"KFKD_{variable}", value)
    assert machines_asked() == Machines(4, 3, "b:2")
    assert machines_asked("5", 0) == Machines(5, 0, "b:2")
    with pytest.raises(KfkdError, match=r"which of them this is, from 0\. Received: two, 3"):
        machines_asked("two")


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="what TensorFlow cannot")
@pytest.mark.parametrize("cluster", [{"worker": ["a:1", "b:1"]}, {"chief": ["a:1"], "worker": "b"}])
def test_several_machines_under_tensorflow_are_refused_in_one_line(cluster, monkeypatch):
    with pytest.raises(KfkdError, match=r"keras#20585\): for several machines set KERAS_BACKEND"):
        join(Machines(2, 0, "a:1"))
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster}))
    with pytest.raises(KfkdError, match="MultiWorkerMirroredStrategy fails in Keras 3's fit"):
        join(None)
    for alone in ('{"cluster": {"worker": ["a:1"]}}', "{}", "[]", "no JSON"):
        monkeypatch.setenv("TF_CONFIG", alone)
        assert join(None) == Machines()


@pytest.mark.parametrize(
    ("machines", "wanted"),
    [
        (Machines(2, 2, "a:1"), r"machine wants a number from 0 to 1\. Received: 2"),
        (Machines(2, 1), r"coordinator wants machine 0's HOST:PORT\. Received: None"),
        (Machines(2, 1, "a"), r"coordinator wants machine 0's HOST:PORT\. Received: 'a'"),
        (2, r'machines want kfkd\.Machines or "auto"\. Received: 2'),
    ],
)
def test_machines_that_make_no_sense_are_refused(machines, wanted, monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(KfkdError, match=wanted):
        join(machines)


JOIN_AUTO = """
import sys
sys.modules["kubernetes"] = None  # with the package JAX would ask the cluster
from kfkd.errors import KfkdError
from kfkd.machines.joining import join
try:
    join("auto", quiet=True)
except KfkdError as error:
    print(error)
"""


@pytest.mark.slow
@needs("jax")
@pytest.mark.parametrize(
    ("there", "found"),
    [
        ({}, "nothing here is of Slurm, Open MPI, Kubernetes"),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}, "not SLURM_STEP_NODELIST, SLURM_PROCID, "),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, r'pip install "jax\[k8s\]"'),
    ],
)
def test_auto_without_a_scheduler_says_what_it_found(there, found, monkeypatch):
    for name in [n for n in os.environ if n.startswith(("SLURM_", "OMPI_", "KUBERNETES_"))]:
        monkeypatch.delenv(name)
    # In a process of its own: where JAX has computed already, it joins nobody.
    said, errors = started(JOIN_AUTO, KERAS_BACKEND="jax", **there).communicate(timeout=120)
    wanted = f"machines auto cannot tell how many.*{found}.*--machines N --machine I --coordinator"
    assert re.search(wanted, said), (said, errors)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="what TensorFlow cannot")
def test_resume_has_trains_machines_and_flags(monkeypatch, capsys, tmp_path):
    words = ["resume", str(tmp_path), "--machines", "2", "--machine", "0", "--coordinator", "a:1"]
    assert main(words) == 2
    assert "for several machines set KERAS_BACKEND=jax" in capsys.readouterr().err
    for variable, value in (("MACHINES", "2"), ("MACHINE", "1"), ("COORDINATOR", "b:2")):
        monkeypatch.setenv(f"KFKD_{variable}", value)
    assert main(words[:2]) == 2
    assert "for several machines set KERAS_BACKEND=jax" in capsys.readouterr().err
    assert main([*words[:2], "--devices", "2"]) == 2
    assert "several machines train on all of their devices" in capsys.readouterr().err


def test_a_machine_lost_before_the_training_is_told_in_a_sentence(monkeypatch, tmp_path):
    def sent(data):
        raise ValueError("UNKNOWN: Gloo AllReduce failed: Connection closed by peer")

    monkeypatch.setattr("kfkd.machines.cluster._sent", sent)
    monkeypatch.setattr("kfkd.training.join", lambda machines, quiet: machines)
    with pytest.raises(LostMachine, match=r"machine 1 of 2 lost another one.*the same command"):
        resume(tmp_path, machines=Machines(2, 1, "a:1"))


def test_one_machine_tells_itself():
    alone = Machines()
    assert alone.writes and not alone.together
    assert alone.told(lambda: {1: None}) == {1: None}
    alone.agree("settings", object())
    with pytest.raises(ValueError, match="gloo"), alone.watched():
        raise ValueError("gloo")


def test_last_words_are_said_where_python_cannot():
    script = (
        "import os, sys; from kfkd.machines.last_words import last_words\n"
        "with last_words('so long'):\n    {}"
    )
    for manner, said in (("os.abort()", True), ("pass", False), ("sys.exit(3)", False)):
        done = subprocess.run(
            [sys.executable, "-c", script.format(manner)], capture_output=True, text=True
        )
        assert ("so long" in done.stderr) == said, manner
