"""Cosines that begin anew: the rate of several trainings in one, and what run.json keeps of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

import kfkd
from kfkd.errors import KfkdError
from kfkd.ladders.changes import changes_of
from kfkd.learning.checks import check
from kfkd.learning.optimizing import optimizer_for
from kfkd.learning.settings import Settings, saved_recipe
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.recording import training_command
from kfkd.registry import Recipe, entry
from kfkd.runs import load_run

COSINE = Recipe(learning_rate=0.1, schedule="cosine", epochs=6)


@pytest.fixture(scope="module")
def faces():
    return replace(synthetic_faces(60, seed=1), origin="synthetic")


@pytest.fixture(scope="module")
def run(tiny_zoo, tmp_path_factory, faces):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
        asked = {"schedule": "cosine", "cycles": 2, "plateau": None, "subsets": "dense"}
        out = tmp_path_factory.mktemp("runs") / "twice"
        return kfkd.train("tiny", faces, epochs=4, out=out, quiet=True, **asked)


def rates(recipe, steps):
    rate = optimizer_for(recipe, None, steps)._learning_rate
    return np.array([float(rate(step)) for step in range(steps)])


def test_the_rate_is_that_of_as_many_trainings_one_after_the_other(keras_ready):
    one = rates(COSINE, 60)
    for cycles in (2, 3):
        several = rates(replace(COSINE, cycles=cycles), 60 * cycles)
        np.testing.assert_allclose(several, np.tile(one, cycles), atol=1e-7)
    np.testing.assert_array_equal(rates(replace(COSINE, cycles=1), 60), one)


def test_cycles_are_as_long_as_each_other_where_the_steps_do_not_divide(keras_ready):
    found = rates(replace(COSINE, cycles=3), 50)
    starts = np.flatnonzero((np.diff(found) > 0) & (found[:-1] < 0.01))
    assert len(starts) == 3
    assert {*np.diff(starts)} <= {16, 17}
    assert found.max() <= 0.1 + 1e-7
    assert np.isfinite(rates(replace(COSINE, cycles=9), 5)).all(), "more cycles than steps"


def settings_of(**recipe):
    asked = replace(COSINE, **recipe)
    return Settings("lenet5", ("all",), asked, 0, "float32", False, None, {})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"schedule": None, "cycles": 2}, "cycles want a schedule .*cycles=2, schedule=None"),
        ({"cycles": 0}, "cycles wants a whole number from 1"),
        ({"cycles": 1.5}, "cycles wants a whole number from 1"),
        ({"cycles": True}, "cycles wants a whole number from 1"),
    ],
)
def test_cycles_without_sense_are_refused(wrong, said):
    check(settings_of(cycles=6))
    with pytest.raises(KfkdError, match=said):
        check(settings_of(**wrong))


def test_settings_without_cycles_are_as_those_that_do_not_know_them():
    plain = settings_of().plain()
    assert "cycles" not in plain["recipe"]
    assert settings_of(cycles=1).plain() == plain
    assert settings_of(cycles=2).plain()["recipe"]["cycles"] == 2
    assert saved_recipe(plain["recipe"])["cycles"] is None


def test_a_run_keeps_its_cycles(run, faces):
    history = run.history()["dense"]
    assert [row["learning_rate"] < 1e-6 for row in history] == [False, True, False, True]
    assert load_run(run.folder).record["settings"]["recipe"]["cycles"] == 2
    assert "--set" in training_command(run)
    assert "cycles=2" in training_command(run).split()
    assert "cycles=2" in changes_of(run)
    assert kfkd.resume(run.folder, faces, quiet=True).finished


def test_an_old_run_is_not_taken_for_one_of_an_entry_that_has_got_cycles(run, tmp_path):
    record = json.loads(json.dumps(run.record))
    del record["settings"]["recipe"]["cycles"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    old, known = load_run(tmp_path), entry("tiny")
    with pytest.MonkeyPatch.context() as patch:
        from kfkd import registry

        newer = replace(known, recipe=replace(known.recipe, schedule="cosine", cycles=2))
        patch.setitem(registry._ENTRIES, "tiny", newer)
        assert "cycles=none" in changes_of(old)
        assert "cycles=None" in training_command(old).split()
        assert not any(change.startswith("cycles") for change in changes_of(run))
