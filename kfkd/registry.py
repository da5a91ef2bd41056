"""The zoo's registry: a model's name with everything needed to reproduce it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from kfkd.by_source import KAGGLE_BY_SOURCE
from kfkd.codecs import Codec, Coordinates
from kfkd.errors import KfkdError, UnknownName
from kfkd.skeletons import IBUG_68, IMM_58, KAGGLE_15, Skeleton
from kfkd.views import Views

if TYPE_CHECKING:
    import keras

    Builder = Callable[..., keras.Model]


@dataclass(frozen=True)
class Plateau:
    """Multiplies the learning rate by `factor` after `patience` epochs without a better score."""

    factor: float = 0.4
    patience: int = 4
    min_learning_rate: float = 1e-5


@dataclass(frozen=True)
class Phase:
    """A stretch of training of a pre-trained backbone.

    Args:
        epochs: how long.
        unfreeze: how many of the backbone's last layers learn; 0 = none, None = all.
        learning_rate: the rate of this phase; None = the recipe's.
    """

    epochs: int
    unfreeze: int | None
    learning_rate: float | None = None


@dataclass(frozen=True)
class Recipe:
    """How an entry is trained.

    Args:
        loss: name in `kfkd.losses.LOSSES`, maybe with numbers, "huber(3)"; every loss leaves
            missing labels out.
        optimizer: name of a Keras optimiser.
        learning_rate: its first rate.
        batch_size: images a step.
        epochs: at the most.
        early_stopping: epochs without a better validation RMSE before it stops; None = never.
        restore_best: end with the best epoch's weights rather than the last's.
        plateau: lowers the rate on a plateau of the validation RMSE; None = never.
        validation: share of the images held out.
        augment: augmentation mix, by name or as text (`kfkd.augment.mix`); None = none.
        copies: train on one fixed copy of every image for each branch of the mix, as the Kaggle
            study did, so that an epoch is as many times longer; else images go through the mix
            anew in every epoch.
        phases: stretches with parts of the backbone frozen; () = one, everything learns.
        schedule: "cosine" = the rate climbs for a twentieth of the steps, then falls to nothing
            along a cosine; None = it stays.
        cycles: how many times that happens over the epochs of a phase, each as long as the others;
            None = once.
        weight_decay: of an optimiser that has one, kernels only; None = the optimiser's own.
        ema: momentum of the running mean of the weights, by step: the mean is measured, and is
            what the run keeps; None = no mean.
        views: ways to look at an image whose predictions are averaged.
        second_look: whether faces that stand aside, or are larger or smaller than usual, are
            looked at once more where faces usually are, see `kfkd.second_looks`.
        centre_labels: learn labels as they would look the same in mirror images: what the training
            rows' labels lie beside that, one number for each label source, is taken off before and
            added to answers, see `kfkd.mirror_axis`.
        linear_correction: whether answers are corrected, after training, by what the training
            labels differ by, as a linear function of the face's shape, see
            `kfkd.linear_correction`.
        smooth_correction: whether, after that, by what is left of it as a smooth function of the
            face's shape, place and size and of the doubts, see `kfkd.smooth_correction`.
    """

    loss: str = "mse"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 50
    epochs: int = 100
    early_stopping: int | None = None
    restore_best: bool = False
    plateau: Plateau | None = None
    validation: float = 0.1
    augment: str | None = None
    copies: bool = False
    phases: tuple[Phase, ...] = ()
    schedule: str | None = None
    cycles: int | None = None
    weight_decay: float | None = None
    ema: float | None = None
    views: Views = field(default_factory=Views)
    second_look: bool = False
    centre_labels: bool = False
    linear_correction: bool = False
    smooth_correction: bool = False


@dataclass(frozen=True)
class Entry:
    """A zoo entry.

    Args:
        name: how users call it.
        build: builder, `build(outputs, input_shape, **options)` → uncompiled Keras model that
            takes pixels 0–255 and gives `outputs` numbers, or maps where the codec says so;
            pre-processing is inside the model.
        family: the family of architectures, the name of its file.
        dataset: the data set it belongs to.
        subsets: keypoint subsets that are trained, a model each.
        params: expected parameter count (Keras total) by number of outputs.
        trainable: expected count of trainable parameters by number of outputs, where the source
            counts these: PyTorch leaves the moving statistics of batch normalisation out.
        input_shape: (h, w, c).
        offline: the builder's options that give the same net without downloading its weights.
        recipe: how it is trained.
        codec: what its outputs mean.
        by_source: whether it has points of its own for each of Kaggle's two label sources, see
            `kfkd.by_source`; on other data it has the data's points.
        published: published scores by name, for example {"private": 1.73, "public": 2.13}.
        source: where architecture and scores were published.
        mistakes: what the source got wrong, and what we do instead.
    """

    name: str
    build: Builder
    family: str = "own"
    dataset: str = "kaggle"
    subsets: tuple[str, ...] = ("dense", "sparse")
    params: Mapping[int, int] = field(default_factory=dict)
    trainable: Mapping[int, int] = field(default_factory=dict)
    input_shape: tuple[int, int, int] = (96, 96, 1)
    offline: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)
    codec: Codec = field(default_factory=Coordinates)
    by_source: bool = False
    published: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    mistakes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """First line of the builder's docstring."""
        return (inspect.getdoc(self.build) or "").partition("\n")[0]

    @property
    def skeleton(self) -> Skeleton:
        """The points that it learns: its data set's, or Kaggle's."""
        if self.by_source:
            return KAGGLE_BY_SOURCE
        return _SKELETONS.get(self.dataset, KAGGLE_15)


_SKELETONS = {"imm": IMM_58, "ibug": IBUG_68, "youtube_faces": IBUG_68}


_ENTRIES: dict[str, Entry] = {}


@overload
def register(builder: Builder, /) -> Builder: ...
@overload
def register(*, replace: bool = False, **facts: Any) -> Callable[[Builder], Builder]: ...
def register(
    builder: Builder | None = None, /, *, replace: bool = False, **facts: Any
) -> Builder | Callable[[Builder], Builder]:
    """Adds a builder to the zoo under its own name; a decorator, with or without arguments.

    Args:
        builder: a function `(outputs, input_shape=(96, 96, 1), **options)` → uncompiled
            `keras.Model`.
        replace: allow a name that is taken.
        **facts: fields of `Entry`, such as `params`, `subsets`, `recipe`; `name` where it should
            differ from the function's.

    Returns:
        The builder, unchanged.

    Raises:
        KfkdError: when the name is taken and `replace` is not set.

    Example:
        >>> import keras, kfkd
        >>> @kfkd.register
        ... def my_net(outputs, input_shape=(96, 96, 1)):
        ...     return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(),
        ...                              keras.layers.Dense(outputs)])
        >>> kfkd.build("my_net", outputs=8).count_params()
        73736
    """

    def add(builder: Builder) -> Builder:
        # The zoo's own come first, whatever is registered first: its names are taken.
        import kfkd.models  # noqa: F401

        name = facts.pop("name", builder.__name__)
        if name in _ENTRIES and not replace:
            raise KfkdError(f"a model is already registered as {name!r}; choose another name")
        _ENTRIES[name] = Entry(name=name, build=builder, **facts)
        return builder

    return add if builder is None else add(builder)


def entries() -> dict[str, Entry]:
    """All entries by name, the zoo's own first, in the order of their registration."""
    import kfkd.models  # noqa: F401  (registers the zoo)

    return dict(_ENTRIES)


def entry(name: str) -> Entry:
    """The entry called `name`.

    Raises:
        UnknownName: with the nearest names, when there is none.
    """
    known = entries()
    if name not in known:
        raise UnknownName("model", name, list(known))
    return known[name]
