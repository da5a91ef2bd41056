"""The study's four TF-Hub modules, rebuilt under TF-Slim's names with random or given weights.

`python tests/slim_modules.py mobilenet_v2_050_96 WEIGHTS.npz FOLDER` writes one as a SavedModel.
"""

from __future__ import annotations

import hashlib
import sys
from math import prod

import numpy as np
import tensorflow as tf

HANDLE = "https://tfhub.dev/google/imagenet/{}/feature_vector/4"
PARAMS = {
    "mobilenet_v2_050_96": 706_224,
    "mobilenet_v2_075_96": 1_382_064,
    "inception_v2": 10_173_112,
    "resnet_v2_50": 23_564_800,
}
_MOMENTUM, _EPSILON = 0.99, 1e-3


class Slim:
    """Blocks that make their variables when they are first called, and use them again later."""

    def __init__(self, root, given=None, scales=True):
        self.root, self.given, self.scales = root, given or {}, scales
        self.variables, self.training = {}, False
        self.random = np.random.Generator(np.random.PCG64(0))

    def variable(self, name, value, trainable=True):
        if name not in self.variables:
            value = np.asarray(self.given.get(name, value), np.float32)
            self.variables[name] = tf.Variable(value, trainable, name=f"{self.root}/{name}")
        return self.variables[name]

    def kernel(self, name, *shape):
        inputs = prod(shape[:2] if "depthwise" in name else shape[:3])
        return self.variable(name, self.random.normal(0, (2 / inputs) ** 0.5, shape))

    def norm(self, x, scope):
        size = x.shape[-1]
        scale = self.variable(f"{scope}/gamma", np.ones(size)) if self.scales else tf.ones(size)
        shift = self.variable(f"{scope}/beta", self.random.normal(0, 0.1, size))
        moving = [
            self.variable(f"{scope}/moving_mean", self.random.normal(0, 0.1, size), False),
            self.variable(f"{scope}/moving_variance", self.random.uniform(0.8, 1.2, size), False),
        ]
        if not self.training:
            return tf.nn.batch_normalization(x, *moving, shift, scale, _EPSILON)
        x, *batch = tf.compat.v1.nn.fused_batch_norm(x, scale, shift, epsilon=_EPSILON)
        for old, new in zip(moving, batch, strict=True):
            old.assign_sub((1 - _MOMENTUM) * (old - new))
        return x

    def conv(self, x, filters, size, scope, stride=1, norm=True, relu=tf.nn.relu):
        weights = self.kernel(f"{scope}/weights", size, size, x.shape[-1], filters)
        x = tf.nn.conv2d(x, weights, stride, "SAME")
        if norm:
            x = self.norm(x, f"{scope}/BatchNorm")
        else:
            x += self.variable(f"{scope}/biases", self.random.normal(0, 0.1, filters))
        return relu(x) if relu else x

    def depthwise(self, x, scope, stride=1):
        weights = self.kernel(f"{scope}/depthwise_weights", 3, 3, x.shape[-1], 1)
        x = tf.nn.depthwise_conv2d(x, weights, (1, stride, stride, 1), "SAME")
        return tf.nn.relu6(self.norm(x, f"{scope}/BatchNorm"))


def mobilenet_v2(net, x, stem, widths):
    x = net.conv(x, stem, 3, "Conv", 2, relu=tf.nn.relu6)
    strides = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
    repeats = (1, 2, 3, 4, 3, 3, 1)
    filters = [width for width, count in zip(widths, repeats, strict=True) for _ in range(count)]
    for i, (width, stride) in enumerate(zip(filters, strides, strict=True)):
        scope, y = f"expanded_conv_{i}" if i else "expanded_conv", x
        if i:
            y = net.conv(y, 6 * x.shape[-1], 1, f"{scope}/expand", relu=tf.nn.relu6)
        y = net.depthwise(y, f"{scope}/depthwise", stride)
        y = net.conv(y, width, 1, f"{scope}/project", relu=None)
        x = x + y if stride == 1 and x.shape[-1] == width else y
    return net.conv(x, 1280, 1, "Conv_1", relu=tf.nn.relu6)


_MIXED = {
    "3b": ((64,), (64, 64), (64, 96, 96), 32),
    "3c": ((64,), (64, 96), (64, 96, 96), 64),
    "4a": ((128, 160), (64, 96, 96)),
    "4b": ((224,), (64, 96), (96, 128, 128), 128),
    "4c": ((192,), (96, 128), (96, 128, 128), 128),
    "4d": ((160,), (128, 160), (128, 160, 160), 96),
    "4e": ((96,), (128, 192), (160, 192, 192), 96),
    "5a": ((128, 192), (192, 256, 256)),
    "5b": ((352,), (192, 320), (160, 224, 224), 128),
    "5c": ((352,), (192, 320), (192, 224, 224), 128),
}
"""Filters of each branch; the last number is the convolution behind the pooling."""


def inception_v2(net, x):
    depthwise = net.kernel("Conv2d_1a_7x7/depthwise_weights", 7, 7, 3, 8)
    pointwise = net.kernel("Conv2d_1a_7x7/pointwise_weights", 1, 1, 24, 64)
    x = tf.nn.separable_conv2d(x, depthwise, pointwise, (1, 2, 2, 1), "SAME")
    x = tf.nn.relu(x + net.variable("Conv2d_1a_7x7/biases", np.zeros(64)))
    x = net.conv(tf.nn.max_pool2d(x, 3, 2, "SAME"), 64, 1, "Conv2d_2b_1x1")
    x = tf.nn.max_pool2d(net.conv(x, 192, 3, "Conv2d_2c_3x3"), 3, 2, "SAME")
    for name, branches in _MIXED.items():
        x = mixed(net, x, f"Mixed_{name}", branches)
    return x


def mixed(net, x, scope, branches):
    shrinks, ends = len(branches) == 2, []
    for i, filters in enumerate(b for b in branches if isinstance(b, tuple)):
        y = x
        for k, width in enumerate(filters):
            last, size = shrinks and k == len(filters) - 1, 3 if k else 1
            name = f"Branch_{i}/Conv2d_{'1a' if last else ('0a', '0b', '0c')[k]}_{size}x{size}"
            y = net.conv(y, width, size, f"{scope}/{name}", 2 if last else 1)
        ends.append(y)
    if shrinks:
        return tf.concat([*ends, tf.nn.max_pool2d(x, 3, 2, "SAME")], -1)
    pool = tf.nn.max_pool2d if scope == "Mixed_5c" else tf.nn.avg_pool2d
    pooled = net.conv(pool(x, 3, 1, "SAME"), branches[-1], 1, f"{scope}/Branch_3/Conv2d_0b_1x1")
    return tf.concat([*ends, pooled], -1)


def resnet_v2_50(net, x):
    x = net.conv(x, 64, 7, "conv1", 2, norm=False, relu=None)
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    for block, (width, units) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for unit in range(1, units + 1):
            stride = 2 if unit == units and block < 4 else 1
            x = bottleneck(net, x, f"block{block}/unit_{unit}/bottleneck_v2", width, stride)
    return tf.nn.relu(net.norm(x, "postnorm"))


def bottleneck(net, x, scope, width, stride):
    y = tf.nn.relu(net.norm(x, f"{scope}/preact"))
    if x.shape[-1] == 4 * width:
        x = tf.nn.max_pool2d(x, 1, stride, "SAME")
    else:
        x = net.conv(y, 4 * width, 1, f"{scope}/shortcut", stride, norm=False, relu=None)
    y = net.conv(net.conv(y, width, 1, f"{scope}/conv1"), width, 3, f"{scope}/conv2", stride)
    return x + net.conv(y, 4 * width, 1, f"{scope}/conv3", norm=False, relu=None)


def tiny(net, x):
    x = net.depthwise(net.conv(x, 8, 3, "Conv", 4), "expanded_conv/depthwise", 2)
    return net.conv(x, 16, 1, "Conv_1", 2)


def architecture(name, given=None):
    """The blocks of a module and what it does to images in [-1, 1]."""
    if name == "tiny":
        return Slim("Tiny", given), tiny
    if name == "inception_v2":
        return Slim("InceptionV2", given, scales=False), inception_v2
    if name == "resnet_v2_50":
        return Slim("resnet_v2_50", given), resnet_v2_50
    stem, widths = {
        "mobilenet_v2_050_96": (16, (8, 16, 16, 32, 48, 80, 160)),
        "mobilenet_v2_075_96": (24, (16, 24, 24, 48, 72, 120, 240)),
    }[name]
    return Slim("MobilenetV2", given), lambda net, x: mobilenet_v2(net, x, stem, widths)


class Module(tf.__internal__.tracking.AutoTrackable):
    """A feature vector in TF2's format for reusable SavedModels.

    Nested ones call a function inside their function, as modules exported from TensorFlow 1 may.
    """

    def __init__(self, name, given=None, nested=False):
        self._net, self._features = architecture(name, given)
        self._forward(tf.zeros((1, 96, 96, 3)), False)  # makes the variables
        self._inner = tf.function(self._forward) if nested else self._forward
        # By name, not by depth: who wants the last layers must find them out.
        ordered = [self._net.variables[key] for key in sorted(self._net.variables)]
        self.variables = ordered
        self.trainable_variables = [v for v in ordered if v.trainable]
        self.regularization_losses = []
        for training in (True, False):
            spec = tf.TensorSpec((None, 96, 96, 3), tf.float32, "inputs")
            self.__call__.get_concrete_function(spec, training=training)

    def _forward(self, inputs, training):
        self._net.training = training
        return tf.reduce_mean(self._features(self._net, 2 * inputs - 1), (1, 2))

    @tf.function
    def __call__(self, inputs, training=False):
        return self._inner(inputs, training)


class Writer(tf.__internal__.tracking.AutoTrackable):
    """A module that writes a file when it is used."""

    def __init__(self, path):
        self.path, weight = path, tf.Variable(1.0, name="scope/weight")
        self.weight, self.variables, self.trainable_variables = weight, [weight], [weight]
        self.__call__.get_concrete_function(tf.TensorSpec((None, 96, 96, 3)), training=False)

    @tf.function
    def __call__(self, inputs, training=False):
        tf.io.write_file(self.path, "written")
        return self.weight * tf.reduce_mean(inputs, (1, 2))


def save_module(module, folder):
    """Writes a module as a SavedModel; returns its folder."""
    tf.saved_model.save(module, str(folder))
    return folder


def cached_module(cache, name, given=None):
    """Saves a module where TF-Hub would have put it after downloading; returns the folder."""
    folder = cache / hashlib.sha1(HANDLE.format(name).encode()).hexdigest()
    return folder if folder.is_dir() else save_module(Module(name, given), folder)


if __name__ == "__main__":
    with np.load(sys.argv[2], allow_pickle=False) as stored:
        save_module(Module(sys.argv[1], dict(stored)), sys.argv[3])
