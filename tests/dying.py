"""Runs jobs in children that the system kills (SIGKILL) before a chosen operation on files.

`python dying.py light|heavy` imports what its jobs want once, forks a child for each line of JSON
on stdin, and answers with a line. A child counts what it does to files in its folder: opening them
to write, renaming, removing, linking, changing modes, making and removing folders. What it leaves
when it dies before the k-th of these is what any process leaves that is killed around there. It
may also be killed after some seconds, or be limited in how large a file it may write.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {f"os.{name}" for name in ("rename", "remove", "mkdir", "rmdir", "link", "chmod")}
LONGEST = 400  # seconds of a child


class Operations:
    """An audit hook that counts operations on files in a folder and dies before one of them.

    Args:
        folder: where.
        die_at: before which operation, from 1; None = before none.
        die_before: "NAME:K", before the K-th time that a file gets this name.
    """

    def __init__(self, folder: str, die_at: int | None, die_before: str | None) -> None:
        self.folder, self.die_at, self.count = folder, die_at, 0
        self.name, _, times = (die_before or ":0").partition(":")
        self.left = int(times)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & WRITING:
                return
        elif event not in CHANGES:
            return
        path = str(arguments[0])
        # shutil.rmtree names files by the folder's descriptor and their own names.
        within = event in ("os.remove", "os.rmdir") and arguments[1] != -1
        if within or (path.startswith(self.folder) and not does_nothing(event, path)):
            self.count += 1
            if event == "os.rename" and Path(arguments[1]).name == self.name:
                self.left -= 1
                self.die_at = self.die_at if self.left else self.count
            if self.count == self.die_at:
                os.kill(os.getpid(), signal.SIGKILL)


def does_nothing(event: str, path: str) -> bool:
    """Whether an operation fails, as making a folder that is there does."""
    return os.path.lexists(path) == (event == "os.mkdir") and event in ("os.mkdir", "os.remove")


def answer(jobs: dict[str, Callable[..., Any]], asked: dict[str, Any]) -> dict[str, Any]:
    """Runs a job in a child, and says how it ended."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(LONGEST)
        try:
            counted = Operations(asked["folder"], asked.get("die_at"), asked.get("die_before"))
            sys.addaudithook(counted)
            if asked.get("die_after") is not None:
                threading.Thread(target=die, args=(asked["die_after"],), daemon=True).start()
            if asked.get("limit") is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (asked["limit"],) * 2)
            told = {"made": None, "error": None}
            began = time.monotonic()
            try:
                told["made"] = jobs[asked["job"]](Path(asked["folder"]), **asked["arguments"])
            except ValueError as error:  # KfkdError, before the package is imported
                told["error"] = [type(error).__name__, str(error)]
            told |= {"count": counted.count, "seconds": time.monotonic() - began}
            os.write(write, json.dumps(told).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        content = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"status": status, **json.loads(content or "{}")}


def die(seconds: float) -> None:
    """Kills this process after some time."""
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


# Jobs that need no TensorFlow


def light_jobs() -> dict[str, Callable[..., Any]]:
    """Cache, submission, folder."""
    import numpy as np

    from kfkd.pipelines import cache, sources
    from kfkd.pipelines.synthetic import synthetic_id_table
    from kfkd.storage.files import whole_folder, write_json, write_text
    from kfkd.submissions.writer import write_submission

    cache._RACY_NS = -1  # as if files were old enough for the cache's index
    table = synthetic_id_table(3)

    def load(folder: Path, data: str) -> str:
        os.environ["KFKD_CACHE"] = str(folder / "cache")
        return sources.load_faces(path=data, quiet=True).fingerprint

    def submit(folder: Path, value: float) -> str:
        values = np.full(len(table.row_id), value)
        return str(write_submission(folder / "mine.csv", table, values, {"value": value}))

    def make_folder(folder: Path) -> None:
        with whole_folder(folder / "made") as beside:
            write_json(beside / "a.json", [1])
            write_text(beside / "b.txt", "b")

    return {"load": load, "submit": submit, "make_folder": make_folder}


# Jobs under TensorFlow, which is imported here and runs in the children alone


def heavy_jobs() -> dict[str, Callable[..., Any]]:
    """Training, search and cross-validation, each also with trainings that take no time."""
    import conftest
    import numpy as np

    import kfkd
    import kfkd.comparing
    import kfkd.folds.work
    import kfkd.learning.fitting
    import kfkd.learning.trainer
    import kfkd.searches.deaths
    import kfkd.searches.engine
    import kfkd.searches.results
    import kfkd.searches.trials
    import kfkd.training
    from kfkd.pipelines.synthetic import synthetic_faces
    from kfkd.registry import entries

    entries()
    conftest.register_tiny_zoo()
    faces = synthetic_faces(60, seed=1)
    kfkd.learning.trainer.draw_run = lambda *arguments: None
    kfkd.searches.results.save_figure = lambda *arguments: None
    # Elsewhere the system does not say that memory was never full, and two deaths are enough.
    kfkd.searches.deaths.memory_kills = lambda: "none"
    asked = {"quiet": True, "epochs": 3}

    def train(folder: Path, **settings: Any) -> None:
        kfkd.train("tiny", faces, out=folder / "run", **{**asked, **settings})

    def space(hp: Any) -> dict[str, Any]:
        drawn = {"learning_rate": hp.Choice("learning_rate", [0.02, 0.01, 0.005])}
        return {**drawn, "batch_size": hp.Choice("batch_size", [32, 16])}

    def tune(folder: Path, imagined: bool = True, **settings: Any) -> list[Any]:
        if imagined:
            kfkd.searches.trials.train = imagined_training(folder)
        given = {**asked, "space": space, "subsets": "dense", **settings}
        found = kfkd.tune("tiny", faces, out=folder / "search", **given)
        rows = [[r["trial"], r["status"], r["score"], r["values"]] for r in found.trials]
        return [found.facts["finished"], rows, sorted(p.name for p in folder.iterdir())]

    def folds(folder: Path, imagined: bool = True, **settings: Any) -> list[Any]:
        if imagined:
            kfkd.folds.work.train = imagined_fold(faces)
            kfkd.folds.work._finished = lambda folder: (folder / "made").exists()
        given = {**asked, "k": 2, "subsets": "all", **settings}
        found = kfkd.cross_validate("tiny", faces, out=folder / "cv", **given)
        rows = [[r["fold"], r["created"], r["scores"]] for r in found.models["tiny"]["folds"]]
        member = found.out_of_fold("tiny")
        times = [] if imagined else None
        rows = rows if imagined else [[f, times, s] for f, _, s in rows]
        return [found.finished, rows, np.nan_to_num(member.predicted).sum().item()]

    return {"train": train, "tune": tune, "folds": folds}


def imagined_training(folder: Path) -> Callable[..., Any]:
    """Trials that take no time; one that is finished and is tried again leaves a file."""

    def train(name: str, faces: Any, *, out: Path, callbacks: Any, **settings: Any) -> Any:
        state = out.parents[1] / "search" / f"trial_{out.name}" / "trial.json"
        if json.loads(state.read_text())["status"] == "COMPLETED":
            (folder / "repeated").touch()
        out.mkdir(parents=True, exist_ok=True)
        score = 100 * settings["learning_rate"] + settings["batch_size"] / settings["epochs"]
        return SimpleNamespace(
            folder=out, metrics={"model": {"all": score}, "mean_face": {"all": 4.0}}
        )

    return train


def imagined_fold(faces: Any) -> Callable[..., Any]:
    """Folds that take no time: each answers its own number."""
    import numpy as np

    def train(name: str, data: Any, *, out: Path, fold: tuple[int, int], **settings: Any) -> Any:
        out.mkdir(parents=True, exist_ok=True)
        (out / "made").touch()
        record = {"created": f"fold {fold}", "subsets": {"all": {"epochs": 1, "seconds": 1.0}}}

        def predict(images: Any, source: Any, thorough: bool) -> Any:
            return np.full((len(images), *faces.keypoints.shape[1:]), 40.0 + fold[0], np.float32)

        return SimpleNamespace(folder=out, record=record, predict=predict, subsets=())

    return train


def main() -> None:
    """Answers line by line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed
    sys.path.insert(0, str(Path(__file__).parent))
    jobs = {"light": light_jobs, "heavy": heavy_jobs}[sys.argv[1]]()
    for line in sys.stdin:
        print(json.dumps(answer(jobs, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
