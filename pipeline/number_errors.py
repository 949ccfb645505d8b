"""Where an ensemble errs, of a target that is numbers, or shares of classes."""

from dataclasses import dataclass

import numpy as np

BINS = 12  # of the predicted numbers, each with as many rows
FEWEST = 20  # rows in a bin
BAND = (0.1, 0.9)  # quantiles of the errors in a bin


@dataclass(frozen=True)
class Bias:
    """Errors (prediction minus truth) by what was predicted, in bins of equal counts.

    predicted, error, low, high: (B,) means of both, and the quantiles BAND of the errors. rows: (B,).
    """

    predicted: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class NumberErrors:
    """How far off the predictions are, of K numbers.

    true, predicted: (N, K). rmse, mae, bias: (K,) the root of the mean squared error, the mean absolute error, and the
    mean error. explained: (K,) the share of the truth's variance that is predicted; nan where all rows are alike.
    """

    true: np.ndarray
    predicted: np.ndarray
    rmse: np.ndarray
    mae: np.ndarray
    bias: np.ndarray
    explained: np.ndarray


def number_errors(labels: np.ndarray, p: np.ndarray) -> NumberErrors:
    """Of true numbers and nested predictions, (N, K) both."""
    off = p.astype(np.float64) - labels
    square, variance = (off**2).mean(axis=0), labels.var(axis=0, dtype=np.float64)
    explained = np.where(variance > 0, 1 - square / np.where(variance > 0, variance, 1), np.nan)
    return NumberErrors(labels, p, np.sqrt(square), np.abs(off).mean(axis=0), off.mean(axis=0), explained)


def bias_by_prediction(true: np.ndarray, predicted: np.ndarray) -> Bias:
    """Both (N,)."""
    bins = max(1, min(BINS, len(true) // FEWEST))
    edges = np.unique(np.quantile(predicted, np.arange(1, bins) / bins))
    member = np.searchsorted(edges, predicted, side="right")  # equal predictions share a bin
    parts = [np.flatnonzero(member == k) for k in np.unique(member)]
    off = predicted.astype(np.float64) - true
    low, high = np.array([np.quantile(off[rows], BAND) for rows in parts]).T
    mean, error = np.array([(predicted[rows].mean(dtype=np.float64), off[rows].mean()) for rows in parts]).T
    return Bias(mean, error, low, high, np.array([len(rows) for rows in parts]))
