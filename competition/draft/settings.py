"""The keys that depend on the images rather than on the tables: views, pixels, groups."""

import re
from pathlib import Path
from statistics import median

import pandas as pd

from competition.checks.headers import describe_file
from competition.draft.guess import Guess, named
from competition.draft.sources import Part
from competition.draft.tree import Tree, spread
from competition.errors import DataError
from competition.patterns import escape, fill

GROUPS = re.compile(
    r"patient|subject|person|case|study|series|location|site|source|video|group|user|author|slide|scene|camera|"
    r"seq|owner|individual|identity|name_of|wsi",
    re.IGNORECASE,
)
MANY_VIEWS = 8


def guess_views(tree: Tree, parts: list[Part], repeated: bool) -> list[Guess]:
    """What becomes of several images of one row, where there are such.

    Args:
        repeated: several table rows have the same id.
    """
    several = [part for part in parts if part.several]
    if not several:
        seen = "several table rows have the same id; or max: what one image shows, all have"
        return [Guess("views.reduce", "mean", seen)] if repeated else []
    patterns, frame = several[0].images.patterns, several[0].frame
    if len(patterns) > 1:
        n = len(patterns)
        return [Guess("views.reduce", "mean", f"{n} images of a row; as channels of one: take: {n}, stack: true")]
    rows = frame.iloc[spread(range(len(frame)), 30)]
    count = median(sum(1 for _ in tree.root.glob(path)) for path in fill(patterns[0], escape(rows, patterns[0]), ""))
    seen = f"about {count:g} images of a row"
    if patterns[0].endswith(".dcm"):
        stack = Guess(
            "views.stack", True, "slices are the channels of one image; left out, each is predicted by itself"
        )
        return [Guess("views.take", 3, seen, False), stack]
    reduce = Guess("views.reduce", "mean", f"{seen}; or max: what one image shows, all have")
    return [*([Guess("views.take", MANY_VIEWS, seen, False)] if count > MANY_VIEWS else []), reduce]


def guess_pixels(tree: Tree, files: list[Path]) -> list[Guess]:
    """How numbers become pixels, where the files are not ordinary 8-bit pictures."""
    try:
        headers = [describe_file(file) for file in files]
    except DataError as error:
        return [Guess("pixels.range", None, f"the images could not be looked at: {error}", False)]
    if not headers:
        return []
    first = headers[0]
    name = files[0].relative_to(tree.root).as_posix()
    seen = f"{name} has {first.channels} of {first.depth}, {first.width}×{first.height}"
    planes = re.fullmatch(r"(\d+) planes", first.channels)
    if planes and int(planes[1]) > 4:
        return [Guess("pixels.layout", "rows", f"{seen}; left out, the planes are channels", False)]
    if any(header.depth not in ("8 bit", "1 bit") for header in headers):
        advice = "window: [centre, width]" if name.endswith(".dcm") else "range: [black, white]"
        return [Guess("pixels.range", None, f"{seen}; {advice} says which values are shown; check shows them", False)]
    return []


def guess_folds(frame: pd.DataFrame, taken: set[str]) -> list[Guess]:
    """Five folds, grouped by a column whose values several rows share. `taken` are id and labels."""
    rows, five = len(frame), Guess("folds.n", 5)
    counts = {column: frame[column].nunique() for column in frame.columns if column not in taken}
    for column, count in counts.items():
        if GROUPS.search(column) and 5 <= count < 0.95 * rows:
            return [
                five,
                Guess("folds.group", column, f"{count:,} values in {rows:,} rows; those of one stay together"),
            ]
    others = [column for column, count in counts.items() if rows / 50 < count < 0.8 * rows]
    if not others:
        return [five]
    advice = f"left out: no column is called patient, location or the like; the values of {named(others)} repeat"
    return [five, Guess("folds.group", None, advice)]
