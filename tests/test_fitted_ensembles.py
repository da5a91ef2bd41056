"""Ensembles fitted on out-of-fold predictions: weights, selection, stacks; nothing leaks."""

import doctest
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

import kfkd
from kfkd.cli import main
from kfkd.errors import KfkdError, RunError, UnknownName
from kfkd.metrics import kaggle_rmse
from kfkd.skeletons import KAGGLE_15
from kfkd.submissions import selecting, weighting
from kfkd.submissions.broken import broken_answers, fault
from kfkd.submissions.fitted_files import read_ensemble, save_ensemble
from kfkd.submissions.fitting import HOWS, fit_ensemble, nested
from kfkd.submissions.out_of_fold import read_out_of_fold
from kfkd.submissions.panel import panel_of
from kfkd.submissions.weighting import best_weights

DENSE = list(KAGGLE_15.subset("dense"))
SPARSE = list(KAGGLE_15.subset("sparse"))


@pytest.fixture(scope="module")
def faces(fabricated):
    return fabricated.Faces(450)


@pytest.fixture(scope="module")
def panel(faces):
    """Two good members whose errors differ, and a poor one."""
    return panel_of(
        [
            faces.member("good", faces.noise(1.0)),
            faces.member("fair", faces.noise(1.5)),
            faces.member("poor", faces.noise(2.9)),
        ]
    )


def error(panel, predicted):
    """RMSE in pixels as Kaggle's test set weighs it."""
    return kaggle_rmse(panel.truth, predicted, panel.source)


def errors(panel):
    return [error(panel, predicted) for predicted in panel.predicted]


# Weights


def test_weights_are_those_of_known_noise():
    rng = np.random.default_rng(0)
    truth = rng.normal(48, 10, 20_000)
    members = truth + rng.normal(0, 1, (3, 20_000)) * [[1], [2], [4]]
    expected = np.array([1, 1 / 4, 1 / 16])
    np.testing.assert_allclose(best_weights(members, truth), expected / expected.sum(), atol=0.02)


def test_weights_are_no_worse_than_the_best_member_nor_the_mean_where_they_are_fitted():
    rng = np.random.default_rng(1)
    for _ in range(30):
        count, values = rng.integers(1, 6), 60
        truth = rng.normal(48, 10, values)
        truth[rng.random(values) < 0.2] = np.nan
        common = rng.normal(0, rng.uniform(0, 2), values)
        members = truth + common + rng.normal(0, rng.uniform(0.1, 3, (count, 1)), (count, values))
        members += rng.normal(0, 1, (count, 1))
        members = np.where(np.isnan(members), 0.0, members)
        weights = best_weights(members, truth)
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(1)

        def squares(predicted, truth=truth):
            return np.nanmean(np.square(predicted - truth))

        own = squares(weights @ members)
        assert own <= min(squares(member) for member in members) * 1.0001
        assert own <= squares(members.mean(axis=0)) * 1.0001


def test_equal_members_get_equal_weights_and_perfect_ones_no_error():
    truth = np.arange(9.0)
    np.testing.assert_allclose(best_weights(np.stack([truth + 1] * 4), truth), 0.25)
    np.testing.assert_allclose(best_weights(np.stack([truth, truth]), truth), 0.5)
    np.testing.assert_allclose(best_weights(np.stack([truth, truth + 1]), truth), [1, 0], atol=1e-5)
    np.testing.assert_allclose(best_weights(np.ones((2, 9)), np.full(9, np.nan)), 0.5)


def test_each_source_has_weights_of_its_own(faces):
    half = (faces.source == "full")[:, None, None]
    one, other = faces.noise(1.0), faces.noise(1.0)
    panel = panel_of(
        [
            faces.member("full's", np.where(half, one, 3 * one)),
            faces.member("four's", np.where(half, 3 * other, other)),
        ]
    )
    cells = {cell["source"]: cell for cell in fit_ensemble(panel, "weighted").as_dict()["cells"]}
    for source, name in (("full", "full's"), ("four_point", "four's")):
        weights = {name: np.mean(value) for name, value in cells[source]["weights"].items()}
        assert max(weights, key=weights.get) == name
        assert weights[name] > 0.8
    single = [error(panel, p) for p in panel.predicted]
    assert error(panel, nested(panel, "weighted")) < min(single) * 0.8


def test_weights_by_part_of_the_face_where_that_helps(faces):
    eyes = np.isin(np.arange(15), KAGGLE_15.groups["eyes"])[:, None]
    one, other = faces.noise(1.0), faces.noise(1.0)
    panel = panel_of(
        [
            faces.member("eyes", np.where(eyes, one, 3 * one)),
            faces.member("rest", np.where(eyes, 3 * other, other)),
        ]
    )
    fitted = fit_ensemble(panel, "weighted")
    assert {cell.fit for cell in fitted.cells} == {"weighted by part"}
    weights = fitted.cells[0].rule.arrays()["weights"]
    assert weights[0, 0] > 0.8
    assert weights[0, 10] < 0.2


# Selection


def test_selection_leaves_out_what_makes_a_mean_worse(panel):
    fitted = fit_ensemble(panel, "mean", selected=True)
    assert all(2 not in cell.members and 0 in cell.members for cell in fitted.cells)
    whole, chosen = (error(panel, nested(panel, "mean", selected=s)) for s in (False, True))
    assert chosen < whole
    assert chosen < min(errors(panel))


def test_without_selection_all_are_averaged(panel):
    found = nested(panel, "mean", selected=False)
    np.testing.assert_allclose(found, panel.predicted.mean(axis=0))
    found = nested(panel, "median", selected=False)
    np.testing.assert_allclose(found, np.median(panel.predicted, axis=0))


def test_members_of_some_keypoints_are_selected_among_themselves(faces):
    dense, sparse = faces.noise(0.5), faces.noise(0.5)
    sparse[:, DENSE] = np.nan
    dense[:, SPARSE] = np.nan
    whole = faces.member("whole", faces.noise(2.0))
    panel = panel_of([whole, faces.member("dense", dense), faces.member("sparse", sparse)])
    fitted = fit_ensemble(panel, "mean")
    assert len(fitted.cells) == 4
    for cell in fitted.cells:
        labelled = cell.source == "full" or set(cell.points) <= {*DENSE}
        one = 1 if set(cell.points) <= {*DENSE} else 2
        # Nobody says which is better where a source labels nothing: then it is the mean of all.
        assert cell.members == ((one,) if labelled else (0, one))
    for how in ("mean", "median", "weighted", "ridge"):
        assert np.isfinite(fit_ensemble(panel, how).predict(panel.predicted, panel.source)).all()


# Stacks


@pytest.fixture(scope="module")
def biased(fabricated):
    """Members with errors that a correction can learn: an offset, and eyes too far apart."""
    faces = fabricated.Faces(500, seed=3)
    shift = np.zeros((15, 2))
    shift[10] = 0, 4
    wide = 0.1 * (faces.true - faces.true.mean(axis=1, keepdims=True))
    return panel_of(
        [
            faces.member("a", shift + wide + faces.noise(0.8)),
            faces.member("b", shift + wide + faces.noise(1.0)),
        ]
    )


@pytest.mark.parametrize("how", ["ridge", "elastic_net", "boosting"])
def test_a_stack_learns_how_members_err(biased, how):
    mean, own = (error(biased, nested(biased, h, selected=False)) for h in ("mean", how))
    assert own < 0.75 * mean


def test_the_stack_takes_what_predicts_best(biased):
    found = fit_ensemble(biased, "stack")
    assert all(cell.fit.startswith(("ridge", "elastic")) for cell in found.cells)


def test_nested_scores_are_of_fits_that_never_saw_the_fold(panel, monkeypatch):
    """A way to fit that knows by heart the labels of what it saw, and answers 0 elsewhere."""
    from kfkd.submissions import fitting

    class Heart:
        kind = "heart"

        def __init__(self, panel):
            self.seen = {row.tobytes(): t for row, t in rows_of(panel)}
            self.shape = panel.truth.shape[1:]

        def predict(self, predicted):
            found = [self.seen.get(row.tobytes()) for row in np.moveaxis(predicted, 0, 1)]
            return np.array([np.zeros(self.shape) if t is None else t for t in found])

        def arrays(self):
            return {}

    def rows_of(panel):
        return zip(np.moveaxis(panel.predicted, 0, 1), panel.truth, strict=True)

    monkeypatch.setattr(fitting, "_fit", lambda panel, how: ("by heart", Heart(panel)))
    whole = fit_ensemble(panel, "mean", False).predict(panel.predicted, panel.source)
    assert np.nanmax(np.abs(whole - panel.truth)) == 0
    assert not nested(panel, "mean", False).any()


def test_trees_that_learn_noise_by_heart_do_not_score_by_it(fabricated):
    faces = fabricated.Faces(300, missing=0, seed=5)
    panel = panel_of([faces.member("a", faces.noise(2.0)), faces.member("b", faces.noise(2.0))])
    fitted = fit_ensemble(panel, "boosting", False).predict(panel.predicted, panel.source)
    assert error(panel, fitted) < error(panel, nested(panel, "boosting", False)) * 0.98
    mean = error(panel, nested(panel, "mean", False))
    assert error(panel, nested(panel, "boosting", False)) > 0.85 * mean


def test_unlabelled_keypoints_of_a_source_are_the_members_mean(panel):
    four = panel.source == "four_point"
    for how in ("ridge", "elastic_net", "boosting"):
        found = fit_ensemble(panel, how, False).predict(panel.predicted, panel.source)
        mean = panel.predicted.mean(axis=0)
        np.testing.assert_allclose(found[four][:, SPARSE], mean[four][:, SPARSE], atol=1e-6)


def test_images_are_answered_as_the_source_that_is_asked(panel):
    fitted = fit_ensemble(panel, "ridge", False)
    one = panel.predicted[:, :4]
    full, four, other = (
        fitted.predict(one, np.full(4, source)) for source in ("full", "four_point", "nobody")
    )
    assert np.abs(full - four).max() > 0
    np.testing.assert_allclose(other, one.mean(axis=0))
    mixed = fitted.predict(one, np.array(["full", "four_point"] * 2))
    np.testing.assert_allclose(mixed[::2], full[::2])
    np.testing.assert_allclose(mixed[1::2], four[1::2])
    assert fitted.predict(panel.predicted[:, :0], np.empty(0, str)).shape == (0, 15, 2)


@pytest.mark.parametrize("how", HOWS)
def test_a_fit_is_the_same_out_of_its_file(panel, how, tmp_path):
    few = panel[np.arange(len(panel.fold)) < 200]
    fitted = fit_ensemble(few, how)
    save_ensemble(fitted, tmp_path / "fit.npz")
    with np.load(tmp_path / "fit.npz", allow_pickle=False) as stored:
        assert "told" in stored.files
    again = read_ensemble(tmp_path / "fit.npz", few)
    assert again.as_dict() == fitted.as_dict()
    one, other = (fit.predict(few.predicted, few.source) for fit in (fitted, again))
    np.testing.assert_array_equal(one, other)


def test_broken_and_foreign_fits_are_refused(panel, tmp_path):
    path = tmp_path / "fit.npz"
    save_ensemble(fit_ensemble(panel, "ridge"), path)
    with pytest.raises(KfkdError, match=r"fitted on poor \w{16}, not given here \("):
        read_ensemble(path, panel.members([0, 1]))
    with pytest.raises(KfkdError, match="no fitted ensemble"):
        read_ensemble(path, panel.points([0, 1]))
    path.write_bytes(path.read_bytes()[:500])
    for wrong in (path, tmp_path / "absent.npz"):
        with pytest.raises(KfkdError, match="no fitted ensemble"):
            read_ensemble(wrong, panel)


def test_a_fit_knows_its_members_wherever_they_lie_and_in_any_order(faces, panel, tmp_path):
    path = tmp_path / "fit.npz"
    save_ensemble(fit_ensemble(panel, "ridge"), path)
    save_ensemble(fit_ensemble(panel, "boosting", False), tmp_path / "trees.npz")
    other = replace(panel.members([2, 0, 1]), names=("x/poor", "x/good", "y/fair"))
    for file, how in ((path, "ridge"), (tmp_path / "trees.npz", "boosting")):
        one, turned = read_ensemble(file, panel), read_ensemble(file, other)
        assert turned.how == how
        assert turned.names == other.names
        found = turned.predict(other.predicted, other.source)
        np.testing.assert_array_equal(found, one.predict(panel.predicted, panel.source))
    anew = panel_of([faces.member(name, faces.noise(1.0)) for name in ("good", "fair")])
    told = (
        r"fitted on good \w+, fair \w+, poor \w+, not given here; .* not fitted on good \w+, fair"
    )
    with pytest.raises(KfkdError, match=told):
        read_ensemble(path, anew)


def test_two_folds_are_enough(fabricated):
    faces = fabricated.Faces(200, k=2)
    panel = panel_of([faces.member("a", faces.noise(1)), faces.member("b", faces.noise(1))])
    assert len(np.unique(panel.fold)) == 2
    for how in ("weighted", "ridge"):
        assert np.isfinite(nested(panel, how)).all()


def test_unknown_ways_and_members_of_other_data_are_refused(faces, panel):
    with pytest.raises(UnknownName, match="stack"):
        fit_ensemble(panel, "stock")
    other = faces.member("b", faces.noise(1), facts={"fingerprint": "another"})
    with pytest.raises(KfkdError, match="made up, b of another"):
        panel_of([faces.member("a", faces.noise(1)), other])
    with pytest.raises(KfkdError, match="at least one"):
        panel_of([])


@pytest.mark.parametrize("module", [selecting, weighting], ids=lambda m: m.__name__)
def test_the_examples_run(module):
    assert doctest.testmod(module).failed == 0


# Broken members


def spoiled(faces, kind):
    error = faces.noise(1.0)
    rows = faces.fold == 2
    match kind:
        case "NaN":
            error[np.flatnonzero(rows)[:3]] = np.nan
        case "infinite":
            error[np.flatnonzero(rows)[0], 4] = np.inf
        case "constant":
            error[rows] = 48 - faces.true[rows]
        case "far":
            error[rows] += 9
        case "nothing":
            error[:] = np.nan
    return error


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("NaN", "seed 1, fold 2: 3 of .* images without a number"),
        ("infinite", "seed 1, fold 2: 1 of"),
        ("constant", "seed 1, fold 2: the same points for every image"),
        ("far", r"seed 1, fold 2: its error is 9\.\d+ px, the mean face's"),
    ],
)
def test_a_broken_fold_is_found_and_named(faces, kind, message):
    sound = faces.noise(1.0)
    assert fault(faces.member("sound", sound)) is None
    assert re.match(message, fault(faces.member("broken", sound, spoiled(faces, kind))))


def test_who_predicts_nothing_is_broken_and_who_is_poor_is_not(faces):
    assert fault(faces.member("none", spoiled(faces, "nothing"))) == "it predicts nothing"
    assert fault(faces.member("poor", faces.noise(2.9))) is None
    dense = faces.noise(1.0)
    dense[:, SPARSE] = np.nan
    assert fault(faces.member("dense", dense)) is None


def test_broken_answers_are_found_without_labels(faces):
    answers = [faces.true + faces.noise(1.0) for _ in range(5)]
    assert broken_answers(answers, 96) == {}
    answers[1] = faces.true + 30
    answers[3] = np.full_like(answers[3], 48.0)
    answers[4] = np.where(np.arange(len(answers[4]))[:, None, None] == 7, np.nan, answers[4])
    found = broken_answers(answers, 96)
    assert {*found} == {1, 3, 4}
    assert "px away from the others' median" in found[1]
    assert found[3] == "the same points for every image"
    assert found[4].startswith("1 of 450 images")
    assert {*broken_answers(answers[:2], 96)} == set(), "of two nobody knows which is wrong"


# The verb


@pytest.fixture
def folder(faces, fabricated, tmp_path):
    """A cross-validation's folder, as if it had been trained, with a broken member."""
    members = [
        faces.member("good", faces.noise(1.0), faces.noise(1.0)),
        faces.member("fair", faces.noise(1.5)),
        faces.member("broken", spoiled(faces, "far")),
    ]
    return fabricated.write_folds(tmp_path / "cv", members)


def test_ways_to_combine_are_compared(folder, tmp_path, capsys):
    found = kfkd.ensemble(
        folder, ["mean", "weighted"], without=[1, 2], out=tmp_path / "made", quiet=True
    )
    assert found.members == ("good", "fair")
    assert "broken is broken: seed 0, fold 2" in found.left_out[0]
    assert [title for title, _ in found.rows] == [
        *("good", "fair", "mean", "mean, selected", "weighted")
    ]
    scores = {title: row["all"]["model"]["kaggle_rmse"] for title, row in found.rows}
    assert scores["weighted"] < scores["good"] < scores["fair"]
    assert found.best == "weighted"
    assert dict(found.rows)["mean"]["clean"]["images"] == 448
    text = found.table()
    for told in ("mean, selected", "kaggle_rmse, clean", "broken is broken", "weighted", "px"):
        assert told in text
    assert "Least error: weighted (`weighted.npz`). As the least of 3 nested scores" in text
    assert "Least error: weighted.\n" in kfkd.ensemble(folder, "weighted", quiet=True).table()
    assert "- mean, selected (`mean-selected.npz`): four_point" in text
    made = {path.name for path in (tmp_path / "made").iterdir()}
    assert made == {"table.md", "results.json", "mean.npz", "mean-selected.npz", "weighted.npz"}
    with pytest.raises(KfkdError, match="broken is broken"):
        kfkd.ensemble(folder, strict=True, quiet=True)
    assert capsys.readouterr().err == ""


def test_several_folders_and_models_of_the_same_name(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    found = kfkd.ensemble([folder, other], ["mean"], quiet=True)
    assert found.members == tuple(f"{f}/{m}" for f in (folder, other) for m in ("good", "fair"))
    with pytest.raises(RunError, match="no cross-validation"):
        kfkd.ensemble([folder, tmp_path], quiet=True)
    assert read_out_of_fold(folder / "good" / "oof.npz").predicted.shape[0] == 2


def test_one_way_and_nonsense(folder):
    assert kfkd.ensemble(folder, hows="mean", quiet=True).fitted.keys() == {
        *("mean", "mean, selected")
    }
    for wrong in (5, None, [3]):
        with pytest.raises(KfkdError, match="cross-validations or their folders are wanted"):
            kfkd.ensemble(wrong, quiet=True)
    for wrong in (5, [None], []):
        with pytest.raises(KfkdError, match="ways to combine are wanted"):
            kfkd.ensemble(folder, wrong, quiet=True)


def test_ensemble_on_the_command_line(folder, capsys, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    assert main(["ensemble", str(folder), "--how", "mean", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"].startswith("mean")
    asked = {}
    monkeypatch.setattr("kfkd.ensembling.ensemble", lambda *a, **k: asked.update(k) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["ensemble", str(folder)])
    assert "hows" not in asked
    monkeypatch.undo()
    assert main(["ensemble", str(folder), "--how", "medain"]) == 2
    assert "median" in capsys.readouterr().err
