"""A package is made from source without running it, and says plainly why it cannot be made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mods.runtime.files import MAX_BYTES, MAX_FILES, PackageError, check_path
from mods.runtime.package import Package, shared_files

ONE = '''from mods.sdk import mod


@mod
def shout(event, actions, tokenizer):
    """Makes it loud."""
    return actions.noop()
'''
TWO = ONE + "\n\n@mod\ndef whisper(event, actions, tokenizer):\n    return None\n"
BODY = "(event, actions, tokenizer):\n    return None\n"


def refused(**payload: Any) -> PackageError:
    with pytest.raises(PackageError) as caught:
        Package.from_payload(payload)
    return caught.value


def test_one_source_needs_nothing_else() -> None:
    package = Package.from_source(ONE)
    assert (package.name, package.entry, package.description) == (
        "shout",
        "mod:shout",
        "Makes it loud.",
    )
    assert package.files == {"mod.py": ONE}


def test_nothing_of_the_source_is_run() -> None:
    package = Package.from_source("raise SystemExit('run')\n" + ONE)
    assert package.name == "shout"


def test_a_package_travels_as_msgpack() -> None:
    package = Package.from_source(ONE)
    sent = msgspec.msgpack.encode(package)
    assert msgspec.msgpack.decode(sent, type=Package) == package


def test_the_digest_follows_the_content_and_not_the_order_or_the_description() -> None:
    files = {"a.py": ONE, "b.py": "X = 1\n"}
    first = Package.from_files(files)
    same = Package.from_files(dict(reversed(files.items())), description="other")
    assert first.digest == same.digest
    assert len(first.digest) == 64
    assert first.digest != Package.from_files({**files, "b.py": "X = 2\n"}).digest
    assert first.digest != Package.from_files(files, name="other").digest


@pytest.mark.parametrize(
    "source",
    [
        f"@mod\ndef f{BODY}",
        f"@mod(reach=3)\ndef f{BODY}",
        f"@sdk.mod\ndef f{BODY}",
        f"@quote_mod_sdk.mod.mod(reach=3)\ndef f{BODY}",
        f"from mods.sdk import mod as m\n@m\ndef f{BODY}",
        f"@trace\n@mod\ndef f{BODY}",
        "f = create_mod(lambda event, actions: None)\n",
        "f: object = sdk.create_mod(handler)\n",
        "f = self_prompt_mod(prompt=' Which? ', strategy=['a', 'b'])\n",
        "if True:\n    @mod\n    def f(event, actions, tokenizer): ...\n",
        f"try:\n    import x\nexcept ImportError:\n    x = None\n@mod\ndef f{BODY}",
    ],
)
def test_an_entry_point_is_found_however_it_is_marked(source: str) -> None:
    assert Package.from_source(source).entry == "mod:f"


def test_what_is_marked_inside_a_function_or_a_string_is_no_entry_point() -> None:
    source = f"def outer():\n    @mod\n    def f(event): ...\n'''\n@mod\ndef g{BODY}'''\n"
    assert "no mod in mod.py" in str(refused(source=source))


def test_a_declared_name_is_the_mods_name() -> None:
    source = f"@mod(name='loud-1.0')\ndef f{BODY}"
    assert Package.from_source(source).name == "loud-1.0"
    assert Package.from_source(source, name="given").name == "given"


def test_a_source_without_a_mod_is_refused_and_the_files_are_named() -> None:
    error = refused(files={"a.py": "x = 1\n", "b.py": ""})
    assert "no mod in a.py, b.py" in str(error)
    assert "@mod" in str(error)
    assert (error.status, error.type) == (400, "invalid_mod")


def test_two_mods_are_refused_and_both_are_named_with_their_lines() -> None:
    error = refused(source=TWO)
    assert "'shout' (mod.py, line 5) and 'whisper' (mod.py, line 11)" in str(error)
    assert (error.file, error.line, error.param) == ("mod.py", 11, "entrypoint")


def test_two_mods_are_accepted_where_one_is_named() -> None:
    assert Package.from_source(TWO, entry="whisper").name == "whisper"
    files = {"a.py": ONE, "b/c.py": ONE}
    assert Package.from_files(files, entry="b.c:shout").entry == "b.c:shout"
    with pytest.raises(PackageError, match=r"a\.py and b/c\.py; say which"):
        Package.from_files(files, entry="shout")


def test_a_plain_function_that_is_named_is_an_entry_point() -> None:
    assert Package.from_source(f"def f{BODY}", entry="f").entry == "mod:f"


def test_an_entry_point_that_is_not_there_is_refused_and_those_there_are_listed() -> None:
    error = refused(source=ONE, entrypoint="shut")
    assert "'shut' is nowhere in mod.py; there is 'shout' (mod.py, line 5)" in str(error)
    assert "malformed" in str(refused(source=ONE, entrypoint="a b"))


def test_broken_syntax_is_refused_with_line_column_and_reason() -> None:
    error = refused(source="x = 1\ndef f(:\n")
    assert str(error).startswith("mod.py, line 2, column 7: invalid syntax")
    assert (error.file, error.line) == ("mod.py", 2)


@pytest.mark.parametrize("source", ["return 1\n", "x = " + "(" * 500, "x = " + "-" * 100_000 + "1"])
def test_what_cannot_be_compiled_is_refused_too(source: str) -> None:
    assert refused(source=ONE + source).param == "source"


# What a client may send.


def test_the_older_payload_is_accepted() -> None:
    package = Package.from_payload(
        {
            "name": "forward",
            "description": "d",
            "language": "python",
            "module": "client.injection",
            "entrypoint": "shout",
            "source": ONE,
        }
    )
    assert (package.name, package.entry, package.description) == ("forward", "injection:shout", "d")


@pytest.mark.parametrize("key", ["files", "bundle"])
def test_several_files_are_accepted(key: str) -> None:
    files = {"main.py": ONE, "pkg/state.py": "X = 1\n"}
    package = Package.from_payload({key: files, "name": "n", "description": None})
    assert package.files == files


@pytest.mark.parametrize("module", ["__main__", "not a name", ""])
def test_a_module_without_a_usable_name_becomes_mod(module: str) -> None:
    assert Package.from_payload({"source": ONE, "module": module}).entry == "mod:shout"


@pytest.mark.parametrize(
    ("payload", "param", "expected"),
    [
        ({}, "source", "expected one of source, files and import_path, got none"),
        ({"source": ONE, "files": {"a.py": ONE}}, "files", "got source and files"),
        ({"source": ONE, "colour": 1}, "colour", "unknown field 'colour'"),
        ({"source": 3}, "source", "source must be a string, got int"),
        ({"files": [ONE]}, "files", "must be an object of paths and sources, got list"),
        ({"files": {"a.py": 3}}, "files", "'a.py': the source must be a string, got int"),
        ({"files": {}}, "files", "files is empty"),
        ({"source": ONE, "language": "lua"}, "language", "'lua' is not known"),
        ({"source": ONE, "name": "a/b"}, "name", "'a/b' is not allowed"),
        ({"source": ONE, "name": ""}, "name", "not allowed"),
        ({"source": ONE + "\0"}, "files", "NUL"),
        ({"source": "x = '\ud800'\n"}, "files", "not UTF-8"),
        ({"source": ONE, "description": "\ud800"}, "description", "not valid UTF-8"),
        ({"files": {"a.py": ONE, "notes.txt": ""}}, "files", "'notes.txt' is no Python file"),
        ({"files": {"a.py": ONE, "a/__init__.py": ""}}, "files", "are the same module"),
        ({"files": {"a.py": ONE, "a/b.py": ""}}, "files", "have the same name"),
        ({"import_path": "no_such_package.mod"}, "import_path", "no such module"),
        ({"import_path": "../etc"}, "import_path", "expected a dotted name"),
        ({"import_path": "sys"}, "import_path", "no Python source"),
    ],
)
def test_a_payload_that_makes_no_sense_is_refused(
    payload: dict[str, Any], param: str, expected: str
) -> None:
    error = refused(**payload)
    assert expected in str(error)
    assert error.param == param


def test_a_payload_that_is_no_object_is_refused() -> None:
    with pytest.raises(PackageError, match="must be a JSON object, got list"):
        Package.from_payload([])


def test_too_many_files_and_too_many_bytes_are_refused() -> None:
    many = {f"m{i}.py": "" for i in range(MAX_FILES)} | {"main.py": ONE}
    assert f"{MAX_FILES + 1} files" in str(refused(files=many))
    assert f"at most {MAX_BYTES}" in str(refused(source=ONE + "#" * MAX_BYTES))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/a.py", "../a.py", "a/../b.py", "./a.py", "a//b.py", "a\\b.py", "a\0.py", ".py",
        "C:/a.py", "a.pyc", "a", "", "a b.py", "a.b.py", ".hidden/a.py", "a/b.PY",
        "x" * 300 + ".py", "a.py\n",
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_mod_or_is_no_module_is_refused(path: str) -> None:
    with pytest.raises(PackageError):
        check_path(path)


@pytest.mark.parametrize("path", ["a.py", "pkg/__init__.py", "1_prefill.py", "my-mod.py", "é.py"])
def test_a_path_that_can_be_imported_is_accepted(path: str) -> None:
    assert check_path(path) == path


@given(st.text(alphabet="ab./\\ \0-_é:~", max_size=20).map(lambda text: text + ".py"))
def test_no_accepted_path_leaves_its_folder(path: str) -> None:
    try:
        check_path(path)
    except PackageError:
        return
    inside = Path("/mod") / path
    assert inside.resolve().is_relative_to("/mod")
    assert inside.as_posix() == f"/mod/{path}"


@given(st.text(max_size=70))
def test_a_name_is_accepted_exactly_if_it_can_stand_in_a_model_string(name: str) -> None:
    plain = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
    fits = 0 < len(name) <= 64 and set(name) <= plain and name[0] not in "_.-"
    try:
        assert Package.from_source(ONE, name=name).name == name
    except PackageError:
        assert not fits
    else:
        assert fits


# From disk, and from what is installed.


def test_a_folder_is_read_with_everything_python_in_it(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / ".venv").mkdir()
    (tmp_path / "main.py").write_bytes(b"\xef\xbb\xbf" + ONE.encode())
    (tmp_path / "pkg" / "state.py").write_text("X = 1\n")
    (tmp_path / ".venv" / "junk.py").write_text("(")
    (tmp_path / "README.md").write_text("hello")
    package = Package.from_folder(tmp_path)
    assert sorted(package.files) == ["main.py", "pkg/state.py"]
    assert Package.from_folder(tmp_path / "main.py").entry == "main:shout"


def test_a_file_that_is_not_utf8_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"holds no \.py file"):
        Package.from_folder(tmp_path)
    (tmp_path / "main.py").write_bytes(b"# \xff\n" + ONE.encode())
    with pytest.raises(PackageError, match="is not UTF-8"):
        Package.from_folder(tmp_path)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the import path that must not be imported."""
    package = tmp_path / "installed_mods" / "inner"
    package.mkdir(parents=True)
    (tmp_path / "installed_mods" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (package / "__init__.py").write_text("from .loud import shout\n")
    (package / "loud.py").write_text(
        "from .words import LOUD\nfrom . import more\nimport json\n" + ONE
    )
    (package / "words.py").write_text("LOUD = 1\n")
    (package / "more.py").write_text("from .words import LOUD\n")
    (package / "unrelated.py").write_text("(")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


@pytest.mark.parametrize("function", ["", ":shout"])
def test_an_import_path_is_read_with_what_it_imports_relatively(
    installed: Path, function: str
) -> None:
    package = Package.from_payload({"import_path": f"installed_mods.inner.loud{function}"})
    assert sorted(package.files) == ["__init__.py", "loud.py", "more.py", "words.py"]
    assert package.entry == "loud:shout"
    assert "installed_mods" not in sys.modules


def test_the_import_path_of_a_package_finds_the_mod_it_imports(installed: Path) -> None:
    assert Package.from_import_path("installed_mods.inner").entry == "loud:shout"


def test_a_relative_import_above_the_package_is_refused(installed: Path) -> None:
    (installed / "loud.py").write_text("from ..other import x\n" + ONE)
    with pytest.raises(PackageError, match=r"loud\.py, line 1: a relative import above"):
        Package.from_import_path("installed_mods.inner.loud")


# Helper modules.


def test_helper_modules_need_no_entry_point() -> None:
    assert shared_files({"name": "helpers", "source": "X = 1\n"}) == {"helpers.py": "X = 1\n"}
    assert shared_files({"name": "pkg.deep", "source": ""}) == {"pkg/deep.py": ""}
    assert shared_files({"files": {"a/b.py": ""}}) == {"a/b.py": ""}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"name": "helpers"}, "expected name and source, or files; got name"),
        ({"name": "mods", "source": ""}, "cannot be called 'mods'"),
        ({"files": {"quote_mod_sdk/mod.py": ""}}, "cannot be called 'quote_mod_sdk'"),
        ({"name": "../x", "source": ""}, "is not allowed"),
        ({"name": "helpers", "source": "("}, "line 1"),
    ],
)
def test_helper_modules_are_checked_like_a_mods_files(
    payload: dict[str, Any], expected: str
) -> None:
    with pytest.raises(PackageError, match=expected):
        shared_files(payload)
