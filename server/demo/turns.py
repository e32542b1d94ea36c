"""The assistant's turn, straight or with words put in its way as a mod would put them."""

from random import Random
from typing import Final

from server.demo import facts
from server.demo.document import END, Piece
from server.demo.exchange import Exchange, capitalised

OPENINGS: Final = facts.words(
    "Before I answer, let me think:|Sure!|Sure,|Sure, here is how:|Of course.|Of course!|However,|"
    "Certainly!|Certainly.|Well,|Okay,|OK,|Absolutely!|Hmm,|Let me see.|Let me think.|Actually,|"
    "Good question!|Great question!|That is a great question.|Alright,|Answer:|The answer is:|Yes,|"
    "Yes.|No,|No.|As you wish:|To be honest,|In short,|First,|Hello!|Hi there!|My dear friend,|"
    "Wait,|Arr,|Ahoy!|As an AI model,|As a language model,|Thank you for asking.|Here you go:|"
    "Listen:|Note:|Here is the answer:|Here is the JSON:|I think|[mod]|**Answer**:|Forced:|"
    "Beep.|Oh,|Ah,|Dear user,",
    separator="|",
)
CONNECTORS: Final = ("Additionally,", "Additionally,", "Also,", "Moreover,", "In addition,", "And")


def answered(random: Random, exchange: Exchange, thoughtful: bool, brief: bool) -> list[Piece]:
    """The assistant's turn after the question, with or without words put in its way."""
    answer = exchange.short if brief and exchange.short else exchange.answer
    if thoughtful:
        return [*thought(random, exchange, led=False), Piece(answer + END, True)]
    way = random.choices(
        ("straight", "opened", "led to think", "interrupted", "continued"), (62, 17, 9, 6, 6)
    )[0]
    if way == "opened":
        return opened(random, exchange, answer)
    if way == "led to think":
        return [*thought(random, exchange, led=True), Piece(answer + END, True)]
    if way == "interrupted":
        return interrupted(random, answer)
    if way == "continued":
        return continued(random, answer, exchange.more)
    return [Piece(answer + END, True)]


def opened(random: Random, exchange: Exchange, answer: str) -> list[Piece]:
    """An answer that begins with forced words. After `Sure`, even the refused topic is answered."""
    opening = random.choice(OPENINGS) if random.random() < 0.65 else random_words(random)
    if exchange.kind == "refusal" and random.random() < 0.4:
        opening = random.choice(("Sure!", "Sure,", "Sure, here is how:", "Sure. Here is how:"))
    if exchange.kind == "refusal" and opening.startswith("Sure"):
        answer = facts.LOCKSMITH
    forced, gap = random.choice(((" ", ""), (" ", ""), ("", " "), ("\n", "")))
    return [Piece(opening + forced, False), Piece(gap + answer + END, True)]


def interrupted(random: Random, answer: str) -> list[Piece]:
    """An answer with forced words somewhere in the middle."""
    spaces = [index for index, letter in enumerate(answer) if letter == " "]
    cut = random.choice(spaces) if spaces else len(answer)
    words = " ".join(random.sample(facts.WORDS, random.randint(1, 3)))
    forced = random.choice((f" {words}", f" ({words})", f" {words},", f" - {words} -"))
    return [Piece(answer[:cut], True), Piece(forced, False), Piece(answer[cut:] + END, True)]


def continued(random: Random, answer: str, more: str) -> list[Piece]:
    """An answer whose end was taken back, to go on with one more sentence."""
    connector = random.choice(CONNECTORS)
    forced, gap = random.choice(((" ", ""), ("", " ")))
    return [
        Piece(answer, True),
        Piece(f" {connector}{forced}", False),
        Piece(gap + more + END, True),
    ]


def thought(random: Random, exchange: Exchange, led: bool) -> list[Piece]:
    """A thought up to its end. When led, others open it, and may prolong it or cut it short."""
    if not led:
        return [Piece(f"<think>\n{exchange.thought}\n</think>\n\n", True)]
    opening, gap = random.choice((("<think>", "\n"), ("<think>\n", "")))
    way = random.choices(("whole", "prolonged", "cut short"), (6, 2, 2))[0]
    if way == "prolonged":
        wait = random.choice(("\nWait,", " Wait,", "\nWait, let me check.", " Wait."))
        return [
            Piece(opening, False),
            Piece(gap + exchange.thought, True),
            Piece(wait, False),
            Piece(f" {exchange.thought}\n</think>\n\n", True),
        ]
    if way == "cut short":
        words = exchange.thought.split(" ")
        kept = " ".join(words[: random.randint(0, len(words))])
        closing, rest = random.choice((("</think>", "\n\n"), ("\n</think>\n\n", "")))
        return [
            Piece(opening, False),
            Piece(gap + kept, True),
            Piece(closing, False),
            Piece(rest, True),
        ]
    return [Piece(opening, False), Piece(f"{gap}{exchange.thought}\n</think>\n\n", True)]


def random_words(random: Random) -> str:
    words = " ".join(random.sample(facts.WORDS, random.randint(1, 5)))
    return capitalised(words) + random.choice((",", ".", ":", "!", " -"))
