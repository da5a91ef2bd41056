"""Runs, models, archives and data of strangers work, or are refused in a sentence: nothing of them
is run, fetched, or written outside of its folder.
"""

import contextlib
import io
import json
import os
import shutil
import struct
import tarfile
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kfkd
from kfkd.cli import main
from kfkd.datasets import unpack
from kfkd.errors import DataError, KfkdError, RunError
from kfkd.evaluation import own_data
from kfkd.exports.facts import export_facts
from kfkd.folds.cross_validation import load_cross_validation
from kfkd.laddering import ladder, read_ladder
from kfkd.learning.saved_settings import saved_arguments
from kfkd.model_card import model_card
from kfkd.models.backbones import fill
from kfkd.models.hub_modules import module_folder
from kfkd.models.torch_weights import fill_from_torch
from kfkd.pipelines.photos import read_photo
from kfkd.pipelines.synthetic import synthetic_faces, write_kaggle_folder
from kfkd.recording import training_command
from kfkd.run_records import check_record
from kfkd.runs import finished_run, load_model, load_run
from kfkd.storage.files import read_json, write_json
from kfkd.storage.stored_arrays import read_arrays
from kfkd.submissions.out_of_fold import read_out_of_fold
from kfkd.submissions.scorer import score
from kfkd.suspects import suspects_from

pytestmark = pytest.mark.usefixtures("tiny_zoo", "small_bombs")


def examples(count):
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


FEW, MANY = examples(25), examples(700)
BOMB = 1 << 22
SEEDS = st.integers(0, 2**31)


@pytest.fixture
def small_bombs(monkeypatch):
    """What unpacks to less than a megabyte is let through, not 64: tests make smaller bombs."""
    monkeypatch.setattr("kfkd.storage.unpacking._FREE", 1 << 20)


@pytest.fixture(scope="module")
def helpers():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import hostile
        import watching

        yield hostile, watching


@pytest.fixture(scope="module")
def hostile(helpers):
    return helpers[0]


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(60, seed=4)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A home, a working folder and a stranger's, which is all that may be written besides temp."""
    root = tmp_path_factory.mktemp("machine")
    for name in ("home", "here", "stranger", "temp", "out"):
        (root / name).mkdir()
    (root / "home" / "secret.txt").write_text("secret")
    (root / "here" / "mine.txt").write_text("mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(root / "home"))
        patch.setattr(tempfile, "tempdir", str(root / "temp"))
        patch.setattr("sys.dont_write_bytecode", True)
        patch.chdir(root / "here")
        yield root


@pytest.fixture(scope="module")
def trained(tiny_zoo, faces, root):
    """A good finished run, and its models, each loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.drawing.run_pictures.draw_run", lambda *arguments: None)
        patch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
        run = kfkd.train("tiny", faces, epochs=1, out=root / "good", quiet=True)
    kfkd.predict(run, faces[:4])
    return run


@pytest.fixture
def stranger(trained, root):
    folder = root / "stranger" / "run"
    shutil.rmtree(root / "stranger")
    shutil.copytree(trained.folder, folder)
    return folder


@pytest.fixture(scope="module")
def safely(helpers, root):
    """Does something that may end in one of our own errors, and in nothing else."""
    _, watching = helpers

    @contextlib.contextmanager
    def safely():
        cache = Path(os.environ["KFKD_CACHE"])
        with watching.watched(root, root / "stranger", root / "temp", root / "out", cache):
            try:
                yield
            except KfkdError as error:
                told = str(error)
                assert told and len(told) < 10_000 and "Traceback" not in told

    return safely


@pytest.fixture
def stubbed(trained, monkeypatch):
    """Models are taken as loaded before: what is tried is run.json."""
    known = {subset: trained.model(subset) for subset in trained.subsets}
    monkeypatch.setattr("kfkd.runs.load_model", lambda path: known.get(path.stem))


# run.json


def uses(folder, faces, out):
    """Everything that a run.json decides something of."""
    run, few = load_run(folder), faces[:4]
    return (
        lambda: kfkd.predict(folder, few),
        lambda: finished_run(folder).confidence(run.predict_with_doubt(few.images)[1]),
        lambda: str(kfkd.evaluate(folder, faces, quiet=True)),
        lambda: json.dumps(kfkd.evaluate(folder, few, part="all").as_dict(), allow_nan=False),
        lambda: ladder([folder], faces, quiet=True, out=out / "ladder.md"),
        lambda: json.dumps(export_facts(run, "onnx", None), allow_nan=False),
        lambda: model_card(run, "a", 1, 0.0),
        lambda: training_command(run),
        lambda: saved_arguments(run),
        lambda: own_data(run),
        lambda: (run.crop_rule, run.history(), run.mean_face(), run.calibration),
        lambda: [(run.points(s), run.mirror(s), run.views(s)) for s in run.subsets],
    )


@pytest.fixture
def try_record(hostile, stubbed, safely, stranger, faces, root):
    good = read_json(stranger / "run.json")
    ways = list(hostile.places(good))

    def tried(draw):
        new = draw(st.sampled_from([*hostile.ODD, hostile.GONE]))
        record = hostile.changed(good, draw(st.sampled_from(ways)), new)
        if draw(st.booleans()):
            other = draw(st.sampled_from(list(hostile.places(record)) or ways))
            record = hostile.changed(record, other, draw(st.sampled_from(hostile.ODD)))
        with contextlib.suppress(ValueError):  # numbers that Python does not write
            (stranger / "run.json").write_text(json.dumps(record))
        with safely():
            known = uses(stranger, faces, root / "out")
            for use in known:
                with contextlib.suppress(KfkdError):
                    use()

    return tried


def test_a_changed_record_is_used_or_refused(try_record):
    FEW(given(st.data())(lambda data: try_record(data.draw)))()


@pytest.mark.slow
def test_many_changed_records_are_used_or_refused(try_record):
    MANY(given(st.data())(lambda data: try_record(data.draw)))()


@pytest.mark.parametrize(
    ("place", "new", "said"),
    [
        (("data", "image"), [96, 96, 10**9], "wants images of 1 to 4096 pixels"),
        (("metrics", "model", "all"), float("nan"), "a number beyond measure"),
        (("settings", "recipe", "epochs"), 10**400, "a number beyond measure"),
        (("model",), "\x1b]0;evil\x07", "control characters"),
        (("mean_face", "all"), [[1, 2]], "wants 15 points for the mean face"),
        (("subsets", "dense", "codec", "scale"), 1e300, "a number beyond measure"),
        (("metrics", "worst"), [[1, 2]], "a number, an error and a share"),
        (("settings", "recipe", "phases"), [None], "a phase is NoneType, not dict"),
        (("subsets",), {}, "finished run without any model"),
    ],
)
def test_what_a_record_must_not_hold_is_told(trained, hostile, place, new, said):
    record = hostile.changed(read_json(trained.folder / "run.json"), place, new)
    with pytest.raises(RunError, match=said):
        check_record(record, Path("run.json"))


def test_what_a_record_lacks_is_told_where_it_is_wanted(stranger, stubbed, faces):
    record = read_json(stranger / "run.json")
    del record["mean_face"]["all"], record["metrics"]["images"]
    write_json(stranger / "run.json", record)
    for use in (lambda: kfkd.evaluate(stranger, faces), lambda: ladder([stranger], quiet=True)):
        with pytest.raises(RunError, match=r"run\.json lacks '(all|images)'"):
            use()


@pytest.mark.parametrize("content", [b"[" * 10**5, b'{"a":' * 10**5, b"\xff", b"9" * 5000])
def test_a_record_that_is_hardly_json_is_refused(stranger, content):
    (stranger / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=r"run\.json (is not valid JSON|does not describe a run)"):
        load_run(stranger)


def test_pipes_are_not_waited_for(stranger, root):
    (stranger / "run.json").unlink()
    os.mkfifo(stranger / "run.json")
    with pytest.raises(RunError, match=r"holds no run\.json"):
        load_run(stranger)
    os.mkfifo(root / "stranger" / "a.jpg")
    for read in (read_photo, suspects_from, read_json):
        with pytest.raises(DataError, match="no ordinary file"):
            read(root / "stranger" / "a.jpg")


# Going on with a run


@pytest.mark.parametrize(
    ("place", "new", "said"),
    [
        (("options",), {"weights": "https://evil.invalid/module"}, "weights would come from"),
        (("options",), {"activation": {"class_name": "Lambda"}}, "options want numbers and texts"),
        (("options",), {"units": [["a"]]}, "options want numbers and texts"),
        (("callbacks",), ["x"], "no setting is called 'callbacks'"),
        (("out",), "/etc", "no setting is called 'out'"),
        (("suspects",), "/etc/passwd", "suspects want a line of rows"),
        (("mix",), "rotate(" + "-" * 9000 + "1)", "a mix reads like"),
        (("fold",), ["a", 2], "fold wants two whole numbers"),
        (("recipe", "plateau"), {"what": 1}, "settings of no training"),
        (("recipe", "epochs"), 10**9, "epochs go up to 100,000"),
        (("recipe", "optimizer"), "../x", "no optimizer is called"),
        (("recipe", "what"), 1, "no setting of a training is called 'what'"),
    ],
)
def test_hostile_settings_are_not_gone_on_with(safely, stranger, faces, place, new, said):
    record = read_json(stranger / "run.json") | {"status": "running"}
    inner = record["settings"]
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    write_json(stranger / "run.json", record)
    with safely(), pytest.raises(KfkdError, match=said):
        kfkd.resume(stranger, faces, quiet=True)


def test_links_in_a_run_lead_nothing_outside(safely, stranger, faces, root):
    record = read_json(stranger / "run.json") | {"status": "running", "subsets": {}}
    write_json(stranger / "run.json", record)
    (stranger / ".kfkd-lock").symlink_to(root / "home" / "secret.txt")
    (stranger / "checkpoint").symlink_to(root / "home")
    with safely(), pytest.raises(RunError, match="keeps its checkpoint elsewhere, by a link"):
        kfkd.resume(stranger, faces, quiet=True)
    assert (root / "home" / "secret.txt").read_text() == "secret"


def test_data_that_never_ends_is_not_read(stranger):
    record = read_json(stranger / "run.json")
    for path in ("/dev/zero", "ibug:/dev/zero?size=8x8"):
        record["data"] = {**record["data"], "origin": "ibug", "path": path}
        write_json(stranger / "run.json", record)
        with pytest.raises(DataError, match="which is no file or folder here"):
            kfkd.evaluate(stranger, quiet=True)


@pytest.fixture(scope="module")
def checkpoint(trained):
    """A checkpoint's arrays, as `on_epoch_end` writes them."""
    from kfkd.learning.checkpoints import Checkpoint

    model = trained.model("dense")
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    early = keras.callbacks.EarlyStopping("rmse")
    early.set_model(model)
    early.on_train_begin()
    kept = Checkpoint(trained.folder.parent / "dense.npz", [early], [ROW])
    kept.set_model(model)
    kept.on_epoch_end(0)
    return kept


ROW = {"epoch": 1, "loss": 2.0, "rmse": 3.0, "seconds": 1.0}


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "../../x"},
        {"epoch": -1},
        {"best_epoch": "/../../x"},
        {"best_epoch": 7},
        {"history": [{"epoch": "x"}]},
        {"history": [{}]},
        {"counters": [{"__class__": {}}]},
        {"counters": "x"},
        {"stopped": []},
    ],
)
def test_hostile_checkpoints_are_refused(checkpoint, safely, root, change):
    arrays = read_arrays(checkpoint.path)
    state = json.loads(str(arrays.pop("state"))) | change
    path = root / "stranger" / "dense.npz"
    np.savez(path, state=np.array(json.dumps(state)), **arrays)
    other = type(checkpoint)(path, checkpoint.others, [])
    other.set_model(checkpoint.model)
    with safely(), pytest.raises(RunError, match="not a readable checkpoint"):
        other.restore()


def test_a_checkpoint_sets_counters_and_nothing_else(checkpoint, root):
    arrays = read_arrays(checkpoint.path)
    state = json.loads(str(arrays.pop("state")))
    state["counters"][0] |= {"on_epoch_end": 1, "monitor_op": 2, "wait": 5}
    path = root / "stranger" / "dense.npz"
    np.savez(path, state=np.array(json.dumps(state)), **arrays)
    early = keras.callbacks.EarlyStopping("rmse")
    other = type(checkpoint)(path, [early], [])
    other.set_model(checkpoint.model)
    assert other.restore() == 1
    other.on_train_begin()
    assert early.wait == 5 and callable(early.on_epoch_end) and early.monitor_op != 2


# Models


@pytest.fixture(scope="module")
def model_members(hostile, trained):
    return hostile.members(trained.folder / "dense.keras")


def test_hostile_configs_are_refused(hostile, model_members, safely, root):
    path = root / "stranger" / "dense.keras"
    for name, (change, said) in hostile.CONFIGS.items():
        hostile.zipped(path, hostile.with_config(model_members, change))
        with safely(), pytest.raises(RunError, match=said):
            load_model(path)
            pytest.fail(name)


def test_hostile_weights_are_refused(hostile, model_members, trained, safely, root):
    path = root / "stranger" / "dense.keras"
    for name, (change, said) in hostile.weight_changes(root / "home" / "secret.txt").items():
        hostile.zipped(path, hostile.with_weights(model_members, change))
        with safely(), pytest.raises(RunError, match=said):
            load_model(path)
            pytest.fail(name)
        weights = hostile.members(path)["model.weights.h5"]
        (root / "stranger" / "net.weights.h5").write_bytes(weights)
        with safely(), pytest.raises(DataError, match=said):
            fill(trained.model("dense"), root / "stranger" / "net.weights.h5")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"../../evil.txt": b"x"}, "evil.txt', which no model has"),
        ({"/tmp/evil.txt": b"x"}, "evil.txt', which no model has"),
        ({"assets/../../evil.txt": b"x"}, "evil.txt', which no model has"),
        ({"assets/..\\..\\evil.txt": b"x"}, "which no model has"),
        ({"model.weights.npz": b"x"}, "which no model has"),
        ({"config.json": b"[" * 10**5}, "nested too deeply"),
        ({"config.json": os.urandom(9 << 20).hex()}, "describes a model in 18,874,368 bytes"),
        ({"assets/bomb": b"\0" * BOMB}, "as only an attack does"),
        ({"model.weights.h5": b""}, "holds no readable weights"),
    ],
)
def test_hostile_members_are_refused(hostile, model_members, safely, root, more, said):
    path, how = root / "stranger" / "dense.keras", zipfile.ZIP_DEFLATED
    hostile.zipped(path, {**model_members, **more}, how)
    with safely(), pytest.raises(RunError, match=said):
        load_model(path)


def test_a_model_without_end_is_refused(monkeypatch, trained):
    monkeypatch.setattr("kfkd.models.model_sizes.MOST_CALLS", 500)
    with pytest.raises(RunError, match="describes a model without end"):
        load_model(trained.folder / "dense.keras")


def test_a_model_that_answers_otherwise_than_its_record_is_refused(stranger):
    shutil.copy(stranger / "sparse.keras", stranger / "dense.keras")
    told = r"the model of dense answers \(None, 22\), its run\.json tells of \(None, 8\)"
    with pytest.raises(RunError, match=told):
        load_run(stranger).model("dense")


def test_registered_layers_of_the_users_own_are_let_through(root):
    @keras.saving.register_keras_serializable(package="untrusted")
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    image = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(Twice()(image))
    model = keras.Model(image, keras.layers.Dense(2, activation="relu")(flat))
    model.save(root / "out" / "own.keras")
    pixels = np.ones((1, 8, 8, 1), np.uint8)
    loaded = load_model(root / "out" / "own.keras")
    np.testing.assert_array_equal(loaded(pixels), model(pixels))


@pytest.fixture
def try_model(hostile, model_members, trained, safely, root, faces):
    path = root / "stranger" / "dense.keras"
    whole = (trained.folder / "dense.keras").read_bytes()

    def tried(seed):
        inner = {**model_members}
        if name := ("", "model.weights.h5", "config.json", "model.weights.h5")[seed % 4]:
            inner[name] = hostile.broken(inner[name], seed)
            hostile.zipped(path, inner)
        else:
            path.write_bytes(hostile.broken(whole, seed))
        with safely():
            np.asarray(load_model(path)(faces.images[:1]))

    return tried


def test_broken_models_are_loaded_or_refused(try_model):
    examples(12)(given(SEEDS)(try_model))()


@pytest.mark.slow
def test_many_broken_models_are_loaded_or_refused(try_model):
    examples(250)(given(SEEDS)(try_model))()


def test_options_of_a_packed_run_do_not_make_it_larger(stranger, trained, root, safely):
    folder = kfkd.pack(trained, root / "out" / "packed")
    record = read_json(folder / "run.json")
    for change, said in (
        ({"data": {**record["data"], "image": [4096, 4096, 3]}}, "numbers, there are"),
        ({"settings": {**record["settings"], "options": {"weights": "x", "a": {}}}}, "does not"),
        ({"model": "baseline"}, "does not hold the weights of baseline"),
    ):
        write_json(folder / "run.json", record | change)
        with safely(), pytest.raises(RunError, match=said):
            load_run(folder).model("dense")


# Modules of TensorFlow


def test_modules_that_run_as_they_are_loaded_are_refused(safely, root):
    import tensorflow as tf

    folder, written = root / "stranger" / "module", root / "here" / "written"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        write = tf.io.write_file(str(written), "written")
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], main_op=write)
        builder.save()
    with safely(), pytest.raises(DataError, match="not a SavedModel of TensorFlow 2"):
        kfkd.build("mobilenet_v2_050", 8, weights=str(folder))
    assert not written.exists()


@pytest.mark.parametrize("operation", ["ImmutableConst", "DecodeProtoV2", "XlaCustomCallV2"])
def test_operations_that_reach_out_are_refused(operation):
    from kfkd.models.hub_graph import _refuse_side_effects

    with pytest.raises(DataError, match=f"holds the operation {operation}"):
        _refuse_side_effects([operation], "module")


# Archives


def tar_of(path, *members):
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def link(name, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def archives(hostile, folder):
    """Archives that would land elsewhere, or unpack without end."""
    yield tar_of(folder / "up.tar.gz", (tarfile.TarInfo("../../here/evil"), b"x"))
    linked = link("a", "../../here"), tarfile.TarInfo("a/evil")
    yield tar_of(folder / "link.tar.gz", *((member, b"") for member in linked))
    device = tarfile.TarInfo("pipe")
    device.type = tarfile.FIFOTYPE
    yield tar_of(folder / "pipe.tar.gz", (device, b""))
    yield tar_of(folder / "bomb.tar.gz", (tarfile.TarInfo("b"), b"\0" * BOMB))
    bomb = {"b": b"\0" * BOMB}
    yield hostile.zipped(folder / "bomb.zip", bomb, zipfile.ZIP_DEFLATED)


def test_archives_stay_in_their_folder(hostile, safely, root):
    for archive in archives(hostile, root / "stranger"):
        with safely(), pytest.raises(KfkdError, match="cannot be unpacked"):
            unpack(archive, root / "out" / "unpacked")
        assert not (root / "out" / "unpacked").exists()
        if ".tar" in archive.name:
            with safely(), pytest.raises(DataError), module_folder(str(archive)):
                pass
    up = hostile.zipped(root / "stranger" / "up.zip", {"../../here/evil": b"x"})
    far = tar_of(root / "stranger" / "far.tar", (tarfile.TarInfo("/etc/kfkd-evil"), b"x"))
    for archive in (up, far):
        with safely():  # Python puts these inside
            unpack(archive, root / "out" / archive.stem)
    assert (root / "out" / "far" / "etc" / "kfkd-evil").exists()


@pytest.fixture
def try_archive(hostile, safely, root):
    content = {"a/b.txt": b"b" * 500, "c.csv": b"1,2\n" * 90}
    good = hostile.zipped(root / "out" / "good.zip", content, zipfile.ZIP_DEFLATED)
    tar_of(root / "out" / "good.tar.gz", *((tarfile.TarInfo(n), c) for n, c in content.items()))

    def tried(seed):
        source = (good, root / "out" / "good.tar.gz")[seed % 2]
        path = root / "stranger" / source.name
        path.write_bytes(hostile.broken(source.read_bytes(), seed))
        shutil.rmtree(root / "out" / "unpacked", ignore_errors=True)
        with safely():
            unpack(path, root / "out" / "unpacked")

    return tried


def test_broken_archives_are_unpacked_or_refused(try_archive):
    FEW(given(SEEDS)(try_archive))()


@pytest.mark.slow
def test_many_broken_archives_are_unpacked_or_refused(try_archive):
    MANY(given(SEEDS)(try_archive))()


def test_zips_that_unpack_to_far_too_much_are_not_read(hostile, safely, root):
    rows = b"Image,ImageId\n" + b"0 " * BOMB
    inner = hostile.zipped(root / "out" / "test.zip", {"test.csv": rows}, zipfile.ZIP_DEFLATED)
    outer = root / "stranger" / "facial-keypoints-detection.zip"
    hostile.zipped(outer, {"test.zip": inner.read_bytes()})
    with safely(), pytest.raises(DataError, match="as only an attack does"):
        kfkd.load_faces("kaggle", outer, "test", quiet=True)
    table = {"a.csv": b"RowId,Location\n" + b"1,1\n" * BOMB}
    hostile.zipped(root / "stranger" / "a.zip", table, zipfile.ZIP_DEFLATED)
    with safely(), pytest.raises(DataError, match="as only an attack does"):
        score(root / "stranger" / "a.zip", root / "stranger" / "a.zip")


# Arrays


def npy(shape, dtype, content=b""):
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    padded = header.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + content


def test_arrays_are_what_they_claim(hostile, safely, root):
    path = root / "stranger" / "x.npz"
    for content in (
        npy((10**12,), "<f8"),
        npy((10**20,), "<f8"),
        npy((-1,), "<f8"),
        npy((2**33,), "<f4", b"\0" * 64),
        npy((10**15,), "<U0"),
        npy((1,), "|O", b"\x80\x04cos\nsystem\n(S'x'\ntR."),
        npy((1,), "V2000000000"),
        b"\x93NUMPY\x03\x00" + b"\xff" * 8,
        b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16,
        b"no array",
        b"",
    ):
        hostile.zipped(path, {"state.npy": content, "told.npy": content, "0.npy": content})
        for read in (read_arrays, read_out_of_fold):
            with safely(), pytest.raises(KfkdError):
                read(path)
    np.savez_compressed(path, a=np.zeros(BOMB))
    with pytest.raises(KfkdError, match="as only an attack does"):
        read_arrays(path)


def safetensors(facts, content=b"\0" * 64):
    header = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    return struct.pack("<Q", len(header)) + header + content


@pytest.mark.parametrize(
    "content",
    [
        safetensors({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 64]}}),
        safetensors({"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 64]}}),
        safetensors({"a": {"dtype": "F32", "shape": [16], "data_offsets": [0, 10**30]}}),
        safetensors({"a": {"dtype": "F32", "shape": [16], "data_offsets": "ab"}}),
        safetensors({"a": 5}),
        safetensors([1]),
        safetensors(b"[" * 10**5),
        struct.pack("<Q", 2**63),
        b"",
    ],
)
def test_hostile_safetensors_are_refused(safely, root, content):
    (root / "stranger" / "x.safetensors").write_bytes(content)
    model = keras.Sequential(
        [keras.Input((2, 2, 1)), keras.layers.Conv2D(1, 1, use_bias=False, name="a")]
    )
    with safely(), pytest.raises(DataError):
        fill_from_torch(model, root / "stranger" / "x.safetensors")


@pytest.fixture
def try_arrays(hostile, fabricated, safely, root):
    path, good = root / "stranger" / "oof.npz", root / "out" / "oof.npz"
    made = fabricated.Faces(30)
    made.member("tiny", made.noise(1)).save(good)
    whole, inner = good.read_bytes(), hostile.members(good)

    def tried(seed):
        name = [*inner, ""][seed % (len(inner) + 1)]
        if name:
            hostile.zipped(path, {**inner, name: hostile.broken(inner[name], seed)})
        else:
            path.write_bytes(hostile.broken(whole, seed))
        with safely():
            read_out_of_fold(path)

    return tried


def test_broken_arrays_are_read_or_refused(try_arrays):
    FEW(given(SEEDS)(try_arrays))()


@pytest.mark.slow
def test_many_broken_arrays_are_read_or_refused(try_arrays):
    MANY(given(SEEDS)(try_arrays))()


# Folders of several runs


def test_folders_name_no_runs_outside_of_them(fabricated, root, trained, safely):
    from kfkd.ensembles.members import members_of

    made = fabricated.Faces(30)
    folder = fabricated.write_folds(
        root / "stranger" / "folds", [made.member("tiny", made.noise(1))]
    )
    results = read_json(folder / "results.json")
    (folder / "link").symlink_to(trained.folder)
    for name in ("../../good", str(trained.folder), "link", "a\0b", "."):
        for row in results["models"]["tiny"]["folds"]:
            row["folder"] = name
        (folder / "results.json").write_text(json.dumps(results))
        with safely(), pytest.raises(KfkdError, match=r"lies outside|is not a run"):
            members_of(folder)
    results["models"] = {"../../out": results["models"]["tiny"]}
    (folder / "results.json").write_text(json.dumps(results))
    with safely(), pytest.raises(KfkdError):
        load_cross_validation(folder).out_of_fold("../../out")


def test_trials_lie_in_their_search(root):
    from kfkd.searches.plan import Plan
    from kfkd.searches.results import read_search

    plan = Plan(root / "stranger", "tiny", "random", 1, 1, 3, 0, {}, dict, False)
    for number in ("../../here", "/etc", "a/../../../here"):
        with pytest.raises(KfkdError, match="lies outside"):
            plan.trial(number)
    state = {"trial_id": "../../here", "status": "COMPLETED", "score": 1.0}
    state["hyperparameters"] = {"values": {}}
    write_json(root / "stranger" / "search" / "trial_x" / "trial.json", state)
    with pytest.raises(RunError, match="is of no trial"):
        read_search(root / "stranger", {"epochs": 1})


@pytest.fixture
def try_results(hostile, fabricated, safely, root, trained, faces):
    from kfkd.comparisons.plan import earlier_rows

    made, folder = fabricated.Faces(30), root / "stranger" / "folds"
    fabricated.write_folds(folder, [made.member("tiny", made.noise(1))])
    table = ladder([trained], faces, quiet=True).as_dict()
    row = {"mix": "a", "text": "a", "seed": 1, "folder": "a", "seconds": 1.0, "machine": "a"}
    row |= {"rmse": {"all": 1.0}, "mean_face": {"all": 1.0}, "epochs": {"all": 1}}
    goods = (
        (read_json(folder / "results.json"), lambda: str(load_cross_validation(folder).facts)),
        (table, lambda: str(read_ladder(folder / "results.json"))),
        (
            {"facts": {}, "runs": [row]},
            lambda: earlier_rows(folder / "results.json", dict.fromkeys(_COMPARED)),
        ),
    )

    def tried(draw):
        good, read = draw(st.sampled_from(goods))
        new = draw(st.sampled_from([*hostile.ODD, hostile.GONE]))
        place = draw(st.sampled_from(list(hostile.places(good))))
        with contextlib.suppress(ValueError):
            text = json.dumps(hostile.changed(good, place, new))
            (folder / "results.json").write_text(text)
        with safely():
            read()

    return tried


_COMPARED = ("model", "fingerprint", "split_seed", "subsets", "epochs", "batch_size", "loss")
_COMPARED += ("learning_rate", "precision")


def test_changed_results_are_read_or_refused(try_results):
    examples(60)(given(st.data())(lambda data: try_results(data.draw)))()


@pytest.mark.slow
def test_many_changed_results_are_read_or_refused(try_results):
    MANY(given(st.data())(lambda data: try_results(data.draw)))()


# Tables, labels and photos


@pytest.fixture(scope="module")
def texts(layouts, root):
    """Good files of every kind, and who reads them."""
    out, quiet = root / "out", {"quiet": True, "cache": False}
    small = {**quiet, "size": (16, 16)}
    imm, ibug = layouts.write_imm(out / "imm", 1, 1), layouts.write_ibug(out / "ibug", 2, 0)
    pts, tube = layouts.write_pts(out / "pts", 1), layouts.write_youtube(out / "tube", ("Bob",), 1)
    cats, kaggle = layouts.write_folder(out / "cats", 3), out / "kaggle"
    write_kaggle_folder(kaggle, train=2, test=2)
    zips = write_kaggle_folder(out / "zips", train=2, test=2, zipped=True)
    (out / "audit.csv").write_text("row,drop,data\n1,all,abc\n2,nose_tip mouth,abc\n")
    table, sample = "IdLookupTable.csv", "SampleSubmission.csv"

    def scored():
        score(kaggle / sample, kaggle / "solution.csv", kaggle)

    return (
        (imm / "01-1m.asf", lambda: kfkd.load_faces("imm", imm, **small)),
        (
            ibug / "labels_ibug_300W_train.xml",
            lambda: kfkd.load_faces("ibug", ibug, **small),
        ),
        (pts / "a_0.pts", lambda: kfkd.load_faces("pts", pts, **small)),
        (
            tube / "training_frames_keypoints.csv",
            lambda: kfkd.load_faces("youtube_faces", tube, **small),
        ),
        (cats / "cats.csv", lambda: kfkd.load_faces("folder", cats, **small)),
        (cats / "0.jpg", lambda: kfkd.load_faces("folder", cats, **small)),
        (kaggle / "training.csv", lambda: kfkd.load_faces("kaggle", kaggle, **quiet)),
        (kaggle / "test.csv", lambda: kfkd.load_faces("kaggle", kaggle, "test", **quiet)),
        (kaggle / table, lambda: kfkd.load_faces("kaggle", kaggle, "test", **quiet)),
        (zips / "training.zip", lambda: kfkd.load_faces("kaggle", zips, **quiet)),
        (kaggle / sample, scored),
        (kaggle / "solution.csv", scored),
        (out / "audit.csv", lambda: str(suspects_from(out / "audit.csv"))),
    )


@pytest.fixture
def try_text(hostile, texts, safely):
    goods = [path.read_bytes() for path, _ in texts]

    def tried(seed):
        which = seed % len(texts)
        path, read = texts[which]
        path.write_bytes(hostile.broken(goods[which], seed))
        try:
            with safely():
                read()
        finally:
            path.write_bytes(goods[which])

    return tried


def test_broken_data_is_read_or_refused(try_text):
    examples(60)(given(SEEDS)(try_text))()


@pytest.mark.slow
def test_much_broken_data_is_read_or_refused(try_text):
    examples(2500)(given(SEEDS)(try_text))()


LAUGHS = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(30))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "declared",
    [
        f'<!DOCTYPE d [<!ENTITY l0 "lol">{LAUGHS}]>',
        '<!DOCTYPE d [<!ENTITY l30 SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE d SYSTEM "http://evil.invalid/x.dtd">',
    ],
)
def test_document_types_are_refused(safely, root, declared, encoding):
    folder = root / "stranger"
    text = f"{declared}<dataset><images><image file='a'>&l30;</image></images></dataset>"
    path = folder / "labels_ibug_300W_train.xml"
    path.write_bytes(f"<?xml version='1.0' encoding='{encoding}'?>{text}".encode(encoding))
    with safely(), pytest.raises(DataError, match="declares a document type"):
        kfkd.load_faces("ibug", folder, quiet=True)


def test_points_are_read_in_a_moment_whatever_the_braces(safely, root):
    folder = root / "stranger" / "pts"
    folder.mkdir(exist_ok=True)
    for text in ("{" * 10**6, "{} " * 10**5, "{" + "}" * 10**6, " " * 10**6):
        (folder / "a.pts").write_text(f"version: 1\nn_points: 68\n{text}")
        with safely(), pytest.raises(DataError, match="is no file of points"):
            kfkd.load_faces("pts", folder, quiet=True)


def test_pictures_that_other_programs_would_run_are_refused(safely, root):
    path = root / "stranger" / "a.jpg"
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n%%EOF\n"
    path.write_bytes(script)
    with safely(), pytest.raises(DataError, match="is no image that can be read"):
        read_photo(path)


def test_names_that_no_system_takes_are_refused(layouts, safely, root):
    folder = layouts.write_imm(root / "out" / "long", 1, 1)
    text = (folder / "01-1m.asf").read_text()
    for host in ("/", "..", "a" * 5000, "../" * 2000):
        (folder / "01-1m.asf").write_text(text.replace("01-1m.jpg", host))
        with safely():
            kfkd.load_faces("imm", folder, quiet=True, cache=False)


# The command line


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "RUN", "--data", "KAGGLE", "--all"],
        ["predict", "RUN", "--data", "KAGGLE", "--out", "OUT/p.csv"],
        ["pack", "RUN", "--out", "OUT/packed-again"],
        ["export", "RUN", "--to", "saved_model", "--out", "OUT/exported"],
        ["filters", "RUN", "--out", "OUT/filters"],
        ["submit", "RUN", "--data", "KAGGLE", "--out", "OUT/s.csv"],
        ["analyse", "RUN", "--data", "KAGGLE", "--all", "--out", "OUT/a"],
        ["detect", "RUN", "PHOTO", "--box", "1", "1", "30", "30"],
    ],
)
def test_commands_refuse_in_one_line(hostile, stranger, safely, root, capsys, layouts, command):
    """Hostile models and records, told in one line and with the exit code 2."""
    photo, kaggle = root / "out" / "photo.jpg", root / "out" / "kaggle-of-commands"
    layouts.photo(photo)
    if not kaggle.exists():
        write_kaggle_folder(kaggle, train=2, test=2)
    words = {"RUN": stranger, "PHOTO": photo, "KAGGLE": kaggle}
    said = [str(words.get(word, word.replace("OUT", str(root / "out")))) for word in command]
    good = hostile.members(stranger / "dense.keras")
    change, _ = hostile.CONFIGS["lambda layer"]
    hostile.zipped(stranger / "dense.keras", hostile.with_config(good, change))
    record = read_json(stranger / "run.json")
    for model in ("tiny", "\x1b[2Jevil"):
        (stranger / "run.json").write_text(json.dumps({**record, "model": model}))
        with safely():
            assert main(said) == 2
        error = capsys.readouterr().err
        assert error.splitlines()[-1].startswith("kfkd: ") and "\x1b" not in error
        assert "Traceback" not in error
