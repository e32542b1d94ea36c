"""Take a phrase back as soon as it is whole, and forbid its first token at that place.

    model="<base>/ban_phrases"

    I'm sorry, but I can't help with that.   becomes   First, call a locksmith. Then, watch …

The model goes another way by itself; nothing is put in the phrase's place. Other phrases:

    from mods.library.ban_phrases import BanPhrases
    from mods.sdk import create_mod

    fresh = create_mod(BanPhrases(["Paris", "Rome"], ignore_case=False), reach=0)

Text streams. Only what may be the beginning of a phrase is held until that is known.
"""

from mods.sdk import Added, ForwardPass, PerRequest, mod
from mods.sdk.phrases import Phrases

PHRASES = ("I'm sorry", "I apologize", "I cannot help", "As an AI")


class BanPhrases:
    """phrases: what may not be written. ignore_case: however it is written."""

    def __init__(self, phrases=PHRASES, ignore_case=True):
        self.phrases = Phrases(phrases, ignore_case)
        self.settled = PerRequest(lambda request_id: 0)
        self.banned = PerRequest(lambda request_id: {})

    def __call__(self, event, actions, tokenizer):
        rid, banned = event.request_id, self.banned[event.request_id]
        if isinstance(event, ForwardPass) and event.position in banned:
            return actions.ban(banned[event.position])
        if not isinstance(event, Added):
            return actions.noop()
        text = event.text
        since = min(self.settled[rid], len(text))
        found, self.settled[rid] = self.phrases.find(text, since, event.ends)
        if found:
            actions.hold()
            n, self.settled[rid] = event.cut(found.start)
            place = event.position - n
            first = banned.get(place, set()) | {int(event.tokens[place])}
            self.banned[rid] = {at: ids for at, ids in banned.items() if at < place}
            self.banned[rid][place] = first
            return actions.backtrack(n)
        half_a_character, _ = event.cut(len(text))
        open_end = half_a_character or self.settled[rid] < len(text)
        return actions.hold() if open_end else actions.release()


_default = BanPhrases()


@mod(events=[ForwardPass, Added], reach=0)
def ban_phrases(event, actions, tokenizer):
    """Take given phrases back, and forbid their start at that place."""
    return _default(event, actions, tokenizer)
