"""What `serialize_mod` makes is what the server accepts."""

from __future__ import annotations

from typing import Any

import pytest

from mods.runtime.package import Package
from mods.sdk import create_mod, mod, serialize_mod


@mod(name="quiet-one")
def quiet(event: Any, actions: Any, tokenizer: Any) -> Any:
    """Says nothing."""
    return actions.noop()


made = create_mod(lambda event, actions: actions.noop())


def test_the_payload_is_a_package() -> None:
    payload = serialize_mod(quiet)
    assert payload["entrypoint"] == "quiet"
    assert payload["description"] == "Says nothing."
    package = Package.from_payload(payload)
    assert package.name == "quiet-one"
    assert package.entry.endswith(":quiet")


def test_name_and_description_may_be_given() -> None:
    payload = serialize_mod(quiet, name="other", description="")
    assert (payload["name"], payload["description"]) == ("other", "")


def test_a_mod_made_by_create_mod_is_found_by_the_name_it_is_bound_to() -> None:
    assert serialize_mod(made)["entrypoint"] == "made"


def test_a_mod_inside_a_function_is_refused() -> None:
    @mod
    def inner(event: Any, actions: Any, tokenizer: Any) -> Any:
        return None

    with pytest.raises(ValueError, match="top level of its file"):
        serialize_mod(inner)
