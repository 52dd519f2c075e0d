"""Answers and captions from region proposals, with attention: small versions of Up-Down.

After Anderson et al., "Bottom-Up and Top-Down Attention for Image Captioning and Visual Question Answering" (arXiv
1707.07998): a detector proposes regions and gives each a feature vector; question or sentence weigh the regions, and
the weighted mean of the features decides. Here the regions are given and `RegionEyes` makes their features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from data_fetch.words import Vocabulary, split_words
from lessons_lib.models.captioner import START
from lessons_lib.models.small import SmallCNN

CROP = 24  # pixels a side of a region as the eyes see it
PLACE = 5  # numbers that say where a region lies: its corners and its area
_REACH = 4.0  # what they are scaled by: from -2 to 2, so that they count beside the other features


class RegionEyes(nn.Module):
    """Crops of regions to features, and to kind, colour and state, which they are learned by.

    kinds, colours, states : numbers of classes.  width : channels of the first convolution; features are 4 width long.
    """

    def __init__(self, kinds: int, colours: int, states: int, *, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.features = SmallCNN(2, width=width, seed=seed).features
            self.heads = nn.ModuleList(nn.Linear(4 * width, count) for count in (kinds, colours, states))

    def forward(self, crops: Tensor) -> list[Tensor]:
        """Logits (B, kinds), (B, colours), (B, states) of crops (B, 3, CROP, CROP) in [0, 1]."""
        seen = self.look(crops)
        return [head(seen) for head in self.heads]

    def look(self, crops: Tensor) -> Tensor:
        """Features (B, 4 width) >= 0."""
        return self.features((crops - 0.5) / 0.25).mean((2, 3))

    @torch.no_grad()
    def regions(self, images: Tensor, boxes: Tensor) -> Tensor:
        """Features (B, R, 4 width + PLACE) of regions (B, R, 4) of images (B, 3, S, S), with where they lie."""
        size = images.shape[-1]
        seen = torch.cat([self.look(crops(part, some)) for part, some in zip(images.split(64), boxes.split(64))])
        corners = boxes / size
        area = (corners[..., 2:] - corners[..., :2]).prod(-1, keepdim=True)
        place = _REACH * (torch.cat([corners, area], -1) - 0.5)
        return torch.cat([seen.view(*boxes.shape[:2], -1), place], -1)


def crops(images: Tensor, boxes: Tensor) -> Tensor:
    """(B * R, 3, CROP, CROP): regions (B, R, 4) in pixels cut out of images (B, 3, S, S) and brought to one size.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    if images.ndim != 4 or boxes.ndim != 3 or boxes.shape[2] != 4 or len(boxes) != len(images):
        raise ValueError(
            f"images must be (B, 3, S, S) and boxes (B, R, 4), got {tuple(images.shape)}, {tuple(boxes.shape)}"
        )
    return roi_align(images, list(boxes.to(images)), CROP, sampling_ratio=2, aligned=True)


class UpDown(nn.Module):
    """Features of regions and a question to scores of answers.

    Parameters
    ----------
    vocabulary : the words of the questions.  answers : the answers, one a score.
    features : D, length of a region's vector.  hidden : length of the vectors of question and picture.
    blind : no region is looked at: what can be guessed from the question alone. Features are taken all the same.
    seed : decides the initial weights; the global random state is left alone.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        answers: Sequence[str],
        features: int,
        *,
        hidden: int = 128,
        blind: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(set(answers)) != len(answers) or len(answers) < 2:
            raise ValueError(f"at least two different answers are needed, got {list(answers)[:5]}")
        self.vocabulary, self.answers, self.blind = vocabulary, tuple(answers), blind
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.words = nn.Embedding(len(vocabulary), hidden // 2, padding_idx=0)
            self.read = nn.GRU(hidden // 2, hidden, batch_first=True)
            self.look = RegionAttention(features, hidden)
            self.question, self.picture = nn.Linear(hidden, hidden), nn.Linear(features, hidden)
            self.out = nn.Sequential(
                nn.Linear(hidden, 2 * hidden), nn.ReLU(), nn.Dropout(0.3), nn.Linear(2 * hidden, len(answers))
            )

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Logits (B, A) of the answers; features (B, R, D), tokens (B, L) int64, filled up with 0 at the end."""
        return self.reply(features, tokens)[0]

    def reply(self, features: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, A) and the attention (B, R), >= 0 and of sum 1, that they were computed with.

        Raises
        ------
        ValueError : shapes that do not fit.
        """
        joint, attention = self.fuse(features, tokens)
        return self.out(joint), attention

    def fuse(self, features: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The fused vector (B, hidden) of picture and question, >= 0, from which `out` makes the logits; the attention (B, R).

        Raises
        ------
        ValueError : shapes that do not fit.
        """
        if features.ndim != 3 or tokens.ndim != 2 or len(features) != len(tokens):
            raise ValueError(
                f"features must be (B, R, D) and tokens (B, L), got {tuple(features.shape)}, {tuple(tokens.shape)}"
            )
        states = self.read(self.words(tokens))[0]
        last = (tokens != 0).sum(1).clamp(min=1) - 1
        asked = states[torch.arange(len(tokens), device=tokens.device), last]
        attention = self.look(features, asked)
        joint = F.relu(self.question(asked))
        if not self.blind:
            joint = joint * F.relu(self.picture((attention[..., None] * features).sum(1)))
        return joint, attention

    def tokens(self, questions: Sequence[str], *, length: int | None = None) -> Tensor:
        """Questions as numbers (N, L); words that the model does not know become `<unk>`."""
        return self.vocabulary.encode([split_words(question) for question in questions], length=length)[0]

    def numbers_of(self, answers: Sequence[str]) -> Tensor:
        """(N,) int64: the numbers of answers, -1 for those that the model does not know."""
        numbers = {answer: n for n, answer in enumerate(self.answers)}
        return torch.tensor([numbers.get(answer, -1) for answer in answers])


class RegionCaptioner(nn.Module):
    """Features of regions to a sentence: a GRU says what comes next, and looks at the regions for each word.

    vocabulary : of `caption_vocabulary`.  features : D.  hidden, seed : as in `UpDown`.
    """

    def __init__(self, vocabulary: Vocabulary, features: int, *, hidden: int = 128, seed: int = 0) -> None:
        super().__init__()
        if START not in vocabulary:
            raise ValueError(f"the vocabulary needs the word {START}: make it with caption_vocabulary")
        self.vocabulary = vocabulary
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.words = nn.Embedding(len(vocabulary), hidden, padding_idx=0)
            self.start = nn.Linear(features, hidden)
            self.say = nn.GRU(hidden, hidden, batch_first=True)
            self.look = RegionAttention(features, hidden)
            self.picture = nn.Linear(features, hidden)
            self.out = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * hidden, len(vocabulary)))

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Logits (B, L, V) of the word at each place, given the regions (B, R, D) and the words before that place.

        tokens (B, L) int64, without START, filled up with 0 at the end.

        Raises
        ------
        ValueError : shapes that do not fit.
        """
        if features.ndim != 3 or tokens.ndim != 2 or len(features) != len(tokens):
            raise ValueError(
                f"features must be (B, R, D) and tokens (B, L), got {tuple(features.shape)}, {tuple(tokens.shape)}"
            )
        first = tokens.new_full((len(tokens), 1), self.vocabulary.numbers[START])
        before = self.words(torch.cat([first, tokens[:, :-1]], 1))
        state = torch.tanh(self.start(features.mean(1)))
        spoken = self.say(before, state[None])[0]  # (B, L, H)
        attention = self.look(features, spoken)  # (B, L, R)
        seen = F.relu(self.picture(attention @ features))
        return self.out(torch.cat([spoken, seen], -1))


class RegionAttention(nn.Module):
    """How much each region counts for a query: softmax over regions of w . (relu(W features) * relu(U query))."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.region, self.query = nn.Linear(features, hidden), nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, features: Tensor, query: Tensor) -> Tensor:
        """(B, R) for features (B, R, D) and queries (B, H); (B, L, R) for L queries a picture, (B, L, H)."""
        keys, asked = F.relu(self.region(features)), F.relu(self.query(query))
        weight = self.score.weight[0]  # the bias is the same for all regions: it cancels
        scores = torch.einsum("brh,b...h->b...r", keys, asked * weight)
        return scores.softmax(-1)
