from __future__ import annotations

import asyncio
import json

from starlette.types import Message

from server.api.upfront import Upfront

HEAD: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream; charset=utf-8")],
}
REFUSAL = b'data: {"error": {"message": "no", "code": 400}}\n\n'


def sent(*bodies: bytes, head: Message = HEAD) -> list[Message]:
    """What reaches the client of an application that sends these bodies."""
    out: list[Message] = []

    async def send(message: Message) -> None:
        out.append(message)

    async def play() -> None:
        upfront = Upfront(send)
        await upfront(head)
        for body in bodies:
            await upfront({"type": "http.response.body", "body": body, "more_body": True})
        await upfront({"type": "http.response.body", "body": b"", "more_body": False})

    asyncio.run(play())
    return out


def test_a_stream_that_begins_with_an_error_is_an_error_response() -> None:
    start, body = sent(REFUSAL, b"data: [DONE]\n\n")
    assert start["status"] == 400
    assert dict(start["headers"])[b"content-type"] == b"application/json"
    assert json.loads(body["body"])["error"]["message"] == "no"


def test_an_error_that_comes_in_pieces_is_found_too() -> None:
    start, body = sent(REFUSAL[:9], REFUSAL[9:20], REFUSAL[20:])
    assert start["status"] == 400
    assert json.loads(body["body"])["error"]["code"] == 400


def test_other_streams_pass_unchanged_and_at_once() -> None:
    messages = sent(b'data: {"choices": []}\n\n', REFUSAL)
    assert messages[0] is HEAD
    assert [message["body"] for message in messages[1:]] == [
        b'data: {"choices": []}\n\n',
        REFUSAL,
        b"",
    ]


def test_an_event_whose_text_speaks_of_errors_is_no_error() -> None:
    for event in (b'data: {"error": null}\n\n', b"data: [DONE]\n\n", b'data: {"error": "no"}\n\n'):
        assert sent(event)[0]["status"] == 200


def test_a_stream_without_a_single_event_ends_as_it_is() -> None:
    assert [message["type"] for message in sent()] == ["http.response.start", "http.response.body"]


def test_whole_answers_pass() -> None:
    head = {**HEAD, "headers": [(b"content-type", b"application/json")]}
    assert sent(b"{}", head=head)[0] is head
