"""Predictions as the values of a submission, and back."""

import numpy as np
import pandas as pd

from competition.contest import Contest
from competition.errors import SpecError
from competition.rows.labels import shown
from competition.sparse import Sparse
from competition.submissions.sample import Sample

BLOCK = 256  # rows worked on at a time: copies of 30,000 columns are large


def to_numbers(contest: Contest, sample: Sample, p: np.ndarray | Sparse) -> np.ndarray:
    """Predictions (N, C) as the numbers to submit: (N, K) float64, or (N, 1) where one stands for all classes.

    Distributions that are submitted whole sum to 1 in float64, whatever float32 made of them. Probabilities are cut to
    0…1, which sums and means in float32 may leave by a few units in the last place, and values to the target's range.
    """
    if isinstance(p, Sparse):
        p = p.base[:, None] + p.excess.toarray()
    target, p = contest.spec.target, p.astype(np.float64)
    if contest.spec.submits_yes:
        return np.delete(p, _no(contest), axis=1).sum(axis=1, keepdims=True).clip(0, 1)
    numbers = p[:, sample.classes]
    if is_distribution(contest, sample):
        return numbers / numbers.sum(axis=1, keepdims=True)
    if target.family != "values":
        return numbers.clip(0, 1)
    return numbers if target.range is None else numbers.clip(*target.range)


def from_numbers(contest: Contest, sample: Sample, numbers: np.ndarray) -> np.ndarray:
    """Submitted numbers (N, K) as predictions (N, C) float64; a class that is not submitted has 0."""
    p = np.zeros((len(numbers), len(contest.classes)))
    if contest.spec.submits_yes:
        no = _no(contest)
        p[:, no] = 1 - numbers[:, 0]
        p[:, 1 if no == 0 else 0] = numbers[:, 0]  # who says only "yes" does not say which: one stands for all
    else:
        p[:, sample.classes] = numbers
    return p


def is_distribution(contest: Contest, sample: Sample) -> bool:
    """Whether each row's numbers must sum to 1."""
    return contest.spec.target.family in ("classes", "shares") and len(sample.classes) == len(contest.classes)


def to_names(contest: Contest, p: np.ndarray | Sparse) -> np.ndarray:
    """Predictions (N, C) as the cells of a label, labels or top_k submission, (N,) strings."""
    submission, names = contest.spec.submission, np.array(contest.classes, dtype=object)
    if submission.kind == "label":
        return names[p.argmax(axis=1)]
    if submission.kind == "top_k":
        return np.array([submission.delimiter.join(row) for row in names[top_classes(p, submission.k)]], dtype=object)
    chosen = p >= 0.5
    none = ~chosen.any(axis=1)
    if submission.empty is None:
        chosen[none, p[none].argmax(axis=1)] = True
    parts = np.split(names[np.nonzero(chosen)[1]], np.cumsum(np.count_nonzero(chosen, axis=1))[:-1])
    return np.array(
        [submission.delimiter.join(part) if len(part) else submission.empty for part in parts], dtype=object
    )


def top_classes(p: np.ndarray | Sparse, k: int) -> np.ndarray:
    """The k most probable classes of every row of (N, C), best first; of equal ones the first. (N, k) int64."""
    k = min(k, p.shape[1])
    if isinstance(p, Sparse):
        best = p.top(k)[0]
        for i in np.flatnonzero((best < 0).any(axis=1)):  # the others are equally probable
            row = best[i]
            row[row < 0] = np.setdiff1d(np.arange(p.shape[1]), row)[: np.count_nonzero(row < 0)]
        return best
    best = np.empty((len(p), k), dtype=np.int64)
    for start in range(0, len(p), BLOCK):
        left = p[start : start + BLOCK].copy()
        for place in range(k):  # faster than sorting thousands of classes for the sake of five
            best[start : start + BLOCK, place] = first = left.argmax(axis=1)
            left[np.arange(len(left)), first] = -np.inf
    return best


def split_names(contest: Contest, cells: pd.Series) -> pd.DataFrame:
    """The names in the cells of L lines, one by one: line, place in the cell, name, and class (-1: there is none)."""
    submission, cells = contest.spec.submission, cells.reset_index(drop=True)
    if submission.empty is not None and submission.empty not in contest.classes:
        cells = cells[cells != submission.empty]
    names = cells if submission.kind == "label" else cells.str.split(submission.delimiter, regex=False).explode()
    line = names.index.to_numpy()
    place = np.arange(len(line)) - np.searchsorted(line, line)
    found = pd.Index(contest.classes).get_indexer(names)
    return pd.DataFrame({"line": line, "place": place, "name": names.to_numpy(), "class": found})


def from_names(contest: Contest, cells: pd.Series) -> np.ndarray:
    """Submitted names, known ones, as predictions (N, C) float64: 1 for a class that is named, 0 for the others.

    Of a top_k submission, the earlier a class is named the larger its number: 1, 1/2, 1/3 …
    """
    parts = split_names(contest, cells)
    p = np.zeros((len(cells), len(contest.classes)))
    p[parts["line"], parts["class"]] = 1 / (1 + parts["place"]) if contest.spec.submission.kind == "top_k" else 1
    return p


def _no(contest: Contest) -> int:
    """The class that is not yes: the first of two, or the negative one."""
    negative = contest.spec.target.negative
    if negative is None:
        return 0
    if negative not in contest.classes:
        raise SpecError(f"target.negative: {negative!r} is not one of the classes ({shown(contest.classes)})")
    return contest.classes.index(negative)
