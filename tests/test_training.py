import json
import random
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import kfkd
from kfkd import machine
from kfkd.errors import DataError, InUse, KfkdError, RunError, UnknownName
from kfkd.learning import half_precision
from kfkd.learning.fitting import phases
from kfkd.learning.surroundings import precision, seeded
from kfkd.metrics import mean_face, rmse
from kfkd.pipelines.batches import rows_for
from kfkd.pipelines.splits import grouped_split
from kfkd.pipelines.synthetic import synthetic_faces, write_kaggle_folder
from kfkd.registry import Phase, Recipe
from kfkd.runs import load_run
from kfkd.skeletons import own_skeleton
from kfkd.training import resume

pytestmark = pytest.mark.usefixtures("tiny_zoo", "no_pictures")

LONG = {"subsets": ["dense", "sparse"], "epochs": 12}
"""Long enough for the plateau to lower the rate and for early stopping to stop the first subset."""

tuned_under_tensorflow = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="wants the weights that TensorFlow draws"
)

STEPS = 4
PICTURES = {"loss_curves.png", "keypoint_errors.png", "predictions.png", "best.png", "worst.png"}

CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import conftest, kfkd, keras
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.registry import entries
entries()
conftest.register_tiny_zoo()
print("ready", flush=True)
sys.stdin.readline()
kfkd.train("tiny", synthetic_faces(120, seed=1), out=sys.argv[2], **json.loads(sys.argv[3]))
"""


@pytest.fixture
def no_pictures(monkeypatch):
    """Drawing takes longer than all the training of these tests."""
    monkeypatch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(120, seed=1)


@pytest.fixture(scope="module")
def undisturbed(tiny_zoo, faces, tmp_path_factory):
    """A long training that nobody interrupts, with its pictures."""
    return trained(tmp_path_factory.mktemp("undisturbed") / "run", faces, **LONG)


def trained(folder, faces, name="tiny", **settings):
    return kfkd.train(name, faces, out=folder, quiet=True, **settings)


def killer(hook, calls):
    """A callback that interrupts as Ctrl-C does, at the given call of one of Keras' hooks."""
    callback, calls_left = keras.callbacks.Callback(), iter(range(calls - 1, -1, -1))

    def interrupt(*arguments, **named):
        if next(calls_left) == 0:
            raise KeyboardInterrupt

    setattr(callback, hook, interrupt)
    return callback


def train_with_kills(folder, faces, kills, **settings):
    for hook, calls in kills:
        with pytest.raises(KeyboardInterrupt):
            trained(folder, faces, callbacks=[killer(hook, calls)], **settings)
        assert not load_run(folder).finished
    return trained(folder, faces, **settings)


def timeless(history):
    return {
        subset: [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
        for subset, rows in history.items()
    }


def plain(metrics):
    """As run.json gives them back."""
    return json.loads(json.dumps(metrics))


def assert_same_result(run, other, faces):
    np.testing.assert_array_equal(run.predict(faces.images), other.predict(faces.images))
    assert timeless(run.history()) == timeless(other.history())
    assert plain(run.metrics) == plain(other.metrics)
    timing = {"seconds", "images_per_second"}
    for subset in other.subsets:
        ours, theirs = (r.record["subsets"][subset] for r in (run, other))
        assert {k: v for k, v in ours.items() if k not in timing} == {
            k: v for k, v in theirs.items() if k not in timing
        }


# What a training leaves


def test_a_run_folder_holds_everything(undisturbed):
    files = {path.name for path in undisturbed.folder.iterdir()}
    assert files == {"run.json", "history.csv", "dense.keras", "sparse.keras", *PICTURES}
    for picture in PICTURES:
        assert (undisturbed.folder / picture).read_bytes().startswith(b"\x89PNG")


def test_run_json_says_how_and_on_what(undisturbed, faces):
    record = json.loads((undisturbed.folder / "run.json").read_text())
    assert (record["model"], record["status"]) == ("tiny", "finished")
    assert record["settings"]["recipe"]["epochs"] == 12
    assert record["settings"]["recipe"]["plateau"]["factor"] == 0.5
    assert record["settings"]["subsets"] == ["dense", "sparse"]
    assert {"python", "kfkd", "keras", keras.config.backend(), "numpy"} <= set(record["versions"])
    assert record["machine"]["cores"] >= 1
    assert record["data"]["fingerprint"] == faces.fingerprint
    assert record["data"]["rows"] == 120 == sum(record["data"]["sources"].values())
    train, validation = grouped_split(faces, 0.2, 0)
    assert record["split"] == {
        "seed": 0,
        "share": 0.2,
        "train": len(train),
        "validation": len(validation),
    }
    own = mean_face(faces.keypoints[train])
    np.testing.assert_allclose(record["mean_face"]["all"], own, atol=1e-4)


def test_metrics_have_the_mean_face_beside_the_model(undisturbed, faces):
    train, validation = grouped_split(faces, 0.2, 0)
    truth = faces.keypoints[validation]
    metrics = undisturbed.metrics
    assert metrics["on"] == "validation" and metrics["images"] == len(validation)
    assert metrics["values"] == (~np.isnan(truth)).sum()
    error = rmse(truth, undisturbed.predict(faces.images[validation]))
    assert metrics["model"]["all"] == pytest.approx(error, abs=1e-4)
    flat = np.broadcast_to(mean_face(faces.keypoints[train]), truth.shape)
    assert metrics["mean_face"]["all"] == pytest.approx(rmse(truth, flat), abs=1e-4)
    for column in ("model", "mean_face", "mean_per_source"):
        assert metrics[column]["kaggle_rmse"] > 0
    assert set(metrics["keypoints"]) == set(faces.skeleton.points)


def test_history_has_a_row_an_epoch(undisturbed):
    history = undisturbed.history()
    for subset, rows in history.items():
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        facts = undisturbed.record["subsets"][subset]
        assert facts["epochs"] == len(rows)
        best = min(rows, key=lambda row: row["val_rmse"])
        assert (facts["best_epoch"], facts["best_val_rmse"]) == (best["epoch"], best["val_rmse"])
        assert rows[-1]["loss"] < rows[0]["loss"]
    assert list(history) == ["dense", "sparse"]


@tuned_under_tensorflow
def test_the_long_training_tests_what_it_should(undisturbed):
    """Otherwise the tests of resuming would prove little."""
    dense, sparse = undisturbed.history().values()
    assert len(dense) < 12 == len(sparse), "early stopping has to stop one of the two"
    assert undisturbed.record["subsets"]["dense"]["best_epoch"] < len(dense)
    assert dense[-1]["learning_rate"] < dense[0]["learning_rate"]


def test_the_best_weights_are_kept(undisturbed, faces):
    validation = faces[grouped_split(faces, 0.2, 0)[1]]
    chosen = list(faces.skeleton.subset("dense"))
    predicted = undisturbed.predict(validation.images, subset="dense")
    error = rmse(validation.keypoints[:, chosen], predicted[:, chosen])
    best = undisturbed.record["subsets"]["dense"]["best_val_rmse"]
    assert error == pytest.approx(best, rel=1e-4)


@tuned_under_tensorflow
def test_the_last_weights_are_kept_where_the_recipe_says_so(tmp_path, faces):
    settings = {"subsets": "dense", "restore_best": False}
    run = trained(tmp_path / "run", faces, **settings, epochs=9, early_stopping=None)
    last = run.history()["dense"][-1]["val_rmse"]
    assert run.metrics["model"]["dense"] == pytest.approx(last, rel=1e-4)
    assert last > run.record["subsets"]["dense"]["best_val_rmse"]


# The same again


def test_a_seed_gives_the_same_run_and_another_seed_another(tmp_path, faces):
    runs = [
        trained(tmp_path / str(i), faces, subsets="dense", epochs=2, seed=seed)
        for i, seed in enumerate((7, 7, 8))
    ]
    assert_same_result(runs[0], runs[1], faces)
    first, _, other = (run.predict(faces.images) for run in runs)
    assert not np.array_equal(first, other, equal_nan=True)


@pytest.mark.parametrize("failure", [None, KeyboardInterrupt])
def test_the_callers_randomness_and_precision_stay_as_they_were(failure):
    def draw():
        return np.random.random(), random.random()  # noqa: NPY002

    def drawn_around(inside):
        np.random.seed(5)  # noqa: NPY002
        random.seed(5)
        return draw(), inside(), draw()

    def seeded_draw():
        with suppress(KeyboardInterrupt), seeded(3), precision("mixed_bfloat16"):
            drawn.append(draw())
            if failure:
                raise failure

    drawn = []
    with_seed, without = drawn_around(seeded_draw), drawn_around(lambda: None)
    assert with_seed == without
    assert drawn_around(seeded_draw) == without and drawn[0] == drawn[1] != without[2]
    assert keras.config.dtype_policy().name == "float32"


# Killed and resumed


def batches_to_kill_at():
    late = 8 * STEPS + 2  # patience has begun to run out, and the best weights are two epochs old
    rng = np.random.Generator(np.random.PCG64(0))
    return [[late, 10], rng.integers(1, 3 * STEPS, 3).tolist()]


@pytest.mark.parametrize("batches", batches_to_kill_at(), ids=str)
def test_a_training_killed_within_epochs_ends_as_one_left_alone(
    tmp_path, faces, undisturbed, batches
):
    kills = [("on_train_batch_end", batch) for batch in batches]
    run = train_with_kills(tmp_path / "run", faces, kills, **LONG)
    assert_same_result(run, undisturbed, faces)


@pytest.mark.slow
def test_a_training_killed_between_epochs_and_subsets_ends_as_one_left_alone(
    tmp_path, faces, undisturbed
):
    kills = [
        ("on_epoch_begin", 1),
        ("on_epoch_end", 3),
        ("on_test_batch_end", 2),
        ("on_train_end", 1),
        ("on_epoch_end", 5),
    ]
    run = train_with_kills(tmp_path / "run", faces, kills, **LONG)
    assert_same_result(run, undisturbed, faces)
    assert not (run.folder / "checkpoint").exists()


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_mixed_precision_resumes_exactly(tmp_path, faces, policy):
    settings = {"subsets": "dense", "epochs": 3, "precision": policy}
    alone = trained(tmp_path / "alone", faces, **settings)
    assert alone.model("dense").layers[2].compute_dtype == policy.removeprefix("mixed_")
    kills = [("on_train_batch_end", 2 * STEPS + 1)]
    assert_same_result(train_with_kills(tmp_path / "run", faces, kills, **settings), alone, faces)


@pytest.mark.parametrize(
    ("can", "gpu", "asked", "told"),
    [
        ({"avx512f"}, "", "mixed_bfloat16", True),
        ({"avx512f"}, "", "mixed_float16", True),
        ({"avx512f", "avx512_bf16"}, "", "mixed_bfloat16", False),
        ({"avx512f", "avx512_bf16"}, "", "mixed_float16", True),
        ({"asimd", "bf16"}, "", "mixed_bfloat16", False),
        ({"avx512f"}, "", "float32", False),
        ({"avx512f"}, "a GPU", "mixed_bfloat16", False),
        (set(), "", "mixed_bfloat16", False),
    ],
)
def test_a_precision_that_the_processor_emulates_is_told(monkeypatch, can, gpu, asked, told):
    monkeypatch.setattr(half_precision, "instructions", lambda: frozenset(can))
    monkeypatch.setattr(half_precision, "accelerator", lambda: gpu)
    assert (half_precision.slow_here(asked) is not None) == told


@pytest.mark.parametrize("quiet", [False, True])
def test_a_training_tells_of_a_slow_precision(tmp_path, faces, monkeypatch, capsys, quiet):
    monkeypatch.setattr(half_precision, "instructions", lambda: frozenset({"avx512f"}))
    monkeypatch.setattr(half_precision, "accelerator", lambda: "")
    settings = {"subsets": "dense", "epochs": 1, "precision": "mixed_bfloat16", "quiet": quiet}
    kfkd.train("tiny", faces, out=tmp_path / "run", **settings)
    assert ("no instructions for mixed_bfloat16" in capsys.readouterr().err) == (not quiet)


@pytest.mark.parametrize(
    ("cpuinfo", "known", "name"),
    [
        (
            "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2\n",
            {"fpu", "avx2"},
            "Some CPU",
        ),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", {"fp", "asimd", "bf16"}, None),
        ("flags\t:\n", set(), None),
    ],
)
def test_what_linux_says_of_the_processor(monkeypatch, cpuinfo, known, name):
    monkeypatch.setattr(Path, "read_text", lambda *args, **settings: cpuinfo)
    assert machine.instructions() == known
    assert machine.machine()["cpu"] == name or (name is None and machine.machine()["cpu"])


@pytest.mark.slow
def test_phases_freeze_the_backbone_and_resume_exactly(tmp_path, faces):
    settings = {"name": "tiny_phases", "subsets": "dense"}
    learning = []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: learning.append(len(spy.model.trainable_weights))
    )
    alone = trained(tmp_path / "alone", faces, callbacks=[spy], **settings)
    assert learning == [2, 2, 4, 4, 4]
    rates = [row["learning_rate"] for row in alone.history()["dense"]]
    assert rates == pytest.approx([0.001] * 2 + [0.005] * 3)
    kills = [
        ("on_train_batch_end", STEPS + 2),  # within phase 1
        ("on_train_end", 1),  # between the phases
        ("on_train_batch_end", STEPS + 2),  # within phase 2
    ]
    run = train_with_kills(tmp_path / "run", faces, kills, **settings)
    assert_same_result(run, alone, faces)


def test_phases_stretch_with_the_epochs():
    recipe = Recipe(epochs=25, phases=(Phase(10, 0), Phase(15, 5, 0.1)))
    assert phases(recipe) == list(recipe.phases)
    stretched = phases(Recipe(epochs=5, phases=recipe.phases))
    assert [(p.epochs, p.unfreeze) for p in stretched] == [(2, 0), (3, 5)]
    assert sum(p.epochs for p in phases(Recipe(epochs=1, phases=recipe.phases))) == 1
    assert phases(Recipe(epochs=7)) == [Phase(7, None)]


@pytest.mark.slow
def test_a_killed_process_resumes_exactly(tmp_path, faces):
    settings = {"subsets": "dense", "epochs": 60, "early_stopping": 60}
    folder = tmp_path / "run"
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(folder)]
    command.append(json.dumps(settings))
    # All load Keras at the same time; each begins to train when the one before is dead.
    children = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        alone = trained(tmp_path / "alone", faces, **settings)
        for child in children:
            kill_at_a_random_moment(child, folder)
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert load_run(folder).record["status"] == "running"
    assert 20 <= epochs_done(folder) < 60
    assert_same_result(trained(folder, faces, **settings), alone, faces)
    assert not list(folder.rglob(".*")), "half-written files are left"


def kill_at_a_random_moment(child, folder):
    assert child.stdout.readline() == "ready\n"
    wanted, patience = epochs_done(folder) + 10, time.monotonic() + 60
    print("go", file=child.stdin, flush=True)
    while epochs_done(folder) < wanted:
        assert child.poll() is None and time.monotonic() < patience
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.1))
    child.kill()
    assert child.wait() == -9


def epochs_done(folder):
    history = folder / "history.csv"
    return len(history.read_text().splitlines()) - 1 if history.exists() else 0


def test_a_folder_that_another_training_is_at_work_in_is_refused(tmp_path, faces):
    seen, settings = [], {"subsets": "dense", "epochs": 1}

    def again(epoch, logs):
        with pytest.raises(InUse, match=r"run is in use by .* \(process \d+ on .*; wait until it"):
            trained(tmp_path / "run", faces, **settings)
        with pytest.raises(InUse):
            resume(tmp_path / "run", faces, quiet=True)
        seen.append(epoch)

    spy = keras.callbacks.LambdaCallback(on_epoch_begin=again)
    run = trained(tmp_path / "run", faces, callbacks=[spy], **settings)
    assert seen == [0] and run.finished
    assert trained(tmp_path / "run", faces, **settings).metrics == plain(run.metrics)
    assert not list(tmp_path.rglob(".*"))


def test_a_training_killed_before_its_facts_are_written_still_gets_them(
    tmp_path, faces, monkeypatch
):
    from kfkd.learning import trainer

    settings = {"subsets": "dense", "epochs": 2}
    save = trainer._save_model

    def save_then_die(model, path):
        save(model, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_save_model", save_then_die)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "run", faces, **settings)
    assert (tmp_path / "run" / "dense.keras").exists()
    run = trained(tmp_path / "run", faces, **settings)
    assert_same_result(run, trained(tmp_path / "alone", faces, **settings), faces)


def test_a_training_killed_while_drawing_only_draws_again(tmp_path, faces, monkeypatch):
    def die(*arguments):
        raise KeyboardInterrupt

    settings, drawn = {"subsets": "dense", "epochs": 1}, []
    monkeypatch.setattr("kfkd.learning.trainer.draw_run", die)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", faces, **settings)
    model = (tmp_path / "run" / "dense.keras").read_bytes()
    monkeypatch.setattr("kfkd.learning.trainer.draw_run", lambda *given: drawn.append(given))
    run = trained(tmp_path / "run", faces, callbacks=[killer("on_train_begin", 1)], **settings)
    assert run.finished and len(drawn) == 1
    assert (tmp_path / "run" / "dense.keras").read_bytes() == model


def test_a_broken_checkpoint_is_named(tmp_path, faces):
    settings = {"subsets": "dense", "epochs": 2}
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, faces, callbacks=[killer("on_epoch_begin", 2)], **settings)
    checkpoint = tmp_path / "checkpoint" / "dense.npz"
    whole = checkpoint.read_bytes()
    for content in (b"", b"no zip", whole[: len(whole) // 2]):
        checkpoint.write_bytes(content)
        with pytest.raises(RunError, match=r"dense\.npz is not a readable checkpoint"):
            trained(tmp_path, faces, **settings)


# Going on with a run folder


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"epochs": 13}, "recipe: epochs: received 13, it has 12"),
        ({"seed": 3}, "seed: received 3, it has 0"),
        ({"precision": "mixed_bfloat16"}, "precision: received mixed_bfloat16"),
        ({"subsets": "all"}, "subsets: received"),
        ({"drop_incomplete": True}, "drop_incomplete: received True"),
        ({"loss": "mae", "batch_size": 8}, "loss: .*batch_size: |batch_size: .*loss: "),
        ({"plateau": None}, "plateau: received None"),
    ],
)
def test_a_folder_with_other_settings_is_refused_by_name(undisturbed, faces, changed, named):
    with pytest.raises(RunError, match=f"other settings .*{named}"):
        trained(undisturbed.folder, faces, **{**LONG, **changed})


def test_a_folder_with_another_model_or_other_data_is_refused(undisturbed, faces):
    with pytest.raises(RunError, match="model: received tiny_phases, it has tiny"):
        trained(undisturbed.folder, faces, "tiny_phases", **LONG)
    with pytest.raises(RunError, match=f"other data .*it has {faces.fingerprint}"):
        trained(undisturbed.folder, faces[:100], **LONG)


def test_a_finished_run_is_returned_as_it_is(undisturbed, faces):
    before = {p.name: p.stat().st_mtime_ns for p in undisturbed.folder.iterdir()}
    run = trained(undisturbed.folder, faces, callbacks=[killer("on_train_begin", 1)], **LONG)
    assert run.finished and run.metrics == plain(undisturbed.metrics)
    assert {p.name: p.stat().st_mtime_ns for p in undisturbed.folder.iterdir()} == before


def test_resume_needs_the_run_folder_alone(tmp_path):
    data = write_kaggle_folder(tmp_path / "data", train=60, test=2)
    settings = {"subsets": "dense", "epochs": 3, "early_stopping": 2}
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", data, callbacks=[killer("on_epoch_end", 2)], **settings)
    run = resume(tmp_path / "run", quiet=True)
    assert run.finished
    alone = trained(tmp_path / "alone", data, **settings)
    assert_same_result(run, alone, kfkd.load_faces("kaggle", data, quiet=True))
    assert resume(tmp_path / "run", quiet=True).metrics == plain(run.metrics)


def test_resume_keeps_phases_and_plateau(tmp_path, faces):
    for name in ("tiny", "tiny_phases"):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / name, faces, name, callbacks=[killer("on_epoch_begin", 2)])
        with pytest.raises(DataError, match=r"no training\.csv"):
            resume(tmp_path / name, tmp_path, quiet=True)
        settings = load_run(tmp_path / name).record["settings"]
        with pytest.raises(RunError, match="other data"):
            resume(tmp_path / name, faces[:50], quiet=True)
        assert load_run(tmp_path / name).record["settings"] == settings


def brighter(images, keypoints, seed):
    return keras.ops.bitwise_or(images, np.uint8(1)), keypoints


@pytest.mark.slow
def test_an_own_augmentation_is_used_named_and_wanted_again(tmp_path, faces):
    settings = {"subsets": "dense", "epochs": 2, "augment": brighter}
    run = trained(tmp_path / "run", faces, **settings)
    plain = trained(tmp_path / "plain", faces, subsets="dense", epochs=2)
    assert run.record["settings"]["augment"] == "brighter"
    ours, theirs = (timeless(r.history())["dense"][0]["loss"] for r in (run, plain))
    assert ours != theirs
    with pytest.raises(RunError, match="own augmentation"):
        resume(tmp_path / "run")
    with pytest.raises(RunError, match="augment: received None, it has brighter"):
        trained(tmp_path / "run", faces, subsets="dense", epochs=2)


# Bad settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": "5"}, "epochs wants a whole number from 1. Received: '5'"),
        ({"early_stopping": -1}, "early_stopping wants a whole number from 0"),
        ({"plateau": {"factor": 0.5}}, "plateau wants a kfkd.registry.Plateau"),
        ({"optimizer": None}, "optimizer wants the name"),
        ({"options": {"weights": object()}}, "options want numbers and texts"),
        ({"epochs": 0}, "epochs wants a whole number from 1. Received: 0"),
        ({"batch_size": 0}, "batch_size wants a whole number from 1. Received: 0"),
        ({"learning_rate": 0.0}, "learning_rate wants a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate wants a number above 0"),
        ({"validation": 1.0}, "validation wants a share"),
        ({"validation": -0.1}, "validation wants a share"),
        ({"seed": -1}, "seed wants .* Received: -1"),
        ({"seed": 2**31}, "seed wants .* Received: 2147483648"),
        ({"precision": "float8"}, "no precision is called 'float8'"),
        ({"loss": "msee"}, "no loss is called 'msee'; did you mean mse"),
        ({"optimizer": "adamm"}, "no optimizer is called 'adamm'"),
        ({"subsets": "dens"}, "no subset of KAGGLE_15 is called 'dens'; did you mean dense"),
        ({"early_stoping": 3}, "is called 'early_stoping'; did you mean early_stopping"),
    ],
)
def test_a_setting_without_sense_is_refused_in_one_line(tmp_path, faces, settings, said):
    with pytest.raises(KfkdError, match=said) as caught:
        trained(tmp_path / "run", faces, **settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_unknown_model_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UnknownName, match="did you mean tiny"):
        kfkd.train("tinny", tmp_path / "no such data", out=tmp_path / "run")
    with pytest.raises(DataError, match="no such data"):
        kfkd.train("tiny", tmp_path / "no such data", out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_data_without_labels_is_refused(tmp_path, faces):
    with pytest.raises(DataError, match="no training row labels the subset 'dense'"):
        trained(tmp_path / "run", faces.images, subsets="dense")


def test_a_diverging_loss_is_an_error_with_advice(tmp_path, faces):
    settings = {"optimizer": "sgd", "learning_rate": 1e12, "subsets": "dense", "epochs": 3}
    with pytest.raises(RunError, match=r"loss of epoch 1 is (nan|inf); a smaller learning_rate"):
        trained(tmp_path / "run", faces, **settings)


# What is learnt from


def test_every_row_with_a_label_takes_part_unless_incomplete_ones_are_dropped(tmp_path, faces):
    settings = {"subsets": "all", "epochs": 1}
    train = faces[grouped_split(faces, 0.2, 0)[0]]
    masked = trained(tmp_path / "masked", faces, **settings).record["subsets"]["all"]
    assert masked["train_rows"] == len(train)
    assert (train.source == "four_point").sum() > 50
    dropped = trained(tmp_path / "dropped", faces, drop_incomplete=True, **settings)
    rows = dropped.record["subsets"]["all"]["train_rows"]
    assert rows == len(rows_for(train, "all", drop_incomplete=True)) < len(train) / 2
    assert dropped.record["subsets"]["all"]["validation_rows"] == masked["validation_rows"]


def test_training_without_validation(tmp_path, faces):
    run = trained(tmp_path / "run", faces, subsets="dense", epochs=2, validation=0)
    assert run.metrics["on"] == "training" and run.metrics["images"] == 120
    assert run.record["subsets"]["dense"]["mean_face"] is None
    assert all("val_rmse" not in row for row in run.history()["dense"])


def test_a_single_subset_has_no_leaderboard_score(tmp_path, faces):
    run = trained(tmp_path / "run", faces, subsets="dense", epochs=1)
    assert run.metrics["model"]["kaggle_rmse"] is None
    assert run.metrics["model"]["sparse"] is None and run.metrics["model"]["dense"] > 0
    predicted = run.predict(faces.images)
    dense = np.isin(np.arange(15), faces.skeleton.subset("dense"))
    assert not np.isnan(predicted[:, dense]).any() and np.isnan(predicted[:, ~dense]).all()


def test_own_callbacks_are_called_for_every_subset(tmp_path, faces):
    seen = []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, {"loss", "val_rmse"} <= set(logs)))
    )
    trained(tmp_path / "run", faces, subsets=("dense", "sparse"), epochs=2, callbacks=[spy])
    assert seen == [(0, True), (1, True)] * 2


def test_a_batch_larger_than_the_set_is_the_set(tmp_path, faces):
    run = trained(tmp_path / "run", faces[:20], subsets="dense", epochs=1, batch_size=500)
    assert run.finished


def test_progress_says_the_mean_face_beside_every_validation_error(tmp_path, faces, capsys):
    kfkd.train("tiny", faces, out=tmp_path / "run", subsets="dense", epochs=2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("tiny: 101 training and 19 validation images, 2 epochs at most")
    assert [line[:9] for line in lines[1:3]] == ["dense   1", "dense   2"]
    assert all("validation" in line and "(mean face" in line for line in lines[1:3])
    assert lines[3].startswith("done in") and len(lines) == 4


def test_runs_get_a_folder_of_their_own(tmp_path, faces, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [kfkd.train("tiny", faces[:20], subsets="dense", epochs=1, quiet=True) for _ in range(2)]
    assert [run.folder.parent for run in runs] == [Path("runs")] * 2
    assert len({run.folder for run in runs}) == 2
    assert all(run.folder.name.startswith("tiny-20") for run in runs)


def test_a_folder_of_something_else_is_left_alone(tmp_path, faces):
    kept = tmp_path / "checkpoint" / "mine.pt"
    kept.parent.mkdir()
    kept.touch()
    with pytest.raises(RunError, match="holds something else"):
        trained(tmp_path, faces)
    assert kept.is_file()
    assert not (tmp_path / "run.json").exists()


def test_a_run_that_learned_nothing_yet_may_be_started_otherwise(tmp_path, faces):
    with pytest.raises(KfkdError):
        trained(tmp_path, faces, options={"no_such_option": 1})
    assert trained(tmp_path, faces, epochs=1).finished


def test_held_out_rows_without_the_subset_do_not_stop_a_run(tmp_path, faces):
    full = np.flatnonzero(faces.source == "full")
    rows = [*full[:1], *np.flatnonzero(faces.source == "four_point")[:3]]
    run = trained(tmp_path, faces[rows], subsets="sparse", epochs=1)
    assert run.metrics["on"] in ("training", "validation")


def test_another_backend_is_refused_in_one_line(tmp_path, faces, monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "openvino")
    with pytest.raises(KfkdError, match=r"=tensorflow or jax\. Received: openvino"):
        trained(tmp_path, faces)


def test_broken_outputs_are_no_predictions(tmp_path, faces):
    run = trained(tmp_path, faces, epochs=1)
    model = run.model("dense")
    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    with pytest.raises(RunError, match="NaN for 120 of 120"):
        run.predict(faces.images, subset="dense")


def test_points_without_an_entrys_subsets_are_learned_together(tmp_path, capsys):
    known = synthetic_faces(32, seed=3)
    own = own_skeleton(["left_eye", "right_eye", "tip"])
    faces = replace(known, keypoints=known.keypoints[:, :3], skeleton=own)
    run = kfkd.train("tiny", faces, epochs=1, out=tmp_path / "run")
    assert run.subsets == ("all",)
    assert (
        "3 keypoints have no dense, sparse: all of them are learned together"
        in capsys.readouterr().err
    )
    assert run.predict(faces.images[:2]).shape == (2, 3, 2)
    assert resume(run.folder, faces, quiet=True).subsets == ("all",)
    with pytest.raises(UnknownName, match="no subset of own is called 'dense'"):
        kfkd.train("tiny", faces, subsets="dense", out=tmp_path / "other", quiet=True)
