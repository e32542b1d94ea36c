"""A start that cannot succeed says why in one line, with a status, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from server.demo import MODEL_PATH
from tests.engine.live import free_port, serving


def start(home: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Try to serve, and wait for it to give up."""
    return subprocess.run(
        [sys.executable, "-m", "server.cli", "serve", *options],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "CONCORDANCE_HOME": str(home), **environment},
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why; there is no traceback beside it."""
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    lines = [x for x in done.stderr.splitlines() if x.strip() and not x.startswith("Loading ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert port in complaint(start(tmp_path, "--port", port))


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    done = start(tmp_path, CONCORDANCE_SOFT_DEADLINE="3")
    assert "CONCORDANCE_SOFT_DEADLINE" in complaint(done)
    assert done.returncode == 2


def test_a_malformed_setting_is_named(tmp_path: Path) -> None:
    assert "CONCORDANCE_PORT" in complaint(start(tmp_path, CONCORDANCE_PORT="many"))


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing")
    assert missing in complaint(start(tmp_path, "--model", missing))


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in MODEL_PATH.iterdir():
        content = file.read_bytes()
        (broken / file.name).write_bytes(content[:1000] if "safetensors" in file.name else content)
    line = complaint(start(tmp_path, "--port", str(free_port()), "--model", str(broken)))
    assert str(broken) in line


def test_too_little_memory_is_one_line(tmp_path: Path) -> None:
    done = start(tmp_path, "--port", str(free_port()), "--kv-cache-memory-bytes", "4096")
    assert "memory" in complaint(done).lower()


def test_an_engine_option_that_is_none_is_one_line(tmp_path: Path) -> None:
    line = complaint(start(tmp_path, "--port", str(free_port()), "--no-such-option", "1"))
    assert "--no-such-option" in line


def test_a_broken_mod_in_the_folder_stops_the_start(tmp_path: Path) -> None:
    mods = tmp_path / "mods"
    mods.mkdir()
    (mods / "broken.py").write_text("def x(:\n")
    line = complaint(start(tmp_path, "--port", str(free_port()), "--mods", str(mods)))
    assert "broken" in line


@pytest.mark.parametrize("key", ["secret-key"])
def test_a_folder_of_mods_and_a_key_are_served(tmp_path: Path, key: str) -> None:
    mods = tmp_path / "mods"
    mods.mkdir()
    (mods / "shout.py").write_text(
        "from mods.sdk import Prefilled, mod\n\n\n@mod\ndef shout(event, actions, tokenizer):\n"
        "    if isinstance(event, Prefilled):\n        return actions.force_output('HEY')\n"
    )
    with serving(
        tmp_path / "home", "--mods", str(mods), "--api-key", key, "--max-model-len", "512"
    ) as server:
        body = {"model": "concordance/demo/shout", "prompt": "x"}
        assert server.post("/v1/completions", body).status_code == 401
        assert httpx.get(f"{server.url}/v1/mods").status_code == 401
        for headers in ({"Authorization": f"Bearer {key}"}, {"X-User-Api-Key": key}):
            answer = server.post("/v1/completions", body, headers=headers)
            assert answer.status_code == 200, answer.text
            assert answer.json()["choices"][0]["text"] == "HEY"
