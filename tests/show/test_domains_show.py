"""Pictures of lesson 10: maps of several arms, features of two domains in a plane."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from data_fetch.worlds.scenes.domains import cluttered
from lessons_lib.evidence.domains import shown_classes
from lessons_lib.models.small import SmallCNN
from lessons_lib.show.domains import feature_map, in_plane, show_arms


@pytest.fixture(scope="module")
def looked():
    data = cluttered(10, size=32, seed=1000)
    networks = {f"arm {n}": SmallCNN(8, width=4, seed=n).eval() for n in range(2)}
    return data, {arm: shown_classes(network, data, "features.relu4") for arm, network in networks.items()}


def test_show_arms_names_the_class_and_scores_each_arm(looked):
    data, found = looked
    row = 4
    figure = show_arms(found, data, row)
    name = data.class_names[int(found["arm 0"].classes[row])]
    assert f"where is the {name}?" in figure.alt and figure.alt.count("IoU") == 2
    assert len(figure.png()) < 200_000


def test_show_arms_refuses(looked):
    data, found = looked
    with pytest.raises(ValueError, match="at least one"):
        show_arms({}, data, 0)
    with pytest.raises(ValueError, match="row must be"):
        show_arms(found, data, 10_000)
    other = dataclasses.replace(found["arm 1"], classes=(found["arm 1"].classes + 1) % 8)
    with pytest.raises(ValueError, match="other pictures"):
        show_arms({"a": found["arm 0"], "b": other}, data, 0)


def two_clouds():
    features = torch.randn(60, 5, generator=torch.Generator().manual_seed(1))
    source = torch.arange(60) < 30
    features[:, 2] += 9 * source
    return features, torch.arange(60) % 3, source


def test_principal_components_find_the_largest_spread():
    features, _, source = two_clouds()
    points = in_plane(features, "pca")
    assert points.shape == (60, 2)
    first = points[:, 0]
    assert abs(first[source.numpy()].mean() - first[~source.numpy()].mean()) == pytest.approx(9, abs=1)


def test_tsne_is_the_same_twice_and_keeps_clouds_apart():
    features, _, source = two_clouds()
    points = in_plane(features, "tsne")
    assert np.array_equal(points, in_plane(features, "tsne"))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (source.numpy()[apart.argmin(1)] == source.numpy()).all()


def test_feature_map_tells_how_mixed_the_domains_are():
    features, classes, source = two_clouds()
    figure = feature_map(
        {"apart": (features, classes, source), "mixed": (features, classes, torch.arange(60) % 2 == 0)},
        ("dog", "car", "boat"),
        method="pca",
    )
    assert "apart: 0%" in figure.alt and "mixed: " in figure.alt and "mixed: 0%" not in figure.alt


def test_refuses():
    with pytest.raises(ValueError, match="pca, tsne"):
        in_plane(torch.rand(20, 3), "umap")
    with pytest.raises(ValueError, match="P >= 10"):
        in_plane(torch.rand(3, 3))
    with pytest.raises(ValueError, match="at least one"):
        feature_map({}, ("dog",))
