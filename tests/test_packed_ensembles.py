"""A cross-validation's nets in small copies, which answer as one."""

import json
import shutil

import numpy as np
import pytest

import kfkd
from kfkd import pretrained
from kfkd.cli import main
from kfkd.ensembles import members
from kfkd.ensembles.members import members_of
from kfkd.errors import KfkdError, RunError
from kfkd.folds.cross_validation import CrossValidation
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.submissions.broken import fault

pytestmark = pytest.mark.usefixtures("tiny_zoo", "undrawn")


@pytest.fixture(scope="module", autouse=True)
def sound():
    """Nets of one epoch pass for sound ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "fault", lambda member: None)
        yield


@pytest.fixture(scope="module")
def folds(sound, tiny_zoo, tmp_path_factory):
    faces, out = synthetic_faces(60, seed=1), tmp_path_factory.mktemp("folds") / "cv"
    settings = {"k": 2, "seeds": 2, "epochs": 1, "without": [3, 5], "quiet": True}
    return kfkd.cross_validate("tiny", faces, out=out, **settings)


@pytest.fixture(scope="module")
def packed(folds, tmp_path_factory):
    return kfkd.pack(folds, tmp_path_factory.mktemp("packed") / "nets", "mine", seed=1)


def test_it_answers_as_the_mean_of_the_folds_nets(folds, packed):
    (member,) = members_of(packed)
    assert member.name == "nets" and member.out_of_fold is None
    faces = synthetic_faces(9, seed=2)
    own = [kfkd.load_run(folds.out / f"tiny/seed-1/fold-{fold}") for fold in range(2)]
    for small, run in zip(member.runs, own, strict=True):
        np.testing.assert_allclose(small.predict(faces.images), run.predict(faces.images), atol=0.1)


def test_a_submission_takes_it_beside_a_run(folds, packed, tmp_path):
    run = folds.run_folders("tiny")[0]
    path = kfkd.submit([packed, run], out=tmp_path / "a.csv", quiet=True)
    made = json.loads(path.with_suffix(".json").read_text())
    assert len(made["members"]) == 2 and made["averaging"]["nets"] == 3


def test_the_card_has_the_scores_of_rows_that_no_net_saw(folds, packed):
    card, record = (packed / "MODEL_CARD.md").read_text(), (packed / "ensemble.json").read_text()
    scores = folds.models["tiny"]["seed_scores"]["1"]
    assert card.startswith(
        "# mine\n\nThe mean of 2 nets of the zoo's entry `tiny`, each trained on"
    )
    assert "all but one of 2 folds (seed 1)" in card
    for key, told in (
        ("all", "all images"),
        ("clean", "without rows 3, 5 of the file that they learned from"),
    ):
        cells = [scores[key][who]["kaggle_rmse"] for who in ("model", "mean_face")]
        shown = " | ".join(f"{cell:.3f}" for cell in cells)
        assert f"| {told} | {scores[key]['images']} | {shown} |" in card
    assert str(folds.out) not in card + record


def test_all_seeds_are_packed_where_none_is_named(folds, tmp_path, capsys):
    place = str(folds.out / "tiny")
    assert main(["pack", place, "--out", str(tmp_path / "all")]) == 0
    assert capsys.readouterr().out.startswith(str(tmp_path / "all"))
    record = json.loads((tmp_path / "all" / "ensemble.json").read_text())
    assert record["seeds"] == [0, 1] and len(record["runs"]) == 4
    assert record["scores"] == folds.models["tiny"]["pooled"]
    assert "seeds 0, 1" in (tmp_path / "all" / "MODEL_CARD.md").read_text()


def test_what_cannot_be_packed_is_refused(folds, packed, tmp_path, capsys):
    run = str(folds.run_folders("tiny")[0])
    with pytest.raises(RunError, match=r"has the seeds \[0, 1\]. Received: 7"):
        kfkd.pack(folds, tmp_path / "no", seed=7)
    with pytest.raises(KfkdError, match="leave measured_by away"):
        kfkd.pack(folds, tmp_path / "no", measured_by=run)
    with pytest.raises(RunError, match="holds something already"):
        kfkd.pack(folds, packed)
    assert main(["pack", run, "--out", str(tmp_path / "no"), "--seed", "1"]) == 2
    assert "folds of a cross-validation" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pooled": None, "seed_scores": {}}, "lacks scores of its tiny .*renew them with: "),
        ({"pooled": {"all": {}}, "seed_scores": {"1": []}}, "lacks scores of its tiny"),
        ({"folds": [], "seeds": []}, "has no fold of tiny"),
    ],
)
def test_a_cross_validation_of_another_time_or_hand_is_refused(folds, tmp_path, change, said):
    model = {**folds.models["tiny"], **change}
    other = CrossValidation(folds.out, folds.facts, {"tiny": model})
    for seed in (None, 1):
        with pytest.raises(RunError, match=said):
            kfkd.pack(other, tmp_path / "no", seed=seed)
    with pytest.raises(RunError, match="of no model"):
        kfkd.pack(CrossValidation(folds.out, folds.facts, {}), tmp_path / "no")


def test_broken_nets_are_not_packed(folds, tmp_path, monkeypatch):
    monkeypatch.setattr(members, "fault", fault)
    with pytest.raises(RunError, match=r"seed 0, fold 0: its error is .* px, the mean face's"):
        kfkd.pack(folds, tmp_path / "no")


def test_nets_that_answer_otherwise_by_now_are_not_packed(folds, tmp_path):
    rows = [{**row, "answers": "12345678"} for row in folds.models["tiny"]["folds"]]
    other = CrossValidation(
        folds.out, folds.facts, {"tiny": {**folds.models["tiny"], "folds": rows}}
    )
    with pytest.raises(RunError, match="answers otherwise than when its out-of-fold predictions"):
        kfkd.pack(other, tmp_path / "no")


def test_several_ensembles_are_called_by_their_folders(folds, packed, tmp_path, monkeypatch):
    shutil.copytree(packed, tmp_path / "nets")
    names = [member.name for member in members_of([packed, tmp_path / "nets", folds.out / "tiny"])]
    assert names == [str(packed), str(tmp_path / "nets"), "tiny"]
    monkeypatch.chdir(packed)
    assert [member.name for member in members_of(".")] == ["nets"]


def test_nets_of_another_model_are_no_ensemble(packed, tmp_path):
    shutil.copytree(packed, tmp_path / "nets")
    path = tmp_path / "nets" / "ensemble.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": "pyramid"}))
    with pytest.raises(RunError, match="is no net of its ensemble, which has KAGGLE_15 of pyramid"):
        members_of(tmp_path / "nets")


def test_a_packaged_ensemble_is_known_by_name_and_is_no_run(folds, packed, monkeypatch, capsys):
    monkeypatch.setattr(pretrained, "FOLDER", packed.parent)
    assert kfkd.pretrained_ensembles() == ["nets"] and kfkd.pretrained_runs() == []
    assert [len(member.runs) for member in members_of(["nets", folds])] == [2, 4]
    assert main(["pretrained"]) == 0
    line = capsys.readouterr().out.splitlines()[2]
    score = folds.models["tiny"]["seed_scores"]["1"]["all"]["model"]["kaggle_rmse"]
    assert line.split()[:3] == ["nets", "tiny", "2"] and f"{score:.3f}" in line
    for named in ("nets", packed):
        with pytest.raises(RunError, match="is not a run: it is an ensemble, for kfkd submit"):
            kfkd.load_run(named)


@pytest.mark.parametrize(
    "change",
    [
        {"runs": ["../cv/tiny/seed-0/fold-0"]},
        {"runs": [3]},
        {"runs": "seed-1-fold-0"},
        {"runs": ["absent"]},
        {"runs": []},
        {"runs": ["seed-1-fold-0", "seed-1-fold-0"]},
        {"scores": {"all": {"images": 3}}},
        {"scores": {"most": {}}},
        {"kind": "cross-validation"},
        {"scores": []},
        {"model": None},
    ],
)
def test_an_ensemble_from_anyone_is_checked(packed, tmp_path, change):
    record = json.loads((packed / "ensemble.json").read_text()) | change
    (tmp_path / "ensemble.json").write_text(json.dumps(record))
    with pytest.raises(KfkdError):
        members_of(tmp_path)
