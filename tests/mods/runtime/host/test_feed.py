"""The worker's side: late hosts, dead hosts, and logits in both directions."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from mods.runtime.decisions import EndSegment, Fail, Leave, Resume, Shape, Sureness
from mods.runtime.host.feed import Feeds
from mods.runtime.host.frames import frame
from mods.runtime.host.pool import HostPool
from mods.runtime.host.protocol import WORKER, FeedRow, Hello, Verdicts
from tests.mods.runtime.host.acting import NOOP, VOCABULARY, first, hosted, spec, step
from tests.timing import in_time, since

SLEEPER = """\
import time
if event.name == 'ForwardPass' and event.position == 1:
    print('asked')
    time.sleep(0.3)
    return actions.bias({7: 2.5})
return actions.noop()"""


async def test_a_late_host_is_missing_and_its_decision_is_replayed_after_the_tail(
    pool: HostPool, feeds: Feeds
) -> None:
    host = await hosted(pool, SLEEPER)
    await host.open(spec(1))
    step(feeds, host, [first(1)])
    began = time.monotonic()
    assert step(feeds, host, [FeedRow(1, 1, 1, 5)], seconds=0.02) is None
    assert in_time(since(began), 0.25)
    resumed = await host.tail(1, 1, 2, 0)
    assert isinstance(resumed, Resume)
    assert (resumed.segment, resumed.keep) == (2, 1)
    assert step(feeds, host, [FeedRow(1, 2, 1, -1)]) == [Shape(bias={7: 2.5})]
    record = await host.close(1, "done")
    assert len(record["logs"]) == 1


async def test_the_verdicts_of_a_late_host_are_not_taken_for_a_later_steps(
    pool: HostPool, feeds: Feeds
) -> None:
    host = await hosted(pool, SLEEPER)
    for session in (1, 2):
        await host.open(spec(session))
    step(feeds, host, [first(1)])
    assert step(feeds, host, [FeedRow(1, 1, 1, 5)], seconds=0.02) is None
    assert step(feeds, host, [first(2)], seconds=0.02) is None
    assert step(feeds, host, [FeedRow(2, 1, 0, -1), FeedRow(98, 1, 1, 4)]) == [Leave(), Leave()]


async def test_the_workers_feed_is_handled_before_the_apis_tail(
    pool: HostPool, feeds: Feeds
) -> None:
    """The host is kept busy, first by the API and then by a worker, while both of them write."""
    body = (
        "if event.request_id == 'request-2' and event.name in ('Prefilled', 'Sampled'):\n"
        "    import time; time.sleep(0.2)\n"
        "return None"
    )
    host = await hosted(pool, body)
    for session, busy_with in ((10, "api"), (11, "worker"), (12, "api"), (13, "worker")):
        await host.open(spec(session))
        step(feeds, host, [first(session)])
        blocking = asyncio.create_task(host.open(spec(2)))
        if busy_with == "worker":
            await blocking
            step(feeds, host, [first(2)])
            assert step(feeds, host, [FeedRow(2, 1, 1, 5)], seconds=0.02) is None
        tail = asyncio.create_task(host.tail(session, 1, 2, 6))
        await asyncio.sleep(0.05)
        assert step(feeds, host, [FeedRow(session, 1, 1, 5)], seconds=2) is not None
        answer = await tail
        assert isinstance(answer, Resume), (busy_with, answer)
        assert answer.keep == 2
        await blocking
        await host.close(2, "done")


def arenas() -> list[int]:
    """Bytes of each arena that this process has open."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if os.readlink(entry).startswith("/memfd:rows"):
                found.append(entry.stat().st_size)
    return found


async def test_raw_logits_are_read_and_whole_rows_come_back(pool: HostPool, feeds: Feeds) -> None:
    body = (
        "if event.name != 'ForwardPass': return None\n"
        "row = event.logits.to_numpy()\n"
        "row[0, 3] = row[0].sum()\n"
        "return actions.adjust_logits(row)"
    )
    host = await hosted(pool, body)
    for sessions in (range(1, 3), range(3, 12)):
        for session in sessions:
            await host.open(spec(session))
        logits = np.random.default_rng(1).normal(size=(len(sessions), VOCABULARY))
        rows = logits.astype(np.float32)
        decisions = step(feeds, host, [first(session) for session in sessions], rows)
        assert decisions == [Shape(row=True)] * len(sessions)
        for index, row in enumerate(rows):
            expected = row.copy()
            expected[3] = row.sum()
            np.testing.assert_allclose(feeds.row(host.address, index), expected, rtol=1e-5)
    assert arenas() == [16 * VOCABULARY * 4]
    feeds.close()
    assert arenas() == []


async def test_a_mod_cannot_write_into_the_raw_logits(pool: HostPool, feeds: Feeds) -> None:
    body = "if event.name == 'ForwardPass': event._logits[0] = 1\nreturn None"
    host = await hosted(pool, body, "logits=True, on_error='ignore'")
    await host.open(spec(1))
    assert step(feeds, host, [first(1)], np.zeros((1, VOCABULARY), np.float32)) == [Leave()]
    assert "read-only" in (await host.close(1, "done"))["failures"][0]["message"]


async def test_a_whole_row_comes_back_though_no_logits_were_sent(
    pool: HostPool, feeds: Feeds
) -> None:
    body = (
        "if event.name != 'ForwardPass': return None\n"
        f"return actions.adjust_logits(numpy.arange({VOCABULARY}))"
    )
    host = await hosted(pool, body, "logits=False", "import numpy")
    await host.open(spec(1))
    assert step(feeds, host, [FeedRow(9, 1, 0, -1), first(1)]) == [Leave(), Shape(row=True)]
    np.testing.assert_array_equal(feeds.row(host.address, 1), np.arange(VOCABULARY))


async def test_without_its_logits_a_row_ends_its_segment_and_is_asked_in_the_next(
    pool: HostPool, feeds: Feeds
) -> None:
    host = await hosted(pool, "return None", "logits=True")
    await host.open(spec(1))
    assert step(feeds, host, [first(1)]) == [EndSegment()]


async def test_how_sure_the_model_is_travels_without_the_row(pool: HostPool, feeds: Feeds) -> None:
    body = (
        "if event.name != 'ForwardPass': return None\n"
        "sure = event.confidence\n"
        "return actions.bias({sure.top(1)[0][0]: sure.entropy})"
    )
    host = await hosted(pool, body)
    assert (host.traits[0].confidence, host.traits[0].logits) == (True, False)
    await host.open(spec(1))
    sure = Sureness(0.25, [9, 4], [-0.1, -3.0])
    assert step(feeds, host, [FeedRow(1, 1, 0, -1, [], sure)]) == [Shape(bias={9: 0.25})]
    assert step(feeds, host, [FeedRow(1, 1, 1, 9)]) == [EndSegment()], "it was not told"


async def test_an_action_with_strange_contents_spoils_no_other_row(
    pool: HostPool, feeds: Feeds
) -> None:
    body = (
        "if event.name == 'ForwardPass' and event.position == 1:\n"
        "    if event.request_id == 'request-1': return AdjustedLogits(bias={True: 2})\n"
        "    if event.request_id == 'request-2': return AdjustedLogits(bias={5: 'much'})\n"
        "return None"
    )
    host = await hosted(pool, body, before="from mods.sdk import AdjustedLogits")
    for session in (1, 2, 3):
        await host.open(spec(session))
    step(feeds, host, [first(1), first(2), first(3)])
    decisions = step(feeds, host, [FeedRow(session, 1, 1, 4) for session in (1, 2, 3)])
    assert decisions == [Shape(bias={1: 2.0}), EndSegment(), Leave()]
    failed = await host.tail(2, 1, 2, 0)
    assert isinstance(failed, Fail)
    assert (failed.status, failed.type) == (422, "invalid_action")


async def test_a_dead_host_is_missing_at_once_and_is_not_tried_again(
    pool: HostPool, feeds: Feeds
) -> None:
    host = await hosted(pool, NOOP)
    await host.open(spec(1))
    assert step(feeds, host, [first(1)]) == [Leave()]
    os.kill(host.pid, signal.SIGKILL)
    await asyncio.wait_for(host.gone.wait(), 10)
    for _ in range(3):
        began = time.monotonic()
        assert step(feeds, host, [FeedRow(1, 1, 1, 5)]) is None
        assert in_time(since(began), 0.5)


async def test_an_address_outside_the_run_folder_is_not_spoken_to(
    feeds: Feeds, tmp_path: Path
) -> None:
    feeds.send(str(tmp_path / "elsewhere.sock"), [first(1)])
    assert feeds.collect(time.monotonic() + 1) == {}


async def test_a_host_that_talks_nonsense_is_given_up(feeds: Feeds, run_dir: Path) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(frame(Hello(WORKER))))
        writer.write(frame(Verdicts(1, [Leave(), Leave()])))
        await writer.drain()
        await reader.read()
        writer.close()

    address = str(run_dir / "liar.sock")
    server = await asyncio.start_unix_server(nonsense, address)
    feeds.send(address, [first(1)])
    answer = await asyncio.to_thread(feeds.collect, time.monotonic() + 1)
    assert answer == {}
    assert not feeds._links
    server.close()
