"""Kaggle's pixel CSV, parsed straight from bytes, in blocks: every row is checked to the letter.

A row is a few numbers and 9,216 grey values, "236 236 237 …". A grey value has one to three
digits, so whole rows are turned into numbers with a dozen byte-wise NumPy operations. That fast way
only ever says "fine" or "odd"; odd rows go the slow way, which finds out what is wrong and where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import IO

import numpy as np

from kfkd.errors import DataError
from kfkd.pipelines.csv_fields import (
    Number,
    convert,
    read_header,
    read_lines,
    shown,
    split_fields,
)

PARSER_VERSION = 1
"""Part of the cache's key; raised whenever the same file would be read differently, whether that
is for a change here, in `csv_fields` or in `kaggle`."""

SIDE = 96
"""Height and width of Kaggle's images in pixels."""

IMAGE_COLUMN = "Image"

_PIXELS = SIDE * SIDE
_SPACE = np.uint8((ord(" ") - ord("0")) % 256)


def read_pixel_csv(
    stream: IO[bytes],
    numbers: Mapping[str, Number],
    dtype: type = np.float64,
    *,
    file: str,
    on_bytes: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Reads a CSV of some number columns and one "Image" column of 96 x 96 grey values.

    Columns may stand in any order, fields may be quoted, lines may end in \n or \r\n, blank lines
    are skipped. Memory: the images plus a few blocks of 1 MB.

    Args:
        stream: the file, opened for bytes.
        numbers: for each of the c number columns, by name, what turns a field into a number and
            raises ValueError saying what it wanted; exactly these and "Image" must be there.
        dtype: type of the numbers returned.
        file: how the file is called in messages.
        on_bytes: called with the number of bytes read so far, for a progress line.

    Returns:
        `dtype` (n, c) numbers in the order of `numbers`, and uint8 (n, 96, 96, 1) images.

    Raises:
        DataError: with file, row (from 1, the header not counted) and column.

    Example:
        >>> import io
        >>> from kfkd.pipelines.csv_fields import whole
        >>> csv = "Image,ImageId\n" + " ".join(["7"] * 9216) + ",1\n"
        >>> ids, images = read_pixel_csv(io.BytesIO(csv.encode()), {"ImageId": whole}, file="a.csv")
        >>> ids.tolist(), images.shape, int(images.max())
        ([[1.0]], (1, 96, 96, 1), 7)
    """
    rows: list[list[float]] = []
    images: list[np.ndarray] = []
    with closing(read_lines(stream, on_bytes)) as lines:
        header = read_header(next(lines, b""), [*numbers, IMAGE_COLUMN], file=file)
        order = [header.index(name) for name in numbers]
        image = header.index(IMAGE_COLUMN)
        for line in lines:
            fields = split_fields(line)
            if len(fields) == 1 and not fields[0].strip():
                continue
            row = len(images) + 1
            if len(fields) != len(header):
                message = f"received {len(fields)} fields, wanted {len(header)}"
                column = header[min(len(fields), len(header) - 1)]
                raise DataError(message, file=file, row=row, column=column)
            rows.append(convert([fields[i] for i in order], numbers, file=file, row=row))
            pixels = fast_pixels(fields[image])
            images.append(slow_pixels(fields[image], file, row) if pixels is None else pixels)
    if not images:
        raise DataError("received a header without rows, wanted at least one row", file=file)
    return np.array(rows, dtype), np.stack(images).reshape(-1, SIDE, SIDE, 1)


def fast_pixels(text: bytes) -> np.ndarray | None:
    """The 9,216 grey values of one row, when they are written in the usual way.

    Args:
        text: numbers of one to three digits with one space between.

    Returns:
        uint8 (9216,), or None where anything at all is odd.

    Example:
        >>> fast_pixels(b"12 " * 9215 + b"255")[-2:].tolist()
        [12, 255]
    """
    # Byte i of the text is byte i + 2 here; non-digits around it save every edge case.
    code = np.full(len(text) + 3, _SPACE)
    np.subtract(np.frombuffer(text, np.uint8), np.uint8(ord("0")), out=code[2:-1])
    digit = code < 10
    spaces = np.count_nonzero(code == _SPACE) - 3
    if spaces != _PIXELS - 1 or np.count_nonzero(digit) + spaces != len(text):
        return None
    value = code * digit.view(np.uint8)
    third = digit[:-2] & digit[1:-1]
    third &= digit[2:]
    hundreds = value[:-2] * third.view(np.uint8)
    rest = value[1:-1] * np.uint8(10)
    rest += value[2:]
    total = hundreds * np.uint8(100)
    total += rest
    # Four digits in a row; 300 and more; 256 to 299, which wrap round to less than their rest.
    if (third[1:] & third[:-1]).any() or hundreds.max() > 2 or (total < rest).any():
        return None
    ends = np.flatnonzero(digit[2:-1] > digit[3:])
    return total[ends] if len(ends) == _PIXELS else None


def slow_pixels(text: bytes, file: str, row: int) -> np.ndarray:
    """The 9,216 grey values of one row, however they are spaced.

    Args:
        text: whole numbers 0 to 255 with any white space between.
        file: how the file is called in messages.
        row: 1-based data row, for messages.

    Returns:
        uint8 (9216,).

    Raises:
        DataError: naming the first value at fault, or how many there are.

    Example:
        >>> slow_pixels(b"007 " * 9216, "training.csv", 1)[:2].tolist()
        [7, 7]
    """
    words = text.split()
    for place, word in enumerate(words, start=1):
        digits = word.lstrip(b"0") or b"0"
        if not word.isdigit() or len(digits) > 3 or int(digits) > 255:
            raise DataError(
                f"pixel {place} is {shown(word)}, wanted a whole number from 0 to 255",
                file=file,
                row=row,
                column=IMAGE_COLUMN,
            )
    if len(words) != _PIXELS:
        raise DataError(
            f"received {len(words):,} pixels, wanted {_PIXELS:,} ({SIDE} x {SIDE})",
            file=file,
            row=row,
            column=IMAGE_COLUMN,
        )
    return np.array([int(word) for word in words], np.uint8)
