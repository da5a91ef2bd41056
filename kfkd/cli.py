"""The command line: the package's verbs with flags."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

from kfkd import __version__
from kfkd.commands.bench import add_bench
from kfkd.commands.data import add_data
from kfkd.commands.folds import add_folds, folds
from kfkd.commands.parts import Parser
from kfkd.commands.photos import add_photos
from kfkd.commands.reports import add_reports
from kfkd.commands.runs import add_runs
from kfkd.commands.searches import add_searches, compare, tune
from kfkd.commands.submissions import add_submissions
from kfkd.commands.training import add_training, resume, train
from kfkd.commands.zoo import add_zoo
from kfkd.errors import KfkdError
from kfkd.machines.joining import leave


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: as in a shell; None = those of this process.

    Returns:
        The exit code: 0, 2 for what the user can mend, 130 after Ctrl-C.
    """
    options = parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except KfkdError as error:
        return leave(_fail(str(error), 2))
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]
        return 0
    except OSError as error:
        return _fail(f"{error.filename or 'system'}: {error.strerror or error}", 2)
    except KeyboardInterrupt:
        return leave(_fail("; ".join(filter(None, ("stopped", _go_on(options)))), 130))
    return 0


_AGAIN = "run the same command again to go on"
_GO_ON = {compare: _AGAIN, tune: _AGAIN, folds: _AGAIN}


def _go_on(options: argparse.Namespace) -> str:
    """How what was interrupted goes on; "" where it begins anew."""
    if options.run not in (train, resume):
        return _GO_ON.get(options.run, "")
    given = vars(options)
    if given.get("machines") or os.environ.get("KFKD_MACHINES"):
        return "start the same command on all machines again: it goes on from the last whole epoch"
    words = ["kfkd", "resume", given.get("folder") or given.get("out") or "RUN"]
    words += ["--devices", options.devices] if options.devices else []
    return f"it goes on with: {shlex.join(words)}"


_MOST_WORDS = 3000  # of a message; files from anyone may be quoted in it


def _fail(message: str, code: int) -> int:
    told = " ".join(message.split())[:_MOST_WORDS]
    # A file's content, quoted in a message, must not steer the terminal.
    print("kfkd: " + "".join(c if c.isprintable() else "?" for c in told), file=sys.stderr)
    return code


_GROUPS = (
    add_zoo,
    add_training,
    add_runs,
    add_reports,
    add_photos,
    add_searches,
    add_folds,
    add_submissions,
    add_data,
    add_bench,
)


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser("kfkd", description="Facial keypoints with Keras: a model zoo, honestly scored.")
    top.add_argument("--version", action="version", version=f"kfkd {__version__}")
    verbs = top.add_subparsers(metavar="COMMAND", required=True)
    for add in _GROUPS:
        add(verbs)
    return top


if __name__ == "__main__":
    sys.exit(main())
