"""Weights of a soft-vote ensemble, fitted on out-of-fold predictions, and an honest estimate of what they are worth.

The ensemble's probabilities are the weighted mean of its members', with weights on the simplex (none negative, sum 1).
They minimise the log loss, whatever the contest's metric: it is convex in the weights, while accuracy is a step
function that a search overfits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST = 1e-15  # probabilities are clipped here, as Kaggle's graders do


@dataclass(frozen=True)
class Weights:
    """values: (M,) float64 on the simplex. gap: proven upper bound of the log loss above the optimum, in nats."""

    values: np.ndarray
    gap: float


def true_class(members: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Each member's probability of each row's true class, (M, N) float64: all that a blend's log loss depends on."""
    rows = np.arange(len(labels))
    return np.stack([np.clip(p[rows, labels], SMALLEST, 1.0).astype(np.float64) for p in members])


def convex_weights(t: np.ndarray, tolerance: float = 1e-6, steps: int = 50_000) -> Weights:
    """The weights of least log loss, by expectation maximisation for mixture proportions.

    Each step multiplies a weight by the mean of its member's share in the blend. The loss never rises, the weights stay
    on the simplex, and log(max share) bounds the distance to the optimum, because the loss is convex (Lindsay, "The
    geometry of mixture likelihoods", Annals of Statistics 1983).

    Args:
        t: (M, N) probabilities of the true class, positive.
        tolerance: stop when the loss is proven to be this close to the optimum.
        steps: stop anyway after this many; the returned gap tells.
    """
    w = np.full(len(t), 1 / len(t))
    for _ in range(steps):
        share = (t / (w @ t)).mean(axis=1)
        if np.log(share.max()) <= tolerance:
            break
        w = w * share
    w = np.where(w < 1e-4, 0, w)  # a member that weighs less costs inference time and changes nothing
    w /= w.sum()
    share = (t / (w @ t)).mean(axis=1)
    return Weights(w, float(np.log(share.max())))


def blend(members: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the members' probabilities, (N, C) float32, whose rows sum to 1. Weight 0 counts as absent."""
    total = sum(w * p.astype(np.float64) for w, p in zip(weights, members, strict=True) if w > 0)
    return (total / total.sum(axis=1, keepdims=True)).astype(np.float32)


def nested_blend(members: Sequence[np.ndarray], labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Blend every fold with weights fitted on the other folds only: predictions whose score is honest.

    Args:
        members: M arrays (N, C). labels: (N,) class indices. fold: (N,) the fold of each row.

    Returns:
        (N, C) float32.
    """
    nested = np.empty_like(members[0], dtype=np.float32)
    t = true_class(members, labels)
    for k in np.unique(fold):
        held_out = fold == k
        weights = convex_weights(t[:, ~held_out]).values
        nested[held_out] = blend([p[held_out] for p in members], weights)
    return nested
