"""`python -m competition fake`: data for a rehearsal of the whole job before, or without, a download."""

import zipfile
from pathlib import Path

import numpy as np

from competition.errors import DataError
from competition.fake.lines import Lines, draw_lines
from competition.fake.pictures import SIDE, draw_picture, encode, to_planes
from competition.fake.tables import write_answers, write_sample, write_table
from competition.fake.truth import Truth, check_size, class_names, draw_truth
from competition.files import atomic_open
from competition.made_up import MARK, TEXT
from competition.spec import Spec
from competition.spec_parts import Source

HOLDOUT_SHARE = 3  # the holdout has one row for so many to train on


def fake(spec: Spec, rows: int, out: Path) -> tuple[Path, Path]:
    """Write made-up data of `rows` rows to train on and as many to predict into the folder `out`.

    The images show what they are, so that a small network beats chance in a few epochs; else nothing is like the real
    contest's. Beside the folder lie what the local Kaggle needs, its archive and the answers that it scores by; their
    paths are returned. The same spec and number give the same data.

    Raises DataError: the folder is not empty, the rows are too few, or an image format cannot be written.
    """
    archive, answers = Path(f"{out}.zip"), Path(f"{out}.answers.csv")
    # The archive and answers may be the real contest's.
    if there := [path for path in (out, archive, answers) if path.exists() and (path != out or any(out.iterdir()))]:
        raise DataError(f"there already: {', '.join(map(str, there))}. Give another --out, or delete what is there.")
    classes = class_names(spec)
    check_size(spec, classes, rows)
    rng = np.random.default_rng(0)
    parts = {"train": (spec.train, rows), "test": (spec.test, rows)}
    if spec.holdout is not None:
        parts["holdout"] = (spec.holdout, max(len(classes), rows // HOLDOUT_SHARE))
    for part, (source, n) in parts.items():
        truth = draw_truth(spec, classes, n, rng)
        lines = draw_lines(spec, part, source, truth)
        arrays = _write_images(spec, source, lines, truth, rng, out)
        if source.table is not None and source.table != spec.submission.sample:
            write_table(out / source.table, source, lines.frame, arrays, spec.target.delimiter)
        if part == "test":
            write_sample(spec, classes, lines.row_ids, out / spec.submission.sample)
            write_answers(spec, truth.cells, lines.row_ids, answers)
    (out / MARK).write_text(TEXT)
    _pack(out, archive)
    return archive, answers


def _write_images(
    spec: Spec, source: Source, lines: Lines, truth: Truth, rng: np.random.Generator, out: Path
) -> np.ndarray | None:
    """Write the files of every line; of a table that holds its images, return them, (L, planes, height, width)."""
    weights = truth.weights[lines.row_of]
    if source.arrays:
        size = source.shape or (SIDE, SIDE)
        images = [draw_picture(each, rng, size) for each in weights]
        return np.stack([to_planes(image, spec.pixels, len(source.arrays)) for image in images])
    for each, files in zip(weights, lines.files, strict=True):
        for name in files:
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(name, draw_picture(each, rng), spec.pixels))
    return None


def _pack(folder: Path, archive: Path) -> None:
    with atomic_open(archive, "wb") as file, zipfile.ZipFile(file, "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, path.relative_to(folder))
