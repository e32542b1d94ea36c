"""What the documentation shows is true: its mods load and keep the laws, its commands exist."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.main import get_command

import mods.sdk
from mods.runtime.compile import Traits
from mods.runtime.load import load_chain
from mods.runtime.package import Package
from mods.runtime.rehearsal import Scene
from mods.runtime.seat import LoadedMod
from mods.sdk.actions import LEGAL
from mods.sdk.errors import BY_TYPE
from mods.sdk.testing import (
    HashModel,
    ScriptedEngine,
    TextModel,
    check_laws,
    rehearse,
    spec_for,
)
from mods.sdk.testing.check import TROUBLES
from server.api.model_string import split_model
from server.cli.app import app
from server.demo import MODEL_NAME
from tests.mods.sdk.playing import play

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

_ALL = re.MULTILINE | re.DOTALL

TEXT = "Well!! I cannot say. No!"
"""What the scripted model writes: something that each mod of the documentation has to do with."""
LIMITS = {"short_prompts": ("x" * 1001, "1001 tokens are too many")}
"""Mods that do something to some requests only: a prompt, and what the client is told."""
ASKED = [{"role": "user", "content": "How is the weather?"}]


def snippets(*names: str) -> list[str]:
    """The Python blocks of these pages."""
    text = "\n".join((ROOT / name).read_text() for name in names)
    return re.findall(r"^```python\n(.*?)^```", text, _ALL)


def name_of(source: str) -> str:
    found = re.search(r"^@mod.*\n(?:async )?def (\w+)", source, re.MULTILINE)
    assert found is not None
    return found[1]


SNIPPETS = snippets("README.md", "docs/mods.md", "docs/migrating-from-quote.md")
WHOLE = {name_of(source): source for source in SNIPPETS if "@mod" in source}
HELD = {name: source for name, source in WHOLE.items() if "constrain(" in source}
"""Mods under whose constraints the model's text is played, token by token."""
MODS = {name: source for name, source in WHOLE.items() if name not in HELD}
ELSEWHERE = {"docs/strategies.md": "tests/mods/sdk/test_strategies_page.py"}
"""Pages whose blocks another test runs, every one."""
TESTS = [source for source in SNIPPETS if "check_laws" in source]
CLIENTS = [source for source in SNIPPETS if "OpenAI" in source]


def load(name: str) -> list[LoadedMod]:
    return load_chain([Package.from_source(WHOLE[name], path=f"{name}.py")], {})


def test_every_python_block_is_run_by_one_of_these_tests() -> None:
    assert len(SNIPPETS) == len(WHOLE) + len(TESTS) + len(CLIENTS)
    pages = ["README.md", "docs/mods.md", "docs/migrating-from-quote.md", *ELSEWHERE]
    others = [str(page.relative_to(ROOT)) for page in PAGES]
    assert not snippets(*(page for page in others if page not in pages))
    assert all((ROOT / test).exists() for test in ELSEWHERE.values())
    assert {"ahoy", "calm"} <= set(MODS)
    assert TESTS
    assert CLIENTS


def test_the_first_mod_has_ten_lines_at_most() -> None:
    assert len(MODS["ahoy"].splitlines()) <= 10


@pytest.mark.parametrize("name", MODS)
def test_a_documented_mod_keeps_the_laws_on_random_text(name: str) -> None:
    for trouble in TROUBLES:
        engine = ScriptedEngine(HashModel("ab! .\n", eos_bonus=-2.0), trouble=trouble)
        check_laws(load(name), engine=engine, max_tokens=40, conversation=ASKED)


@pytest.mark.parametrize("name", MODS)
def test_a_documented_mod_keeps_the_laws_on_a_written_text(name: str) -> None:
    for prompt in ("hi", "a longer prompt"):
        engine = ScriptedEngine(TextModel(TEXT, len(prompt)))
        check_laws(load(name), engine=engine, prompts=[prompt], max_tokens=60, conversation=ASKED)


@pytest.mark.parametrize("name", MODS)
def test_a_documented_mod_does_something(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    scene = Scene(prompt="hi", text=TEXT, max_tokens=60, messages=ASKED, laws=False)
    came = rehearse(load(name), scene)
    assert came.status == 200, came.message
    assert came.actions or capsys.readouterr().out or name in LIMITS


@pytest.mark.parametrize(
    ("name", "plain", "text"),
    [
        ("verdict", "No. I do not.", "No. I do not."),
        ("verdict", "zzz", "No. "),
        ("as_json", '{"city": "Rome"} and more', '{"city": "Rome"} and more'),
    ],
)
def test_a_documented_constraint_holds_and_is_lifted(name: str, plain: str, text: str) -> None:
    (loaded,) = load(name)
    assert play(loaded.handler, plain, {}, reach=0).text.startswith(text)


def test_every_documented_constraint_is_tried() -> None:
    assert set(HELD) == {"verdict", "as_json"}


def test_a_documented_limit_turns_requests_away() -> None:
    for name, (prompt, message) in LIMITS.items():
        outcome = ScriptedEngine(HashModel()).run(spec_for(prompt, 4), load(name))
        assert (outcome.status, message in outcome.message) == (400, True)


def test_a_documented_ban_keeps_its_phrase_out() -> None:
    outcome = ScriptedEngine(TextModel(TEXT, 2)).run(spec_for("hi", 60), load("no_cannot"))
    assert "cannot" in TEXT
    assert b"cannot" not in bytes(outcome.tokens[:-1])
    assert outcome.status == 200


def test_the_guide_has_ten_recipes() -> None:
    below = (ROOT / "docs/mods.md").read_text().split("## Ten recipes", 1)[1]
    recipes = re.findall(r"^\*\*(\d+)\. ", below.split("\n## ", 1)[0], re.MULTILINE)
    assert recipes == [str(number) for number in range(1, 11)]


def test_the_first_mod_begins_every_answer() -> None:
    outcome = ScriptedEngine(TextModel("Ahoy! Yes.", 2)).run(spec_for("hi", 60), load("ahoy"))
    assert bytes(outcome.tokens[:6]) == b"Ahoy! "


@pytest.mark.parametrize("source", TESTS)
def test_the_documented_test_passes(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in MODS.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    tests = [value for name, value in namespace.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


class Chat(BaseHTTPRequestHandler):
    """Streams one answer to any chat request, and remembers what was asked."""

    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for piece in ("Ahoy! ", "Yes."):
            choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
            self.wfile.write(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def chat() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Address of a server that knows one answer, and the requests that it was sent."""
    asked: list[dict[str, Any]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Chat", (Chat,), {"asked": asked}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("source", CLIENTS)
def test_the_documented_client_prints_a_stream(
    source: str,
    chat: tuple[str, list[dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, asked = chat
    assert "localhost:8000" in source
    exec(source.replace("localhost:8000", address), {})
    assert capsys.readouterr().out == "Ahoy! Yes."
    assert asked[0]["model"] == "concordance/demo/ahoy"


def test_the_documented_upload_sends_the_mod(tmp_path: Path) -> None:
    (tmp_path / "ahoy.py").write_text(MODS["ahoy"])
    command = re.search(r"python3 -c '(.+?)' \|", (ROOT / "README.md").read_text())
    assert command is not None
    body = subprocess.run(
        [sys.executable, "-c", command[1]], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    assert Package.from_payload(json.loads(body)).name == "ahoy"


def test_the_documented_chat_names_the_model_and_the_mod() -> None:
    body = re.search(r"chat/completions .*?-d '(\{.*?\})'$", (ROOT / "README.md").read_text(), _ALL)
    assert body is not None
    asked = json.loads(body[1])
    assert split_model(asked["model"], [MODEL_NAME]) == (MODEL_NAME, ["ahoy"])
    assert asked["messages"]


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"(?:^    |`)make ([a-z]+)", text, re.MULTILINE))
    assert {"serve", "test"} <= named <= targets


def test_every_command_that_is_named_exists() -> None:
    top: Any = get_command(app)
    text = "\n".join(page.read_text() for page in PAGES)
    for first, second in re.findall(r"concai (\w+)(?: (\w+))?", text):
        assert first in top.commands
        if first == "mod" and second:
            assert second in top.commands["mod"].commands


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        if not target.startswith("http") and not leads_somewhere(page, target)
    ]
    assert not broken


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    if not file.exists():
        return False
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if anchor else []
    return not anchor or anchor in map(anchor_of, headings)


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_a_dead_link_would_be_found() -> None:
    assert not leads_somewhere(PAGES[0], "docs/nowhere.md")
    assert not leads_somewhere(PAGES[0], "docs/cli.md#nowhere")
    assert leads_somewhere(PAGES[0], "docs/cli.md#mod-upload")


def rows(page: str, heading: str) -> list[Sequence[str]]:
    """The cells of the first table below a heading."""
    below = (ROOT / page).read_text().split(f"\n## {heading}\n", 1)[1]
    table = re.search(r"^\|.*?(?=\n\n)", below, _ALL)
    assert table is not None
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[0].split("\n")[2:]]


REFERENCE = runpy.run_path(str(ROOT / "docs" / "reference" / "generate.py"))


@pytest.mark.parametrize("name", REFERENCE["PAGES"])
def test_the_reference_is_what_the_docstrings_say(name: str) -> None:
    kept = (ROOT / "docs" / "reference" / f"{name}.md").read_text()
    current = REFERENCE["page"](name)
    assert kept == current, "run `python docs/reference/generate.py`"


def test_the_reference_has_every_name_that_authors_import() -> None:
    text = (ROOT / "docs" / "reference" / "sdk.md").read_text()
    told = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
    assert {"Confidence", *mods.sdk.__all__} - told <= {"mod"}


def test_the_table_of_legal_actions_is_the_code_s() -> None:
    spellings = {"bias", "allow", "ban", "constrain"}  # of adjust_logits
    documented = {
        event: set(re.findall(r"`(\w+)`", actions)) - spellings
        for events, actions in rows("docs/mods.md", "Actions")
        for event in re.findall(r"`(\w+)`", events)
    }
    assert documented == {event: {kind.name for kind in kinds} for event, kinds in LEGAL.items()}


def test_every_type_of_error_is_documented_with_its_status() -> None:
    documented = {cells[2].strip("`"): int(cells[1]) for cells in rows("docs/mods.md", "Errors")}
    wanted = {kind: error.status for kind, error in BY_TYPE.items() if kind != "mod_error"}
    assert wanted.items() <= documented.items()


def test_documented_traits_are_what_the_runtime_finds() -> None:
    traits: dict[str, Traits] = {name: load(name)[0].traits for name in WHOLE}
    assert {name: found.reach for name, found in traits.items() if found.reach != 0} == {
        "one_mark": 4,
        "no_cannot": 8,
    }
    assert {name for name, found in traits.items() if found.confidence} == {"settled", "honest"}
    assert {name for name, found in traits.items() if found.logits} == {"decided"}
