"""Every public name's docstring has an example, and it runs."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import kfkd

NAMES = [name for name in kfkd.__all__ if name != "__version__"]
ROOT = Path(kfkd.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("tiny_zoo")
def test_example_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    found = doctest.DocTestFinder(recurse=False).find(getattr(kfkd, name), name)
    examples = [example for test in found for example in test.examples]
    assert examples, f"kfkd.{name} has no example"
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    for test in found:
        runner.run(test)
    assert runner.summarize().failed == 0


def test_readme_names_what_exists():
    readme = ROOT / "README.md"
    if not readme.is_file():
        pytest.skip("README.md is not beside an installed copy")
    from kfkd.cli import parser
    from kfkd.landmarks.recording import best_landmarks, landmark_table
    from kfkd.recording import block, results_table

    text = readme.read_text(encoding="utf-8")
    commands = parser()._subparsers._group_actions[0].choices
    for command in commands:
        assert f"kfkd {command}" in text, f"README.md does not mention kfkd {command}"
    from kfkd.zoo_tables import packaged

    landmarks = packaged("landmark_results.json")
    for page, name, table in (
        (readme, "measured", results_table(packaged("results.json"))),
        (readme, "landmarks", best_landmarks(landmarks)),
        (ROOT / "docs/results/landmarks.md", "landmarks", landmark_table(landmarks)),
    ):
        (begin, end), text = block(name), page.read_text(encoding="utf-8")
        assert text.partition(begin)[2].partition(end)[0].strip() == table.strip()
