"""The sample submission: which lines and columns a submission has, and what each of them is about."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from competition.contest import Contest
from competition.errors import DataError, SpecError
from competition.patterns import capture, columns_in, fill
from competition.rows.labels import shown
from competition.rows.tables import read_ids, read_table

# What pandas calls a column without a name: an index that the host wrote by mistake.
STRAY = re.compile(r"Unnamed: \d+")
# A whole number that some program wrote as a fraction.
WHOLE = re.compile(r"^(-?\d+)\.0+$")
WRITE_ONE = "a line for every test row, with the columns that the contest's Evaluation page asks for"


@dataclass(frozen=True)
class Sample:
    """A submission of N rows in L lines, in the sample's order.

    path: the sample's. lines: (L,) what the id column holds, unique. columns: those that hold values, in the sample's
    order. ids: (N,) the rows' ids. row_of: (L,) each line's place among them.
    classes: (K,) the indices of the classes whose numbers are submitted: one per column, or in a long file those that
    `class_of` counts; empty where a file holds names, or one number that stands for all classes.
    class_of: in a long file (L,) the place in `classes` of the class that a line is about, else None.
    """

    path: Path
    lines: np.ndarray
    columns: tuple[str, ...]
    ids: np.ndarray
    row_of: np.ndarray
    classes: np.ndarray
    class_of: np.ndarray | None = None


def read_sample(contest: Contest) -> Sample:
    """The contest's sample submission.

    Raises:
        DataError: it is missing, no table, lacks a column, or has one that the spec does not know; an id is empty or
            repeated, or does not fit the pattern of a long file.
        SpecError: the spec's submission names a class that the target does not have.
    """
    submission = contest.spec.submission
    path, classes = contest.data / submission.sample, _submitted(contest)
    if not path.is_file():
        raise DataError(
            f"{path} does not exist. Download the data first (python -m competition download), say with --data where "
            f"they are, or correct submission.sample in the spec. Where the contest has none, write it: {WRITE_ONE}"
        )
    long = submission.row is not None
    by_class = {} if long else _columns_by_class(contest, classes)
    known = [*by_class] or [submission.column]
    table = read_table(path, [submission.id, *known])
    found = [column for column in table.columns if column != submission.id and not STRAY.fullmatch(column)]
    if extra := [column for column in found if column not in known]:
        raise DataError(
            f"{path}: the spec's submission says nothing of column {extra[0]!r}; it knows "
            f"{', '.join(map(repr, [submission.id, *known]))}. Correct the spec."
        )
    if submission.kind in ("label", "labels", "top_k"):
        _warn_of_other_writing(contest, path, table[submission.column])
    lines = read_ids(path, table, submission.id)
    if not long:
        held = np.array([by_class[column] for column in found if by_class], dtype=np.int64)
        return Sample(path, lines, tuple(found), lines, np.arange(len(lines)), held)
    names = [contest.classes[c] for c in classes]
    parts = capture(submission.row, table[submission.id], {"class": tuple(names)})
    strange = parts.isna().any(axis=1).to_numpy()
    if strange.any():
        line = int(np.argmax(strange))
        raise DataError(
            f"{path}, line {line + 2}: {str(lines[line])!r} does not fit submission.row, {submission.row!r}, with one "
            f"of the classes {shown(names)}"
        )
    row_of, ids = pd.factorize(parts["id"])
    class_of = pd.Index(names).get_indexer(parts["class"])
    return Sample(path, lines, tuple(found), ids.to_numpy(dtype=str), row_of, classes, class_of)


def _warn_of_other_writing(contest: Contest, path: Path, cells: pd.Series) -> None:
    """Say on stderr where classes are written 1.0 and the sample says 1, or the reverse: Kaggle may compare text."""
    kind, delimiter = contest.spec.submission.kind, contest.spec.submission.delimiter
    values = cells.unique() if kind == "label" else cells.str.split(delimiter, regex=False).explode().unique()
    known = {WHOLE.sub(r"\1", name): name for name in contest.classes}
    for value in values:
        name = known.get(WHOLE.sub(r"\1", value), value)
        if name != value and value not in contest.classes:
            print(
                f"warning: {path}: a class is written {value!r} there, and {name!r} in the training table and in what "
                "is submitted. If Kaggle does not take that for the same, write the table's labels as the sample does.",
                file=sys.stderr,
            )
            return


def _submitted(contest: Contest) -> np.ndarray:
    """The indices of the classes whose numbers are submitted, each for itself."""
    submission = contest.spec.submission
    if submission.kind not in ("probability", "value") or contest.spec.submits_yes:
        return np.arange(0)
    if submission.classes is None:
        return np.arange(len(contest.classes))
    places = pd.Index(contest.classes).get_indexer(submission.classes)
    if (places < 0).any():
        unknown = submission.classes[int(np.argmax(places < 0))]
        raise SpecError(
            f"submission.classes: {unknown!r} is not one of the target's classes ({shown(contest.classes)})"
        )
    return places


def _columns_by_class(contest: Contest, classes: np.ndarray) -> dict[str, int]:
    """The column that each class has; empty where there is one column for all."""
    column = contest.spec.submission.column
    if len(classes) == 0:
        return {}
    if column is None or columns_in(column):
        names = pd.DataFrame({"class": [contest.classes[c] for c in classes]})
        return dict(zip(fill(column or "class", names, "submission.column"), classes, strict=True))
    if len(classes) == 1:
        return {column: classes[0]}
    raise SpecError(
        f"submission.column: {len(classes)} numbers do not fit into the one column {column!r}. Leave it out where "
        "their columns are called as they are, or write a pattern such as prob_{class}."
    )
