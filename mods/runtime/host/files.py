"""Where a host's files lie in the run folder, and how long the folder's path may be."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

MAX_SOCKET_PATH = 100
"""Bytes in a Unix socket's path at most (the kernel takes 107)."""


def socket_path(run_dir: Path, host: str) -> Path:
    return run_dir / f"{host}.sock"


def page_path(run_dir: Path, host: str) -> Path:
    return run_dir / f"{host}.page"


def remove(run_dir: Path, host: str) -> None:
    """Remove what a host leaves behind; nothing happens where nothing is."""
    for path in (socket_path(run_dir, host), page_path(run_dir, host)):
        with suppress(OSError):
            path.unlink()


def remove_all(run_dir: Path) -> None:
    """Remove what hosts and workers left in the folder, those that were killed among them."""
    for kind in ("sock", "page", "rows"):
        for path in run_dir.glob(f"*.{kind}"):
            with suppress(OSError):
                path.unlink()


def check_run_dir(run_dir: Path) -> None:
    """Raise ValueError if a host's socket could not be bound in this folder."""
    length = len(bytes(socket_path(run_dir, "0" * 12)))
    if length >= MAX_SOCKET_PATH:
        raise ValueError(
            f"the run folder {str(run_dir)!r} makes socket paths of {length} bytes; choose one"
            f" that keeps them under {MAX_SOCKET_PATH}"
        )
