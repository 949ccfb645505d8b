"""The tables of a contest's folder, whatever their format and encoding."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from competition.draft.tree import Tree
from competition.errors import DataError
from competition.rows.sources import read_csv, read_json

TABLES_PER_FOLDER = 20  # with more, they are annotations of single images


@dataclass(frozen=True)
class Found:
    """A table. arrays: columns that hold images as lists of numbers; shape: of such a list, where it is flat."""

    name: str
    encoding: str
    frame: pd.DataFrame
    arrays: tuple[str, ...] = ()
    shape: tuple[int, int] | None = None

    @property
    def stem(self) -> str:
        """Its name without folder and extension, in small letters: where its role may be read off."""
        return PurePosixPath(self.name).stem.lower()


def read_tables(tree: Tree) -> list[Found]:
    """Every file of the folder that is a table."""
    in_folder = Counter(PurePosixPath(name).parent for name in tree.tables)
    names = [name for name in tree.tables if in_folder[PurePosixPath(name).parent] <= TABLES_PER_FOLDER]
    tables = []
    for name in names:
        path = tree.root / name
        encoding = _encoding(path)
        try:
            if path.suffix.lower() == ".json":
                tables.append(Found(name, encoding, read_json(path, encoding), *_arrays(path, encoding)))
            else:
                tables.append(Found(name, encoding, read_csv(path, encoding)))
        except DataError:
            continue  # a list of category names, an empty file: nothing to train on
    return [table for table in tables if len(table.frame)]


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
    try:
        with path.open(encoding="utf-8") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _arrays(path: Path, encoding: str) -> tuple[tuple[str, ...], tuple[int, int] | None]:
    """The columns of the first record that hold images, and the shape of a flat and square one."""
    with path.open(encoding=encoding) as file:
        start = file.read(1 << 24).lstrip("\ufeff \t\r\n")
    if not start.startswith("["):
        return (), None
    try:
        record, _ = json.JSONDecoder().raw_decode(start[1:].lstrip())
    except ValueError:
        return (), None
    if not isinstance(record, dict):
        return (), None
    long = {name: value for name, value in record.items() if isinstance(value, list) and len(value) >= 8}
    flat = [len(value) for value in long.values() if isinstance(value[0], int | float)]
    nested = [name for name, value in long.items() if isinstance(value[0], list)]
    if flat and len(flat) == len(long):
        side = math.isqrt(flat[0])
        return (tuple(long), (side, side)) if side * side == flat[0] and len(set(flat)) == 1 else ((), None)
    return tuple(nested), None
