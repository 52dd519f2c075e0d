"""What may be asked of the birds world: each check names the argument that is out of range."""

from __future__ import annotations

from collections.abc import Sequence

from data_fetch.worlds.birds.species import species
from data_fetch.worlds.birds.vocabulary import HABITATS


def species_numbers(classes: Sequence[str] | Sequence[int] | None, split: str | None) -> list[int]:
    """Numbers of the species that are asked for."""
    kinds = species()
    if split not in (None, "seen", "unseen"):
        raise ValueError(f"split must be 'seen', 'unseen' or None, got {split!r}")
    if isinstance(classes, str):
        raise ValueError(f"classes must be a sequence of names or numbers, got the text {classes!r}")
    chosen = list(range(len(kinds.names))) if classes is None else [_species_number(c) for c in classes]
    if not chosen or len(set(chosen)) != len(chosen):
        raise ValueError(f"classes must be different species, at least one, got {classes}")
    if split is not None:
        chosen = [k for k in chosen if bool(kinds.seen[k]) == (split == "seen")]
        if not chosen:
            raise ValueError(f"none of the classes {classes} is {split}")
    return chosen


def _species_number(which: str | int) -> int:
    names = species().names
    if isinstance(which, str):
        if which not in names:
            raise ValueError(f"there is no species {which!r}; there are {', '.join(names)}")
        return names.index(which)
    if not 0 <= int(which) < len(names):
        raise ValueError(f"numbers of species are 0 to {len(names) - 1}, got {which}")
    return int(which)


def habitat_numbers(names: Sequence[str]) -> list[int]:
    if isinstance(names, str) or not names or len(set(names)) != len(names) or not set(names) <= set(HABITATS):
        raise ValueError(f"habitats must be different names out of {', '.join(HABITATS)}, got {names}")
    return [HABITATS.index(name) for name in names]


def check(count: int, size: int, variation: float, correlation: float | None, hidden: float, noise: float) -> None:
    if count < 1 or size < 24:
        raise ValueError(f"count must be at least 1 and size at least 24, got {count} and {size}")
    if not 0 <= variation <= 0.25:
        raise ValueError(f"variation must be 0 to 0.25, so that a species keeps its looks, got {variation}")
    if correlation is not None and not 0 <= correlation <= 1:
        raise ValueError(f"correlation is a share, 0 to 1, got {correlation}")
    if not 0 <= hidden <= 1 or not 0 <= noise <= 0.3:
        raise ValueError(f"hidden must be 0 to 1 and noise 0 to 0.3, got {hidden} and {noise}")
