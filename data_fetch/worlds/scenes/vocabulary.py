"""What can be in a scene: colours, things, places, and what people do. Drawing and language both read these tables."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = {
    "red": (0.84, 0.13, 0.15),
    "orange": (0.96, 0.52, 0.10),
    "yellow": (0.98, 0.84, 0.16),
    "green": (0.16, 0.60, 0.26),
    "blue": (0.15, 0.36, 0.82),
    "purple": (0.55, 0.24, 0.68),
    "pink": (0.96, 0.52, 0.68),
    "brown": (0.48, 0.29, 0.15),
    "black": (0.12, 0.12, 0.14),
    "white": (0.95, 0.95, 0.93),
    "grey": (0.55, 0.56, 0.58),
}
COLOUR_NAMES = tuple(COLOURS)
BRIGHT = ("red", "orange", "yellow", "green", "blue", "purple", "pink")


@dataclass(frozen=True)
class Thing:
    """One kind of thing.

    Attributes
    ----------
    name, plural : as a caption says them.
    extent : half the width and half the height of its drawing; the larger one is 1.
    reach : half the larger side, as a share of the image, in the foreground. Small things are drawn larger than
        life, or nobody would see them at 64 pixels.
    support : where it rests: "floor", "table", "water" or "sky"; what a place does not offer becomes its floor.
    homes : places in which it is usually seen.
    colours : the names that it comes in.
    states : words for its states ("open", "closed"), drawn by their number; empty where it has none.
    group : "animal", "vehicle", "food", "sport", "furniture" or "object".
    """

    name: str
    plural: str
    extent: tuple[float, float]
    reach: float
    support: str
    homes: tuple[str, ...]
    colours: tuple[str, ...]
    states: tuple[str, ...] = ()
    group: str = "object"

    @property
    def article(self) -> str:
        """ "a banana", "an apple"; "a pair of skis"."""
        if self.name == "skis":
            return "a pair of skis"
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"


def _things(*rows) -> dict[str, Thing]:
    """Rows of the table below; words in one string stand for a tuple."""
    things = {}
    for name, plural, extent, reach, support, homes, colours, states, group in rows:
        palette = BRIGHT if colours == "bright" else tuple(colours.split())
        places = tuple(homes.split())
        things[name] = Thing(name, plural, extent, reach, support, places, palette, tuple(states.split()), group)
    return things


THINGS = _things(
    # name, plural, extent, reach, support, homes, colours, states, group
    ("dog", "dogs", (1.0, 0.82), 0.17, "floor", "street field beach", "brown black white", "", "animal"),
    ("cat", "cats", (1.0, 0.85), 0.15, "floor", "bedroom kitchen", "orange black grey white", "", "animal"),
    ("horse", "horses", (1.0, 0.95), 0.25, "floor", "field forest", "brown black white", "", "animal"),
    ("cow", "cows", (1.0, 0.75), 0.24, "floor", "field", "brown black white", "", "animal"),
    ("duck", "ducks", (1.0, 0.85), 0.13, "water", "water", "white brown yellow", "", "animal"),
    ("car", "cars", (1.0, 0.52), 0.24, "floor", "street", "red blue yellow green white black", "", "vehicle"),
    ("bus", "buses", (1.0, 0.62), 0.28, "floor", "street", "red blue yellow green", "", "vehicle"),
    ("bicycle", "bicycles", (1.0, 0.66), 0.21, "floor", "street forest", "red blue green black", "", "vehicle"),
    ("boat", "boats", (1.0, 0.95), 0.24, "water", "water beach", "red blue green white yellow", "", "vehicle"),
    ("traffic light", "traffic lights", (0.42, 1.0), 0.24, "floor", "street", "red green", "", "object"),
    ("umbrella", "umbrellas", (1.0, 1.0), 0.20, "floor", "beach street", "bright", "open closed", "object"),
    ("kite", "kites", (0.8, 1.0), 0.16, "sky", "beach field", "bright", "", "sport"),
    ("ball", "balls", (1.0, 1.0), 0.09, "floor", "court field beach", "bright", "", "sport"),
    ("racket", "rackets", (0.5, 1.0), 0.15, "floor", "court", "red blue green black", "", "sport"),
    ("surfboard", "surfboards", (1.0, 0.34), 0.22, "water", "water beach", "red yellow blue white", "", "sport"),
    ("snowboard", "snowboards", (1.0, 0.30), 0.20, "floor", "snow", "red blue green purple", "", "sport"),
    ("skis", "skis", (1.0, 0.30), 0.21, "floor", "snow", "red yellow blue black", "", "sport"),
    ("snowman", "snowmen", (0.62, 1.0), 0.20, "floor", "snow", "red green blue", "", "object"),
    ("tent", "tents", (1.0, 0.78), 0.23, "floor", "forest field", "orange green blue yellow", "open closed", "object"),
    ("banana", "bananas", (1.0, 0.62), 0.12, "table", "kitchen", "yellow green brown", "", "food"),
    ("apple", "apples", (0.92, 1.0), 0.10, "table", "kitchen", "red green yellow", "", "food"),
    ("pizza", "pizzas", (1.0, 0.55), 0.14, "table", "kitchen", "yellow red", "", "food"),
    ("cake", "cakes", (0.95, 1.0), 0.13, "table", "kitchen", "pink brown white", "", "food"),
    ("cup", "cups", (1.0, 0.88), 0.10, "table", "kitchen office", "bright", "", "object"),
    ("bottle", "bottles", (0.42, 1.0), 0.14, "table", "kitchen beach court", "green blue brown red", "", "object"),
    ("pan", "pans", (1.0, 0.38), 0.14, "table", "kitchen", "black red grey", "", "object"),
    ("laptop", "laptops", (1.0, 0.78), 0.15, "table", "office bedroom", "grey black white", "open closed", "object"),
    ("book", "books", (1.0, 0.66), 0.12, "table", "office bedroom", "red blue green purple", "open closed", "object"),
    ("phone", "phones", (0.52, 1.0), 0.09, "table", "office street", "black white red blue", "", "object"),
    ("lamp", "lamps", (0.62, 1.0), 0.17, "table", "office bedroom", "red green blue white", "on off", "furniture"),
    ("chair", "chairs", (0.68, 1.0), 0.19, "floor", "kitchen office bedroom", "brown red blue green black", "", "furniture"),
)  # fmt: skip
THING_NAMES = tuple(THINGS)
KINDS = ("person", *THING_NAMES)  # the numbers of a scene graph; class k + 1 of a segmentation is KINDS[k]
PERSON_EXTENT, PERSON_REACH = (0.52, 1.0), 0.33


@dataclass(frozen=True)
class Place:
    """One kind of place. Heights are shares of the image, counted from the top.

    Attributes
    ----------
    where : "on the beach"; with `name` also "a beach".
    floor : the highest and the lowest line on which feet can stand.
    table : the line on which things stand on a table, or None.
    water : the highest and the lowest waterline, or None.
    facts : what anyone sees there: words out of `FACTS`.
    """

    name: str
    where: str
    indoor: bool
    floor: tuple[float, float]
    table: float | None
    water: tuple[float, float] | None
    facts: tuple[str, ...]

    @property
    def noun(self) -> str:
        """The place as an answer: "beach", "tennis court"."""
        return self.where.split(" ", 2)[2]


FACTS = ("sky", "water", "sand", "snow", "grass", "road", "trees", "buildings", "mountains", "table", "bed", "net")
PLACES = {
    place.name: place
    for place in (
        Place("beach", "on the beach", False, (0.66, 0.95), None, (0.50, 0.58), ("sky", "water", "sand")),
        Place("snow", "in the snow", False, (0.62, 0.95), None, None, ("sky", "snow", "mountains")),
        Place("kitchen", "in the kitchen", True, (0.84, 0.96), 0.66, None, ("table",)),
        Place("street", "on the street", False, (0.70, 0.95), None, None, ("sky", "road", "buildings")),
        Place("office", "in the office", True, (0.84, 0.96), 0.66, None, ("table",)),
        Place("field", "in the field", False, (0.60, 0.95), None, None, ("sky", "grass")),
        Place("water", "at the lake", False, (0.86, 0.95), None, (0.52, 0.80), ("sky", "water")),
        Place("court", "on the tennis court", False, (0.64, 0.95), None, None, ("sky", "net")),
        Place("bedroom", "in the bedroom", True, (0.82, 0.96), 0.64, None, ("bed",)),
        Place("forest", "in the forest", False, (0.68, 0.95), None, None, ("trees", "grass")),
    )
}
PLACE_NAMES = tuple(PLACES)


@dataclass(frozen=True)
class Activity:
    """What a person does.

    Attributes
    ----------
    name : "riding a snowboard": what a caption says after "is".
    thing : what the person does it with, or None.
    places : where it is usually done.
    pose : how the person is drawn, one of `POSES`.
    offset : centre of the thing, in half heights of the person from the person's centre: right, up.
    size : reach of the thing in half heights of the person.
    front : whether the thing covers the person (True) or the person the thing.
    state : the number of the state that the thing must be in.
    side : "woman" or "man": with which of the words the activity goes when a set is biased. It says how bias is
        put in, nothing about the world.
    """

    name: str
    thing: str | None
    places: tuple[str, ...]
    pose: str
    offset: tuple[float, float] = (0.0, 0.0)
    size: float = 0.4
    front: bool = True
    state: int = 0
    side: str = "man"


POSES = ("stand", "walk", "ride", "sit", "swing", "reach", "hold", "mouth", "ear", "umbrella", "kick")
ACTIVITIES = {
    activity.name: activity
    for activity in (
        Activity("standing", None, PLACE_NAMES, "stand", side="woman"),
        Activity("riding a snowboard", "snowboard", ("snow",), "ride", (0.0, -0.98), 0.72, True, 0, "man"),
        Activity("skiing", "skis", ("snow",), "ride", (0.0, -0.98), 0.80, True, 0, "woman"),
        Activity("surfing", "surfboard", ("water",), "ride", (0.0, -1.0), 0.85, True, 0, "man"),
        Activity("playing tennis", "racket", ("court",), "swing", (0.60, 0.62), 0.42, False, 0, "woman"),
        Activity("flying a kite", "kite", ("beach", "field"), "reach", (1.05, 1.35), 0.42, False, 0, "man"),
        Activity("cooking", "pan", ("kitchen",), "hold", (0.42, 0.02), 0.34, True, 0, "woman"),
        Activity("drinking from a cup", "cup", ("kitchen", "office"), "mouth", (0.24, 0.50), 0.22, True, 0, "woman"),
        Activity("eating a banana", "banana", ("kitchen", "bedroom"), "mouth", (0.24, 0.52), 0.26, True, 0, "man"),
        Activity("using a laptop", "laptop", ("office", "bedroom"), "hold", (0.40, 0.06), 0.36, True, 0, "man"),
        Activity("reading a book", "book", ("bedroom", "office", "field"), "hold", (0.36, 0.14), 0.30, True, 0, "woman"),
        Activity("talking on the phone", "phone", ("street", "office"), "ear", (0.22, 0.60), 0.19, True, 0, "woman"),
        Activity("holding an umbrella", "umbrella", ("street", "beach"), "umbrella", (0.24, 0.72), 0.62, False, 0, "woman"),
        Activity("riding a bicycle", "bicycle", ("street", "forest"), "sit", (0.0, -0.62), 0.80, True, 0, "man"),
        Activity("riding a horse", "horse", ("field", "forest"), "sit", (0.0, -0.66), 0.95, True, 0, "woman"),
        Activity("walking a dog", "dog", ("street", "field", "beach"), "walk", (0.85, -0.68), 0.40, True, 0, "woman"),
        Activity("kicking a ball", "ball", ("field", "court", "beach"), "kick", (0.62, -0.82), 0.22, True, 0, "man"),
    )
}  # fmt: skip
ACTIVITY_NAMES = tuple(ACTIVITIES)

# Appearance: the word that annotators use for a person, from what they see. It is nobody's identity, and "person" is
# the right word where nothing tells.
APPEARANCES = ("woman", "man", "unclear")
HAIR = ("short", "long", "bun", "bald", "hidden")  # hidden: under a hood or a helmet
HAIR_COLOURS = ("black", "brown", "blond", "red", "grey")
CLOTHES = ("trousers", "dress", "skirt", "coat")
