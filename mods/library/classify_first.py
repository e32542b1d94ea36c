"""Ask the model what kind of request it has before it, unseen, and begin the answer accordingly.

    model="<base>/classify_first"

    How do I pick a lock?   begins with   "Let me be careful here. "

The question and its answer are erased before anything is shown: only the opening stays. Other
kinds, each with its opening:

    from mods.library.classify_first import ClassifyFirst
    from mods.sdk import create_mod

    tone = create_mod(ClassifyFirst({"angry": "I am sorry. ", "calm": ""}, "Mood: "), reach=0)
"""

from mods.sdk import EraseMode, PerRequest, SelfPrompt, mod

OPENINGS = {
    "question": "Good question. ",
    "task": "Gladly. ",
    "greeting": "",
    "danger": "Let me be careful here. ",
}
ASKED = "The kind of the request is: "


class ClassifyFirst:
    """openings: each kind, with what an answer to it begins with. asked: what the kind follows."""

    def __init__(self, openings=OPENINGS, asked=ASKED):
        self.openings = openings
        self.ask = SelfPrompt(
            prompt=asked, strategy=list(openings), erase=EraseMode.ALL, argmax_sampling=True
        )
        self.opened = PerRequest(lambda request_id: False)

    def __call__(self, event, actions, tokenizer):
        action = self.ask.handle_event(event, actions, tokenizer)
        kind = self.ask.answer(event.request_id)
        if kind is None or self.opened[event.request_id] or event.name != "ForwardPass":
            return action
        self.opened[event.request_id] = True
        return actions.force_tokens(self.openings[kind])


_default = ClassifyFirst()


@mod(reach=0)
def classify_first(event, actions, tokenizer):
    """Ask for the kind of the request, unseen, and begin the answer accordingly."""
    return _default(event, actions, tokenizer)
