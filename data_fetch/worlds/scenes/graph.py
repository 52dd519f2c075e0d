"""The scene graph: what is where in each picture, as tensors. Drawing and language both follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from data_fetch.fields import ROW, Rows


@dataclass(frozen=True, kw_only=True)
class Graph(Rows):
    """N scenes of up to K things. Slot 0 is the person, slot 1 the thing that the person does something with.

    place (N,) int64, numbers of PLACE_NAMES.
    kind (N, K) int64, numbers of KINDS; -1 for an empty slot.  colour (N, K), numbers of COLOUR_NAMES; of a person:
    the colour of the clothes.  state (N, K), numbers of the thing's `states`, 0 where it has none.
    x, y (N, K) float : the centre, as a share of the image, to the right and down.
    reach (N, K) float : half of the larger side, as a share of the image.  flip (N, K) bool : faces left.
    order (N, K) int64 : 0 is drawn first, farthest away.
    appearance (N,) int64, numbers of APPEARANCES, -1 without a person.  activity (N,), numbers of ACTIVITY_NAMES, -1
    without a person.
    hair, hair_colour, clothes (N,) int64, numbers of HAIR, HAIR_COLOURS, CLOTHES.  beard, back (N,) bool : seen from
    behind.  skin (N,) float in [0, 1], light to dark.
    seeds (N,) int64 : textures, light and small variations of each image.
    """

    place: Tensor = field(metadata=ROW)
    kind: Tensor = field(metadata=ROW)
    colour: Tensor = field(metadata=ROW)
    state: Tensor = field(metadata=ROW)
    x: Tensor = field(metadata=ROW)
    y: Tensor = field(metadata=ROW)
    reach: Tensor = field(metadata=ROW)
    flip: Tensor = field(metadata=ROW)
    order: Tensor = field(metadata=ROW)
    appearance: Tensor = field(metadata=ROW)
    activity: Tensor = field(metadata=ROW)
    hair: Tensor = field(metadata=ROW)
    hair_colour: Tensor = field(metadata=ROW)
    clothes: Tensor = field(metadata=ROW)
    beard: Tensor = field(metadata=ROW)
    back: Tensor = field(metadata=ROW)
    skin: Tensor = field(metadata=ROW)
    seeds: Tensor = field(metadata=ROW)
