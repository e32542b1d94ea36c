"""Let the model think for so many tokens, then close the thought so that it answers.

    model="<base>/thinking_budget"

    <think>Hmm, one could say … or perhaps …</think>The answer is 4.

Another budget, or other marks:

    from mods.library.thinking_budget import ThinkingBudget
    from mods.sdk import create_mod

    hasty = create_mod(ThinkingBudget(32, close=" So be it.</think>"), reach=0)

Models that think from the start, behind a `<think>` that their prompt ends with, are known by it.
"""

from mods.sdk import Added, PerRequest, Prefilled, mod

TOKENS = 512
OPEN, CLOSE = "<think>", "</think>"
MARK = 16
"""Tokens in which a mark is looked for: more than any tokenizer makes of it."""


class ThinkingBudget:
    """tokens: of one thought, its marks aside. close: what ends it; opening and closing: the marks
    by which a thought is known."""

    def __init__(self, tokens=TOKENS, close=None, opening=OPEN, closing=CLOSE):
        self.tokens, self.close = tokens, closing if close is None else close
        self.opening, self.closing = opening, closing
        self.began = PerRequest(lambda request_id: None)

    def __call__(self, event, actions, tokenizer):
        rid = event.request_id
        if isinstance(event, Prefilled):
            asked = tokenizer.decode(list(event.context_info.tokens[-MARK:]))
            self.began[rid] = 0 if asked.rstrip().endswith(self.opening) else None
        elif isinstance(event, Added):
            newest = tokenizer.decode(list(event.tokens[-len(event.added_tokens) - MARK :]))
            if self.began[rid] is not None and self.began[rid] > event.position:
                self.began[rid] = None
            opened, closed = newest.rfind(self.opening), newest.rfind(self.closing)
            if self.began[rid] is None and opened > closed:
                self.began[rid] = event.position
            elif self.began[rid] is not None and closed > opened:
                self.began[rid] = None
            elif self.began[rid] is not None and event.position - self.began[rid] >= self.tokens:
                self.began[rid] = None
                return actions.force_tokens(self.close)
        return actions.noop()


_default = ThinkingBudget()


@mod(events=[Prefilled, Added], reach=0)
def thinking_budget(event, actions, tokenizer):
    """Close a thought that takes too many tokens."""
    return _default(event, actions, tokenizer)
