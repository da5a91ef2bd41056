"""kfkd detect: from photos to keypoints, and what it writes."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kfkd
from kfkd.bench.crops import bench_crops
from kfkd.bench.detect import figures_table
from kfkd.cli import main
from kfkd.crops import CropRule, rule_from
from kfkd.detecting_video import detect_video
from kfkd.drawing.photo_pictures import draw_faces
from kfkd.errors import DataError, KfkdError, RunError, WriteError
from kfkd.pipelines.detectors import Detector
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.pipelines.video import Frames
from kfkd.runs import Run

pytestmark = pytest.mark.usefixtures("tiny_zoo", "undrawn")

PLACES = ((40, 60, 1), (300, 20, 2))
"""x, y of a face's image in the photo, and how many times as large it is there."""

EXACT = CropRule("exact", (96, 96), True, {"mtcnn": (0, 0, 1)})
"""The crop is the box."""


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(60, seed=3)


@pytest.fixture(scope="module")
def run(tiny_zoo, tmp_path_factory, faces):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    made = kfkd.train("tiny", faces, subsets=["all"], epochs=2, out=folder, quiet=True)
    made.record["crop"] = EXACT.as_dict()
    (folder / "run.json").write_text(json.dumps(made.record))
    return kfkd.load_run(folder)


@pytest.fixture(scope="module")
def photo(faces):
    """Two built-in faces in a grey photo, the second at twice its size."""
    pixels = np.full((300, 600, 3), 128, np.uint8)
    for (x, y, size), image in zip(PLACES, faces.images[:2], strict=True):
        grown = np.repeat(np.repeat(image, size, axis=0), size, axis=1)
        pixels[y : y + 96 * size, x : x + 96 * size] = grown
    return pixels


def box_of(x, y, size):
    """The box whose crop is the pasted image to the pixel: x + w/2 is its middle."""
    return (x + 47.5 * size + (size - 1) / 2 - 48 * size, y - 0.5, 96.0 * size, 96.0 * size)


BOXES = [box_of(*place) for place in PLACES]


def in_photo(points, x, y, size):
    return (points + 0.5) * size - 0.5 + (x, y)


def test_keypoints_come_back_in_the_photos_pixels(run, photo, faces):
    (found,) = kfkd.detect(run, photo, detector="box", boxes=BOXES, quiet=True)
    assert found.size == (600, 300)
    assert np.array([face.box for face in found.faces]) == pytest.approx(np.array(BOXES))
    for face, place, image in zip(found.faces, PLACES, faces.images[:2], strict=True):
        expected = in_photo(run.predict(image[None])[0], *place)
        assert np.abs(face.keypoints - expected).max() < 0.6 * place[2]
        assert face.names == run.skeleton.points
        assert face.roll == 0


def test_a_photo_turned_has_its_keypoints_turned(run, photo, faces):
    """Landmarks turn the crop: what the model sees, and so what it says, stays the same."""
    template = np.array([[30.0, 37], [66, 37], [48, 58], [33, 74], [63, 74]])
    rule = CropRule("marked", (96, 96), True, {"mtcnn": (0, 0, 1)}, {"mtcnn": template})
    marked = Run(run.folder, {**run.record, "crop": rule.as_dict()}, run._models)
    x, y, size = PLACES[1]
    marks = in_photo(template, x, y, size)
    turned = np.ascontiguousarray(np.rot90(photo, -1))  # (x, y) → (height − 1 − y, x)
    there = np.stack([photo.shape[0] - 1 - marks[:, 1], marks[:, 0]], axis=1)

    def face_with(landmarks):
        box = (*landmarks.min(0), *np.ptp(landmarks, axis=0))
        return lambda images: [[kfkd.crops.Face(box, 0.9, landmarks)] for _ in images]

    import kfkd.crops

    upright = kfkd.detect(marked, photo, detector=face_with(marks))[0].faces[0]
    sideways = kfkd.detect(marked, turned, detector=face_with(there))[0].faces[0]
    expected = np.stack(
        [photo.shape[0] - 1 - upright.keypoints[:, 1], upright.keypoints[:, 0]], axis=1
    )
    assert sideways.roll == pytest.approx(90)
    assert np.abs(sideways.keypoints - expected).max() < 0.6


def test_refining_turns_by_the_predicted_eyes(run, photo, monkeypatch):
    seen = []

    def predict(self, images, *_, **__):
        seen.append(images)
        points = np.full((len(images), 15, 2), 48, np.float32)
        points[:, 0], points[:, 1] = (68, 60), (28, 40)  # eyes that are turned by 26.6°
        return points

    monkeypatch.setattr(Run, "predict", predict)
    (found,) = kfkd.detect(run, photo, detector="box", boxes=BOXES[:1], refine=1)
    assert found.faces[0].roll == pytest.approx(np.degrees(np.arctan2(20, 40)), abs=1e-3)
    assert len(seen) == 2
    assert (seen[0] != seen[1]).any()


def test_all_faces_or_the_biggest_and_scores(run, photo):
    def find(images):
        scores = (0.9, 0.4)
        pairs = zip(BOXES, scores, strict=True)
        return [[kfkd.crops.Face(box, score) for box, score in pairs] for _ in images]

    (both,) = kfkd.detect(run, photo, detector=find)
    (biggest,) = kfkd.detect(run, photo, detector=find, faces="biggest")
    (surest,) = kfkd.detect(run, photo, detector=find, least_score=0.5)
    assert [face.score for face in both.faces] == [0.4, 0.9]  # the biggest first
    assert [face.score for face in biggest.faces] == [0.4]
    assert [face.score for face in surest.faces] == [0.9]
    (given,) = kfkd.detect(run, photo, detector="box", boxes=BOXES, faces="biggest")
    assert [face.box for face in given.faces] == [BOXES[1]]
    with pytest.raises(KfkdError, match="all or biggest"):
        kfkd.detect(run, photo, detector=find, faces="some")


def test_a_reduced_photo_gives_keypoints_of_the_whole_one(run, photo, monkeypatch):
    (whole,) = kfkd.detect(run, photo, detector="box", boxes=BOXES[1:])
    monkeypatch.setattr("kfkd.pipelines.photos.MOST_PIXELS", 50_000)
    from kfkd.pipelines import photo_reading, photos

    monkeypatch.setattr(photo_reading, "read_photo", lambda s: photos.read_photo(s, 50_000))
    (small,) = kfkd.detect(run, photo, detector="box", boxes=BOXES[1:])
    assert small.size == whole.size == (600, 300)
    assert small.faces[0].box == pytest.approx(whole.faces[0].box)
    assert np.abs(small.faces[0].keypoints - whole.faces[0].keypoints).max() < 6


def save(folder, photo, names=("one.png", "two.jpg")):
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(photo).save(folder / name)
    return folder


def test_the_command_writes_json_csv_and_pictures(run, photo, tmp_path, capsys):
    folder, out = save(tmp_path / "photos", photo), tmp_path / "out"
    flags = [v for box in BOXES for v in ("--box", *map(str, box))]
    code = main(["detect", str(run.folder), str(folder), "--out", str(out), "--json", *flags])
    assert code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "faces.json").read_text())
    assert [Path(p["path"]).name for p in printed] == ["one.png", "two.jpg"]
    nose = printed[0]["faces"][0]["keypoints"]["nose_tip"]
    with (out / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(Path(r["file"]).name, r["face"]) for r in rows] == [
        (name, number) for name in ("one.png", "two.jpg") for number in "12"
    ]
    assert [float(rows[0]["nose_tip_x"]), float(rows[0]["nose_tip_y"])] == nose
    assert sorted(p.name for p in out.iterdir()) == [
        "faces.csv",
        "faces.json",
        "one.faces.jpg",
        "two.faces.jpg",
    ]
    assert [p["picture"] for p in printed] == ["one.faces.jpg", "two.faces.jpg"]
    drawn = np.asarray(Image.open(out / "one.faces.jpg"))
    assert drawn.shape == (320, 640, 3)
    assert (drawn != np.asarray(Image.fromarray(photo).resize((640, 320)))).any()


def test_drawn_photos_never_replace_one_another_or_the_photos(run, photo, tmp_path):
    folder = save(tmp_path / "photos", photo, ("a.png", "a.jpg"))
    before = (folder / "a.jpg").read_bytes()
    for _ in range(2):  # the second time, the folder holds drawn photos too
        found = kfkd.detect(run, folder, detector="box", boxes=BOXES, out=folder, quiet=True)
        assert [face.picture for face in found] == ["a.faces.jpg", "a-2.faces.jpg"]
    assert (folder / "a.jpg").read_bytes() == before
    assert {p.name for p in folder.glob("*.faces.jpg")} == {"a.faces.jpg", "a-2.faces.jpg"}


def test_all_that_is_written_goes_into_the_users_folder(run, photo, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    kfkd.detect(run, photo, detector="box", boxes=BOXES, out="~/found", quiet=True)
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert names == {"faces.json", "faces.csv", "photo-1.faces.jpg"}
    write_video(tmp_path / "film.avi", [photo])
    film = detect_video(run, "~/film.avi", "~/film", detector="box", boxes=BOXES, quiet=True)
    assert film.table == tmp_path / "film" / "keypoints.csv" and film.table.is_file()


def test_a_name_that_is_not_utf8_loses_nothing(run, photo, tmp_path, capsys):
    name = b"caf\xe9.png"
    path = tmp_path / os.fsdecode(name)
    try:
        path.touch()
    except OSError:
        pytest.skip("this system takes no such names")
    Image.fromarray(photo).save(path)
    box = ["--box", *map(str, BOXES[0]), "--out", str(tmp_path / "out")]
    assert main(["detect", str(run.folder), str(tmp_path), *box]) == 0
    assert "caf\\udce9.png: 1 face" in capsys.readouterr().out
    (told,) = json.loads((tmp_path / "out" / "faces.json").read_text())
    assert Path(told["path"]) == path
    assert (tmp_path / "out" / told["picture"]).is_file()
    table = (tmp_path / "out" / "faces.csv").read_bytes()
    assert table.splitlines()[1].startswith(os.fsencode(path) + b",1,")


def test_no_face_is_an_answer(run, photo, tmp_path, capsys):
    folder = save(tmp_path / "photos", np.zeros((60, 60, 3), np.uint8), ("dark.png",))
    assert kfkd.detect(run, folder, detector="haar", quiet=True)[0].faces == ()
    out = str(tmp_path / "out")
    assert main(["detect", str(run.folder), str(folder), "--detector", "haar", "--out", out]) == 0
    printed = capsys.readouterr()
    assert "dark.png: no face" in printed.out
    assert "1 without a face" in printed.err
    assert (tmp_path / "out" / "dark.faces.jpg").is_file()


def test_a_broken_file_is_named_and_the_rest_goes_on(run, photo, tmp_path, capsys):
    folder = save(tmp_path / "photos", photo, ("a.png", "c.png", "d.png"))
    (folder / "b.jpg").write_text("no picture")
    box = ["--box", *map(str, BOXES[0])]
    found = ["detect", str(run.folder), str(folder), str(tmp_path / "absent.png"), *box]
    assert main(found) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err.count("left out: ") == 2
    assert "b.jpg: is no image" in printed.err
    assert "absent.png: cannot be read as an image: there is no such file" in printed.err
    with_errors = kfkd.detect(run, folder, detector="box", boxes=BOXES, quiet=True)
    assert [bool(photo.error) for photo in with_errors] == [False, True, False, False]
    assert "error" in with_errors[1].as_dict()


def test_a_box_outside_its_photo_is_named_and_the_rest_goes_on(run, photo, tmp_path, capsys):
    folder = save(tmp_path / "photos", photo)
    Image.fromarray(photo[:60, :40]).save(folder / "small.png")
    box = ["--box", "300", "20", "80", "90"]
    assert main(["detect", str(run.folder), str(folder), *box, "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert [len(photo["faces"]) for photo in found] == [1, 0, 1]
    outside = "small.png: the box [300.0, 20.0, 80.0, 90.0] (x, y, width, height) lies outside"
    assert f"{outside} the photo of 40 × 60 pixels" in found[1]["error"]
    assert shown.err.count("left out") == 2 and outside in shown.err
    with pytest.raises(DataError, match=r"photo 1: the box .* lies outside"):
        kfkd.detect(run, photo, detector="box", boxes=[BOXES[0], (5000, 5000, 50, 50)])


def test_ctrl_c_keeps_the_tables_of_what_was_looked_at(run, photo, tmp_path, capsys):
    for name in "abc":
        Image.fromarray(photo).save(tmp_path / f"{name}.png")

    def looked_at(images):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(images))
        return [BOXES for _ in images]

    seen = []
    out = tmp_path / "found"
    with pytest.raises(KeyboardInterrupt):
        kfkd.detect(run, tmp_path, detector=looked_at, batch_size=1, out=out)
    assert len(json.loads((out / "faces.json").read_text())) == 2
    assert f"the first 2 photos is in {out}" in capsys.readouterr().err


def test_photos_of_kinds_that_cannot_be_read_are_named(run, photo, tmp_path, capsys):
    Image.fromarray(photo).save(tmp_path / "good.png")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0 ftypheic" + bytes(80))
    (tmp_path / "notes.txt").write_text("no photo")
    found = kfkd.detect(run, tmp_path, detector="box", boxes=BOXES)
    assert [bool(photo.error) for photo in found] == [False, True]
    assert "left out" in (told := capsys.readouterr().err) and "phone.heic" in told


def test_boxes_by_file_and_of_a_data_set(run, layouts, tmp_path, capsys):
    folder = layouts.write_ibug(tmp_path / "ibug", count=3)
    photos = kfkd.load_photos("ibug", folder, quiet=True)
    first, *others = dict.fromkeys(photos.paths)
    by_file = {first: [(4, 5, 20, 22), (30, 9, 21, 20)]}
    found = kfkd.detect(run, [first, *others], detector="box", boxes=by_file, quiet=True)
    assert [len(photo.faces) for photo in found] == [2, *(0 for _ in others)]
    assert all("no box is given for this photo" in photo.error for photo in found[1:])
    assert main(["detect", str(run.folder), "--boxes", f"ibug:{folder}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    boxes = np.array([face["box"] for photo in told for face in photo["faces"]])
    assert boxes == pytest.approx(photos.boxes, abs=0.01)
    for flags, message in (
        (["--boxes", "nothing"], "wants NAME:PATH"),
        (["--boxes", f"ibug:{folder}", "--box", "0", "0", "9", "9"], "goes without --box"),
        (["--boxes", f"imm:{layouts.write_imm(tmp_path / 'imm')}"], "gives no boxes"),
        (["--boxes", f"ibug:{folder}", "--detector", "haar"], "boxes belong"),
    ):
        assert main(["detect", str(run.folder), *flags]) == 2
        assert message in capsys.readouterr().err


def test_a_photo_that_is_not_there_is_named(capsys):
    assert main(["detect", "absent.jpg"]) == 2
    assert capsys.readouterr().err == "kfkd: absent.jpg: there is no such photo, and no such run\n"


def test_a_first_photo_that_is_not_there_is_left_out(run, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("kfkd.pretrained.pretrained_runs", lambda: [str(run.folder)])
    path = save(tmp_path, photo, ("ok.png",)) / "ok.png"
    assert main(["detect", "absent.jpg", str(path), "--box", *map(str, BOXES[0])]) == 0
    shown = capsys.readouterr()
    assert "ok.png: 1 face" in shown.out
    assert "left out: absent.jpg: cannot be read as an image" in shown.err


def test_photos_of_pillow_and_none_at_all(run, photo):
    boxes = {"detector": "box", "boxes": BOXES}
    given = [photo, Image.fromarray(photo)]
    one, other = kfkd.detect(run, given, **boxes)
    assert (other.path, other.size) == ("photo 2", (600, 300))
    for face, same in zip(one.faces, other.faces, strict=True):
        assert face.keypoints == pytest.approx(same.keypoints, abs=1e-3)
    with pytest.raises(DataError, match="at least one"):
        kfkd.detect(run, np.zeros((0, 10, 10, 3), np.uint8), **boxes)


def test_nothing_but_broken_files_is_a_failure(run, tmp_path, capsys):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("no picture")
    flags = ["--box", "0", "0", "9", "9"]
    assert main(["detect", str(run.folder), str(tmp_path), *flags]) == 2
    assert "none of 2 photos" in capsys.readouterr().err
    assert main(["detect", str(run.folder), str(tmp_path / "a.jpg"), *flags]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["a.jpg", "--video", "0"],
        ["a.jpg", "--detector", "nothing"],
        ["a.jpg", "--detector", "box"],
        ["a.jpg", "--box", "0", "0", "0", "5"],
        ["a.jpg", "--box", "0", "0", "1e-300", "1e-300"],
        ["a.jpg", "--box", "0", "0", "1e300", "1e300"],
        ["a.jpg", "--box", "900", "0", "10", "10"],
        ["a.jpg", "--detector", "haar", "--refine", "-1"],
        ["a.jpg", "--detector", "haar", "--batch-size", "0"],
        ["--video", "absent.mp4", "--detector", "haar"],
        ["a.jpg", "--detector", "haar", "--out", "taken"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_said_in_one_line(run, photo, flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(save(tmp_path / "here", photo, ("a.jpg",)))
    Path("taken").touch()
    assert main(["detect", str(run.folder), *flags]) == 2
    assert capsys.readouterr().err.startswith("kfkd: ")


def test_unfinished_runs_and_strange_models_are_refused(run, photo):
    unfinished = Run(run.folder, {**run.record, "status": "running"})
    with pytest.raises(RunError, match="not finished"):
        kfkd.detect(unfinished, photo)
    strange = Run(run.folder, {**run.record, "crop": {"name": "broken"}}, run._models)
    with pytest.raises(KfkdError, match="no crop rule"):
        kfkd.detect(strange, photo)


def test_points_far_outside_do_not_break_the_drawing(photo):
    points = np.array([[1e12, 0], [np.nan, np.nan], [-5, -5], [50, 50]], np.float32)
    face = kfkd.detections.DetectedFace((-50, -50, 5000, 5000), 1.0, points, ("a", "b", "c", "d"))
    assert draw_faces(photo, [face]).shape == (320, 640, 3)
    assert draw_faces(np.zeros((1, 1, 3), np.uint8), []).shape == (8, 8, 3)
    assert draw_faces(photo, [face], fit=False).shape == photo.shape


def write_video(path, frames, rate=5.0):
    import cv2

    size = (frames[0].shape[1], frames[0].shape[0])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, size)
    if not writer.isOpened():
        pytest.skip("OpenCV writes no videos here")
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()


def test_a_video_gives_a_table_and_a_video(run, photo, tmp_path, capsys, monkeypatch):
    film, out = tmp_path / "film.avi", tmp_path / "out"
    write_video(film, [photo] * 5)
    flags = ["--out", str(out), "--box", *map(str, BOXES[0]), "--batch-size", "2", "--json"]
    assert main(["detect", str(run.folder), "--video", str(film), *flags]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["frames"], made["faces"], made["without_face"]) == (5, 5, 0)
    with (out / "keypoints.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == list("12345")
    assert [float(row["seconds"]) for row in rows] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    if made["video"]:
        assert Path(made["video"]).stat().st_size > 1000
    monkeypatch.setattr(Frames, "__iter__", lambda frames: iter(()))
    with pytest.raises(DataError, match="no frame"):
        detect_video(run, film, out, detector="haar")
    assert len((out / "keypoints.csv").read_text().splitlines()) == 6  # the earlier one is kept


def test_ctrl_c_ends_a_video_with_what_was_found(run, photo, tmp_path, capsys):
    write_video(tmp_path / "film.avi", [photo] * 5)
    asked = []

    def find(images):
        asked.append(len(images))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return [[BOXES[0]] for _ in images]

    made = detect_video(run, tmp_path / "film.avi", tmp_path, detector=find, batch_size=2)
    assert made.frames == 4
    assert len(made.table.read_text().splitlines()) == 5
    assert "stopped after 4 frames" in capsys.readouterr().err


def test_a_video_cut_short_is_said_to_be(run, photo, tmp_path, capsys):
    film = tmp_path / "film.avi"
    write_video(film, [photo] * 12)
    boxes = {"detector": "box", "boxes": BOXES[:1]}
    assert detect_video(run, film, tmp_path / "out", **boxes).frames == 12
    assert detect_video(run, film, tmp_path / "out", most_frames=3, **boxes).frames == 3
    assert "cut short" not in capsys.readouterr().err
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) * 6 // 10])
    made = detect_video(run, film, tmp_path / "out", **boxes)
    assert 0 < made.frames < 11
    told = capsys.readouterr().err
    assert f"film.avi: only {made.frames} of its 12 frames are there: it was cut short\n" in told


def test_frames_go_together_as_far_as_memory_allows(run, photo, tmp_path, monkeypatch):
    monkeypatch.setattr("kfkd.pipelines.photo_reading._CHUNK_PIXELS", 2 * 600 * 300)
    write_video(tmp_path / "film.avi", [photo] * 5)
    asked = []

    def find(images):
        asked.append(len(images))
        return [None for _ in images]

    made = detect_video(run, tmp_path / "film.avi", tmp_path, detector=find, quiet=True)
    assert (made.frames, made.empty, asked) == (5, 5, [2, 2, 1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size wants 1 or more. Received: 0"),
        ({"batch_size": -1}, "batch_size wants 1 or more. Received: -1"),
        ({"most_frames": -1}, "most_frames wants 1 or more. Received: -1"),
        ({"detector": "box", "boxes": [(700, 0, 50, 50)]}, "lies outside"),
    ],
)
def test_a_good_video_is_not_blamed_for_settings(run, photo, tmp_path, settings, message):
    write_video(tmp_path / "film.avi", [photo])
    with pytest.raises(KfkdError, match=message):
        detect_video(run, tmp_path / "film.avi", tmp_path, **{"detector": "haar"} | settings)
    assert not (tmp_path / "keypoints.csv").exists()


def test_names_that_end_opencv_are_refused(run, photo, tmp_path):
    film, odd = tmp_path / "film.avi", tmp_path / os.fsdecode(b"caf\xe9.avi")
    write_video(film, [photo])
    try:
        odd.write_bytes(film.read_bytes())
    except OSError:
        pytest.skip("this system takes no such names")
    with pytest.raises(DataError, match="not UTF-8"):
        detect_video(run, odd, tmp_path / "out", detector="haar")
    with pytest.raises(WriteError, match="not UTF-8"):
        detect_video(run, film, odd.with_suffix(""), detector="haar")


def test_what_is_no_video_leaves_nothing(run, tmp_path):
    (tmp_path / "film.mp4").write_text("no video")
    with pytest.raises(DataError, match="no video"):
        detect_video(run, tmp_path / "film.mp4", tmp_path / "out", detector="haar")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def real_photos():
    data = Path(os.environ.get("KFKD_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    folder = data / "photos"
    if not folder.is_dir():
        pytest.skip(f"no photos at {folder}; set KFKD_TEST_DATA to a folder with them")
    return folder


FACES = {"fawzia.jpg": 1, "james.jpg": 1, "mona_lisa.jpg": 1, "obamas.jpg": 2, "the_beatles.jpg": 4}


@pytest.mark.real
@pytest.mark.parametrize("name", ["mtcnn", "haar"])
def test_detectors_find_the_faces_of_real_photos(run, real_photos, name):
    found = kfkd.detect(run, real_photos, detector=name, quiet=True)
    counts = {Path(p.path).name: len(p.faces) for p in found}
    more = {"haar": {"fawzia.jpg": 2}}.get(name, {})  # it takes cloth for a face, too
    assert counts == {**FACES, **more}
    alone = kfkd.detect(run, real_photos / "james.jpg", detector=name)
    assert alone[0].faces[0].box == pytest.approx(found[1].faces[0].box, abs=0.5)
    if name == "mtcnn":
        assert found[0].faces[0].roll < -8  # fawzia holds her head to one side


@pytest.mark.real
def test_the_bench_counts_and_times(real_photos, capsys):
    flags = ["--detectors", "haar", "--model", "tiny", "--rounds", "1", "--most", "3"]
    assert main(["bench", "detect", "--photos", str(real_photos), *flags, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    made = figures["detectors"]["haar"]
    (row,) = made["folders"].values()
    assert (row["photos"], row["found"], row["missed"]) == (3, 3, 0)
    assert min(row["photos_per_s"], row["against_one_by_one"], row["against_recipe"]) > 0
    assert 0 < made["one_photo"]["after_share"] < 1
    assert "one photo of a megapixel" in figures_table(figures)


def test_a_crop_rule_is_measured_into_a_table(faces, tmp_path, monkeypatch):
    def seeing(name):
        return Detector(name, lambda images: [[(58, 68, 70, 80)] for _ in images])

    monkeypatch.setattr("kfkd.bench.crops.detector", seeing)
    table = tmp_path / "rules.json"
    table.write_text('{"other": {}}')
    made = bench_crops(faces, ["mtcnn", "haar"], table, quiet=True)
    kept = json.loads(table.read_text())
    assert set(kept) == {"other", faces.origin}
    assert kept[faces.origin] == made
    assert rule_from(made).frame("haar") == rule_from(made).frame("mtcnn")
    assert made["measured"]["detectors"]["haar"]["found"] == len(faces)
    with pytest.raises(KfkdError, match="wants mtcnn"):
        bench_crops(faces, ["haar"])
