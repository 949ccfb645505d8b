"""Which tables hold the training, holdout and test rows, and what names their rows."""

import re
from dataclasses import dataclass
from itertools import permutations

import pandas as pd

from competition.draft.guess import Guess
from competition.draft.pattern import Images, find_images
from competition.draft.sample import Sample
from competition.draft.tables import Found
from competition.draft.tree import Tree
from competition.patterns import fill

ROWS = 200  # looked at to tell two ways to one file from two files
HOLDOUT = re.compile(r"(^|[^a-z])(val|valid|validation|dev)")


@dataclass(frozen=True)
class Part:
    """A table whose rows have images: in files, or in columns of their own."""

    table: Found
    images: Images | None

    @property
    def frame(self) -> pd.DataFrame:
        return self.table.frame

    @property
    def several(self) -> bool:
        return self.images is not None and self.images.several

    def guesses(self, section: str, ident: Guess) -> list[Guess]:
        """The keys of its source; `ident` is the id's."""
        table = self.table
        found = [Guess(f"{section}.table", table.name, f"{len(table.frame):,} rows")]
        if table.encoding != "utf-8":
            found.append(Guess(f"{section}.encoding", table.encoding, "its bytes are no UTF-8"))
        found.append(Guess(f"{section}.id", ident.value, ident.seen, ident.sure))
        if self.images is None:
            found.append(Guess(f"{section}.arrays", list(table.arrays), "its columns of lists"))
            if table.shape:
                side = table.shape[0]
                found.append(Guess(f"{section}.shape", list(table.shape), f"lists of {side * side} numbers", False))
            return found
        images = self.images
        seen = f"{images.found:,} of {images.asked:,} rows that were tried have it"
        if images.others:
            seen += f"; {' and '.join(images.others)} would fit as well"
        patterns = images.patterns[0] if len(images.patterns) == 1 else list(images.patterns)
        pair = self._pair()
        if pair is not None:
            seen += f". Are these two pictures of a row? images: [{', '.join(pair)}] in train and test, and views"
        return [*found, Guess(f"{section}.images", patterns, seen, images.found == images.asked and pair is None)]

    def _pair(self) -> tuple[str, str] | None:
        """Two patterns of one file each that lead from the same rows to different files, if there are such."""
        first, rows = self.images.patterns[0], self.frame.head(ROWS)
        for other in self.images.others:
            if not self.several and "*" not in first + other and fill(first, rows, "").ne(fill(other, rows, "")).all():
                return first, other
        return None


def find_parts(tree: Tree, tables: list[Found], sample: Sample | None) -> dict[str, Part]:
    """The tables of train, holdout (called val here) and test, those that there are."""
    others = [table for table in tables if sample is None or table is not sample.table]
    parts = {}
    for part in ("train", "val", "test"):
        called = [table for table in others if _role(table) == part]
        for table in sorted(called, key=lambda table: (-_worth(table), len(table.name))):
            located = _located(tree, table, part)
            if located is not None:
                parts[part] = located
                break
    return parts


def sample_part(tree: Tree, sample: Sample) -> Part | None:
    """The sample's rows as test rows, where their ids lead to images."""
    frame = sample.table.frame[[sample.id]]
    if sample.row is not None:
        frame = pd.DataFrame({"id": sample.rows.reset_index(drop=True)})
    return _located(tree, Found(sample.table.name, sample.table.encoding, frame), "test")


def test_id(part: Part, sample: Sample | None) -> Guess:
    """The column of the test rows that holds the sample's ids."""
    frame = part.frame
    if sample is not None:
        wanted = set(sample.rows)
        for column in sorted(frame.columns, key=lambda column: column != sample.id):
            if set(frame[column]) == wanted:
                return Guess("", column, f"the {len(wanted):,} ids of {sample.table.name}")
    columns = [column for column in frame.columns if frame[column].is_unique]
    best = next((column for column in part.images.columns if column in columns), None) if part.images else None
    where = f"ids of {sample.table.name}" if sample is not None else "ids of the sample submission"
    return Guess("", best or (columns or list(frame.columns))[0], f"no column holds just the {where}", False)


def train_id(part: Part, test: Part | None, ident: str | None, sample: Sample | None) -> Guess:
    """The column of the training rows, or the pattern of columns, that names what is predicted."""
    frame = part.frame
    if ident in frame.columns:
        return Guess("", ident, _uniqueness(frame[ident]))
    same = [column for column in frame.columns if sample is not None and column.lower() == sample.id.lower()]
    if same and frame[same[0]].is_unique:
        return Guess("", same[0], _uniqueness(frame[same[0]]))
    if test is not None and ident is not None:
        shared = [column for column in test.frame.columns if column in frame.columns]
        for first, second in permutations(shared, 2):
            for between in "_-":
                if (test.frame[first] + between + test.frame[second] == test.frame[ident]).all():
                    made = f"{{{first}}}{between}{{{second}}}"
                    return Guess("", made, f"{test.table.name} makes its {ident} of them")
    in_images = part.images.columns if part.images else []
    unique = [column for column in [*in_images, *frame.columns] if frame[column].is_unique]
    best = (unique or in_images or list(frame.columns))[0]
    return Guess("", best, _uniqueness(frame[best]))


def _uniqueness(column: pd.Series) -> str:
    distinct = column.nunique()
    return "unique in every row" if distinct == len(column) else f"{distinct:,} of them in {len(column):,} rows"


def _role(table: Found) -> str:
    if HOLDOUT.search(table.stem) and "train" not in table.stem:
        return "val"
    return "test" if "test" in table.name.lower() and "train" not in table.stem else "train"


def _worth(table: Found) -> int:
    """How much a table looks like the main one of its kind."""
    wanted = sum(word in table.name.lower() for word in ("train", "label", "test", "val"))
    return 2 * wanted - 3 * sum(word in table.stem for word in ("extra", "extern", "bbox", "box", "mask", "meta_"))


def _located(tree: Tree, table: Found, part: str) -> Part | None:
    if table.arrays:
        return Part(table, None)
    images = find_images(tree, table.frame, part)
    return None if images is None else Part(table, images)
