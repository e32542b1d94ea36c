"""`concai trace` against a server that answers as `/logs` does."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.server.cli.conftest import Concai
from tests.server.traces.making import modded

LINE = {
    "request_id": "one", "created_at": "2026-03-01T12:00:00.123Z", "status": "done",
    "mods": ["calm"], "output_tokens": 3, "latency": 0.5, "prompt": "Hi\nthere",
}  # fmt: skip


class Answers(BaseHTTPRequestHandler):
    """Knows one trace."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = urlsplit(self.path).path
        record = modded("one").record().to_json()
        if path == "/logs":
            self._answer(json.dumps({"data": [LINE], "next": None}).encode())
        elif path == "/logs/one":
            self._answer(record)
        elif path == "/logs/team%2F42":
            self._answer(modded("team/42").record().to_json())
        elif self.path.endswith("since=refused&limit=1000"):
            self._answer(b'{"error": {"message": "since must be a time"}}', 400)
        elif self.path.endswith("since=broken&limit=1000"):
            self._answer(record, length=len(record) + 1)
        elif path == "/logs/export":
            self._answer(record + b"\n")
        elif path == "/logs/stream":
            self._answer(b': watching\n\ndata: {"type":"begun"}\n\ndata: {"type":"ended"}\n\n')
        else:
            error = {"error": {"message": "there is no such trace"}}
            self._answer(json.dumps(error).encode(), 404)

    def _answer(self, body: bytes, status: int = 200, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Its address, and what it was asked."""
    asked: list[str] = []
    handler = type("Asked", (Answers,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}", asked
        httpd.shutdown()
        thread.join()


def test_a_list_has_a_line_for_each_trace(concai: Concai, server: tuple[str, list[str]]) -> None:
    url, asked = server
    done = concai("trace", "list", "--mod", "calm", "--text", '"a b"', "--url", url)
    assert done.exit_code == 0, done.output
    assert done.stdout == ("2026-03-01T12:00:00  one  done  calm  3 tokens, 0.50 s  Hi there\n")
    query = parse_qs(urlsplit(asked[0]).query)
    assert query == {"mod": ["calm"], "text": ['"a b"'], "sort": ["newest"], "limit": ["20"]}


def test_a_trace_is_shown_in_words_or_whole(concai: Concai, server: tuple[str, list[str]]) -> None:
    url, _ = server
    words = concai("trace", "show", "one", "--url", url).stdout
    assert "action:   calm backtrack, step 1, position 1" in words
    assert "action:   calm force_tokens, step 1, position 3 (overridden)" in words
    assert "print:    calm: hello" in words
    assert "raised:   calm: no" in words
    whole = json.loads(concai("trace", "show", "one", "--json", "--url", url).stdout)
    assert whole["request"]["request_id"] == "one"


def test_a_trace_that_is_not_there_is_said_in_the_server_s_words(
    concai: Concai, server: tuple[str, list[str]]
) -> None:
    done = concai("trace", "show", "a/b", "--url", server[0])
    assert (done.exit_code, done.stderr) == (1, "error: there is no such trace\n")
    assert server[1] == ["/logs/a%2Fb"]


def test_a_tail_prints_what_happens(concai: Concai, server: tuple[str, list[str]]) -> None:
    done = concai("trace", "tail", "--url", server[0])
    assert done.stdout == '{"type":"begun"}\n{"type":"ended"}\n'
    assert server[1] == ["/logs/stream?tokens=false"]


def test_an_export_goes_into_a_file(
    concai: Concai, server: tuple[str, list[str]], tmp_path: Path
) -> None:
    out = tmp_path / "traces.jsonl"
    assert concai("trace", "export", "--out", out, "--url", server[0]).exit_code == 0
    assert json.loads(out.read_text())["request"]["request_id"] == "one"
    refused = concai("trace", "export", "--format", "parquet", "--url", server[0])
    assert (refused.exit_code, "--out" in refused.stderr) == (2, True)


@pytest.mark.parametrize("wrong", ["refused", "broken", "nobody"])
def test_an_export_that_fails_leaves_the_file_as_it_was(
    concai: Concai, server: tuple[str, list[str]], tmp_path: Path, wrong: str
) -> None:
    url = "http://127.0.0.1:9" if wrong == "nobody" else server[0]
    out = tmp_path / "traces.jsonl"
    for before in (None, b"an older one\n"):
        if before is not None:
            out.write_bytes(before)
        done = concai("trace", "export", "--out", out, "--since", wrong, "--url", url)
        assert (done.exit_code, done.stderr[:7]) == (1, "error: ")
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [before] * (before is not None)


def test_an_export_takes_the_place_of_what_a_link_leads_to(
    concai: Concai, server: tuple[str, list[str]], tmp_path: Path
) -> None:
    older, link, new = tmp_path / "older", tmp_path / "link", tmp_path / "new"
    older.touch(0o640)
    link.symlink_to(older)
    for out in (link, new):
        assert concai("trace", "export", "--out", out, "--url", server[0]).exit_code == 0
    assert link.is_symlink()
    assert [len(path.read_text().splitlines()) for path in (older, new)] == [1, 1]
    assert older.stat().st_mode & 0o777 == 0o640
    umask = os.umask(0o22)
    os.umask(umask)
    assert new.stat().st_mode & 0o777 == 0o666 & ~umask


def test_an_export_may_go_into_a_pipe_and_not_into_a_folder(
    concai: Concai, server: tuple[str, list[str]], tmp_path: Path
) -> None:
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    assert concai("trace", "export", "--out", pipe, "--url", server[0]).exit_code == 0
    reader.join()
    assert json.loads(read[0])["request"]["request_id"] == "one"
    assert pipe.is_fifo()
    for nowhere in (tmp_path, tmp_path / "none" / "file"):
        done = concai("trace", "export", "--out", nowhere, "--url", server[0])
        assert (done.exit_code, "cannot be written" in done.stderr) == (1, True)


def test_a_trace_whose_id_has_a_slash_is_shown(
    concai: Concai, server: tuple[str, list[str]]
) -> None:
    words = concai("trace", "show", "team/42", "--url", server[0]).stdout
    assert words.startswith("id:       team/42\n")
