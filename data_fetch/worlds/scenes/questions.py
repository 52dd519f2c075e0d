"""Questions about rendered scenes: perception or reasoning, with balanced answers or with priors that turn around."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from data_fetch.fields import QA, ROW, Loaded, Questions
from data_fetch.worlds.scenes import asking
from data_fetch.worlds.scenes.asking import Asked, perception
from data_fetch.worlds.scenes.attention import evidence_mask, human_attention
from data_fetch.worlds.scenes.facts import Facts, all_facts
from data_fetch.worlds.scenes.reasoning import RULES, Reasoned, irrelevant, reasoned
from data_fetch.worlds.scenes.world import Scenes

KINDS = tuple(asking.KINDS)
REASONS = tuple(RULES)
PRIORS = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class SceneQuestions(Questions):
    """Questions about rendered scenes, with what decides their answers.

    kinds : for each question one of `KINDS` or, for reasoning, of `REASONS`.
    evidence : the slots of the things that decide the answer; regions : the part of the place that decides, "*" for
    the place as a whole, "" for none.
    prior, strength : what was asked for, see `ask`.
    """

    kinds: tuple[str, ...] = field(metadata=ROW)
    evidence: tuple[tuple[int, ...], ...] = field(metadata=ROW)
    regions: tuple[str, ...] = field(metadata=ROW)
    prior: str | None = None
    strength: float | None = None

    @property
    def evidence_masks(self) -> Loaded:
        """Column (N, S, S) bool: the pixels that decide; none of them where something absent was asked for."""
        world = self.pictures
        load = partial(_evidence_row, world.owner, world.region, self.image_index, self.evidence, self.regions)
        return Loaded(load, len(self))

    def card(self) -> dict[str, object]:
        """Counts by kind, the answers of each, and how often a favoured answer came."""
        by_kind: dict[str, Counter[str]] = defaultdict(Counter)
        for kind, answer in zip(self.kinds, self.answers):
            by_kind[kind][answer] += 1
        return {
            "questions": len(self),
            "pictures": len(self.pictures),
            "answers": len(set(self.answers)),
            "with_attention": int(self.has_attention.sum()),
            "prior": self.prior,
            "strength": self.strength,
            "kinds": {kind: dict(counts.most_common()) for kind, counts in sorted(by_kind.items())},
            "favoured_share": {
                kind: round(sum(n for a, n in counts.items() if favoured(kind, a)) / counts.total(), 4)
                for kind, counts in sorted(by_kind.items())
            },
        }


def favoured(kind: str, answer: str) -> bool:
    """Whether the answer is one that the prior of the training set favours for this kind of question.

    "yes" is; so is about every second of the other answers, by their letters, always the same ones.
    """
    if answer in ("yes", "no"):
        return answer == "yes"
    return sum(map(ord, kind + answer)) % 2 == 0


def ask(
    world: Scenes,
    *,
    per_image: int = 3,
    kinds: Sequence[str] = KINDS,
    prior: str | None = None,
    strength: float = 0.8,
    attention: float = 1.0,
    seed: int = 0,
) -> SceneQuestions:
    """Perception questions about the scenes.

    Parameters
    ----------
    per_image : how many for each picture, on average where a prior is asked for.
    kinds : names out of `KINDS`; every kind is asked about equally often, as far as the pictures allow.
    prior : None: yes and no come equally often. "train": the share `strength` of the questions of each kind has a
        `favoured` answer; "test": only the share 1 - `strength`, so that what a model learned about answers without
        looking is wrong, as in VQA-CP (Agrawal et al., arXiv 1712.00377). A kind all of whose answers are on one side
        is left out.
    attention : share of the questions that have a map of human attention; HINT uses 0.06.

    Raises
    ------
    ValueError : an argument out of range, or pictures that allow no such question.
    """
    _check(kinds, KINDS, "kinds")
    if per_image < 1:
        raise ValueError(f"per_image must be at least 1, got {per_image}")
    if prior is not None and prior not in PRIORS:
        raise ValueError(f"prior must be None, 'train' or 'test', got {prior!r}")
    for name, value in (("strength", strength), ("attention", attention)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is a share, 0 to 1, got {value}")
    known, chance = all_facts(world.graph, world.seen), random.Random(seed)
    pools = [perception(scene, tuple(kinds)) for scene in known]
    if prior is None:
        lead: Counter[str] = Counter()
        chosen = [(n, asked) for n, pool in enumerate(pools) for asked in _some(pool, per_image, chance, lead)]
    else:
        share = strength if prior == "train" else 1 - strength
        chosen = _with_prior(pools, per_image * len(pools), share, chance)
    if not chosen:
        raise ValueError("these pictures allow no question of the kinds asked for")
    return _questions(world, chosen, attention, seed, prior, strength if prior else None)


def reason(
    world: Scenes, *, per_image: int = 2, rules: Sequence[str] = REASONS, attention: float = 1.0, seed: int = 0
) -> SceneQuestions:
    """Reasoning questions with their perception sub-questions and with irrelevant questions.

    Every rule is asked about equally often, as far as the pictures allow, and for each rule "yes" is as often right as
    "no". `per_image` is the average at most.

    Raises
    ------
    ValueError : an unknown rule, a number out of range, or pictures that allow no such question with both answers.
    """
    _check(rules, REASONS, "rules")
    if per_image < 1 or not 0 <= attention <= 1:
        raise ValueError(f"per_image must be at least 1 and attention 0 to 1, got {per_image} and {attention}")
    known, chance = all_facts(world.graph, world.seen), random.Random(seed)
    pools: dict[str, dict[str, list[tuple[int, Reasoned]]]] = {name: {"yes": [], "no": []} for name in rules}
    for n, scene in enumerate(known):
        for one in reasoned(scene):
            if one.asked.kind in pools:
                pools[one.asked.kind][one.asked.answer].append((n, one))
    quotas = _quotas({k: 2 * min(map(len, pool.values())) for k, pool in pools.items()}, per_image * len(known))
    chosen: list[tuple[int, Reasoned]] = []
    for name, pool in pools.items():
        for answers in pool.values():
            chosen += chance.sample(answers, quotas[name] // 2)
    if not chosen:
        raise ValueError(f"these pictures allow none of {', '.join(rules)} with both answers")
    chosen.sort(key=lambda pair: pair[0])
    found = _questions(world, [(n, one.asked) for n, one in chosen], attention, seed, None, None)
    subs = tuple(tuple(sub.qa for sub in one.perception) for _, one in chosen)
    others = tuple(_irrelevant(known[n], one) for n, one in chosen)
    return dataclasses.replace(found, perception=subs, irrelevant=others)


def _irrelevant(scene: Facts, reason: Reasoned) -> tuple[QA, ...]:
    return tuple(other.qa for other in irrelevant(scene, reason))


def _check(names: Sequence[str], known: Sequence[str], what: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"{what} must be names out of {', '.join(known)}; got {', '.join(unknown) or 'none'}")


def _some(pool: list[Asked], count: int, chance: random.Random, lead: Counter[str]) -> list[Asked]:
    """Questions of different kinds where there are enough.

    lead : by how much "yes" leads "no" in each kind so far, changed here. The answer that lags behind is taken where the
    picture allows it, so that in the end both have come equally often.
    """
    kinds: dict[str, list[Asked]] = defaultdict(list)
    for asked in pool:
        kinds[asked.kind].append(asked)
    order, found = chance.sample(list(kinds), len(kinds)), []
    while order and len(found) < count:
        for kind in list(order):
            options = kinds[kind]
            ahead = lead[kind] or chance.choice((-1, 1))
            wanted = "no" if ahead > 0 else "yes"
            asked = chance.choice([a for a in options if a.answer == wanted] or options)
            lead[kind] += (asked.answer == "yes") - (asked.answer == "no")
            options.remove(asked)
            found.append(asked)
            if not options:
                order.remove(kind)
            if len(found) == count:
                break
    return found


def _with_prior(pools: list[list[Asked]], total: int, share: float, chance: random.Random) -> list[tuple[int, Asked]]:
    sides: dict[str, tuple[list, list]] = defaultdict(lambda: ([], []))
    for n, pool in enumerate(pools):
        for asked in pool:
            sides[asked.kind][0 if favoured(asked.kind, asked.answer) else 1].append((n, asked))
    limits = {}
    for kind, (good, bad) in sides.items():
        room = [len(good) / share if share > 0 else float("inf"), len(bad) / (1 - share) if share < 1 else float("inf")]
        limits[kind] = int(min(room)) if good and bad else 0
    chosen = []
    for kind, quota in _quotas(limits, total).items():
        good, bad = sides[kind]
        most = min(round(share * quota), len(good))
        chosen += chance.sample(good, most) + chance.sample(bad, min(quota - most, len(bad)))
    return sorted(chosen, key=lambda pair: pair[0])


def _quotas(limits: dict[str, int], total: int) -> dict[str, int]:
    """An equal part of `total` for each name, none above its limit; what one cannot take goes to the others."""
    quotas, left, open_names = dict.fromkeys(limits, 0), total, [name for name, limit in limits.items() if limit]
    while open_names and left >= len(open_names):
        part = left // len(open_names)
        for name in open_names:
            more = min(part, limits[name] - quotas[name])
            quotas[name] += more
            left -= more
        open_names = [name for name in open_names if quotas[name] < limits[name]]
    return quotas


def _questions(
    world: Scenes, chosen: list[tuple[int, Asked]], share: float, seed: int, prior: str | None, strength: float | None
) -> SceneQuestions:
    index = torch.tensor([n for n, _ in chosen])
    all_asked = [asked for _, asked in chosen]
    count = len(chosen)
    generator = torch.Generator().manual_seed(seed)
    has = torch.zeros(count, dtype=torch.bool)
    has[torch.randperm(count, generator=generator)[: round(share * count)]] = True
    evidence = tuple(asked.slots for asked in all_asked)
    regions = tuple(asked.region for asked in all_asked)
    types = [asking.KINDS.get(asked.kind, ("reasoning", "yes/no")) for asked in all_asked]
    ids = _ids(index.tolist())
    heat = partial(_attention_row, world.owner, world.region, index, evidence, regions, has, tuple(ids))
    return SceneQuestions(
        pictures=world,
        image_index=index,
        questions=tuple(asked.question for asked in all_asked),
        answers=tuple(asked.answer for asked in all_asked),
        votes=tuple((asked.answer,) for asked in all_asked),
        question_types=tuple(kind for kind, _ in types),
        answer_types=tuple(kind for _, kind in types),
        ids=tuple(ids),
        attention=Loaded(heat, count),
        has_attention=has,
        kinds=tuple(asked.kind for asked in all_asked),
        evidence=evidence,
        regions=regions,
        prior=prior,
        strength=strength,
    )


def _ids(index: list[int]) -> list[int]:
    """Numbers as VQA gives them: 1,000 times the picture's number and the question's number there."""
    seen: Counter[int] = Counter()
    ids = []
    for n in index:
        ids.append(1000 * n + seen[n])
        seen[n] += 1
    return ids


def _evidence_row(owner: Tensor, region: Tensor, index: Tensor, slots: tuple, regions: tuple, n: int) -> Tensor:
    picture = int(index[n])
    return evidence_mask(owner[picture], region[picture], slots[n], regions[n])


def _attention_row(
    owner: Tensor, region: Tensor, index: Tensor, slots: tuple, regions: tuple, has: Tensor, ids: tuple, n: int
) -> Tensor:
    if not has[n]:
        return torch.zeros(owner.shape[1:], device=owner.device)
    picture = int(index[n])
    return human_attention(owner[picture], region[picture], slots[n], regions[n], seed=ids[n])
