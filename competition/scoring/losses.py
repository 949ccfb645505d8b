"""Losses of single rows: their mean is the score. Probabilities are clipped at 1e-15, as Kaggle's graders do."""

import numpy as np

SMALLEST = 1e-15


def row_log_loss(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """-log p[true class] of every row, in nats."""
    return -np.log(np.clip(p[np.arange(len(y)), y].astype(np.float64), SMALLEST, 1.0))


def row_label_log_loss(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """-log of what the row's labels (y > 0) and its other classes had as probability, mean over the classes."""
    return _label_log_loss(y, p).mean(axis=1)


def row_weighted_log_loss(y: np.ndarray, p: np.ndarray, absent: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The same as a weighted mean. absent, present: (C,) weights of the classes where they are no label, and a label.

    Weights add up to 1 in every row, so a row with many labels counts no more than one without: RSNA 2022, whose
    winners measured it so (kaggle.com/competitions/rsna-2022-cervical-spine-fracture-detection/discussion/341854).
    """
    weights = np.where(y > 0, present, absent)
    return (_label_log_loss(y, p) * weights).sum(axis=1) / weights.sum(axis=1)


def _label_log_loss(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    p = p.astype(np.float64)
    return -np.log(np.clip(np.where(y > 0, p, 1 - p), SMALLEST, 1.0))


def row_kl(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence of every row's true shares from the predicted ones, in nats."""
    from scipy.special import rel_entr  # y log(y / p), 0 where y is 0

    return rel_entr(y.astype(np.float64), np.clip(p.astype(np.float64), SMALLEST, 1 - SMALLEST)).sum(axis=1)


def row_absolute_error(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Absolute error of every row, mean over its numbers."""
    return np.abs(p.astype(np.float64) - y).mean(axis=1)


def rmse(y: np.ndarray, p: np.ndarray) -> float:
    """Root of the mean squared error of each column of numbers; mean over the columns."""
    return float(np.sqrt(((p.astype(np.float64) - y) ** 2).mean(axis=0)).mean())
