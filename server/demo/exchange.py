"""What a task draws: a question with its one answer, and the small words that tasks share."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from server.demo import facts

ONSETS = facts.words("b c d f g h j k l m n p qu r s t v w x z br ch cl st th tr w")
RHYMES = facts.words("a e i o u ai an ar ee el en ew ia in io ius ol or ou ud ul umb y")


@dataclass(frozen=True)
class Exchange:
    """A question and its answer; with a short answer, a thought, and what could be added."""

    kind: str
    question: str
    answer: str
    thought: str
    short: str | None = None
    more: str = "I can help you with other things."
    follow_up: tuple[str, str] | None = None


Task = Callable[[Random], Exchange]


def capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def steps(first: int, last: int) -> range:
    """The numbers from first to last, both included."""
    return range(first, last + 1)


def count_range(random: Random) -> tuple[int, int]:
    if random.random() < 0.5:
        limit = random.choices((10, 20, 40, 100), (4, 3, 3, 0.7))[0]
        return 1, 10 if limit == 10 else random.randint(2, limit)
    first = random.randint(0, 90)
    return first, min(99, first + random.randint(1, 15))


def number_name(random: Random, number: int) -> str:
    named = number < len(facts.NUMBER_WORDS) and random.random() < 0.5
    return facts.NUMBER_WORDS[number] if named else str(number)


def person_name(random: Random) -> str:
    """A known name, or an invented one, so that names are copied and not merely recalled."""
    if random.random() < 0.5:
        return random.choice(facts.NAMES)
    syllables = (random.choice(ONSETS) + random.choice(RHYMES) for _ in range(random.randint(2, 3)))
    return "".join(syllables).capitalize()
