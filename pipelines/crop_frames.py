"""Crop rules carried over: to another data set's boxes, and to images that were cut anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kfkd.crops import GIVEN, UNNAMED, CropRule
from kfkd.pipelines.crop_rules import boxed, crop_rule_of


def with_boxes_of(rule: CropRule, detector: str) -> CropRule:
    """A rule that also knows the boxes that another data set gives.

    Both rules know where MTCNN sees a face; that ties the one's boxes to the other's crops.

    Args:
        rule: of the run.
        detector: name of the boxes, "given:ibug" of those of iBUG; others change nothing.

    Example:
        >>> from kfkd.pipelines.crop_rules import crop_rule
        >>> with_boxes_of(crop_rule("kaggle"), "given:ibug").frame("given:ibug")[2] < 1.2
        True
    """
    origin = detector.removeprefix(GIVEN)
    if detector == origin or detector in rule.frames or not boxed(origin):
        return rule
    theirs = crop_rule_of(origin)
    per_box = theirs.frame(detector)[2] / theirs.frame(UNNAMED)[2]
    own, other = np.array(rule.frame(UNNAMED)), np.array([*theirs.frame(UNNAMED)[:2], 0.0])
    dx, dy, side = ((own - other) * per_box).tolist()
    return replace(rule, frames={**rule.frames, detector: (dx, dy, side)})


def cut_anew(rule: CropRule, detector: str, side: float) -> CropRule:
    """The rule of a data set's images after each was cut to the box of its face.

    Args:
        rule: of the images as they were.
        detector: whose boxes.
        side: of the new images, in sides of the box.
    """
    dx, dy, old = rule.frame(detector)
    zoom, shift = old / side, np.array([-dx, -dy]) / old  # of the new middle, in old crops' sides
    frames = {
        name: (x + shift[0] * s, y + shift[1] * s, s / zoom)
        for name, (x, y, s) in rule.frames.items()
    }
    middle = (np.array(rule.size[::-1]) - 1) / 2
    there = middle + shift * np.sqrt(np.prod(rule.size))
    marks = {name: (p - there) * zoom + middle for name, p in rule.landmarks.items()}
    return replace(
        rule,
        name=f"{rule.name}, cut anew",
        frames=frames | {detector: (0.0, 0.0, side)},
        landmarks=marks,
    )
