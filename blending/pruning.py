"""Which members an ensemble can do without, and what it would lose."""

import numpy as np

from blending.convex import least_log_loss, least_squares
from blending.truth import Truth

# Mean absolute difference of two members' reduced predictions below which one of them is redundant: a share of the
# better one's mean distance from the truth, and at most so much; of values, in standard deviations of the truth.
DUPLICATE_OF_ERROR, DUPLICATE = 1e-2, 1e-3
ENOUGH = 32_768  # rows that tell which member is needed least


def class_prior_loss(truth: Truth) -> float:
    """The loss of predicting every row alike, with the classes' shares (labels' shares, values' mean)."""
    if truth.kind == "classes":
        share = np.bincount(truth.y) / len(truth)
        return float(-(share[share > 0] * np.log(share[share > 0])).sum())
    mean = truth.y.mean(axis=0)
    if truth.kind == "values":
        return float(((truth.y - mean) ** 2).mean())
    return float(truth.losses(np.broadcast_to(mean, truth.y.shape)).mean())


def useless(reduced: np.ndarray, truth: Truth) -> list[int]:
    """Members no better than the class prior. `reduced`: (M, N, K)."""
    limit = class_prior_loss(truth)
    return [j for j, t in enumerate(reduced) if truth.reduced_losses(t).mean() >= limit]


def duplicates(reduced: np.ndarray, truth: Truth) -> dict[int, int]:
    """Members that say almost the same as a better one, each with that one. `reduced`: (M, N, K)."""
    some = _sample(reduced)
    if truth.kind == "values":
        near = np.full(len(some), DUPLICATE * truth.y.std())
    else:  # a share, because where thousands of labels are rare, all members are close to each other
        near = np.minimum(DUPLICATE, [DUPLICATE_OF_ERROR * (1 - t).mean() for t in some])
    order = np.argsort([truth.reduced_losses(t).mean() for t in reduced], kind="stable")
    kept: list[int] = []
    found = {}
    for j in order:
        twin = next((k for k in kept if np.abs(some[j] - some[k]).mean() < near[k]), None)
        if twin is None:
            kept.append(int(j))
        else:
            found[int(j)] = twin
    return found


def strongest(t: np.ndarray, kind: str, cap: int | None) -> np.ndarray:
    """Indices of the at most `cap` members (None: all) to keep of reduced predictions (M, rows, K)."""
    if cap is None or cap >= len(t):
        return np.arange(len(t))
    return elimination_path(t, kind)[cap][0]


def elimination_path(t: np.ndarray, kind: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """The optimum of ever fewer members: {how many: (their indices, their weights)}, from those that weigh to one.

    Each time the member goes whose absence costs least before the others are weighted anew. Asking for more members
    than weigh anything gives those that do. On a sample of the rows, where there are many.
    """
    t = _sample(t).reshape(len(t), -1)
    fit = least_squares if kind == "values" else least_log_loss
    members = np.arange(len(t))
    w = fit(t).values
    members, w = members[w > 0], w[w > 0]
    path = dict.fromkeys(range(len(members), len(t) + 1), (members, w))
    while len(members) > 1:
        blend = w @ t[members]
        rest = [(blend - w[i] * t[j]) / max(1 - w[i], 1e-9) for i, j in enumerate(members)]
        cost = [np.mean(r**2) if kind == "values" else -np.log(np.maximum(r, 1e-15)).mean() for r in rest]
        members = np.delete(members, int(np.argmin(cost)))
        w = fit(t[members]).values
        path[len(members)] = (members, w)
    return path


def _sample(t: np.ndarray) -> np.ndarray:
    if t.shape[1] <= ENOUGH:
        return t
    return t[:, np.sort(np.random.default_rng(0).choice(t.shape[1], ENOUGH, replace=False))]
