"""The run folder of a training: made where there is none, checked where there is one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kfkd.errors import RunError, WriteError
from kfkd.faces import FaceSet
from kfkd.lazy import keras
from kfkd.learning.determinism import accelerator
from kfkd.learning.settings import Settings
from kfkd.learning.trainer import tidy
from kfkd.machine import machine, versions
from kfkd.machines.cluster import Machines
from kfkd.runs import RECORD, Run, load_run, save_record
from kfkd.skeletons import SKELETONS, Skeleton
from kfkd.storage.files import make_folder
from kfkd.storage.locks import locked


@contextmanager
def opened_run(
    name: str,
    out: str | Path | None,
    settings: Settings,
    faces: FaceSet,
    machines: Machines,
) -> Iterator[Run]:
    """The run, in a folder that nobody else works in; of several machines, one opens it.

    Args:
        name: zoo entry, which a new folder is called by.
        out: the folder; None = one of its own in runs.
        settings: what is asked for.
        faces: all rows.
        machines: that train together.

    Raises:
        RunError: when the folder holds a run of other settings or data, or something else.
        InUse: when another process is at work in it.
        WriteError: when it cannot be made.
    """
    machines.agree("settings or data", [settings.plain(), faces.fingerprint])
    with ExitStack() as stack:

        def opened() -> dict[str, Any]:
            folder = _new_folder(name) if out is None else Path(out).expanduser()
            stack.enter_context(locked(folder))
            run = _opened(folder, settings, faces)
            if run.finished:
                tidy(folder)
            return {"folder": str(folder), "record": run.record}

        told = machines.told(opened)
        yield Run(Path(told["folder"]), told["record"])


def _new_folder(name: str) -> Path:
    """A folder of its own, even where several trainings begin within a second."""
    stem, count = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}", 1
    while True:
        folder = Path("runs") / (stem if count == 1 else f"{stem}-{count}")
        make_folder(folder.parent)
        try:
            folder.mkdir()
        except FileExistsError:
            count += 1
        except OSError as error:
            raise WriteError(folder, error.strerror or str(error)) from error
        else:
            return folder


def _opened(folder: Path, settings: Settings, faces: FaceSet) -> Run:
    """The run in `folder`, made where there is none, checked where there is one."""
    data, backend = _data_facts(faces), keras.config.backend()
    if not (folder / RECORD).exists():
        _refuse_foreign(folder)
        return _new_run(folder, settings, faces, data)
    if (folder / "checkpoint").is_symlink():
        # Whoever made the folder would say where files are written, and which are removed.
        raise RunError(f"{folder} keeps its checkpoint elsewhere, by a link; copy the files")
    run = load_run(folder)
    old = run.record
    began = backend if run.finished else old.get("backend", "tensorflow")
    asked, ends = (", ".join(s.normaliser_names) for s in (faces.skeleton, run.skeleton))
    for what, new, known in (
        ("settings", settings.plain(), old["settings"]),
        ("data", data["fingerprint"], old["data"].get("fingerprint")),
        ("backend", backend, began),
        ("points that normalise", asked or ends, ends),
    ):
        if new != known and not _has_learned(folder):
            return _new_run(folder, settings, faces, data)
        if new != known:
            raise RunError(
                f"{folder} holds a run with other {what} ({_difference(new, known)}); "
                "choose another folder, or remove it"
            )
    old["data"] = data
    return run


def _new_run(folder: Path, settings: Settings, faces: FaceSet, data: dict[str, Any]) -> Run:
    trains = accelerator()
    record = {
        "model": settings.model,
        "status": "running",
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "settings": settings.plain(),
        "skeleton": faces.skeleton.name,
        **_own_keypoints(faces.skeleton),
        **({} if faces.crop is None else {"crop": faces.crop.as_dict()}),
        "data": data,
        "split": {},
        "subsets": {},
        "machine": machine() | ({"accelerator": trains} if trains else {}),
        "backend": keras.config.backend(),
        "versions": versions(),
    }
    save_record(folder, record)
    return Run(folder, record)


def _data_facts(faces: FaceSet) -> dict[str, Any]:
    return {
        "origin": faces.origin,
        "path": faces.path,
        "fingerprint": faces.fingerprint,
        "image": list(faces.images.shape[1:]),
        "rows": len(faces),
        "sources": {str(s): int((faces.source == s).sum()) for s in np.unique(faces.source)},
    }


def _own_keypoints(skeleton: Skeleton) -> dict[str, Any]:
    """What run.json must know of a skeleton that the package does not know by its name."""
    return {} if SKELETONS.get(skeleton.name) == skeleton else {"keypoints": skeleton.as_dict()}


def _refuse_foreign(folder: Path) -> None:
    """A run owns its folder: it removes leftovers of killed trainings there."""
    if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise RunError(f"{folder} holds something else than a run; name an empty or new folder")


def _has_learned(folder: Path) -> bool:
    """Whether an epoch's work would be lost; a run that failed at its start may be replaced."""
    return (folder / "history.csv").exists() or any(folder.glob("*.keras"))


def _difference(new: Any, old: Any) -> str:
    if not isinstance(new, dict) or not isinstance(old, dict):
        return f"received {new}, it has {old}"
    pairs = {key: (new.get(key, "nothing"), old.get(key, "nothing")) for key in {**old, **new}}
    return "; ".join(
        f"{key}: {_difference(*pair)}" for key, pair in pairs.items() if pair[0] != pair[1]
    )
