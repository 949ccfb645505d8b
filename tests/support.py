"""Shared by the tests: a contest small enough to be made anew for each of them."""

import csv
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import yaml

from competition.contest import Contest, open_contest
from competition.rows.tables import Rows, load_train
from competition.strict_yaml import build
from folds.store import Split, write_folds
from pipeline.config import Recipe
from pipeline.run import Run, create_run
from pipeline.store import Predictions

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


def make_contest_of(family: str, folder: Path, classes: tuple[str, ...] = CLASSES, n_train: int = 30) -> Contest:
    """A contest of another family, its rows in three folds: those of `make_contest`, with a label column per class.

    labels: row i has class k where bit k of i is set. shares: random distributions. values: random numbers around 50.
    """
    tiny = make_contest(folder, n_train, 6, tuple(f"{k}" for k in range(3)), size=4)
    kind, submission, metric = {
        "labels": ("multilabel", "labels, column: labels", "micro_f1, direction: maximize"),
        "shares": ("soft", "probability", "kl, direction: minimize"),
        "values": ("regression", "value", "rmse, direction: minimize"),
    }[family]
    rng, n = np.random.default_rng(0), len(classes)
    labels = {
        "labels": np.arange(n_train)[:, None] >> np.arange(n) & 1,
        "shares": rng.dirichlet(np.ones(n), n_train),
        "values": rng.normal(50, 10, (n_train, n)),
    }[family]
    ids = [f"train{i:03}" for i in range(n_train)]
    write_csv(
        tiny.data / "train.csv", ["id", *classes], [(i, *row) for i, row in zip(ids, labels.tolist(), strict=True)]
    )
    columns = ["labels"] if family == "labels" else list(classes)
    blank = [classes[0]] if family == "labels" else [1 / n] * n
    write_csv(tiny.data / "sample_submission.csv", ["id", *columns], [(f"test{i:03}", *blank) for i in range(6)])
    spec = yaml.safe_load(tiny.spec.read_text())
    spec["train"]["label"] = list(classes)
    spec["target"] = {"kind": kind, "classes": list(classes)}
    text = yaml.safe_dump({key: value for key, value in spec.items() if key not in ("metric", "submission")})
    tiny.spec.write_text(f"{text}metric: {{name: {metric}}}\nsubmission: {{id: id, kind: {submission}}}\n")
    contest = tiny.contest()
    write_folds(contest, load_train(contest), np.arange(n_train) // 8 % 3)
    return contest


def make_run(
    contest: Contest,
    rows: Rows,
    split: Split,
    name: str,
    scores: list[float],
    probabilities: np.ndarray,
    seed: int = 0,
    unfinished: dict[int, list[float]] | None = None,
    **recipe: object,
) -> Run:
    """Write a run of 4 epochs that was never trained.

    Args:
        scores: of its finished folds, from the first one on; each took 60 seconds at 100 images/s.
        probabilities: (N, C), in the order of `rows`.
        unfinished: validation scores by epoch of each fold that has begun.
        recipe: keys of the recipe that are not the default.
    """
    small = {"model": {"name": "plain_cnn_128"}, "batch_size": 8, "optimizer": {"lr": 0.001}, "schedule": {"epochs": 4}}
    run = create_run(contest, name, build(Recipe, small | recipe, name), "small", seed, split)
    metric = contest.spec.metric.name
    curves = {k: [score] * 4 for k, score in enumerate(scores)} | (unfinished or {})
    for k, curve in curves.items():
        fold, held_out = run.folds[k], split.fold == k
        fold.folder.mkdir(parents=True)
        for epoch, score in enumerate(curve, 1):
            row = {"epoch": epoch, "train/loss": 1 / epoch, "val/loss": 2 / epoch, f"val/{metric}": score, "lr": 0.001}
            fold.append_history(row | {"images_per_second": 100.0, "seconds": 15.0})
        if k < len(scores):
            part = Predictions(rows.ids[held_out], contest.classes, probabilities[held_out], split.sha256)
            replace(part, labels=rows.labels[held_out], family=contest.spec.target.family).save(fold.oof)
            measured = {"metric": metric, "score": scores[k], "loss": 1.0, "epochs": 4}
            cost = {"seconds": 60.0, "images_per_second": 100.0}
            fold.finish(measured | cost | {"selected_on_oof": run.selected_on_oof})
    return run


def write_csv(path: Path, header: list[str], rows: list[tuple]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
