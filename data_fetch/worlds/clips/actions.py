"""What is done in a clip: the classes, which of them are each other's reverse, and the things that each can be done to.

A *script* is a movement, played forwards or backwards. Lifting a thing, played backwards, is putting it down: the two
classes show the same frames in the other order, so nothing but the order tells them apart. The class names are the
templates of Something-Something v2 (Goyal et al. 2017, arXiv 1706.04261).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

THINGS = ("cup", "ball", "book", "box", "bottle", "toy car", "banana", "apple", "pencil", "phone", "spoon", "hat",
          "teddy bear", "laptop")  # fmt: skip
CONTAINERS = ("bowl", "basket", "bucket")
COVERS = ("cloth", "towel")
KINDS = (*THINGS, *CONTAINERS, *COVERS)  # everything that can be drawn

_STANDS = ("cup", "bottle", "book", "box", "phone", "teddy bear")
_HAS_A_TOP = ("cup", "bottle", "toy car", "hat", "teddy bear")
_SMALL = ("ball", "banana", "apple", "pencil", "phone", "spoon", "toy car", "teddy bear")
_FLIES = ("ball", "apple", "banana", "box", "book", "teddy bear", "bottle", "hat", "phone", "toy car")
_OPENS = ("box", "book", "laptop")


@dataclass(frozen=True)
class Script:
    """A movement.

    forward, backward : the class of the clip, and of the clip in reversed order; the same name twice where the
    reversed clip shows the same action; backward is None where it shows something that does not happen.
    things : what it can be done to.  others : the second thing of the sentence, () for none.
    moves_other : the second thing is the one that moves (a cloth laid over a cup).
    """

    forward: str
    backward: str | None
    things: tuple[str, ...] = THINGS
    others: tuple[str, ...] = ()
    moves_other: bool = False


SCRIPTS: dict[str, Script] = {
    # A hand on the left that moves a thing to the right pushes; the same hand moving back to the left pulls.
    "push_right": Script("Pushing [something] from left to right", "Pulling [something] from right to left"),
    "push_left": Script("Pushing [something] from right to left", "Pulling [something] from left to right"),
    "raise": Script("Moving [something] up", "Moving [something] down"),
    "lift": Script(
        "Lifting [something] up completely without letting it drop down", "Putting [something] on a surface"
    ),
    "open": Script("Opening [something]", "Closing [something]", _OPENS),
    "put": Script("Putting [something] into [something]", "Taking [something] out of [something]", _SMALL, CONTAINERS),
    "cover": Script("Covering [something] with [something]", "Uncovering [something]", others=COVERS, moves_other=True),
    "near": Script(
        "Moving [something] closer to [something]", "Moving [something] away from [something]", others=THINGS
    ),
    "camera": Script("Moving [something] towards the camera", "Moving [something] away from the camera"),
    "lay": Script(
        "Laying [something] on the table on its side, not upright", "Putting [something] upright on the table", _STANDS
    ),
    "turn": Script("Turning [something] upside down", "Turning [something] upside down", _HAS_A_TOP),
    "throw": Script(
        "Throwing [something] in the air and catching it", "Throwing [something] in the air and catching it", _FLIES
    ),
    "tap": Script(
        "Poking [something] so lightly that it doesn't or almost doesn't move",
        "Poking [something] so lightly that it doesn't or almost doesn't move",
    ),
    "nudge": Script("Poking [something] so it slightly moves", None),
    "drop": Script("Lifting [something] up completely, then letting it drop down", None),
    "drop_near": Script("Dropping [something] next to [something]", None, others=THINGS),
    "pretend": Script("Pretending to pick [something] up", None),
}
SCRIPT_NAMES = tuple(SCRIPTS)
PAIRS = tuple((s.forward, s.backward) for s in SCRIPTS.values() if s.backward not in (None, s.forward))
SYMMETRIC = tuple(s.forward for s in SCRIPTS.values() if s.backward == s.forward)
ONE_WAY = tuple(s.forward for s in SCRIPTS.values() if s.backward is None)
CLASSES = (*(name for pair in PAIRS for name in pair), *SYMMETRIC, *ONE_WAY)


def script_of(name: str) -> tuple[int, bool]:
    """Number of the script that shows a class, and whether it is played backwards."""
    for number, script in enumerate(SCRIPTS.values()):
        if name in (script.forward, script.backward):
            return number, name != script.forward
    raise ValueError(f"there is no class {name!r}; there are {', '.join(CLASSES)}")


def opposites(class_names: Sequence[str]) -> Tensor:
    """(C,) int64: the class that each class's reversed clips show, -1 where it is not among the names."""
    found = []
    for name in class_names:
        number, backward = script_of(name)
        script = SCRIPTS[SCRIPT_NAMES[number]]
        other = script.forward if backward else script.backward
        found.append(class_names.index(other) if other in class_names else -1)
    return torch.tensor(found)


def class_of(class_names: Sequence[str], script: int, backward: bool) -> int:
    """Number of the class that a script shows, -1 where it is not among the names."""
    entry = SCRIPTS[SCRIPT_NAMES[script]]
    name = entry.backward if backward else entry.forward
    return class_names.index(name) if name in class_names else -1


def sentence(name: str, thing: str, other: str | None) -> str:
    """The template with its placeholders filled: "Pushing a red cup from left to right"."""
    words = name.replace("[something]", _article(thing), 1)
    return words if other is None else words.replace("[something]", _article(other), 1)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
