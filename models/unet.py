"""U-Nets that answer with a heatmap for each keypoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfkd.codecs import Heatmap
from kfkd.lazy import keras
from kfkd.models.blocks import activated, channel_dropout, conv_norm, unit_pixels, with_places
from kfkd.models.options import options_of, widened
from kfkd.models.plain import Shape
from kfkd.registry import Plateau, Recipe, register

if TYPE_CHECKING:
    from keras import Model

_LEVELS = 4


def unet(
    name: str,
    maps: int,
    input_shape: Shape,
    filters: int,
    stride: int = 1,
    answer: str | None = None,
    places: bool = False,
    *,
    width: float = 1.0,
    deeper: int = 0,
    dropout: float = 0.0,
    activation: str = "relu",
) -> Model:
    """An encoder of four levels, a decoder of transposed convolutions, and a map a keypoint.

    After Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation"
    (2015), in the form of Buda et al., "Association of genomic subtypes of lower-grade gliomas
    with shape features automatically extracted by a deep learning algorithm" (2019).

    Args:
        name: the model's.
        maps: how many keypoints.
        input_shape: (h, w, c), pixels 0–255; sides that 16 · stride does not divide are filled up
            with zeros, and the maps cut.
        filters: of the first level, twice as many at each further one.
        stride: 1, or 2 for a first convolution that halves the image.
        answer: activation of the maps.
        places: whether the net is told where a pixel lies.
        width, deeper, dropout, activation: see `kfkd.models.options`.

    Returns:
        An uncompiled model whose outputs are (ceil(h / stride), ceil(w / stride), maps).
    """
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    size = tuple(-(-side // stride) for side in input_shape[:2])
    grid = tuple(-(-side // 2**_LEVELS) * 2**_LEVELS for side in size)
    missing = [(0, g * stride - side) for g, side in zip(grid, input_shape[:2], strict=True)]
    x, filters = unit_pixels(image), widened(filters, width)
    if any(after for _, after in missing):
        x = layers.ZeroPadding2D(missing)(x)
    if places:
        x = with_places(x)
    if stride > 1:
        # A kernel of twice the step keeps each cell's centre amid the pixels it stands for.
        x = layers.Conv2D(filters, 2 * stride, strides=stride, padding="same", use_bias=False)(x)
        x = activated(layers.BatchNormalization()(x), activation)
    x = channel_dropout(_levels(x, filters, 2 + deeper, activation), dropout)
    if grid != size:
        x = layers.Cropping2D([(0, g - side) for g, side in zip(grid, size, strict=True)])(x)
    # Float32 whatever the precision: a peak between cells needs more than bfloat16's eight bits.
    x = layers.Conv2D(maps, 1, activation=answer, dtype="float32", name="maps")(x)
    return keras.Model(image, x, name=name)


def _levels(x: Any, filters: int, depth: int, activation: str) -> Any:
    layers, skipped, style = keras.layers, [], (depth, activation)
    for level in range(_LEVELS):
        skipped.append(_convolved(x, filters * 2**level, *style))
        x = layers.MaxPooling2D()(skipped[-1])
    x = _convolved(x, filters * 2**_LEVELS, *style)
    for level in reversed(range(_LEVELS)):
        x = layers.Conv2DTranspose(filters * 2**level, 2, strides=2)(x)
        x = _convolved(layers.Concatenate()([x, skipped[level]]), filters * 2**level, *style)
    return x


def _convolved(x: Any, filters: int, depth: int, activation: str) -> Any:
    for _ in range(depth):
        x = activated(conv_norm(x, filters), activation)
    return x


@register(
    family="unet",
    dataset="ibug",
    subsets=("all",),
    params={68: 7_771_140},
    trainable={68: 7_765_252},
    input_shape=(224, 224, 3),
    recipe=Recipe(batch_size=8, epochs=20, validation=0.1),
    codec=Heatmap(stride=1, sigma=10.0, window=60.0),
    source="CS194 report 3, the brain-MRI U-Net with 68 maps",
    mistakes=(
        "Its author could not make it work. What is likely: Gaussians that add up to 1, as cv2's "
        "kernels do, are 0.0016 high, and a squared error on maps that are nearly all zeros "
        "learns zeros. The recipe is the report's, with Gaussians of height 1; what works is "
        "loss=adaptive_wing with schedule=cosine, augment=light and learning_rate=0.002, soonest "
        "on crops of 112×112 with codec.sigma=5: docs/results/heatmaps.md.",
        "It does not say how high its Gaussians are, nor rate, batch size and epochs: a height of "
        "1, 0.001, 8 and 20 are ours, as is reading the maps between pixels.",
    ),
)
@options_of(unet)
def unet_heatmap_68(outputs: int, input_shape: Shape = (224, 224, 3), **options: Any) -> Model:
    """The brain-MRI U-Net with 32 first filters and a map for each keypoint; as `unet`."""
    name = "unet_heatmap_68"
    return unet(name, outputs, input_shape, 32, answer="sigmoid", **options)


@register(
    family="unet",
    dataset="ibug",
    subsets=("all",),
    params={68: 1_949_364},
    trainable={68: 1_946_388},
    input_shape=(128, 128, 1),
    recipe=Recipe(
        loss="adaptive_wing",
        learning_rate=3e-3,
        batch_size=16,
        epochs=60,
        validation=0.1,
        early_stopping=12,
        restore_best=True,
        plateau=Plateau(factor=0.4, patience=4, min_learning_rate=1e-5),
        augment="standard",
    ),
    codec=Heatmap(stride=2, sigma=3.0),
    source="ours",
)
@options_of(unet)
def unet_small_68(outputs: int, input_shape: Shape = (128, 128, 1), **options: Any) -> Model:
    """A U-Net of half the width on maps of half the size, for a CPU; as `unet`.

    It is told where a pixel lies, as the nets of the adaptive wing loss are: a loss that weighs
    peaks lets it mark both eyes for one, and without being told it was slow to choose.
    """
    return unet("unet_small_68", outputs, input_shape, 16, stride=2, places=True, **options)
