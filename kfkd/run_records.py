"""What a run.json must be, as it may come from anyone: every part of the kind that verbs expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfkd.codecs import codec_from
from kfkd.correction import CORRECTIONS
from kfkd.errors import KfkdError, RunError
from kfkd.run_kinds import (
    KINDS,
    PHASE,
    PLATEAU,
    STAGE,
    STAGE_WANTED,
    SUBSET,
    WANTED,
    WANTED_FINISHED,
)
from kfkd.skeletons import SKELETONS, Skeleton, skeleton_from
from kfkd.storage.kinds import ASKED, MAYBE, check_kinds, check_plain
from kfkd.views import views_from

MOST_SIDE = 4096
"""Of a run's images, in pixels."""


class Facts(dict[str, Any]):
    """An object of a run.json; asked for what it lacks, it says so."""

    def __missing__(self, key: str) -> Any:
        raise RunError(f"the run.json lacks {key!r:.80}, which is wanted here")


def check_record(record: Any, path: Path) -> dict[str, Any]:
    """Checks that a run.json has what a run needs, and nothing of another kind than it should be.

    Args:
        record: its content, which may be anything.
        path: the file.

    Returns:
        The record; what a verb asks of it and it lacks is a RunError, too.

    Raises:
        RunError: naming what is wrong.
    """
    try:
        _check_plain(record)
        try:
            _check_kinds(record)
        except KfkdError as error:
            raise KfkdError(f"does not describe a run: {error}") from error
        skeleton = _skeleton(record)
        _check_parts(record, skeleton)
        for name, facts in record["subsets"].items():
            _check_subset(name, facts)
    except KfkdError as error:
        raise RunError(f"{path} {error}") from error
    return _facts(record)


def _check_plain(record: Any) -> None:
    if isinstance(record, dict):
        check_plain(record.get("settings"), ASKED)
        record = {key: value for key, value in record.items() if key != "settings"}
    check_plain(record)


def _check_kinds(record: Any) -> None:
    check_kinds(record, KINDS[""], WANTED[""])
    wanted = {place: set(keys) for place, keys in WANTED.items()}
    if record["status"] == "finished":
        for place, keys in WANTED_FINISHED.items():
            wanted[place] = wanted.get(place, set()) | {*keys}
    for place, kinds in KINDS.items():
        found = record
        for part in place.split(".") if place else ():
            found = found.get(part, {})
        check_kinds(found, kinds, wanted.get(place, ()), "" if place == "data" else place)
    settings = record["settings"]
    if not all(isinstance(subset, str) for subset in settings["subsets"]):
        raise KfkdError("settings subsets are no names")
    for stage in record.get("lineage", ()):
        check_kinds(stage, STAGE, STAGE_WANTED, "a stage of lineage")
    for phase in settings["recipe"].get("phases", ()):
        check_kinds(phase, PHASE, ("epochs", "unfreeze"), "a phase")
    if plateau := settings["recipe"].get("plateau"):
        check_kinds(plateau, PLATEAU, (), "plateau")


def _skeleton(record: dict[str, Any]) -> Skeleton:
    found = SKELETONS.get(record["skeleton"])
    if "keypoints" in record:
        try:
            found = skeleton_from(record["keypoints"])
        except KfkdError as error:
            raise KfkdError(f"holds {error}") from error
    if found is None:
        raise KfkdError(f"names an unknown skeleton. Received: {record['skeleton']!r:.80}")
    return found


def _check_parts(record: dict[str, Any], skeleton: Skeleton) -> None:
    known = {"all", *skeleton.subsets}
    if not {*record["subsets"]} <= known:
        raise KfkdError(f"names unknown subsets; it may have {', '.join(sorted(known))}")
    if record["status"] == "finished" and not record["subsets"]:
        raise KfkdError("is of a finished run without any model")
    for name, face in record.get("mean_face", {}).items():
        pairs = isinstance(face, list) and len(face) == len(skeleton) and all(map(_is_pair, face))
        if not pairs:
            raise KfkdError(f"wants {len(skeleton)} points for the mean face of {name!r:.40}")
    if any(len(row) != 3 for row in record.get("metrics", {}).get("worst", ())):
        raise KfkdError("wants a number, an error and a share for each of the worst images")
    for name, pair in record.get("metrics", {}).get("keypoints", {}).items():
        if not _is_pair(pair):
            raise KfkdError(f"wants two errors for {name!r:.60}, the model's and the mean face's")
    match record["data"].get("image", [1, 1, 1]):
        case [int(height), int(width), int(channels)]:
            sides = 1 <= height <= MOST_SIDE and 1 <= width <= MOST_SIDE and 1 <= channels <= 4
        case _:
            sides = False
    if not sides:
        raise KfkdError(f"wants images of 1 to {MOST_SIDE} pixels a side. Received: other ones")
    if not 0 <= record["split"].get("share", 0) < 1:
        raise KfkdError("holds out a share that is none")


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(v, MAYBE) and not isinstance(v, bool) for v in value)
    )


def _check_subset(name: str, facts: Any) -> None:
    try:
        codec_from(facts["codec"])
        views_from(facts.get("views", {}))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise KfkdError(f"gives {name!r} no known codec: {error!s:.500}") from error
    check_kinds(facts, SUBSET, (), f"of {name}")
    if not 0 <= facts.get("epochs_before", 0) <= 1e6:
        raise KfkdError(f"has a number of epochs before {name} that is none")
    known = ("all", "full", "four_point")
    for kind in CORRECTIONS:
        if any(key not in known for key in facts.get(kind, ())):
            told = kind.replace("_", " ")
            raise KfkdError(f"has {told}s of {name} for others than {', '.join(known)}")


def _facts(value: Any) -> Any:
    """The same value with objects that tell what they lack."""
    if isinstance(value, dict):
        return Facts({key: _facts(one) for key, one in value.items()})
    return [_facts(one) for one in value] if isinstance(value, list) else value
