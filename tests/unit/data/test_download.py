"""Downloads against a server on this machine."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mamdr.data.download import Remote, download
from mamdr.errors import DataError

CONTENT = bytes(range(256)) * 5000


class Handler(http.server.BaseHTTPRequestHandler):
    asked: list[str | None]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        Handler.asked.append(wanted)
        if self.path == "/absent":
            self.send_error(404)
            return
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.path != "/whole" else 0
        if begin > len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        end = 300_000 if self.path == "/broken" and begin < 300_000 else len(CONTENT)
        self.wfile.write(CONTENT[begin:end])

    def log_message(self, *args: Any) -> None:
        return None


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()
        thread.join()


def test_a_file_comes_whole_with_its_progress(server: str, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    download([Remote("a.gz", f"{server}/a")], tmp_path, lambda *said: told.append(said))
    assert (tmp_path / "a.gz").read_bytes() == CONTENT
    assert told[0] == ("fetching a.gz", 0, len(CONTENT))
    assert told[-1] == ("fetching a.gz", len(CONTENT), len(CONTENT))
    assert [path.name for path in tmp_path.iterdir()] == ["a.gz"]


def test_a_file_that_is_there_is_left_alone(server: str, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(b"mine")
    download([Remote("a.gz", f"{server}/a")], tmp_path)
    assert (tmp_path / "a.gz").read_bytes() == b"mine"
    assert Handler.asked == []


def test_a_broken_download_goes_on_where_it_ended(server: str, tmp_path: Path) -> None:
    file = Remote("a.gz", f"{server}/broken")
    with pytest.raises(DataError, match=r"a\.gz could not be fetched from .*/broken"):
        download([file], tmp_path)
    assert not (tmp_path / "a.gz").exists()
    download([file], tmp_path)
    assert (tmp_path / "a.gz").read_bytes() == CONTENT
    assert Handler.asked == [None, "bytes=300000-"]


def test_a_server_that_cannot_go_on_sends_all_of_it(server: str, tmp_path: Path) -> None:
    (tmp_path / ".a.gz.download").write_bytes(b"x" * 1000)
    download([Remote("a.gz", f"{server}/whole")], tmp_path)
    assert (tmp_path / "a.gz").read_bytes() == CONTENT


def test_a_file_that_became_shorter_is_fetched_anew(server: str, tmp_path: Path) -> None:
    (tmp_path / ".a.gz.download").write_bytes(b"x" * (len(CONTENT) + 10))
    download([Remote("a.gz", f"{server}/a")], tmp_path)
    assert (tmp_path / "a.gz").read_bytes() == CONTENT


def test_what_the_server_refuses_is_told(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the server answers 404"):
        download([Remote("a.gz", f"{server}/absent")], tmp_path)


def test_no_network_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"could not be fetched from .* refused"):
        download([Remote("a.gz", "http://127.0.0.1:9/a")], tmp_path)
