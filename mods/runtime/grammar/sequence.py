"""A sequence of parts as one grammar, and whether each part's end can be told.

Neighbours that are regular become one terminal, which is exact. Elsewhere llguidance matches a
terminal as far as it goes: a part that can always go on with what the next one begins with never
ends, and the next one never begins (free text before JSON, for one). That would be generated
without end, so it is refused.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from mods.runtime.grammar import json_schema, lark
from mods.runtime.grammar.composite import expression, is_regular, part_name
from mods.runtime.grammar.limits import parser_limits
from mods.runtime.grammar.options import Options
from mods.sdk.constraints import Constraint, Guidance, InSequence, Json, Lark
from mods.sdk.errors import ConstraintError

_MAIN = "sequence"
_IN_NUMBERS = frozenset(b"0123456789.eE+-")
_END = 256


class Sequence:
    """Collects rules and grammars. `text` is the whole as llguidance reads it."""

    def __init__(self, parts: list[Constraint], options: Options) -> None:
        self._options = options
        self._rules: list[str] = []
        self._grammars: list[dict[str, Any]] = []
        self._bodies = [self._body(part) for part in parts]

    @property
    def text(self) -> str:
        lines = [f"start: {' '.join(self._bodies)}", *self._rules]
        main = "\n".join(lines) + "\n"
        if not self._grammars:
            return main
        return json.dumps({"grammars": [{"name": _MAIN, "lark_grammar": main}, *self._grammars]})

    def _body(self, part: Constraint) -> str:
        """What stands for a part in the main rule."""
        if is_regular(part):
            return self._defined("T", expression(part))
        match part:
            case Json():
                schema = json_schema.parse(part.schema)
                return self._defined("j", json_schema.inline(schema, self._options))
            case Lark():
                return "@" + self._added({"lark_grammar": part.grammar}, "")
            case Guidance():
                given = json.loads(part.grammar)["grammars"]
                names = [self._added(one, one.get("name") or "") for one in given]
                return f"@{names[0]}"
        raise AssertionError(f"{type(part).__name__} has no place in a sequence")

    def _defined(self, kind: str, body: str) -> str:
        name = f"{kind}{len(self._rules)}"
        self._rules.append(f"{name}: {body}")
        return name

    def _added(self, grammar: dict[str, Any], name: str) -> str:
        name = name or f"part-{len(self._grammars)}"
        if name == _MAIN or any(known["name"] == name for known in self._grammars):
            raise ConstraintError(f"two grammars are called {name!r}: rename one of them")
        self._grammars.append({**grammar, "name": name})
        return name


def sequence_text(constraint: InSequence, options: Options) -> str:
    """The grammar of a sequence without choices in it. Raises `ConstraintError`."""
    numbered = list(_flat(constraint))
    runs: list[tuple[str, Constraint]] = []
    for regular, run in itertools.groupby(numbered, lambda one: is_regular(one[1])):
        together = list(run)
        if regular and len(together) > 1:
            runs.append((together[0][0], InSequence(tuple(part for _, part in together))))
        else:
            runs += together
    parts = [part for _, part in runs]
    for index in range(len(runs) - 1):
        rest = Sequence(parts[index + 1 :], options).text
        _check_end(parts[index], runs[index][0], first_bytes(rest), options)
    return Sequence(parts, options).text


def first_bytes(text: str) -> frozenset[int]:
    """With which bytes a text of this grammar may begin; 256 if it may be empty.

    None at all for a grammar that is in error or has no text: its own compilation says why.
    """
    matcher = LLMatcher(bytes_tokenizer(), text, log_level=0, limits=parser_limits())
    if matcher.is_error():
        return frozenset()
    bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
    found = frozenset(int(byte) for byte in bits[: _END + 1].nonzero()[0])
    if matcher.is_error() or not matcher.is_accepting():
        found -= {_END}
    return found


def _flat(constraint: InSequence, outer: str = "") -> Iterator[tuple[str, Constraint]]:
    """Parts that are no sequences, with their names."""
    for number, part in enumerate(constraint.parts):
        name = part_name(constraint, number, outer)
        if isinstance(part, InSequence):
            yield from _flat(part, name)
        else:
            yield name, part


def _check_end(part: Constraint, name: str, following: frozenset[int], options: Options) -> None:
    """Raises `ConstraintError` if the part may swallow what follows it."""
    following -= {_END}
    if is_regular(part):
        swallows = _can_go_on(expression(part), following)
    elif isinstance(part, Json):
        text = json_schema.grammar_text(json_schema.parse(part.schema), options)
        swallows = bool(following & _IN_NUMBERS and first_bytes(text) & _IN_NUMBERS)
    else:
        return
    if swallows:
        raise ConstraintError(
            f"this part can go on with what the next one begins with"
            f" ({_in_words(following)}), so its end cannot be told: exclude that from it, as in"
            " [^{]* before a JSON object",
            part=name,
        )


def _can_go_on(terminal: str, following: frozenset[int]) -> bool:
    """Whether some text of the terminal, and one more character from these, begins another."""
    characters = "".join(f"\\x{{{byte:x}}}" for byte in sorted(following) if byte < 0x80)
    if any(byte >= 0x80 for byte in following):
        characters += r"\x{80}-\x{10ffff}"
    if not characters:
        return False
    both = f"T: ({terminal} /[{characters}]/ {lark.ANY_TEXT}) & {terminal}"
    return bool(first_bytes(f"start: T\n{both}\n"))


def _in_words(following: frozenset[int]) -> str:
    shown = [repr(chr(byte)) for byte in sorted(following) if byte < 0x80][:8]
    return ", ".join(shown) + (", …" if len(following) > len(shown) else "")


class _Bytes:
    """A tokenizer whose tokens are the bytes, and an end."""

    eos_token_id = _END
    bos_token_id = None
    special_token_ids = (_END,)
    tokens = (*(bytes([byte]) for byte in range(256)), b"<end>")

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


@lru_cache(1)
def bytes_tokenizer() -> LLTokenizer:
    """A vocabulary of the 256 bytes and an end, for questions about texts and not about tokens."""
    return LLTokenizer(TokenizerWrapper(_Bytes()), slices=[])
