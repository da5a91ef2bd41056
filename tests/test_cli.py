"""The command line: answers, one-line errors, exit codes."""

from __future__ import annotations

import json

import pytest

from kfkd.cli import main
from kfkd.commands import backend as backend_module
from kfkd.pipelines.synthetic import write_kaggle_folder


@pytest.fixture(autouse=True)
def loud_tensorflow(monkeypatch):
    """Commands set stderr aside for TensorFlow's import; under pytest it is not theirs."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_kaggle_folder(tmp_path_factory.mktemp("made") / "kaggle", train=80, test=12)


def asked(capsys, *arguments, code=0):
    assert main([str(a) for a in arguments]) == code
    return capsys.readouterr()


def test_models_as_table_and_json(capsys):
    assert "study_model_2" in asked(capsys, "models").out
    rows = json.loads(asked(capsys, "models", "--json").out)
    by_name = {row["name"]: row for row in rows}
    assert by_name["vgg_condensed"]["params"] == {"8": 24_822_464, "22": 24_879_822}
    assert by_name["vgg_condensed"]["gflops"]["8"] > 4


def test_models_of_a_family(capsys):
    rows = json.loads(asked(capsys, "models", "--family", "alexnet", "--json").out)
    assert [row["name"] for row in rows] == ["alexnet"]


@pytest.mark.usefixtures("keras_ready")
def test_describe(capsys):
    shown = asked(capsys, "describe", "study_model_1")
    assert "2,625,160 parameters" in shown.out
    assert "known mistakes" in shown.out
    assert json.loads(asked(capsys, "describe", "baseline", "--json").out)["params"]["all"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("describe", "lenet"), "lenet5"),
        (("evaluate", "nowhere"), "is not a run"),
        (("train", "lenet5", "--data", "nowhere"), "nowhere"),
        (
            ("train", "lenet5", "--epochs", "0", "--data", "synthetic"),
            "epochs wants a whole number from 1",
        ),
        (("submit", "nowhere"), "is not a run"),
        (("score", "nowhere.csv", "nowhere.csv"), "nowhere.csv"),
        (("explore", "--data", "nowhere"), "nowhere"),
        (("synthetic", "x", "--train", "0"), "train"),
    ],
)
@pytest.mark.usefixtures("keras_ready")
def test_errors_are_one_line_and_exit_2(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    shown = asked(capsys, *arguments, code=2)
    assert shown.err.startswith("kfkd: ")
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""


def test_the_whole_way(capsys, tiny_zoo, data, tmp_path):
    run, csv = tmp_path / "run", tmp_path / "mine.csv"
    out = asked(capsys, "train", "tiny", "--data", data, "--epochs", 2, "--out", run).out
    assert "mean face" in out
    scores = json.loads(asked(capsys, "evaluate", run, "--data", data, "--json").out)
    assert scores["model"]["kaggle_rmse"] > 0
    assert "kaggle_rmse" in asked(capsys, "evaluate", run, "--all").out
    table = tmp_path / "points.csv"
    asked(capsys, "predict", run, "--data", data, "--out", table)
    assert len(table.read_text().splitlines()) == 13
    asked(capsys, "submit", run, "--data", data, "--out", csv, "--clip")
    score = json.loads(asked(capsys, "score", csv, data / "solution.csv", "--json").out)
    assert score["rmse"] > 0
    assert str(run) in asked(capsys, "resume", run, "--quiet").out


def test_quiet_is_quiet(capsys, tiny_zoo, data, tmp_path):
    shown = asked(
        capsys, "train", "tiny", "--data", data, "--epochs", 1, "--out", tmp_path / "r", "--quiet"
    )
    assert shown.err == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("train", "tiny"), "kfkd resume RUN"),
        (("train", "tiny", "--out", "my run"), "kfkd resume 'my run'"),
        (("train", "tiny", "--out", "a", "--devices", "all"), "kfkd resume a --devices all"),
        (("resume", "a", "--devices", "2"), "kfkd resume a --devices 2"),
        (("train", "tiny", "--machines", "2", "--machine", "0"), "same command on all machines"),
    ],
)
def test_interrupt_says_how_to_go_on(capsys, tiny_zoo, monkeypatch, arguments, told):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    for verb in ("train", "resume"):
        monkeypatch.setattr(f"kfkd.training.{verb}", interrupt)
    said = asked(capsys, *arguments, code=130).err.strip()
    assert said.startswith("kfkd: stopped; ") and told in said
    assert said.endswith(told) or "machines" in told


def test_demo_goes_the_whole_way(capsys, tiny_zoo, tmp_path):
    made = json.loads(
        asked(
            capsys,
            *("demo", "--model", "tiny", "--epochs", 1, "--faces", 70),
            *("--out", tmp_path / "demo", "--json", "--quiet"),
        ).out
    )
    assert made["leaderboard"] > 0
    assert len(made["pictures"]) >= 9
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    asked(capsys, "demo", "--out", tmp_path / "other", code=2)


def test_demo_prints_its_scores_as_other_commands_do(capsys, monkeypatch):
    made = {"leaderboard": 2.9500044713100118, "validation": None, "pictures": ["a.png"]}
    monkeypatch.setattr("kfkd.demo.demo", lambda *arguments, **options: made)
    told = asked(capsys, "demo").out.splitlines()
    assert told[:2] == ["leaderboard  2.950 px", "validation   None"] and told[-1] == "  a.png"


@pytest.mark.parametrize(
    ("backend", "why"), [("absent", "is no backend of kfkd"), ("torch", "is not installed")]
)
def test_a_backend_that_is_not_there_is_named(capsys, monkeypatch, backend, why):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    there = backend_module.find_spec
    monkeypatch.setattr(backend_module, "find_spec", lambda name: name != "torch" and there(name))
    told = asked(capsys, "describe", "lenet5", code=2).err
    assert f"Received: KERAS_BACKEND={backend}, which {why}" in told
    assert "set KERAS_BACKEND=tensorflow" in told and told.count("\n") == 1


@pytest.mark.parametrize("settings", ['{"backend": "absent"}', "{}", "[", '"jax"', None])
def test_keras_own_settings_name_the_backend_too(capsys, monkeypatch, tmp_path, settings):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if settings:
        (tmp_path / "keras.json").write_text(settings)
    if "absent" not in (settings or ""):
        assert "lenet5" in asked(capsys, "describe", "lenet5").out
        return
    told = asked(capsys, "describe", "lenet5", code=2).err
    assert f"Received: backend absent in {tmp_path / 'keras.json'}, which is no backend" in told


@pytest.mark.usefixtures("keras_ready")
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_bench_precision_prints_ratios(capsys, tiny_zoo, precision):
    words = ["bench", "precision", "tiny", "--batch-size", 2, "--precision", precision]
    figures = json.loads(asked(capsys, *words, "--json", "--quiet").out)
    assert figures["speedup"] > 0
    assert figures[f"{precision}_images_per_s"] > 0
