"""What classifies unseen classes by their attributes without asking for neurons: regression, ESZSL and ALE.

All of them see what NIWT sees: the network's features of the training images, and the attributes of every class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Compatibility:
    """Scores (N, C) = how well the attributes that features stand for fit each class's: (f V) . a with |a| = 1.

    matrix (D, A).  bias, centre (A,) : added to f V; taken off both sides.  cosine : f V is scaled to length 1, too.
    """

    matrix: Tensor
    bias: Tensor
    centre: Tensor
    cosine: bool

    def attributes(self, features: Tensor) -> Tensor:
        """(N, A)."""
        return features @ self.matrix + self.bias

    def scores(self, features: Tensor, described: Tensor) -> Tensor:
        """(N, C) for features (N, D) and class attributes (C, A)."""
        found, known = self.attributes(features) - self.centre, F.normalize(described - self.centre, dim=1)
        return (F.normalize(found, dim=1) if self.cosine else found) @ known.T


def fit_regression(features: Tensor, labels: Tensor, described: Tensor, ridge: float = 100.0) -> Compatibility:
    """Nearest attributes: ridge regression from features (N, D) to the attributes (S, A) of each image's class, then the
    class whose attributes have the largest cosine with the prediction, both less the mean of the seen classes.
    """
    _check(features, labels, described)
    middle, wanted = features.mean(0), described[labels]
    inside, mean = features - middle, wanted.mean(0)
    matrix = torch.linalg.solve(_gram(inside, ridge), inside.T @ (wanted - mean))
    return Compatibility(matrix, mean - middle @ matrix, described.mean(0), True)


def fit_eszsl(
    features: Tensor, labels: Tensor, described: Tensor, gamma: float = 1000.0, ridge: float = 0.3
) -> Compatibility:
    """ESZSL (Romera-Paredes and Torr, ICML 2015): V = (F'F + gamma I)^-1 F'Y A (A'A + ridge I)^-1 in closed form.

    Y (N, S) is 1 for the right class and -1 for the others; each class's attributes are scaled to length 1.
    """
    _check(features, labels, described)
    known = F.normalize(described, dim=1)
    signs = 2 * F.one_hot(labels, len(described)).to(features.dtype) - 1
    left = torch.linalg.solve(_gram(features, gamma), features.T @ signs @ known)
    matrix = torch.linalg.solve(_gram(known, ridge), left.T).T
    return Compatibility(matrix, *_nothing(described), False)


def fit_ale(
    features: Tensor,
    labels: Tensor,
    described: Tensor,
    *,
    epochs: int = 15,
    lr: float = 1e-2,
    batch: int = 64,
    seed: int = 0,
) -> Compatibility:
    """ALE (Akata et al., CVPR 2013): a bilinear score f V a, trained so that the right class ranks first.

    Each wrong class within a margin of 1 adds its violation, weighted by (1 + 1/2 + ... + 1/r) / r for r violations: the
    weighted approximate ranking loss, over all classes at once instead of sampled ones; Adam instead of plain SGD.
    """
    _check(features, labels, described)
    known, scale = F.normalize(described, dim=1), features.std()
    generator = torch.Generator().manual_seed(seed)
    matrix = (0.01 * torch.randn(features.shape[1], described.shape[1], generator=generator)).to(features.device)
    optimiser = torch.optim.Adam([matrix.requires_grad_()], lr=lr)
    for _ in range(epochs):
        for rows in torch.randperm(len(features), generator=generator).to(features.device).split(batch):
            loss = ranking_loss(features[rows] / scale @ matrix @ known.T, labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return Compatibility(matrix.detach() / scale, *_nothing(described), False)


def ranking_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """ALE's loss of scores (N, C): the mean over images of sum_c beta_r / r max(0, 1 + s_c - s_y) over wrong classes c.

    r : how many wrong classes violate the margin; beta_r = 1 + 1/2 + ... + 1/r. The weights are constants to the gradient.
    """
    right = labels[:, None]
    margin = (1 + scores - scores.gather(1, right)).scatter(1, right, 0.0).clamp(min=0)
    violations = (margin > 0).sum(1)
    beta = (1 / torch.arange(1, scores.shape[1] + 1, device=scores.device, dtype=scores.dtype)).cumsum(0)
    weight = beta[(violations - 1).clamp(min=0)] / violations.clamp(min=1)
    return (weight * margin.sum(1)).mean()


def _gram(rows: Tensor, ridge: float) -> Tensor:
    return rows.T @ rows + ridge * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)


def _nothing(described: Tensor) -> tuple[Tensor, Tensor]:
    zeros = torch.zeros(described.shape[1], dtype=described.dtype, device=described.device)
    return zeros, zeros


def _check(features: Tensor, labels: Tensor, described: Tensor) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1] or described.ndim != 2:
        raise ValueError(
            f"features must be (N, D), labels (N,) and described (S, A), got {tuple(features.shape)}, "
            f"{tuple(labels.shape)} and {tuple(described.shape)}"
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < len(described):
        raise ValueError(f"labels must number the {len(described)} described classes, got up to {int(labels.max())}")
