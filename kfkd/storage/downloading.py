"""Downloads that are whole or not there, go on where they were cut off, and are checked."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from kfkd import __version__
from kfkd.errors import KfkdError, WriteError
from kfkd.progress import Ticker, duration, say
from kfkd.storage.files import file_digest, make_folder, read_json, write_json

_CHUNK, _TIMEOUT = 1 << 18, 30.0
_NO_SUCH_RANGE, _MOST = 416, 1 << 36


def download(url: str, path: str | Path, sha256: str = "", quiet: bool = False) -> Path:
    """Downloads a file.

    What was cut off goes on with the next call, where the server still has the same file.

    Args:
        url: http or https.
        path: the file to make; one that is there is only checked.
        sha256: hexadecimal digest of the right file; "" = not known, nothing is checked.
        quiet: no progress.

    Returns:
        The path.

    Raises:
        KfkdError: when the file cannot be had, is cut off, or is another than wanted.
        WriteError: when the disk is full, or the folder may only be read.
    """
    path = Path(path)
    if not path.exists():
        part, start = path.with_name(f".{path.name}.part"), time.monotonic()
        make_folder(path.parent)
        _fetch(url, part, quiet)
        _check(part, sha256, url)
        part.replace(path)
        _facts(part).unlink(missing_ok=True)
        size, seconds = path.stat().st_size / 1e6, time.monotonic() - start
        say(f"{path}: {size:.1f} MB in {duration(seconds)}", quiet)
    elif sha256 and file_digest(path) != sha256:
        raise KfkdError(f"{path} is there and is another file than wanted; remove it first")
    if not quiet:
        told = "is right" if sha256 else f"is {file_digest(path)}; none was known to check it by"
        say(f"{path}: SHA-256 {told}")
    return path


def _fetch(url: str, part: Path, quiet: bool) -> None:
    """Fills `part`, from its end where it holds the beginning of the same file."""
    try:
        with _opened(url, part) as answer:
            goes_on = answer.status == http.client.PARTIAL_CONTENT
            done = part.stat().st_size if goes_on else 0
            length = answer.headers.get("Content-Length")
            whole = None if length is None else done + int(length)
            version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            write_json(_facts(part), {"url": url, "version": version})
            done = _copy(answer, part, goes_on, whole, quiet)
    except urllib.error.HTTPError as error:
        raise KfkdError(f"{url}: the server answers {error.code} {error.reason}") from error
    except WriteError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise KfkdError(
            f"{url} cannot be downloaded: {reason}; without a network get the file elsewhere"
        ) from error
    if whole is not None and done < whole:
        raise KfkdError(
            f"{url} was cut off after {done:,} of {whole:,} bytes; the same command goes on"
        )


def _opened(url: str, part: Path) -> Any:
    headers = {"User-Agent": f"kfkd/{__version__}"}
    version = _version(part, url)
    if version:
        # The server sends the rest if its file is still that version, else all of it.
        headers |= {"Range": f"bytes={part.stat().st_size}-", "If-Range": version}
    try:
        return urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=_TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if version is None or error.code != _NO_SUCH_RANGE:
            raise
        part.unlink()
        return _opened(url, part)


def _version(part: Path, url: str) -> str | None:
    """The version of the file of which `part` holds the beginning; None = begin anew."""
    with suppress(KfkdError, OSError):
        facts = read_json(_facts(part))
        # A weak ETag does not promise equal bytes.
        told = facts["version"] if isinstance(facts, dict) and facts.get("url") == url else None
        if isinstance(told, str) and not told.startswith("W/") and part.stat().st_size:
            return told
    return None


def _copy(answer: Any, part: Path, goes_on: bool, whole: int | None, quiet: bool) -> int:
    ticker, done = Ticker(quiet), part.stat().st_size if goes_on else 0
    try:
        with _opened_to_write(part, goes_on) as file:
            while chunk := answer.read(_CHUNK):
                if done + len(chunk) > (_MOST if whole is None else whole):
                    raise ValueError("the server sends more than it told")
                _put(chunk, file, part)
                done += len(chunk)
                share = f" of {whole / 1e6:.0f}" if whole else ""
                ticker.show(f"{part.name[1:-5]}: {done / 1e6:.0f}{share} MB")
    finally:
        ticker.clear()
    return done


def _opened_to_write(part: Path, goes_on: bool) -> FileIO:
    try:
        return FileIO(part, "a" if goes_on else "w")
    except OSError as error:
        raise WriteError(part, error.strerror or str(error)) from error


def _put(chunk: bytes, file: FileIO, part: Path) -> None:
    """Writes a chunk: what goes wrong here is not the network's fault."""
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise WriteError(part, f"{error.strerror or error}; the same command goes on") from error


def _check(part: Path, sha256: str, url: str) -> None:
    if sha256 and (found := file_digest(part)) != sha256:
        part.unlink()
        _facts(part).unlink(missing_ok=True)
        raise KfkdError(
            f"{url} is another file than wanted and was thrown away: SHA-256 {found}, wanted "
            f"{sha256}"
        )


def _facts(part: Path) -> Path:
    return part.with_name(part.name + ".json")
