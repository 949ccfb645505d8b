"""The benchmarks run to their end and report what they promise; how fast this machine is, they cannot be held to."""

import dataclasses
import json
import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import scale
from benchmarks.blenders import convex, greedy, installed, peer_form, peers, true_class
from benchmarks.libraries import distributions, library_like, load, make
from benchmarks.paper import Measured, Plan, demands, fold_seconds
from competition.errors import DataError
from tests.commands import ROOT, Command, finish
from tests.support import Tiny, make_contest


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    return make_contest(tmp_path_factory.mktemp("benchmarks"), n_train=24, n_test=9, size=16)


def printed(folder: Path, name: str, *arguments: str) -> str:
    """What a benchmark prints: a command of its own, as it starts processes and reads its own start time."""
    finish(command := Command(folder / f"{name} said", "-m", f"benchmarks.{name}", *arguments))
    return command.output.read_text()


def report_of(tiny: Tiny, name: str, *arguments: str) -> dict[str, Any]:
    folder = tiny.spec.parent
    where = ["-c", str(tiny.spec), "--data", str(tiny.data), "--runs", str(folder / "runs")]
    report = json.loads(printed(folder, name, *where, "--json", *arguments))
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


def test_folds_an_hour(tiny, monkeypatch, capsys):
    recipe = tiny.spec.parent / "quick.yaml"
    recipe.write_text("model: {name: plain_cnn_128}\nbatch_size: 8\noptimizer: {lr: 1e-3}\nschedule: {epochs: 3}\n")
    trained = []

    def run(*arguments: str, **environment: str) -> None:
        trained.append(finish(Command(tiny.spec.parent / "scale said", *arguments, **environment)))

    monkeypatch.setattr(scale, "_run", run)  # what it measures starts at once
    where = ["-c", str(tiny.spec), "--data", str(tiny.data), "-r", str(recipe)]
    monkeypatch.setattr("sys.argv", ["scale", *where, "--workers", "2", "--repeats", "1", "--json"])
    scale.main()
    ways = json.loads(capsys.readouterr().out)["ways"]
    assert len(trained) == len(ways) + 2  # the split, and a first training that is not measured
    assert {"alone", "side by side", "together"} <= ways.keys() and ways["alone"]["of_ideal"] == pytest.approx(0.5)
    for way, folds in [("alone", 1), ("side by side", 2), ("together", 1)]:
        seconds, rate = (ways[way][key]["median"] for key in ("epoch_seconds", "folds_per_hour"))
        assert rate == pytest.approx(folds * 3600 / (ways[way]["other_seconds"]["median"] + 3 * seconds))


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


def blend_report(folder: Path, *arguments: str) -> dict[str, Any]:
    report = json.loads(printed(folder, "blend", "--json", "--debug", *arguments))
    assert all(math.isfinite(number) for number in numbers(report))
    assert report["machine"]["threads"] == 1
    assert report["peers"] == installed()
    return report


@pytest.fixture(scope="module")
def wine():
    return make("wine", 0)


def test_every_row_is_predicted_by_models_that_did_not_see_it(wine):
    assert wine.oof.shape == (12, 89, 3)
    assert wine.test.shape == (12, 89, 3)
    assert np.allclose(wine.oof.sum(axis=2), 1, atol=1e-5)
    assert np.allclose(wine.test.sum(axis=2), 1, atol=1e-5)
    assert np.bincount(wine.fold).tolist() == [18, 18, 18, 18, 17]
    accuracy = (wine.oof.argmax(axis=2) == wine.y).mean(axis=1)
    assert 0.7 < accuracy.min() < accuracy.max() < 1


def test_quality_of_a_file(tmp_path):
    np.savez(tmp_path / "cancer.npz", **dataclasses.asdict(make("breast cancer", 0)))  # binary: all peers
    (result,) = blend_report(tmp_path, "--only", "quality", "--", str(tmp_path / "cancer.npz"))["quality"]
    assert (result["name"], result["members"], result["rows"], result["classes"]) == ("cancer", 12, 284, 2)
    losses = result["log_loss"]
    ours = {"best", "uniform", "greedy", "convex", "convex_calibrated", "log_linear", "auto"}
    assert losses.keys() == ours | set(installed())
    assert losses["auto"] == losses[result["chosen"]]
    assert losses["uniform"]["in sample"] == pytest.approx(losses["uniform"]["nested"], rel=1e-5)
    assert result["certificate"]["holds"]
    if "AutoGluon" in installed():
        assert losses["AutoGluon"] == pytest.approx(losses["greedy"], abs=1e-3)


def test_a_file_that_is_no_library_is_refused(tmp_path):
    file = tmp_path / "empty.npz"
    np.savez(file, oof=np.zeros((2, 3, 2)))
    with pytest.raises(DataError, match=r"empty\.npz: must be an \.npz file that holds oof, test, y"):
        load(file)


def test_speed_and_memory_of_blending(tmp_path):
    shapes = ("--speed", "3x300x2", "--large", "4x500", "--memory", "3x2000x3")
    report = blend_report(tmp_path, "--only", "speed", "memory", "--repeats", "2", *shapes)
    (speed,), (large,) = report["speed"], report["large"]
    assert speed["contenders"].keys() == {"greedy", "convex", "convex, bagged and nested", *installed()}
    assert all(row["seconds"]["min"] > 0 and row["measured"] == 2 for row in speed["contenders"].values())
    reached = {name: row["log_loss"] for name, row in speed["contenders"].items()}
    assert reached["convex"] <= min(reached.values()) + 1e-5
    assert large["contenders"].keys() == {"greedy", "convex", "reads"}
    assert large["contenders"]["convex"]["gap"] < 1e-5
    memory = report["memory"]
    assert memory["bytes_predictions"] == 4 * 3 * 2000 * 3
    assert all(0 < row["bytes_before"] <= row["bytes_peak"] for row in memory["methods"].values())


def test_large_libraries_resemble_the_small_one(wine):
    t = library_like(wine, 6, 5000)
    correlations = np.corrcoef(t)[np.triu_indices(6, 1)]
    assert 0.2 < correlations.min() < correlations.max() < 1
    y = np.arange(5000) % 4
    p = distributions(t[0], y, 4)
    assert np.allclose(p.sum(axis=1), 1, atol=1e-6)
    assert (true_class(p[None], y) == t[:1]).all()


def test_the_peer_form_keeps_what_float32_knows():
    p = np.array([[[1, 1e-9], [1e-9, 1]]], dtype=np.float32)
    second = peer_form(p)
    assert second[0, 0] == np.float32(1e-9)
    assert 1 - second[0, 1] == pytest.approx(1e-9, rel=1e-6)


def test_peers_return_the_weights_that_they_found():
    y = np.arange(400) % 2
    p = np.stack([distributions(t, y, 2) for t in library_like(make("wine", 1), 4, 400)])
    t = true_class(p, y).astype(float)
    least = -np.log(convex(p, y) @ t).mean()
    for weights in [greedy(p, y), *(weigh(peer_form(p), y) for weigh in peers(2).values())]:
        assert (weights >= 0).all() and weights.sum() == pytest.approx(1)
        assert least - 1e-6 <= -np.log(weights @ t).mean() < least + 2e-3
    assert "hillclimbers" not in peers(3)


@pytest.mark.parametrize("classes", [20, 1200])
def test_scale(tmp_path, classes):
    report = json.loads(printed(tmp_path, "rows", "--rows", "2400", "--classes", str(classes), "--json"))
    assert all(math.isfinite(number) and number >= 0 for number in numbers(report))
    size = {entry["stage"]: entry.get("megabytes") for entry in report["stages"]}["predictions of one run, stored"]
    assert 0 < size < 2400 * (4 * classes if classes <= 1000 else 600) * 1.5e-6


def test_a_sweep_on_paper(tmp_path):
    assert printed(tmp_path, "paper") in (ROOT / "docs" / "scale.md").read_text(), (
        "copy the new table into docs/scale.md"
    )

    plan, measured = Plan(), Measured()
    found = {demand.what: demand for demand in demands(plan, measured)}
    reached = [demand.reached() or math.inf for demand in found.values()]
    assert reached == sorted(reached)
    for demand, speed in zip(found.values(), reached, strict=True):
        if 1.01 < speed < math.inf:
            assert demand.at(speed) == pytest.approx(demand.limit)
    gathered = found["images gathered, if memory cannot hold the cache"]
    assert gathered.reached() == pytest.approx(5e9 / 100 / 30_000)
    # All GPUs together start a fold, a million files each, every 2,000 s.
    asked = found["files asked for at starts, if images are on shared storage"]
    before = measured.start + 1e6 * measured.row
    assert asked.reached() == pytest.approx(20e6 / (100 * 1e6 / 50_000 - before))
    assert fold_seconds(plan, measured, asked.reached()) == pytest.approx(2_000)
    assert found["looks of the driver at the folds"].reached() is None
    assert found["W&B: all requests"].reached() <= 1.01
