"""Tables of strings from whatever a contest keeps its rows in: CSV, JSON records, COCO, or the names of the files."""

import csv
import glob
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from competition.contest import Contest
from competition.errors import DataError
from competition.files import atomic_open
from competition.patterns import as_glob, capture
from competition.spec_parts import Source

BLOCK = 1 << 20  # characters of JSON read at a time
_BETWEEN = re.compile(r"[ \t\r\n,]*")  # the records of a list


@dataclass(frozen=True)
class Table:
    """frame: every value a string. path: the file behind it; unit: what one of its rows is called in messages.

    arrays: a .npy of (N, planes, height, width) float32, row by row, where the rows hold their images.
    """

    frame: pd.DataFrame
    path: Path
    unit: str = "line"
    arrays: Path | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def place(self, row: int) -> str:
        """Where row `row` stands, for messages."""
        return f"{self.path}, {self.unit} {row + (2 if self.unit == 'line' else 1)}"


def read_source(contest: Contest, source: Source) -> Table:
    """All rows of a source, with the columns that `parse` makes.

    Raises DataError naming file and line: a missing or unreadable file, no rows, text that does not fit a pattern.
    """
    if source.files is not None:
        table = _files(contest, source)
    else:
        path = contest.data / source.table
        if path.suffix.lower() == ".json":
            table = _json(path, source, contest.runs / "cache")
        else:
            table = Table(read_csv(path, source.encoding), path)
    for column, pattern in source.parse.items():
        table = _parsed(table, column, pattern, contest.spec.known_classes)
    return table


def read_csv(path: Path, encoding: str = "utf-8") -> pd.DataFrame:
    """Read a CSV or TSV with every value as the string it is in the file ("00012" and "1e5" stay what they are).

    Raises DataError when the file is missing, has no rows, is not a table, or not in that encoding.
    """
    _require(path)
    options = {"dtype": str, "keep_default_na": False, "sep": "\t" if path.suffix.lower() == ".tsv" else ","}
    try:
        frame = pd.read_csv(path, encoding=_encoding(encoding), **options)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: cannot be read as a CSV table: it is not {encoding} ({error.reason}, byte {error.start}). "
            f"Set encoding in the spec; latin-1 and cp1252 are common."
        ) from error
    except (ValueError, LookupError, csv.Error, pd.errors.ParserError) as error:
        raise DataError(f"{path}: cannot be read as a CSV table: {error}") from error
    if frame.empty:
        raise DataError(f"{path}: no rows")
    if len(frame.columns) == 1 and ";" in frame.columns[0]:
        raise DataError(
            f"{path}: its columns are separated by semicolons. Write it with commas, or with tabs as a .tsv"
        )
    return frame


def read_json(path: Path, encoding: str = "utf-8") -> pd.DataFrame:
    """Read JSON records or a COCO file with every value as a string; lists are left out. Raises as `read_csv`."""
    _require(path)
    stat = path.stat()
    return _read_json(path, encoding, (), None, stat.st_mtime_ns, stat.st_size)[0]


def _files(contest: Contest, source: Source) -> Table:
    """A row for every file that fits the pattern. Where classes are declared, other folders' files are no rows."""
    pattern, place = source.files, contest.data / source.files
    found = sorted(glob.iglob(as_glob(pattern), root_dir=contest.data))  # noqa: PTH207 - many: strings are faster
    paths = pd.Series([path.replace("\\", "/") for path in found], dtype=str)
    label = getattr(source, "label", None)
    classes = contest.spec.target.classes
    frame = capture(pattern, paths, {label: classes} if isinstance(label, str) and classes else None)
    fits = frame.notna().all(axis=1)
    if not fits.any():
        raise DataError(f"{place}: no file fits this pattern. Download the data first, or correct the spec.")
    frame = frame[fits].reset_index(drop=True)
    # The exact file, for an image pattern that ends in .* or says nothing of its own.
    return Table(frame.assign(**{FILE: paths[fits].to_numpy()}), place, "file")


FILE = "\0file"  # column of a files table that no contest can have


def _parsed(table: Table, column: str, pattern: str, classes: tuple[str, ...]) -> Table:
    if column not in table.frame.columns:
        raise DataError(f"{table.path}: column {column!r}, which parse takes apart, is missing")
    # Ids and class names may both hold what stands between them: {id}_{class} of a_b_c.
    parts = capture(pattern, table.frame[column], {"class": classes} if classes else None)
    bad = parts.isna().any(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f"{table.place(row)}: {table.frame[column].iloc[row]!r} does not fit the pattern {pattern!r}")
    return Table(table.frame.assign(**parts), table.path, table.unit, table.arrays)


def _json(path: Path, source: Source, cache: Path) -> Table:
    _require(path)
    stat = path.stat()
    frame, planes = _read_json(path, source.encoding, source.arrays, source.shape, stat.st_mtime_ns, stat.st_size)
    if frame.empty:
        raise DataError(f"{path}: no rows")
    if planes is None:
        return Table(frame, path, "record")
    key = hashlib.sha256(f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}\0{source.arrays}\0{source.shape}".encode())
    arrays = cache / f"{path.stem}-{key.hexdigest()[:16]}.npy"
    if not arrays.is_file():
        with atomic_open(arrays, "wb") as file:
            np.save(file, planes)
    return Table(frame, path, "record", arrays)


@lru_cache(maxsize=2)  # one command reads the training rows more than once
def _read_json(
    path: Path, encoding: str, arrays: tuple[str, ...], shape: tuple[int, int] | None, _mtime: int, _size: int
) -> tuple[pd.DataFrame, np.ndarray | None]:
    try:
        with path.open(encoding=_encoding(encoding)) as file:
            first = file.read(1)
            while first.isspace():
                first = file.read(1)
            if first == "[":
                return _records(path, _stream(file), arrays, shape)
            file.seek(0)
            content = json.load(file)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not {encoding}. Set encoding in the spec; latin-1 is common.") from error
    except (ValueError, LookupError, OSError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}") from error
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return _coco(path, content), None
    if isinstance(content, dict) and all(isinstance(column, dict) for column in content.values()):  # pandas' own format
        records = ({name: column.get(row) for name, column in content.items()} for row in next(iter(content.values())))
        return _records(path, records, arrays, shape)
    raise DataError(f"{path}: neither a list of records nor a COCO file with images")


def _stream(file: IO[str]) -> Iterator[dict[str, Any]]:
    """The records of a JSON list whose bracket has been read: a file of arrays does not fit into memory as objects."""
    decoder, text, at = json.JSONDecoder(), "", 0
    while True:
        at = _BETWEEN.match(text, at).end()
        if text.startswith("]", at):
            return
        try:
            record, at = decoder.raw_decode(text, at)
        except ValueError:
            more = file.read(BLOCK)
            if not more:
                raise
            text, at = text[at:] + more, 0
            continue
        yield record


def _records(
    path: Path, records: Iterator[dict[str, Any]], arrays: tuple[str, ...], shape: tuple[int, int] | None
) -> tuple[pd.DataFrame, np.ndarray | None]:
    rows, images = [], []
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise DataError(f"{path}, record {number}: not a record of names and values")
        if arrays:
            images.append(_planes(f"{path}, record {number}", record, arrays, shape))
            if images[-1].shape != images[0].shape:
                raise DataError(f"{path}, record {number}: its image is {images[-1].shape}, others {images[0].shape}")
        rows.append({name: _text(value) for name, value in record.items() if not isinstance(value, list | dict)})
    return pd.DataFrame(rows, dtype=str).fillna(""), np.stack(images) if images else None


def _planes(place: str, record: dict[str, Any], arrays: tuple[str, ...], shape: tuple[int, int] | None) -> np.ndarray:
    """The record's planes, (planes, height, width) float32."""
    try:
        planes = np.stack([np.asarray(record[name], dtype=np.float32) for name in arrays])
        planes = planes.reshape(len(arrays), *(shape or planes.shape[1:]))
    except KeyError as error:
        raise DataError(f"{place}: {error} of the spec's arrays is missing") from error
    except ValueError as error:
        raise DataError(f"{place}: its arrays are no images of {shape or 'one size'}: {error}") from error
    if planes.ndim != 3:
        raise DataError(f"{place}: its arrays are flat lists; set shape: [height, width] in the spec")
    return planes


def _coco(path: Path, content: dict[str, Any]) -> pd.DataFrame:
    """A row per annotation, or per image where it has none: the image's fields, the annotation's, and `category`."""
    images = _strings(content["images"])
    key = "id" if "id" in images.columns else "image_id"
    if key not in images.columns:
        raise DataError(f"{path}: its images have no id")
    if not content.get("annotations"):
        return images
    marks = _strings(content["annotations"]).drop(columns="id", errors="ignore")
    if "image_id" not in marks.columns:
        raise DataError(f"{path}: its annotations have no image_id")
    categories = _strings(content.get("categories") or [])
    number = "id" if "id" in categories.columns else "category_id"
    if {number, "name"} <= set(categories.columns) and "category_id" in marks.columns:
        marks["category"] = marks["category_id"].map(dict(zip(categories[number], categories["name"], strict=True)))
    twice = [c for c in images.columns if c in marks.columns and c != "image_id"]
    merged = images.drop(columns=twice).merge(marks, left_on=key, right_on="image_id", how="left", suffixes=("", "_2"))
    return merged.fillna("")


def _strings(records: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame([{k: _text(v) for k, v in r.items() if not isinstance(v, list | dict)} for r in records])
    return frame.astype(str) if len(frame) else frame


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _encoding(name: str) -> str:
    return "utf-8-sig" if name.lower().replace("_", "-") == "utf-8" else name  # a byte order mark is no letter


def _require(path: Path) -> None:
    if not path.is_file():
        raise DataError(
            f"{path} does not exist. Download the data first (python -m competition download), say with --data where "
            "they are, or correct the name in the spec"
        )
