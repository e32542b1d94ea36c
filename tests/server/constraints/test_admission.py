"""Constraints are tried out apart: bombs die there, and good ones are not kept waiting."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from mods.runtime.grammar.matcher import Matcher
from mods.runtime.grammar.source import VocabularySource
from mods.sdk.constraints import (
    Constraint,
    Json,
    Lark,
    Regex,
    StructuralTag,
    choice,
    digest,
    json_schema,
)
from mods.sdk.errors import ConstraintError
from server.constraints.admission import Admission
from server.constraints.protocol import Tried, TryOut
from server.constraints.triers import PATIENCE, SPARE, Triers
from tests.server.constraints.bombs import BOMBS
from tests.timing import in_time

# A list of types is not plain, so that it is tried out.
GOOD = json_schema({"type": "object", "properties": {"a": {"type": ["integer"]}}})


def good(number: int) -> Json:
    """A schema that was never seen."""
    return json_schema({"type": "object", "properties": {f"key_{number}": {"type": ["integer"]}}})


async def test_a_grammar_that_is_admitted_can_be_used(
    admission: Admission, source: VocabularySource
) -> None:
    grammar = await admission.admit(GOOD)
    vocabulary = source.vocabulary()
    matcher = Matcher(grammar, vocabulary)
    tokens = vocabulary.encode('{"a": 12}')
    assert matcher.consume(tokens) == len(tokens)
    assert matcher.complete


async def test_a_refusal_says_where(admission: Admission) -> None:
    with pytest.raises(ConstraintError) as raised:
        await admission.admit(json_schema({"properties": {"a": {"contains": {}}}}))
    assert raised.value.position == "#/properties/a/contains"
    with pytest.raises(ConstraintError, match="no text is possible"):
        await admission.admit(Regex(r"[^\s\S]"))


async def test_an_outcome_is_remembered(admission: Admission, triers: Triers) -> None:
    bad = Regex("(")
    grammar = await admission.admit(GOOD)
    for _ in range(2):
        with pytest.raises(ConstraintError):
            await admission.admit(bad)
    await triers.stop()
    assert await admission.admit(GOOD) is grammar
    with pytest.raises(ConstraintError):
        await admission.admit(bad)


async def test_one_trial_serves_all_who_ask_at_once(
    admission: Admission, triers: Triers, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    run = triers.run

    async def counted(work: TryOut, caller: str = "") -> object:
        asked.append(work)
        return await run(work, caller)

    monkeypatch.setattr(triers, "run", counted)
    first = asyncio.create_task(admission.admit(GOOD))
    others = [asyncio.create_task(admission.admit(GOOD)) for _ in range(9)]
    await asyncio.sleep(0)
    first.cancel()
    found = await asyncio.gather(*others)
    assert len({grammar.digest for grammar in found}) == 1
    assert len(asked) == 1


async def test_special_tokens_of_the_model_are_known(admission: Admission) -> None:
    tag = StructuralTag(
        '{"format": {"type": "tag", "begin": "<think>", "content": {"type": "any_text"},'
        ' "end": "</think>"}}'
    )
    assert "<[2044]>" in (await admission.admit(tag)).parts[0]
    with pytest.raises(ConstraintError, match="nobody"):
        await admission.admit(Lark("start: <|nobody|>"))


async def test_a_text_is_judged_in_the_same_processes(admission: Admission) -> None:
    verdict = await admission.judge(GOOD, '{"a": 1.5}')
    assert verdict is not None
    assert verdict.judges == ("jsonschema",)
    assert [one.position for one in verdict.violations] == ["#/a"]
    right = await admission.judge(GOOD, '{"a": 15}')
    assert right is not None
    assert right.violations == ()


@pytest.mark.slow
async def test_every_bomb_is_served_or_refused_in_time_and_the_next_one_is_served(
    admission: Admission,
) -> None:
    before = _memory_of_this_process()
    failed: dict[str, str] = {}
    for number, (name, make) in enumerate(BOMBS.items()):
        outcome, seconds = await _outcome(admission, make())
        if not in_time(seconds, MOST_SECONDS) or not outcome:
            failed[name] = f"{outcome} after {seconds:.1f} s"
        assert (await admission.admit(good(number))).parts
    assert failed == {}
    assert _memory_of_this_process() - before < 64 * 2**20


MOST_SECONDS = PATIENCE + 2
"""On a machine that does nothing else each takes less than two."""


async def _outcome(admission: Admission, constraint: Constraint) -> tuple[str, float]:
    began = time.monotonic()
    try:
        await admission.trial(constraint)
        outcome = "served"
    except ConstraintError as error:
        outcome = str(error)
    return outcome, time.monotonic() - began


async def test_a_slow_constraint_delays_no_other(admission: Admission) -> None:
    slow = [asyncio.create_task(_refused(admission, name)) for name in SLOW]
    await asyncio.sleep(0.2)
    began = time.monotonic()
    for number in range(5):
        await admission.admit(good(number), "another")
    quick = time.monotonic() - began
    assert not all(task.done() for task in slow)
    assert in_time(quick, 1.5)
    await asyncio.gather(*slow)


SLOW = ("multiple_of_a_large_prime", "five_thousand_properties")


async def _refused(admission: Admission, name: str) -> None:
    with pytest.raises(ConstraintError):
        await admission.admit(BOMBS[name](), "bomber")


async def test_a_trier_inherits_no_socket_of_the_servers(source: VocabularySource) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        os.set_inheritable(listener.fileno(), True)
        triers = Triers(source, most=2)
        await triers.start()
        try:
            await triers.run(TryOut(choice(["a"])))
            zygote = _parent_of(next(iter(triers._all)).pid)
            for pid in (zygote, *(trier.pid for trier in triers._all)):
                assert _sockets_of(pid) <= {1, 2}
                assert "CONCORDANCE" not in _environment_of(pid)
            assert [_sockets_of(trier.pid) for trier in triers._all] == [{1}] * len(triers._all)
        finally:
            await triers.stop()


def _environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _sockets_of(pid: int) -> set[int]:
    """How many sockets a process has open, as a set of one number."""
    found = [os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return {len([one for one in found if one.startswith("socket:")])}


async def test_the_zygote_may_die(admission: Admission, triers: Triers) -> None:
    await admission.admit(good(1))
    zygote = triers._zygote
    assert zygote is not None
    zygote._process.kill()
    await asyncio.sleep(0.1)
    assert (await admission.admit(good(2))).parts


async def test_no_process_is_left(source: VocabularySource) -> None:
    triers = Triers(source, most=2)
    await triers.start()
    await triers.run(TryOut(choice(["a"])))
    pids = [trier.pid for trier in triers._all] + [_parent_of(next(iter(triers._all)).pid)]
    await triers.stop()
    for _ in range(100):
        if not any(map(_lives, pids)):
            break
        await asyncio.sleep(0.1)
    assert [pid for pid in pids if _lives(pid)] == []


async def test_a_vocabulary_that_cannot_be_read_stops_the_start() -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        await Triers(VocabularySource((1,), tokenizer="{}")).start()


async def test_equal_constraints_are_one_to_the_cache() -> None:
    assert digest(good(1)) == digest(good(1)) != digest(good(2))


def _memory_of_this_process() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def test_work_that_is_quick_shares_a_few_processes(
    triers: Triers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.constraints.triers.MOMENT", 30.0)
    answers = await asyncio.gather(*(triers.run(TryOut(good(n)), str(n)) for n in range(40)))
    assert all(isinstance(answer, Tried) for answer in answers)
    assert len(triers._all) <= SPARE


async def test_plain_constraints_are_compiled_at_once(
    admission: Admission, triers: Triers, source: VocabularySource
) -> None:
    await triers.stop()
    plain = json_schema({"type": "object", "properties": {"a": {"type": "integer"}}})
    grammar = await admission.admit(plain)
    assert grammar is await admission.admit(plain)
    assert not Matcher(grammar, source.vocabulary()).is_dead()


async def test_what_was_only_compiled_is_walked_for_who_asks_what_it_costs(
    admission: Admission,
) -> None:
    plain = json_schema({"type": "object", "properties": {"walked": {"type": "integer"}}})
    admitted = await admission.admit(plain)
    trial = await admission.trial(plain)
    assert trial.grammar.parts == admitted.parts
    assert trial.steps > 0
