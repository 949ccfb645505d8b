"""Images that are nearly the same: clusters of perceptual hashes."""

from collections.abc import Iterator
from itertools import combinations, pairwise
from math import comb

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from competition.hashes import FLAT

_MANY = 1_000_000  # pairs that are kept before they are joined


def near_clusters(hashes: np.ndarray, distance: int) -> np.ndarray:
    """Join all images whose hashes differ in at most `distance` bits, and so on through chains.

    Exact: the 64 bits are cut into distance + t bands, so that two hashes which are near agree in at least t of them;
    only hashes that do are compared (pigeonhole principle, as in Manku et al., "Detecting near-duplicates for web
    crawling", 2007). Hashes that are FLAT are joined with none: equal files are found by their fingerprints.

    Args:
        hashes: (N,) uint64 of `competition.hashes`.
        distance: 0…16. Of 300,000 images, 4 takes seconds, 8 half a minute; above 10 it takes many minutes.

    Returns:
        (N,) int cluster labels, numbered by first appearance.
    """
    unique, inverse = np.unique(hashes, return_inverse=True)
    cluster = np.arange(len(unique))
    if distance > 0:
        some = np.flatnonzero(unique != FLAT)
        for mask in _masks(distance, len(some)):
            cluster[some] = _join_equal_bands(unique[some], cluster[some], mask, distance)
    labels = cluster[inverse]
    flat = np.flatnonzero(hashes == FLAT)
    labels[flat] = len(unique) + np.arange(len(flat))
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def near_report(
    ids: np.ndarray, labels: np.ndarray, fold: np.ndarray, cluster: np.ndarray, row_of: np.ndarray, shown: int = 5
) -> list[str]:
    """Lines on rows that share nearly equal images: how many clusters, how many disagree on label or fold, the largest.

    Args:
        ids, labels, fold: (N, …) of the rows. cluster, row_of: (V,) of `near_clusters`, and the row of every image.
        shown: so many clusters are listed.
    """
    cluster, row = np.unique(np.stack([cluster, row_of]), axis=1)  # several images of one row count once
    size = np.bincount(cluster)
    _, label = np.unique(labels, axis=0, return_inverse=True)

    def differ_in(value: np.ndarray) -> np.ndarray:
        return np.bincount(np.unique(np.stack([cluster, value[row]]), axis=1)[0]) > 1

    differ, straddling = differ_in(label.reshape(-1)), int(differ_in(fold).sum())
    note = " WARNING: split again, or scores are too good" if straddling else ""
    lines = [
        f"clusters of nearly equal training images: {int((size > 1).sum())} ({int(size[size > 1].sum())} rows), "
        f"with different labels: {int(differ.sum())}, straddling folds: {straddling}{note}"
    ]
    for largest in np.argsort(-size, kind="stable")[:shown]:
        if size[largest] > 1:
            members = [str(name) for name in ids[row[cluster == largest]]]
            more = f", … and {len(members) - 6} more" if len(members) > 6 else ""
            note = ", different labels" if differ[largest] else ""
            lines.append(f"  {len(members)} rows{note}: {', '.join(members[:6])}{more}")
    return lines


def _masks(distance: int, n: int) -> Iterator[np.uint64]:
    """Every choice of t among distance + t bands of the 64 bits, for the t that costs least."""

    def cost(t: int) -> float:  # of n evenly spread hashes; sorting one costs as much as eight comparisons
        return comb(distance + t, t) * (8 + n / 2 ** (1 + 64 * t / (distance + t)))

    t = min(range(1, 6), key=cost)
    edges = [round(64 * i / (distance + t)) for i in range(distance + t + 1)]
    bands = [(1 << high) - (1 << low) for low, high in pairwise(edges)]
    return (np.uint64(sum(chosen)) for chosen in combinations(bands, t))


def _join_equal_bands(hashes: np.ndarray, cluster: np.ndarray, mask: np.uint64, distance: int) -> np.ndarray:
    """Compare the hashes that agree in the bits of `mask` and are in different clusters; return the new clusters."""
    key = hashes & mask
    order = np.lexsort((cluster, key))
    key, run = key[order], cluster[order]
    new_key = key[1:] != key[:-1]
    key_end = _ends(new_key)
    row, other = np.arange(len(order)), _ends(new_key | (run[1:] != run[:-1]))
    found, count = [], 0
    while True:  # each row with the first of another cluster that has its key, then all with the second, …
        open_ = other < key_end[row]
        row, other = row[open_], other[open_]
        if not len(row):
            return _joined(cluster, found)
        a, b = order[row], order[other]
        near = (_count_bits(hashes[a] ^ hashes[b]) <= distance) & (cluster[a] != cluster[b])
        found.append(np.stack([a[near], b[near]]))
        count += len(found[-1][0])
        if count > _MANY:
            cluster, found, count = _joined(cluster, found), [], 0
        other = other + 1


def _ends(new: np.ndarray) -> np.ndarray:
    """Where the run of each row ends; `new` (N - 1,) tells which rows, from the second on, begin a run."""
    bounds = np.concatenate([[0], np.flatnonzero(new) + 1, [len(new) + 1]])
    return np.repeat(bounds[1:], np.diff(bounds))


def _joined(cluster: np.ndarray, found: list[np.ndarray]) -> np.ndarray:
    """The clusters after joining those of every pair, (2, K) rows in each part of `found`."""
    pairs = cluster[np.concatenate([np.zeros((2, 0), int), *found], axis=1)]
    nodes, ends = np.unique(pairs, return_inverse=True)
    if not len(nodes):
        return cluster
    one, two = ends.reshape(2, -1)
    graph = coo_matrix((np.ones(len(one)), (one, two)), shape=(len(nodes), len(nodes)))
    _, part = connected_components(graph, directed=False)
    _, first = np.unique(part, return_index=True)
    new = np.arange(cluster.max() + 1)
    new[nodes] = nodes[first[part]]
    return new[cluster]


def _count_bits(values: np.ndarray) -> np.ndarray:
    """Set bits of each uint64 (Warren, Hacker's Delight, section 5-1; np.bitwise_count begins with NumPy 2)."""
    values = values - ((values >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    values = (values & pairs) + ((values >> np.uint64(2)) & pairs)
    values = (values + (values >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (values * np.uint64(0x0101010101010101)) >> np.uint64(56)
