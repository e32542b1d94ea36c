"""Rewind where the model goes round in circles, and push it another way.

    model="<base>/repair_loops"

    It is big and it is big and it is big and …   becomes   It is big and it was found in 1912 …

A loop is the same run of tokens `times` times in a row, and `least` tokens in all. Only the first
run stays. The token that led into the loop is forbidden there, and the next ones are drawn at a
higher temperature. Other measures:

    from mods.library.repair_loops import REACH, RepairLoops
    from mods.sdk import create_mod

    strict = create_mod(RepairLoops(times=2, least=24), reach=REACH)
"""

from mods.sdk import Added, ForwardPass, PerRequest, mod

REACH = 64
LONGEST = 20
"""Tokens of one run."""
REPAIRS = 8
"""In one request; then it may go round."""


class RepairLoops:
    """warmth: the temperature of so many `tokens` after a repair."""

    def __init__(self, times=3, least=12, warmth=1.0, tokens=8):
        self.warmth, self.tokens = warmth, tokens
        runs = {length: max(times, -(-least // length)) for length in range(1, LONGEST + 1)}
        self.runs = {n: times for n, times in runs.items() if n * (times - 1) <= REACH}
        self.repairs = PerRequest(lambda request_id: [])
        self.warm = PerRequest(lambda request_id: False)

    def __call__(self, event, actions, tokenizer):
        rid, repairs = event.request_id, self.repairs[event.request_id]
        place, token = repairs[-1] if repairs else (-1, -1)
        if isinstance(event, ForwardPass) and event.position == place:
            return actions.ban([token])
        if isinstance(event, Added):
            if self.warm[rid] and event.position >= place + self.tokens:
                self.warm[rid] = False
                actions.temperature(None)
            going = self.loop(list(event.tokens)) if len(repairs) < REPAIRS else 0
            if going:
                place = event.position - going
                repairs.append((place, int(event.tokens[place])))
                self.warm[rid] = True
                actions.temperature(self.warmth)
                return actions.backtrack(going)
        return actions.noop()

    def loop(self, tokens):
        """How many of the newest tokens only repeat what stands before them."""
        for length, times in self.runs.items():
            if tokens[-length * times :] == tokens[-length:] * times:
                return length * (times - 1)
        return 0


_default = RepairLoops()


@mod(events=[ForwardPass, Added], reach=REACH)
def repair_loops(event, actions, tokenizer):
    """Rewind repetitions, and push the model another way."""
    return _default(event, actions, tokenizer)
