"""`kfkd data`: the list of data sets, and downloading one from a server on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import kfkd
from kfkd import datasets
from kfkd.cli import main
from kfkd.datasets import unpack
from kfkd.errors import KfkdError, UnknownName
from kfkd.pipelines.photo_sources import KINDS
from kfkd.storage.downloading import download

CONTENT = np.random.default_rng(0).bytes(700_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves the server's `content`; /cut breaks off, /gone is absent, /plain knows no ranges."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        if self.path == "/gone":
            self.send_error(404)
            return
        content, first = self.server.content, 0
        if (asked := self.headers.get("Range")) and self.path != "/plain":
            if self.headers["If-Range"] == self.server.version:
                first = int(asked.removeprefix("bytes=").rstrip("-"))
            if first >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.send_header("ETag", self.server.version)
        self.end_headers()
        stop = len(content)
        if self.path == "/cut" and self.server.cuts:
            self.server.cuts -= 1
            stop = (first + stop) // 2
        self.wfile.write(content[first:stop])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.version, server.cuts, server.asked = CONTENT, '"1"', 1, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_good_download(server, tmp_path, capsys):
    file = download(f"{server.url}/a.bin", tmp_path / "new" / "a.bin", DIGEST)
    assert file.read_bytes() == CONTENT and left(tmp_path / "new") == ["a.bin"]
    assert "SHA-256 is right" in capsys.readouterr().err
    download(f"{server.url}/a.bin", file, DIGEST, quiet=True)
    assert len(server.asked) == 1, "a right file is not downloaded again"
    assert capsys.readouterr().err == ""


def test_download_without_a_checksum_says_so(server, tmp_path, capsys):
    download(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert "none was known to check it by" in capsys.readouterr().err


def test_a_data_set_is_checked_by_the_digest_that_its_user_knows(server, tmp_path, monkeypatch):
    row = {"name": "imm", "url": f"{server.url}/a.bin", "sha256": "", "terms": "", "home": ""}
    monkeypatch.setattr("kfkd.datasets.list_data", lambda: [row])
    with pytest.raises(KfkdError, match=f"SHA-256 {DIGEST}, wanted {'0' * 64}"):
        kfkd.download_data("imm", tmp_path, quiet=True, sha256="0" * 64)
    assert left(tmp_path) == []
    for digest in ("zz", f"sha256:{DIGEST}", DIGEST[1:]):
        with pytest.raises(KfkdError, match="sha256 wants 64 hexadecimal digits"):
            kfkd.download_data("imm", tmp_path, quiet=True, sha256=digest)
    (tmp_path / "imm").mkdir()
    with pytest.raises(KfkdError, match="imm is there already: remove it"):
        kfkd.download_data("imm", tmp_path, quiet=True, sha256=DIGEST)
    row["url"] = ""
    with pytest.raises(KfkdError, match="sha256 is for archives that kfkd downloads itself"):
        kfkd.download_data("imm", tmp_path, quiet=True, sha256=DIGEST)


def test_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(KfkdError, match=f"SHA-256 {DIGEST}, wanted {'0' * 64}"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", "0" * 64, quiet=True)
    assert left(tmp_path) == []
    (tmp_path / "a.bin").write_text("mine")
    with pytest.raises(KfkdError, match=r"a.bin is there and is another file than wanted"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", DIGEST, quiet=True)
    assert (tmp_path / "a.bin").read_text() == "mine"


def test_cut_connection_goes_on_where_it_was(server, tmp_path):
    with pytest.raises(KfkdError, match=r"cut off after 350,000 of 700,000 bytes; .* goes on"):
        download(f"{server.url}/cut", tmp_path / "a.bin", DIGEST, quiet=True)
    assert left(tmp_path) == [".a.bin.part", ".a.bin.part.json"]
    download(f"{server.url}/cut", tmp_path / "a.bin", DIGEST, quiet=True)
    assert server.asked == [("/cut", None), ("/cut", "bytes=350000-")]
    assert left(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("change", ["content", "plain", "broken facts", "longer part", "no part"])
def test_download_begins_anew_where_it_cannot_go_on(server, tmp_path, change):
    with pytest.raises(KfkdError, match="cut off"):
        download(f"{server.url}/cut", tmp_path / "a.bin", quiet=True)
    part, facts = tmp_path / ".a.bin.part", tmp_path / ".a.bin.part.json"
    if change == "content":
        server.content, server.version = CONTENT[::-1], '"2"'
    elif change == "plain":
        facts.write_text(facts.read_text().replace("/cut", "/plain"))
    elif change == "broken facts":
        facts.write_text("[]")
    elif change == "longer part":
        part.write_bytes(CONTENT + b"more")
    else:
        part.unlink()
    name = "plain" if change == "plain" else "cut"
    file = download(f"{server.url}/{name}", tmp_path / "a.bin", quiet=True)
    assert file.read_bytes() == server.content and left(tmp_path) == ["a.bin"]


def test_absent_file_is_told(server, tmp_path):
    with pytest.raises(KfkdError, match=r"/gone: the server answers 404 Not Found"):
        download(f"{server.url}/gone", tmp_path / "a.bin", quiet=True)
    assert not (tmp_path / "a.bin").exists()


@pytest.fixture
def nobody(monkeypatch):
    """An address at which nobody answers."""
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_without_a_network_it_says_what_to_do(nobody, tmp_path):
    with pytest.raises(KfkdError, match=r"cannot be downloaded: .*refused; without a network get"):
        download(f"{nobody}/a.bin", tmp_path / "a.bin", quiet=True)


def tar_of(names):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 2
            archive.addfile(member, io.BytesIO(b"hi"))
    return packed.getvalue()


def zip_of(names):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, "hi")
    return packed.getvalue()


@pytest.fixture
def served(server, monkeypatch):
    """`imm` comes from this machine's server."""
    rows = {row["name"]: row for row in datasets.list_data()}
    rows["imm"] |= {"url": f"{server.url}/faces.tar.gz", "sha256": ""}
    monkeypatch.setattr(datasets, "list_data", lambda: list(rows.values()))
    server.content = tar_of(["imm_face_db/01-1m.asf"])
    return server


def test_download_and_unpack(served, tmp_path, capsys):
    assert main(["data", "imm", "--out", str(tmp_path / "data")]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / "data" / "imm")
    assert (tmp_path / "data" / "imm" / "imm_face_db" / "01-1m.asf").read_text() == "hi"
    assert "free for research" in err and "imm.dtu.dk" in err
    assert left(tmp_path / "data") == ["faces.tar.gz", "imm"]
    assert main(["data", "imm", "--out", str(tmp_path / "data"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "imm" and len(served.asked) == 1


def test_failed_download_tells_the_home(served, tmp_path, capsys):
    datasets.data_set("imm")["url"] = f"{served.url}/gone"
    assert main(["data", "imm", "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("kfkd: http://127.0.0.1") and "its home is http://www2.imm" in line


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_archives_unpack_whole_or_not_at_all(tmp_path, make):
    file = tmp_path / "a.archive"
    file.write_bytes(make(["a/b.txt"]))
    unpack(file, tmp_path / "faces")
    assert (tmp_path / "faces" / "a" / "b.txt").read_text() == "hi"
    file.write_bytes(make([f"{i}.txt" for i in range(50)])[:-300])
    with pytest.raises(KfkdError, match=r"a.archive cannot be unpacked"):
        unpack(file, tmp_path / "other")
    assert left(tmp_path) == ["a.archive", "faces"]


def test_archive_that_reaches_out_of_its_folder_is_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of(["../evil.txt"]))
    with pytest.raises(KfkdError, match="cannot be unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "inside" / "faces")
    assert not list(tmp_path.rglob("evil.txt"))


def test_list_names_every_source_and_its_terms(capsys):
    rows = kfkd.list_data()
    assert {row["name"] for row in rows} == {"kaggle", "synthetic", *KINDS}
    assert all(row["terms"] and (row["url"] or row["how"]) for row in rows)
    assert main(["data"]) == 0
    shown = capsys.readouterr().out
    for row in rows:
        assert row["name"] in shown and row["terms"] in shown and row["home"] in shown
    assert main(["data", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert main(["data", "ibug"]) == 0
    shown = capsys.readouterr().out
    assert "not commercial" in shown and "kfkd data ibug --out DIR" in shown


def test_data_that_is_not_downloaded_says_how_to_get_it(tmp_path, capsys):
    with pytest.raises(KfkdError, match="not downloaded by kfkd"):
        kfkd.download_data("synthetic", tmp_path)
    with pytest.raises(UnknownName, match="did you mean imm"):
        kfkd.download_data("im", tmp_path)
    assert main(["data", "--out", str(tmp_path)]) == 2
    assert "--out wants the NAME" in capsys.readouterr().err
