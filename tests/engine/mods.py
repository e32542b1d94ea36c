"""Mods that several tests of the real engine use, as an author would write them."""

NOOP = """
from mods.sdk import mod

@mod
def noop(event, actions, tokenizer):
    return actions.noop()
"""

REWRITE = """
from mods.sdk import Added, mod
done = set()

@mod
def rewrite(event, actions, tokenizer):
    if isinstance(event, Added) and event.position == 5 and event.request_id not in done:
        done.add(event.request_id)
        return actions.backtrack(2, "XYZ")
"""
"""Takes the fourth and fifth token back once and puts XYZ in their place."""
