"""`concai constraints check` says without a server what a server would say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mods.sdk.constraints import Choice, digest
from server.cli.app import app

RUNNER = CliRunner()


def check(file: Path, *options: str) -> tuple[int, str]:
    result = RUNNER.invoke(app, ["constraints", "check", str(file), *options])
    return result.exit_code, result.output


def write(folder: Path, name: str, content: object) -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("schema.json", {"type": "object", "properties": {"type": {"const": "json"}}}),
        ("spec.json", {"type": "regex", "pattern": "a+"}),
        ("list.json", ["a", {"any_of": ["b", "c"]}]),
        ("own.json", {"grammars": [{"lark_grammar": 'start: "a"'}]}),
        ("a.lark", 'start: "a"'),
        ("a.gbnf", 'root ::= "a"'),
        ("a.regex", "[0-9]+\n"),
    ],
)
def test_a_constraint_that_can_be_used(tmp_path: Path, name: str, content: object) -> None:
    code, output = check(write(tmp_path, name, content))
    assert code == 0, output
    assert "valid:" in output
    assert "compile time:" in output


def test_the_digest_is_the_constraints_own(tmp_path: Path) -> None:
    _, output = check(write(tmp_path, "a.json", {"type": "choice", "choices": ["a", "b"]}))
    assert digest(Choice(("a", "b"))) in output


def test_warnings_are_told(tmp_path: Path) -> None:
    code, output = check(write(tmp_path, "a.json", {"flavour": 1}))
    assert code == 0
    assert "'flavour'" in output


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", {"items": {"contains": {}}}, "#/items/contains"),
        ("a.ebnf", 'root ::= "a"\n  b', "line 2, column 3"),
        ("a.json", ["a", {"type": "regex", "pattern": "("}], "sequence[1]"),
        ("a.regex", r"[^\s\S]", "no text is possible"),
        ("a.json", {"type": "regex"}, "'pattern' is missing"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, name: str, content: object, message: str
) -> None:
    code, output = check(write(tmp_path, name, content))
    assert code == 1
    assert message in output


def test_a_file_that_could_be_anything_needs_a_type(tmp_path: Path) -> None:
    file = write(tmp_path, "a.txt", "[a-z]+")
    code, output = check(file)
    assert code == 2
    assert "--type" in output
    assert check(file, "--type", "regex")[0] == 0


def test_a_model_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    file = write(tmp_path, "a.regex", "a")
    code, output = check(file, "--model", str(tmp_path))
    assert code == 1
    assert "tokenizer.json" in output
    assert check(tmp_path / "missing.regex")[0] == 1
