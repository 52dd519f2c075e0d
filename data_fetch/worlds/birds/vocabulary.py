"""The words of the birds world: parts, colours, and binary attributes named as in CUB-200-2011.

CUB's files write `has_throat_color::black`; here, as in the talk and in NIWT, it is `has_throat_color=black`. A *group*
is what stands before the equals sign; every bird has exactly one value of each group. Groups and values are CUB's
own where CUB has them; `has_leg_color=...` and the like are a choice out of CUB's longer lists, and two things differ:
`has_wing_pattern=barred` (CUB calls it multi-colored) and `has_eye_color=white`.
"""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

PALETTE = MappingProxyType(
    {
        "black": (0.10, 0.10, 0.11),
        "white": (0.94, 0.94, 0.92),
        "grey": (0.51, 0.53, 0.56),
        "brown": (0.42, 0.25, 0.12),
        "buff": (0.86, 0.70, 0.47),
        "red": (0.80, 0.10, 0.12),
        "orange": (0.93, 0.43, 0.06),
        "yellow": (0.98, 0.88, 0.14),
        "green": (0.24, 0.55, 0.19),
        "blue": (0.15, 0.36, 0.80),
    }
)
COLOURS = tuple(PALETTE)
_UPPER = ("black", "white", "grey", "brown", "buff", "red", "green", "blue")
_BARE = ("black", "grey", "yellow", "orange", "red")  # bills and legs

GROUPS = MappingProxyType(
    {
        "has_bill_shape": ("all-purpose", "cone", "dagger", "hooked", "curved", "spatulate"),
        "has_bill_color": _BARE,
        "has_head_pattern": ("plain", "capped", "masked", "eyebrow", "crested"),
        "has_crown_color": COLOURS,
        "has_nape_color": _UPPER,
        "has_throat_color": COLOURS,
        "has_breast_color": COLOURS,
        "has_breast_pattern": ("solid", "spotted", "striped", "multi-colored"),
        "has_belly_color": ("black", "white", "grey", "brown", "buff", "red", "orange", "yellow"),
        "has_back_color": _UPPER,
        "has_wing_color": COLOURS,
        "has_wing_pattern": ("solid", "spotted", "striped", "barred"),
        "has_upper_tail_color": _UPPER,
        "has_tail_shape": ("squared_tail", "pointed_tail", "forked_tail", "fan-shaped_tail"),
        "has_tail_pattern": ("solid", "striped"),
        "has_eye_color": ("black", "red", "yellow", "white"),
        "has_leg_color": _BARE,
        "has_shape": ("perching-like", "duck-like", "long-legged-like", "owl-like", "upland-ground-like"),
        "has_size": ("small_(5_-_9_in)", "large_(16_-_32_in)"),
    }
)
GROUP_NAMES = tuple(GROUPS)
ATTRIBUTE_NAMES = tuple(f"{group}={value}" for group, values in GROUPS.items() for value in values)

PARTS = ("bill", "eye", "crown", "cheek", "nape", "throat", "breast", "belly", "back", "wing", "tail", "leg")
PART = MappingProxyType({name: n + 1 for n, name in enumerate(PARTS)})  # numbers in a map of parts; 0 is no bird
COVER = 255  # in a map of parts: a leaf, grass or water in front of the bird

SHOWN_BY = MappingProxyType(  # the part on which a group is seen; None: the whole bird
    {
        "has_bill_shape": "bill",
        "has_bill_color": "bill",
        "has_head_pattern": "cheek",
        "has_crown_color": "crown",
        "has_nape_color": "nape",
        "has_throat_color": "throat",
        "has_breast_color": "breast",
        "has_breast_pattern": "breast",
        "has_belly_color": "belly",
        "has_back_color": "back",
        "has_wing_color": "wing",
        "has_wing_pattern": "wing",
        "has_upper_tail_color": "tail",
        "has_tail_shape": "tail",
        "has_tail_pattern": "tail",
        "has_eye_color": "eye",
        "has_leg_color": "leg",
        "has_shape": None,
        "has_size": None,
    }
)

HABITATS = ("forest", "pond", "beach", "meadow", "mountain", "sky", "snow")

_STARTS = torch.tensor([0, *(len(values) for values in GROUPS.values())]).cumsum(0)[:-1]


def number(group: str, value: str) -> int:
    """The number of a value in its group.

    Raises
    ------
    ValueError : an unknown group or value, with the ones there are.
    """
    if group not in GROUPS:
        raise ValueError(f"there is no attribute group {group!r}; there are {', '.join(GROUPS)}")
    if value not in GROUPS[group]:
        raise ValueError(f"{group} cannot be {value!r}; it is one of {', '.join(GROUPS[group])}")
    return GROUPS[group].index(value)


def column(values: Tensor, group: str) -> Tensor:
    """(n,) int64: the values of one group out of (n, groups)."""
    return values[:, GROUP_NAMES.index(group)]


def binary(values: Tensor) -> Tensor:
    """(n, A) bool of values (n, groups): one true attribute in each group."""
    found = torch.zeros(len(values), len(ATTRIBUTE_NAMES), dtype=torch.bool, device=values.device)
    return found.scatter_(1, values + _STARTS.to(values.device), True)


def spread(weights: Tensor, values: Tensor, into: Tensor) -> Tensor:
    """Add weights (n, groups) to the columns of `into` (n, A) that the values (n, groups) name, in place."""
    return into.scatter_add_(1, values + _STARTS.to(values.device), weights)


def group_of_attribute() -> Tensor:
    """(A,) int64: the number of each attribute's group."""
    sizes = torch.tensor([len(values) for values in GROUPS.values()])
    return torch.repeat_interleave(torch.arange(len(GROUPS)), sizes)
