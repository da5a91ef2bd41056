"""Names of the keypoints of the known skeletons; left and right are the person's own."""

from __future__ import annotations

KAGGLE_POINTS = (
    "left_eye_center",
    "right_eye_center",
    "left_eye_inner_corner",
    "left_eye_outer_corner",
    "right_eye_inner_corner",
    "right_eye_outer_corner",
    "left_eyebrow_inner_end",
    "left_eyebrow_outer_end",
    "right_eyebrow_inner_end",
    "right_eyebrow_outer_end",
    "nose_tip",
    "mouth_left_corner",
    "mouth_right_corner",
    "mouth_center_top_lip",
    "mouth_center_bottom_lip",
)

_EYE_OF_8 = (
    "outer_corner",
    "upper_outer",
    "upper_middle",
    "upper_inner",
    "inner_corner",
    "lower_inner",
    "lower_middle",
    "lower_outer",
)


def _run(stem: str, numbers: range) -> tuple[str, ...]:
    return tuple(f"{stem}_{number}" for number in numbers)


IMM_POINTS = (
    *_run("right_jaw", range(1, 7)),
    "chin",
    *_run("left_jaw", range(6, 0, -1)),
    *(f"left_eye_{place}" for place in _EYE_OF_8),
    *(f"right_eye_{place}" for place in _EYE_OF_8),
    *_run("left_eyebrow", range(1, 6)),
    *_run("right_eyebrow", range(1, 6)),
    "mouth_right_corner",
    "mouth_right_top_lip",
    "mouth_center_top_lip",
    "mouth_left_top_lip",
    "mouth_left_corner",
    "mouth_left_bottom_lip",
    "mouth_center_bottom_lip",
    "mouth_right_bottom_lip",
    *_run("right_nose", range(1, 6)),
    # The lowest point of the nose's outline: IMM marks no tip, and all who report one mean this.
    "nose_tip",
    *_run("left_nose", range(5, 0, -1)),
)
"""IMM's 58 in the order of its .asf files; jaws count from the ear, brows and nose from between the
eyes."""

IBUG_POINTS = (
    *_run("right_contour", range(1, 9)),
    "chin",
    *_run("left_contour", range(8, 0, -1)),
    *_run("right_eyebrow", range(5, 0, -1)),
    *_run("left_eyebrow", range(1, 6)),
    *_run("nose_bridge", range(1, 4)),
    "nose_tip",
    *_run("right_nostril", range(1, 3)),
    "nose_base",
    *_run("left_nostril", range(2, 0, -1)),
    "right_eye_outer_corner",
    "right_eye_upper_outer",
    "right_eye_upper_inner",
    "right_eye_inner_corner",
    "right_eye_lower_inner",
    "right_eye_lower_outer",
    "left_eye_inner_corner",
    "left_eye_upper_inner",
    "left_eye_upper_outer",
    "left_eye_outer_corner",
    "left_eye_lower_outer",
    "left_eye_lower_inner",
    "mouth_right_corner",
    *_run("mouth_right_top_lip", range(1, 3)),
    "mouth_center_top_lip",
    *_run("mouth_left_top_lip", range(2, 0, -1)),
    "mouth_left_corner",
    *_run("mouth_left_bottom_lip", range(1, 3)),
    "mouth_center_bottom_lip",
    *_run("mouth_right_bottom_lip", range(2, 0, -1)),
    "mouth_right_inner_corner",
    "mouth_right_inner_top",
    "mouth_center_inner_top",
    "mouth_left_inner_top",
    "mouth_left_inner_corner",
    "mouth_left_inner_bottom",
    "mouth_center_inner_bottom",
    "mouth_right_inner_bottom",
)
"""300-W's 68 in their standard order; the contour counts from the ear, brows from between the eyes,
lips from the corners."""
