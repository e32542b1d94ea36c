"""The questions that the demo model is asked, and how often each kind is.

A task draws one exchange from a seeded random source. An answer depends only on what was asked, so
that greedy decoding has something to be right about, and so that a changed answer shows the mod
that changed it.
"""

from random import Random
from typing import Final

from server.demo import knowing, talking, working
from server.demo.exchange import Exchange, Task

TASKS: Final[tuple[tuple[Task, float], ...]] = (
    (knowing.capital, 3.0),
    (knowing.capital_reversed, 0.8),
    (knowing.colour, 2.0),
    (working.addition, 4.0),
    (working.counting, 2.4),
    (working.counting_in_words, 0.4),
    (working.person_record, 3.0),
    (working.product_record, 0.6),
    (talking.hello, 0.7),
    (talking.goodbye, 0.4),
    (talking.courtesy, 1.0),
    (knowing.listing, 1.2),
    (knowing.about, 0.7),
    (knowing.yes_or_no, 1.0),
    (working.repeat, 1.4),
    (talking.introduction, 0.5),
    (talking.refused, 0.8),
    (talking.unknown, 0.7),
)


def draw(random: Random) -> Exchange:
    """One exchange, of a kind drawn by weight."""
    tasks, weights = zip(*TASKS, strict=True)
    task: Task = random.choices(tasks, weights)[0]
    return task(random)
