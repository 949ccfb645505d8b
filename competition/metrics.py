"""The metrics a contest may name, each with the direction in which it improves.

Every metric takes the true class indices `y` (N,) and the predicted probabilities `p` (N, C), whose rows sum to 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from competition.errors import DataError


@dataclass(frozen=True)
class Metric:
    """A named score. `function(y, p)` returns a float; `maximize` tells whether larger is better."""

    name: str
    maximize: bool
    function: Callable[[np.ndarray, np.ndarray], float]

    def __call__(self, y: np.ndarray, p: np.ndarray) -> float:
        """The score of probabilities `p` (N, C) for true classes `y` (N,). Raises DataError when it is not defined."""
        if len(y) == 0:
            raise DataError(f"{self.name} of no rows is not defined")
        return float(self.function(y, p))

    def gain(self, score: float, reference: float) -> float:
        """How much better `score` is than `reference`: positive is better, whatever the direction."""
        return score - reference if self.maximize else reference - score


def accuracy(y: np.ndarray, p: np.ndarray) -> float:
    """Share of rows whose most probable class (the first, in a tie) is the true one."""
    return float(np.mean(p.argmax(axis=1) == y))


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean of -log p[true class], in nats; probabilities are clipped at 1e-15, as Kaggle's graders do."""
    return float(-np.log(np.clip(p[np.arange(len(y)), y].astype(np.float64), 1e-15, 1.0)).mean())


def auc(y: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve of the second class; with more than two classes the mean of one-against-the-rest."""
    from sklearn.metrics import roc_auc_score  # costs a second: only when it is needed

    if len(np.unique(y)) < p.shape[1]:
        raise DataError("auc is not defined: a class does not occur among these rows")
    positives = [1] if p.shape[1] == 2 else range(p.shape[1])
    return float(np.mean([roc_auc_score(y == c, p[:, c]) for c in positives]))


def macro_f1(y: np.ndarray, p: np.ndarray) -> float:
    """Mean over the classes of the F1 of the most probable class; a class without rows or predictions counts 0."""
    from sklearn.metrics import f1_score

    return float(f1_score(y, p.argmax(axis=1), labels=np.arange(p.shape[1]), average="macro", zero_division=0))


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", True, accuracy),
        Metric("log_loss", False, log_loss),
        Metric("auc", True, auc),
        Metric("macro_f1", True, macro_f1),
    )
}
