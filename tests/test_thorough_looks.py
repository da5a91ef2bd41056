"""Thorough looks: turned and zoomed images answered too, brought back, and weighed."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kfkd
from kfkd.cli import main
from kfkd.pipelines.synthetic import synthetic_faces
from kfkd.second_looks import brought_back, weighed
from kfkd.thorough_looks import LOOKS, looked_thoroughly

coordinates = st.floats(10, 85)


@settings(deadline=None)
@given(
    points=st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5),
    degrees=st.floats(-180, 180),
    zoom=st.floats(0.3, 3),
)
def test_points_of_turned_and_zoomed_images_come_back(points, degrees, zoom):
    matrix = cv2.getRotationMatrix2D((47.5, 47.5), degrees, zoom)
    own = np.array(points)
    there = own @ matrix[:, :2].T + matrix[:, 2]
    doubts = np.full((len(own), 1), 2.0)
    back = brought_back(np.concatenate([there, doubts], axis=1)[None], matrix[None])[0]
    np.testing.assert_allclose(back[:, :2], own, atol=1e-3)
    np.testing.assert_allclose(back[:, 2], 2.0 / zoom, rtol=1e-5)


def spot(images):
    """Where the light of each image is, as its one point."""
    ys, xs = np.mgrid[:96, :96]
    light = images[..., 0].astype(float)
    whole = light.sum(axis=(1, 2))
    x, y = (light * xs).sum(axis=(1, 2)) / whole, (light * ys).sum(axis=(1, 2)) / whole
    return np.stack([x, y, np.ones_like(x)], axis=-1)[:, None].astype(np.float32)


def spots():
    images = np.zeros((3, 96, 96, 1), np.uint8)
    for image, place in zip(images, [(30, 40), (60, 52), (48, 20)], strict=True):
        cv2.circle(image, place, 3, 255, -1)
    return images


def test_every_look_sees_the_same_place():
    images, asked = spots(), []

    def answer(moved):
        asked.append(moved)
        return spot(moved)

    np.testing.assert_allclose(looked_thoroughly(images, answer), spot(images), atol=0.05)
    assert len(asked) == 1 + len(LOOKS)
    places = [spot(one)[:, 0, :2] for one in asked]
    assert all(np.abs(own - places[0]).max() > 1 for own in places[1:])


def test_surer_looks_count_more_and_the_doubt_stays_the_usual_one(monkeypatch):
    calls = iter([(0.0, 1.0), *[(4.0, 2.0)] * len(LOOKS)])

    def answer(images):
        aside, doubt = next(calls)
        return np.array([[[47.5 + aside, 47.5, doubt]]], np.float32)

    found = looked_thoroughly(np.zeros((1, 96, 96, 1), np.uint8), answer)[0, 0]
    assert 47.5 < found[0] < 47.5 + 2
    assert found[2] == 1.0
    monkeypatch.setattr("kfkd.thorough_looks.ELSEWHERE", 0.05)
    calls = iter([(0.0, 1.0), (4.0, 1.0), *[(40.0, 0.1)] * (len(LOOKS) - 1)])
    found = looked_thoroughly(np.zeros((1, 96, 96, 1), np.uint8), answer)[0, 0]
    assert 47.5 < found[0] < 47.5 + 1.1, "another face does not count, however sure a look is"
    both = weighed([np.array([[[10.0, 10, 1]]]), np.array([[[13.0, 10, 2]]])])[0, 0]
    assert both[0] == pytest.approx((10 + 13 / 4) / (1 + 1 / 4))


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(40, seed=5)


@pytest.fixture(autouse=True)
def anywhere(monkeypatch):
    """Looks of nets that have learned next to nothing, all over the image, count too."""
    monkeypatch.setattr("kfkd.thorough_looks.ELSEWHERE", 10.0)


@pytest.fixture(scope="module")
def runs(keras_ready, faces, tmp_path_factory):
    """A run that looks again, and one that looks once."""
    given = {"subsets": "all", "epochs": 1, "quiet": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kfkd.learning.trainer.draw_run", lambda *arguments: None)
        return [
            kfkd.train(
                "baseline",
                faces,
                second_look=again,
                out=tmp_path_factory.mktemp("looks") / "run",
                **given,
            )
            for again in (True, False)
        ]


def test_runs_that_look_again_look_thoroughly_where_asked(runs, faces, tmp_path):
    again, once = runs
    assert (again.predict(faces.images, thorough=True) != again.predict(faces.images)).any()
    np.testing.assert_array_equal(
        once.predict(faces.images, thorough=True), once.predict(faces.images)
    )
    np.testing.assert_array_equal(
        kfkd.predict(again, faces, thorough=True),
        again.predict(faces.images, source=faces.source, thorough=True),
    )
    scores = [kfkd.evaluate(again, faces, thorough=asked).model["all"] for asked in (True, False)]
    assert scores[0] != scores[1]


def test_a_run_is_scored_with_and_without_second_looks(runs, faces, capsys):
    scores = [
        [kfkd.evaluate(run, faces, second_look=asked).model["all"] for asked in (None, True, False)]
        for run in runs
    ]
    assert scores[0][0] == scores[0][1] != scores[0][2]
    assert scores[1][0] == scores[1][2] != scores[1][1]
    assert runs[0].second_look("all")
    given = ["evaluate", str(runs[0].folder), "--data", "synthetic", "--all", "--json"]
    told = []
    for flags in ([], ["--no-second-look"]):
        assert main([*given, *flags]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] != told[1]
    assert main([*given, "--decoder", "dark"]) == 2
    assert "decoder" in capsys.readouterr().err


def test_the_command_line_looks_thoroughly(runs, tmp_path, capsys):
    tables = [tmp_path / "usual.csv", tmp_path / "thorough.csv"]
    for table, flags in zip(tables, ([], ["--thorough"]), strict=True):
        asked = ["predict", str(runs[0].folder), "--data", "synthetic", "--out", str(table)]
        assert main([*asked, "--quiet", *flags]) == 0
    assert tables[0].read_text() != tables[1].read_text()


def test_submissions_look_thoroughly(runs, tmp_path, monkeypatch):
    from kfkd.runs import Run

    real, asked = Run.predict, []

    def watched(self, images, *arguments, **settings):
        asked.append(settings.get("thorough"))
        return real(self, images, *arguments, **settings)

    monkeypatch.setattr(Run, "predict", watched)
    kfkd.submit(runs[0], "synthetic", out=tmp_path / "s.csv", clip=True, quiet=True)
    assert asked == [True]
