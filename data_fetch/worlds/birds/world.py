"""Birds of many species, by the colours, patterns and shapes of their parts, rendered with all that is known of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from data_fetch.fields import ROW, Labelled, Loaded
from data_fetch.worlds.birds import truth
from data_fetch.worlds.birds.asked import check, habitat_numbers, species_numbers
from data_fetch.worlds.birds.individuals import balanced, poses, settle, values_of
from data_fetch.worlds.birds.render import render
from data_fetch.worlds.birds.species import least_distance, species
from data_fetch.worlds.birds.vocabulary import (
    ATTRIBUTE_NAMES,
    COVER,
    GROUP_NAMES,
    GROUPS,
    HABITATS,
    PARTS,
    binary,
    column,
    group_of_attribute,
    number,
)
from data_fetch.worlds.birds.words import describe_class

DESCRIBED = "described bird"


@dataclass(frozen=True, kw_only=True)
class Birds(Labelled):
    """Rendered birds: `Labelled`, with nothing left out. `birds` makes them.

    part_points : the middle of a part's visible pixels; a part that is hidden has its place in the skeleton and a 0.
    certainty : 4 where the part is visible, 1 where it is not; `attributes` holds either way.
    class_attributes : the true probability of each attribute in the class, at this set's `variation`.
    parts (N, S, S) uint8 : the part on top + 1, 0 where there is no bird, 255 where something lies in front of it.
    values (N, groups) int64 : the same as `attributes`, the number of each group's value.
    habitats (N,) int64, numbers of HABITATS.  home (C,) int64 : the habitat that is tied to each class, -1 for
    classes that were not asked for.
    pose (N, len(POSE_NAMES)) : how the bird sits and where the light comes from.  seeds (N,) : all the rest.
    """

    habitats: Tensor = field(metadata=ROW)
    parts: Tensor = field(metadata=ROW)
    values: Tensor = field(metadata=ROW)
    pose: Tensor = field(metadata=ROW)
    seeds: Tensor = field(metadata=ROW)
    home: Tensor
    habitat_names: tuple[str, ...] = HABITATS
    knobs: dict[str, object]

    @property
    def size(self) -> int:
        return self.images.shape[-1]

    def to(self, device: torch.device | str) -> Birds:
        """The same set with every tensor on `device`; `part_masks` come from there too."""
        moved = super().to(device)
        return dataclasses.replace(moved, part_masks=Loaded(partial(truth.masks_row, moved.parts), len(moved)))

    def with_habitats(self, habitats: Tensor | str) -> Birds:
        """The same birds, drawn the same, in other habitats: a counterfactual set.

        Pixels well inside a bird keep their values, noise and light included; what hides a part of it keeps its place.

        Parameters
        ----------
        habitats : (N,) int64 numbers of HABITATS, or one name.
        """
        if isinstance(habitats, str):
            habitats = torch.full_like(self.habitats, habitat_numbers((habitats,))[0])
        habitats = torch.as_tensor(habitats, device=self.habitats.device).long()
        if habitats.shape != self.habitats.shape:
            raise ValueError(f"habitats must have shape {tuple(self.habitats.shape)}, got {tuple(habitats.shape)}")
        if len(habitats) and not 0 <= int(habitats.min()) <= int(habitats.max()) < len(HABITATS):
            raise ValueError(f"habitats must be 0 to {len(HABITATS) - 1}, numbers of {', '.join(HABITATS)}")
        drawn = render(self.values, self.pose, self.seeds, habitats, self.size, self.knobs["noise"])
        words = truth.sentences(self.values, self.certainty, habitats, self.seeds)
        return dataclasses.replace(self, images=drawn.images, habitats=habitats, descriptions=words)

    def describe_class(self, label: int) -> str:
        """A paragraph about a class, as a field guide has it: the most frequent value of each group."""
        likely = self.class_attributes[label].cpu()
        groups = group_of_attribute()
        values = torch.stack([likely[groups == k].argmax() for k in range(len(GROUPS))])
        return describe_class(self.class_names[label], values)

    def card(self) -> dict[str, object]:
        """What is in the set: counts, knobs as asked, balance, and the tie of habitat and class as it was reached."""
        labels, habitats = self.labels.cpu(), self.habitats.cpu()
        homes = self.home.cpu()[labels]
        usual = species().values[labels] if len(self.class_names) > 1 else None
        found = {
            "world": "birds",
            "images": len(self),
            "size": self.size,
            "knobs": dict(self.knobs),
            "class_counts": _counts(labels, self.class_names),
            "habitat_counts": _counts(habitats, HABITATS),
            "share_at_home": round(float((habitats == homes).float().mean()), 4),
            "share_at_home_if_independent": round(1 / len(self.knobs["habitats"]), 4),
            "attributes": len(ATTRIBUTE_NAMES),
            "share_of_parts_visible": round(float(self.part_points[..., 2].mean()), 4),
            "bird_share_of_image": round(float(self.masks.float().mean()), 4),
        }
        if usual is not None:
            found["share_of_values_unusual"] = round(float((self.values.cpu() != usual).float().mean()), 4)
            found["least_distance"] = dict(zip(("groups", "attributes"), least_distance(), strict=True))
            found["seen_classes"] = int(self.seen.sum())
        return found


def birds(
    count: int,
    *,
    size: int = 48,
    seed: int = 0,
    classes: Sequence[str] | Sequence[int] | None = None,
    split: str | None = None,
    variation: float = 0.08,
    habitats: Sequence[str] = HABITATS,
    correlation: float | None = None,
    hidden: float = 0.15,
    noise: float = 0.015,
    device: torch.device | str = "cpu",
) -> Birds:
    """Render `count` birds; the same arguments give the same pictures on one machine.

    Classes are balanced to within one image. Labels are numbers of all the species, whichever are asked for.

    Parameters
    ----------
    size : side in pixels, at least 24 (48 to 64 look best).
    seed : decides which individuals there are, how they sit and where.
    classes : names or numbers of species; None is all of them.
    split : "seen" or "unseen" keeps the classes of that side of the zero-shot split.
    variation : mean share of attribute groups in which an individual differs from its species, 0 to 0.25.
    habitats : names out of HABITATS.
    correlation : share of each class's images in its home habitat (k-th class, k-th habitat, in turn); the others
        are spread evenly over the other habitats. None: habitats say nothing about the class.
    hidden : share of birds of which something hides a part.
    noise : standard deviation of the Gaussian noise added to every pixel.

    Raises
    ------
    ValueError : naming the argument that is out of range.
    """
    kinds = species()
    chosen = species_numbers(classes, split)
    among = habitat_numbers(habitats)
    check(count, size, variation, correlation, hidden, noise)
    generator = torch.Generator().manual_seed(seed)
    labels = balanced(count, chosen, generator)
    home = torch.full((len(kinds.names),), -1)
    home[chosen] = torch.tensor(among)[torch.arange(len(chosen)) % len(among)]
    places = settle(labels, home, torch.tensor(among), correlation, generator)
    seeds = torch.randint(2**62, (count,), generator=generator)
    slugs = [name.replace(" ", "-") for name in kinds.names]
    knobs = {"seed": seed, "classes": len(chosen), "split": split, "variation": variation}
    knobs |= {"habitats": list(habitats), "correlation": correlation, "hidden": hidden, "noise": noise}
    return _assemble(
        values_of(kinds, labels, seeds, variation),
        seeds,
        places,
        size,
        device,
        labels=labels,
        class_names=kinds.names,
        class_attributes=kinds.frequencies(variation),
        seen=kinds.seen.clone(),
        names=tuple(f"{slugs[label]}/{seed:04d}-{n:05d}" for n, label in enumerate(labels.tolist())),
        home=home,
        knobs=knobs,
    )


def from_attributes(
    choices: dict[str, str],
    count: int = 8,
    *,
    size: int = 48,
    seed: int = 0,
    like: str | None = None,
    habitats: Sequence[str] = HABITATS,
    hidden: float = 0.0,
    noise: float = 0.015,
    device: torch.device | str = "cpu",
) -> Birds:
    """Birds of a reader's own description, `{"has_throat_color": "red", ...}`, as a set with one class.

    Parameters
    ----------
    choices : values of some groups; the others are those of the species `like`, or, where that is None, of a species
        drawn anew for each bird.  The rest as in `birds`.

    Raises
    ------
    ValueError : an unknown group, value, species or habitat, with the ones there are.
    """
    kinds = species()
    chosen = {group: number(group, value) for group, value in choices.items()}
    check(count, size, 0.0, None, hidden, noise)
    among = habitat_numbers(habitats)
    generator = torch.Generator().manual_seed(seed)
    models = species_numbers(None if like is None else (like,), None)
    values = kinds.values[torch.tensor(models)[torch.randint(len(models), (count,), generator=generator)]].clone()
    frequencies = binary(kinds.values[models]).float().mean(0)
    for group, value in chosen.items():
        place = GROUP_NAMES.index(group)
        values[:, place] = value
        inside = group_of_attribute() == place
        frequencies[inside] = torch.eye(int(inside.sum()))[value]
    labels, home = torch.zeros(count, dtype=torch.long), torch.tensor([-1])
    places = settle(labels, home, torch.tensor(among), None, generator)
    knobs = {"seed": seed, "choices": dict(choices), "like": like, "habitats": list(habitats)}
    return _assemble(
        values,
        torch.randint(2**62, (count,), generator=generator),
        places,
        size,
        device,
        labels=labels,
        class_names=(DESCRIBED,),
        class_attributes=frequencies[None],
        seen=torch.tensor([False]),
        names=tuple(f"described-bird/{seed:04d}-{n:05d}" for n in range(count)),
        home=home,
        knobs={**knobs, "hidden": hidden, "noise": noise},
    )


def _assemble(values: Tensor, seeds: Tensor, places: Tensor, size: int, device: torch.device | str, **fields) -> Birds:
    """Pose and render birds of these values, and work out what can be seen of them."""
    knobs = fields["knobs"]
    pose = poses(seeds, column(values, "has_shape"), knobs["hidden"])
    values, seeds, places, pose = (t.to(device) for t in (values, seeds, places, pose))
    drawn = render(values, pose, seeds, places, size, knobs["noise"])
    points, shown = truth.points(drawn, values, pose, size)
    certainty = torch.where(truth.judged(shown)[:, group_of_attribute().to(device)], 4, 1).to(torch.uint8)
    masks = (drawn.parts > 0) & (drawn.parts != COVER)
    return Birds(
        images=drawn.images,
        masks=masks,
        boxes=truth.boxes(masks),
        part_names=PARTS,
        part_points=points,
        part_masks=Loaded(partial(truth.masks_row, drawn.parts), len(values)),
        attribute_names=ATTRIBUTE_NAMES,
        attributes=binary(values),
        certainty=certainty,
        descriptions=truth.sentences(values, certainty, places, seeds),
        habitats=places,
        parts=drawn.parts,
        values=values,
        pose=pose,
        seeds=seeds,
        **{k: v.to(device) if isinstance(v, Tensor) else v for k, v in fields.items()},
    )


def _counts(numbers: Tensor, names: Sequence[str]) -> dict[str, int]:
    many = torch.bincount(numbers, minlength=len(names)).tolist()
    return {name: n for name, n in zip(names, many, strict=True) if n}
