"""Finds a Chromium for the tests of the web page, and installs one where it can.

`make test` runs it. It takes the first that there is: one on PATH, one that Playwright has
downloaded, one that apt-get installs (as root, on Debian and its like). Else it says in one line
what to do. Like `venv.py` it needs nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSIDE = ("chrome-linux/chrome", "chrome-linux64/chrome", "chrome-headless-shell-linux64/*shell")
"""Where a folder of Playwright's has its program."""

ADVICE = (
    "the tests of the web page need Chromium and none was found: install it (on Debian"
    " `apt-get install chromium` as root, elsewhere `python -m playwright install chromium`),"
    " or put one on PATH, then run this again"
)

Run = Callable[[list[str]], bool]


class NoChromiumError(Exception):
    """There is none and none could be installed; the message is one line and says what to do."""


def main() -> int:
    """Print the path of a Chromium, after installing one where need be. Returns the status."""
    try:
        print(get())
    except NoChromiumError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def get() -> Path:
    """A Chromium, installed now where there was none. Raises `NoChromiumError`."""
    found = find()
    if found is None and may_install():
        install()
        found = find()
    if found is None:
        raise NoChromiumError(ADVICE)
    return found


def find() -> Path | None:
    """One on PATH, else the newest that Playwright has."""
    for name in NAMES:
        if path := shutil.which(name):
            return Path(path)
    return next(iter(downloaded(playwright_folder())), None)


def playwright_folder() -> Path:
    """Where Playwright keeps its browsers."""
    given = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    return Path(given) if given else Path.home() / ".cache" / "ms-playwright"


def downloaded(folder: Path) -> Iterable[Path]:
    """Programs that can be run in a folder of Playwright's, the newest first."""
    numbered = sorted(folder.glob("chromium*-*"), key=_number, reverse=True)
    for browser in numbered:
        for inside in INSIDE:
            yield from (each for each in browser.glob(inside) if os.access(each, os.X_OK))


def _number(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def may_install() -> bool:
    """Whether this is root on a machine with apt-get."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(run: Run | None = None) -> bool:
    """Install Debian's package, after reading what packages there are. Whether it went well."""
    run = run or _run
    print("chromium: installing it with apt-get (about a minute)", file=sys.stderr, flush=True)
    return run(["apt-get", "update", "-qq"]) and run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
    )


def _run(command: list[str]) -> bool:
    """What it prints goes to stderr: stdout is for the path alone."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, env=quiet, stdout=sys.stderr, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
