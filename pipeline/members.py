"""The candidates of an ensemble: runs, alone or pooled."""

import json
from dataclasses import dataclass

import numpy as np

from competition.contest import Contest
from competition.rows.tables import Rows
from competition.sparse import Sparse, weighted_sum
from folds.store import Split
from pipeline.run import Run


@dataclass(frozen=True)
class Member:
    """One voice of the ensemble: a run, or the equal mean of runs that differ in nothing but their seed."""

    name: str
    runs: tuple[Run, ...]

    @property
    def selected_on_oof(self) -> bool:
        return any(run.selected_on_oof for run in self.runs)

    def spread(self, metric: str) -> str:
        """Standard deviation of the scores of its folds; a dash where they were scored by another metric."""
        if any(result["metric"] != metric for result in self._results):
            return "–"
        return f"{np.std([result['score'] for result in self._results], ddof=1):.4f}"

    @property
    def images_per_second(self) -> float:
        return float(np.median([result["images_per_second"] for result in self._results]))

    @property
    def minutes(self) -> float:
        return sum(result["seconds"] for result in self._results) / 60

    @property
    def _results(self) -> list[dict]:
        return [fold.result() for run in self.runs for fold in run.folds]

    def oof(self, rows: Rows, split: Split, classes: tuple[str, ...]) -> np.ndarray | Sparse:
        """Out-of-fold predictions (N, C) float32, in the order of `rows`. Raises DataError as `Run.oof`."""
        return mean_of([run.oof(rows, split, classes).probabilities for run in self.runs])

    def test(self, part: str, ids: np.ndarray, contest: Contest) -> np.ndarray | Sparse:
        """Predictions (N, C) float32 of the rows `ids` of "test" or "holdout". Raises DataError as `Run.test`."""
        return mean_of([run.test(part, ids, contest).probabilities for run in self.runs])


def candidates(runs: list[Run], pool_seeds: bool) -> tuple[Member, ...]:
    """One member for each run, by name; or one for all runs that differ in nothing but their seed."""
    groups: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.name):
        settings = json.dumps(run.settings, sort_keys=True)
        groups.setdefault(settings if pool_seeds else run.name, []).append(run)
    return tuple(
        Member(same[0].name + (f"+{len(same) - 1}" if len(same) > 1 else ""), tuple(same)) for same in groups.values()
    )


def mean_of(parts: list[np.ndarray] | list[Sparse]) -> np.ndarray | Sparse:
    """A member's predictions (N, C) float32, from those of its runs."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], Sparse):
        return weighted_sum(parts, [1 / len(parts)] * len(parts)).trimmed()
    return np.mean(parts, axis=0, dtype=np.float32)
