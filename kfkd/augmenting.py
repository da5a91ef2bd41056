"""Pictures and numbers by which a person judges a mix before training with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from kfkd.augment import Mix, mix
from kfkd.data import as_faces
from kfkd.errors import KfkdError
from kfkd.progress import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 100
_MOST = 50
_HARD = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class DrawnMix:
    """What drawing a mix left.

    Args:
        mix: the mix.
        out: the folder with the pictures.
        files: their names.
        numbers: how many "images" were drawn, how many of their "points" are labelled and in the
            frame before; as shares, the "points_lost" and the "faces_losing" one or more.
    """

    mix: Mix
    out: Path
    files: tuple[str, ...]
    numbers: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "mix": self.mix.name or None,
            "text": str(self.mix),
            "branches": [[str(t) for t in branch] for branch in self.mix.branches],
            **self.numbers,
            "pictures": [str(self.out / name) for name in self.files],
        }

    def table(self) -> str:
        """All of it as text for a terminal, about 100 characters wide."""
        lines = listed({self.mix.name or "mix": str(self.mix)}).split("\n")
        count = len(self.mix.branches)
        for branch in self.mix.branches:
            lines += [f"one image in {count}:"] * (count > 1)
            lines += [f"  {transform}" for transform in branch or ("original",)]
        pictures = [str(self.out / name) for name in self.files]
        return "\n".join([*lines, self._counts(), *pictures])

    def _counts(self) -> str:
        found = self.numbers
        if not found["points"]:
            return "there are no labelled keypoints to count"
        return (
            f"{found['points_lost']:.2%} of {found['points']:,} labelled keypoints leave the frame "
            f"in {found['images']} draws; {found['faces_losing']:.1%} of the draws lose some"
        )


def listed(mixes: Mapping[str, str]) -> str:
    """Mixes and their texts as a table, about 100 characters wide.

    Args:
        mixes: texts by name.

    Example:
        >>> listed({"none": "original"})
        'none  original'
    """
    column = max(map(len, mixes))
    indent, lines = " " * (column + 2), []
    for name, text in mixes.items():
        whole = re.sub(r"\(.*?\)", lambda part: part[0].replace(" ", _HARD), text)
        lines += wrap(
            whole,
            max(_WIDTH, column + 42),
            initial_indent=name.ljust(column + 2),
            subsequent_indent=indent,
            break_long_words=False,
        )
    return "\n".join(lines).replace(_HARD, " ")


def draw_mix(
    what: str | Mix,
    data: Any = None,
    out: str | Path = "kfkd-augment",
    *,
    faces: int = 6,
    draws: int = 9,
    seed: int = 0,
    quiet: bool = False,
) -> DrawnMix:
    """Draws sheets of what a mix makes of faces and of their keypoints, and counts those lost.

    mix.png shows some faces and draws of the whole mix. transforms.png shows one face: each
    transform of the mix alone, applied whatever its share, and, where the mix has several
    branches, those that are no single transform. A mix without transforms gives mix.png alone.

    Args:
        what: mix, its name or text.
        data: as `kfkd.explore` takes it.
        out: the folder for the pictures, made where absent; a rerun replaces them.
        faces: how many, spread over the data, with all labels where there are such.
        draws: of each face and of each transform.
        seed: of the draws.
        quiet: tell no progress; otherwise a line a step on standard error.

    Returns:
        The mix, the pictures' names and the numbers.

    Raises:
        UnknownName: when there is no such mix or transform.
        KfkdError: when a number makes no sense, there is no face, the data cannot be read or the
            folder not be written.

    Example:
        >>> import tempfile
        >>> from kfkd.pipelines.synthetic import synthetic_faces
        >>> few = {"faces": 2, "draws": 2, "quiet": True}
        >>> draw_mix("light", synthetic_faces(9), tempfile.mkdtemp(), **few).files
        ('mix.png', 'transforms.png')
    """
    from kfkd.drawing.augmenting_pictures import (
        draws_sheet,
        lost_points,
        shown_rows,
        transforms_sheet,
    )
    from kfkd.drawing.figures import save_figure

    chosen = mix(what)
    _check(faces=(faces, 1, _MOST), draws=(draws, 1, _MOST), seed=(seed, 0, 2**31 - 1))
    found = as_faces(data, quiet=quiet)
    if not len(found):
        place = found.path or found.origin
        raise KfkdError(f"a mix wants at least one face to draw. Received: 0 from {place}")
    shown = found[shown_rows(found, faces)]
    sheets: dict[str, Callable[[], Figure]] = {
        "mix.png": lambda: draws_sheet(chosen, shown, draws, seed),
        "transforms.png": lambda: transforms_sheet(chosen, shown, draws, seed),
    }
    if not chosen.transforms:
        del sheets["transforms.png"]
    for name, sheet in sheets.items():
        say(f"drawing {name}", quiet)
        save_figure(sheet(), Path(out) / name)
    if not chosen.transforms:
        (Path(out) / "transforms.png").unlink(missing_ok=True)
    say("counting keypoints that leave the frame", quiet)
    return DrawnMix(chosen, Path(out), tuple(sheets), lost_points(chosen, found, seed))


def _check(**numbers: tuple[Any, int, int]) -> None:
    for name, (value, least, most) in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise KfkdError(
                f"{name} wants a whole number from {least} to {most}. Received: {value!r}"
            )
