"""Which columns of the training table are the labels, and what kind of target they make."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from competition.draft.guess import Guess, named
from competition.draft.sample import Sample
from competition.errors import DataError
from competition.rows.labels import natural

DECLARED = 50  # more classes than this are left to be discovered
MANY_STEPS = 20  # more different whole numbers than this may be amounts
NAMES = re.compile(r"label|target|class|categor|diagnos|breed|species|disease|kind|type|score|^y$", re.IGNORECASE)
NO = re.compile(r"0|no|none|cover|normal|healthy|negative|real|background|clean|no[_ -]?finding", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    columns: tuple[str, ...]
    seen: str
    sure: bool = True


def find_labels(frame: pd.DataFrame, taken: set[str], sample: Sample | None, test: set[str] | None) -> Labels:
    """The label columns of a training table.

    Args:
        taken: columns that name the rows or their images. test: the columns of the test table, if there is one.
    """
    columns = [column for column in frame.columns if column not in taken]
    if sample is not None:
        wanted = sample.classes or sample.columns
        if set(wanted) <= set(columns):
            where = f"the ids of {sample.table.name}" if sample.classes else sample.table.name
            return Labels(tuple(wanted), f"also in {where}")
        alike = [column for column in columns if column.lower().removesuffix("_id") == sample.columns[0].lower()]
        if len(sample.columns) == 1 and alike:
            # A COCO file has both category, a name, and category_id: the one that holds the sample's values.
            best = max(alike, key=lambda column: sample.values.isin(set(frame[column])).mean())
            return Labels((best,), f"{sample.columns[0]} in {sample.table.name}")
        for column in columns:
            values = set(frame[column])
            if len(wanted) > 1 and set(wanted) <= values:
                return Labels((column,), f"its values are the columns or ids of {sample.table.name}")
        for column in columns:
            if len(sample.columns) == 1 and _speaks_of(sample, frame[column]):
                return Labels((column,), f"its values stand in {sample.table.name}")
    columns = [column for column in columns if frame[column].nunique() > 1] or columns
    own = [column for column in columns if test is not None and column not in test] or columns
    called = [column for column in own if NAMES.search(column)]
    repeated = [column for column in own if frame[column].nunique() <= max(2, len(frame) / 2)]
    if called:
        by_name = [column for column in called if column in repeated] or called
        return Labels((by_name[0],), "by its name", len(by_name) == 1)
    return Labels(((repeated or own or list(frame.columns))[-1],), "the last column whose values repeat", False)


def _speaks_of(sample: Sample, column: pd.Series) -> bool:
    """Whether the sample's values are this column's, and are words rather than small numbers, which are anywhere."""
    words = sample.values.str.split().explode().dropna()
    return bool(len(words) and words.isin(set(column)).all() and not words.str.fullmatch(r"-?\d{1,2}").all())


def find_target(frame: pd.DataFrame, labels: Labels, sample: Sample | None) -> list[Guess]:
    """The target's keys."""
    if len(labels.columns) > 1:
        return _several_columns(frame[list(labels.columns)], sample)
    column = frame[labels.columns[0]]
    if (column == "").all():
        raise DataError(f"the label column {labels.columns[0]!r} is empty")
    delimiter = _delimiter(column)
    if delimiter is not None:
        names = column.str.split(delimiter, regex=False).explode()
        names = names[names != ""]
        share = column.str.contains(delimiter, regex=False).mean()
        kind = Guess("target.kind", "multilabel", f"{share:.0%} of the rows have several classes", delimiter != " ")
        seen = "" if delimiter != " " else "unless names of classes have spaces; then remove this, and kind: multiclass"
        return [kind, Guess("target.delimiter", delimiter, seen), *_classes(names)]
    values = column[column != ""]
    numbers = pd.to_numeric(values, errors="coerce")
    count = values.nunique()
    if np.isfinite(numbers).all() and _is_quantity(numbers, sample):
        least, greatest = float(numbers.min()), float(numbers.max())
        seen = f"{count:,} different numbers from {least:g} to {greatest:g}; if they are classes: kind: multiclass"
        bounds = Guess("target.range", [least, greatest], "of the training labels; or what the Data page says")
        return [Guess("target.kind", "regression", seen), *([bounds] if least < greatest else [])]
    if count == 2:
        return [Guess("target.kind", "binary", "two values"), _positive(values, sample)]
    steps = sorted(numbers.unique()) if numbers.notna().all() else []
    seen = f"{count:,} values"
    if len(steps) > MANY_STEPS:
        seen += "; if they are amounts: kind: regression, submission.kind: value, metric.name: rmse"
        return [Guess("target.kind", "multiclass", seen, False), *_classes(values), *_negative(values, sample)]
    if 3 <= len(steps) <= 12 and steps == list(range(int(steps[0]), int(steps[0]) + len(steps))):
        seen += " in a row; if their order means something (grades of a disease): kind: ordinal"
    return [Guess("target.kind", "multiclass", seen), *_classes(values), *_negative(values, sample)]


def _several_columns(frame: pd.DataFrame, sample: Sample | None) -> list[Guess]:
    numbers = frame.apply(pd.to_numeric, errors="coerce")
    sums = numbers.sum(axis=1)
    classes = Guess("target.classes", None, "left out: the label columns' names")
    if numbers.isin([0, 1]).all(axis=None):
        if (sums == 1).all():
            seen = "exactly one 1 in every row; if the classes do not exclude each other: kind: multilabel"
            return [Guess("target.kind", "binary" if len(frame.columns) == 2 else "multiclass", seen), classes]
        seen = f"zeros and ones; {int(sums.min())} to {int(sums.max())} ones in a row"
        return [Guess("target.kind", "multilabel", seen), classes]
    if bool((numbers >= 0).all(axis=None)) and float((sums - 1).abs().max()) < 0.01:
        return [Guess("target.kind", "soft", "every row's numbers sum to 1"), classes]
    if sample is not None and bool((numbers >= 0).all(axis=None)) and _is_whole(numbers) and sums.min() > 0:
        seen = "whole numbers of several columns, which may be votes; if classes share one row's votes: kind: soft"
        return [Guess("target.kind", "regression", seen, sure=False), classes]
    return [Guess("target.kind", "regression", "several columns of numbers"), classes]


def _is_whole(numbers: pd.DataFrame) -> bool:
    return bool((numbers % 1 == 0).all(axis=None))


def _is_quantity(numbers: pd.Series, sample: Sample | None) -> bool:
    """Whether numbers are amounts rather than names of classes."""
    if (numbers % 1 != 0).any():
        return True
    return numbers.nunique() > MANY_STEPS and sample is not None and sample.is_fraction and len(sample.columns) == 1


def _delimiter(column: pd.Series) -> str | None:
    """What separates several class names: its pieces are fewer than the values, and some stand alone as well."""
    values = pd.Series(column.unique(), dtype=str)
    for delimiter in ("|", ";", ",", " "):
        with_it = values.str.contains(delimiter, regex=False)
        if with_it.any():
            names = values.str.split(delimiter, regex=False).explode()
            names = names[names != ""]
            repeated = names.value_counts()
            if len(repeated) < len(values) and (repeated[names[with_it[names.index]]] > 1).mean() > 0.5:
                return delimiter
    return None


def _classes(values: pd.Series) -> list[Guess]:
    counts = values.value_counts()
    names = sorted(counts.index, key=natural)
    rare = counts.index[-1]
    if len(names) > DECLARED:
        seen = f"left out: all {len(names):,} values of the column ({named(names)}), from {counts.max():,} rows of "
        return [Guess("target.classes", None, f"{seen}{counts.index[0]!r} to {counts.min()} of {rare!r}")]
    seen = f"{counts.max():,} rows of {counts.index[0]!r} to {counts.min()} of {rare!r}"
    return [Guess("target.classes", names, seen)]


def _positive(values: pd.Series, sample: Sample | None) -> Guess:
    """Two classes, the positive one last."""
    names = sorted(values.unique(), key=natural)
    counts = values.value_counts()
    seen = ", ".join(f"{counts[name]:,} rows of {name!r}" for name in names)
    column = sample.columns[0].lower() if sample is not None else ""
    if (names[0].lower() in column and names[1].lower() not in column) or NO.fullmatch(names[1]):
        names.reverse()
    known = names in (["0", "1"], ["False", "True"], ["no", "yes"]) or names[1].lower() in column
    advice = "" if known else "; the second is the one whose probability is submitted: look at the Evaluation page"
    return Guess("target.classes", names, seen + advice, known)


def _negative(values: pd.Series, sample: Sample | None) -> list[Guess]:
    """The class that counts as no, where one number is submitted of several classes."""
    if sample is None or sample.row is not None or len(sample.columns) > 1 or not sample.is_fraction:
        return []
    names = sorted(values.unique(), key=natural)
    negative = next((name for name in names if NO.fullmatch(name)), names[0])
    return [Guess("target.negative", negative, "one number is submitted: the probability of any other class", False)]
