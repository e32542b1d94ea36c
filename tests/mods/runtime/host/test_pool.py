"""Hosts over their whole life: who shares one, how they end, and what is left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from mods.runtime.decisions import Fail, Finish, Leave, Resume
from mods.runtime.host.confine.terms import Terms
from mods.runtime.host.feed import Feeds
from mods.runtime.host.pool import HostPool
from mods.runtime.host.protocol import FeedRow
from mods.sdk.errors import HostError, ModError
from tests.mods.runtime.host.acting import (
    NOOP,
    alive,
    descriptors,
    first,
    host_of,
    hosted,
    package,
    process,
    spec,
    step,
    until_dead,
)
from tests.mods.runtime.host.conftest import TOKENIZER
from tests.mods.runtime.host.starving import starved
from tests.timing import in_time, since

COUNTER = "count.append(1)\nprint(len(count))\nreturn actions.noop()"


async def test_a_session_opens_is_fed_ends_and_gives_its_record(
    pool: HostPool, feeds: Feeds
) -> None:
    host = await hosted(pool, "print(event.name)\nreturn actions.noop()")
    opened = await host.open(spec(1, max_tokens=2))
    assert isinstance(opened, Resume)
    assert opened.segment == 1
    assert step(feeds, host, [first(1)]) == [Leave()]
    assert step(feeds, host, [FeedRow(1, 1, 1, 7)]) == [Leave()]
    ended = await host.tail(1, 1, 2, 8)
    assert isinstance(ended, Finish)
    assert (ended.reason, ended.keep, ended.usage.sampled) == ("length", 2, 2)
    record = await host.close(1, "done")
    assert [entry["text"] for entry in record["logs"]] == [
        "Prefilled",
        *["ForwardPass", "Sampled", "Added"] * 2,
        "Finished",
    ]
    assert await host.close(1, "done") == {}


async def test_many_sessions_share_a_host_and_each_hears_only_its_own(
    pool: HostPool, feeds: Feeds
) -> None:
    body = (
        "if event.name == 'Sampled': print(event.request_id, event.sampled_token)\n"
        "return actions.noop()"
    )
    host = await hosted(pool, body)
    sessions = range(1, 21)
    await asyncio.gather(*(host.open(spec(session)) for session in sessions))
    step(feeds, host, [first(session) for session in sessions])
    decisions = step(feeds, host, [FeedRow(session, 1, 1, session) for session in sessions])
    assert decisions == [Leave()] * 20
    for session in sessions:
        record = await host.close(session, "aborted")
        assert [entry["text"] for entry in record["logs"]] == [f"request-{session} {session}"]


async def test_a_row_of_an_unknown_session_is_left_alone(pool: HostPool, feeds: Feeds) -> None:
    host = await hosted(pool, NOOP)
    assert step(feeds, host, [first(99)]) == [Leave()]


async def test_module_state_is_shared_by_one_caller_and_nobody_else(pool: HostPool) -> None:
    counter = package(COUNTER, "events=['Prefilled']", "count = []")
    anna, again = await asyncio.gather(
        host_of(pool, "anna", [counter], {}), host_of(pool, "anna", [counter], {})
    )
    bert = await host_of(pool, "bert", [counter], {})
    assert anna is again
    assert anna is not bert
    heard = []
    for host, session in ((anna, 1), (anna, 2), (bert, 3)):
        await host.open(spec(session))
        heard.append((await host.close(session, "done"))["logs"][0]["text"])
    assert heard == ["1", "2", "1"]


async def test_shared_modules_are_part_of_what_makes_a_host(pool: HostPool) -> None:
    asks = package("print(greeting.WORD)\nreturn actions.noop()", "", "import greeting")
    one = await host_of(pool, "anna", [asks], {"greeting.py": "WORD = 'one'"})
    two = await host_of(pool, "anna", [asks], {"greeting.py": "WORD = 'two'"})
    assert one is not two
    await two.open(spec(1))
    assert (await two.close(1, "done"))["logs"][0]["text"] == "two"


async def test_a_mod_that_loops_forever_is_stopped_and_the_next_request_gets_a_fresh_host(
    pool: HostPool,
) -> None:
    host = await hosted(pool, "if event.request_id == 'request-1':\n    while True: pass")
    began = time.monotonic()
    with pytest.raises(HostError, match=r"'tested' ran longer than its hard deadline of 0\.4 s"):
        await host.open(spec(1))
    assert since(began) >= 0.4
    assert in_time(since(began), 0.4 + 0.25)
    await until_dead(host.pid)
    assert not host.alive
    with pytest.raises(HostError):
        await host.tail(1, 1, 1, 1)
    assert await host.close(1, "error") == {}
    fresh = await hosted(pool, "if event.request_id == 'request-1':\n    while True: pass")
    assert fresh is not host
    assert isinstance(await fresh.open(spec(2)), Resume)


async def test_a_loop_that_the_worker_fed_is_stopped_though_the_api_waits_for_nothing(
    pool: HostPool, feeds: Feeds
) -> None:
    host = await hosted(pool, "while event.name == 'Sampled': pass")
    await host.open(spec(1))
    step(feeds, host, [first(1)])
    assert step(feeds, host, [FeedRow(1, 1, 1, 5)], seconds=0.02) is None
    await asyncio.wait_for(host.gone.wait(), 10)
    with pytest.raises(HostError, match="hard deadline"):
        await host.tail(1, 1, 2, 6)
    assert step(feeds, host, [FeedRow(1, 1, 2, 6)]) is None


async def test_a_declared_deadline_may_be_longer_than_the_servers(pool: HostPool) -> None:
    body = "import time; time.sleep(0.6)\nreturn actions.noop()"
    host = await hosted(pool, body, "deadline=2.0, events=['Prefilled']")
    assert isinstance(await host.open(spec(1)), Resume)


async def test_a_mod_that_the_machine_did_not_let_run_is_not_overdue(pool: HostPool) -> None:
    body = """
import time
began, used = time.monotonic(), time.process_time()
while time.process_time() < used + 0.008: pass
print(time.monotonic() - began)
return actions.noop()
"""
    host = await hosted(pool, body, "events=['Prefilled']")
    with starved(host.pid):
        opened = await host.open(spec(1))
    assert isinstance(opened, Resume)
    print("8 ms of its own took", (await host.close(1, "done"))["logs"][0]["text"])


async def test_a_long_queue_of_short_calls_is_not_overdue(pool: HostPool) -> None:
    body = "import time; time.sleep(0.1)\nreturn actions.noop()"
    host = await hosted(pool, body, "events=['Prefilled']")
    opened = await asyncio.gather(*(host.open(spec(session)) for session in range(1, 9)))
    assert all(isinstance(answer, Resume) for answer in opened)


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    ],
)
async def test_a_mod_that_ends_its_process_fails_its_calls_with_how_it_died(
    pool: HostPool, deed: str, words: str
) -> None:
    neighbour = await host_of(pool, "bert", [package(NOOP)], {})
    host = await hosted(pool, deed)
    with pytest.raises(HostError, match=words):
        await host.open(spec(1))
    assert not host.alive
    assert isinstance(await neighbour.open(spec(2)), Resume)
    assert await hosted(pool, deed) is not host


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("import sys; sys.exit(2)", "SystemExit"),
        ("raise ValueError('no such \\udc80 luck')", "ValueError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("input()", "EOFError"),
    ],
)
async def test_what_a_mod_raises_fails_its_session_and_its_process_lives(
    pool: HostPool, deed: str, words: str
) -> None:
    host = await hosted(pool, f"if event.request_id == 'request-1': {deed}\nreturn None")
    failed = await host.open(spec(1))
    assert isinstance(failed, Fail)
    assert failed.status == 422
    assert words in failed.message
    assert isinstance(await host.open(spec(2)), Resume)
    await host.close(1, "error")


async def test_an_import_that_fails_says_why_and_leaves_no_process(pool: HostPool) -> None:
    with pytest.raises(ModError, match=r"mod\.py, line 2.*ZeroDivisionError") as failed:
        await hosted(pool, NOOP, before="1 / 0")
    assert failed.value.status in (400, 422)
    with pytest.raises(HostError, match="exit code 9"):
        await hosted(pool, NOOP, before="import os; os._exit(9)")
    for _ in range(100):
        if not os.listdir(pool.run_dir):
            break
        await asyncio.sleep(0.01)
    assert os.listdir(pool.run_dir) == []


async def test_an_import_that_takes_too_long_is_stopped(
    pool: HostPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mods.runtime.host.client.LOAD_SECONDS", 0.3)
    with pytest.raises(ModError, match="longer than") as failed:
        await hosted(pool, NOOP, before="while True: pass")
    assert failed.value.status == 422


async def test_prints_at_import_come_with_the_load_and_floods_are_bounded(pool: HostPool) -> None:
    host = await hosted(
        pool, "for i in range(5000): print(i)\nprint('no end', end='')", before="print('hello')"
    )
    assert host.prints == ["hello"]
    await host.open(spec(1))
    logs = (await host.close(1, "done"))["logs"]
    assert len(logs) == 3 * 201  # Prefilled, ForwardPass, Finished
    assert logs[0] == {"mod": "tested", "text": "0"}


async def test_a_line_without_an_end_stays_with_the_call_that_printed_it(pool: HostPool) -> None:
    host = await hosted(pool, "print(event.request_id, end='')", "events=['Prefilled']")
    await host.open(spec(1))
    await host.open(spec(2))
    for session in (1, 2):
        logs = (await host.close(session, "done"))["logs"]
        assert [entry["text"] for entry in logs] == [f"request-{session}"]


async def test_the_floor_on_the_page_is_there_with_the_reply(pool: HostPool, feeds: Feeds) -> None:
    host = await hosted(pool, NOOP, "reach=2")
    await host.open(spec(1))
    assert host.floor(1) == 0
    step(feeds, host, [first(1)])
    for position in range(1, 6):
        step(feeds, host, [FeedRow(1, 1, position, 5)])
        assert host.floor(1) == max(0, position - 2)
    await host.tail(1, 1, 6, 5)
    assert host.floor(1) == 4
    assert host.floor(99) == 0


async def test_a_killed_zygote_is_replaced(pool: HostPool) -> None:
    host = await hosted(pool, NOOP)
    await host.open(spec(1))
    assert pool.zygote_pid is not None
    old = pool.zygote_pid
    os.kill(old, signal.SIGKILL)
    await until_dead(host.pid)
    with pytest.raises(HostError):
        await host.tail(1, 1, 1, 1)
    fresh = await hosted(pool, NOOP)
    assert isinstance(await fresh.open(spec(2)), Resume)
    assert pool.zygote_pid != old
    await until_dead(old)


async def test_idle_hosts_are_stopped(run_dir: Path) -> None:
    pool = HostPool(run_dir, TOKENIZER, idle_seconds=0.2)
    await pool.start()
    try:
        host = await hosted(pool, NOOP)
        await host.open(spec(1))
        await asyncio.sleep(0.5)
        assert host.alive
        await host.close(1, "done")
        await asyncio.wait_for(host.gone.wait(), 10)
        await until_dead(host.pid)
        assert await hosted(pool, NOOP) is not host
    finally:
        await pool.stop()


async def test_a_full_pool_gives_up_its_oldest_idle_host_and_no_busy_one(run_dir: Path) -> None:
    pool = HostPool(run_dir, TOKENIZER, max_hosts=2)
    await pool.start()
    try:
        hosts = []
        for session, caller in enumerate(("anna", "bert")):
            host = await host_of(pool, caller, [package(NOOP)], {})
            await host.open(spec(session))
            hosts.append(host)
        with pytest.raises(HostError, match="too many"):
            await host_of(pool, "carl", [package(NOOP)], {})
        await hosts[1].close(1, "done")
        await hosts[0].close(0, "done")
        carl = await host_of(pool, "carl", [package(NOOP)], {})
        assert isinstance(await carl.open(spec(2)), Resume)
        assert not hosts[1].alive
        assert hosts[0].alive
    finally:
        await pool.stop()


async def test_one_caller_s_hosts_make_room_among_themselves_only(run_dir: Path) -> None:
    pool = HostPool(run_dir, TOKENIZER, max_hosts=4, max_caller_hosts=2)
    await pool.start()
    try:
        chains = [[package(f"'{name}'\nreturn None")] for name in "abc"]
        bert = await host_of(pool, "bert", chains[0], {})
        hosts = []
        for session, chain in enumerate(chains[:2]):
            hosts.append(await host_of(pool, "anna", chain, {}))
            await hosts[-1].open(spec(session))
        with pytest.raises(HostError, match="all 2 that one user may have"):
            await host_of(pool, "anna", chains[2], {})
        assert await host_of(pool, "anna", chains[0], {}) is hosts[0]
        await hosts[1].close(1, "done")
        third = await host_of(pool, "anna", chains[2], {})
        assert isinstance(await third.open(spec(2)), Resume)
        assert [host.alive for host in (*hosts, bert)] == [True, False, True]
    finally:
        await pool.stop()


async def test_a_host_is_kept_for_those_who_wait_to_open_and_for_nobody_else(
    run_dir: Path,
) -> None:
    pool = HostPool(run_dir, TOKENIZER, max_hosts=1)
    await pool.start()
    try:
        async with pool.acquire("anna", [package(NOOP)], {}) as host:
            await host.open(spec(1))
            await host.close(1, "done")
            with pytest.raises(HostError, match="too many"):
                await host_of(pool, "bert", [package(NOOP)], {})
            assert isinstance(await host.open(spec(2)), Resume)
            await host.close(2, "done")
        await host_of(pool, "bert", [package(NOOP)], {})
        assert not host.alive
    finally:
        await pool.stop()


async def test_a_full_pool_gives_nobody_a_host_that_it_stops(run_dir: Path) -> None:
    pool = HostPool(run_dir, TOKENIZER, max_hosts=2)
    await pool.start()

    async def one(session: int) -> bool:
        """Whether there was room: then the session was served."""
        chain = [package(f"'{session % 5}'\nreturn None")]
        try:
            async with pool.acquire("anna", chain, {}) as host:
                await asyncio.sleep(0.01)  # Its prompt becomes tokens.
                await host.open(spec(session))
                await host.close(session, "done")
                return True
        except HostError as error:
            if "too many" not in str(error):
                raise
            return False

    try:
        served = [
            await asyncio.gather(*(one(10 * turn + n) for n in range(5))) for turn in range(8)
        ]
        assert all(any(turn) for turn in served)
    finally:
        await pool.stop()


async def test_nothing_is_left_after_stop(run_dir: Path) -> None:
    pool = HostPool(run_dir, TOKENIZER, terms=Terms(trusted=True))
    await pool.start()
    host = await hosted(pool, "import subprocess; subprocess.Popen(['sleep', '60'])\nreturn None")
    looping = await host_of(pool, "bert", [package("while True: pass")], {})
    await host.open(spec(1))
    waiting = asyncio.create_task(looping.open(spec(2)))
    await asyncio.sleep(0.05)
    zygote = pool.zygote_pid
    assert zygote is not None
    await pool.stop()
    with pytest.raises(HostError, match="stopping"):
        await waiting
    await until_dead(zygote, host.pid, looping.pid)
    assert run_dir.name not in os.listdir(run_dir.parent)


async def test_the_zygote_has_one_thread_and_none_of_the_servers_secrets(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    pool = HostPool(run_dir, TOKENIZER)
    await pool.start()
    assert pool.zygote_pid is not None
    assert "Threads:\t1\n" in process(pool.zygote_pid, "status")
    assert "secret" not in process(pool.zygote_pid, "environ")
    await pool.stop()


async def test_a_host_holds_no_descriptor_of_its_siblings(pool: HostPool) -> None:
    await host_of(pool, "bert", [package(NOOP)], {})
    host = await hosted(pool, NOOP)
    kinds = sorted(target.split(":")[0] for target in descriptors(host.pid))
    assert kinds == ["/dev/null", "anon_inode", "socket", "socket"]


SERVER = """
import asyncio, sys
from pathlib import Path
from mods.runtime.host.pool import HostPool
from tests.mods.runtime.host.acting import NOOP, hosted

async def main():
    pool = HostPool(Path(sys.argv[1]), Path(sys.argv[2]))
    await pool.start()
    host = await hosted(pool, NOOP)
    print(pool.zygote_pid, host.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_no_process_outlives_an_api_process_that_is_killed(run_dir: Path) -> None:
    root = str(TOKENIZER.parents[2])
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, str(run_dir), str(TOKENIZER)),
        env={**os.environ, "PYTHONPATH": root},
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    pids = [int(pid) for pid in (await server.stdout.readline()).split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    server.kill()
    await server.wait()
    await until_dead(*pids)


def test_a_run_folder_whose_path_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="socket paths of"):
        HostPool(Path("/tmp") / ("x" * 100), TOKENIZER)
