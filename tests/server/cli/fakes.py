"""A server of our own: `/v1/mods`, `/v1/models` and `/health`, in a thread, on a free port."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass
class FakeServer:
    """Keeps the mods it is sent, and the keys they came with."""

    mods: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    says_model: bool = True
    refusal: tuple[int, dict[str, Any] | str] | None = None

    def __enter__(self) -> FakeServer:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return self._http.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and body for one request."""
        if self.refusal is not None:
            return self.refusal
        if path == "/health":
            return 200, {}
        if path == "/v1/models":
            return 200, {"data": [{"id": "concordance/demo"}]}
        if path == "/v1/mods":
            return self._collection(method, body)
        return self._member(method, path.removeprefix("/v1/mods/"))

    def _collection(self, method: str, body: bytes) -> tuple[int, Any]:
        if method == "GET":
            return 200, {"object": "list", "data": list(self.mods.values())}
        upload = json.loads(body)
        mod = {
            "name": upload["name"],
            "description": upload["description"],
            "entry": upload["entrypoint"],
            "reach": None,
            "files": [
                {"path": path, "size": len(upload["files"][path])} for path in upload["files"]
            ],
        }
        if self.says_model:
            mod["model"] = f"concordance/demo/{mod['name']}"
        replaced = mod["name"] in self.mods
        self.uploads.append(upload)
        self.mods[mod["name"]] = mod
        return 200 if replaced else 201, {**mod, "replaced": replaced}

    def _member(self, method: str, name: str) -> tuple[int, Any]:
        if name not in self.mods:
            message = f"there is no mod {name!r}; there are: {', '.join(self.mods) or 'none'}"
            return 404, {"error": {"message": message, "type": "not_found"}}
        return 200, self.mods.pop(name) if method == "DELETE" else self.mods[name]


def handler_for(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            server.keys.append(self.headers.get("X-User-Api-Key"))
            status, body = server.answer(self.command, self.path, self.rfile.read(length))
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = respond

        def log_message(self, format: str, *args: Any) -> None:
            """A test's output is its own."""

    return Handler
