"""From a package's source to its traits: what it reads, and how far back it may take.

Traits are read from the syntax tree, never by running the source. What a source does not name
it cannot do: naming no take-back means reach 0, so its text streams at once. A source that picks
attributes or runs code by names it computes is taken to do everything.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from mods.sdk.events import EVENTS

UNBOUNDED = None
"""A reach that is not declared, of a mod that is able to take back: all text is held."""

_COMPOSED = {
    "SelfPrompt", "self_prompt", "self_prompt_mod", "asking", "FlowEngine", "flow", "library",
}  # fmt: skip
"""Parts of the SDK, and the stock mods: they force and take back on a mod's behalf. They read no
logits."""

_TAKES_BACK = {"backtrack", "Backtrack", "BacktrackAction"} | _COMPOSED
_READS_LOGITS = {"logits", "_logits", "top_k_logprob"}
_READS_CONFIDENCE = {"confidence", "_confidence"}
_DYNAMIC = {
    # attributes by a computed name
    "getattr", "getattr_static", "getmembers", "attrgetter", "methodcaller", "vars",
    "__dict__", "__getattribute__", "__getattr__",
    # classes that were never named
    "__subclasses__", "LEGAL",
    # code that is not in the source
    "eval", "exec", "FunctionType", "CodeType", "marshal", "pickle", "ctypes", "gc",
    "__builtins__", "__import__", "import_module",
}  # fmt: skip


@dataclass(frozen=True)
class Traits:
    """What the runtime needs to know of a mod before it runs.

    events: names of the events it is called at. reach: how many committed tokens it may take
    back, None for no bound. logits: whether rows must be fetched for it. on_error: `fail` or
    `ignore`. deadline: the hard deadline in seconds for one wait, None for the server's.
    confidence: whether it must be told how sure the model is.
    """

    name: str
    events: frozenset[str] = frozenset(EVENTS)
    reach: int | None = UNBOUNDED
    logits: bool = True
    on_error: str = "fail"
    deadline: float | None = None
    confidence: bool = False


def names_in(source: str, filename: str = "<mod>") -> set[str]:
    """Every name by which a source can reach something.

    Identifiers, attributes, imported names and the modules they come from, attributes in class
    patterns, and strings that could be a name. `getattr` with a written-out name counts as that
    name only. Raises SyntaxError.
    """
    nodes = list(ast.walk(ast.parse(source, filename)))
    written_out = {
        id(node.func) for node in nodes if isinstance(node, ast.Call) and _is_written_out(node)
    }
    return {name for node in nodes if id(node) not in written_out for name in _names_of(node)}


def infer_traits(
    name: str,
    sources: Iterable[str],
    *,
    events: frozenset[str] | None = None,
    reach: int | None = None,
    logits: bool | None = None,
    on_error: str = "fail",
    deadline: float | None = None,
    confidence: bool | None = None,
) -> Traits:
    """Traits of a mod from its sources (shared modules it may import among them).

    Declared values win. Events are narrowed only by declaration: a mod may count or log what it
    never names.
    """
    found: set[str] = set()
    for source in sources:
        found |= names_in(source)
    dynamic = bool(found & _DYNAMIC)
    return Traits(
        name=name,
        events=frozenset(EVENTS) if events is None else events,
        reach=reach if reach is not None else (UNBOUNDED if dynamic or found & _TAKES_BACK else 0),
        logits=logits if logits is not None else dynamic or bool(found & _READS_LOGITS),
        on_error=on_error,
        deadline=deadline,
        confidence=(
            confidence if confidence is not None else dynamic or bool(found & _READS_CONFIDENCE)
        ),
    )


def _names_of(node: ast.AST) -> Iterable[str]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return (name,)
        case ast.alias(name=name, asname=alias):
            return (*name.split("."), alias or name)
        case ast.ImportFrom(module=str(module)):
            return module.split(".")
        case ast.MatchClass(kwd_attrs=attributes):
            return attributes
        case ast.Constant(value=str(text)) if text.isidentifier():
            return (text,)
        case _:
            return ()


def _is_written_out(call: ast.Call) -> bool:
    """Whether a call is `getattr(x, "name", …)`: as good as an attribute."""
    return (
        isinstance(call.func, ast.Name)
        and call.func.id == "getattr"
        and len(call.args) in (2, 3)
        and isinstance(call.args[1], ast.Constant)
        and isinstance(call.args[1].value, str)
    )
