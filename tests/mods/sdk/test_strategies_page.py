"""What docs/strategies.md shows is true: its blocks run, and its mods do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mods.runtime.load import load_chain
from mods.runtime.package import Package
from mods.sdk.asking import EraseMode
from mods.sdk.flow import FlowQuestion, routes
from mods.sdk.strategies import CharsMode, ListStrat, UntilEndType
from tests.mods.sdk.playing import Played, play

PAGE = (Path(__file__).parents[3] / "docs" / "strategies.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MODS = {
    found[1] or found[2]: source
    for source in BLOCKS
    if (found := re.search(r"^@mod.*\ndef (\w+)|^(\w+) = self_prompt_mod", source, re.MULTILINE))
}
PLAIN = [source for source in BLOCKS if source not in MODS.values()]


def played(name: str, plain: str, answers: dict[str, str] | None = None) -> Played:
    [loaded] = load_chain([Package.from_source(MODS[name], path=f"{name}.py")], {})
    assert not loaded.traits.logits
    return play(loaded.handler, plain, answers, reach=loaded.traits.reach)


def test_every_block_is_run_here() -> None:
    assert set(MODS) == {"numbers", "calm_down", "favourite", "hotel", "no_repeats"}
    assert len(PLAIN) == 1


@pytest.mark.parametrize("source", PLAIN)
def test_a_block_that_is_no_mod_runs(source: str) -> None:
    exec(source, {})


def test_an_answer_begins_with_numbers() -> None:
    assert played("numbers", "[12, 345] and more").text == "[12, 345] and more"
    assert played("numbers", "none").text == "[0, 0, 0, 0, 000]"


@pytest.mark.parametrize(("answer", "begin"), [("yes", "I am sorry. "), ("no", "")])
def test_the_user_is_calmed_down(answer: str, begin: str) -> None:
    done = played("calm_down", "0123456789abcdefgh", {" angry? ": answer})
    assert done.text == begin + "0123456789abcdefgh"[len(begin) :]
    assert len(done.shown) > 3


def test_the_favourite_is_named_first() -> None:
    assert played("favourite", "", {"ite: ": "coffee"}).text == " My favourite: coffee. "


@pytest.mark.parametrize(
    ("wants", "text"), [("yes", ""), ("no", "As you like."), ("unclear", "Shall I book a room?")]
)
def test_the_hotel_books(wants: str, text: str) -> None:
    done = played("hotel", "", {" a room? ": wants, " nights? ": "12"})
    assert done.text == text
    assert [call["function"]["arguments"] for call in done.tool_calls] == (
        ['{"nights": 12}'] if wants == "yes" else []
    )


def test_words_are_not_repeated() -> None:
    assert played("no_repeats", "abca").text == "abc."


def named(heading: str) -> set[str]:
    """What is in code in the first column of the table or list below a heading."""
    below = PAGE.split(heading, 1)[1]
    rows = re.findall(r"^(?:\| |- )(.+?)(?: \||:)", below, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([\w.]+)", row)}


def test_the_page_names_every_mode_kind_method_and_route() -> None:
    text = PAGE
    for kind in (UntilEndType, CharsMode, EraseMode):
        for member in kind:
            assert f"`{kind.__name__}.{member.name}`" in text
    for field in ListStrat.__dataclass_fields__:
        assert field in text
    methods = {name for name in vars(FlowQuestion) if not name.startswith("_")}
    documented = named("## Flows")
    assert methods & documented == {
        "on",
        "branch",
        "then",
        "otherwise",
        "assign",
        "with_auto_answer",
    }
    helpers = {name for name in vars(routes) if name.startswith("route_")}
    assert helpers <= documented


def test_every_name_that_the_page_imports_exists() -> None:
    for source in BLOCKS:
        namespace: dict[str, Any] = {}
        lines = [line for line in source.splitlines() if line.startswith("from ")]
        exec("\n".join(lines), namespace)
