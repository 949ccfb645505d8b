"""`python -m competition check`: shows what is understood of a spec and its data, before a training depends on it."""

from pathlib import Path

import numpy as np

from competition.checks.labels import describe_labels
from competition.checks.sheet import draw_sheet
from competition.checks.survey import (
    Look,
    describe_common,
    describe_duplicates,
    describe_looks,
    describe_near,
    describe_shapes,
    look_at,
)
from competition.contest import Contest
from competition.decoders.picture import AGAIN
from competition.errors import DataError
from competition.files import atomic_open
from competition.made_up import is_made_up
from competition.patterns import fill
from competition.rows.locate import locate
from competition.rows.sources import read_source
from competition.rows.tables import Rows, is_absent, load_holdout, load_test, load_train
from competition.submissions.checking import check_ids
from competition.submissions.sample import Sample, read_sample

NAMED = 10  # bad images that are named


def check(contest: Contest) -> None:
    """Print rows, classes, groups, image sizes, duplicates, and write sample images to the contest's check.png.

    Every image is decoded. Raises DataError for a wrong line of a table, SubmissionError when the sample's rows are not
    the test rows; but missing and unreadable images are all counted before it is raised.
    """
    print(f"{contest.slug}: {contest.spec.title}")
    if is_made_up(contest):
        print(f"{contest.data}: made up, for a rehearsal; not the contest's data")
    _refuse_missing(contest)
    tables = {"train": load_train(contest), "holdout": load_holdout(contest), "test": load_test(contest)}
    rows = {name: found for name, found in tables.items() if found is not None}
    holdout = contest.spec.holdout
    if holdout is not None and is_absent(contest, holdout):
        print(f"holdout: none; {contest.data / holdout.table} is not there, which the spec calls optional")
    sample = read_sample(contest)  # before what takes long
    check_ids(Path("the test rows"), rows["test"].ids, sample.path, sample.ids)
    looks = {name: _show(contest, name, found) for name, found in rows.items()}
    print("".join(f"{line}\n" for line in describe_shapes([look for some in looks.values() for look in some])), end="")
    _show_sample(sample)
    _show_duplicates(contest, rows["train"], looks)
    sheet = contest.runs / "check.png"
    draw_sheet(contest, rows["train"], rows["test"], sheet)
    print(f"sample images: {sheet}")
    _refuse(contest, [], [look.error for some in looks.values() for look in some if look.error])


def _refuse_missing(contest: Contest) -> None:
    """Where rows have no image, raise DataError, which also counts the images that cannot be read."""
    missing, there = [], []
    for source in contest.spec.sources:
        if source is contest.spec.holdout and is_absent(contest, source):
            continue
        table = read_source(contest, source)
        pictures = locate(contest, source, table)
        there += [picture for found in pictures for picture in found]
        rows = [row for row, found in enumerate(pictures) if not found]
        some = table.frame.iloc[rows[:NAMED]]
        expected = [fill(pattern, some, str(table.path)) for pattern in source.patterns]
        named = zip(rows, *expected, strict=False)
        missing += [f"{table.place(row)}: {' or '.join(paths)} is not there" for row, *paths in named]
        missing += [""] * (len(rows) - NAMED)
    if missing:
        _refuse(contest, missing, [look.error for look in look_at(there, "all images", hashes=False) if look.error])


def _refuse(contest: Contest, missing: list[str], unreadable: list[str]) -> None:
    """Raises DataError naming the first of each, if there are any; of many unreadable ones a file names all."""
    said, damaged = [], any(line.endswith(AGAIN) for line in unreadable)
    unreadable = [line.removesuffix(f" {AGAIN}") for line in unreadable]
    for lines, what in ((missing, "rows have no image"), (unreadable, "images cannot be read")):
        if lines:
            said += [f"{len(lines):,} {what}:", *(f"  {line}" for line in lines if line)][: NAMED + 1]
    if len(unreadable) > NAMED:
        path = contest.runs / "unreadable.txt"
        with atomic_open(path) as file:
            file.writelines(f"{line}\n" for line in unreadable)
        said.append(f"  all of them: {path}")
    if said:
        raise DataError("\n".join([*said, *([AGAIN] if damaged else [])]))


def _show(contest: Contest, name: str, rows: Rows) -> list[Look]:
    """Print what one table holds; return what was seen of its images."""
    print(f"{name}: {len(rows):,} rows; the first has id {str(rows.ids[0])!r} and image {rows.picture(0).path}")
    lines = [] if rows.labels is None else describe_labels(contest, rows)
    per_row = np.bincount(rows.row_of, minlength=len(rows))
    if per_row.max() > 1:
        lines.append(f"views     {per_row.min()} to {per_row.max()} images of a row, {per_row.mean():.1f} on average")
    near = contest.spec.folds.near_duplicates is not None
    looks = look_at(rows.images, f"{name} images", hashes=near)
    lines += describe_looks(looks)
    print("".join(f"  {line}\n" for line in lines), end="")
    return looks


def _show_sample(sample: Sample) -> None:
    long = "" if sample.class_of is None else f" of {len(sample.ids):,} rows"
    print(f"sample: {len(sample.lines):,} lines{long} × {len(sample.columns)} columns ({_some(sample.columns)})")


def _show_duplicates(contest: Contest, train: Rows, looks: dict[str, list[Look]]) -> None:
    lines = [*describe_duplicates(looks["train"], train.row_of, train.labels), *describe_common(looks)]
    if contest.spec.folds.near_duplicates is not None:
        lines.append(describe_near(looks["train"]))
    print("duplicates:\n" + "\n".join(f"  {line}" for line in lines))


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
