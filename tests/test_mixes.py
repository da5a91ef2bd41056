"""Mixes: shares, branches, seeds, text, copies; the same inside tf.data and outside."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfkd import augment
from kfkd.augment import (
    MIXES,
    Blur,
    Brightness,
    Flip,
    Frame,
    Jpeg,
    Mix,
    Noise,
    Rotate,
    copied,
    mix,
)
from kfkd.augment.draws import Draws
from kfkd.augment.mixes import MISTAKES, OURS, STUDY
from kfkd.augment.notation import KINDS
from kfkd.augment.turns import turns_of
from kfkd.errors import KfkdError, UnknownName
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.skeletons import KAGGLE_15

pytestmark = pytest.mark.usefixtures("keras_ready")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(50, seed=4)


def applied(what, faces, step=0):
    seed = np.array([3, step], np.int32)
    images, keypoints = mix(what).bind(faces.skeleton)(faces.images, faces.keypoints, seed)
    return np.asarray(images), np.asarray(keypoints)


def changed(images, faces):
    return (images != faces.images).any(axis=(1, 2, 3))


@pytest.mark.parametrize("name", MIXES)
def test_every_named_mix_keeps_shapes_types_and_labels(name, faces):
    images, keypoints = applied(name, faces)
    assert (images.dtype, images.shape) == (np.uint8, faces.images.shape)
    assert (keypoints.dtype, keypoints.shape) == (np.float32, faces.keypoints.shape)
    missing = np.isnan(keypoints).sum() - np.isnan(faces.keypoints).sum()
    assert 0 <= missing < 0.1 * keypoints.size
    assert not np.isinf(keypoints).any()


@pytest.mark.parametrize("value", [0, 255])
def test_plain_images_stay_finite(value):
    faces = synthetic_faces(20)
    faces.images[:] = value
    for name in OURS:
        images, _ = applied(name, faces)
        assert images.dtype == np.uint8


@pytest.mark.parametrize("name", OURS)
def test_the_same_seed_gives_the_same_and_another_step_something_else(name, faces):
    first, again, other = (applied(name, faces, step) for step in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != other[0]).mean() > 0.3


def test_images_get_parameters_of_their_own():
    faces = synthetic_faces(2)[[0, 0, 0, 0]]
    images, keypoints = applied("standard", faces)
    assert len(np.unique(images.reshape(4, -1), axis=0)) == 4
    assert len(np.unique(keypoints[:, 0], axis=0)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_inside_tf_data_it_is_the_same_function(name, faces):
    """Compiled there: sums may round otherwise, a grey level here and there."""
    from kfkd.pipelines.batches import epoch_order, training_batches

    bound = mix(name).bind(faces.skeleton)
    for step, (images, targets) in enumerate(training_batches(faces, 25, seed=5, augment=bound)):
        rows = epoch_order(50, 25, 5, 0)[step]
        seed = np.array([5, step], np.int32)
        wanted, keypoints = bound(faces.images[rows], faces.keypoints[rows], seed)
        off = np.abs(images.numpy().astype(int) - np.asarray(wanted))
        assert np.quantile(off, 0.999) <= 1
        np.testing.assert_allclose(
            targets.numpy(), np.asarray(keypoints).reshape(25, 30), atol=2e-3
        )


_OTHER_BACKEND = """
import os
import sys
import numpy as np
from kfkd.augment import mix
from kfkd.pipelines.synthetic import synthetic_faces

def compiled(function):
    if os.environ["KERAS_BACKEND"] != "jax":
        return function
    import jax

    return jax.jit(function)

faces, seed = synthetic_faces(16, seed=4), np.array([3, 0], np.int32)
found = [compiled(mix(name).bind(faces.skeleton))(faces.images, faces.keypoints, seed)
         for name in ("study_4x", "standard", "strong")]
assert "tensorflow" not in sys.modules
np.savez(sys.argv[1], *(np.asarray(array) for pair in found for array in pair))
"""


@pytest.mark.parametrize("backend", ["numpy", pytest.param("jax", marks=pytest.mark.slow)])
def test_another_backend_gives_the_same_without_tensorflow(backend, tmp_path):
    pytest.importorskip("jax")  # Keras' NumPy backend wants it too
    out = tmp_path / "found.npz"
    subprocess.run(
        [sys.executable, "-c", _OTHER_BACKEND, str(out)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )
    faces = synthetic_faces(16, seed=4)
    names = ("study_4x", "standard", "strong")
    wanted = [array for name in names for array in applied(name, faces)]
    with np.load(out) as found:
        for array, other in zip(wanted, found.values(), strict=True):
            off = np.abs(array.astype(float) - other)
            assert np.nanquantile(off, 0.999) <= (1 if array.dtype == np.uint8 else 2e-3)


def test_a_share_is_kept_in_every_batch(faces):
    counts = [
        changed(applied("brightness(0.5, p=0.3)", faces, step)[0], faces).sum() for step in range(6)
    ]
    # A drawn brightness may round to nothing.
    assert all(14 <= count <= 15 for count in counts)
    counts = [
        changed(applied("flip(p=0.25)", faces[:10], step)[0], faces[:10]).sum()
        for step in range(20)
    ]
    assert set(counts) == {2, 3}


def test_a_share_of_single_images_is_kept_in_the_long_run(faces):
    one = faces[:1]
    counts = [changed(applied("flip(p=0.25)", one, step)[0], one).sum() for step in range(120)]
    assert 0.12 < np.mean(counts) < 0.4


def test_every_branch_is_gone_equally_often(faces):
    images, keypoints = applied("original | rotate(30, alternate=True) | brightness(0.6)", faces)
    turned = np.nan_to_num(np.abs(keypoints - faces.keypoints)).max(axis=(1, 2)) > 1
    lit = changed(images, faces) & ~turned
    assert turned.sum() in (16, 17)
    assert lit.sum() in (15, 16, 17)


def test_a_mix_wants_known_shapes(faces):
    import tensorflow as tf

    bound = mix("light").bind(faces.skeleton)
    spec = [tf.TensorSpec((None, 96, 96, 1), tf.uint8), tf.TensorSpec((None, 15, 2), tf.float32)]
    with pytest.raises(KfkdError, match="known shape"):
        tf.function(bound, autograph=False).get_concrete_function(
            *spec, tf.TensorSpec((2,), tf.int32)
        )


# Text


@pytest.mark.parametrize("name", MIXES)
def test_a_named_mix_reads_back_from_its_text(name):
    assert mix(str(mix(name))) == mix(name)
    assert mix(name).name == name


number = st.floats(0, 1).map(lambda x: round(x, 3))
transforms = st.one_of(
    st.builds(Flip, swap=st.booleans(), p=number),
    st.builds(Rotate, degrees=st.integers(0, 180), alternate=st.booleans(), p=number),
    st.builds(Brightness, share=number, p=number),
    st.builds(Blur, low=st.floats(0.1, 2).map(lambda x: round(x, 2))),
)
frames = st.builds(
    Frame,
    border=st.sampled_from(["constant", "edge", "reflect"]),
    fill=st.integers(0, 255),
    outside=st.sampled_from(["nan", "keep"]),
    size=st.none() | st.tuples(st.integers(1, 99), st.integers(1, 99)),
)


@settings(deadline=None)
@given(st.builds(Mix, st.lists(st.lists(transforms, max_size=3), min_size=1, max_size=3), frames))
def test_any_mix_reads_back_from_its_text(made):
    assert mix(str(made)) == made


@settings(deadline=None, max_examples=300)
@given(st.text("flipoigna()|,.=0123456789 '[]{}\\\n\"*_", max_size=40))
def test_any_text_is_a_mix_or_refused_in_a_sentence(text):
    try:
        assert isinstance(mix(text), Mix)
    except KfkdError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "reads like"),
        ("flip(", "reads like"),
        ("flip(p=0.5) rotate(3)", "reads like"),
        ("flip || rotate(3)", "reads like"),
        ("flip(p=__import__('os'))", "reads like"),
        ("flip.x(3)", "reads like"),
        ("rotate", "takes the arguments degrees, alternate"),
        ("rotate(3, by=4)", r"Received: rotate\(3, by=4\)"),
        ("rotate(999)", "wants degrees"),
        ("frame(border='edge'), frame(fill=3)", "one frame"),
        ("rotat(3)", "did you mean rotate"),
        ("strongg", "did you mean strong"),
        ("flip, rotate(20) | frame(border='edge')", "a frame is the whole mix's"),
        ("original(3)", "original takes no numbers"),
        ("original(p=0.5)", "original takes no numbers"),
        ("flip(swap='no')", "flip wants swap True or False"),
        ("rotate(5, alternate=3)", "rotate wants alternate True or False"),
        ("elastic(0.01), elastic(0.015)", r"amount / wave <= 0.04 in sum.*Received: 0.05"),
        ("standard, flp", "did you mean flip"),
        ("standardd, flip", "did you mean standard"),
        ("standard(2), flip", "standard is a mix and takes no numbers"),
        (" | ".join(["study_4x"] * 65), "256 branches at most"),
        (", ".join(["study_4x"] * 5), "256 branches at most"),
        ("rotate(20), frame(fill=9) | standard, frame(border='edge')", "one frame at most"),
        (None, "a mix is a name, a text or"),
        (3, "a mix is a name, a text or"),
    ],
)
def test_what_is_no_mix_is_refused(text, says):
    with pytest.raises(KfkdError, match=says):
        mix(text)


def test_names_may_stand_in_a_text():
    standard, strong = mix("standard"), mix("strong")
    more = mix("standard, jpeg(20, 80)")
    assert more.branches == ((*standard.branches[0], Jpeg(20, 80)),)
    assert more.frame == standard.frame
    assert mix("none | standard | strong").branches == ((), *standard.branches, *strong.branches)
    assert mix("study_4x, flip(p=0.5)").branches == tuple(
        (*branch, Flip(p=0.5)) for branch in mix("study_4x").branches
    )
    assert len(mix("study_4x, study_flip").branches) == 8
    assert mix("standard, frame(border='reflect')").frame == Frame("reflect")
    assert mix(str(more)) == more


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda i, k: (i.astype(np.float32), k), "uint8 images.*Received: float32"),
        (lambda i, k: (i[0], k), "known shape.*Received"),
        (lambda i, k: (i.tolist(), k), "known shape.*Received: list"),
        (lambda i, k: (i, k[:, :4]), "15 keypoints.*Received"),
        (lambda i, k: (i, k[:1]), "15 keypoints.*Received"),
        (lambda i, k: (i, k.reshape(len(k), -1)), "15 keypoints.*Received"),
        (lambda i, k: (i, None), "15 keypoints.*Received: NoneType"),
        (lambda i, k: (i, k.astype(np.float64)), "float32 keypoints. Received: float64"),
    ],
)
def test_other_images_and_keypoints_are_refused(faces, change, says):
    with pytest.raises(KfkdError, match=says):
        mix("light").bind(KAGGLE_15)(*change(faces.images, faces.keypoints), np.zeros(2, np.int32))


@pytest.mark.parametrize("times", [0, -1, 1.5, True, None])
def test_copies_want_a_number_of_times(faces, times):
    with pytest.raises(KfkdError, match="times, 1 at least"):
        copied(faces, "study_4x", times=times)


def test_no_image_is_on_beyond_those_that_are_worked_on():
    """0.3 of ten is 3.0000001 in float32: an image more would have its keypoints moved alone."""

    class Edge(Draws):
        def one(self):
            return np.float32(0)

    for n in range(1, 60):
        turns = turns_of(mix("flip(p=0.3)"), Edge(np.zeros(2, np.int32), np.arange(n)), n)
        assert int(np.sum(np.asarray(turns[0].on))) <= turns[0].most


def test_unknown_names_are_told_apart_from_broken_text():
    with pytest.raises(UnknownName, match="no mix is called"):
        mix("stronger")


def test_every_transform_has_a_name_and_is_public():
    assert all(kind.__name__ in augment.__all__ for kind in KINDS.values())
    assert {kind(*_least(kind)).name for kind in KINDS.values()} == set(KINDS)


def _least(kind):
    return {"Rotate": [1], "Crop": [1], "Elastic": [0.01], "Jpeg": [50, 60]}.get(
        kind.__name__,
        {"Scale": [1, 1], "Contrast": [1, 1], "Gamma": [1, 1]}.get(kind.__name__, _one(kind)),
    )


def _one(kind):
    if kind.__name__ in ("Flip", "Equalize", "Clahe"):
        return []
    return (
        [0.1, 0.2] if kind.__name__ == "CutOut" else [1 if kind.__name__ == "MotionBlur" else 0.1]
    )


# Static copies


def test_copies_of_the_study_are_its_four_blocks(faces):
    many = copied(faces, "study_4x")
    assert len(many) == 200
    blocks = [many[i * 50 : (i + 1) * 50] for i in range(4)]
    np.testing.assert_array_equal(blocks[0].images, faces.images)
    for block in blocks:
        np.testing.assert_array_equal(block.group, faces.group)
        np.testing.assert_array_equal(block.ids, faces.ids)
    for still in (blocks[0], blocks[2], blocks[3]):
        np.testing.assert_array_equal(still.keypoints, faces.keypoints)
    eyes = blocks[1].keypoints[:, 0] - blocks[1].keypoints[:, 1]
    before = faces.keypoints[:, 0] - faces.keypoints[:, 1]
    angle = np.degrees(np.arctan2(before[:, 1], before[:, 0]) - np.arctan2(eyes[:, 1], eyes[:, 0]))
    np.testing.assert_allclose(angle, np.where(np.arange(50) % 2, -10, 10), atol=0.01)


def test_copies_of_one_branch_differ_from_time_to_time(faces):
    many = copied(faces[:5], "rotate(20)", times=2)
    assert len(many) == 10
    assert not np.array_equal(many.images[:5], many.images[5:])


def test_copies_do_not_depend_on_how_they_are_cut_into_batches(faces, monkeypatch):
    from kfkd.augment import copies

    whole = copied(faces, "rotate(20), noise(9)")
    monkeypatch.setattr(copies, "_CHUNK", 7)
    parts = copied(faces, "rotate(20), noise(9)")
    off = np.abs(whole.images.astype(int) - parts.images)
    assert np.quantile(off, 0.999) <= 1
    np.testing.assert_allclose(whole.keypoints, parts.keypoints, atol=1e-4)


def test_the_studys_mixes_are_all_there():
    assert len(STUDY) == 10
    assert mix("study_flip_without_swap").transforms == (Flip(swap=False),)
    assert mix(MISTAKES["study_equalize_blur_as_run"]) == mix("study_4x")
    assert [len(branch) for branch in mix("study_he_blur_rotate").branches] == [2, 3]


def test_an_own_mix_is_a_line():
    own = Mix([[Flip(p=0.5), Rotate(20), Noise(8)]], Frame("reflect"))
    assert str(own) == "flip(p=0.5), rotate(degrees=20), noise(low=8), frame(border='reflect')"
    assert own.bind(KAGGLE_15).mix is own
