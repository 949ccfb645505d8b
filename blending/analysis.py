"""What each member is worth to the others: for the report, and for the price of a smaller ensemble."""

from dataclasses import dataclass

import numpy as np

from blending.methods import Library, nested_losses, optimum
from blending.pruning import elimination_path


@dataclass(frozen=True)
class GainCurve:
    """The loss of the optimum of ever more members, the most valuable first.

    members: their indices in that order. in_sample, nested: the losses with the first 1, 2, … of them; for the nested
    one, order and weights are found anew without each fold.
    """

    members: tuple[int, ...]
    in_sample: tuple[float, ...]
    nested: tuple[float, ...]


def gain_curve(library: Library) -> GainCurve:
    kind, reduced = library.truth.kind, library.reduced
    path = elimination_path(reduced, kind)
    partial = [elimination_path(reduced[:, library.complement(rows)], kind) for rows in library.folds]
    largest = len({tuple(members) for members, _ in path.values()})
    order = [path[1][0][0]]
    for size in range(2, largest + 1):
        order += [j for j in path[size][0] if j not in order]
    in_sample, nested = [], []
    for size in range(1, largest + 1):
        in_sample.append(nested_losses(library, [_scatter(path[size], len(reduced))] * len(library.folds)).mean())
        nested.append(nested_losses(library, [_scatter(part[size], len(reduced)) for part in partial]).mean())
    return GainCurve(tuple(int(j) for j in order), tuple(map(float, in_sample)), tuple(map(float, nested)))


def leave_one_out(library: Library, members: np.ndarray) -> dict[int, float]:
    """By how much the nested loss of the optimum of `members` rises without each of them; below 0: better without."""

    def loss(some: np.ndarray) -> float:
        weights = []
        for rows in library.folds:
            w, _ = optimum(library.reduced[np.ix_(some, library.complement(rows))], library.truth.kind)
            weights.append(_scatter((some, w), len(library.reduced)))
        return float(nested_losses(library, weights).mean())

    if len(members) < 2:
        return {}
    whole = loss(members)
    return {int(j): loss(members[members != j]) - whole for j in members}


def error_correlation(library: Library) -> np.ndarray:
    """Correlation of the members' row losses, (M, M): members that fail on different rows help each other."""
    losses = np.stack([library.truth.reduced_losses(t) for t in library.reduced])
    spread = losses.std(axis=1)
    centred = (losses - losses.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)[:, None]
    return np.clip(centred @ centred.T / losses.shape[1], -1, 1)


def _scatter(part: tuple[np.ndarray, np.ndarray], m: int) -> np.ndarray:
    members, values = part
    w = np.zeros(m)
    w[members] = values
    return w
