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


@dataclass(frozen=True)
class Evidence:
    """Gain over a reference in the metric's unit: positive is better, whatever the metric's direction.

    low, high: 95 % interval by paired bootstrap of the rows. folds: the gain within each fold.
    """

    gain: float
    low: float
    high: float
    folds: tuple[float, ...]
    rows: int

    @property
    def signs(self) -> str:
        """One sign per fold."""
        return "".join("+" if gain > 0 else "−" if gain < 0 else "=" for gain in self.folds)

    @property
    def verdict(self) -> str:
        if self.rows < FEW_ROWS or self.low <= 0 <= self.high:
            return "no evidence that the ensemble is better"
        return "the ensemble is better" if self.low > 0 else "the ensemble is worse"


def compare(metric: Metric, y: np.ndarray, p: np.ndarray, reference: np.ndarray, fold: np.ndarray) -> Evidence:
    """Compare two predictions (N, C) of the same rows; those of one fold at a time as well."""
    gain = metric.gain(metric(y, p), metric(y, reference))
    low, high = np.quantile(resampled_gains(metric, y, p, reference), (0.025, 0.975))
    folds = tuple(_gain(metric, y[rows], p[rows], reference[rows]) for rows in (fold == k for k in np.unique(fold)))
    return Evidence(gain, float(low), float(high), folds, len(y))


def resampled_gains(metric: Metric, y: np.ndarray, p: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The gain on samples of the rows with replacement (Efron, "Bootstrap methods", Annals of Statistics 1979)."""
    if metric.per_row is not None:
        difference = metric.gain(metric.per_row(y, p), metric.per_row(y, reference))
        return _resampled(lambda rows: difference[rows].mean(), len(y), RESAMPLES)
    return _resampled(lambda rows: _gain(metric, y[rows], p[rows], reference[rows]), len(y), WHOLE_RESAMPLES, _few(p))


def score_interval(metric: Metric, y: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """95 % interval of the score itself, by the same bootstrap: what as many other rows would give."""
    if metric.per_row is not None:
        each = metric.per_row(y, p)
        scores = _resampled(lambda rows: each[rows].mean(), len(y), RESAMPLES)
    else:
        scores = _resampled(lambda rows: _score(metric, y[rows], p[rows]), len(y), WHOLE_RESAMPLES, _few(p))
    low, high = np.quantile(scores, (0.025, 0.975))
    return float(low), float(high)


def _few(p: np.ndarray | Sparse) -> int:
    """So many rows that a whole computation of the metric on them is quick."""
    return max(FEW_ROWS, AT_ONCE // (KEPT if isinstance(p, Sparse) else p.shape[1]))


def _resampled(statistic: Callable[[np.ndarray], float], n: int, most: int, size: int | None = None) -> np.ndarray:
    """A statistic of n rows drawn with replacement, again and again, where it is defined; a zero where it never is.

    With fewer rows drawn (`size`), its spread is scaled to that of n, and put around the statistic of all rows (Bickel,
    Götze and van Zwet, "Resampling fewer than n observations", Statistica Sinica 1997).
    """
    rng, size = np.random.default_rng(0), min(n, size or n)
    times = int(np.clip(NUMBERS // size, 200, most))
    values = np.array([statistic(rng.integers(0, n, size)) for _ in range(times)])
    values = values[np.isfinite(values)]
    if not len(values):
        return np.zeros(1)
    return values if size == n else statistic(np.arange(n)) + (values - values.mean()) * np.sqrt(size / n)


def _gain(metric: Metric, y: np.ndarray, p: np.ndarray, reference: np.ndarray) -> float:
    return metric.gain(_score(metric, y, p), _score(metric, y, reference))


def _score(metric: Metric, y: np.ndarray, p: np.ndarray) -> float:
    try:
        return metric(y, p)
    except DataError:  # such as an AUC without a positive row
        return np.nan
