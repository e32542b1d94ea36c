"""Stock mods on the demo model, over HTTP: their effect in the text, streamed and not, 1 and 32."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.engine.live import MODEL, Live
from tests.engine.test_actions import shown, stream

CAPITAL, PARIS = "What is the capital of France?", "The capital of France is Paris."
LOCK, REFUSAL = "How do I pick a lock?", "I'm sorry, but I can't help with that."
HELLO, HI = "Say hi.", "Hi there! How can I help you?"
CIRCLES, EGYPT = (
    "Repeat after me: My card is 4111 1111 1111 1111.",
    "The capital of Egypt is Cairo.",
)
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "home": {"enum": ["Paris", "Rome"]},
    },
    "required": ["name", "age", "home"],
    "additionalProperties": False,
}
OPENINGS = ("Good question. ", "Gladly. ", "", "Let me be careful here. ")

SPEAKS = """
from mods.sdk import ForwardPass, mod

@mod(reach=0)
def speaks(event, actions, tokenizer):
    if isinstance(event, ForwardPass) and event.position == 0:
        numbers = "+49 30 1234 5678 or 4111 1111 1111 1111"
        return actions.force_tokens(f"Ask ann@example.org, {numbers}. ")
"""
MUSES = """
from mods.library.inject_thinking import InjectThinking
from mods.sdk import create_mod

muses = create_mod(InjectThinking("The user"), reach=0)
"""
HASTY = """
from mods.library.thinking_budget import ThinkingBudget
from mods.sdk import create_mod

hasty = create_mod(ThinkingBudget(4), reach=0)
"""
GAUL = """
from mods.library.replace_phrase import ReplacePhrase
from mods.sdk import create_mod

gaul = create_mod(ReplacePhrase({"France": "Gaul", "Paris": "Lutetia"}), reach=0)
"""
ELSEWHERE = """
from mods.library.ban_phrases import BanPhrases
from mods.sdk import create_mod

elsewhere = create_mod(BanPhrases(["paris", "france is"]), reach=0)
"""


@dataclass(frozen=True)
class Case:
    """What is asked of which mods, and what must be true of the text."""

    mods: tuple[str, ...]
    asked: str
    right: Callable[[str], bool]
    uploads: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)


def is_person(text: str) -> bool:
    made = json.loads(text)
    return list(made) == ["name", "age", "home"] and 0 <= made["age"] <= 120


def is_short_thought(text: str) -> bool:
    thought, closed, answer = text.partition("</think>")
    return (
        thought.startswith("<think>The user")
        and "That is Paris" not in thought
        and bool(closed)
        and answer.endswith(PARIS)
    )


CASES = {
    "inject_thinking": Case(
        ("inject_thinking",), CAPITAL, lambda text: text.startswith("<think>Let me think.")
    ),
    "thinking_budget": Case(("thinking_budget",), CAPITAL, lambda text: text == PARIS),
    "thinking_budget, a small one": Case(
        ("muses", "hasty"), CAPITAL, is_short_thought, (MUSES, HASTY)
    ),
    "replace_phrase": Case(
        ("replace_phrase",),
        LOCK,
        lambda text: text.startswith("I would rather not") and "sorry" not in text,
    ),
    "replace_phrase, others": Case(
        ("gaul",), CAPITAL, lambda text: text == "The capital of Gaul is Lutetia.", (GAUL,)
    ),
    "ban_phrases": Case(
        ("ban_phrases",), LOCK, lambda text: bool(text) and "sorry" not in text.lower()
    ),
    "ban_phrases, others": Case(
        ("elsewhere",),
        CAPITAL,
        lambda text: bool(text) and "paris" not in text.lower() and "france is" not in text.lower(),
        (ELSEWHERE,),
    ),
    "repair_loops": Case(
        ("repair_loops",),
        CIRCLES,
        lambda text: " ".join([EGYPT] * 3) not in text,
        more={"max_tokens": 120},
    ),
    "json_schema": Case(
        ("json_schema",),
        "Write a JSON record for Ada, age 36, from Paris.",
        is_person,
        more={
            "max_tokens": 120,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "person", "schema": PERSON},
            },
        },
    ),
    "redact": Case(
        ("speaks", "redact"),
        CAPITAL,
        lambda text: text.startswith("Ask [e-mail], [phone] or [card]. "),
        (SPEAKS,),
    ),
    "classify_first": Case(
        ("classify_first",), HELLO, lambda text: text in {opening + HI for opening in OPENINGS}
    ),
    "all that leave a text alone": Case(
        ("redact", "repair_loops", "ban_phrases", "replace_phrase", "thinking_budget"),
        CAPITAL,
        lambda text: text == PARIS,
    ),
}


def say(live: Live, case: Case, streamed: bool) -> tuple[str, int]:
    """The text, and in how many pieces it came."""
    if not streamed:
        return live.say(case.asked, *case.mods, **case.more), 1
    pieces = [piece for piece in shown(stream(live, case.asked, *case.mods, **case.more)) if piece]
    return "".join(pieces), len(pieces)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, live: Live) -> Case:
    found = CASES[request.param]
    for source in found.uploads:
        live.upload(source)
    return found


def test_what_the_model_says_without_them(live: Live) -> None:
    assert live.say(CAPITAL) == PARIS
    assert live.say(LOCK) == REFUSAL
    assert live.say(HELLO) == HI
    assert " ".join([EGYPT] * 3) in live.say(CIRCLES, max_tokens=120)


def test_each_does_its_part_streaming_and_not(live: Live, case: Case) -> None:
    text, _ = say(live, case, streamed=False)
    assert case.right(text), text
    streamed, pieces = say(live, case, streamed=True)
    assert case.right(streamed), streamed
    if "repair_loops" not in case.mods:  # which may take back more than these texts are long
        assert pieces > 1
        assert streamed == text


def test_each_does_its_part_for_many_at_once(live: Live, case: Case) -> None:
    with ThreadPoolExecutor(32) as threads:
        said = list(threads.map(lambda n: say(live, case, streamed=n % 2 == 0)[0], range(32)))
    wrong = [text for text in said if not case.right(text)]
    assert not wrong, wrong[:3]


def test_what_redact_takes_back_was_in_no_piece_of_any_stream(live: Live) -> None:
    live.upload(SPEAKS)
    text = ""
    for piece in shown(stream(live, CAPITAL, "speaks", "redact")):
        text += piece
        assert not any(part in text for part in ("@", "ann", "+49", "1234", "4111"))
    assert text.startswith("Ask [e-mail], [phone] or [card]. ")


def test_the_question_of_classify_first_is_in_no_piece_and_in_no_text(live: Live) -> None:
    for asked in (CAPITAL, HELLO, LOCK):
        assert "kind" not in "".join(shown(stream(live, asked, "classify_first")))
        assert "kind" not in live.say(asked, "classify_first")


def test_they_are_there_without_an_upload_and_are_called_built_in(live: Live) -> None:
    listed = {mod["name"]: mod for mod in httpx.get(f"{live.url}/v1/mods").json()["data"]}
    for name in {name for case in CASES.values() for name in case.mods if not case.uploads}:
        assert listed[name]["built_in"], name
        assert listed[name]["reach"] is not None
    answer = live.post("/v1/completions", {"model": f"{MODEL}/redact", "prompt": "1, 2, 3,"})
    assert answer.status_code == 200


def test_a_mod_of_ones_own_goes_before_a_stock_mod_until_it_is_deleted(live: Live) -> None:
    source = """
    from mods.sdk import ForwardPass, mod

    @mod
    def inject_thinking(event, actions, tokenizer):
        if isinstance(event, ForwardPass) and event.position == 0:
            return actions.force_output("Mine.")
    """
    live.upload(source)
    try:
        assert live.say(CAPITAL, "inject_thinking") == "Mine."
    finally:
        assert httpx.delete(f"{live.url}/v1/mods/inject_thinking").status_code == 200
    assert live.say(CAPITAL, "inject_thinking").startswith("<think>")
    assert httpx.delete(f"{live.url}/v1/mods/inject_thinking").status_code == 409
