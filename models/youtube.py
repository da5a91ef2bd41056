"""The YouTube Faces report's net for 68 points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kfkd.codecs import Coordinates
from kfkd.models.options import options_of
from kfkd.models.plain import Shape, plain_net
from kfkd.registry import Recipe, register

if TYPE_CHECKING:
    from keras import Model

_CNN5 = tuple(
    (filters, kernel, "valid", True)
    for filters, kernel in ((16, 7), (32, 5), (64, 3), (128, 3), (512, 3))
)


@register(
    family="youtube",
    dataset="youtube_faces",
    subsets=("all",),
    params={136: 9_225_352},
    trainable={136: 9_225_352},
    input_shape=(224, 224, 1),
    recipe=Recipe(
        optimizer="rmsprop",
        learning_rate=1e-4,
        batch_size=10,
        epochs=3,
        validation=0.2,
        augment="crop(0.896)",
    ),
    codec=Coordinates(offset=100.0, scale=50.0),
    source="YouTube Faces report, CNN of five convolutions",
    mistakes=(
        "Its test frames are of persons whom the training frames show too; splits by person here.",
        "It brings a frame's shorter side to 250 pixels and cuts 224×224 out at random, of test "
        "frames too; here whole frames become 224×224, whatever their proportions, and only "
        "training frames are cut, by up to 224/250 of their sides: nothing of a frame is lost.",
        "It names no batch size: 10 is ours, as is the fifth of the persons held out.",
    ),
)
@options_of(plain_net)
def youtube_cnn5(
    outputs: int,
    input_shape: Shape = (224, 224, 1),
    units: int = 1024,
    dropout: float = 0.6,
    **options: Any,
) -> Model:
    """Five convolutions, 16 to 512 filters, a dense layer of 1024 and dropout 0.6; as `plain_net`.

    It wants images of at least 86×86 pixels: no convolution is padded.
    """
    name, given = "youtube_cnn5", {"dropout": dropout, **options}
    return plain_net(name, outputs, input_shape, _CNN5, units, **given)
