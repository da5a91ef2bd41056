"""All of a run as one Keras model: images in, every keypoint in pixels out."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kfkd.answer_model import with_doubts
from kfkd.by_source import join_sources
from kfkd.codecs import Codec
from kfkd.correction import Correction
from kfkd.exports.correcting import corrected_points
from kfkd.exports.views import mean_points, seen_images
from kfkd.float32 import net_in_float32
from kfkd.integral import Integral
from kfkd.pipelines.layer_calls import inner_layers
from kfkd.rereading import reread
from kfkd.runs import Run
from kfkd.views import Views

INPUT, OUTPUT = "images", "keypoints"
"""Names of what an exported model takes and gives."""


@dataclass(frozen=True)
class Part:
    """What one subset's model takes part with.

    Args:
        codec: what its outputs mean.
        views: how it looks at images.
        mirror: for each of its points the one it becomes in a mirror image; None = none.
        offset: what is added to its points, float32 (p, 2).
        joined: which of its points are given, in order; None = all.
        correction: of these; None = none.
    """

    codec: Codec
    views: Views
    mirror: tuple[int, ...] | None
    offset: np.ndarray
    joined: np.ndarray | None = None
    correction: Correction | None = None

    @property
    def with_doubts(self) -> bool:
        """Whether the correction wants to know how much points are doubted, and that is known."""
        wanted = self.correction and self.correction.smooth and self.correction.smooth.doubts
        sides = 2 if self.views.flip and self.mirror is not None else 1
        known = isinstance(self.codec, Integral) or sides * len(self.views.scales) > 1
        return bool(wanted and known)


class ExportedModel(keras.Model):
    """uint8 images (n, h, w, c) → {"keypoints": float32 (n, k, 2)} in pixels, NaN = unknown.

    Args:
        models: a model a subset.
        parts: what belongs to each.
        places: for each keypoint where it stands among all points of the models, one after the
            other; the number after the last = no model gives it.
    """

    def __init__(self, models: list[keras.Model], parts: list[Part], places: np.ndarray) -> None:
        super().__init__(name="kfkd", dtype="float32")
        self.models, self.parts = models, parts
        self.places = places

    def call(self, images: Any) -> dict[str, Any]:
        """Keypoints of images."""
        ops, pixels = keras.ops, keras.ops.cast(images, "float32")
        points = [self._points(*one, pixels) for one in zip(self.models, self.parts, strict=True)]
        known = sum(found.shape[1] for found in points)
        if known in self.places:
            points.append(points[0][:, :1] * np.float32(np.nan))
        every = points[0] if len(points) == 1 else ops.concatenate(points, axis=1)
        if np.array_equal(self.places, np.arange(known)):
            return {OUTPUT: every}
        return {OUTPUT: ops.take(every, self.places, axis=1)}

    def _points(self, model: keras.Model, part: Part, pixels: Any) -> Any:
        seen = seen_images(pixels, part.views, part.mirror is not None)
        outputs = model(seen, training=False)
        found = part.codec.decode(outputs)
        if part.with_doubts:
            found = with_doubts(found, outputs, part.codec, unknown=0.0)
        points = mean_points(found, part.views, part.mirror, tuple(pixels.shape[1:3]))
        if part.offset.any():
            points = points + np.pad(part.offset, ((0, 0), (0, points.shape[-1] - 2)))
        if part.joined is not None:
            points = keras.ops.take(points, part.joined, axis=1)
        return points if part.correction is None else corrected_points(points, part.correction)


def exported_model(run: Run, source: str) -> ExportedModel:
    """A run's models, codecs and views as one model.

    Args:
        run: of `run_in_float32`.
        source: as which label source models answer that know both.
    """
    models = [_with_plain_numbers(run.model(subset)) for subset in run.subsets]
    parts = [_part(run, subset, source) for subset in run.subsets]
    made = ExportedModel(models, parts, _places(run))
    made(np.zeros((1, *models[0].input_shape[1:]), np.uint8))
    return made


def _part(run: Run, subset: str, source: str) -> Part:
    by_source = run.by_source(subset)
    every = np.arange(len(run.points(subset)), dtype=np.int32)
    joined = join_sources(every[None, :, None], source)[0, :, 0] if by_source else None
    return Part(
        run.codec(subset),
        run.views(subset),
        run.mirror(subset),
        run.label_offset(subset),
        joined,
        run.corrections(subset).get(source if by_source else "all"),
    )


def _with_plain_numbers(model: keras.Model) -> keras.Model:
    """A model whose normalisation holds arrays: tensors would become inputs of an ONNX file."""
    for layer in inner_layers(model):
        if isinstance(layer, keras.layers.Normalization):
            for name in ("mean", "variance"):
                held = keras.ops.convert_to_numpy(getattr(layer, name))
                setattr(layer, name, held.astype(np.float32))
    return model


def _places(run: Run) -> np.ndarray:
    counts = [len(run.skeleton.subset(subset)) for subset in run.subsets]
    places, first = np.full(len(run.skeleton), sum(counts), np.int32), 0
    for subset, count in zip(run.subsets, counts, strict=True):
        places[list(run.skeleton.subset(subset))] = np.arange(first, first + count)
        first += count
    return places


def looking_once(run: Run) -> Run:
    """The same run without second looks, which depend on the first: a graph has none."""
    return reread(run, second_look=False)


def run_in_float32(run: Run, views: bool = True) -> Run:
    """The same run with models that compute in float32, which is what the runtimes know.

    Args:
        run: any.
        views: False = every image is looked at once, as it is.
    """
    record = deepcopy(run.record)
    if not views:
        for facts in record["subsets"].values():
            facts.pop("views", None)
    return Run(run.folder, record, {subset: net_in_float32(run, subset) for subset in run.subsets})
