"""EBNF and GBNF mean in Lark what they meant; what is wrong is told with its line."""

from __future__ import annotations

import random

import pytest

from mods.runtime.grammar.compile import compile_constraint
from mods.runtime.grammar.earley import Recognizer
from mods.sdk.constraints import Ebnf
from mods.sdk.errors import ConstraintError
from tests.mods.runtime.grammar.conftest import Texts

JSON = r"""
# JSON, as llama.cpp's examples have it
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""

GRAMMARS: dict[str, tuple[str, list[str], list[str]]] = {
    "a list over lines": (
        'root ::= item\n  | item ","\n  root\nitem ::= [a-c]+',
        ["a", "ab,c", "a,b,c"],
        ["", "a,", "d"],
    ),
    "quotes and escapes": (
        r"""root ::= '"' "\"" "\\" "\n" "\x41" "\u00e9" #x42 [#x43-#x45]""",
        ['""\\\nAéBC', '""\\\nAéBE'],
        ['""\\\nAéB', '""\\\nAéBF'],
    ),
    "names in angle brackets": (
        '<root> ::= <a b> <c>\n<a b> ::= "x"\n<c> ::= "y"?',
        ["x", "xy"],
        ["y"],
    ),
    "semicolons, commas, comments": (
        '(* a *) root ::= "a" , b ; // c\nb ::= "b" ; # d',
        ["ab"],
        ["a"],
    ),
    "sets": ("root ::= [^a-c\\]]{2,3} [-x]", ["de-", "xxx", "éé-"], ["ad-", "d-", "]]x"]),
    "left recursion": ('root ::= root "+" n | n\nn ::= [0-9]+', ["1", "1+22+3"], ["+", "1+"]),
    "right recursion": ('root ::= "a" root "b" | ""', ["", "ab", "aabb"], ["aab"]),
    "counts": ('root ::= ("a" "b"?){2} [0-9]{1,} "."{0,2}', ["aba1", "aa12.."], ["a1", "aa"]),
    "json": (JSON, ["{}", '{"a":[1,-2.5e3,"x\\n"]}', '{"a": null}\n'], ["[]", "{a:1}", '{"a":01}']),
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_a_grammar_means_what_it_meant(name: str, texts: Texts) -> None:
    grammar, right, wrong = GRAMMARS[name]
    judge = Recognizer(grammar)
    for text in right:
        assert texts.allow(Ebnf(grammar), text), text
        assert len(text) in judge.ends(text)[0], text
    for text in wrong:
        assert not texts.allow(Ebnf(grammar), text), text
        assert len(text) not in judge.ends(text)[0], text


@pytest.mark.parametrize("name", GRAMMARS)
def test_what_the_masks_lead_to_is_a_text_of_the_grammar(name: str, texts: Texts) -> None:
    grammar = GRAMMARS[name][0]
    judge, draw, ended = Recognizer(grammar), random.Random(name), 0
    for _ in range(20):
        matcher = texts.matcher(Ebnf(grammar))
        row = texts.vocabulary.row()
        for _ in range(25):
            matcher.fill(row)
            tokens = texts.vocabulary.allowed(row)
            matcher.consume([draw.choice(tokens)])
            if matcher.stopped:
                break
        text = texts.vocabulary.text(matcher.tokens)
        if "\ufffd" in text:
            continue
        ends, reached = judge.ends(text)
        assert reached == len(text), text
        assert not matcher.accepting or len(text) in ends, text
        ended += matcher.stopped
    assert ended or name in ("json", "left recursion", "right recursion", "a list over lines")


@pytest.mark.parametrize(
    ("grammar", "position", "reason"),
    [
        ('root ::= "a"\n  b', "line 2, column 3", "the rule 'b' is used and not defined"),
        ('root ::= "a', "line 1, column 10", "is no part of a grammar"),
        ('root ::= ("a"', "line 1, column 10", "a group is not closed"),
        ('root ::= "a"\nroot ::= "b"', "line 2, column 1", "defined twice"),
        ("root ::= [z-a]", "line 1, column 10", "runs backwards"),
        ('root ::= "a"{3,2}', "line 1, column 13", "ends below its beginning"),
        ('root ::= "\\q"', "line 1, column 10", "unknown escape"),
        ('root ::= "\\u12"', "line 1, column 10", "needs 4 hexadecimal digits"),
        ('root ::= * "a"', "line 1, column 10", "cannot stand here"),
        ('"a" ::= "b"', "line 1, column 1", "expected `name ::=`"),
        ('start ::= "a"', None, "no rule 'root'"),
        ('root ::= a\na ::= "x" a', None, "'root' never ends"),
        ("", None, "it has none"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    grammar: str, position: str | None, reason: str
) -> None:
    with pytest.raises(ConstraintError) as raised:
        compile_constraint(Ebnf(grammar))
    assert raised.value.position == position
    assert reason in raised.value.reason


def test_a_rule_that_nothing_reaches_may_be_endless() -> None:
    compile_constraint(Ebnf('root ::= "a"\nunused ::= "b" unused'))


def test_special_tokens_stay_special(texts: Texts) -> None:
    vocabulary = texts.vocabulary
    user = dict(vocabulary.specials)["<|user|>"]
    matcher = texts.matcher(Ebnf(f'root ::= "a" <|user|> <[{user}]> "b"'))
    tokens = [*vocabulary.encode("a"), user, user, *vocabulary.encode("b")]
    assert matcher.consume(tokens) == len(tokens)
