"""Short reviews with the words that carry the sentiment marked; negation, contrast and mixed opinions included."""

from data_fetch.worlds.reviews.data import Reviews
from data_fetch.worlds.reviews.domains import DOMAIN_NAMES
from data_fetch.worlds.reviews.lexicon import EXPRESSIONS, NEGATORS, Expression
from data_fetch.worlds.reviews.plan import OPENINGS
from data_fetch.worlds.reviews.rule import Clause, decide
from data_fetch.worlds.reviews.world import TIED_CITIES, reviews

__all__ = [
    "DOMAIN_NAMES",
    "EXPRESSIONS",
    "NEGATORS",
    "OPENINGS",
    "TIED_CITIES",
    "Clause",
    "Expression",
    "Reviews",
    "decide",
    "reviews",
]
