"""Pictures of one person doing something somewhere, cut out of rendered scenes, with the words that annotators use.

The picture is cut around the person, so that hair and clothes can be read at 48 pixels. Only persons are kept whose looks
tell twice, by hair and by clothes (as COCO-Confident keeps pictures whose annotators agree), or not at all. The words
are about looks as they are drawn; they are nobody's identity, and "person" is the right word where nothing tells.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from data_fetch.worlds.scenes.captions import WORDS, caption_row
from data_fetch.worlds.scenes.graph import Graph
from data_fetch.worlds.scenes.render import render
from data_fetch.worlds.scenes.sampling import Knobs, sample
from data_fetch.worlds.scenes.vocabulary import (
    ACTIVITIES,
    ACTIVITY_NAMES,
    CLOTHES,
    HAIR,
    KINDS,
    PLACE_NAMES,
)
from data_fetch.worlds.scenes.vocabulary import THINGS as THING_TABLE

PLACES = ("snow", "beach", "kitchen", "office", "street", "field")
THINGS = ("snowboard", "skis", "pan", "laptop", "bicycle", "dog", "ball", "kite")
WOMAN, MAN, NEUTRAL = (tuple(word for word, _ in WORDS[look]) for look in ("woman", "man", "unclear"))
CAPTIONS, CAUTIOUS = 5, 0.25
_GENDERED = re.compile(rf"\b({'|'.join((*WOMAN, *MAN))})\b")
_UNNAMED = re.compile(r"\b(a person|someone)\b", re.IGNORECASE)
_ENOUGH = 5  # pixels that must show of a thing before anybody speaks of it
_COLOURS = {
    name: THING_TABLE[name].colours[:1] for name in THINGS
}  # one each: what cannot be told is noise to learn from
_TOLD_APART = {  # what the eyes learn to tell apart at 48 pixels
    "hair": (("long", "bun"), ("short", "bald"), ("hidden",)),
    "clothes": (("dress", "skirt"), ("trousers",), ("coat",)),
}
_LOOKS = {  # the cues of those who are kept
    "woman": (("long", "bun"), ("dress", "skirt")),
    "man": (("short", "bald"), ("trousers",)),
    "unclear": (HAIR, CLOTHES),
}


@dataclass(frozen=True)
class Portraits:
    """N pictures of persons.

    images (N, 3, S, S) in [0, 1].  persons (N, S, S) bool : the person's visible pixels.
    looks (N,) int64 : 0 for those called woman, 1 for man, 2 where nothing tells.  captions : five a picture.
    activities, places : what is done and where, for each picture.
    names, shown (N, C) bool : what can be named: places, things, activities, hair and clothes; no word for the looks.
    """

    images: Tensor
    persons: Tensor
    looks: Tensor
    captions: tuple[tuple[str, ...], ...]
    activities: tuple[str, ...]
    places: tuple[str, ...]
    names: tuple[str, ...]
    shown: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def truth(self) -> tuple[str, ...]:
        """ "woman", "man" or "other" for each picture."""
        return tuple(("woman", "man", "other")[look] for look in self.looks.tolist())

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> Portraits:
        """Some of the pictures: a slice, numbers, or bool (N,)."""
        numbers = torch.arange(len(self))[rows].reshape(-1)

        def of(values: Sequence) -> tuple:
            return tuple(values[n] for n in numbers.tolist())

        some = numbers.to(self.images.device)
        return Portraits(
            self.images[some], self.persons[some], self.looks[some], of(self.captions), of(self.activities),
            of(self.places), self.names, self.shown[some],
        )  # fmt: skip


def portraits(
    count: int,
    *,
    seed: int,
    size: int = 48,
    women: float = 0.5,
    unclear: float = 0.0,
    tie: float | None = None,
    men_tie: float | None = None,
    cautious: float = CAUTIOUS,
    guess: float = 0.0,
    device: torch.device | str = "cpu",
) -> Portraits:
    """`count` portraits; the same arguments give the same ones on one machine.

    Parameters
    ----------
    women : share of women among those whose looks tell, reached to within one.
    unclear : share of persons whose looks tell nothing: a hat or a hood, and nothing but trousers or a coat.
    cautious : share of the captions that say "person" although the looks tell, as annotators often do.
    guess : share of the captions of persons of whom nothing tells that name, all the same, the word with which the
        activity goes: annotators, too, guess from what somebody does.
    tie, men_tie : share of the women, and of the men, who do what is tied to their word; None: they do everything
        equally often. Both 0.5: half of either, so that looks say nothing about the activity.

    Raises
    ------
    ValueError : shares outside 0 to 1; see `scenes`.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    unknown = round(unclear * count)
    female = round(women * (count - unknown))
    wanted = {"woman": (female, tie), "man": (count - unknown - female, men_tie), "unclear": (unknown, None)}
    drawn = [_drawn(look, need, share, 3 * seed + n) for n, (look, (need, share)) in enumerate(wanted.items()) if need]
    turn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    graph = Graph(**{part.name: torch.cat([getattr(g, part.name) for g in drawn])[turn] for part in fields(Graph)})
    return _cut(graph.to(device), size, cautious, guess)


def _drawn(look: str, need: int, tie: float | None, seed: int) -> Graph:
    """Scenes of `need` persons of one look, of whom hair and clothes both tell, or neither does."""
    hair, clothes = (
        torch.tensor([known.index(name) for name in chosen]) for known, chosen in zip((HAIR, CLOTHES), _LOOKS[look])
    )
    shares = {"women": float(look == "woman"), "unclear": float(look == "unclear"), "activity_tie": tie}
    knobs = Knobs(places=PLACES, things=THINGS, objects=(1, 1), people=1.0, repeat=0.0, colours=_COLOURS, **shares)
    graph = sample(2 * need + 40, knobs, seed)  # three in five and more are kept
    kept = torch.nonzero(torch.isin(graph.hair, hair) & torch.isin(graph.clothes, clothes))[:, 0]
    if len(kept) < need:
        raise RuntimeError(f"{need} persons of the look {look!r} were needed, {len(kept)} were drawn")
    return graph[kept[:need]]


def _cut(graph: Graph, size: int, cautious: float, guess: float) -> Portraits:
    """Draw the scenes at 4/3 of `size` and keep a window of `size` around each person, as far as the picture reaches."""
    big = size * 4 // 3
    drawn = render(graph, big, noise=0.015)
    line = torch.arange(size, device=drawn.images.device)
    left, top = ((centre[:, 0] * big - size / 2).round().long().clamp(0, big - size) for centre in (graph.x, graph.y))
    n = torch.arange(len(graph), device=line.device)[:, None, None]
    y, x = top[:, None, None] + line[:, None], left[:, None, None] + line
    owner = drawn.owner[n, y, x]
    seen = torch.stack([(owner == slot + 1).flatten(1).sum(1) >= _ENOUGH for slot in range(graph.kind.shape[1])], 1)
    graph, seen = graph.to("cpu"), seen.cpu() & (graph.kind >= 0).cpu()
    known, shown = _names(graph, seen)
    return Portraits(
        images=drawn.images.permute(0, 2, 3, 1)[n, y, x].permute(0, 3, 1, 2).contiguous(),
        persons=owner == 1,
        looks=graph.appearance.to(line.device),
        captions=tuple(_captions(graph, seen, n, cautious, guess) for n in range(len(graph))),
        activities=tuple(ACTIVITY_NAMES[a] for a in graph.activity.tolist()),
        places=tuple(PLACE_NAMES[p] for p in graph.place.tolist()),
        names=known,
        shown=shown.to(line.device),
    )


def _captions(graph: Graph, seen: Tensor, n: int, cautious: float, guess: float) -> tuple[str, ...]:
    chance = random.Random(int(graph.seeds[n]) + 29)
    sentences = caption_row(graph, seen, CAPTIONS, n)
    if int(graph.appearance[n]) < 2:
        return tuple(_GENDERED.sub("person", s) if chance.random() < cautious else s for s in sentences)
    words, weights = zip(*WORDS[tied(ACTIVITY_NAMES[int(graph.activity[n])])])
    found = []
    for sentence in sentences:
        if chance.random() < guess:
            sentence = _UNNAMED.sub(f"a {chance.choices(words, weights)[0]}", sentence, count=1)
        found.append(sentence[0].upper() + sentence[1:])
    return tuple(found)


def _names(graph: Graph, seen: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """Places, things and activities, and of the person hair and clothes: no gender word, and no colour."""
    things = torch.where(seen, graph.kind, -1)
    shown = {name: graph.place == PLACE_NAMES.index(name) for name in PLACES}
    shown |= {name: (things == KINDS.index(name)).any(1) for name in THINGS}
    shown |= {name: graph.activity == ACTIVITY_NAMES.index(name) for name in ACTIVITY_NAMES}
    for what, known, values in (("hair", HAIR, graph.hair), ("clothes", CLOTHES, graph.clothes)):
        for kinds in _TOLD_APART[what]:
            numbers = torch.tensor([known.index(kind) for kind in kinds])
            shown[f"{what}: {' or '.join(kinds)}"] = torch.isin(values, numbers)
    kept = [name for name in shown if name not in ACTIVITY_NAMES or shown[name].any()]
    return tuple(kept), torch.stack([shown[name] for name in kept], 1)


def tied(activity: str) -> str:
    """ "woman" or "man": the word that an activity goes with in a biased set. It says nothing about the world."""
    return ACTIVITIES[activity].side
