"""Shared by the tests: a contest small enough to be made anew for each of them."""

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from competition.contest import Contest, open_contest

CLASSES = ("cat", "dog", "owl")


@dataclass(frozen=True)
class Tiny:
    """A contest on disk. `archive` holds the files of `data`; `answers` has id, label and Usage of the test rows."""

    spec: Path
    data: Path
    archive: Path
    answers: Path

    def contest(self, data: Path | None = None) -> Contest:
        """The contest with its data in `data` (default: the unpacked files), its runs beside the spec."""
        return open_contest(str(self.spec), str(data or self.data), str(self.spec.parent / "runs"))


def make_contest(
    folder: Path,
    n_train: int = 30,
    n_test: int = 20,
    classes: tuple[str, ...] = CLASSES,
    kind: str = "label",
    metric: str = "accuracy",
    direction: str = "maximize",
    size: int = 8,
    seed: int = 0,
) -> Tiny:
    """Write a contest into `folder`: spec, images, tables, archive and answers.

    Row i is of class i modulo the number of classes, which its image shows: a brightness of the class, plus noise.
    """
    rng = np.random.default_rng(seed)
    data = folder / "unpacked"

    def images(part: str, n: int) -> list[tuple[str, str]]:
        (data / part).mkdir(parents=True)
        rows = []
        for i in range(n):
            c = i % len(classes)
            level = 40 + 175 * c / (len(classes) - 1)
            image = np.clip(rng.normal(level, 20, (size, size, 3)), 0, 255).astype(np.uint8)
            rows.append((f"{part}{i:03}", classes[c]))
            cv2.imwrite(str(data / part / f"{rows[-1][0]}.png"), image)
        return rows

    train, test = images("train", n_train), images("test", n_test)
    write_csv(data / "train.csv", ["id", "label"], train)
    probability_columns = ["label"] if len(classes) == 2 else list(classes)
    columns, blank = (
        (["label"], [classes[0]])
        if kind == "label"
        else (probability_columns, [1 / len(classes)] * len(probability_columns))
    )
    write_csv(data / "sample_submission.csv", ["id", *columns], [(name, *blank) for name, _ in test])

    answers = folder / "answers.csv"
    usage = ["Public" if i < 0.4 * n_test else "Private" for i in range(n_test)]
    write_csv(answers, ["id", "label", "Usage"], [(*row, use) for row, use in zip(test, usage, strict=True)])
    archive = folder / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(data.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(data))

    column = "" if kind == "probability" and len(classes) > 2 else ", column: label"
    spec = folder / "tiny.yaml"
    spec.write_text(
        f"""\
slug: tiny
kaggle: tiny-contest
title: Tiny
train: {{table: train.csv, id: id, label: label, images: "train/{{id}}.png"}}
test: {{table: sample_submission.csv, id: id, images: "test/{{id}}.png"}}
target: {{kind: {"binary" if len(classes) == 2 else "multiclass"}, classes: [{", ".join(classes)}]}}
folds: {{n: 3, seed: 0}}
metric: {{name: {metric}, direction: {direction}}}
submission: {{kind: {kind}, id: id{column}}}
rules: {{pretrained: true, predefined: true}}
"""
    )
    return Tiny(spec, data, archive, answers)


def write_csv(path: Path, header: list[str], rows: list[tuple]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
