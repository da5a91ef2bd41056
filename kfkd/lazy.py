"""Keras and OpenCV, imported at their first use: TensorFlow takes seconds, listing should not."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kfkd.errors import KfkdError

if TYPE_CHECKING:
    import cv2
    import keras
else:

    class LazyModule(ModuleType):
        """A module that is imported when an attribute of it is first asked for.

        Args:
            name: the module's name.
            hint: what to do where it cannot be loaded.
        """

        def __init__(self, name: str, hint: str) -> None:
            super().__init__(name)
            self.__dict__["_hint"] = hint

        def __getattr__(self, name: str) -> Any:
            try:
                module = importlib.import_module(self.__name__)
            except ImportError as error:
                message = f"{self.__name__} cannot be loaded ({error}); {self._hint}"
                raise KfkdError(message) from error
            return getattr(module, name)

    keras = LazyModule("keras", "pip install tensorflow keras")
    cv2 = LazyModule("cv2", "on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0")

__all__ = ["cv2", "keras"]
