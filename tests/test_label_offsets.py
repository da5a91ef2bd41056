"""Labels that lie to one side of what a net answers: fitted, kept, predicted, exported."""

from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest

import kfkd
from kfkd.errors import DataError, RunError
from kfkd.exports.graph import exported_model, run_in_float32
from kfkd.label_offsets import fit_label_offsets
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.runs import load_run, save_record
from kfkd.skeletons import own_skeleton
from kfkd.storage.files import read_json

pytestmark = pytest.mark.usefixtures("tiny_zoo", "undrawn")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(40, seed=6)


@pytest.fixture(scope="module")
def trained(tiny_zoo, faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("offsets") / "run"
    return kfkd.train("tiny", faces, epochs=1, subsets="all", out=folder, quiet=True)


@pytest.fixture
def run(trained, tmp_path):
    return load_run(copytree(trained.folder, tmp_path / "run"))


def answered_as_labels(run, faces, right):
    """Faces whose labels lie `right` pixels to the right of what the run answers."""
    points = run.predict(faces.images) + np.array([right, 0.5], np.float32)
    return replace(faces, keypoints=points.astype(np.float32))


def test_a_constant_to_one_side_is_found_and_predicted_from_then_on(run, faces):
    before = run.predict(faces.images)
    fitted = fit_label_offsets(run, answered_as_labels(run, faces, 1.25), quiet=True)
    moved = fitted.predict(faces.images) - before
    np.testing.assert_allclose(moved[..., 0], 1.25, atol=1e-3)
    np.testing.assert_allclose(moved[..., 1], 0, atol=1e-6)
    np.testing.assert_array_equal(load_run(run.folder).predict(faces.images), before + moved)
    # Fitted again it stays what it is.
    again = fit_label_offsets(fitted, answered_as_labels(run, faces, 1.25), quiet=True)
    np.testing.assert_allclose(again.label_offset("all"), fitted.label_offset("all"), atol=2e-4)


def test_exports_and_packed_copies_have_it(run, faces, tmp_path):
    fitted = fit_label_offsets(run, answered_as_labels(run, faces, -2.0), quiet=True)
    wanted = fitted.predict(faces.images[:5])
    made = exported_model(run_in_float32(fitted), "full")
    np.testing.assert_allclose(made(faces.images[:5])["keypoints"], wanted, atol=1e-3)
    packed = load_run(kfkd.pack(fitted, tmp_path / "packed"))
    np.testing.assert_allclose(packed.predict(faces.images[:5]), wanted, atol=0.05)


@pytest.mark.parametrize("wrong", [[[1.0, 2.0]], [[1.0]] * 15, [[1e5, 0.0]] * 15])
def test_offsets_of_other_points_are_refused(run, faces, wrong):
    record = read_json(run.folder / "run.json")
    record["subsets"]["all"]["label_offset"] = wrong
    save_record(run.folder, record)
    with pytest.raises(RunError, match="label_offset of all wants 15 pairs"):
        load_run(run.folder).predict(faces.images[:2])


def test_faces_of_other_points_are_refused(run, faces):
    own = own_skeleton(["left_eye", "right_eye", "tip"])
    with pytest.raises(DataError, match="the data has 3 of"):
        fit_label_offsets(run, replace(faces, keypoints=faces.keypoints[:, :3], skeleton=own))


def test_each_label_source_has_its_own_and_the_packaged_run_has_them():
    offset = load_run("pyramid").label_offset("all")
    assert offset.shape == (19, 2)
    assert len({*offset[:15, 0].tolist()}) == len({*offset[15:, 0].tolist()}) == 1
    assert 0.1 < offset[0, 0] < 0.6 < offset[15, 0] < 1.6
    assert not offset[:, 1].any()
