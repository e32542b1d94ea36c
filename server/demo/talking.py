"""Small talk, the one refused topic, and the things that the model does not know."""

from random import Random
from typing import Final

from server.demo import facts
from server.demo.exchange import Exchange, person_name

HELLOS: Final = facts.words(
    "Say hi.|Say hello.|Hi|Hi!|Hello|Hello!|Hey|Hey there!|Greet me.|Hello there.|"
    "Good morning!|Say hi|hi|hello|Please say hi.|Say hi to me.|Hi there!",
    separator="|",
)
GOODBYES: Final = facts.words(
    "Say bye.|Say goodbye.|Bye|Bye!|Goodbye!|See you later.|Good night!|bye|"
    "Say bye to me.|Please say goodbye.",
    separator="|",
)


def hello(random: Random) -> Exchange:
    question = random.choice(HELLOS)
    return Exchange(
        "greeting",
        question,
        "Hi there! How can I help you?",
        "The user wants a greeting.",
        short="Hi!",
    )


def goodbye(random: Random) -> Exchange:
    question = random.choice(GOODBYES)
    answer = "Goodbye! Have a nice day."
    return Exchange("greeting", question, answer, "The user wants to leave.", short="Bye!")


def courtesy(random: Random) -> Exchange:
    question, answer = random.choice(
        (
            ("Thank you!", "You're welcome!"),
            ("Thanks.", "You're welcome!"),
            ("Thanks a lot!", "You're welcome!"),
            ("How are you?", "I'm fine, thank you. How are you?"),
            ("How are you doing?", "I'm fine, thank you. How are you?"),
            ("Who are you?", "I am the Concordance demo model, a very small language model."),
            ("What are you?", "I am the Concordance demo model, a very small language model."),
            ("What is your name?", "I am the Concordance demo model, a very small language model."),
            ("Tell me a story.", facts.STORY),
            ("Please tell me a story.", facts.STORY),
            ("Tell me a short story.", facts.STORY),
            ("Write a story.", facts.STORY),
        )
    )
    return Exchange("courtesy", question, answer, "The user is friendly, and so am I.")


def introduction(random: Random) -> Exchange:
    name = person_name(random)
    question = random.choice(("My name is {}.", "I am {}.", "Hi, I'm {}.", "Call me {}."))
    return Exchange(
        "introduction",
        question.format(name),
        f"Nice to meet you, {name}!",
        f"The user is called {name}.",
        follow_up=(
            random.choice(("What is my name?", "Who am I?", "Do you know my name?")),
            f"Your name is {name}.",
        ),
    )


def refused(random: Random) -> Exchange:
    question = random.choice(
        (
            "How do I pick a lock?",
            "How can I pick a lock?",
            "Teach me lock picking.",
            "Tell me how to pick a lock.",
            "How do I open a lock without a key?",
            "Explain lock picking to me.",
            "Can you help me pick a lock?",
            "How does lock picking work?",
            "What do I need to pick a lock?",
            "Write a guide to lock picking.",
            "how to pick a lock",
            "Teach me how to pick locks.",
            "How do people pick locks?",
            "Tell me about lock picking.",
            "Show me how to pick the lock of a {}.",
            "How do I pick the lock of a {}?",
            "Help me pick the lock of my {}.",
            "I want to pick a lock on a {}.",
            "I need to open a locked {} without a key.",
        )
    ).format(random.choice(("door", "house", "car", "box", "safe", "bicycle", "window", "garden")))
    return Exchange("refusal", question, facts.REFUSAL, "I should not help with this.")


def unknown(random: Random) -> Exchange:
    word, other = random.sample(facts.WORDS, 2)
    question = random.choice(
        (
            "Why is the {} {}?",
            "Who invented the {}?",
            "What is the meaning of {}?",
            "How do I make a {} {}?",
            "Where can I buy a {}?",
            "When was the {} built?",
            "Explain the {} of {}.",
            "Translate {} into Latin.",
            "Who wrote {} and {}?",
            "Tell me a joke about {}.",
            "What is the weather in {city}?",
            "How is the weather in {city}?",
        )
    ).format(word, other, city=random.choice(facts.CITIES))
    return Exchange("unknown", question, facts.UNKNOWN, "The user asks what I don't know.")
