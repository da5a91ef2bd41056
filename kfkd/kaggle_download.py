"""Kaggle's competition files through kagglehub, with the user's own credentials."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError
from kfkd.progress import say
from kfkd.storage.files import whole_folder

COMPETITION = "facial-keypoints-detection"

_TOKEN = (
    "make an API token in your settings at kaggle.com and put it where kagglehub looks: "
    "~/.kaggle/kaggle.json, or KAGGLE_USERNAME and KAGGLE_KEY in the environment (in Colab: "
    "among the secrets, with access for the notebook)"
)
_ADVICE = {
    "UnauthenticatedError": f"no credentials were found; {_TOKEN}",
    "CredentialError": f"the credentials were refused; {_TOKEN}",
    401: f"the credentials were refused; {_TOKEN}",
    403: (
        "access was refused: accept the competition's rules, signed in as the same user, at "
        f"kaggle.com/c/{COMPETITION}/rules"
    ),
    "network": "kaggle.com cannot be reached; check the network, or bring the zip by other ways",
}

_MOST = 300  # letters of an error that kagglehub lets through


def download_kaggle(folder: Path, quiet: bool = False) -> Path:
    """Fetches the competition's files.

    Args:
        folder: to make; where it is there already, nothing is done.
        quiet: no progress.

    Returns:
        The folder, which `kfkd.load_faces("kaggle", folder)` reads.

    Raises:
        KfkdError: when kagglehub is not installed, there are no credentials, the rules are not
            accepted, or there is no network: it says what to do.
    """
    if folder.exists():
        say(f"{folder} is there already", quiet)
        return folder
    try:
        import kagglehub
    except ImportError as error:
        raise KfkdError("Kaggle's files come through kagglehub: pip install kagglehub") from error
    say(f"fetching {COMPETITION} through kagglehub", quiet)
    try:
        found = Path(kagglehub.competition_download(COMPETITION))
    except Exception as error:  # kagglehub lets many libraries' errors through
        raise KfkdError(f"{COMPETITION} was not downloaded: {_advice(error)}") from error
    return _copied(found, folder)


def _advice(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    names = {kind.__name__ for kind in type(error).__mro__}
    for key in (status, *names):
        if key in _ADVICE:
            return _ADVICE[key]
    if names & {"ConnectionError", "Timeout", "ConnectTimeout", "ReadTimeout"}:
        return _ADVICE["network"]
    told = f"{type(error).__name__}: {error}"[:_MOST]
    if broken := _broken_token():
        return f"{broken}; {_TOKEN} ({told})"
    return told


def _broken_token() -> str:
    """What is wrong with the user's kaggle.json; "" where it is sound, or not what is used."""
    if all(os.environ.get(name) for name in ("KAGGLE_USERNAME", "KAGGLE_KEY")):
        return ""
    try:
        folder = os.environ.get("KAGGLE_CONFIG_DIR") or Path.home() / ".kaggle"
    except RuntimeError:  # nobody says where home is
        return ""
    path = Path(folder, "kaggle.json")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        empty = path.stat().st_size == 0
        return f"{path} is {'empty' if empty else f'not valid JSON ({error})'}"
    wanted = ("username", "key")
    missing = [name for name in wanted if not isinstance(told, dict) or not told.get(name)]
    return f"{path} holds no {' and no '.join(missing)}" if missing else ""


def _is_own(path: Path) -> bool:
    """Whether it is a file of the download's: a link may lead to any of the user's."""
    return path.is_file() and not path.is_symlink()


def _copied(found: Path, folder: Path) -> Path:
    """kagglehub's cached files as a folder of their own, whole or not at all."""
    files: list[Any] = [p for p in found.rglob("*") if _is_own(p)] if found.is_dir() else [found]
    if not files:
        raise KfkdError(f"kagglehub left no files in {found}; remove that folder and try again")
    with whole_folder(folder) as beside:
        for path in files:
            shutil.copy2(path, beside / path.name)
    return folder
