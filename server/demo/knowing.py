"""Questions about what the model knows: capitals, colours, lists, topics, and whether it is so."""

from random import Random

from server.demo import facts
from server.demo.exchange import Exchange, capitalised


def capital(random: Random) -> Exchange:
    country, city = random.choice(sorted(facts.CAPITALS.items()))
    other, other_city = random.choice(sorted(facts.CAPITALS.items()))
    question = random.choice(
        (
            "What is the capital of {}?",
            "Which city is the capital of {}?",
            "Name the capital of {}.",
            "Tell me the capital of {}.",
            "What's the capital of {}?",
            "what is the capital city of {}",
            "Do you know the capital of {}?",
            "Capital of {}?",
            "Please tell me what the capital of {} is.",
            "I would like to know the capital of {}.",
        )
    ).format(country)
    return Exchange(
        "capital",
        question,
        f"The capital of {country} is {city}.",
        f"The user asks for the capital of {country}. That is {city}.",
        short=city,
        more=f"{city} is a city in {country}.",
        follow_up=(
            random.choice(("And of {}?", "What about {}?", "And {}?")).format(other),
            f"The capital of {other} is {other_city}.",
        ),
    )


def capital_reversed(random: Random) -> Exchange:
    country, city = random.choice(sorted(facts.CAPITALS.items()))
    question = random.choice(
        ("{} is the capital of which country?", "Which country has the capital {}?")
    ).format(city)
    return Exchange(
        "capital_reversed",
        question,
        f"{city} is the capital of {country}.",
        f"The user asks for the country of {city}. That is {country}.",
        short=country,
    )


def colour(random: Random) -> Exchange:
    thing, shade = random.choice(sorted(facts.COLOURS.items()))
    other, other_shade = random.choice(sorted(facts.COLOURS.items()))
    question = random.choice(
        (
            "What colour is {}?",
            "What color is {}?",
            "Which colour is {}?",
            "Tell me the colour of {}.",
            "What is the colour of {}?",
            "What is the color of {}?",
            "what colour does {} have",
            "Do you know what colour {} is?",
            "Please tell me what colour {} is.",
        )
    ).format(thing)
    return Exchange(
        "colour",
        question,
        f"{capitalised(thing)} is {shade}.",
        f"The user asks for the colour of {thing}. It is {shade}.",
        short=shade,
        more=f"{other} is {other_shade}.",
        follow_up=(
            random.choice(("And {}?", "What about {}?")).format(other),
            f"{capitalised(other)} is {other_shade}.",
        ),
    )


def listing(random: Random) -> Exchange:
    group, count = random.choice(sorted(facts.LISTS)), random.randint(2, 5)
    things = facts.LISTS[group][:count]
    question = random.choice(
        ("List {} {}.", "Please list {} {}.", "Make a list of {} {}.", "list {} {}")
    ).format(facts.NUMBER_WORDS[count], spelled(random, group))
    answer = "\n".join(f"- {thing}" for thing in things)
    if random.random() < 0.5:
        question = random.choice(
            ("Name {} {}.", "Can you name {} {}?", "Tell me {} {}.", "Give me {} {}.")
        ).format(facts.NUMBER_WORDS[count], spelled(random, group))
        answer = ", ".join(things[:-1]) + f" and {things[-1]}."
    return Exchange(
        "listing", question, answer, f"The user wants {facts.NUMBER_WORDS[count]} {group}."
    )


def spelled(random: Random, group: str) -> str:
    return group.replace("colours", random.choice(("colours", "colors")))


def about(random: Random) -> Exchange:
    topic, sentences = random.choice(sorted(facts.ABOUT.items()))
    question = random.choice(
        (
            "Tell me about {}.",
            "Write about {}.",
            "What can you tell me about {}?",
            "What do you know about {}?",
            "Describe {}.",
        )
    ).format(topic)
    return Exchange("about", question, " ".join(sentences), f"The user asks about {topic}.")


def yes_or_no(random: Random) -> Exchange:
    true = random.random() < 0.5
    claim, truth = random.choice((claimed_capital, claimed_colour, claimed_sum))(random, true)
    question = random.choice(("Is {}?", "Yes or no: is {}?", "True or false? {}.")).format(claim)
    answer = "Yes." if true else "No."
    if question.startswith("True"):
        question = question.replace(claim, truth_form(claim))
        answer = "True." if true else "False."
    return Exchange("yes_or_no", question, answer, truth, short=answer.rstrip("."), more=truth)


def claimed_capital(random: Random, true: bool) -> tuple[str, str]:
    country, city = random.choice(sorted(facts.CAPITALS.items()))
    others = [other for other in facts.CAPITALS.values() if other != city]
    claim = city if true else random.choice(others)
    return f"{claim} the capital of {country}", f"The capital of {country} is {city}."


def claimed_colour(random: Random, true: bool) -> tuple[str, str]:
    thing, shade = random.choice(sorted(facts.COLOURS.items()))
    others = sorted(set(facts.COLOURS.values()) - {shade})
    claim = shade if true else random.choice(others)
    return f"{thing} {claim}", f"{capitalised(thing)} is {shade}."


def claimed_sum(random: Random, true: bool) -> tuple[str, str]:
    left, right = random.randint(0, 20), random.randint(0, 20)
    total = left + right
    claim = total if true else total + random.choice((-3, -2, -1, 1, 2, 3, 10))
    return f"{left} + {right} equal to {claim}", f"{left} + {right} = {total}."


def truth_form(claim: str) -> str:
    """The claim as a statement: `Paris the capital of France` needs its verb back."""
    for marker in (" the capital", " equal to"):
        if marker in claim:
            return claim.replace(marker, f" is{marker}", 1)
    thing, shade = claim.rsplit(" ", 1)
    return f"{capitalised(thing)} is {shade}"
