"""One layer inside a TF-Hub module."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kfkd")
class HubScope(keras.layers.Layer):
    """The variables of one layer inside a module; the module itself computes with them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.built = True

    def adopt(self, variables: list[Any], trainable: set[int]) -> None:
        """Makes a module's own variables this layer's.

        Args:
            variables: the tf.Variables.
            trainable: ids of the module's trainable ones.
        """
        self.adopted = [
            keras.Variable(
                initializer=v,
                trainable=id(v) in trainable,
                autocast=False,
                name=v.name.partition(":")[0].rpartition("/")[2],
            )
            for v in variables
        ]
        for variable in self.adopted:  # only now: Keras files them by what they can be, not are
            variable.trainable = variable.trainable and self.trainable
