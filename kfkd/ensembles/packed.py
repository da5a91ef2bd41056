"""Packed ensembles: small copies of a cross-validation's nets that answer as one, to hand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfkd import pretrained
from kfkd.errors import KfkdError, RunError
from kfkd.folds.cross_validation import RESULTS, CrossValidation
from kfkd.packing import CARD, pack
from kfkd.pretrained import ENSEMBLE, best_first, packaged
from kfkd.runs import RECORD, Run, finished_run
from kfkd.storage.files import bytes_in, read_json, whole_folder, write_json, write_text
from kfkd.storage.kinds import MAYBE, check_kinds, check_plain
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
    def name(self) -> str:
        """How it is called: its folder's name."""
        return self.folder.resolve().name

    @property
    def runs(self) -> tuple[Run, ...]:
        """The nets.

        Raises:
            KfkdError: when one lies outside of the folder, is not there, or is of another model or
                other keypoints.
        """
        # Resolved: a bare name could be that of a run that comes with the package.
        folder, names = self.folder.resolve(), self.record["runs"]
        runs = tuple(finished_run(inside(folder, name)) for name in names)
        for run in runs:
            known = (run.name, run.skeleton)
            if known != (wanted := (self.record["model"], runs[0].skeleton)):
                told = " of ".join((wanted[1].name, wanted[0]))
                raise RunError(f"{run.folder} is no net of its ensemble, which has {told}")
        return runs


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
        RunError: when `out` holds something, there is no such seed, or nets or scores are not as
            the cross-validation left them.
        KfkdError: when it is of other keypoints than Kaggle's.
    """
    from kfkd.ensembles.card import ensemble_card

    out = Path(out).expanduser()
    record, folders = _record(validation, model, seed), _net_folders(validation, model, seed)
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} holds something already; name an empty or new folder")
    with whole_folder(out) as beside:
        for own, folder in folders.items():
            pack(folder, beside / own, own)
        write_json(beside / ENSEMBLE, {**record, "runs": list(folders)})
        nets = PackedEnsemble(beside, {**record, "runs": list(folders)})
        write_text(beside / CARD, ensemble_card(nets, name or model))
    return out


def _net_folders(validation: CrossValidation, model: str, seed: int | None) -> dict[str, Path]:
    """Folders of the nets by what they are called in the ensemble."""
    from kfkd.ensembles.members import faults, of_folds

    member = of_folds(validation, model)
    if broken := member.stale or faults([member])[0]:
        raise RunError(f"{member.place}: {broken}")
    nets = zip(validation.models[model]["folds"], member.runs, strict=True)
    return {
        f"seed-{row['seed']}-fold-{row['fold']}": run.folder
        for row, run in nets
        if seed in (None, row["seed"])
    }


def _record(validation: CrossValidation, model: str, seed: int | None) -> dict[str, Any]:
    """What ensemble.json says, but for the nets' folders."""
    found, facts = validation.models[model], validation.facts
    if not found["folds"]:
        raise RunError(f"{validation.out} has no fold of {model}")
    if seed is not None and seed not in found["seeds"]:
        raise RunError(f"{validation.out} has the seeds {found['seeds']}. Received: {seed}")
    scores = found["pooled"] if seed is None else found.get("seed_scores", {}).get(str(seed))
    try:
        _check_scores(scores)
    except KfkdError as error:
        told = f"{validation.out} lacks scores of its {model} ({error})"
        raise RunError(f"{told}; renew them with: {facts['command']}") from error
    if scores["all"]["model"]["kaggle_rmse"] is None:
        wanted = "an ensemble is packed for submissions, of Kaggle's keypoints"
        raise KfkdError(f"{wanted}. Received: {facts['data']}")
    return {
        "kind": KIND,
        "model": model,
        "data": facts["data"],
        "rows": facts["rows"],
        "k": facts["k"],
        "seeds": found["seeds"] if seed is None else [seed],
        "scores": scores,
        "left_out": facts["without"]["rows"] if facts["without"] else [],
    }


def packed_ensemble(item: str | Path) -> PackedEnsemble | None:
    """Opens a packed ensemble: its folder, or the name of one that comes with the package.

    Args:
        item: what a user names; a folder that holds a run or a cross-validation is no name.

    Returns:
        The ensemble; None where there is none.

    Raises:
        RunError: when it is broken.
    """
    folder = Path(item).expanduser()
    if not (folder / ENSEMBLE).is_file():
        named = packaged(str(item), ENSEMBLE)
        if named is None or any((folder / file).is_file() for file in (RECORD, RESULTS)):
            return None
        folder = named
    try:
        record = read_json(folder / ENSEMBLE)
        check_plain(record)
        check_kinds(record, _KINDS, _KINDS)
        _check_scores(record["scores"])
        runs = record["runs"]
        if record["kind"] != KIND or not runs or any(type(one) is not str for one in runs):
            raise KfkdError("it is of no packed ensemble")
        if len({*runs}) < len(runs):
            raise KfkdError("it names a net twice")
    except KfkdError as error:
        raise RunError(f"{folder / ENSEMBLE} is broken: {error}") from error
    return PackedEnsemble(folder, record)


_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("kind", "model", "data"), str),
    **dict.fromkeys(("rows", "k"), int),
    **dict.fromkeys(("seeds", "left_out", "runs"), list),
    "scores": dict,
}
_WHO = ("model", "mean_face", "mean_per_source")


def _check_scores(scores: Any) -> None:
    """Refuses scores that `kfkd.folds.scores.FoldScorer` does not give."""
    check_kinds(scores, {"all": dict, "clean": dict}, ("all",), "scores")
    if {*scores} - {"all", "clean"}:
        raise KfkdError(f"scores want all and maybe clean. Received: {', '.join(scores):.100}")
    for name, figures in scores.items():
        kinds = {"images": int, **dict.fromkeys(_WHO, dict)}
        check_kinds(figures, kinds, kinds, f"scores.{name}")
        for who in _WHO:
            place = f"scores.{name}.{who}"
            check_kinds(figures[who], {"kaggle_rmse": MAYBE}, ("kaggle_rmse",), place)


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
                "kind": "ensemble",
                "model": record["model"],
                "nets": len(record["runs"]),
                "data": record["data"],
                "kaggle_rmse": scores["model"]["kaggle_rmse"],
                "mean_face": scores["mean_face"]["kaggle_rmse"],
                "nme": None,
                "images": scores["images"],
                "megabytes": round(bytes_in(path.parent) / 1e6, 2),
                "folder": str(path.parent),
            }
        )
    return best_first(found)
