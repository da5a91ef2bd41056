"""The study's face-box stage, corrected."""

import numpy as np
import pytest

from kfkd.errors import KfkdError
from kfkd.pipelines.detectors import detector
from kfkd.pipelines.face_box import cropped
from kfkd.pipelines.synthetic import synthetic_faces

MARGIN = 48
"""Images are handed to the detector with half their side around them."""


def seeing(box, every=1):
    """A detector that sees the same box in every n-th image, in pixels of the image itself."""
    x, y, w, h = box
    count = iter(range(10**6))
    return detector(
        lambda images: [
            [(x + MARGIN, y + MARGIN, w, h)] if next(count) % every == 0 else [] for _ in images
        ]
    )


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(12)


def test_labels_move_with_the_pixels_and_come_back(faces):
    made = cropped(faces, seeing((10, 20, 70, 70)))
    assert made.missed == 0
    assert made.faces.images.shape == faces.images.shape
    points = made.faces.keypoints
    kept = ~np.isnan(points)
    assert kept.mean() > 0.5
    back = made.back(points)
    assert np.abs(back - faces.keypoints)[kept].max() < 1e-3
    expected = (faces.keypoints - (45, 55)) * 96 / 70 + 47.5
    assert points[kept] == pytest.approx(expected[kept], abs=1e-3)


def test_labels_pushed_outside_become_nan(faces):
    made = cropped(faces, seeing((30, 30, 36, 36)))
    inside = made.faces.keypoints[made.faces.labelled]
    assert inside.min() >= -0.5
    assert inside.max() <= 95.5
    assert made.faces.labelled.sum() < faces.labelled.sum()


def test_an_image_without_a_face_stays_and_is_counted(faces):
    made = cropped(faces, seeing((10, 20, 70, 70), every=3))
    assert made.missed == 8
    assert "8 of 12 images are uncropped" in made.faces.notes[-1]
    left = ~made.found
    assert (made.faces.images[left] == faces.images[left]).all()
    same = made.faces.keypoints[left], faces.keypoints[left]
    assert np.array_equal(*same, equal_nan=True)
    assert np.array_equal(made.back(made.faces.keypoints)[left], same[1], equal_nan=True)


def test_margin_and_aspect(faces):
    tall = (28, 18, 40, 60)
    square = cropped(faces, seeing(tall)).matrices[0]
    assert square[0, 0] == square[1, 1] == pytest.approx(96 / 60)
    stretched = cropped(faces, seeing(tall), keep_aspect=False).matrices[0]
    assert (stretched[0, 0], stretched[1, 1]) == pytest.approx((96 / 40, 96 / 60))
    wide = cropped(faces, seeing(tall), margin=0.25).matrices[0]
    assert wide[0, 0] == pytest.approx(96 / 90)
    for margin in (-0.5, float("nan")):
        with pytest.raises(KfkdError, match="margin"):
            cropped(faces, seeing(tall), margin=margin)
