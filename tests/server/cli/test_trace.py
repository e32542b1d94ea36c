"""`concai trace` against a server that answers as `/logs` does."""

from __future__ import annotations

import json
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
        elif path == "/logs/export":
            self._answer(record + b"\n")
        elif path == "/logs/stream":
            self._answer(b': watching\n\ndata: {"type":"begun"}\n\ndata: {"type":"ended"}\n\n')
        else:
            error = {"error": {"message": "there is no such trace"}}
            self._answer(json.dumps(error).encode(), 404)

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
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
