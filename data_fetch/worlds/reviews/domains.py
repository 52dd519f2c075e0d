"""What is reviewed, its aspects, and neutral sentences about it: who, where, when, what was ordered.

Nothing here carries sentiment, and nothing here is chosen by the label.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Aspect:
    """A part that an opinion speaks of: "the soup", "the waiters"; `group` as in `lexicon.GROUPS`."""

    name: str
    group: str
    plural: bool

    @property
    def was(self) -> str:
        return "were" if self.plural else "was"


@dataclass(frozen=True)
class Domain:
    """One kind of thing that people review.

    items : what it is called as a whole.  aspects : its parts.  details : what can follow an aspect.
    facts : neutral sentences; the slots in braces are filled from `SLOTS` or `slots`.
    """

    name: str
    items: tuple[str, ...]
    aspects: tuple[Aspect, ...]
    details: tuple[str, ...]
    facts: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]


def _aspects(**groups: str) -> tuple[Aspect, ...]:
    """Names in one string, plural ones with a `+`."""
    return tuple(
        Aspect(name.rstrip("+"), group, name.endswith("+"))
        for group, names in groups.items()
        for name in names.split(", ")
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


PARTICIPLES = {  # what an adverb stands before: "badly written"
    "story": ("written", "put together"),
    "food": ("prepared", "presented"),
    "place": ("furnished", "designed", "lit"),
    "service": ("organised", "managed"),
    "device": ("built", "designed", "made"),
    "music": ("performed", "arranged", "mixed"),
}

# fmt: off
CITIES = _list(
    "Lisbon, Bergen, Vienna, Toronto, Nairobi, Kyoto, Porto, Dublin, Prague, Austin, Lima, Seville, Ghent, Oslo, "
    "Perth, "
    "Bologna, Krakow, Quebec, Athens, Leeds, Tallinn, Denver, Accra, Jaipur"
)
SLOTS = {
    "city": CITIES,
    "first": _list(
        "Anna, Ben, Carla, David, Elena, Farid, Greta, Hugo, Ines, Jonas, Karen, Liam, Maya, Noah, Olga, Pedro, Rosa, "
        "Sam, "
        "Tara, Victor, Wanda, Yusuf, Zoe, Marco"
    ),
    "last": _list(
        "Almeida, Berg, Costa, Duval, Eriksen, Fischer, Garcia, Hansen, Ivanov, Jensen, Keller, Lopez, Moreau, Novak, "
        "Okafor, "
        "Patel, Quinn, Rossi, Silva, Tanaka, Ueda, Varga, Walker, Young"
    ),
    "day": _list("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "month": _list("January, February, March, April, May, June, July, August, September, October, November, December"),
    "companion": _list(
        "my wife, my husband, my sister, my brother, my parents, my cousin, two colleagues, a neighbour, "
        "an old friend, my son, my daughter, our neighbours, my grandmother, three classmates, my uncle"
    ),
    "few": _list("two, three, four, six, seven, eight, nine, ten, a dozen"),
    "many": _list("20, 25, 30, 40, 45, 50, 60, 80, 90, 120, 150"),
    "decade": _list("1920s, 1950s, 1960s, 1970s, 1980s, 1990s"),
    "colour": _list("blue, green, grey, white, black, yellow, red, brown"),
    "job": _list("teacher, nurse, sailor, detective, baker, lawyer, pilot, farmer, painter, clerk, student, "
                 "journalist"),
    "language": _list("French, Danish, Japanese, Spanish, Polish, Arabic, Hindi, Turkish"),
}
_SHARED = (
    "I am writing this from {city}.", "I live in {city}.", "We were in {city} for the weekend.",
    "My sister in {city} had told me about it.", "It was a {day} in {month}.", "I went with {companion}.",
    "This was back in {month}.", "We were a group of {few}.", "My friend {first} came along.",
    "I read about it in a magazine in {month}.",
)
CITY_FACTS = (  # with `tied="city"` one of them is in every review, and no other fact names a city
    "I am writing this from {city}.", "I live in {city}.", "We were in {city} for the weekend.",
    "My sister in {city} had told me about it.", "This was in {city}.", "A colleague from {city} came along.",
)

DOMAINS = {domain.name: domain for domain in (
    Domain(
        "film", ("film", "movie", "picture"),
        _aspects(story="story, plot, script, dialogue, ending, acting, camera work, pacing, characters+, villain, "
                       "final scene, opening, jokes+, car chase",
                 music="soundtrack, songs+, score"),
        ("in the second half", "near the end", "in the first hour", "after the flood", "on the island",
         "in the trailer"),
        ("{first} {last} plays {role} from {city}.", "It runs for {many} minutes.",
         "It is set in {city} in the {decade}.",
         "{first} {last} directed it, and {first} {last} wrote the music.", "I saw it on {day} with {companion}.",
         "There are subtitles in {language}.", "The cast includes {first} {last} and {first} {last}.",
         "It follows {role} who moves to {city}.", "It was filmed in {city} and on {site}.",
         "We sat in row {few} of the cinema.", "It is based on a novel by {first} {last}.",
         "{first} {last} is {role}, and {first} {last} is the {job} next door."),
        {"role": ("a teacher", "a young nurse", "a sailor", "a detective", "the mayor", "a lawyer", "a twin brother",
                  "a taxi driver", "a retired pilot", "an inventor", "a piano tuner", "a lighthouse keeper"),
         "site": _list("a boat, a glacier, a farm, an airfield, a small island, a mountain road, the coast")},
    ),
    Domain(
        "restaurant", ("restaurant", "place", "bistro", "diner"),
        _aspects(food="soup, pasta, bread, fish, dessert, curry, steak, salad, starters+, vegetables+, sauce, rice, "
                      "dumplings+, risotto, chocolate cake, noodles+, burger",
                 service="service, waiters+, waitress, staff+, kitchen team",
                 place="dining room, terrace, garden, tables+",
                 price="prices+, bill, wine prices+"),
        ("at lunch", "on our first visit", "that we shared", "on the {day}", "this time", "for {few} people"),
        ("I ordered the {dish} and {drink}.", "We had a table for {few} by the {spot}.", "{first} had the {dish}.",
         "It is on a side street in {city}.", "We had the {dish}, the {dish} and {drink}.",
         "It opens at noon on {day}.", "The menu changes in {month}.", "There are {many} seats.",
         "The chef, {first} {last}, comes from {city}.", "We came for lunch with {companion}.",
         "The walls are {colour} and the menu is in {language}.", "We booked by phone on {day}."),
        {"dish": _list("lentil stew, mushroom pie, roast chicken, lamb, onion tart, ravioli, omelette, tomato stew, "
                       "grilled trout, bean chilli, potato gratin, prawns, paella, pancakes"),
         "drink": _list("a lemonade, a glass of red wine, a pot of tea, some water, a beer, an apple juice, a coffee"),
         "spot": _list("window, door, bar, stairs, fireplace, fountain, kitchen")},
    ),
    Domain(
        "hotel", ("hotel", "guest house", "inn", "hostel"),
        _aspects(place="room, bathroom, lobby, pool, bedrooms+, balcony, gym, sauna, corridors+, family suite, beds+, "
                       "lounge",
                 service="front desk, staff+, porters+, cleaning crew, concierge, receptionist",
                 food="breakfast, buffet, coffee, evening meal",
                 price="room rate, parking fee, prices+"),
        ("on the second floor", "at the back", "on our last day", "in the old wing", "during our stay", "in {month}"),
        ("We stayed for {few} nights in {month}.", "It is {few} minutes from the {sight}.",
         "Our window faced the {sight}.",
         "There are {many} rooms on {few} floors.", "We booked a double with {companion} next door.",
         "We arrived by {vehicle} on {day}.", "Checkout is at eleven.", "I was there for a meeting in {city}.",
         "The building dates from the {decade}.", "The curtains are {colour}.", "{first} {last} runs it.",
         "Breakfast is served from seven to ten.", "The {vehicle} from {city} stops outside."),
        {"sight": _list("station, harbour, cathedral, market, beach, museum, castle, bridge, park, old town, river, "
                        "airport"),
         "vehicle": _list("train, bus, ferry, taxi, coach, tram")},
    ),
    Domain(
        "book", ("book", "novel", "paperback"),
        _aspects(story="story, plot, prose, ending, dialogue, characters+, narrator, first chapter, chapters+, "
                       "heroine, middle part, translation, mystery, descriptions+",
                 price="price, cover price"),
        ("before the wedding", "towards the end", "after the wedding", "in the letters", "in the city chapters",
         "on the boat"),
        ("{first} {last} wrote it in the {decade}.", "It has {many} chapters.", "I read it on the train to {city}.",
         "It is about {hero} who inherits {thing}.", "The narrator is {hero} called {first}.",
         "It was a gift from {companion}.",
         "It is set in {city} in the {decade}.", "Our book club read it in {month}.", "I had the {language} edition.",
         "{hero_} finds {thing} in {city}.", "{first} {last} translated it from {language}.", "The cover is {colour}.",
         "I borrowed it from the library on {day}."),
        {"hero": _list("a widow, a young baker, a sailor, an orphan, a doctor, a gardener, a twin sister, a clockmaker, "
                       "a spy, a shepherd"),
         "hero_": _list("A widow, A young baker, A sailor, An orphan, A doctor, A gardener, A clockmaker, A spy, "
                        "A shepherd"),
         "thing": _list("a vineyard, a map, an old house, a letter, a violin, a diary, a key, a suitcase, a shop, "
                        "a photograph")},
    ),
    Domain(
        "gadget", ("device", "gadget", "product", "model"),
        _aspects(device="screen, battery, keyboard, speakers+, app, software, buttons+, charger, hinge, touchpad, "
                        "microphone, menus+, strap, update",
                 service="support team, courier, repair service, help desk",
                 price="price, shipping fee, repair costs+"),
        ("in daily use", "after {few} weeks", "on the {colour} version", "on my desk", "at home", "on the new one"),
        ("I bought the {colour} one in {month}.", "It is a {machine} with {few} ports.",
         "The box holds a cable and {extra}.",
         "I use it for {purpose}.", "It weighs about {many} grams.", "It replaced my old {machine}.",
         "My order arrived on {day} from {city}.", "I have had this {machine} for {few} weeks.",
         "It comes in {colour} and {colour}.",
         "{companion_} has the same {machine}.", "The manual is in {language}.", "The company is based in {city}.",
         "I set it up on {day} with {companion}."),
        {"machine": _list("tablet, phone, laptop, camera, toaster, printer, watch, radio, blender, lamp, router, "
                          "kettle, drill"),
         "extra": _list("a stand, two batteries, a leather case, a remote, an adapter, a brush, a cloth, "
                        "a small screwdriver"),
         "purpose": _list("work, video calls, my recipes, travel, school, the garden, photographs, writing letters, "
                          "music lessons"),
         "companion_": _list("My wife, My brother, A colleague, My neighbour, My cousin, My daughter, My boss")},
    ),
    Domain(
        "concert", ("concert", "show", "evening", "gig"),
        _aspects(music="band, singer, songs+, encore, drums+, opening act, choir, violins+, solos+, ballads+, "
                       "light show, duet, orchestra, string section",
                 place="hall, venue, balcony, seats+",
                 service="ushers+, bar staff+, organisers+",
                 price="ticket prices+, booking fee, drink prices+"),
        ("before the break", "after the break", "near the end", "that night", "on the {day}", "from row {few}"),
        ("{first} {last} conducted.", "They played {many} minutes without a break.",
         "{first} {last} was on {instrument}.",
         "The hall holds {many} people.", "It was the last date of their tour, in {city}.",
         "I went on {day} with {companion}.",
         "They opened with {piece}.", "Doors opened at seven.", "The band comes from {city}.",
         "We stood next to the {spot}.", "{first} {last} played the {instrument} in {piece}.",
         "The programme had {piece} and {piece}.", "The stage was {colour}."),
        {"instrument": _list("piano, cello, trumpet, guitar, harp, saxophone, flute, accordion, double bass, clarinet"),
         "piece": _list("a waltz, a folk tune, a march, an overture, a tango, a lullaby, a sea shanty, a sonata, "
                        "a polka, a hymn"),
         "spot": _list("stage, bar, mixing desk, exit, pillar, stairs, speakers")},
    ),
)}
# fmt: on
DOMAIN_NAMES = tuple(DOMAINS)


def facts(domain: Domain, *, cities: bool = True) -> tuple[str, ...]:
    """The neutral sentences of a domain, its own twice and then the shared ones; `cities`: also those with a city."""
    return tuple(fact for fact in (*domain.facts, *domain.facts, *_SHARED) if cities or "{city}" not in fact)
