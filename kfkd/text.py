"""Plain-text tables, and paths as others may see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A text table with aligned columns; numbers to the right.

    Args:
        header: column titles.
        rows: cells, shown by `str`.

    Returns:
        Lines without a trailing line break.
    """
    cells = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right = [all(_is_number(row[i]) for row in cells) and bool(cells) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(header), "  ".join("-" * w for w in widths), *map(line, cells)])


def names_apart(paths: Sequence[Path]) -> list[str]:
    """Names of files or folders, with as many of the folders above as tell them apart.

    Example:
        >>> names_apart([Path("a/fold-0"), Path("b/fold-0")]), names_apart([Path("a/b"), Path("c")])
        (['a/fold-0', 'b/fold-0'], ['b', 'c'])
    """
    names, depth = [path.name for path in paths], 1
    while len({*names}) < len({*paths}):
        depth += 1
        names = [str(Path(*path.parts[-depth:])) for path in paths]
    return names


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns.

    Args:
        rows: cells, the column titles first.
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    padded = (map(str.ljust, row, widths) for row in cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def _is_number(cell: str) -> bool:
    return cell in ("", "—") or cell.replace(",", "").lstrip("+-").replace(".", "", 1).isdigit()


def shown_path(path: str) -> str:
    """A path as others may see it: where it lies on the machine that trained is left out."""
    return Path(path).name if Path(path).is_absolute() else path
