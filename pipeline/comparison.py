"""Runs side by side from their files alone: how good, how sure, at what cost, and what was different.

Unfinished runs take part, with their progress in the place of a score.
"""

import hashlib
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from scipy.special import stdtrit

from blending.truth import truth_of
from competition.contest import Contest
from competition.errors import DataError
from competition.metrics import Scale
from pipeline.discarded import Discarded
from pipeline.run import Run
from pipeline.store import Predictions, concatenate, load_predictions


@dataclass(frozen=True)
class Record:
    """A run as its files tell it, also while it is being trained.

    results: what DONE says of each finished fold. histories: the epochs of each fold that has any. Both by fold number.
    loss: of the out-of-fold predictions of all rows, called `loss_name`; None while a fold is missing.
    truths: of each finished fold, a hash of its rows' ids and labels, which may have been corrected since.
    discarded: why a sweep gave the run up, if one did; then it counts as unfinished, whatever is there.
    """

    run: Run
    metric: Scale
    results: dict[int, dict[str, Any]]
    histories: dict[int, list[dict[str, float]]]
    loss_name: str
    loss: float | None
    truths: dict[int, str]
    discarded: Discarded | None = None

    @property
    def label(self) -> str:
        """The run's name among those of its sweep."""
        return self.run.name.removeprefix(f"{self.run.sweep}-") if self.run.sweep else self.run.name

    @property
    def finished(self) -> bool:
        return len(self.results) == self.run.n_folds and self.discarded is None

    @property
    def labels_sha256(self) -> str:
        """Hash of the labels of all rows; empty while a fold is missing."""
        whole = len(self.truths) == self.run.n_folds
        return (
            hashlib.sha256("".join(self.truths[k] for k in sorted(self.truths)).encode()).hexdigest() if whole else ""
        )

    @property
    def scores(self) -> np.ndarray:
        """Scores of the finished folds, in their order."""
        return np.array([self.results[k]["score"] for k in sorted(self.results)])

    @property
    def open_folds(self) -> list[int]:
        """Folds that have begun and are not finished."""
        return [k for k in sorted(self.histories) if k not in self.results]

    def last_validated(self, fold: int) -> dict[str, float] | None:
        """The newest row of a fold's history that has a validation score: not every epoch needs to have one."""
        return next((row for row in reversed(self.histories[fold]) if f"val/{self.metric.name}" in row), None)

    @property
    def last_score(self) -> float:
        """The newest validation score of an unfinished run: of its last open fold, else of its last finished one."""
        for fold in reversed(self.open_folds or sorted(self.histories)):
            if row := self.last_validated(fold):
                return row[f"val/{self.metric.name}"]
        return np.nan

    @property
    def images_per_second(self) -> float:
        """Median over the folds, of an open one that of its epochs so far."""
        rates = [result["images_per_second"] for result in self.results.values()]
        rates += [np.median([row["images_per_second"] for row in self.histories[k]]) for k in self.open_folds]
        return float(np.median(rates)) if rates else np.nan

    @property
    def minutes(self) -> float:
        """Time spent so far."""
        seconds = sum(result["seconds"] for result in self.results.values())
        return (seconds + sum(row["seconds"] for k in self.open_folds for row in self.histories[k])) / 60

    @property
    def progress(self) -> str:
        """What has to be said about an unfinished run instead of its score."""
        if self.discarded:
            return self.discarded.place
        epochs, name = self.run.recipe.schedule.epochs, self.metric.name
        folds = self.open_folds or sorted(self.histories)[-1:]
        if not folds:
            return "unfinished: no epoch yet"
        last = {k: row for k in folds if (row := self.last_validated(k))}
        if not last:
            return "unfinished: no epoch validated yet"
        said = [f"{row[f'val/{name}']:.4f} (fold {k}, epoch {row['epoch']}/{epochs})" for k, row in last.items()]
        return f"unfinished: last val {name} {', '.join(said)}"


@dataclass(frozen=True)
class Difference:
    """How much better a run is than the reference. gains: (n_folds,), positive where the run is better."""

    record: Record
    gains: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.gains.mean())

    @property
    def sd(self) -> float:
        return float(self.gains.std(ddof=1))

    @property
    def margin(self) -> float:
        """Half the width of the mean's 95 % confidence interval (Student's t), folds taken as independent."""
        n = len(self.gains)
        return float(stdtrit(n - 1, 0.975)) * self.sd / n**0.5

    @property
    def within_spread(self) -> bool:
        return abs(self.mean) <= self.margin

    @property
    def signs(self) -> str:
        return "".join("+" if gain > 0 else "−" if gain < 0 else "=" for gain in self.gains)


def read_record(contest: Contest, run: Run) -> Record:
    """Read a run's files. Raises DataError when it was scored in another metric, or a file is damaged."""
    metric, target = contest.spec.metric.scale, contest.spec.target
    results = {fold.number: fold.result() for fold in run.folds if fold.done}
    histories = {fold.number: rows for fold in run.folds if (rows := fold.history())}
    validated = [row for history in histories.values() for row in history if "val/loss" in row]
    scored = [f"val/{metric.name}" in row for row in validated]
    scored += [result["metric"] == metric.name for result in results.values()]
    if not (all(scored) and run.scored_as(contest)):
        raise DataError(
            f"{run.folder} was not scored by {metric.name} as the contest's spec has it now. Name the runs to compare, "
            "without it."
        )
    parts = {k: load_predictions(run.folds[k].oof, run.folds_sha256) for k in results}
    if any(part.labels is None for part in parts.values()):
        raise DataError(f"{run.folder}: its oof.npz files hold no labels; train the run again")
    loss = None
    if len(results) == run.n_folds:
        oof = concatenate([parts[k] for k in sorted(parts)])
        loss = float(truth_of(oof.family, oof.labels).losses(oof.probabilities).mean())
    truths = {k: _truth(part) for k, part in parts.items()}
    return Record(run, metric, results, histories, target.loss_name, loss, truths, run.discarded)


def _truth(part: Predictions) -> str:
    """A hash of ids and labels, whatever their order."""
    order = np.argsort(part.ids)
    return hashlib.sha256("\0".join(part.ids[order]).encode() + part.labels[order].tobytes()).hexdigest()


def ranked(records: list[Record]) -> list[Record]:
    """Finished runs, best mean score first; then the unfinished ones by their last score, if they have one yet.

    At last those that sweeps discarded, the later the better, by the score that decided.
    """

    def key(record: Record) -> tuple[bool, int, bool, float]:
        score, rung = record.scores.mean() if record.finished else record.last_score, np.inf
        if record.discarded:
            score, rung = record.discarded.score, record.discarded.rung
            score = np.nan if score is None else score
        return not record.finished, -rung, bool(np.isnan(score)), -record.metric.gain(score, 0.0)

    return sorted(records, key=key)


def grouped(records: list[Record]) -> list[Record]:
    """Ranked, but the runs of a sweep follow its best one."""
    groups: dict[tuple[str | None, str], list[Record]] = {}
    for record in ranked(records):
        sweep = record.run.sweep
        groups.setdefault((sweep, "" if sweep else record.run.name), []).append(record)
    return [record for group in groups.values() for record in group]


def differences(records: list[Record]) -> list[tuple[Record, list[Difference]]]:
    """For every split with two finished runs or more of equal labels: the best, and the others' differences to it."""
    finished = [record for record in ranked(records) if record.finished]
    found = []
    for _, group in groupby(sorted(finished, key=_split), key=_split):  # sorting is stable: the best stays first
        best, *others = group
        if others:
            gains = [np.array(list(map(best.metric.gain, other.scores, best.scores))) for other in others]
            found.append((best, [Difference(*pair) for pair in zip(others, gains, strict=True)]))
    return found


def _split(record: Record) -> tuple[str, str]:
    return record.run.folds_sha256, record.labels_sha256
