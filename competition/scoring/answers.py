"""Scores of hard answers: the most probable class of every row, or the labels that are at 0.5 or above."""

from collections.abc import Callable

import numpy as np

from competition.errors import DataError


def hits(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """1.0 for every row whose most probable class (the first, in a tie) is the true one, else 0.0."""
    return (p.argmax(axis=1) == y).astype(np.float64)


def misses(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The opposite of `hits`."""
    return 1 - hits(y, p)


def f1_of_counts(right: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """F1 of classes of which so many rows were rightly predicted, predicted, and true; 0 where there are none."""
    return 2 * right / np.maximum(predicted + true, 1)


# Scores from counts by class, each (..., C): rows rightly predicted as it, rows predicted as it, rows of it. The more
# the better: `error` is negative here.
COUNT_SCORES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": lambda right, _, true: right.sum(axis=-1) / true.sum(axis=-1),
    "error": lambda right, _, true: right.sum(axis=-1) / true.sum(axis=-1) - 1,
    "f1": lambda right, predicted, true: f1_of_counts(right, predicted, true)[..., 1],
    "micro_f1": lambda right, predicted, true: f1_of_counts(
        right.sum(axis=-1), predicted.sum(axis=-1), true.sum(axis=-1)
    ),
    "macro_f1": lambda right, predicted, true: f1_of_counts(right, predicted, true).mean(axis=-1),
}


def count_score(metric: str, y: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """A score of COUNT_SCORES for true and predicted class indices (N,)."""
    right = np.bincount(y[predicted == y], minlength=classes)
    return float(
        COUNT_SCORES[metric](right, np.bincount(predicted, minlength=classes), np.bincount(y, minlength=classes))
    )


def label_count_score(metric: str, y: np.ndarray, chosen: np.ndarray) -> float:
    """A score of COUNT_SCORES for true labels (N, C), zeros and ones, and those that were chosen, (N, C) bool."""
    true = y > 0
    counts = (np.count_nonzero(each, axis=0) for each in (true & chosen, chosen, true))
    return float(COUNT_SCORES[metric](*counts))


def f1(y: np.ndarray, p: np.ndarray) -> float:
    """F1 of the second class, predicted where it is the more probable one; 0 where it is never predicted nor true."""
    return count_score("f1", y, p.argmax(axis=1), p.shape[1])


def macro_f1(y: np.ndarray, p: np.ndarray) -> float:
    """Mean over the classes of the F1 of the most probable class; a class without rows or predictions counts 0."""
    return count_score("macro_f1", y, p.argmax(axis=1), p.shape[1])


def label_macro_f1(y: np.ndarray, p: np.ndarray) -> float:
    """Mean over the classes of the F1 of the labels at 0.5 or above; a class without rows or predictions counts 0."""
    return label_count_score("macro_f1", y, p >= 0.5)


def label_micro_f1(y: np.ndarray, p: np.ndarray) -> float:
    """F1 of all labels of all rows together, chosen at 0.5 or above; 0 where none is chosen and none is true."""
    return label_count_score("micro_f1", y, p >= 0.5)


def quadratic_weighted_kappa(y: np.ndarray, p: np.ndarray) -> float:
    """Agreement of the most probable class with the true one, by squared distance in the order of the classes.

    1 is perfect, 0 is chance. Where all rows and all predictions are of one class, it is 1.
    """
    predicted = p.argmax(axis=1)
    chance = y.var() + predicted.var() + (y.mean() - predicted.mean()) ** 2
    return float(1 - np.mean((y - predicted) ** 2.0) / chance) if chance else 1.0


def probabilistic_f1(y: np.ndarray, p: np.ndarray) -> float:
    """F1 of the second class with probabilities for counts: a row is predicted as it by so much of a row.

    Lachmund, Candel & Hudson, "Extending F1 metric, probabilistic approach" (2020), as Kaggle's pF1. Raises DataError
    where no row is positive.
    """
    positive = y == 1
    if not positive.any():
        raise DataError("probabilistic_f1 is not defined: none of these rows is positive")
    probability = p[:, 1].astype(np.float64)
    return float(2 * probability[positive].sum() / (probability.sum() + np.count_nonzero(positive)))
