"""Data sets of photos in every layout, a few tiny photos each, for the tests of their readers."""

from __future__ import annotations

import numpy as np
from PIL import Image

IMM_CONTOURS = np.repeat(np.arange(7), (13, 8, 8, 5, 5, 8, 11))


def photo(path, width=64, height=48, seed=0, mode="RGB"):
    """Writes a photo whose bytes depend on the seed; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(
        path, "PNG" if mode == "RGBA" else None
    )
    return path


def points_of(seed, count, width=64, height=48):
    """Whole numbers inside the photo, (count, 2)."""
    rng = np.random.default_rng(1000 + seed)
    return np.column_stack([rng.integers(2, width - 2, count), rng.integers(2, height - 2, count)])


def asf(points, width=64, height=48, host="01-1m.jpg"):
    """The text of an IMM shape file."""
    rows = (
        f"{IMM_CONTOURS[i]} 0 {x / width:.8f} {y / height:.8f} {i} {i} {i}"
        for i, (x, y) in enumerate(points)
    )
    return "\n".join(["# AAM Shape File", "", str(len(points)), "#", *rows, "", "# host", host, ""])


def write_imm(folder, persons=2, poses=3):
    """01-1m, 01-2m, …; photo (person, pose) has seed 10 · person + pose."""
    for person in range(1, persons + 1):
        for pose in range(1, poses + 1):
            name, seed = f"{person:02d}-{pose}m", 10 * person + pose
            photo(folder / f"{name}.jpg", seed=seed)
            (folder / f"{name}.asf").write_text(asf(points_of(seed, 58), host=f"{name}.jpg"))
    return folder


def box_xml(points, box=(10, 8, 40, 30)):
    """One box of iBUG's XML with its parts, which count from 1."""
    x, y, w, h = box
    parts = "".join(
        f'<part name="{i:02d}" x="{a + 1}" y="{b + 1}"/>' for i, (a, b) in enumerate(points)
    )
    return f'<box top="{y}" left="{x}" width="{w}" height="{h}">{parts}</box>'


def ibug_xml(images):
    """dlib's XML of (file, boxes as text)."""
    body = "".join(
        f'<image file="{file}" width="64" height="48">{boxes}</image>' for file, boxes in images
    )
    return f"<?xml version='1.0'?><dataset><images>{body}</images></dataset>"


def write_ibug(folder, count=4, test=2):
    """A training file with points, and the course's test file without."""
    for i in range(count + test):
        photo(folder / "lfpw" / f"{i}.jpg", seed=i)
    train = [(f"lfpw/{i}.jpg", box_xml(points_of(i, 68))) for i in range(count)]
    unlabelled = [(f"lfpw/{i}.jpg", box_xml([])) for i in range(count, count + test)]
    (folder / "labels_ibug_300W_train.xml").write_text(ibug_xml(train))
    (folder / "labels_ibug_300W_test_parsed.xml").write_text(ibug_xml(unlabelled))
    return folder


def pts(points):
    """The text of a .pts file, which counts from 1."""
    lines = (f"{x + 1:.6f} {y + 1:.6f}" for x, y in points)
    return "\n".join(["version: 1", f"n_points: {len(points)}", "{", *lines, "}", ""])


def write_pts(folder, count=3):
    for i in range(count):
        photo(folder / f"a_{i}.png", seed=i)
        (folder / f"a_{i}.pts").write_text(pts(points_of(i, 68)))
    return folder


def youtube_csv(rows):
    """Udacity's table of (frame, points)."""
    header = ",".join(["", *map(str, range(136))])
    lines = (",".join([name, *(f"{v:.1f}" for v in np.ravel(p))]) for name, p in rows)
    return "\n".join([header, *lines, ""])


def write_youtube(folder, persons=("Ann_Lee", "Bob"), frames=2):
    """Frames of several sizes; the first of each person is a PNG with a fourth channel."""
    for part, stem in (("training", "training"), ("test", "test")):
        rows = []
        for p, person in enumerate(persons):
            for frame in range(frames):
                name, seed = f"{person}_{frame}{p}.jpg", 10 * p + frame
                photo(
                    folder / part / name,
                    64 + 8 * p,
                    48,
                    seed,
                    mode="RGB" if frame else "RGBA",
                )
                rows.append((name, points_of(seed, 68)))
        (folder / f"{stem}_frames_keypoints.csv").write_text(youtube_csv(rows))
    return folder


CATS = "file,left_ear_x,left_ear_y,right_ear_x,right_ear_y,nose_x,nose_y,person"


def write_folder(folder, count=6, header=CATS, rows=None):
    """A user's own photos in two sizes; of the last one the nose is not labelled."""
    for i in range(count):
        photo(folder / f"{i}.jpg", 64 + 16 * (i % 2), 48, seed=i)
    if rows is None:
        rows = [
            ",".join([f"{i}.jpg", *map(str, points_of(i, 3).ravel()), f"cat{i // 2}"])
            for i in range(count)
        ]
        *labelled, _, _, person = rows[-1].split(",")
        rows[-1] = ",".join([*labelled, "", "", person])
    (folder / "cats.csv").write_text("\n".join([header, *rows, ""]))
    return folder
