import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import kfkd
from kfkd.data import as_faces
from kfkd.errors import DataError, KfkdError, RunError
from kfkd.evaluation import validation_faces
from kfkd.metrics import rmse
from kfkd.pipelines.splits import grouped_split
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.prediction import write_predictions
from kfkd.runs import load_run
from kfkd.scoring import mean_faces, score_faces

pytestmark = pytest.mark.usefixtures("tiny_zoo")

DENSE = [0, 1, 10, 14]
SPARSE = [i for i in range(15) if i not in DENSE]


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(80, seed=4)


@pytest.fixture(scope="module")
def trained(tiny_zoo, faces, tmp_path_factory):
    """A finished run; tests that change a run take `run`, a copy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.drawing.run_pictures.draw_run", lambda *arguments: None)
        folder = tmp_path_factory.mktemp("runs") / "run"
        return kfkd.train("tiny", faces, epochs=1, out=folder, quiet=True)


@pytest.fixture
def run(trained, tmp_path):
    return load_run(shutil.copytree(trained.folder, tmp_path / "run"))


def change_record(run, **changed):
    path = run.folder / "run.json"
    record = {**json.loads(path.read_text()), **changed}
    path.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


# Opening


def test_a_run_opens_from_its_folder_or_itself(trained):
    opened = load_run(str(trained.folder))
    assert (opened.name, opened.finished, opened.subsets) == ("tiny", True, ("dense", "sparse"))
    assert opened.skeleton is kfkd.load_faces("synthetic").skeleton
    assert load_run(opened) is opened
    assert opened.mean_face().shape == opened.mean_face("four_point").shape == (15, 2)


def test_a_folder_without_a_run_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "absent", str(tmp_path)):
        with pytest.raises(RunError, match=r"is not a run: it holds no run\.json"):
            load_run(folder)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", '{"model": "tiny"}', "\0"])
def test_a_broken_record_is_refused(run, content):
    (run.folder / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"run\.json (is not valid JSON|does not describe a run)"):
        load_run(run.folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"skeleton": "KAGGLE_16"}, "unknown skeleton. Received: 'KAGGLE_16'"),
        ({"skeleton": ["KAGGLE_15"]}, "skeleton is list, not str"),
        ({"subsets": {"../x": {"codec": {}}}}, "unknown subsets; it may have all, dense, sparse"),
        ({"subsets": {"/etc/passwd": {"codec": {}}}}, "unknown subsets"),
        ({"subsets": ["dense"]}, "subsets is list, not dict"),
        ({"subsets": {"dense": {}}}, "gives 'dense' no known codec"),
        ({"subsets": {"dense": "all"}}, "gives 'dense' no known codec"),
        ({"split": None}, "does not describe a run: split is NoneType, not dict"),
        ({"settings": []}, "settings is list, not dict"),
        ({"data": {"path": 3}}, "origin is NoneType, not str"),
        ({"mean_face": None}, "mean_face is NoneType, not dict"),
    ],
)
def test_a_record_from_anyone_is_checked(run, changed, said):
    change_record(run, **changed)
    with pytest.raises(RunError, match=said):
        load_run(run.folder)


@pytest.mark.parametrize(
    "codec", [{"codec": "magic"}, {"codec": "coordinates", "power": 2}, {}, "coordinates"]
)
def test_an_unknown_codec_is_refused(run, codec):
    change_record(run, subsets={"dense": {"codec": codec}})
    with pytest.raises(RunError, match="gives 'dense' no known codec"):
        load_run(run.folder)


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04"])
def test_a_broken_model_is_refused(run, faces, content):
    (run.folder / "dense.keras").write_bytes(content)
    with pytest.raises(RunError, match=r"dense\.keras is not a readable Keras model"):
        run.predict(faces.images)


def test_an_absent_model_is_refused(run, faces):
    (run.folder / "sparse.keras").unlink()
    with pytest.raises(RunError, match=r"sparse\.keras is absent"):
        run.predict(faces.images)
    with pytest.raises(RunError, match="no model for 'all'"):
        run.model("all")


@pytest.mark.parametrize(
    "history", ["subset,epoch\ndense,one\n", "epoch,loss\n1,2\n", "subset,epoch\nall,1\n"]
)
def test_a_broken_history_is_refused(run, history):
    (run.folder / "history.csv").write_text(history)
    with pytest.raises(RunError, match=r"history\.csv is broken"):
        run.history()


def test_an_absent_history_is_empty(run):
    (run.folder / "history.csv").unlink()
    assert run.history() == {"dense": [], "sparse": []}


# Predicting


def test_predictions_cover_what_the_run_learnt(trained, faces):
    predicted = kfkd.predict(trained, faces.images[:5])
    assert predicted.shape == (5, 15, 2) and predicted.dtype == np.float32
    assert not np.isnan(predicted).any()
    np.testing.assert_array_equal(predicted, kfkd.predict(str(trained.folder), faces[:5]))


@pytest.mark.parametrize(("subset", "absent"), [("dense", SPARSE), ("sparse", DENSE)])
def test_a_subsets_predictions_are_nan_elsewhere(trained, faces, subset, absent):
    predicted = trained.predict(faces.images[:3], subset=subset)
    assert np.isnan(predicted[:, absent]).all()
    assert not np.isnan(np.delete(predicted, absent, axis=1)).any()


def test_batches_do_not_matter_to_predictions(trained, faces):
    whole = trained.predict(faces.images[:7])
    np.testing.assert_allclose(trained.predict(faces.images[:7], batch_size=3), whole, atol=1e-3)
    assert trained.predict(faces.images[:0]).shape == (0, 15, 2)


@pytest.mark.parametrize("shape", [(2, 48, 48, 1), (2, 96, 96, 3), (2, 96, 96)])
def test_images_of_another_size_are_refused(trained, shape):
    with pytest.raises(RunError, match=r"tiny wants images of \(96, 96, 1\)\. Received: \("):
        trained.predict(np.zeros(shape, np.uint8))


def test_predictions_as_a_table(trained, faces, tmp_path):
    predicted = trained.predict(faces.images[:4], subset="dense")
    path = write_predictions(tmp_path / "deep" / "p.csv", faces[:4], predicted)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == [1, 2, 3, 4]
    assert tuple(rows[0])[1:] == faces.skeleton.columns
    assert rows[0]["left_eye_inner_corner_x"] == ""
    assert float(rows[3]["nose_tip_y"]) == pytest.approx(predicted[3, 10, 1], abs=1e-4)


# Evaluating


def test_a_runs_validation_is_what_its_split_holds_out(trained, faces):
    scores = kfkd.evaluate(trained, faces)
    held_out = faces[grouped_split(faces, 0.2, 0)[1]]
    assert scores.images == len(held_out)
    error = rmse(held_out.keypoints, trained.predict(held_out.images))
    assert scores.model["all"] == pytest.approx(error, abs=1e-4)
    assert scores.model == trained.metrics["model"]
    assert scores.mean_face["kaggle_rmse"] > 0


def test_the_validation_of_other_data_is_refused(trained, faces):
    with pytest.raises(DataError, match=r'trained on other data .* ask part="all"'):
        kfkd.evaluate(trained, faces[:50])
    with pytest.raises(DataError, match='part wants "validation" or "all"'):
        kfkd.evaluate(trained, faces, part="test")


def test_other_faces_are_scored_whole(trained):
    others = synthetic_faces(30, seed=9)
    scores = kfkd.evaluate(trained, others, part="all")
    assert scores.images == 30 and scores.values == others.labelled.sum()
    assert scores.learned == 0 and "learned" not in scores.table()


def test_scores_on_learned_images_say_so(trained, faces):
    scores = kfkd.evaluate(trained, faces, part="all")
    held_out = len(validation_faces(trained, faces))
    assert scores.learned == len(faces) - held_out and held_out > 0
    assert f"the run learned from {scores.learned} of them" in scores.table()
    assert kfkd.evaluate(trained, faces).learned == 0


def test_a_decoder_of_maps_is_not_for_coordinates(trained, faces):
    with pytest.raises(
        KfkdError, match=r"a decoder reads heatmaps\. .* whose codec is coordinates"
    ):
        kfkd.evaluate(trained, faces, decoder="dark")


def test_faces_without_labels_cannot_be_scored(trained, faces):
    with pytest.raises(DataError, match="nothing to score"):
        kfkd.evaluate(trained, faces.images[:4], part="all")


@pytest.mark.parametrize("verb", [kfkd.predict, kfkd.evaluate])
@pytest.mark.parametrize("begun", [False, True])
def test_an_unfinished_run_neither_predicts_nor_is_scored(run, faces, verb, begun):
    changed = {} if begun else {"subsets": {}, "split": {}, "mean_face": None}
    change_record(run, status="running", **changed)
    with pytest.raises(RunError, match="is not finished; go on with: kfkd resume"):
        verb(run.folder, faces)


def test_scores_are_zero_for_the_truth_and_the_mean_faces_for_the_mean(faces):
    means = mean_faces(faces)
    perfect = score_faces(faces, np.nan_to_num(faces.keypoints), means)
    assert perfect.model["all"] == perfect.model["kaggle_rmse"] == 0
    flat = np.broadcast_to(np.float32(means["all"]), faces.keypoints.shape)
    scores = score_faces(faces, flat, means)
    assert scores.model == scores.mean_face
    assert scores.mean_per_source["all"] < scores.mean_face["all"]
    assert {"kaggle_rmse", "all", "dense", "sparse", "full", "four_point"} <= set(scores.model)


def test_the_worst_images_come_first_with_their_share(faces):
    predicted = np.nan_to_num(faces.keypoints).copy()
    predicted[7, DENSE] += 3
    predicted[11, DENSE] += 1
    scores = score_faces(faces, predicted, mean_faces(faces), worst=2)
    assert [image for image, _, _ in scores.worst] == [8, 12]
    assert sum(share for _, _, share in scores.worst) == pytest.approx(1)


def test_scores_as_text_and_as_data(trained, faces):
    scores = kfkd.evaluate(trained, faces, part="all")
    text = str(scores)
    assert text.startswith(f"80 images, {scores.values} labelled values")
    for word in ("kaggle_rmse", "mean face per source", "nose_tip", "worst images"):
        assert word in text
    json.dumps(scores.as_dict(), allow_nan=False)


# Whatever users hand in


def test_faces_are_taken_as_they_are(faces):
    assert as_faces(faces) is faces


@pytest.mark.parametrize("shape", [(3, 96, 96, 1), (3, 96, 96)])
def test_bare_images_become_faces_without_labels(faces, shape):
    images = faces.images[:3].reshape(shape)
    bare = as_faces(images)
    np.testing.assert_array_equal(bare.images, faces.images[:3])
    assert not bare.labelled.any() and bare.ids.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(bare.group, faces.group[:3])


@pytest.mark.parametrize(
    "images", [np.zeros((2, 96, 96, 1)), np.zeros(96, np.uint8), np.zeros((2, 2), np.uint8)]
)
def test_arrays_that_are_no_images_are_refused(images):
    with pytest.raises(DataError, match=r"images want uint8 \(n, h, w, c\)\. Received: "):
        as_faces(images)


@pytest.mark.parametrize("data", [5, {"images": []}, [1, 2]])
def test_data_of_another_kind_is_refused(data):
    with pytest.raises(DataError, match="data wants a FaceSet, a path or images"):
        as_faces(data)


def test_paths_and_names_are_read(tmp_path):
    assert len(as_faces("synthetic", quiet=True)) == 2000
    with pytest.raises(DataError, match="absent"):
        as_faces(tmp_path / "absent")


def test_a_run_of_faces_in_memory_wants_them_again(run):
    change_record(run, data={**run.record["data"], "origin": "own"})
    with pytest.raises(DataError):
        kfkd.evaluate(run.folder, quiet=True)


def test_faces_of_another_skeleton_size_are_scored_by_their_own_names(faces):
    two = replace(faces.skeleton, name="TWO", points=("a", "b"), swaps=(), subsets={}, groups={})
    few = replace(faces, skeleton=two, keypoints=faces.keypoints[:, :2])
    scores = score_faces(few, np.nan_to_num(few.keypoints), mean_faces(few))
    assert set(scores.keypoints) == {"a", "b"} and scores.model["all"] == 0
