"""`concai mod test` and `concai mod run --dry`: a mod on disk, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.cli.showing import Shown, in_words, printable, stretches
from tests.server.cli.conftest import Concai
from tests.server.cli.fakes import FakeServer

CALM = '''
from mods.sdk import Sampled, mod

@mod
def calm(event, actions, tokenizer):
    """Calms."""
    if isinstance(event, Sampled) and "!" in tokenizer.decode([event.sampled_token]):
        print("calmed", event.text)
        return actions.force_tokens(".")
    return actions.noop()
'''


@pytest.fixture
def calm(bare_environment: Path) -> Path:
    path = bare_environment / "calm.py"
    path.write_text(CALM)
    return path


def test_a_lawful_mod_passes_and_is_told_what_it_did(concai: Concai, calm: Path) -> None:
    result = concai("mod", "test", calm)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("calm keeps the laws: 16 runs, ")
    assert "force_tokens" in result.stdout
    assert "calmed" not in result.output, "what a mod prints is not this command's to say"


def test_a_mod_that_raises_fails_with_its_story(concai: Concai, calm: Path) -> None:
    calm.write_text(CALM.replace('actions.force_tokens(".")', "1 / 0"))
    result = concai("mod", "test", calm, "--text", "Oh! No.")
    assert result.exit_code == 1
    assert "calm breaks law 8: mod 'calm' at Sampled (step 2) raised ZeroDivision" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Prefilled ")
    assert "    calm: raised ZeroDivisionError: division by zero" in lines


def test_a_mod_that_does_nothing_is_told_how_to_get_it_going(concai: Concai, calm: Path) -> None:
    calm.write_text(CALM.replace('"!"', '"never"'))
    result = concai("mod", "test", calm)
    assert result.exit_code == 0
    assert "no actions" in result.stdout
    assert "--text" in result.stderr


def test_a_folder_is_a_mod_too(concai: Concai, bare_environment: Path) -> None:
    folder = bare_environment / "greeter"
    folder.mkdir()
    (folder / "words.py").write_text("STOP = '.'\n")
    source = CALM.replace('force_tokens(".")', "force_tokens(STOP)")
    (folder / "main.py").write_text(f"from .words import STOP\n{source}")
    assert concai("mod", "test", folder).exit_code == 0


@pytest.mark.parametrize("command", ["test", "run"])
@pytest.mark.parametrize(
    ("source", "complaint"),
    [("def broken(:\n", "line 1"), ("x = 1\n", "no mod"), (f"import nowhere\n{CALM}", "nowhere")],
)
def test_what_is_no_mod_is_one_line(
    concai: Concai, calm: Path, command: str, source: str, complaint: str
) -> None:
    calm.write_text(source)
    more = ["--dry"] if command == "run" else []
    result = concai("mod", command, calm, *more)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert complaint in result.stderr


def test_what_is_not_there_is_said_so(concai: Concai) -> None:
    assert "there is no file or folder nope.py" in concai("mod", "test", "nope.py").stderr


def test_a_dry_run_shows_tokens_by_source_with_the_actions(concai: Concai, calm: Path) -> None:
    result = concai("mod", "run", calm, "--dry", "--text", "No! I think so! Yes")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["0", "model", "No"] in rows
    assert [*["2", "calm", ".", "calm:", "force_tokens(1", "token)", "at", "Sampled"]] in rows
    assert "20 tokens: 18 sampled, 2 forced, 2 erased; ended by stop" in result.stdout
    assert "calm printed: calmed No" in result.stdout


def test_a_dry_run_that_fails_says_why(concai: Concai, calm: Path) -> None:
    calm.write_text(CALM.replace('actions.force_tokens(".")', "1 / 0"))
    result = concai("mod", "run", calm, "--dry", "--text", "Oh!")
    assert result.exit_code == 1
    assert "error: 422: mod 'calm' at Sampled" in result.stderr
    assert "ZeroDivisionError" in result.stdout


def test_a_text_needs_the_scripted_model(concai: Concai, calm: Path) -> None:
    result = concai("mod", "run", calm, "--text", "x")
    assert (result.exit_code, "add --dry" in result.stderr) == (2, True)


RECORD = {
    "tokens": [
        {"id": 1, "text": "Ahoy! ", "origin": "forced", "mod": "calm"},
        {"id": 2, "text": "Paris", "origin": "sampled", "mod": None},
        {"id": 3, "text": " it is.\x1b[31m", "origin": "sampled", "mod": None},
    ],
    "actions": [
        {"mod": "calm", "event": "ForwardPass", "position": 0, "action": "force_tokens",
         "tokens": [1], "n": None, "overridden": False},
    ],
    "prints": [{"mod": "calm", "text": "hello"}],
    "failures": [],
}  # fmt: skip


class Chatting(FakeServer):
    """Answers every chat with one record, and keeps what it was asked."""

    answer_: Any = None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path != "/v1/chat/completions":
            return super().answer(method, path, body)
        self.asked = json.loads(body)
        return 200, self.answer_


WHOLE = {
    "choices": [{"finish_reason": "stop"}],
    "usage": {"sampled_tokens": 2, "forced_tokens": 1, "erased_tokens": 0},
    "mod_record": [RECORD],
}


def test_a_run_on_a_server_uploads_asks_and_shows(concai: Concai, calm: Path) -> None:
    with Chatting() as server:
        server.answer_ = WHOLE
        result = concai("mod", "run", calm, "--prompt", "Where?", "--url", server.url)
    assert result.exit_code == 0, result.output
    assert server.uploads[0]["name"] == "calm"
    assert server.asked["model"] == "concordance/demo/calm"
    assert server.asked["messages"] == [{"role": "user", "content": "Where?"}]
    assert server.asked["mod_record"] is True
    assert "Paris it is." in result.stdout
    assert "\x1b[31m" not in result.stdout
    assert "3 tokens: 2 sampled, 1 forced, 0 erased; ended by stop" in result.stdout


@pytest.mark.parametrize("answer", [{}, {**WHOLE, "mod_record": []}, {**WHOLE, "usage": None}])
def test_a_server_that_tells_no_record_is_said_to_be_old(
    concai: Concai, calm: Path, answer: Any
) -> None:
    with Chatting() as server:
        server.answer_ = answer
        result = concai("mod", "run", calm, "--url", server.url)
    assert (result.exit_code, "tells no mod_record" in result.stderr) == (1, True)


def test_stretches_are_cut_where_the_source_changes() -> None:
    tokens = [
        {"text": text, "mod": mod} for text, mod in zip("abcd", [None, None, "x", "y"], strict=True)
    ]
    told = [(part.start, part.end, part.mod, part.text) for part in stretches(tokens)]
    assert told == [(0, 2, None, "ab"), (2, 3, "x", "c"), (3, 4, "y", "d")]
    assert list(stretches(Shown([]).tokens)) == []


def test_actions_are_told_in_a_few_words() -> None:
    back = {"mod": "m", "event": "Added", "action": "backtrack", "n": 2, "tokens": [1, 2]}
    assert in_words(back) == "m: backtrack(2, 2 tokens) at Added"
    warm = {"mod": "m", "event": "Added", "action": "temperature", "temperature": None}
    assert in_words({**warm, "overridden": True}) == "m: temperature(None) at Added, overridden"
    assert in_words({"action": "cut", "tokens": [1]}) == "cut(1 token) at the end"


def test_nothing_printed_steers_a_terminal() -> None:
    assert printable("a\x1b[2Jb\n\tc\u202e") == "a\ufffd[2Jb\n\tc\ufffd"
