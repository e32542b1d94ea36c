"""Handlers that wait, in a real host: their session waits alone, and within its deadline."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import numpy as np
import pytest

from mods.runtime.decisions import EndSegment, Fail, Finish, Leave, Resume, Shape
from mods.runtime.host.client import Host
from mods.runtime.host.feed import Feeds
from mods.runtime.host.pool import HostPool
from mods.runtime.host.protocol import FeedRow
from mods.runtime.package import Package
from mods.sdk.errors import HostError
from tests.mods.runtime.host.acting import VOCABULARY, first, host_of, package, spec, step
from tests.timing import in_time, since


def waiting(body: str, declare: str = "", before: str = "", name: str = "waits") -> Package:
    """A mod whose handler is a coroutine with this body (one statement a line)."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return Package.from_source(
        f"import asyncio\nfrom mods.sdk import *\n{before}\n"
        f"@mod({declare})\nasync def {name}(event, actions, tokenizer):\n{lines}\n"
    )


async def hosted(pool: HostPool, body: str, declare: str = "", before: str = "") -> Host:
    return await host_of(pool, "anna", [waiting(body, declare, before)], {})


SLOW = """\
if event.request_id == "request-1" and event.name == "ForwardPass" and event.position == 1:
    print("begins")
    await asyncio.sleep(0.3)
    print("ends")
    return actions.bias({7: 2.5})
return actions.noop()"""


async def test_a_handler_that_waits_delays_its_own_session_and_no_other(
    pool: HostPool, feeds: Feeds
) -> None:
    host = await hosted(pool, SLOW)
    for session in (1, 2):
        await host.open(spec(session))
    assert step(feeds, host, [first(1), first(2)]) == [Leave(), Leave()]
    began = time.monotonic()
    assert step(feeds, host, [FeedRow(1, 1, 1, 5), FeedRow(2, 1, 1, 5)]) == [EndSegment(), Leave()]
    assert in_time(since(began), 0.2), "the worker waited for a handler that waits"
    tail = asyncio.create_task(host.tail(1, 1, 2, 0))
    await asyncio.sleep(0)
    for position in range(2, 12):
        assert step(feeds, host, [FeedRow(2, 1, position, 5)]) == [Leave()]
    assert not tail.done()
    assert isinstance(await host.tail(2, 1, 12, 5), Resume)
    assert not tail.done(), "the others took longer than the wait: nothing was shown"
    resumed = await tail
    assert time.monotonic() - began >= 0.3
    assert isinstance(resumed, Resume)
    assert (resumed.segment, resumed.keep, resumed.late) == (2, 1, False)
    assert step(feeds, host, [FeedRow(1, 2, 1, -1)]) == [Shape(bias={7: 2.5})]
    record = await host.close(1, "done")
    assert [entry["text"] for entry in record["logs"]] == ["begins", "ends"]


async def test_a_coroutine_that_does_not_wait_ends_no_segment(pool: HostPool, feeds: Feeds) -> None:
    host = await hosted(pool, "return actions.noop()")
    await host.open(spec(1, max_tokens=3))
    assert step(feeds, host, [first(1)]) == [Leave()]
    assert step(feeds, host, [FeedRow(1, 1, 1, 5)]) == [Leave()]
    ended = await host.tail(1, 1, 2, 5)
    assert isinstance(ended, Resume)
    assert step(feeds, host, [FeedRow(1, 2, 2, -1)]) == [Leave()]
    assert isinstance(await host.tail(1, 2, 3, 5), Finish)


async def test_steps_of_handlers_take_turns_and_never_overlap(pool: HostPool, feeds: Feeds) -> None:
    body = (
        "if event.name != 'Prefilled': return None\n"
        "inside.append(1)\n"
        "seen.append(len(inside))\n"
        "inside.pop()\n"
        "await asyncio.sleep(0.02)\n"
        "seen.append(threading.current_thread() is threading.main_thread())\n"
        "print(max(map(int, seen)), len(seen))"
    )
    host = await hosted(pool, body, before="import threading\ninside, seen = [], []")
    began = time.monotonic()
    await asyncio.gather(*(host.open(spec(session)) for session in range(1, 21)))
    assert in_time(since(began), 20 * 0.02), "twenty waits took as long as one after another"
    logs = (await host.close(20, "done"))["logs"]
    assert logs[0]["text"].startswith("1 ")


async def test_one_session_may_wait_for_another(pool: HostPool) -> None:
    body = (
        "if event.name == 'Prefilled' and event.request_id == 'request-1':\n"
        "    await came.wait()\n"
        "elif event.name == 'Prefilled':\n"
        "    came.set()"
    )
    host = await hosted(pool, body, before="came = asyncio.Event()")
    one = asyncio.create_task(host.open(spec(1)))
    await asyncio.sleep(0.05)
    assert not one.done()
    assert isinstance(await host.open(spec(2)), Resume)
    assert isinstance(await one, Resume)


async def test_a_wait_past_the_hard_deadline_fails_its_request_alone(
    pool: HostPool, feeds: Feeds
) -> None:
    body = (
        "try:\n"
        "    if event.request_id == 'request-1' and event.name == 'Sampled':\n"
        "        await asyncio.sleep(30)\n"
        "finally:\n"
        "    print('left', event.name)"
    )
    host = await hosted(pool, body)
    for session in (1, 2):
        await host.open(spec(session))
    step(feeds, host, [first(1), first(2)])
    began = time.monotonic()
    assert step(feeds, host, [FeedRow(1, 1, 1, 5)]) == [EndSegment()]
    failed = await host.tail(1, 1, 2, 0)
    assert since(began) >= 0.35
    assert in_time(since(began), 0.4 + 0.3)
    assert isinstance(failed, Fail)
    assert (failed.status, failed.type) == (424, "mod_host_error")
    assert "'waits' waited longer than its hard deadline of 0.4 s" in failed.message
    assert "left Sampled" in [entry["text"] for entry in (await host.close(1, "error"))["logs"]]
    assert step(feeds, host, [FeedRow(2, 1, 1, 5)]) == [Leave()]
    assert host.alive


async def test_on_error_does_not_excuse_a_missed_deadline(pool: HostPool) -> None:
    host = await hosted(pool, "await asyncio.sleep(30)", "on_error='ignore'")
    failed = await host.open(spec(1))
    assert isinstance(failed, Fail)
    assert failed.status == 424


async def test_a_declared_deadline_is_what_a_wait_may_take(pool: HostPool) -> None:
    body = "if event.name == 'Prefilled': await asyncio.sleep(0.6)"
    host = await hosted(pool, body, "deadline=5.0")
    assert isinstance(await host.open(spec(1)), Resume)


async def test_a_handler_that_will_not_stop_waiting_is_dropped(pool: HostPool) -> None:
    body = (
        "while event.name == 'Prefilled' and event.request_id == 'request-1':\n"
        "    try:\n"
        "        await asyncio.sleep(30)\n"
        "    except asyncio.CancelledError:\n"
        "        print('no')"
    )
    host = await hosted(pool, body)
    began = time.monotonic()
    failed = await host.open(spec(1))
    assert in_time(since(began), 0.4 + 0.3)
    assert isinstance(failed, Fail)
    assert failed.status == 424
    assert isinstance(await host.open(spec(2)), Resume)


async def test_code_that_loops_after_it_waited_is_stopped_with_its_process(pool: HostPool) -> None:
    host = await hosted(pool, "await asyncio.sleep(0.01)\nwhile True: pass")
    with pytest.raises(HostError, match="ran longer than its hard deadline"):
        await host.open(spec(1))
    assert not host.alive


async def test_closing_a_session_cancels_what_it_waits_for(pool: HostPool, feeds: Feeds) -> None:
    body = (
        "print(event.name)\n"
        "try:\n"
        "    if event.name == 'Added': await asyncio.sleep(0.35)\n"
        "except asyncio.CancelledError:\n"
        "    print('cancelled')\n"
        "    raise"
    )
    host = await hosted(pool, body)
    await host.open(spec(1))
    step(feeds, host, [first(1)])
    assert step(feeds, host, [FeedRow(1, 1, 1, 5)]) == [EndSegment()]
    tail = asyncio.create_task(host.tail(1, 1, 2, 0))
    await asyncio.sleep(0.02)
    began = time.monotonic()
    record = await host.close(1, "aborted")
    assert in_time(since(began), 0.2)
    said = [entry["text"] for entry in record["logs"]]
    assert said == ["Prefilled", "ForwardPass", "Sampled", "Added", "cancelled", "Finished"]
    assert record["failures"] == []
    assert isinstance(await tail, Fail)
    again = await host.open(spec(1))
    assert isinstance(again, Resume)


async def test_a_handler_that_answers_though_it_was_cancelled_is_not_heard(
    pool: HostPool, feeds: Feeds
) -> None:
    body = (
        "print(event.name)\n"
        "try:\n"
        "    if event.name == 'ForwardPass': await asyncio.sleep(0.35)\n"
        "except asyncio.CancelledError:\n"
        "    return actions.force_tokens([9])"
    )
    host = await hosted(pool, body)
    opening = asyncio.create_task(host.open(spec(1)))
    await asyncio.sleep(0.05)
    record = await host.close(1, "aborted")
    said = [entry["text"] for entry in record["logs"]]
    assert said == ["Prefilled", "ForwardPass", "Finished"]
    assert record["actions"] == []
    assert isinstance(await opening, Fail)


async def test_a_host_killed_while_a_handler_waits_fails_its_calls(
    pool: HostPool, feeds: Feeds
) -> None:
    host = await hosted(pool, "if event.name == 'Added': await asyncio.sleep(0.3)")
    await host.open(spec(1))
    step(feeds, host, [first(1)])
    assert step(feeds, host, [FeedRow(1, 1, 1, 5)]) == [EndSegment()]
    tail = asyncio.create_task(host.tail(1, 1, 2, 0))
    await asyncio.sleep(0.02)
    os.kill(host.pid, signal.SIGKILL)
    with pytest.raises(HostError, match="SIGKILL"):
        await tail


async def test_an_exception_after_a_wait_is_a_422_with_its_line(pool: HostPool) -> None:
    host = await hosted(
        pool, "await asyncio.sleep(0.01)\nraise KeyError('gone')", "events='Prefilled'"
    )
    failed = await host.open(spec(1))
    assert isinstance(failed, Fail)
    assert (failed.status, failed.type) == (422, "mod_exception")
    assert "raised KeyError: 'gone' (mod.py, line 7)" in failed.message
    (told,) = [f for f in (await host.close(1, "error"))["failures"] if "traceback" in f]
    assert "mod.py" in told["traceback"]


async def test_a_chain_of_both_kinds_is_asked_in_order(pool: HostPool, feeds: Feeds) -> None:
    chain = [
        package("print('one')\nreturn actions.noop()", "name='one', events='ForwardPass'"),
        waiting("await asyncio.sleep(0.05)\nprint('two')", "events='ForwardPass'", name="two"),
        package("print('three')", "name='three', events='ForwardPass'"),
    ]
    host = await host_of(pool, "anna", chain, {})
    assert isinstance(await host.open(spec(1)), Resume)
    assert step(feeds, host, [first(1)]) == [Leave()]
    record = await host.close(1, "done")
    assert [entry["text"] for entry in record["logs"]] == ["one", "two", "three"]


async def test_what_is_read_after_a_wait_is_the_events_own(pool: HostPool, feeds: Feeds) -> None:
    """The request, the voice and the logits, though others ran and the worker went on."""
    body = (
        "if event.name != 'ForwardPass' or event.position: return None\n"
        "logits = event.logits\n"
        "await asyncio.sleep(0.1)\n"
        "said = get_conversation()[0]['content']\n"
        "await asyncio.gather(*(tell(said) for _ in range(2)))\n"
        "print(said, int(logits.to_numpy()[0, 3]), event.text, event.position)"
    )
    before = "async def tell(said):\n    await asyncio.sleep(0.01)\n    print('task', said)\n"
    host = await hosted(pool, body, before=before)
    sessions = [1, 2]
    for session in sessions:
        await host.open(spec(session, conversation=[{"role": "user", "content": str(session)}]))
    logits = np.zeros((2, VOCABULARY), np.float32)
    logits[:, 3] = sessions
    decisions = step(feeds, host, [first(session) for session in sessions], logits)
    assert decisions == [EndSegment(), EndSegment()]
    step(feeds, host, [FeedRow(98, 1, 0, -1), FeedRow(99, 1, 0, -1)], logits + 50)
    for session in sessions:
        assert isinstance(await host.tail(session, 1, 1, 0), Resume)
        said = [entry["text"] for entry in (await host.close(session, "done"))["logs"]]
        assert said == [f"task {session}", f"task {session}", f"{session} {session}  0"]


async def test_a_whole_row_that_took_a_wait_goes_over_with_the_next_segment(
    pool: HostPool, feeds: Feeds
) -> None:
    body = (
        "if event.name != 'ForwardPass': return None\n"
        "row = event.logits.to_numpy()\n"
        "await asyncio.sleep(0.05)\n"
        "return actions.adjust_logits(row + 1)"
    )
    host = await hosted(pool, body)
    await host.open(spec(1))
    logits = np.arange(VOCABULARY, dtype=np.float32)[None]
    assert step(feeds, host, [first(1)], logits) == [EndSegment()]
    assert isinstance(await host.tail(1, 1, 1, 0), Resume)
    assert step(feeds, host, [FeedRow(1, 2, 0, -1)], logits * 0) == [Shape(row=True)]
    np.testing.assert_array_equal(feeds.row(host.address, 0), logits[0] + 1)


async def test_many_sessions_wait_at_once(pool: HostPool, feeds: Feeds) -> None:
    host = await hosted(pool, "if event.name == 'Added': await asyncio.sleep(0.1)")
    sessions = range(1, 65)
    await asyncio.gather(*(host.open(spec(session)) for session in sessions))
    step(feeds, host, [first(session) for session in sessions])
    began = time.monotonic()
    rows = [FeedRow(session, 1, 1, 5) for session in sessions]
    assert step(feeds, host, rows) == [EndSegment()] * 64
    resumed = await asyncio.gather(*(host.tail(session, 1, 2, 0) for session in sessions))
    assert in_time(since(began), 3.0)
    assert all(isinstance(answer, Resume) and answer.keep == 1 for answer in resumed)
