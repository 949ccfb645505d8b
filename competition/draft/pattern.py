"""Which pattern leads from a table's rows to its images: read off the files' names, then tried on the rows."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

import pandas as pd

from competition.draft.tree import Tree, spread
from competition.patterns import columns_in, escape, fill

ROWS, GLOBBED_ROWS, CANDIDATES, VARIANTS = 2_000, 100, 12, 6


@dataclass(frozen=True)
class Images:
    """patterns: of a row's images. Of `asked` rows that were tried, `found` have an image for each.

    others: patterns of which the same can be said.
    """

    patterns: tuple[str, ...]
    found: int
    asked: int
    others: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(column for pattern in self.patterns for column in columns_in(pattern)))

    @property
    def several(self) -> bool:
        return len(self.patterns) > 1 or "*" in self.patterns[0].removesuffix(".*")


def find_images(tree: Tree, frame: pd.DataFrame, part: str) -> Images | None:
    """The patterns that lead to the images of most rows; None where less than half of the rows have one.

    Args:
        part: train, val or test; of two folders that fit, the one so called is taken.
    """
    named = [column for column in frame.columns if columns_in(f"{{{column}}}") == [column]]  # no brackets in it
    values = {column: set(frame[column]) for column in named if _names_something(frame[column])}
    keys = [column for column in values if len(values[column]) >= len(frame) / 10]
    seen: dict[str, Counter] = defaultdict(Counter)  # start of a pattern -> its ends -> files
    for file in tree.sample():
        if set(file) & set("{}*"):
            continue  # a pattern could not say so
        for start, end in set(_readings(file, keys, values)):
            seen[start][end] += 1
    likely = sorted(seen, key=lambda start: -seen[start].total())[:CANDIDATES]
    tried = [images for start in likely for images in _tried(tree, frame, start, seen[start])]
    tried = [images for images in tried if images.found > images.asked / 2]
    if not tried:
        return None

    def worth(images: Images) -> tuple:
        folders = images.patterns[0].lower()
        misplaced = any(other in folders for other in ("train", "val", "test") if other != part)
        distinct = max(len(values[column]) for column in images.columns)
        raw = images.patterns[0].endswith((".dcm", ".npy"))
        return (
            round(images.found / images.asked, 2), part in folders, not misplaced, distinct, not raw,
            not images.several, -images.patterns[0].count("["), -len(images.columns), -len(folders),
        )  # fmt: skip

    best, *rest = sorted(tried, key=worth, reverse=True)
    others = [images.patterns[0] for images in rest if worth(images)[0] == worth(best)[0]]
    return Images(best.patterns, best.found, best.asked, tuple(others[:2]))


def count_images(tree: Tree, frame: pd.DataFrame, patterns: tuple[str, ...]) -> tuple[int, int]:
    """Of how many rows every pattern finds an image, and how many were tried."""
    several = any("*" in pattern for pattern in patterns)
    rows = frame.iloc[spread(range(len(frame)), GLOBBED_ROWS if several else ROWS)]
    good = pd.Series(True, index=rows.index)
    for pattern in patterns:
        paths = fill(pattern, escape(rows, pattern) if "*" in pattern else rows, str(tree.root))
        good &= paths.map(lambda path, globbed="*" in pattern: _is_there(tree.root, path, globbed))
    return int(good.sum()), len(rows)


def first_files(tree: Tree, frame: pd.DataFrame, pattern: str, rows: int = 20) -> list[Path]:
    """The first image of some rows."""
    some = frame.iloc[spread(range(len(frame)), rows)]
    paths = fill(pattern, escape(some, pattern), str(tree.root))
    found = [sorted(tree.root.glob(path)) for path in paths if path and ".." not in path and path[0] != "/"]
    return [files[0] for files in found if files]


def _is_there(root: Path, path: str, globbed: bool) -> bool:
    if not path or ".." in path or Path(path).is_absolute():
        return False
    return any(root.glob(path)) if globbed else (root / path).is_file()


def _names_something(column: pd.Series) -> bool:
    some = pd.Series(spread(column, ROWS), dtype=str)
    fractions = some.str.fullmatch(r"[-+]?\d*\.\d+(e[-+]?\d+)?|nan|", case=False).mean()
    return fractions < 0.5 and (some.nunique() > 1 or len(column) == 1)


def _readings(file: str, keys: list[str], values: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    """How a file's path may be made of columns: a pattern's start, up to a row's key, and its end."""
    *folders, name = file.split("/")
    stem, extension = Path(name).stem, Path(name).suffix
    named = False
    for key in keys:
        for depth in range(len(folders) + 1):
            whole = "/".join([*folders[depth:], name])
            for text, end in ((whole, ""), (whole.removesuffix(extension), extension)):
                if text in values[key]:
                    named = True
                    yield from ((f"{start}{{{key}}}", end) for start in _folders(folders[:depth], key, text, values))
    if named:
        return
    for key in keys:
        for before, text, after in _spans(stem):
            if text in values[key]:
                named = True
                for start in _folders(folders, key, text, values):
                    yield f"{start}{before}{{{key}}}", after + extension
    for key in keys:
        for depth, text in enumerate(folders):
            if not named and text in values[key]:
                below = folders[depth + 1 :]
                between = {"/".join(below), "/".join("*" * len(below))}
                for start, middle in product(_folders(folders[:depth], key, text, values), between):
                    yield f"{start}{{{key}}}/{middle}{'/' if middle else ''}", stem + extension


def _folders(folders: list[str], key: str, text: str, values: dict[str, set[str]]) -> Iterator[str]:
    """The folders above a file as they stand, or as columns, or as the first letters of the row's key."""
    choices, cut = [], 0
    for folder in folders:
        of_columns = [f"{{{column}}}" for column in values if folder in values[column]]
        letters = []
        if text.startswith(folder):
            letters.append(f"{{{key}[0]}}" if len(folder) == 1 else f"{{{key}[:{len(folder)}]}}")
        if cut and text[cut:].startswith(folder):
            letters.append(f"{{{key}[{cut}]}}" if len(folder) == 1 else f"{{{key}[{cut}:{cut + len(folder)}]}}")
        cut += len(folder) if letters else 0
        choices.append([folder, *letters[-1:], *of_columns])
    for chosen in islice(product(*choices), 32):
        yield "".join(f"{folder}/" for folder in chosen)


def _spans(stem: str) -> Iterator[tuple[str, str, str]]:
    """Parts of a name between its separators, the longest first, with what stands before and after."""
    pieces = re.split(r"([_\-. ]+)", stem)[:15]
    places = range(0, len(pieces), 2)
    for first, last in sorted(product(places, places), key=lambda span: span[0] - span[1]):
        if first <= last and (first, last) != (0, len(pieces) - 1):
            yield "".join(pieces[:first]), "".join(pieces[first : last + 1]), "".join(pieces[last + 1 :])


def _tried(tree: Tree, frame: pd.DataFrame, start: str, ends: Counter) -> Iterator[Images]:
    """Patterns with this start, and what they find."""
    if "" in ends:
        yield Images((start,), *count_images(tree, frame, (start,)))
        return
    extensions = {Path(f"x{end}").suffix for end in ends}
    extension = extensions.pop() if len(extensions) == 1 else ".*"
    variants = sorted({Path(f"x{end}").stem[1:] for end in ends})
    if "" in variants:  # besides {id}.png there are others, such as {id}_mask.png
        variants = [""]
    numbered = len(variants) > 1 and all(variant[-1].isdigit() for variant in variants)
    if len(variants) <= VARIANTS and not numbered:
        each = tuple(f"{start}{variant}{extension}" for variant in variants)
        found = Images(each, *count_images(tree, frame, each))
        yield found
        if len(variants) == 1 or found.found > 0.9 * found.asked:
            return
    first = variants[0][0]
    separator = first if not first.isalnum() and all(variant.startswith(first) for variant in variants) else ""
    any_text = (f"{start}{separator}*{extension}",)
    yield Images(any_text, *count_images(tree, frame, any_text))
