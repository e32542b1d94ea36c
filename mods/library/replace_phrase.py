"""Put other words in the place of a phrase, wherever the model writes it, however it is split.

    model="<base>/replace_phrase"

    As an AI language model, I utilize numbers.   becomes   I use numbers.

Other phrases:

    from mods.library.replace_phrase import ReplacePhrase
    from mods.sdk import create_mod

    formal = create_mod(ReplacePhrase({"Hi there": "Good day"}), reach=0)

Text streams. Only what may be the beginning of a phrase is held until that is known.
"""

from mods.sdk import Added, PerRequest, mod
from mods.sdk.phrases import Phrases

REPLACED = {
    "As an AI language model, I": "I",
    "utilize": "use",
    "delve into": "look into",
    "I'm sorry, but I can't": "I would rather not",
}


class ReplacePhrase:
    """replaced: phrases, each with what comes in its place. ignore_case: however it is written."""

    def __init__(self, replaced=REPLACED, ignore_case=False):
        self.replaced, self.phrases = replaced, Phrases(replaced, ignore_case)
        self.settled = PerRequest(lambda request_id: 0)

    def __call__(self, event, actions, tokenizer):
        if not isinstance(event, Added):
            return actions.noop()
        text, rid = event.text, event.request_id
        since = min(self.settled[rid], len(text))
        found, self.settled[rid] = self.phrases.find(text, since, event.ends)
        if found:
            actions.hold()
            n, left = event.cut(found.start)
            new = text[left : found.start] + self.replaced[found.phrase]
            self.settled[rid] = left + len(new)
            return actions.backtrack(n, new + text[found.end :])
        half_a_character, _ = event.cut(len(text))
        open_end = half_a_character or self.settled[rid] < len(text)
        return actions.hold() if open_end else actions.release()


_default = ReplacePhrase()


@mod(events=Added, reach=0)
def replace_phrase(event, actions, tokenizer):
    """Put other words in the place of given phrases."""
    return _default(event, actions, tokenizer)
