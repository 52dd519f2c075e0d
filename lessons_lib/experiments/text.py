"""Lesson 05, text: does Grad-CAM point at the words that carry a review's sentiment?

The reviews are written, so that the words of either side are marked. One network a seed serves all arms but one: a
convolutional network for sentences (Kim, arXiv 1408.5882) with detectors of one, two and three words. What is explained
is the logit of the review's label. With `--data sst2` or `--data imdb` no word is marked, and only deletion is measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.fields import Texts
from data_fetch.readers import read
from data_fetch.words import Vocabulary
from data_fetch.worlds.reviews import reviews
from lessons_lib.evidence import Claim, energy_pointing, pointing_game
from lessons_lib.experiments.runner import Results, device_for, difference, value
from lessons_lib.explain import words
from lessons_lib.models.text import PAD, TextCNN, lengths
from lessons_lib.training import fit

LESSON = "text"
DATA = ("reviews", "sst2", "imdb")
ARMS = {
    "grad_cam_words": "Grad-CAM: every n-gram's value given to each of its n words, summed over kernel sizes",
    "winning_ngrams": "the n-grams that won the max-pooling, by what they add to the score",
    "grad_cam_resized": "Grad-CAM, the n-grams' values resized to the words as pixels are",
    "gradient": "norm of the gradient at each word's vector",
    "gradient_x_input": "gradient times the word's vector",
    "occlusion": "fall of the score when a word becomes unknown",
    "wide_kernels": "Grad-CAM of a second network, with detectors of two, three and four words",
    "random_words": "control: random numbers",
    "random_weights": "control: Grad-CAM of a network that was never trained",
    "other_class": "control: Grad-CAM for the other class",
}
KERNELS = {"usual": (1, 2, 3), "wide": (2, 3, 4)}
SHARES = {"negation": 0.2, "contrast": 0.2, "mixed": 0.05}  # of the reviews; see data_fetch.worlds.reviews
WORD_DROPOUT = 0.1  # share of the words that become unknown in training: the network has met texts with gaps
DELETED = 0.15  # share of a text's words that the deletion test takes out
SIZES = {  # training texts, epochs, filters of each kernel size, test texts, how many of them are explained
    "quick": {"train": 8000, "epochs": 12, "channels": 32, "test": 1500, "explained": 600},
    "full": {"train": 40000, "epochs": 15, "channels": 100, "test": 5000, "explained": 3000},
}
LIMITS = {"sst2": 60, "imdb": 200}  # words of a text, longer ones lose their end


@dataclass
class World:
    """Texts to learn from and texts to explain, as word numbers (N, L), and what is known about the words.

    evidence, opposing : bool (N, L), words of the label's side and of the other one, in the test texts; None where
        nobody marked them.  content : bool (V,), words of the vocabulary that carry sentiment in most of their places
        in the training texts ("boring", "not"; neither "me" nor "of" nor "."); None as above.
    explained : the first so many test texts are explained; accuracy is measured on all.
    """

    seed: int
    profile: str
    data: str
    train: Texts
    test: Texts
    vocabulary: Vocabulary
    tokens: Tensor
    labels: Tensor
    explained: int
    evidence: Tensor | None = None
    opposing: Tensor | None = None
    content: Tensor | None = None
    cache: dict = field(default_factory=dict)


def world(seed: int, profile: str = "quick", data: str = "reviews") -> World:
    """Reviews with marked words, or a real set. No test text stands in the training set."""
    sizes, device = SIZES[profile], device_for(profile)
    if data == "reviews":
        options = {"expressions": "common", **SHARES}
        train = reviews(sizes["train"], seed=3 * seed, **options)
        test = reviews(sizes["test"], seed=3 * seed + 1, **options)
    else:
        train, test = _real(data, profile)
    known = set(train.texts)
    test = test[[n for n, text in enumerate(test.texts) if text not in known]]
    vocabulary = Vocabulary.of(train.words, least=2)
    tokens = vocabulary.encode(test.words, length=LIMITS.get(data))[0].to(device)
    labels = test.labels.to(device)
    made = World(seed, profile, data, train, test, vocabulary, tokens, labels, min(sizes["explained"], len(test)))
    if data == "reviews":
        made.evidence, made.opposing = (_padded(marks, tokens) for marks in (test.evidence, test.opposing))
        made.content = _content(train, vocabulary).to(device)
    return made


def _real(data: str, profile: str) -> tuple[Texts, Texts]:
    """SST-2's phrases and its dev sentences, or IMDB's reviews; the quick profile takes a part of them."""
    quick = profile == "quick"
    if data == "sst2":
        return read("sst2", "train", limit=20000 if quick else None), read("sst2", "val")
    train, test = (
        read("imdb", split, limit=limit if quick else None) for split, limit in (("train", 4000), ("test", 1000))
    )
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))  # the files lie sorted by class
    return train, test[order]


def _padded(marks: tuple[tuple[bool, ...], ...], like: Tensor) -> Tensor:
    """Marks of each word as bool (N, L), False at padding."""
    rows = [list(row) + [False] * (like.shape[1] - len(row)) for row in marks]
    return torch.tensor(rows, dtype=torch.bool, device=like.device)


def _content(train: Texts, vocabulary: Vocabulary) -> Tensor:
    tokens = vocabulary.encode(train.words)[0]
    marked = _padded(train.evidence, tokens) | _padded(train.opposing, tokens)
    times = torch.bincount(tokens[tokens != PAD], minlength=len(vocabulary))
    return 2 * torch.bincount(tokens[marked], minlength=len(vocabulary)) > times


def loss_with_word_dropout(model: TextCNN, batch: dict[str, Tensor], step: int) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy on texts in which a share `WORD_DROPOUT` of the words is unknown; also the batch's accuracy."""
    tokens = batch["tokens"][:, : int(lengths(batch["tokens"]).max())]  # the rest is padding
    draws = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(step)).to(tokens.device)
    logits = model(tokens.masked_fill((draws < WORD_DROPOUT) & (tokens != PAD), words.UNKNOWN))
    accuracy = (logits.detach().argmax(1) == batch["labels"]).float().mean()
    return F.cross_entropy(logits, batch["labels"]), {"accuracy": float(accuracy)}


def train(world: World, arm: str, seed: int, profile: str = "quick") -> TextCNN:
    """The network that the arm explains. It is trained when it is first asked for, then kept in the world's cache."""
    if arm == "random_weights":
        return _network(world, "usual", seed + 7919).eval()  # other weights than those that the training starts from
    kind = "wide" if arm == "wide_kernels" else "usual"
    if kind not in world.cache:
        network = _network(world, kind, seed)
        tokens = world.vocabulary.encode(world.train.words, length=LIMITS.get(world.data))[0]
        columns = {"tokens": tokens, "labels": world.train.labels}
        epochs = SIZES[profile]["epochs"]
        fit(network, columns, epochs=epochs, lr=7e-3, batch_size=128, seed=seed, loss=loss_with_word_dropout)
        world.cache[kind] = network.eval()
    return world.cache[kind]


def _network(world: World, kind: str, seed: int) -> TextCNN:
    channels = SIZES[world.profile]["channels"]
    network = TextCNN(len(world.vocabulary), kernel_sizes=KERNELS[kind], channels=channels, seed=seed)
    return network.to(world.tokens.device)


def scores_of(arm: str, network: TextCNN, tokens: Tensor, targets: Tensor, seed: int) -> Tensor:
    """The arm's score for every word (B, L), zero at padding, for the classes `targets` (B,)."""
    if arm == "random_words":
        drawn = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(seed))
        return drawn.to(tokens.device) * (tokens != PAD)
    if arm in words.METHODS and arm != "grad_cam_words":
        method, options = words.METHODS[arm], {}
    else:
        method, options = words.grad_cam_words, {"align": "resize" if arm == "grad_cam_resized" else "spread"}
    targets = 1 - targets if arm == "other_class" else targets
    parts = zip(tokens.split(200), targets.split(200), strict=True)
    return torch.cat([method(network, part, target, **options) for part, target in parts])


def measure(model: TextCNN, world: World, arm: str) -> dict[str, float]:
    """How well the arm's scores for the label find the marked words, and whether the network needs what they find.

    Only texts that the network classifies right are counted, since it may have no evidence for the label in the
    others; `pointing_all` counts every text. Each network is judged on its own right ones, but the untrained one on
    those, and by the answers, of the trained one.

    pointing : share of reviews whose top word is marked as evidence of the label's side: expression, negator,
        intensifier or hedge. Words that tie share the hit. Chance is what "random_words" gets.
    pointing_content : the same, but a hit must be a content word (see `World`); reviews without one are left out.
    pointing_negation : pointing in reviews with a negator.  evidence_mass : share of the positive scores on evidence.
    opposing_pointing : in reviews with words of both sides, share whose top word is one of the other side.
    both_sides : in those reviews, share in which the scores for the label point at its evidence and those for the
        other class at the words of that class.
    deletion : fall of the label's probability when the top 15 % of the words become unknown.
    """
    judge = train(world, "grad_cam_words", world.seed, world.profile) if arm == "random_weights" else model
    tokens, labels = world.tokens[: world.explained], world.labels[: world.explained]
    right = predict(judge, tokens) == labels
    if not right.any():
        raise RuntimeError(f"seed {world.seed}: the network classifies none of the explained texts right")
    scores = scores_of(arm, model, tokens, labels, world.seed)
    found = {"deletion": _mean(deletion_drop(judge, tokens, scores, labels, seed=world.seed), right)}
    if world.evidence is None:
        return found
    evidence, opposing = world.evidence[: world.explained], world.opposing[: world.explained]
    content = evidence & world.content[tokens]
    both = right & opposing.any(1)
    if not both.any():
        raise RuntimeError(f"seed {world.seed}: no review with words of both sides is classified right")
    turned = scores_of(arm, model, tokens[both], 1 - labels[both], world.seed + 1)
    hits = points_at(scores, evidence, tokens)
    negation = world.test.has_negation[: world.explained].to(right.device)
    return {
        "pointing": _mean(hits, right),
        "pointing_content": _mean(points_at(scores, content, tokens), right & content.any(1)),
        "pointing_negation": _mean(hits, right & negation),
        "pointing_all": float(hits.mean()),
        "evidence_mass": _mean(energy_pointing(scores[:, None], evidence[:, None]), right),
        "opposing_pointing": _mean(points_at(scores, opposing, tokens), both),
        "both_sides": float((hits[both] * points_at(turned, opposing[both], tokens[both])).mean()),
        **found,
    }


def points_at(scores: Tensor, marks: Tensor, tokens: Tensor) -> Tensor:
    """(B,) in [0, 1]: whether the word with the largest score is marked; the share of hits where several tie.

    Padding never counts. A text without a marked word scores 0.
    """
    scores = scores.masked_fill(tokens == PAD, float(scores.min()) - 1)
    any_mark = marks.any(1)
    safe = torch.where(any_mark[:, None], marks, torch.ones_like(marks))  # the pointing game refuses an empty mask
    return pointing_game(scores[:, None], safe[:, None]) * any_mark


def deletion_drop(
    network: TextCNN, tokens: Tensor, scores: Tensor, labels: Tensor, *, share: float = DELETED, seed: int = 0
) -> Tensor:
    """(B,): how far the label's probability falls when the top `share` of a text's words, at least one, is unknown.

    Words of equal score go in a random order, which depends on `seed` and L alone.
    """
    real = tokens != PAD
    mixed = torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(seed)).to(tokens.device)
    order = mixed[scores.masked_fill(~real, -torch.inf)[:, mixed].argsort(dim=1, descending=True, stable=True)]
    count = (share * real.sum(1)).ceil().long()[:, None]
    gone = torch.zeros_like(real).scatter(1, order, torch.arange(tokens.shape[1], device=tokens.device) < count)
    changed = tokens.masked_fill(gone & real, words.UNKNOWN)
    before, after = (_probabilities(network, text).gather(1, labels[:, None])[:, 0] for text in (tokens, changed))
    return before - after


def predict(network: TextCNN, tokens: Tensor) -> Tensor:
    """The predicted class of every text, (N,)."""
    return _probabilities(network, tokens).argmax(1)


def _probabilities(network: TextCNN, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part).softmax(1) for part in tokens.split(200)])


def _mean(values: Tensor, chosen: Tensor) -> float:
    return float(values[chosen].mean())


def extra(world: World, seed: int, profile: str = "quick") -> dict[str, float]:
    """Accuracy on all test texts; for the reviews also on those with a negator and on those with both sides."""
    right = predict(train(world, "grad_cam_words", seed, profile), world.tokens) == world.labels
    found = {"accuracy": float(right.float().mean())}
    if world.opposing is not None:
        right = right.float()
        found["accuracy_negation"] = _mean(right, world.test.has_negation.to(right.device))
        found["accuracy_both_sides"] = _mean(right, world.opposing.any(1))
    return found


def claims(results: Results) -> list[Claim]:
    """What the lesson asserts; for data without marked words only that deletion by Grad-CAM beats chance."""
    found = difference(
        results, "text.deletion",
        "Taking out the words that Grad-CAM ranks first lowers the label's probability more than random words do, by "
        "more than 0.1", "deletion", "grad_cam_words", "random_words", threshold=0.1,
    )  # fmt: skip
    if results.get("data", "reviews") != "reviews":
        return found
    accuracy = results.get("extra", {}).get("accuracy")
    if accuracy:
        text = "The network classifies at least 85 % of new reviews right"
        found.insert(0, Claim.value("text.accuracy", text, accuracy, threshold=0.85))
    cam = "grad_cam_words"
    return [
        *found,
        *value(results, "text.pointing", "Grad-CAM's top word is a marked one in at least 80 % of the reviews",
               "pointing", cam, threshold=0.8),
        *difference(results, "text.pointing_above_gradient", "Grad-CAM's top word is a marked one more often than the "
                    "gradient's", "pointing", cam, "gradient"),
        *difference(results, "text.class_discriminative", "In reviews with both sides Grad-CAM points at the words of "
                    "each class when asked for it, more often than the gradient does by more than 0.3",
                    "both_sides", cam, "gradient", threshold=0.3),
        *difference(results, "text.alignment", "Spreading values over their n-grams points at marked words more often than "
                    "resizing them", "pointing", cam, "grad_cam_resized"),
        *difference(results, "text.resolution", "With a detector of single words more of Grad-CAM's mass lies on marked "
                    "words than with detectors of two to four words alone", "evidence_mass", cam, "wide_kernels"),
        *difference(results, "text.random_weights", "Control: Grad-CAM of an untrained network points at marked words "
                    "less often, by more than 0.3", "pointing", "random_weights", cam, threshold=-0.3, direction="<"),
        *difference(results, "text.other_class", "Control: Grad-CAM for the other class points at that class's words "
                    "more often than Grad-CAM for the label does, by more than 0.3",
                    "opposing_pointing", "other_class", cam, threshold=0.3),
    ]  # fmt: skip
