"""What all tests share: a cache of their own, and the way to the real data sets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("KFKD_CACHE", str(folder))
        patch.delenv("KFKD_DATA", raising=False)
        yield folder


@pytest.fixture(scope="session")
def kaggle_folder() -> Path:
    """The real Kaggle folder; tests that ask for it are marked `real`."""
    data = Path(os.environ.get("KFKD_TEST_DATA") or ROOT.parent / "shared" / "data")
    folder = data / "kaggle-fkd"
    if not folder.is_dir():
        pytest.skip(f"no real Kaggle data at {folder}; set KFKD_TEST_DATA to a folder with it")
    return folder
