"""The submission file: written with the sample's lines and columns, and checked more strictly than Kaggle does."""

from pathlib import Path

import numpy as np
import pandas as pd

from competition.contest import Contest
from competition.errors import DataError, SubmissionError
from competition.files import atomic_open
from competition.rows.tables import read_table
from competition.sparse import Sparse
from competition.submissions.checking import check_delimiter, check_ids, check_table
from competition.submissions.sample import Sample, read_sample
from competition.submissions.values import from_names, from_numbers, to_names, to_numbers


def write_submission(contest: Contest, path: Path, ids: np.ndarray, predictions: np.ndarray | Sparse) -> None:
    """Write predictions as the contest's submission, with the lines and columns of its sample, and check the result.

    Args:
        ids: (N,) strings, those of the sample's rows in any order.
        predictions: (N, C) in the order of the contest's classes; where the metric judges choices, already made: one
            class, or 0 and 1 (what is at least 0.5 counts as chosen).

    Raises:
        SubmissionError: ids and sample differ, or a prediction is not what a submission may hold.
        DataError, SpecError: the sample is not what the spec says. Nothing is written then.
    """
    spec, sample = contest.spec, read_sample(contest)
    check_delimiter(contest)
    index = pd.Index(ids)
    if not index.is_unique:
        raise SubmissionError(f"the predictions: id {str(index[index.duplicated()][0])!r} occurs twice")
    check_ids(Path("the predictions"), ids, sample.path, sample.ids)
    ordered = predictions[index.get_indexer(sample.ids)]
    if spec.submission.kind in ("probability", "value"):
        numbers = to_numbers(contest, sample, ordered)
        values = numbers if sample.class_of is None else numbers[sample.row_of, sample.class_of][:, None]
    else:
        values = to_names(contest, ordered)[:, None]
    table = pd.DataFrame(values, columns=list(sample.columns))
    table.insert(0, spec.submission.id, sample.lines)
    check_table(contest, sample, table, path)
    with atomic_open(path) as file:
        table.to_csv(file, index=False, lineterminator="\n")


def check_submission(contest: Contest, path: Path) -> int:
    """Check a submission file against the sample; return its number of lines.

    Raises:
        SubmissionError: naming the file and the first bad line: other columns; ids that are missing, unknown or
            repeated; numbers that are empty, infinite or out of range; rows that do not sum to 1; classes that are
            unknown, named twice, or too many.
        DataError, SpecError: the sample is not what the spec says.
    """
    return len(_read(contest, path)[1])


def read_submission(contest: Contest, path: Path, ids: np.ndarray) -> np.ndarray:
    """The predictions (N, C) float64 that a submission file makes for the sample's rows `ids`, in that order.

    Raises as `check_submission`.
    """
    sample, table = _read(contest, path)
    spec = contest.spec
    table = table.set_index(spec.submission.id).loc[sample.lines]
    if spec.submission.kind in ("probability", "value"):
        numbers = table[list(sample.columns)].apply(pd.to_numeric).to_numpy(np.float64)
        if sample.class_of is not None:
            lines, numbers = numbers[:, 0], np.zeros((len(sample.ids), len(sample.classes)))
            numbers[sample.row_of, sample.class_of] = lines
        predictions = from_numbers(contest, sample, numbers)
    else:
        predictions = from_names(contest, table[spec.submission.column])
    return predictions[pd.Index(sample.ids).get_indexer(ids)]


def _read(contest: Contest, path: Path) -> tuple[Sample, pd.DataFrame]:
    sample = read_sample(contest)
    try:
        table = read_table(path, [contest.spec.submission.id, *sample.columns])
    except DataError as error:
        raise SubmissionError(str(error)) from error
    check_table(contest, sample, table, path)
    return sample, table
