"""Several processes that train one fold, and batches in several parts, against one process and whole batches."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from competition.errors import SpecError
from competition.rows.tables import load_train
from competition.strict_yaml import build
from folds.split import assign_folds, strata_of
from folds.store import read_folds, write_folds
from launch.together import check_together
from pipeline.config import Recipe
from pipeline.group import Group
from pipeline.learner import Learner, create_learner
from pipeline.run import Fold, open_run
from pipeline.step import create_step
from pipeline.store import load_predictions
from tests.commands import Command, finish
from tests.support import Tiny, make_contest

# Group norm, no dropout, and nothing drawn per image: then the shares of a batch are all that the processes differ in.
EXACT = """
model: {name: test_efficientnet_gn}
augment: [{HorizontalFlip: {p: 1.0}}]
progressive: {start: 0.75, how: crop}
batch_size: 8
loss: {label_smoothing: 0.1}
optimizer: {lr: 1e-3, weight_decay: 1e-3}
schedule: {epochs: 4, warmup_epochs: 0.5}
ema: 0.9
tta: [horizontal]
precision: float32
"""
EVERYTHING = """
model: {name: trace_resnet_s, args: {drop_rate: 0.2}}
augment: [{HorizontalFlip: {p: 0.5}}, {Rotate: {limit: 5, p: 1.0}}]
mix: {mixup: 0.4, cutmix: 1.0}
erase: 0.3
batch_size: 8
accumulate: 2
optimizer: {name: muon, lr: 1e-3, clip_norm: 1.0}
schedule: {epochs: 40, validate_every: 2}
checkpoint: last
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    tiny = make_contest(tmp_path_factory.mktemp("together"), n_train=49, n_test=4, size=16)
    (tiny.spec.parent / "exact.yaml").write_text(EXACT)
    (tiny.spec.parent / "everything.yaml").write_text(EVERYTHING)
    contest = tiny.contest()
    rows = load_train(contest)
    write_folds(contest, rows, assign_folds(strata_of("classes", rows.labels, 3), np.arange(len(rows)), 3, 0))
    return tiny


def start(tiny: Tiny, name: str, *more: str) -> Command:
    line = ["train.py", "-c", str(tiny.spec), "--data", str(tiny.data), "--wandb", "disabled", "--name", name, *more]
    line += ["--runs", str(tiny.spec.parent / "runs"), "--fold", "0"]
    return Command(tiny.spec.parent / f"{name} said", *line)


def train(tiny: Tiny, *more: str, status: int = 0) -> str:
    return finish(start(tiny, *more), status)


def processes_of(run: str) -> list[int]:
    """Every process, but zombies, whose command line names the run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if run in (path / "cmdline").read_text() and ") Z" not in (path / "stat").read_text():
                found.append(int(path.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def gone(run: str, seconds: float = 20) -> bool:
    """Whether all processes of the run end before long."""
    end = time.monotonic() + seconds
    while processes_of(run) and time.monotonic() < end:
        time.sleep(0.2)
    return not processes_of(run)


def rank(run: str, number: int) -> int:
    """The process id of one of the processes that train `run` together."""
    for process in processes_of(run):
        environment = Path(f"/proc/{process}/environ").read_text().split("\0")
        if f"RANK={number}" in environment and "TRAIN_TOGETHER" in "".join(environment):
            return process
    raise AssertionError(f"{run} has no rank {number}")


def listening(processes: list[int]) -> list[str]:
    """The addresses on which any of them listens."""
    files = [file for process in processes for file in Path(f"/proc/{process}/fd").iterdir()]
    inodes = {str(file.readlink())[8:-1] for file in files if str(file.readlink()).startswith("socket:[")}
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    found = [line[1].partition(":")[0] for line in lines if line[3] == "0A" and line[9] in inodes]
    return ["127.0.0.1" if address == "0100007F" else address for address in found]


def wait_for_epoch(fold: Fold, epoch: int, command: Command) -> None:
    while len(fold.history()) < epoch:
        assert command.running, command.said
        time.sleep(0.05)


def test_two_processes_learn_what_one_does(tiny):
    recipe = ["-r", str(tiny.spec.parent / "exact.yaml")]
    train(tiny, "alone", *recipe)
    said = train(tiny, "pair", *recipe, "--gpus-per-fold", "2")
    assert "2 processes × 4 images = batch_size 8, at the recipe's learning rate 0.001" in said
    assert said.count("epoch   4/4") == 1  # one of them speaks

    runs = tiny.contest().runs
    alone, pair = (open_run(runs / name).folds[0] for name in ("alone", "pair"))
    for key in ("train/loss", "val/loss", "lr"):
        ours, theirs = ([row[key] for row in fold.history()] for fold in (pair, alone))
        assert len(ours) == 4 and np.allclose(ours, theirs, rtol=1e-4), key
    split = read_folds(tiny.contest(), load_train(tiny.contest()))
    a, b = (load_predictions(fold.oof, split.sha256) for fold in (alone, pair))
    assert list(a.ids) == list(b.ids) and len(set(b.ids)) == (split.fold == 0).sum() == 17  # not two equal shares
    assert np.allclose(a.probabilities, b.probabilities, atol=1e-4)


def test_its_processes_may_be_killed_and_ended_and_it_goes_on(tiny):
    arguments = ["mortal", "-r", str(tiny.spec.parent / "everything.yaml"), "--gpus-per-fold", "2"]
    fold = Fold(0, tiny.contest().runs / "mortal" / "fold0")

    command = start(tiny, *arguments, "--max-restarts", "1")
    wait_for_epoch(fold, 1, command)
    os.kill(rank("mortal", 1), signal.SIGKILL)
    wait_for_epoch(fold, len(fold.history()) + 2, command)  # torchrun has started both again
    assert set(listening(processes_of("mortal"))) == {"127.0.0.1"}
    command.signal(signal.SIGTERM)
    assert "continues after epoch" in finish(command, 143) and gone("mortal")

    command = start(tiny, *arguments)
    wait_for_epoch(fold, len(fold.history()) + 1, command)
    os.kill(rank("mortal", 0), signal.SIGKILL)
    assert "was killed by SIGKILL; the same command goes on" in finish(command, 1) and gone("mortal")

    command = start(tiny, *arguments)
    wait_for_epoch(fold, len(fold.history()) + 1, command)
    command.signal(signal.SIGKILL)
    finish(command, -signal.SIGKILL)
    assert gone("mortal")  # nobody trains on when the command is gone

    train(tiny, *arguments)
    assert fold.done and [row["epoch"] for row in fold.history()] == list(range(1, 41))


def test_an_error_of_all_is_said_once(tiny):
    arguments = ["-r", str(tiny.spec.parent / "exact.yaml"), "--set", "optimizer.lr=1e30"]
    said = train(tiny, "wild", *arguments, "--gpus-per-fold", "2", status=2)
    assert said.count("error: ") == 1 and "is not a number any more in epoch 1" in said


def recipe(**keys) -> Recipe:
    keys = {"model": {"name": "test_efficientnet_gn"}, "batch_size": 8, "optimizer": {"lr": 0.1, "name": "sgd"}} | keys
    return build(Recipe, keys | {"schedule": {"epochs": 1}, "precision": "float32"}, "recipe")


def weights_of(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.network.parameters()])


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_makes_the_same_update(parts):
    device, rng = torch.device("cpu"), np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
    labels = torch.arange(8) % 3
    changed = []
    for accumulate in (1, parts):
        settings = recipe(accumulate=accumulate, mix={"mixup": 1.0}, erase=0.5)
        torch.manual_seed(0)
        learner = create_learner(settings, 3, (32, 32, 3), device)
        before = weights_of(learner)
        step = create_step(settings, learner, labels.numpy(), 3, 1, (0,))
        loss = step(images, labels, 0, 0)
        changed.append((loss, weights_of(learner) - before))
    (loss, whole), (loss_of_parts, in_parts) = changed
    assert torch.allclose(loss, loss_of_parts, rtol=1e-5)
    assert whole.abs().max() > 1e-4 and torch.allclose(whole, in_parts, atol=1e-5 * float(whole.abs().max()), rtol=1e-3)


def test_shares_are_all_of_a_batch_and_parts_all_of_the_rows():
    groups = [Group(rank, 3) for rank in range(3)]
    assert np.array_equal(np.concatenate([np.arange(12)[group.share(12)] for group in groups]), np.arange(12))
    for n in (2, 11):
        assert np.array_equal(np.concatenate([group.split(np.arange(n)) for group in groups]), np.arange(n))


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU says")
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"batch_size": 10}, "no 4 equal shares"),
        ({"batch_size": 12, "mix": {"cutmix": 1.0}}, "3 per process are odd"),
        ({"batch_size": 8, "accumulate": 4}, "no 4 parts"),
        ({"batch_size": 8, "sync_batch_norm": True}, "on GPUs only"),
    ],
)
def test_what_four_processes_cannot_do_together_is_refused(keys, message):
    with pytest.raises(SpecError, match=message):
        check_together(recipe(**keys), 4)
