"""Models of the zoo, built untrained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfkd.codecs import Codec, changed_codec
from kfkd.errors import KfkdError
from kfkd.models.heads import check_codec
from kfkd.models.options import check_options
from kfkd.registry import Entry, entry
from kfkd.skeletons import Skeleton

if TYPE_CHECKING:
    import keras


def build(
    name: str,
    outputs: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    *,
    codec: Codec | Mapping[str, Any] | None = None,
    **options: Any,
) -> keras.Model:
    """Builds a model of the zoo, untrained.

    Args:
        name: entry of the zoo, see `kfkd.list_models()`.
        outputs: how many coordinates it answers with (8 dense, 22 sparse, 30 all), or maps where
            it answers with maps; None = for the keypoints of the entry's first subset.
        input_shape: (h, w, c); None = the entry's own.
        codec: what it is to answer with, a codec or, as for `kfkd.train`, changed settings of the
            entry's; None = the entry's own. A net of coordinates gets a head of maps where the
            codec is one of maps (`kfkd.models.heads`).
        **options: handed to the builder, such as `weights` of vgg16_transfer.

    Returns:
        An uncompiled `keras.Model` that takes pixels 0–255.

    Raises:
        UnknownName: when the zoo has no such model.
        KfkdError: when `outputs` is not a positive number, the model cannot be built so, or the
            codec does not fit its maps.

    Example:
        >>> import kfkd
        >>> kfkd.build("lenet5", outputs=8).count_params()
        21964056
    """
    found = entry(name)
    if isinstance(codec, Mapping):
        codec = changed_codec(found.codec, codec)
    if codec is not None and not isinstance(codec, Codec):
        raise KfkdError(
            f"codec wants one of kfkd.codecs, or its settings. Received: {codec!r:.100}"
        )
    if outputs is None:
        outputs = (codec or found.codec).outputs(len(found.skeleton.subset(found.subsets[0])))
    if outputs < 1:
        raise KfkdError(f"a model needs at least one output. Received: outputs={outputs}")
    shape = tuple(input_shape or found.input_shape)
    check_options(options)
    if codec is not None:
        check_codec(found, codec, shape)
    try:
        model = found.build(outputs, shape, **options)
    except (TypeError, ValueError) as error:
        if isinstance(error, KfkdError):
            raise
        what = f"{outputs} outputs, images of {shape}, options {options}"
        raise KfkdError(f"{name} cannot be built with {what}: {error}") from error
    wanted = found.codec.output_shape(outputs, shape)
    if getattr(model, "output_shape", None) != (None, *wanted):
        raise KfkdError(
            f"{name} wants to be a functional or sequential model with one output of "
            f"{' × '.join(map(str, wanted))} numbers. "
            f"Received: {getattr(model, 'output_shape', type(model).__name__)}"
        )
    return model if codec is None else _answering(model, codec, outputs)


def _answering(model: keras.Model, codec: Codec, outputs: int) -> keras.Model:
    """The model, with a head of maps where it answers with coordinates and maps are wanted, and
    without bounds on maps whose softmax is taken.
    """
    wanted = codec.output_shape(outputs, model.input_shape[1:])
    if len(wanted) == 1:
        return model
    from kfkd.models.heads import with_maps, with_scores

    if len(model.output_shape) > 2:
        from kfkd.integral import Integral

        return with_scores(model) if isinstance(codec, Integral) else model
    height, width, maps = wanted
    return with_maps(model, (height, width), maps)


def subset_outputs(found: Entry, subset: str, skeleton: Skeleton | None = None) -> int:
    """How many numbers or maps an entry's network gives for a subset; None = its own skeleton."""
    return found.codec.outputs(len((skeleton or found.skeleton).subset(subset)))
