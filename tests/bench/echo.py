"""A child that gives back what it was asked, and ends when it is told to."""

from __future__ import annotations

import sys
from typing import Any

from bench.child import answer_all


def echo(question: dict[str, Any]) -> dict[str, Any]:
    if "end" in question:
        sys.exit(question["end"])
    print("what libraries say in between")
    return {"said": question, "arguments": sys.argv[1:]}


if __name__ == "__main__":
    answer_all(echo)
