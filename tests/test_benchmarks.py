"""The benchmarks run to their end and report what they promise; how fast this machine is, they cannot be held to."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support import Tiny, make_contest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    return make_contest(tmp_path_factory.mktemp("benchmarks"), n_train=24, n_test=9, size=16)


def report_of(tiny: Tiny, name: str, *arguments: str) -> dict[str, Any]:
    """Run a benchmark as a command of its own, as it starts processes and reads its own start time."""
    runs = str(tiny.spec.parent / "runs")
    command = [sys.executable, "-m", f"benchmarks.{name}", "-c", str(tiny.spec), "--data", str(tiny.data)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--runs", runs, "--json", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert all(math.isfinite(number) and number >= 0 for number in numbers(report))
    assert {"cpu", "cores", "torch", "torch_threads", "precision", "load_average"} <= report["machine"].keys()
    return report


def numbers(report: Any) -> Iterator[float]:
    if isinstance(report, dict | list):
        for value in report.values() if isinstance(report, dict) else report:
            yield from numbers(value)
    elif isinstance(report, int | float):
        yield report


def test_training_speed(tiny):
    report = report_of(tiny, "train", "--repeats", "2", "--images", "8", "--batch-sizes", "8")
    (result,) = report["results"]
    peers = {"starting point", "usual", "limit"} | ({"fastai"} if find_spec("fastai") else set())
    assert result["images_per_second"].keys() == {"ours"} | peers
    assert result["ours_over"].keys() == peers
    assert all(0 < r["min"] <= r["median"] <= r["max"] for r in result["images_per_second"].values())
    assert all(r["min"] > 0 for r in result["peak_gflops"].values())
    assert sum(result["limit_breakdown"].values()) == pytest.approx(1)
    assert result["limit_breakdown"]["convolution"] > 0
    # 16×16 images: multiply-accumulates of the four convolutions and two linear layers; the first counts twice, not
    # three times, as nobody asks for the gradient of the images.
    first = 27 * 32 * 256
    macs = first + 9 * (32 * 64 * 64 + 64 * 128 * 16 + 128 * 256 * 4) + 256 * 128 + 128 * 3
    assert result["gflop_per_image"] == pytest.approx(2 * (3 * macs - first) / 1e9)


def test_prediction_speed(tiny):
    report = report_of(tiny, "infer", "-r", "plain-cnn", "--repeats", "1", "--images", "9")
    assert report["images_per_second"].keys() == {"ours", "separate passes", "limit"}
    assert all(ratio > 0 for ratio in report["ours_over"].values())


def test_time_to_an_accuracy(tiny):
    runs = tiny.spec.parent / "runs" / "tiny"
    overrides = ["schedule.epochs=2", "batch_size=8"]
    arguments = ["-r", "plain-cnn", "--answers", str(tiny.answers), "--target", "0", "--curve", "--set", *overrides]
    report = report_of(tiny, "speedrun", *arguments)
    assert report["training_rows"] == 24
    assert report["reached"]
    assert [point["epoch"] for point in report["curve"]] == [1, 2]
    assert report["curve"][-1]["accuracy"] == report["accuracy"]["the recipe's"] == report["accuracy"]["no flips"]
    seconds = report["seconds"]
    assert seconds["total"] == pytest.approx(sum(seconds.values()) - seconds["total"])
    assert not list(Path(runs).glob(".speedrun-*"))
