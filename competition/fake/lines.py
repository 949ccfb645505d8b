"""The lines of a made-up table: ids, groups, and whatever else the spec's patterns name."""

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from competition.fake.truth import Truth
from competition.patterns import columns_in, fill
from competition.spec import Spec
from competition.spec_parts import Source

USUAL = ".jpg"  # of images whose extension the spec leaves open
ROWS_PER_GROUP = 2
LINES_PER_ROW = 2  # where the lines that share their id are the views of a row


@dataclass(frozen=True)
class Lines:
    """ids: (L,) of the row that each line is of; row_of: (L,) its number. files: each line's images.

    frame: what the table holds, as strings.
    """

    ids: np.ndarray
    row_of: np.ndarray
    files: list[list[str]]
    frame: pd.DataFrame

    @property
    def row_ids(self) -> np.ndarray:
        """(N,) the id of each row."""
        return self.ids[np.unique(self.row_of, return_index=True)[1]]


def draw_lines(spec: Spec, part: str, source: Source, truth: Truth) -> Lines:
    """The lines of `part` (train, holdout, test). Values differ from part to part, so that files can share a folder."""
    in_id, in_group = _columns(source.id), _columns(spec.folds.group or "")
    in_images = [column for pattern in source.patterns for column in columns_in(pattern)]
    parsed = [column for pattern in source.parse.values() for column in columns_in(pattern)]
    several = spec.views is not None and not source.finds_several and not set(in_images) <= set(in_id)
    row_of = np.repeat(np.arange(len(truth)), LINES_PER_ROW if several else 1)
    # A group's rows are neighbours and hence of different classes: ids may consist of nothing but group and class.
    group_of = row_of if set(in_id) <= set(in_group) else row_of // ROWS_PER_GROUP
    line = np.arange(len(row_of))
    labels = truth.cells.iloc[row_of].reset_index(drop=True)
    frame = pd.DataFrame(index=labels.index)
    for column in dict.fromkeys([*in_id, *in_group, *in_images, *parsed]):
        if column in labels and part != "test":
            frame[column] = labels[column]
        elif column not in source.parse:
            numbers = group_of if column in in_group else row_of if column in in_id else line
            frame[column] = [_text(part, column, number) for number in numbers]
    for column in _with_extension(source):
        folder = "images/" if column not in in_id and (source.table or "").endswith(".json") else ""
        frame[column] = folder + frame[column] + _extension(spec)
    for column, pattern in source.parse.items():
        frame[column] = fill(pattern, frame, part)
    ids, files = fill(source.id, frame, part).to_numpy(dtype=str), _files(spec, source, frame)
    if part != "test":
        frame = frame.assign(**labels)
    return Lines(ids, row_of, files, frame.drop(columns=set(parsed) - set(source.parse)))


def _columns(pattern: str) -> list[str]:
    return columns_in(pattern) or ([pattern] if pattern else [])


def _text(part: str, column: str, number: int) -> str:
    """Twelve hexadecimal digits: some begin with a zero, some look like a number, all are different."""
    return hashlib.blake2b(f"{part} {column} {number}".encode(), digest_size=6).hexdigest()


def _with_extension(source: Source) -> set[str]:
    """Columns whose values end in the extension, because the pattern that they end does not: train/{file_name}."""
    found = set()
    for pattern in source.patterns:
        while pattern.endswith("}"):
            column = columns_in(pattern)[-1]
            if column not in source.parse:
                found.add(column)
                break
            pattern = source.parse[column]
    return found


def _extension(spec: Spec) -> str:
    """What image names end in where a pattern does not say so: what another of the spec's patterns says."""
    said = [PurePosixPath(pattern).suffix for source in spec.sources for pattern in source.patterns]
    return next((suffix for suffix in said if suffix[1:].isalnum()), USUAL)


def _files(spec: Spec, source: Source, frame: pd.DataFrame) -> list[list[str]]:
    several = 1 + (spec.views.take or 2) if spec.views else 1  # for a *: one more than is taken
    patterns = [*([source.files] if source.files else []), *source.patterns]
    columns = []
    for pattern in dict.fromkeys(patterns):
        stem = pattern.removesuffix(".*")
        path = fill(stem, frame, source.name) + (_extension(spec) if stem != pattern else "")
        numbers = range(1, several + 1) if "*" in stem else [0]
        columns += [path.str.replace("*", str(number), regex=False) for number in numbers]
    return [list(paths) for paths in zip(*columns, strict=True)]
