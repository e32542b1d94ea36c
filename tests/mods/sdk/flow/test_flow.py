"""Flows: questions in order, routes by answer, and what the output holds in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from mods.sdk.actions import ActionBuilder
from mods.sdk.events import Event, Finished, ForwardPass, Prefilled
from mods.sdk.flow import (
    EraseMode,
    FlowDefinition,
    FlowEngine,
    FlowError,
    FlowQuestion,
    FlowRoute,
    RequestState,
    RouteKind,
    route_message,
    route_noop,
    route_output,
    route_question,
    route_summary,
    route_tool,
)
from mods.sdk.strategies import CharsMode, CharsStrat, UntilEndType, UntilStrat
from tests.mods.sdk.playing import Player, play

ALL = EraseMode.ALL


def question(name: str, *choices: str, **options: Any) -> FlowQuestion:
    """A question that leaves no trace, whose prompt is ` name? `."""
    return FlowQuestion(name, f" {name}? ", list(choices), **{"erase_mode": ALL, **options})


def states_of(engine: FlowEngine[Any], *args: Any, **options: Any) -> tuple[Any, Any]:
    """A played request, and its state as it was before the end."""
    seen: list[Any] = []

    def handler(event: Event, actions: ActionBuilder, tokenizer: Any) -> Any:
        if isinstance(event, Finished):
            seen.append(engine.state(event.request_id))
        return engine.handle_event(event, actions, tokenizer)

    return play(handler, *args, **options), seen[0]


def test_questions_are_asked_one_after_the_other_and_a_message_ends_it() -> None:
    last = question("third", "1", "2").then(route_message("All asked."))
    engine = FlowEngine(
        entry_question=question("first", "A", "B").then(
            route_question(question("second", "X", "Y", "Z").then(last))
        )
    )
    answers = {" first? ": "B", " second? ": "Z", " third? ": "2"}
    played, state = states_of(engine, "never written", answers)
    assert (played.text, played.reason) == ("All asked.", "stop")
    assert state.answers == {"first": "B", "second": "Z", "third": "2"}
    assert state.current_question is None
    assert played.shown[-1] == "All asked."
    assert not any("?" in text for text in played.shown)


def test_what_stays_is_a_transcript() -> None:
    second = FlowQuestion("size", "Size: ", CharsStrat(CharsMode.NUMERIC, stop=2, min=2))
    first = FlowQuestion("colour", "Colour: ", ["red", "green"], completion_text=", ").then(second)
    second.then(route_message("Done."))
    played, state = states_of(
        FlowEngine(entry_question=first), "", {"Colour: ": "green", "Size: ": "42"}
    )
    assert played.text == "Colour: green, Size: 42\nDone."
    assert state.answers == {"colour": "green", "size": "42"}


@pytest.mark.parametrize(
    ("answer", "left"), [("Yes", "Fine."), ("no", "A pity."), ("perhaps", "Well."), ("who", "Hm?")]
)
def test_the_answer_chooses_the_route(answer: str, left: str) -> None:
    entry = (
        question("go", "Yes", "no", "perhaps", "who")
        .on("YES", route_message("Fine."))
        .on("no", lambda state: route_message("A pity."))
        .branch(lambda state: "Well." if state.answers["go"] == "perhaps" else None)
        .otherwise("Hm?")
    )
    assert play(FlowEngine(entry_question=entry).handle_event, "", {" go? ": answer}).text == left


def test_spaces_around_an_answer_do_not_hide_its_route() -> None:
    line = UntilStrat("", UntilEndType.NEWLINE)
    entry = FlowQuestion("go", "Go? ", line, erase_mode="all").on("yes", "Off.").otherwise("No.")
    assert (
        play(FlowEngine(entry_question=entry).handle_event, "", {"Go? ": " yes \n"}).text == "Off."
    )


def test_answers_are_assigned_before_the_route_is_chosen() -> None:
    def keep(state: RequestState, answer: str) -> None:
        state.data["size"] = int(answer)

    entry = (
        FlowQuestion("size", "Size? ", CharsStrat(CharsMode.NUMERIC, stop=3, min=1), erase_mode=ALL)
        .assign(keep)
        .then(lambda state: f"{state.data['size'] + 1}")
    )
    assert play(FlowEngine(entry_question=entry).handle_event, "", {"Size? ": "41"}).text == "42"


def test_an_answer_that_is_known_is_not_asked_for() -> None:
    known = question("user", "a", "b").with_auto_answer(lambda state: state.data.get("user"))
    known.then(lambda state: f"Hello {state.answers['user']}.")
    first = question("sure", "yes").then(known)

    def filled(request_id: str) -> RequestState:
        return RequestState(request_id, data={"user": " Ann "})

    asked = play(FlowEngine(entry_question=first).handle_event, "", {" user? ": "b"})
    assert asked.text == "Hello b."
    engine = FlowEngine(entry_question=first, state_factory=filled)
    played, state = states_of(engine, "", {" user? ": "b"})
    assert played.text == "Hello Ann."
    assert state.answers == {"sure": "yes", "user": "Ann"}
    assert play(FlowEngine(entry_question=known, state_factory=filled).handle_event).text == (
        "Hello Ann."
    )


def test_an_output_takes_the_place_of_everything() -> None:
    entry = FlowQuestion("q", "Q? ", ["a"]).then(route_output("Only this."))
    played = play(FlowEngine(entry_question=entry).handle_event, "", reach=None)
    assert (played.text, played.reason) == ("Only this.", "stop")


def test_a_tool_s_callback_makes_the_action_from_the_state() -> None:
    def search(actions: ActionBuilder, state: RequestState, tokenizer: Any) -> Any:
        return actions.tool_calls(
            {"function": {"name": "search", "arguments": {"q": state.answers["topic"]}}}
        )

    entry = question("topic", "tea", "rain").then(route_tool(search))
    played = play(FlowEngine(entry_question=entry).handle_event, "", {" topic? ": "rain"})
    assert played.reason == "tool_calls"
    assert played.tool_calls[0]["function"]["arguments"] == '{"q": "rain"}'
    assert played.text == ""


def test_a_tool_s_callback_may_lead_on_or_leave() -> None:
    after = question("after", "x").then("End.")
    entry = question("topic", "tea").then(route_tool(lambda actions, state, tokenizer: after))
    assert play(FlowEngine(entry_question=entry).handle_event).text == "End."
    entry.then(route_tool(lambda actions, state, tokenizer: None))
    assert play(FlowEngine(entry_question=entry).handle_event, "By itself.").text == "By itself."


def test_a_noop_leaves_the_model_to_itself() -> None:
    entry = question("q", "a").then(route_noop())
    played = play(FlowEngine(entry_question=entry).handle_event, "By itself.")
    assert (played.text, played.reason) == ("By itself.", "stop")


def test_a_summary_is_built_by_the_flow_that_the_question_belongs_to() -> None:
    last = question("b", "2").then(route_summary("unused"))
    flow = FlowDefinition(
        "sum", question("a", "1").then(last), lambda state: "+".join(state.answers.values())
    )
    for engine in (
        FlowEngine(entry_question=flow),
        FlowEngine(entry_question=flow.root, flows={"sum": flow}),
        FlowEngine(entry_question=question("c", "0").then(flow)),
    ):
        assert play(engine.handle_event).text in ("1+2", "0+1+2")
    assert flow.all_questions() == [flow.root, last]


def test_a_summary_outside_any_flow_is_the_route_s_own() -> None:
    said = FlowEngine(entry_question=question("a", "1").then(route_summary("So far.")))
    silent = FlowEngine(entry_question=question("a", "1").then(route_summary()))
    assert play(said.handle_event).text == "So far."
    assert play(silent.handle_event).text == "Flow complete."


def test_questions_may_be_made_for_a_request_even_under_one_name() -> None:
    def digit(place: int) -> Any:
        def make(state: RequestState) -> Any:
            state.data.setdefault("digits", [])
            following = "".join(state.data["digits"]) if place == 3 else digit(place + 1)
            if place == 3:
                return route_message(following)
            return (
                FlowQuestion("digit", f" {place}: ", CharsStrat(CharsMode.NUMERIC, stop=1, min=1))
                .assign(lambda state, answer: state.data["digits"].append(answer))
                .then(following)
            )

        return make

    entry = FlowQuestion("go", "?", ["y"], erase_mode=ALL).then(digit(0))
    played = play(
        FlowEngine(entry_question=entry).handle_event, "", {" 0: ": "7", " 1: ": "8", " 2: ": "9"}
    )
    assert played.text == " 0: 7\n 1: 8\n 2: 9\n789"


def test_a_state_of_one_s_own_is_made_for_each_request_and_dropped() -> None:
    @dataclass
    class Order:
        request_id: str
        current_question: Any = None
        pending_route: Any = None
        answers: dict[str, str] = field(default_factory=dict)
        data: dict[str, Any] = field(default_factory=dict)
        made: int = 0

    engine = FlowEngine(entry_question=question("q", "a", "b").then("End."), state_factory=Order)
    one = Player(engine.handle_event, "", {" q? ": "a"})
    two = Player(engine.handle_event, "", {" q? ": "b"})
    engine.handle_event(Prefilled(two.request_id, 0, 0, 99, None), ActionBuilder(), None)  # type: ignore[arg-type]
    assert one.run().text == "End."
    assert set(engine._states) == {two.request_id}
    assert engine._get_state(two.request_id).answers == {}
    two.run()
    assert (len(engine._states), len(engine._runs)) == (0, 0)


def test_ten_thousand_requests_leave_nothing_behind() -> None:
    engine = FlowEngine(entry_question=question("q", "a").then("End."))
    for number in range(10_000):
        engine.handle_event(ForwardPass(f"many-{number}", 0, 0), ActionBuilder(), Encodes())
        engine.handle_event(Finished(f"many-{number}", 0, 0, "aborted"), ActionBuilder(), Encodes())
        assert not len(engine._states)
        assert not len(engine._runs)


def test_other_events_are_no_affair_of_a_flow_s() -> None:
    engine = FlowEngine(entry_question=question("q", "a").then("End."))
    event = Event("r", 0, 0)
    assert engine.handle_event(event, ActionBuilder(event), None).rank == 0


# What is wrong.


def test_a_choice_without_a_route_is_an_error_before_it_is_asked() -> None:
    entry = question("confirm", "proceed", "abort").on("yes", "Off.").on("abort", "Stopped.")
    with pytest.raises(FlowError, match=r"question 'confirm': the answer 'proceed' leads nowhere"):
        play(FlowEngine(entry_question=entry).handle_event)
    with pytest.raises(FlowError, match=r"question 'confirm': the answer 'proceed' leads nowhere"):
        FlowEngine(entry_question=question("first", "x").then(entry)).check()


def test_an_answer_that_leads_nowhere_is_an_error_that_names_it_and_the_question() -> None:
    digits = CharsStrat(CharsMode.NUMERIC, stop=2, min=1)
    entry = FlowQuestion("size", "Size? ", digits, erase_mode=ALL).on("1", "One.")
    with pytest.raises(FlowError, match=r"question 'size': the answer '42' leads nowhere"):
        play(FlowEngine(entry_question=entry).handle_event, "", {"Size? ": "42"})
    silent = question("q", "a").branch(lambda state: None)
    with pytest.raises(FlowError, match=r"question 'q': the answer 'a' leads nowhere"):
        play(FlowEngine(entry_question=silent).handle_event)
    free = FlowQuestion("free", "?", UntilStrat("", UntilEndType.NEWLINE))
    with pytest.raises(FlowError, match="question 'free': no answer leads anywhere"):
        play(FlowEngine(entry_question=free).handle_event)


def test_a_target_that_is_none_is_an_error_that_shows_it() -> None:
    entry = question("q", "a").then(42)
    with pytest.raises(FlowError, match=r"a route leads to a question.*got 42"):
        play(FlowEngine(entry_question=entry).handle_event)

    def endless(state: RequestState) -> Any:
        return endless

    with pytest.raises(FlowError, match="returned another function"):
        play(FlowEngine(entry_question=question("q", "a").then(endless)).handle_event)


def test_a_flow_that_answers_itself_in_circles_is_an_error() -> None:
    one = question("one", "a").with_auto_answer(lambda state: "a")
    two = question("two", "b").with_auto_answer(lambda state: "b").then(one)
    one.then(two)
    with pytest.raises(FlowError, match=r"round in circles at question 'two'.*'b'"):
        play(FlowEngine(entry_question=one).handle_event)


def test_what_an_author_s_function_raises_is_not_swallowed() -> None:
    def broken(state: RequestState) -> Any:
        raise KeyError("mine")

    for entry in (
        question("q", "a").then(broken),
        question("q", "a").branch(broken).then("x"),
        question("q", "a").with_auto_answer(broken).then("x"),
        question("q", "a").assign(lambda state, answer: broken(state)).then("x"),
        question("q", "a").then(route_tool(lambda actions, state, tokenizer: broken(state))),
    ):
        with pytest.raises(KeyError, match="mine"):
            play(FlowEngine(entry_question=entry).handle_event)


def test_routes_are_what_their_helpers_say() -> None:
    made = [
        route_question(question("q", "a")),
        route_message("m"),
        route_summary(),
        route_output("o"),
        route_tool(print),
        route_noop(),
    ]
    assert [route.kind for route in made] == list(RouteKind)
    assert all(isinstance(route, FlowRoute) for route in made)


class Encodes:
    """Enough of a tokenizer for a prompt."""

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return list(text.encode())
