"""A local Kaggle leaderboard: a submission against a solution, and where its error comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kfkd import metrics
from kfkd.errors import DataError
from kfkd.skeletons import KAGGLE_15
from kfkd.submissions import reading
from kfkd.submissions.solution import Solution, read_solution

_WORST = 10


@dataclass(frozen=True)
class WorstImage:
    """An image with much of the error.

    Args:
        image_id: Kaggle's ImageId.
        rmse: its error in pixels.
        share: its part of the total squared error, 0 to 1.
    """

    image_id: int
    rmse: float
    share: float


@dataclass(frozen=True)
class Score:
    """What a submission scores; every error is an RMSE in pixels, None where it is not known.

    Args:
        rmse: over all values that count.
        values: how many those are.
        private: over the rows of Usage Private.
        public: over the rows of Usage Public.
        full: over images labelled with 15 keypoints.
        four_point: over images labelled with 4 keypoints.
        kaggle_rmse: full and four_point weighted as in Kaggle's whole test set; where only one of
            them is there, that one.
        constant: the do-nothing yardstick: of the best constant per feature, and per source where
            known. It is an oracle, computed from the solution itself: no constant predictor
            scores better, and an honest mean face from training labels scores somewhat worse.
        per_keypoint: by name of the keypoint, over its x and y values.
        worst: the 10 images with the largest squared error, largest first.
    """

    rmse: float
    values: int
    private: float | None
    public: float | None
    full: float | None
    four_point: float | None
    kaggle_rmse: float | None
    constant: float | None
    per_keypoint: dict[str, float]
    worst: tuple[WorstImage, ...]

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return {**asdict(self), "worst": [asdict(image) for image in self.worst]}

    def table(self) -> str:
        """Aligned text for a reader: one number a line, those not known left out."""
        lines = [f"RMSE in pixels over {self.values} values"]
        named = {
            "all": self.rmse,
            "private": self.private,
            "public": self.public,
            "full": self.full,
            "four_point": self.four_point,
            "kaggle_rmse": self.kaggle_rmse,
            "constant (oracle)": self.constant,
        }
        lines += [_line(name, value) for name, value in named.items() if value is not None]
        if self.per_keypoint:
            lines += ["by keypoint", *(_line(*item) for item in self.per_keypoint.items())]
        if self.worst:
            lines += ["worst images, and their share of the squared error"]
            lines += [_line(f"{w.image_id}", w.rmse) + f"  {w.share:6.1%}" for w in self.worst]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


def score(
    submission: str | Path,
    solution: str | Path,
    id_table: str | Path | None = None,
    *,
    quiet: bool = True,
) -> Score:
    """Scores a submission as Kaggle's leaderboard would, and says where its error comes from.

    Args:
        submission: CSV with RowId and Location (pixels), or a zip of one.
        solution: CSV, or a zip of one, with RowId and Location, and optionally Usage (Public,
            Private, or Ignored for rows that do not count), ImageId, FeatureName and Source
            ("full" or "four_point"). A row whose Location is empty or NaN does not count.
        id_table: IdLookupTable.csv or its folder, asked where ImageId or FeatureName is missing.
        quiet: False prints the table.

    Returns:
        The score. Without a Source column an image is "full" where more than 8 values, or any
        feature outside the dense subset, are asked of it, else "four_point".

    Raises:
        DataError: naming file, row and column, when a file cannot be read, a RowId appears twice,
            the submission lacks one that counts or has one that the solution has not, or nothing
            counts.

    Example:
        >>> import kfkd
        >>> from kfkd.pipelines.synthetic import write_kaggle_folder
        >>> folder = write_kaggle_folder("doc-faces", train=10, test=5)
        >>> result = kfkd.score(folder / "SampleSubmission.csv", folder / "solution.csv")
        >>> result.rmse > result.constant
        True
    """
    whole = read_solution(solution, id_table)
    counts = ~np.isnan(whole.location)
    if whole.usage is not None:
        counts &= whole.usage != "ignored"
    if not counts.any():
        raise DataError("no row counts: each is Ignored or NaN", file=solution, column="Location")
    truth = whole[counts]
    row_id, values = reading.read_submission(submission)
    reading.refuse_unmatched(row_id, truth.row_id, whole.row_id, submission)
    order = np.argsort(row_id)
    result = _score(truth, values[order[np.searchsorted(row_id[order], truth.row_id)]])
    if not quiet:
        print(result)
    return result


def _score(truth: Solution, predicted: np.ndarray) -> Score:
    def over(labels: np.ndarray | None, name: str) -> float | None:
        if labels is None or not (rows := labels == name).any():
            return None
        return metrics.rmse(truth.location[rows], predicted[rows])

    weighted = None
    if truth.source is not None:
        weighted = metrics.kaggle_rmse(truth.location, predicted, truth.source)
    return Score(
        rmse=metrics.rmse(truth.location, predicted),
        values=len(predicted),
        private=over(truth.usage, "private"),
        public=over(truth.usage, "public"),
        full=over(truth.source, "full"),
        four_point=over(truth.source, "four_point"),
        kaggle_rmse=weighted,
        constant=_constant(truth),
        per_keypoint=_per_keypoint(truth, predicted),
        worst=_worst(truth, predicted),
    )


def _constant(truth: Solution) -> float | None:
    """RMSE of the mean of each feature, and source where known, as the prediction."""
    if truth.column is None:
        return None
    key = truth.column * 2
    if truth.source is not None:
        key = key + (truth.source == "four_point")
    mean = np.bincount(key, truth.location) / np.maximum(np.bincount(key), 1)
    return metrics.rmse(truth.location, mean[key])


def _per_keypoint(truth: Solution, predicted: np.ndarray) -> dict[str, float]:
    if truth.column is None:
        return {}
    keypoint = truth.column // 2
    return {
        KAGGLE_15.points[k]: metrics.rmse(truth.location[keypoint == k], predicted[keypoint == k])
        for k in np.unique(keypoint)
    }


def _worst(truth: Solution, predicted: np.ndarray) -> tuple[WorstImage, ...]:
    if truth.image is None:
        return ()
    order = np.argsort(truth.image, kind="stable")
    images, starts, count = np.unique(truth.image[order], return_index=True, return_counts=True)
    pairs = (np.split(values[order], starts[1:]) for values in (truth.location, predicted))
    errors = np.array([metrics.rmse(*pair) for pair in zip(*pairs, strict=True)])
    squares = count * errors**2
    share = squares / (squares.sum() or 1.0)
    top = np.argsort(-squares, kind="stable")[:_WORST]
    return tuple(WorstImage(int(images[i]), float(errors[i]), float(share[i])) for i in top)


def _line(name: str, value: float) -> str:
    return f"  {name:<26} {value:9.4f}"
