"""Folds an hour with several workers side by side, and with several processes on one fold, against the ideal.

Every measurement is train.py itself, from its start to its end, for one epoch of a fold or of several folds at once.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from competition import cli

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    cli.add_contest_arguments(parser)
    parser.add_argument("-r", "--recipe", default="trace-resnet", help="name or YAML file (default: %(default)s)")
    parser.add_argument("--workers", type=int, metavar="W", help="side by side (default: one per core, or per GPU)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="measurements of each way (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()

    # Imported here, because torch takes seconds and --help should not.
    import torch

    from benchmarks.host import load_average
    from benchmarks.machine import describe, describe_lines
    from benchmarks.processes import interleaved, ratio, spread
    from competition.errors import SpecError
    from launch.local import visible_cards
    from pipeline.config import load_recipe
    from pipeline.device import available_cores, prepare_device

    load = load_average()
    contest, device, epochs = cli.contest_of(args), prepare_device(), load_recipe(args.recipe).schedule.epochs
    workers = args.workers or (torch.cuda.device_count() if device.type == "cuda" else available_cores())
    if not 2 <= workers <= contest.spec.folds.n:
        raise SpecError(f"--workers {workers}: give a number from 2 to the contest's {contest.spec.folds.n} folds")
    alone = {"TRAIN_CORES": "1", "OMP_NUM_THREADS": "1"}
    if device.type == "cuda":
        alone = {"CUDA_VISIBLE_DEVICES": visible_cards()[0]}
    side_by_side = ["--launcher", "local", "--parallel", str(workers), "--fold", *map(str, range(workers))]
    ways: dict[str, tuple[list[str], dict[str, str]]] = {
        "alone": (["--fold", "0"], alone),
        "side by side": (side_by_side, {}),
        "together": (["--fold", "0", "--gpus-per-fold", str(workers)], {}),
    }
    if device.type == "cpu":
        ways["threads"] = (["--fold", "0"], {})

    with tempfile.TemporaryDirectory(prefix="scale-") as folder:

        def measure(name: str) -> dict[str, float]:
            return _measure(Path(folder), contest, args.recipe, epochs, *ways[name])

        measure("threads" if "threads" in ways else "alone")  # which also writes the split and decodes the images
        measured = interleaved(list(ways), args.repeats, measure, "scale")
    rates = {name: [each["folds_per_hour"] for each in values] for name, values in measured.items()}
    report = {
        "machine": describe(device) | {"load_average": load},
        "recipe": args.recipe,
        "epochs": epochs,
        "workers": workers,
        "ways": {
            name: {key: spread([each[key] for each in values]) for key in values[0]}
            | {"of_ideal": ratio(rates[name], [workers * rate for rate in rates["alone"]])}
            for name, values in measured.items()
        },
    }
    print(json.dumps(report, indent=1) if args.json else _text(report, describe_lines(report["machine"])))


def _measure(
    folder: Path, contest: Any, recipe: str, epochs: int, arguments: list[str], environment: dict[str, str]
) -> dict[str, float]:
    """Seconds of one epoch and those around it, and the folds an hour that follow for all epochs of the recipe."""
    here = ["-c", contest.name, "--data", str(contest.data.resolve()), "--runs", str(folder)]
    if not (folder / contest.slug / "folds.csv").is_file():
        _run("-m", "folds", *here)
    name = f"measured{time.monotonic_ns()}"
    began = time.monotonic()
    once = ["-r", recipe, "--name", name, "--stop-after", "1", "--wandb", "disabled"]
    _run("train.py", *here, *once, *arguments, **environment)
    wall = time.monotonic() - began
    histories = (folder / contest.slug / name).glob("fold*/metrics.jsonl")
    seconds = [json.loads(history.read_text().splitlines()[0])["seconds"] for history in histories]
    other = wall - max(seconds)
    per_hour = len(seconds) * 3600 / (other + epochs * max(seconds))
    return {"epoch_seconds": max(seconds), "other_seconds": other, "folds_per_hour": per_hour}


def _run(*arguments: str, **environment: str) -> None:
    line = [sys.executable, *arguments]
    subprocess.run(line, cwd=ROOT, env=os.environ | environment, check=True, stdout=sys.stderr)


def _text(report: dict[str, Any], machine: str) -> str:
    workers, ways = report["workers"], report["ways"]
    said = {
        "alone": "one fold, alone on a core (or GPU)",
        "side by side": f"{workers} folds side by side",
        "together": f"one fold, {workers} processes together",
        "threads": "one fold, one process on all cores",
    }
    lines = [
        f"{machine}\n\n{report['recipe']}, {report['epochs']} epochs; medians",
        f"{'':<38}{'epoch, s':>10}{'other, s':>10}{'folds/hour':>12}{'range':>18}{'of ideal':>10}",
    ]
    for name, way in ways.items():
        rate = way["folds_per_hour"]
        lines.append(
            f"{said[name]:<38}{way['epoch_seconds']['median']:>10.1f}{way['other_seconds']['median']:>10.1f}"
            f"{rate['median']:>12.2f}{rate['min']:>10.2f} –{rate['max']:>6.2f}{way['of_ideal']:>10.2f}"
        )
    lines.append(f"ideal: {workers} times the first line")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
