"""The main job on built-in faces: make, explore, train, evaluate, submit, score, show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfkd.errors import KfkdError
from kfkd.progress import say


def demo(
    out: str | Path = "kfkd-demo",
    model: str = "baseline",
    epochs: int = 20,
    faces: int = 2000,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Runs the whole way from Kaggle's file layout to a scored submission, on built-in faces.

    Args:
        out: folder for data, run, submission and pictures; a rerun goes on where it stopped.
        model: entry of the zoo.
        epochs: at the most.
        faces: training faces to make; a seventh as many test faces.
        seed: of faces and training.
        quiet: no progress.

    Returns:
        Scores in pixels: "leaderboard", "validation", "mean_face", and the paths of what was made.

    Raises:
        KfkdError: when `out` holds something else.
    """
    from kfkd.evaluation import evaluate
    from kfkd.exploring import explore
    from kfkd.pipelines.synthetic import write_kaggle_folder
    from kfkd.submissions.scorer import score
    from kfkd.submitting import submit
    from kfkd.training import train

    out = Path(out)
    if out.exists() and any(out.iterdir()) and not (out / "data").is_dir():
        raise KfkdError(f"{out} holds something else; name an empty folder")
    say(f"1/5 making {faces} training faces in Kaggle's layout → {out / 'data'}", quiet)
    data = write_kaggle_folder(out / "data", train=faces, test=max(faces // 7, 1), seed=seed)
    say(f"2/5 looking at them → {out / 'explore'}", quiet)
    explore(data, out / "explore", quiet=quiet)
    say(f"3/5 training {model}, {epochs} epochs for each of its subsets", quiet)
    run = train(model, data, epochs=epochs, batch_size=32, seed=seed, out=out / "run", quiet=quiet)
    say("4/5 evaluating on the held-out images", quiet)
    scores = evaluate(run, data, quiet=quiet)
    say(scores.table(), quiet)
    say("5/5 writing and scoring a submission", quiet)
    path = submit(run, data, out=out / "submission.csv", clip=True, quiet=quiet)
    board = score(path, data / "solution.csv")
    say(board.table(), quiet)
    return {
        "leaderboard": board.rmse,
        "constant": board.constant,
        "validation": scores.model["kaggle_rmse"],
        "mean_face": scores.mean_face["kaggle_rmse"],
        "submission": str(path),
        "run": str(run.folder),
        "pictures": sorted(str(p) for p in out.rglob("*.png")),
    }
