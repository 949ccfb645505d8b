"""What a competitor wants to see of a split: its table, and where images could leak."""

from pathlib import Path

import numpy as np

from competition.errors import DataError

SHOWN = 20  # classes with a column of their own in the table


def fold_table(fold: np.ndarray, labels: np.ndarray, family: str, classes: tuple[str, ...]) -> str:
    """Rows per fold and class, as text; of values and shares, their means."""
    shown = classes[:SHOWN]
    width = max(6, *(len(name) for name in shown)) + 2
    lines = ["fold" + "rows".rjust(8) + "".join(name.rjust(width) for name in shown)]
    for k in range(int(fold.max()) + 1):
        here = labels[fold == k]
        if family == "classes":
            cells = [f"{c:{width}d}" for c in np.bincount(here, minlength=len(classes))[:SHOWN]]
        elif family == "labels":
            cells = [f"{c:{width}d}" for c in here[:, :SHOWN].sum(axis=0, dtype=np.int64)]
        else:
            cells = [f"{mean:{width}.3g}" for mean in here[:, :SHOWN].mean(axis=0)]
        lines.append(f"{k:4d}{len(here):8d}" + "".join(cells))
    if len(classes) > len(shown):
        lines.append(f"… and {len(classes) - len(shown)} more classes")
    return "\n".join(lines)


def rare_report(fold: np.ndarray, labels: np.ndarray, family: str, classes: tuple[str, ...]) -> list[str]:
    """Lines on classes that are not in every fold, and on those that are in one alone: no other fold learns them."""
    if family not in ("classes", "labels"):
        return []
    n = int(fold.max()) + 1
    if family == "classes":
        pairs = np.unique(np.stack([labels, fold]), axis=1)
        folds_of = np.bincount(pairs[0], minlength=len(classes))
    else:
        folds_of = np.sum([labels[fold == k].any(axis=0) for k in range(n)], axis=0)
    said = (
        (folds_of == 0, "do not occur in the training rows: nothing learns them"),
        (folds_of == 1, "are in one fold only: the networks that are scored on it never saw them"),
        ((folds_of > 1) & (folds_of < n), f"are in fewer than {n} folds: some folds are scored without them"),
    )
    return [
        f"rare: {int(which.sum())} of {len(classes)} classes {what} ({_some(np.asarray(classes)[which])})"
        for which, what in said
        if which.any()
    ]


def _some(names: np.ndarray) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def refuse_leaks(path: Path, ids: np.ndarray, fold: np.ndarray, prints: np.ndarray, row_of: np.ndarray) -> None:
    """Raise DataError when two equal images are in different folds of the split in `path`.

    Args:
        ids, fold: (N,) of the rows. prints, row_of: (V,) fingerprint and row of every image.
    """
    _, first, inverse = np.unique(prints, return_index=True, return_inverse=True)
    other = row_of[first][inverse]
    leaking = fold[other] != fold[row_of]
    if leaking.any():
        here, there = row_of[np.argmax(leaking)], other[np.argmax(leaking)]
        raise DataError(
            f"{path}: {ids[there]} and {ids[here]} are the same image but in folds {fold[there]} and {fold[here]}: "
            f"scores would be too good. Delete the file and split again."
        )


def leak_report(
    ids: np.ndarray,
    fold: np.ndarray,
    labels: np.ndarray,
    prints: np.ndarray,
    row_of: np.ndarray,
    groups: np.ndarray | None,
    others: dict[str, np.ndarray],
) -> list[str]:
    """Lines on equal images: within the training rows, across folds, with other labels, and in the other tables.

    Args:
        ids, fold, labels, groups: (N, …) arrays of the training rows. prints, row_of: (V,) fingerprint and row of every
            image.
        others: fingerprints of the "test" and "holdout" rows.
    """
    _, inverse, count = np.unique(prints, return_inverse=True, return_counts=True)
    straddling = len(_with_several(inverse, fold[row_of]))
    lines = [
        f"training images that occur more than once: {int((count > 1).sum())} "
        f"({len(np.unique(row_of[count[inverse] > 1]))} rows), straddling folds: {straddling}"
    ]
    if groups is not None:
        _, group = np.unique(groups, return_inverse=True)
        lines.append(f"groups: {group.max() + 1}, straddling folds: {len(_with_several(group, fold))}")
    _, kind = np.unique(labels, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    contradictory = _with_several(inverse, kind[row_of])
    if len(contradictory):
        same = row_of[inverse == contradictory[0]]
        other = same[np.argmax(kind[same] != kind[same[0]])]
        pair = f"{ids[same[0]]} and {ids[other]}"
        lines.append(f"WARNING: {len(contradictory)} images have two different labels, for instance {pair}")
    for name, other in others.items():
        common = np.isin(other, prints).sum()
        note = " WARNING: scores on it are too good" if name == "holdout" and common else ""
        lines.append(f"{name} images that are also training images: {int(common)} of {len(other)}{note}")
    return lines


def _with_several(key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The keys whose rows have more than one value."""
    pairs = np.unique(np.stack([key, value]), axis=1)
    keys, count = np.unique(pairs[0], return_counts=True)
    return keys[count > 1]
