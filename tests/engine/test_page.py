"""The page in a real browser, against the real server: what a person does with it."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.engine.browsing import Window, opened
from tests.engine.live import MODEL, Live
from tests.engine.told import HOSTILE, QUESTION, Stored, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Route

from playwright.sync_api import expect

STRIP = "Tokens of the prompt and the answer"
TYPED = '''from mods.sdk import ForwardPass, mod


@mod
def {name}(event, actions, tokenizer):
    """Written in the page."""
    if isinstance(event, ForwardPass) and event.position == 0:
        return actions.force_tokens("Ahoy! ")
'''


def tokens(page: Page, *kinds: str) -> Locator:
    """Those of the strip, of these classes."""
    return page.get_by_label(STRIP, exact=True).locator("".join([".token", *kinds]))


def write(page: Page, source: str) -> None:
    """Put a text into the editor, in place of what is there."""
    page.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    # Typed over coloured words, Chromium would style what is new, which the page's policy forbids.
    page.keyboard.press("Delete")
    page.keyboard.insert_text(source)


def send(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.get_by_role("button", name="Send").click()


# Requests


def test_the_server_filters_and_the_address_keeps_it(window: Window, stored: Stored) -> None:
    page = window.page
    window.go("/")
    rows = page.locator(".request")
    expect(rows.first).to_be_visible()
    page.get_by_label("Status").select_option("failed")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Mod", exact=True).fill("page_breaks")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"status=failed"))
    expect(page).to_have_url(re.compile(r"mod=page_breaks"))
    link = page.locator(f'a[href="/requests/{stored.failed}"]')
    expect(link).to_be_visible()
    expect(page.locator(".request .status.done")).to_have_count(0)
    page.reload()
    expect(link).to_be_visible()
    expect(page.locator(".request .status.done")).to_have_count(0)
    expect(page.get_by_label("Status")).to_have_value("failed")
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(".request .status.done").first).to_be_visible()


def test_words_are_looked_for_by_the_server(window: Window, live: Live, stored: Stored) -> None:
    word = f"zebra{uuid.uuid4().hex[:8]}"
    request_id = live.chat(f"Say {word}").json()["id"]
    wait_for(live, request_id)
    window.go("/requests")
    window.page.get_by_role("searchbox").fill(word)
    window.page.get_by_role("button", name="Search").click()
    expect(window.page.locator(".request")).to_have_count(1)
    expect(window.page.locator(".request .asked")).to_contain_text(word)


def test_a_new_request_slides_into_the_list(window: Window, live: Live, stored: Stored) -> None:
    window.go("/requests")
    expect(window.page.locator(".live")).to_be_visible()
    word = f"newcomer {uuid.uuid4().hex[:8]}"
    live.chat(word)
    expect(window.page.locator(".request").filter(has_text=word)).to_be_visible()


def test_two_of_the_list_are_compared(window: Window, stored: Stored) -> None:
    page = window.page
    window.go("/requests")
    for request_id in (stored.plain, stored.greeted):
        row = page.locator(".request").filter(has=page.locator(f'a[href="/requests/{request_id}"]'))
        row.get_by_label("Compare this one").check()
    page.get_by_role("link", name="Compare the two").click()
    expect(page.get_by_role("heading", name="Two requests")).to_be_visible()
    other = page.get_by_label("The other", exact=True)
    expect(other.get_by_text("with page_greets")).to_be_visible()
    expect(other.locator(".token.differs").first).to_be_visible()
    page.get_by_role("button", name="Next difference").click()
    expect(page.get_by_text(re.compile(r"^1 of \d"))).to_be_visible()


# A request


def test_a_request_says_what_happened_and_where_each_token_came_from(
    window: Window, stored: Stored
) -> None:
    page = window.page
    window.go("/requests")
    page.locator(f'a[href="/requests/{stored.rethought}"]').click()
    expect(page.locator(".happened")).to_contain_text("page_greets put tokens in once")
    expect(page.locator(".happened")).to_contain_text("page_rethinks took tokens back once")
    expect(page.locator(".said")).to_contain_text(QUESTION)
    expect(page.locator(".said")).to_contain_text("Ahoy!")
    expect(tokens(page, ".prompt").first).to_be_visible()
    expect(tokens(page, ".forced").first).to_be_visible()
    expect(tokens(page, ".gone")).to_have_count(2)


def test_a_token_that_is_pointed_at_shows_what_else_could_have_come(
    window: Window, stored: Stored
) -> None:
    page = window.page
    window.go(f"/requests/{stored.plain}")
    tokens(page, ".sampled").nth(1).hover()
    card = page.locator(".card")
    expect(card).to_contain_text("drawn by the model")
    expect(card.locator(".alternatives li").nth(1)).to_be_visible()
    expect(card.locator(".alternatives li.drawn")).to_have_count(1)
    expect(card.locator(".alternatives li").first).to_contain_text("%")


def test_tokens_are_coloured_by_how_likely_they_were(window: Window, stored: Stored) -> None:
    page = window.page
    window.go(f"/requests/{stored.rethought}")
    for colouring in ("probability", "entropy", "margin", "latency"):
        page.get_by_label("Colours").select_option(colouring)
        expect(page.get_by_label(STRIP, exact=True).locator("[class*=heat-]").first).to_be_visible()


def test_scrubbing_and_playing_go_through_the_request(window: Window, stored: Stored) -> None:
    page = window.page
    window.go(f"/requests/{stored.rethought}")
    slider = page.get_by_role("slider", name="Event")
    expect(tokens(page, ".gone")).to_have_count(2)
    slider.fill("0")
    expect(tokens(page, ".forced")).to_have_count(0)
    expect(tokens(page, ".sampled")).to_have_count(0)
    expect(tokens(page, ".prompt").first).to_be_visible()
    page.get_by_role("button", name="One step on").click()
    page.get_by_role("button", name="One step on").click()
    expect(tokens(page, ".forced").first).to_be_visible()
    expect(tokens(page, ".gone")).to_have_count(0)
    page.get_by_role("button", name="Play it back").click()
    expect(page.locator(".scrubber")).to_contain_text("the end")
    expect(page.get_by_role("button", name="Play it back")).to_be_visible()
    expect(tokens(page, ".gone")).to_have_count(2)


def test_n_and_p_go_from_action_to_action_and_show_their_effect(
    window: Window, stored: Stored
) -> None:
    page = window.page
    window.go(f"/requests/{stored.rethought}")
    expect(tokens(page, ".gone")).to_have_count(2)
    at = page.locator(".happening.at")
    page.keyboard.press("n")
    expect(at).to_contain_text("force_tokens")
    expect(tokens(page, ".forced").first).to_be_visible()
    page.keyboard.press("n")
    expect(at).to_contain_text("backtrack")
    page.keyboard.press("p")
    expect(at).to_contain_text("force_tokens")


def test_what_a_mod_printed_and_broke_is_shown(window: Window, stored: Stored) -> None:
    page = window.page
    window.go(f"/requests/{stored.failed}")
    expect(page.locator(".happened")).to_contain_text("It failed (422)")
    page.keyboard.press("n")
    expect(page.locator(".happening.failure")).to_contain_text("raised KeyError")
    expect(page.locator("pre.detail")).to_contain_text("Traceback")
    window.go(f"/requests/{stored.greeted}")
    expect(page.locator(".happening.log")).to_contain_text("a greeting")


def test_tags_favourites_and_notes_about_a_round_stay(window: Window, stored: Stored) -> None:
    page = window.page
    tag = f"tag-{uuid.uuid4().hex[:6]}"
    window.go(f"/requests/{stored.plain}")
    page.get_by_label("Add a tag").fill(tag)
    page.keyboard.press("Enter")
    expect(page.locator(".chip.tag").filter(has_text=tag)).to_be_visible()
    page.get_by_role("button", name="Make it a favourite").click()
    expect(page.get_by_role("button", name="No longer a favourite")).to_be_visible()
    tokens(page, ".sampled").nth(2).click()
    page.get_by_label("A new note").fill("Here it goes right.")
    page.get_by_role("button", name="Add the note").click()
    note = page.get_by_label("Notes", exact=True).locator("li")
    expect(note).to_contain_text("round 2")
    page.reload()
    expect(note).to_contain_text("Here it goes right.")
    expect(tokens(page, ".noted")).to_have_count(1)
    expect(page.locator(".happening.note")).to_contain_text("Here it goes right.")
    window.go(f"/requests?tag={tag}&favourite=true")
    expect(page.locator(".request")).to_have_count(1)
    window.go(f"/requests/{stored.plain}")
    page.get_by_role("button", name="No longer a favourite").click()
    page.get_by_label(f"Remove the tag {tag}").click()
    note.get_by_role("button", name="delete").click()
    expect(note).to_have_count(0)
    expect(page.locator(".chip.tag")).to_have_count(0)


def test_a_request_is_replayed_from_a_round_with_a_mod(window: Window, stored: Stored) -> None:
    page = window.page
    window.go(f"/requests/{stored.plain}")
    tokens(page, ".sampled").nth(3).click()
    replay = page.get_by_label("Replay", exact=True)
    replay.get_by_label("from round 3").check()
    replay.get_by_label("with other mods").check()
    replay.get_by_label("Mods, separated by commas").fill("page_greets")
    replay.get_by_role("button", name="Run it again").click()
    expect(page.locator(".happened")).to_contain_text("They begin with the same 3 tokens")
    other = page.get_by_label("The other", exact=True)
    expect(other.get_by_text("with page_greets")).to_be_visible()
    other.get_by_role("heading").get_by_role("link").click()
    expect(page.get_by_text("A replay of")).to_contain_text("from round 3 on")


def test_the_raw_record_can_be_read(window: Window, stored: Stored) -> None:
    window.go(f"/requests/{stored.plain}")
    window.page.get_by_role("heading", name="Raw JSON").click()
    expect(window.page.locator("pre.raw")).to_contain_text(stored.plain)


# Writing a mod, and the playground


def test_a_mod_is_written_tried_saved_and_changes_an_answer(window: Window, live: Live) -> None:
    name = f"typed_{uuid.uuid4().hex[:8]}"
    page = window.page
    window.go("/mods")
    page.get_by_role("link", name="Write a mod").click()
    write(page, TYPED.format(name=name).replace("if isinstance", "if if isinstance"))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("syntax")
    expect(page.locator(".cm-lint-marker-error")).to_have_count(1)
    window.spare("400 (Bad Request)")
    write(page, TYPED.format(name=name))
    dry = page.get_by_label("Dry run", exact=True)
    dry.get_by_label("a scripted model, and the laws").check()
    dry.get_by_role("button", name="Run it").click()
    expect(dry).to_contain_text("It keeps the laws")
    dry.get_by_label("the server's model").check()
    dry.get_by_label("Prompt").fill(QUESTION)
    dry.get_by_role("button", name="Run it").click()
    expect(dry.locator(".output .forced").first).to_be_visible()
    assert name not in str(httpx.get(f"{live.url}/v1/mods").json()), "a dry run saves nothing"
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Try it").click()
    send(page, QUESTION)
    reply = page.get_by_label(f"with {name}")
    expect(reply).to_contain_text("Ahoy! The capital of France is Paris.")
    expect(page.get_by_role("group", name="without mods")).to_have_count(0)
    page.get_by_role("button", name="New conversation").click()
    page.get_by_label("beside it, without mods").check()
    send(page, QUESTION)
    expect(reply).to_contain_text("Ahoy! The capital of France is Paris.")
    bare = page.get_by_role("group", name="without mods").locator(".text")
    expect(bare).to_have_text("The capital of France is Paris.")
    reply.get_by_role("button", name="Token by token").click()
    expect(reply.locator(".token.forced").first).to_be_visible()
    window.spare("404 (Not Found)")  # the trace may be asked for before it is stored
    reply.get_by_role("link", name="Open the request").click()
    expect(page.locator(".happened")).to_contain_text(f"{name} put tokens in once")


def test_a_constraint_is_judged_as_it_is_typed_and_holds_the_answer(window: Window) -> None:
    page = window.page
    window.go("/playground")
    page.get_by_label("Kind of constraint").select_option("regex")
    write(page, "(yes|no")
    verdict = page.locator("fieldset [role=status]")
    expect(verdict).to_have_class("warning")
    expect(verdict).not_to_contain_text("It can be used")
    write(page, "(yes|no)!")
    expect(verdict).to_contain_text("It can be used")
    send(page, QUESTION)
    expect(page.locator(".reply .text")).to_have_text(re.compile("^(yes|no)!$"))
    window.spare("400 (Bad Request)")


def test_nothing_that_is_chosen_while_the_models_are_listed_is_lost(window: Window) -> None:
    page = window.page
    held: list[Route] = []
    page.route("**/v1/models", lambda route: held.append(route))
    window.go("/playground")
    page.get_by_label("Kind of constraint").select_option("regex")
    page.get_by_label("Your message").fill(QUESTION)
    for route in held:
        route.continue_()
    expect(page.get_by_label("Model")).to_contain_text(MODEL)
    expect(page.get_by_label("Kind of constraint")).to_have_value("regex")


def test_nothing_that_is_typed_fast_is_lost(window: Window) -> None:
    page = window.page
    window.go("/playground")
    page.get_by_label("Kind of constraint").select_option("regex")
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 20})
    for number in range(20):
        write(page, f"number {number}")
        expect(page.locator(".cm-content")).to_have_text(f"number {number}")
    page.keyboard.type(" and so on", delay=1)
    expect(page.locator(".cm-content")).to_have_text("number 19 and so on")


@pytest.mark.parametrize("kind", ["curl", "Python"])
def test_what_is_copied_asks_the_same(browser: Browser, live: Live, kind: str) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    with opened(browser, live, permissions=allowed) as shown:
        page = shown.page
        shown.go("/playground")
        page.get_by_label("Temperature").fill("0")
        page.get_by_label("Your message").fill("What is the capital of France?")
        page.get_by_role("button", name=f"Copy as {kind}").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        text = page.evaluate("navigator.clipboard.readText()")
    command = ["bash", "-c", text] if kind == "curl" else [sys.executable, "-c", text]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "The capital of France is Paris." in ran.stdout, ran.stderr


# What comes from a trace, a mod or a model is text


def test_markup_in_traces_mods_and_answers_stays_text(window: Window, stored: Stored) -> None:
    page = window.page
    addresses = [
        "/requests",
        f"/requests/{stored.hostile}",
        f"/compare/{stored.plain}/{stored.hostile}",
        "/mods",
        "/mods/page_injects",
        "/overview",
    ]
    for address in addresses:
        window.go(address)
        expect(page.locator("main")).to_contain_text(
            "onerror" if address != "/overview" else "page_injects"
        )
        assert page.locator("main img, main script").count() == 0, address
    window.go(f"/requests/{stored.hostile}")
    page.keyboard.press("n")
    page.get_by_role("heading", name="Raw JSON").click()
    expect(page.locator("pre.raw")).to_contain_text(HOSTILE)
    window.go("/playground?mods=page_injects")
    page.get_by_label("Tokens, at most").fill("40")
    send(page, HOSTILE)
    expect(page.locator(".reply .text")).to_contain_text(HOSTILE)
    assert page.locator("main img, main script").count() == 0
