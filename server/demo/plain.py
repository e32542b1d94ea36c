"""Plain text without turns, so that raw completions such as `The capital of France is` work."""

import json
from random import Random

from server.demo import facts
from server.demo.exchange import capitalised, count_range, person_name, steps


def text(random: Random) -> str:
    """A few sentences of one sort, or a mixture of them."""
    sorts = (capital, colour, addition, numbers, number_words, record, question, fact)
    chosen = random.choices(sorts, (4, 3, 3, 2, 2, 1, 2, 1))[0]
    mixed = random.random() < 0.3
    separator = "\n" if chosen in (record, question) else random.choice((" ", " ", "\n"))
    count = random.randint(1, 6)
    return separator.join((random.choice(sorts) if mixed else chosen)(random) for _ in range(count))


def capital(random: Random) -> str:
    country, city = random.choice(sorted(facts.CAPITALS.items()))
    form = random.choice(
        ("The capital of {0} is {1}.", "The capital of {0} is {1}.", "{1} is the capital of {0}.")
    )
    return form.format(country, city)


def colour(random: Random) -> str:
    thing, shade = random.choice(sorted(facts.COLOURS.items()))
    form = random.choice(("{0} is {1}.", "{0} is {1}.", "The colour of {2} is {1}."))
    return form.format(capitalised(thing), shade, thing)


def addition(random: Random) -> str:
    left, right = random.randint(0, 20), random.randint(0, 20)
    form = random.choice(("{} + {} = {}.", "{} + {} = {}.", "{} plus {} is {}.", "{}+{}={}"))
    return form.format(left, right, left + right)


def numbers(random: Random) -> str:
    return ", ".join(str(number) for number in steps(*count_range(random))) + "."


def number_words(random: Random) -> str:
    words = facts.NUMBER_WORDS[1 : random.choice((10, 10, random.randint(5, 20))) + 1]
    return capitalised(", ".join(words)) + "."


def record(random: Random) -> str:
    name, age, city = person_name(random), random.randint(1, 99), random.choice(facts.CITIES)
    return json.dumps({"name": name, "age": age, "city": city})


def question(random: Random) -> str:
    """A question and its answer on two lines, as in a prompt with examples."""
    country, city = random.choice(sorted(facts.CAPITALS.items()))
    thing, shade = random.choice(sorted(facts.COLOURS.items()))
    return random.choice(
        (
            f"Q: What is the capital of {country}?\nA: {city}",
            f"Q: What colour is {thing}?\nA: {shade}",
        )
    )


def fact(random: Random) -> str:
    if random.random() < 0.3:
        return facts.STORY
    return " ".join(random.choice(sorted(facts.ABOUT.items()))[1])
