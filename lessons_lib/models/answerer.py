"""A model that answers questions about pictures, without attention: a convolutional network, an LSTM, one product.

After "deeper LSTM + norm I" (Antol et al., VQA, arXiv 1505.00468), which the Grad-CAM paper explains (arXiv 1610.02391):
the picture's vector is scaled to length 1, picture and question meet in an element-wise product, and a linear layer
scores the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_fetch.words import Vocabulary, split_words
from lessons_lib.models.namer import GRID, Namer


class Answerer(nn.Module):
    """Pictures and questions to scores of answers.

    Parameters
    ----------
    vocabulary : the words of the questions.  answers : the answers, one a score.
    namer : the network that it sees with, already trained; copied, and left as it is.
    hidden : length of the vectors of picture and question.
    blind : a model that looks at no picture: what can be guessed from the question alone. It takes the images all the
        same.
    size, seed : as in `Captioner`.

    Attributes
    ----------
    explain_layer : the last layer with positions, a quarter of the picture's side.
    """

    explain_layer = "namer." + Namer.explain_layer

    def __init__(
        self,
        vocabulary: Vocabulary,
        answers: Sequence[str],
        namer: Namer,
        *,
        hidden: int = 160,
        size: int = 48,
        blind: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(set(answers)) != len(answers) or len(answers) < 2:
            raise ValueError(f"at least two different answers are needed, got {list(answers)[:5]}")
        self.vocabulary, self.answers, self.size = vocabulary, tuple(answers), size
        self.hidden, self.blind = hidden, blind
        self.namer = deepcopy(namer).requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.picture = nn.Linear(len(namer.names) * GRID**2, hidden)
            self.words = nn.Embedding(len(vocabulary), hidden // 2, padding_idx=0)
            self.cell = nn.LSTMCell(hidden // 2, hidden // 2)
            self.question = nn.Linear(hidden // 2, hidden)
            self.dropout = nn.Dropout(0.2)
            self.out = nn.Linear(hidden, len(answers))

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Scores (B, A) of the answers, before the softmax.

        images (B, 3, S, S) in [0, 1]; tokens (B, L) int64, numbers of the vocabulary, filled up with 0 at the end.
        """
        return self.reply(self.look(images), tokens)

    def look(self, images: Tensor) -> Tensor:
        """The picture's vector (B, names * 9), scaled to length sqrt(names * 9). Training never changes it."""
        seen = self.namer.summary(images).flatten(1)
        return F.normalize(seen, dim=1) * seen.shape[1] ** 0.5

    def reply(self, seen: Tensor, tokens: Tensor) -> Tensor:
        """`forward` from the picture's vector on, for a training that looks at each picture once."""
        if tokens.ndim != 2 or len(tokens) != len(seen):
            raise ValueError(f"tokens must be ({len(seen)}, L), one question a picture, got {tuple(tokens.shape)}")
        asked = torch.tanh(self.question(self._read(tokens)))
        if not self.blind:
            asked = asked * torch.tanh(self.picture(seen))
        return self.out(self.dropout(asked))

    def _read(self, tokens: Tensor) -> Tensor:
        """The LSTM's state (B, hidden) after the last word of each question."""
        h = c = self.words.weight.new_zeros(len(tokens), self.cell.hidden_size)
        for word in tokens.unbind(1):
            more = (word != 0)[:, None]
            new_h, new_c = self.cell(self.words(word), (h, c))
            h, c = torch.where(more, new_h, h), torch.where(more, new_c, c)
        return h

    def tokens(self, questions: Sequence[str], *, length: int | None = None) -> Tensor:
        """Questions as numbers (N, L); words that the model does not know become `<unk>`."""
        return self.vocabulary.encode([split_words(question) for question in questions], length=length)[0]

    def unknown(self, question: str) -> tuple[str, ...]:
        """The words of the question that the model has never met."""
        return tuple(word for word in dict.fromkeys(split_words(question)) if word not in self.vocabulary)

    def index(self, answer: str) -> int:
        """The number of an answer.

        Raises
        ------
        ValueError : the model has no such answer.
        """
        if answer not in self.answers:
            raise ValueError(f"there is no answer {answer!r}; the answers are {', '.join(self.answers)}")
        return self.answers.index(answer)

    def asked(self, question: str) -> AskedQuestion:
        """A network of pictures alone that answers this question: images (B, 3, S, S) -> scores (B, A).

        It is a classifier whose classes are the answers: `grad_cam(model.asked(q), images, model.index("red"))`.

        Raises
        ------
        ValueError : a question without words.
        """
        if not split_words(question):
            raise ValueError("the question is empty: write one, such as 'What color is the dog?'")
        return AskedQuestion(self, question)


class AskedQuestion(nn.Module):
    """An answerer asked one question: images (B, 3, S, S) -> scores (B, A). Made by `Answerer.asked`."""

    explain_layer = "answerer." + Answerer.explain_layer

    def __init__(self, answerer: Answerer, question: str) -> None:
        super().__init__()
        self.answerer, self.question = answerer, question
        self.register_buffer("tokens", answerer.tokens([question]).to(answerer.out.weight.device), False)
        self.train(answerer.training)

    def forward(self, images: Tensor) -> Tensor:
        return self.answerer(images, self.tokens.expand(len(images), -1))
