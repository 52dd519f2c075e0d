"""What only the order of the frames tells: pairs of classes look alike as sets of frames, and differ in time."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from data_fetch.worlds.clips import PAIRS, clips

TRAIN, TEST = 260, 240
CHANCE = 3 * (0.25 / TEST) ** 0.5  # three standard errors of an accuracy of one half: 0.097


@lru_cache(maxsize=2)
def _pair(number: int) -> tuple[Tensor, Tensor]:
    """Grey clips (N, 9, 24, 24) of both classes of a pair, and their labels."""
    data = clips(TRAIN + TEST, frames=9, size=24, seed=11 + number, classes=PAIRS[number])
    return data.frames[:].mean(2), data.labels


def _accuracy(planes: Tensor, labels: Tensor) -> float:
    """On held-out clips, of a logistic regression on planes (N, 24, 24), made 8 x 8."""
    x = F.adaptive_avg_pool2d(planes, 8).flatten(1)
    x = ((x - x[:TRAIN].mean(0)) / x[:TRAIN].std()).numpy()
    model = LogisticRegression(max_iter=500).fit(x[:TRAIN], labels[:TRAIN].numpy())
    return model.score(x[TRAIN:], labels[TRAIN:].numpy())


@pytest.mark.parametrize("number", [0, 3, 4, 5])
def test_order_tells_a_pair_apart_and_the_set_of_frames_does_not(number):
    frames, labels = _pair(number)
    assert abs(_accuracy(frames.mean(1), labels) - 0.5) < CHANCE, "the mean of the frames says nothing"
    assert abs(_accuracy(frames.std(1), labels) - 0.5) < CHANCE, "nor does how much each place changes"
    assert abs(_accuracy(frames[:, 4], labels) - 0.5) < CHANCE, "nor does the middle one of an odd number of frames"
    unusual = (frames - frames.mean(1, keepdim=True)).abs()
    assert _accuracy(unusual[:, :4].mean(1) - unusual[:, 5:].mean(1), labels) > 0.85, "before and after says it"
