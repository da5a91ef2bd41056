"""kfkd ladder: rows of runs, what they changed, and tables that outlive the folders."""

import json
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

import kfkd
from kfkd import registry
from kfkd.cli import main
from kfkd.errors import KfkdError, RunError, UnknownName
from kfkd.evaluation import validation_faces
from kfkd.laddering import Ladder, read_ladder
from kfkd.ladders.changes import changes_of
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.runs import Run, load_run
from kfkd.storage import locks
from kfkd.storage.files import write_json
from kfkd.storage.locks import renewing
from kfkd.views import Views


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(80, seed=4)


@pytest.fixture(scope="module")
def runs(tiny_zoo, faces, tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
        given = {"subsets": ["all"], "quiet": True}
        settings = {"epochs": 2, "views": Views(flip=True), "precision": "mixed_bfloat16"}
        settings |= {"early_stopping": None, "loss": "huber(2)"}
        first = kfkd.train("tiny", faces, epochs=1, out=home / "first", **given)
        second = kfkd.train("tiny", faces, out=home / "second", **settings, **given)
    return [first, second]


def changed(run, folder, **record):
    """A copy of a run with another record."""
    shutil.copytree(run.folder, folder)
    (folder / "run.json").write_text(json.dumps({**run.record, **record}))
    return load_run(folder)


def test_a_row_says_what_a_run_is(runs):
    row = kfkd.ladder(runs[0], quiet=True).rows[0]
    assert (row["name"], row["model"], row["seed"]) == ("first", "tiny", 0)
    assert row["params"] == runs[0].model("all").count_params()
    assert row["gflops"] > 0
    assert row["epochs"] == {"all": 1}
    assert row["scores"] == runs[0].metrics["model"]
    assert row["mean_face"] == runs[0].metrics["mean_face"]
    assert row["held_out"]["images"] == runs[0].metrics["images"]
    assert row["clean"] is None
    assert "cores" in row["machine"]


def test_changes_are_told_shortly(runs):
    assert changes_of(runs[0]) == ["epochs=1", "subsets=all", "data=synthetic"]
    assert changes_of(runs[1]) == [
        "loss=huber(2)",
        "epochs=2",
        "early_stopping=none",
        "views.flip=yes",
        "subsets=all",
        "precision=mixed_bfloat16",
        "data=synthetic",
    ]


def test_changes_of_every_kind(runs):
    record = json.loads(json.dumps(runs[0].record))
    settings = record["settings"]
    settings["recipe"] |= {"epochs": 6, "plateau": None, "phases": [{"epochs": 2, "unfreeze": 0}]}
    settings |= {"options": {"widths": [1, 2], "rate": 0.5}, "augment": "mine", "split_seed": 7}
    settings |= {"fold": [1, 5], "suspects": "3 9:nose_tip", "drop_incomplete": True}
    record["subsets"]["all"]["codec"] = {"codec": "coordinates", "offset": 0.0, "scale": 96.0}
    assert changes_of(Run(runs[0].folder, record)) == [
        "plateau=none",
        "augment=mine",
        "phases=(epochs=2, unfreeze=0)",
        "codec.scale=96",
        "options.widths=1/2",
        "options.rate=0.5",
        "subsets=all",
        "drop_incomplete=yes",
        "data=synthetic",
        "split_seed=7",
        "fold=1/5",
        "suspects=2 rows",
    ]


def test_an_entry_of_another_script_is_shown_by_name_alone(runs, monkeypatch):
    known = {k: v for k, v in registry.entries().items() if k != "tiny"}
    monkeypatch.setattr(registry, "_ENTRIES", known)
    found = kfkd.ladder(runs, quiet=True)
    assert found.rows[0]["changes"] is None
    assert found.rows[0]["gflops"] > 0
    assert "| `first` | `tiny` | not in the zoo | 0 |" in found.table()


def test_what_a_run_began_with_is_counted(runs, tmp_path):
    stage = {"command": "kfkd train tiny", "epochs": {"all": 64}, "minutes": 90.5}
    own = kfkd.ladder(runs[0], quiet=True).rows[0]["minutes"]
    second = changed(runs[0], tmp_path / "again", lineage=[stage])
    found = kfkd.ladder(second, add_to=tmp_path / "ladder.json", quiet=True)
    row = found.rows[0]
    assert (row["before"], row["minutes"]) == ([stage], round(own + 90.5, 1))
    assert f"| 64 → 1 | {row['minutes']:g} |" in found.table()
    assert read_ladder(tmp_path / "ladder.json") == found
    settings = {**runs[0].record["settings"], "start": str(tmp_path / "gone")}
    lost = kfkd.ladder(changed(runs[0], tmp_path / "lost", settings=settings), quiet=True)
    assert lost.rows[0]["before"] is None
    assert f"| ? → 1 | ≥ {own:g} |" in lost.table()


def test_what_is_no_run_is_refused():
    for wrong in (5, [5], None):
        with pytest.raises(KfkdError, match="runs or their folders are wanted, one or several"):
            kfkd.ladder(wrong)


def test_the_table_is_in_order(runs):
    assert [row["name"] for row in kfkd.ladder(runs[::-1], quiet=True).rows] == ["second", "first"]
    found = kfkd.ladder(runs, sort="kaggle_rmse", quiet=True)
    scores = [row["scores"]["kaggle_rmse"] for row in found.rows]
    assert scores == sorted(scores)
    assert [row["name"] for row in found.sorted("name").rows] == ["first", "second"]
    lines = found.table().splitlines()
    assert lines[0].startswith("| run | model | changed | seed | params | GFLOPs |")
    assert lines[0].endswith("| held out | kaggle_rmse | full | four_point |")
    assert len({line.count("|") for line in lines[:4]}) == 1
    face = found.rows[0]["mean_face"]["kaggle_rmse"]
    assert f"| {scores[0]:.3f} ({face:.3f}) |" in lines[2]
    with pytest.raises(UnknownName, match="kaggle_rmse"):
        kfkd.ladder(runs, sort="kaggle", quiet=True)


def test_a_missing_score_comes_last(runs):
    row = kfkd.ladder(runs[0], quiet=True).rows[0]
    lacking = {**row, "name": "lacking", "scores": {**row["scores"], "kaggle_rmse": None}}
    found = Ladder((lacking, row)).sorted("kaggle_rmse")
    assert [row["name"] for row in found.rows] == ["first", "lacking"]
    assert "| — |" in found.table()


def test_clean_figures_leave_rows_out(runs, faces):
    held_out = validation_faces(runs[0], faces)
    left = held_out.ids[:3].tolist()
    found = kfkd.ladder(runs, faces, clean=[str(left[0]), *left[1:]], quiet=True)
    kept = held_out[3:]
    truth, points = kept.keypoints, runs[0].predict(kept.images)
    clean = found.rows[0]["clean"]
    assert (clean["images"], clean["left_out"]) == (len(kept), 3)
    assert clean["scores"]["all"] == pytest.approx(
        np.sqrt(np.nanmean((truth - points) ** 2)), abs=1e-3
    )
    assert "kaggle_rmse, clean" in found.table()
    assert f"without 3 rows of the data: {', '.join(map(str, sorted(left)))}." in found.table()
    with pytest.raises(KfkdError, match="the data has no row 900"):
        kfkd.ladder(runs, faces, clean=[900], quiet=True)


def test_clean_rows_are_of_one_data_set(runs, faces, tmp_path):
    data = {**runs[0].record["data"], "fingerprint": "0" * 16}
    other = changed(runs[0], tmp_path / "other", data=data)
    found = kfkd.ladder([runs[0], other], faces, clean=[int(faces.ids[0])], quiet=True)
    assert [row["clean"] is None for row in found.rows] == [False, True]


def test_rows_outlive_their_folders(runs, faces, tmp_path):
    gone = changed(runs[0], tmp_path / "gone")
    left = [int(n) for n in validation_faces(gone, faces).ids[:2]]
    place = tmp_path / "ladder.json"
    first = kfkd.ladder(gone, faces, clean=left, add_to=place, quiet=True)
    shutil.rmtree(gone.folder)
    # The rows that are left out are remembered, and a run that is there already is renewed.
    for _ in range(2):
        second = kfkd.ladder(runs[1], faces, add_to=place, out=tmp_path / "l.md", quiet=True)
    assert [row["name"] for row in second.rows] == ["gone", "second"]
    assert second.rows[0] == first.rows[0]
    assert second.rows[1]["clean"]["left_out"] == 2
    assert read_ladder(place) == second
    assert (tmp_path / "l.md").read_text() == second.table()
    assert not (tmp_path / "l.json").exists()
    assert kfkd.ladder([], add_to=place, sort="name", quiet=True).rows == second.rows
    with pytest.raises(KfkdError, match="leave out 2 rows, these would leave out others, and gone"):
        kfkd.ladder(runs[1], faces, clean=left[:1], add_to=place, quiet=True)
    assert read_ladder(place) == second


def test_of_two_who_add_at_once_one_waits(runs, tmp_path, monkeypatch):
    place, waits = tmp_path / "ladder.json", threading.Event()
    first = kfkd.ladder(runs[0], quiet=True)
    monkeypatch.setattr(locks, "_PATIENCE", 0.0)
    monkeypatch.setattr(locks, "say", lambda *told: waits.set())
    later = threading.Thread(
        target=kfkd.ladder, args=(runs[1],), kwargs={"add_to": place, "quiet": True}
    )
    with renewing(place):
        later.start()
        assert waits.wait(60)
        write_json(place, first.as_dict())
    later.join()
    assert [row["name"] for row in read_ladder(place).rows] == ["first", "second"]
    assert [path.name for path in tmp_path.iterdir()] == ["ladder.json"]


def test_unfinished_runs_are_left_out(runs, capsys, tmp_path):
    begun = changed(runs[0], tmp_path / "begun", status="running")
    found = kfkd.ladder([begun, runs[1]])
    assert [row["name"] for row in found.rows] == ["second"]
    assert "left out, not finished" in capsys.readouterr().err
    with pytest.raises(RunError, match="none of the 1 runs is finished"):
        kfkd.ladder(begun, quiet=True)
    with pytest.raises(KfkdError, match="wants finished runs"):
        kfkd.ladder([], quiet=True)


def test_other_images_are_told(runs, tmp_path):
    split = {**runs[0].record["split"], "seed": 5}
    other = changed(runs[0], tmp_path / "other", split=split)
    assert "Not all runs" not in kfkd.ladder(runs, quiet=True).table()
    text = kfkd.ladder([*runs, other], quiet=True).table()
    assert "**Not all runs are measured on the same images: `first`, `second`: " in text
    assert "split seed 5" in text


def test_learned_images_are_told(runs, tmp_path):
    metrics = {**runs[0].metrics, "on": "training"}
    learned = changed(runs[0], tmp_path / "learned", metrics=metrics)
    assert "**Measured on images that were learned: learned.**" in str(kfkd.ladder(learned))


def test_other_keypoints_show_rmse_and_nme(runs):
    row = kfkd.ladder(runs[0], quiet=True).rows[0]
    landmarks = replace(runs[0], record=json.loads(json.dumps(runs[0].record)))
    landmarks.record["metrics"]["landmarks"] = {"scores": {"nme": [0.05, 0.1]}}
    landmarks.record["metrics"]["model"]["kaggle_rmse"] = None
    text = kfkd.ladder([landmarks], quiet=True).table()
    assert "| RMSE | NME % |" in text.splitlines()[0]
    assert text.splitlines()[2].endswith("| 5.00 (10.00) |")
    assert "nme" not in row["scores"]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "[]",
        '{"kind": "ladder"}',
        '{"kind": "cross-validation", "rows": []}',
        '{"kind": "ladder", "rows": [3]}',
        '{"kind": "ladder", "rows": [{"name": "x"}]}',
        '{"kind": "ladder", "rows": [], "clean": [1]}',
    ],
)
def test_a_file_without_a_ladder_is_refused(wrong, runs, tmp_path):
    place = tmp_path / "ladder.json"
    place.write_text(wrong)
    with pytest.raises(KfkdError, match=r"ladder\.json"):
        kfkd.ladder(runs[0], add_to=place, quiet=True)
    assert place.read_text() == wrong


@pytest.mark.parametrize(
    "changes",
    [
        *({"scores": {"all": "x"}}, {"clean": {}}, {"held_out": {}}, {"epochs": {"all": []}}),
        *({"before": 3}, {"before": [3]}, {"before": [{"minutes": 1}]}),
    ],
)
def test_broken_rows_are_refused(changes, runs, tmp_path):
    content = kfkd.ladder(runs[0], quiet=True).as_dict()
    content["rows"][0] |= changes
    place = tmp_path / "ladder.json"
    place.write_text(json.dumps(content))
    with pytest.raises(KfkdError, match="row 1: "):
        read_ladder(place)


def test_the_command(runs, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    folders = [str(run.folder) for run in runs]
    out = tmp_path / "ladder.md"
    assert main(["ladder", *folders, "--out", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out == out.read_text()
    place = str(out.with_suffix(".json"))
    assert main(["ladder", "--add-to", place, "--sort", "name", "--json", "--quiet"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]] == [
        "first",
        "second",
    ]
    assert main(["ladder", *folders, "--out", place, "--quiet"]) == 2
    assert "out wants a Markdown file" in capsys.readouterr().err
