"""Log lines as JSON."""

from __future__ import annotations

import json
import logging
import sys

from server.json_lines import JsonLines


def line(message: str, *values: object, error: bool = False) -> dict[str, str]:
    raised = sys.exc_info() if error else None
    record = logging.LogRecord("concordance", logging.WARNING, "", 1, message, values, raised)
    told: dict[str, str] = json.loads(JsonLines().format(record))
    return told


def test_a_line_is_an_object_with_its_time_level_logger_and_message() -> None:
    told = line("%s\nhas\t%d", "é", 3)
    assert (told["level"], told["logger"], told["message"]) == (
        "warning",
        "concordance",
        "é\nhas\t3",
    )
    assert told["time"].endswith("+00:00")


def test_an_exception_is_told_with_its_traceback() -> None:
    try:
        raise KeyError("lost")
    except KeyError:
        told = line("it failed", error=True)
    assert "KeyError: 'lost'" in told["error"]
