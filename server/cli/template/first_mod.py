"""A first mod: it says the first word, and the model goes on from there."""

from mods.sdk import ForwardPass, mod


@mod
def ahoy(event, actions, tokenizer):
    """Begin every answer with "Ahoy! "."""
    # Before the very first token is drawn, put our own in its place.
    if isinstance(event, ForwardPass) and event.position == 0:
        return actions.force_tokens("Ahoy! ")
    return actions.noop()
