"""The card of a packed ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfkd.model_card import terms_told
from kfkd.storage.files import bytes_in

if TYPE_CHECKING:
    from kfkd.ensembles.packed import PackedEnsemble


def ensemble_card(ensemble: PackedEnsemble, name: str) -> str:
    """The card as Markdown, every figure out of the cross-validation that trained the nets.

    Args:
        ensemble: with the cards of its nets.
        name: what the card calls it.
    """
    record, first = ensemble.record, ensemble.runs[0]
    several = len(record["seeds"]) > 1
    seeds = f"seed{'s' * several} {', '.join(map(str, record['seeds']))}"
    nets = len(record["runs"])
    about = (
        f"The mean of {nets} nets of the zoo's entry `{record['model']}`, each trained on all but "
        f"one of {record['k']} folds ({seeds}): {len(first.skeleton)} keypoints "
        f"({first.skeleton.name}), {bytes_in(ensemble.folder) / 1e6:.1f} MB. `kfkd submit` "
        "takes it as it takes a run."
    )
    data = f"{record['rows']} labelled images of the data set `{record['data']}`."
    return "\n\n".join(
        [
            f"# {name}",
            about,
            "## Data\n\n" + data + terms_told(first.record),
            "## Scores\n\n" + _scores(record, several),
            "## How it was made\n\nEach net's own MODEL_CARD.md says how it was made, how good it "
            "is on the fold that it never saw, and where it fails.\n",
        ]
    )


def _scores(record: Mapping[str, Any], several: bool) -> str:
    who = "the mean of those nets" if several else "the one net"
    lines = [
        f"kaggle_rmse in pixels, each image answered by {who} that never saw it nor its like, "
        "looking as thoroughly as submissions do. The mean of all nets has no such score, as it "
        "has seen every image; its squared error on new ones is no more than theirs on average.",
        "",
        "| | images | nets | mean face | mean face per source |",
        "|---|---|---|---|---|",
    ]
    rows = ", ".join(map(str, record["left_out"]))
    named = {
        "all": "all images",
        "clean": f"without rows {rows} of the file that they learned from",
    }
    for key, figures in record["scores"].items():
        shown = (figures[one]["kaggle_rmse"] for one in ("model", "mean_face", "mean_per_source"))
        cells = ["" if value is None else f"{value:.3f}" for value in shown]
        lines.append(f"| {' | '.join([named[key], str(figures['images']), *cells])} |")
    return "\n".join(lines)
