"""Made-up tables, in the format that the file's name says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from competition.files import atomic_open
from competition.patterns import columns_in
from competition.spec import Spec
from competition.spec_parts import Labelled, Source


def write_table(
    path: Path, source: Source, frame: pd.DataFrame, arrays: np.ndarray | None, delimiter: str | None
) -> None:
    """Write a table's lines as CSV, TSV, JSON records (with `arrays`, (L, planes, height, width)) or COCO."""
    if path.suffix.lower() == ".json":
        content = _coco(source, frame, delimiter) if arrays is None else _records(source, frame, arrays)
        text = json.dumps(content, ensure_ascii=False)
    else:
        text = frame.to_csv(index=False, sep="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\n")
    with atomic_open(path, "wb") as file:
        file.write(text.encode(source.encoding))


def _records(source: Source, frame: pd.DataFrame, arrays: np.ndarray) -> list[dict[str, Any]]:
    records = frame.to_dict(orient="records")
    for record, planes in zip(records, arrays.astype(np.float64).round(3), strict=True):
        for name, plane in zip(source.arrays, planes, strict=True):
            record[name] = (plane.ravel() if source.shape else plane).tolist()
    return records


def _coco(source: Source, frame: pd.DataFrame, delimiter: str | None) -> dict[str, Any]:
    """images, and of labelled rows annotations and categories; several labels are several annotations."""
    labels = list(source.label_columns) if isinstance(source, Labelled) else []
    images = frame.drop(columns=labels)
    if not {"id", "image_id"} & set(images.columns):
        images = images.assign(id=[str(number) for number in range(len(images))])
    key = "id" if "id" in images.columns else "image_id"
    # Letters beyond ASCII, because the encoding must not matter.
    content: dict[str, Any] = {"info": {"description": "Données inventées"}, "images": images.to_dict(orient="records")}
    if not labels:
        return content
    marks = frame[labels].assign(image_id=images[key])
    if delimiter is not None:
        marks[labels[0]] = marks[labels[0]].str.split(delimiter, regex=False)
        marks = marks.explode(labels[0])
    names = sorted(marks[labels[0]].unique())
    if labels == ["category"]:
        marks["category_id"] = marks.pop("category").map(names.index)
        content["categories"] = [{"id": number, "name": name} for number, name in enumerate(names)]
    else:
        content["categories"] = [{"id": name, "name": f"espèce {name}"} for name in names]
    marks["id"] = range(len(marks))
    return content | {"annotations": marks.to_dict(orient="records")}


def write_sample(spec: Spec, classes: tuple[str, ...], ids: np.ndarray, path: Path) -> None:
    """The sample submission: every id, and the same guess for all of them."""
    submission = spec.submission
    submitted = submission.classes or classes
    guess: dict[str, str]
    if submission.kind in ("label", "labels", "top_k"):
        guess = {submission.column: submission.delimiter.join(classes[: submission.k or 1])}
    else:
        low, high = spec.target.range or (0.0, 1.0)
        value = f"{(low + high) / 2 if submission.kind == 'value' else 1 / len(classes):.4f}"
        guess = dict.fromkeys(_columns(spec, submitted), value)
    if submission.row is not None:
        names = [submission.row.replace("{id}", id_).replace("{class}", name) for id_ in ids for name in submitted]
    else:
        names = list(ids)
    with atomic_open(path) as file:
        pd.DataFrame({submission.id: names, **guess}).to_csv(file, index=False, lineterminator="\n")


def _columns(spec: Spec, submitted: tuple[str, ...]) -> list[str]:
    column = spec.submission.column
    if column is None or "{class}" in column:
        return [(column or "{class}").replace("{class}", name) for name in submitted]
    return [column]


def write_answers(spec: Spec, cells: pd.DataFrame, ids: np.ndarray, path: Path) -> None:
    """What the local Kaggle scores by: the ids, the label columns, and which rows count for the public score.

    Public and private rows take turns after every class has had one: both hold all of them.
    """
    n, classes = len(ids), cells.drop_duplicates().shape[0]
    usage = np.where(np.arange(n) // min(classes, n // 2) % 2 == 0, "Public", "Private")
    name = spec.submission.id if columns_in(spec.test.id) else spec.test.id
    with atomic_open(path) as file:
        pd.DataFrame({name: ids}).join(cells).assign(Usage=usage).to_csv(file, index=False, lineterminator="\n")
