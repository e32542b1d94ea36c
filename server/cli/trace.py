"""`concai trace`: list, show, watch and export what a running server has traced."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import httpx
import typer

from server.cli.errors import CommandError
from server.cli.service import DEFAULT_URL, ModService, Url, UserApiKey, complaint

app = typer.Typer(help="List, show, watch and export traces.", no_args_is_help=True)

Since = Annotated[str | None, typer.Option(help="From this time on (ISO 8601).")]
Until = Annotated[str | None, typer.Option(help="Before this time (ISO 8601).")]
Model = Annotated[str | None, typer.Option(help="Of this model.")]
Mod = Annotated[str | None, typer.Option(help="With this mod.")]
Action = Annotated[str | None, typer.Option(help="In which a mod did this, such as backtrack.")]
Status = Annotated[str | None, typer.Option(help="done, failed or aborted.")]
Tag = Annotated[str | None, typer.Option(help="With this tag.")]
Text = Annotated[str | None, typer.Option(help="Words of the prompt or the output.")]
Sort = Annotated[str, typer.Option(help="newest, oldest, slowest, fastest, longest or shortest.")]


class TraceService(ModService):
    """`/logs` of one server."""

    def page(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """The first page of a list."""
        answer = self._send("GET", f"/logs?{httpx.QueryParams(_given(query))}")
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list):
            raise CommandError(f"{self.url} lists no traces: is it a Concordance server?")
        return data

    def open(self, request_id: str) -> dict[str, Any]:
        """A whole trace."""
        answer = self._send("GET", f"/logs/{quote(request_id, safe='')}")
        if not isinstance(answer, dict):
            raise CommandError(f"{self.url} did not answer with a trace")
        return answer

    def lines(self, path: str, query: dict[str, Any]) -> Iterator[bytes]:
        """What a long answer brings, as it comes."""
        try:
            with self._client.stream(
                "GET", self.url + path, params=_given(query), timeout=httpx.Timeout(30, read=None)
            ) as answer:
                if answer.is_error:
                    answer.read()
                    raise CommandError(complaint(answer))
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise CommandError(f"{self.url}: {error or type(error).__name__}") from None


@app.command("list")
def list_(
    since: Since = None,
    until: Until = None,
    model: Model = None,
    mod: Mod = None,
    action: Action = None,
    status: Status = None,
    tag: Tag = None,
    text: Text = None,
    sort: Sort = "newest",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    url: Url = DEFAULT_URL,
    user_api_key: UserApiKey = None,
) -> None:
    """List traces, a line for each."""
    query = {
        "since": since, "until": until, "model": model, "mod": mod, "action": action,
        "status": status, "tag": tag, "text": text, "sort": sort, "limit": limit,
    }  # fmt: skip
    with TraceService(url, user_api_key) as service:
        traces = service.page(query)
    for trace in traces:
        typer.echo(line_of(trace))
    if not traces:
        typer.echo("no trace fits", err=True)


@app.command()
def show(
    request_id: Annotated[str, typer.Argument(help="The trace's id.")],
    json_: Annotated[bool, typer.Option("--json", help="The whole record, as JSON.")] = False,
    url: Url = DEFAULT_URL,
    user_api_key: UserApiKey = None,
) -> None:
    """Show a trace: what was asked, what came, and what mods did."""
    with TraceService(url, user_api_key) as service:
        trace = service.open(request_id)
    if json_:
        typer.echo(json.dumps(trace, ensure_ascii=False, indent=2))
        return
    for line in told(trace):
        typer.echo(line)


@app.command()
def tail(
    tokens: Annotated[bool, typer.Option("--tokens", help="Tokens as they come, too.")] = False,
    url: Url = DEFAULT_URL,
    user_api_key: UserApiKey = None,
) -> None:
    """Watch requests as they begin and end, until interrupted."""
    query = {"tokens": "true" if tokens else "false"}
    buffer = b""
    with TraceService(url, user_api_key) as service:
        try:
            for part in service.lines("/logs/stream", query):
                *events, buffer = (buffer + part).split(b"\n\n")
                for event in events:
                    if event.startswith(b"data: "):
                        typer.echo(event[6:].decode())
        except KeyboardInterrupt:
            return


@app.command()
def export(
    out: Annotated[Path | None, typer.Option(help="The file (default: the terminal).")] = None,
    format_: Annotated[
        Literal["json", "parquet"], typer.Option("--format", help="JSON lines, or Parquet.")
    ] = "json",
    since: Since = None,
    until: Until = None,
    model: Model = None,
    mod: Mod = None,
    status: Status = None,
    tag: Tag = None,
    text: Text = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 1000,
    url: Url = DEFAULT_URL,
    user_api_key: UserApiKey = None,
) -> None:
    """Write whole traces to a file."""
    if format_ == "parquet" and out is None:
        raise CommandError("Parquet is no text: name a file with --out", 2)
    query = {
        "format": format_, "since": since, "until": until, "model": model, "mod": mod,
        "status": status, "tag": tag, "text": text, "limit": limit,
    }  # fmt: skip
    with TraceService(url, user_api_key) as service:
        parts = service.lines("/logs/export", query)
        if out is None:
            for part in parts:
                sys.stdout.buffer.write(part)
            return
        try:
            write_whole(out, parts)
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error}") from None
    typer.echo(f"wrote {out}", err=True)


def write_whole(out: Path, parts: Iterable[bytes]) -> None:
    """All of it, or the file stays as it was. What is no file (a pipe) is written to at once.

    Raises `OSError`, and what the parts raise.
    """
    if out.exists() and not out.is_file():
        with out.open("wb") as pipe:
            pipe.writelines(parts)
        return
    target = out.resolve()
    fresh = target.with_name(f".concai-{os.getpid()}.part")
    try:
        with fresh.open("xb") as file:
            file.writelines(parts)
        if target.exists():
            shutil.copymode(target, fresh)
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def line_of(trace: dict[str, Any]) -> str:
    """When, what came of it, how long it took, and how it begins."""
    mods = "+".join(trace["mods"]) or "-"
    counts = f"{trace['output_tokens']} tokens, {trace['latency']:.2f} s"
    text = " ".join(str(trace["prompt"]).split())[:60]
    when = str(trace["created_at"])[:19]
    return f"{when}  {trace['request_id']}  {trace['status']}  {mods}  {counts}  {text}"


def told(trace: dict[str, Any]) -> Iterator[str]:
    """A trace in words, for a terminal."""
    request = trace["request"]
    usage = request.get("usage", {})
    failed = request.get("error")
    yield f"id:       {request['request_id']}"
    yield f"model:    {request.get('model', '')}"
    yield f"mods:     {', '.join(mod['name'] for mod in request.get('mods', ())) or 'none'}"
    yield f"ended:    {request.get('finish_reason') or 'unknown'}" + (
        f" ({failed['message']})" if failed else ""
    )
    yield "tokens:   " + ", ".join(
        f"{usage.get(kind, 0)} {kind}" for kind in ("prompt", "sampled", "forced", "erased")
    )
    yield f"prompt:   {request.get('user_prompt', '')}"
    yield f"output:   {request.get('final_text', '')}"
    for action in trace.get("actions", ()):
        lost = " (overridden)" if action.get("overridden") else ""
        where = f"step {action.get('step')}, position {action.get('position')}"
        yield f"action:   {action.get('mod_name', '')} {action['action_type']}, {where}{lost}"
    for log in trace.get("mod_logs", ()):
        yield f"print:    {log.get('mod_name', '')}: {log['log_message']}"
    for call in trace.get("mod_calls", ()):
        if call.get("exception_occurred"):
            yield f"raised:   {call['mod_name']}: {call.get('exception_message', '')}"


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
