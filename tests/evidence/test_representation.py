"""Probes of frozen features: against scikit-learn, by hand, and on features that hold nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from lessons_lib.evidence.representation import bg_gap, knn_accuracy, linear_probe, segment_features


@pytest.fixture(scope="module")
def blobs():
    generator = torch.Generator().manual_seed(0)
    centres = 1.2 * torch.randn(4, 10, generator=generator)
    labels = torch.arange(400) % 4
    features = centres[labels] + torch.randn(400, 10, generator=generator)
    return features[:200], labels[:200], features[200:], labels[200:]


def test_the_linear_probe_is_logistic_regression(blobs):
    features, labels, test, true = blobs
    probe = linear_probe(features, labels, 4, decay=1e-3)
    given, asked = ((part - features.mean(0)) / features.std(0) for part in (features, test))
    theirs = LogisticRegression(C=1 / (2 * 1e-3 * len(features)), max_iter=1000).fit(given.numpy(), labels.numpy())
    ours = probe(test).softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(asked.numpy()), atol=0.01)
    assert probe.accuracy(test, true) == pytest.approx(theirs.score(asked.numpy(), true.numpy()), abs=0.011)


def test_a_probe_of_noise_stays_at_chance(blobs):
    labels, true = blobs[1], blobs[3]
    noise = torch.randn(400, 10, generator=torch.Generator().manual_seed(1))
    assert linear_probe(noise[:200], labels, 4).accuracy(noise[200:], true) < 0.4


def test_a_constant_feature_does_no_harm(blobs):
    features, labels, test, true = blobs
    wider = [torch.cat([part, torch.ones(len(part), 1)], 1) for part in (features, test)]
    assert linear_probe(wider[0], labels, 4).accuracy(wider[1], true) > 0.8


def test_nearest_neighbours_agree_with_scikit_learn(blobs):
    features, labels, test, true = blobs
    middle = features.mean(0)
    theirs = KNeighborsClassifier(7, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.1))
    theirs.fit((features - middle).numpy(), labels.numpy())
    ours = knn_accuracy(features, labels, test, true, neighbours=7)
    assert ours == pytest.approx(theirs.score((test - middle).numpy(), true.numpy()))


def test_the_gap_is_a_difference():
    assert bg_gap({"mixed_same": 0.8, "mixed_rand": 0.7, "original": 0.9}) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="mixed_rand"):
        bg_gap({"mixed_same": 0.8})


def test_a_linear_head_finds_what_the_positions_hold_and_nothing_in_noise():
    truth = torch.zeros(30, 16, 16, dtype=torch.long)
    for n in range(30):
        truth[n, 4:12, (n % 3) * 4 : (n % 3) * 4 + 8] = 1 + n % 2
    small = torch.nn.functional.one_hot(truth[:, 2::4, 2::4], 3).permute(0, 3, 1, 2).float()
    noise = torch.randn(small.shape, generator=torch.Generator().manual_seed(0))
    good = segment_features(small[:20] + 0.1 * noise[:20], small[20:], truth[:20], truth[20:], 3)
    bad = segment_features(noise[:20], noise[20:], truth[:20], truth[20:], 3)
    assert good > 0.6 > 0.45 > bad


def test_bad_input_is_named(blobs):
    features, labels, test, true = blobs
    for call, message in (
        (lambda: linear_probe(features, labels[:3], 4), "features must"),
        (lambda: linear_probe(features, labels, 3), "labels must"),
        (lambda: linear_probe(features, labels, 4, decay=-1), "decay"),
        (lambda: knn_accuracy(features, labels, test[:, :2], true), "need labels"),
        (lambda: knn_accuracy(features, labels, test, true, neighbours=0), "neighbours"),
        (lambda: segment_features(features, test, labels, true, 3), "need truth"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
