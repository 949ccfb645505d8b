"""From predictions to hard answers, where the metric judges answers and the most probable one is not the best."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from blending.cut_points import best_cut_points
from blending.multipliers import best_multipliers
from blending.thresholds import best_cut, best_threshold, best_thresholds, chosen_labels
from competition.metrics import count_score
from competition.sparse import Sparse, kept

EXPONENTS = np.linspace(0.1, 1, 10)

Kind = Literal["most_probable", "prior", "multipliers", "cut_points", "threshold", "thresholds"]


@dataclass(frozen=True)
class Decision:
    """How predictions (N, C) become answers.

    most_probable: not at all; the metric, or the submission, takes the most probable class, or labels at 0.5.
    Of classes: prior, multipliers: the most probable class after multiplying with `values` (C,), which were one power
    of the classes' shares, or chosen freely. cut_points: the expected index of the class, cut at `values` (C - 1,),
    ascending; with two classes that is the second one's probability.
    Of labels: threshold, thresholds: those at or above `values`, one for all classes (1,), or one each (C,).
    fill: a row where no label is, gets its most probable one.
    """

    kind: Kind = "most_probable"
    values: tuple[float, ...] = ()
    fill: bool = False

    def apply(self, p: np.ndarray | Sparse) -> np.ndarray | Sparse:
        """What is judged and submitted, in the shape of `p` (N, C): zeros and ones, float32; or `p` as it is."""
        if self.kind == "most_probable":
            return p
        if isinstance(p, Sparse):
            return kept(self.classes(p)[:, None], np.ones((len(p), 1)), p.shape[1])
        if self.kind not in ("threshold", "thresholds"):
            return np.eye(p.shape[1], dtype=np.float32)[self.classes(p)]
        return chosen_labels(p, np.asarray(self.values, dtype=np.float64), self.fill).astype(np.float32)

    def classes(self, p: np.ndarray | Sparse) -> np.ndarray:
        """Class indices (N,) of distributions (N, C); not for thresholds."""
        if self.kind == "cut_points":
            return np.searchsorted(self.values, p @ np.arange(p.shape[1]), side="right")
        return (_multiplied(p, np.asarray(self.values)) if self.values else p).argmax(axis=1)


def _multiplied(p: np.ndarray | Sparse, factors: np.ndarray) -> np.ndarray | Sparse:
    """p * factors (C,); of `Sparse`, a row's choice is among the classes that it keeps."""
    if not isinstance(p, Sparse):
        return p * factors
    excess = p.excess
    known = np.repeat(p.base, np.diff(excess.indptr)) + excess.data
    parts = (known * factors[excess.indices], excess.indices, excess.indptr)
    return Sparse(csr_array(parts, shape=p.shape), np.zeros_like(p.base))


MANY_CLASSES = 20  # above, a number for each is as slow to fit as it is sure to overfit
NUMBER_FOR_EACH = ("multipliers", "thresholds", "cut_points")

# For every family and metric the kinds of decision that may raise it, simplest first.
DECISIONS: dict[str, dict[str, tuple[Kind, ...]]] = {
    "classes": {
        "accuracy": ("prior", "multipliers"),
        "error": ("prior", "multipliers"),
        "micro_f1": ("prior", "multipliers"),
        "f1": ("multipliers",),
        "macro_f1": ("prior", "multipliers"),
        "quadratic_weighted_kappa": ("cut_points",),
        "probabilistic_f1": ("cut_points",),
    },
    "labels": {
        "micro_f1": ("threshold", "thresholds"),
        "macro_f1": ("threshold", "thresholds"),
    },
}


def decisions_for(metric: str, family: str, classes: int) -> list[Kind]:
    """The kinds of decision worth trying, simplest first; none for metrics that judge the predictions themselves."""
    kinds = DECISIONS.get(family, {}).get(metric, ())
    return [kind for kind in kinds if kind not in NUMBER_FOR_EACH or classes <= MANY_CLASSES]


def first_decision(family: str, fill: bool) -> Decision:
    """The one that needs no fitting. `fill`: no row of labels may stay empty (the spec's submission.empty is None)."""
    return Decision("threshold", (0.5,), fill=True) if family == "labels" and fill else Decision()


def fit_decision(kind: Kind, metric: str, y: np.ndarray, p: np.ndarray | Sparse, fill: bool = False) -> Decision:
    """The decision of best score on these rows.

    Args:
        y: (N,) class indices; of labels (N, C) zeros and ones. p: (N, C).
        fill: for labels, as in `first_decision`.
    """
    if kind == "threshold":
        return Decision(kind, (best_threshold(metric, y, p, fill),), fill)
    if kind == "thresholds":
        return Decision(kind, best_thresholds(metric, y, p, fill), fill)
    if kind == "cut_points":
        return Decision(kind, best_cut_points(y, p) if metric != "probabilistic_f1" else (best_cut(p[:, 1], y == 1),))
    if kind == "prior":
        return _prior(metric, y, p)
    return Decision(kind, best_multipliers(metric, y, p))


def _prior(metric: str, y: np.ndarray, p: np.ndarray | Sparse) -> Decision:
    share = np.maximum(np.bincount(y, minlength=p.shape[1]), 1) / len(y)
    candidates = [Decision("prior", tuple(share**-a)) for a in EXPONENTS]
    scores = [count_score(metric, y, c.classes(p), p.shape[1]) for c in candidates]
    best = int(np.argmax(scores))
    plain = count_score(metric, y, p.argmax(axis=1), p.shape[1])
    return candidates[best] if scores[best] > plain else Decision("prior", (1.0,) * p.shape[1])
