"""Which imports are allowed, and what an upload with another one is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mods.runtime.files import PackageError
from mods.runtime.host.imports import Imports, standard
from mods.runtime.host.pool import HostPool
from mods.runtime.package import Package
from tests.mods.runtime.host.acting import NOOP, hosted, package, spec
from tests.mods.runtime.host.conftest import TOKENIZER

DEFAULT = Imports(("stdlib", "numpy"))


def importing(source: str) -> list[Package]:
    return [package(NOOP, before=source)]


@pytest.mark.parametrize(
    "source",
    [
        "import json, os.path, xml.etree.ElementTree",
        "import numpy.linalg as algebra",
        "from mods.sdk import Added",
        "from quote_mod_sdk.actions import ActionBuilder",
        "from shared.types import Added",
        "try:\n    import torch\nexcept ImportError:\n    torch = None",
        "try:\n    import torch\nexcept (ValueError, ModuleNotFoundError):\n    pass",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
        "import helper",
        "import tested.mod",
    ],
)
def test_these_imports_are_allowed(source: str) -> None:
    DEFAULT.check(importing(source), {"helper.py": "import math"})


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import torch", "torch"),
        ("import json, torch.nn", "torch.nn"),
        ("from vllm.engine import x", "vllm.engine"),
        ("def f():\n    import torch", "torch"),
        ("try:\n    import torch\nexcept ValueError:\n    pass", "torch"),
        ("try:\n    pass\nexcept ImportError:\n    import torch", "torch"),
        ("if 1:\n    import server", "server"),
        ("import _ctypes", "_ctypes"),
        ("import tkinter", "tkinter"),
    ],
)
def test_these_are_not_and_the_upload_says_which_and_what_is_allowed(
    source: str, name: str
) -> None:
    with pytest.raises(PackageError, match=rf"imports '{name}' \(mod\.py, line \d+\)") as refused:
        DEFAULT.check(importing(source), {})
    assert "the standard library, numpy, the SDK" in str(refused.value)
    assert refused.value.line is not None


def test_helper_modules_are_looked_at_too() -> None:
    with pytest.raises(PackageError, match=r"imports 'torch' \(shared/helper\.py, line 1\)"):
        DEFAULT.check(importing("import helper"), {"helper.py": "import torch"})


def test_a_list_without_the_standard_library_is_meant_so() -> None:
    narrow = Imports(("json", "math"))
    narrow.check(importing("import json"), {})
    with pytest.raises(PackageError, match="they may import json, math, the SDK"):
        narrow.check(importing("import os"), {})


def test_a_source_that_cannot_be_parsed_is_left_to_the_loader() -> None:
    broken = Package("x", {"mod.py": "def ("}, "mod:x", "", "digest")
    DEFAULT.check([broken], {})


def test_all_that_is_allowed_is_in_memory_before_any_mod_is() -> None:
    script = """
import sys
from mods.runtime.host.imports import Imports, standard
Imports(("stdlib", "numpy")).preload()
print(" ".join(sorted(standard() - set(sys.modules))))
print(" ".join(name for name in ("numpy.random", "numpy.linalg", "encodings.cp1252",
      "quote_mod_sdk.types", "email.mime.text", "asyncio") if name not in sys.modules))
print(" ".join(name for name in ("torch", "mypy", "hypothesis", "pytest", "mods.sdk.testing",
      "tkinter", "antigravity", "this") if name in sys.modules))
"""
    root = str(TOKENIZER.parents[2])
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": root},
        capture_output=True,
        check=True,
        text=True,
    )
    assert told.stdout.split("\n")[:3] == ["", "", ""]


def test_the_standard_library_is_most_of_it() -> None:
    assert len(standard()) > 120
    assert {"json", "re", "math", "asyncio", "dataclasses", "__future__"} <= standard()


async def test_what_is_allowed_can_be_imported_late_and_used(pool: HostPool) -> None:
    body = (
        "import csv, decimal, difflib, hashlib, sqlite3, statistics, textwrap, unicodedata, zlib\n"
        "import numpy as np\n"
        "base = sqlite3.connect(':memory:')\n"
        "base.execute('create table t (x)')\n"
        "print(hashlib.sha256(b'x').hexdigest()[:6], 'é'.encode('cp1252'))\n"
        "print(np.random.default_rng(1).integers(9), np.linalg.det(np.eye(3)), np.fft.fft([1]))\n"
        "import datetime, time, uuid\n"
        "print(datetime.datetime.now().astimezone().year > 2000, len(str(uuid.uuid4())))\n"
        "print(time.strftime('%Y') > '2000', tokenizer.decode(tokenizer.encode('hello')))\n"
        "async def ask():\n"
        "    await asyncio.sleep(0)\n"
        "    return 'awaited'\n"
        "import asyncio\n"
        "print(asyncio.run(ask()))\n"
        "return actions.noop()"
    )
    host = await hosted(pool, body, "events=['Prefilled']")
    await host.open(spec(1))
    logs = [line["text"] for line in (await host.close(1, "done"))["logs"]]
    assert logs == [
        "2d7116 b'\\xe9'",
        "4 1.0 [1.+0.j]",
        "True 36",
        "True hello",
        "awaited",
    ]


async def test_a_traceback_shows_the_mod_s_own_lines(pool: HostPool) -> None:
    host = await hosted(pool, "value = 1\nraise ValueError('no luck')", "events=['Prefilled']")
    await host.open(spec(1))
    failure = (await host.close(1, "error"))["failures"][0]
    assert "raise ValueError('no luck')" in failure["traceback"]
