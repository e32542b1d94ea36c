from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.keys.audit import Audit


def test_each_event_is_a_line_of_json_for_the_server_s_user_only(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: audit.write("request", number=n, path="/a\nb" * 50), range(200)))
    lines = [json.loads(line) for line in audit.path.read_text().splitlines()]
    assert sorted(line["number"] for line in lines) == list(range(200))
    assert all({"time", "event"} <= line.keys() for line in lines)
    assert stat.S_IMODE(audit.path.stat().st_mode) == 0o600


def test_what_cannot_be_written_is_logged_and_hurts_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").write_text("a file")
    Audit(tmp_path).write("request")
    assert "cannot be written" in caplog.text
