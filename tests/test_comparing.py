"""Comparisons of augmentation mixes: one split, nothing trained twice, honest words."""

import json
import shlex
from shutil import copy, copytree

import numpy as np
import pytest
from scipy.stats import ttest_rel

import kfkd
from kfkd.augment import Blur, Flip, Mix
from kfkd.augment.mixes import MISTAKES, STUDY
from kfkd.cli import main, parser
from kfkd.comparing import FILES, compare
from kfkd.comparisons.pictures import comparison_picture
from kfkd.comparisons.plan import Plan, mix_folder, mix_texts, seed_numbers
from kfkd.comparisons.significance import against_control, compared
from kfkd.errors import KfkdError, RunError, UnknownName
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.runs import load_run
from kfkd.zoo_tables import packaged

TEXT = "blur(1, p=0.5) | original"
ASKED = {"mixes": ["none", TEXT], "seeds": 2, "subsets": "dense", "epochs": 1, "quiet": True}


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
    """A comparison, and its folder."""
    out = tmp_path_factory.mktemp("done") / "compare"
    return compare(faces, "tiny", out=out, **ASKED), out


def row(mix, seed, **scores):
    known = {"dense": None, "sparse": None, "kaggle_rmse": None, **scores}
    common = {"epochs": {}, "seconds": 60.0, "machine": "a CPU"}
    constant = {"dense": 4.1, "sparse": 3.6, "kaggle_rmse": None}
    return {"mix": mix, "seed": seed, "folder": mix, "rmse": known, "mean_face": constant, **common}


@pytest.fixture
def made_up():
    """Three seeds of four mixes: one clearly better, one clearly worse, one the same."""
    shifts = {"none": 0.0, "study_flip": -0.5, "study_rotate_15": 0.5, "blur(1) | original": 0.01}
    facts = {
        **{"model": "simple_cnn", "data": "kaggle", "rows": 6006, "train": 4883, "split_seed": 0},
        **{"validation": 1123, "epochs": 50, "batch_size": 50, "learning_rate": 0.001},
        **{"precision": "float32", "seeds": [0, 1, 2], "planned": 12},
        "command": "kfkd compare --seeds 3",
    }
    chance = np.random.default_rng(1).normal(0, 0.015, (3, 4))
    rows = [
        row(mix, seed, dense=3 + shift + luck + noise, sparse=2.5 + shift - luck - noise)
        for seed, luck in enumerate((0.02, -0.01, 0.03))
        for (mix, shift), noise in zip(shifts.items(), chance[seed], strict=True)
    ]
    return compared(facts, rows, mixes_published())


def mixes_published():
    return packaged("augmentation_study.json")["mixes"]


def test_every_mix_and_seed_has_a_run_and_the_folder_its_files(done):
    found, out = done
    assert {p.name for p in out.iterdir()} == {"none", mix_folder(TEXT), *FILES}
    assert [(r["seed"], r["mix"]) for r in found.runs] == [
        *((0, "none"), (0, TEXT)),
        *((1, "none"), (1, TEXT)),
    ]
    for training in found.runs:
        run = load_run(out / training["folder"])
        assert run.finished
        assert run.metrics["model"]["dense"] == training["rmse"]["dense"]
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(found.as_dict()))
    assert (out / "table.md").read_text() == found.table()


def test_all_trainings_are_measured_on_the_same_images_and_draw_their_mix_anew(done):
    found, out = done
    records = [load_run(out / training["folder"]).record for training in found.runs]
    for what in ("split", "mean_face"):
        assert all(record[what] == records[0][what] for record in records)
    assert len({record["metrics"]["mean_face"]["dense"] for record in records}) == 1
    assert {record["metrics"]["on"] for record in records} == {"validation"}
    assert not any(record["settings"]["recipe"]["copies"] for record in records)
    assert [bool(r["settings"]["recipe"]["augment"]) for r in records] == [False, True] * 2


def test_the_results_are_those_of_the_runs(done):
    found, _ = done
    assert found.control == "none"
    assert found.metrics == ("dense",)  # nothing learned the others
    for mix in ("none", TEXT):
        scores = [r["rmse"]["dense"] for r in found.runs if r["mix"] == mix]
        result = found.results[mix]["dense"]
        assert result["mean"] == pytest.approx(np.mean(scores), abs=1e-5)
        assert result["std"] == pytest.approx(np.std(scores, ddof=1), abs=1e-5)
    assert found.results["none"]["dense"]["p"] is None
    assert 0 <= found.results[TEXT]["dense"]["p"] <= 1


def test_the_table_names_all_that_matters(done):
    found, _ = done
    text = found.table()
    for told in ("`tiny`", "60 rows", "Epochs at most 1, batch 32", "seeds 0, 1", "cores"):
        assert told in text
    assert f"`{TEXT}`".replace("|", "\\|") in text
    assert "mean face" in text
    assert f"kfkd.compare(faces, 'tiny', mixes=['none', {TEXT!r}], seeds=[0, 1]" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert "none" in lines[2]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_called_again_it_trains_nothing(done, faces, monkeypatch):
    found, out = done
    monkeypatch.setattr("kfkd.training.Trainer.go", None)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.keras")}
    again = compare(faces, "tiny", out=out, **ASKED)
    assert again.as_dict() == found.as_dict()
    assert len(before) == 4
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.keras")}


def test_the_results_alone_are_enough_to_go_on(done, faces, tmp_path, monkeypatch):
    found, out = done
    copy(out / "results.json", tmp_path / "results.json")
    monkeypatch.setattr("kfkd.training.Trainer.go", None)
    again = compare(faces, "tiny", out=tmp_path, **ASKED)
    assert json.dumps(again.results) == json.dumps(found.results)
    assert (tmp_path / "table.md").is_file()
    with pytest.raises(RunError, match="epochs: received 2, it has 1"):
        compare(faces, "tiny", out=tmp_path, **{**ASKED, "epochs": 2})


def test_a_stop_leaves_the_table_of_what_is_finished(done, faces, tmp_path, monkeypatch, capsys):
    real, calls = kfkd.train, []

    def stopping(*arguments, **settings):
        calls.append(settings["augment"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **settings)

    asked = {**ASKED, "seeds": 1, "out": tmp_path / "compare", "quiet": False}
    copytree(done[1] / "none", tmp_path / "compare" / "none")
    with monkeypatch.context() as patch:
        patch.setattr("kfkd.comparing.train", stopping)
        patch.setattr("kfkd.comparing._finished", lambda folder: False)
        with pytest.raises(KeyboardInterrupt):
            compare(faces, "tiny", **asked)
    assert "Unfinished: 1 of 2 trainings" in (tmp_path / "compare" / "table.md").read_text()
    assert "1/2 none, seed 0: dense" in capsys.readouterr().err
    text = compare(faces, "tiny", **asked).table()
    assert "Unfinished" not in text
    assert "Nothing was tested for significance" in text
    told = capsys.readouterr().err.splitlines()
    assert sum("seed 0" in line for line in told) == 1
    with pytest.raises(RunError, match=r"other (data or )?settings"):
        compare(faces, "tiny", **{**asked, "epochs": 2})


def test_a_clear_difference_is_significant_and_none_is_not(made_up):
    for metric in ("dense", "sparse"):
        assert made_up.verdict(metric) == {
            "better": ["study_flip"],
            "worse": ["study_rotate_15"],
            "not told apart": ["blur(1) | original"],
        }
    text = made_up.table()
    assert "p < 0.001, **significantly better**" in text
    assert "**significantly worse**" in text
    assert "not significant" in text
    assert "- dense: significantly better: `study_flip`; significantly worse: `study_rot" in text


def against(scores):
    return against_control({name: dict(enumerate(values)) for name, values in scores.items()})


def test_significance_wants_two_seeds_and_some_spread():
    assert against({"a": [1.0], "b": [9.0]})["b"] == {
        **{"seeds": 1, "mean": 9.0, "std": None, "difference": 8.0, "p": None}
    }
    assert against({"a": [1.0, 1.0], "b": [2.0, 2.0]})["b"]["p"] is None
    assert against({"a": [1.0, 1.1], "b": [0.0, 0.0]})["b"]["p"] is None
    uneven = against({"a": [1.0, 1.1], "b": [5.0, 5.1, 5.2], "c": [3.0]})
    assert uneven["b"]["p"] < 0.05
    assert uneven["c"]["p"] is None
    apart = against_control({"a": {0: 1.0, 1: 1.1}, "b": {2: 5.0, 3: 5.2}})
    assert apart["b"]["p"] is None, "no seed in common"


def test_two_groups_are_a_paired_t_test():
    found = against({"a": [1.0, 2.0, 4.0, 3.1], "b": [0.8, 1.7, 3.3, 3.0]})["b"]["p"]
    wanted = ttest_rel(np.log([1.0, 2.0, 4.0, 3.1]), np.log([0.8, 1.7, 3.3, 3.0])).pvalue
    assert found == pytest.approx(wanted, abs=1e-5)


def test_what_a_seed_does_to_all_mixes_is_no_spread():
    """Three seeds of very different luck, and a mix that is a tenth better under each."""
    rng = np.random.default_rng(0)
    luck = np.array([2.0, 3.0, 4.0])
    groups = {str(i): [*(luck * rng.normal(1, 0.02, 3))] for i in range(5)}
    groups["better"] = [*(0.9 * luck * rng.normal(1, 0.02, 3))]
    found = against(groups)
    assert found["better"]["p"] < 0.05
    assert min(found[str(i)]["p"] for i in range(1, 5)) > 0.05
    assert [against(groups)[name]["p"] for name in groups] == [r["p"] for r in found.values()]


def test_many_mixes_of_pure_noise_are_rarely_called_different():
    """What six separate t tests would do in 1 of 4 comparisons."""
    rng = np.random.default_rng(0)
    noise = rng.normal(3, 0.1, (6, 7, 3)) * rng.normal(1, 0.1, (6, 1, 3))
    found = [against({str(i): group for i, group in enumerate(one)}) for one in noise]
    assert sum(any((r["p"] or 1) < 0.05 for r in one.values()) for one in found) <= 1


def test_published_values_stand_beside_ours(made_up):
    text = made_up.table()
    assert "10.291" in text
    assert "`study_flip`: really study_flip_without_swap" in text
    assert set(made_up.published) == {"none", "study_flip", "study_rotate_15"}
    assert set(mixes_published()) == {"none", *STUDY, *MISTAKES}


def test_the_picture_shows_each_mix(made_up, done):
    figure = comparison_picture(made_up)
    figure.canvas.draw()
    assert [axes.get_title() for axes in figure.axes] == [
        *("dense (mean face 4.10 px)", "sparse (mean face 3.60 px)")
    ]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(made_up.results)
    assert figure.axes[0].get_xlim()[1] < 5, "the study's flip would squeeze all else"
    assert [t.get_text() for t in figure.axes[0].texts] == ["10.3 →"]
    assert len(comparison_picture(done[0]).axes) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"mixes": ["none", "study_flop"]}, "study_flip"),
        ({"mixes": ["none", "turn(3) | original"]}, "no transform"),
        ({"mixes": []}, "at least two different mixes"),
        ({"mixes": ["none"]}, "Received: none"),
        ({"mixes": ["none", "standard", "none"]}, "none, standard, none"),
        ({"mixes": ["none", None]}, "Received: None"),
        ({"seeds": 0}, "Received: 0"),
        ({"seeds": []}, "different seeds"),
        ({"seeds": [1, 1]}, "different seeds"),
        ({"seeds": True}, "Received: True"),
        ({"seeds": [0.5]}, "different seeds"),
        ({"model": "tinny"}, "tiny"),
        ({"validation": 0}, "held-out"),
        ({"copies": True}, "sets name, augment, copies"),
        ({"epochs": 0}, "epochs"),
        ({"split_seed": -1}, "split_seed"),
    ],
)
def test_nonsense_is_refused_before_anything_is_trained(faces, tmp_path, asked, message):
    with pytest.raises(KfkdError, match=message):
        compare(faces, **{"model": "tiny", "out": tmp_path / "x", "quiet": True, **asked})
    assert not (tmp_path / "x").exists()


def test_a_folder_of_something_else_is_left_alone(faces, tmp_path):
    (tmp_path / "results.json").write_text("mine")
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(KfkdError, match=r"thesis\.txt"):
        compare(faces, "tiny", out=tmp_path, **ASKED)
    assert (tmp_path / "results.json").read_text() == "mine"


def test_mixes_of_every_kind():
    assert mix_texts(None) == ("none", *STUDY)
    own = Mix([[Flip(p=0.5)], [Blur(1)]])
    assert mix_texts(["none", own, "  flip(p=0.5)  |  blur(2)"]) == (
        *("none", str(own), "flip(p=0.5) | blur(2)"),
    )
    with pytest.raises(UnknownName):
        mix_texts(["none", "published"])
    folders = [mix_folder(text) for text in ("study_4x", TEXT, "blur(1)", "blur( 1 )")]
    assert folders[0] == "study_4x"
    assert folders[1].startswith("blur-1-p-0-5-original-")
    assert len(set(folders)) == 3
    assert seed_numbers(3) == (0, 1, 2)
    assert seed_numbers(np.arange(4, 6)) == (4, 5)


def test_the_command_repeats_the_comparison(tmp_path):
    settings = {"epochs": 3, "subsets": None, "batch_size": 8, "learning_rate": 0.01}
    plan = Plan(tmp_path, "tiny", ("none", TEXT), (0, 1), 2, settings)
    words = shlex.split(plan.command("my data"))
    given = vars(parser().parse_args(words[1:]))
    for key, value in {
        **{"data": "my data", "model": "tiny", "mixes": ["none", TEXT], "seeds": 2, "epochs": 3},
        **{"subsets": None, "batch_size": 8, "learning_rate": 0.01, "split_seed": 2},
        "out": str(tmp_path),
    }.items():
        assert given[key] == value
    own = Plan(tmp_path, "tiny", ("none", TEXT), (7,), 2, {"batch_size": 8})
    told = "seeds=[7], split_seed=2, batch_size=8"
    assert own.command("here").startswith("kfkd.compare('here', 'tiny', mixes=['none', ")
    assert told in own.command("here")


def test_command_line(done, monkeypatch, capsys, tmp_path):
    asked = {}
    monkeypatch.setattr("kfkd.comparing.compare", lambda *a, **k: asked.update(k) or done[0])
    words = ["compare", "--model", "tiny", "--mixes", "none", TEXT, "--out", str(tmp_path)]
    assert main([*words, "--seeds", "2"]) == 0
    assert capsys.readouterr().out == done[0].table()
    assert (asked["mixes"], asked["seeds"], asked["out"]) == (["none", TEXT], 2, str(tmp_path))
    assert asked["split_seed"] == 0 and not {"epochs", "batch_size", "learning_rate"} & set(asked)
    assert main([*words, "--batch-size", "16", "--learning-rate", "0.01", "--split-seed", "1"]) == 0
    assert (asked["batch_size"], asked["learning_rate"], asked["split_seed"]) == (16, 0.01, 1)
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"]["none"]["dense"]["seeds"] == 2

    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("kfkd.comparing.compare", interrupt)
    assert main(words) == 130
    assert "run the same command again to go on" in capsys.readouterr().err
