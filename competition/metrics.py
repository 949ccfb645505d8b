"""The metrics a contest may name, each with the direction in which it improves.

Every metric takes the truth `y` and the predictions `p`, in the shapes that `Target.family` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from competition.errors import DataError

if TYPE_CHECKING:
    from competition.spec import MetricSpec, Target

Score = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Metric:
    """A named score. `function(y, p)` returns a float; `maximize` tells whether larger is better.

    per_row: (y, p) -> (N,) numbers whose mean is the score, where there are such.
    """

    name: str
    maximize: bool
    function: Callable[[np.ndarray, np.ndarray], float]
    per_row: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def __call__(self, y: np.ndarray, p: np.ndarray) -> float:
        """The score of probabilities `p` (N, C) for true classes `y` (N,). Raises DataError when it is not defined."""
        if len(y) == 0:
            raise DataError(f"{self.name} of no rows is not defined")
        return float(self.function(y, p))

    def gain(self, score: float, reference: float) -> float:
        """How much better `score` is than `reference`: positive is better, whatever the direction."""
        return score - reference if self.maximize else reference - score


def hits(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """1.0 for every row whose most probable class (the first, in a tie) is the true one, else 0.0."""
    return (p.argmax(axis=1) == y).astype(np.float64)


def row_log_loss(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """-log p[true class] of every row, in nats; probabilities are clipped at 1e-15, as Kaggle's graders do."""
    return -np.log(np.clip(p[np.arange(len(y)), y].astype(np.float64), 1e-15, 1.0))


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean of `row_log_loss`."""
    return float(row_log_loss(y, p).mean())


def auc(y: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve of the second class; with more than two classes the mean of one-against-the-rest."""
    from sklearn.metrics import roc_auc_score  # costs a second: only when it is needed

    if len(np.unique(y)) < p.shape[1]:
        raise DataError("auc is not defined: a class does not occur among these rows")
    positives = [1] if p.shape[1] == 2 else range(p.shape[1])
    return float(np.mean([roc_auc_score(y == c, p[:, c]) for c in positives]))


def f1_of_counts(right: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """F1 of classes of which so many rows were rightly predicted, predicted, and true; 0 where there are none."""
    return 2 * right / np.maximum(predicted + true, 1)


# Scores from counts by class, each (..., C): rows rightly predicted as it, rows predicted as it, rows of it.
COUNT_SCORES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": lambda right, _, true: right.sum(axis=-1) / true.sum(axis=-1),
    "f1": lambda right, predicted, true: f1_of_counts(right, predicted, true)[..., 1],
    "macro_f1": lambda right, predicted, true: f1_of_counts(right, predicted, true).mean(axis=-1),
}


def count_score(metric: str, y: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """A score of COUNT_SCORES for true and predicted class indices (N,)."""
    right = np.bincount(y[predicted == y], minlength=classes)
    return float(
        COUNT_SCORES[metric](right, np.bincount(predicted, minlength=classes), np.bincount(y, minlength=classes))
    )


def f1(y: np.ndarray, p: np.ndarray) -> float:
    """F1 of the second class, predicted where it is the more probable one; 0 where it is never predicted nor true."""
    return count_score("f1", y, p.argmax(axis=1), p.shape[1])


def macro_f1(y: np.ndarray, p: np.ndarray) -> float:
    """Mean over the classes of the F1 of the most probable class; a class without rows or predictions counts 0."""
    return count_score("macro_f1", y, p.argmax(axis=1), p.shape[1])


def quadratic_weighted_kappa(y: np.ndarray, p: np.ndarray) -> float:
    """Agreement of the most probable class with the true one, by squared distance in the order of the classes.

    1 is perfect, 0 is chance. Where all rows and all predictions are of one class, it is 1.
    """
    predicted = p.argmax(axis=1)
    chance = y.var() + predicted.var() + (y.mean() - predicted.mean()) ** 2
    return float(1 - np.mean((y - predicted) ** 2.0) / chance) if chance else 1.0


@dataclass(frozen=True)
class Definition:
    """What is known of a metric before the contest's classes are.

    families: the kinds of truth (`Target.family`) that it judges. takes, needs: keys of the spec's metric.
    build: makes its function, and its per_row function or None, from the spec's settings, target and classes.
    """

    maximize: bool
    families: frozenset[str]
    build: Callable[[MetricSpec, Target, tuple[str, ...]], tuple[Score, Callable | None]]
    takes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()


def _plain(maximize: bool, function: Score, per_row: Callable | None = None) -> Definition:
    """A metric of one class per row without settings."""
    return Definition(maximize, frozenset({"classes"}), lambda *_: (function, per_row))


METRICS = {
    "accuracy": _plain(True, lambda y, p: hits(y, p).mean(), hits),
    "log_loss": _plain(False, log_loss, row_log_loss),
    "auc": _plain(True, auc),
    "f1": _plain(True, f1),
    "macro_f1": _plain(True, macro_f1),
    "quadratic_weighted_kappa": _plain(True, quadratic_weighted_kappa),
}


def create_metric(settings: MetricSpec, target: Target, classes: tuple[str, ...]) -> Metric:
    """The metric that a spec names, for predictions of these classes. Raises SpecError for a class it does not know."""
    definition = METRICS[settings.name]
    function, per_row = definition.build(settings, target, classes)
    return Metric(settings.name, definition.maximize, function, per_row)
