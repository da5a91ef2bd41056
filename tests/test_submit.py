"""From runs to submissions: whole, refused, combined; and the zoo's table of scores."""

from __future__ import annotations

import csv
import json
import shlex
from dataclasses import asdict

import numpy as np
import pytest

import kfkd
from kfkd.cli import parser
from kfkd.errors import KfkdError, RunError, UnknownName
from kfkd.learning.key_values import key_values
from kfkd.pipelines.synthetic import synthetic_faces, write_kaggle_folder
from kfkd.recording import measured, record_runs, results_table, training_command, write_block
from kfkd.registry import Plateau, entry
from kfkd.runs import Run, load_run
from kfkd.submissions.solution import read_solution

pytestmark = pytest.mark.usefixtures("tiny_zoo", "undrawn")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_kaggle_folder(tmp_path_factory.mktemp("made") / "kaggle", train=120, test=20)


@pytest.fixture(scope="module")
def run(tiny_zoo, data, tmp_path_factory):
    return kfkd.train("tiny", data, out=tmp_path_factory.mktemp("runs") / "whole", quiet=True)


@pytest.fixture(scope="module")
def halves(tiny_zoo, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    return [
        kfkd.train("tiny", data, subsets=s, epochs=2, out=folder / s, quiet=True)
        for s in ("dense", "sparse")
    ]


def locations(path):
    with path.open(newline="") as file:
        return np.array([float(row["Location"]) for row in csv.DictReader(file)])


def pretend_real(run, tmp_path):
    """The same run as if its data had come from Kaggle."""
    folder = tmp_path / "real"
    folder.mkdir()
    for file in run.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    record = json.loads((folder / "run.json").read_text())
    record["data"]["origin"] = "kaggle"
    (folder / "run.json").write_text(json.dumps(record))
    return load_run(folder)


def test_submission_is_whole_and_scores(run, data, tmp_path):
    path = kfkd.submit(run, data, out=tmp_path / "one.csv", quiet=True)
    made = json.loads(path.with_suffix(".json").read_text())
    assert made["runs"][0]["model"] == "tiny"
    assert made["ensemble"] == "mean"
    result = kfkd.score(path, data / "solution.csv")
    assert result.values == len(locations(path))
    assert result.private is not None
    assert result.public is not None


def test_default_place_is_the_submissions_folder(run, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = kfkd.submit(run, data, quiet=True)
    assert path.parent.name == "submissions"
    assert path.name.startswith("tiny-")
    assert path.with_suffix(".json").is_file()


def test_clip_keeps_coordinates_in_the_image(run, data, tmp_path):
    path = kfkd.submit(run, data, out=tmp_path / "clipped.csv", clip=True, quiet=True)
    assert locations(path).min() >= 0
    assert locations(path).max() <= 96


def test_runs_of_subsets_make_a_whole(halves, data, tmp_path):
    path = kfkd.submit(halves, data, out=tmp_path / "both.csv", quiet=True)
    assert np.isfinite(locations(path)).all()
    with pytest.raises(KfkdError, match="left_eye_inner_corner_x"):
        kfkd.submit(halves[0], data, out=tmp_path / "half.csv", quiet=True)
    assert not (tmp_path / "half.csv").exists()


def test_mean_of_a_run_with_itself_is_the_run(run, data, tmp_path):
    one = kfkd.submit(run, data, out=tmp_path / "a.csv", quiet=True)
    two = kfkd.submit([run, run.folder], data, out=tmp_path / "b.csv", quiet=True)
    np.testing.assert_allclose(locations(one), locations(two), atol=1e-4)


def test_submission_tells_what_averaging_wins(run, data, tmp_path, capsys):
    other = kfkd.train("tiny", data, seed=1, epochs=1, out=tmp_path / "other", quiet=True)
    solution = read_solution(data / "solution.csv")
    values, wins = {}, {}
    for name, runs in {"one": run, "other": other, "mean": [run, other]}.items():
        path = kfkd.submit(runs, data, out=tmp_path / f"{name}.csv")
        values[name] = locations(path)
        wins[name] = json.loads(path.with_suffix(".json").read_text())["averaging"]
    errors = {name: np.nanmean(np.square(v - solution.location)) for name, v in values.items()}
    won, average = wins["mean"], (errors["one"] + errors["other"]) / 2
    assert wins["one"] is None
    assert won["square_pixels"] == pytest.approx(average - errors["mean"], abs=1e-3)
    apart = np.square(values["one"] - values["other"])
    own = {i: apart[solution.image == i].sum() for i in np.unique(solution.image)}
    assert won["image"] == max(own, key=own.get)
    assert won["share"] == pytest.approx(own[won["image"]] / apart.sum(), abs=1e-3)
    told = f"squared error is {won['square_pixels']:.2g} px² below theirs, averaged alike"
    assert told in capsys.readouterr().err
    weighted = kfkd.submit(
        [run, other], data, ensemble="weighted", weights=[3, 1], out=tmp_path / "weighted.csv"
    )
    gained = json.loads(weighted.with_suffix(".json").read_text())["averaging"]["square_pixels"]
    error = np.nanmean(np.square(locations(weighted) - solution.location))
    same_weights = 0.75 * errors["one"] + 0.25 * errors["other"]
    assert gained == pytest.approx(same_weights - error, abs=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ensemble": "median"},
        {"ensemble": "weighted", "weights": [1, 0]},
        {"ensemble": "weighted", "weights": [3, 1]},
    ],
)
def test_nothing_is_told_where_averaging_wins_nothing_known(settings, run, data, tmp_path, capsys):
    path = kfkd.submit([run, run], data, out=tmp_path / "same.csv", **settings)
    assert json.loads(path.with_suffix(".json").read_text())["averaging"] is None
    assert "squared error" not in capsys.readouterr().err


def test_built_in_faces_without_a_folder(tiny_zoo, tmp_path):
    faces = synthetic_faces(120)
    run = kfkd.train("tiny", faces, epochs=1, out=tmp_path / "run", quiet=True)
    path = kfkd.submit(run, "synthetic", out=tmp_path / "built-in.csv", quiet=True)
    assert len(locations(path)) > 300 * 7


def test_run_on_built_in_faces_is_refused_for_real_ones(run, data, tmp_path):
    real = write_kaggle_folder(tmp_path / "real", train=10, test=5)
    (real / "synthetic.json").unlink()
    with pytest.raises(KfkdError, match="built-in faces"):
        kfkd.submit(run, real, out=tmp_path / "no.csv", quiet=True)
    assert kfkd.submit(run, real, out=tmp_path / "yes.csv", force=True, quiet=True).is_file()


def test_unfinished_and_no_runs_are_refused(run, data, tmp_path):
    half = pretend_real(run, tmp_path)
    half.record["status"] = "running"
    with pytest.raises(KfkdError, match="kfkd resume"):
        kfkd.submit(half, data, quiet=True)
    with pytest.raises(KfkdError, match="at least one run"):
        kfkd.submit([], data, quiet=True)


def test_record_takes_figures_from_real_runs_only(run, halves, tmp_path):
    with pytest.raises(RunError, match="built-in faces"):
        measured(run)
    real = pretend_real(run, tmp_path)
    table = tmp_path / "results.json"
    results = record_runs([real], table)
    assert results["tiny, none"]["kaggle_rmse"] == real.metrics["model"]["kaggle_rmse"]
    assert results["tiny, none"]["mean_face"] == real.metrics["mean_face"]["kaggle_rmse"]
    assert training_command(real).startswith("kfkd train tiny --data DATA --seed 0")
    assert json.loads(table.read_text()) == results
    text = results_table(results)
    header, _, row = (line.split(" | ") for line in text.splitlines()[:3])
    held_out = real.record["split"]["validation"]
    assert row[header.index("held out")] == str(held_out) == "24"
    assert results["tiny, none"]["on"] == "24 held-out images of 120"
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    write_block(readme, text)
    assert text in readme.read_text()
    assert "old" not in readme.read_text()
    assert readme.read_text().endswith("after\n")


def test_record_tells_what_a_run_began_with(run, data, tmp_path):
    second = kfkd.train("tiny", data, start=run, epochs=1, out=tmp_path / "next", quiet=True)
    results = record_runs([pretend_real(second, tmp_path)], tmp_path / "results.json")
    (row,) = results.values()
    assert [one["command"] for one in row["before"]] == [f"{training_command(run)} --out whole"]
    *_, cells, _, command = results_table(results).splitlines()
    epochs = " + ".join(str(part["epochs"]) for part in run.record["subsets"].values())
    assert f"| {epochs} → 1 + 1 |" in cells
    assert command.startswith(f"- `{training_command(run)} --out whole`, then `kfkd train tiny ")
    assert "--start whole`" in command


def test_record_refuses_a_model_that_is_not_in_the_zoo(run, tmp_path, monkeypatch):
    from kfkd import registry

    real, table = pretend_real(run, tmp_path), tmp_path / "results.json"
    monkeypatch.delitem(registry._ENTRIES, "tiny")
    with pytest.raises(UnknownName, match="'tiny'"):
        record_runs([real], table)
    assert not table.exists()


def changed(run, **settings):
    """The run as if it had been trained with other settings; those of its recipe by their name."""
    record = json.loads(json.dumps(run.record))
    for key, value in settings.items():
        place = record["settings"]
        (place if key in (*place, "codec") else place["recipe"])[key] = value
    return Run(run.folder, record)


def parsed(run):
    return vars(parser().parse_args(shlex.split(training_command(run))[1:]))


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 1.23456789e-05, "batch_size": 1_234_567, "validation": 0.1234567},
        {"loss": "huber", "early_stopping": 7},
        {"split_seed": 3, "copies": True},
        {"subsets": ["dense"], "seed": 11, "precision": "mixed_bfloat16", "drop_incomplete": True},
    ],
)
def test_command_gives_the_settings_of_its_run(run, settings):
    found = parsed(changed(run, **settings))
    assert {key: found[key] for key in settings} == settings


def test_command_names_the_weights_and_nothing_that_the_entry_says(run):
    weights = "my weights/vgg.h5"
    assert parsed(changed(run, options={"weights": weights}))["weights"] == weights
    found = parsed(run)
    assert (found["loss"], found["early_stopping"], found["weights"]) == (None, None, None)
    assert (found["epochs"], found["learning_rate"]) == (6, 0.02)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"phases": [{"epochs": 6, "unfreeze": 0, "learning_rate": None}]}, "phases"),
        ({"augment": "my_flip"}, "augment=my_flip"),
        ({"options": {"weights": "imagenet", "preprocess": True}}, "preprocess"),
    ],
)
def test_runs_that_no_command_repeats_are_refused(run, settings, named):
    with pytest.raises(RunError, match=f"no flag for: {named}$"):
        training_command(changed(run, **settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "restore_best": False},
        {"plateau": None, "early_stopping": None},
        {"plateau": {"factor": 0.5, "patience": 2, "min_learning_rate": 1e-5}, "weight_decay": 0.1},
        {"codec": {"offset": 48, "scale": [48.0, 32.0]}},
        {"options": {"units": 12}},
    ],
)
def test_other_settings_stand_after_set(run, settings):
    words = parsed(changed(of_the_zoo(run, "study_model_2"), **settings))["set"]
    found = key_values("study_model_2", words, "--set")
    if isinstance(found.get("plateau"), Plateau):
        found["plateau"] = asdict(found["plateau"])
    assert found == settings


def of_the_zoo(run, name, **recipe):
    recipe = json.loads(json.dumps(asdict(entry(name).recipe))) | recipe
    record = {**run.record, "model": name}
    record["settings"] = {**record["settings"], "model": name, "recipe": recipe}
    return Run(run.folder, record)


def test_published_mix_and_phases_of_an_entry_are_no_difference(run):
    for name in ("study_model_2", "vgg16_transfer"):
        found = parsed(of_the_zoo(run, name))
        assert found["epochs"] == entry(name).recipe.epochs
        assert (found["augment"], found["copies"]) == ("published", None)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ({"augment": None, "copies": False}, ("none", None)),
        ({"augment": "strong", "copies": False}, ("strong", None)),
        ({"augment": "flip(p=0.5), rotate(15)", "copies": True}, ("flip(p=0.5), rotate(15)", True)),
        ({"copies": False}, ("published", False)),
    ],
)
def test_another_mix_is_told(run, recipe, told):
    found = parsed(of_the_zoo(run, "study_model_2", **recipe))
    assert (found["augment"], found["copies"]) == told
