"""A running server's mods, over HTTP."""

from __future__ import annotations

from types import TracebackType
from typing import Annotated, Any, Self
from urllib.parse import quote, urlsplit

import httpx
import typer

from server.cli.errors import CommandError, located

DEFAULT_URL = "http://127.0.0.1:8000"
Url = Annotated[str, typer.Option("--url", help="The server.")]
UserApiKey = Annotated[
    str | None, typer.Option("--user-api-key", help="Whose mods: sent as X-User-Api-Key.")
]
KEY_HEADER = "X-User-Api-Key"
SECONDS, GENERATION_SECONDS = 30.0, 300.0
"""How long to wait for an answer, and for one that has to be generated."""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class NoServerError(CommandError):
    """Nobody answers at the address."""


class ModService:
    """`/v1/mods` of one server. Every method raises `CommandError` when it cannot be done."""

    def __init__(self, url: str = DEFAULT_URL, user_api_key: str | None = None) -> None:
        self.url = url.rstrip("/")
        address = urlsplit(self.url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise CommandError(f"{url} is no address of a server; expected one like {DEFAULT_URL}")
        self._client = httpx.Client(
            headers={KEY_HEADER: user_api_key} if user_api_key else {},
            trust_env=address.hostname not in _LOOPBACK,  # no proxy on the way to this machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def upload(self, package: dict[str, Any]) -> dict[str, Any]:
        """Register a mod. Returns what the server says of it."""
        return _object(self._send("POST", "/v1/mods", package))

    def all(self) -> list[dict[str, Any]]:
        """Every mod that this caller may use."""
        mods = _object(self._send("GET", "/v1/mods")).get("data")
        if not isinstance(mods, list):
            raise CommandError(f"{self.url} lists no mods: is it a Concordance server?")
        return [_object(mod) for mod in mods]

    def one(self, name: str) -> dict[str, Any]:
        """What the server says of a mod."""
        return _object(self._send("GET", f"/v1/mods/{quote(name, safe='')}"))

    def remove(self, name: str) -> None:
        """Unregister a mod."""
        self._send("DELETE", f"/v1/mods/{quote(name, safe='')}")

    def dry_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a mod does to one prompt, without registering it."""
        return _object(self._send("POST", "/v1/mods/dry-run", request, GENERATION_SECONDS))

    def base_model(self) -> str | None:
        """The first name under which the server serves its model, if it says."""
        models = _object(self._send("GET", "/v1/models")).get("data")
        return str(models[0]["id"]) if models else None

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, seconds: float = SECONDS
    ) -> Any:
        try:
            response = self._client.request(method, self.url + path, json=body, timeout=seconds)
        except httpx.TimeoutException:
            raise CommandError(f"{self.url} did not answer within {seconds:.0f} s") from None
        except httpx.HTTPError:
            raise NoServerError(
                f"no server answers at {self.url}: start one with `make serve`, or name another"
                " with --url"
            ) from None
        if response.is_error:
            raise CommandError(complaint(response))
        try:
            return response.json() if response.content else {}
        except ValueError:
            raise CommandError(
                f"{self.url} did not answer in JSON: is it a Concordance server?"
            ) from None


def complaint(response: httpx.Response) -> str:
    """A refusal in the server's own words, with the line of the source where it names one."""
    try:
        error = response.json()["error"]
        return located(str(error["message"]), error.get("file"), error.get("line"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the server answered {response.status_code} {response.reason_phrase}"


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise CommandError("the server's answer is no JSON object: is it a Concordance server?")
    return answer
