"""Predictions on faces of photos: back in the photos' own pixels, by file, and the course's CSV."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import numpy as np
import pytest

import kfkd
from kfkd.cli import main
from kfkd.errors import KfkdError
from kfkd.photo_places import PhotoPlaces
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.prediction import write_course_predictions, write_predictions

pytestmark = pytest.mark.usefixtures("undrawn")

# Photos of several sizes; boxes inside, and beyond each edge.
ODD = (
    ("lfpw/trainset/a.jpg", (64, 48), (10, 8, 40, 30)),
    ("lfpw/trainset/b.jpg", (90, 70), (-20, -12, 50, 44)),
    ("helen/c.jpg", (50, 120), (25, 80, 60, 61)),
    ("ibug/d.jpg", (333, 211), (100, -30, 200, 180)),
)


@pytest.fixture(scope="module")
def odd(layouts, tmp_path_factory):
    """A training file with points, and the course's test file of the same photos without."""
    folder, labelled, bare = tmp_path_factory.mktemp("ibug"), [], []
    for seed, (name, (width, height), box) in enumerate(ODD):
        layouts.photo(folder / name, width, height, seed)
        points = layouts.points_of(seed, 68, width, height)
        image = f'<image file="{name}" width="{width}" height="{height}">'
        labelled.append(f"{image}{layouts.box_xml(points, box)}</image>")
        bare.append(f"{image}{layouts.box_xml([], box)}</image>")
    for name, images in (("train", labelled), ("test_parsed", bare)):
        text = f"<dataset><images>{''.join(images)}</images></dataset>"
        (folder / f"labels_ibug_300W_{name}.xml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def truth(odd):
    """The labels in pixels of the photos, (4, 68, 2)."""
    return kfkd.load_photos("ibug", odd, quiet=True).keypoints


@pytest.mark.parametrize("lazy", [False, True])
def test_labels_come_back_from_their_crops(odd, truth, lazy):
    faces = kfkd.load_faces("ibug", odd, size=(96, 128), lazy=lazy, quiet=True)
    assert faces.photos.files.tolist() == [name for name, *_ in ODD]
    back = faces.photos.to_photo(faces.keypoints)
    assert np.abs(back - truth).max() < 0.01
    assert np.abs(faces.photos.to_crop(back) - faces.keypoints).max() < 0.01
    picked = faces[[3, 1]]
    assert picked.photos.files.tolist() == ["ibug/d.jpg", "lfpw/trainset/b.jpg"]
    assert np.abs(picked.photos.to_photo(picked.keypoints) - truth[[3, 1]]).max() < 0.01


def test_files_are_called_as_their_data_set_calls_them(layouts, tmp_path, monkeypatch):
    layouts.write_imm(tmp_path / "imm", persons=1, poses=2)
    layouts.write_youtube(tmp_path / "youtube", frames=1)
    monkeypatch.chdir(tmp_path)
    found = {
        path: kfkd.load_faces(name, path, quiet=True).photos.files.tolist()
        for name, path in (("imm", tmp_path / "imm"), ("youtube_faces", "youtube"))
    }
    assert found == {
        tmp_path / "imm": ["01-1m.jpg", "01-2m.jpg"],
        "youtube": ["training/Ann_Lee_00.jpg", "training/Bob_01.jpg"],
    }


def test_places_of_faces_that_are_cropped_once_more():
    places = PhotoPlaces(np.array(["a"], object), np.array([[[2, 0, 1], [0, 3, -1.0]]]))
    again = np.array([[[0.5, 0, 4], [0, 1, 7.0]]])
    point = np.array([[[11.0, 13.0]]])
    twice = places.then(again).to_crop(point)
    np.testing.assert_allclose(twice[0, 0], [(2 * 11 + 1) / 2 + 4, 3 * 13 - 1 + 7])
    np.testing.assert_allclose(places.then(again).to_photo(twice), point)


def test_faces_that_a_detector_cropped_anew_and_copies(odd, truth):
    from kfkd.augment import copied
    from kfkd.pipelines.detectors import detector
    from kfkd.pipelines.face_box import cropped

    faces = kfkd.load_faces("ibug", odd, size=(96, 96), quiet=True)
    # Around the middle of the images, which are continued at their edges by half their side.
    find = detector(lambda images: [[(48 + 20, 48 + 24, 60, 52)] for _ in images])
    made = cropped(faces, find).faces
    back = made.photos.to_photo(made.keypoints)
    inside = made.labelled
    assert inside.sum() > 0 and np.abs(back - truth)[inside].max() < 0.01
    assert copied(faces, "original").photos is None


def test_other_faces_have_no_photos_and_numbers_must_fit(odd):
    assert synthetic_faces(3).photos is None and synthetic_faces(3)[:2].photos is None
    faces = kfkd.load_faces("ibug", odd, size=(24, 24), quiet=True)
    with pytest.raises(KfkdError, match=r"photos of 4 faces. Received: 3"):
        replace(faces, photos=faces.photos[:3])
    with pytest.raises(KfkdError, match=r"matrices \(n, 2, 3\)"):
        PhotoPlaces(faces.photos.files, faces.photos.matrices[:2])


def test_the_table_is_in_pixels_of_the_photos(odd, truth, tmp_path):
    faces = kfkd.load_faces("ibug", odd, size=(96, 96), quiet=True)
    predicted = faces.keypoints.copy()
    predicted[2, 5] = np.nan
    with write_predictions(tmp_path / "p.csv", faces, predicted).open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", *faces.skeleton.columns]
    assert [row[0] for row in rows] == [name for name, *_ in ODD]
    assert rows[2][11:13] == ["", ""]
    values = np.array([[float(v or "nan") for v in row[1:]] for row in rows]).reshape(truth.shape)
    # As the data set's own file counts pixels, from 1.
    assert np.nanmax(np.abs(values - (truth + 1))) < 0.01
    own = replace(faces, origin="own")
    with write_predictions(tmp_path / "own.csv", own, predicted).open(newline="") as file:
        first = next(csv.DictReader(file))
    assert float(first[faces.skeleton.columns[0]]) == pytest.approx(truth[0, 0, 0], abs=0.01)


def test_the_courses_file_is_a_row_a_number(odd, truth, tmp_path):
    faces = kfkd.load_faces("ibug", odd, size=(96, 96), quiet=True)
    path = write_course_predictions(tmp_path / "c.csv", faces, faces.keypoints)
    lines = path.read_text().splitlines()
    assert lines[0] == "Id,Predicted" and len(lines) == 1 + 4 * 68 * 2
    numbers, values = zip(*(line.split(",") for line in lines[1:]), strict=True)
    assert list(map(int, numbers)) == list(range(4 * 68 * 2))
    # Image by image, point by point, x then y, as the XML has them.
    assert np.abs(np.array(values, float) - (truth + 1).ravel()).max() < 0.01
    xml = (odd / "labels_ibug_300W_train.xml").read_text()
    in_xml = [int(v) for pair in re.findall(r'x="(\d+)" y="(\d+)"', xml) for v in pair]
    assert np.abs(np.array(values, float) - in_xml).max() < 0.01


def test_the_courses_file_of_images_that_are_no_crops(tmp_path):
    faces = synthetic_faces(2)
    points = np.arange(60, dtype=np.float32).reshape(2, 15, 2)
    lines = write_course_predictions(tmp_path / "c.csv", faces, points).read_text().splitlines()
    assert lines[1:4] == ["0,0.0000", "1,1.0000", "2,2.0000"] and lines[-1] == "59,59.0000"


def test_the_courses_file_wants_every_point_and_one_face_a_photo(odd, tmp_path):
    faces = kfkd.load_faces("ibug", odd, size=(24, 24), quiet=True)
    some = faces.keypoints.copy()
    some[:, 3:5] = np.nan
    with pytest.raises(KfkdError, match="wants all 68 keypoints of every image; 2 of them"):
        write_course_predictions(tmp_path / "c.csv", faces, some)
    twice = faces[[0, 1, 1]]
    with pytest.raises(KfkdError, match=r"wants one face a photo. Received: 1 more"):
        write_course_predictions(tmp_path / "c.csv", twice, twice.keypoints)
    assert not (tmp_path / "c.csv").exists()


def test_the_courses_file_wants_a_face_of_every_image(odd, layouts, tmp_path):
    layouts.photo(odd / "ibug" / "none.jpg", 64, 48, 9)
    xml = (odd / "labels_ibug_300W_train.xml").read_text()
    file = odd / "labels_ibug_300W_faceless.xml"
    file.write_text(xml.replace("<images>", '<images><image file="ibug/none.jpg"/>'))
    faces = kfkd.load_faces("ibug", file, size=(24, 24), quiet=True)
    assert len(faces) == len(ODD) and faces[:2].photos.faceless == ("ibug/none.jpg",)
    message = r"a face of every image, .* Received: ibug/none.jpg without a box \(1 such images in "
    with pytest.raises(KfkdError, match=message):
        write_course_predictions(tmp_path / "c.csv", faces, faces.keypoints)
    assert not (tmp_path / "c.csv").exists()
    write_predictions(tmp_path / "p.csv", faces, faces.keypoints)


def test_predicting_the_courses_test_images_from_the_command_line(odd, tmp_path, tiny_zoo, capsys):
    run, table, course = tmp_path / "run", tmp_path / "p.csv", tmp_path / "c.csv"
    kfkd.train("tiny", f"ibug:{odd}", subsets="all", epochs=1, validation=0.5, out=run, quiet=True)
    asked = ["predict", str(run), "--data", f"ibug:{odd / 'labels_ibug_300W_test_parsed.xml'}"]
    assert main([*asked, "--quiet", "--out", str(table)]) == 0
    assert main([*asked, "--quiet", "--out", str(course), "--format", "course"]) == 0
    header, *rows = csv.reader(table.read_text().splitlines())
    assert header[0] == "file" and [row[0] for row in rows] == [name for name, *_ in ODD]
    flat = [value for row in rows for value in row[1:]]
    numbers = [line.split(",")[1] for line in course.read_text().splitlines()[1:]]
    assert numbers == flat
    # The same as the Python functions give, by way of the crops; the XML counts from 1.
    faces = kfkd.load_faces("ibug", odd, size=(96, 96), channels=1, quiet=True)
    found = faces.photos.to_photo(kfkd.predict(run, faces))
    assert np.abs(np.array(flat, float) - found.ravel() - 1).max() < 0.001
