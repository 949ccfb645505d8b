"""Iterative stratification: folds with equal shares of many strata at once, of rows or of groups of rows.

Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011; here with groups, which
count for as many rows as they hold, the largest first.
"""

import heapq

import numpy as np
from scipy.sparse import csr_matrix


def balanced_folds(counts: csr_matrix, size: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The rarest stratum is dealt out first, each of its groups to the fold that lacks most of it.

    Args:
        counts: (G, L) int, rows of each stratum in each group. size: (G,) rows in each group.
        n, seed: number of folds; the same seed gives the same split.

    Returns:
        (G,) int fold of each group, none of which is empty where there are as many groups as folds.
    """
    order = np.random.default_rng(seed).permutation(len(size))
    columns = counts[order].tocsc()
    rows = counts[order].tocsr()
    size = size[order].tolist()
    wanted = [[total / n] * n for total in np.asarray(counts.sum(axis=0)).ravel().tolist()]
    room = [sum(size) / n] * n
    open_groups = np.diff(columns.indptr).tolist()
    fold = [-1] * len(size)

    def put(group: int, lacking: list[float]) -> list[int]:
        """Give a group to the fold that lacks most, or among equals has most room; return its strata."""
        k = max(range(n), key=lambda each: (lacking[each], room[each], -each))
        fold[group] = k
        room[k] -= size[group]
        here = slice(rows.indptr[group], rows.indptr[group + 1])
        strata = rows.indices[here].tolist()
        for stratum, count in zip(strata, rows.data[here].tolist(), strict=True):
            wanted[stratum][k] -= count
            open_groups[stratum] -= 1
        return strata

    queue = [(left, stratum) for stratum, left in enumerate(open_groups) if left]
    heapq.heapify(queue)
    while queue:
        left, stratum = heapq.heappop(queue)
        if left != open_groups[stratum]:  # an older entry
            continue
        here = slice(columns.indptr[stratum], columns.indptr[stratum + 1])
        members = zip(columns.data[here].tolist(), columns.indices[here].tolist(), strict=True)
        touched = set()
        for _, group in sorted(((-count, group) for count, group in members if fold[group] < 0)):
            touched.update(put(group, wanted[stratum]))
        for other in touched:
            if open_groups[other]:
                heapq.heappush(queue, (open_groups[other], other))
    for group in sorted((g for g in range(len(size)) if fold[g] < 0), key=lambda g: -size[g]):
        put(group, room)
    result = np.empty(len(size), dtype=np.int64)
    result[order] = fold
    return result
