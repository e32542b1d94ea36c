"""From a mod in memory to what `POST /v1/mods` takes."""

from __future__ import annotations

import inspect
import textwrap
from types import ModuleType
from typing import Any

from mods.sdk.mod import ModCallable, declaration_of


def serialize_mod(
    mod: ModCallable, *, name: str | None = None, description: str | None = None
) -> dict[str, Any]:
    """The mod's whole module as a payload: name, description, module, entry point, source.

    The name defaults to the declared one, then to the function's; the description to the
    docstring. Raises ValueError for a mod whose module, source or name in it cannot be found.
    """
    module = inspect.getmodule(mod)
    if module is None:
        raise ValueError(f"{mod!r:.80} belongs to no module; define the mod in a file")
    entry = _name_in(module, mod)
    declaration = declaration_of(mod)
    declared = declaration.name if declaration else None
    payload = {
        "name": name or declared or entry,
        "description": inspect.getdoc(mod) if description is None else description,
        "language": "python",
        "module": module.__name__,
        "entrypoint": entry,
        "source": _source(module),
    }
    return {key: value for key, value in payload.items() if value is not None}


def _name_in(module: ModuleType, mod: ModCallable) -> str:
    """The module-level name that is the mod: what the server will look up."""
    name = str(getattr(mod, "__name__", ""))
    if getattr(module, name, None) is mod:
        return name
    for other, value in vars(module).items():
        if value is mod:
            return other
    raise ValueError(
        f"{name or mod!r} is no module-level name of {module.__name__!r};"
        " define the mod at the top level of its file"
    )


def _source(module: ModuleType) -> str:
    try:
        return textwrap.dedent(inspect.getsource(module))
    except (OSError, TypeError):
        raise ValueError(
            f"the source of module {module.__name__!r} cannot be read; put the mod in a file"
        ) from None
