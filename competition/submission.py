"""The submission file: written in the sample's order, and checked more strictly than Kaggle's graders do."""

from pathlib import Path

import numpy as np
import pandas as pd

from competition.contest import Contest
from competition.errors import DataError, SubmissionError
from competition.files import atomic_open
from competition.spec import Spec
from competition.tables import read_ids, read_table


def columns_of(spec: Spec) -> list[str]:
    """The submission's columns, id first."""
    submission = spec.submission
    return [submission.id, *([submission.column] if submission.column else spec.target.classes)]


def write_submission(contest: Contest, path: Path, ids: np.ndarray, probabilities: np.ndarray) -> None:
    """Write predictions as the contest's submission, in the order of its sample, and check the result.

    Args:
        ids: (N,) strings, the test ids in any order.
        probabilities: (N, C) in the order of the spec's classes.

    Raises SubmissionError when ids and sample differ; nothing is written then.
    """
    spec = contest.spec
    sample = _sample_ids(contest)
    position = pd.Index(ids).get_indexer(sample)
    _same_ids(Path("the predictions"), contest.data / spec.submission.sample, pd.Index(ids), pd.Index(sample))
    ordered = probabilities[position]
    if spec.submission.kind == "label":
        values = np.asarray(spec.target.classes)[ordered.argmax(axis=1)][:, None]
    elif spec.target.kind == "binary":
        values = ordered[:, 1:2].astype(np.float64)
    else:
        # Rows sum to 1 in float64, whatever float32 made of them.
        values = ordered.astype(np.float64) / ordered.sum(axis=1, keepdims=True, dtype=np.float64)
    table = pd.DataFrame(values, columns=columns_of(spec)[1:])
    table.insert(0, spec.submission.id, sample)
    check_table(contest, table, path)
    with atomic_open(path) as file:
        table.to_csv(file, index=False, lineterminator="\n")


def check_submission(contest: Contest, path: Path) -> int:
    """Check a submission file against the sample; return its number of rows.

    Raises SubmissionError naming the file and the first bad row: other columns, ids that are missing, unknown or
    repeated, empty or non-finite values, unknown classes, probabilities outside 0…1, rows that do not sum to 1.
    """
    try:
        table = read_table(path, columns_of(contest.spec))
    except DataError as error:
        raise SubmissionError(str(error)) from error
    check_table(contest, table, path)
    return len(table)


def check_table(contest: Contest, table: pd.DataFrame, path: Path) -> None:
    """`check_submission` for a table in memory; `path` is the name used in messages."""
    spec = contest.spec
    expected = columns_of(spec)
    if list(table.columns) != expected:
        raise SubmissionError(f"{path}: columns are {list(table.columns)}, expected exactly {expected}")
    try:
        ids = read_ids(path, table, spec.submission.id)
    except DataError as error:
        raise SubmissionError(str(error)) from error
    _same_ids(path, contest.data / spec.submission.sample, pd.Index(ids), pd.Index(_sample_ids(contest)))
    if spec.submission.kind == "label":
        known = table[spec.submission.column].isin(spec.target.classes)
        if not known.all():
            row = int(np.argmin(known))
            value = table[spec.submission.column].iloc[row]
            raise SubmissionError(
                f"{path}, line {row + 2}: {value!r} is not one of the classes {', '.join(spec.target.classes)}"
            )
        return
    numbers = table[expected[1:]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    _all_rows(path, ids, np.isfinite(numbers).all(axis=1), "has an empty, non-numeric or infinite probability")
    _all_rows(path, ids, ((numbers >= 0) & (numbers <= 1)).all(axis=1), "has a probability outside 0…1")
    if numbers.shape[1] > 1:
        _all_rows(path, ids, np.abs(numbers.sum(axis=1) - 1) < 1e-3, "has probabilities that do not sum to 1")


def _all_rows(path: Path, ids: np.ndarray, good: np.ndarray, problem: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise SubmissionError(
            f"{path}, line {row + 2}: id {str(ids[row])!r} {problem} ({int((~good).sum())} such rows)"
        )


def _sample_ids(contest: Contest) -> np.ndarray:
    path = contest.data / contest.spec.submission.sample
    return read_ids(path, read_table(path, [contest.spec.submission.id]), contest.spec.submission.id)


def _same_ids(path: Path, sample_path: Path, ids: pd.Index, sample: pd.Index) -> None:
    missing, extra = sample.difference(ids, sort=False), ids.difference(sample, sort=False)
    if len(missing):
        raise SubmissionError(
            f"{path}: {len(missing)} ids of {sample_path} are missing, the first is {str(missing[0])!r}"
        )
    if len(extra):
        raise SubmissionError(f"{path}: {len(extra)} ids are not in {sample_path}, the first is {str(extra[0])!r}")
