"""Penalties and bad words over a whole session, for rows whose output is partly in the prompt.

vLLM counts only the tokens that a request drew itself; a restarted segment's kept tokens look
like prompt to it. The session's parameters therefore reach vLLM neutral, and are applied here
with vLLM's own formulas: repetition first, then frequency, then presence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from processors.rows import Row


def apply_penalties(logits: torch.Tensor, rows: Sequence[tuple[int, Row]]) -> None:
    """Edit logits [rows, vocabulary] in place, for the rows that have penalties."""
    for index, row in rows:
        if row.args.penalties is not None:
            _penalize(logits[index], row)


def apply_bad_words(logits: torch.Tensor, rows: Sequence[tuple[int, Row]]) -> None:
    """Forbid the token that would complete a bad word, in place."""
    for index, row in rows:
        if row.args.bad_words:
            output = row.session_output()
            banned = [word[-1] for word in row.args.bad_words if _about_to_complete(output, word)]
            if banned:
                logits[index, torch.tensor(banned, device=logits.device)] = float("-inf")


def _penalize(logits: torch.Tensor, row: Row) -> None:
    penalties = row.args.penalties
    assert penalties is not None
    output = Counter(row.session_output())
    if penalties.repetition != 1.0:
        seen = set(output) | set(row.session_prompt())
        at = torch.tensor(sorted(seen), dtype=torch.long, device=logits.device)
        values = logits[at]
        logits[at] = torch.where(
            values > 0, values / penalties.repetition, values * penalties.repetition
        )
    if output:
        at = torch.tensor(list(output), dtype=torch.long, device=logits.device)
        counts = torch.tensor(list(output.values()), dtype=logits.dtype, device=logits.device)
        logits[at] -= penalties.frequency * counts + penalties.presence


def _about_to_complete(output: Sequence[int], word: Sequence[int]) -> bool:
    start = len(word) - 1
    return start == 0 or list(output[-start:]) == list(word[:-1])
