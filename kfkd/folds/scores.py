"""Scores of out-of-fold predictions, beside mean faces that never saw the fold either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kfkd.errors import DataError
from kfkd.faces import FaceSet
from kfkd.scoring import mean_faces, summary
from kfkd.submissions.out_of_fold import OutOfFold


class FoldScorer:
    """Scores rows of a cross-validation.

    Args:
        predictions: give labels and folds.
        without: ids that the second figure, "clean", leaves out; () = there is none.
    """

    def __init__(self, predictions: OutOfFold, without: Sequence[int] = ()) -> None:
        self.faces = faces_without_images(predictions)
        self.without = np.array(without, np.int64)
        self.one = np.full(self.faces.keypoints.shape, np.nan, np.float32)
        self.per_source = self.one.copy()
        for number in np.unique(predictions.fold):
            own = predictions.fold == number
            means = mean_faces(self.faces[~own])
            self.one[own] = np.array(means["all"], np.float32)
            for source in np.unique(self.faces.source[own]).tolist():
                rows = own & (self.faces.source == source)
                self.per_source[rows] = np.array(means.get(source, means["all"]), np.float32)

    def scores(self, predicted: np.ndarray, rows: np.ndarray | None = None) -> dict[str, Any]:
        """RMSEs in pixels of all rows, and of the clean ones where some are left out.

        Args:
            predicted: (n, k, 2) in pixels, for all rows of the data.
            rows: bool (n,): which rows count; None = all.

        Returns:
            "all" and maybe "clean": images, and the scores of "model", "mean_face" and
            "mean_per_source" by name.

        Raises:
            DataError: when nothing can be compared.
        """
        rows = np.ones(len(self.faces), bool) if rows is None else rows
        found = {"all": self._scores(predicted, rows)}
        if len(self.without):
            clean = rows & ~np.isin(self.faces.ids, self.without)
            found["clean"] = self._scores(predicted, clean)
        return found

    def _scores(self, predicted: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
        light, own = self.faces[rows], predicted[rows]
        compared = light.labelled & ~np.isnan(own)
        if not compared.any():
            raise DataError(f"nothing to score: {len(light)} rows without labels for predictions")
        truth = np.where(compared, light.keypoints, np.nan)
        constants = {"mean_face": self.one, "mean_per_source": self.per_source}
        return {
            "images": len(light),
            "model": summary(truth, own, light),
            **{name: summary(truth, face[rows], light) for name, face in constants.items()},
        }


def faces_without_images(predictions: OutOfFold) -> FaceSet:
    """The labelled rows that were predicted, with images of one black pixel: enough for scores."""
    return FaceSet(
        images=np.zeros((len(predictions.ids), 1, 1, 1), np.uint8),
        keypoints=predictions.truth,
        skeleton=predictions.skeleton,
        source=predictions.source,
        group=predictions.group,
        ids=predictions.ids,
    )


def scores_table(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Scores as a Markdown table, in both figures where there are two.

    Args:
        rows: a name and what `FoldScorer.scores` gives.
    """
    clean = any("clean" in scores for _, scores in rows)
    names = [n for n in _SHOWN if any(s["all"]["model"].get(n) is not None for _, s in rows)]
    header = ["RMSE in px", "images"]
    for name in names:
        header += [name.replace("_", "-") if name == "four_point" else name]
        header += [f"{name}, clean"] if clean and name == names[0] else []
    header += ["mean face (per source)"] + (["clean"] if clean else [])
    cells = [[title, *_cells(scores, names, clean)] for title, scores in rows]
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_SHOWN = ("kaggle_rmse", "all", "dense", "sparse", "full", "four_point")


def _cells(scores: dict[str, Any], names: Sequence[str], clean: bool) -> list[str]:
    whole, part = scores["all"], scores.get("clean")
    cells = [str(whole["images"])]
    for name in names:
        cells.append(number(whole["model"].get(name)))
        if clean and name == names[0]:
            cells.append(number(part["model"].get(name)) if part else "—")
    return cells + [_mean_faces(one, names[0]) for one in ((whole, part) if clean else (whole,))]


def _mean_faces(scores: dict[str, Any] | None, name: str) -> str:
    if scores is None:
        return "—"
    return f"{number(scores['mean_face'][name])} ({number(scores['mean_per_source'][name])})"


def number(value: float | None) -> str:
    """A score as text."""
    return "—" if value is None else f"{value:.3f}"
