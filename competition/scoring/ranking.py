"""Scores of an order: of the rows by one class (areas under ROC curves), or of the classes in one row."""

from collections.abc import Sequence

import numpy as np

from competition.errors import DataError
from competition.sparse import Sparse

NUMBERS = 2**24  # compared at a time


def auc(y: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve of the second class; with more than two classes the mean of one-against-the-rest.

    Raises DataError where a class has no row.
    """
    if len(np.unique(y)) < p.shape[1]:
        raise DataError("auc is not defined: a class does not occur among these rows")
    positives = [1] if p.shape[1] == 2 else range(p.shape[1])
    return float(np.mean([_area(y == c, p[:, c]) for c in positives]))


def one_auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve of positive rows, (N,) bool. Raises DataError where all are alike."""
    _both_occur(positive, "auc")
    return _area(positive, score)


def mean_column_auc(y: np.ndarray, p: np.ndarray, columns: Sequence[int], classes: Sequence[str]) -> float:
    """Mean over `columns` of the area under the ROC curve of one class: a label, or one against the rest.

    y: (N,) class indices or (N, C) labels. Raises DataError naming the class that all rows have, or none.
    """
    areas = []
    for c in columns:
        positive = y == c if y.ndim == 1 else y[:, c] > 0
        _both_occur(positive, "mean_column_auc", f" for the class {classes[c]!r}")
        areas.append(_area(positive, p[:, c]))
    return float(np.mean(areas))


def weighted_auc(positive: np.ndarray, score: np.ndarray, bands: Sequence[tuple[float, float, float]]) -> float:
    """Area under the ROC curve whose parts, by the true positive rate, count differently; 1 is perfect.

    As in ALASKA2, whose grader sums the curve's points within a band; here the curve is cut exactly at its borders.

    Args:
        positive: (N,) bool. score: (N,), larger for rows that are more likely positive.
        bands: least and greatest true positive rate, and the weight of the area between them.

    Raises DataError where all rows are alike.
    """
    from sklearn.metrics import auc as area_below
    from sklearn.metrics import roc_curve

    _both_occur(positive, "weighted_auc")
    false, true, _ = roc_curve(positive, score)
    borders = np.array([border for low, high, _ in bands for border in (low, high)])
    x, height = np.append(false, np.interp(borders, true, false)), np.append(true, borders)
    order = np.lexsort((height, x))
    x, height = x[order], height[order]
    reached = sum(weight * area_below(x, np.clip(height, low, high) - low) for low, high, weight in bands)
    return float(reached / sum(weight * (high - low) for low, high, weight in bands))


def row_precision(y: np.ndarray, p: np.ndarray | Sparse, k: int) -> np.ndarray:
    """Average precision of the k most probable classes of every row: 1 / rank of the true one, 0 if it is not there.

    In a tie the class that comes first is the more probable one. Of `Sparse` predictions only classes that are kept
    are ranked.
    """
    if isinstance(p, Sparse):
        found = p.top(k)[0] == y[:, None]
        return np.where(found.any(axis=1), 1 / (1 + found.argmax(axis=1)), 0.0)
    each = max(1, NUMBERS // p.shape[1])
    ranks = np.concatenate([_ranks(y[i : i + each], p[i : i + each]) for i in range(0, len(y), each)])
    return (ranks <= k) / ranks


def _ranks(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    true = p[np.arange(len(y)), y][:, None]
    earlier = np.arange(p.shape[1]) < y[:, None]
    return 1 + np.count_nonzero((p > true) | (earlier & (p == true)), axis=1)


def _area(positive: np.ndarray, score: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score  # costs a second: only when it is needed

    return roc_auc_score(positive, score)


def _both_occur(positive: np.ndarray, metric: str, where: str = "") -> None:
    if positive.all() or not positive.any():
        raise DataError(f"{metric} is not defined{where}: {'all' if positive.any() else 'none'} of these rows are it")
