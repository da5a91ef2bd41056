"""The data sets: what they are, their terms, and getting those that anyone may download."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError, UnknownName
from kfkd.kaggle_download import download_kaggle
from kfkd.progress import say
from kfkd.storage import unpacking
from kfkd.storage.downloading import download
from kfkd.storage.files import whole_folder
from kfkd.text import table


def list_data() -> list[dict[str, Any]]:
    """The data sets that `kfkd.load_faces` reads.

    Returns:
        Dicts with name, about, images, points, terms, home (where it comes from), url (what
        `download_data` downloads, "" = nothing), sha256 ("" = not known) and how (to get it).

    Example:
        >>> import kfkd
        >>> [row["name"] for row in kfkd.list_data()][:3]
        ['kaggle', 'imm', 'ibug']
    """
    text = resources.files("kfkd.pipelines").joinpath("datasets.json").read_text("utf-8")
    empty = {"url": "", "sha256": "", "how": ""}
    return [{"name": name, **empty, **row} for name, row in json.loads(text).items()]


def data_set(name: str) -> dict[str, Any]:
    """The row of one data set.

    Raises:
        UnknownName: when there is none of that name.
    """
    rows = {row["name"]: row for row in list_data()}
    if name not in rows:
        raise UnknownName("data set", name, list(rows))
    return rows[name]


def download_data(name: str, out: str | Path, quiet: bool = False, sha256: str = "") -> Path:
    """Downloads a data set and unpacks it; Kaggle's through kagglehub, as its user.

    Args:
        name: "kaggle", or one that has a `url` in `list_data()`.
        out: the folder for the archive, which is kept, and for the unpacked folder.
        quiet: no progress.
        sha256: hexadecimal digest that the archive must have; "" = the one in `list_data()`,
            where that is known.

    Returns:
        The folder, `out`/`name`; where it is there already, nothing is done.

    Raises:
        UnknownName: when there is no such data set.
        KfkdError: when it may not be downloaded, which says how to get it, or cannot be, or is
            another file than the digest tells of.

    Example:
        >>> import kfkd
        >>> kfkd.download_data("imm", "data")  # doctest: +SKIP
        PosixPath('data/imm')
    """
    row, out = data_set(name), Path(out).expanduser()
    if sha256 and not row["url"]:
        raise KfkdError(f"sha256 is for archives that kfkd downloads itself. Received: {name}")
    if sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise KfkdError(f"sha256 wants 64 hexadecimal digits. Received: {sha256!r:.100}")
    if name == "kaggle":
        return download_kaggle(out / name, quiet)
    if not row["url"]:
        raise KfkdError(f"{name} is not downloaded by kfkd: {_way(row)}")
    folder = out / name
    if folder.exists():
        if sha256:
            raise KfkdError(f"{folder} is there already: remove it, or nothing can be checked")
        say(f"{folder} is there already", quiet)
        return folder
    say(f"{name}: {row['terms']}; from {row['home']}", quiet)
    digest = sha256.lower() or row["sha256"]
    try:
        archive = download(row["url"], out / row["url"].rsplit("/", 1)[-1], digest, quiet)
    except KfkdError as error:
        raise KfkdError(f"{error}; its home is {row['home']}") from error
    say(f"unpacking {archive}", quiet)
    unpack(archive, folder)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip or tar archive into a new folder, whole or not at all.

    Raises:
        KfkdError: when the archive is damaged, unpacks to far too much, or holds files that would
            land elsewhere.
        WriteError: when the disk is full, or the folder may only be read.
    """
    with whole_folder(folder) as beside:
        try:
            unpacking.unpack(archive, beside)
        except KfkdError as error:
            told = f"{error}; if it is damaged, remove it and download anew"
            raise KfkdError(told) from error


def data_table() -> str:
    """The data sets as text."""
    header = ("name", "images", "points", "kfkd downloads", "terms")
    rows = list_data()
    cells = [(r["name"], r["images"], r["points"], _downloads(r), r["terms"]) for r in rows]
    homes = table(("name", "where it comes from"), [(r["name"], r["home"] or "—") for r in rows])
    return f"{table(header, cells)}\n\n{homes}\n\n{_LEGEND}"


_LEGEND = """images: training + test
use: --data NAME:PATH, or the path alone; NAME:PATH?size=96x96&channels=1&margin=0.25 for other
crops of photos; kaggle: its folder or zip; synthetic: no path
more: kfkd data NAME; downloading: kfkd data NAME --out DIR"""


def _downloads(row: Mapping[str, Any]) -> str:
    if row["name"] == "kaggle":
        return "through kagglehub"
    return "yes" if row["url"] else "no"


def data_text(row: Mapping[str, Any]) -> str:
    """One data set as text.

    Args:
        row: of `list_data`.
    """
    facts = {key: row[key] for key in ("images", "points", "terms", "home") if row[key]}
    lines = [f"{key:>8}  {value}" for key, value in facts.items()]
    if row["url"]:
        lines.append(f"     url  {row['url']}")
        lines.append(
            "  sha256  " + (row["sha256"] or "not known: give one (--sha256), or none is checked")
        )
    return "\n".join([f"{row['name']}: {row['about']}", *lines, f"  get it  {_way(row)}"])


def _way(row: Mapping[str, Any]) -> str:
    if row["url"]:
        return f"kfkd data {row['name']} --out DIR"
    return f"{row['how']} ({row['home']})" if row["home"] else row["how"]
