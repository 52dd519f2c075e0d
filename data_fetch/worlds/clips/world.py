"""Clips of a hand that does something to a thing on a table, after Something-Something v2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from data_fetch.fields import ROW, Clips
from data_fetch.worlds.clips.actions import (
    CLASSES,
    KINDS,
    SCRIPT_NAMES,
    SCRIPTS,
    THINGS,
    class_of,
    opposites,
    script_of,
    sentence,
)
from data_fetch.worlds.clips.casting import Casting
from data_fetch.worlds.clips.render import Rendered, render
from data_fetch.worlds.clips.sampling import possible_things, sample_casting, tied_thing
from data_fetch.worlds.clips.stored import Bytes
from data_fetch.worlds.clips.tables import TABLE_NAMES
from data_fetch.worlds.clips.things import COLOUR_NAMES, PALETTES


@dataclass(frozen=True, kw_only=True)
class ClipsWorld(Clips):
    """Clips with the truth about them.

    Besides the fields of `Clips`: masks (N, T, S, S) bool are the visible pixels of the thing that moves, hand_masks
    those of hand and arm. boxes (N, T, 4) : around the mask, zeros where nothing is visible. centres (N, T, 2) : x, y
    of the middle of the moved thing in pixels, hidden or not.
    things, others (N,) : numbers of `kind_names`, the first and the second thing of the sentence, -1 for no second.
    colours, other_colours (N,) : numbers of `colour_names`.  tables (N,) : numbers of `table_names`.
    scripts (N,), backward (N,) bool : the movement, a number of `script_names`, and whether it runs backwards.
    seeds (N,) : what everything else about a clip is drawn from.
    """

    hand_masks: Tensor = field(metadata=ROW)
    boxes: Tensor = field(metadata=ROW)
    centres: Tensor = field(metadata=ROW)
    things: Tensor = field(metadata=ROW)
    colours: Tensor = field(metadata=ROW)
    others: Tensor = field(metadata=ROW)
    other_colours: Tensor = field(metadata=ROW)
    tables: Tensor = field(metadata=ROW)
    scripts: Tensor = field(metadata=ROW)
    backward: Tensor = field(metadata=ROW)
    seeds: Tensor = field(metadata=ROW)
    thing_names: tuple[str, ...] = THINGS
    kind_names: tuple[str, ...] = KINDS
    colour_names: tuple[str, ...] = COLOUR_NAMES
    table_names: tuple[str, ...] = TABLE_NAMES
    script_names: tuple[str, ...] = SCRIPT_NAMES
    tie: float | None = None
    noise: float = 0.0

    def to(self, device: torch.device | str) -> ClipsWorld:
        """The same set with every tensor on `device`, the frames too."""
        moved = super().to(device)
        return replace(moved, frames=self.frames.to(device))

    @property
    def casting(self) -> Casting:
        names = ("scripts", "backward", "things", "colours", "others", "other_colours", "tables", "seeds")
        return Casting(**{name: getattr(self, name) for name in names})

    @property
    def reversible(self) -> Tensor:
        """(N,) bool: the clips whose reversal shows one of the classes."""
        return self.opposite.to(self.labels.device)[self.labels.clamp(min=0)].ge(0) & (self.labels >= 0)

    def reversed(self) -> ClipsWorld:
        """The same clips with their frames in the opposite order, and the class that they now show.

        A clip that then shows none of the classes (a thing that falls upwards) gets the label -1 and an empty text;
        `data[data.reversible].reversed()` leaves those out.
        """
        flipped = {name: getattr(self, name).flip(1) for name in ("masks", "hand_masks", "boxes", "centres")}
        frames = Bytes(self.frames.values.flip(1)) if isinstance(self.frames, Bytes) else self.frames.flip(1)
        return _described(replace(self, frames=frames, backward=~self.backward, **flipped))

    def with_things(self, things: Tensor) -> ClipsWorld:
        """The same actions done to other things (N,), numbers of `kind_names`: a counterfactual set.

        Place, time and way of the movement, table, hand and camera stay; a colour that the new thing does not come
        in is changed. The clips are rendered again.

        Raises
        ------
        ValueError : another number of things, or a thing that an action can't be done to.
        """
        things = torch.as_tensor(things, device=self.seeds.device).long()
        if things.shape != self.things.shape:
            raise ValueError(f"things must have shape {tuple(self.things.shape)}, got {tuple(things.shape)}")
        colours = []
        for n, (thing, colour, script) in enumerate(zip(*(v.tolist() for v in (things, self.colours, self.scripts)))):
            known = SCRIPTS[SCRIPT_NAMES[script]].things
            if not 0 <= thing < len(KINDS) or KINDS[thing] not in known:
                raise ValueError(f"clip {n} can be of {', '.join(known)}, got number {thing}")
            palette = PALETTES[KINDS[thing]]
            colours.append(colour if colour in palette else palette[colour % len(palette)])
        colours = torch.tensor(colours, device=things.device)
        changed = replace(self, things=things, colours=colours)
        drawn = render(changed.casting, self.masks.shape[1], self.masks.shape[-1], self.noise)
        return _described(replace(changed, **_columns(drawn, isinstance(self.frames, Bytes))))

    def tied_things(self) -> Tensor:
        """(N,) the thing that is tied to each clip's class, a number of `kind_names`; -1 for a clip of no class."""
        table = torch.tensor([tied_thing(k, self.class_names, self.thing_names) for k in range(len(self.class_names))])
        table = torch.cat([table, torch.tensor([-1])]).to(self.labels.device)
        return table[self.labels]

    def card(self) -> dict[str, object]:
        """What is in the set: counts, knobs, class balance, and how strongly thing and action are tied."""
        known = self.labels >= 0
        cells = torch.zeros(len(self.class_names), len(KINDS), dtype=torch.long)
        cells.index_put_((self.labels[known].cpu(), self.things[known].cpu()), torch.tensor(1), accumulate=True)
        cells = cells[:, [KINDS.index(name) for name in self.thing_names]]
        chance = [1 / len(possible_things(name, self.thing_names)) for name in self.class_names]
        return {
            "clips": len(self),
            "frames": self.masks.shape[1],
            "size": self.masks.shape[-1],
            "noise": self.noise,
            "tie": self.tie,
            "class_counts": dict(zip(self.class_names, cells.sum(1).tolist(), strict=True)),
            "opposite": dict(zip(self.class_names, self.opposite.tolist(), strict=True)),
            "thing_counts": dict(zip(self.thing_names, cells.sum(0).tolist(), strict=True)),
            "class_by_thing": cells.tolist(),
            "share_of_tied_thing": round(float((self.things == self.tied_things()).float().mean()), 4),
            "share_if_independent": round(sum(chance) / len(chance), 4),
            "table_counts": dict(
                zip(
                    self.table_names,
                    torch.bincount(self.tables.cpu(), minlength=len(TABLE_NAMES)).tolist(),
                    strict=True,
                )
            ),
            "thing_share_of_frame": round(float(self.masks.float().mean()), 4),
            "hand_share_of_frame": round(float(self.hand_masks.float().mean()), 4),
        }


def clips(
    count: int,
    *,
    frames: int = 8,
    size: int = 48,
    seed: int = 0,
    classes: Sequence[str] = CLASSES,
    things: Sequence[str] = THINGS,
    tie: float | None = None,
    noise: float = 0.015,
    storage: str = "bytes",
    device: torch.device | str = "cpu",
) -> ClipsWorld:
    """Render `count` clips; the same arguments give the same clips on one machine.

    The classes are balanced to within one clip, and within each class its things. Two classes that are each other's
    reverse are drawn in the same way and then played forwards or backwards: as sets of frames they have the same
    distribution, and only the order tells them apart.

    Parameters
    ----------
    frames : 2 to 32.  size : height and width in pixels, at least 24 (48 to 64 look best).
    classes : names out of `CLASSES`.  things : names out of `THINGS`; every class needs one that it can be done to.
    tie : share of each class's clips that show the thing tied to it, the others spread evenly over the things that
        it can also be done to. None: spread evenly over all of these, so that among them the thing says nothing.
    noise : standard deviation of the Gaussian noise added to every pixel.
    storage : "bytes" keeps the frames as uint8 (`Bytes`: 8 bits a value as in a video file; 110 MB for 2,000
        clips of 8 frames at 48 pixels) and gives floats when asked for rows; "float" gives a plain tensor of the same
        values (442 MB).

    Raises
    ------
    ValueError : naming the argument that is out of range.
    """
    _check(count, frames, size, classes, things, tie, noise, storage)
    generator = torch.Generator().manual_seed(seed)
    class_names, thing_names = tuple(classes), tuple(things)
    cast, labels = sample_casting(count, class_names, thing_names, tie, generator)
    cast = cast.to(device)
    drawn = render(cast, frames, size, noise)
    return _described(
        ClipsWorld(
            labels=labels.to(device),
            class_names=class_names,
            opposite=opposites(class_names),
            thing_names=thing_names,
            tie=tie,
            noise=noise,
            **_columns(drawn, storage == "bytes"),
            **vars(cast),
        )
    )


def _columns(drawn: Rendered, as_bytes: bool) -> dict[str, object]:
    return {
        "frames": Bytes(drawn.frames) if as_bytes else drawn.frames.float() / 255,
        "masks": drawn.masks,
        "hand_masks": drawn.hand_masks,
        "centres": drawn.centres,
        "boxes": _boxes(drawn.masks),
    }


def _boxes(masks: Tensor) -> Tensor:
    """(..., 4) float: x0, y0, x1, y1 around the true pixels, zeros where there are none."""
    edges = []
    for axis in (-2, -1):  # columns, then rows
        seen = masks.any(axis)
        first = seen.to(torch.uint8).argmax(-1)
        last = seen.shape[-1] - seen.flip(-1).to(torch.uint8).argmax(-1)
        edges.append((first, torch.where(seen.any(-1), last, torch.zeros_like(last))))
    return torch.stack([edges[0][0], edges[1][0], edges[0][1], edges[1][1]], -1).float()


def _described(data: ClipsWorld) -> ClipsWorld:
    """The set with labels and texts that say what its clips show."""
    names = ("scripts", "backward", "things", "colours", "others", "other_colours")
    labels, texts = [], []
    for script, back, thing, colour, other, other_colour in zip(
        *(getattr(data, n).tolist() for n in names), strict=True
    ):
        label = class_of(data.class_names, script, back)
        labels.append(label)
        nouns = _noun(thing, colour), None if other < 0 else _noun(other, other_colour)
        texts.append("" if label < 0 else sentence(data.class_names[label], *nouns))
    return replace(data, labels=torch.tensor(labels, device=data.seeds.device), texts=tuple(texts))


def _noun(kind: int, colour: int) -> str:
    return f"{COLOUR_NAMES[colour]} {KINDS[kind]}"


def _check(count, frames, size, classes, things, tie, noise, storage) -> None:
    if count < 1 or size < 24 or not 2 <= frames <= 32:
        raise ValueError(f"count must be at least 1, size 24, frames 2 to 32, got {count}, {size} and {frames}")
    for what, names, known in (("classes", classes, CLASSES), ("things", things, THINGS)):
        if not names or len(set(names)) != len(names) or not set(names) <= set(known):
            raise ValueError(f"{what} must be different names out of {known}, got {tuple(names)}")
    if tie is not None and not 0 <= tie <= 1:
        raise ValueError(f"tie is a share, 0 to 1, or None, got {tie}")
    if noise < 0 or storage not in ("bytes", "float"):
        raise ValueError(f"noise must be at least 0 and storage 'bytes' or 'float', got {noise} and {storage!r}")
    for name in classes:
        script_of(name)
        found = possible_things(name, things)
        if not found or (tie is not None and tie < 1 and len(found) < 2):
            raise ValueError(f"the class {name!r} can be done to {found or 'none'} of {tuple(things)}; add others")
