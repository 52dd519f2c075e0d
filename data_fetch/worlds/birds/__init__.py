"""The birds world: `birds` renders many species, `from_attributes` a bird of the reader's own description."""

from data_fetch.worlds.birds.vocabulary import ATTRIBUTE_NAMES, COLOURS, GROUPS, HABITATS, PALETTE, PARTS
from data_fetch.worlds.birds.world import Birds, birds, from_attributes

__all__ = ["ATTRIBUTE_NAMES", "COLOURS", "GROUPS", "HABITATS", "PALETTE", "PARTS", "Birds", "birds", "from_attributes"]
