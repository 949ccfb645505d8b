"""Where to cut an expected class index, for ordinal classes."""

import numpy as np

ROUNDS = 5  # of coordinate ascent; it rests sooner
CUTS = 512  # at most: places tried for each cut


def best_cut_points(y: np.ndarray, p: np.ndarray) -> tuple[float, ...]:
    """Coordinate ascent on quadratic weighted kappa over cuts midway between neighbouring expectations."""
    expected, c = p @ np.arange(p.shape[1]), p.shape[1]
    distinct = np.unique(expected.astype(np.float64))
    middles = np.concatenate([[-1.0], (distinct[:-1] + distinct[1:]) / 2, [c]])
    cuts = middles[np.unique(np.linspace(0, len(middles) - 1, CUTS).round().astype(int))]
    # Rows of each class below each cut: all confusion matrices are differences of these.
    below = np.stack([np.searchsorted(np.sort(expected[y == k]), cuts) for k in range(c)], axis=1)
    places = np.searchsorted(cuts, np.arange(c - 1) + 0.5).clip(max=len(cuts) - 1)
    best = _kappas(below, places[None])[0]
    for _ in range(ROUNDS):
        before = best
        for k in range(c - 1):
            trials = np.tile(places, (len(cuts), 1))
            trials[:, k] = np.arange(len(cuts))
            trials = trials[(np.diff(trials, axis=1) >= 0).all(axis=1)]
            scores = _kappas(below, trials)
            top = int(np.argmax(scores))
            if scores[top] > best + 1e-12:
                best, places = scores[top], trials[top]
        if best == before:
            break
    return tuple(float(cuts[place]) for place in places)


def _kappas(below: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Quadratic weighted kappas of cuts, places (trials, C - 1) being rows of `below` (cuts, C)."""
    c = below.shape[1]
    total = np.broadcast_to(below[-1], (len(places), 1, c))
    edges = np.concatenate([np.zeros_like(total), below[places], total], axis=1)
    confusion = np.diff(edges, axis=1)  # (trials, predicted, true)
    n, index = below[-1].sum(), np.arange(c)
    square = (index[:, None] - index) ** 2
    chance = confusion.sum(axis=2)[:, :, None] * confusion.sum(axis=1)[:, None, :] / n
    expected = (chance * square).sum(axis=(1, 2))
    return np.where(expected > 0, 1 - (confusion * square).sum(axis=(1, 2)) / np.where(expected > 0, expected, 1), 1.0)
