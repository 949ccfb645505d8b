"""A contest's rows, checked: unique string ids, known labels, images for every id."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from competition.contest import Contest
from competition.errors import DataError, SpecError
from competition.images import Picture
from competition.patterns import columns_in, fill
from competition.rows.labels import classes_of, read_labels
from competition.rows.locate import evenly, locate
from competition.rows.sources import Table, read_csv, read_source
from competition.spec_parts import Holdout, Labelled, Source, Views


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
    """Read a CSV with every value as the string it is in the file.

    Raises DataError when the file is missing, empty or not a CSV, or lacks one of `columns`.
    """
    table = read_csv(path)
    for column in columns:
        if column not in table.columns:
            found = ", ".join(map(repr, table.columns))
            raise DataError(
                f"{path}: column {column!r} is missing; found {found}. Correct the file or the spec's column name."
            )
    return table


def read_ids(path: Path, table: pd.DataFrame, column: str) -> np.ndarray:
    """The ids in `column` of a CSV, (N,) strings. Raises DataError naming the first empty or repeated one's line."""
    return _unique(Table(table, path), table[column])


def load_train(contest: Contest) -> Rows:
    """The training rows; with `holdout.use: train`, the official holdout's rows follow them.

    Raises DataError for a missing file or column, a repeated id, an unknown label, or an id without its image.
    """
    spec = contest.spec
    rows = _load(contest, spec.train, spec.folds.group)
    if spec.holdout is None or spec.holdout.use != "train" or is_absent(contest, spec.holdout):
        return rows
    more = _load(contest, spec.holdout, spec.folds.group)
    both = np.intersect1d(rows.ids, more.ids)
    if len(both):
        raise DataError(f"{contest.data / spec.holdout.name}: id {str(both[0])!r} is also in {spec.train.name}")
    groups = None if rows.groups is None else np.concatenate([rows.groups, more.groups])
    return Rows(
        np.concatenate([rows.ids, more.ids]),
        rows.images + more.images,
        np.concatenate([rows.row_of, more.row_of + len(rows)]),
        np.concatenate([rows.labels, more.labels]),
        groups,
    )


def load_holdout(contest: Contest) -> Rows | None:
    """The official holdout's rows, or None where the spec has none to score (or an optional one is not there)."""
    holdout = contest.spec.holdout
    if holdout is None or holdout.use != "score" or is_absent(contest, holdout):
        return None
    return _load(contest, holdout, None)


def load_test(contest: Contest) -> Rows:
    """The rows to predict. Raises DataError as `load_train`."""
    return _load(contest, contest.spec.test, None)


def discover_classes(contest: Contest) -> tuple[str, ...]:
    """The classes of a target that declares none. Raises DataError as `load_train`."""
    train = contest.spec.train
    return classes_of(contest.spec.target, train, read_source(contest, train))


def is_absent(contest: Contest, holdout: Holdout) -> bool:
    """Whether an optional holdout's table is not there."""
    return holdout.optional and holdout.table is not None and not (contest.data / holdout.table).exists()


def _load(contest: Contest, source: Source, group: str | None) -> Rows:
    table = read_source(contest, source)
    where = str(table.path)
    ids = fill(source.id, table.frame, where)
    labels = read_labels(contest.spec.target, contest.classes, source, table) if isinstance(source, Labelled) else None
    groups = fill(group, table.frame, where).to_numpy(dtype=str) if group else None
    if groups is not None:  # who belongs to no group stands alone
        alone = (table.frame[columns_in(group) or [group]] == "").all(axis=1)
        groups = np.where(alone, ids, groups).astype(str)
    if not contest.spec.merges:
        _unique(table, ids)
    pictures = locate(contest, source, table)
    for row, found in enumerate(pictures):
        if not found:
            missing = sum(not each for each in pictures)
            expected = " or ".join(fill(pattern, table.frame.iloc[[row]], where).iloc[0] for pattern in source.patterns)
            raise DataError(
                f"{table.place(row)}: id {ids.iloc[row]!r} has no image {contest.data / expected} ({missing} such rows)"
            )
    names = ids.to_numpy(dtype=str)
    if contest.spec.merges:
        return _merged(contest, table, names, pictures, labels, groups)
    images = tuple(picture for found in pictures for picture in found)
    return Rows(names, images, np.arange(len(names)), labels, groups)


def _merged(
    contest: Contest,
    table: Table,
    ids: np.ndarray,
    pictures: list[tuple[Picture, ...]],
    labels: np.ndarray | None,
    groups: np.ndarray | None,
) -> Rows:
    """Lines with the same id as one row: all their pictures, and any of their labels."""
    number, names = pd.factorize(ids)  # in the order of their first line
    empty = ids == ""
    if empty.any():
        raise DataError(f"{table.place(int(np.argmax(empty)))}: the id is empty. Remove or correct it.")
    first = np.unique(number, return_index=True)[1]
    views = contest.spec.views
    own: list[dict[Picture, None]] = [{} for _ in names]  # a set that keeps its order
    for row, found in zip(number, pictures, strict=True):
        own[row] |= dict.fromkeys(found)
    chosen = [tuple(found) if views is None else _chosen(tuple(found), views) for found in own]
    merged = labels
    if labels is not None:
        merged = labels[first].copy()
        if contest.spec.target.family == "labels":
            np.maximum.at(merged, number, labels)
        else:
            _agree(table, ids, number, labels, first, "label")
    if groups is not None:
        _agree(table, ids, number, groups, first, "group")
        groups = groups[first]
    row_of = np.repeat(np.arange(len(names)), [len(found) for found in chosen])
    images = tuple(picture for found in chosen for picture in found)
    return Rows(names.astype(str), images, row_of, merged, groups)


def _chosen(found: tuple[Picture, ...], views: Views) -> tuple[Picture, ...]:
    """The pictures of a row that stay, as `views` says; one of all their files where they are stacked."""
    if not views.stack:
        return evenly(found, views)
    if len(found) == 1 and len(found[0].files) > 1:  # a pattern has found them all
        return found
    if any(picture.index is not None for picture in found):
        raise SpecError("views.stack: images in arrays cannot be stacked; without it, each is predicted by itself")
    files = tuple(file for picture in found for file in picture.files)
    return (Picture(evenly(files, views), None, found[0].pixels),)


def _agree(table: Table, ids: np.ndarray, number: np.ndarray, values: np.ndarray, first: np.ndarray, what: str) -> None:
    differs = values != values[first][number]
    differs = differs.reshape(len(ids), -1).any(axis=1)
    if differs.any():
        row = int(np.argmax(differs))
        raise DataError(f"{table.place(row)}: id {str(ids[row])!r} has another {what} than in an earlier {table.unit}")


def _unique(table: Table, ids: pd.Series) -> np.ndarray:
    for problem, rows in (("is empty", ids == ""), ("occurs twice", ids.duplicated())):
        if rows.any():
            row = int(np.argmax(rows))
            raise DataError(f"{table.place(row)}: id {ids.iloc[row]!r} {problem}. Remove or correct the line.")
    return ids.to_numpy(dtype=str)
