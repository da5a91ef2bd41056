"""The named mixes: the Kaggle study's, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kfkd.augment.mixing import Mix
from kfkd.augment.notation import mix_from
from kfkd.errors import KfkdError, UnknownName

_TURNED = "rotate({}, alternate=True)"

STUDY: Mapping[str, str] = {
    "study_flip": "original | flip",
    "study_rotate_5": f"original | {_TURNED.format(5)}",
    "study_rotate_10": f"original | {_TURNED.format(10)}",
    "study_rotate_15": f"original | {_TURNED.format(15)}",
    "study_equalize": "original | equalize",
    "study_blur": "original | blur(1)",
    "study_rotate_blur": f"original | {_TURNED.format(10)} | blur(1)",
    "study_rotate_equalize": f"original | {_TURNED.format(10)} | equalize",
    "study_equalize_blur": "original | equalize | blur(1)",
    "study_4x": f"original | {_TURNED.format(10)} | blur(1) | equalize",
}
"""The ten mixes that the study compared, each as its label says (SF 3.3)."""

MISTAKES: Mapping[str, str] = {
    "study_flip_without_swap": "original | flip(swap=False)",
    "study_rotate_equalize_as_run": f"original | {_TURNED.format(15)}",
    "study_equalize_blur_as_run": STUDY["study_4x"],
}
"""What the study really trained where it differs from its labels: the flip kept left and right as
they were, "rotation 10 + HE" was the rotation of 15 degrees alone, "HE + blur" was the 4x mix."""

OURS: Mapping[str, str] = {
    "light": (
        "flip(p=0.5), rotate(8), shift(0.04), scale(0.93, 1.07), brightness(0.1), "
        "contrast(0.85, 1.18), frame(border='edge')"
    ),
    "standard": (
        "flip(p=0.5), rotate(15), shift(0.08), scale(0.8, 1.25), shear(0.08), brightness(0.2), "
        "contrast(0.7, 1.4), gamma(0.75, 1.33), blur(0.4, 1.2, p=0.15), noise(10, p=0.3), "
        "frame(border='edge')"
    ),
    "strong": (
        "flip(p=0.5), rotate(25), shift(0.12), scale(0.65, 1.5, aspect=1.15), shear(0.12), "
        "perspective(0.15), elastic(0.015), brightness(0.2), contrast(0.6, 1.6), gamma(0.65, 1.5), "
        "equalize(p=0.05), clahe(p=0.1), blur(0.4, 1.6, p=0.15), motion_blur(7, p=0.1), "
        "sharpen(1, p=0.1), jpeg(20, 80, p=0.1), noise(15, p=0.4), cut_out(0.1, 0.4, p=0.3), "
        "frame(border='edge')"
    ),
    "wide": (
        "flip(p=0.5), rotate(25), shift(0.1), scale(0.75, 1.35, aspect=1.15), "
        "scale(0.45, 2, p=0.25), shear(0.1), perspective(0.1), elastic(0.01, p=0.5), "
        "brightness(0.2), contrast(0.6, 1.6), gamma(0.65, 1.5), clahe(p=0.05), "
        "blur(0.4, 1.4, p=0.15), motion_blur(5, p=0.05), noise(10, p=0.3), "
        "cut_out(0.1, 0.3, p=0.25), frame(border='edge')"
    ),
}
"""Ours, from little to much; "wide" also has faces of half and of twice the usual size."""

MIXES: Mapping[str, str] = {
    "none": "original",
    **OURS,
    **STUDY,
    "study_he_blur_rotate": f"equalize, blur(1) | {_TURNED.format(10)}, equalize, blur(1)",
    **MISTAKES,
}
"""Every named mix as text; `study_he_blur_rotate` is that of the study's final models 5 and 6."""


def mix(what: str | Mix) -> Mix:
    """A mix by name, or from its text.

    Args:
        what: a name in `MIXES`, a text such as "flip(p=0.5), rotate(15)", in which names may
            stand too ("standard, jpeg(20, 80)", "light | strong"), or a mix.

    Raises:
        UnknownName: when there is no such mix or transform.
        KfkdError: when the text is none of a mix.

    Example:
        >>> mix("study_4x").branches[2]
        (Blur(p=1.0, low=1, high=None),)
    """
    if isinstance(what, Mix):
        return what
    if not isinstance(what, str):
        raise KfkdError(f"a mix is a name, a text or a kfkd.augment.Mix. Received: {what!r:.80}")
    if what in MIXES:
        return replace(mix_from(MIXES[what]), name=what)
    if what.isidentifier() and what not in ("original",):
        from kfkd.augment.notation import KINDS

        if what not in KINDS:
            raise UnknownName("mix", what, list(MIXES))
    return mix_from(what, named=MIXES)
