"""What is wrong with a submission, found before Kaggle lets it pass or scores it as something else."""

from pathlib import Path

import numpy as np
import pandas as pd

from competition.contest import Contest
from competition.errors import DataError, SpecError, SubmissionError
from competition.rows.labels import shown
from competition.rows.tables import read_ids
from competition.submissions.sample import Sample
from competition.submissions.values import is_distribution, split_names


def check_table(contest: Contest, sample: Sample, table: pd.DataFrame, path: Path) -> None:
    """Compare a table with the sample. Raises SubmissionError; `path` is what messages call it."""
    submission = contest.spec.submission
    expected = [submission.id, *sample.columns]
    if list(table.columns) != expected:
        raise SubmissionError(f"{path}: columns are {list(table.columns)}, expected exactly {expected}")
    if not isinstance(table.index, pd.RangeIndex):  # pandas took what was too much for an index
        raise SubmissionError(f"{path}: its lines have more values than the {len(expected)} columns of its header")
    try:
        ids = read_ids(path, table, submission.id)
    except DataError as error:
        raise SubmissionError(str(error)) from error
    check_ids(path, ids, sample.path, sample.lines)
    if submission.kind in ("probability", "value"):
        _check_numbers(contest, sample, path, ids, table[list(sample.columns)])
    else:
        _check_names(contest, path, ids, table[submission.column])


def check_ids(path: Path, ids: np.ndarray, sample_path: Path, expected: np.ndarray) -> None:
    """Raises SubmissionError where the two sets differ; both hold each id once."""
    found, sample = pd.Index(ids), pd.Index(expected)
    missing, extra = sample.difference(found, sort=False), found.difference(sample, sort=False)
    if len(missing):
        raise SubmissionError(
            f"{path}: {len(missing)} ids of {sample_path} are missing, the first is {str(missing[0])!r}"
        )
    if len(extra):
        raise SubmissionError(f"{path}: {len(extra)} ids are not in {sample_path}, the first is {str(extra[0])!r}")


def check_delimiter(contest: Contest) -> None:
    """Raises SpecError where a class cannot be told from two: its name holds what stands between names."""
    submission = contest.spec.submission
    torn = [name for name in contest.classes if submission.delimiter in name]
    if submission.kind in ("labels", "top_k") and torn:
        raise SpecError(
            f"submission.delimiter: {submission.delimiter!r} is part of the class name {torn[0]!r}; set the one that "
            "the sample submission uses"
        )


def _check_numbers(contest: Contest, sample: Sample, path: Path, ids: np.ndarray, columns: pd.DataFrame) -> None:
    value = contest.spec.target.family == "values"
    what = "value" if value else "probability"
    numbers = columns.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    _all_rows(path, ids, np.isfinite(numbers).all(axis=1), f"has an empty, non-numeric or infinite {what}")
    least, greatest = (contest.spec.target.range or (-np.inf, np.inf)) if value else (0, 1)
    inside = ((numbers >= least) & (numbers <= greatest)).all(axis=1)
    _all_rows(path, ids, inside, f"has a {what} outside {least:g}…{greatest:g}")
    if not is_distribution(contest, sample):
        return
    if sample.class_of is None:
        sums = numbers.sum(axis=1)
    else:
        row = sample.row_of[pd.Index(sample.lines).get_indexer(ids)]
        whole = np.bincount(row) == len(sample.classes)  # of the others, the sample wants a part only
        sums = np.where(whole, np.bincount(row, numbers[:, 0]), 1)[row]
    _all_rows(path, ids, np.abs(sums - 1) < 1e-3, "has probabilities that do not sum to 1")


def _check_names(contest: Contest, path: Path, ids: np.ndarray, cells: pd.Series) -> None:
    check_delimiter(contest)
    parts, k = split_names(contest, cells), contest.spec.submission.k

    def refuse(bad: np.ndarray, problem: str) -> None:
        """Over the first part that is bad."""
        if bad.any():
            first = parts.iloc[int(np.argmax(bad))]
            good = ~np.isin(np.arange(len(ids)), parts["line"][bad])
            _all_rows(path, ids, good, problem.format(name=first["name"]))

    refuse((parts["name"] == "").to_numpy(), "has an empty class name: no class, or a delimiter too many")
    refuse((parts["class"] < 0).to_numpy(), f"has {{name!r}}, which is not one of the classes {_braced(contest)}")
    refuse(parts.duplicated(["line", "class"]).to_numpy(), "has the class {name!r} twice")
    if k is not None:
        expected = min(k, len(contest.classes))  # one less costs points, one more is not read
        counts = np.bincount(parts["line"], minlength=len(ids))
        _all_rows(path, ids, counts == expected, f"has not exactly {expected} classes")


def _braced(contest: Contest) -> str:
    return shown(contest.classes).replace("{", "{{").replace("}", "}}")


def _all_rows(path: Path, ids: np.ndarray, good: np.ndarray, problem: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise SubmissionError(
            f"{path}, line {row + 2}: id {str(ids[row])!r} {problem} ({int((~good).sum())} such rows)"
        )
