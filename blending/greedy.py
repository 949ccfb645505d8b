"""Greedy selection with replacement (Caruana et al., "Ensemble selection from libraries of models", ICML 2004).

Exact, but lazy: convexity bounds what each candidate could give from one pass over all of them, and only those whose
bound beats the best seen so far are looked at. What makes such a bound loose is the few rows that are hard: they are
always looked at, and only the others are bounded.
"""

from dataclasses import dataclass

import numpy as np

from blending.convex import gram_matrix

HARD = 64  # one row of so many
CHUNK = 16_384  # rows at a time, at most: longer sums in float32 would be rough
GROUP = 65_536  # sums that are looked at together, of as many candidates
AT_ONCE = 524_288  # sums whose logarithms are taken at a time: two megabytes


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
    total = np.zeros(n, dtype=np.float32)  # of the picks
    sums = _log_sums(t, total)
    pick = int(np.argmax(sums))
    order, losses = [pick], [float(-sums[pick] / n)]
    hard = np.sort(np.argpartition(t[pick], n // HARD)[: n // HARD])
    t_hard, easy = t[:, hard], n - len(hard)
    sums_hard = _log_sums(t_hard, total[hard])
    slack = np.zeros(members)  # of each candidate's bound, when it was last looked at
    for k in range(1, steps if members > 1 else 1):
        total += t[pick]
        of_easy = sums[pick] - sums_hard[pick]
        sums_hard = _log_sums(t_hard, total[hard])
        # log(s + t) = log(s) + log(1 + t/s), and the mean of a logarithm is at most that of the mean.
        bounds = sums_hard + of_easy + easy * np.log1p(_ratios(t, total, hard) / easy)
        sums, best = np.full(members, -np.inf), -np.inf
        likely = np.argsort(slack - bounds, kind="stable")
        for group in np.split(likely, range(1, members, max(1, GROUP // n))):  # the likely best alone: it sets the mark
            group = group[bounds[group] >= best]
            if len(group):
                sums[group] = _log_sums(t[group], total)
                slack[group] = bounds[group] - sums[group]
                best = max(best, sums[group].max())
        pick = int(np.argmax(sums))  # the first of equals
        order.append(pick)
        losses.append(float(np.log(k + 1) - sums[pick] / n))
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


def _ratios(t: np.ndarray, total: np.ndarray, but: np.ndarray) -> np.ndarray:
    """sum(t / total, axis=1) over all rows but those."""
    inverse = 1 / total
    inverse[but] = 0
    ratios = np.zeros(len(t))
    for start in range(0, t.shape[1], CHUNK):
        ratios += t[:, start : start + CHUNK] @ inverse[start : start + CHUNK]
    return ratios


def _log_sums(t: np.ndarray, total: np.ndarray) -> np.ndarray:
    """sum(log(t + total), axis=1) of sums of at least 1e-15, by the logarithm of products of sixteen."""
    m, n = t.shape
    sums, size = np.zeros(m), max(1024, AT_ONCE // m // 16 * 16)
    for start in range(0, n, size):
        x = t[:, start : start + size] + total[start : start + size]
        whole = x.shape[1] - x.shape[1] % 16
        product = x[:, :whole].reshape(m, 16, -1)
        product = product[:, :8] * product[:, 8:]  # of two: still within the range of float32
        product = np.multiply.reduce(product, axis=1, dtype=np.float64)
        sums += np.log(product).sum(axis=1) + np.log(x[:, whole:], dtype=np.float64).sum(axis=1)
    return sums
