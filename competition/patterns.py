"""Patterns such as train/{label}/{id[0]}/{id}.png: columns of a table made into text, and text taken apart again."""

import glob
import re
from collections.abc import Mapping

import pandas as pd

from competition.errors import DataError

_FIELD = re.compile(r"\{([^{}\[\]]+)(?:\[(-?\d*)(:?)(-?\d*)\])?\}")


def columns_in(pattern: str) -> list[str]:
    """The columns that a pattern names, each once, in order."""
    return list(dict.fromkeys(match[1] for match in _FIELD.finditer(pattern)))


def fill(pattern: str, table: pd.DataFrame, where: str) -> pd.Series:
    """The pattern of every row, as strings: {column}, {column[0]} for a letter, {column[:2]} for several.

    A pattern without {} is the name of one column. Raises DataError when a column is missing; `where` is the file.
    """
    if not columns_in(pattern):
        return _column(table, pattern, pattern, where)
    text, end = pd.Series("", index=table.index), 0
    for match in _FIELD.finditer(pattern):
        values = _column(table, match[1], pattern, where)
        text = text + pattern[end : match.start()] + _cut(values, match)
        end = match.end()
    return text + pattern[end:]


def capture(pattern: str, texts: pd.Series, known: Mapping[str, tuple[str, ...]] | None = None) -> pd.DataFrame:
    """What the pattern's columns are in each text; rows that do not fit hold missing values.

    Args:
        known: columns that can only be one of these values. Other columns are any text without a /.
    """
    expression, end, seen = "", 0, []
    for match in _FIELD.finditer(pattern):
        name = match[1]
        among = "|".join(map(re.escape, sorted((known or {}).get(name, ()), key=len, reverse=True))) or "[^/]+?"
        expression += _any_text(pattern[end : match.start()])
        expression += f"(?P=c{seen.index(name)})" if name in seen else f"(?P<c{len(seen)}>{among})"
        seen += [] if name in seen else [name]
        end = match.end()
    # The last extension is whole: {name}.* of a.b.png is a.b
    found = texts.str.extract(f"^{expression}{_any_text(pattern[end:])}$")
    return found.set_axis(seen, axis=1)


def as_glob(pattern: str) -> str:
    """What finds the files that may fit a pattern."""
    text, end = "", 0
    for match in _FIELD.finditer(pattern):
        text += _escaped(pattern[end : match.start()]) + "*"
        end = match.end()
    return text + _escaped(pattern[end:])


def escape(table: pd.DataFrame, pattern: str) -> pd.DataFrame:
    """The columns that a pattern names, their own * ? and [ made to stand for themselves in a search for files."""
    return pd.DataFrame({column: table[column].map(glob.escape) for column in columns_in(pattern) if column in table})


def _escaped(literal: str) -> str:
    return "*".join(map(glob.escape, literal.split("*")))


def _any_text(literal: str) -> str:
    return "[^/]*".join(map(re.escape, literal.split("*")))


def _column(table: pd.DataFrame, column: str, pattern: str, where: str) -> pd.Series:
    if column not in table.columns:
        found = ", ".join(map(repr, table.columns))
        by = f", named by {pattern!r}," if pattern != column else ""
        raise DataError(f"{where}: column {column!r}{by} is missing; found {found}. Correct the file or the spec.")
    return table[column]


def _cut(values: pd.Series, match: re.Match[str]) -> pd.Series:
    first, colon, last = match[2], match[3], match[4]
    if first is None:
        return values
    if not colon:
        return values.str[int(first)].fillna("")
    return values.str[int(first) if first else None : int(last) if last else None]
