"""The lock and its trial: what holds is told, what does not is noticed, and then nothing starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mods.runtime.host.confine.sandbox import Sandbox
from mods.runtime.host.confine.terms import Terms
from mods.runtime.host.frames import frame
from mods.runtime.host.nursery import Nursery
from mods.runtime.host.pool import HostPool
from mods.runtime.host.protocol import Ready
from mods.sdk.errors import HostError
from tests.mods.runtime.host.acting import NOOP, host_of, hosted, process
from tests.mods.runtime.host.conftest import TOKENIZER

LAYERS = {
    "descriptors",
    "environment",
    "files",
    "kernel",
    "memory",
    "network",
    "others",
    "privileges",
    "processes",
}

TRIAL = """
import json, os, sys
from mods.runtime.host.confine import filter, landlock, limits, lock, user
from mods.runtime.host.confine.terms import Terms
from mods.runtime.host.confine.trial import try_out

def missing(*_):
    raise OSError(38, "not here")

{before}
print(json.dumps(try_out(Terms(memory=64 * 2**20)).as_dict()))
"""


def tried(before: str = "") -> dict[str, object]:
    """What a trial tells, in a process of its own, after some part of the sandbox was changed."""
    root = str(TOKENIZER.parents[2])
    told = subprocess.run(
        [sys.executable, "-c", TRIAL.format(before=before)],
        cwd=root,
        env={"PYTHONPATH": root},
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, object] = json.loads(told.stdout)
    return found


def test_every_layer_holds_here() -> None:
    found = tried()
    assert found["on"] is True, found["broken"]
    assert set(found["holds"]) == LAYERS  # type: ignore[call-overload]


def test_landlock_is_a_second_fence_and_may_be_missing() -> None:
    found = tried("landlock.restrict = missing")
    assert (found["on"], found["landlock"]) == (True, "missing")


def test_a_server_that_is_not_root_is_confined_as_well() -> None:
    found = tried("os.geteuid() or (os.setgroups([]), os.setresuid(1234, 1234, 1234))")
    assert found["on"] is True
    assert found["user"] == "the server's, which is not root"


@pytest.mark.parametrize(
    ("before", "layer", "words"),
    [
        ("filter.install = lambda pid: None", "files", "looking up"),
        ("filter.install = lambda pid: None", "network", "UNIX"),
        ("lock.limit = lambda memory: None", "memory", "more than its share"),
        ("lock.limit = lambda memory: None", "descriptors", "opening more"),
        ("lock.KEPT = ('LANG', 'TZ', 'PYTHONPATH')", "environment", "reading it"),
        ("filter.install = missing", "lock", "not here"),
        ("filter.install = os._exit", "trial", "no answer"),
    ],
)
def test_a_layer_that_is_missing_is_noticed(before: str, layer: str, words: str) -> None:
    found = tried(before)
    assert found["on"] is False
    assert words in found["broken"][layer]  # type: ignore[index]


def test_what_is_told_fits_on_a_page() -> None:
    assert Sandbox(trusted=True).as_dict() == {"on": False, "why": "mods are trusted"}
    broken = Sandbox(["files"], {"network": "not refused: INET"}, {"landlock": "missing"})
    assert not broken.closed
    assert broken.as_dict()["landlock"] == "missing"
    assert str(broken) == "network: not refused: INET"


async def test_a_pool_tells_what_holds(pool: HostPool) -> None:
    assert set(pool.sandbox.holds) == LAYERS
    assert pool.sandbox.closed


async def test_a_pool_does_not_start_where_mods_cannot_be_confined(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = frame(Ready(Sandbox(["network"], {"files": "not refused: reading"})))

    def launch(control: object, *_: object) -> subprocess.Popen[bytes]:
        control.send(told)  # type: ignore[attr-defined]
        return subprocess.Popen(["true"])

    monkeypatch.setattr("mods.runtime.host.nursery._launch", launch)
    pool = HostPool(run_dir, TOKENIZER)
    with pytest.raises(HostError, match=r"files: not refused: reading.*--trust-mods"):
        await pool.start()
    await pool.stop()


async def test_trusted_mods_run_without_a_sandbox(run_dir: Path) -> None:
    pool = HostPool(run_dir, TOKENIZER, terms=Terms(trusted=True))
    await pool.start()
    try:
        assert pool.sandbox.trusted
        host = await hosted(pool, NOOP, before="assert open('/proc/self/status').read()")
        assert "Seccomp:\t0\n" in process(host.pid, "status")
    finally:
        await pool.stop()


async def test_a_host_is_another_user_s_with_a_filter_and_no_new_powers(pool: HostPool) -> None:
    host = await hosted(pool, NOOP)
    status = process(host.pid, "status")
    assert "Seccomp:\t2\n" in status
    assert "NoNewPrivs:\t1\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    other = await host_of(pool, "bert", [], {})
    users = [process(pid, "status").split("Uid:")[1].split()[0] for pid in (host.pid, other.pid)]
    if process(pool.zygote_pid or 0, "status").split("Uid:")[1].split()[0] == "0":
        assert len({*users, "0"}) == 3


def test_a_nursery_knows_nothing_before_it_started() -> None:
    assert not Nursery(lambda *_: None, lambda: None).sandbox.closed
