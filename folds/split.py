"""Stratified folds that never separate equal images or members of one group."""

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from competition.errors import DataError
from folds.balance import balanced_folds

BINS = 20  # of a number's range, at most: each has an equal share in every fold


def clusters_of(keys: list[np.ndarray], row_of: np.ndarray | None = None) -> np.ndarray:
    """Label the rows that must stay together.

    Args:
        keys: arrays (N,) of the rows, or (V,) of their images; two that are equal in any one of them belong together,
            and so on through chains (an image equal to one of another group joins the two groups).
        row_of: (V,) the row of each image; left out, every row has one.

    Returns:
        (N,) int cluster labels, numbered by first appearance.
    """
    row_of = np.arange(len(keys[0])) if row_of is None else row_of
    n = int(row_of[-1]) + 1
    rows, nodes, offset = [], [], n
    for key in keys:
        values, inverse = np.unique(key, return_inverse=True)
        rows.append(row_of if len(key) == len(row_of) else np.arange(n))
        nodes.append(inverse + offset)
        offset += len(values)
    row, node = np.concatenate(rows), np.concatenate(nodes)
    _, component = connected_components(
        coo_matrix((np.ones(len(row)), (row, node)), shape=(offset, offset)), directed=False
    )
    _, first, inverse = np.unique(component[:n], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def strata_of(family: str, labels: np.ndarray, n: int) -> csr_matrix:
    """What every fold gets an equal share of, as (N, L) zeros and ones.

    Args:
        family: of the labels, as `Target.family` says. A row of classes or shares counts for its (greatest) class; of
            labels for each that it has, or for having none; of values for its quantile in each of them.
        n: folds; a quantile has at least twice as many rows.
    """
    if family == "labels":
        none = labels.sum(axis=1, keepdims=True) == 0
        return csr_matrix(np.hstack([labels, none]))
    if family != "values":
        return _indicators(labels if family == "classes" else labels.argmax(axis=1))
    bins = max(1, min(BINS, len(labels) // (2 * n)))
    quantiles = [np.unique(np.quantile(column, np.arange(1, bins) / bins)) for column in labels.T]
    members = [np.searchsorted(edges, column, side="right") for edges, column in zip(quantiles, labels.T, strict=True)]
    offsets = np.cumsum([0, *(len(edges) + 1 for edges in quantiles)])
    columns = np.stack([member + offset for member, offset in zip(members, offsets[:-1], strict=True)], axis=1)
    rows = np.repeat(np.arange(len(labels)), labels.shape[1])
    return csr_matrix((np.ones(len(rows), np.int64), (rows, columns.ravel())), shape=(len(labels), offsets[-1]))


def assign_folds(strata: csr_matrix, cluster: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Split rows into `n` folds with equal shares of every stratum.

    Args:
        strata: (N, L) zeros and ones, as `strata_of` makes them.
        cluster: (N,) int; rows with the same value get the same fold.
        n, seed: number of folds; the same seed gives the same split.

    Returns:
        (N,) int fold of each row, 0…n-1.

    Raises DataError when there are fewer clusters than folds. A stratum with fewer is in as many folds as it can be.
    """
    _, first, inverse, size = np.unique(cluster, return_index=True, return_inverse=True, return_counts=True)
    if len(first) < n:
        raise DataError(
            f"only {len(first)} distinct images or groups, fewer than the {n} folds; lower folds.n in the spec"
        )
    single = strata.shape[1] <= len(first) and (np.diff(strata.indptr) == 1).all()
    few_joined = len(first) >= 0.9 * len(cluster)
    own = strata[first]
    if single and few_joined and (np.asarray(own.sum(axis=0))[0] >= n).all():
        from sklearn.model_selection import StratifiedKFold  # costs a second: only when a split is made

        # One row of each cluster is split exactly, and its equals follow.
        splits = StratifiedKFold(n, shuffle=True, random_state=seed).split(first, own.indices)
        fold = np.full(len(first), -1)
        for k, (_, held_out) in enumerate(splits):
            fold[held_out] = k
        return fold[inverse]
    together = csr_matrix((np.ones(len(cluster), np.int64), (inverse, np.arange(len(cluster)))))
    return balanced_folds((together @ strata).tocsr(), size, n, seed)[inverse]


def _indicators(labels: np.ndarray) -> csr_matrix:
    """One column for each class that occurs."""
    _, column = np.unique(labels, return_inverse=True)
    return csr_matrix((np.ones(len(labels), np.int64), (np.arange(len(labels)), column)))
