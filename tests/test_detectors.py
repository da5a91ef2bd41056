"""Face detectors and crops: one interface, geometry there and back, crop rules."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfkd.crop_maps import crop_matrix, inverse, place, roll_of, scaled_points
from kfkd.crops import CropRule, Face, rule_from
from kfkd.errors import KfkdError, UnknownName
from kfkd.faces import FaceSet
from kfkd.pipelines.crop_frames import cut_anew, with_boxes_of
from kfkd.pipelines.crop_rules import crop_rule, crop_rule_of, fit_rule
from kfkd.pipelines.cropping import crop_faces
from kfkd.pipelines.detector_mtcnn import batches
from kfkd.pipelines.detector_yunet import face_of_row
from kfkd.pipelines.detectors import Detector, detector
from kfkd.pipelines.photo_faces import crop_matrices
from kfkd.pipelines.photo_sources import KINDS, load_photos
from kfkd.pipelines.synthetic import synthetic_faces

UPRIGHT = np.array([[30.0, 37], [66, 37], [48, 58], [33, 74], [63, 74]])
RULE = CropRule("test", (96, 96), True, {"mtcnn": (0.01, -0.02, 1.1), "haar": (0, 0, 1)})
MARKED = CropRule("test", (96, 96), True, {"mtcnn": (0, 0, 1)}, {"mtcnn": UPRIGHT})


def turned(points, degrees, size, centre):
    """Points of a 96 × 96 crop in a photo where the face is turned clockwise."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - 47.5) @ turn.T * size + centre


def tilted(degrees=0.0, size=1.0, centre=(200.0, 150.0)):
    marks = turned(UPRIGHT, degrees, size, centre)
    return Face((centre[0] - 40 * size, centre[1] - 50 * size, 80 * size, 100 * size), 1.0, marks)


@given(
    degrees=st.floats(-80, 80),
    size=st.floats(0.2, 30),
    x=st.floats(-50, 4000),
    y=st.floats(-50, 4000),
    marked=st.booleans(),
    scale=st.integers(1, 5),
)
@settings(deadline=None)
def test_photo_to_crop_to_photo_comes_back(degrees, size, x, y, marked, scale):
    face = tilted(degrees, size, (x, y))
    matrix = crop_matrix(face, MARKED if marked else RULE)
    points = np.random.default_rng(0).uniform(-100, 4000, (20, 2))
    assert np.abs(place(inverse(matrix), place(matrix, points)) - points).max() < 0.05
    assert np.abs(scaled_points(scaled_points(points, 1 / scale), scale) - points).max() < 0.05
    assert roll_of(matrix) == pytest.approx(degrees, abs=1e-6)


@given(degrees=st.floats(-170, 170), size=st.floats(0.2, 30), scale=st.integers(1, 8))
@settings(deadline=None)
def test_landmarks_land_where_the_data_set_has_them(degrees, size, scale):
    face = tilted(degrees, size).scaled(1 / scale)
    matrix = crop_matrix(face, MARKED)
    assert place(matrix, face.landmarks) == pytest.approx(UPRIGHT, abs=1e-6)


def test_a_box_alone_is_cropped_by_the_frame():
    matrix = crop_matrix(Face((100, 200, 50, 80)), RULE, "haar")
    corners = place(inverse(matrix), np.array([[-0.5, -0.5], [95.5, 95.5]]))
    assert (corners[1] - corners[0]) == pytest.approx(np.sqrt(50 * 80))
    assert corners.mean(axis=0) == pytest.approx((125, 240))
    other = place(inverse(crop_matrix(Face((100, 200, 50, 80)), RULE, "own")), corners * 0 + 47.5)
    assert other[0] == pytest.approx((125 + 0.01 * 50, 240 - 0.02 * 80))


def test_the_offset_of_a_frame_turns_with_the_face():
    rule = CropRule("t", (96, 96), True, {"mtcnn": (0, 0.5, 1)})
    matrix = crop_matrix(Face((0, 0, 100, 100)), rule, roll=90)
    assert place(matrix, np.array([[0.0, 50.0]])) == pytest.approx(np.array([[47.5, 47.5]]))
    assert roll_of(matrix) == pytest.approx(90)


def test_a_rule_that_does_not_align_leaves_the_face_as_it_is():
    rule = CropRule("t", (96, 96), False, {"mtcnn": (0, 0, 1)}, {"mtcnn": UPRIGHT})
    face = tilted(30)
    assert roll_of(crop_matrix(face, rule)) == 0
    middle = [0, 1, 3, 4]
    seen = place(crop_matrix(face, rule), face.landmarks)[middle].mean(0)
    assert seen == pytest.approx(UPRIGHT[middle].mean(0))


def test_landmarks_in_one_spot_leave_the_box_to_decide():
    face = Face((100, 100, 50, 50), 1.0, np.full((5, 2), 120.0))
    assert np.isfinite(crop_matrix(face, MARKED)).all()
    bare = crop_matrix(Face((100, 100, 50, 50)), MARKED)
    assert crop_matrix(face, MARKED) == pytest.approx(bare)


@pytest.mark.parametrize(("size", "degrees"), [(0.5, 0), (1, 25), (3.3, -40), (11, 12)])
def test_a_bright_dot_lands_where_the_matrix_says(size, degrees):
    """Seven dots, from crops enlarged to crops shrunk elevenfold: found again to 0.15 px."""
    centre = np.array([60, 55]) * size + 20
    face = tilted(degrees, size, centre)
    matrix = crop_matrix(face, MARKED)
    side = int(120 * size + 40)
    rows, columns = np.mgrid[:side, :side]
    for crop_point in np.random.default_rng(1).uniform(25, 70, (7, 2)):
        x, y = place(inverse(matrix), crop_point)
        blob = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (2.5 * size) ** 2))
        pixels = np.repeat(np.rint(255 * blob).astype(np.uint8)[..., None], 3, axis=2)
        crop = crop_faces(pixels, [matrix], (96, 96), 1)[0, ..., 0].astype(float)
        along, down = np.arange(96) @ crop.sum(axis=0), np.arange(96) @ crop.sum(axis=1)
        assert np.array([along, down]) / crop.sum() == pytest.approx(crop_point, abs=0.15)


def test_a_shrunk_face_is_averaged_not_picked():
    """A checkerboard of single pixels, ten to a pixel of the crop, becomes an even grey."""
    board = np.indices((960, 960)).sum(axis=0) % 2 * 255
    pixels = np.repeat(board.astype(np.uint8)[..., None], 3, axis=2)
    rule = CropRule("t", (96, 96), True, {"mtcnn": (0, 0, 1)})
    matrix = crop_matrix(Face((3.3, 3.7, 950, 950)), rule, roll=0)
    crop = crop_faces(pixels, [matrix], (96, 96), 3)
    assert crop.std() < 12
    assert crop.mean() == pytest.approx(127.5, abs=2)


def test_crops_reach_beyond_the_photo_and_have_one_or_three_channels():
    pixels = np.full((50, 50, 3), (200, 100, 0), np.uint8)
    far = crop_matrix(Face((-1000, -1000, 10, 10)), RULE)
    assert (crop_faces(pixels, [far], (96, 96), 3)[0] == (200, 100, 0)).all()
    grey = crop_faces(pixels, [far, far], (96, 96), 1)
    assert grey.shape == (2, 96, 96, 1)
    assert abs(int(grey[0, 0, 0, 0]) - (0.299 * 200 + 0.587 * 100)) <= 1
    huge = crop_matrix(Face((-5e5, -5e5, 1e6, 1e6)), RULE)
    assert crop_faces(pixels, [huge], (96, 96), 1).shape == (1, 96, 96, 1)
    with pytest.raises(KfkdError, match="1 or 3 channels"):
        crop_faces(pixels, [far], (96, 96), 2)


def test_a_rule_keeps_its_view_at_another_size():
    small = MARKED.resized((48, 48))
    wide = MARKED.resized((96, 128))
    points = np.array([[0.0, 0], [95, 95], [47.5, 47.5]])
    for rule in (small, wide):
        face = tilted(15)
        back = place(inverse(crop_matrix(face, MARKED)), points)
        centre = (np.array(rule.size[::-1]) - 1) / 2
        factor = np.sqrt(np.prod(rule.size)) / 96
        assert place(crop_matrix(face, rule), back) == pytest.approx(
            (points - 47.5) * factor + centre
        )


def test_rules_go_through_json():
    rule = rule_from(json.loads(json.dumps(MARKED.as_dict())))
    assert rule.as_dict() == MARKED.as_dict()
    for broken in (None, [], {}, {**MARKED.as_dict(), "frames": {}}, {"size": [0, 1]}):
        with pytest.raises(KfkdError):
            rule_from(broken)
    nan = {**MARKED.as_dict(), "frames": {"mtcnn": [0, 0, float("nan")]}}
    with pytest.raises(KfkdError):
        rule_from(nan)


def test_kaggles_rule_is_measured():
    rule = crop_rule("kaggle")
    assert rule.frame("haar")[2] == pytest.approx(1, abs=0.05)  # Kaggle's crops are Haar's boxes
    assert rule.frame("own") == rule.frame("mtcnn")
    assert rule.template("yunet") is rule.template("mtcnn")
    assert crop_rule("synthetic").as_dict() == rule.as_dict()
    with pytest.raises(KfkdError, match="no crop rule is known"):
        crop_rule("nothing")


def test_a_margin_other_than_usual_shows_more_of_a_face():
    usual, wide = (
        crop_rule_of("ibug", f"ibug:/data?size=96x96&margin={margin}") for margin in (0.25, 1)
    )
    assert usual.as_dict() == crop_rule_of("ibug").as_dict()
    face = Face((90, 80, 60, 70), 1.0, turned(UPRIGHT, 10, 1.0, (120, 115)))
    kinds = ((face, "mtcnn"), (Face(face.box), "haar"), (Face(face.box), "given:ibug"))
    for detected, name in kinds:
        small, large = (crop_matrix(detected, rule, name) for rule in (wide, usual))
        middle = place(inverse(large), np.array([111.5, 111.5]))
        assert place(small, middle) == pytest.approx(np.array([111.5, 111.5]))
        assert large[:, :2] == pytest.approx(2 * small[:, :2])
    whole = crop_rule_of("imm", "imm:/data?margin=1")  # a whole photo has no margin
    assert whole.as_dict() == crop_rule("imm").as_dict()
    for margin in ("-0.5", "inf", "nan"):
        with pytest.raises(KfkdError, match="margin"):
            crop_rule_of("ibug", f"ibug:/data?margin={margin}")


def test_boxes_of_a_data_set_are_cropped_as_in_training(layouts, tmp_path):
    photos = load_photos("ibug", layouts.write_ibug(tmp_path, count=3), quiet=True)
    trained = crop_matrices(photos, (96, 96), 0.4)
    rule = crop_rule_of("ibug", "ibug:/data?margin=0.4").resized((96, 96))
    find = detector("box", boxes=photos)
    for path, matrix in zip(photos.paths, trained, strict=True):
        (box,) = find.given(path)
        assert crop_matrix(Face(box), rule, find.name) == pytest.approx(matrix)
    assert find.given("another.jpg") == ()


def test_given_boxes_belong_to_a_file_however_one_gets_there(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    find = detector("box", boxes={"in/a.jpg": [(1, 2, 30, 40)]})
    for path in ("in/a.jpg", str(tmp_path / "in/a.jpg"), "in/../in/a.jpg"):
        assert find.given(path) == ((1, 2, 30, 40),)
    assert find.given("") == ()


def test_every_data_set_of_photos_has_a_rule():
    assert {crop_rule_of(name).align for name in KINDS} == {True}


def framed(face: Face, rule: CropRule, name: str) -> Face:
    """The box that a detector gives where MTCNN gives this square one, as the rule has it."""
    (dx, dy, side), (x, y, wide) = rule.frame("mtcnn"), rule.frame(name)
    left, top, width, _ = face.box
    other = width * side / wide
    middle = np.array([left, top]) + width / 2 + (dx * width - x * other, dy * width - y * other)
    return Face((*(middle - other / 2), other, other))


@pytest.mark.parametrize("origin", ["ibug", "pts"])
def test_boxes_of_another_data_set_are_cropped_as_the_run_wants_faces(origin):
    face, name = Face((200, 150, 80, 80)), f"given:{origin}"
    given_box = framed(face, crop_rule_of(origin), name)
    run = with_boxes_of(crop_rule("kaggle"), name)
    assert crop_matrix(given_box, run, name) == pytest.approx(crop_matrix(face, run))
    for unknown in ("box", "given:folder"):
        assert with_boxes_of(run, unknown) is run


@pytest.mark.parametrize("name", ["haar", "mtcnn"])
def test_images_cut_anew_have_a_rule_of_their_own(name):
    rule = crop_rule("kaggle")
    new = cut_anew(rule, "haar", 1.4)
    face = Face((200, 150, 80, 80))
    haar = framed(face, rule, "haar")
    old = crop_matrix(haar, rule, "haar")
    (x, y), (w, h) = place(old, np.array(haar.box[:2])), np.array(haar.box[2:]) * old[0, 0]
    again = crop_matrix(Face((x, y, w, h)), CropRule("cut", (96, 96), True, {"mtcnn": (0, 0, 1.4)}))
    corners = np.array([[180.0, 140], [300, 220]])
    seen = crop_matrix(haar if name == "haar" else face, new, name)
    assert place(seen, corners) == pytest.approx(place(again, place(old, corners)))
    marks = rule.template("mtcnn")
    assert new.template("mtcnn") == pytest.approx(place(again, marks))


def test_fitting_a_rule_recovers_the_frame():
    faces = synthetic_faces(40)
    jitter = np.random.default_rng(0).normal(0, 0.5, (40, 4))
    boxes = iter([[(58 + a, 68 + b, 70 + c, 80 + d)] for a, b, c, d in jitter])
    seen = detector(lambda images: [next(boxes) for _ in images])
    fit = fit_rule(faces, seen)  # images stand in a margin of 48 px
    assert (fit.found, fit.missed, fit.landmarks) == (40, 0, None)
    rule = CropRule("fit", (96, 96), True, {"mtcnn": fit.frame})
    whole = place(crop_matrix(Face((10, 20, 70, 80)), rule), np.array([[0.0, 0], [95, 95]]))
    assert whole == pytest.approx(np.array([[0.0, 0], [95, 95]]), abs=0.5)
    with pytest.raises(KfkdError, match="finds faces in 0 of 40"):
        fit_rule(faces, detector(lambda images: [[(0, 0, 9, 9)] for _ in images]))
    assert isinstance(faces, FaceSet)


def blank(count=1, side=80):
    return [np.zeros((side, side, 3), np.uint8)] * count


def test_a_function_of_the_users_own():
    find = detector(lambda images: [[(1, 2, 30, 40), Face((0, 0, 50, 50), 0.3)] for _ in images])
    (faces,) = find(blank())
    assert [face.box for face in faces] == [(0, 0, 50, 50), (1, 2, 30, 40)]  # the biggest first
    (kept,) = detector(find, least_score=0.5)(blank())
    assert [face.score for face in kept] == [1.0]
    assert find([]) == []


def test_an_own_detector_may_say_none_where_there_is_no_face():
    faces = [(1, 2, 30, 40)]
    find = detector(lambda images: [None, iter(faces), np.array(faces)])
    assert [[face.box for face in found] for found in find(blank(3))] == [[], faces, faces]


MARKS = np.full((5, 2), 40.0)


@pytest.mark.parametrize("edge", [(0, 0, 1e-3, 1e-3), (-1e6, 1e6, 1e6, 1e6)])
def test_boxes_at_the_edge_of_sense_can_be_cropped(edge):
    matrix = crop_matrix(Face(edge), RULE)
    assert np.isfinite(inverse(matrix)).all()
    assert crop_faces(blank()[0], [matrix], (96, 96), 1).shape == (1, 96, 96, 1)


@pytest.mark.parametrize(
    "wrong", [(0, 0, 1e-300, 1e-300), (0, 0, 1e300, 1e300), (1e300, 0, 10, 10), (0, 0, 9, 1e-4)]
)
def test_boxes_beyond_all_sense_are_refused(wrong):
    with pytest.raises(KfkdError, match="a box is x, y, width, height"):
        detector("box", boxes=[wrong])


@pytest.mark.parametrize("marks", [MARKS[:4], MARKS * np.nan, MARKS * 1e300])
def test_landmarks_beyond_all_sense_are_refused(marks):
    with pytest.raises(KfkdError, match="landmarks are"):
        Face((0, 0, 80, 80), 1.0, marks)


@pytest.mark.parametrize(
    "answer",
    [
        *([], [[], []], [[(1, 2, 3)]], [[(0, 0, 0, 5)]], [["a"]], [[(0, 0, np.nan, 5)]], [[None]]),
        *(None, 5, iter([[]]), [5], [[(10**400, 0, 1, 1)]]),
    ],
)
def test_nonsense_of_an_own_detector_is_named(answer):
    with pytest.raises(KfkdError):
        detector(lambda images: answer)(blank())


def test_what_is_no_image_is_refused_before_the_detector_sees_it():
    find = detector(lambda images: pytest.fail("asked"))
    for image in (np.zeros((0, 0, 3), np.uint8), np.zeros((9, 9)), np.zeros((9, 9, 3), np.float32)):
        with pytest.raises(KfkdError, match="wants uint8 images"):
            find([image])


def test_large_images_are_searched_small():
    asked = []

    def find(images):
        asked.extend(image.shape for image in images)
        return [[(10, 20, 30, 40)] for _ in images]

    (face,) = Detector("own", find, longest=100)([np.zeros((200, 400, 3), np.uint8)])[0]
    assert asked == [(50, 100, 3)]
    assert face.box == pytest.approx((41.5, 81.5, 120, 160))


def test_names_and_options_of_detectors(monkeypatch, tmp_path):
    with pytest.raises(UnknownName, match="mtcnn"):
        detector("mtccn")
    with pytest.raises(KfkdError, match="no such option"):
        detector("haar", colour="red")
    with pytest.raises(KfkdError, match="is not a cascade"):
        detector("haar", cascade="nothing.xml")
    with pytest.raises(KfkdError, match="scale_factor > 1"):
        detector("haar", scale_factor=1.0)
    with pytest.raises(KfkdError, match="least_score"):
        detector("haar", least_score=float("nan"))
    for boxes in (None, []):
        with pytest.raises(KfkdError, match="at least one"):
            detector("box", boxes=boxes)
    with pytest.raises(KfkdError, match="boxes belong"):
        detector("haar", boxes=[(0, 0, 1, 1)])
    for own in (lambda images: [], detector("haar")):
        with pytest.raises(KfkdError, match="boxes belong"):
            detector(own, boxes=[(0, 0, 1, 1)])
    assert detector("haar").find is detector("haar").find  # made once
    assert detector("box", boxes=[(0, 0, 5, 6)]).boxes == ((0, 0, 5, 6),)


def test_yunet_says_where_its_file_is_to_be_had(monkeypatch, tmp_path):
    monkeypatch.delenv("KFKD_YUNET", raising=False)
    with pytest.raises(KfkdError, match="opencv_zoo"):
        detector("yunet")
    broken = tmp_path / "yunet.onnx"
    broken.write_bytes(b"nothing")
    monkeypatch.setenv("KFKD_YUNET", str(broken))
    with pytest.raises(KfkdError, match="is not a YuNet"):
        detector("yunet")
    row = np.arange(15, dtype=np.float32) + 1
    face = face_of_row(row)
    assert (face.box, face.score) == ((1, 2, 3, 4), 15)
    assert face.landmarks[0].tolist() == [5, 6]


def test_haar_on_a_blank_or_tiny_image():
    assert detector("haar")([*blank(), np.zeros((1, 1, 3), np.uint8)]) == [[], []]


def test_mtcnn_pads_an_image_alike_in_any_company():
    sizes = [(96, 96), (300, 500), (20, 400), (290, 510), (96, 90)]
    made = batches(sizes)
    assert made == [((320, 512), [1, 3]), ((96, 96), [0, 4])], "the largest first"
    assert sum(len(places) for _, places in batches([(1000, 1000)] * 9)) == 9
    assert max(len(places) for _, places in batches([(1000, 1000)] * 9)) <= 4


def test_mtcnn_on_a_blank_or_tiny_image(keras_ready):
    assert detector("mtcnn")([*blank(2), np.zeros((1, 1, 3), np.uint8)]) == [[], [], []]
    with pytest.raises(KfkdError, match="least_face"):
        detector("mtcnn", least_face=3)


def bright_yunet(path, onnx):
    """A file with the inputs and outputs of YuNet's that finds what is bright, three cells wide."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    shape = [1, 3, 640, 640]
    nodes, held, outputs = [], [], []

    def constant(name, array):
        held.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(kind, inputs, output, **settings):
        nodes.append(helper.make_node(kind, inputs, [output], **settings))
        return output

    grey = constant("grey", np.full((1, 3, 1, 1), 1 / 765, np.float32))
    light = node("Conv", ["input", grey], "light")
    # (dx, dy, log w, log h) and five landmarks, in cells from a cell's corner.
    facts = {"cls": None, "obj": None}
    facts["bbox"] = [0.5, 0.5, np.log(3), np.log(3)]
    facts["kps"] = [0, 0, 1, 0, 0.5, 0.5, 0, 1, 1, 1]
    for kind, bias in facts.items():
        for stride in (8, 16, 32):
            name, end = f"{kind}_{stride}", f"_{kind}_{stride}"
            found = node(
                "AveragePool",
                [light],
                f"pool{end}",
                kernel_shape=[stride, stride],
                strides=[stride, stride],
            )
            width = 1 if bias is None else len(bias)
            if bias is not None:
                kernel = constant(f"kernel{end}", np.zeros((width, 1, 1, 1), np.float32))
                found = node(
                    "Conv", [found, kernel, constant(f"b{end}", np.float32(bias))], f"conv{end}"
                )
            elif stride != 16:
                found = node("Mul", [found, constant(f"none{end}", np.float32(0))], f"mul{end}")
            last = node("Transpose", [found], f"last{end}", perm=[0, 2, 3, 1])
            node("Reshape", [last, constant(f"to{end}", np.array([1, -1, width]))], name)
            cells = (640 // stride) ** 2
            outputs.append(helper.make_tensor_value_info(name, floats, [1, cells, width]))
    graph = helper.make_graph(
        nodes, "yunet", [helper.make_tensor_value_info("input", floats, shape)], outputs, held
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    path.write_bytes(model.SerializeToString())
    return path


def test_yunets_boxes_and_landmarks_lie_where_they_should(tmp_path):
    onnx = pytest.importorskip("onnx")
    find = detector("yunet", model=str(bright_yunet(tmp_path / "yunet.onnx", onnx)))
    image = np.zeros((200, 310, 3), np.uint8)
    image[64:80, 96:112] = 255  # one cell of 16 pixels
    found = find([image, np.zeros((90, 70, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)])
    assert [len(faces) for faces in found] == [1, 0, 0]
    (face,) = found[0]
    np.testing.assert_allclose(face.box, (80, 48, 48, 48), atol=0.01)
    np.testing.assert_allclose(face.landmarks[2], (104, 72), atol=0.01)
    assert face.score == pytest.approx(1, abs=0.01)
