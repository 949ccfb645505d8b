"""Whether an ensemble is better than its best member, on rows that its weights have not seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from competition.errors import DataError
from competition.metrics import Metric
from competition.sparse import KEPT, Sparse

RESAMPLES = 2000
WHOLE_RESAMPLES = 200  # where every resample costs a whole computation of the metric
NUMBERS = 50_000_000  # rows drawn in all, at most
AT_ONCE = 10_000_000  # probabilities in a resample that costs a whole computation
FEW_ROWS = 300  # below, three claims of four that an interval made were wrong on new rows
DEFINED = 0.9  # share of the resamples on which the metric must be defined: the rest would be the lucky ones


@dataclass(frozen=True)
class Evidence:
    """Gain over a reference in the metric's unit: positive is better, whatever the metric's direction.

    low, high: 95 % interval by paired bootstrap of the rows, or of the groups that they come in; NaN where the metric
    is not defined on too many of the samples. folds: the gain within each fold. rows: how many rows or groups.
    """

    gain: float
    low: float
    high: float
    folds: tuple[float, ...]
    rows: int

    @property
    def signs(self) -> str:
        """One sign per fold; a question mark where the metric is not defined."""
        return "".join("+" if gain > 0 else "−" if gain < 0 else "=" if gain == 0 else "?" for gain in self.folds)

    @property
    def verdict(self) -> str:
        if self.rows < FEW_ROWS or not (self.low > 0 or self.high < 0):
            return "no evidence that the ensemble is better"
        return "the ensemble is better" if self.low > 0 else "the ensemble is worse"


def compare(
    metric: Metric,
    y: np.ndarray,
    p: np.ndarray,
    reference: np.ndarray,
    fold: np.ndarray,
    groups: np.ndarray | None = None,
) -> Evidence:
    """Compare two predictions (N, C) of the same rows; those of one fold at a time as well.

    Args:
        groups: (N,) names of what rows have in common, such as a patient; left out, each row stands for itself.
    """
    gain = metric.gain(metric(y, p), metric(y, reference))
    low, high = _interval(resampled_gains(metric, y, p, reference, groups))
    folds = tuple(_gain(metric, y[rows], p[rows], reference[rows]) for rows in (fold == k for k in np.unique(fold)))
    return Evidence(gain, low, high, folds, len(y) if groups is None else len(np.unique(groups)))


def resampled_gains(
    metric: Metric, y: np.ndarray, p: np.ndarray, reference: np.ndarray, groups: np.ndarray | None = None
) -> np.ndarray:
    """The gain on samples of the rows with replacement (Efron, "Bootstrap methods", Annals of Statistics 1979).

    Rows of one group are drawn together: they are alike, and no evidence besides each other.
    """
    draws = _Draws(len(y), groups)
    if metric.per_row is not None:
        difference = metric.gain(metric.per_row(y, p), metric.per_row(y, reference))
        return _resampled(lambda rows: difference[rows].mean(), draws, RESAMPLES)
    return _whole(lambda rows: _gain(metric, y[rows], p[rows], reference[rows]), draws, p)


def score_interval(
    metric: Metric, y: np.ndarray, p: np.ndarray, groups: np.ndarray | None = None
) -> tuple[float, float]:
    """95 % interval of the score itself, by the same bootstrap: what as many other rows would give. NaN as above."""
    draws = _Draws(len(y), groups)
    if metric.per_row is not None:
        each = metric.per_row(y, p)
        return _interval(_resampled(lambda rows: each[rows].mean(), draws, RESAMPLES))
    return _interval(_whole(lambda rows: _score(metric, y[rows], p[rows]), draws, p))


def in_words(low: float, high: float, show: Callable[[float], str]) -> str:
    """A 95 % interval."""
    if np.isnan(low):
        return "no interval, as the metric is not defined on many samples of these rows"
    return f"95 % {show(low)} to {show(high)}"


class _Draws:
    """Rows drawn with replacement, group by group where there are groups."""

    def __init__(self, n: int, groups: np.ndarray | None) -> None:
        self.n, self.groups = n, None
        if groups is not None:
            _, inverse, self.counts = np.unique(groups, return_inverse=True, return_counts=True)
            self.groups = np.argsort(inverse, kind="stable")  # rows, one group's after the other's
            self.starts = np.cumsum(self.counts) - self.counts

    def share(self, size: int) -> float:
        """The part of all rows, or of all groups, that a draw of `size` rows takes."""
        return size / self.n if self.groups is None else self._groups_in(size) / len(self.counts)

    def _groups_in(self, size: int) -> int:
        return max(1, round(size * len(self.counts) / self.n))

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """About `size` rows; exactly so many where each stands for itself."""
        if self.groups is None:
            return rng.integers(0, self.n, size)
        picked = rng.integers(0, len(self.counts), self._groups_in(size))
        counts = self.counts[picked]
        first = np.repeat(self.starts[picked] - (np.cumsum(counts) - counts), counts)
        return self.groups[first + np.arange(len(first))]


def _whole(statistic: Callable[[np.ndarray], float], draws: _Draws, p: np.ndarray | Sparse) -> np.ndarray:
    """`_resampled`, of a metric that must be computed as a whole each time, on so many rows that it is quick.

    Fewer rows than all have a wider spread, which is scaled to that of all (Bickel, Götze and van Zwet, "Resampling
    fewer than n observations", Statistica Sinica 1997). The samples' mean is moved to the statistic of all rows: rare
    classes are missing in many samples, which lowers a macro average for no fault of the predictions.
    """
    size = min(draws.n, max(FEW_ROWS, AT_ONCE // (KEPT if isinstance(p, Sparse) else p.shape[1])))
    values = _resampled(statistic, draws, WHOLE_RESAMPLES, size)
    return statistic(np.arange(draws.n)) + (values - values.mean()) * np.sqrt(draws.share(size))


def _resampled(
    statistic: Callable[[np.ndarray], float], draws: _Draws, most: int, size: int | None = None
) -> np.ndarray:
    """A statistic of rows drawn with replacement, again and again; one NaN where it is too often not defined."""
    rng, size = np.random.default_rng(0), size or draws.n
    times = int(np.clip(NUMBERS // size, 200, most))
    values = np.array([statistic(draws.draw(rng, size)) for _ in range(times)])
    defined = np.isfinite(values)
    return values[defined] if defined.mean() >= DEFINED else np.full(1, np.nan)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _gain(metric: Metric, y: np.ndarray, p: np.ndarray, reference: np.ndarray) -> float:
    return metric.gain(_score(metric, y, p), _score(metric, y, reference))


def _score(metric: Metric, y: np.ndarray, p: np.ndarray) -> float:
    try:
        return metric(y, p)
    except DataError:  # such as an AUC without a positive row
        return np.nan
