import json
import re

import numpy as np
import pytest

import kfkd
from kfkd import pretrained
from kfkd.cli import main
from kfkd.errors import RunError
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.runs import load_run

pytestmark = pytest.mark.usefixtures("tiny_zoo", "undrawn")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(60, seed=1)


@pytest.fixture(scope="module")
def run(tiny_zoo, faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return kfkd.train("tiny", faces, epochs=2, out=folder, quiet=True)


@pytest.fixture(scope="module")
def packed(run, tmp_path_factory):
    return kfkd.pack(run, tmp_path_factory.mktemp("packed") / "small")


def test_a_packed_run_predicts_as_the_run_does(run, packed, faces):
    small = load_run(packed)
    np.testing.assert_allclose(small.predict(faces.images), run.predict(faces.images), atol=0.05)
    assert small.metrics == run.metrics
    assert small.finished


def test_a_packed_run_computes_in_float32_whatever_the_users_policy(packed, faces):
    from kfkd.learning.surroundings import precision

    wanted = load_run(packed).predict(faces.images[:5])
    with precision("mixed_bfloat16"):
        found = load_run(packed).predict(faces.images[:5])
    np.testing.assert_array_equal(found, wanted)


def test_a_packed_run_is_small_and_tells_nothing_of_the_machines_folders(run, packed):
    half = sum(p.stat().st_size for p in packed.glob("*.npz"))
    whole = sum(p.stat().st_size for p in run.folder.glob("*.keras"))
    assert half < 0.6 * whole
    assert json.loads((packed / "run.json").read_text())["data"]["path"] == ""
    assert str(run.folder) not in (packed / "MODEL_CARD.md").read_text()


def test_the_card_has_the_scores_with_the_mean_face_beside(run, packed):
    card = (packed / "MODEL_CARD.md").read_text()
    for column in ("model", "mean_face", "mean_per_source"):
        assert f"{run.metrics[column]['kaggle_rmse']:.3f}" in card
    for heading in ("# tiny", "## Data", "## Scores", "## Where it fails", "## How it was made"):
        assert heading in card
    assert "kfkd train tiny" in card
    assert "held out" in card


@pytest.mark.slow
def test_a_run_of_all_rows_has_the_scores_of_its_twin(run, faces, tmp_path):
    whole = kfkd.train("tiny", faces, epochs=2, validation=0, out=tmp_path / "whole", quiet=True)
    packed = kfkd.pack(whole, tmp_path / "small", measured_by=run)
    small = load_run(packed)
    assert small.metrics == run.metrics and small.record["split"]["validation"] == 0
    card = (packed / "MODEL_CARD.md").read_text()
    held_out = run.record["split"]["validation"]
    assert (
        f"of the same training on {60 - held_out} of them, measured on the other {held_out}" in card
    )
    with pytest.raises(RunError, match="a run that held images out"):
        kfkd.pack(run, tmp_path / "no", measured_by=whole)
    began = {"start": whole, "learning_rate": 1e-4}
    more = kfkd.train(
        "tiny", faces, epochs=2, validation=0, out=tmp_path / "more", quiet=True, **began
    )
    card = (kfkd.pack(more, tmp_path / "further", measured_by=run) / "MODEL_CARD.md").read_text()
    assert "of a shorter training of the same settings (2 epochs from random weights, where" in card
    assert "these weights saw 4) on" in card
    longer = kfkd.train("tiny", faces, epochs=3, out=tmp_path / "longer", quiet=True)
    with pytest.raises(RunError, match=r"no more epochs\. Received: 3 of .*longer for 2 of"):
        kfkd.pack(whole, tmp_path / "no", measured_by=longer)
    with pytest.raises(RunError, match="a run that held images out"):
        kfkd.pack(whole, tmp_path / "no", measured_by=packed)
    other = kfkd.train("tiny", faces, epochs=1, batch_size=9, out=tmp_path / "other", quiet=True)
    with pytest.raises(RunError, match=r"other settings than .*whole: batch_size"):
        kfkd.pack(whole, tmp_path / "no", measured_by=other)


def test_the_card_tells_what_a_run_was_built_upon(run, faces, tmp_path):
    given = {"epochs": 1, "start": run, "teachers": [run], "quiet": True}
    student = kfkd.train("tiny", faces, out=tmp_path / "student", **given)
    packed = kfkd.pack(student, tmp_path / "small")
    made = (packed / "MODEL_CARD.md").read_text().partition("## How it was made")[2]
    assert f"--out {run.folder.name}`\n2. `kfkd train tiny" in made
    assert f"--start {run.folder.name} --teachers {run.folder.name}" in made
    told = (packed / "run.json").read_text() + made
    assert str(run.folder) not in told
    assert re.search(r"^\d+ s of training on .+, \d+ s with what it was built", made, re.MULTILINE)
    whole = (packed / "MODEL_CARD.md").read_text()
    assert "px), as the file that it learned from counts them." in whole
    # A packed run knows what it was built upon where those runs are no more.
    again = kfkd.pack(packed, tmp_path / "again")
    assert load_run(again).record["lineage"] == load_run(packed).record["lineage"]
    (tmp_path / "broken").mkdir()
    record = json.loads((packed / "run.json").read_text()) | {"lineage": ["kfkd train tiny"]}
    (tmp_path / "broken" / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="a stage of lineage"):
        load_run(tmp_path / "broken")


def test_the_card_names_the_accelerator_that_trained(faces, tmp_path, monkeypatch):
    from kfkd.learning import opening

    monkeypatch.setattr(opening, "accelerator", lambda: "NVIDIA H200")
    run = kfkd.train("tiny", faces, epochs=1, out=tmp_path / "run", quiet=True)
    facts = run.record["machine"]
    assert facts["accelerator"] == "NVIDIA H200" and load_run(run.folder).record == run.record
    cores = f"{facts['cores']} core{'s' * (facts['cores'] > 1)}"
    card = (kfkd.pack(run, tmp_path / "small") / "MODEL_CARD.md").read_text()
    assert f" of training on NVIDIA H200 ({facts['cpu']}, {cores}); python" in card


def test_the_card_tells_the_terms_of_what_a_run_began_with(run, packed, tmp_path):
    record = json.loads((packed / "run.json").read_text())
    record["data"]["origin"] = "kaggle"
    stage = {"command": "kfkd train tiny", "data": "ibug", "epochs": {"all": 3}, "minutes": 1.0}
    for name, before in (("begun", [stage]), ("alone", [])):
        (tmp_path / name).mkdir()
        for path in packed.glob("*.npz"):
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
        (tmp_path / name / "run.json").write_text(json.dumps(record | {"lineage": before}))
    card = (kfkd.pack(tmp_path / "begun", tmp_path / "1") / "MODEL_CARD.md").read_text()
    assert "Runs that it began with, or was taught by, learned `ibug`." in card
    terms = "kaggle: Kaggle's competition rules; ibug: research only, not commercial"
    assert f"Terms of the data: {terms}. The weights are for the uses that all of" in card
    card = (kfkd.pack(tmp_path / "alone", tmp_path / "2") / "MODEL_CARD.md").read_text()
    assert "Terms of the data: Kaggle's competition rules. The weights" in card


def test_a_full_folder_is_left_alone(run, packed, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="holds something already"):
        kfkd.pack(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_run_that_half_precision_spoils_is_refused_whole(run, tmp_path, monkeypatch):
    monkeypatch.setattr("kfkd.packing._moved", lambda *runs: 1.5)
    with pytest.raises(RunError, match=r"moved 1\.500 px"):
        kfkd.pack(run, tmp_path / "small")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nothing", b"\x80\x04K\x01."])
def test_broken_weights_are_named(packed, tmp_path, content):
    (tmp_path / "run.json").write_bytes((packed / "run.json").read_bytes())
    (tmp_path / "dense.npz").write_bytes(content)
    with pytest.raises(RunError, match=r"dense\.npz does not hold the weights of tiny"):
        load_run(tmp_path).model("dense")


def test_a_copy_from_anyone_names_no_files(packed, tmp_path):
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    record = json.loads((packed / "run.json").read_text())
    record["settings"]["options"] = {"activation": "/etc/passwd"}
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="activation are no plain numbers"):
        load_run(tmp_path).model("dense")


@pytest.fixture
def shelf(packed, tmp_path, monkeypatch):
    """A package with two runs, the better one called best."""
    for name, score in (("worse", 9.0), ("best", 1.0)):
        (tmp_path / name).mkdir()
        for path in packed.iterdir():
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
        record = json.loads((packed / "run.json").read_text())
        record["metrics"]["model"]["kaggle_rmse"] = score
        (tmp_path / name / "run.json").write_text(json.dumps(record))
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path


def test_packaged_runs_are_known_by_name_best_first(shelf, faces):
    assert kfkd.pretrained_runs() == ["best", "worse"]
    assert kfkd.load_run("best").folder == shelf / "best"
    assert kfkd.predict("best", faces.images[:2]).shape == (2, 15, 2)
    with pytest.raises(RunError, match="is not a run"):
        kfkd.load_run("../best")


def test_a_folder_of_that_name_comes_first(shelf, run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.folder.parent)
    (shelf / "tiny").mkdir()
    (shelf / "tiny" / "run.json").write_bytes((shelf / "best" / "run.json").read_bytes())
    assert kfkd.load_run("tiny").folder.resolve() == run.folder.resolve()


def test_the_list_says_scores_and_sizes(shelf, capsys):
    assert main(["pretrained"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["best", "worse"]
    assert "1.000" in lines[2]


def test_a_command_without_a_run_takes_the_best(shelf, run, tmp_path):
    photo = str(shelf / "best" / "run.json")
    assert pretrained.run_and_rest([photo]) == ("best", [photo])
    assert pretrained.run_and_rest([]) == ("best", [])
    assert pretrained.run_and_rest(["worse", photo]) == ("worse", [photo])
    assert pretrained.run_and_rest([str(run.folder), photo]) == (str(run.folder), [photo])
    assert pretrained.run_and_rest(["misspelt", photo]) == ("misspelt", [photo])
    for absent in ("absent.jpg", "absent.HEIC"):
        assert pretrained.run_and_rest([absent, photo]) == ("best", [absent, photo])


def test_without_packaged_runs_a_command_wants_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "none")
    assert main(["detect", str(tmp_path)]) == 2
    assert "name a run's folder" in capsys.readouterr().err
    assert main(["pretrained"]) == 0
    assert "no run" in capsys.readouterr().out
