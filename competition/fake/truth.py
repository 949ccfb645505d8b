"""What made-up rows are: their classes, and the cells of their label columns."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from competition.errors import DataError
from competition.spec import Spec


@dataclass(frozen=True)
class Truth:
    """What is true of N rows.

    weights: (N, C) from 0 to 1, how much of every class an image shows; of a regression from -1 to 1, where each number
    lies between its least and greatest. cells: (N,) the training table's label columns.
    """

    weights: np.ndarray
    cells: pd.DataFrame

    def __len__(self) -> int:
        return len(self.cells)


def class_names(spec: Spec) -> tuple[str, ...]:
    """The spec's classes, or invented ones where it declares none: those that it names somewhere, and a few more."""
    target, submission = spec.target, spec.submission
    if target.classes:
        return target.classes
    if len(spec.train.label_columns) > 1 or target.family in ("shares", "values"):
        return spec.train.label_columns
    named = [*(spec.metric.columns or ()), *(spec.metric.weights or ()), *(submission.classes or ())]
    named += [target.negative] if target.negative else []
    enough = 2 if target.kind == "binary" else max(4, (submission.k or 0) + 1)
    numbers = (str(number) for number in range(enough))
    invented = [name for name in numbers if name not in named][: max(0, enough - len(set(named)))]
    return tuple(dict.fromkeys([*named, *invented]))


def draw_truth(spec: Spec, classes: tuple[str, ...], n: int, rng: np.random.Generator) -> Truth:
    """What `n` rows are. Of classes, all are equally frequent, and neighbouring rows are never of the same one."""
    draw = {"classes": _one_class, "labels": _some_classes, "shares": _shares, "values": _numbers}
    weights = draw[spec.target.family](n, len(classes), rng)
    return Truth(weights, _cells(spec, classes, weights))


def check_size(spec: Spec, classes: tuple[str, ...], rows: int) -> None:
    """Raises DataError where the rows are too few for every fold to hold every class."""
    least = spec.folds.n * (1 if spec.target.family == "values" else len(classes))
    if rows < least:
        raise DataError(
            f"--rows {rows}: {spec.slug} has {len(classes)} classes and {spec.folds.n} folds; give {least} rows or more"
        )


def _one_class(n: int, classes: int, _: np.random.Generator) -> np.ndarray:
    return np.eye(classes)[np.arange(n) % classes]


def _some_classes(n: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """One class in turn, and perhaps another one."""
    more = np.eye(classes)[rng.integers(classes, size=n)] * (rng.random((n, 1)) < 0.4)
    return np.maximum(_one_class(n, classes, rng), more)


def _shares(n: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    return 0.7 * _one_class(n, classes, rng) + 0.3 * rng.dirichlet(np.ones(classes), size=n)


def _numbers(n: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    return np.stack([rng.permutation(n) for _ in range(classes)], axis=1) / max(1, n - 1) * 2 - 1


def _cells(spec: Spec, classes: tuple[str, ...], weights: np.ndarray) -> pd.DataFrame:
    columns, target = spec.train.label_columns, spec.target
    if target.family == "values":
        least, greatest = target.range or (0.0, 1.0)
        texts = [[f"{least + (weight + 1) / 2 * (greatest - least):.4f}" for weight in row] for row in weights]
        return pd.DataFrame(texts, columns=list(classes))[list(columns)]
    if target.family == "shares":
        return pd.DataFrame([[f"{weight:.4f}" for weight in row] for row in weights], columns=list(classes))
    if len(columns) > 1:
        return pd.DataFrame(weights.astype(int).astype(str), columns=list(classes))[list(columns)]
    names = np.array(classes, dtype=object)
    texts = [(target.delimiter or " ").join(names[row > 0]) for row in weights]
    return pd.DataFrame({columns[0]: texts})
