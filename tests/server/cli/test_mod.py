"""`concai mod` finds the entry point itself, and says in one line what went wrong and where."""

from pathlib import Path

import pytest

from tests.server.cli.conftest import Concai
from tests.server.cli.fakes import FakeServer

AHOY = '''"""Greets."""
from mods.sdk import mod

raise SystemExit("this file was run")

@mod
def ahoy(event, actions, tokenizer):
    """Begins with Ahoy.

    Always."""
    return actions.noop()
'''


TWO = """from mods.sdk import mod

@mod
def one(event, actions, tokenizer): ...

@mod
def two(event, actions, tokenizer): ...
"""


@pytest.fixture
def ahoy(bare_environment: Path) -> Path:
    path = bare_environment / "first_mod.py"
    path.write_text(AHOY)
    return path


def test_upload_prints_the_model_string_and_runs_nothing(
    concai: Concai, running: FakeServer, ahoy: Path
) -> None:
    result = concai("mod", "upload", "--file-name", ahoy, "--url", running.url)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "model: concordance/demo/ahoy"
    assert running.uploads[0]["entrypoint"] == "first_mod:ahoy"
    assert running.uploads[0]["files"] == {"first_mod.py": AHOY}


def test_upload_says_when_it_replaced_a_mod(
    concai: Concai, running: FakeServer, ahoy: Path
) -> None:
    for done in ("uploaded", "replaced"):
        result = concai("mod", "upload", "--file-name", ahoy, "--url", running.url)
        assert result.stdout.startswith(f"{done} ahoy, entry point first_mod:ahoy\n")


def test_upload_asks_for_the_base_name_where_the_server_does_not_say_the_model(
    concai: Concai, running: FakeServer, ahoy: Path
) -> None:
    running.says_model = False
    result = concai("mod", "upload", "--file-name", ahoy, "--url", running.url)
    assert result.stdout.splitlines()[-1] == "model: concordance/demo/ahoy"


def test_upload_of_a_folder_takes_every_file_in_it(
    concai: Concai, running: FakeServer, bare_environment: Path
) -> None:
    folder = bare_environment / "greeter"
    folder.mkdir()
    (folder / "words.py").write_text("AHOY = 'Ahoy! '\n")
    (folder / "main.py").write_text(AHOY)
    result = concai("mod", "upload", "--dir", folder, "--name", "sailor", "--url", running.url)
    assert result.exit_code == 0, result.output
    assert sorted(running.uploads[0]["files"]) == ["main.py", "words.py"]


def test_the_key_goes_along(concai: Concai, running: FakeServer, ahoy: Path) -> None:
    key = ("--url", running.url, "--user-api-key", "me")
    concai("mod", "upload", "--file-name", ahoy, *key)
    concai("mod", "list", *key)
    assert running.keys == ["me", "me"]


def test_list_show_and_rm(concai: Concai, running: FakeServer, ahoy: Path) -> None:
    at = ("--url", running.url)
    concai("mod", "upload", "--file-name", ahoy, *at)
    assert concai("mod", "list", *at).stdout == "ahoy  Begins with Ahoy.\n"
    shown = concai("mod", "show", "ahoy", *at).stdout
    assert "entry:       first_mod:ahoy\n" in shown
    assert "files:       first_mod.py\n" in shown
    assert "reach:       -\n" in shown
    assert concai("mod", "rm", "ahoy", *at).stdout == "removed ahoy\n"
    assert running.mods == {}


def test_an_unknown_mod_is_the_servers_own_message(concai: Concai, running: FakeServer) -> None:
    for command in ("show", "rm"):
        result = concai("mod", command, "nobody", "--url", running.url)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "error: there is no mod 'nobody'; there are: none\n"


def test_a_refusal_is_printed_with_its_line(
    concai: Concai, running: FakeServer, ahoy: Path
) -> None:
    running.refusal = (400, {"error": {"message": "no such event", "file": "a.py", "line": 7}})
    result = concai("mod", "upload", "--file-name", ahoy, "--url", running.url)
    assert (result.exit_code, result.stderr) == (1, "error: a.py, line 7: no such event\n")


@pytest.mark.parametrize("body", ["oh no", "[]", '{"error": "x"}'])
def test_a_refusal_in_no_known_shape_is_its_status(
    body: str, concai: Concai, running: FakeServer
) -> None:
    running.refusal = (502, body)
    result = concai("mod", "list", "--url", running.url)
    assert (result.exit_code, result.stderr) == (1, "error: the server answered 502 Bad Gateway\n")


@pytest.mark.parametrize("body", ["hello", "[]", '{"data": 3}', '{"data": [3]}'])
def test_an_answer_of_another_kind_of_server_is_said_to_be_one(
    body: str, concai: Concai, running: FakeServer
) -> None:
    running.refusal = (200, body)
    result = concai("mod", "list", "--url", running.url)
    assert result.exit_code == 1
    assert result.stderr.endswith("is it a Concordance server?\n")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [("def broken(:\n", "line 1"), ("x = 1\n", "no mod"), (TWO, "two")],
    ids=["does not parse", "no entry point", "two entry points"],
)
def test_a_file_that_is_no_mod_is_refused_before_anything_is_sent(
    source: str, complaint: str, concai: Concai, running: FakeServer, bare_environment: Path
) -> None:
    path = bare_environment / "wrong.py"
    path.write_text(source)
    result = concai("mod", "upload", "--file-name", path, "--url", running.url)
    assert (result.exit_code, result.stdout, running.mods) == (1, "", {})
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


def test_upload_needs_a_file_or_a_folder_and_not_both(concai: Concai, ahoy: Path) -> None:
    for arguments in ((), ("--file-name", ahoy, "--dir", ahoy.parent)):
        result = concai("mod", "upload", *arguments)
        assert (result.exit_code, "--file-name or --dir" in result.stderr) == (2, True)


def test_what_is_not_there_is_said_so(concai: Concai) -> None:
    assert "there is no file nope.py" in concai("mod", "upload", "--file-name", "nope.py").stderr
    assert "there is no folder nope" in concai("mod", "upload", "--dir", "nope").stderr


def test_no_server_is_one_line_that_says_how_to_start_one(concai: Concai) -> None:
    with FakeServer() as gone:
        url = gone.url
    result = concai("mod", "list", "--url", url)
    assert result.exit_code == 1
    assert "start one with `make serve`" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://here", "http://"])
def test_a_url_that_is_none_is_refused(url: str, concai: Concai) -> None:
    result = concai("mod", "list", "--url", url)
    assert (result.exit_code, "is no address of a server" in result.stderr) == (1, True)
