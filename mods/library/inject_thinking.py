"""Begin the model's thinking with words of yours; it thinks on from there and then answers.

    model="<base>/inject_thinking"

    <think>Let me think. The user wants the capital of France. It is Paris.</think>Paris.

Other words:

    from mods.library.inject_thinking import InjectThinking
    from mods.sdk import create_mod

    doubts = create_mod(InjectThinking("First, what could be wrong here?"), reach=0)
"""

from mods.sdk import ForwardPass, PerRequest, Prefilled, mod

THOUGHT = "Let me think."
OPEN = "<think>"


class InjectThinking:
    """thought: the words. opening: what begins a thought; left out where the prompt ends in it."""

    def __init__(self, thought=THOUGHT, opening=OPEN):
        self.thought, self.opening = thought, opening
        self.opened = PerRequest(lambda request_id: False)

    def __call__(self, event, actions, tokenizer):
        if isinstance(event, Prefilled):
            asked = tokenizer.decode(list(event.context_info.tokens[-16:]))
            self.opened[event.request_id] = asked.rstrip().endswith(self.opening)
        elif isinstance(event, ForwardPass) and event.position == 0:
            opened = self.opened[event.request_id]
            return actions.force_tokens(self.thought if opened else self.opening + self.thought)
        return actions.noop()


_default = InjectThinking()


@mod(events=[Prefilled, ForwardPass], reach=0)
def inject_thinking(event, actions, tokenizer):
    """Begin the model's thinking with given words."""
    return _default(event, actions, tokenizer)
