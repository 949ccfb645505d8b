"""What each change to a recipe is worth: runs against a base run, on the folds and seeds that both have finished."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from competition.errors import DataError
from competition.strict_yaml import write_value
from pipeline.comparison import Record


@dataclass(frozen=True)
class Change:
    """Runs that differ in their seeds alone.

    settings: where they differ from the base, by key; None where a key is missing. scores, losses: (n,) of the folds
    that the base has finished too, those of all seeds one after the other. gains: (n,) how much better each score is
    than the base's of the same fold and seed; none for the base itself.
    """

    settings: dict[str, Any]
    scores: np.ndarray
    losses: np.ndarray
    gains: np.ndarray


def changes(records: list[Record], base: Record) -> list[Change]:
    """The base, with its other seeds if it has any; then every other recipe that can be compared, the best first.

    Discarded runs and those of other splits do not take part, nor do folds whose labels were others, or that the base
    has not finished with the same seed. Raises DataError: the base was discarded by its sweep, or has finished no fold.
    """
    if base.discarded:
        raise DataError(f"{base.run.folder}: {base.discarded.place}, so nothing can be compared with it")
    if not base.results:
        raise DataError(f"{base.run.folder} has no finished fold yet, so nothing can be compared with it")
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.discarded is None and record.run.folds_sha256 == base.run.folds_sha256:
            groups.setdefault(write_value(record.run.settings), []).append(record)
    plain = base.run.settings
    same = groups.pop(write_value(plain))
    truths = {fold: truth for record in [*same, base] for fold, truth in record.truths.items()}
    base_folds = {at: result for record in same for at, result in _folds(record, truths)}
    score = {at: result["score"] for at, result in base_folds.items()}
    first = Change({}, *_columns(list(base_folds.values())), np.array([]))
    others = []
    for group in groups.values():
        folds = [(at, result) for record in group for at, result in _folds(record, truths) if at in score]
        if folds:
            its = group[0].run.settings
            changed = {key: its.get(key) for key in {**plain, **its} if its.get(key) != plain.get(key)}
            gains = np.array([base.metric.gain(result["score"], score[at]) for at, result in folds])
            others.append(Change(changed, *_columns([result for _, result in folds]), gains))
    return [first, *sorted(others, key=lambda change: -change.gains.mean())]


def changes_table(found: list[Change], base: Record) -> str:
    """A line per change. The range of its differences is that over folds and seeds."""
    name, loss = base.metric.name, base.loss_name
    wide, wide_loss = max(10, len(name) + 2), max(10, len(loss) + 2)
    lines = [
        f"against {base.run.name}, on the folds and seeds (n) that both have finished: + better, − worse",
        f"{'n':>3}{name:>{wide}}{loss:>{wide_loss}}{'difference':>12}  {'least … greatest':<20}  changed",
    ]
    for change in found:
        n, gains = len(change.scores), change.gains
        mean = f"{gains.mean():+.4f}" if len(gains) else ""
        spread = f"{gains.min():+.4f} … {gains.max():+.4f}" if len(gains) > 1 else ""
        said = ", ".join(
            f"{key}: {'–' if value is None else write_value(value)}" for key, value in change.settings.items()
        )
        lines.append(
            f"{n:>3}{change.scores.mean():>{wide}.4f}{change.losses.mean():>{wide_loss}.4f}{mean:>12}  {spread:<20}"
            f"  {said or 'nothing'}"
        )
    return "\n".join(lines)


def _folds(record: Record, truths: dict[int, str]) -> list[tuple[tuple[int, int], dict[str, Any]]]:
    """What DONE says of each finished fold whose labels are these, by seed and fold."""
    alike = [fold for fold in sorted(record.results) if record.truths[fold] == truths.get(fold)]
    return [((record.run.seed, fold), record.results[fold]) for fold in alike]


def _columns(results: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([result["score"] for result in results]), np.array([result["loss"] for result in results])
