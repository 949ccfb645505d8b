"""The table of runs and ensembles, and the script that makes it from a contest's zip."""

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from competition.contest import Contest
from competition.errors import DataError
from competition.kaggle.packing import pack
from competition.rows.tables import load_train
from folds.store import read_folds, write_folds
from pipeline import table
from pipeline.config import Model
from pipeline.costs import Cost, cost_of
from pipeline.device import machine_name, prepare_device
from pipeline.ensemble import Options, fit_ensemble
from pipeline.ensemble_folder import write_ensemble
from pipeline.run import Run
from pipeline.store import Predictions
from tests.support import make_contest, make_run

ROOT = Path(__file__).parent.parent


def test_costs_are_those_that_can_be_counted_by_hand():
    widths, side, flops = (3, 32, 64, 128, 256), 100, 0
    parameters = sum(9 * a * b + b + 2 * b for a, b in pairwise(widths))
    for before, after in pairwise(widths):
        flops += 2 * 9 * before * after * side * side
        side //= 2
    features = widths[-1] * side * side
    parameters += features * 128 + 128 + 128 * 5 + 5
    flops += 2 * (features * 128 + 128 * 5)
    assert cost_of(Model(name="plain_cnn_128"), 5, (100, 100, 3)) == Cost(parameters, flops)
    # Without the network to ask: pre-trained weights would have to be fetched.
    assert cost_of(Model(name="resnet18", pretrained=True), 1000, (224, 224, 3)).parameters == 11_689_512


@pytest.mark.parametrize("depth, width, millions", [(16, 8, 11.0), (28, 10, 36.5), (40, 4, 8.9)])
def test_wide_networks_have_the_parameters_that_were_published(depth, width, millions):
    """Zagoruyko and Komodakis 2016, table 4 (CIFAR-10)."""
    network = Model(name="wide_resnet", args={"depth": depth, "width": width})
    assert cost_of(network, 10, (32, 32, 3)).parameters / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.fixture
def contest(tmp_path: Path) -> Contest:
    """30 training, 20 test and 6 holdout rows; the last are the first training rows under other names."""
    tiny = make_contest(tmp_path, n_train=30, n_test=20)
    held_out = (tiny.data / "train.csv").read_text().replace("train", "held").splitlines()[:7]
    (tiny.data / "held.csv").write_text("\n".join(held_out) + "\n")
    shutil.copytree(tiny.data / "train", tiny.data / "held")
    for path in (tiny.data / "held").iterdir():
        path.rename(path.with_name(path.name.replace("train", "held")))
    spec = tiny.spec.read_text()
    tiny.spec.write_text(f'{spec}holdout: {{table: held.csv, id: id, label: label, images: "held/{{id}}.png"}}\n')
    contest = tiny.contest()
    write_folds(contest, load_train(contest), np.arange(30) // 3 % 3)
    return contest


def predicted(run: Run, contest: Contest, part: str, n: int, right: int) -> None:
    """Predictions of rows whose class is their number modulo three, of which the first `right` are right."""
    names = [f"{part}{i:03}" for i in range(n)]
    says = (np.arange(n) + (np.arange(n) >= right)) % 3
    p = np.full((n, 3), 0.1, np.float32)
    p[np.arange(n), says] = 0.8
    its_file = "holdout" if part == "held" else part
    Predictions(np.array(names), contest.classes, p, run.folds_sha256).save(run.folder / f"{its_file}.npz")


def shown(contest: Contest, monkeypatch, capsys, *arguments: str) -> tuple[list[list[str]], str]:
    """The table's cells, its head and rule among them; and what was said before it."""
    places = ["--data", str(contest.data), "--runs", str(contest.runs.parent)]
    monkeypatch.setattr("sys.argv", ["table", "-c", contest.name, *places, *arguments])
    table.main()
    printed = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("|")]
    return cells, printed.partition("|")[0]


def test_the_table_says_what_each_costs_and_is_worth(contest, tmp_path, monkeypatch, capsys):
    rows = load_train(contest)
    split = read_folds(contest, rows)
    p = np.eye(3, dtype=np.float32)[rows.labels] * 0.7 + 0.1
    size = {"image": {"size": [32, 32], "channels": 1}}
    good = make_run(contest, rows, split, "good", [0.7, 0.9, 0.8], p, **size)
    poor = make_run(contest, rows, split, "poor", [0.4, 0.5, 0.6], (p + 1 / 3) / 2, checkpoint="best", **size)
    make_run(contest, rows, split, "half", [0.5], p, unfinished={1: [0.4]}, **size)
    for fold in good.folds:
        fold.finish(fold.result() | {"machine": "a H100"})
    predicted(good, contest, "test", 20, 18)
    predicted(poor, contest, "test", 20, 8)
    predicted(good, contest, "held", 6, 5)

    both = fit_ensemble(contest, [good, poor], rows, split, Options("uniform"))
    folder = write_ensemble(contest, both, rows, split, "both")
    with np.load(folder / "test.npz") as archive:
        answered = both.decision.apply(archive["probabilities"]).argmax(axis=1)
    its_test = f"{np.mean(answered == np.arange(20) % 3):.4f}"
    (contest.ensembles / "old").mkdir()
    (contest.ensembles / "old" / "weights.json").write_text(json.dumps({"weights": {"gone": 1.0}}))

    cells, said = shown(contest, monkeypatch, capsys, "--answers", str(tmp_path / "answers.csv"))
    assert "half: folds 1 2 are not finished" in said and "does not describe a blend" in said
    one = cost_of(Model(name="plain_cnn_128"), 3, (32, 32, 1))
    cost = [f"{one.parameters / 1e6:.2f} M", f"{one.flops / 1e9:.3g}"]
    twice = [f"{2 * one.parameters / 1e6:.2f} M", f"{2 * one.flops / 1e9:.3g}"]
    nested = f"{both.honest.score:.4f} (nested)"
    assert cells[0] == [
        *("run", "how", "parameters", "GFLOP", "OOF accuracy, mean ± sd of 3 folds"),
        *("holdout (6)", "test (20)", "minutes"),
    ]
    chosen = "selected on OOF: too good"
    assert cells[2:] == [
        ["poor", f"4 epochs; {chosen}", *cost, "0.5000 ± 0.1000", "–", "0.4000", "3.0"],
        ["good", "4 epochs", *cost, "0.8000 ± 0.1000", "0.8333", "0.9000", "3.0 on a H100"],
        ["both", f"2 runs, uniform; {chosen}", *twice, nested, "–", its_test, "6.0 on a H100"],
    ]
    cells, _ = shown(contest, monkeypatch, capsys, "both", "good")
    assert [(line[0], line[5]) for line in cells[2:]] == [("both", "–"), ("good", "0.8333")] and len(cells[0]) == 7

    poor.folds[1].finish(poor.folds[1].result() | {"seconds": 61.0})  # trained anew: the blend is of what it was before
    cells, said = shown(contest, monkeypatch, capsys)
    assert [line[0] for line in cells[2:]] == ["poor", "good"] and "poor was trained anew since; make the" in said
    with pytest.raises(DataError, match=r"poor was trained anew since both was made\. Make the ensemble again: python"):
        pack(contest, folder, gpu=False)


def test_the_script_goes_from_the_data_to_the_table(tmp_path):
    tiny = make_contest(tmp_path, n_train=24, n_test=6, size=16)
    tiny.spec.write_text(tiny.spec.read_text().replace("n: 3", "n: 2"))
    kit = tmp_path / "kit"
    (kit / "data").mkdir(parents=True)
    for path in ROOT.iterdir():
        if path.suffix == ".py" or (path / "__init__.py").is_file() or path.name in ("recipes", "scripts", "submit.sh"):
            (kit / path.name).symlink_to(path)
    (kit / "data" / "tiny").symlink_to(tiny.data)
    its_own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    its_own |= {
        "CONTEST": str(tiny.spec),
        "ANSWERS": str(tiny.answers),
        "WANDB_MODE": "disabled",
        "HOME": str(tmp_path),
    }
    quick = ["--set", "schedule.epochs=1", "schedule.warmup_epochs=0", "batch_size=4"]
    done = subprocess.run(
        [kit / "scripts" / "unibuc.sh", *quick], env=os.environ | its_own, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")][2:]
    plain = ["plain-cnn-s0", "plain-cnn-s1", "plain-cnn-256-s0", "plain-cnn-256-s1"]
    residual = ["trace-resnet-s0", "trace-resnet-cutmix-s0", "trace-resnet-no-flips-s0"]
    assert rows == [*plain, "starting-point", *residual, "all-recipes"]
    # The minutes are told with the machine that they were spent on.
    assert done.stdout.count(f" on {machine_name(prepare_device())}") == len(rows)
    weights = json.loads((kit / "runs/tiny/ensembles/starting-point/weights.json").read_text())["weights"]
    assert weights == dict.fromkeys(sorted(plain), 0.25)
