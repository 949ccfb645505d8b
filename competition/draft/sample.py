"""What the sample submission says of the contest: its rows, its columns, and what stands in them."""

import re
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from competition.draft.tables import Found


@dataclass(frozen=True)
class Sample:
    """id: the column that names the rows. columns: the others. row: pattern of the ids of a long file, whose rows are
    named by `rows` and whose classes are `classes`."""

    table: Found
    id: str
    columns: tuple[str, ...]
    row: str | None = None
    classes: tuple[str, ...] = ()

    @property
    def ids(self) -> pd.Series:
        return self.table.frame[self.id]

    @cached_property
    def rows(self) -> pd.Series:
        """The ids of what is predicted: of a long file, without the classes."""
        if self.row is None:
            return self.ids
        between = self.row.removeprefix("{id}").removesuffix("{class}")
        endings = "|".join(re.escape(between + name) for name in sorted(self.classes, key=len, reverse=True))
        return self.ids.str.replace(f"(?:{endings})$", "", regex=True).drop_duplicates()

    @cached_property
    def values(self) -> pd.Series:
        """What stands in the value columns, distinct."""
        frame = self.table.frame.iloc[:2_000]
        return pd.concat([frame[column] for column in self.columns]).drop_duplicates()

    @property
    def is_fraction(self) -> bool:
        """Whether the values are numbers, and not all whole."""
        numbers = pd.to_numeric(self.values, errors="coerce")
        return bool(numbers.notna().all() and self.values.str.contains(r"[.e]", regex=True).any())


def find_sample(tables: list[Found]) -> Sample | None:
    """The sample submission among the tables, if there is one."""
    likely = [table for table in tables if re.search("sample|submi", table.stem) and len(table.frame.columns) > 1]
    if not likely:
        return None
    table = max(likely, key=lambda table: ("sample" in table.stem, "submi" in table.stem, -len(table.name)))
    columns = list(table.frame.columns)
    if re.fullmatch(r"|Unnamed: \d+|index", columns[0]) and len(columns) > 2:
        columns = columns[1:]  # the index of whoever wrote the file
    return Sample(table, columns[0], tuple(columns[1:]))


def read_long(sample: Sample, classes: tuple[str, ...]) -> Sample:
    """The sample with its ids taken apart, where each ends with one of these classes."""
    if len(sample.columns) != 1 or len(classes) < 2:
        return sample
    ending = "|".join(re.escape(name) for name in sorted(classes, key=len, reverse=True))
    parts = sample.ids.str.extract(f"^(.+)([_\\-. :/|])({ending})$")
    if parts.isna().any(axis=None) or parts[1].nunique() > 1 or parts[2].nunique() < 2:
        return sample
    found = tuple(name for name in classes if name in set(parts[2]))
    return replace(sample, row=f"{{id}}{parts[1].iloc[0]}{{class}}", classes=found)
