"""A contest of many rows and classes: what its tables, folds, cache, predictions and submission cost."""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from competition import cli

SIDE = 8  # pixels of the images: what is measured here does not depend on them


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rows", description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000, metavar="N", help="training rows (default: 300000)")
    parser.add_argument("--classes", type=int, default=30_000, metavar="C", help="default: 30000")
    parser.add_argument("--members", type=int, default=5, metavar="M", help="runs in the ensemble (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    cli.add_debug_argument(parser)
    args = parser.parse_args()

    from benchmarks.host import cpu, load_average

    machine = {"cpu": cpu(), "load_average": load_average()}
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        stages = _measure(Path(folder), args.rows, args.classes, args.members)
    report = {"machine": machine, "rows": args.rows, "classes": args.classes, "members": args.members, "stages": stages}
    print(json.dumps(report, indent=1) if args.json else _text(report))


def _measure(folder: Path, rows: int, classes: int, members: int) -> list[dict[str, Any]]:
    """Seconds, and where it says something megabytes on disk, of every stage; memory is the most so far."""
    import numpy as np
    import torch
    from torch import nn

    from blending.methods import fit, open_library
    from blending.rules import combine
    from blending.truth import Truth
    from competition.images import fingerprints
    from competition.rows.tables import load_train
    from competition.submissions.file import check_submission, write_submission
    from folds.split import assign_folds, clusters_of, strata_of
    from folds.store import read_folds, write_folds
    from pipeline.cache import decoded
    from pipeline.config import Image, load_recipe
    from pipeline.predict import Normalise, predict
    from pipeline.store import Predictions, load_predictions

    stages: list[dict[str, Any]] = []

    def stage(name: str, work: Callable[[], Any], size: Path | None = None) -> Any:
        print(f"{name} …", file=sys.stderr, flush=True)
        began = time.monotonic()
        result = work()
        entry = {"stage": name, "seconds": time.monotonic() - began}
        entry["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        if size is not None:
            entry["megabytes"] = sum(file.stat().st_size for file in size.rglob("*") if file.is_file()) / 1e6
        stages.append(entry)
        return result

    contest = stage("make the contest (not the kit's)", lambda: _make(folder, rows, classes))
    stage("classes", lambda: contest.classes)
    train = stage("training rows, images found", lambda: load_train(contest))
    prints = stage("fingerprints", lambda: fingerprints(train.images, "train"))
    cluster = stage("clusters of equal images and groups", lambda: clusters_of([prints, train.groups], train.row_of))
    strata = strata_of("classes", train.labels, 5)
    fold = stage("folds", lambda: assign_folds(strata, cluster, 5, 0))
    stage("folds.csv, written and read", lambda: (write_folds(contest, train, fold), read_folds(contest, train)))
    cache = contest.runs / "cache"
    stage("decoded cache", lambda: decoded(train.images, Image(), cache, "train"), cache)

    names, store = contest.classes, folder / "store"

    def keep(p: Any, j: int) -> None:
        Predictions(train.ids, names, p, "none", train.labels).save(store / f"{j}.npz")

    pixels = decoded(train.images, Image(), cache, "train")
    network, normalise = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE * 3, len(names))), Normalise((0.5,), (0.5,))
    recipe, device = load_recipe("plain-cnn", ["precision=float32"]), torch.device("cpu")

    def predict_all() -> Any:
        return predict([network], normalise, pixels, recipe, device, labels=train.labels)

    predicted = stage("a linear network's predictions of all rows", predict_all)
    stage("predictions of one run, stored", lambda: keep(predicted, 0), store)
    for j in range(members):
        keep(_predictions(np.random.default_rng(j), train.labels, len(names)), j)

    def read(j: int) -> Any:
        return load_predictions(store / f"{j}.npz").probabilities

    stage("predictions of one run, read and checked", lambda: read(0))
    truth = Truth("classes", train.labels)
    library = stage(f"{members} members, read once", lambda: open_library(read, members, truth, fold))
    fitted = stage("convex weights, nested", lambda: fit("convex", library))
    blended = stage("the blend", lambda: combine([fitted.blend], read, "classes")[0])
    submission = folder / "submission.csv"
    stage("submission of five classes a row", lambda: write_submission(contest, submission, train.ids, blended))
    stage("submission, checked", lambda: check_submission(contest, submission))
    return stages


def _make(folder: Path, rows: int, classes: int) -> Any:
    """Images of noise; classes whose frequencies fall as a power of their rank, as those of species do; groups."""
    import cv2
    import numpy as np
    import pandas as pd

    from competition.contest import Contest
    from competition.spec import Spec
    from competition.strict_yaml import build, parse_yaml

    rng, data = np.random.default_rng(0), folder / "data"
    share = 1 / np.arange(1, classes + 1) ** 0.7
    labels = np.concatenate([np.arange(classes), rng.choice(classes, rows - classes, p=share / share.sum())])
    ids = np.array([f"{i:06x}" for i in range(rows)])
    for digit in "0123456789abcdef":
        (data / "train" / digit).mkdir(parents=True)
    for name in ids:
        image = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        (data / "train" / name[-1] / f"{name}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    table = pd.DataFrame({"id": ids, "label": np.char.add("species", labels.astype(str)), "place": ids})
    table["place"] = rng.integers(0, max(1, rows // 10), rows)
    table.to_csv(data / "train.csv", index=False)
    pd.DataFrame({"id": ids, "label": "species0"}).to_csv(data / "sample_submission.csv", index=False)
    spec = """
slug: scale
kaggle: scale
title: Scale
train: {table: train.csv, id: id, images: "train/{id[-1]}/{id}.*", label: label}
test: {table: sample_submission.csv, id: id, images: "train/{id[-1]}/{id}.*"}
target: {kind: multiclass}
folds: {group: place}
metric: {name: map_at_k, direction: maximize, k: 5}
submission: {kind: top_k, k: 5, id: id, column: label}
rules: {pretrained: true, predefined: true}
"""
    return Contest(build(Spec, parse_yaml(spec, "scale"), "scale"), data, folder / "runs")


def _predictions(rng: Any, labels: Any, classes: int) -> Any:
    """Such as a network might make that is right now and then: the true class and as many others as are kept."""
    import numpy as np

    from competition.sparse import KEPT, kept

    n, k = len(labels), min(KEPT, classes // 2)
    others = rng.integers(0, classes, (n, 1)) + np.arange(1, k + 1) * (classes // (k + 1))
    chosen = np.concatenate([labels[:, None], others % classes], axis=1)
    chosen[:, 1:][chosen[:, 1:] == labels[:, None]] = -1
    logits = rng.standard_normal((n, k + 1), dtype=np.float32) * 2
    logits[:, 0] += rng.normal(3, 3, n)
    p = np.exp(logits)
    return kept(chosen, 0.98 * p / p.sum(axis=1, keepdims=True), classes)


def _text(report: dict[str, Any]) -> str:
    machine = report["machine"]
    lines = [
        f"{machine['cpu']}, load {machine['load_average']:.1f}; "
        f"{report['rows']:,} rows, {report['classes']:,} classes, {report['members']} members",
        f"{'stage':<46}{'seconds':>9}{'peak GB':>9}{'MB on disk':>12}",
    ]
    for entry in report["stages"]:
        size = f"{entry['megabytes']:12.0f}" if "megabytes" in entry else ""
        lines.append(f"{entry['stage']:<46}{entry['seconds']:9.1f}{entry['peak_gb']:9.2f}{size}")
    dense = report["rows"] * report["classes"] * 4 / 1e9
    lines.append(f"all probabilities of one run, as float32: {dense:.1f} GB")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
