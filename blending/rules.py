"""How members' predictions become one: as a weighted mean, or a weighted mean of logarithms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from blending.pool import logarithms, over_classes, pooled
from competition.sparse import Sparse, weighted_sum

Read = Callable[[int], np.ndarray | Sparse]  # the predictions of member j, all rows; read from its file each time


@dataclass(frozen=True)
class Blend:
    """A rule with its weights.

    weights: (M,) float64, none negative; on the simplex for "mean", with any sum for "log_linear".
    power: to which the distribution that comes out is raised; 1 leaves it as it is. Above 1 sharpens.
    """

    weights: np.ndarray
    rule: Literal["mean", "log_linear"] = "mean"
    power: float = 1.0

    @property
    def used(self) -> np.ndarray:
        """Indices of the members that weigh something; the others need not be read."""
        return np.flatnonzero(self.weights)


def combine(blends: Sequence[Blend], read: Read, kind: str) -> list[np.ndarray] | list[Sparse]:
    """The predictions of several blends of the same members, each float32 of a member's shape, in one pass over them.

    Args:
        kind: the target's, as in `blending.truth.Truth`. Only one member is in memory at a time. `Sparse` members make
            a `Sparse` blend, of means only: a product needs every probability.
    """
    totals: list[np.ndarray | Sparse | None] = [None] * len(blends)
    for j in sorted({int(j) for blend in blends for j in blend.used}):
        p = read(j)
        if isinstance(p, Sparse):
            for i, blend in enumerate(blends):
                if blend.weights[j]:
                    before = [] if totals[i] is None else [totals[i]]
                    totals[i] = weighted_sum([*before, p], [*(1.0 for _ in before), blend.weights[j]])
            continue
        p = np.asarray(p, dtype=np.float32)
        logs = (
            logarithms(_as_distribution(p, kind))
            if any(b.rule == "log_linear" and b.weights[j] for b in blends)
            else None
        )
        for i, blend in enumerate(blends):
            if blend.weights[j]:
                part = np.float32(blend.weights[j]) * (p if blend.rule == "mean" else logs)
                totals[i] = part if totals[i] is None else np.add(totals[i], part, out=totals[i])
    if isinstance(totals[0], Sparse):
        return [total.trimmed() for total in totals]
    return [_finish(blend, total, kind) for blend, total in zip(blends, totals, strict=True)]


def two_columns(p: np.ndarray) -> np.ndarray:
    """Probabilities (N, K) of labels as (N·K, 2) distributions over no and yes."""
    return np.stack([1 - p, p], axis=-1).reshape(-1, 2)


def _as_distribution(p: np.ndarray, kind: str) -> np.ndarray:
    return np.stack([1 - p, p], axis=-1) if kind == "labels" else p


def _finish(blend: Blend, total: np.ndarray, kind: str) -> np.ndarray:
    if kind == "values":
        return total
    if blend.rule == "log_linear":
        total = pooled(total)
    elif kind == "labels":
        total /= np.float32(blend.weights.sum())
        if blend.power == 1:
            return total
        total = _as_distribution(total, kind)
    total = total / over_classes(np.add, total)
    if blend.power != 1:
        total = pooled(np.float32(blend.power) * logarithms(total))
    return total[..., 1] if kind == "labels" else total
