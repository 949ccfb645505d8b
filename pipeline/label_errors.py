"""Where an ensemble errs, of a target with any number of classes per row."""

from dataclasses import dataclass

import numpy as np

LISTED = 40  # classes, the most frequent ones


@dataclass(frozen=True)
class LabelErrors:
    """How well each class is found. Of `listed` (L,), indices of the most frequent classes in their order:

    positives, said: (L,) rows that have the class, and rows of which it was said. auc: (L,), nan where all rows are
    alike. f1, precision, recall: (L,) of what was said; 0 where there is nothing.
    rows, wrong_rows: how many rows there are, and how many with a class too many or too few.
    missed, invented: classes that were not said though they are there, and the reverse, of all rows.
    """

    listed: np.ndarray
    positives: np.ndarray
    said: np.ndarray
    auc: np.ndarray
    f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    rows: int
    wrong_rows: int
    missed: int
    invented: int


def label_errors(labels: np.ndarray, p: np.ndarray, judged: np.ndarray) -> LabelErrors:
    """Of zeros and ones (N, C), nested probabilities (N, C), and what was decided of them (N, C)."""
    from sklearn.metrics import roc_auc_score  # costs a second: only when it is needed

    there, said = labels > 0, judged >= 0.5
    size = there.sum(axis=0)
    listed = np.sort(np.argsort(-size, kind="stable")[:LISTED])
    auc = [
        roc_auc_score(there[:, k], p[:, k]) if 0 < size[k] < len(labels) else np.nan  # not defined
        for k in listed
    ]
    positives, claims = size[listed], said[:, listed].sum(axis=0)
    right = (there[:, listed] & said[:, listed]).sum(axis=0)
    return LabelErrors(
        listed=listed,
        positives=positives,
        said=claims,
        auc=np.array(auc),
        f1=2 * right / np.maximum(1, positives + claims),
        precision=right / np.maximum(1, claims),
        recall=right / np.maximum(1, positives),
        rows=len(labels),
        wrong_rows=int((there != said).any(axis=1).sum()),
        missed=int((there & ~said).sum()),
        invented=int((said & ~there).sum()),
    )
