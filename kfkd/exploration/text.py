"""An exploration's numbers as text: for the terminal and for summary.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfkd.text import table

_TOP = 12


def as_text(summary: Mapping[str, Any]) -> str:
    """The findings for a terminal.

    Args:
        summary: what `kfkd.exploring.explore` collects, None for what there is not.
    """
    return "\n\n".join(f"{title}\n{body}" for title, body in _sections(summary))


def as_markdown(summary: Mapping[str, Any]) -> str:
    """The findings as a Markdown page with its pictures.

    Args:
        summary: as for `as_text`, with the names of the pictures under "files".
    """
    parts = [f"# A look at the data: {summary['data']['origin']}"]
    for title, body in _sections(summary):
        parts.append(f"## {title}\n\n```text\n{body}\n```")
    pictures = [name for name in summary.get("files", ()) if name.endswith(".png")]
    parts += [f"## {name[:-4].capitalize()}\n\n![{name[:-4]}]({name})" for name in pictures]
    return "\n\n".join(parts) + "\n"


def _sections(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    sections = [
        ("Data", _data(summary)),
        ("Rows", _rows(summary["rows"])),
        ("Columns (pixels)", _columns(summary["columns"])),
        ("Mean face: RMSE in pixels of having learned nothing", _mean_face(summary["mean_face"])),
        ("Label conventions: mean position in pixels", _conventions(summary["conventions"])),
        ("Identical images", _duplicates(summary["duplicates"])),
        ("Outliers", _outliers(summary["outliers"])),
        ("Pixels (grey levels)", _pixels(summary["pixels"])),
    ]
    return [(title, body) for title, body in sections if body]


def _data(summary: Mapping[str, Any]) -> str:
    data = summary["data"]
    size = " x ".join(map(str, data["image"]))
    lines = [
        f"{summary['rows']['total']:,} faces of {size} from {data['path'] or data['origin']}",
        f"{data['keypoints']} keypoints ({data['skeleton']}), fingerprint {data['fingerprint']}",
    ]
    return "\n".join([*lines, *data["notes"]])


def _rows(rows: Mapping[str, Any]) -> str:
    counts = [
        ("all", rows["total"], rows["complete"]),
        *((name or "no source", s["rows"], s["complete"]) for name, s in rows["sources"].items()),
        *((f"on {name}", rows["total"], n) for name, n in rows["complete_on"].items()),
    ]
    known = ", ".join(f"{labels}: {n:,}" for labels, n in rows["labels_per_row"].items())
    lines = [
        table(("rows", "count", "complete"), [(a, f"{b:,}", f"{c:,}") for a, b, c in counts]),
        f"rows by number of labelled coordinates: {known}",
        f"groups that a split keeps together: {rows['groups']:,}",
    ]
    return "\n".join(lines)


def _columns(columns: list[Mapping[str, Any]]) -> str:
    head = ("column", "count", "missing", "mean", "std", "min", "max", "skew", "|skew| >= 1")
    rows = [
        (
            c["column"],
            c["count"],
            c["missing"],
            *(_number(c[key], 3 if key in ("mean", "std") else 2) for key in head[3:8]),
            "yes" if c["skewed"] else "",
        )
        for c in columns
    ]
    return table(head, rows)


def _mean_face(scores: Mapping[str, Any]) -> str:
    one, each = scores["one_mean"], scores["mean_per_source"]
    if one["overall"] is None:
        return ""
    rows = [("all labels", one["overall"], each["overall"])]
    for kind in ("subsets", "sources"):
        rows += [(name or "no source", one[kind][name], each[kind][name]) for name in one[kind]]
    rows.append(("weighted as Kaggle's test set", one["kaggle_rmse"], each["kaggle_rmse"]))
    cells = [(name, _number(a, 3), _number(b, 3)) for name, a, b in rows]
    return table(("on", "one mean", "a mean for each source"), cells)


def _conventions(rows: list[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    sources = [key for key in rows[0] if key not in ("keypoint", "difference")]
    ends = [*sources, "difference"]
    head = ["keypoint", *(f"{name} {axis}" for name in ends for axis in "xy")]
    return table(
        head, [[r["keypoint"], *(_number(v, 2) for name in ends for v in r[name])] for r in rows]
    )


def _duplicates(found: Mapping[str, Any]) -> str:
    if not found["groups"]:
        return "none"
    keys = ("rms", "rms99", "median", "95%", "max")
    kinds = {
        kind.replace("_", " "): found[kind] for kind in ("all", "same_source", "across_sources")
    }
    rows = [
        (name, s["pairs"], s["coordinates"], *(_number(s[key], 2) for key in keys))
        for name, s in {**kinds, **found["keypoints"]}.items()
        if s["pairs"]
    ]
    head = ("labels differ by px", "pairs", "coordinates", "rms", "rms of 99 %", *keys[2:])
    lines = [f"{found['groups']:,} images occur more than once, in {found['rows']:,} rows"]
    if found["split_apart"]:
        lines.append(f"{found['split_apart']:,} of them may fall on both sides of a split")
    return "\n".join([*lines, table(head, rows)])


def _outliers(findings: list[Mapping[str, Any]]) -> str:
    if not findings:
        return "none"
    head = ("rank", "row", "source", "deviations", "value", "reason")
    rows = [
        (
            *(f[key] for key in head[:3]),
            _number(f["deviations"], 1),
            _number(f["value"], 1),
            f["reason"],
        )
        for f in findings[:_TOP]
    ]
    count = len({f["rank"] for f in findings})
    more = f"\nthe others are in outliers.csv ({count:,} rows)" if len(findings) > _TOP else ""
    return table(head, rows) + more


def _pixels(pixels: Mapping[str, Any]) -> str:
    keys = list(pixels["brightness"])
    rows = [
        (name, *(_number(pixels[name][key], 1) for key in keys))
        for name in ("brightness", "contrast")
    ]
    lines = [
        table(("", *keys), rows),
        f"images of one grey: {pixels['flat_images']:,}",
        f"labels outside the image: {pixels['outside']:,} of {pixels['labels']:,}",
    ]
    return "\n".join(lines)


def _number(value: float | None, digits: int) -> str:
    return "—" if value is None else f"{value:.{digits}f}"
