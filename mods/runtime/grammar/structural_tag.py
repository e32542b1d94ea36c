"""vLLM's structural tags as grammars: free text with constrained stretches in it.

Both of its forms are read: `structures` with `triggers`, and `format` with a tree of formats. Text
that is a special token of the model becomes that token, as a model writes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from mods.runtime.grammar import ebnf, json_schema, lark
from mods.runtime.grammar.limits import MAX_DEPTH
from mods.runtime.grammar.options import Options
from mods.sdk.constraints import Guidance
from mods.sdk.errors import ConstraintError

_MAIN = "structural-tag"


def to_constraint(tag: str, options: Options) -> Guidance:
    """The tag as llguidance's own grammar. Raises `ConstraintError`, with the place in the tag."""
    try:
        content = json.loads(tag)
    except (ValueError, RecursionError) as error:
        raise ConstraintError(f"the structural tag is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConstraintError(f"a structural tag is an object, got {content!r:.80}")
    writer = _Writer(options)
    if "structures" in content:
        start = writer.format(_as_format(content), "structures")
    else:
        start = writer.format(content.get("format"), "format")
    return writer.whole(start)


def _as_format(content: dict[str, Any]) -> dict[str, Any]:
    """The older form in the newer one's words."""
    structures = content["structures"]
    if not isinstance(structures, list) or not structures:
        raise ConstraintError("structures is a list of at least one", position="structures")
    tags = [
        {
            "begin": one.get("begin"),
            "content": {"type": "json_schema", "json_schema": one.get("schema", {})},
            "end": one.get("end"),
        }
        for one in structures
        if isinstance(one, dict)
    ]
    return {"type": "triggered_tags", "triggers": content.get("triggers"), "tags": tags}


class _Writer:
    """Writes rules. Every method returns what stands for a format in another rule."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._rules: list[str] = []
        self._grammars: list[dict[str, Any]] = []
        self._depth = 0
        self._kinds: dict[str, Callable[[dict[str, Any], str], str]] = {
            "const_string": lambda one, at: self._literal(_text(one, "value", at)),
            "json_schema": self._json_schema,
            "regex": lambda one, at: self._terminal(_regex(_text(one, "pattern", at), at)),
            "grammar": self._grammar,
            "any_text": self._any_text,
            "token": lambda one, at: self._token(one.get("token"), at),
            "exclude_token": lambda one, at: self._tokens_but(one, at, ""),
            "any_tokens": lambda one, at: self._tokens_but(one, at, "*"),
            "sequence": lambda one, at: self._all(one, "elements", at, " "),
            "or": lambda one, at: self._all(one, "elements", at, " | "),
            "tag": self._tag,
            "triggered_tags": self._triggered_tags,
            "token_triggered_tags": self._token_triggered_tags,
            "tags_with_separator": self._tags_with_separator,
            "optional": lambda one, at: self._repeated(one, at, "?"),
            "star": lambda one, at: self._repeated(one, at, "*"),
            "plus": lambda one, at: self._repeated(one, at, "+"),
            "repeat": lambda one, at: self._repeated(one, at, _counts(one, at)),
        }

    def whole(self, start: str) -> Guidance:
        main = "\n".join([f"start: {start}", *self._rules]) + "\n"
        grammars = [{"name": _MAIN, "lark_grammar": main}, *self._grammars]
        return Guidance(json.dumps({"grammars": grammars}))

    def format(self, given: Any, at: str) -> str:
        kind = given.get("type") if isinstance(given, dict) else None
        write = self._kinds.get(str(kind))
        if write is None:
            raise ConstraintError(
                f"the format {kind!r:.60} cannot be kept; those that can are"
                f" {', '.join(sorted(self._kinds))}",
                position=at,
            )
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConstraintError(f"formats nest {MAX_DEPTH} levels deep at most", position=at)
        written = write(given, at)
        self._depth -= 1
        return written

    def _json_schema(self, given: dict[str, Any], at: str) -> str:
        for key, plain in (("style", "json"), ("any_order", False), ("max_whitespace_cnt", None)):
            if given.get(key, plain) != plain:
                raise ConstraintError(
                    f"{key} {given[key]!r:.40} cannot be kept: only plain JSON, in order",
                    position=f"{at}.{key}",
                )
        if given.get("excludes"):
            raise ConstraintError("excludes cannot be kept inside JSON", position=f"{at}.excludes")
        schema = json_schema.parse(json.dumps(given.get("json_schema", {})))
        try:
            ready, _ = json_schema.prepared(schema, self._options)
        except ConstraintError as error:
            raise ConstraintError(
                error.reason, position=f"{at}.json_schema{error.position or ''}"
            ) from None
        return self._rule(json_schema.inline(ready, self._options))

    def _grammar(self, given: dict[str, Any], at: str) -> str:
        text = _text(given, "grammar", at)
        name = f"grammar-{len(self._grammars)}"
        written = ebnf.to_lark(text) if "::=" in text else text
        self._grammars.append({"name": name, "lark_grammar": written})
        return f"@{name}"

    def _any_text(self, given: dict[str, Any], at: str) -> str:
        return self._terminal(_free_text(given, at)) + _no_more(given, at)

    def _tag(self, given: dict[str, Any], at: str) -> str:
        begin = self._mark(given.get("begin"), f"{at}.begin")
        return self._rule(f"{begin} {self._inside(given, at)}")

    def _inside(self, given: dict[str, Any], at: str) -> str:
        """A tag's content and end. Free text ends at the first end."""
        content, end = given.get("content"), given.get("end", "")
        ends = end if isinstance(end, list) else [end]
        free = isinstance(content, dict) and content.get("type") == "any_text"
        plain = all(isinstance(one, str) and one and not self._specials(one) for one in ends)
        if free and plain and ends:
            assert isinstance(content, dict)
            text = self._terminal(_free_text(content, f"{at}.content"))
            marks = " | ".join(lark.quoted(one) for one in ends)
            return self._rule(f"{text} ({marks})", "[lazy]")
        body = self.format(content, f"{at}.content")
        marks = " | ".join(self._mark(one, f"{at}.end") for one in ends)
        return f"{body} ({marks})"

    def _triggered_tags(self, given: dict[str, Any], at: str) -> str:
        """Free text that turns, where it says a trigger, into one of the trigger's tags."""
        triggers = _texts(given, "triggers", at)
        text = self._terminal(_free_text(given, at))
        after: dict[str, list[str]] = {}
        first: list[str] = []
        for number, tag in enumerate(_objects(given, "tags", at)):
            place = f"{at}.tags[{number}]"
            begin = _text(tag, "begin", place)
            trigger = next((one for one in triggers if begin.startswith(one)), None)
            if trigger is None:
                raise ConstraintError(
                    f"begin {begin!r:.60} starts with none of the triggers {triggers!r:.120}",
                    position=f"{place}.begin",
                )
            inside = self._inside(tag, place)
            after.setdefault(trigger, []).append(f"{self._literal(begin[len(trigger) :])} {inside}")
            first.append(f"{self._literal(begin)} {inside}")
        ways = [
            f"{self._text_until(text, trigger)} ({' | '.join(tails)})"
            for trigger, tails in after.items()
        ]
        return self._tags(given, ways, first, text)

    def _token_triggered_tags(self, given: dict[str, Any], at: str) -> str:
        text = self._terminal(lark.ANY_TEXT)
        if given.get("exclude_tokens"):
            raise ConstraintError("exclude_tokens cannot be kept here", position=at)
        first = [
            self._tag(tag, f"{at}.tags[{number}]")
            for number, tag in enumerate(_objects(given, "tags", at))
        ]
        return self._tags(given, [f"{text} {tag}" for tag in first], first, text)

    def _tags(self, given: dict[str, Any], ways: list[str], first: list[str], text: str) -> str:
        """How many tags may come, and where free text may."""
        some, begin = self._rule(" | ".join(ways)), self._rule(" | ".join(first))
        once, needed = given.get("stop_after_first"), given.get("at_least_one")
        if once:
            return begin if needed else self._rule(f"{some} | {text}")
        return self._rule(f"{begin} {some}* {text}" if needed else f"{some}* {text}")

    def _tags_with_separator(self, given: dict[str, Any], at: str) -> str:
        tags = [
            self._tag(tag, f"{at}.tags[{number}]")
            for number, tag in enumerate(_objects(given, "tags", at))
        ]
        one = self._rule(" | ".join(tags))
        separator = self._literal(str(given.get("separator", "")))
        many = one if given.get("stop_after_first") else f"{one} ({separator} {one})*"
        return self._rule(many if given.get("at_least_one") else f"({many})?")

    def _repeated(self, given: dict[str, Any], at: str, sign: str) -> str:
        return f"({self.format(given.get('content'), f'{at}.content')}){sign}"

    def _all(self, given: dict[str, Any], key: str, at: str, sign: str) -> str:
        elements = given.get(key)
        if not isinstance(elements, list) or not elements:
            raise ConstraintError(f"{key} is a list of at least one", position=at)
        written = [self.format(one, f"{at}.{key}[{n}]") for n, one in enumerate(elements)]
        return self._rule(sign.join(written))

    def _text_until(self, text: str, trigger: str) -> str:
        """Free text up to and with the first trigger."""
        specials = self._specials(trigger)
        if not specials:
            return self._rule(f"{text} {lark.quoted(trigger)}", "[lazy]")
        return f"{text} {self._literal(trigger)}"

    def _mark(self, given: Any, at: str) -> str:
        """A begin or an end: text, or a token."""
        if isinstance(given, str):
            return self._literal(given)
        if isinstance(given, dict) and given.get("type") == "token":
            return self._token(given.get("token"), at)
        raise ConstraintError(f"expected text or a token, got {given!r:.60}", position=at)

    def _literal(self, text: str) -> str:
        """Exactly this text, special tokens in it as tokens."""
        return " ".join(self._pieces(text)) or '""'

    def _pieces(self, text: str) -> Iterator[str]:
        known = dict(self._options.specials)
        if not known:
            yield lark.quoted(text)
            return
        for piece in re.split("(" + "|".join(map(re.escape, known)) + ")", text):
            if piece in known:
                yield f"<[{known[piece]}]>"
            elif piece:
                yield lark.quoted(piece)

    def _specials(self, text: str) -> list[str]:
        return [name for name, _ in self._options.specials if name in text]

    def _token(self, given: Any, at: str) -> str:
        known = dict(self._options.specials)
        number = known.get(given, given) if isinstance(given, str) else given
        if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
            return f"<[{number}]>"
        raise ConstraintError(f"there is no special token {given!r:.60}", position=at)

    def _tokens_but(self, given: dict[str, Any], at: str, sign: str) -> str:
        excluded = [self._token(one, at)[2:-2] for one in given.get("exclude_tokens") or ()]
        tokens = f"<[^{','.join(excluded)}]>" if excluded else "<[*]>"
        if given.get("max_tokens") is not None:
            return f"{tokens}{{0,{_count(given['max_tokens'], at)}}}"
        return f"{tokens}{sign}"

    def _terminal(self, body: str) -> str:
        name = f"T{len(self._rules)}"
        self._rules.append(f"{name}: {body}")
        return name

    def _rule(self, body: str, options: str = "") -> str:
        name = f"r{len(self._rules)}"
        self._rules.append(f"{name}{options}: {body}")
        return name


def _free_text(given: dict[str, Any], at: str) -> str:
    """A terminal's expression for text without what `excludes` names."""
    text = lark.ANY_TEXT
    if given.get("max_chars") is not None:
        text = f"/(?s:.){{0,{_count(given['max_chars'], at)}}}/"
    excluded = given.get("excludes") or []
    if not isinstance(excluded, list) or not all(isinstance(e, str) and e for e in excluded):
        raise ConstraintError("excludes is a list of texts", position=f"{at}.excludes")
    if not excluded:
        return text
    marks = " | ".join(map(lark.quoted, excluded))
    return f"({text} & ~({lark.ANY_TEXT} ({marks}) {lark.ANY_TEXT}))"


def _no_more(given: dict[str, Any], at: str) -> str:
    if given.get("max_tokens") is None:
        return ""
    raise ConstraintError("max_tokens cannot be kept: use max_chars", position=f"{at}.max_tokens")


def _regex(pattern: str, at: str) -> str:
    try:
        return lark.regex(pattern)
    except ConstraintError as error:
        raise ConstraintError(error.reason, position=at) from None


def _text(given: dict[str, Any], key: str, at: str) -> str:
    value = given.get(key)
    if not isinstance(value, str):
        raise ConstraintError(f"expected text, got {value!r:.60}", position=f"{at}.{key}")
    return value


def _texts(given: dict[str, Any], key: str, at: str) -> list[str]:
    value = given.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise ConstraintError(f"{key} is a list of at least one text", position=f"{at}.{key}")
    return value


def _objects(given: dict[str, Any], key: str, at: str) -> list[dict[str, Any]]:
    value = given.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
        raise ConstraintError(f"{key} is a list of at least one object", position=f"{at}.{key}")
    return value


def _count(value: Any, at: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ConstraintError(f"expected a count, got {value!r:.40}", position=at)


def _counts(given: dict[str, Any], at: str) -> str:
    least, most = _count(given.get("min", 0), f"{at}.min"), given.get("max", -1)
    return f"{{{least},{'' if most == -1 else _count(most, f'{at}.max')}}}"
