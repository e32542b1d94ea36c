"""Work in a process of its own: asked and answered by lines."""

from __future__ import annotations

import pytest

from bench.child import Child


async def test_a_child_answers_every_question_whatever_it_prints_besides() -> None:
    async with Child("tests.bench.echo", "one") as child:
        for number in range(3):
            answer = await child.ask({"number": number})
            assert answer == {"said": {"number": number}, "arguments": ["one"]}


async def test_a_child_that_ends_instead_of_answering_says_its_last_words() -> None:
    async with Child("tests.bench.echo") as child:
        with pytest.raises(RuntimeError, match="the model is gone"):
            await child.ask({"end": "the model is gone"})
