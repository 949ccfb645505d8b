"""The labels of a table's rows, in a few lines."""

import numpy as np

from competition.contest import Contest
from competition.rows.tables import Rows

SHOWN = 20  # classes that are all listed; of more, the most and the least frequent ones
QUANTILES = (0, 0.25, 0.5, 0.75, 1)


def describe_labels(contest: Contest, rows: Rows) -> list[str]:
    """Lines on the labels: rows per class, or the spread of the numbers; and on the groups."""
    target, labels = contest.spec.target, rows.labels
    if target.family == "classes":
        counts = np.bincount(labels, minlength=len(contest.classes))
        lines = _counts(contest, counts)
    elif target.family == "labels":
        counts, of_row = labels.sum(axis=0, dtype=np.int64), labels.sum(axis=1)
        lines = _counts(contest, counts)
        lines.append(f"labels    {of_row.mean():.2f} per row; {int((of_row == 0).sum()):,} rows have none")
    else:
        word = "share" if target.family == "shares" else "value"
        lines = [
            f"{word:<10}{name}: " + ", ".join(f"{value:g}" for value in np.quantile(labels[:, c], QUANTILES))
            for c, name in enumerate(contest.classes[:SHOWN])
        ]
        lines.append("          (least, lower quarter, median, upper quarter, greatest)")
    if rows.groups is not None:
        _, sizes = np.unique(rows.groups, return_counts=True)
        lines.append(f"groups    {len(sizes):,} of {contest.spec.folds.group}; the largest has {sizes.max():,} rows")
    return lines


def _counts(contest: Contest, counts: np.ndarray) -> list[str]:
    classes, folds = contest.classes, contest.spec.folds.n
    known = "in the spec" if contest.spec.target.classes else "found in the table"
    if len(classes) <= SHOWN:
        each = ", ".join(f"{name} {n:,}" for name, n in zip(classes, counts, strict=True))
        lines = [f"classes   {len(classes)}, {known}: {each}"]
    else:
        order = np.argsort(-counts, kind="stable")
        most, least = (", ".join(f"{classes[c]} {counts[c]:,}" for c in some) for some in (order[:5], order[-5:]))
        lines = [f"classes   {len(classes):,}, {known}: {most}, … {least}"]
    rare = int((counts < folds).sum())
    if rare:
        lines.append(f"rare      {rare:,} classes have fewer rows than there are folds ({folds})")
    return lines
