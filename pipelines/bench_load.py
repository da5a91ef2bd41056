"""How fast training.csv is read, against the recipe found in nearly every notebook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.errors import DataError, KfkdError
from kfkd.pipelines.archives import Member, find_member, wanted_files
from kfkd.pipelines.csv_pixels import SIDE
from kfkd.pipelines.kaggle import TABLES
from kfkd.pipelines.sources import load_faces
from kfkd.progress import say
from kfkd.skeletons import KAGGLE_15

_COLD = """
import json, sys, time
from kfkd.pipelines.bench_load import peak_mb
from kfkd.pipelines.sources import load_faces
start = time.perf_counter()
faces = load_faces(path=sys.argv[1], cache=False, quiet=True)
seconds = time.perf_counter() - start
print(json.dumps([seconds, peak_mb(), faces.fingerprint]))
"""


def bench_load(
    path: str | Path | None = None, rows: int = 7049, quiet: bool = False
) -> dict[str, float]:
    """Times the usual recipe, our first load and our second load of the same file, in one run.

    First loads run in processes of their own, without cache, so that their peak memory is their
    own. Of three the middle time counts, since they are short enough for a busy machine to spoil
    one, and the largest peak. All ways must return the same values.

    Args:
        path: training.csv, its zip or a folder with one; None = built-in faces are written.
        rows: how many, where they are written; the competition has 7,049.
        quiet: do not say on stderr what is being done.

    Returns:
        recipe_s, cold_s, warm_s in seconds; cold_speedup, warm_speedup as multiples of the
        recipe's speed; cold_peak_mb in MB; rows.

    Raises:
        KfkdError: when the file cannot be read, or two ways of reading it disagree.

    Example:
        >>> bench_load(rows=20, quiet=True)["rows"]
        20
    """
    with tempfile.TemporaryDirectory(prefix="kfkd-bench-") as scratch:
        if path is None:
            from kfkd.pipelines.synthetic import write_kaggle_folder

            say(f"writing {rows:,} built-in faces", quiet)
            path = write_kaggle_folder(Path(scratch, "faces"), train=rows, test=10)
        member = find_member(path, TABLES["train"])
        if member is None:
            raise DataError(f"wanted {wanted_files(TABLES['train'])}", file=path)
        with member.file.open("rb") as file:  # from disk once, so that no way pays for it alone
            while file.read(1 << 22):
                pass
        say("first load, no cache, three times", quiet)
        cold = sorted(_cold(Path(path)) for _ in range(3))
        cold_s, _, fingerprint = cold[1]
        say("the usual recipe", quiet)
        recipe_s, (keypoints, images) = _timed(lambda: usual_recipe(member))
        say("second load, from the cache", quiet)
        with _environment("KFKD_CACHE", str(Path(scratch, "cache"))):
            load_faces(path=path, quiet=True)
            warm_s, faces = _timed(lambda: load_faces(path=path, quiet=True))
    same = np.array_equal(faces.images, images) and faces.fingerprint == fingerprint
    # pandas' own parser of numbers is not exact to the last bit
    if not same or not np.allclose(faces.keypoints, keypoints, rtol=1e-6, atol=0, equal_nan=True):
        raise KfkdError(f"{member.name}: the ways of reading it disagree")
    return {
        "recipe_s": recipe_s,
        "cold_s": cold_s,
        "warm_s": warm_s,
        "cold_speedup": recipe_s / cold_s,
        "warm_speedup": recipe_s / warm_s,
        "cold_peak_mb": max(peak for _, peak, _ in cold),
        "rows": len(faces),
    }


def usual_recipe(member: Member) -> tuple[np.ndarray, np.ndarray]:
    """Reads training.csv as notebooks do: pandas, then `np.fromstring` row by row.

    Args:
        member: the file.

    Returns:
        float32 (n, 15, 2) keypoints and uint8 (n, 96, 96, 1) images.

    Example:
        >>> keypoints, images = usual_recipe(Member(Path("training.csv")))  # doctest: +SKIP
    """
    import pandas as pd

    with member.open() as (stream, _):
        frame = pd.read_csv(stream)
    pixels = frame["Image"].apply(lambda text: np.fromstring(text, sep=" "))
    images = np.vstack(pixels.to_list()).reshape(-1, SIDE, SIDE, 1)
    keypoints = frame[list(KAGGLE_15.columns)].to_numpy(np.float32)
    return keypoints.reshape(len(frame), -1, 2), images.astype(np.uint8)


def peak_mb() -> float:
    """The most memory this process has held, in MB.

    Example:
        >>> peak_mb() > 1
        True
    """
    import resource

    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts the parent that this process was forked from
        peak = [line.split() for line in status.read_text().splitlines() if "VmHWM" in line]
        if peak:
            return int(peak[0][1]) / 1024
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _cold(path: Path) -> tuple[float, float, str]:
    command = [sys.executable, "-c", _COLD, str(path.absolute())]
    done = subprocess.run(command, capture_output=True, text=True, env=_with_package())
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise KfkdError(f"reading {path} failed: {last}")
    return tuple(json.loads(done.stdout))


def _with_package() -> Mapping[str, str]:
    """The environment, with wherever kfkd was imported from."""
    import kfkd

    home = str(Path(kfkd.__file__).parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    value = call()
    return time.perf_counter() - start, value


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
