"""A mix of Albumentations' nearest equal transforms, for `kfkd bench augment`.

An optional package; written for its last free version, 2.0.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from math import degrees, pi, sqrt
from typing import Any

import numpy as np

from kfkd.augment import Mix, Photometric, Transform
from kfkd.pipelines.per_image_geometry import cv2_border

Change = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
_BORDERS = {
    "constant": "BORDER_CONSTANT",
    "edge": "BORDER_REPLICATE",
    "reflect": "BORDER_REFLECT_101",
}


def albumentations_mix(mix: Mix, size: tuple[int, int]) -> Change | None:
    """The mix as a function of one image and its keypoints; None where the package is absent.

    Neighbouring rotations, shifts, scalings and shears become one `Affine`, brightness and contrast
    one transform, as the package's users do. A flip does not swap names.

    Args:
        mix: the transforms.
        size: (h, w) of the images in pixels.
    """
    if find_spec("albumentations") is None:
        return None
    import albumentations

    edge = {"border_mode": cv2_border(mix.frame.border), "fill": mix.frame.fill}
    points = albumentations.KeypointParams(format="xy", remove_invisible=False)
    branches = [
        albumentations.Compose(
            [
                getattr(albumentations, name)(**given)
                for name, given in _steps(tuple(branch), size, edge)
            ],
            keypoint_params=points,
        )
        for branch in mix.branches
    ]
    rng = np.random.default_rng(0)

    def changed(image: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        there = np.flatnonzero(~np.isnan(keypoints).any(axis=1))
        # A third column goes along unchanged: an elastic deformation loses points near the edge.
        numbered = np.column_stack([keypoints[there], there]).astype(np.float32)
        made = branches[rng.integers(len(branches))](image=image, keypoints=numbered)
        moved, left = np.full_like(keypoints, np.nan), np.reshape(made["keypoints"], (-1, 3))
        moved[left[:, 2].astype(int)] = left[:, :2]
        return made["image"].reshape(image.shape), moved

    return changed


def _steps(
    branch: tuple[Transform, ...], size: tuple[int, int], edge: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Names and arguments; neighbours of one name, share and different arguments become one."""
    geometry = [t for t in branch if not isinstance(t, Photometric)]
    ordered = [*geometry, *(t for t in branch if isinstance(t, Photometric))]
    steps: list[tuple[str, dict[str, Any]]] = []
    for transform in ordered:
        name, given = _PARTS[transform.name](transform, size)
        around = edge if name in ("Affine", "Perspective", "ElasticTransform") else {}
        last, had = steps[-1] if steps else ("", {})
        if name == last and had["p"] == transform.p and not set(given) & set(had):
            had.update(given)
        else:
            steps.append((name, {**given, **around, "p": transform.p}))
    return [(name, {**_UNLESS.get(name, {}), **given}) for name, given in steps]


def _about(share: float) -> dict[str, tuple[float, float]]:
    return {"x": (-share, share), "y": (-share, share)}


def _elastic(t: Any, size: tuple[int, int]) -> tuple[str, dict[str, Any]]:
    sigma = t.wave * size[1] * sqrt(2) / (2 * pi)
    # Its exact way to move keypoints, "direct", takes 40 times as long as the default.
    return "ElasticTransform", {"alpha": t.amount * size[1] * 2 * sigma * sqrt(pi), "sigma": sigma}


def _noise(t: Any, size: tuple[int, int]) -> tuple[str, dict[str, Any]]:
    low, high = (0, t.low) if t.high is None else (t.low, t.high)
    return "GaussNoise", {"std_range": (low / 255, high / 255)}


def _cut_out(t: Any, size: tuple[int, int]) -> tuple[str, dict[str, Any]]:
    side, many = (t.low, t.high), (t.patches, t.patches)
    sides = {"hole_height_range": side, "hole_width_range": side}
    return "CoarseDropout", {"num_holes_range": many, **sides, "fill": "random_uniform"}


_BRIGHT = "RandomBrightnessContrast"
_UNLESS = {_BRIGHT: {"brightness_limit": 0, "contrast_limit": 0}}
"""What is not wanted of a transform must be said."""

_PARTS: dict[str, Callable[[Any, tuple[int, int]], tuple[str, dict[str, Any]]]] = {
    "flip": lambda t, size: ("HorizontalFlip", {}),
    "rotate": lambda t, size: ("Affine", {"rotate": (-t.degrees, t.degrees)}),
    "shift": lambda t, size: ("Affine", {"translate_percent": _about(t.share)}),
    "scale": lambda t, size: ("Affine", {"scale": (t.low, t.high)}),
    "shear": lambda t, size: ("Affine", {"shear": _about(degrees(np.arctan(t.share)))}),
    "perspective": lambda t, size: ("Perspective", {"scale": (0, t.share / 2)}),
    "elastic": _elastic,
    "crop": lambda t, size: (
        "RandomResizedCrop",
        {"size": size, "scale": (t.low**2, t.high**2), "ratio": (1, 1)},
    ),
    "brightness": lambda t, size: (_BRIGHT, {"brightness_limit": t.share}),
    "contrast": lambda t, size: (_BRIGHT, {"contrast_limit": (t.low - 1, t.high - 1)}),
    "gamma": lambda t, size: ("RandomGamma", {"gamma_limit": (100 * t.low, 100 * t.high)}),
    "equalize": lambda t, size: ("Equalize", {}),
    "clahe": lambda t, size: (
        "CLAHE",
        {"clip_limit": (max(t.clip, 1), max(t.clip, 1)), "tile_grid_size": (t.tiles, t.tiles)},
    ),
    "blur": lambda t, size: ("GaussianBlur", {"sigma_limit": (t.low, t.high or t.low)}),
    "motion_blur": lambda t, size: (
        "MotionBlur",
        {"blur_limit": (3, max(3, int(t.length) // 2 * 2 + 1))},
    ),
    "sharpen": lambda t, size: (
        "UnsharpMask",
        {"sigma_limit": (1, 1), "alpha": (0, min(t.amount, 1)), "threshold": 0},
    ),
    "noise": _noise,
    "jpeg": lambda t, size: ("ImageCompression", {"quality_range": (int(t.low), int(t.high))}),
    "cut_out": _cut_out,
}
"""For each transform the nearest of Albumentations and its arguments."""
