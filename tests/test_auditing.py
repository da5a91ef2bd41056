"""The label audit: planted mistakes are found, with a reason each, and left out of trainings."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import kfkd
from kfkd.auditing import FILES, _asked, audit
from kfkd.audits.geometry import duplicate_findings, geometry_findings
from kfkd.cli import main
from kfkd.errors import DataError, KfkdError
from kfkd.faces import FaceSet
from kfkd.pipelines.splits import folds
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.skeletons import KAGGLE_15
from kfkd.submissions.out_of_fold import OutOfFold
from kfkd.suspects import Suspects, suspects_from

NOSE, LEFT_EYE = KAGGLE_15.points.index("nose_tip"), 0
SWAPPED, SHIFTED, SIZED, NOSED, TWIN, OTHER, HEAP, TWICE, MOUTH = 3, 8, 12, 17, 22, 60, 30, 35, 41
PLANTED = {SWAPPED, SHIFTED, SIZED, NOSED, HEAP, TWICE, MOUTH}


@pytest.fixture(scope="module")
def true():
    """Fully and sparsely labelled built-in faces, one picture twice."""
    made = synthetic_faces(240, seed=2)
    rows = np.arange(240)
    rows[OTHER] = TWIN
    return replace(made[rows], ids=np.arange(1, 241), origin="own", path="")


@pytest.fixture(scope="module")
def faces(true):
    """The same with planted mistakes in fully labelled rows."""
    keypoints = true.keypoints.copy()
    full = np.flatnonzero(true.source == "full")
    assert {*PLANTED, TWIN, OTHER} <= {*full.tolist()}
    keypoints[SWAPPED] = keypoints[SWAPPED, list(KAGGLE_15.mirror)]
    keypoints[SHIFTED] += 12, -5
    middle = np.nanmean(keypoints[SIZED], axis=0)
    keypoints[SIZED] = middle + 1.7 * (keypoints[SIZED] - middle)
    keypoints[NOSED, NOSE] += 20, 6
    keypoints[OTHER, LEFT_EYE] += 0, 12
    keypoints[HEAP] = np.where(np.isnan(keypoints[HEAP]), np.nan, 40)
    keypoints[TWICE, NOSE] = keypoints[TWICE, LEFT_EYE]
    keypoints[MOUTH, 14] = keypoints[MOUTH, NOSE] - (0, 4)
    return replace(true, keypoints=keypoints.astype(np.float32))


def predicted_folds(fabricated, true, faces, out, pixels=1.0, names=("a",), origin="own"):
    """A cross-validation whose models see the true points with a little noise."""
    rng = np.random.default_rng(0)
    known = np.nan_to_num(true.keypoints, nan=48)
    members = [
        OutOfFold(
            model=name,
            facts={
                **{"fingerprint": faces.fingerprint, "k": 5, "fold_seed": 0},
                **{"seeds": [0], "image": [96, 96, 1]},
            },
            skeleton=faces.skeleton,
            ids=faces.ids,
            source=np.asarray(faces.source, np.str_),
            group=faces.group,
            fold=folds(faces, 5, 0),
            truth=faces.keypoints,
            predicted=(known + rng.normal(0, pixels, known.shape)).astype(np.float32)[None],
        )
        for name in names
    ]
    return fabricated.write_folds(out, members, origin)


@pytest.fixture(scope="module")
def found(fabricated, true, faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    cv = predicted_folds(fabricated, true, faces, folder / "cv")
    asked = {"known": [SHIFTED + 1, NOSED + 1, 200], "quiet": True}
    return audit(cv, faces, out=folder / "made", **asked)


def line(found, row):
    return next(line for line in found.suspects if line["position"] == row)


def test_planted_mistakes_are_found_and_little_else(found):
    rows = {line["position"] for line in found.suspects if line["drop"]}
    assert {*PLANTED, OTHER} <= rows
    assert len(rows - {*PLANTED, TWIN, OTHER}) <= 2


@pytest.mark.parametrize(
    ("row", "rule", "reason", "drop"),
    [
        (SWAPPED, "swapped", "left and right exchanged: ", "all"),
        (SHIFTED, "moved", "all keypoints +1", "all"),
        (SIZED, "moved", "times as far apart as models see them", "all"),
        (NOSED, "residual", "nose_tip 2", "nose_tip"),
        (HEAP, "geometry", "all keypoints in one place", "all"),
        (TWICE, "geometry", "left_eye_center and nose_tip in the same place", None),
        (MOUTH, "geometry", "mouth_center_bottom_lip above the nose", None),
        (OTHER, "duplicate", f"the same picture as row {TWIN + 1}, left_eye_center 12.0 px", None),
    ],
)
def test_each_has_its_rule_a_plain_reason_and_what_to_drop(found, row, rule, reason, drop):
    told = line(found, row)
    assert rule in told["rules"].split()
    assert reason in told["reason"]
    assert told["score"] >= 1
    assert drop is None or told["drop"] == drop


def test_of_a_picture_labelled_twice_the_prediction_tells_which_is_wrong(found, faces):
    assert "left_eye_center" in line(found, OTHER)["drop"]
    assert not [one for one in found.suspects if one["position"] == TWIN and one["drop"]]
    without = {finding.row for finding in duplicate_findings(faces)}
    assert without == {TWIN, OTHER}


def test_members_of_some_keypoints_leave_the_others_to_the_rest(fabricated):
    faces = fabricated.Faces(60)
    dense = faces.noise(2.0)
    dense[:, [i for i in range(15) if i not in fabricated.DENSE]] = np.nan
    whole, part = faces.member("whole", faces.noise(1.0)), faces.member("part", dense)
    predicted, spread = _asked([whole, part])
    sparse = [i for i in range(15) if i not in fabricated.DENSE]
    np.testing.assert_allclose(predicted[:, sparse], whole.mean[:, sparse])
    both = (whole.mean + part.mean)[:, fabricated.DENSE] / 2
    np.testing.assert_allclose(predicted[:, fabricated.DENSE], both)
    assert not spread[:, sparse].any()
    half = np.linalg.norm((whole.mean - part.mean)[:, fabricated.DENSE], axis=-1) / 2
    np.testing.assert_allclose(spread[:, fabricated.DENSE], half)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"folds": 5}, "cross-validations or their folders are wanted.*Received: 5"),
        ({"sheet": -3}, "sheet wants a whole number from 0. Received: -3"),
        ({"sheet": 2.5}, "sheet wants a whole number"),
    ],
)
def test_nonsense_is_refused(faces, asked, message, tmp_path):
    with pytest.raises(KfkdError, match=message):
        audit(data=faces, out=tmp_path / "x", quiet=True, **asked)
    assert not (tmp_path / "x").exists()


def test_the_most_suspect_come_first(found):
    scores = [line["score"] for line in found.suspects]
    assert scores == sorted(scores, reverse=True)
    assert [line["rank"] for line in found.suspects] == list(range(1, len(scores) + 1))


def test_files(found, faces):
    assert {path.name for path in found.out.iterdir()} == {*FILES}
    with (found.out / "audit.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.suspects)
    assert {row["data"] for row in rows} == {faces.fingerprint}
    assert json.loads((found.out / "audit.json").read_text()) == json.loads(
        json.dumps(found.as_dict())
    )
    assert (found.out / "suspects.png").stat().st_size > 10_000


def test_known_rows_are_counted_and_nothing_else(found):
    known = found.summary["known"]
    assert (known["listed"], known["here"], known["found"], known["dropped"]) == (3, 3, 2, 2)
    assert known["missed"] == [200]
    assert "known bad rows: 2 of 3 found" in found.table()


def test_clean_faces_have_no_suspects_to_drop(fabricated, true, tmp_path):
    cv = predicted_folds(fabricated, true, true, tmp_path / "cv", names=("a", "b"))
    found = audit(cv, true, out=tmp_path / "made", quiet=True)
    assert found.summary["dropped"] <= 2
    assert found.summary["models"] == ["a", "b"]


def test_without_models_duplicates_and_geometry_are_found(faces, tmp_path):
    found = audit((), faces, out=tmp_path / "made", quiet=True)
    rows = {line["position"] for line in found.suspects if line["drop"]}
    assert {HEAP, TWICE, MOUTH, SWAPPED, TWIN, OTHER} <= rows
    assert SHIFTED not in rows
    assert found.summary["models"] == []


def test_models_that_do_not_agree_say_less(fabricated, true, faces, tmp_path):
    cv = predicted_folds(fabricated, true, faces, tmp_path / "cv", 8.0, ("a", "b", "c"))
    found = audit(cv, faces, out=tmp_path / "made", quiet=True)
    assert not any(
        "residual" in one["rules"] and one["position"] == NOSED for one in found.suspects
    )


def test_labels_outside_are_suspect_where_that_is_rare(true):
    keypoints = true.keypoints.copy()
    keypoints[5, 9] = -9, 30
    [finding] = [f for f in geometry_findings(replace(true, keypoints=keypoints)) if f.row == 5]
    assert finding.reason == "right_eyebrow_outer_end 8.5 px outside the image"
    assert finding.points == (9,)
    keypoints[::4, 9] = -9, 30
    found = geometry_findings(replace(true, keypoints=keypoints))
    assert not [f for f in found if "outside" in f.reason]


def test_other_data_are_refused_and_broken_models_left_out(fabricated, true, faces, tmp_path):
    cv = predicted_folds(fabricated, true, faces, tmp_path / "cv")
    with pytest.raises(DataError, match="other data"):
        audit(cv, true, out=tmp_path / "x", quiet=True)
    with pytest.raises(DataError, match="pass them as data"):
        audit(cv, out=tmp_path / "x", quiet=True)
    assert not (tmp_path / "x").exists()
    poor = predicted_folds(fabricated, true, faces, tmp_path / "poor", 30.0)
    found = audit(poor, faces, out=tmp_path / "made", quiet=True)
    assert "is left out, it is broken: seed 0, fold 0" in found.summary["left out"][0]
    assert found.summary["models"] == []


def test_no_suspects_leave_an_empty_table(true, tmp_path):
    clean = true[[0, 1, 2]]
    found = audit((), clean, out=tmp_path / "made", quiet=True)
    assert found.suspects == ()
    assert suspects_from(tmp_path / "made" / "audit.csv").labels == {}
    assert {path.name for path in found.out.iterdir()} == {"audit.csv", "audit.json"}


# Leaving suspects out


def test_suspects_out_of_the_table_and_as_a_line(found, faces):
    suspects = suspects_from(found.out / "audit.csv")
    suspects.check(faces)
    assert suspects.labels[SHIFTED + 1] == ()
    assert suspects.labels[NOSED + 1] == ("nose_tip",)
    again = suspects_from(str(suspects))
    assert again.labels == dict(sorted(suspects.labels.items()))
    left = suspects.left_out(faces)
    assert np.isnan(left.keypoints[SHIFTED]).all()
    assert np.isnan(left.keypoints[NOSED, NOSE]).all()
    assert left.labelled[NOSED].sum() == faces.labelled[NOSED].sum() - 2
    assert not np.isnan(faces.keypoints[SHIFTED]).all(), "the faces themselves stay as they are"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row,drop\n1,all\n", "no column data"),
        ("row,drop,data\none,all,x\n", "row 1: wants a row number"),
        ("row,drop,data\n1,all,x\n2,all,y\n", "several data sets: x, y"),
        ("row,drop,data\n1,all,0123\n", "other data"),
        ("row,drop,data\n999,all,\n", "lists row 999"),
        ("row,drop,data\n1,chin,\n", "'chin'"),
    ],
)
def test_tables_that_do_not_fit_are_refused(faces, tmp_path, text, message):
    path = tmp_path / "audit.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        suspects_from(path).check(faces)
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        suspects_from(tmp_path / "absent.csv")


def test_a_training_leaves_suspects_out_of_what_it_learns_only(
    tiny_zoo, faces, found, tmp_path, monkeypatch
):
    from kfkd.learning import fitting

    jobs, real = [], fitting.fit
    monkeypatch.setattr(fitting, "fit", lambda job: jobs.append(job) or real(job))
    monkeypatch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
    settings = {"subsets": "all", "epochs": 1, "split_seed": 4, "quiet": True}
    settings["out"] = tmp_path / "run"
    run = kfkd.train("tiny", faces, suspects=found.out / "audit.csv", **settings)
    suspects = suspects_from(found.out / "audit.csv")
    learned, watched = jobs[0].train, jobs[0].validation
    expected = suspects.left_out(faces)
    for part, labels in ((learned, expected), (watched, faces)):
        rows = np.searchsorted(faces.ids, part.ids)
        np.testing.assert_array_equal(part.keypoints, labels.keypoints[rows])
    train = faces[~np.isin(faces.ids, watched.ids)]
    lost = train.labelled.sum() - suspects.left_out(train).labelled.sum()
    assert run.record["suspects"] == {"training labels left out": lost}
    assert lost > 20
    assert run.record["settings"]["suspects"] == str(suspects)
    assert run.metrics["values"] == watched.labelled.sum()
    assert kfkd.resume(run.folder, faces, quiet=True).finished
    assert kfkd.train("tiny", faces, suspects=str(suspects), **settings).finished
    with pytest.raises(kfkd.errors.RunError, match="suspects"):
        kfkd.train("tiny", faces, **settings)


def test_suspects_of_other_data_are_refused_by_a_training(tiny_zoo, true, found, tmp_path):
    with pytest.raises(DataError, match="other data"):
        kfkd.train("tiny", true, suspects=found.out / "audit.csv", out=tmp_path / "x", quiet=True)
    assert not (tmp_path / "x").exists()


def test_faces_without_a_normaliser_or_labels_are_audited(tmp_path):
    from kfkd.skeletons import own_skeleton

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 96, 96, 1), np.uint8)
    points = rng.uniform(10, 80, (6, 3, 2)).astype(np.float32)
    points[0] = np.nan
    skeleton = own_skeleton(["left_ear", "right_ear", "chin"])
    faces = FaceSet(
        *(images, points, skeleton, np.full(6, "own")),
        group=np.arange(6, dtype=np.uint64),
        ids=np.arange(1, 7),
    )
    assert audit((), faces, out=tmp_path / "made", quiet=True).summary["rows"] == 6


def test_audit_on_the_command_line(monkeypatch, capsys, found):
    asked = {}

    def verb(*arguments, **settings):
        asked.update(settings, arguments=arguments)
        return found

    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.setattr("kfkd.auditing.audit", verb)
    words = ["audit", "cv-1", "cv-2", "--data", "here", "--known", "bad.txt", "7"]
    assert main([*words, "--row-numbers", "n.csv"]) == 0
    assert asked["arguments"] == (["cv-1", "cv-2"], "here")
    assert (asked["known"], asked["row_numbers"]) == (["bad.txt", "7"], "n.csv")
    assert capsys.readouterr().out.startswith(found.table()[:50])
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 240


def test_the_line_of_suspects():
    assert str(Suspects({9: (), 3: ("nose_tip", "left_eye_center")})) == (
        "3:nose_tip,left_eye_center 9"
    )
    assert suspects_from("3:nose_tip,left_eye_center 9").labels == {
        **{3: ("nose_tip", "left_eye_center"), 9: ()}
    }


@pytest.mark.real
def test_rows_of_kaggles_file_that_are_known_to_be_bad(kaggle_folder, tmp_path):
    """The forum's list of 2013, by Kaggle's row numbers; two of them are a poster of four faces."""
    if not (kaggle_folder / "row_numbers.csv").is_file():
        pytest.skip("no table of row numbers beside the data")
    found = audit(
        data=kaggle_folder,
        known=["1908 1748 6493 6494 2195 4264 1862"],
        row_numbers=kaggle_folder / "row_numbers.csv",
        out=tmp_path / "made",
        quiet=True,
    )
    # 1908 and the poster; 2195 has two faces in it, and right labels.
    assert found.summary["known"]["dropped"] >= 3
    assert found.summary["dropped"] < 0.02 * found.summary["rows"]
