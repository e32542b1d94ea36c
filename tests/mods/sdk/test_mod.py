"""`@mod` keeps the function callable, and refuses declarations that make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from mods.runtime.waiting import may_wait
from mods.sdk import Added, Declaration, ForwardPass, create_mod, mod
from mods.sdk.mod import declaration_of


def handler(event: Any, actions: Any, tokenizer: Any) -> Any:
    """Echo."""
    return event, actions, tokenizer


def test_a_mod_stays_callable_and_keeps_its_name() -> None:
    marked = mod(handler)
    assert marked(1, 2, 3) == (1, 2, 3)
    assert (marked.__name__, marked.__doc__) == ("handler", "Echo.")
    assert declaration_of(marked) == Declaration()


def test_the_function_itself_is_not_marked() -> None:
    mod(handler)
    assert declaration_of(handler) is None


def test_declared_values_are_kept() -> None:
    marked = mod(
        name="echo",
        reach=64,
        events=[Added, "ForwardPass"],
        logits=True,
        on_error="ignore",
        deadline=2,
    )(handler)
    assert declaration_of(marked) == Declaration(
        "echo", 64, frozenset({"Added", "ForwardPass"}), True, "ignore", 2.0
    )


def test_one_event_needs_no_list() -> None:
    declared = declaration_of(create_mod(handler, events=ForwardPass))
    assert declared is not None
    assert declared.events == {"ForwardPass"}


def test_create_mod_does_what_the_decorator_does() -> None:
    assert declaration_of(create_mod(handler, "echo", reach=3)) == declaration_of(
        mod(name="echo", reach=3)(handler)
    )


def test_a_handler_of_two_arguments_is_called_with_two() -> None:
    marked = create_mod(lambda event, actions: (event, actions))
    assert marked(1, 2, 3) == (1, 2)


def test_a_handler_may_be_any_callable() -> None:
    class Counter:
        def __call__(self, event: Any, actions: Any, tokenizer: Any) -> int:
            return 7

    assert create_mod(Counter())(1, 2, 3) == 7
    assert create_mod(Counter().__call__)(1, 2, 3) == 7


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"name": "a/b"}, r"name='a/b'.*letters, digits"),
        ({"name": "a+b"}, "name"),
        ({"name": ""}, "name"),
        ({"reach": -1}, r"reach=-1.*0 or more"),
        ({"reach": True}, "reach"),
        ({"reach": 1.5}, "reach"),
        ({"events": ["Addded"]}, r"'Addded' is no event; there are Prefilled"),
        ({"events": [int]}, "is no event"),
        ({"events": []}, "at least one event"),
        ({"logits": 1}, "True or False"),
        ({"confidence": "yes"}, r"confidence='yes'.*True or False"),
        ({"on_error": "explode"}, r"'explode'.*'fail'.*'ignore'"),
        ({"deadline": 0}, "above 0"),
        ({"deadline": float("nan")}, "above 0"),
        ({"deadline": "1s"}, "above 0"),
    ],
)
def test_a_malformed_declaration_is_refused_with_what_was_expected(
    declared: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        mod(**declared)


def test_a_handler_that_cannot_be_called_with_an_event_is_refused() -> None:
    with pytest.raises(ValueError, match="must take"):
        mod(lambda event: None)
    with pytest.raises(ValueError, match="expected a function"):
        create_mod(3)  # type: ignore[arg-type]


async def test_an_async_handler_stays_async_however_many_arguments_it_takes() -> None:
    async def later(event: Any, actions: Any, tokenizer: Any) -> Any:
        return event, actions, tokenizer

    async def shorter(event: Any, actions: Any) -> Any:
        return event, actions

    class Later:
        async def __call__(self, event: Any, actions: Any, tokenizer: Any) -> Any:
            return event, actions, tokenizer

    for function, answer in ((later, (1, 2, 3)), (shorter, (1, 2)), (Later(), (1, 2, 3))):
        marked = create_mod(function)
        assert may_wait(marked)
        assert await marked(1, 2, 3) == answer
    assert not may_wait(mod(handler))


def test_a_generator_is_refused() -> None:
    def several(event: Any, actions: Any, tokenizer: Any) -> Any:
        yield event

    async def several_later(event: Any, actions: Any, tokenizer: Any) -> Any:
        yield event

    for function in (several, several_later):
        with pytest.raises(ValueError, match="is a generator"):
            mod(function)
