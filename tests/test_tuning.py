"""Searches: nothing is repeated after a kill, bad trials are passed over, all is written down."""

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from keras_tuner import HyperParameters

import kfkd
from kfkd.cli import main, parser
from kfkd.errors import InUse, KfkdError, RunError, UnknownName, WriteError
from kfkd.learning.key_values import key_values
from kfkd.pipelines.splits import grouped_split
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.runs import load_run
from kfkd.searches.calls import Ended, Line, beating
from kfkd.searches.deaths import count_attempt
from kfkd.searches.oracles import FAILURES, grid_size, oracle_for
from kfkd.searches.pictures import trials_picture
from kfkd.searches.plan import FILES, Plan, tuner_called
from kfkd.searches.scores import chosen_objective, score_of
from kfkd.searches.sharing import SILENCE
from kfkd.searches.trials import BadTrial, Trials, Watcher, reason
from kfkd.skeletons import IBUG_68
from kfkd.storage.locks import locked
from kfkd.tuning import tune

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TUNERS = {
    "random": {"trials": 6},
    "bayesian": {"trials": 4},
    "hyperband": {"epochs": 4, "factor": 2},
    "grid": {},
}

CHILD = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import conftest, kfkd, kfkd.learning.trainer
from kfkd.searches import calls, sharing, trials
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.registry import entries
entries()
conftest.register_tiny_zoo()
kfkd.learning.trainer.draw_run = lambda *arguments: None
calls.BEAT, sharing.SILENCE = 1, 8
def hang(*arguments, **settings):
    print("here", flush=True)
    time.sleep(1000)
if os.environ["KERASTUNER_TUNER_ID"] == "lost":
    trials.Watcher.on_epoch_end = hang
def space(hp):
    return {"learning_rate": hp.Float("learning_rate", 0.001, 0.1, default=0.02)}
found = kfkd.tune("tiny", synthetic_faces(60, seed=1), trials=4, epochs=1, space=space,
                  subsets="dense", out=sys.argv[2])
print(*[row["trial"] + ":" + str(row["score"]) for row in found.ranked])
"""


def space(hp):
    """A small space of a user's own, with a setting that depends on another."""
    drawn = {"learning_rate": hp.Choice("learning_rate", [0.02, 0.01, 0.005])}
    drawn["optimizer"] = hp.Choice("optimizer", ["adam", "sgd"])
    with hp.conditional_scope("optimizer", ["adam"]):
        drawn["batch_size"] = hp.Choice("batch_size", [32, 16])
    return drawn


ASKED = {"space": space, "subsets": "dense", "epochs": 1, "quiet": True}


@pytest.fixture(scope="module", autouse=True)
def calm(tiny_zoo):
    """Drawing each run takes longer than its training; and under pytest stderr is no command's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
        yield


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(60, seed=1)


@pytest.fixture(scope="module")
def done(faces, tmp_path_factory):
    """A random search of two trials."""
    out = tmp_path_factory.mktemp("done") / "search"
    return tune("tiny", faces, out=out, trials=2, **ASKED)


@pytest.fixture
def imagined(monkeypatch):
    """Trials that take no time: their score follows from their settings; the calls are kept."""
    calls, kills = [], []

    def train(name, faces, *, out, callbacks, quiet, **settings):
        asked = {k: v for k, v in settings.items() if k not in ("options", "precision", "seed")}
        calls.append((Path(out).name, asked))
        if kills and len(calls) == kills[0]:
            kills.pop(0)
            raise KeyboardInterrupt
        Path(out).mkdir(parents=True, exist_ok=True)
        score = 100 * settings["learning_rate"] + 1 / settings["epochs"]
        scores = {"model": {"all": score}, "mean_face": {"all": 4.0}}
        return SimpleNamespace(folder=out, metrics=scores)

    monkeypatch.setattr("kfkd.searches.trials.train", train)
    monkeypatch.setattr("kfkd.searches.trials._forget_models", lambda: None)
    monkeypatch.setattr("kfkd.searches.results.save_figure", lambda *arguments: None)
    monkeypatch.setattr("kfkd.searches.pictures.trials_picture", lambda *arguments: None)
    return SimpleNamespace(calls=calls, kills=kills)


# What a search leaves


def test_a_search_leaves_runs_a_table_results_and_a_picture(done):
    assert {p.name for p in done.out.iterdir()} == {"trials", "search", *FILES}
    assert [row["trial"] for row in done.trials] == ["0", "1"]
    assert done.facts["finished"] and done.facts["objective"] == "all"
    for row in done.trials:
        run = load_run(done.out / row["folder"])
        assert run.finished and row["status"] == "finished"
        assert score_of(run.metrics, "all") == (row["score"], row["mean_face"])
    plain = json.loads(json.dumps(done.as_dict()))
    assert json.loads((done.out / "results.json").read_text()) == plain
    assert (done.out / "table.md").read_text() == str(done)
    assert (done.out / "trials.png").read_bytes().startswith(b"\x89PNG")


def test_trials_have_what_was_drawn_and_share_the_split(done):
    records = [load_run(done.out / row["folder"]).record for row in done.trials]
    first, second = (row["values"] for row in done.trials)
    assert first == {"learning_rate": 0.02, "optimizer": "adam", "batch_size": 32} != second
    for row, record in zip(done.trials, records, strict=True):
        recipe = record["settings"]["recipe"]
        assert {key: recipe[key] for key in row["values"]} == row["values"]
        assert record["settings"]["seed"] == 0 and recipe["epochs"] == 1
    assert records[0]["split"] == records[1]["split"]
    assert records[0]["mean_face"] == records[1]["mean_face"]


def test_the_best_trial_is_a_run(done, faces):
    assert done.best.folder == done.out / done.ranked[0]["folder"]
    assert done.ranked[0]["score"] == min(row["score"] for row in done.trials)
    assert np.isfinite(done.best.predict(faces.images, subset="dense")[:, 0]).all()
    assert kfkd.evaluate(done.best, faces).model["all"] == done.ranked[0]["score"]


def test_the_table_and_the_picture_show_each_trial(done):
    text = done.table()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 4 and "learning_rate" in lines[0]
    for told in ("`tiny` on 60 rows", "random", "held-out images", "mean face", "defaults"):
        assert told in text
    assert "space=space" in done.facts["command"]
    figure = trials_picture(done)
    figure.canvas.draw()
    varied = {f["name"] for f in done.facts["space"]}
    assert {axes.get_title() for axes in figure.axes[1:]} <= varied


def test_the_picture_has_whole_names_however_long(done):
    short = ["standard, blur(2)", "standard, blur(3)"]
    text = ", ".join(["flip(p=0.5)", "rotate(15)", "brightness(0.2)", "elastic(30, 4)"] * 2)
    space = [
        {"name": "mix", "kind": "Choice", "values": short, "default": short[0]},
        {"name": "text", "kind": "Choice", "values": [*short, text], "default": text},
    ]
    rows = [{**row, "values": {"mix": name, "text": value}} for row, name, value in
            zip(done.trials, short, (text, short[0]), strict=True)]  # fmt: skip
    figure = trials_picture(replace(done, facts={**done.facts, "space": space}, trials=(*rows,)))
    figure.canvas.draw()
    for axes, names in zip(figure.axes[1:], (short, [*short, text]), strict=True):
        told = [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
        assert told == names
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(min(box.x0, box.y0) >= 0 for box in boxes), "nothing is cut off either"
        assert axes.get_window_extent().height > 100


def test_a_finished_search_is_returned_and_trains_nothing(done, faces, imagined):
    again = tune("tiny", faces, out=done.out, trials=2, **ASKED)
    assert again.as_dict() == done.as_dict() and not imagined.calls
    fewer = tune("tiny", faces, out=done.out, trials=1, **ASKED)
    assert len(fewer.trials) == 2 and not imagined.calls


# Going on


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_killed_search_goes_on_and_repeats_nothing(faces, imagined, tmp_path, tuner):
    asked = {**ASKED, "tuner": tuner, **TUNERS[tuner]}
    undisturbed = tune("tiny", faces, out=tmp_path / "undisturbed", **asked)
    wanted = list(imagined.calls)
    assert len(wanted) == len(undisturbed.trials) >= 4
    imagined.calls.clear()
    imagined.kills[:] = [1, 3, len(wanted) + 2]
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            tune("tiny", faces, out=tmp_path / "killed", **asked)
    assert not json.loads((tmp_path / "killed" / "results.json").read_text())["facts"]["finished"]
    found = tune("tiny", faces, out=tmp_path / "killed", **asked)
    calls = imagined.calls
    assert len(calls) == len(wanted) + 3, "each kill costs the trial that it hit, and no other"
    assert [c for i, c in enumerate(calls) if i not in (0, 2, len(wanted) + 1)] == wanted
    scores = [[row["score"] for row in search.trials] for search in (found, undisturbed)]
    assert scores[0] == scores[1]


def test_a_killed_trial_goes_on_from_its_last_epoch(faces, tmp_path, monkeypatch):
    asked = {**ASKED, "epochs": 3, "trials": 1}
    seen, real = [], Watcher.on_epoch_end

    def killing(self, epoch, logs=None):
        seen.append(epoch)
        real(self, epoch, logs)
        if seen == [0, 1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Watcher, "on_epoch_end", killing)
    with pytest.raises(KeyboardInterrupt):
        tune("tiny", faces, out=tmp_path / "search", **asked)
    found = tune("tiny", faces, out=tmp_path / "search", **asked)
    assert seen == [0, 1, 1, 2], "the killed epoch again, and no earlier one"
    settings = {"learning_rate": 0.02, "optimizer": "adam", "batch_size": 32, "epochs": 3}
    direct = kfkd.train(
        "tiny", faces, subsets="dense", out=tmp_path / "run", quiet=True, **settings
    )
    np.testing.assert_array_equal(found.best.predict(faces.images), direct.predict(faces.images))


def test_more_trials_may_be_asked_for(faces, imagined, tmp_path):
    for trials in (2, 5):
        found = tune("tiny", faces, out=tmp_path / "search", trials=trials, **ASKED)
        assert len(found.trials) == trials == len(imagined.calls)
    assert len({json.dumps(asked, sort_keys=True) for _, asked in imagined.calls}) == 5


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"epochs": 2}, "epochs: received 2, it has 1"),
        ({"tuner": "grid"}, "tuner"),
        ({"seed": 1}, "seed"),
        ({"precision": "mixed_bfloat16"}, "settings"),
        ({"space": lambda hp: {"learning_rate": hp.Float("learning_rate", 0.1, 1)}}, "space"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(done, faces, asked, message):
    with pytest.raises(RunError, match=message):
        tune("tiny", faces, out=done.out, trials=2, **{**ASKED, **asked})


def test_a_folder_of_something_else_is_left_alone(faces, tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(KfkdError, match=r"thesis\.txt"):
        tune("tiny", faces, out=tmp_path, **ASKED)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("role", ["alone", "worker"])
def test_a_search_that_is_under_way_is_refused_but_to_its_workers(
    faces, imagined, tmp_path, monkeypatch, role
):
    monkeypatch.setattr("kfkd.searches.engine.role", lambda: role)
    monkeypatch.setattr(
        "kfkd.searches.engine.Engine", lambda *arguments: SimpleNamespace(search=list)
    )
    with locked(tmp_path / "search"):
        if role == "worker":
            assert tune("tiny", faces, out=tmp_path / "search", trials=2, **ASKED) == []
        else:
            with pytest.raises(InUse, match="search is in use by"):
                tune("tiny", faces, out=tmp_path / "search", trials=2, **ASKED)


# Bad trials


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (WriteError("a.npz", "No space left on device"), "cannot write a.npz: No space"),
        (RuntimeError("x; No space left on device [Op:SaveV2]"), "cannot write trial 0: No space"),
        (OSError(30, "Read-only file system"), "cannot write trial 0: Read-only"),
        (InUse("trials/0 is in use by another process"), "in use by another process"),
    ],
)
def test_what_is_no_trials_fault_ends_the_search_and_blames_none(
    faces, imagined, tmp_path, monkeypatch, failure, raised
):
    def train(*arguments, **settings):
        raise failure

    asked = {**ASKED, "trials": 2, "out": tmp_path / "search"}
    with monkeypatch.context() as patch:
        patch.setattr("kfkd.searches.trials.train", train)
        with pytest.raises(KfkdError, match=raised):
            tune("tiny", faces, **asked)
    rows = json.loads((tmp_path / "search" / "results.json").read_text())["trials"]
    assert not rows, "nothing is written of a trial that has not ended"
    found = tune("tiny", faces, **asked)
    assert [row["status"] for row in found.trials] == ["finished"] * 2


def test_a_diverged_trial_is_recorded_and_passed_over(faces, tmp_path):
    def wild(hp):
        return {"learning_rate": hp.Choice("learning_rate", [1e30, 0.02])}

    found = tune("tiny", faces, tuner="grid", out=tmp_path / "s", **{**ASKED, "space": wild})
    assert [row["status"] for row in found.trials] == ["failed", "finished"]
    assert "a smaller learning_rate" in found.trials[0]["reason"]
    assert found.best.folder.name == found.trials[1]["trial"]
    assert "Failed and passed over" in found.table() and found.facts["finished"]
    trials_picture(found).canvas.draw()


def test_failures_in_a_row_end_the_search_with_the_first_reason(
    faces, tmp_path, monkeypatch, capfd
):
    calls = []

    def train(*arguments, **settings):
        calls.append(settings)
        raise MemoryError(f"number {len(calls)}")

    monkeypatch.setattr("kfkd.searches.trials.train", train)
    monkeypatch.setattr("kfkd.searches.trials._forget_models", lambda: None)
    asked = {**ASKED, "trials": 20, "out": tmp_path / "search", "space": None}
    with pytest.raises(RunError, match=rf"{FAILURES} trials in a row .* out of memory .*number 1"):
        tune("simple_cnn", faces, **asked)
    assert len(calls) == FAILURES
    assert "Traceback" not in capfd.readouterr().err
    with pytest.raises(RunError, match="in a row"):
        tune("simple_cnn", faces, **asked)
    assert len(calls) == 2 * FAILURES, "called again, it tries others"


def test_reasons_name_memory_whatever_it_is_called():
    import tensorflow as tf

    told = "{{function_node x}} OOM when allocating tensor\nhint: …"
    oom = tf.errors.ResourceExhaustedError(None, None, told)
    assert reason(oom) == "out of memory (ResourceExhaustedError: OOM when allocating tensor)"
    xla = type("XlaRuntimeError", (RuntimeError,), {})("RESOURCE_EXHAUSTED: 9 GiB")
    assert reason(xla).startswith("out of memory (XlaRuntimeError: RESOURCE")
    assert reason(RunError("the loss of epoch 1 is nan")) == "the loss of epoch 1 is nan"
    assert reason(ZeroDivisionError("by zero")) == "ZeroDivisionError: by zero"


def plan_of(out, **changed):
    usual = {"trials": 3, "epochs": 2, "factor": 2, "seed": 0, "space": space, "own_space": True}
    fixed = {"subsets": "dense", "precision": "float32"}
    given = {**usual, "settings": fixed, "objective": "all", **changed}
    return Plan(out=out, model="tiny", **{"tuner": "random", **given})


@pytest.mark.parametrize(
    ("left", "fails"),
    [
        ({"epochs": 0, "deaths": 0}, False),
        ({"epochs": 0, "deaths": 1}, True),
        ({"epochs": 3, "deaths": 1}, False),
        ({"epochs": 0, "deaths": 1, "full": 1, "kills": "here 6"}, True),
        ({"epochs": 0, "deaths": 1, "full": 0, "kills": "here 7"}, False),
        ({"epochs": 0, "deaths": 1, "full": 0, "kills": None}, False),
        ({"epochs": 0, "deaths": 8, "full": 0, "kills": "here 7"}, False),
        ({"epochs": 0, "deaths": 9, "full": 0, "kills": "here 7"}, True),
        ({"epochs": 0, "deaths": 1, "full": 1, "kills": "another machine's 7"}, False),
        ({"epochs": 0, "deaths": 9, "full": 0, "kills": "another machine's 7"}, True),
    ],
)
def test_a_trial_that_kills_the_process_twice_is_passed_over(
    faces, imagined, tmp_path, monkeypatch, left, fails
):
    """A system that lacks memory kills without a word: only a file tells, and maybe a counter."""
    monkeypatch.setattr("kfkd.searches.deaths.memory_kills", lambda: "here 7")
    trials, hp = Trials(plan_of(tmp_path), faces, True), HyperParameters()
    space(hp)
    attempt = tmp_path / "search" / "trial_7" / "attempt.json"
    attempt.parent.mkdir(parents=True)
    attempt.write_text(json.dumps(left))
    if fails:
        with pytest.raises(BadTrial, match=f"killed {left['deaths'] + 1} times"):
            trials.run("7", hp)
    else:
        trials.run("7", hp)
    assert len(imagined.calls) == (not fails)
    assert not attempt.exists()


def test_lost_machines_are_not_taken_for_a_lack_of_memory(tmp_path, monkeypatch):
    for machine in range(10):
        monkeypatch.setattr("kfkd.searches.deaths.memory_kills", lambda m=machine: f"boot{m} {m}")
        count_attempt(tmp_path / "attempt.json", epochs=4)
    with pytest.raises(RunError) as told:
        count_attempt(tmp_path / "attempt.json", epochs=4)
    assert "killed 10 times in this trial" in str(told.value) and "memory" not in str(told.value)


# Tuners


def test_hyperbands_rungs_go_on_and_end_as_if_trained_at_once(faces, tmp_path):
    trials = Trials(plan_of(tmp_path, tuner="hyperband"), faces, True)
    hp = HyperParameters()
    space(hp)
    hp.values |= {"tuner/epochs": 1}
    trials.run("0", hp)
    kept = tmp_path / "search" / "trial_0" / "checkpoint"
    assert [path.name for path in kept.glob("dense.npz")] == ["dense.npz"]
    hp.values |= {"tuner/epochs": 2, "tuner/trial_id": "0"}
    score = trials.run("1", hp)
    went_on = load_run(tmp_path / "trials" / "1")
    seconds = [[row["seconds"] for row in load_run(tmp_path / "trials" / n).history()["dense"]]
               for n in ("0", "1")]  # fmt: skip
    assert seconds[1][0] == seconds[0][0], "the first epoch is the earlier trial's"
    drawn = {key: value for key, value in hp.values.items() if not key.startswith("tuner/")}
    settings = {"subsets": "dense", "epochs": 2, "quiet": True, **drawn}
    direct = kfkd.train("tiny", faces, out=tmp_path / "direct", **settings)
    assert direct.metrics == went_on.metrics and direct.metrics["model"]["all"] == score
    np.testing.assert_array_equal(direct.predict(faces.images), went_on.predict(faces.images))


def test_a_trials_time_is_that_of_all_its_attempts_but_not_of_the_earlier_rung(
    faces, imagined, tmp_path, monkeypatch
):
    rows = [{"epoch": epoch, "seconds": 100.0 * epoch} for epoch in (1, 2, 3)]
    run = SimpleNamespace(finished=True, history=lambda: {"dense": rows, "sparse": rows[:1]})
    monkeypatch.setattr("kfkd.searches.trials.load_run", lambda folder: run)
    hp = HyperParameters()
    space(hp)
    for number, rung, wanted in (("0", {}, 700), ("1", {"tuner/initial_epoch": 2}, 300)):
        (tmp_path / "trials" / number).mkdir(parents=True)
        (tmp_path / "trials" / number / "run.json").touch()
        hp.values |= {"tuner/epochs": 3, **rung}
        Trials(plan_of(tmp_path, tuner="hyperband"), faces, True).run(number, hp)
        note = json.loads((tmp_path / "search" / f"trial_{number}" / "kfkd.json").read_text())
        assert wanted <= note["seconds"] < wanted + 50
        assert imagined.calls[-1][0] == number


def test_hyperband_asks_for_more_epochs_of_the_best(faces, imagined, tmp_path):
    asked = {**ASKED, "tuner": "Hyperband", "epochs": 4, "factor": 2}
    found = tune("tiny", faces, out=tmp_path / "search", **asked)
    assert found.facts["tuner"] == "hyperband"
    assert found.facts["planned"] >= len(found.trials)
    by_number = {row["trial"]: row for row in found.trials}
    later = [row for row in found.trials if row["from"]]
    assert later and all(row["epochs"] > by_number[row["from"]]["epochs"] for row in later)
    assert all(row["values"] == by_number[row["from"]]["values"] for row in later)
    assert not list((tmp_path / "search" / "search").glob("trial_*/checkpoint"))


def test_a_grid_has_every_combination_once(faces, imagined, tmp_path):
    found = tune("tiny", faces, tuner="grid", out=tmp_path / "search", **ASKED)
    drawn = [tuple(sorted(row["values"].items())) for row in found.trials]
    assert len(drawn) == len(set(drawn)) == 3 * (2 + 1)
    hp = HyperParameters()
    space(hp)
    assert grid_size(hp) == 12
    with pytest.raises(KfkdError, match=r"combinations; set how many trials"):
        tune("simple_cnn", faces, tuner="grid", out=tmp_path / "large", quiet=True)


def test_bayesian_optimisation_never_repeats_a_trial(faces, imagined, tmp_path):
    found = tune("tiny", faces, tuner="bayesian", trials=6, out=tmp_path / "s", **ASKED)
    drawn = [tuple(sorted(row["values"].items())) for row in found.trials]
    assert len(set(drawn)) == len(drawn) == 6


def test_a_seed_gives_the_same_search(faces, imagined, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        tune("simple_cnn", faces, out=tmp_path / name, trials=3, seed=seed, quiet=True, epochs=1,
             subsets="dense", augment="none")  # fmt: skip
    first, second, third = (imagined.calls[i : i + 3] for i in (0, 3, 6))
    assert first == second != third
    assert {settings["augment"] for _, settings in first} == {"none"}


# Several processes


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """The chief's oracle of a search of three trials, its clock, and what it has told."""
    clock, told = SimpleNamespace(now=1000.0), []
    now = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("kfkd.searches.sharing.time", now)
    hp = HyperParameters()
    space(hp)
    oracle = oracle_for(plan_of(tmp_path), hp, lambda *ended: None, told.append)
    oracle._set_project_dir(str(tmp_path), "search")
    oracle.verbose = 0

    def ended(number):
        trial = oracle.get_trial(number)
        oracle.update_trial(number, {"all": 1.0 + int(number)})
        oracle.end_trial(SimpleNamespace(**{**vars(trial), "status": "COMPLETED"}))

    def passes(seconds):
        """The chief looks after its workers every second."""
        for _ in range(int(seconds)):
            clock.now += 1
            over = oracle.over()
        return over

    return SimpleNamespace(oracle=oracle, clock=clock, told=told, ended=ended, passes=passes)


def test_the_trial_of_a_lost_worker_goes_to_whoever_asks_next(shared):
    oracle, passes = shared.oracle, shared.passes
    assert [oracle.create_trial(name).trial_id for name in "ab"] == ["0", "1"]
    passes(SILENCE)
    oracle.get_trial("1")
    passes(1)
    assert oracle.create_trial("c").trial_id == "0", "nothing was heard of a"
    assert shared.told == ["a is lost, not heard of for 60 s: trial 0 goes to whoever asks next"]
    assert oracle.create_trial("a").trial_id == "2", "it came back, and its old trial is c's"
    assert {name: t.trial_id for name, t in oracle.ongoing_trials.items()} == {
        "b": "1",
        "c": "0",
        "a": "2",
    }


def test_workers_wait_for_trials_that_may_come_back_and_the_chief_for_workers(shared):
    oracle, passes = shared.oracle, shared.passes
    for name in "abc":
        oracle.create_trial(name)
    shared.ended("0")
    shared.ended("1")
    assert [oracle.create_trial(name).status for name in "ab"] == ["IDLE", "IDLE"]
    assert not passes(SILENCE) and not shared.told
    oracle.create_trial("a")
    assert not passes(1)
    assert oracle.create_trial("a").trial_id == "2" and "c is lost" in shared.told[0]
    shared.ended("2")
    assert oracle.create_trial("a").status == "STOPPED"
    assert oracle.over(), "b is not heard of any more either"
    assert [trial.status for trial in oracle.trials.values()] == ["COMPLETED"] * 3


def test_a_search_without_workers_says_once_and_then_rarely_how_to_go_on(shared):
    oracle, passes = shared.oracle, shared.passes
    assert not passes(100) and not shared.told, "none has come yet"
    oracle.create_trial("a")
    assert not passes(1700)
    assert len(shared.told) == 2 and "a is lost" in shared.told[0]
    assert "no worker is left: start one again, with the same command" in shared.told[1]
    assert not passes(200)
    assert shared.told[2:] == shared.told[1:2]
    assert oracle.create_trial("anyone").trial_id == "0"


def test_a_silent_worker_keeps_its_trial_while_somebody_holds_its_folder(shared, tmp_path):
    oracle, passes = shared.oracle, shared.passes
    oracle.create_trial("a")
    with locked(tmp_path / "trials" / "0"):
        for _ in range(300):
            passes(1)
            assert oracle.create_trial("b").trial_id == "1"
        [told] = shared.told
        assert f"process {os.getpid()} on {socket.gethostname()}" in told
        assert "waiting for trial 0: a was not heard of" in told and ".kfkd-lock is held by" in told
        assert "remove that file" in told
    shared.ended("1")
    assert oracle.create_trial("b").trial_id == "0"


def test_a_trial_that_two_workers_end_has_ended_once(shared):
    oracle, passes = shared.oracle, shared.passes
    oracle.create_trial("a")
    passes(SILENCE + 1)
    shared.ended("0")
    assert oracle.create_trial("b").trial_id == "1", "a was only slow: its trial is done"
    passes(SILENCE + 1)
    assert oracle.create_trial("c").trial_id == "1"
    for _ in "bc":
        shared.ended("1")
    assert oracle.end_order == ["0", "1"] and not oracle.ongoing_trials


def test_a_trial_that_ends_while_the_chief_takes_it_back_is_nobodys(shared, monkeypatch):
    oracle, looked, told = shared.oracle, threading.Event(), threading.Event()

    def slow(number):
        looked.set()
        assert told.wait(60)

    with ThreadPoolExecutor(2) as pool:
        assert pool.submit(oracle.create_trial, "a").result().trial_id == "0"
        shared.passes(SILENCE)
        monkeypatch.setattr(oracle, "holder", slow)
        look = pool.submit(shared.passes, 1)
        assert looked.wait(60)
        end = pool.submit(shared.ended, "0")
        with pytest.raises(TimeoutError):
            end.result(0.5)
        told.set()
        look.result(60)
        end.result(60)
    assert oracle.trials["0"].status == "COMPLETED" and oracle.end_order == ["0"]
    assert not oracle.ongoing_trials and not oracle._retry_queue
    assert [oracle.create_trial(name).trial_id for name in "ab"] == ["1", "2"]


@pytest.mark.parametrize("heard", [True, False])
def test_who_has_a_trial_that_has_ended_gets_rid_of_it(shared, heard):
    oracle = shared.oracle
    oracle.create_trial("a")
    shared.ended("0")
    oracle.ongoing_trials["b"] = oracle.trials["0"]
    oracle.trials["0"].status = "RUNNING"
    if heard:
        shared.ended("0")
    else:
        shared.passes(1)
    assert oracle.trials["0"].status == "COMPLETED" and oracle.end_order == ["0"]
    assert not oracle.ongoing_trials and not oracle._retry_queue


@pytest.mark.parametrize("call", ["create_trial", "update_trial", "end_trial", "on_end"])
def test_the_chief_ends_with_what_it_cannot_write_in_a_workers_call(shared, monkeypatch, call):
    oracle, full = shared.oracle, WriteError("oracle.json", "No space left on device")

    def write(*arguments):
        raise full

    with ThreadPoolExecutor(1) as workers, ThreadPoolExecutor(1) as chief:
        trial = workers.submit(oracle.create_trial, "a").result(60)
        asked = {"create_trial": ("b",), "update_trial": ("0", {"all": 1.0})}.get(call)
        if asked is None:
            workers.submit(oracle.update_trial, "0", {"all": 1.0}).result(60)
            trial = SimpleNamespace(**{**vars(trial), "status": "COMPLETED"})
        assert not chief.submit(oracle.over).result(60)
        with monkeypatch.context() as patch:
            if call == "on_end":
                patch.setattr(oracle, "on_end", write)
            else:
                patch.setattr("kfkd.searches.oracles.write_json", write)
            name = call if asked else "end_trial"
            with pytest.raises(WriteError):
                workers.submit(getattr(oracle, name), *(asked or (trial,))).result(60)
        with pytest.raises(WriteError, match=r"oracle\.json: No space left"):
            chief.submit(oracle.over).result(60)


def test_nobody_is_lost_because_the_chief_did_not_listen(shared, monkeypatch):
    oracle, clock = shared.oracle, shared.clock
    for name in "ab":
        oracle.create_trial(name)
    clock.now += 1000
    assert not oracle.over() and not shared.told, "the chief stood still"
    monkeypatch.setattr(oracle, "on_end", lambda *ended: shared.passes(1000))
    shared.ended("0")
    assert not shared.told, "it was busy"
    assert {*oracle.ongoing_trials} == {"b"} and oracle.tuner_ids == {"a", "b"}


def test_signs_of_life_come_while_a_worker_trains_whatever_becomes_of_them(monkeypatch):
    monkeypatch.setattr("kfkd.searches.calls.BEAT", 0.01)
    seen, enough, beats = [], threading.Event(), set()

    def sign():
        beats.add(threading.current_thread())
        seen.append(1)
        if len(seen) == 3:
            enough.set()
        raise ConnectionError

    with beating(sign):
        assert enough.wait(30)
    [beat] = beats
    beat.join(30)
    assert not beat.is_alive()


@pytest.fixture
def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_worker_does_not_wait_for_the_chief_of_a_search_that_has_ended(
    faces, imagined, tmp_path, monkeypatch, free_port
):
    asked = {**ASKED, "trials": 2, "out": tmp_path / "search"}
    done = tune("tiny", faces, **asked)
    monkeypatch.setattr("kfkd.searches.calls.BEAT", 0.1)
    monkeypatch.setattr("keras_tuner.src.distribute.oracle_client.TIMEOUT", 60)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "late")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(free_port))
    # It had not ended when the worker came.
    monkeypatch.setattr("kfkd.tuning.enough", lambda *arguments: False)
    late = tune("tiny", faces, **asked)
    assert late.facts["finished"] and late.trials == done.trials and len(imagined.calls) == 2


def test_a_worker_waits_for_the_chief_as_long_as_the_search_goes_on(monkeypatch):
    from grpc import FutureTimeoutError

    answers = [FutureTimeoutError, "trial", *[FutureTimeoutError] * 3]
    looks, cancelled = [False, False, False, True], []

    def result(seconds):
        answer = answers.pop(0)
        if answer is FutureTimeoutError:
            raise answer
        return answer

    call = SimpleNamespace(result=result, cancel=lambda: cancelled.append(True))
    stub = SimpleNamespace(CreateTrial=SimpleNamespace(future=lambda request, **settings: call))
    line = Line(stub, lambda: looks.pop(0))
    assert line.CreateTrial("a", timeout=9) == "trial" and not cancelled
    with pytest.raises(Ended):
        line.CreateTrial("a", timeout=9)
    assert not answers and not looks and cancelled


def test_a_workers_table_says_that_trials_are_open(faces, imagined, tmp_path, monkeypatch):
    asked = {**ASKED, "trials": 2, "out": tmp_path / "search"}
    imagined.kills[:] = [2]
    with pytest.raises(KeyboardInterrupt):
        tune("tiny", faces, **asked)
    monkeypatch.setattr("kfkd.searches.engine.role", lambda: "worker")
    monkeypatch.setattr("kfkd.searches.engine.Engine._searched", lambda self: None)
    found = tune("tiny", faces, **asked)
    assert not found.facts["finished"] and "**Unfinished, 2 trials are planned.**" in found.table()


@pytest.fixture
def started(tmp_path, free_port):
    """Starts a process of a search by its name; none outlives the test."""
    here = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(free_port)}
    words = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path / "search")]
    pipe, processes = subprocess.PIPE, []

    def start(name):
        env = {**os.environ, **here, "KERASTUNER_TUNER_ID": name}
        processes.append(subprocess.Popen(words, env=env, stdout=pipe, stderr=pipe, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def lines_until(words, process, stream):
    """What a process says up to a line with some words; one that never says it is killed."""
    limit, said = threading.Timer(300, process.kill), []
    limit.start()
    try:
        while not said or words not in said[-1]:
            said.append(stream.readline())
            assert said[-1], said
    finally:
        limit.cancel()
    return said


def results_of(search):
    results = json.loads((search / "results.json").read_text())
    assert results["facts"]["finished"]
    assert [row["status"] for row in results["trials"]] == ["finished"] * 4
    return results["trials"]


@pytest.mark.slow
def test_processes_share_a_search(started, tmp_path):
    processes = [started(name) for name in ("chief", "first", "second")]
    told = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told
    outs = [[*out.split()] for out, _ in told]
    assert len(outs[0]) == 4 and outs == outs[:1] * 3, "all wait for the last trial"
    assert {row["by"] for row in results_of(tmp_path / "search")} <= {"first", "second"}


@pytest.mark.slow
@pytest.mark.parametrize("comes", ["before", "after"])
def test_the_trial_of_a_killed_worker_is_done_by_another(started, tmp_path, comes):
    chief, lost = started("chief"), started("lost")
    lines_until("here", lost, lost.stdout)
    if comes == "before":
        other, said = started("other"), []
        lost.kill()
    else:
        lost.kill()
        said = lines_until("no worker is left: start one again", chief, chief.stderr)
        other = started("other")
    out, rest = chief.communicate(timeout=400)
    told, _ = other.communicate(timeout=100)
    assert (chief.returncode, other.returncode) == (0, 0), rest
    assert "lost is lost, not heard of" in "".join(said) + rest
    assert out == told and len(out.split()) == 4
    assert {row["by"] for row in results_of(tmp_path / "search")} == {"other"}


# Spaces


def test_an_entrys_space_is_fixed_where_the_caller_says_so(faces, imagined, tmp_path):
    fixed = {"batch_size": 8, "loss": "mae", "options": {"units": 10, "width": 0.5}}
    found = tune("simple_cnn", faces, trials=3, epochs=1, subsets="dense", quiet=True,
                 out=tmp_path / "search", **fixed)  # fmt: skip
    names = {row["name"] for row in found.facts["space"]}
    assert names == {"optimizer", "learning_rate", "augment", "deeper", "dropout", "activation"}
    assert {s["batch_size"] for _, s in imagined.calls} == {8}
    words = shlex.split(Plan.command(
        replace(plan_of(tmp_path), own_space=False, settings={**fixed, "precision": "float32"}),
        "here",
    ))  # fmt: skip
    given = parser().parse_args(words[1:])
    assert key_values("simple_cnn", given.fix, "--fix") == fixed


def test_own_models_are_searched_by_their_options(own_zoo_entry):
    from kfkd.searches.spaces import search_space

    hp = HyperParameters()
    drawn = search_space(own_zoo_entry)(hp)
    assert drawn["options"] == {"width": 1.0, "units": 7, "widths": [4, 8], "depths": [0, 1]}
    hp.values |= {"width": 1.5, "deeper": 2}
    assert search_space(own_zoo_entry)(hp)["options"]["widths"] == [6, 12]
    assert search_space(own_zoo_entry)(hp)["options"]["depths"] == [0, 3]


@pytest.fixture
def own_zoo_entry(monkeypatch):
    from kfkd import registry

    monkeypatch.setattr(registry, "_ENTRIES", registry.entries())

    @kfkd.register
    def my_net(outputs, input_shape=(96, 96, 1), width=1.0, units=7, widths=(4, 8), depths=(0, 1)):
        return None

    return "my_net"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tuner": "bayes"}, "bayesian"),
        ({"trials": 0}, "trials wants a whole number from 1"),
        ({"epochs": 0}, "epochs wants"),
        ({"factor": 1}, "factor wants a whole number from 2"),
        ({"validation": 0}, "held-out"),
        ({"objective": "kaggle_rmsee"}, "no objective of this search"),
        ({"objective": "kaggle_rmse"}, "no objective of this search"),
        ({"objective": "nme"}, "no objective"),
        ({"batch_sise": 3}, "batch_size"),
        ({"loss": "mze"}, "mse"),
        ({"callbacks": []}, "tune sets name, callbacks"),
        ({"options": 3}, "options want"),
        ({"options": {"depth": 3}}, "no option of tiny"),
        ({"learning_rate": 0.1}, "set already: learning_rate"),
        ({"tuner": "hyperband", "space": lambda hp: {"epochs": hp.Int("e", 1, 2)}}, "epochs"),
        ({"space": lambda hp: [hp.Int("e", 1, 2)]}, "a space returns settings"),
        ({"space": lambda hp: {}}, "nothing is varied"),
        ({"augment": lambda *a: a}, "functions have no name"),
        ({"space": "wide"}, "space wants a function"),
        ({"fold": (0, 2)}, "a fold is for measuring"),
        ({"start": "no run"}, "no run"),
        ({"teachers": ["no run"]}, "no run"),
        ({"options": {"width": -1}}, "width wants a number above 0"),
    ],
)
def test_nonsense_is_refused_before_anything_is_trained(faces, tmp_path, asked, message):
    with pytest.raises(KfkdError, match=message):
        tune("tiny", faces, **{**ASKED, "out": tmp_path / "x", **asked})
    assert not (tmp_path / "x").exists()
    with pytest.raises(UnknownName, match="tiny"):
        tune("tinny", faces, out=tmp_path / "x")


def test_half_an_address_is_refused(faces, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(KfkdError, match=r"KERASTUNER_TUNER_ID, .*KERASTUNER_ORACLE_IP only"):
        tune("tiny", faces, out=tmp_path / "x", **ASKED)


# Objectives


def test_the_usual_objective_is_the_data_sets_own(faces):
    sides = [faces[rows] for rows in grouped_split(faces, 0.2, 0)]
    assert chosen_objective(None, *sides, ["dense", "sparse"]) == "kaggle_rmse"
    assert chosen_objective(None, *sides, ["dense"]) == "all"
    assert chosen_objective("sparse", *sides, ["all"]) == "sparse"
    points = np.random.default_rng(0).uniform(0, 96, (len(faces), 68, 2)).astype(np.float32)
    ibug = replace(faces, keypoints=points, skeleton=IBUG_68)
    sides = [ibug[rows] for rows in grouped_split(ibug, 0.2, 0)]
    assert chosen_objective(None, *sides, ["all"]) == "nme"
    assert chosen_objective("pixel_mae", *sides, ["all"]) == "pixel_mae"
    for wrong in ("auc", "kaggle_rmse"):
        with pytest.raises(UnknownName, match="no objective of this search"):
            chosen_objective(wrong, *sides, ["all"])


def test_tuners_by_either_name():
    assert tuner_called("BayesianOptimization") == tuner_called("bayesian") == "bayesian"
    assert tuner_called("GridSearch") == "grid"


# Command line


def test_command_line(done, monkeypatch, capsys, tmp_path):
    asked = {}
    monkeypatch.setattr("kfkd.searches.command.verb", lambda *a, **k: asked.update(k) or done)
    words = ["tune", "lenet5", "--tuner", "hyperband", "--out", str(tmp_path), "--epochs", "9"]
    assert main([*words, "--fix", "batch_size=64", "units=60", "augment=none"]) == 0
    assert capsys.readouterr().out == done.table().rstrip() + "\n"
    assert (asked["tuner"], asked["epochs"], asked["trials"]) == ("hyperband", 9, None)
    assert (asked["batch_size"], asked["augment"]) == (64, "none")
    assert asked["options"] == {"units": 60}
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] == done.ranked[0]["trial"]
    assert main([*words, "--fix", "batch_size"]) == 2
    assert "KEY=VALUE" in capsys.readouterr().err
    for flag in ("epochs=3", "seed=1", "out=here", "space=wide", "data=there"):
        assert main([*words, "--fix", flag]) == 2
        assert f"--fix has no {flag.partition('=')[0]}; see kfkd tune" in capsys.readouterr().err
    assert main([*words, "--fix", "plateau={'foo': 1}"]) == 2
    assert "plateau wants numbers for factor, patience" in capsys.readouterr().err

    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("kfkd.searches.command.verb", interrupt)
    assert main(words) == 130
    assert "run the same command again to go on" in capsys.readouterr().err


def test_the_command_lists_what_would_be_varied(capsys):
    assert main(["tune", "vgg_condensed", "--list", "--fix", "units=64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = {line.split()[0] for line in lines[2:]}
    assert names >= {"optimizer", "batch_size", "width", "deeper", "dropout", "activation"}
    assert "units" not in names
    assert main(["tune", "vgg_condensed", "--list", "--json"]) == 0
    [row] = [r for r in json.loads(capsys.readouterr().out) if r["name"] == "learning_rate"]
    assert (row["min_value"], row["max_value"], row["default"]) == (1e-4, 1e-2, 1e-3)
