"""The expressions that carry sentiment in the reviews, the words that turn or weigh them, and nothing else.

In the tables, `*` after an expression says that a negator may turn it around ("not good", "never boring"),
                                                                               `+` that it is
extreme already: "absolutely superb", but neither "very superb" nor "fairly superb". A verb is written past>base.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

GROUPS = ("general", "story", "food", "place", "service", "device", "music", "price")
KINDS = ("adjective", "noun", "phrase", "verb", "liking", "feeling", "adverb", "would")


@dataclass(frozen=True)
class Expression:
    """A word or a few words that carry sentiment.

    Attributes
    ----------
    text : as it is said ("superb", "a waste of time"); of a verb its past ("let me down").
    base : of a verb its base form ("let me down"), else the text.
    polarity : 1 positive, -1 negative.
    kind : what it is in a sentence, one of `KINDS`.
    group : what it can be said of, one of `GROUPS`; "general" fits everything.
    negatable : whether it is used with a negator.
    extreme : whether it is used without "very" and "fairly".
    unseen : whether it belongs to the part that can be kept for testing.
    common : whether it is among the first `_COMMON` of its kind and group, which make up the small lexicon.
    """

    text: str
    base: str
    polarity: int
    kind: str
    group: str
    negatable: bool
    extreme: bool
    unseen: bool
    common: bool

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms that occur in a text; both the same for all but verbs."""
        return (self.text,) if self.text == self.base else (self.text, self.base)


# fmt: off
_TABLE = (  # kind, group, positive, negative
    ("adjective", "general",
     "good*, great*, impressive*, memorable*, enjoyable*, pleasant*, decent*, excellent+, wonderful+, superb+, "
     "fantastic+, lovely, outstanding+, terrific+, splendid+, first-rate+, delightful+, marvellous+, satisfying*, "
     "nice*",
     "bad*, poor*, disappointing*, mediocre*, unpleasant*, frustrating*, irritating*, awful+, terrible+, horrible+, "
     "dreadful+, lousy, appalling+, abysmal+, second-rate+, atrocious+, hopeless+, underwhelming*, annoying*, "
     "unbearable+"),
    ("adjective", "story",
     "gripping*, moving*, witty*, clever*, original*, touching*, thrilling, believable*, convincing*, captivating, "
     "inventive*, funny*, absorbing, heart-warming, imaginative*, interesting*",
     "boring*, dull*, predictable*, tedious*, confusing*, shallow*, clumsy*, far-fetched*, silly*, tiresome, "
     "pointless*, forgettable*, wooden, contrived, incoherent*, long-winded*"),
    ("adjective", "food",
     "delicious+, tasty*, fresh*, flavourful*, tender*, mouth-watering+, appetising*, divine+, hearty, well-seasoned*",
     "bland*, stale*, greasy*, soggy*, overcooked*, tasteless*, inedible+, rubbery, disgusting+, watery*"),
    ("adjective", "place",
     "clean*, cosy*, comfortable*, spotless+, peaceful*, spacious*, charming*, inviting*, elegant*, airy",
     "dirty*, noisy*, cramped*, shabby*, filthy+, stuffy*, smelly*, dingy, gloomy*, run-down*"),
    ("adjective", "service",
     "friendly*, attentive*, helpful*, polite*, welcoming*, kind, professional*, efficient*, considerate, prompt*",
     "rude*, slow*, careless*, unfriendly*, unhelpful*, arrogant*, impatient*, surly, chaotic*, indifferent"),
    ("adjective", "device",
     "reliable*, fast*, sturdy*, intuitive*, responsive*, handy, well-made*, user-friendly*, precise*, ingenious+",
     "unreliable*, sluggish*, flimsy*, clunky*, buggy*, faulty*, awkward*, useless+, fragile*, outdated*"),
    ("adjective", "music",
     "soulful*, energetic*, dazzling+, rousing, spirited*, electrifying+, uplifting*, catchy*",
     "lifeless*, monotonous*, shrill*, deafening+, uninspired*, muddled*, repetitive*, ear-splitting+"),
    ("adjective", "price",
     "fair*, reasonable*, affordable*, modest*, sensible*, low*, competitive*, unbeatable+, rock-bottom+",
     "steep*, excessive*, inflated*, unreasonable*, hefty*, exaggerated*, outrageous+, extortionate+, exorbitant+"),
    ("noun", "general",
     "a triumph*, a gem, a delight*, a joy*, a treat*, a pleasure*, a winner*, a success*, a marvel, a revelation*, "
     "a hit*, a highlight*",
     "a disaster*, a mess*, a failure*, a letdown*, a disappointment*, a nightmare*, a dud, a chore*, a flop*, "
     "an embarrassment*, a shambles, a fiasco*"),
    ("noun", "story", "a masterpiece*, a page-turner, a work of genius*", "a bore, a snooze, a waste of time*"),
    ("noun", "device", "a bargain*, a lifesaver", "a rip-off*, a waste of money*"),
    ("phrase", "general",
     "worth every penny, worth the wait*, second to none, top notch*, out of this world, up to scratch*, spot on*, "
     "hard to beat, too good to miss, a breath of fresh air, time well spent*, among the best*, a dream come true",
     "below par*, all over the place*, money down the drain, rough around the edges*, a slap in the face, "
     "beyond a joke, a pain in the neck*, in a sorry state*, among the worst*, hard to put up with*, "
     "a far cry from the hype, more trouble than help, a bad joke"),
    ("phrase", "story", "pure magic, hard to put down", "like watching paint dry, hard to sit through"),
    ("verb", "general",
     "blew me away>blow me away, won me over*>win me over, impressed me*>impress me, delighted me>delight me, "
     "charmed me*>charm me, made my day>make my day, took my breath away>take my breath away, "
     "exceeded my expectations*>exceed my expectations, lived up to the hype*>live up to the hype, "
     "put a smile on my face>put a smile on my face, hit the mark*>hit the mark, satisfied me*>satisfy me",
     "let me down*>let me down, annoyed me*>annoy me, disappointed me*>disappoint me, "
     "got on my nerves*>get on my nerves, left me cold>leave me cold, missed the mark*>miss the mark, "
     "drove me mad>drive me mad, tested my patience*>test my patience, ruined my day*>ruin my day, "
     "made my heart sink>make my heart sink, left a bad taste in my mouth>leave a bad taste in my mouth, "
     "put me off*>put me off"),
    ("verb", "story",
     "kept me on the edge of my seat*>keep me on the edge of my seat, swept me off my feet>sweep me off my feet",
     "bored me to tears*>bore me to tears, put me to sleep>put me to sleep"),
    ("verb", "food", "hit the spot*>hit the spot, made my mouth water>make my mouth water",
     "turned my stomach*>turn my stomach, killed my appetite>kill my appetite"),
    ("verb", "music", "gave me goosebumps*>give me goosebumps, stole the show>steal the show",
     "fell flat*>fall flat, gave me a headache>give me a headache"),
    ("verb", "device", "met all my needs*>meet all my needs, made my life easier>make my life easier",
     "fell apart*>fall apart, made my life harder>make my life harder"),
    ("liking", "general",
     "loved*>love, enjoyed*>enjoy, liked*>like, adored>adore, appreciated*>appreciate, admired>admire, "
     "fell in love with>fall in love with, could not get enough of>could not get enough of, "
     "couldn't fault>couldn't fault",
     "hated>hate, disliked>dislike, loathed>loathe, regretted*>regret, resented*>resent, "
     "could not stand>could not stand, couldn't bear>couldn't bear, lost patience with*>lose patience with, "
     "grew tired of*>grow tired of"),
    ("feeling", "general",
     "impressed by*, delighted with*, thrilled with*, pleased with*, happy with*, charmed by, taken with*, "
     "enchanted by, amazed by",
     "let down by*, annoyed by*, disappointed by*, fed up with, put off by*, irritated by*, unhappy with*, "
     "appalled by, sick of"),
    ("adverb", "general",
     "beautifully, superbly, brilliantly, perfectly*, skilfully*, wonderfully, carefully*, well*, flawlessly, "
     "thoughtfully*, lovingly, expertly*",
     "badly*, poorly*, clumsily*, carelessly*, sloppily*, terribly, awkwardly*, shoddily*, hopelessly, lazily, "
     "atrociously, appallingly"),
    ("would", "general",
     "recommend it*, recommend it to anyone*, choose it again*, pay for it again*, do it all again*, "
     "give it five stars*, praise it to the skies",
     "avoid it, steer clear of it, skip it*, warn my friends about it*, ask for my money back*, give it one star*, "
     "complain about it*"),
)
# fmt: on

# Words that turn an expression around. Idioms such as "could not stand" have theirs inside and are not turned.
NEGATORS = (
    "not", "never", "hardly", "nobody", "nothing", "neither", "nor", "far from", "by no means", "not at all",
    "wasn't", "weren't", "didn't", "don't", "can't", "wouldn't",
)  # fmt: skip
STRONG = {  # weight 3 where an expression alone has 2
    "gradable": ("very", "really", "extremely", "incredibly", "remarkably", "so"),
    "extreme": ("absolutely", "truly", "really", "quite simply"),
    "noun": ("absolute", "real", "genuine", "true"),
    "verb": ("really", "truly", "completely"),
}
WEAK = ("fairly", "rather", "somewhat", "moderately")  # weight 1


_COMMON = 4


def _rows(kind: str, group: str, polarity: int, table: str) -> list[Expression]:
    found = []
    for row in table.split(", "):
        text, _, base = row.partition(">")
        plain = text.rstrip("*+")
        negatable, extreme = "*" in text, "+" in text
        place = sum(e.negatable == negatable and e.extreme == extreme for e in found)
        found.append(
            Expression(
                text=plain,
                base=base or plain,
                polarity=polarity,
                kind=kind,
                group=group,
                negatable=negatable,
                extreme=extreme,
                unseen=place % 4 == 1,
                common=len(found) < _COMMON,
            )
        )
    return found


EXPRESSIONS = tuple(
    expression
    for kind, group, positive, negative in _TABLE
    for polarity, table in ((1, positive), (-1, negative))
    for expression in _rows(kind, group, polarity, table)
)
PARTS = ("all", "common", "seen", "unseen")


@cache
def pool(
    kind: str, group: str, polarity: int, *, part: str = "all", negatable: bool = False, gradable: bool = False
) -> tuple[Expression, ...]:
    """The expressions of a kind and polarity that can be said of things of a group.

    Those that fit everything are included, but a price is not "moving" or "superb": it has expressions of its own.

    part : "common", "seen" or "unseen" for a part of the lexicon alone.
    negatable, gradable : only those that a negator, or "fairly", may stand before.
    """
    return tuple(
        e
        for e in EXPRESSIONS
        if (e.kind, e.polarity) == (kind, polarity)
        and (e.group == group or (e.group == "general" and group != "price"))
        and (part == "all" or (e.common if part == "common" else e.unseen == (part == "unseen")))
        and (e.negatable or not negatable)
        and not (e.extreme and gradable)
    )
