"""How fast faces are found in photos, how many, and what the rest of the way costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from kfkd.building import build
from kfkd.drawing.photo_pictures import save_picture
from kfkd.errors import KfkdError
from kfkd.finding import KeypointFinder
from kfkd.lazy import cv2
from kfkd.pipelines.detectors import detector
from kfkd.pipelines.photo_reading import chunks, photo_paths, read_photos
from kfkd.pipelines.photo_recipe import usual_recipe
from kfkd.pipelines.photos import Photo, read_photo
from kfkd.pretrained import pretrained_runs
from kfkd.progress import say
from kfkd.registry import entry
from kfkd.runs import Run, finished_run
from kfkd.skeletons import KAGGLE_15
from kfkd.text import table

MEGAPIXEL = 1_000_000
_BATCH = 32


def bench_detect(
    photos: Sequence[str | Path],
    detectors: Sequence[str] = ("mtcnn", "haar"),
    model: str = "pyramid",
    rounds: int = 3,
    most: int = 64,
    quiet: bool = False,
) -> dict[str, Any]:
    """Times the way from photos to keypoints.

    Ways take turns and medians of paired ratios count, so that a busy machine spoils little;
    the first round, in which graphs are built, is left out.

    Args:
        photos: folders and files, such as one folder of faces after another.
        detectors: names.
        model: a run by name or folder, or an entry of the zoo, which then has random weights.
        rounds: how often.
        most: photos of each folder, evenly spread over it.
        quiet: no progress.

    Returns:
        "model" and, by detector, "one_photo": of a photo of a megapixel with one face "read_ms",
        "detect_ms", "after_ms" (crop, model, way back) and "after_share" of the whole; and
        "folders", for each: "photos", "found" (photos with a face), "missed", "photos_per_s",
        "against_one_by_one" (batches against our own loop over photos) and "against_recipe"
        (against the usual code, None where there is none).

    Raises:
        DataError: when a photo cannot be read.
        KfkdError: when a number makes no sense or no photo has a face.
    """
    if rounds < 1 or most < 2:
        raise KfkdError(f"wanted rounds >= 1 and most >= 2. Received: {rounds} and {most}")
    run = _run(model)
    folders = {str(place): _some(photo_paths([place]), most) for place in photos}
    finders = {name: KeypointFinder(run, detector(name)) for name in detectors}
    megapixel = _megapixel(finders, [path for paths in folders.values() for path in paths])
    made: dict[str, Any] = {}
    for name, finder in finders.items():
        rows = {}
        for place, paths in folders.items():
            rows[place] = _folder(finder, name, paths, rounds)
            say(f"{name}, {place}: {rows[place]['photos_per_s']} photos/s", quiet)
        made[name] = {"one_photo": _one_photo(finder, megapixel, rounds), "folders": rows}
    return {"model": model, "detectors": made}


def _run(name: str) -> Run:
    """A finished run, or an untrained model of the zoo as one."""
    if name in pretrained_runs() or Path(name).is_dir():
        return finished_run(name)
    found = entry(name)
    model = build(name, found.codec.outputs(len(KAGGLE_15)))
    record = {
        "model": name,
        "skeleton": KAGGLE_15.name,
        "subsets": {"all": {"codec": found.codec.config()}},
        "data": {"origin": found.dataset},
    }
    return Run(Path("untrained"), record, {"all": model})


def _some(paths: list[Path], most: int) -> list[Path]:
    places = np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int))
    return [paths[i] for i in places]


def _folder(finder: KeypointFinder, name: str, paths: list[Path], rounds: int) -> dict[str, Any]:
    counts: list[int] = []

    def batched() -> None:
        counts.clear()
        for chunk in chunks(read_photos(paths), _BATCH):
            faces = finder([photo for _, photo in chunk if isinstance(photo, Photo)])
            counts.extend(map(len, faces))

    def one_by_one() -> None:
        for path in paths:
            finder([read_photo(path)])

    ways: dict[str, Callable[[], Any]] = {"batched": batched, "one_by_one": one_by_one}
    if name in ("mtcnn", "haar"):
        usual = usual_recipe(name, finder.run.model("all"))
        ways["recipe"] = lambda: [usual(path) for path in paths]
    times = _turns(ways, rounds)
    found = sum(map(bool, counts))
    return {
        "photos": len(paths),
        "found": found,
        "missed": len(counts) - found,
        "photos_per_s": round(len(paths) / median(times["batched"]), 1),
        **{f"against_{way}": _ratio(times, way) for way in ("one_by_one", "recipe")},
    }


def _turns(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds + 1):
        for way, run in ways.items():
            began = time.perf_counter()
            run()
            times[way].append(time.perf_counter() - began)
    return {way: seconds[1:] for way, seconds in times.items()}


def _ratio(times: dict[str, list[float]], way: str) -> float | None:
    if way not in times:
        return None
    pairs = zip(times[way], times["batched"], strict=True)
    return round(median(other / ours for other, ours in pairs), 2)


def _one_photo(finder: KeypointFinder, pixels: np.ndarray, rounds: int) -> dict[str, Any]:
    photo = read_photo(pixels)
    boxes = finder.boxes([photo])
    with TemporaryDirectory() as folder:
        path = save_picture(pixels, Path(folder, "megapixel.jpg"))
        ways: dict[str, Callable[[], Any]] = {
            "read": lambda: read_photo(path),
            "detect": lambda: finder.boxes([photo]),
            "after": lambda: finder.keypoints([photo], boxes),
        }
        times = {way: median(seconds) for way, seconds in _turns(ways, 5 * rounds).items()}
    whole = sum(times.values())
    figures = {f"{way}_ms": round(1000 * seconds, 1) for way, seconds in times.items()}
    return {**figures, "after_share": round(times["after"] / whole, 4)}


def _megapixel(finders: Mapping[str, KeypointFinder], paths: list[Path]) -> np.ndarray:
    """The first photo in which every detector finds one face, brought to a megapixel."""
    for path in paths:
        pixels = read_photo(path).pixels
        factor = np.sqrt(MEGAPIXEL / (pixels.shape[0] * pixels.shape[1]))
        photo = read_photo(cv2.resize(pixels, None, fx=factor, fy=factor))
        if all(len(finder.boxes([photo])[0]) == 1 for finder in finders.values()):
            return photo.pixels
    raise KfkdError(f"none of the photos has one face for each of {', '.join(finders)}")


def figures_table(figures: dict[str, Any]) -> str:
    """The figures of `bench_detect` as two tables.

    Args:
        figures: what it returned.
    """
    folders, ones = [], []
    for name, made in figures["detectors"].items():
        one = made["one_photo"]
        shown = (one["read_ms"], one["detect_ms"], one["after_ms"])
        ones.append([name, *shown, f"{100 * one['after_share']:.1f}"])
        for place, row in made["folders"].items():
            cells = ["—" if value is None else value for value in row.values()]
            folders.append([name, Path(place).name, *cells])
    head = ["detector", "folder", "photos", "found", "missed", "photos/s"]
    first = table([*head, "× one by one", "× usual recipe"], folders)
    head = ["detector", "read ms", "detect ms", "after ms", "after %"]
    return f"{first}\n\none photo of a megapixel with one face:\n{table(head, ones)}"
