"""Wall time from the start of the process to an accuracy on the test set, whose answers you must have.

Trains a recipe on all training rows, and looks at the test set once, when the schedule has ended.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from competition import cli

BEGAN = time.monotonic()
MONITORED = 64  # training rows that the loop predicts after every epoch in place of a held-out fold


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speedrun", description=__doc__)
    cli.add_contest_arguments(parser)
    parser.add_argument("--answers", type=Path, required=True, metavar="CSV", help="ids and labels of the test rows")
    parser.add_argument("-r", "--recipe", default="trace-resnet", help="name or YAML file (default: %(default)s)")
    parser.add_argument("--target", type=float, default=0.90, metavar="A", help="accuracy (default: 0.90)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, order and augmentation (default: 0)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override keys of the recipe"
    )
    parser.add_argument(
        "--curve", action="store_true", help="predict the test rows after every epoch, within the clock"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    args = parser.parse_args()

    # Imported here, because torch takes seconds and --help should not.
    from benchmarks.host import load_average
    from benchmarks.machine import describe, describe_lines
    from pipeline.device import prepare_device

    load = load_average()
    # The loop tells its progress on stdout; with --json, stdout is for the result alone.
    with contextlib.redirect_stdout(sys.stderr):
        result = _speedrun(args)
    machine = describe(prepare_device()) | {"load_average": load}
    if args.json:
        print(json.dumps({"machine": machine} | result, indent=1))
        return
    print(f"{describe_lines(machine)}\n")
    print(f"{args.recipe}, {result['epochs']} epochs on {result['training_rows']} images, seed {args.seed}")
    for name, seconds in result["seconds"].items():
        print(f"{name:<12}{seconds:>10.2f} s")
    scores = ", ".join(f"{name} {score:.4f}" for name, score in result["accuracy"].items())
    print(f"test accuracy: {scores}; target {args.target:g} {'reached' if result['reached'] else 'MISSED'}")
    for point in result["curve"]:
        print(f"  epoch {point['epoch']:3d}  {point['seconds']:8.2f} s  {point['accuracy']:.4f}")


def _speedrun(args: argparse.Namespace) -> dict[str, Any]:
    """Train and predict in a folder that vanishes. The clock stops when the recipe's own accuracy is known."""
    import numpy as np

    from competition.errors import SpecError
    from competition.metrics import create_metric
    from competition.rows.tables import Rows, load_test, load_train
    from competition.spec_parts import MetricSpec
    from folds.store import Split
    from pipeline.augment import Augmentation
    from pipeline.cache import decoded
    from pipeline.checkpoint import load_weights
    from pipeline.config import load_recipe
    from pipeline.device import prepare_device
    from pipeline.loop import Task, train_fold
    from pipeline.losses import fitted_to
    from pipeline.network import check_rules, create_network
    from pipeline.predict import predict
    from pipeline.run import Run
    from pipeline.tracking import NullTracker

    contest, recipe, device = cli.contest_of(args), load_recipe(args.recipe, args.set), prepare_device()
    target, classes, recipe = contest.spec.target, contest.classes, fitted_to(recipe, contest.spec.target)
    accuracy = create_metric(MetricSpec(name="accuracy", direction="maximize"), target, classes)
    check_rules(recipe.model, contest.spec.rules)
    Augmentation(recipe.augment)
    if recipe.checkpoint == "best":
        raise SpecError("checkpoint: best would choose the epoch on the test rows; --set checkpoint=last")
    training, test = load_train(contest), load_test(contest)
    labels = _answers(args.answers, contest.spec, test.ids)

    # The loop trains a fold on the rows of the others: fold 1 is the whole training set, fold 0 what it looks at.
    if args.curve:
        watched = replace(test, labels=labels)
    else:
        few = slice(min(MONITORED, len(training)))
        watched = Rows(training.ids[few], training.images[few], np.arange(few.stop), training.labels[few])
    rows = Rows(
        np.concatenate([training.ids, watched.ids]),
        training.images + watched.images,
        np.arange(len(training) + len(watched)),
        np.concatenate([training.labels, watched.labels]),
    )
    split = Split(np.repeat([1, 0], [len(training), len(watched)]), "speedrun")

    contest.runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".speedrun-", dir=contest.runs) as folder:
        ready = _seconds_since_start()
        pixels = decoded(rows.images, recipe.image, Path(folder), "train")
        test_pixels = (
            pixels[len(training) :] if args.curve else decoded(test.images, recipe.image, Path(folder), "test")
        )
        prepared = _seconds_since_start()
        run = Run(Path(folder) / "run", contest.name, recipe, args.recipe, args.seed, split.sha256, 2)
        fold = run.folds[0]
        with fold.locked():
            train_fold(Task(run, rows, split, target, classes, accuracy, pixels, device), fold, [0], NullTracker())
        trained = _seconds_since_start()
        network, normalise = create_network(recipe.model, len(classes), pixels.shape[1:])
        load_weights(fold.weights, network)
        network, normalise = network.to(device).eval(), normalise.to(device)

        def score(tta: tuple[str, ...]) -> float:
            views = recipe.model_copy(update={"tta": tta})
            return accuracy(labels, predict([network], normalise, test_pixels, views, device))

        own = score(recipe.tta)
        done = _seconds_since_start()
        curve = _curve(fold.history(), prepared) if args.curve else []
        scores = {"the recipe's": own, "no flips": score(()), "horizontal flips": score(("horizontal",))}
    return {
        "recipe": args.recipe,
        "overrides": args.set,
        "seed": args.seed,
        "epochs": recipe.schedule.epochs,
        "training_rows": len(training),
        "test_rows": len(test),
        "target": args.target,
        "reached": own >= args.target,
        "accuracy": scores,
        "seconds": {
            "start": ready,
            "decoding": prepared - ready,
            "training": trained - prepared,
            "predicting": done - trained,
            "total": done,
        },
        "curve": curve,
    }


def _answers(path: Path, spec: Any, ids: Any) -> Any:
    """The test rows' true classes, in the order of `ids`. Raises DataError for an id or a label that is not known."""
    import pandas as pd

    from competition.errors import DataError
    from competition.rows.tables import read_ids, read_table

    table = read_table(path, [spec.test.id, spec.train.label])
    position = pd.Index(read_ids(path, table, spec.test.id)).get_indexer(ids)
    if (position < 0).any():
        raise DataError(f"{path}: test id {str(ids[position < 0][0])!r} has no answer")
    labels = pd.Index(spec.target.classes).get_indexer(table[spec.train.label].iloc[position])
    if (labels < 0).any():
        raise DataError(f"{path}: some labels are not among the spec's classes ({', '.join(spec.target.classes)})")
    return labels.astype("int64")


def _curve(history: list[dict[str, float]], prepared: float) -> list[dict[str, float]]:
    """Accuracy on the test rows and seconds since the start, after each epoch."""
    points, seconds = [], prepared
    for row in history:
        seconds += row["seconds"]
        points.append({"epoch": row["epoch"], "seconds": seconds, "accuracy": row["val/accuracy"]})
    return points


def _seconds_since_start() -> float:
    """Since the system started this process: the interpreter's start and all imports count too."""
    stat = Path("/proc/self/stat")
    if not stat.is_file():
        return time.monotonic() - BEGAN
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    cli.run(main)
