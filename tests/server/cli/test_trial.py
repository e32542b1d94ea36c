"""`concai mod test` and `concai mod run --dry`: a mod on disk, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.cli import run
from server.cli.marks import Marks
from server.cli.showing import Shown, in_words, printable, show
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
    assert result.stdout.startswith("calm keeps laws 0 to 11: 12 runs, ")
    assert "it did: force_tokens " in result.stdout
    assert "calmed" not in result.output, "what a mod prints is not this command's to say"


def test_a_mod_that_raises_fails_with_its_story(concai: Concai, calm: Path) -> None:
    calm.write_text(CALM.replace('actions.force_tokens(".")', "1 / 0"))
    result = concai("mod", "test", calm, "--text", "Oh! No.")
    assert result.exit_code == 1
    told = "calm breaks law 8 (actions are legal, and errors are told): mod 'calm' at Sampled"
    assert f"{told} (step 2) raised ZeroDivision" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "prompt 'Hi', at most 64 tokens; the model writes 'Oh! No.'"
    assert lines[1].startswith("Prefilled ")
    assert "    calm: raised ZeroDivisionError: division by zero" in lines


def test_a_mod_that_does_nothing_is_told_how_to_get_it_going(concai: Concai, calm: Path) -> None:
    calm.write_text(CALM.replace('"!"', '"never"'))
    result = concai("mod", "test", calm)
    assert result.exit_code == 0
    assert "it did: nothing" in result.stdout
    assert "--text" in result.stderr


@pytest.mark.parametrize("line", ["from .words import STOP", "from words import STOP"])
def test_a_folder_is_a_mod_too(concai: Concai, bare_environment: Path, line: str) -> None:
    folder = bare_environment / "greeter"
    folder.mkdir()
    (folder / "words.py").write_text("STOP = '.'\n")
    source = CALM.replace('force_tokens(".")', "force_tokens(STOP)")
    (folder / "main.py").write_text(f"{line}\n{source}")
    result = concai("mod", "test", folder)
    assert result.exit_code == 0, result.output
    assert "force_tokens" in result.stdout
    (folder / "main.py").write_text(f"from .gone import STOP\n{source}")
    refused = concai("mod", "test", folder)
    assert (refused.exit_code, "main.py, line 1" in refused.stderr) == (1, True)


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
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "0 model No" in rows
    assert "2 calm . calm: force_tokens(1 token) at Sampled" in rows
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


def token(text: str, mod: str | None = None) -> dict[str, Any]:
    return {
        "id": sum(text.encode()),
        "text": text,
        "origin": "forced" if mod else "sampled",
        "mod": mod,
    }


def added(position: int, *texts: str, mod: str | None = None, step: int = 0) -> dict[str, Any]:
    return {
        "event": "Added", "step": step, "position": position, "forced": mod is not None, "mod": mod,
        "tokens": [{"id": token(text)["id"], "text": text} for text in texts], "removed": [],
    }  # fmt: skip


def sampled(position: int, text: str, step: int = 0) -> dict[str, Any]:
    drawn = {"id": token(text)["id"], "text": text}
    return {"event": "Sampled", "step": step, "position": position, "token": drawn}


CAME = {
    "tokens": [token("Ahoy! ", "calm"), token("Paris"), token(" it is.\x1b[31m")],
    "events": [
        {"event": "Prefilled", "step": 0, "position": 0},
        {"event": "ForwardPass", "step": 0, "position": 0},
        added(1, "Ahoy! ", mod="calm"),
        sampled(1, "Rome", 1), added(2, "Rome", step=1),
        sampled(1, "Paris", 2), added(2, "Paris", step=2),
        sampled(2, "!", 3), added(3, " it is.\x1b[31m", step=3),
    ],
    "actions": [
        {"mod": "calm", "event": "ForwardPass", "step": 0, "position": 0,
         "action": "force_tokens", "tokens": [1], "n": None, "overridden": False},
        {"mod": "calm", "event": "Added", "step": 1, "position": 2, "action": "backtrack",
         "tokens": [], "n": 1, "overridden": False},
    ],
    "prints": [{"mod": "calm", "text": "hello"}],
    "failures": [],
    "usage": {"sampled_tokens": 2, "forced_tokens": 1, "erased_tokens": 2},
    "finish_reason": "stop",
    "status": 200,
    "message": "",
    "shown": None,
}  # fmt: skip


class Performing(FakeServer):
    """Answers every dry run with one answer, and keeps what it was asked."""

    answer_: Any = CAME
    asked: Any = None

    def __enter__(self) -> Performing:
        super().__enter__()
        return self

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path != "/v1/mods/dry-run":
            return super().answer(method, path, body)
        self.asked = json.loads(body)
        return 200, self.answer_


def test_a_run_on_a_server_asks_once_registers_nothing_and_shows(
    concai: Concai, calm: Path
) -> None:
    with Performing() as server:
        result = concai("mod", "run", calm, "--prompt", "Where?", "--server", server.url)
    assert result.exit_code == 0, result.output
    assert (server.uploads, server.asked["name"]) == ([], "calm")
    assert (server.asked["prompt"], server.asked["stream"]) == ("Where?", False)
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "0 calm Ahoy! calm: force_tokens(1 token) at ForwardPass" in rows
    assert "1 model, erased Rome" in rows
    assert "1 model Paris calm: backtrack(1) at Added" in rows
    assert "2 model, erased !" in rows
    assert "\x1b" not in result.stdout
    assert "3 tokens: 2 sampled, 1 forced, 2 erased; ended by stop" in result.stdout
    assert "calm printed: hello" in result.stdout


def test_a_stream_s_pieces_are_shown_and_a_model_may_be_named(concai: Concai, calm: Path) -> None:
    with Performing() as server:
        server.answer_ = {**CAME, "shown": ["Ahoy! ", "Paris it is."]}
        more = ("--stream", "--model", "base", "--url", server.url)
        result = concai("mod", "run", calm, *more)
    assert "a stream shows: Ahoy!  | Paris it is." in result.stdout
    assert (server.asked["stream"], server.asked["model"]) == (True, "base")


def test_a_folder_is_sent_with_all_its_files(concai: Concai, bare_environment: Path) -> None:
    folder = bare_environment / "greeter"
    folder.mkdir()
    (folder / "words.py").write_text("STOP = '.'\n")
    (folder / "main.py").write_text(f"from .words import STOP\n{CALM}")
    with Performing() as server:
        assert concai("mod", "run", folder, "--server", server.url).exit_code == 0
    assert set(server.asked["files"]) == {"main.py", "words.py"}
    assert server.asked["entrypoint"] == "main:calm"


def test_without_a_server_a_scripted_model_is_asked_and_it_says_so(
    concai: Concai, calm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer() as gone:
        url = gone.url
    monkeypatch.setattr(run, "DEFAULT_URL", url)
    result = concai("mod", "run", calm)
    assert result.exit_code == 0, result.output
    assert f"no server answers at {url}: a scripted model is asked" in result.stderr
    assert "; ended by " in result.stdout


def test_a_server_that_was_named_must_be_there(concai: Concai, calm: Path) -> None:
    with FakeServer() as gone:
        url = gone.url
    result = concai("mod", "run", calm, "--server", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "start one with `make serve`" in result.stderr


def test_a_failed_run_shows_what_came_and_says_why(concai: Concai, calm: Path) -> None:
    with Performing() as server:
        server.answer_ = {**CAME, "status": 422, "message": "mod 'calm' raised"}
        result = concai("mod", "run", calm, "--server", server.url)
    assert (result.exit_code, "error: 422: mod 'calm' raised" in result.stderr) == (1, True)
    assert "Paris" in result.stdout


@pytest.mark.parametrize("answer", [{}, {**CAME, "usage": None}, {**CAME, "events": 3}])
def test_a_server_that_tells_no_dry_run_is_said_to_be_old(
    concai: Concai, calm: Path, answer: Any
) -> None:
    with Performing() as server:
        server.answer_ = answer
        result = concai("mod", "run", calm, "--server", server.url)
    assert (result.exit_code, "tells no dry run" in result.stderr) == (1, True)


def screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a terminal would be sent."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    show(Shown(CAME["tokens"], CAME["events"], CAME["actions"]))  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_on_a_terminal_mods_have_colours_and_what_was_erased_is_struck_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = screen(monkeypatch, capsys)
    assert "\x1b[36mAhoy!" in shown
    assert "\x1b[9mRome" in shown


def test_with_no_color_nothing_is_styled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in screen(monkeypatch, capsys)


def written(tokens: list[Any], events: list[Any]) -> list[tuple[int, str, str | None, bool]]:
    marks = Marks(tokens, events).stretches()
    return [(part.start, part.text, part.mod, part.erased) for part in marks]


def test_stretches_are_cut_where_the_source_changes() -> None:
    tokens = [token("a"), token("b"), token("c", "x"), token("d", "y")]
    assert written(tokens, []) == [
        (0, "ab", None, False), (2, "c", "x", False), (3, "d", "y", False),
    ]  # fmt: skip
    assert written([], []) == []


def test_what_replaced_all_output_stands_behind_what_it_replaced() -> None:
    events = [sampled(0, "a"), added(1, "a"), {"event": "Finished", "step": 0, "position": 2}]
    tokens = [token("No", "m"), token(".", "m")]
    assert written(tokens, events) == [(0, "a", None, True), (0, "No.", "m", False)]


def test_tokens_that_no_event_told_of_are_there_all_the_same() -> None:
    events = [added(1, "a"), added(4, "d")]
    tokens = [token(letter) for letter in "abcde"]
    assert written(tokens, events) == [(0, "abcde", None, False)]


def test_actions_are_told_in_a_few_words() -> None:
    back = {"mod": "m", "event": "Added", "action": "backtrack", "n": 2, "tokens": [1, 2]}
    assert in_words(back) == "m: backtrack(2, 2 tokens) at Added"
    warm = {"mod": "m", "event": "Added", "action": "temperature", "temperature": None}
    assert in_words({**warm, "overridden": True}) == "m: temperature(None) at Added, overridden"
    assert in_words({"action": "cut", "tokens": [1]}) == "cut(1 token) at the end"


def test_nothing_printed_steers_a_terminal() -> None:
    assert printable("a\x1b[2Jb\n\tc\u202e") == "a\ufffd[2Jb\n\tc\ufffd"
