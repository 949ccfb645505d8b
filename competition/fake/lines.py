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

EXTENSION = ".jpg"  # of images whose extension the spec leaves open
ROWS_PER_GROUP = 2
LINES_PER_ROW = 2  # where the lines that share their id are the views of a row


@dataclass(frozen=True)
class Lines:
    """frame: every column, as strings. row_of: (L,) the row that each line is of. files: each line's images."""

    frame: pd.DataFrame
    row_of: np.ndarray
    files: list[list[str]]

    @property
    def first(self) -> np.ndarray:
        """(N,) the first line of each row."""
        return np.unique(self.row_of, return_index=True)[1]


def draw_lines(spec: Spec, part: str, source: Source, truth: Truth) -> Lines:
    """The lines of `part` (train, holdout, test). Values differ from part to part, so that files can share a folder."""
    ids, groups = _columns(source.id), _columns(spec.folds.group or "")
    in_images = [column for pattern in source.patterns for column in columns_in(pattern)]
    repeats = 1
    if spec.views is not None and not source.finds_several and set(in_images) - set(ids):
        repeats = LINES_PER_ROW
    row_of = np.repeat(np.arange(len(truth)), repeats)
    # A group's rows are neighbours and hence of different classes: ids may consist of nothing but group and class.
    size = 1 if set(ids) <= set(groups) else ROWS_PER_GROUP
    parsed = [column for pattern in source.parse.values() for column in columns_in(pattern)]
    labels = truth.cells.iloc[row_of].reset_index(drop=True)
    frame = pd.DataFrame(index=labels.index)
    for column in dict.fromkeys([*ids, *groups, *in_images, *parsed]):
        if column in labels:
            frame[column] = labels[column]
        elif column not in source.parse:
            number = row_of // size if column in groups else row_of if column in ids else labels.index
            frame[column] = [_text(part, column, n) for n in number]
    for column in _without_extension(source):
        folder = "images/" if column not in ids and (source.table or "").endswith(".json") else ""
        frame[column] = folder + frame[column] + EXTENSION
    for column, pattern in source.parse.items():
        frame[column] = fill(pattern, frame, part)
    files = _files(spec, source, frame)
    if part != "test":
        frame = frame.assign(**labels)
    return Lines(frame.drop(columns=[column for column in parsed if column not in source.parse]), row_of, files)


def ids_of(source: Source, lines: Lines) -> np.ndarray:
    """(N,) the id of every row."""
    return fill(source.id, lines.frame, source.name).to_numpy(dtype=str)[lines.first]


def _columns(pattern: str) -> list[str]:
    return columns_in(pattern) or ([pattern] if pattern else [])


def _text(part: str, column: str, number: int) -> str:
    """Eight hexadecimal digits: some begin with a zero, some look like a number, all are different."""
    return hashlib.blake2b(f"{part} {column} {number}".encode(), digest_size=4).hexdigest()


def _without_extension(source: Source) -> list[str]:
    """Columns whose values end in the extension, because the pattern does not: train/{file_name}."""
    open_ended = [pattern for pattern in source.patterns if pattern.endswith("}") or not PurePosixPath(pattern).suffix]
    return list(dict.fromkeys(columns_in(pattern)[-1] for pattern in open_ended))


def _files(spec: Spec, source: Source, frame: pd.DataFrame) -> list[list[str]]:
    several = 1 + (spec.views.take or 2) if spec.views else 1  # for a *: one more than is taken
    patterns = [*([source.files] if source.files else []), *source.patterns]
    columns = []
    for pattern in dict.fromkeys(patterns):
        stem = pattern.removesuffix(".*")
        path = fill(stem, frame, source.name) + (EXTENSION if stem != pattern else "")
        numbers = range(1, several + 1) if "*" in stem else [0]
        columns += [path.str.replace("*", str(number), regex=False) for number in numbers]
    return [list(paths) for paths in zip(*columns, strict=True)]
