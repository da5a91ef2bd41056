"""Exporting runs: all of a run as one file that ONNX Runtime, LiteRT or TensorFlow runs alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.data import as_faces, built_in_images
from kfkd.errors import KfkdError, RunError, UnknownName
from kfkd.exports.formats import Format, convert, export_format
from kfkd.heatmaps import Heatmap
from kfkd.lazy import keras
from kfkd.progress import say
from kfkd.runs import Run, finished_run
from kfkd.storage.files import bytes_in, replacing, whole_folder, write_json

NEAR = 1e-3
"""How far an exported model's keypoints may lie from Keras' own, in pixels."""

_TIES = 0.01
"""Of heatmaps this share of the points may lie further off: where two cells of a map are as high,
or all of it is flat, rounding decides."""

_TESTED = 32
_MOST = 256


def export(
    run: Run | str | Path,
    to: str = "onnx",
    out: str | Path | None = None,
    *,
    source: str | None = None,
    views: bool = True,
    data: Any = None,
    quiet: bool = False,
) -> Path:
    """Writes a finished run as one model that needs nothing of kfkd.

    It takes uint8 images (n, h, w, c) as large as the run's, pixels 0–255, as `images`, and gives
    `keypoints`, float32 (n, k, 2) in pixels: all keypoints of the run's skeleton, NaN where the run
    has no model for one. Pre-processing, test-time views, every subset's model and its codec are
    inside, so it answers as `run.predict` does, but for second looks. It computes in float32: a run
    in mixed precision answers as the same weights do in float32. n is free; LiteRT begins with one
    image, and takes more after `resize_tensor_input`.

    The model is run in its own runtime before it is kept. Beside it lies OUT.json: keypoints,
    skeleton, codecs, scores, how faces are cropped, and how near its answers are.

    Args:
        run: a finished run, its folder, or a name of `kfkd.pretrained_runs()`.
        to: "onnx", "litert" (.tflite) or "saved_model" (a folder).
        out: the file or folder; None = named after the run's folder, in the current one.
        source: for models that know Kaggle's two label sources, as which to answer: "full" (None
            means it) or "four_point".
        views: whether test-time views go inside; without them it is faster and a little worse.
        data: images that it is tried on, as for `kfkd.predict`; None = built-in faces.
        quiet: no progress.

    Returns:
        The file or folder.

    Raises:
        UnknownName: when there is no such format or source.
        KfkdError: when a package lacks or the model cannot be converted.
        RunError: when the run is unfinished, or its keypoints and the exported model's differ by
            more than 0.001 px (of heatmaps one point in a hundred may); nothing is left then.

    Example:
        >>> import kfkd
        >>> run = kfkd.train("simple_cnn", epochs=1, out="runs/doc", quiet=True)
        >>> kfkd.export(run, "saved_model", "exported/doc", quiet=True).name
        'doc'
    """
    from kfkd.exports.facts import export_facts
    from kfkd.exports.graph import exported_model, looking_once, run_in_float32

    run, made = finished_run(run), export_format(to)
    path = _target(run, made, out)
    source = _source(run, source)
    images = _images(run, data, quiet)
    left_out = _left_out(run, views)
    run = looking_once(run)
    plain = run_in_float32(run, views)
    facts = export_facts(plain, made.name, source) | {"scores_with": left_out}
    with _beside(path, made) as (beside, facts_beside):
        say(f"converting {run.name} to {to}", quiet)
        convert(exported_model(plain, source or "full"), made, beside, facts)
        say(f"running it in {made.runtime}", quiet)
        with keras.device("cpu:0"):  # accelerators may compute with fewer digits, as TF32 has
            answer = _answer(plain, made, beside, images)
            check = _check(plain, made, answer, images, source)
            if views:
                check |= _from_mixed(run, answer, images, source)
        check["images"] = f"{len(images)} {'built-in faces' if data is None else 'images'}"
        facts |= {"check": check, "bytes": bytes_in(beside)}
        write_json(facts_beside, facts)
    say(f"{path}: {_told(facts)}", quiet)
    return path


def _left_out(run: Run, views: bool) -> list[str]:
    """What the run's scores were measured with and the exported model does not do."""
    views_told = any(len(run.views(subset)) > 1 for subset in run.subsets) and not views
    looks_again = any(run.second_look(subset) for subset in run.subsets)
    return [*(["views"] if views_told else []), *(["second_look"] if looks_again else [])]


def _target(run: Run, made: Format, out: str | Path | None) -> Path:
    path = Path(f"{run.folder.resolve().name}{made.suffix}" if out is None else out).expanduser()
    if not made.is_folder and path.suffix != made.suffix:
        raise KfkdError(f"export to {made.name} wants a file {made.suffix}. Received: {path}")
    if made.is_folder and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise KfkdError(f"{path} holds something already; name an empty or new folder")
    return path


def _source(run: Run, source: str | None) -> str | None:
    if source not in (None, "full", "four_point"):
        raise UnknownName("label source", str(source), ["full", "four_point"])
    if any(run.by_source(subset) for subset in run.subsets):
        return source or "full"
    if source is not None:
        raise KfkdError(f"{run.name} knows no label sources. Received: source={source}")
    return None


def _images(run: Run, data: Any, quiet: bool) -> np.ndarray:
    frame = run.model(run.subsets[0]).input_shape[1:]
    if data is None:
        return built_in_images(_TESTED, frame, run.known_crop_rule)
    images = as_faces(data, quiet=quiet, frame=frame).images
    return np.asarray(images[:: max(1, -(-len(images) // _MOST))])


@contextmanager
def _beside(path: Path, made: Format) -> Iterator[tuple[Path, Path]]:
    """Where model and facts are written before both are put into their places."""
    whole = whole_folder if made.is_folder else replacing
    with replacing(f"{path}.json") as facts, whole(path) as beside:
        yield beside, facts


def _answer(run: Run, made: Format, path: Path, images: np.ndarray) -> np.ndarray:
    """What the written model answers in its own runtime."""
    try:
        return made.predictor(path, None)(images)
    except Exception as error:
        # LiteRT's word for an operation that only TensorFlow has.
        lacking = sorted(set(re.findall(r"\bFlex(\w+)", str(error))))
        told = (
            f"it lacks {', '.join(lacking)}" if lacking else str(error).strip().partition("\n")[0]
        )
        raise RunError(f"{run.name} does not run in {made.runtime}: {told}") from error


def _check(
    run: Run, made: Format, answer: np.ndarray, images: np.ndarray, source: str | None
) -> dict[str, Any]:
    """How near the written model is to Keras, in pixels."""
    wanted = run.predict(images, source=source or "full")
    apart = furthest(answer, wanted)
    far = int((np.abs(answer - wanted).max(axis=-1) > NEAR).sum()) if np.isfinite(apart) else -1
    heatmaps = any(isinstance(run.codec(subset), Heatmap) for subset in run.subsets)
    if any(run.corrections(subset) for subset in run.subsets) and far > 0:
        # One point of a face that is a tie changes its shape, and so all of its points a little.
        far = int((np.nan_to_num(np.abs(answer - wanted)).max(axis=(1, 2)) > NEAR).sum())
    if far < 0 or far > (_TIES * wanted[..., 0].size if heatmaps else 0):
        raise RunError(
            f"{run.name} in {made.runtime} answers up to {apart:.4g} px from Keras, more than "
            f"{NEAR} px; nothing is kept"
        )
    return {"runtime": made.runtime, "largest_difference_px": apart, "points_further_off": far}


def _from_mixed(
    run: Run, answer: np.ndarray, images: np.ndarray, source: str | None
) -> dict[str, Any]:
    """How near it is to a run that computes in mixed precision."""
    from kfkd.float32 import answers_mixed

    if not answers_mixed(run):
        return {}
    own = run.predict(images, source=source or "full")
    return {"from_mixed_precision_px": furthest(answer, own)}


def furthest(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference of two sets of keypoints; infinite where only one knows a point."""
    if found.shape != wanted.shape or (np.isnan(found) != np.isnan(wanted)).any():
        return float("inf")
    return float(np.nanmax(np.abs(found - wanted)))


def _told(facts: dict[str, Any]) -> str:
    check = facts["check"]
    told = f"{facts['bytes'] / 1e6:.2f} MB, within {check['largest_difference_px']:.1g} px of "
    told += f"Keras on {check['images']}"
    if apart := check.get("from_mixed_precision_px"):
        told += f"; in mixed precision, as trained, the run answers up to {apart:.2g} px from that"
    return told
