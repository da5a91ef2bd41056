"""Image and keypoint transforms, and named mixes of them.

One implementation in `keras.ops`, batched, every image with its own parameters: it runs inside
tf.data and on an accelerator, under every backend of Keras.
"""

from kfkd.augment.applying import Augment
from kfkd.augment.copies import copied
from kfkd.augment.detail import Blur, Jpeg, MotionBlur, Noise, Sharpen
from kfkd.augment.draws import Draws
from kfkd.augment.elastic import Elastic
from kfkd.augment.geometry import Crop, Flip, Perspective, Rotate, Scale, Shear, Shift
from kfkd.augment.mixes import MIXES, mix
from kfkd.augment.mixing import Frame, Mix
from kfkd.augment.occlusion import CutOut
from kfkd.augment.tone import Brightness, Clahe, Contrast, Equalize, Gamma
from kfkd.augment.transforms import Geometric, Photometric, Transform

__all__ = [
    "MIXES",
    "Augment",
    "Blur",
    "Brightness",
    "Clahe",
    "Contrast",
    "Crop",
    "CutOut",
    "Draws",
    "Elastic",
    "Equalize",
    "Flip",
    "Frame",
    "Gamma",
    "Geometric",
    "Jpeg",
    "Mix",
    "MotionBlur",
    "Noise",
    "Perspective",
    "Photometric",
    "Rotate",
    "Scale",
    "Sharpen",
    "Shear",
    "Shift",
    "Transform",
    "copied",
    "mix",
]
