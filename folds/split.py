"""Stratified folds that never separate equal images or members of one group."""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from competition.errors import DataError


def clusters_of(keys: list[np.ndarray]) -> np.ndarray:
    """Label the rows that must stay together.

    Args:
        keys: arrays (N,); two rows that are equal in any one of them belong together, and so on through chains
            (an image equal to one of another group joins the two groups).

    Returns:
        (N,) int cluster labels, numbered by first appearance.
    """
    n = len(keys[0])
    rows, nodes, offset = [], [], n
    for key in keys:
        values, inverse = np.unique(key, return_inverse=True)
        rows.append(np.arange(n))
        nodes.append(inverse + offset)
        offset += len(values)
    row, node = np.concatenate(rows), np.concatenate(nodes)
    _, component = connected_components(
        coo_matrix((np.ones(len(row)), (row, node)), shape=(offset, offset)), directed=False
    )
    _, first, inverse = np.unique(component[:n], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def assign_folds(
    labels: np.ndarray, fingerprints: np.ndarray, groups: np.ndarray | None, n: int, seed: int
) -> np.ndarray:
    """Split rows into `n` folds with equal shares of every class.

    Args:
        labels: (N,) class indices.
        fingerprints: (N,) one value per distinct image; rows with the same value get the same fold.
        groups: (N,) rows with the same value get the same fold; None where the contest has no groups.
        n, seed: number of folds; the same seed gives the same split.

    Returns:
        (N,) int fold of each row, 0…n-1.

    Raises DataError when a class has fewer distinct images (or groups) than folds.
    """
    cluster = clusters_of([fingerprints] if groups is None else [fingerprints, groups])
    for label in np.unique(labels):
        distinct = len(np.unique(cluster[labels == label]))
        if distinct < n:
            raise DataError(
                f"class number {label} has only {distinct} distinct images or groups, fewer than the {n} folds; "
                f"lower folds.n in the spec"
            )
    if groups is not None:
        splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
        return _folds(splitter.split(labels, labels, cluster), len(labels))
    # Without groups the clusters are single images but for a few duplicates: split one row of each exactly, and let its
    # equals follow. StratifiedGroupKFold would balance the classes only greedily.
    _, first, inverse = np.unique(cluster, return_index=True, return_inverse=True)
    splitter = StratifiedKFold(n, shuffle=True, random_state=seed)
    return _folds(splitter.split(first, labels[first]), len(first))[inverse]


def _folds(splits, n: int) -> np.ndarray:
    fold = np.full(n, -1)
    for k, (_, held_out) in enumerate(splits):
        fold[held_out] = k
    return fold
