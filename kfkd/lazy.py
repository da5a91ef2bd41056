"""Keras, imported at its first use: TensorFlow takes seconds, listing the zoo should not."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
else:

    class LazyModule(ModuleType):
        """A module that is imported when an attribute of it is first asked for."""

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module(self.__name__), name)

    keras = LazyModule("keras")

__all__ = ["keras"]
