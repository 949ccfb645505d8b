"""One factor for every class: rare classes are worth more to some metrics than their probabilities say."""

import numpy as np

from competition.metrics import COUNT_SCORES, count_score

ROUNDS = 5  # of coordinate ascent; it rests sooner


def best_multipliers(metric: str, y: np.ndarray, p: np.ndarray) -> tuple[float, ...]:
    """Factors (C,) with which the most probable class scores best: coordinate ascent, exact along each coordinate.

    A class wins its rows one after the other as it is multiplied.
    """
    n, c = p.shape
    p = np.clip(p.astype(np.float64), 1e-15, 1)
    m, best = np.ones(c), count_score(metric, y, p.argmax(axis=1), c)
    true = np.bincount(y, minlength=c)
    for _ in range(ROUNDS):
        before = best
        for k in range(c):
            others = p * m
            others[:, k] = 0
            rival = others.argmax(axis=1)
            needed = others[np.arange(n), rival] / p[:, k]  # class k wins the row with a multiplier above this
            order = np.argsort(needed, kind="stable")
            needed, rival, truth = needed[order], rival[order], y[order]
            # Counts after the first 0, 1, … n rows went to class k.
            lost, gained = np.eye(c)[rival], np.zeros((n, c))
            gained[:, k] = 1
            predicted = np.bincount(rival, minlength=c) + running(gained - lost)
            wrong = lost * (rival == truth)[:, None]
            right = wrong.sum(axis=0) + running(gained * (truth == k)[:, None] - wrong)
            scores = COUNT_SCORES[metric](right, predicted, true)
            # Only between two different thresholds, and in the middle of the gap.
            edges = np.concatenate([[needed[0] / 2], np.sqrt(needed[:-1] * needed[1:]), [needed[-1] * 2]])
            scores[1:-1][needed[:-1] == needed[1:]] = -np.inf
            top = int(np.argmax(scores))
            if scores[top] > best + 1e-12:
                best, m[k] = scores[top], edges[top]
        if best == before:
            break
    return tuple(m / np.exp(np.log(m).mean()))


def running(changes: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, … n rows of `changes` (n, C)."""
    return np.concatenate([np.zeros((1, changes.shape[1]), changes.dtype), np.cumsum(changes, axis=0)])
