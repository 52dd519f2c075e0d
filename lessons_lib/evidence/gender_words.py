"""The gender words of a captioner: what it says, where it looked for it, and how good the rest of the caption is."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from data_fetch.worlds.scenes.portraits import MAN, NEUTRAL, WOMAN, Portraits, tied
from lessons_lib.evidence.fairness import Outcomes, gender_of_caption
from lessons_lib.explain import grad_cam
from lessons_lib.models.captioner import Captioner
from lessons_lib.training.language import cut_caption


def said(captioner: Captioner, data: Portraits) -> tuple[list[tuple[str, ...]], list[str]]:
    """The caption of each picture, and whether it says "woman", "man" or "other"."""
    captions = [caption for part in data.images.split(256) for caption in captioner.say(part)]
    return captions, [gender_of_caption(caption, WOMAN, MAN) for caption in captions]


def outcomes(captioner: Captioner, data: Portraits) -> Outcomes:
    """What became of the women and men of a set."""
    return Outcomes.of(said(captioner, data)[1], data.truth)


class GenderWord(nn.Module):
    """A captioner asked about one word of each picture's caption: images (B, 3, S, S) -> its log-probability (B,)."""

    def __init__(self, captioner: Captioner, captions: Sequence[Sequence[str]], places: Sequence[int]) -> None:
        super().__init__()
        device = captioner.out.weight.device
        self.captioner = captioner
        self.tokens = captioner.vocabulary.encode(list(captions))[0].to(device)
        self.rows, self.places = torch.arange(len(places), device=device), torch.as_tensor(places, device=device)
        self.train(captioner.training)

    def forward(self, images: Tensor) -> Tensor:
        scores = self.captioner(images, self.tokens).log_softmax(2)
        return scores[self.rows, self.places, self.tokens[self.rows, self.places]]


def gender_maps(captioner: Captioner, data: Portraits) -> tuple[Tensor, Tensor]:
    """Grad-CAM of the true gender word in each picture's first caption that has one.

    Returns
    -------
    (maps (W, S, S), numbers of their pictures (W,)); pictures without such a caption are left out, as in the paper.
    """
    rows, captions, places = [], [], []
    for row, sentences in enumerate(data.captions):
        for sentence in map(cut_caption, sentences):
            place = next((n for n, word in enumerate(sentence) if word in (*WOMAN, *MAN)), None)
            if place is not None:
                rows.append(row), captions.append(sentence), places.append(place)
                break
    if not rows:
        raise ValueError("no caption of these pictures has a gender word")
    maps = word_maps(captioner, data.images[rows], captions, places)
    return maps, torch.tensor(rows)


def word_maps(captioner: Captioner, images: Tensor, captions: Sequence[Sequence[str]], places: Sequence[int]) -> Tensor:
    """Grad-CAM (B, S, S) of the word at each picture's place in its caption."""
    network = GenderWord(captioner, captions, places)
    return grad_cam(network, images, lambda scores: scores, "captioner." + Captioner.explain_layer, size="images")


def need_pycocoevalcap() -> None:
    """Raise an ImportError that says how to install pycocoevalcap where it is missing; it is not loaded here."""
    if importlib.util.find_spec("pycocoevalcap") is None:
        raise ImportError("the quality of captions needs pycocoevalcap: pip install pycocoevalcap")


def caption_quality(captions: Sequence[Sequence[str]], data: Portraits) -> dict[str, float]:
    """BLEU-4 and CIDEr by pycocoevalcap, on words; every word for a person counts as "person" on both sides.

    So they measure the rest of the caption: whether the gender word is right is measured elsewhere.

    Raises
    ------
    ImportError : pycocoevalcap is missing (says how to install it).
    """
    need_pycocoevalcap()
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider

    truth = {n: [_neutral(cut_caption(s)) for s in sentences] for n, sentences in enumerate(data.captions)}
    found = {n: [_neutral(caption)] for n, caption in enumerate(captions)}
    return {
        "bleu4": float(Bleu(4).compute_score(truth, found, verbose=0)[0][3]),
        "cider": float(Cider().compute_score(truth, found)[0]),
    }


def _neutral(words: Sequence[str]) -> str:
    """The sentence with "a person" for whatever it calls the person."""
    people = {*WOMAN, *MAN, *NEUTRAL}
    text = " ".join("person" if word in people else word for word in words)
    return text if text.startswith("a person") or not text.startswith("person") else "a " + text


def same_activities(captioner: Captioner, data: Portraits) -> dict[str, Outcomes]:
    """Outcomes among those who do what is tied to "woman", and among those who do what is tied to "man".

    Where the bias runs both ways its errors cancel in a total: women called man here, men called woman there. The paper's
    supplement, too, looks at pictures with one object at a time.
    """
    words, found = said(captioner, data)[1], {}
    for kind in ("woman", "man"):
        rows = [n for n, activity in enumerate(data.activities) if tied(activity) == kind and data.truth[n] != "other"]
        found[kind] = Outcomes.of([words[n] for n in rows], [data.truth[n] for n in rows])
    return found
