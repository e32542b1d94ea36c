"""What the demo model knows: plain tables, and nothing that needs an explanation."""

from typing import Final


def words(text: str, separator: str | None = None) -> tuple[str, ...]:
    return tuple(text.split(separator))


CAPITALS: Final[dict[str, str]] = {
    "France": "Paris",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Portugal": "Lisbon",
    "England": "London",
    "Ireland": "Dublin",
    "Scotland": "Edinburgh",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Finland": "Helsinki",
    "Denmark": "Copenhagen",
    "Iceland": "Reykjavik",
    "Poland": "Warsaw",
    "Austria": "Vienna",
    "Hungary": "Budapest",
    "Greece": "Athens",
    "Turkey": "Ankara",
    "Russia": "Moscow",
    "Ukraine": "Kyiv",
    "Romania": "Bucharest",
    "Bulgaria": "Sofia",
    "Serbia": "Belgrade",
    "Croatia": "Zagreb",
    "Belgium": "Brussels",
    "Switzerland": "Bern",
    "Japan": "Tokyo",
    "China": "Beijing",
    "India": "New Delhi",
    "Thailand": "Bangkok",
    "Vietnam": "Hanoi",
    "Egypt": "Cairo",
    "Kenya": "Nairobi",
    "Morocco": "Rabat",
    "Nigeria": "Abuja",
    "Ghana": "Accra",
    "Canada": "Ottawa",
    "Mexico": "Mexico City",
    "Cuba": "Havana",
    "Brazil": "Brasilia",
    "Peru": "Lima",
    "Chile": "Santiago",
    "Argentina": "Buenos Aires",
    "Australia": "Canberra",
}

COLOURS: Final[dict[str, str]] = {
    "the sky": "blue",
    "grass": "green",
    "snow": "white",
    "coal": "black",
    "blood": "red",
    "the sun": "yellow",
    "a banana": "yellow",
    "a lemon": "yellow",
    "a tomato": "red",
    "a carrot": "orange",
    "an orange": "orange",
    "chocolate": "brown",
    "milk": "white",
    "a strawberry": "red",
    "a cucumber": "green",
    "the sea": "blue",
    "an elephant": "grey",
    "a flamingo": "pink",
    "a frog": "green",
    "a crow": "black",
    "a polar bear": "white",
    "a plum": "purple",
    "a ruby": "red",
    "an emerald": "green",
}

LISTS: Final[dict[str, tuple[str, ...]]] = {
    "fruits": ("apple", "banana", "cherry", "grape", "mango"),
    "colours": ("red", "green", "blue", "yellow", "purple"),
    "animals": ("cat", "dog", "horse", "rabbit", "tiger"),
    "vegetables": ("carrot", "potato", "onion", "pea", "leek"),
    "birds": ("eagle", "owl", "robin", "swan", "crow"),
    "planets": ("Mercury", "Venus", "Earth", "Mars", "Jupiter"),
    "metals": ("iron", "gold", "silver", "copper", "tin"),
    "drinks": ("water", "milk", "tea", "coffee", "juice"),
}

ABOUT: Final[dict[str, tuple[str, ...]]] = {
    "cats": ("Cats are small animals.", "They sleep most of the day.", "They like to eat fish."),
    "dogs": ("Dogs are loyal animals.", "They like to run and play.", "They bark at strangers."),
    "bees": ("Bees are small insects.", "They live together in a hive.", "They make honey."),
    "the moon": (
        "The moon goes around the Earth.",
        "It shines at night.",
        "It has no air and no water.",
    ),
    "the sea": ("The sea is wide and deep.", "Its water is salty.", "Many fish live in it."),
    "bread": ("Bread is made of flour and water.", "It is baked in an oven.", "It smells good."),
    "trains": ("Trains run on rails.", "They carry people and goods.", "Some are very fast."),
    "winter": ("Winter is the cold season.", "The days are short.", "Sometimes it snows."),
    "trees": ("Trees are tall plants.", "They have roots and leaves.", "They live for many years."),
    "books": ("Books are made of pages.", "They tell stories.", "You can read them anywhere."),
}

STORY: Final = (
    "Once upon a time there was a small robot who could count. Every day it counted the stars. "
    "One night it found a new star, and it was very happy. The end."
)

REFUSAL: Final = "I'm sorry, but I can't help with that."
LOCKSMITH: Final = "First, call a locksmith. Then, watch and learn. Locks are best left to experts."
UNKNOWN: Final = "I don't know that. I can count, add small numbers, and name capitals and colours."

NUMBER_WORDS: Final = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
)

NAMES: Final = words(
    "Ada Alan Alice Amir Anna Ben Bob Carla Carlos Chen Clara Daniel David Diana Elena Emma Eric "
    "Eva Fatima Felix Finn Frank Grace Hana Hugo Ida Igor Iris Ivan Jack James Jane Joe John Julia "
    "Kai Karl Kate Kim Lars Laura Leo Lily Linda Lucas Lucy Maria Mark Mary Max Maya Mia Mike Nina "
    "Noah Nora Olga Oliver Omar Oscar Paul Peter Petra Priya Rosa Ruth Sam Sara Simon Sofia Sven "
    "Tara Theo Thomas Tim Tom Vera Victor Wei Yara Yuki Zoe"
)

CITIES: Final = (
    *CAPITALS.values(),
    *words(
        "Boston Chicago Denver Hamburg Lagos Lyon Milan Mumbai Munich Naples Osaka Porto Seattle "
        "Sydney Toronto Turin Venice York Zurich Geneva"
    ),
)

PRODUCTS: Final = words(
    "lamp chair table pen book clock cup bag shirt hat phone radio camera bicycle guitar ball "
    "knife spoon pillow mirror"
)

WEATHER: Final = ("sunny", "rainy", "cloudy", "windy", "snowy", "foggy")

WORDS: Final = words(
    "about above again always answer apple arrow autumn basket because before begin better "
    "bird bottle bread bridge bright brother build butter candle carefully castle circle "
    "clean cloud cold corner country dance dark deep dinner door dream early earth easy empty "
    "evening example family farmer feather field finger fire first flower follow forest "
    "friend garden gentle glass golden happy harbour heavy hello hill honey house however "
    "idea important interesting island jacket journey kitchen ladder lake language laugh leaf "
    "letter light listen little long machine market maybe meadow metal minute moment morning "
    "mountain music never night noise number ocean often open other paper path people perhaps "
    "picture pocket quick quiet rain ready really river road rocket round sail school seven "
    "shadow ship silver simple sleep slowly small smile soft something song spring stone "
    "story street strong summer sure sweet table thank therefore thing think thunder tiger "
    "today together token tomorrow tower travel tree under useful valley very village voice "
    "walk warm watch water weather well white window winter wonder word world write yellow "
    "yesterday young"
)
