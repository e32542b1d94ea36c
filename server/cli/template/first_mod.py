"""A first mod: every answer begins with "Ahoy! ", and the model goes on from there."""

from mods.sdk import ForwardPass, mod


@mod
def ahoy(event, actions, tokenizer):
    # Before the very first token is drawn, put our own in its place.
    if isinstance(event, ForwardPass) and event.position == 0:
        return actions.force_tokens("Ahoy! ")
    return actions.noop()
