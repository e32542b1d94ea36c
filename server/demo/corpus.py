"""The text that the demo model learns from: seeded, so the same seed gives the same documents.

A document is a run of pieces. The model learns to write the learned pieces only; the others (what a
user asks, and words put in the answer's way as a mod would put them) it learns to go on from. So a
forced opening, an interruption or a `<think>` changes what follows sensibly, while nothing teaches
the model to write them of its own accord.
"""

import hashlib
import json
from collections.abc import Iterator
from random import Random
from typing import Final
from zlib import crc32

from server.demo import facts, plain
from server.demo.document import ASSISTANT, BEGIN, END, SYSTEM, TOOL, USER, Document, Piece
from server.demo.exchange import Exchange
from server.demo.tasks import draw
from server.demo.turns import answered, random_words

HELPFUL: Final = (
    "You are a helpful assistant.",
    "You are a friendly assistant.",
    "Be kind.",
    "You are Concordance.",
    "Answer the user.",
)
BRIEF: Final = ("Answer in one word.", "Be brief.", "Reply with one word only.", "Short answers.")
THOUGHTFUL: Final = ("Think first.", "Think first.", "Think before you answer.")


def documents(seed: int) -> Iterator[Document]:
    """Short documents without end: mostly conversations, some plain text."""
    random = Random(seed)
    while True:
        if random.random() < 0.12:
            yield plain_document(random)
        else:
            yield conversation(random, random.choice((1, 1, 1, 2, 3, 5)))


def long_documents(seed: int) -> Iterator[Document]:
    """Conversations of about 500 to 2,000 tokens, so that late positions are seen too."""
    random = Random(seed)
    while True:
        yield conversation(random, random.randint(15, 60))


def digest(seed: int, count: int) -> str:
    """A fingerprint of the first documents of a seed."""
    source = documents(seed)
    return hashlib.sha256(repr([next(source) for _ in range(count)]).encode()).hexdigest()


def held_out(question: str) -> bool:
    """Whether a question is kept for the examination: one in sixteen, by its text."""
    return crc32(question.encode()) % 16 == 0


def unseen_exchange(random: Random) -> Exchange:
    while not held_out((exchange := draw(random)).question):
        pass
    return exchange


def training_exchange(random: Random) -> Exchange:
    while held_out((exchange := draw(random)).question):
        pass
    return exchange


def prompt(question: str, system: str = "") -> str:
    """A first question as the chat template renders it."""
    opening = f"{SYSTEM}{system}{END}" if system else ""
    return f"{BEGIN}{opening}{USER}{question}{END}{ASSISTANT}"


def plain_document(random: Random) -> Document:
    opening = BEGIN if random.random() < 0.5 else ""
    return (Piece(opening, False), Piece(plain.text(random) + END, True))


def conversation(random: Random, turns: int) -> Document:
    if random.random() < 0.04:
        return weather_conversation(random)
    system, thoughtful, brief = manner(random)
    heard = random.random() < 0.1
    pieces = [Piece(BEGIN + (f"{SYSTEM}{system}{END}" if system else ""), False)]
    for _ in range(turns):
        exchange = training_exchange(random)
        pieces += [Piece(f"{USER}{exchange.question}{END}{ASSISTANT}", heard)]
        pieces += answered(random, exchange, thoughtful, brief)
        if exchange.follow_up and not (thoughtful or brief) and random.random() < 0.15:
            question, answer = exchange.follow_up
            pieces += [Piece(f"{USER}{question}{END}{ASSISTANT}", heard), Piece(answer + END, True)]
    return tuple(pieces)


def manner(random: Random) -> tuple[str, bool, bool]:
    """A system message, and whether it asks for a thought or for brevity."""
    helpful = random.choice(HELPFUL) if random.random() < 0.7 else random_words(random)
    kind = random.choices(("none", "helpful", "thoughtful", "brief"), (66, 17, 9, 8))[0]
    if kind == "none":
        return "", False, False
    if kind == "helpful":
        return helpful, False, False
    order = random.choice(THOUGHTFUL if kind == "thoughtful" else BRIEF)
    system = f"{helpful} {order}" if random.random() < 0.3 else order
    return system, kind == "thoughtful", kind == "brief"


def weather_conversation(random: Random) -> Document:
    """The one thing that the model does with tools: it looks up the weather where it can."""
    city, weather = random.choice(facts.CITIES), random.choice(facts.WEATHER)
    degrees = random.randint(0, 39)
    name = random.choice(("get_weather", "get_weather", "weather", "find_weather"))
    parameter = random.choice(("city", "city", "location", "place"))
    call = json.dumps({"name": name, "arguments": {parameter: city}})
    result = random.choice(
        (f"{weather}, {degrees} degrees", json.dumps({"weather": weather, "degrees": degrees}))
    )
    question = random.choice(
        ("What is the weather in {}?", "How is the weather in {}?", "What's the weather in {}?")
    ).format(city)
    return (
        Piece(f"{BEGIN}{SYSTEM}{tools_offered(random, name, parameter)}{END}", False),
        *small_talk(random),
        Piece(f"{USER}{question}{END}{ASSISTANT}", False),
        Piece(f"<tool_call>{call}</tool_call>{END}", True),
        Piece(f"{TOOL}{result}{END}{ASSISTANT}", False),
        Piece(f"It is {weather} in {city}, {degrees} degrees.{END}", True),
    )


def tools_offered(random: Random, name: str, parameter: str) -> str:
    """A system message with tools, as the chat template renders it."""
    tools = [{"name": name, "parameters": [parameter]}]
    if random.random() < 0.5:
        other = random.choice(("get_time", "search", "send_mail", "add"))
        tools.insert(random.randint(0, 1), {"name": other, "parameters": ["text"]})
    system = random.choice(("", "", f"{HELPFUL[0]}\n", f"{HELPFUL[1]}\n"))
    return f"{system}Tools: {json.dumps(tools)}"


def small_talk(random: Random) -> tuple[Piece, ...]:
    """Sometimes, a question that needs no tool."""
    if random.random() < 0.5:
        return ()
    exchange = training_exchange(random)
    return (
        Piece(f"{USER}{exchange.question}{END}{ASSISTANT}", False),
        Piece(exchange.answer + END, True),
    )
