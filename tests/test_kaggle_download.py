import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import kfkd
from kfkd.cli import main
from kfkd.errors import KfkdError
from kfkd.pipelines.synthetic import write_kaggle_folder


class UnauthenticatedError(Exception):
    pass


class HTTPError(Exception):
    def __init__(self, status):
        super().__init__(f"{status} Client Error")
        self.response = SimpleNamespace(status_code=status)


@pytest.fixture
def kagglehub(monkeypatch):
    """A kagglehub that does what `.answer` says: a folder, or an error."""
    module = SimpleNamespace(answer=None, asked=[])

    def competition_download(handle):
        module.asked.append(handle)
        if isinstance(module.answer, Exception):
            raise module.answer
        return str(module.answer)

    module.competition_download = competition_download
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    return module


def test_the_files_are_read_as_they_come(kagglehub, tmp_path):
    write_kaggle_folder(tmp_path / "cache", 12, 4, seed=1)
    kagglehub.answer = tmp_path / "cache"
    folder = kfkd.download_data("kaggle", tmp_path / "data", quiet=True)
    assert folder == tmp_path / "data" / "kaggle"
    assert len(kfkd.load_faces("kaggle", folder)) == 12
    assert kagglehub.asked == ["facial-keypoints-detection"]
    kfkd.download_data("kaggle", tmp_path / "data", quiet=True)
    assert len(kagglehub.asked) == 1


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            UnauthenticatedError("User is not authenticated"),
            "no credentials were found; make",
        ),
        (HTTPError(401), "credentials were refused"),
        (HTTPError(403), "accept the competition's rules"),
        (ConnectionError("no route"), "check the network"),
        (HTTPError(500), "HTTPError: 500 Client Error"),
        (ValueError("unknown handle"), "ValueError: unknown handle"),
    ],
)
def test_every_failure_says_what_to_do(kagglehub, tmp_path, capsys, error, advice):
    kagglehub.answer = error
    assert main(["data", "kaggle", "--out", str(tmp_path / "data")]) == 2
    said = capsys.readouterr().err.strip()
    assert advice in said
    assert sum(line.startswith("kfkd: ") for line in said.splitlines()) == 1
    assert not (tmp_path / "data" / "kaggle").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "kaggle.json is empty; make an API token"),
        ('{"username": ', "kaggle.json is not valid JSON (Expecting value: line 1 column 14"),
        ('{"username": "me"}', "kaggle.json holds no key; make"),
        ('{"username": "", "key": ""}', "kaggle.json holds no username and no key; make"),
        ("[]", "kaggle.json holds no username and no key"),
        (b"\xff\xfe", "kaggle.json is not valid JSON ('utf-8' codec"),
    ],
)
def test_a_broken_token_is_named(kagglehub, tmp_path, monkeypatch, content, told):
    file = tmp_path / "kaggle.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    kagglehub.answer = ValueError(f"Invalid Kaggle credentials file at {file}")
    with pytest.raises(KfkdError) as caught:
        kfkd.download_data("kaggle", tmp_path / "data", quiet=True)
    assert f"was not downloaded: {tmp_path}/" in str(caught.value) and told in str(caught.value)
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    with pytest.raises(KfkdError, match="ValueError: Invalid"):
        kfkd.download_data("kaggle", tmp_path / "data", quiet=True)


def test_a_token_that_is_not_to_be_had_hides_no_error(kagglehub, tmp_path, monkeypatch):
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    kagglehub.answer = RuntimeError("no space " + "x" * 1000)

    def said():
        with pytest.raises(KfkdError) as caught:
            kfkd.download_data("kaggle", tmp_path / "data", quiet=True)
        return str(caught.value)

    assert re.search(r"not downloaded: RuntimeError: no space x{50,300}$", said())
    (tmp_path / "kaggle.json").write_text("[]")
    assert re.search(r"no username and no key; make .*\(RuntimeError: no space x+\)$", said())

    read = Path.read_text

    def refused(path, *arguments, **settings):
        if path.name == "kaggle.json":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refused)
        assert "kaggle.json cannot be read: Permission denied; make an API token" in said()

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("KAGGLE_CONFIG_DIR")
    monkeypatch.setattr(Path, "home", homeless)
    assert "not downloaded: RuntimeError: no space" in said()


def test_without_kagglehub_it_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(KfkdError, match="pip install kagglehub"):
        kfkd.download_data("kaggle", tmp_path, quiet=True)


def test_an_empty_download_is_no_data(kagglehub, tmp_path):
    (tmp_path / "cache").mkdir()
    kagglehub.answer = tmp_path / "cache"
    with pytest.raises(KfkdError, match="left no files"):
        kfkd.download_data("kaggle", tmp_path / "data", quiet=True)
    assert not (tmp_path / "data").exists()
