"""Killed at any moment (kill -9), everything goes on to the result of one left alone."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from kfkd.pipelines.synthetic import write_kaggle_folder
from kfkd.storage.locks import LOCK

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")

DYING = Path(__file__).parent / "dying.py"
FATES = ("die_at", "die_before", "die_after", "limit")


class Mortals:
    """Jobs in children that die; see dying.py."""

    def __init__(self, process):
        self.process = process

    def ask(self, job, folder, **asked):
        """Runs a job; returns what it made, or None where it died."""
        folder.mkdir(exist_ok=True)
        fate = {k: asked.pop(k) for k in FATES if k in asked}
        line = {"job": job, "folder": str(folder), "arguments": asked, **fate}
        print(json.dumps(line), file=self.process.stdin, flush=True)
        told = json.loads(self.process.stdout.readline())
        if told["status"] == -signal.SIGKILL and "limit" not in fate:
            return None
        assert told["status"] == 0, "a traceback is above"
        assert "limit" in fate or told["error"] is None, told["error"]
        return told

    def deaths(self, job, folder, step=1, **asked):
        """Dies before every `step`-th operation in turn, each time in a folder of its own."""
        count = self.ask(job, folder / "alone", **asked)["count"]
        assert count > 5
        for die_at in range(1, count + 1, step):
            own = folder / str(die_at)
            assert self.ask(job, own, die_at=die_at, **asked) is None
            yield own


@contextmanager
def mortals(kind):
    command = [sys.executable, str(DYING), kind]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Mortals(process)
        process.kill()  # to end in an orderly way takes it a while


@pytest.fixture(scope="module")
def light():
    with mortals("light") as found:
        yield found


@pytest.fixture(scope="module")
def heavy():
    with mortals("heavy") as found:
        yield found


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# Cache, submission, folders: before each operation


def test_a_cache_never_holds_what_loads_wrong(light, tmp_path):
    data = write_kaggle_folder(tmp_path / "data", train=4, test=1)
    asked = {"data": str(data)}
    deaths, whole = 0, light.ask("load", tmp_path / "whole", **asked)["made"]
    for folder in light.deaths("load", tmp_path, **asked):
        for entry in folder.glob("cache/arrays/[!.]*.npz"):
            with np.load(entry) as arrays:
                assert len(arrays["images"]) == 4
        for _ in range(2):
            assert light.ask("load", folder, **asked)["made"] == whole
        left = {*names(folder)} - {*names(tmp_path / "whole")}
        # Whoever finds the entry writes nothing there, and so sweeps up nothing.
        assert all(name.endswith(LOCK) for name in left) and len(left) <= 1
        deaths += 1
    assert deaths > 10


def test_a_submission_is_the_old_or_the_new_one(light, tmp_path):
    old, new = (tmp_path / name for name in ("old", "new"))
    for folder, value in ((old, 1.0), (new, 2.0)):
        light.ask("submit", folder, value=value)
    count = light.ask("submit", tmp_path / "alone", value=2.0)["count"]
    for die_at in range(1, count + 1):
        folder = shutil.copytree(old, tmp_path / str(die_at))
        assert light.ask("submit", folder, value=2.0, die_at=die_at) is None
        for name in ("mine.csv", "mine.json"):
            known = [(place / name).read_bytes() for place in (old, new)]
            assert (folder / name).read_bytes() in known
        light.ask("submit", folder, value=2.0)
        assert names(folder) == ["mine.csv", "mine.json"]
        assert (folder / "mine.csv").read_bytes() == (new / "mine.csv").read_bytes()


def test_a_folder_is_whole_or_not_there(light, tmp_path):
    for folder in light.deaths("make_folder", tmp_path):
        assert names(folder / "made") in ([], ["a.json", "b.txt"])
        shutil.rmtree(folder / "made", ignore_errors=True)
        light.ask("make_folder", folder)
        assert names(folder) == ["made", "made/a.json", "made/b.txt"]


# Search and cross-validation: before operations of theirs, with trainings that take no time


def test_a_search_killed_where_its_files_disagree_repeats_no_trial(heavy, tmp_path):
    """A trial's own file, the tuner's state and the results are written one after the other."""
    whole = heavy.ask("tune", tmp_path / "whole", trials=3)["made"]
    for when in ("oracle.json:2", "results.json:4"):
        folder = tmp_path / when
        assert heavy.ask("tune", folder, trials=3, die_before=when) is None
        assert heavy.ask("tune", folder, trials=3)["made"] == whole
        assert [n for n in names(folder) if "/." in n] == []
        assert "Unfinished" not in (folder / "search" / "table.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tuner", "step", "asked"),
    [
        ("random", 3, {"trials": 3}),
        ("grid", 19, {}),
        ("hyperband", 19, {"factor": 2, "epochs": 2}),
        ("bayesian", 19, {"trials": 6}),
    ],
)
def test_a_search_repeats_no_finished_trial_and_ends_the_same(heavy, tmp_path, tuner, step, asked):
    asked = {"tuner": tuner, **asked}
    whole = heavy.ask("tune", tmp_path / "whole", **asked)["made"]
    assert whole[0] and len(whole[1]) >= 3
    for folder in heavy.deaths("tune", tmp_path, step, **asked):
        found = heavy.ask("tune", folder, **asked)["made"]
        assert found == whole, "a file called repeated is of a trial that was tried twice"
        assert [n for n in names(folder) if "/." in n] == []
        assert "Unfinished" not in (folder / "search" / "table.md").read_text()


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_a_cross_validation_ends_the_same(heavy, tmp_path, step):
    whole = heavy.ask("folds", tmp_path / "whole")["made"]
    for folder in heavy.deaths("folds", tmp_path, step):
        assert heavy.ask("folds", folder)["made"] == whole
        assert names(folder) == names(tmp_path / "whole")


# Trainings: killed again and again


def weights(path):
    """Digest of a .keras file's weights."""
    import h5py

    digest = hashlib.sha256()

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            digest.update(name.encode() + item[()].tobytes())

    with (
        zipfile.ZipFile(path) as packed,
        packed.open("model.weights.h5") as stored,
        h5py.File(stored) as file,
    ):
        file.visititems(add)
    return digest.hexdigest()


def result(folder):
    """What a run came to, without times."""
    record = json.loads((folder / "run.json").read_text())
    lines = (folder / "history.csv").read_text().splitlines()
    timing = {"seconds", "images_per_second"}
    return {
        "files": names(folder),
        "history": [line.rpartition(",")[0] for line in lines],
        "weights": {path.name: weights(path) for path in folder.glob("*.keras")},
        "metrics": record["metrics"],
        "facts": [
            {k: v for k, v in facts.items() if k not in timing}
            for facts in record["subsets"].values()
        ],
    }


def killed_again_and_again(mortals, job, folder, draws, **asked):
    """Goes on after each death; the draws come to an end, the last attempt is left alone."""
    deaths = 0
    for dying in draws:
        if mortals.ask(job, folder, **dying, **asked) is not None:
            break
        deaths += 1
    assert deaths or "die_after" in dying
    return mortals.ask(job, folder, **asked)["made"]


def operations(seed, times, most):
    rng = random.Random(seed)
    return [{"die_at": rng.randint(1, most)} for _ in range(times)]


def moments(seed, times, longest):
    rng = random.Random(seed)
    return [{"die_after": rng.uniform(0, longest)} for _ in range(times)]


SHORT = {"subsets": ["dense"], "epochs": 2}


@pytest.fixture(scope="module")
def short(heavy, tmp_path_factory):
    """A short training that nobody disturbs: its folder and how many operations it took."""
    folder = tmp_path_factory.mktemp("short")
    return folder / "run", heavy.ask("train", folder, **SHORT)["count"]


def test_a_training_killed_at_some_operations_ends_the_same(heavy, short, tmp_path):
    draws = [{"die_at": 5}, {"die_at": short[1] // 2}]
    killed_again_and_again(heavy, "train", tmp_path, draws, **SHORT)
    assert result(tmp_path / "run") == result(short[0])


def test_a_training_on_a_full_disk_goes_on_when_there_is_room(heavy, short, tmp_path):
    """No file may be larger than some: to a process that is as good as a full disk."""
    for name, limit in (
        ("checkpoint/dense.npz", 20_000),
        ("dense.keras", (short[0] / "dense.keras").stat().st_size - 1),
    ):
        kind, text = heavy.ask("train", tmp_path, limit=limit, **SHORT)["error"]
        assert kind == "WriteError"
        assert text == f"cannot write {tmp_path}/run/{name}: File too large"
        assert not list(tmp_path.rglob(".*"))
    heavy.ask("train", tmp_path, **SHORT)
    assert result(tmp_path / "run") == result(short[0])


@pytest.mark.slow
def test_a_search_on_a_full_disk_blames_no_trial(heavy, tmp_path):
    asked = {"tuner": "random", "trials": 2, "imagined": False}
    whole = heavy.ask("tune", tmp_path / "whole", **asked)["made"]
    kind, text = heavy.ask("tune", tmp_path / "full", limit=20_000, **asked)["error"]
    assert kind == "WriteError" and "trials/0/checkpoint/dense.npz: File too large" in text
    found = json.loads((tmp_path / "full" / "search" / "results.json").read_text())
    assert [row["status"] for row in found["trials"]] in ([], ["running"])
    assert heavy.ask("tune", tmp_path / "full", **asked)["made"] == whole


def test_a_cross_validation_on_a_full_disk_goes_on(heavy, tmp_path):
    whole = heavy.ask("folds", tmp_path / "whole")["made"]
    kind, text = heavy.ask("folds", tmp_path / "full", limit=4000)["error"]
    assert kind == "WriteError" and "cv/tiny/oof.npz: File too large" in text
    assert heavy.ask("folds", tmp_path / "full")["made"] == whole
    assert names(tmp_path / "full") == names(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("draw", [operations, moments])
def test_a_training_killed_many_times_ends_the_same(heavy, tmp_path, draw):
    whole = heavy.ask("train", tmp_path / "whole", epochs=6)
    longest = whole["count"] // 2 if draw is operations else whole["seconds"]
    for seed in range(2):
        folder = tmp_path / str(seed)
        killed_again_and_again(heavy, "train", folder, draw(seed, 8, longest), epochs=6)
        assert result(folder / "run") == result(tmp_path / "whole" / "run")


@pytest.mark.slow
@pytest.mark.parametrize("draw", [operations, moments])
@pytest.mark.parametrize(
    ("job", "runs", "asked"),
    [
        ("tune", "search/trials/*", {"tuner": "hyperband", "factor": 2, "epochs": 2}),
        ("tune", "search/trials/*", {"tuner": "random", "trials": 3}),
        ("folds", "cv/tiny/seed-0/*", {}),
    ],
)
def test_searches_and_folds_killed_many_times_end_the_same(heavy, tmp_path, job, runs, asked, draw):
    asked = {**asked, "imagined": False}
    whole = heavy.ask(job, tmp_path / "whole", **asked)
    longest = whole["count"] // 3 if draw is operations else whole["seconds"] / 2
    draws = draw(1, 8, longest)
    made = killed_again_and_again(heavy, job, tmp_path / "killed", draws, **asked)
    assert made == whole["made"]
    found, wanted = (
        {folder.name: result(folder) for folder in sorted((tmp_path / place).glob(runs))}
        for place in ("killed", "whole")
    )
    assert found == wanted and len(found) >= 2
    assert [n for n in names(tmp_path / "killed") if "/." in n] == []
