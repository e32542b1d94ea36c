"""The page and the server name the same things: filters, orders, fields."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from server.constraints.models import Fault, Validation
from server.mods.dry_run import DryRun, DryRunReply, Laws
from server.mods.models import Mod, ModUpload
from server.traces import record, story, trace
from server.traces.annotations import Note
from server.traces.asking import FILTERS
from server.traces.diff import Diff, Piece
from server.traces.search import SORTS, Summary

SRC = Path(__file__).parents[2] / "web" / "src"


def listed(path: str, name: str) -> list[str]:
    """The texts of a constant list in the page's source."""
    found = re.search(rf"const {name}\b[^=]*= \[(.*?)\]", (SRC / path).read_text(), re.DOTALL)
    assert found is not None, f"{path} has no {name}"
    return re.findall(r'"([^"]+)"', found[1])


def fields_of(path: str, name: str) -> set[str]:
    """The fields of an interface in the page's source, without those of what is nested in it."""
    found = re.search(
        rf"export interface {name} \{{\n(.*?)\n\}}", (SRC / path).read_text(), re.DOTALL
    )
    assert found is not None, f"{path} has no {name}"
    return set(re.findall(r"^  (\w+)\??:", found[1], re.MULTILINE))


def names(model: Any) -> Iterable[str]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return model.model_fields
    return [each.name for each in msgspec.structs.fields(model)]


def test_the_page_s_filters_are_the_server_s() -> None:
    assert set(listed("pages/requests/filters.ts", "FILTERS")) == {*FILTERS, "sort"}


def test_the_page_s_orders_are_the_server_s() -> None:
    assert listed("pages/requests/filters.ts", "SORTS") == list(SORTS)


@pytest.mark.parametrize(
    ("path", "name", "model"),
    [
        ("api/logs.ts", "Summary", Summary),
        ("api/logs.ts", "Request", record.Request),
        ("api/logs.ts", "Story", story.Story),
        ("api/logs.ts", "Action", record.Action),
        ("api/logs.ts", "ModLog", record.ModLog),
        ("api/logs.ts", "Failure", trace.Failure),
        ("api/logs.ts", "Note", Note),
        ("api/logs.ts", "Diff", Diff),
        ("api/logs.ts", "Piece", Piece),
        ("api/mods.ts", "Mod", Mod),
        ("api/mods.ts", "Upload", ModUpload),
        ("api/mods.ts", "DryRun", DryRun),
        ("api/mods.ts", "DryRunReply", DryRunReply),
        ("api/constraints.ts", "Validation", Validation),
    ],
)
def test_what_the_page_reads_or_sends_has_that_name_at_the_server(
    path: str, name: str, model: Any
) -> None:
    known = fields_of(path, name)
    assert known
    assert known <= set(names(model))


def test_a_whole_request_list_and_summary_are_known_to_the_page() -> None:
    assert fields_of("api/logs.ts", "Summary") == set(names(Summary))
    assert fields_of("api/logs.ts", "Story") == set(names(story.Story))


def test_what_is_nested_has_those_names_too() -> None:
    for path, model in [("api/mods.ts", Laws), ("api/constraints.ts", Fault)]:
        text = (SRC / path).read_text()
        assert all(re.search(rf"\b{name}\??:", text) for name in names(model))
