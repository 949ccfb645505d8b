"""The contest's CSV tables as checked rows: unique string ids, known labels, an image for every id."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from competition.contest import Contest
from competition.errors import DataError
from competition.images import Picture
from competition.spec import Holdout, Labelled, Spec, Test


@dataclass(frozen=True)
class Rows:
    """What is predicted one by one: in most contests an image, in some a patient with several.

    ids: (N,) strings, unique. images: V pictures, each row's together, in the order of the rows. row_of: (V,) int64,
    the row of each picture. labels: as `Target.family` says, (N,) int64 class indices or an (N, C) array of uint8
    (labels) or float32 (shares, values); None for the test rows. groups: (N,) strings, or None without groups.
    """

    ids: np.ndarray
    images: tuple[Picture, ...]
    row_of: np.ndarray
    labels: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def first(self) -> np.ndarray:
        """(N,) the place in `images` of each row's first picture."""
        return np.searchsorted(self.row_of, np.arange(len(self.ids)))

    def picture(self, row: int) -> Picture:
        """The first picture of a row: what is shown of it."""
        return self.images[self.first[row]]


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV with every value as the string it is in the file ("00012" and "1e5" stay what they are).

    Raises DataError when the file is missing, empty or not a CSV, or lacks one of `columns`.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist. Download the data first: python -m competition download -c CONTEST")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: cannot be read as a CSV table: {error}") from error
    for column in columns:
        if column not in table.columns:
            found = ", ".join(map(repr, table.columns))
            raise DataError(
                f"{path}: column {column!r} is missing; found {found}. Correct the file or the spec's column name."
            )
    if table.empty:
        raise DataError(f"{path}: no rows")
    return table


def read_ids(path: Path, table: pd.DataFrame, column: str) -> np.ndarray:
    """The ids in `column`, (N,) strings. Raises DataError naming the first empty or repeated one and its line."""
    ids = table[column]
    for problem, rows in (("is empty", ids == ""), ("occurs twice", ids.duplicated())):
        if rows.any():
            row = int(np.argmax(rows))
            raise DataError(f"{path}, line {row + 2}: id {ids.iloc[row]!r} {problem}. Remove or correct the line.")
    return ids.to_numpy(dtype=str)


def load_train(contest: Contest) -> Rows:
    """The training rows; with `holdout.use: train`, the official holdout's rows follow them.

    Raises DataError for a missing file or column, a repeated id, an unknown label, or an id without its image.
    """
    spec = contest.spec
    rows = _labelled(contest, spec.train, spec.folds.group)
    if spec.holdout is None or spec.holdout.use != "train" or _absent(contest, spec.holdout):
        return rows
    more = _labelled(contest, spec.holdout, spec.folds.group)
    both = np.intersect1d(rows.ids, more.ids)
    if len(both):
        raise DataError(f"{contest.data / spec.holdout.table}: id {str(both[0])!r} is also in {spec.train.table}")
    groups = None if rows.groups is None else np.concatenate([rows.groups, more.groups])
    labels = np.concatenate([rows.labels, more.labels])
    return Rows(np.concatenate([rows.ids, more.ids]), rows.images + more.images, labels, groups)


def load_holdout(contest: Contest) -> Rows | None:
    """The official holdout's rows, or None where the spec has none to score (or an optional one is not there)."""
    holdout = contest.spec.holdout
    if holdout is None or holdout.use != "score" or _absent(contest, holdout):
        return None
    return _labelled(contest, holdout, None)


def load_test(contest: Contest) -> Rows:
    """The rows to predict. Raises DataError as `load_train`."""
    test = contest.spec.test
    path = contest.data / test.table
    table = read_table(path, [test.id])
    return Rows(read_ids(path, table, test.id), _images(contest, test, path, table))


def _absent(contest: Contest, holdout: Holdout) -> bool:
    return holdout.optional and not (contest.data / holdout.table).exists()


def _labelled(contest: Contest, source: Labelled, group: str | None) -> Rows:
    path = contest.data / source.table
    table = read_table(path, [source.id, source.label, *([group] if group else [])])
    ids = read_ids(path, table, source.id)
    labels = _labels(contest.spec, path, table[source.label])
    groups = table[group].to_numpy(dtype=str) if group else None
    return Rows(ids, _images(contest, source, path, table), labels, groups)


def _labels(spec: Spec, path: Path, column: pd.Series) -> np.ndarray:
    labels = pd.Index(spec.target.classes).get_indexer(column).astype(np.int64)
    if (labels < 0).any():
        row = int(np.argmax(labels < 0))
        known = ", ".join(spec.target.classes[:20])
        raise DataError(
            f"{path}, line {row + 2}: label {column.iloc[row]!r} is not one of the spec's classes ({known})"
        )
    return labels


def _images(contest: Contest, source: Labelled | Test, path: Path, table: pd.DataFrame) -> tuple[Path, ...]:
    columns = re.findall(r"\{([^{}]+)\}", source.images)
    for column in columns:
        if column not in table.columns:
            raise DataError(f"{path}: column {column!r}, named by the image path {source.images!r}, is missing")
    images = []
    for row, values in enumerate(zip(*(table[column] for column in columns), strict=True)):
        value_of = dict(zip(columns, values, strict=True))
        relative = re.sub(r"\{([^{}]+)\}", lambda match, of=value_of: of[match[1]], source.images)
        # The table comes from outside: an id such as ../../x must not lead out of the data folder.
        if ".." in Path(relative).parts or Path(relative).is_absolute():
            raise DataError(f"{path}, line {row + 2}: image path {relative!r} leads outside the data folder")
        image = contest.data / relative
        if not image.is_file():
            raise DataError(f"{path}, line {row + 2}: id {table[source.id].iloc[row]!r} has no image {image}")
        images.append(image)
    return tuple(images)
