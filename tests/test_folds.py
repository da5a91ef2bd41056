"""Cross-validation: what a fold's model never saw, going on, scores, and submissions of it."""

import json
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest

import kfkd
from kfkd.cli import main, parser
from kfkd.errors import DataError, KfkdError, RunError, UnknownName
from kfkd.folding import cross_validate
from kfkd.folds.cross_validation import load_cross_validation
from kfkd.folds.plan import Plan
from kfkd.folds.scores import FoldScorer
from kfkd.learning.parts import learned_faces, parts, recorded_parts, split_facts
from kfkd.learning.settings import Settings
from kfkd.metrics import kaggle_rmse, mean_face
from kfkd.pipelines.splits import fold_split, folds, grouped_split
from kfkd.pipelines.synthetic import synthetic_faces, write_kaggle_folder
from kfkd.recording import training_command
from kfkd.registry import Plateau, Recipe, register
from kfkd.row_numbers import Named, named_rows
from kfkd.runs import load_run
from kfkd.submissions.out_of_fold import read_out_of_fold

BOTH = ["near", "near_too"]
ASKED = {"k": 3, "epochs": 2, "subsets": "all", "quiet": True}


def near(outputs, input_shape=(96, 96, 1)):
    """A net that starts at the mean face, so that it is not broken after two epochs."""
    from keras import Input, Model, layers

    image = Input(input_shape)
    x = layers.Flatten()(layers.AveragePooling2D(12)(layers.Rescaling(1 / 255)(image)))
    x = layers.Dense(outputs, kernel_initializer="lecun_normal", dtype="float32")(x)
    mean = mean_face(synthetic_faces(40).keypoints).reshape(-1)
    return Model(image, layers.Rescaling(1.0, mean.tolist())(x))


@pytest.fixture(scope="module", autouse=True)
def calm(tiny_zoo):
    """Drawing each run takes longer than its training; and under pytest stderr is no command's."""
    own = Recipe(learning_rate=0.003, batch_size=32, epochs=2, validation=0.2)
    register(recipe=replace(own, restore_best=True, early_stopping=2))(near)
    register(name="near_too", recipe=own)(near)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
        yield


@pytest.fixture(scope="module")
def faces():
    """90 faces, of which 10 occur twice."""
    made = synthetic_faces(80, seed=1)
    twice = made[np.r_[np.arange(80), np.arange(10)]]
    return replace(twice, ids=np.arange(1, 91), origin="synthetic")


@pytest.fixture(scope="module")
def done(faces, tmp_path_factory):
    """A cross-validation of two models, and the groups that each training learned from."""
    seen, out = {}, tmp_path_factory.mktemp("done") / "cv"
    with pytest.MonkeyPatch.context() as patch:
        from kfkd.learning import fitting

        real = fitting.fit

        def spying(job):
            seen[job.checkpoint.parent.parent] = (job.train.group, job.validation.group)
            return real(job)

        patch.setattr(fitting, "fit", spying)
        return cross_validate(BOTH, faces, out=out, without=[1, "2 3"], **ASKED), seen


def settings_of(fold, **recipe):
    asked = Recipe(**{"validation": 0.2, **recipe})
    return Settings("near", ("all",), asked, 0, "float32", False, None, {}, fold=fold)


# Folds of a single training


def test_folds_are_disjoint_and_whole_and_keep_groups_together(faces):
    sides = [fold_split(faces, (i, 4), 7) for i in range(4)]
    assert sorted(np.concatenate([own for _, own in sides])) == list(range(len(faces)))
    for rest, own in sides:
        assert sorted([*rest, *own]) == list(range(len(faces)))
        assert not np.intersect1d(faces.group[rest], faces.group[own]).size
    np.testing.assert_array_equal(fold_split(faces, (0, 5), 3)[1], grouped_split(faces, 0.2, 3)[1])


@pytest.mark.parametrize("recipe", [{"restore_best": True}, {"early_stopping": 3}, {"plateau": 1}])
def test_a_recipe_that_chooses_by_a_score_gets_rows_of_its_own_for_it(faces, recipe):
    recipe = {"plateau": Plateau()} if "plateau" in recipe else recipe
    for fold in range(5):
        train, watched, held_out = parts(faces, settings_of((fold, 5), **recipe))
        groups = [faces.group[rows] for rows in (train, watched, held_out)]
        assert all(len(group) for group in groups)
        assert sorted(np.concatenate([train, watched, held_out])) == list(range(len(faces)))
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert not np.intersect1d(groups[one], groups[other]).size
    assert not len(parts(faces, settings_of((0, 5), validation=0.0, **recipe)).watched)


def test_a_recipe_that_chooses_nothing_learns_from_the_whole_rest(faces):
    train, watched, held_out = parts(faces, settings_of((1, 5)))
    assert watched is held_out
    assert len(train) + len(held_out) == len(faces)


@pytest.mark.parametrize("fold", [None, (1, 5)])
@pytest.mark.parametrize("recipe", [{}, {"restore_best": True}, {"validation": 0.0}])
def test_a_record_tells_which_rows_were_for_what(faces, fold, recipe):
    asked = settings_of(fold, **recipe)
    found = parts(faces, asked)
    record = {"settings": asked.plain(), "split": split_facts(found, asked)}
    told = recorded_parts(faces, record)
    assert [list(rows) for rows in told] == [list(rows) for rows in found]
    learned = learned_faces(faces, told, f"{faces.ids[told.train[0]]}:nose_tip")
    nose = faces.skeleton.points.index("nose_tip")
    missing = faces[told.train].labelled & ~learned.labelled
    assert list(learned.ids) == list(faces.ids[told.train])
    assert missing.sum() == missing[0, nose].sum() == 2


def test_a_run_of_a_fold_is_evaluated_on_exactly_that_fold(done, faces):
    found, _ = done
    run = load_run(found.run_folders("near")[1])
    own = fold_split(faces, (1, 3), 0)[1]
    assert run.record["split"]["fold"] == [1, 3]
    assert run.record["split"]["validation"] == len(own)
    assert run.record["split"]["watched"] > 0
    assert run.record["settings"]["fold"] == [1, 3]
    scores = kfkd.evaluate(run, faces)
    assert scores.images == len(own) == run.metrics["images"]
    assert scores.model == run.metrics["model"]


def test_a_fold_is_part_of_the_settings(done, faces):
    folder = done[0].run_folders("near")[1]
    assert kfkd.resume(folder, faces, quiet=True).finished
    asked = {"subsets": "all", "epochs": 2, "split_seed": 0, "out": folder, "quiet": True}
    assert kfkd.train("near", faces, fold=(1, 3), **asked).finished
    with pytest.raises(RunError, match="fold"):
        kfkd.train("near", faces, fold=(2, 3), **asked)
    with pytest.raises(RunError, match="fold"):
        kfkd.train("near", faces, **asked)


def test_the_command_of_a_fold_names_it(done):
    run = load_run(done[0].run_folders("near")[1])
    found = vars(parser().parse_args(shlex.split(training_command(run))[1:]))
    assert (found["fold"], found["split_seed"]) == ([1, 3], 0)


@pytest.mark.parametrize("fold", [(3, 3), (0, 1), (-1, 3), (0,), 3, (0.5, 2), "03"])
def test_no_fold_is_refused(faces, fold, tmp_path):
    with pytest.raises(KfkdError, match="fold"):
        kfkd.train("near", faces, fold=fold, out=tmp_path / "x", quiet=True)
    assert not (tmp_path / "x").exists()


def test_more_folds_than_groups_are_refused(faces, tmp_path):
    with pytest.raises(KfkdError, match="fewer folds"):
        cross_validate("near", faces[:4], k=50, out=tmp_path / "x", quiet=True)


# The whole


def test_every_row_is_predicted_by_models_that_never_saw_its_group(done, faces):
    found, seen = done
    number = folds(faces, 3, 0)
    assert len(seen) == 6
    for name in BOTH:
        member = found.out_of_fold(name)
        np.testing.assert_array_equal(member.fold, number)
        for fold, folder in enumerate(found.run_folders(name)):
            own = number == fold
            learned, watched = seen[folder]
            assert not np.isin(faces.group[own], learned).any()
            chooses = name == "near"
            assert np.isin(watched, faces.group[own]).any() != chooses
            run = load_run(folder)
            predicted = run.predict(faces.images[own], source=faces.source[own])
            np.testing.assert_allclose(member.predicted[0, own], predicted, atol=1e-3)


def test_out_of_fold_predictions_carry_what_they_are_of(done, faces):
    member = read_out_of_fold(done[0].out / "near" / "oof.npz")
    assert member.facts["fingerprint"] == faces.fingerprint
    assert (member.facts["k"], member.facts["seeds"]) == (3, [0])
    np.testing.assert_array_equal(member.ids, faces.ids)
    np.testing.assert_array_equal(member.truth, faces.keypoints)
    np.testing.assert_array_equal(member.source, faces.source)
    assert member.skeleton == faces.skeleton
    assert np.isfinite(member.predicted).all()


def test_scores_pooled_and_a_fold_each_in_two_figures(done, faces):
    found, _ = done
    near_, member = found.models["near"], found.out_of_fold("near")
    pooled = near_["pooled"]
    expected = kaggle_rmse(faces.keypoints, member.mean, faces.source)
    assert pooled["all"]["model"]["kaggle_rmse"] == pytest.approx(expected, abs=1e-4)
    assert {"full", "four_point"} <= {*pooled["all"]["model"]}
    assert (pooled["all"]["images"], pooled["clean"]["images"]) == (90, 87)
    assert sum(row["scores"]["all"]["images"] for row in near_["folds"]) == 90
    for row in near_["folds"]:
        run = load_run(found.out / row["folder"])
        ours, own = row["scores"]["all"]["model"], run.metrics["model"]
        assert ours["kaggle_rmse"] == pytest.approx(own["kaggle_rmse"], abs=1e-3)
    assert found.facts["without"] == {"listed": 3, "rows": [1, 2, 3]}
    text = found.table()
    assert text == (found.out / "table.md").read_text()
    for told in ("kaggle_rmse, clean", "**near**, seed 0 |", "near, seed 0, fold 2", "mean face"):
        assert told in text


def test_the_mean_face_is_of_the_training_folds(done, faces):
    member = done[0].out_of_fold("near")
    scorer = FoldScorer(member)
    own = member.fold == 1
    expected = mean_face(faces.keypoints[~own])
    np.testing.assert_allclose(scorer.one[own][0], expected, atol=1e-4)
    full = own & (faces.source == "full")
    expected = mean_face(faces.keypoints[~own & (faces.source == "full")])
    np.testing.assert_allclose(scorer.per_source[full][0], expected, atol=1e-4)


def test_called_again_it_trains_nothing_and_scores_other_clean_rows(done, faces, monkeypatch):
    found, _ = done
    monkeypatch.setattr("kfkd.training.Trainer.go", None)
    before = {path: path.stat().st_mtime_ns for path in found.out.rglob("*.keras")}
    again = cross_validate(BOTH, faces, out=found.out, without=range(1, 11), **ASKED)
    assert again.models["near"]["pooled"]["clean"]["images"] == 80
    assert again.models["near"]["pooled"]["all"] == found.models["near"]["pooled"]["all"]
    assert before == {path: path.stat().st_mtime_ns for path in found.out.rglob("*.keras")}
    cross_validate(BOTH, faces, out=found.out, without=[1, "2 3"], **ASKED)
    assert load_cross_validation(found.out).as_dict() == json.loads(json.dumps(found.as_dict()))


def test_other_data_folds_or_settings_are_refused(done, faces):
    out = done[0].out
    with pytest.raises(RunError, match="k: received 4, it has 3"):
        cross_validate(BOTH, faces, out=out, **{**ASKED, "k": 4})
    with pytest.raises(RunError, match="fingerprint"):
        cross_validate(BOTH, faces[:60], out=out, **ASKED)
    with pytest.raises(RunError, match="other settings"):
        cross_validate(BOTH, faces, out=out, **{**ASKED, "epochs": 3})


def test_a_stopped_one_goes_on_from_its_last_epoch_to_the_same_result(done, faces, tmp_path):
    from kfkd.learning.epoch_log import EpochLog

    real, epochs = EpochLog.on_epoch_end, []

    def stopping(self, epoch, logs=None):
        epochs.append(epoch)
        if len(epochs) == 4:
            raise KeyboardInterrupt
        return real(self, epoch, logs)

    out = tmp_path / "cv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochLog, "on_epoch_end", stopping)
        with pytest.raises(KeyboardInterrupt):
            cross_validate("near", faces, out=out, **ASKED)
        left = load_cross_validation(out)
        assert (left.finished, len(left.models["near"]["folds"])) == (False, 1)
        assert "Unfinished" in left.table()
        with pytest.raises(RunError, match=r"not finished; go on with: kfkd\.cross_validate"):
            kfkd.ensemble(out)
        epochs.append(None)
        found = cross_validate("near", faces, out=out, **ASKED)
    assert len(epochs) == 8, "an epoch was trained twice"
    assert found.finished
    whole, ours = (one.out_of_fold("near").predicted for one in (done[0], found))
    np.testing.assert_array_equal(whole, ours)


def test_more_seeds_join_and_nets_that_were_taken_away_are_not_missed(done, faces, tmp_path):
    out = shutil.copytree(done[0].out, tmp_path / "cv")
    shutil.rmtree(out / "near" / "seed-0")
    found = cross_validate("near", faces, out=out, **{**ASKED, "seeds": 2})
    assert not (out / "near" / "seed-0").exists()
    member = found.out_of_fold("near")
    assert member.predicted.shape[0] == 2
    np.testing.assert_array_equal(member.predicted[0], done[0].out_of_fold("near").predicted[0])
    assert np.abs(member.predicted[0] - member.predicted[1]).max() > 0.1
    np.testing.assert_allclose(member.mean, member.predicted.mean(axis=0), atol=1e-3)
    assert found.models["near"]["pooled"]["all"]["images"] == 90
    assert [row["seed"] for row in found.models["near"]["folds"]] == [0] * 3 + [1] * 3
    assert {*found.models} == {*BOTH}
    own = found.models["near"]["seed_scores"]
    for seed, predicted in zip("01", member.predicted, strict=True):
        expected = kaggle_rmse(faces.keypoints, predicted, faces.source)
        assert own[seed]["all"]["model"]["kaggle_rmse"] == pytest.approx(expected, abs=1e-4)
    for told in ("**near**, seed 0 |", "**near**, seed 1 |", "**near**, mean of 2 seeds |"):
        assert told in found.table()
    assert "mean of" not in done[0].table()


def test_folds_go_on_from_the_nets_of_earlier_folds(done, faces, tmp_path):
    earlier = done[0].out
    asked = {**ASKED, "epochs": 1, "start": earlier}
    found = cross_validate("near", faces, out=tmp_path / "more", **asked)
    for fold, folder in enumerate(found.run_folders("near")):
        run = load_run(folder)
        assert run.record["settings"]["start"] == str(earlier / f"near/seed-0/fold-{fold}")
        begun = load_run(earlier / "near" / "seed-0" / f"fold-{fold}")
        assert run.history()["all"][0]["loss"] < begun.history()["all"][0]["loss"]
    assert f"start={str(earlier)!r}" in found.facts["command"]
    again = cross_validate("near", faces, out=tmp_path / "more", **asked)
    assert again.as_dict() == json.loads(json.dumps(found.as_dict()))


def test_folds_that_began_with_others_stay_when_those_are_gone(done, faces, tmp_path):
    earlier = shutil.copytree(done[0].out, tmp_path / "earlier")
    asked = {**ASKED, "epochs": 1, "start": load_cross_validation(earlier)}
    found = cross_validate("near", faces, out=tmp_path / "more", **asked)
    shutil.rmtree(earlier / "near" / "seed-0" / "fold-1")
    again = cross_validate("near", faces, out=tmp_path / "more", **asked)
    assert again.models == found.models
    shutil.rmtree(earlier)
    again = cross_validate("near", faces, out=tmp_path / "more", **asked)
    assert again.models == found.models


def test_earlier_folds_are_looked_at_before_anything_is_trained(done, faces, tmp_path):
    earlier = shutil.copytree(done[0].out, tmp_path / "earlier")
    record = earlier / "near" / "seed-0" / "fold-2" / "run.json"
    asked = {**ASKED, "epochs": 1, "start": earlier, "out": tmp_path / "more"}
    with pytest.raises(RunError, match=r"folds of other data to start from \(rows: received 60"):
        cross_validate("near", faces[:60], **asked)
    record.write_text(record.read_text().replace('"finished"', '"running"'))
    with pytest.raises(RunError, match=r"fold-2 is not finished"):
        cross_validate("near", faces, **asked)
    assert not (tmp_path / "more" / "near").exists()


def test_folds_are_predicted_as_thoroughly_as_submissions(done, faces, tmp_path):
    asked = {**ASKED, "k": 2, "epochs": 1, "second_look": True, "out": tmp_path / "cv"}
    found = cross_validate("near", faces, **asked)
    member = found.out_of_fold("near")
    for number, folder in enumerate(found.run_folders("near")):
        run, own = load_run(folder), member.fold == number
        part = faces[own]
        thorough = run.predict(part.images, source=part.source, thorough=True)
        np.testing.assert_allclose(member.predicted[0, own], thorough, atol=1e-3)
    # Folds from before thorough looks, or of runs that answer otherwise now, are predicted anew.
    record = found.out / "results.json"
    told = json.loads(record.read_text())
    for row in told["models"]["near"]["folds"]:
        assert row.pop("answers")
    record.write_text(json.dumps(told))
    path = found.out / "near" / "oof.npz"
    replace(member, predicted=member.predicted + 0.5).save(path)
    again = cross_validate("near", faces, **asked).out_of_fold("near")
    np.testing.assert_allclose(again.predicted, member.predicted, atol=1e-3)
    replace(member, predicted=member.predicted + 0.5).save(path)
    kept = cross_validate("near", faces, **asked).out_of_fold("near")
    np.testing.assert_allclose(kept.predicted, member.predicted + 0.5, atol=1e-3)
    assert all(row["answers"] is None for row in done[0].models["near"]["folds"])


def test_settings_that_earlier_versions_left_out_go_on(done, faces):
    found = done[0]
    again = cross_validate(BOTH, faces, out=found.out, **ASKED, second_look=False, cycles=None)
    assert again.models["near"]["pooled"]["all"] == found.models["near"]["pooled"]["all"]
    cross_validate(BOTH, faces, out=found.out, without=[1, "2 3"], **ASKED)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"k": 4}, "other folds to start from: k=3"),
        ({"fold_seed": 1}, "other folds to start from: fold_seed=0"),
        ({"seeds": [3]}, "seed-3/fold-0 is not a run"),
    ],
)
def test_other_folds_to_start_from_are_refused(done, faces, tmp_path, asked, message):
    with pytest.raises(KfkdError, match=message):
        cross_validate(
            "near", faces, out=tmp_path / "x", **{**ASKED, "start": done[0].out, **asked}
        )
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"k": 1}, "k wants a whole number from 2"),
        ({"models": ["neer"]}, "near"),
        ({"models": []}, "none"),
        ({"models": ["near", "near"]}, "each once"),
        ({"seeds": 0}, "Received: 0"),
        ({"fold_seed": -1}, "fold_seed"),
        ({"seed": 1}, "use seeds"),
        ({"without": [91]}, "no row 91"),
        ({"without": ["x.txt"]}, "x.txt: cannot be read"),
        ({"without": [True]}, "Received: True"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_nonsense_is_refused_before_anything_is_trained(faces, tmp_path, asked, message):
    given = {"models": "near", "out": tmp_path / "x", "quiet": True, **asked}
    with pytest.raises(KfkdError, match=message):
        cross_validate(given.pop("models"), faces, **given)
    assert not (tmp_path / "x").exists()


def test_a_folder_of_something_else_is_left_alone(faces, tmp_path):
    (tmp_path / "results.json").write_text('{"kind": "comparison"}')
    with pytest.raises(KfkdError, match=r"something else, results\.json"):
        cross_validate("near", faces, out=tmp_path, **ASKED)
    with pytest.raises(RunError, match="no cross-validation"):
        load_cross_validation(tmp_path)


def test_broken_files_are_named(done, tmp_path):
    whole = (done[0].out / "results.json").read_text()
    for text in ("[]", whole.replace('"folds":', '"rows":'), whole[:-40]):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(RunError, match=r"results\.json"):
            load_cross_validation(tmp_path)
    path = tmp_path / "oof.npz"
    path.write_bytes((done[0].out / "near" / "oof.npz").read_bytes()[:1000])
    for wrong in (path, tmp_path / "results.json", tmp_path / "absent.npz"):
        with pytest.raises(RunError, match="no out-of-fold predictions"):
            read_out_of_fold(wrong)


def test_rows_by_their_numbers_in_another_file(tmp_path):
    table, listed = tmp_path / "row_numbers.csv", tmp_path / "bad.txt"
    table.write_text("row,kaggle_row\n1,1\n2,3\n3,7\n")
    listed.write_text("7\n2, 3\n")
    known = np.arange(1, 4)
    assert named_rows([str(listed), 1], known, table) == Named((1, 2, 3), 4)
    assert named_rows(["1 2"], known) == Named((1, 2), 2)
    with pytest.raises(KfkdError, match="row-numbers"):
        named_rows([7], known)
    listed.write_text("seven")
    with pytest.raises(DataError, match=r"bad\.txt"):
        named_rows([str(listed)], known)
    with pytest.raises(DataError, match="kaggle_row"):
        named_rows([7], known, write(tmp_path / "x.csv", "row\n1\n"))


def write(path, text):
    path.write_text(text)
    return path


def test_the_command_repeats_the_cross_validation(tmp_path):
    given = {"epochs": 3, "subsets": ["all"], "batch_size": None}
    plan = Plan(tmp_path, ("near", "lenet5"), 4, (0, 1), 0, given)
    line = plan.command("my data", ["bad rows.txt", 7], "numbers.csv")
    found = vars(parser().parse_args(shlex.split(line)[1:]))
    wanted = {"models": ["near", "lenet5"], "data": "my data", "k": 4, "seeds": 2, "epochs": 3}
    wanted |= {"subsets": ["all"], "without": ["bad rows.txt", "7"], "row_numbers": "numbers.csv"}
    assert {key: found[key] for key in wanted} == wanted
    own = Plan(tmp_path, ("near",), 4, (3,), 5, {"loss": "huber"}).command("here")
    assert own.startswith("kfkd.cross_validate(['near'], 'here', k=4, seeds=[3], loss='huber', f")


def test_the_command_says_every_plain_setting(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr("kfkd.folding.cross_validate", lambda *a, **k: asked.update(k))
    monkeypatch.setattr("kfkd.folds.commands._show", lambda *arguments: None)
    given = {"loss": "huber(2)", "schedule": "cosine", "cycles": 2, "plateau": None, "ema": None}
    given |= {"options": {"units": 60}, "augment": None}
    plan = Plan(tmp_path, ("lenet5",), 4, (0,), 0, given)
    assert main(shlex.split(plan.command("here"))[1:]) == 0
    assert {key: asked[key] for key in given} == {**given, "augment": "none"}
    assert plan.plain_settings()["plateau"] is None
    for own in ({"plateau": Plateau()}, {"augment": lambda *faces: faces}):
        line = Plan(tmp_path, ("lenet5",), 4, (0,), 0, own).command("here")
        assert line.startswith("kfkd.cross_validate")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["epochs=3"], "--set has no epochs; see kfkd folds"),
        (["units=60"], "options that all models have. Received: units for lenet5 and near"),
        (["units"], "KEY=VALUE"),
    ],
)
def test_settings_that_folds_cannot_take_are_refused(words, message, monkeypatch, capsys):
    monkeypatch.setattr("kfkd.folding.cross_validate", None)
    assert main(["folds", "lenet5", "near", "--set", *words]) == 2
    assert message in capsys.readouterr().err


def test_command_line(done, monkeypatch, capsys, tmp_path):
    asked = {}
    monkeypatch.setattr("kfkd.folding.cross_validate", lambda *a, **k: asked.update(k) or done[0])
    words = ["folds", *BOTH, "--k", "3", "--without", "1", "2", "--out", str(tmp_path)]
    assert main([*words, "--epochs", "2"]) == 0
    assert capsys.readouterr().out == done[0].table()
    assert (asked["k"], asked["without"], asked["epochs"]) == (3, ["1", "2"], 2)
    assert "augment" not in asked
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "cross-validation"
    assert main(["folds", "neer"]) == 2
    assert "near" in capsys.readouterr().err

    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("kfkd.folding.cross_validate", interrupt)
    assert main(words) == 130
    assert "run the same command again to go on" in capsys.readouterr().err


# Submissions


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory):
    return write_kaggle_folder(tmp_path_factory.mktemp("made") / "kaggle", train=10, test=20)


@pytest.fixture(scope="module")
def submittable(done):
    return done[0]


def test_folds_of_a_model_are_one_member(submittable, kaggle, tmp_path):
    test = kfkd.load_faces("kaggle", kaggle, part="test", quiet=True)
    path = kfkd.submit(submittable.out, kaggle, select=False, out=tmp_path / "mean.csv", quiet=True)
    runs = [[load_run(f) for f in submittable.run_folders(name)] for name in BOTH]
    answers = [np.mean([r.predict(test.images) for r in own], axis=0) for own in runs]
    made = json.loads(path.with_suffix(".json").read_text())
    assert {name: len(found) for name, found in made["members"].items()} == dict.fromkeys(BOTH, 3)
    assert made["left out"] == []
    truth = kfkd.score(path, kaggle / "solution.csv")
    own = kfkd.submit(
        [run.folder for group in runs for run in group], kaggle, out=tmp_path / "b.csv", quiet=True
    )
    won, same = (json.loads(p.with_suffix(".json").read_text())["averaging"] for p in (path, own))
    assert won["nets"] == same["nets"] == 6
    # As many folds of each: the mean of all nets is the mean of the members.
    assert won["square_pixels"] == pytest.approx(same["square_pixels"], rel=1e-4)
    assert truth.rmse == pytest.approx(kfkd.score(own, kaggle / "solution.csv").rmse, abs=1e-4)
    assert np.isfinite(answers).all()


def test_folds_of_one_model_tell_what_their_mean_wins(submittable, kaggle, tmp_path):
    near = replace(submittable, models={"near": submittable.models["near"]})
    path = kfkd.submit(near, kaggle, out=tmp_path / "near.csv", quiet=True)
    made = json.loads(path.with_suffix(".json").read_text())
    assert made["fitted"]["how"] == "mean"
    assert made["averaging"]["nets"] == 3
    path = kfkd.submit(near, kaggle, ensemble="ridge", out=tmp_path / "ridge.csv", quiet=True)
    assert json.loads(path.with_suffix(".json").read_text())["averaging"] is None


def test_fitted_ensembles_make_submissions(submittable, kaggle, tmp_path):
    for how in ("mean", "weighted", "ridge"):
        path = kfkd.submit(
            submittable, kaggle, ensemble=how, out=tmp_path / f"{how}.csv", quiet=True
        )
        made = json.loads(path.with_suffix(".json").read_text())
        assert made["fitted"]["how"] == how
        assert made["nested"]["all"]["model"]["kaggle_rmse"] > 0
        assert {cell["source"] for cell in made["fitted"]["cells"]} == {"full", "four_point"}
        assert made["averaging"] is None
        assert path.with_suffix(".npz").is_file()
    again = kfkd.submit(
        submittable,
        kaggle,
        ensemble=tmp_path / "ridge.npz",
        out=tmp_path / "again.csv",
        quiet=True,
    )
    assert again.read_text() == (tmp_path / "ridge.csv").read_text()


def test_what_lacks_out_of_fold_predictions_is_not_fitted(submittable, kaggle, tmp_path):
    run = submittable.run_folders("near")[0]
    given = {"data": kaggle, "out": tmp_path / "x.csv", "quiet": True}
    for asked in ({"ensemble": "stack"}, {"select": True}):
        with pytest.raises(KfkdError, match="out-of-fold"):
            kfkd.submit([run, submittable], **given, **asked)
    with pytest.raises(KfkdError, match="2 weights"):
        kfkd.submit([run, run], ensemble="weighted", **given)
    with pytest.raises(KfkdError, match="weights are for"):
        kfkd.submit([run, run], ensemble="stack", weights=[1, 2], **given)
    with pytest.raises(UnknownName, match="stack"):
        kfkd.submit(submittable, ensemble="stock", **given)
    assert kfkd.submit([run, submittable], ensemble="median", **given).is_file()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"ensemble": "made/absent.npz"}, "made/absent.npz is no file"),
        ({"ensemble": None}, "ensemble wants one of mean, .*Received: None"),
        ({"ensemble": ["mean"]}, "ensemble wants one of mean"),
        ({"ensemble": "weighted", "weights": ["a"]}, "weights want numbers"),
        ({"ensemble": "weighted", "weights": [1], "select": True}, "with weights leave it away"),
    ],
)
def test_nonsense_is_refused_before_any_net_predicts(
    submittable, kaggle, monkeypatch, asked, message
):
    monkeypatch.setattr("kfkd.runs.Run.predict", None)
    with pytest.raises(KfkdError, match=message):
        kfkd.submit(submittable.run_folders("near")[0], kaggle, quiet=True, **asked)
    with pytest.raises(KfkdError, match=r"cross-validations or their folders are wanted.*: 5"):
        kfkd.submit(5, kaggle)


def test_members_of_other_data_and_foreign_fits_are_refused_before_any_net_predicts(
    submittable, kaggle, monkeypatch, tmp_path
):
    monkeypatch.setattr("kfkd.runs.Run.predict", None)
    kfkd.ensemble(submittable, "mean", out=tmp_path / "made", quiet=True)
    made, other = tmp_path / "made" / "mean.npz", shutil.copytree(submittable.out, tmp_path / "cv")
    member = read_out_of_fold(other / "near" / "oof.npz")
    replace(member, predicted=member.predicted + 0.5).save(other / "near" / "oof.npz")
    with pytest.raises(KfkdError, match=r"fitted on near \w+, not given here; it was not .* near"):
        kfkd.submit(other, kaggle, ensemble=made, quiet=True)
    facts = {**member.facts, "fingerprint": "another"}
    replace(member, facts=facts).save(other / "near" / "oof.npz")
    with pytest.raises(KfkdError, match="want the same data"):
        kfkd.submit([submittable, other], kaggle, quiet=True)


def test_a_broken_run_is_named_and_left_out(submittable, kaggle, tmp_path, monkeypatch, capsys):
    from kfkd.runs import Run

    real, bad = Run.predict, submittable.run_folders("near")[1]

    def spoiled(self, images, *arguments, **settings):
        found = real(self, images, *arguments, **settings)
        return np.full_like(found, 48.0) if self.folder == bad else found

    monkeypatch.setattr(Run, "predict", spoiled)
    given = {"data": kaggle, "select": False}
    path = kfkd.submit(submittable, out=tmp_path / "x.csv", **given)
    assert f"{bad} is broken: the same points for every image" in capsys.readouterr().err
    made = json.loads(path.with_suffix(".json").read_text())
    assert len(made["left out"]) == 1
    with pytest.raises(KfkdError, match="the same points"):
        kfkd.submit(submittable, strict=True, out=tmp_path / "y.csv", quiet=True, **given)
    with pytest.raises(KfkdError, match="no member is left"):
        kfkd.submit(bad, kaggle, out=tmp_path / "z.csv", quiet=True)
