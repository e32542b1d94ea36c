"""What can be known to fail before half a minute is spent on loading a model."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from server.cli.errors import CommandError

_MODEL_FILES = ("config.json", "params.json")


def check_model(model: str) -> None:
    """Raises `CommandError` if `model` is a path and holds no model. Names are left to vLLM."""
    path = Path(model).expanduser()
    if not path.exists() and looks_like_path(model):
        raise CommandError(f"there is no model at {model}: no such file or folder")
    if path.is_dir() and not any((path / name).is_file() for name in _MODEL_FILES):
        raise CommandError(f"there is no model in {model}: the folder has no config.json")


def looks_like_path(model: str) -> bool:
    """Whether this can only be a path: a Hugging Face name is `name` or `organisation/name`."""
    return model.startswith((".", "/", "~")) or model.endswith("/") or model.count("/") > 1


def check_address(host: str, port: int) -> None:
    """Raises `CommandError` if nothing could listen on host and port now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the server does: a port whose last user just left is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"port {port} on {host} is in use: stop what listens there, or choose another"
                " with --port"
            ) from None
        raise CommandError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
