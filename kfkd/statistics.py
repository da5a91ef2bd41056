"""What a set of labelled faces looks like in numbers: columns, rows, label sources, pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from kfkd.faces import SOURCES, FaceSet
from kfkd.metrics import kaggle_rmse, mean_face, rmse

_CHUNK = 512


def skewness(values: np.ndarray) -> float:
    """Bias-corrected skew, the number pandas calls `skew`.

    Args:
        values: any shape; NaN is left out.

    Returns:
        0 for equal values, NaN for fewer than three.

    Example:
        >>> round(skewness(np.array([0.0, 0.0, 0.0, 1.0])), 6)
        2.0
    """
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    n = len(values)
    if n < 3:
        return float("nan")
    away = values - values.mean()
    variance = np.square(away).sum() / (n - 1)
    # Rounding leaves a trace of variance in equal values, which pandas calls no variance as well.
    if variance < 1e-14:
        return 0.0
    return float(n / ((n - 1) * (n - 2)) * np.power(away, 3).sum() / variance**1.5)


def column_statistics(keypoints: np.ndarray, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Count, missing, mean, sample deviation, range and skew of every coordinate.

    Args:
        keypoints: (n, k, 2) in pixels, NaN = not labelled.
        columns: names of the 2k coordinates, as `Skeleton.columns` gives them.

    Returns:
        A row for each column; "skewed" says whether |skew| >= 1; NaN where there is nothing to say.

    Example:
        >>> points = np.array([[[1.0, 4.0]], [[3.0, np.nan]]])
        >>> column_statistics(points, ("nose_x", "nose_y"))[0]["mean"]
        2.0
    """
    values = np.asarray(keypoints, np.float64).reshape(len(keypoints), -1)
    return [_column(name, values[:, i]) for i, name in enumerate(columns)]


def _column(name: str, values: np.ndarray) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    n, nan = len(known), float("nan")
    skew = skewness(known)
    return {
        "column": name,
        "count": n,
        "missing": len(values) - n,
        "mean": float(known.mean()) if n else nan,
        "std": float(known.std(ddof=1)) if n > 1 else nan,
        "min": float(known.min()) if n else nan,
        "max": float(known.max()) if n else nan,
        "skew": skew,
        "skewed": bool(abs(skew) >= 1),
    }


def sources_of(faces: FaceSet) -> list[str]:
    """The label sources that occur, Kaggle's two first, the others by name."""
    there = {str(source) for source in np.unique(faces.source)} if len(faces) else set()
    return [s for s in SOURCES if s in there] + sorted(there - set(SOURCES))


def row_statistics(faces: FaceSet) -> dict[str, Any]:
    """How many rows there are and how completely they are labelled.

    Args:
        faces: any set.

    Returns:
        total, complete, unlabelled, groups (that a split keeps together), complete_on (by subset),
        sources (rows and complete ones of each) and labels_per_row (rows by number of labelled
        coordinates).
    """
    labelled = faces.labelled
    complete = np.asarray(labelled.all(axis=(1, 2)))
    values, counts = np.unique(labelled.sum(axis=(1, 2)), return_counts=True)
    subsets = {name: list(faces.skeleton.subset(name)) for name in faces.skeleton.subsets}
    return {
        "total": len(faces),
        "complete": int(complete.sum()),
        "unlabelled": int((~labelled.any(axis=(1, 2))).sum()),
        "groups": len(np.unique(faces.group)),
        "complete_on": {s: int(labelled[:, i].all(axis=(1, 2)).sum()) for s, i in subsets.items()},
        "sources": {
            s: {
                "rows": int((faces.source == s).sum()),
                "complete": int(complete[faces.source == s].sum()),
            }
            for s in sources_of(faces)
        },
        "labels_per_row": {int(v): int(c) for v, c in zip(values, counts, strict=True)},
    }


def convention_gap(faces: FaceSet) -> list[dict[str, Any]]:
    """Where two label sources put the keypoints that both of them label.

    The mean positions differ by the labelling convention and by how the faces are framed; the eye
    centres, on which labellers agree, show the framing's part.

    Args:
        faces: any set.

    Returns:
        A row for each keypoint that at least half of both sources' rows have: the keypoint, mean x
        and y by source, and the difference in pixels (second source - first); none where there are
        fewer than two sources.
    """
    sources = sources_of(faces)[:2]
    if len(sources) < 2:
        return []
    parts = [faces.keypoints[faces.source == source] for source in sources]
    means = [mean_face(part).astype(float) for part in parts]
    common = np.all([(~np.isnan(part)).mean(axis=0).min(axis=1) >= 0.5 for part in parts], axis=0)
    return [
        {
            "keypoint": faces.skeleton.points[i],
            **{s: [float(v) for v in mean[i]] for s, mean in zip(sources, means, strict=True)},
            "difference": [float(v) for v in means[1][i] - means[0][i]],
        }
        for i in np.flatnonzero(common)
    ]


def mean_face_scores(faces: FaceSet) -> dict[str, Any]:
    """RMSE of the mean face on the set it was computed from: the score of having learned nothing.

    Args:
        faces: any set.

    Returns:
        "one_mean" and "mean_per_source", each with overall, kaggle_rmse, subsets and sources in
        pixels; NaN where nothing is labelled.
    """
    truth, source = faces.keypoints, faces.source
    one = np.broadcast_to(mean_face(truth), truth.shape)
    each = np.full(truth.shape, np.nan, np.float32)
    for name in sources_of(faces):
        each[source == name] = mean_face(truth[source == name])
    return {"one_mean": _scores(faces, one), "mean_per_source": _scores(faces, each)}


def _scores(faces: FaceSet, predicted: np.ndarray) -> dict[str, Any]:
    truth, source, skeleton = faces.keypoints, faces.source, faces.skeleton
    columns = {name: list(skeleton.subset(name)) for name in skeleton.subsets}
    sources = {name: source == name for name in sources_of(faces)}
    return {
        "overall": rmse(truth, predicted),
        "kaggle_rmse": kaggle_rmse(truth, predicted, source),
        "subsets": {name: rmse(truth[:, i], predicted[:, i]) for name, i in columns.items()},
        "sources": {name: rmse(truth[i], predicted[i]) for name, i in sources.items()},
    }


def brightness_contrast(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each image's pixels.

    Args:
        images: uint8 (n, h, w, c).

    Returns:
        Two float arrays (n,), in grey levels 0 to 255.
    """
    bright, contrast = np.zeros(len(images)), np.zeros(len(images))
    for start in range(0, len(images), _CHUNK):
        part = np.asarray(images[start : start + _CHUNK])
        part = part.reshape(len(part), -1)
        bright[start : start + _CHUNK] = part.mean(axis=1)
        contrast[start : start + _CHUNK] = part.std(axis=1)
    return bright, contrast


def grey_histogram(images: np.ndarray) -> np.ndarray:
    """How often each pixel value occurs: int64 (256,) over all of `images`, uint8 of any shape."""
    counts = np.zeros(256, np.int64)
    for start in range(0, len(images), _CHUNK):
        counts += np.bincount(np.asarray(images[start : start + _CHUNK]).ravel(), minlength=256)
    return counts


def pixel_statistics(faces: FaceSet) -> dict[str, Any]:
    """Brightness, contrast, and coordinates that lie outside the image.

    Args:
        faces: at least one face.

    Returns:
        brightness and contrast (min, 1 %, median, 99 %, max, in grey levels), flat_images (contrast
        below 1), grey_histogram (16 bins of 16 levels), outside (labels beyond the outermost
        pixels' edges) and labels (all of them).
    """
    points = faces.keypoints.astype(np.float64)
    height, width = faces.images.shape[1:3]
    outside = (points < -0.5) | (points > np.array([width, height]) - 0.5)
    names, shares = ("min", "1%", "median", "99%", "max"), (0, 1, 50, 99, 100)
    bright, contrast = brightness_contrast(faces.images)
    return {
        "brightness": dict(zip(names, np.percentile(bright, shares).tolist(), strict=True)),
        "contrast": dict(zip(names, np.percentile(contrast, shares).tolist(), strict=True)),
        "flat_images": int((contrast < 1).sum()),
        "grey_histogram": grey_histogram(faces.images).reshape(16, 16).sum(axis=1).tolist(),
        "outside": int(outside.sum()),
        "labels": int(faces.labelled.sum()),
    }
