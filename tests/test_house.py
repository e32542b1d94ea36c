"""The plan of the house: which way imports look, what is documented, what no file may name."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.settings import Settings, all_variable_names, variable_names

ROOT = Path(__file__).parents[1]

FORBIDDEN = {
    "mods": {"vllm", "torch", "asyncpg", "fastapi", "server", "processors"},
    "processors": {"asyncpg", "fastapi", "server"},
}
"""What the files of a folder may not import: imports go server, processors, mods, never back."""

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|yarnpkg\.com|deb\.debian\.org"
    r"|download\.pytorch\.org|proxy\.golang\.org|crates\.io"
)
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:work|root|opt/(?:pypi|wheels)|home/\w+)/")


def imported_names(path: Path) -> Iterator[str]:
    """The top-level name of everything a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def tracked_texts() -> list[tuple[Path, str]]:
    """Every file that is, or is about to be, in the repository and can be read as text."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this copy is no git checkout")
    found = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if not name or not path.is_file() or path.suffix in {".safetensors", ".png", ".woff2"}:
            continue
        try:
            found.append((path, path.read_text()))
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_never_look_back(folder: str) -> None:
    assert sources(folder)
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(folder)
        for name in imported_names(path)
        if name in FORBIDDEN[folder]
    }
    assert not wrong


def test_an_import_inside_a_function_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "late.py"
    source.write_text("import a.b\ndef f():\n    from torch.nn import x\n    from . import y\n")
    assert set(imported_names(source)) == {"a", "torch"}


def test_every_folder_of_sources_is_a_package() -> None:
    folders = {path.parent for name in ("mods", "processors", "server") for path in sources(name)}
    bare = {
        str(folder.relative_to(ROOT))
        for folder in folders
        if folder.name != "template" and not (folder / "__init__.py").exists()
    }
    assert not bare, "these would be missing from an installation"


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert set(re.findall(r"^\| `([A-Z_]+)`", text, re.MULTILINE)) == set(all_variable_names())


@pytest.mark.parametrize("field", Settings.model_fields)
def test_the_documented_default_is_the_default(field: str) -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    row = re.search(rf"^\| `{variable_names(field)[0]}` \| (.+?) \|", text, re.MULTILINE)
    default = Settings.model_fields[field].default
    assert row is not None
    if field == "home":
        assert row[1] == "`~/.concordance`"
    elif default is None or field == "model":
        assert "`" not in row[1]
    elif isinstance(default, float):
        assert float(row[1].strip("`")) == default
    else:
        assert row[1] == f"`{default}`"


def test_no_file_names_a_package_registry() -> None:
    wrong = {
        str(path.relative_to(ROOT)) for path, text in tracked_texts() if REGISTRIES.search(text)
    }
    assert not wrong


def test_a_registry_and_a_machine_path_would_be_found() -> None:
    assert REGISTRIES.search("https://" + ".".join(["files", "pythonhosted", "org"]) + "/x")
    assert MACHINE_PATHS.search("cd " + "/".join(["", "work", "main"]))
    assert not MACHINE_PATHS.search("docs/work/plan")


def test_no_file_names_a_place_on_one_machine() -> None:
    wrong = {
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path, text in tracked_texts()
        if (found := MACHINE_PATHS.search(text))
    }
    assert not wrong
