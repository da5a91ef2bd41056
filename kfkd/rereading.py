"""Reading a run's answers otherwise than it was measured: another decoder, more looks or fewer."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from kfkd.codecs import changed_codec
from kfkd.errors import KfkdError
from kfkd.heatmaps import Heatmap
from kfkd.runs import Run


def reread(run: Run, *, decoder: str | None = None, second_look: bool | None = None) -> Run:
    """The same nets, read otherwise; nothing is trained and nothing written.

    Args:
        run: finished.
        decoder: of its heatmaps, see `kfkd.heatmaps`; None = its own.
        second_look: whether faces out of their place are looked at again, see
            `kfkd.second_looks`; None = as the run does.

    Returns:
        Another object of the same folder; the run itself where nothing is changed.

    Raises:
        UnknownName: when there is no such decoder.
        KfkdError: when a net gives no heatmaps.
    """
    if decoder is None and second_look is None:
        return run
    record = deepcopy(run.record)
    for subset, facts in record["subsets"].items():
        if decoder is not None:
            if not isinstance(run.codec(subset), Heatmap):
                kind = run.codec(subset).config()["codec"]
                raise KfkdError(
                    f"a decoder reads heatmaps. Received: decoder={decoder!r} for {run.folder}, "
                    f"whose codec is {kind}"
                )
            facts["codec"] = changed_codec(run.codec(subset), {"decoder": decoder}).config()
        if second_look is not None:
            facts["second_look"] = second_look
    return replace(run, record=record, _models=run._models)
