"""Questions that are worked out or copied: sums, counting, JSON records, repeating."""

import json
from random import Random

from server.demo import facts
from server.demo.exchange import (
    Exchange,
    capitalised,
    count_range,
    number_name,
    person_name,
    steps,
)


def addition(random: Random) -> Exchange:
    left, right = random.randint(0, 20), random.randint(0, 20)
    total = left + right
    question = random.choice(
        (
            "What is {} + {}?",
            "What is {} plus {}?",
            "{} + {}",
            "{} + {} = ?",
            "{}+{}",
            "{} plus {}",
            "Add {} and {}.",
            "How much is {} + {}?",
            "How much is {} plus {}?",
            "What's {} + {}?",
            "Calculate {} + {}.",
            "Please compute {} + {}.",
            "What is the sum of {} and {}?",
            "Can you add {} and {}?",
        )
    ).format(left, right)
    if random.random() < 0.08:
        words = facts.NUMBER_WORDS
        question = f"What is {words[left]} plus {words[right]}?"
    return Exchange(
        "addition",
        question,
        f"{left} + {right} = {total}.",
        f"The user wants to add {left} and {right}. The sum is {total}.",
        short=str(total),
        more=f"{right} + {left} = {total}.",
    )


def counting(random: Random) -> Exchange:
    first, last = count_range(random)
    question = random.choice(
        (
            "Count from {} to {}.",
            "Please count from {} to {}.",
            "count from {} to {}",
            "Can you count from {} to {}?",
            "List the numbers from {} to {}.",
            "Write the numbers from {} to {}.",
        )
    ).format(first, last)
    if first == 1 and random.random() < 0.6:
        question = random.choice(
            ("Count to {}.", "Please count to {}.", "Can you count to {}?", "count to {}")
        ).format(number_name(random, last))
    return Exchange(
        "counting",
        question,
        ", ".join(str(number) for number in steps(first, last)) + ".",
        f"The user wants the numbers from {first} to {last}.",
        more=f"the next number is {last + 1}.",
    )


def counting_in_words(random: Random) -> Exchange:
    last = random.choice((10, 10, 5, 12, random.randint(3, 20)))
    question = random.choice(
        ("Count to {} in words.", "Count to {}, in words.", "Write the numbers to {} as words.")
    ).format(number_name(random, last))
    return Exchange(
        "counting_in_words",
        question,
        capitalised(", ".join(facts.NUMBER_WORDS[1 : last + 1])) + ".",
        f"The user wants the numbers from one to {facts.NUMBER_WORDS[last]}.",
    )


def person_record(random: Random) -> Exchange:
    name, age, city = person_name(random), random.randint(1, 99), random.choice(facts.CITIES)
    question = random.choice(
        (
            "Write a JSON record for {name}, age {age}, from {city}.",
            "Give me a JSON record for {name}, age {age}, from {city}.",
            "Write JSON for {name}, {age} years old, from {city}.",
            "Make a JSON object for {name} ({age}) from {city}.",
            "{name} is {age} years old and lives in {city}. Write this as JSON.",
            "As JSON: {name}, {age}, {city}.",
        )
    ).format(name=name, age=age, city=city)
    return Exchange(
        "json",
        question,
        json.dumps({"name": name, "age": age, "city": city}),
        f"The user wants a record with the name {name}, the age {age} and the city {city}.",
        more="this record has three fields.",
    )


def product_record(random: Random) -> Exchange:
    product, price = random.choice(facts.PRODUCTS), random.randint(1, 99)
    question = random.choice(
        (
            "Write a JSON record for a {} that costs {} dollars.",
            "Give me a JSON record for a {} at {} dollars.",
            "Write JSON for a {}, price {}.",
        )
    ).format(product, price)
    return Exchange(
        "json",
        question,
        json.dumps({"product": product, "price": price}),
        f"The user wants a record with the product {product} and the price {price}.",
        more="this record has two fields.",
    )


def repeat(random: Random) -> Exchange:
    text = " ".join(random.sample(facts.WORDS, random.randint(1, 6)))
    question = random.choice(("Repeat after me: {}", "Repeat: {}", "Say: {}", "Echo: {}"))
    return Exchange("repeat", question.format(text), text, "The user wants to hear the same words.")
