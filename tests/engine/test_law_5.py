"""Law 5: nobody sees another's tokens, state or logs, whatever the engine is put through.

Every request carries a canary of its own, which its mod forces into the output and looks for in
everything it is shown. Around them: take-backs, aborts, prompts prefilled in chunks, preemption.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.engine.live import MODEL, Live

CONCURRENT = 64
MODS = 4

CANARY = """
import re
from mods.sdk import *

NUMBER = {number}
mine = {{}}
text = {{}}

@mod
def canary_{number}(event, actions, tokenizer):
    rid = event.request_id
    if isinstance(event, Prefilled):
        asked = get_conversation()[-1]["content"]
        assert rid not in mine, "this request id was seen before"
        mine[rid] = re.findall(r"<(\\d+)>", asked)[-1]
        shown = tokenizer.decode(list(event.context_info.tokens))
        assert mine[rid] in shown, "the prompt is somebody else's"
        text[rid] = []
        return
    if isinstance(event, Finished):
        assert list(event.tokens) == text[rid] or event.reason != "done"
        del mine[rid], text[rid]
        return
    if isinstance(event, Added):
        if event.removed:
            assert text[rid][-len(event.removed):] == list(event.removed), "removed is not mine"
            del text[rid][-len(event.removed):]
        text[rid] += event.added_tokens
        assert len(text[rid]) == event.position
        found = set(re.findall(r"<(\\d+)>", tokenizer.decode(text[rid])))
        assert found <= {{mine[rid]}}, f"saw {{found}}, mine is {{mine[rid]}}"
        if int(mine[rid]) % 3 == 0 and event.position == 14 + NUMBER and not event.forced:
            return actions.backtrack(3 + NUMBER, f"<{{mine[rid]}}>")
    if isinstance(event, ForwardPass) and event.position in (0, 24):
        return actions.force_tokens(f"<{{mine[rid]}}>")
"""


@pytest.fixture(scope="module")
def canaries(live: Live) -> list[str]:
    return [live.upload(CANARY.format(number=number)) for number in range(MODS)]


class Fate:
    """What one request went through."""

    def __init__(self, number: int, mods: list[str]) -> None:
        generator = random.Random(number)
        self.canary = str(100_000 + number)
        self.mod = mods[number % len(mods)]
        self.patience = generator.uniform(0.02, 1.0) if number % 10 == 7 else 300.0
        """Seconds without an answer after which the client goes away."""
        self.streams = number % 2 == 0
        words = generator.choice([1, 1, 5, 400])
        filler = " ".join(str(generator.randrange(1000)) for _ in range(words))
        self.body = {
            "model": f"{MODEL}/{self.mod}",
            "messages": [{"role": "user", "content": f"{filler} say <{self.canary}>"}],
            "max_tokens": generator.randrange(36, 60),
            "temperature": generator.choice([0.0, 1.0]),
            "seed": number if number % 5 == 0 else None,
            "ignore_eos": True,
            "stream": self.streams,
        }

    def check(self, text: str) -> bool:
        """Whether the text holds this request's canary and nobody else's."""
        found = re.findall(r"<(\d{6})>", text)
        return set(found) == {self.canary} and len(found) >= 2


def pieces(url: str, fate: Fate) -> Iterator[str]:
    patience = httpx.Timeout(300, read=fate.patience)
    with httpx.stream("POST", url, json=fate.body, timeout=patience) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                event = json.loads(line[6:])
                assert "error" not in event, event
                yield event["choices"][0]["delta"].get("content") or ""


def live_through(live: Live, fate: Fate) -> str | None:
    """Send one request. Returns what is wrong with it, None if all is well."""
    url = f"{live.url}/v1/chat/completions"
    try:
        if not fate.streams:
            patience = httpx.Timeout(300, read=fate.patience)
            answer = httpx.post(url, json=fate.body, timeout=patience)
            assert answer.status_code == 200, answer.text
            text = answer.json()["choices"][0]["message"]["content"]
        else:
            text = "".join(pieces(url, fate))
    except httpx.ReadTimeout:
        return None if fate.patience < 300 else f"{fate.canary}: no answer"
    except AssertionError as error:
        return f"{fate.canary}: {error}"
    return None if fate.check(text) else f"{fate.canary}: {text!r}"


def campaign(live: Live, canaries: list[str], requests: int) -> None:
    processes, preempted = live.engine_processes(), live.metric("vllm:num_preemptions_total")
    fates = [Fate(number, canaries) for number in range(requests)]
    with ThreadPoolExecutor(CONCURRENT) as pool:
        wrong = [w for w in pool.map(lambda fate: live_through(live, fate), fates) if w]
    assert wrong == []
    assert live.engine_processes() == processes
    assert live.metric("vllm:num_preemptions_total") > preempted
    assert 'outcome="aborted"' in httpx.get(f"{live.url}/metrics").text
    for mod in canaries:
        assert live.chat("again <424242>", mod).status_code == 200


def test_a_thousand_requests_bleed_nothing(live: Live, canaries: list[str]) -> None:
    campaign(live, canaries, 1000)


@pytest.mark.prove
def test_ten_thousand_requests_bleed_nothing(live: Live, canaries: list[str]) -> None:
    campaign(live, canaries, 10_000)
