"""`concai mod run`: a mod at work, token by token."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from server.cli.errors import CommandError
from server.cli.service import DEFAULT_URL, ModService, Url, UserApiKey
from server.cli.showing import Shown, show
from server.cli.trial import File, MaxTokens, Text, load, rehearse_here


def run(
    file: File,
    prompt: Annotated[str, typer.Option(help="What to ask.")] = "Hi",
    dry: Annotated[bool, typer.Option("--dry", help="Ask a scripted model, not a server.")] = False,
    text: Text = None,
    max_tokens: MaxTokens = 64,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    url: Url = DEFAULT_URL,
    user_api_key: UserApiKey = None,
) -> None:
    """Run a mod and show its tokens by who put them there, with its actions beside them.

    On a server, the mod is uploaded first. With --dry nothing but this command is needed.
    """
    if dry:
        shown, failed = run_dry(file, prompt, text, max_tokens)
    elif text is not None:
        raise CommandError("--text is for the scripted model: add --dry, or leave it out", 2)
    else:
        asked = {"max_tokens": max_tokens, "temperature": temperature}
        with ModService(url, user_api_key) as service:
            shown, failed = run_on(service, file, prompt, asked), ""
    show(shown)
    if failed:
        raise CommandError(failed)


def run_dry(file: Any, prompt: str, text: str | None, max_tokens: int) -> tuple[Shown, str]:
    """The scripted model's output, and how it failed, "" if it did not."""
    from mods.runtime.rehearsal import Scene

    came = rehearse_here(load(file), Scene(prompt, text, max_tokens, laws=False))
    shown = Shown(
        [{"text": piece.text, "mod": piece.mod} for piece in came.tokens],
        came.actions,
        came.prints,
        came.failures,
        {
            "sampled": came.usage.sampled,
            "forced": came.usage.forced,
            "erased": came.usage.erased,
        },
        came.reason,
    )
    return shown, f"{came.status}: {came.message}" if came.status != 200 else ""


def run_on(service: ModService, file: Any, prompt: str, asked: dict[str, Any]) -> Shown:
    """The answer of a server's model. Raises `CommandError` if the request fails."""
    from server.cli.mod import read_mod

    payload = read_mod(*((file, None) if file.is_file() else (None, file)), None)
    service.upload(payload)
    answer = service.chat(
        {
            "model": f"{service.base_model()}/{payload['name']}",
            "messages": [{"role": "user", "content": prompt}],
            "mod_record": True,
            **asked,
        }
    )
    try:
        record, choice, usage = answer["mod_record"][0], answer["choices"][0], answer["usage"]
        counts = {name: usage[f"{name}_tokens"] for name in ("sampled", "forced", "erased")}
    except (KeyError, IndexError, TypeError):
        raise CommandError(f"{service.url} tells no mod_record: is it up to date?") from None
    return Shown(
        record["tokens"],
        record["actions"],
        record["prints"],
        record["failures"],
        counts,
        str(choice.get("finish_reason")),
    )
