"""The ways to weight an ensemble, from the simplest to the richest, and the gate between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from blending.convex import least_log_loss, least_squares
from blending.greedy import greedy_log_loss, greedy_squares
from blending.pool import log_linear_weights, logarithms, temperature_exponent
from blending.pruning import strongest
from blending.rules import Blend, Read, combine, two_columns
from blending.truth import Truth
from competition.errors import DataError
from competition.sparse import MANY, Sparse

BAGS = 20  # samples of rows whose weights are averaged
BAG_ROWS = 50_000  # at most: beyond, a sample's optimum hardly differs from that of all rows
BAG_NUMBERS = 1_000_000  # at most, of rows with many labels: they are as many pieces of evidence
PICKS = 25  # of the greedy selection
LARGE = 200_000_000  # probabilities of a member: with more, `choose` tries the linear methods only
POOL_NUMBERS = 10_000_000  # at most so many logarithms are fitted at once: 40 MB; more rows than that add nothing
STRENGTH = 30.0  # of the log-linear pool's pull towards the convex weights, in rows
NOISE = 1e-6  # of a mean loss in float32: the same blend computed in two ways
SMALLEST_WEIGHT = 1e-3  # a member that weighs less costs inference time and changes nothing


@dataclass(frozen=True)
class Library:
    """M members' out-of-fold predictions of the same N rows, read one at a time.

    read: predictions of member j, in the shape that `truth` says. fold: (N,) fold of each row.
    reduced: (M, N, K) float32, each member's `Truth.reduce`: all that linear blends need, and all that stays in memory.
    groups: (N,) what rows have in common, such as a patient; None where each stands for itself.
    """

    read: Read
    truth: Truth
    fold: np.ndarray
    reduced: np.ndarray
    groups: np.ndarray | None = None

    @property
    def independent(self) -> int:
        """How many rows, or groups of rows, there are."""
        return len(self.truth) if self.groups is None else len(np.unique(self.groups))

    @property
    def folds(self) -> list[np.ndarray]:
        """The rows of each fold."""
        return [np.flatnonzero(self.fold == k) for k in np.unique(self.fold)]

    @property
    def is_sparse(self) -> bool:
        """Whether only the greatest probabilities of each row are known."""
        return isinstance(self.read(0), Sparse)

    @property
    def allows_richer(self) -> bool:
        """Whether there are probabilities, and few enough of them, for methods that look at all again and again."""
        return self.truth.kind != "values" and not self.is_sparse and self.read(0).size <= LARGE

    def complement(self, held_out: np.ndarray) -> np.ndarray:
        """All rows but those."""
        rest = np.ones(len(self.truth), dtype=bool)
        rest[held_out] = False
        return np.flatnonzero(rest)


@dataclass(frozen=True)
class Fitted:
    """A method fitted to all rows, and once more without each fold.

    blend: fitted to all rows. nested_blends: one per fold, fitted to the rows of the others.
    losses: (N,) the loss of each row under the blend that did not see it.
    spread: (M,) standard deviation of the weights over the bags, or over the folds where there are none.
    gap: largest proven distance to the optimum among the fits, nan where the method proves none.
    """

    method: str
    blend: Blend
    nested_blends: tuple[Blend, ...]
    losses: np.ndarray
    spread: np.ndarray
    gap: float

    @property
    def loss(self) -> float:
        """The nested loss."""
        return float(self.losses.mean())


def open_library(read: Read, members: int, truth: Truth, fold: np.ndarray, groups: np.ndarray | None = None) -> Library:
    """Read every member once."""
    first = truth.reduce(read(0))
    reduced = np.empty((members, *first.shape), dtype=np.float32)
    reduced[0] = first
    for j in range(1, members):
        reduced[j] = truth.reduce(read(j))
    return Library(read, truth, fold, reduced, groups)


def fit(method: str, library: Library, cap: int | None = None, convex: Fitted | None = None) -> Fitted:
    """Fit a method of METHODS.

    Args:
        cap: at most so many members, chosen anew without each fold.
        convex: the convex fit with the same cap, where it is known: what the richer methods start from.

    Raises DataError for a richer method where only the greatest probabilities are known.
    """
    if method in LINEAR:
        return _linear(method, library, cap)
    if library.is_sparse:
        raise DataError(
            f"method {method} needs every probability, and of more than {MANY} classes only the greatest are kept; "
            f"use one of {', '.join(LINEAR)}"
        )
    return RICHER[method](library, convex or fit("convex", library, cap), cap)


def choose(library: Library, cap: int | None = None) -> tuple[Fitted, list[Fitted]]:
    """The method to trust: convex weights, unless a richer method earns its place.

    It is accepted when its nested loss is lower by more than one standard error of the paired differences of the rows,
    and lower than that of everything simpler. The best member and equal weights are special cases of the convex
    weights: fitted to be seen beside them, not to be chosen, as on few rows the best member is often the luckiest.

    Returns:
        The accepted fit, and all that were tried, from the simplest to the richest.
    """
    tried = [fit(method, library, cap) for method in ("best", "uniform", "convex")]
    accepted = convex = tried[-1]
    for method in RICHER if library.allows_richer else ():
        richer = fit(method, library, cap, convex)
        least = min(simpler.loss for simpler in tried)
        if richer.loss < least and improves(accepted.losses, richer.losses, library.groups):
            accepted = richer
        tried.append(richer)
    return accepted, tried


def improves(before: np.ndarray, after: np.ndarray, groups: np.ndarray | None = None) -> bool:
    """Whether the mean of paired losses (N,) falls by more than one standard error.

    Rows of one group (N,) are alike: the error is that of the groups' sums (a ratio estimator's, Cochran, "Sampling
    Techniques", 1977, chapter 6), which is the usual one where each row is a group.
    """
    gain = before - after
    rest = gain - gain.mean()
    if groups is not None:
        rest = np.bincount(np.unique(groups, return_inverse=True)[1], rest)
    n = len(rest)
    error = np.sqrt(n / (n - 1) * (rest**2).sum()) / len(gain) if n > 1 else np.inf
    return bool(gain.mean() > max(error, NOISE))


def nested_losses(library: Library, weights: Sequence[np.ndarray]) -> np.ndarray:
    """Each row's loss (N,) under the linear blend of its fold's weights."""
    losses = np.empty(len(library.truth))
    for w, rows in zip(weights, library.folds, strict=True):
        used = np.flatnonzero(w)
        blended = np.tensordot(w[used].astype(np.float32), library.reduced[np.ix_(used, rows)], 1)
        losses[rows] = library.truth.reduced_losses(blended)
    return losses


def optimum(t: np.ndarray, kind: str, start: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """The simplex weights of least loss for reduced predictions (M, rows, K), and the proven gap."""
    flat = t.reshape(len(t), -1)
    fitted = least_squares(flat) if kind == "values" else least_log_loss(flat, start=start)
    return fitted.values, fitted.gap


# Every linear method: reduced predictions (M, rows, K) of some rows -> weights (M,), their spread (M,) or None, gap.
_LinearFit = Callable[[np.ndarray, str], tuple[np.ndarray, np.ndarray | None, float]]


def _best(t: np.ndarray, kind: str) -> tuple[np.ndarray, None, float]:
    losses = [Truth(kind, np.empty(0)).reduced_losses(row).mean() for row in t]
    return np.eye(len(t))[int(np.argmin(losses))], None, np.nan


def _uniform(t: np.ndarray, _: str) -> tuple[np.ndarray, None, float]:
    return np.full(len(t), 1 / len(t)), None, np.nan


def _greedy(t: np.ndarray, kind: str) -> tuple[np.ndarray, None, float]:
    pick = greedy_squares if kind == "values" else greedy_log_loss
    return pick(t.reshape(len(t), -1), PICKS).values, None, np.nan


def _convex(t: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray, float]:
    """The mean of the optima of bootstrap samples of the rows: steadier than the optimum, and never far from it."""
    rng, n = np.random.default_rng(0), t.shape[1]
    start, gap = optimum(t, kind)
    if len(t) == 1:
        return start, np.zeros(1), gap
    size = min(n, BAG_ROWS, max(1000, BAG_NUMBERS // t.shape[2]))
    bags = [np.sort(rng.integers(0, n, size)) for _ in range(BAGS)]
    fits = [optimum(t[:, rows], kind, start) for rows in bags]
    values = np.stack([w for w, _ in fits])
    w = values.mean(axis=0)
    w[w < SMALLEST_WEIGHT] = 0
    return w / w.sum(), values.std(axis=0), max(gap for _, gap in fits)


LINEAR: dict[str, _LinearFit] = {"best": _best, "uniform": _uniform, "greedy": _greedy, "convex": _convex}


def _linear(method: str, library: Library, cap: int | None) -> Fitted:
    kind, nested = library.truth.kind, []

    def fit_some(t: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, float]:
        kept = strongest(t, kind, cap)
        w, spread, gap = LINEAR[method](t[kept], kind)
        whole = np.zeros((2, len(t)))
        whole[0, kept], whole[1, kept] = w, (0 if spread is None else spread)
        return whole[0], None if spread is None else whole[1], gap

    for rows in library.folds:
        nested.append(fit_some(library.reduced[:, library.complement(rows)]))
    w, spread, gap = fit_some(library.reduced)
    weights = [values for values, _, _ in nested]
    if spread is None:
        spread = np.std(weights, axis=0)
    blends = tuple(Blend(values) for values in weights)
    losses = nested_losses(library, weights)
    return Fitted(method, Blend(w), blends, losses, spread, float(np.max([gap, *(g for _, _, g in nested)])))


def _calibrated(library: Library, convex: Fitted, _: int | None) -> Fitted:
    """The convex blend, raised to the power of least log loss."""
    truth, blends = library.truth, [*convex.nested_blends, convex.blend]
    combined = combine(blends, library.read, truth.kind)
    rows = [*(library.complement(fold) for fold in library.folds), np.arange(len(truth))]
    some = _sample(len(truth), combined[0].shape[1])
    powers = [
        temperature_exponent(*_logs(p[seen], truth.take(seen)), STRENGTH)
        for p, seen in zip(combined, (np.intersect1d(each, some, assume_unique=True) for each in rows), strict=True)
    ]
    sharpened = [Blend(b.weights, b.rule, power) for b, power in zip(blends, powers, strict=True)]
    return _fitted("convex_calibrated", library, sharpened, convex.spread, convex.gap)


def _log_linear(library: Library, convex: Fitted, cap: int | None) -> Fitted:
    """A weighted mean of logarithms, held near to the convex weights."""
    truth, m = library.truth, len(library.reduced)
    columns = library.read(0).shape[1] if truth.kind == "classes" else 2 * library.reduced.shape[2]
    sample = _sample(len(truth), m * columns)
    n = len(sample)
    logs, y = [], None
    for j in range(m):
        some, y = _logs(library.read(j)[sample], truth.take(sample))
        logs.append(some)
    stacked, per_row = np.stack(logs), len(y) // n
    blends = []
    for k, convex_blend in enumerate([*convex.nested_blends, convex.blend]):
        seen = np.repeat(~np.isin(sample, library.folds[k]) if k < len(library.folds) else np.full(n, True), per_row)
        kept = np.flatnonzero(convex_blend.weights) if cap else np.arange(m)
        weights = np.zeros(m)
        weights[kept] = log_linear_weights(
            stacked[np.ix_(kept, np.flatnonzero(seen))], y[seen], convex_blend.weights[kept], STRENGTH
        )
        weights[weights < SMALLEST_WEIGHT] = 0
        if not weights.any():  # members that know nothing: nearly equal probabilities are best
            weights[kept[0]] = SMALLEST_WEIGHT
        blends.append(Blend(weights, "log_linear"))
    spread = np.std([blend.weights for blend in blends[:-1]], axis=0)
    return _fitted("log_linear", library, blends, spread, np.nan)


def _sample(rows: int, numbers: int) -> np.ndarray:
    """So many rows, of so many numbers each, that POOL_NUMBERS are fitted at once, or a thousand rows."""
    return np.sort(np.random.default_rng(0).permutation(rows)[: max(1000, POOL_NUMBERS // numbers)])


def _logs(p: np.ndarray, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms (rows, C) and class indices (rows,); every label is a row of two classes."""
    if truth.kind == "labels":
        return logarithms(two_columns(p)), truth.y.reshape(-1).astype(int)
    return logarithms(p), truth.y


def _fitted(method: str, library: Library, blends: list[Blend], spread: np.ndarray, gap: float) -> Fitted:
    """Judge blends, one without each fold and the last of all rows."""
    losses = np.empty(len(library.truth))
    for rows, p in zip(library.folds, combine(blends[:-1], library.read, library.truth.kind), strict=True):
        losses[rows] = library.truth.take(rows).losses(p[rows])
    return Fitted(method, blends[-1], tuple(blends[:-1]), losses, spread, gap)


RICHER: dict[str, Callable[[Library, Fitted, int | None], Fitted]] = {
    "convex_calibrated": _calibrated,
    "log_linear": _log_linear,
}
METHODS = (*LINEAR, *RICHER)
