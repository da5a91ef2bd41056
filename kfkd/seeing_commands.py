"""What `kfkd filters` and `kfkd features` do with their options."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from kfkd.errors import KfkdError
from kfkd.runs import Run, finished_run
from kfkd.seeing import draw_features, draw_filters, layers_of, layers_table


def filters(options: Namespace) -> None:
    """Draws the filters of a run."""
    _print_paths(draw_filters(options.folder, options.out), options.json)


def features(options: Namespace) -> None:
    """Draws feature maps of a run, or lists its layers."""
    run = finished_run(options.folder)
    if options.list:
        _list(run, options.json)
        return
    if options.image is None:
        raise KfkdError("kfkd features wants an IMAGE before its options, or --list")
    # Digits are a row's number; a file of such a name is ./NUMBER.
    image = int(options.image) if options.image.isdecimal() else options.image
    if options.data is not None and isinstance(image, str):
        raise KfkdError(f"--data is for the number of a row. Received: {image}")
    settings = {"data": options.data, "detector": options.detector, "quiet": options.quiet}
    _print_paths(draw_features(run, image, options.out, options.layers, **settings), options.json)


def _list(run: Run, as_json: bool) -> None:
    rows = {subset: layers_of(run, subset) for subset in run.subsets}
    texts = (f"{subset}\n{layers_table(found)}" for subset, found in rows.items())
    print(json.dumps(rows, indent=2) if as_json else "\n\n".join(texts))


def _print_paths(paths: list[Path], as_json: bool) -> None:
    names = [str(path) for path in paths]
    print(json.dumps(names, indent=2) if as_json else "\n".join(names))
