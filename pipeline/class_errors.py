"""Where an ensemble errs, of a target with one class per row."""

from dataclasses import dataclass

import numpy as np

PAIRS = 10  # of classes that are listed
MAPPED = 200  # classes: beyond, a matrix of all pairs shows nothing, and would need gigabytes


@dataclass(frozen=True)
class Pair:
    """Two classes (indices) that are taken for each other: the one's rows predicted as the other, and the reverse."""

    one: int
    other: int
    count: int
    share: float
    back: int
    share_back: float


@dataclass(frozen=True)
class ClassErrors:
    """predicted: (N,) class indices, as decided. wrong: how many of them are. pairs: the most confused ones first.

    confusion: (C, C) rows by true and predicted class; None beyond MAPPED classes.
    """

    predicted: np.ndarray
    wrong: int
    pairs: tuple[Pair, ...]
    confusion: np.ndarray | None


def class_errors(labels: np.ndarray, judged: np.ndarray) -> ClassErrors:
    """Of true classes (N,) and nested predictions as decided, (N, C)."""
    predicted, c = judged.argmax(axis=1), judged.shape[1]
    wrong = int((predicted != labels).sum())
    confusion = None
    if c <= MAPPED:
        confusion = np.bincount(labels * c + predicted, minlength=c * c).reshape(c, c)
    return ClassErrors(predicted, wrong, confused_pairs(labels, predicted), confusion)


def confused_pairs(labels: np.ndarray, predicted: np.ndarray, n: int = PAIRS) -> tuple[Pair, ...]:
    """The `n` pairs of classes with the most mistakes in both directions together; the direction with more first."""
    size = np.bincount(labels, minlength=int(predicted.max()) + 1)
    wrong, c = labels != predicted, len(size)
    # Only pairs that occur: of 30,000 classes there could be a billion.
    codes, counts = np.unique(labels[wrong] * c + predicted[wrong], return_counts=True)
    times = dict(zip(codes.tolist(), counts.tolist(), strict=True))
    both: dict[tuple[int, int], int] = {}
    for code, count in times.items():
        i, j = divmod(code, c)
        key = (min(i, j), max(i, j))
        both[key] = both.get(key, 0) + count
    pairs = []
    for i, j in sorted(both, key=lambda pair: (-both[pair], pair))[:n]:
        there, back = times.get(i * c + j, 0), times.get(j * c + i, 0)
        if back > there:
            i, j, there, back = j, i, back, there
        pairs.append(Pair(i, j, there, there / max(1, size[i]), back, back / max(1, size[j])))
    return tuple(pairs)
