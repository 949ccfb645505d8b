"""What a competitor wants to see of a split: its table, and where images could leak."""

from pathlib import Path

import numpy as np

from competition.errors import DataError


def fold_table(fold: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> str:
    """Rows per fold and class, as text."""
    width = max(6, *(len(name) for name in classes[:20])) + 2
    shown = classes[:20]
    lines = ["fold" + "rows".rjust(8) + "".join(name.rjust(width) for name in shown)]
    for k in range(int(fold.max()) + 1):
        count = np.bincount(labels[fold == k], minlength=len(classes))
        lines.append(f"{k:4d}{count.sum():8d}" + "".join(f"{c:{width}d}" for c in count[: len(shown)]))
    if len(classes) > len(shown):
        lines.append(f"… and {len(classes) - len(shown)} more classes")
    return "\n".join(lines)


def refuse_leaks(path: Path, ids: np.ndarray, fold: np.ndarray, prints: np.ndarray) -> None:
    """Raise DataError when two equal images are in different folds of the split in `path`."""
    first: dict[str, int] = {}
    for row, image in enumerate(prints):
        other = first.setdefault(image, row)
        if fold[other] != fold[row]:
            raise DataError(
                f"{path}: {ids[other]} and {ids[row]} are the same image but in folds {fold[other]} and {fold[row]}: "
                f"scores would be too good. Delete the file and split again."
            )


def leak_report(
    ids: np.ndarray,
    fold: np.ndarray,
    labels: np.ndarray,
    prints: np.ndarray,
    groups: np.ndarray | None,
    others: dict[str, np.ndarray],
) -> list[str]:
    """Lines on equal images: within the training rows, across folds, with other labels, and in the other tables.

    Args:
        ids, fold, labels, prints, groups: (N,) arrays of the training rows; prints are image fingerprints.
        others: fingerprints of the "test" and "holdout" rows.
    """
    _, inverse, count = np.unique(prints, return_inverse=True, return_counts=True)
    straddling = _pairs_differ(inverse, fold)
    lines = [
        f"training images that occur more than once: {int((count > 1).sum())} "
        f"({int((count[inverse] > 1).sum())} rows), straddling folds: {straddling}"
    ]
    if groups is not None:
        _, group = np.unique(groups, return_inverse=True)
        lines.append(f"groups: {group.max() + 1}, straddling folds: {_pairs_differ(group, fold)}")
    contradictory = np.flatnonzero([_differs(inverse, labels, i) for i in np.flatnonzero(count > 1)])
    if len(contradictory):
        image = np.flatnonzero(count > 1)[contradictory[0]]
        pair = ids[inverse == image][:2]
        lines.append(
            f"WARNING: {len(contradictory)} images have two different labels, for instance {pair[0]} and {pair[1]}"
        )
    for name, other in others.items():
        common = np.isin(other, prints).sum()
        note = " WARNING: scores on it are too good" if name == "holdout" and common else ""
        lines.append(f"{name} images that are also training images: {int(common)} of {len(other)}{note}")
    return lines


def _pairs_differ(key: np.ndarray, value: np.ndarray) -> int:
    """Number of keys whose rows have more than one value."""
    pairs = np.unique(np.stack([key, value]), axis=1)
    return int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


def _differs(key: np.ndarray, value: np.ndarray, wanted: int) -> bool:
    return len(np.unique(value[key == wanted])) > 1
