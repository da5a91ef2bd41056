import json

import keras
import numpy as np
import pytest

from kfkd.errors import DataError, WeightsError
from kfkd.models.residual import basic, resnet
from kfkd.models.torch_weights import fill_from_torch

pytestmark = pytest.mark.usefixtures("keras_ready")


@pytest.fixture
def net():
    """A residual net of two stages: its layers are called as those of ResNet-18."""
    return resnet("net", 4, (32, 32, 1), basic, (1, 1))


@pytest.fixture
def arrays():
    """Its weights as torchvision has them, with three colours and ImageNet's classes."""
    rng = np.random.Generator(np.random.PCG64(1))
    shapes = {"conv1": (64, 3, 7, 7), "bn1": 64}
    for layer, (into, out) in (("layer1.0", (64, 64)), ("layer2.0", (64, 128))):
        shapes |= {f"{layer}.conv1": (out, into, 3, 3), f"{layer}.bn1": out}
        shapes |= {f"{layer}.conv2": (out, out, 3, 3), f"{layer}.bn2": out}
    shapes |= {"layer2.0.downsample.0": (128, 64, 1, 1), "layer2.0.downsample.1": 128}
    found = {"fc.weight": rng.normal(size=(1000, 128)), "fc.bias": rng.normal(size=1000)}
    for name, shape in shapes.items():
        parts = ["weight"] if isinstance(shape, tuple) else ["weight", "bias"]
        parts += [] if isinstance(shape, tuple) else ["running_mean", "running_var"]
        found |= {f"{name}.{part}": rng.normal(size=shape) for part in parts}
    return {name: array.astype(np.float32) for name, array in found.items()}


def safetensors(path, arrays):
    facts, body = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        content = np.ascontiguousarray(array).tobytes()
        place = [len(body), len(body) + len(content)]
        facts[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": place}
        body += content
    head = json.dumps(facts).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + body)
    return path


def save(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return path
    return safetensors(path, arrays)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_every_weight_but_the_last_layers_comes_from_the_file(net, arrays, tmp_path, suffix):
    last = [np.asarray(w) for w in net.get_layer("coordinates").weights]
    fill_from_torch(net, save(tmp_path / f"w.{suffix}", arrays))
    kernel = np.asarray(net.get_layer("layer2.0.conv1").kernel)
    np.testing.assert_array_equal(kernel[0, 2, 5, 7], arrays["layer2.0.conv1.weight"][7, 5, 0, 2])
    stem = np.asarray(net.get_layer("conv1").kernel)
    np.testing.assert_allclose(
        stem[1, 2, 0, 9], arrays["conv1.weight"][9, :, 1, 2].sum(), rtol=1e-6
    )
    norm = net.get_layer("layer2.0.downsample.1")
    np.testing.assert_array_equal(norm.gamma, arrays["layer2.0.downsample.1.weight"])
    np.testing.assert_array_equal(norm.moving_mean, arrays["layer2.0.downsample.1.running_mean"])
    np.testing.assert_array_equal(norm.moving_variance, arrays["layer2.0.downsample.1.running_var"])
    for before, after in zip(last, net.get_layer("coordinates").weights, strict=True):
        np.testing.assert_array_equal(before, after)


def test_hidden_dense_layers_are_not_looked_for(arrays, tmp_path):
    path = save(tmp_path / "w.npz", arrays)
    net = resnet("net", 4, (32, 32, 1), basic, (1, 1), str(path), units=3, activation="silu")
    np.testing.assert_array_equal(net.get_layer("bn1").gamma, arrays["bn1.weight"])


def test_layers_that_differ_may_be_left_out(net, arrays, tmp_path):
    del arrays["conv1.weight"]
    fill_from_torch(net, save(tmp_path / "w.npz", arrays), skip=("conv1",))


def test_missing_or_foreign_weights_are_errors(net, arrays, tmp_path):
    with pytest.raises(WeightsError, match="there is no such file; download"):
        fill_from_torch(net, tmp_path / "absent.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 40)
    (tmp_path / "bad.npz").write_bytes(b"PK")
    (tmp_path / "pickle.pth").write_bytes(b"\x80\x02}q\x00.")
    for name in ("bad.safetensors", "bad.npz", "pickle.pth"):
        with pytest.raises(DataError, match=r"is no readable .safetensors or .npz file"):
            fill_from_torch(net, tmp_path / name)
    before = np.asarray(net.get_layer("bn1").gamma)
    arrays["layer1.0.bn2.bias"] = arrays["layer1.0.bn2.bias"][:5]
    arrays["layer1.0.conv1.weight"][0] = np.nan
    with pytest.raises(DataError, match=r"lacks net's layer1.0.conv1.weight, layer1.0.bn2.bias"):
        fill_from_torch(net, save(tmp_path / "w.npz", arrays))
    np.testing.assert_array_equal(before, net.get_layer("bn1").gamma)


def test_a_builder_takes_the_file(arrays, tmp_path):
    path = save(tmp_path / "w.safetensors", arrays)
    net = resnet("net", 4, (32, 32, 3), basic, (1, 1), weights=str(path))
    kernel = np.asarray(net.get_layer("conv1").kernel)
    np.testing.assert_array_equal(kernel, arrays["conv1.weight"].transpose(2, 3, 1, 0))
    assert isinstance(net, keras.Model)
