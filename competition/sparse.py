"""Distributions over thousands of classes, of which only the greatest probabilities are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # elsewhere inside the functions: scipy.sparse costs a quarter of a second, and few contests need it
    from scipy.sparse import csr_array

MANY = 1000  # classes; up to so many, every probability is kept
KEPT = 64  # of a row, where there are more
AT_ONCE = 8192  # rows that are sorted together


@dataclass(frozen=True)
class Sparse:
    """Distributions p (N, C) as p[i, c] = base[i] + excess[i, c], where few excesses of a row are not zero.

    What the kept probabilities leave of 1 is shared equally by all other classes. Weighted means of such distributions
    are exact, because both parts are linear. It answers like an array where only rows, single probabilities and the
    greatest ones are asked for; nothing holds N·C numbers.

    excess: (N, C) float32. base: (N,) float32.
    """

    excess: csr_array
    base: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.excess.shape

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, key: np.ndarray | slice | tuple[np.ndarray, np.ndarray]) -> Sparse | np.ndarray:
        """Some rows; or with [rows, columns] one probability for every pair."""
        if not isinstance(key, tuple):
            return Sparse(self.excess[key], self.base[key])
        rows, columns = np.broadcast_arrays(*key)
        return self.base[rows] + np.asarray(self.excess[rows, columns]).reshape(rows.shape)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, class and probability of everything that is kept, row by row."""
        row = np.repeat(np.arange(len(self)), np.diff(self.excess.indptr))
        return row, self.excess.indices, self.base[row] + self.excess.data

    def sums(self) -> np.ndarray:
        """The sum of each row (N,), which is nearly 1."""
        return self.base.astype(np.float64) * self.shape[1] + self.excess.sum(axis=1, dtype=np.float64)

    def top(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k most probable classes of each row, best first, and their probabilities: (N, k) both.

        Equally probable ones come in the order of the classes. A row that keeps fewer than k has -1, and its base, in
        the places left.
        """
        classes = np.full((len(self), k), -1)
        p = np.repeat(self.base[:, None], k, axis=1)
        for start in range(0, len(self), AT_ONCE):
            rows = slice(start, min(start + AT_ONCE, len(self)))
            first, last = self.excess.indptr[[rows.start, rows.stop]]
            count = np.diff(self.excess.indptr[rows.start : rows.stop + 1])
            # As a table, a line for each row: its classes are in order, so a stable sort leaves equal ones so.
            taken = np.arange(count.max(initial=0)) < count[:, None]
            value, name = np.full(taken.shape, -np.inf, np.float32), np.full(taken.shape, -1)
            value[taken], name[taken] = self.excess.data[first:last], self.excess.indices[first:last]
            order = np.argsort(-value, axis=1, kind="stable")[:, :k]
            found = np.take_along_axis(value, order, axis=1)
            classes[rows, : order.shape[1]] = np.take_along_axis(name, order, axis=1)
            p[rows, : order.shape[1]] += np.where(np.isfinite(found), found, 0)
        return classes, p

    def argmax(self, axis: int = 1) -> np.ndarray:  # noqa: ARG002 - numpy's
        """The most probable class of each row (N,); in a tie the first."""
        classes = np.full(len(self), -1, dtype=np.int64)
        filled, starts, greatest = self._greatest()
        # Sorting every row, as `top` does, takes twenty times as long.
        is_greatest = self.excess.data == np.repeat(greatest, np.diff(self.excess.indptr)[filled])
        found = np.where(is_greatest, self.excess.indices, self.shape[1])
        classes[filled] = np.minimum.reduceat(found, starts) if len(starts) else []
        return classes

    def max(self, axis: int = 1) -> np.ndarray:  # noqa: ARG002 - numpy's
        """Its probability (N,)."""
        p = self.base.copy()
        filled, _, greatest = self._greatest()
        p[filled] += greatest
        return p

    def _greatest(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows that keep anything, where each begins, and the greatest excess of each."""
        filled = np.flatnonzero(np.diff(self.excess.indptr))
        starts = self.excess.indptr[filled]
        return filled, starts, np.maximum.reduceat(self.excess.data, starts) if len(starts) else np.empty(0)

    def trimmed(self, k: int = KEPT) -> Sparse:
        """The same with at most k classes of each row; the others go to the base."""
        if (np.diff(self.excess.indptr) <= k).all():
            return self
        classes, p = self.top(k)
        return kept(classes, p, self.shape[1])

    def mean_of_groups(self, starts: np.ndarray) -> Sparse:
        """The means of the rows from each of `starts` (R,) up to the next: (R, C)."""
        from scipy.sparse import csr_array

        count = np.diff(starts, append=len(self))
        indptr, weights = np.append(starts, len(self)), np.repeat(1 / count, count).astype(np.float32)
        mean = csr_array((weights, np.arange(len(self)), indptr), shape=(len(starts), len(self)))
        return Sparse((mean @ self.excess).tocsr(), mean @ self.base)

    def with_columns(self, order: np.ndarray) -> Sparse:
        """The same with the classes in another order: new class i is old class order[i]."""
        from scipy.sparse import csr_array

        place = np.empty(len(order), dtype=self.excess.indices.dtype)
        place[order] = np.arange(len(order))
        # Copied, because they are sorted in their place.
        parts = (self.excess.data.copy(), place[self.excess.indices], self.excess.indptr)
        moved = csr_array(parts, shape=self.shape)
        moved.sort_indices()
        return Sparse(moved, self.base)


def distance(a: Sparse, b: Sparse) -> float:
    """The greatest difference of two probabilities of the same row and class, of all that either keeps."""
    pairs = ((a.entries(), b), (b.entries(), a))
    return max(float(np.abs(p - other[rows, classes]).max(initial=0)) for (rows, classes, p), other in pairs)


def kept(classes: np.ndarray, p: np.ndarray, n: int) -> Sparse:
    """Distributions over n classes of which some are known.

    Args:
        classes, p: (N, k) class indices and probabilities; a class of -1 is none.
    """
    known = classes >= 0
    return from_entries(known.sum(axis=1), classes[known], p[known], n)


def from_entries(count: np.ndarray, classes: np.ndarray, p: np.ndarray, n: int) -> Sparse:
    """The same from lists: `count` (N,) classes of each row, row by row, and their probabilities.

    Raises ValueError for a class that is not one of n.
    """
    from scipy.sparse import csr_array

    row = np.repeat(np.arange(len(count)), count)
    rest = np.clip(1 - np.bincount(row, p, minlength=len(count)), 0, None)
    base = (rest / np.maximum(n - count, 1)).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(count)])
    excess = csr_array(((p - base[row]).astype(np.float32), classes, indptr), shape=(len(count), n))
    excess.check_format()
    excess.sort_indices()
    return Sparse(excess, base)


def greatest(p: np.ndarray, k: int = KEPT) -> Sparse:
    """The k greatest probabilities of each row of p (N, C)."""
    k = min(k, p.shape[1])
    classes = np.argpartition(-p, k - 1, axis=1)[:, :k]
    return kept(classes, np.take_along_axis(p, classes, axis=1), p.shape[1])


def stacked(parts: Sequence[Sparse]) -> Sparse:
    """The rows of all parts, one after the other."""
    from scipy.sparse import vstack

    return Sparse(vstack([part.excess for part in parts], format="csr"), np.concatenate([part.base for part in parts]))


def weighted_sum(parts: Sequence[Sparse], weights: Sequence[float]) -> Sparse:
    """sum_j weights[j] · parts[j], exactly."""
    excess = sum(np.float32(w) * part.excess for w, part in zip(weights, parts, strict=True))
    return Sparse(excess.tocsr(), sum(np.float32(w) * part.base for w, part in zip(weights, parts, strict=True)))
