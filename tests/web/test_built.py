"""The built page is that of the source beside it, is small, and names nothing from elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server.api.page import BUILT
from server.api.page_paths import ADDRESSES
from tests.web import fixtures

WEB = Path(__file__).parents[2] / "web"
FIRST_LOAD = 250 * 1024
"""Bytes, compressed."""


def sources() -> list[str]:
    """What decides what is built, as `web/digest.ts` names it."""
    listed = re.search(r"SOURCES = \[(.*?)\]", (WEB / "digest.ts").read_text(), re.DOTALL)
    assert listed is not None
    return re.findall(r'"([^"]+)"', listed[1])


def digest(folder: Path, names: list[str]) -> str:
    """sha256 over each file's path, length and bytes, the paths in order."""
    paths = [path for name in names for path in [folder / name, *(folder / name).rglob("*")]]
    files = sorted(path.relative_to(folder).as_posix() for path in paths if path.is_file())
    told = hashlib.sha256()
    for name in files:
        content = (folder / name).read_bytes()
        told.update(f"{name}\n{len(content)}\n".encode())
        told.update(content)
    return told.hexdigest()


def test_the_page_was_built_from_the_source_beside_it() -> None:
    built = (BUILT / "sources.sha256").read_text().strip()
    assert built == digest(WEB, sources()), "run `npm ci && npm run build` in web/"


def test_a_source_that_changes_by_one_byte_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(WEB / "src", tmp_path / "src")
    before = digest(tmp_path, ["src"])
    changed = tmp_path / "src" / "main.tsx"
    changed.write_text(changed.read_text() + " ")
    assert digest(tmp_path, ["src"]) != before


def test_everything_that_the_page_names_is_there() -> None:
    index = (BUILT / "index.html").read_text()
    named = re.findall(r'(?:src|href)="/assets/([^"]+)"', index)
    assert any(name.endswith(".js") for name in named)
    assert all((BUILT / "assets" / name).is_file() for name in named)


def test_the_first_load_is_small() -> None:
    index = (BUILT / "index.html").read_text()
    names = re.findall(r'(?:src|href)="/assets/([^"]+)"', index)
    files = [BUILT / "index.html", *(BUILT / "assets" / name for name in names)]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= FIRST_LOAD


def test_the_page_fetches_nothing_from_elsewhere() -> None:
    index = (BUILT / "index.html").read_text()
    assert not re.search(r"https?://", index)
    for style in (BUILT / "assets").glob("*.css"):
        assert not re.search(r"https?://|@import|url\(", style.read_text())


def test_nothing_in_the_source_is_put_in_as_html() -> None:
    risky = re.compile(r"dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|eval\(")
    for path in (WEB / "src").rglob("*.ts*"):
        assert not risky.search(path.read_text()), path


def test_the_server_answers_the_addresses_that_the_page_has() -> None:
    pages = (WEB / "src" / "app" / "pages.tsx").read_text()
    shown = re.findall(r'\bat: "(/[^"]*)"', pages)
    answered = [address.replace(":path}", "}") for address in ADDRESSES]
    assert [re.sub(r":(\w+)", r"{\1}", each) for each in shown] == answered


def test_the_lock_file_names_no_host() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert lock["packages"]
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


@pytest.mark.parametrize("name", sorted(fixtures.texts()))
def test_what_the_page_is_tested_with_is_what_the_server_answers(name: str) -> None:
    kept = (fixtures.FOLDER / name).read_text()
    assert kept == fixtures.texts()[name], "run `python -m tests.web.fixtures`"


def _node() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node is not installed: the page's own tests need it, the page does not")


def test_the_page_s_own_tests_pass() -> None:
    _node()
    if not (WEB / "node_modules" / "vitest").is_dir():
        command = ["npm", "ci", "--no-audit", "--no-fund"]
        got = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
        assert got.returncode == 0, got.stderr
    ran = subprocess.run(
        ["npm", "test", "--silent"], cwd=WEB, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
