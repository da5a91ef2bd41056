"""The pictures of a training: that they can be drawn, say the right numbers and need no pyplot."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from kfkd.drawing.figures import DPI
from kfkd.drawing.pictures import (
    best_sheet,
    face_sheet,
    keypoint_error_bars,
    loss_curves,
    prediction_sheet,
    save_figure,
    worst_sheet,
)
from kfkd.errors import KfkdError
from kfkd.faces import FaceSet, image_groups
from kfkd.skeletons import KAGGLE_15


@pytest.fixture
def faces():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 96, 96, 1), np.uint8)
    points = rng.uniform(20, 70, (10, 15, 2)).astype(np.float32)
    points[3, 4:] = np.nan
    points[9] = np.nan
    source = np.full(10, "full")
    return FaceSet(images, points, KAGGLE_15, source, image_groups(images), np.arange(101, 111))


def titles_of(figure):
    return [axes.get_title() for axes in figure.axes]


def texts_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def has_colour(figure, red, green, blue):
    return bool((np.abs(pixels(figure) - [red, green, blue]).max(axis=2) < 3).any())


BLUE, RED = (0x2F, 0x7B, 0xFF), (0xE8, 0x20, 0x2A)


def test_importing_pictures_loads_no_matplotlib():
    code = "import sys, kfkd.drawing.pictures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_leaves_pyplot_alone(tmp_path):
    code = (
        "import sys, numpy as np; from kfkd.drawing.pictures import face_sheet, save_figure;"
        "save_figure(face_sheet(np.zeros((2, 8, 8, 1), np.uint8)), sys.argv[1]);"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    target = tmp_path / "sheet.png"
    result = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert result.returncode == 0
    assert target.stat().st_size > 0


def test_face_sheet_draws_truth_blue_and_prediction_red(faces):
    truth, predicted = faces.keypoints, faces.keypoints + 9
    assert has_colour(face_sheet(faces.images, truth, predicted), *BLUE)
    assert has_colour(face_sheet(faces.images, truth, predicted), *RED)
    assert not has_colour(face_sheet(faces.images, truth), *RED)
    assert not has_colour(face_sheet(faces.images), *BLUE)


def test_face_sheet_shows_every_pixel_of_a_kaggle_face_twice(faces):
    figure = face_sheet(faces.images[:1])
    picture = pixels(figure)[..., 0]
    box = figure.axes[0].get_window_extent()
    top, left = round(picture.shape[0] - box.y1), round(box.x0)
    shown = picture[top : top + 192, left : left + 192][::2, ::2]
    np.testing.assert_allclose(shown, faces.images[0, ..., 0], atol=1)


@pytest.mark.parametrize("count, columns, rows", [(1, 1, 1), (8, 8, 1), (9, 8, 2), (10, 4, 3)])
def test_face_sheet_has_the_columns_asked_for(count, columns, rows):
    figure = face_sheet(np.zeros((count, 96, 96, 1), np.uint8), columns=columns)
    corners = {tuple(np.round(axes.get_position().bounds[:2], 4)) for axes in figure.axes}
    assert len(corners) == count
    assert len({y for _, y in corners}) == rows


def test_face_sheet_takes_colour_wide_images_and_many_points():
    images = np.zeros((2, 120, 160, 3), np.uint8)
    figure = face_sheet(images, np.full((2, 68, 2), 30.0), titles=["one\ntwo", "three"], title="x")
    box = figure.axes[0].get_window_extent()
    assert box.width / box.height == pytest.approx(160 / 120, rel=0.01)


def test_titles_do_not_reach_the_neighbouring_face():
    titles = [f"a rather long title of the face number {i}" for i in range(4)]
    figure = face_sheet(np.zeros((4, 96, 96, 1), np.uint8), titles=titles)
    figure.canvas.draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))


@pytest.mark.parametrize(
    "arguments",
    [
        {"images": np.zeros((0, 8, 8, 1), np.uint8)},
        {"images": np.zeros((2, 8, 8), np.uint8)},
        {"images": np.zeros((2, 8, 8, 1), np.uint8), "truth": np.zeros((3, 15, 2))},
        {"images": np.zeros((2, 8, 8, 1), np.uint8), "titles": ["one"]},
    ],
)
def test_face_sheet_says_what_does_not_fit(arguments):
    with pytest.raises(KfkdError, match="Received: "):
        face_sheet(**arguments)


def test_prediction_sheet_titles_ids_and_errors(faces):
    predicted = faces.keypoints + np.float32([3, 4])
    figure = prediction_sheet(faces, predicted, [3, 0, 9], "chosen")
    assert titles_of(figure) == ["row 104: 3.54 px", "row 101: 3.54 px", "row 110"]


def test_worst_sheet_ranks_and_shares_the_squared_error(faces):
    predicted = faces.keypoints.copy()
    predicted[2] += 3
    predicted[5] += 1
    figure = worst_sheet(faces, predicted, count=2)
    assert titles_of(figure) == [
        "row 103: 3.00 px\n90.0% of all error",
        "row 106: 1.00 px\n10.0% of all error",
    ]


def test_worst_sheet_puts_first_what_weighs_most(faces):
    predicted = faces.keypoints.copy()
    predicted[3] += 4  # the larger RMSE, over 4 keypoints only
    predicted[6] += 3
    assert [title.split(":")[0] for title in titles_of(worst_sheet(faces, predicted, 2))] == [
        "row 107",
        "row 104",
    ]


def test_best_sheet_puts_first_the_least_rmse_whatever_is_labelled(faces):
    predicted = faces.keypoints + np.arange(5, 15, dtype=np.float32)[:, None, None]
    predicted[3] = faces.keypoints[3] + 2  # labels of 4 keypoints only
    predicted[6] = faces.keypoints[6] + 1
    assert [title.split("\n")[0] for title in titles_of(best_sheet(faces, predicted, 3))] == [
        "row 107: 1.00 px",
        "row 104: 2.00 px",
        "row 101: 5.00 px",
    ]


@pytest.mark.parametrize("sheet", [worst_sheet, best_sheet, prediction_sheet])
def test_sheets_draw_the_points_that_are_predicted(faces, sheet):
    predicted = np.full_like(faces.keypoints, np.nan)
    predicted[:, 10] = faces.keypoints[:, 10] + 1
    figure = sheet(faces, predicted, *([[0, 1]] if sheet is prediction_sheet else [2]))
    dots = [line.get_xdata() for axes in figure.axes for line in axes.lines]
    assert [len(x) for x in dots] == [1, 1, 1, 1]


@pytest.mark.parametrize("sheet", [worst_sheet, best_sheet])
def test_sheets_of_a_perfect_prediction_and_of_no_labels(faces, sheet):
    assert len(sheet(faces, faces.keypoints).axes) == 9
    with pytest.raises(KfkdError, match=rf"{sheet.__name__} wants .* without a label"):
        sheet(faces[[9]], faces.keypoints[[9]])


def test_keypoint_error_bars_have_each_keypoints_rmse(faces):
    predicted = faces.keypoints + 2
    predicted[:, 1] += 3
    mean = np.full((15, 2), 45, np.float32)
    axes = keypoint_error_bars(faces.keypoints, predicted, mean, KAGGLE_15).axes[0]
    widths = [bar.get_width() for bar in axes.containers[0]]
    np.testing.assert_allclose(widths, [2, 5] + [2] * 13, atol=1e-5)


def test_keypoint_error_bars_without_labels_of_a_keypoint(faces):
    truth = faces.keypoints.copy()
    truth[:, 7] = np.nan
    predicted = np.nan_to_num(truth)
    axes = keypoint_error_bars(truth, predicted, np.zeros((15, 2)), KAGGLE_15).axes[0]
    assert "not labelled" in [text.get_text() for text in axes.texts]


def test_keypoint_error_bars_compare_both_on_the_values_predicted(faces):
    truth = np.full((4, 15, 2), 40.0)
    truth[2:] = 50
    truth[:, 8] = np.nan
    predicted = np.nan_to_num(truth) + 1
    predicted[2:] = np.nan  # here the mean face would be 10 pixels off
    predicted[:, 7] = np.nan
    mean = np.full((15, 2), 40.0)
    axes = keypoint_error_bars(truth, predicted, mean, KAGGLE_15).axes[0]
    shown = [text.get_text() for text in axes.texts]
    assert [shown[:14].count(text) for text in ("1.00", "none", "not labelled")] == [13, 0, 1]
    assert shown[7] == "not labelled"
    names = [text.get_text() for text in axes.get_yticklabels()]
    absent = KAGGLE_15.points[7].replace("_", " ")
    assert len(names) == 14 and absent not in names, "nobody predicted it"
    assert shown[14:].count("0.00") == 13
    assert "all of them 1.00 px, mean face 0.00 px" in axes.get_title()


def history(epochs, drops=(), scale=1.0):
    rate, rows = 1.0, []
    for epoch in range(1, epochs + 1):
        rate *= 0.5 if epoch in drops else 1.0
        value = scale / epoch
        rows.append({"epoch": epoch, "rmse": value, "val_rmse": value + 0.1, "learning_rate": rate})
    return rows


def test_loss_curves_have_a_panel_a_subset_with_best_epoch_and_mean_face():
    rows = {"dense": history(20, drops=(8, 15)), "sparse": history(20)}
    rows["dense"][12]["val_rmse"] = 0.01
    figure = loss_curves(rows, "study", {"dense": 4.169})
    dense, sparse = figure.axes
    assert titles_of(figure) == ["dense", "sparse"]
    assert {"best: 0.01 px, epoch 13", "mean face: 4.17 px"} <= set(texts_of(dense))
    assert "learning rate lowered" not in texts_of(sparse)
    falls = [line for line in dense.lines if list(line.get_ydata()) == [0, 1]]
    assert sorted(float(line.get_xdata()[0]) for line in falls) == [8, 15]


def test_loss_curves_of_a_smooth_schedule_draw_no_learning_rate_lines():
    rows = history(30, drops=range(1, 31))
    assert "learning rate lowered" not in texts_of(loss_curves({"all": rows}).axes[0])


def test_loss_curves_are_logarithmic_only_where_the_range_is_wide():
    narrow, wide = history(4), history(100)
    figure = loss_curves({"narrow": narrow, "wide": wide})
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "log"]


@pytest.mark.parametrize(
    "rows",
    [
        [{"epoch": 1, "loss": 2.0, "rmse": 3.0}],
        [{"epoch": 1, "rmse": 3.0, "val_rmse": None, "learning_rate": None}] * 2,
        [{"epoch": 1, "rmse": float("nan"), "val_rmse": float("nan")}],
        [],
    ],
)
def test_loss_curves_bear_gaps(rows, tmp_path):
    assert save_figure(loss_curves({"all": rows}), tmp_path / "curves.png").exists()


def test_loss_curves_without_a_subset_are_an_error():
    with pytest.raises(KfkdError, match="at least one subset"):
        loss_curves({})


def test_save_figure_writes_at_the_resolution_asked_for(tmp_path):
    from matplotlib.image import imread

    figure = face_sheet(np.zeros((3, 96, 96, 1), np.uint8))
    width, height = figure.get_size_inches()
    for dpi in (DPI, 55):
        picture = imread(save_figure(figure, tmp_path / "new" / "sheet.png", dpi=dpi))
        assert picture.shape[:2] == (round(height * dpi), round(width * dpi))


def test_save_figure_leaves_nothing_half_written(tmp_path):
    with pytest.raises(KfkdError, match="suffix"):
        save_figure(face_sheet(np.zeros((1, 8, 8, 1), np.uint8)), tmp_path / "sheet.nonsense")
    (tmp_path / "file").write_text("")
    with pytest.raises(KfkdError, match="cannot write"):
        save_figure(face_sheet(np.zeros((1, 8, 8, 1), np.uint8)), tmp_path / "file" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
