"""A TF-Hub module as a Keras 3 layer: `hub.KerasLayer` is one of Keras 2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from kfkd.errors import DataError, KfkdError
from kfkd.models.hub_depth import layers_by_depth
from kfkd.models.hub_modules import (
    GRAPH,
    load_module,
    module_folder,
    module_graph,
    rebuilt_module,
    want_tensorflow,
)
from kfkd.models.hub_scope import HubScope


@keras.saving.register_keras_serializable(package="kfkd")
class HubBackbone(keras.layers.Layer):
    """A feature vector of TF-Hub; images (b, h, w, 3) in [0, 1] → (b, features).

    It computes in float32 whatever the precision, as a module's types are fixed. Its graph goes
    into the model's file, which loads again without the module. `layers` are its layers by depth.
    It always computes as in use: batch normalisation keeps the statistics that came with the
    weights. Moved along in a short fine-tuning, they spoil what is held out.

    Args:
        source: where the module came from, for the record.
        features: length of the vectors.
        scopes: the module's layers in the order of depth, and whether each is trainable.
        **settings: of every Keras layer.
    """

    closed = True
    """Its operations cannot be counted from outside."""

    def __init__(
        self, source: str, features: int, scopes: Mapping[str, bool], **settings: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **settings})
        self.source, self.features = source, features
        self.scopes = tuple(scopes)
        self.layers = [
            HubScope(name=scope.replace("/", ".") or None, trainable=trainable)
            for scope, trainable in scopes.items()
        ]
        self._module: Any = None
        self._graph = b""

    def adopt(self, module: Any, graph: bytes) -> None:
        """Takes a loaded module in.

        Args:
            module: what computes.
            graph: what rebuilds it, to be saved with the model.

        Raises:
            DataError: when its layers are not those that this layer was made with.
        """
        found = dict(layers_by_depth(module))
        if tuple(found) != self.scopes:
            raise DataError(f"the module of {self.name!r} has other layers than its model")
        trainable = {id(v) for v in module.trainable_variables}
        for layer, variables in zip(self.layers, found.values(), strict=True):
            layer.adopt(variables, trainable)
        self._module, self._graph = module, graph

    @property
    def trainable(self) -> bool:
        """Whether any of its layers is."""
        return any(layer.trainable for layer in getattr(self, "layers", ()))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "trainable":  # a setter would not do: Keras skips what it thinks is set already
            self.unfreeze(None if value else 0)
        else:
            super().__setattr__(name, value)

    def unfreeze(self, last: int | None) -> None:
        """Lets only the last layers learn, all where `last` is None; compile the model anew."""
        for i, layer in enumerate(self.layers):
            layer.trainable = last is None or i >= len(self.layers) - last

    def build(self, input_shape: Any) -> None:
        """Nothing to make: the variables came with the module."""

    def call(self, images: Any) -> Any:
        """Features (b, features) of images (b, h, w, 3) in [0, 1]."""
        if self._module is None:
            raise KfkdError(
                f"the layer {self.name!r} was copied without its module; load the model's file, "
                "or build the model anew"
            )
        return self._module(images, training=False)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        """(b, features)."""
        return (input_shape[0], self.features)

    def get_config(self) -> dict[str, Any]:
        """What the layer is made anew from; the module itself lies beside, as an asset."""
        learning = (layer.trainable for layer in self.layers)
        scopes = dict(zip(self.scopes, learning, strict=True))
        own = {"source": self.source, "features": self.features, "scopes": scopes}
        return {**super().get_config(), **own}

    def save_assets(self, directory: str) -> None:
        """Writes the module's graph; Keras saves the weights with the model's others."""
        (Path(directory) / GRAPH).write_bytes(self._graph)

    def load_assets(self, directory: str | None) -> None:
        """Rebuilds the module; Keras puts its weights in afterwards."""
        if directory is None:
            raise DataError(f"the model file lacks the module of its layer {self.name!r}")
        graph = module_graph(Path(directory))  # not the file itself: it may come from anyone
        self.adopt(rebuilt_module(graph), graph)


def hub_backbone(weights: str, image_shape: tuple[int, int, int]) -> HubBackbone:
    """The layer "backbone" of a TF-Hub module, frozen.

    Args:
        weights: the module's handle, its folder, or a .tar.gz of it.
        image_shape: (h, w, 3).

    Raises:
        WeightsError: when the module cannot be had.
        DataError: when it is not a feature vector.
        KfkdError: when it does not take such images, or TensorFlow on one device is not what runs.
    """
    want_tensorflow()
    with module_folder(weights) as folder:
        graph, module = module_graph(folder), load_module(folder)
    try:
        features = module(keras.ops.zeros((1, *image_shape)), training=False).shape[-1]
    except Exception as error:
        raise KfkdError(f"{weights} does not take images of {image_shape}: {error}") from error
    scopes = dict.fromkeys(dict(layers_by_depth(module)), False)
    layer = HubBackbone(weights, int(features), scopes, name="backbone")
    layer.adopt(module, graph)
    return layer
