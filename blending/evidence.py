"""Whether an ensemble is better than its best member, on rows that its weights have not seen."""

from dataclasses import dataclass

import numpy as np

from competition.errors import DataError
from competition.metrics import Metric

RESAMPLES = 2000
WHOLE_RESAMPLES = 400  # where every resample costs a whole computation of the metric
NUMBERS = 50_000_000  # rows drawn in all, at most
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
    n, rng = len(y), np.random.default_rng(0)
    resamples = int(np.clip(NUMBERS // n, 200, RESAMPLES if metric.per_row else WHOLE_RESAMPLES))
    if metric.per_row is not None:
        difference = metric.gain(metric.per_row(y, p), metric.per_row(y, reference))
        return np.array([difference[rng.integers(0, n, n)].mean() for _ in range(resamples)])
    gains = np.empty(resamples)
    for i in range(resamples):
        rows = rng.integers(0, n, n)
        gains[i] = _gain(metric, y[rows], p[rows], reference[rows])
    return gains[np.isfinite(gains)] if np.isfinite(gains).any() else np.zeros(1)


def _gain(metric: Metric, y: np.ndarray, p: np.ndarray, reference: np.ndarray) -> float:
    try:
        return metric.gain(metric(y, p), metric(y, reference))
    except DataError:  # such as an AUC without a positive row
        return np.nan
