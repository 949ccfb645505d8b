"""Where to cut probabilities: labels are those at or above a threshold, one for all classes or one each.

`fill`: a row where no label is, gets its most probable one. Where nothing scores better than 0.5 does, 0.5 it is.
"""

import numpy as np

from blending.multipliers import running
from competition.metrics import COUNT_SCORES, label_count_score

TOP = 2.0  # no probability reaches it: a threshold half way to it gives no labels but by `fill`


def best_cut(p: np.ndarray, true: np.ndarray) -> float:
    """The threshold on `p` (n,) of best F1 against `true` (n,) bool. An infinite `p` is at or above every threshold.

    Of answers that are certain, probabilistic F1 is the F1 as well.
    """
    positives = np.count_nonzero(true)
    if not positives:
        return 0.5
    at_half = _f1(p >= 0.5, true)
    # F1 of k chosen ones is at most 2 * positives / (k + positives): beyond some k, none beats what is reached already.
    reached = max(at_half, _f1(p >= _largest(p, positives), true))
    if reached:
        may_win = p >= _largest(p, int(positives * (2 / reached - 1)) + 1)
        p, true = p[may_win], true[may_win]
    order = np.argsort(-p, kind="stable")
    scores = 2 * np.cumsum(true[order]) / (np.arange(1, len(p) + 1) + positives)
    cut, score = _best_edge(p[order], np.concatenate([[0.0], scores]))
    return cut if score > at_half + 1e-12 else 0.5


def best_threshold(metric: str, y: np.ndarray, p: np.ndarray, fill: bool) -> float:
    """The one threshold for all labels of best micro or macro F1. y: (N, C) zeros and ones; p: (N, C)."""
    if fill:  # then the most probable label of a row is always chosen
        p = p.copy()
        p[np.arange(len(p)), p.argmax(axis=1)] = np.inf
    if metric == "micro_f1":
        return best_cut(p.ravel(), y.ravel() > 0)
    order = np.argsort(-p, axis=0, kind="stable")
    right = np.cumsum(np.take_along_axis(y, order, axis=0) > 0, axis=0)
    chosen = np.arange(1, len(p) + 1)[:, None]
    # Each label that is chosen changes the F1 of its own class.
    steps = np.diff(2 * right / (chosen + np.count_nonzero(y, axis=0)), axis=0, prepend=0.0).ravel()
    p_of_steps = np.take_along_axis(p, order, axis=0).ravel()
    order = np.argsort(-p_of_steps, kind="stable")
    cut, score = _best_edge(p_of_steps[order], np.concatenate([[0.0], np.cumsum(steps[order])]) / p.shape[1])
    return cut if score > label_count_score(metric, y, p >= 0.5) + 1e-12 else 0.5


def best_thresholds(metric: str, y: np.ndarray, p: np.ndarray, fill: bool) -> tuple[float, ...]:
    """Thresholds (C,), one for each label, for micro or macro F1: coordinate ascent, exact along each coordinate.

    Without `fill` it ends at the best there are. Macro F1 is a sum over the classes. And while micro F1, which is
    2 * right / (chosen + true), is F, a change raises it if 2 * (more right) > F * (more chosen): again a sum over the
    classes, which is not positive where none of its terms is.
    """
    t = np.full(p.shape[1], best_threshold(metric, y, p, fill))
    y = y > 0
    true, before, best = np.count_nonzero(y, axis=0), -1.0, label_count_score(metric, y, chosen_labels(p, t, fill))
    while best > before:
        before = best
        for k in range(p.shape[1]):
            own = np.arange(p.shape[1]) == k
            order = np.argsort(-p[:, k], kind="stable")
            never, always = (chosen_labels(p[order], np.where(own, cut, t), fill) for cut in (TOP, 0.0))
            right = _counts(never & y[order], always & y[order])
            cut, score = _best_edge(p[order, k], COUNT_SCORES[metric](right, _counts(never, always), true))
            if score > best + 1e-12:
                best, t[k] = score, cut
    return tuple(t.tolist())


def chosen_labels(p: np.ndarray, thresholds: np.ndarray | float, fill: bool) -> np.ndarray:
    """Labels (N, C) bool of probabilities (N, C); `thresholds`: one, or (C,)."""
    chosen = p >= thresholds
    if fill:
        empty = np.flatnonzero(~chosen.any(axis=1))
        chosen[empty, p[empty].argmax(axis=1)] = True
    return chosen


def _counts(never: np.ndarray, always: np.ndarray) -> np.ndarray:
    """Sums (n + 1, C) over the rows of `never` (n, C) bool, with those of `always` for the first 0, 1, … n."""
    return np.count_nonzero(never, axis=0) + running(always.astype(np.int64) - never)


def _best_edge(p: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """The threshold in the middle of the gap of the best of `scores` (n + 1,), and that score.

    p: (n,) descending; with a threshold below the first j of them the score is scores[j].
    """
    p = np.minimum(p.astype(np.float64), TOP)
    edges = np.concatenate([[TOP], (p[:-1] + p[1:]) / 2, p[-1:]])
    between = np.concatenate([[p[0] < TOP], p[:-1] > p[1:], [True]])
    best = int(np.argmax(np.where(between, scores, -np.inf)))
    return float(edges[best]), float(scores[best])


def _largest(p: np.ndarray, k: int) -> np.floating:
    """The k-th largest of `p`, or the smallest."""
    place = max(len(p) - k, 0)
    return np.partition(p, place)[place]


def _f1(chosen: np.ndarray, true: np.ndarray) -> float:
    return 2 * np.count_nonzero(chosen & true) / (np.count_nonzero(chosen) + np.count_nonzero(true))
