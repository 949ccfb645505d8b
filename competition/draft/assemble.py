"""A contest's folder as the keys of its spec."""

from pathlib import Path
from typing import Any

import pandas as pd

from competition.draft.folders import Classes, find_classes, find_holdout, find_unlabelled
from competition.draft.guess import Guess
from competition.draft.labels import Labels, find_labels, find_target
from competition.draft.pattern import first_files
from competition.draft.sample import Sample, find_sample, read_long
from competition.draft.settings import guess_folds, guess_pixels, guess_views
from competition.draft.sources import Part, find_parts, sample_part, test_id, train_id
from competition.draft.submitted import guess_metric, guess_submission
from competition.draft.tables import read_tables
from competition.draft.tree import Tree, look_through
from competition.errors import DataError
from competition.patterns import columns_in, fill

SAME_NAMES = "every class folder has the same names; remove this line where two files of one name are two pictures"
MOST_CLASSES = 1_000  # that may be the ends of ids in a long submission


def draft(slug: str, data: Path) -> list[Guess]:
    """The keys of the contest's spec, in the order of the file. Raises DataError when it holds no images."""
    if not data.is_dir():
        raise DataError(f"{data} is not a folder. Download the contest's files and unpack them there")
    tree = look_through(data)
    tables = read_tables(tree)
    if not tree.images and not any(table.arrays for table in tables):
        packed = f"; unpack {tree.archives[0]} first" if tree.archives else ""
        raise DataError(f"{data}: no images in it or in its folders{packed}")
    sample = find_sample(tables)
    parts = find_parts(tree, tables, sample)
    if "train" in parts:
        body = _from_table(tree, parts, sample)
    else:
        classes = find_classes(tree)
        if classes is None:
            names = ", ".join(table.name for table in tables) or "there is none"
            raise DataError(
                f"{data}: no table leads to images ({names}), and neither folders nor file names look like classes. "
                "Write the spec by hand: competition/specs/ has examples"
            )
        body = _from_folders(tree, classes, sample)
    return [
        Guess("slug", slug),
        Guess("kaggle", slug, "the last part of the contest's address", False),
        Guess("title", slug.replace("-", " ").capitalize()),
        *body,
        Guess("rules.pretrained", True, "look at the contest's Rules page", False),
        Guess("rules.predefined", True, "look at the contest's Rules page", False),
    ]


def _from_table(tree: Tree, parts: dict[str, Part], sample: Sample | None) -> list[Guess]:
    train, test, frame = parts["train"], parts.get("test"), parts["train"].frame
    if sample is not None:
        sample = _long(sample, frame, test)
    in_test = set(test.frame.columns) if test is not None else None
    if test is None and sample is not None:
        test = sample_part(tree, sample)
    ident = test_id(test, sample) if test is not None else None
    name = train_id(train, test, ident.value if ident else None, sample)
    images = train.images.columns if train.images else []
    paths = {column for column in images if frame[column].nunique() > len(frame) / 2}
    taken = paths | set(columns_in(name.value) or [name.value])
    labels = find_labels(frame, taken, sample, in_test)
    guesses = [*train.guesses("train", name), _label("train", labels)]
    holdout = parts.get("val")
    if holdout is not None and {*labels.columns, *taken} <= set(holdout.frame.columns):
        guesses += [*holdout.guesses("holdout", name), _label("holdout", labels), _use()]
    guesses += _unlabelled(tree, sample) if test is None else _test(test, ident, sample)
    repeated = any(fill(each, part.frame, "").duplicated().any() for part, each in _named(train, name, test, ident))
    guesses += guess_views(tree, [part for part in (train, test) if part is not None], repeated)
    if train.images:
        guesses += guess_pixels(tree, first_files(tree, frame, train.images.patterns[0]))
    return [*guesses, *_scored(frame, labels, sample, guess_folds(frame, {*labels.columns, name.value}))]


def _from_folders(tree: Tree, classes: Classes, sample: Sample | None) -> list[Guess]:
    labels = Labels(("label",), "the pattern's {label}")
    guesses = [
        Guess("train.files", classes.files, classes.seen),
        Guess("train.id", classes.id),
        _label("train", labels),
    ]
    holdout = find_holdout(tree, classes)
    if holdout is not None:
        guesses += [Guess("holdout.files", holdout), Guess("holdout.id", classes.id), _label("holdout", labels), _use()]
    test = sample_part(tree, sample) if sample is not None else None
    guesses += _unlabelled(tree, sample) if test is None else _test(test, test_id(test, sample), sample)
    guesses += guess_views(tree, [test] if test is not None else [], False)
    guesses += guess_pixels(tree, [tree.root / file for file in classes.some])
    folds = [Guess("folds.n", 5)]
    if classes.group:
        folds.append(Guess("folds.group", classes.group, SAME_NAMES, False))
    return [*guesses, *_scored(classes.frame, labels, sample, folds)]


def _test(test: Part, ident: Guess, sample: Sample | None) -> list[Guess]:
    guesses = test.guesses("test", ident)
    if sample is not None and sample.row is not None and test.table.name == sample.table.name:
        parse = Guess("test.parse", {sample.id: sample.row}, "a line for every row and class")
        guesses.insert(1, parse)
    return guesses


def _unlabelled(tree: Tree, sample: Sample | None) -> list[Guess]:
    """Test rows without a table: their files."""
    files = find_unlabelled(tree, "test")
    if files is not None:
        return [Guess("test.files", files, "no table or sample submission leads to them"), Guess("test.id", "name")]
    table, ident = (sample.table.name, sample.id) if sample is not None else ("sample_submission.csv", "id")
    return [
        Guess("test.table", table),
        Guess("test.id", ident),
        Guess("test.images", f"test/{{{ident}}}.*", "no images of the test rows are there", False),
    ]


def _long(sample: Sample, frame: pd.DataFrame, test: Part | None) -> Sample:
    """The sample, its ids taken apart where they end with column names or with values of a column that test lacks."""
    own = [column for column in frame.columns if test is None or column not in test.frame.columns]
    few = [sorted(frame[column].unique()) for column in own if frame[column].nunique() <= MOST_CLASSES]
    for classes in (list(frame.columns), *few):
        found = read_long(sample, tuple(name for name in classes if name))
        if found.row is not None:
            return found
    return sample


def _named(train: Part, name: Guess, test: Part | None, ident: Guess | None) -> list[tuple[Part, str]]:
    return [(train, name.value), *([(test, ident.value)] if test is not None and ident is not None else [])]


def _label(section: str, labels: Labels) -> Guess:
    one = len(labels.columns) == 1
    return Guess(f"{section}.label", labels.columns[0] if one else list(labels.columns), labels.seen, labels.sure)


def _use() -> Guess:
    return Guess("holdout.use", "score", "never trained on; or train: its rows join the training rows")


def _scored(frame: pd.DataFrame, labels: Labels, sample: Sample | None, folds: list[Guess]) -> list[Guess]:
    """Target, folds, metric and submission."""
    target = find_target(frame, labels, sample)
    settings = _settings(target)
    submission = guess_submission(sample, labels, settings, _all_classes(frame, labels, settings))
    metric = guess_metric(settings, _settings(submission))
    return [*target, *folds, *metric, *submission]


def _settings(guesses: list[Guess]) -> dict[str, Any]:
    """A section's values by key."""
    return {guess.key.partition(".")[2]: guess.value for guess in guesses if guess.value is not None}


def _all_classes(frame: pd.DataFrame, labels: Labels, target: dict[str, Any]) -> set[str]:
    if len(labels.columns) > 1:
        return set(labels.columns)
    column = frame[labels.columns[0]]
    if "delimiter" in target:
        column = column.str.split(target["delimiter"], regex=False).explode()
    return set(column) - {""}
