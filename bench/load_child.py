"""The load generator that vLLM ships, in a process of its own: `bench.child` runs it.

    python -m bench.load_child

A question is a list of its command line's arguments, as `options`; the answer is what it writes
as its result. It loads its libraries once and is asked many times.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from vllm.benchmarks import serve
from vllm.utils.argparse_utils import FlexibleArgumentParser

from bench.child import answer_all


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Run once against one server. Returns its result without the lists of every request."""
    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    with tempfile.TemporaryDirectory() as folder:
        where = ["--save-result", "--result-dir", folder, "--result-filename", "result.json"]
        serve.main(parser.parse_args([*question["options"], *where]))
        result = json.loads((Path(folder) / "result.json").read_text())
    return {name: value for name, value in result.items() if not isinstance(value, (list, dict))}


if __name__ == "__main__":
    answer_all(answer)
