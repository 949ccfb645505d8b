"""Greedy selection with replacement (Caruana et al., "Ensemble selection from libraries of models", ICML 2004).

Exact, but lazy: convexity bounds what each candidate could give from one pass over all of them, and only those whose
bound beats the best seen so far are looked at. What makes such a bound loose is the few rows that are hard: they are
always looked at, and only the others are bounded.
"""

from dataclasses import dataclass

import numpy as np

from blending.convex import gram_matrix

HARD = 64  # one row of so many
GROUP = 65_536  # numbers that are looked at together, or none of them
ROUNDED_UP = 1 + 1e-5  # a long sum in float32 errs by less
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
    lazy = _Lazy(t, int(np.argmax(sums))) if t.size > GROUP else None
    order: list[int] = []
    losses: list[float] = []
    steps = steps if members > 1 else 1
    for k in range(1, steps + 1):
        pick = int(np.argmax(sums))  # the first of equals
        order.append(pick)
        losses.append(float(np.log(k) - sums[pick] / n))
        total += t[pick]
        if k < steps:
            sums = lazy.log_sums(total, sums[pick]) if lazy else _log_sums(t, total)
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


class _Lazy:
    """Looks only at candidates that can be the best.

    t: (M, N). first: the best member alone; its least probabilities mark the hard rows.
    """

    def __init__(self, t: np.ndarray, first: int) -> None:
        hard = t.shape[1] // HARD
        self.t, self.hard = t, np.sort(np.argpartition(t[first], hard)[:hard])
        self.t_hard, self.easy = t[:, self.hard], t.shape[1] - hard
        self.ratios = np.full(len(t), np.inf)  # sum(t / total) of the easy rows, when each was last computed
        self.slack = np.zeros(len(t))  # of each candidate's bound, when it was last looked at
        self.runner_up = first  # at the last pick: it sets the mark for the next

    def log_sums(self, total: np.ndarray, log_sum: float) -> np.ndarray:
        """(M,): sum(log(t + total), axis=1) of all that can be the greatest, -inf of others. log_sum: that of total."""
        sums, first = np.full(len(self.t), -np.inf), self.runner_up
        sums[first] = best = _log_sums(self.t[first : first + 1], total)[0]
        bounds = self._bounds(total, log_sum, best)
        self.slack[first] = bounds[first] - best
        likely = np.argsort(self.slack - bounds, kind="stable")
        likely = likely[likely != first]
        size = max(1, GROUP // len(total))
        for group in np.split(likely, range(1, len(likely), size)):
            group = group[bounds[group] >= best]
            if len(group):
                sums[group] = _log_sums(self.t[group], total)
                self.slack[group] = bounds[group] - sums[group]
                best = max(best, sums[group].max())
        self.runner_up = int(np.argsort(sums)[-2])
        return sums

    def _bounds(self, total: np.ndarray, log_sum: float, best: float) -> np.ndarray:
        """log(s + t) = log(s) + log(1 + t/s), and the mean of a logarithm is at most that of the mean.

        Loose ones suffice for those that cannot reach `best`.
        """
        log_sum_easy = log_sum - np.log(total[self.hard], dtype=np.float64).sum()
        known = _log_sums(self.t_hard, total[self.hard]) + log_sum_easy
        inverse = 1 / total
        inverse[self.hard] = 0
        if len(total) <= GROUP:
            self.ratios = self.t @ inverse
        else:
            # Reading t is what takes the time. The total only grows: old ratios are bounds too, and show who is behind.
            again = np.flatnonzero(known + self.easy * np.log1p(ROUNDED_UP * self.ratios / self.easy) >= best)
            self.ratios[again] = [self.t[j] @ inverse for j in again]
        return known + self.easy * np.log1p(ROUNDED_UP * self.ratios / self.easy)


def _log_sums(t: np.ndarray, total: np.ndarray) -> np.ndarray:
    """sum(log(t + total), axis=1) of sums of at least 1e-15, by the logarithm of products of sixteen."""
    m, n = t.shape
    sums, columns = np.zeros(m), max(1, min(n, AT_ONCE))
    rows = AT_ONCE // columns
    for start in range(0, n, columns):
        for top in range(0, m, rows):
            x = t[top : top + rows, start : start + columns] + total[start : start + columns]
            whole = x.shape[1] - x.shape[1] % 16
            product = x[:, :whole].reshape(len(x), 16, -1)
            product = product[:, :8] * product[:, 8:]  # of two: still within the range of float32
            product = np.multiply.reduce(product, axis=1, dtype=np.float64)
            sums[top : top + rows] += np.log(product).sum(axis=1) + np.log(x[:, whole:], dtype=np.float64).sum(axis=1)
    return sums
