"""The zoo: a file a family; importing this registers every entry, without loading Keras."""

from kfkd.models import alexnet, lenet, study, vgg

__all__ = ["alexnet", "lenet", "study", "vgg"]
