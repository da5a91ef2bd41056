"""Lines and fields of Kaggle's CSV files; whatever is wrong is named by file, row and column."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np

from kfkd.errors import DataError

Number = Callable[[bytes], float]
"""Turns a field into a number, or raises ValueError saying what it wanted."""

# Blocks that stay in the processor's cache; a row of 9,216 numbers has at most 37,000 bytes.
_BLOCK = 1 << 20
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def label(text: bytes) -> float:
    """One coordinate in pixels; an empty field or a NaN is "not labelled".

    Args:
        text: the field.

    Returns:
        The number, NaN where there is none.

    Raises:
        ValueError: when it is not a number, or not a finite one.

    Example:
        >>> label(b"66.03"), label(b"")
        (66.03, nan)
    """
    if not text or text.strip() in (b"", b"NA"):
        return math.nan
    try:
        value = math.inf if b"_" in text else float(text)
    except ValueError:
        value = math.inf
    if abs(value) > _FLOAT32_MAX:
        raise ValueError("a finite number or nothing")
    return value


def whole(text: bytes) -> int:
    """One whole number, such as an ImageId.

    Args:
        text: the field.

    Raises:
        ValueError: when it is not a whole number of at most 18 digits.

    Example:
        >>> whole(b"12")
        12
    """
    text = text.strip()
    if not text.isdigit() or len(text) > 18:
        raise ValueError("a whole number")
    return int(text)


def convert(
    fields: Sequence[bytes],
    numbers: Mapping[str, Number],
    *,
    file: str,
    row: int,
) -> list[float]:
    """Turns the fields of one row into numbers.

    Args:
        fields: one field for each column.
        numbers: for each column, by name, what turns its field into a number.
        file: how the file is called in messages.
        row: 1-based data row, for messages.

    Returns:
        One number for each column.

    Raises:
        DataError: naming the column whose field is refused.

    Example:
        >>> convert([b"3", b"4.5"], {"ImageId": whole, "nose_tip_x": label}, file="a.csv", row=1)
        [3, 4.5]
    """
    values = []
    for field, (column, number) in zip(fields, numbers.items(), strict=True):
        try:
            values.append(number(field))
        except ValueError as error:
            message = f"received {shown(field)}, wanted {error}"
            raise DataError(message, file=file, row=row, column=column) from None
    return values


def refuse_repeats(values: np.ndarray, column: str, file: str | Path) -> None:
    """Refuses a column in which a number stands twice.

    Args:
        values: int64 (m,), one number for each row.
        column: its name.
        file: how the file is called in messages.

    Raises:
        DataError: naming the first row whose number an earlier row has.

    Example:
        >>> refuse_repeats(np.array([3, 1, 2]), "RowId", "ids.csv")
    """
    first = np.unique(values, return_index=True)[1]
    if len(first) < len(values):
        row = int(np.setdiff1d(np.arange(len(values)), first)[0])
        raise DataError(f"{values[row]} is there twice", file=file, row=row + 1, column=column)


def split_fields(line: bytes) -> list[bytes]:
    r"""Fields of one line, quotes around them taken off.

    Args:
        line: without its line feed; a carriage return may be there.

    Example:
        >>> split_fields(b'1,"2 3"\r')
        [b'1', b'2 3']
    """
    fields = line.removesuffix(b"\r").split(b",")
    if b'"' not in line:
        return fields
    # Nothing in these files has a comma or a quote inside: taking one pair off is all there is.
    return [f[1:-1] if len(f) > 1 and f[:1] == f[-1:] == b'"' else f for f in fields]


def read_lines(
    stream: IO[bytes], on_bytes: Callable[[int], None] | None = None
) -> Generator[bytes, None, None]:
    r"""Lines of a file; a second thread reads (and unzips) one block ahead.

    Args:
        stream: the file, opened for bytes.
        on_bytes: called with the number of bytes read so far.

    Yields:
        Lines without their line feed; one longer than a block comes in pieces.

    Example:
        >>> import io
        >>> list(read_lines(io.BytesIO(b"a,b\n1,2")))
        [b'a,b', b'1,2']
    """
    done, carry = 0, b""
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(stream.read, _BLOCK)
        while block := ahead.result():
            ahead = reader.submit(stream.read, _BLOCK)
            *lines, carry = (carry + block).split(b"\n")
            yield from lines
            if len(carry) > _BLOCK:  # no row is this long: let its check refuse it, memory bounded
                yield carry
                carry = b""
            done += len(block)
            if on_bytes:
                on_bytes(done)
    if carry:
        yield carry


def read_header(line: bytes, wanted: Sequence[str], *, file: str) -> list[str]:
    """Names of the columns as they stand in the file.

    Args:
        line: its first line; a mark of UTF-8 may be there.
        wanted: the columns that must be there, in any order, and no others.
        file: how the file is called in messages.

    Returns:
        One name for each field.

    Raises:
        DataError: naming the column that is lacking, not known or there twice.

    Example:
        >>> read_header(b"Image,ImageId", ["ImageId", "Image"], file="test.csv")
        ['Image', 'ImageId']
    """
    fields = split_fields(line.removeprefix(codecs.BOM_UTF8))
    if not any(fields):
        raise DataError(f"is empty, wanted a header with {_listed(wanted)}", file=file)
    names = [field.decode("utf-8", "replace").strip() for field in fields]
    if missing := [name for name in wanted if name not in names]:
        message = f"the header lacks {_listed(missing)}. Received: {_listed(names)}"
        raise DataError(message, file=file, column=missing[0])
    for place, name in enumerate(names):
        if name not in wanted or name in names[:place]:
            what = "is there twice" if name in wanted else "is not known"
            message = f"the column {what}, wanted {_listed(wanted)}"
            raise DataError(message, file=file, column=name[:40])
    return names


def shown(text: bytes) -> str:
    """A field as a message quotes it, cut where it is long.

    Example:
        >>> shown(b"12.5")
        "'12.5'"
    """
    return repr(text[:30].decode("utf-8", "replace")) + ("…" if len(text) > 30 else "")


def _listed(names: Sequence[str]) -> str:
    first = ", ".join(name[:40] for name in names[:4])
    return first if len(names) <= 4 else f"{first}, … ({len(names)} columns)"
