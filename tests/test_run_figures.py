"""The figures of a run as functions: loss curves, sheets of predictions, CED curves."""

from __future__ import annotations

import pytest

import kfkd
from kfkd.errors import DataError, KfkdError, RunError, UnknownName
from kfkd.pipelines.synthetic import synthetic_faces

pytestmark = pytest.mark.usefixtures("tiny_zoo", "undrawn")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(60, seed=2)


@pytest.fixture(scope="module")
def runs(tiny_zoo, undrawn, faces, tmp_path_factory):
    """Two seeds on one split, and one on another."""
    out = tmp_path_factory.mktemp("runs")
    settings = {"epochs": 2, "quiet": True}
    return [
        kfkd.train(
            "tiny", faces, out=out / f"{seed}-{split}", seed=seed, split_seed=split, **settings
        )
        for seed, split in ((0, 0), (1, 0), (0, 1))
    ]


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_loss_figure_has_a_panel_a_subset_and_the_mean_face(runs):
    figure = kfkd.loss_figure(runs[0].folder)
    assert titles(figure) == ["dense", "sparse"]
    assert len(figure.axes[0].lines[0].get_xdata()) == 2
    flat = runs[0].record["subsets"]["dense"]["mean_face"]
    assert f"mean face: {flat:.2f} px" in legend(figure)


def test_loss_figure_of_a_packed_run_says_that_it_has_no_history(runs, tmp_path):
    with pytest.raises(RunError, match=r"packed: no history.csv with an epoch, as in packed runs"):
        kfkd.loss_figure(kfkd.pack(runs[0], tmp_path / "packed"))


@pytest.mark.parametrize("which", ["worst", "best"])
def test_predictions_figure_ranks_the_held_out_faces(runs, faces, which):
    scores = kfkd.evaluate(runs[0], faces, quiet=True)
    found = titles(kfkd.predictions_figure(runs[0], faces, which, 3, quiet=True))
    assert len(found) == 3
    if which == "worst":
        told = [f"row {i}: {error:.2f} px" for i, error, _ in scores.worst[:3]]
        assert [title.split("\n")[0] for title in found] == told
    else:
        errors = [float(title.split(": ")[1].split(" px")[0]) for title in found]
        assert errors == sorted(errors) and errors[0] < scores.worst[0][1]


def test_predictions_figure_shows_the_first_rows(runs, faces):
    figure = kfkd.predictions_figure(runs[0], faces, "first", 4, part="all", quiet=True)
    assert [title.split(":")[0] for title in titles(figure)] == [f"row {i}" for i in range(1, 5)]
    everyone = kfkd.predictions_figure(runs[0], faces[:5], "first", part="all", quiet=True)
    assert len(everyone.axes) == 5


def test_predictions_figure_says_what_is_wanted(runs, faces):
    with pytest.raises(UnknownName, match=r"worse.*worst"):
        kfkd.predictions_figure(runs[0], faces, "worse")
    for count in (0, True, 2.5):
        with pytest.raises(KfkdError, match=r"count wants a whole number from 1\. Received: "):
            kfkd.predictions_figure(runs[0], faces, count=count)


def test_ced_figure_has_a_curve_a_run_and_the_first_ones_mean_face(runs, faces):
    figure = kfkd.ced_figure(runs[:2], faces, quiet=True)
    told = legend(figure)
    assert [text.split(":")[0] for text in told] == [
        *(str(r.folder) for r in runs[:2]),
        "mean face",
    ]
    assert "of the distance of left_eye_center" in figure.axes[0].get_xlabel()
    assert legend(kfkd.ced_figure(runs[0].folder, faces, quiet=True))[0].startswith("tiny: NME")


def test_ced_figure_wants_runs_on_the_same_images(runs, faces):
    with pytest.raises(DataError, match=r"different images.*ask part=\"all\""):
        kfkd.ced_figure([runs[0], runs[2]], faces, quiet=True)
    both = kfkd.ced_figure([runs[0], runs[2]], faces, part="all", quiet=True)
    assert len(both.axes[0].lines) == 3
    with pytest.raises(KfkdError, match="at least one run"):
        kfkd.ced_figure([], faces)


def test_figures_leave_pyplots_state_alone(runs, faces):
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    plt.close("all")
    drawn = [
        kfkd.loss_figure(runs[0]),
        kfkd.predictions_figure(runs[0], faces, count=2, quiet=True),
        kfkd.ced_figure(runs[0], faces, quiet=True),
    ]
    assert all(isinstance(figure, Figure) for figure in drawn) and plt.get_fignums() == []
