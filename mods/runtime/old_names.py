"""Makes the names that older mods import lead to the SDK, in a process that loads mods.

`quote_mod_sdk` may be installed or not: the folder in this source tree comes first. The other
names (`sdk.quote_mod_sdk`, `shared.types`, `max.driver`) exist in such a process only.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SDK = "quote_mod_sdk"
_SUBMODULES = (
    "actions",
    "conversation",
    "flow",
    "mod",
    "self_prompt",
    "serialization",
    "strategies",
    "strategies.base",
    "strategies.primitives",
    "strategies.strategy_constructor",
    "tokenizer",
    "types",
)


class Tensor:
    """A stand-in for `max.driver.Tensor`, in which older mods wrap logits: it holds an array."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    @classmethod
    def from_numpy(cls, array: object) -> Tensor:
        return cls(np.asarray(array))

    def to_numpy(self) -> NDArray[Any]:
        return self._array

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape


def install() -> None:
    """Enter the older names into `sys.modules`. What is imported there already is left alone."""
    sdk = _old_sdk()
    parts = {name: importlib.import_module(f"{_SDK}.{name}") for name in _SUBMODULES}
    aliases = {
        "sdk": _package("sdk", quote_mod_sdk=sdk),
        "sdk.quote_mod_sdk": sdk,
        **{f"sdk.quote_mod_sdk.{name}": part for name, part in parts.items()},
    }
    shared = {
        "types": parts["types"],
        "conversation": parts["conversation"],
        "utils": parts["actions"],
    }
    _enter(aliases)
    _enter({"shared": _package("shared", **shared)} | {f"shared.{k}": v for k, v in shared.items()})
    driver = ModuleType("max.driver", Tensor.__doc__)
    driver.Tensor = Tensor  # type: ignore[attr-defined]
    _enter({"max": _package("max", driver=driver), "max.driver": driver})


def _old_sdk() -> ModuleType:
    """`quote_mod_sdk`, from this source tree where it is in one, else as it is installed."""
    folder = Path(__file__).parents[1] / "compat" / _SDK
    if _SDK in sys.modules or not folder.is_dir():
        return importlib.import_module(_SDK)
    spec = importlib.util.spec_from_file_location(
        _SDK, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[_SDK] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[_SDK])
    return sys.modules[_SDK]


def _enter(modules: dict[str, ModuleType]) -> None:
    """Enter a package and all its modules, or nothing if the package is there already."""
    if next(iter(modules)) not in sys.modules:
        sys.modules.update(modules)


def _package(name: str, **modules: ModuleType) -> ModuleType:
    package = ModuleType(name, "Holds older names of the SDK.")
    package.__path__ = []
    vars(package).update(modules)
    return package
