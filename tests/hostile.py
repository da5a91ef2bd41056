"""What a stranger may put into files: odd values for JSON, broken bytes, hostile models."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 10**9, 10**18, 10**400, 0.5, -0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "../../x", "/etc/passwd", "a" * 5000, "\x1b[2J", "\ud800", "1", "https://x.invalid"),
    *([], [1], [[]], ["a"], [None], [0, 0, 0], [1e9, 1e9], {}, {"a": 1}, {"a": {}}),
    *({"class_name": "__lambda__", "config": {"value": "x"}}, {"codec": "heatmap", "stride": 1e9}),
)
GONE = object()


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a JSON value; of lists to the first two."""
    if place:
        yield place
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*place, key))
    elif isinstance(value, list):
        for index in range(min(len(value), 2)):
            yield from places(value[index], (*place, index))


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at a place, or none."""
    made = copy.deepcopy(value)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    if new is GONE:
        del inner[place[-1]]
    else:
        inner[place[-1]] = new
    return made


def broken(content: bytes, seed: int) -> bytes:
    """Bytes that are cut short, flipped, or have tokens in them that make readers stumble."""
    rng, found = np.random.default_rng(seed), bytearray(content)
    if (kind := rng.integers(8)) == 0:
        return bytes(found[: rng.integers(len(found) + 1)])
    if kind == 1:
        lines = content.split(b"\n")
        rng.shuffle(lines)
        return b"\n".join(lines)
    for _ in range(rng.choice([1, 2, 8])):
        first = int(rng.integers(len(found) + 1))
        if kind < 5:
            found[first : first + rng.choice([0, 1, 2, 40])] = TOKENS[rng.integers(len(TOKENS))]
        elif first < len(found):
            found[first] = rng.choice([0, 255, int(rng.integers(256))])
    return bytes(found)


TOKENS = (
    *(b"-1", b"1e999", b"nan", b"inf", b"9" * 30, b"9" * 5000, b"\xc2\xb2", b"\xd9\xa3", b"1_0"),
    *(b"../../x", b"/etc/passwd", b"\0", b"\xff\xfe", b"\n", b"\r", b",", b";", b'"', b"'", b"#"),
    *(b"<", b">", b"{", b"}", b"&lol;", b" " * 50, b"a" * 300, b"", b"\xef\xbb\xbf"),
    *(b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<image file='x'>"),
)


def members(path: Path) -> dict[str, bytes]:
    """What is in a zip."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, content: dict[str, bytes | str], how: int = zipfile.ZIP_STORED) -> Path:
    """Writes a zip."""
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def _layer(kind: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda config: next(x for x in config["config"]["layers"] if x["class_name"] == kind)


def _function(module: str, name: str) -> Callable[[dict[str, Any]], None]:
    facts = {"class_name": "function", "module": module, "config": name, "registered_name": name}
    return lambda c: _layer("Dense")(c)["config"].update(activation=facts)


def _instead(**facts: Any) -> Callable[[dict[str, Any]], None]:
    return lambda c: _layer("Rescaling")(c).update(facts)


def _loop(config: dict[str, Any]) -> None:
    layers = config["config"]["layers"]
    tensor = layers[1]["inbound_nodes"][0]["args"][0]["config"]
    tensor["keras_history"] = [layers[-1]["name"], 0, 0]


def _nested(config: dict[str, Any]) -> None:
    inner = copy.deepcopy(config)
    for _ in range(100):
        inner = {**copy.deepcopy(config), "config": {"layers": [inner]}}
    config.update(inner)


def _wide(config: dict[str, Any]) -> dict[str, Any]:
    def layer(kind: str, **facts: Any) -> dict[str, Any]:
        home = {"module": "keras.layers", "class_name": kind, "registered_name": None}
        return {**home, "config": facts}

    layers = [
        layer("InputLayer", batch_shape=[None, 96, 96, 1], dtype="float32", name="a"),
        layer("UpSampling2D", size=[10**4, 10**4], name="b"),
        layer("GlobalAveragePooling2D", name="c"),
    ]
    sequential = {"module": "keras", "class_name": "Sequential", "registered_name": None}
    return {**sequential, "config": {"name": "d", "trainable": True, "layers": layers}}


_CODE = {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}

CONFIGS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "lambda layer": (
        _instead(class_name="Lambda", config={"name": "x", "function": _CODE}),
        "names 'keras.layers.Lambda'",
    ),
    "lambda": (lambda c: _layer("Dense")(c)["config"].update(activation=_CODE), "names '__lambda_"),
    "system": (_function("os", "system"), "names 'os.system'"),
    "download": (_function("keras.utils", "get_file"), "names 'keras.utils.get_file'"),
    "builtin": (_function("builtins", "exec"), "names 'builtins.exec'"),
    "module": (_instead(module="subprocess", class_name="Popen"), "names 'subprocess.Popen'"),
    "keras module": (
        _instead(module="keras.src.utils.file_utils", class_name="File"),
        "names 'keras.src.utils.file_utils.File'",
    ),
    "registered": (
        _instead(module=None, class_name="Evil", registered_name="evil>Evil"),
        "names 'Evil', which is neither",
    ),
    "vocabulary": (
        _instead(class_name="StringLookup", config={"name": "x", "vocabulary": "/etc/passwd"}),
        "names 'keras.layers.StringLookup'",
    ),
    "other framework": (_instead(class_name="TorchModuleWrapper"), "TorchModuleWrapper"),
    "saved model": (_instead(class_name="TFSMLayer", config={"filepath": "/x"}), "TFSMLayer"),
    "bytes": (
        lambda c: _layer("Rescaling")(c)["config"].update(
            scale={"class_name": "__numpy__", "config": {"value": [1], "dtype": "S2000000000"}}
        ),
        "names '__numpy__'",
    ),
    "units": (
        lambda c: _layer("Dense")(c)["config"].update(units=10**9),
        "describes a model of 201,000,000,9",
    ),
    "no number": (lambda c: _layer("Dense")(c)["config"].update(units="8"), "describes no model"),
    "wide": (_wide, "describes a layer that gives 921,600,000,000 numbers"),
    "path": (lambda c: c["config"].update(name="../../x"), "describes no model"),
    "loop": (_loop, "describes no model"),
    "nested": (_nested, "describes no model|nested too deeply"),
    "list": (lambda c: [c], "its config.json is a list"),
    "layer": (lambda c: _layer("Dense")(c), "it takes None, not images"),
    "empty": (lambda c: {"a": 1}, "it takes None, not images"),
}
"""Changes of a model's config, and what is said of them."""


def with_config(good: dict[str, bytes], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """A model's members with a changed config."""
    config = json.loads(good["config.json"])
    return {**good, "config.json": json.dumps(change(config) or config)}


def with_weights(good: dict[str, bytes], change: Callable[[Any], None]) -> dict[str, Any]:
    """A model's members with changed weights."""
    import h5py

    content = io.BytesIO(good["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        change(file)
    return {**good, "model.weights.h5": content.getvalue()}


def weight_changes(secret: Path) -> dict[str, tuple[Callable[[Any], None], str]]:
    """Changes of a model's weights, and what is said of them.

    Args:
        secret: a file that is none of the model's.
    """
    import h5py

    name = "layers/dense/vars/0"

    def instead(**facts: Any) -> Callable[[Any], None]:
        def change(file: Any) -> None:
            del file[name]
            file.create_dataset(name, **{"shape": (200, 8), "dtype": "f4", **facts})

        return change

    def linked(link: Any) -> Callable[[Any], None]:
        def change(file: Any) -> None:
            del file[name]
            file[name] = link

        return change

    def virtual(file: Any) -> None:
        del file[name]
        layout = h5py.VirtualLayout(shape=(200, 8), dtype="f4")
        layout[...] = h5py.VirtualSource(str(secret), "x", shape=(200, 8))
        file.create_virtual_dataset(name, layout)

    return {
        "external": (instead(external=[(str(secret), 0, 6400)]), "keeps '0' in another file"),
        "virtual": (virtual, "keeps '0' in another file"),
        "external link": (linked(h5py.ExternalLink(str(secret), "/x")), "links '0' to another"),
        "soft link": (linked(h5py.SoftLink("/layers/dense/vars/1")), "links '0' to another"),
        "bomb": (
            instead(shape=(10**6, 10**6), chunks=(10**3, 10**3), compression="gzip"),
            r"claims \(1000000, 1000000\) for '0'",
        ),
        "claim": (instead(shape=(10**11,)), r"claims \(100000000000,\) for '0'"),
        "texts": (linked(["a"] * 10), "holds '0', which is no array of numbers"),
        "type": (linked(np.dtype("f4")), "holds '0', which is no array of numbers"),
    }
