"""Weights on the simplex (none negative, sum 1) of least log loss or least squared error, with a proof of how close.

A linear blend's log loss depends on each row's probability of the truth alone, and is convex in the weights, while
accuracy is a step function that a search overfits: it is minimised whatever the contest's metric.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

CHUNK = 8192  # rows at a time, at most
IN_CACHE = 262_144  # numbers: a megabyte of float32
COPIED = 1_000_000  # numbers, at most: more are taken from where they are
EXACT = 8192  # up to so many rows, all is computed in float64
ENOUGH = 1024  # rows at least that find the members that matter
RATIO = 16  # of rows to those in a sample of them
RUN = 16  # rows side by side in a sample: a line of the processor's cache


@dataclass(frozen=True)
class Weights:
    """values: (M,) float64 on the simplex. gap: proven upper bound of the loss above the optimum, in the loss' unit."""

    values: np.ndarray
    gap: float


def least_log_loss(t: np.ndarray, tolerance: float = 2e-6, start: np.ndarray | None = None) -> Weights:
    """The weights of least mean -log(w @ t).

    Sequential quadratic programming (Kim et al., "A fast algorithm for maximum likelihood estimation of mixture
    proportions using sequential quadratic programming", 2020). A sample of the rows, weighted in the same way, finds
    the members that matter; only they are weighted on all rows, until no other member asks to come in. A member's
    share is the mean of its part in the blend; no member has a share above 1 at the optimum, and log(largest share)
    bounds the distance to it (Lindsay, "The geometry of mixture likelihoods", Annals of Statistics 1983).

    Args:
        t: (M, N) float32, the members' probabilities of the truth, above 0.
        tolerance: stop when the loss is proven to be this close to the optimum, in nats. The returned gap tells
            whether it is: float32 may not resolve it.
        start: (M,) weights to begin with, such as the optimum of nearly the same rows.
    """
    members, n = t.shape
    if n <= EXACT:
        t = t.astype(np.float64)
    everyone = _Members(t)
    if start is not None:
        w = start.copy()
    elif n <= 2 * ENOUGH:
        w = _minimise(everyone, np.full(members, 1 / members), tolerance)
    else:
        some = _sample(n)
        # The sample's own optimum is further than that from the optimum of all rows.
        w = least_log_loss(t[:, some], max(tolerance, 1 / len(some))).values
    for _ in range(20):
        share = _slopes(everyone, w).share
        gap = _gap(share)
        if gap <= tolerance:
            break
        # Of all rows, but only the members that weigh something or should: few, so that exact curvature costs little.
        # While many still come and go, a rough answer will do.
        coming = (w == 0) & (share > 1)
        if coming.any():
            # With a little weight from the start: where a row has nearly no probability, no step can be long.
            little = min(0.1, gap / 20)
            w = (1 - little) * w + little * coming / coming.sum()
        working = np.flatnonzero(w)
        few = _Members(t[working]) if len(working) * n <= COPIED else _Members(t, working)
        w[working] = _minimise(few, w[working], max(tolerance / 2, gap / 10))
    return Weights(w, gap)


def _sample(n: int) -> np.ndarray:
    """Some of n rows, in order: short runs from anywhere, as tables are often sorted by class."""
    runs = np.random.default_rng(0).choice(n // RUN, max(ENOUGH, n // RATIO) // RUN, replace=False)
    return (np.sort(runs)[:, None] * RUN + np.arange(RUN)).ravel()


def least_squares(r: np.ndarray) -> Weights:
    """The weights of least mean (w @ r)².

    Args:
        r: (M, N) errors, prediction minus truth.

    The gap is that of Frank and Wolfe: the slope of the loss towards the best single member.
    """
    gram = gram_matrix(r)
    # Along a ray t·w, ½t²q - t is least at -1/2q: the ray of least q = w'Gw is found without the constraint on the sum.
    scale = np.trace(gram) / len(gram) or 1.0
    x = nonnegative_quadratic(gram / scale + 1e-9 * np.eye(len(gram)), np.ones(len(gram)))
    w = x / x.sum()
    slope = gram @ w
    return Weights(w, float(max(0.0, 2 * (w @ slope - slope.min()))))


def gram_matrix(r: np.ndarray) -> np.ndarray:
    """mean_i(r[j, i] r[k, i]) of the members' errors, (M, M) float64."""
    gram = np.zeros((len(r), len(r)))
    for start in range(0, r.shape[1], CHUNK):
        part = r[:, start : start + CHUNK].astype(np.float64)
        gram += part @ part.T
    return gram / r.shape[1]


@dataclass(frozen=True)
class _Members:
    """Those members of t (M, N) that `chosen` (K,) lists, or all, taken a chunk of rows at a time.

    A copy of all rows of the chosen would cost more time than its use, where the system must supply the memory anew.
    """

    t: np.ndarray
    chosen: np.ndarray | None = None

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows, and the members' (K, rows): as many as stay in the processor's cache while they are used twice."""
        size = max(1024, min(CHUNK, IN_CACHE // len(self.t if self.chosen is None else self.chosen)))
        for start in range(0, self.t.shape[1], size):
            rows = slice(start, start + size)
            yield rows, self.t[:, rows] if self.chosen is None else self.t[self.chosen, rows]


def _minimise(t: _Members, w: np.ndarray, tolerance: float) -> np.ndarray:
    """Minimise -mean log(w @ t) + sum(w) over w >= 0: its minimum has sum 1, so the simplex needs no constraint."""
    noise = 2 * np.finfo(t.t.dtype).eps  # of a loss; smaller gains cannot be seen
    here = _slopes(t, w)
    for _ in range(50):
        if _gap(here.share) <= tolerance:
            break
        step = _quadratic_minimum(_curvature(t, here.blend, len(w)), here.share, w) - w
        slope = (1 - here.share) @ step
        for length in (1.0, *(0.9 * 0.5**k for k in range(20))):
            moved = w + length * step
            moved /= moved.sum()  # never worse: log(sum) <= sum - 1
            there = _slopes(t, moved)
            # Where a row has lost nearly all of its probability, the quadratic has nothing to say.
            if there.loss <= here.loss + 1e-4 * length * slope + noise and (there.blend >= 0.05 * here.blend).all():
                break
        else:
            break  # no descent that these numbers can show
        w, here = moved, there
    return w


def _gap(share: np.ndarray) -> float:
    return float(np.log(max(share.max(), 1.0)))


@dataclass(frozen=True)
class _Slopes:
    """At weights on the simplex: the loss, the members' shares (M,), which are minus its slopes, and the blend (N,)."""

    loss: float
    share: np.ndarray
    blend: np.ndarray


def _slopes(t: _Members, w: np.ndarray) -> _Slopes:
    """One pass over t."""
    n, dtype = t.t.shape[1], t.t.dtype
    weights, blend = w.astype(dtype), np.empty(n, dtype=dtype)
    loss, share = 0.0, np.zeros(len(w))
    for rows, part in t.chunks():
        blend[rows] = mixed = weights @ part
        if not mixed.all():
            return _Slopes(np.inf, share, blend)
        loss -= np.log(mixed).sum(dtype=np.float64) / n
        share += (part @ (1 / mixed)) / n
    return _Slopes(loss, share, blend)


def _curvature(t: _Members, blend: np.ndarray, m: int) -> np.ndarray:
    """The second derivatives of the loss of m members, (M, M)."""
    h = np.zeros((m, m))
    for rows, part in t.chunks():
        scaled = part * (1 / blend[rows])
        h += scaled @ scaled.T
    return h / len(blend)


def _quadratic_minimum(curvature: np.ndarray, share: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The y >= 0 that minimises the loss' expansion around x."""
    damping = 1e-9 * np.trace(curvature) / len(x)
    slope_at_zero = curvature @ x + share - 1
    while True:
        try:
            # Centred on x, the damping moves no optimum; it holds members apart that the numbers cannot.
            return nonnegative_quadratic(curvature + damping * np.eye(len(x)), slope_at_zero + damping * x)
        except np.linalg.LinAlgError:
            damping *= 10


def nonnegative_quadratic(h: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The x >= 0 of least ½x'hx - b'x. Raises LinAlgError unless h is positive definite."""
    root = cholesky(h, lower=True)
    return nnls(root.T, solve_triangular(root, b, lower=True), maxiter=50 * len(b))[0]
