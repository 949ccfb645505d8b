"""Runs side by side from their files alone: how good, how sure, at what cost, and what was different.

Unfinished runs take part, with their progress in the place of a score.
"""

import json
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from scipy.special import stdtrit

from blending.truth import truth_of
from competition.contest import Contest
from competition.errors import DataError
from competition.metrics import Scale
from pipeline.run import Run, flatten
from pipeline.store import concatenate, load_predictions

TOO_GOOD = "selected on OOF: too good"
LISTED = 3  # runs that share the commonest value of a key are listed up to this many


@dataclass(frozen=True)
class Record:
    """A run as its files tell it, also while it is being trained.

    results: what DONE says of each finished fold. histories: the epochs of each fold that has any. Both by fold number.
    loss: of the out-of-fold predictions of all rows, called `loss_name`; None while a fold is missing.
    """

    run: Run
    metric: Scale
    results: dict[int, dict[str, Any]]
    histories: dict[int, list[dict[str, float]]]
    loss_name: str
    loss: float | None

    @property
    def finished(self) -> bool:
        return len(self.results) == self.run.n_folds

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
    if not all(scored):
        raise DataError(
            f"{run.folder} was not scored by {metric.name}, the contest's metric. Name the runs to compare, without it."
        )
    loss = None
    if len(results) == run.n_folds:
        oof = concatenate([load_predictions(fold.oof, run.folds_sha256) for fold in run.folds])
        if oof.labels is None:
            raise DataError(f"{run.folder}: its oof.npz files hold no labels; train the run again")
        loss = float(truth_of(oof.family, oof.labels).losses(oof.probabilities).mean())
    return Record(run, metric, results, histories, target.loss_name, loss)


def ranked(records: list[Record]) -> list[Record]:
    """Finished runs, best mean score first; then the unfinished ones by their last score, if they have one yet."""

    def key(record: Record) -> tuple[bool, bool, float]:
        score = record.scores.mean() if record.finished else record.last_score
        return not record.finished, bool(np.isnan(score)), -record.metric.gain(score, 0.0)

    return sorted(records, key=key)


def comparison_table(records: list[Record]) -> str:
    """One numbered line per run, in the given order. An unfinished run has no score, but its progress beside it."""
    width, of_score = _width(records), f"{records[0].metric.name}, mean ± sd"
    of_loss = f"OOF {records[0].loss_name}"
    wide, wide_loss = max(24, len(of_score) + 2), max(14, len(of_loss) + 2)
    lines = [
        f"{'':>3} {'run':<{width}}{'folds':>6}{'epochs':>8}{of_score:>{wide}}"
        f"{of_loss:>{wide_loss}}{'images/s':>10}{'minutes':>9}"
    ]
    splits = {record.run.folds_sha256 for record in records}
    for number, record in enumerate(records, 1):
        epochs, scores = str(record.run.recipe.schedule.epochs), record.scores
        if not record.finished:
            reached = max((record.histories[k][-1]["epoch"] for k in record.open_folds), default=0)
            epochs = f"{reached}/{epochs}"
        score = f"{scores.mean():.4f} ± {scores.std(ddof=1):.4f}" if record.finished else "–"
        loss = f"{record.loss:.4f}" if record.finished else "–"
        notes = [
            *([] if record.finished else [record.progress]),
            *([TOO_GOOD] if record.run.selected_on_oof else []),
            *([f"split {record.run.folds_sha256[:8]}"] if len(splits) > 1 else []),
        ]
        folds = f"{len(record.results)}/{record.run.n_folds}"
        lines.append(
            f"{number:>3} {record.run.name:<{width}}{folds:>6}{epochs:>8}{score:>{wide}}{loss:>{wide_loss}}"
            f"{record.images_per_second:>10.0f}{record.minutes:>9.1f}  {'; '.join(notes)}".rstrip()
        )
    return "\n".join(lines)


def differences(records: list[Record]) -> list[tuple[Record, list[Difference]]]:
    """For every split with two finished runs or more: the best one, and the others' differences to it."""
    finished = [record for record in ranked(records) if record.finished]
    found = []
    for _, group in groupby(sorted(finished, key=_split), key=_split):  # sorting is stable: the best stays first
        best, *others = group
        if others:
            gains = [np.array(list(map(best.metric.gain, other.scores, best.scores))) for other in others]
            found.append((best, [Difference(*pair) for pair in zip(others, gains, strict=True)]))
    return found


def differences_table(best: Record, others: list[Difference]) -> str:
    """A line per run: its differences to the best one, and in words whether they are more than the folds' spread."""
    width = _width([best, *(each.record for each in others)])
    mark = f" ({TOO_GOOD})" if best.run.selected_on_oof else ""
    signs = "+ better, − worse, = equal"
    lines = [
        f"{best.metric.name} against the best mean, {best.run.name}{mark}, on the same folds: {signs}",
        f"{'run':<{width}}{'mean ± 95 %':>20}{'sd':>9}  by fold",
    ]
    for each in others:
        verdict = "within the spread of the folds" if each.within_spread else "worse, beyond the spread of the folds"
        mark = f"; {TOO_GOOD}" if each.record.run.selected_on_oof else ""
        lines.append(
            f"{each.record.run.name:<{width}}{f'{each.mean:+.4f} ± {each.margin:.4f}':>20}{each.sd:>9.4f}"
            f"  {each.signs}  {verdict}{mark}"
        )
    return "\n".join(lines)


def settings_table(records: list[Record]) -> str:
    """The keys in which the runs differ, one line each: the runs, by their numbers in the table, and their value."""
    settings = [_settings(record.run) for record in records]
    lines = []
    for key in dict.fromkeys(key for each in settings for key in each):
        values = [_written(each[key]) if key in each else "–" for each in settings]
        commonest, n = Counter(values).most_common(1)[0]
        if n == len(values):
            continue
        said = []
        for value in dict.fromkeys(values):
            numbers = [str(number) for number, its in enumerate(values, 1) if its == value]
            who = "the others" if value == commonest and n > LISTED else " ".join(numbers)
            said.append(f"{who}: {value}")
        lines.append((key, " | ".join(said)))
    width = max((len(key) for key, _ in lines), default=0) + 2
    return "\n".join(f"{key:<{width}}{values}" for key, values in lines)


def _settings(run: Run) -> dict[str, Any]:
    recipe = run.recipe.model_dump(mode="json", exclude={"description"})
    flat = flatten({"recipe": run.recipe_name, "seed": run.seed} | recipe)
    return {key: value for key, value in flat.items() if value != {}}


def _written(value: Any) -> str:
    """A value as --set takes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _split(record: Record) -> str:
    return record.run.folds_sha256


def _width(records: list[Record]) -> int:
    return max(24, *(len(record.run.name) for record in records)) + 2
