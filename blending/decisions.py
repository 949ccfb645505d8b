"""From probabilities to classes, where the metric judges classes and the most probable one is not the best answer."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from competition.metrics import COUNT_SCORES, count_score

ROUNDS = 5  # of coordinate ascent; it rests sooner
CUTS = 512  # at most: places tried for each cut
EXPONENTS = np.linspace(0.1, 1, 10)


@dataclass(frozen=True)
class Decision:
    """most_probable: the most probable class. prior, multipliers: that after multiplying with `values` (C,), which were
    one power of the classes' shares, or chosen freely. cut_points: the expected index of the class, cut at `values`
    (C - 1,), ascending."""

    kind: Literal["most_probable", "prior", "multipliers", "cut_points"] = "most_probable"
    values: tuple[float, ...] = ()

    def classes(self, p: np.ndarray) -> np.ndarray:
        """Class indices (N,) of distributions (N, C)."""
        if self.kind == "cut_points":
            return np.searchsorted(self.values, p @ np.arange(p.shape[1]), side="right")
        return (p * self.values if self.values else p).argmax(axis=1)

    def one_hot(self, p: np.ndarray) -> np.ndarray:
        """The same as certain predictions (N, C) float32, for metrics that take probabilities."""
        return np.eye(p.shape[1], dtype=np.float32)[self.classes(p)]


MANY_CLASSES = 20  # above, a multiplier for each is as slow to fit as it is sure to overfit

# For every metric the kinds of decision that may raise it, simplest first.
DECISIONS: dict[str, tuple[str, ...]] = {
    "accuracy": ("prior", "multipliers"),
    "f1": ("multipliers",),
    "macro_f1": ("prior", "multipliers"),
    "quadratic_weighted_kappa": ("cut_points",),
}


def decisions_for(metric: str, classes: int) -> list[str]:
    """The kinds of decision worth trying, simplest first; none for metrics that judge probabilities."""
    return [kind for kind in DECISIONS.get(metric, ()) if kind != "multipliers" or classes <= MANY_CLASSES]


def fit_decision(kind: str, metric: str, y: np.ndarray, p: np.ndarray) -> Decision:
    """The decision of best score on these rows. y: (N,) class indices; p: (N, C)."""
    if kind == "cut_points":
        return Decision("cut_points", _cut_points(y, p))
    if kind == "prior":
        share = np.maximum(np.bincount(y, minlength=p.shape[1]), 1) / len(y)
        candidates = [Decision("prior", tuple(share**-a)) for a in EXPONENTS]
        scores = [count_score(metric, y, c.classes(p), p.shape[1]) for c in candidates]
        best = int(np.argmax(scores))
        plain = count_score(metric, y, p.argmax(axis=1), p.shape[1])
        return candidates[best] if scores[best] > plain else Decision("prior", (1.0,) * p.shape[1])
    return Decision("multipliers", _multipliers(metric, y, p))


def _multipliers(metric: str, y: np.ndarray, p: np.ndarray) -> tuple[float, ...]:
    """Coordinate ascent, exact along each coordinate: a class wins its rows one after the other as it is multiplied."""
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
            predicted = np.bincount(rival, minlength=c) + _running(gained - lost)
            wrong = lost * (rival == truth)[:, None]
            right = wrong.sum(axis=0) + _running(gained * (truth == k)[:, None] - wrong)
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


def _running(changes: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((1, changes.shape[1])), np.cumsum(changes, axis=0)])


def _cut_points(y: np.ndarray, p: np.ndarray) -> tuple[float, ...]:
    """Coordinate ascent on quadratic weighted kappa over cuts midway between neighbouring expectations."""
    expected, c = p @ np.arange(p.shape[1]), p.shape[1]
    distinct = np.unique(expected.astype(np.float64))
    middles = np.concatenate([[-1.0], (distinct[:-1] + distinct[1:]) / 2, [c]])
    cuts = middles[np.unique(np.linspace(0, len(middles) - 1, CUTS).round().astype(int))]
    # Rows of each class below each cut: all confusion matrices are differences of these.
    below = np.stack([np.searchsorted(np.sort(expected[y == k]), cuts) for k in range(c)], axis=1)
    places = np.searchsorted(cuts, np.arange(c - 1) + 0.5).clip(max=len(cuts) - 1)
    best = _kappas(below, places[None])[0]
    for _ in range(ROUNDS):
        before = best
        for k in range(c - 1):
            trials = np.tile(places, (len(cuts), 1))
            trials[:, k] = np.arange(len(cuts))
            trials = trials[(np.diff(trials, axis=1) >= 0).all(axis=1)]
            scores = _kappas(below, trials)
            top = int(np.argmax(scores))
            if scores[top] > best + 1e-12:
                best, places = scores[top], trials[top]
        if best == before:
            break
    return tuple(float(cuts[place]) for place in places)


def _kappas(below: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Quadratic weighted kappas of cuts, places (trials, C - 1) being rows of `below` (cuts, C)."""
    c = below.shape[1]
    total = np.broadcast_to(below[-1], (len(places), 1, c))
    edges = np.concatenate([np.zeros_like(total), below[places], total], axis=1)
    confusion = np.diff(edges, axis=1)  # (trials, predicted, true)
    n, index = below[-1].sum(), np.arange(c)
    square = (index[:, None] - index) ** 2
    chance = confusion.sum(axis=2)[:, :, None] * confusion.sum(axis=1)[:, None, :] / n
    expected = (chance * square).sum(axis=(1, 2))
    return np.where(expected > 0, 1 - (confusion * square).sum(axis=(1, 2)) / np.where(expected > 0, expected, 1), 1.0)
