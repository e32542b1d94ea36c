"""What a body may not ask of vLLM: refused here, in one place, before any of vLLM reads it.

Each of these is either a way around the model's operator (a template or embeddings of one's own, a
file or an address that the server would fetch) or a number that one request could stop everybody
with.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processors.rows import EXTRA_ARGS_KEY
from server.limits.limits import Limits


class RefusedBodyError(ValueError):
    """param: the field that is refused."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Allowed:
    """What the operator allows beyond the ordinary, by options of vLLM's own.

    vocabulary: how many token ids there are; None where nobody knows.
    """

    vocabulary: int | None = None
    templates: bool = False
    embeddings: bool = False
    web_media: bool = False
    local_media: bool = False
    transfers: bool = False

    @classmethod
    def by(cls, options: Namespace, vocabulary: int | None) -> Allowed:
        """By the options that the server was started with."""
        moves = ("kv_transfer_config", "ec_transfer_config")
        embeds = ("enable_prompt_embeds", "enable_mm_embeds")
        return cls(
            vocabulary,
            templates=bool(options.trust_request_chat_template),
            embeddings=any(getattr(options, name, None) for name in embeds),
            web_media=bool(options.allowed_media_domains),
            local_media=bool(options.allowed_local_media_path),
            transfers=any(getattr(options, name, None) for name in moves),
        )


_COUNTS: Mapping[str, str] = {
    "n": "max_n",
    "best_of": "max_n",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "min_tokens": "max_tokens",
    "logprobs": "max_logprobs",
    "top_logprobs": "max_logprobs",
    "prompt_logprobs": "max_logprobs",
}
"""Fields that are numbers, and the limit of each. `logprobs` may be a flag, too."""

_MAY_BE_ALL = ("logprobs", "top_logprobs", "prompt_logprobs")
_IDS = (
    "prompt", "token_ids", "tokens", "prompt_token_ids", "stop_token_ids", "allowed_token_ids",
    "logprob_token_ids", "input",
)  # fmt: skip
"""Fields that are, or may be, token ids: a list, or a list of lists."""
_OR_TEXT = ("prompt", "input")
"""Those in which a string is text. In the others vLLM reads a number out of one."""
_SCHEMAS = (
    "response_format", "structured_outputs", "guided_json", "json_schema", "tools", "text",
    "format", "output_format", "output_config", "constraints",
)  # fmt: skip
_MEDIA = ("image_url", "audio_url", "video_url", "file_url")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class Guard:
    """Checks parsed bodies of requests that run the model."""

    def __init__(self, limits: Limits, allowed: Allowed) -> None:
        self._limits, self._allowed = limits, allowed

    def check(self, content: object) -> None:
        """Raises `RefusedBodyError` for the first thing that may not be asked for."""
        if not isinstance(content, dict):
            return
        self._check_fields(content)
        _check_shapes(content)
        nested = content.get("sampling_params")
        if isinstance(nested, dict):
            self._check_fields(nested)
        self._check_prompts(content)
        self._check_media(content)
        self._check_references(content)

    def _check_fields(self, content: Mapping[str, Any]) -> None:
        for name, limit in _COUNTS.items():
            if content.get(name) is not None:
                _check_count(name, content[name], getattr(self._limits, limit))
        self._check_templates(content)
        for name in ("prompt_embeds", "features"):
            if content.get(name) is not None and not self._allowed.embeddings:
                raise RefusedBodyError(name, "this server takes no embeddings as prompts")
        for name in ("kv_transfer_params", "ec_transfer_params"):
            if content.get(name) is not None and not self._allowed.transfers:
                raise RefusedBodyError(name, f"{name} may not be set on this server")
        for name in ("vllm_xargs", "extra_args"):
            _check_extra(name, content.get(name))
        for name in _IDS:
            self._check_ids(name, content.get(name))
        bias = content.get("logit_bias")
        if isinstance(bias, dict):
            self._check_ids("logit_bias", [_as_id(name) for name in bias])

    def _check_templates(self, content: Mapping[str, Any]) -> None:
        if self._allowed.templates:
            return
        keywords = content.get("chat_template_kwargs")
        given = [content, keywords] if isinstance(keywords, dict) else [content]
        if any(each.get("chat_template") is not None for each in given):
            raise RefusedBodyError(
                "chat_template",
                "this server takes no chat templates from requests; leave chat_template out",
            )

    def _check_ids(self, name: str, value: object) -> None:
        """Token ids must be in the vocabulary; what is no list of numbers is not looked at."""
        size = self._allowed.vocabulary
        if size is None or not isinstance(value, list) or not value:
            return
        if isinstance(value[0], list):
            for each in value:
                self._check_ids(name, each)
            return
        if name not in _OR_TEXT:
            value = [_as_id(id_) if isinstance(id_, str) else id_ for id_ in value]
        ids = [id_ for id_ in value if isinstance(id_, (int, float)) and not isinstance(id_, bool)]
        if ids and not (min(ids) >= 0 and max(ids) < size):
            wrong = next(id_ for id_ in ids if not 0 <= id_ < size)
            raise RefusedBodyError(
                name, f"{name} has {wrong!r:.40}; token ids go from 0 to {size - 1}"
            )

    def _check_prompts(self, content: Mapping[str, Any]) -> None:
        for name in ("prompt", "messages"):
            value = content.get(name)
            many = name == "prompt" or (
                isinstance(value, list) and bool(value) and isinstance(value[0], list)
            )
            if not many or not isinstance(value, list) or _is_number(value[:1]):
                continue
            if len(value) > self._limits.max_prompts:
                raise RefusedBodyError(
                    name,
                    f"one request may have {self._limits.max_prompts} prompts, got {len(value)}",
                )

    def _check_media(self, content: Mapping[str, Any]) -> None:
        for part in _parts([content.get("messages"), content.get("input")]):
            if not self._allowed.embeddings and str(part.get("type", "")).endswith("_embeds"):
                raise RefusedBodyError("messages", "this server takes no embeddings as content")
            for name, address in _addresses(part):
                self._check_address(name, address)

    def _check_address(self, name: str, address: str) -> None:
        scheme = address.strip().partition(":")[0].lower()
        if scheme == "data":
            return
        if scheme in ("http", "https") and self._allowed.web_media:
            return
        if scheme == "file" and self._allowed.local_media:
            return
        raise RefusedBodyError(
            name, f"{name} must be a data: URL on this server, got {address.strip()!r:.60}"
        )

    def _check_references(self, content: Mapping[str, Any]) -> None:
        for name in _SCHEMAS:
            for each in _walk(content.get(name)):
                for reference in _REFERENCES:
                    target = each.get(reference)
                    if isinstance(target, str) and not target.startswith("#"):
                        raise RefusedBodyError(
                            name,
                            f"a schema may refer to its own parts (#/…) only, got {target!r:.80}",
                        )


def _check_shapes(content: Mapping[str, Any]) -> None:
    """What vLLM takes apart before it has looked at it."""
    given = content.get("structured_outputs")
    if given is not None and not isinstance(given, dict):
        raise RefusedBodyError(
            "structured_outputs", f"structured_outputs must be an object, got {given!r:.60}"
        )
    _check_turns(content.get("input"))
    choice, tools = content.get("tool_choice"), content.get("tools")
    if not isinstance(choice, dict) or "function" not in choice or not isinstance(tools, list):
        return
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or "name" not in function:
            raise RefusedBodyError(
                "tools", f"each tool must have a function with a name, got {tool!r:.60}"
            )


def _check_turns(given: object) -> None:
    """Turns of `/v1/responses`: what an assistant said begins with text, and calls have names."""
    for turn in given if isinstance(given, list) else ():
        if not isinstance(turn, dict):
            continue
        said = turn.get("content")
        if turn.get("role") == "assistant" and isinstance(said, list):
            first = said[0] if said else None
            if not isinstance(first, dict) or not isinstance(first.get("text"), str):
                raise RefusedBodyError(
                    "input", f"an assistant's message must begin with text, got {said!r:.60}"
                )
        if turn.get("type") == "custom_tool_call":
            for name in ("call_id", "name"):
                if not isinstance(turn.get(name), str):
                    raise RefusedBodyError("input", f"a custom_tool_call must have a {name}")


def _check_count(name: str, value: object, most: int) -> None:
    if name == "logprobs" and isinstance(value, bool):
        return
    if not _is_number([value]) or value != int(value):  # type: ignore[call-overload]
        raise RefusedBodyError(name, f"{name} must be a whole number, got {value!r:.80}")
    assert isinstance(value, (int, float))
    if value > most or (value == -1 and name in _MAY_BE_ALL):
        raise RefusedBodyError(name, f"{name} may be {most} at most on this server, got {value}")


def _check_extra(name: str, value: object) -> None:
    reserved = [key for key in value if _is_reserved(key)] if isinstance(value, dict) else []
    if reserved:
        raise RefusedBodyError(
            "vllm_xargs", f"{reserved[0]!r:.80} in {name} is reserved; leave it out"
        )


def _is_reserved(key: str) -> bool:
    return key.strip().lower().startswith((EXTRA_ARGS_KEY, "_" + EXTRA_ARGS_KEY))


def _as_id(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return 0  # vLLM says what is wrong with it


def _is_number(values: Sequence[object]) -> bool:
    """Whether there is a value, and it is a finite number."""
    return bool(values) and all(
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) < float("inf")
        for value in values
    )


def _parts(found: list[Any]) -> Iterator[dict[str, Any]]:
    """Every piece of content of a conversation, nested or not; nothing of what tools were given."""
    while found:
        each = found.pop()
        if isinstance(each, list):
            found += each
        elif isinstance(each, dict):
            yield each
            found += [each.get(name) for name in ("content", "output", "source")]


def _addresses(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _MEDIA:
        value = part.get(name)
        url = value.get("url") if isinstance(value, dict) else value
        if isinstance(url, str):
            yield name, url
    if part.get("type") == "url" and isinstance(part.get("url"), str):
        yield "url", part["url"]


def _walk(value: object) -> Iterator[dict[str, Any]]:
    """Every object in a value, those in text that is JSON too."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str) and ("$" in each or "\\u" in each):
            waiting.append(_parsed(each))
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            yield each
            waiting += each.values()


def _parsed(text: str) -> object:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return None if isinstance(found, str) else found
