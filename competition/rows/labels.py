"""Label columns as arrays, and the classes that a table holds."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from competition.errors import DataError
from competition.rows.sources import Table
from competition.spec_parts import Labelled, Target


def read_labels(target: Target, classes: tuple[str, ...], source: Labelled, table: Table) -> np.ndarray:
    """The labels of a table's rows, in the shape that `Target.family` says: (N,) int64, or (N, C) uint8 or float32.

    Raises DataError naming the row: an unknown class, a missing or infinite number, not exactly one class of several.
    """
    columns = _columns(source, table)
    if target.family in ("values", "shares"):
        return _numbers(target, classes, columns, table)
    if target.delimiter is not None:
        return _delimited(target.delimiter, classes, columns[0], table)
    if len(columns) > 1:
        return _one_hot(target, classes, columns, table)
    labels = pd.Index(classes).get_indexer(table.frame[columns[0]]).astype(np.int64)
    if (labels < 0).any():
        raise _unknown(table, int(np.argmax(labels < 0)), table.frame[columns[0]], classes)
    return labels


def classes_of(target: Target, source: Labelled, table: Table) -> tuple[str, ...]:
    """The classes that a table's label columns hold: the columns' names, or the values in natural order.

    Raises DataError where the target's kind has another number of classes.
    """
    columns = _columns(source, table)
    if len(columns) > 1 or target.family in ("values", "shares"):
        return columns
    column = table.frame[columns[0]]
    if target.delimiter is not None:
        column = column.str.split(target.delimiter, regex=False).explode()
        column = column[column != ""]
    classes = tuple(sorted(column.unique(), key=natural))
    least = {"binary": 2, "multiclass": 3}.get(target.kind, 1)
    if "" in classes:
        raise DataError(f"{table.place(int(np.argmax(column == '')))}: the label is empty")
    if len(classes) < least or (target.kind == "binary" and len(classes) > 2):
        shown = ", ".join(map(repr, classes[:10]))
        raise DataError(
            f"{table.path}: column {source.label!r} holds {len(classes)} classes ({shown}), "
            f"which is no {target.kind} target; correct target.kind or the label column"
        )
    return classes


def shown(names: Sequence[str]) -> str:
    """Class names for a message, which has no room for thousands."""
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")


def natural(text: str) -> list[tuple[int, float, str]]:
    """A sorting key with numbers in their order: 2 before 10, img2 before img10."""
    parts = re.split(r"(\d+)", text)
    return [(0, float(part), part) if part.isdecimal() else (1, 0.0, part) for part in parts if part]


def _columns(source: Labelled, table: Table) -> tuple[str, ...]:
    for column in source.label_columns:
        if column not in table.frame.columns:
            found = ", ".join(map(repr, table.frame.columns))
            raise DataError(f"{table.path}: column {column!r} is missing; found {found}. Correct the file or the spec.")
    return source.label_columns


def _numbers(target: Target, classes: tuple[str, ...], columns: tuple[str, ...], table: Table) -> np.ndarray:
    if set(classes) != set(columns):
        raise DataError(f"{table.path}: the spec's classes {list(classes)} are not its label columns {list(columns)}")
    frame = table.frame[list(classes)]
    values = frame.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    _require(table, np.isfinite(values).all(axis=1), frame, "has a label that is not a number")
    if target.family == "shares":
        good = (values >= 0).all(axis=1) & (values.sum(axis=1) > 0)
        _require(table, good, frame, "has shares that are negative or all zero")
        values = values / values.sum(axis=1, keepdims=True)  # votes are as good as shares
    elif target.range is not None:
        inside = ((values >= target.range[0]) & (values <= target.range[1])).all(axis=1)
        _require(table, inside, frame, f"has a label outside the spec's range {list(target.range)}")
    return values.astype(np.float32)


def _one_hot(target: Target, classes: tuple[str, ...], columns: tuple[str, ...], table: Table) -> np.ndarray:
    if set(classes) != set(columns):
        raise DataError(f"{table.path}: the spec's classes {list(classes)} are not its label columns {list(columns)}")
    frame = table.frame[list(classes)]
    values = frame.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    _require(table, np.isin(values, (0, 1)).all(axis=1), frame, "has a label that is neither 0 nor 1")
    if target.family == "labels":
        return values.astype(np.uint8)
    _require(table, values.sum(axis=1) == 1, frame, f"has not exactly one class, as kind: {target.kind} needs")
    return values.argmax(axis=1).astype(np.int64)


def _delimited(delimiter: str, classes: tuple[str, ...], column: str, table: Table) -> np.ndarray:
    # A long list of (row, class name) rather than a loop: a contest can have 150,000 rows and 3,500 classes.
    names = table.frame[column].reset_index(drop=True).str.split(delimiter, regex=False).explode()
    names = names[names != ""]
    found = pd.Index(classes).get_indexer(names)
    if (found < 0).any():
        row = int(names.index[int(np.argmax(found < 0))])
        raise _unknown(table, row, table.frame[column], classes)
    labels = np.zeros((len(table), len(classes)), dtype=np.uint8)
    labels[names.index.to_numpy(), found] = 1
    return labels


def _require(table: Table, good: np.ndarray, frame: pd.DataFrame, problem: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(f"{table.place(row)} {problem}: {frame.iloc[row].to_dict()} ({int((~good).sum())} such rows)")


def _unknown(table: Table, row: int, column: pd.Series, classes: tuple[str, ...]) -> DataError:
    return DataError(
        f"{table.place(row)}: label {column.iloc[row]!r} is not one of the spec's classes ({shown(classes)})"
    )
