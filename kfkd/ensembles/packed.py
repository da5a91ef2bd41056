"""Packed ensembles: small copies of a cross-validation's nets that answer as one, to hand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfkd import pretrained
from kfkd.errors import KfkdError, RunError
from kfkd.folds.cross_validation import CrossValidation
from kfkd.packing import CARD, pack
from kfkd.pretrained import ENSEMBLE, best_first, megabytes, packaged
from kfkd.runs import Run, finished_run
from kfkd.storage.files import read_json, whole_folder, write_json, write_text
from kfkd.storage.kinds import check_kinds, check_plain
from kfkd.storage.safe_reading import inside

KIND = "packed ensemble"


@dataclass(frozen=True)
class PackedEnsemble:
    """Nets that answer as one.

    Args:
        folder: where they are.
        record: content of its ensemble.json: model, data, seeds, scores, and the runs' folders.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def runs(self) -> tuple[Run, ...]:
        """The nets.

        Raises:
            KfkdError: when one lies outside of the folder, or is not there.
        """
        return tuple(finished_run(inside(self.folder, name)) for name in self.record["runs"])


def pack_ensemble(
    validation: CrossValidation, model: str, out: str | Path, name: str | None, seed: int | None
) -> Path:
    """Writes small copies of a model's nets and what they scored on the rows they never saw.

    Args:
        validation: finished.
        model: of its models.
        out: folder to make; it comes to hold ensemble.json, MODEL_CARD.md and a packed run a net.
        name: what the card calls it; None = the model's name.
        seed: whose folds alone are wanted; None = all.

    Returns:
        The folder.

    Raises:
        RunError: when `out` holds something, or there is no such seed.
    """
    from kfkd.ensembles.card import ensemble_card

    out, found = Path(out).expanduser(), validation.models[model]
    if seed is not None and seed not in found["seeds"]:
        raise RunError(f"{validation.out} has the seeds {found['seeds']}. Received: {seed}")
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} holds something already; name an empty or new folder")
    rows = [row for row in found["folds"] if seed in (None, row["seed"])]
    names = [f"seed-{row['seed']}-fold-{row['fold']}" for row in rows]
    with whole_folder(out) as beside:
        for row, own in zip(rows, names, strict=True):
            pack(inside(validation.out, row["folder"]), beside / own, own)
        without = validation.facts["without"]
        record = {
            "kind": KIND,
            "model": model,
            "data": validation.facts["data"],
            "rows": validation.facts["rows"],
            "k": validation.facts["k"],
            "seeds": sorted({row["seed"] for row in rows}),
            "scores": found["pooled"] if seed is None else found["seed_scores"][str(seed)],
            "left_out": without["rows"] if without else [],
            "runs": names,
        }
        write_json(beside / ENSEMBLE, record)
        nets = PackedEnsemble(beside, record)
        write_text(beside / CARD, ensemble_card(nets, name or model))
    return out


def packed_ensemble(item: str | Path) -> PackedEnsemble | None:
    """Opens a packed ensemble: its folder, or the name of one that comes with the package.

    Args:
        item: what a user names.

    Returns:
        The ensemble; None where there is none.

    Raises:
        RunError: when it is broken.
    """
    folder = Path(item).expanduser()
    if not (folder / ENSEMBLE).is_file():
        named = packaged(str(item), ENSEMBLE)
        if named is None or folder.exists():
            return None
        folder = named
    try:
        record = read_json(folder / ENSEMBLE)
        check_plain(record)
        check_kinds(record, _KINDS, _KINDS)
        if record["kind"] != KIND or not all(type(one) is str for one in record["runs"]):
            raise KfkdError("it is of no packed ensemble")
    except KfkdError as error:
        raise RunError(f"{folder / ENSEMBLE} is broken: {error}") from error
    return PackedEnsemble(folder, record)


_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("kind", "model", "data"), str),
    **dict.fromkeys(("rows", "k"), int),
    **dict.fromkeys(("seeds", "left_out", "runs"), list),
    "scores": dict,
}


def pretrained_ensembles() -> list[str]:
    """Names of the ensembles that come with the package: several nets that answer as one.

    `kfkd.submit` knows them by these names. Each has a MODEL_CARD.md.

    Returns:
        Names, ordered by the `kaggle_rmse` of their nets on images that these never saw.

    Example:
        >>> import kfkd
        >>> kfkd.pretrained_ensembles()  # doctest: +SKIP
        ['pyramid_folds']
    """
    return [facts["name"] for facts in ensemble_facts()]


def ensemble_facts() -> list[dict[str, Any]]:
    """Name, model, scores and folder of each packaged ensemble, best first."""
    found = []
    for path in sorted(pretrained.FOLDER.glob(f"*/{ENSEMBLE}")):
        record = read_json(path)
        scores = record["scores"]["all"]
        found.append(
            {
                "name": path.parent.name,
                "model": record["model"],
                "nets": len(record["runs"]),
                "data": record["data"],
                "kaggle_rmse": scores["model"]["kaggle_rmse"],
                "mean_face": scores["mean_face"]["kaggle_rmse"],
                "nme": None,
                "images": scores["images"],
                "megabytes": megabytes(path.parent),
                "folder": str(path.parent),
            }
        )
    return best_first(found)
