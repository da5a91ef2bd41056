"""kfkd models, describe, record: the zoo and its table of scores."""

from __future__ import annotations

from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kfkd.commands.backend import calm_retracing, calm_tensorflow
from kfkd.commands.parts import add_verb, print_answer, with_json, with_quiet
from kfkd.registry import entry

_LEGEND = """params, GFLOPs: of the published subsets; two per multiply-add, one image
published: Kaggle private / public RMSE in px, where submitted; the mean face scores 3.87
measured: our kaggle_rmse in px, of photos the NME, on held-out real images; kfkd describe MODEL"""


def add_zoo(verbs: Any) -> None:
    """Adds the group's verbs."""
    verb = add_verb(verbs, "models", models, "list the zoo's models", with_json)
    verb.add_argument("--family", help="only this family")
    verb.add_argument("--measure-costs", metavar="FILE", help="recompute GFLOPs into this file")
    about = "a model's layers, settings, source and the source's mistakes"
    verb = add_verb(verbs, "describe", describe, about, with_json)
    verb.add_argument("name", metavar="MODEL")
    about = "put finished runs into the zoo's table of scores"
    verb = add_verb(verbs, "record", record, about, with_quiet)
    verb.add_argument("runs", nargs="*", metavar="RUN")
    verb.add_argument("--table", default="models/results.json", metavar="FILE")
    about, default = "of runs on photos", "models/landmark_results.json"
    verb.add_argument("--landmark-table", default=default, metavar="FILE", help=about)
    verb.add_argument("--readme", metavar="FILE", help="renew the tables of scores in this file")
    about = "renew the whole table of scores on photos in this file"
    verb.add_argument("--landmark-page", metavar="FILE", help=about)


def models(options: Namespace) -> None:
    """Lists the zoo, or recomputes its costs."""
    from kfkd.catalogue import list_models, models_table

    if options.measure_costs:
        from kfkd.models.costs import measure_costs
        from kfkd.storage.files import write_json

        write_json(options.measure_costs, measure_costs())
        return
    rows = list_models(options.family)
    print_answer(rows, options.json, models_table(rows) + "\n\n" + _LEGEND)


def describe(options: Namespace) -> None:
    """Describes a model."""
    entry(options.name)
    calm_tensorflow()
    from kfkd.describing import describe as verb

    found = verb(options.name)
    print_answer(found.as_dict(), options.json, str(found))


def record(options: Namespace) -> None:
    """Puts runs into the zoo's tables."""
    calm_tensorflow()
    calm_retracing()
    from kfkd.storage.locks import renewing

    tables = (Path(table) for table in (options.table, options.landmark_table))
    with ExitStack() as stack:  # until the pages are written, which show the whole tables
        for table in sorted({*tables}):
            stack.enter_context(renewing(table, options.quiet))
        _record(options)


def _record(options: Namespace) -> None:
    from kfkd.landmarks.recording import best_landmarks, landmark_table, record_landmarks
    from kfkd.recording import record_runs, results_table, write_block
    from kfkd.runs import finished_run
    from kfkd.skeletons import KAGGLE_15

    runs = [finished_run(run) for run in options.runs]
    of_kaggle = [run for run in runs if run.skeleton.points == KAGGLE_15.points]
    of_photos = [run for run in runs if run.skeleton.points != KAGGLE_15.points]
    blocks = []
    if of_kaggle or not runs:
        table = results_table(record_runs(of_kaggle, options.table))
        blocks.append((options.readme, "measured", table))
    if of_photos or not runs:
        found = record_landmarks(of_photos, options.landmark_table, options.quiet)
        blocks.append((options.readme, "landmarks", best_landmarks(found)))
        blocks.append((options.landmark_page, "landmarks", landmark_table(found)))
    for page, name, text in blocks:
        if page:
            write_block(page, text, name)
        print(text)
