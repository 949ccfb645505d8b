"""The metrics a contest may name, each with the direction in which it improves.

Every metric takes the truth `y` and the predictions `p`, in the shapes that `Target.family` says.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from competition.errors import DataError, SpecError
from competition.scoring import answers, losses, ranking
from competition.scoring.answers import COUNT_SCORES, count_score, label_count_score
from competition.sparse import MANY

if TYPE_CHECKING:
    from competition.spec import MetricSpec, Target

__all__ = [
    "COUNT_SCORES",
    "METRICS",
    "Definition",
    "Metric",
    "Scale",
    "count_score",
    "create_metric",
    "label_count_score",
]

Score = Callable[[np.ndarray, np.ndarray], float]
PerRow = Callable[[np.ndarray, np.ndarray], np.ndarray]
Functions = tuple[Score, PerRow | None]


@dataclass(frozen=True)
class Scale:
    """A score's name, and whether larger is better: enough to compare scores that are known."""

    name: str
    maximize: bool

    def gain(self, score: float, reference: float) -> float:
        """How much better `score` is than `reference`: positive is better, whatever the direction."""
        return score - reference if self.maximize else reference - score


@dataclass(frozen=True)
class Metric(Scale):
    """A score that can be computed. `function(y, p)` returns a float.

    per_row: (y, p) -> (N,) numbers whose mean is the score, where there are such.
    """

    function: Score
    per_row: PerRow | None = None

    def __call__(self, y: np.ndarray, p: np.ndarray) -> float:
        """The score of predictions `p` for the truth `y`. Raises DataError when it is not defined."""
        if len(y) == 0:
            raise DataError(f"{self.name} of no rows is not defined")
        return float(self.function(y, p))


@dataclass(frozen=True)
class Definition:
    """What is known of a metric before the contest's classes are.

    families: the kinds of truth (`Target.family`) that it judges. takes, needs: keys of the spec's metric.
    build: makes its function, and its per_row function or None, from the spec's settings, target and classes. It raises
    SpecError naming the key that does not fit the classes.
    """

    maximize: bool
    families: frozenset[str]
    build: Callable[[MetricSpec, Target, tuple[str, ...]], Functions]
    takes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()


def create_metric(settings: MetricSpec, target: Target, classes: tuple[str, ...]) -> Metric:
    """The metric that a spec names, for predictions of these classes. Raises SpecError for a class it does not know."""
    definition = METRICS[settings.name]
    function, per_row = definition.build(settings, target, classes)
    return Metric(settings.name, definition.maximize, function, per_row)


def _mean_of(per_row: PerRow) -> Functions:
    return lambda y, p: per_row(y, p).mean(), per_row


def _plain(maximize: bool, **by_family: Functions) -> Definition:
    """A metric without settings."""
    return Definition(maximize, frozenset(by_family), lambda _, target, __: by_family[target.family])


def _two_classes(maximize: bool, function: Score) -> Definition:
    """A metric of the second of two classes."""

    def build(settings: MetricSpec, _: Target, classes: tuple[str, ...]) -> Functions:
        if len(classes) != 2:
            raise SpecError(f"metric.name: {settings.name} needs two classes, not {len(classes)}: {_some(classes)}")
        return function, None

    return Definition(maximize, frozenset({"classes"}), build)


def _auc(settings: MetricSpec, target: Target, classes: tuple[str, ...]) -> Functions:
    _not_too_many(settings, target, classes)
    return (ranking.auc if target.negative is None else _yes_or_no(target, classes, ranking.one_auc)), None


def _weighted_auc(settings: MetricSpec, target: Target, classes: tuple[str, ...]) -> Functions:
    bands = settings.bands
    borders = [0.0, *(high for _, high, _ in bands)]
    if (
        [low for low, _, _ in bands] != borders[:-1]
        or borders[-1] != 1
        or any(low >= high or weight < 0 for low, high, weight in bands)
        or not any(weight for _, _, weight in bands)
    ):
        raise SpecError(
            "metric.bands: each is [least, greatest true positive rate, weight]; they follow each other from 0 to 1, "
            "and no weight is negative: [[0, 0.4, 2], [0.4, 1, 1]]"
        )
    _not_too_many(settings, target, classes)
    return _yes_or_no(target, classes, partial(ranking.weighted_auc, bands=bands)), None


def _mean_column_auc(settings: MetricSpec, target: Target, classes: tuple[str, ...]) -> Functions:
    _not_too_many(settings, target, classes)
    names = classes if settings.columns is None else settings.columns
    if not names:
        raise SpecError("metric.columns is empty: leave it out to score all classes")
    _all_known("metric.columns", names, classes)
    columns = [classes.index(name) for name in names]
    return partial(ranking.mean_column_auc, columns=columns, classes=classes), None


def _weighted_log_loss(settings: MetricSpec, _: Target, classes: tuple[str, ...]) -> Functions:
    _all_known("metric.weights", settings.weights, classes)
    absent = np.array([settings.weights.get(name, 1.0) for name in classes])
    present = absent * (settings.positive_weight or 1.0)
    return _mean_of(partial(losses.row_weighted_log_loss, absent=absent, present=present))


def _map_at_k(settings: MetricSpec, _: Target, classes: tuple[str, ...]) -> Functions:
    if settings.k > len(classes):
        raise SpecError(f"metric.k: {settings.k} is more than the {len(classes)} classes")
    return _mean_of(partial(ranking.row_precision, k=settings.k))


def _yes_or_no(target: Target, classes: tuple[str, ...], score: Callable[[np.ndarray, np.ndarray], float]) -> Score:
    """`score` of (which rows are positive, how likely each is), made from rows of one class: all but the negative."""
    if target.negative is None and len(classes) != 2:
        raise SpecError(f"target.negative is missing: which of the {len(classes)} classes counts as no?")
    if target.negative is not None:
        _all_known("target.negative", [target.negative], classes)
    no = 0 if target.negative is None else classes.index(target.negative)
    yes = [c for c in range(len(classes)) if c != no]
    # The sum keeps small probabilities apart that 1 - p[:, no] would make equal.
    return lambda y, p: score(y != no, p[:, yes].sum(axis=1, dtype=np.float64))


def _not_too_many(settings: MetricSpec, target: Target, classes: tuple[str, ...]) -> None:
    if target.family == "classes" and len(classes) > MANY:
        raise SpecError(
            f"metric.name: {settings.name} needs every probability, and of {len(classes)} classes only the greatest of "
            f"each row are kept (above {MANY})"
        )


def _all_known(key: str, names: Collection[str], classes: tuple[str, ...]) -> None:
    for name in names:
        if name not in classes:
            near = difflib.get_close_matches(name, classes, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise SpecError(f"{key}: {name!r} is none of the classes; {hint}They are: {_some(classes)}")


def _some(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")


METRICS = {
    "accuracy": _plain(True, classes=_mean_of(answers.hits)),
    "error": _plain(False, classes=_mean_of(answers.misses)),
    "log_loss": _plain(False, classes=_mean_of(losses.row_log_loss), labels=_mean_of(losses.row_label_log_loss)),
    "weighted_log_loss": Definition(
        False,
        frozenset({"labels"}),
        _weighted_log_loss,
        takes=frozenset({"weights", "positive_weight"}),
        needs=frozenset({"weights"}),
    ),
    "auc": Definition(True, frozenset({"classes"}), _auc),
    "mean_column_auc": Definition(
        True, frozenset({"classes", "labels"}), _mean_column_auc, takes=frozenset({"columns"})
    ),
    "weighted_auc": Definition(
        True, frozenset({"classes"}), _weighted_auc, takes=frozenset({"bands"}), needs=frozenset({"bands"})
    ),
    "f1": _two_classes(True, answers.f1),
    "micro_f1": _plain(True, classes=_mean_of(answers.hits), labels=(answers.label_micro_f1, None)),
    "macro_f1": _plain(True, classes=(answers.macro_f1, None), labels=(answers.label_macro_f1, None)),
    "probabilistic_f1": _two_classes(True, answers.probabilistic_f1),
    "quadratic_weighted_kappa": _plain(True, classes=(answers.quadratic_weighted_kappa, None)),
    "map_at_k": Definition(True, frozenset({"classes"}), _map_at_k, takes=frozenset({"k"}), needs=frozenset({"k"})),
    "rmse": _plain(False, values=(losses.rmse, None)),
    "mae": _plain(False, values=_mean_of(losses.row_absolute_error)),
    "kl": _plain(False, shares=_mean_of(losses.row_kl)),
}
