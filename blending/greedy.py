"""Greedy selection with replacement (Caruana et al., "Ensemble selection from libraries of models", ICML 2004).

Exact, but lazy: convexity bounds what each candidate could give from one pass over all of them, and only those whose
bound beats the best seen so far are looked at, block by block, until they cannot win any more.
"""

from dataclasses import dataclass

import numpy as np

from blending.convex import CHUNK, gram_matrix

BLOCKS = 64  # at most: a candidate is given up between two of them
GROUP = 8  # candidates looked at together


@dataclass(frozen=True)
class Selection:
    """order: the picks, indices of members. losses: the loss after each pick. values: (M,) the best prefix' weights."""

    order: tuple[int, ...]
    losses: tuple[float, ...]
    values: np.ndarray


def greedy_log_loss(t: np.ndarray, steps: int = 25) -> Selection:
    """Pick the member that lowers mean -log(mean of the picks) most, again and again; ties go to the first.

    Args:
        t: (M, N) float32, the members' probabilities of the truth, above 0.
    """
    members, n = t.shape
    size = max(CHUNK, -(-n // BLOCKS))
    blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    # Sums of logarithms by block, so that a candidate's are replaced one after the other: exact before, bounds behind.
    gains = np.stack([_log_sums(t[:, block]) for block in blocks])
    order = [int(np.argmax(gains.sum(axis=0)))]
    losses = [float(-gains.sum(axis=0).max() / n)]
    total = t[order[0]].copy()
    for k in range(1, steps if members > 1 else 1):
        bounds = np.empty((len(blocks), members))
        for b, block in enumerate(blocks):
            share, width = np.zeros(members), block.stop - block.start
            for start in range(block.start, block.stop, CHUNK):
                rows = slice(start, min(start + CHUNK, block.stop))
                share += t[:, rows] @ (1 / total[rows])
            # log(s + t) = log(s) + log(1 + t/s), and the mean of a logarithm is at most that of the mean.
            bounds[b] = _log_sums(total[None, block])[0] + width * np.log1p(share / width)
        pick, best = _most(t, total, blocks, bounds)
        order.append(pick)
        losses.append(float(np.log(k + 1) - best / n))
        total += t[pick]
    return _best_prefix(order, losses, members)


def greedy_squares(r: np.ndarray, steps: int = 25) -> Selection:
    """The same for mean (mean of the picks)², r (M, N) being errors. Their Gram matrix is all that it needs."""
    gram = gram_matrix(r)
    order: list[int] = []
    losses: list[float] = []
    cross, square = np.zeros(len(r)), 0.0  # of the sum of the picks: with every member, with itself
    for k in range(1, (steps if len(r) > 1 else 1) + 1):
        candidates = square + 2 * cross + np.diag(gram)
        pick = int(np.argmin(candidates))
        order.append(pick)
        losses.append(float(candidates[pick] / k**2))
        square, cross = candidates[pick], cross + gram[pick]
    return _best_prefix(order, losses, len(r))


def _best_prefix(order: list[int], losses: list[float], members: int) -> Selection:
    picks = int(np.argmin(losses)) + 1
    return Selection(tuple(order), tuple(losses), np.bincount(order[:picks], minlength=members) / picks)


def _most(t: np.ndarray, total: np.ndarray, blocks: list[slice], bounds: np.ndarray) -> tuple[int, float]:
    """The member of the largest sum of log(total + t[j]), the first of equals, and that sum."""
    hope = bounds.sum(axis=0)
    order = np.argsort(-hope, kind="stable")
    pick, best = -1, -np.inf
    for group in np.split(order, range(1, len(order), GROUP)):  # the most hopeful alone: it sets the mark
        alive, reached = group, hope[group]
        for b, block in enumerate(blocks):
            able = reached >= best
            alive, reached = alive[able], reached[able]
            if len(alive) == 0:
                break
            reached += _log_sums(t[alive, block] + total[block]) - bounds[b, alive]
        for j, sum_ in zip(alive, reached, strict=True):
            if sum_ > best or (sum_ == best and j < pick):
                pick, best = int(j), float(sum_)
        if hope[group[-1]] < best:
            break
    return pick, best


def _log_sums(x: np.ndarray) -> np.ndarray:
    """sum(log(x), axis=1) of (M, N) positive numbers of at least 1e-15, by the logarithm of products of sixteen."""
    m, n = x.shape
    whole = n - n % 16
    product = x[:, :whole].reshape(m, 16, -1)
    product = product[:, :8] * product[:, 8:]  # of two: still within the range of float32
    product = np.multiply.reduce(product, axis=1, dtype=np.float64)
    return np.log(product).sum(axis=1) + np.log(x[:, whole:], dtype=np.float64).sum(axis=1)
