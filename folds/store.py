"""folds.csv: written once, read by everything, identified by its SHA-256."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from competition.contest import Contest
from competition.errors import DataError
from competition.files import atomic_open, sha256_of
from competition.rows.tables import Rows, read_ids, read_table


@dataclass(frozen=True)
class Split:
    """fold: (N,) int, in the order of the training rows it was read for. sha256: hash of the file it came from."""

    fold: np.ndarray
    sha256: str

    @property
    def n(self) -> int:
        return int(self.fold.max()) + 1


def write_folds(contest: Contest, rows: Rows, fold: np.ndarray) -> None:
    """Write id, fold (and group) for the training rows."""
    table = pd.DataFrame({"id": rows.ids, "fold": fold})
    if rows.groups is not None:
        table["group"] = rows.groups
    with atomic_open(contest.folds_file) as file:
        table.to_csv(file, index=False, lineterminator="\n")


def read_folds(contest: Contest, rows: Rows) -> Split:
    """Read the split of `rows`, in their order.

    Raises DataError when the file is missing, holds other ids than the training table, another number of folds than the
    spec, a fold that is not a number, or a group in two folds.
    """
    path, spec = contest.folds_file, contest.spec
    if not path.is_file():
        raise DataError(f"{path} does not exist. Write the split first: python -m folds {contest.options}")
    table = read_table(path, ["id", "fold"])
    position = pd.Index(read_ids(path, table, "id")).get_indexer(rows.ids)
    renew = (
        f"If the data or the spec changed on purpose, delete {path} (its runs then no longer count) and split again."
    )
    if (position < 0).any() or len(table) != len(rows):
        missing = rows.ids[position < 0]
        which = (
            f"id {str(missing[0])!r} has no fold"
            if len(missing)
            else f"{len(table) - len(rows)} ids are not in the table"
        )
        raise DataError(f"{path} is not a split of {contest.data / spec.train.name}: {which}. {renew}")
    known = table["fold"].isin([str(k) for k in range(spec.folds.n)])
    if not known.all() or table["fold"].nunique() != spec.folds.n:
        raise DataError(f"{path}: the spec asks for folds 0…{spec.folds.n - 1}; the file holds others. {renew}")
    fold = table["fold"].astype(int).to_numpy()[position]
    if rows.groups is not None:
        straddling = pd.Series(fold).groupby(rows.groups).nunique()
        if (straddling > 1).any():
            raise DataError(f"{path}: group {str(straddling.idxmax())!r} is in more than one fold. {renew}")
    return Split(fold, sha256_of(path))
