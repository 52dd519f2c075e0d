"""A small vision-language transformer that aligns before it fuses, in the manner of ALBEF.

References
----------
Li et al., "Align before Fuse: Vision and Language Representation Learning with Momentum Distillation", arXiv 2107.07651.
Xiao et al., "Early Convolutions Help Transformers See Better", arXiv 2106.14881 (the convolutional stem).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_fetch.words import Vocabulary
from lessons_lib.models.vision_language_parts import Block, FusionBlock, stem

CLS, MASK = "[cls]", "[mask]"  # lower-case, so that a vocabulary that lower-cases its words keeps them
NO_MATCH, MATCH = 0, 1  # the two logits of the matching head


@dataclass(frozen=True)
class Fused:
    """What the model says of R pairs of a picture and a text.

    match (R, 2) : logits of "they do not match" and "they match".
    answers (R, A) : logits of the answers, when the text is a question.
    states (R, L, D) : the fused states of the text's tokens, [CLS] first; `words` turns them into logits.
    """

    match: Tensor
    answers: Tensor
    states: Tensor


class VisionLanguageTransformer(nn.Module):
    """Image encoder, text encoder, and fusion blocks in which every word looks at the image's tokens.

    The image passes a few convolutions, becomes h x w tokens with an image class token in front, and `image_blocks`
    pre-norm blocks. The text passes `text_blocks`. Each fusion block has self-attention over the text, cross-attention
    to the image and a feed-forward layer. Every attention is an explicit softmax, so that
    `lessons_lib.explain.word_maps` finds its probabilities; the cross-attention of fusion block k is the module
    `fusion.k.cross`.

    Parameters
    ----------
    words : size of the vocabulary; number 0 is padding.
    answers : number of answers of the question head.
    size : side of the images in pixels, or (height, width).
    strides : of the stem's convolutions; their product is the side of a patch.
    width, heads, image_blocks, text_blocks, fusion_blocks, longest : the usual; `longest` counts [CLS].
    shared : dimensions of the space in which images and texts are compared before the fusion.
    seed : decides the initial weights; the global random state is left alone.

    Attributes
    ----------
    grid : (h, w) of the image's tokens.  explain_cross : name of the cross-attention that maps are drawn at.

    Raises
    ------
    ValueError : sizes that do not fit each other.
    """

    def __init__(
        self,
        words: int,
        *,
        answers: int = 2,
        size: int | tuple[int, int] = 48,
        strides: Sequence[int] = (2, 3, 1),
        width: int = 64,
        heads: int = 4,
        image_blocks: int = 2,
        text_blocks: int = 2,
        fusion_blocks: int = 3,
        longest: int = 20,
        shared: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        height, width_px = (size, size) if isinstance(size, int) else size
        patch = math.prod(strides)
        if height % patch or width_px % patch:
            raise ValueError(f"images of {height} x {width_px} pixels do not divide into patches of {patch} pixels")
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of the number of heads, {heads}")
        if words < 4 or answers < 1 or min(text_blocks, image_blocks) < 0 or fusion_blocks < 1:
            raise ValueError("at least 4 words, 1 answer and 1 fusion block are needed")
        self.size, self.grid = (height, width_px), (height // patch, width_px // patch)
        self.longest = longest
        self.explain_cross = f"fusion.{max(0, fusion_blocks - 2)}.cross"
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.stem = stem(width, strides)
            self.image_class = nn.Parameter(0.02 * torch.randn(1, 1, width))
            self.image_places = nn.Parameter(0.02 * torch.randn(1, self.grid[0] * self.grid[1], width))
            self.image = nn.ModuleList(Block(width, heads) for _ in range(image_blocks))
            self.image_norm = nn.LayerNorm(width)
            self.embed = nn.Embedding(words, width, padding_idx=0)
            self.text_places = nn.Parameter(0.02 * torch.randn(1, longest, width))
            self.text = nn.ModuleList(Block(width, heads) for _ in range(text_blocks))
            self.text_norm = nn.LayerNorm(width)
            self.fusion = nn.ModuleList(FusionBlock(width, heads) for _ in range(fusion_blocks))
            self.fusion_norm = nn.LayerNorm(width)
            self.image_shared, self.text_shared = nn.Linear(width, shared), nn.Linear(width, shared)
            self.match_head = nn.Linear(width, 2)
            self.word_head = nn.Linear(width, words)
            self.answer_head = nn.Linear(width, answers)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(0.07)))

    @property
    def temperature(self) -> Tensor:
        """The learnable temperature of the contrastive loss, kept within 0.001 and 0.5."""
        return self.log_temperature.exp().clamp(0.001, 0.5)

    def encode_images(self, images: Tensor, patches: Tensor | None = None) -> Tensor:
        """Tokens (B, 1 + h w, D) of images (B, 3, H, W) in [0, 1], the image class token first.

        patches (B, n) int64 : encode only these patches of each image, numbered row by row: (B, 1 + n, D).
        """
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, *self.size):
            raise ValueError(f"images must be (B, 3, {self.size[0]}, {self.size[1]}), got {tuple(images.shape)}")
        seen = self.stem((images - 0.5) / 0.25).flatten(2).transpose(1, 2) + self.image_places
        if patches is not None:
            seen = seen.gather(1, patches[..., None].expand(-1, -1, seen.shape[2]))
        states = torch.cat([self.image_class.expand(len(images), -1, -1), seen], 1)
        for block in self.image:
            states = block(states)
        return self.image_norm(states)

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """States (R, L, D) of texts (R, L) int64 that begin with [CLS] and are filled up with 0."""
        if tokens.ndim != 2 or tokens.dtype != torch.long or not 1 <= tokens.shape[1] <= self.longest:
            raise ValueError(
                f"tokens must be int64 (R, L) with L at most {self.longest}, got {tokens.dtype} {tuple(tokens.shape)}"
            )
        blocked = _blocked(tokens)
        states = self.embed(tokens) + self.text_places[:, : tokens.shape[1]]
        for block in self.text:
            states = block(states, blocked)
        return self.text_norm(states)

    def fuse(self, image_states: Tensor, text_states: Tensor, tokens: Tensor, rows: Tensor | None = None) -> Fused:
        """Texts look at pictures.

        Parameters
        ----------
        image_states (B, 1 + h w, D), text_states (R, L, D), tokens (R, L) : as the encoders gave and took them.
        rows (R,) int64 : the picture that each text looks at; default: text r looks at picture r.
        """
        if rows is None and len(image_states) != len(text_states):
            raise ValueError(
                f"{len(text_states)} texts and {len(image_states)} pictures: say with rows which picture each looks at"
            )
        blocked = _blocked(tokens)
        states = text_states
        for block in self.fusion:
            states = block(states, image_states, blocked, rows)
        states = self.fusion_norm(states)
        return Fused(self.match_head(states[:, 0]), self.answer_head(states[:, 0]), states)

    def forward(self, images: Tensor, tokens: Tensor) -> Fused:
        """`Fused` of images (B, 3, H, W) in [0, 1] with texts (B, L): text r looks at image r."""
        return self.fuse(self.encode_images(images), self.encode_texts(tokens), tokens)

    def words(self, states: Tensor) -> Tensor:
        """Logits (..., words) of the word at each fused state (..., D): the head of masked language modelling."""
        return self.word_head(states)

    def embed_images(self, image_states: Tensor) -> Tensor:
        """Unit vectors (B, shared) of the image class tokens, for the contrastive loss."""
        return F.normalize(self.image_shared(image_states[:, 0]), dim=-1)

    def embed_texts(self, text_states: Tensor) -> Tensor:
        """Unit vectors (R, shared) of the texts' [CLS] tokens, for the contrastive loss."""
        return F.normalize(self.text_shared(text_states[:, 0]), dim=-1)


def vocabulary_of(texts: Iterable[Sequence[str]]) -> Vocabulary:
    """The vocabulary of texts cut into words, with [CLS] and [MASK] as numbers 2 and 3."""
    return Vocabulary.of(texts, special=(CLS, MASK))


def tokenise(vocabulary: Vocabulary, texts: Iterable[Sequence[str]], length: int | None = None) -> Tensor:
    """Numbers (N, L) int64 of texts cut into words: [CLS] in front, 0 behind. Word i of a text is token i + 1.

    Raises
    ------
    ValueError : a vocabulary without [CLS], or a text that is longer than `length` with its [CLS].
    """
    if CLS not in vocabulary:
        raise ValueError("the vocabulary has no [CLS]: make it with vocabulary_of")
    texts = [(CLS, *text) for text in texts]
    longest = max((len(text) for text in texts), default=0)
    if length is not None and longest > length:
        raise ValueError(f"a text has {longest} tokens with its [CLS], more than the length {length}")
    return vocabulary.encode(texts, length=length)[0]


def _blocked(tokens: Tensor) -> Tensor:
    """(R, 1, 1, L) bool: keys that are padding."""
    return (tokens == 0)[:, None, None]
