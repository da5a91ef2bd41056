"""The zoo: a file a family; importing this registers every entry, without loading Keras."""

from kfkd.models import (
    alexnet,
    applications,
    hub,
    imm58,
    lenet,
    nose,
    pyramid,
    resnet,
    study,
    unet,
    vgg,
    youtube,
)

__all__ = [
    "alexnet",
    "applications",
    "hub",
    "imm58",
    "lenet",
    "nose",
    "pyramid",
    "resnet",
    "study",
    "unet",
    "vgg",
    "youtube",
]
