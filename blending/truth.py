"""The truth that members are judged against, for every kind of target."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from competition.sparse import Sparse

Kind = Literal["classes", "labels", "values"]
SMALLEST = 1e-15  # probabilities are clipped here, as Kaggle's graders do


@dataclass(frozen=True)
class Truth:
    """What is known of N rows. `kind` says what `y` holds and what a member predicts:

    classes: y (N,) class indices; predictions (N, C) distributions, an array or `Sparse`; judged by log loss.
    labels:  y (N, K) zeros and ones, any number of them per row; predictions (N, K) probabilities; log loss over all.
    values:  y (N,) or (N, K) numbers; predictions of y's shape; judged by squared error. Shares of classes are such
             numbers too: a mean of distributions is one, and the squared error is least for the true shares.
    """

    kind: Kind
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> "Truth":
        return Truth(self.kind, self.y[rows])

    def reduce(self, p: np.ndarray) -> np.ndarray:
        """All that the loss of a linear blend depends on in a member's predictions, (N, K) float32.

        Of probabilities: those of what came true, K = 1 for classes. Of values: the errors, prediction minus truth.
        """
        if self.kind == "values":
            return (p - self.y).reshape(len(self), -1).astype(np.float32)
        if self.kind == "labels":
            return np.clip(np.where(self.y > 0, p, 1 - p), SMALLEST, 1).astype(np.float32)
        if isinstance(p, Sparse):
            true = p[np.arange(len(self)), self.y]
        else:
            p = np.ascontiguousarray(p, dtype=np.float32)
            true = p.reshape(-1)[self.y + np.arange(0, p.size, p.shape[1])]
        return np.minimum(np.maximum(true, np.float32(SMALLEST)), np.float32(1))[:, None]

    def losses(self, p: np.ndarray) -> np.ndarray:
        """Each row's loss, (N,) float64: its mean is what the weights minimise."""
        return self.reduced_losses(self.reduce(p))

    def reduced_losses(self, t: np.ndarray) -> np.ndarray:
        """The same from what `reduce` returns, of one member or of a linear blend."""
        t = np.asarray(t, dtype=np.float64)
        return ((t**2) if self.kind == "values" else -np.log(t)).mean(axis=1)


def kind_of(family: str) -> Kind:
    """How a target's family (`Target.family`) is judged: shares as values, by their squared error."""
    return "values" if family == "shares" else family


def truth_of(family: str, y: np.ndarray) -> Truth:
    """The truth of a target's family, with labels `y`."""
    return Truth(kind_of(family), y)
