"""The commands a competitor types, on a contest of tiny images."""

import contextlib
import io
import json
import os
import platform
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from competition.errors import DataError, SpecError
from competition.rows.tables import load_train
from folds.split import assign_folds, strata_of
from folds.store import read_folds, write_folds
from pipeline.augment import Augmentation
from pipeline.batches import TrainingBatches
from pipeline.checkpoint import load_weights
from pipeline.config import Schedule, load_recipe
from pipeline.device import require_code
from pipeline.group import Group
from pipeline.learner import Learner, create_learner
from pipeline.optimizer import learning_rate
from pipeline.run import Fold, open_run
from pipeline.store import load_predictions
from tests.commands import ROOT, Command, finish
from tests.support import Tiny, make_contest, make_run

RECIPE = """
model: {name: plain_cnn_128}
augment: [{HorizontalFlip: {p: 0.5}}, {Rotate: {limit: 5, p: 1.0}}]
batch_size: 8
loss: {label_smoothing: 0.1}
optimizer: {lr: 1e-3, weight_decay: 1e-3}
schedule: {epochs: 3, warmup_epochs: 0.5}
tta: [horizontal]
"""
EVERYTHING = """
model: {name: trace_resnet_s, args: {drop_rate: 0.2, drop_path_rate: 0.2}}
augment: [{HorizontalFlip: {p: 0.5}}, {Rotate: {limit: 5, p: 1.0}}]
mix: {mixup: 0.4, cutmix: 1.0, probability: 0.8}
erase: 0.3
progressive: {start: 0.75, how: crop}
batch_size: 8
loss: {name: focal, label_smoothing: 0.1, class_weights: balanced}
optimizer: {name: muon, lr: 1e-3, weight_decay: 1e-3, clip_norm: 1.0}
schedule: {name: one_cycle, epochs: 12, validate_every: 5}
ema: 0.9
"""
UNTIMED = {"seconds": 0, "images_per_second": 0, "memory_gb": 0}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    """A contest with its split and a recipe beside it."""
    tiny = make_contest(tmp_path_factory.mktemp("tiny"), n_train=48, n_test=12, size=16)
    (tiny.spec.parent / "small.yaml").write_text(RECIPE)
    contest = tiny.contest()
    rows = load_train(contest)
    write_folds(contest, rows, assign_folds(strata_of("classes", rows.labels, 3), np.arange(len(rows)), 3, 0))
    return tiny


def arguments_of(tiny: Tiny, runs: Path | None) -> list[str]:
    return ["-c", str(tiny.spec), "--data", str(tiny.data), "--runs", str(runs or tiny.spec.parent / "runs")]


def run(tiny: Tiny, script: str, *arguments: str, runs: Path | None = None, status: int = 0) -> str:
    """Run a command to its end in this process, which saves importing torch each time; return its output."""
    out, before = io.StringIO(), sys.argv
    sys.argv = [script, *arguments, *arguments_of(tiny, runs)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            runpy.run_path(str(ROOT / script), run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = before
    assert code == status, out.getvalue()
    assert "Traceback" not in out.getvalue()
    return out.getvalue()


def training(tiny: Tiny, *more: str) -> list[str]:
    return ["-r", str(tiny.spec.parent / "small.yaml"), "--wandb", "disabled", *more]


def train(tiny: Tiny, *more: str, **how) -> str:
    return run(tiny, "train.py", *training(tiny, *more), **how)


@pytest.fixture(scope="module")
def trained(tiny) -> Path:
    """The folder of a finished run, trained without interruption."""
    said = train(tiny)
    assert "fold 2  epoch   3/3" in said and "mean" in said
    return tiny.contest().runs / "small-s0"


def test_a_run_leaves_what_it_promises(tiny, trained):
    finished = open_run(trained)
    rows = load_train(tiny.contest())
    split = read_folds(tiny.contest(), rows)
    assert finished.unfinished == [] and finished.folds_sha256 == split.sha256
    for fold in finished.folds:
        assert [row["epoch"] for row in fold.history()] == [1, 2, 3]
        assert {"train/loss", "val/loss", "val/accuracy", "lr", "images_per_second"} <= set(fold.history()[0])
        oof = load_predictions(fold.oof, split.sha256)
        assert set(oof.ids) == set(rows.ids[split.fold == fold.number])
    oof = finished.oof(rows, split, ("cat", "dog", "owl"))
    assert (oof.ids == rows.ids).all() and (oof.labels == rows.labels).all()
    again = train(tiny)
    assert again.count("is done") == 3 and "loss " not in again.replace("log loss", "")


def test_a_run_of_an_earlier_version_is_gone_on_with_and_one_of_another_spec_is_not(tiny, trained, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(trained.parent, runs / "tiny", ignore=shutil.ignore_patterns("small-s1", "ensembles"))
    path = runs / "tiny/small-s0/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["spec"]["train"]["label"] = "other"
    path.write_text(yaml.safe_dump(config))
    assert "started with another spec.train.label: 'other', now 'label'" in train(tiny, runs=runs, status=2)
    del config["spec"]
    path.write_text(yaml.safe_dump(config))
    assert train(tiny, runs=runs).count("is done") == 3


def test_the_job_goes_on_to_a_submission(tiny, trained):
    train(tiny, "--seed", "1", "--fold", "0", "2")
    assert "folds 1 are not finished" in run(tiny, "infer.py", "small-s1", status=2)
    train(tiny, "--seed", "1")
    run(tiny, "infer.py", "small-s0", "small-s1")
    said = run(tiny, "ensemble.py", "--name", "both", "--method", "convex", "--wandb", "disabled")
    assert "nested log loss: convex" in said
    folder = tiny.contest().ensembles / "both"
    assert {path.name for path in folder.iterdir()} == {
        *("weights.json", "oof.npz", "test.npz", "submission.csv", "report.html", "overview.png")
    }
    record = json.loads((folder / "weights.json").read_text())
    assert sum(record["weights"].values()) == pytest.approx(1) and set(record["weights"]) == {"small-s0", "small-s1"}
    blended = load_predictions(folder / "test.npz")
    parts = {name: load_predictions(trained.parent / name / "test.npz") for name in record["weights"]}
    mean = sum(w * parts[name].probabilities for name, w in record["weights"].items())
    np.testing.assert_allclose(blended.probabilities, mean, atol=1e-5)
    lines = (folder / "submission.csv").read_text().splitlines()
    predicted = [blended.classes[c] for c in blended.probabilities.argmax(axis=1)]
    assert lines == ["id,label", *(f"{i},{label}" for i, label in zip(blended.ids, predicted, strict=True))]


def weights_and_oof(folder: Path) -> list[bytes]:
    fold = open_run(folder).folds[0]
    return [fold.weights.read_bytes(), load_predictions(fold.oof).probabilities.tobytes()]


def crash(tiny: Tiny, runs: Path, moments: list, *more: str) -> tuple[list[int], str]:
    """Train, ended at each of `moments` (see crashes.py) and then not; the exit statuses, and all that was said."""
    shutil.copytree(tiny.contest().runs, runs / "tiny", ignore=shutil.ignore_patterns("small-*", "ensembles", "every*"))
    line = ["-m", "tests.crashes", json.dumps(moments), *arguments_of(tiny, runs), *more]
    said = finish(crashing := Command(runs / "said", *line))
    return json.loads(crashing.output.read_text().splitlines()[-1]), said


def test_ended_at_any_moment_it_goes_on_bit_for_bit_as_if_it_had_not_been(tiny, tmp_path):
    (tmp_path / "everything.yaml").write_text(EVERYTHING)
    arguments = ["-r", str(tmp_path / "everything.yaml"), "--fold", "0", "--wandb", "disabled"]
    moments = [["sometime", 0.6], *(["write", n] for n in (1, 4, 7, 9)), ["limit", 100_000]]
    moments += [["term", 3], ["kill", 3], ["term", 2], ["write", 2], ["kill", 1]]
    statuses, said = crash(tiny, tmp_path / "crashed", moments, *arguments)
    assert statuses == [-9, -9, -9, -9, -9, 2, 143, -9, 143, -9, -9, 0]
    assert "terminated; the same command continues" in said
    assert "File too large. Raise the limit on the size of files" in said and "continues after epoch" in said
    whole, crashed = tmp_path / "whole", tmp_path / "crashed"
    assert crash(tiny, whole, [], *arguments)[0] == [0]
    name = "tiny/everything-s0"
    assert weights_and_oof(crashed / name) == weights_and_oof(whole / name)
    histories = [[{**row, **UNTIMED} for row in open_run(runs / name).folds[0].history()] for runs in (crashed, whole)]
    assert histories[0] == histories[1] and [row["epoch"] for row in histories[0]] == list(range(1, 13))
    assert not list(crashed.rglob("*.tmp.tmp")) and sorted(
        path.name for path in (whole / name / "fold0").iterdir()
    ) == [*(".lock", "DONE", "last.pt", "metrics.jsonl", "oof.npz", "weights.safetensors")]


def test_a_loss_that_is_no_number_stops_the_fold_and_says_where(tiny, trained):
    said = train(tiny, "--name", "small-nan", "--set", "optimizer={name: sgd, lr: 1e30}", status=2)
    assert "is not a number any more in epoch 1, step " in said and "on the images train0" in said
    assert "learning rate" in said and "optimizer.clip_norm=1" in said
    assert not (trained.parent / "small-nan" / "fold0" / "oof.npz").exists()
    shutil.rmtree(trained.parent / "small-nan")


def test_a_damaged_cache_is_made_anew(tiny, trained):
    (cache,) = trained.parent.glob("cache/train-*.npy")
    whole = cache.read_bytes()
    assert len(whole) <= 1.02 * 48 * 16 * 16 * 3
    cache.write_bytes(whole[:-100])
    assert "is damaged" in train(tiny)
    assert cache.read_bytes() == whole


def test_what_a_metric_cannot_score_is_said_before_training(tmp_path):
    tiny = make_contest(tmp_path, n_train=30, classes=("real", "fake"), metric="auc", kind="probability", size=8)
    contest = tiny.contest()
    rows = load_train(contest)
    write_folds(
        contest, rows, np.where(rows.labels == 1, 2, np.arange(len(rows)) // 2 % 2)
    )  # all that is fake in one fold
    (tmp_path / "small.yaml").write_text(RECIPE)
    said = train(tiny, status=2)
    assert re.search(r"fold 0 of .*folds\.csv cannot be scored: auc .*Lower folds\.n", said), said
    assert not (contest.runs / "small-s0").exists()


def test_a_second_process_on_the_same_fold_is_refused(tiny, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(tiny.contest().runs, runs / "tiny", ignore=shutil.ignore_patterns("small-*", "ensembles"))
    fold = runs / "tiny" / "small-s0" / "fold0"
    code = (
        "import sys, pathlib, pipeline.run as r\nwith r.Fold(0, pathlib.Path(sys.argv[1])).locked(): print(); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, fold], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        holder.stdout.readline()
        assert f"another process: process {holder.pid} on " in train(tiny, runs=runs, status=2)
        holder.kill()
    with Fold(0, fold).locked():  # a dead holder's lock is no lock
        pass


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--set", "optimizer.lrr=1"], "unknown key 'optimizer.lrr'; did you mean 'lr'?"),
        (
            ["--set", "model.args={drop_rate:0}"],
            "'drop_rate:0' needs a number, true, false or text, or a list of them; write a space",
        ),
        (["--set", "optimizer.lr=fast"], "'optimizer.lr'"),
        (["--set", "model.name=resnet999"], "no network is called 'resnet999'"),
        (["--set", "augment=[{HorizontalFlop: {p: 0.5}}]"], "did you mean 'HorizontalFlip'?"),
        (["--set", "augment=[{HorizontalFlip: {probability: 0.5}}]"], "augment.HorizontalFlip"),
        (["--set", "schedule.epochs=4"], "started with another recipe.schedule.epochs: 3, now 4"),
        (["--set", "augment=[{RandomCrop: {height: 99, width: 99}}]"], "cannot take an image of shape (16, 16, 3)"),
        (["--set", "augment=[{Normalize: {}}]"], "becomes float32 of shape (16, 16, 3). Leave out Normalize"),
        (["--set", "model.args={drop_rate: 2}"], "plain_cnn_128 does not take them: dropout probability"),
        (["--set", "model.args={num_classes: 2}"], "model.args: num_classes follows from the contest"),
        (["--seed", "0", "-1"], "--seed is 0 or more"),
        (["--fold", "3"], "folds 0…2"),
        (["--name", "../x"], "--name"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_written(tiny, trained, arguments, message):
    before = sorted(trained.parent.rglob("*"))
    assert message in train(tiny, *arguments, status=2)
    assert sorted(trained.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "transform, message",
    [
        ("{RandomCrop: {height: 99, width: 99, p: 0.1}}", "cannot take an image of shape (16, 16, 3)"),
        ("{Resize: {height: 20, width: 20, p: 0.3}}", "images come out in different sizes"),
    ],
)
def test_a_transform_that_fails_in_a_worker_ends_the_command_with_one_line(tiny, tmp_path, transform, message):
    command = [sys.executable, "train.py", *training(tiny, "--set", f"augment=[{transform}]")]
    shutil.copytree(tiny.contest().runs, tmp_path / "tiny", ignore=shutil.ignore_patterns("small-*", "ensembles"))
    ended = subprocess.run(
        [*command, *arguments_of(tiny, tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 2 and re.search(rf"^error: augment.*{re.escape(message)}", ended.stderr, re.M)
    assert "Traceback" not in ended.stderr


def test_a_fold_that_lost_a_file_is_finished_again(tiny, trained, tmp_path):
    shutil.copytree(trained.parent, tmp_path / "tiny", ignore=shutil.ignore_patterns("ensembles"))
    copied = open_run(tmp_path / "tiny" / trained.name)
    weights = copied.folds[1].weights.read_bytes()
    copied.folds[1].weights.write_bytes(weights[:-100])
    with pytest.raises(DataError, match=r"not the whole weights .*Delete .*fold1/DONE and give the training command"):
        load_weights(copied.folds[1].weights, torch.nn.Linear(1, 1))
    (copied.folds[1].folder / "DONE").write_text("\n")
    assert copied.unfinished == [1]
    assert "fold 1  continues after epoch 3" in train(tiny, runs=tmp_path)
    assert not copied.unfinished and copied.folds[1].weights.read_bytes() == weights
    config = copied.folder / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0\n", ""))
    with pytest.raises(DataError, match=r"config\.yaml: seed is missing"):
        open_run(copied.folder)


def test_settings_that_are_taken_away_are_other_settings(tmp_path):
    contest = make_contest(tmp_path, n_train=6, n_test=3).contest()
    rows = load_train(contest)
    write_folds(contest, rows, np.arange(6) % 3)
    split, less = read_folds(contest, rows), {"drop_rate": 0.2}
    make_run(contest, rows, split, "some", [], np.zeros(0), progressive={"start": 0.5})
    with pytest.raises(SpecError, match=r"another recipe.progressive: \{'start': 0.5.*, now None"):
        make_run(contest, rows, split, "some", [], np.zeros(0))
    make_run(contest, rows, split, "args", [], np.zeros(0), model={"name": "x", "args": less | {"drop_path_rate": 0.1}})
    with pytest.raises(SpecError, match=r"another recipe.model.args.drop_path_rate: 0.1, now None"):
        make_run(contest, rows, split, "args", [], np.zeros(0), model={"name": "x", "args": less})


def test_training_goes_on_where_the_number_format_is_another(tmp_path):
    def learner(precision: str) -> Learner:
        recipe = load_recipe("trace-resnet", [f"precision={precision}"])
        return create_learner(recipe, 3, (16, 16, 3), torch.device("cpu"))

    for before, after in (("bfloat16", "float16"), ("float16", "float32")):
        saved, fold = learner(before), Fold(0, tmp_path / before)
        fold.folder.mkdir()
        saved.save(fold)
        resumed = learner(after)
        assert resumed.resume(fold)
        assert all(map(torch.equal, saved.network.parameters(), resumed.network.parameters()))


def spoil_labels(data: Path, old: str, new: str) -> None:
    path = data / "train.csv"
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda data: shutil.rmtree(data), "Download the data first"),
        (lambda data: spoil_labels(data, "id,label", "name,label"), "column 'id' is missing"),
        (lambda data: spoil_labels(data, "train005", "train004"), "id 'train004' occurs twice"),
        (lambda data: spoil_labels(data, "train005,owl", "train005,bat"), "line 7: label 'bat'"),
        (lambda data: (data / "train" / "train005.png").unlink(), "id 'train005' has no image"),
        (lambda data: (data / "train" / "train005.png").write_bytes(b"no"), "train005.png: not an image"),
        (lambda data: cut(data / "train" / "train005.png"), "train005.png: the image is empty or cut short"),
        (lambda data: cv2.imwrite(str(data / "train" / "train005.png"), np.zeros((9, 9), np.uint8)), "set image.size"),
    ],
)
def test_bad_data_stops_with_the_file_and_the_fix(tiny, tmp_path, spoil, message):
    shutil.copytree(tiny.data, tmp_path / "data")
    shutil.copytree(
        tiny.contest().runs, tmp_path / "runs" / "tiny", ignore=shutil.ignore_patterns("small-*", "ensembles")
    )
    spoil(tmp_path / "data")
    spoilt = Tiny(tiny.spec, tmp_path / "data", tiny.archive, tiny.answers)
    assert message in train(spoilt, runs=tmp_path / "runs", status=2)
    assert not (tmp_path / "runs" / "tiny" / "small-s0").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.usefixtures("trained")
def test_an_ensemble_over_bad_runs_is_refused(tiny, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(tiny.contest().runs, runs / "tiny", ignore=shutil.ignore_patterns("small-s1", "ensembles"))
    here = runs / "tiny" / "small-s0"
    (here / "test.npz").unlink(missing_ok=True)
    assert "python infer.py" in run(tiny, "ensemble.py", runs=runs, status=2)
    shutil.copytree(here, runs / "tiny" / "cut")
    (runs / "tiny" / "cut" / "fold1" / "DONE").unlink()
    assert "folds 1 are not finished" in run(tiny, "ensemble.py", "cut", runs=runs, status=2)
    assert "left out: cut" in run(tiny, "ensemble.py", runs=runs, status=2)
    # The same rows split otherwise: every number would be too good.
    contest = tiny.contest()
    rows = load_train(contest)
    other = assign_folds(strata_of("classes", rows.labels, 3), np.arange(len(rows)), 3, seed=1)
    elsewhere = type(contest)(contest.spec, contest.data, runs / "tiny")
    write_folds(elsewhere, rows, other)
    assert "another split" in run(tiny, "ensemble.py", "small-s0", runs=runs, status=2)
    said = run(tiny, "ensemble.py", runs=runs, status=2)
    assert "left out: small-s0 (trained on another split than" in said and "holds no finished run that fits" in said
    assert not (runs / "tiny" / "ensembles").exists()


@pytest.mark.usefixtures("trained")
def test_a_run_goes_on_where_its_spec_has_moved(tiny, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(tiny.contest().runs, runs / "tiny", ignore=shutil.ignore_patterns("small-s1", "ensembles"))
    (runs / "tiny" / "small-s0" / "fold1" / "DONE").unlink()
    for name in (tiny.spec, tiny.spec.parent / "small.yaml"):
        shutil.copy(name, tmp_path)
    moved = Tiny(tmp_path / tiny.spec.name, tiny.data, tiny.archive, tiny.answers)
    train(moved, runs=runs)
    assert (runs / "tiny" / "small-s0" / "fold1" / "DONE").is_file()
    config = runs / "tiny" / "small-s0" / "config.yaml"
    text = config.read_text()
    assert f"contest: {moved.spec.resolve()}\n" in text
    config.write_text(text.replace(str(moved.spec.resolve()), "/nowhere/tiny.yaml"))
    command = [sys.executable, "infer.py", str(config.parent), "--data", str(tiny.data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "Say where it is now: -c SPEC" in done.stderr


@pytest.mark.parametrize(
    ("capability", "has"),
    [((8, 0), True), ((8, 9), True), ((7, 5), True), ((9, 0), True), ((6, 0), False), ((7, 0), False), ((12, 1), True)],
)
def test_a_gpu_that_torch_was_not_built_for_is_refused(capability, has):
    built_for = ["sm_75", "sm_80", "sm_86", "sm_90a", "compute_100"]
    if has:
        require_code("a card", capability, built_for)
        return
    with pytest.raises(SpecError, match=r"holds no code for a card, of compute capability \d\.0"):
        require_code("a card", capability, built_for)


def test_a_binary_contest_with_groups_and_an_official_holdout(tmp_path):
    tiny = make_contest(tmp_path, 36, 8, ("real", "fake"), "probability", "auc", size=16)
    (tmp_path / "small.yaml").write_text(RECIPE)
    text = tiny.spec.read_text().replace("folds: {n: 3, seed: 0}", "folds: {n: 3, seed: 0, group: source}")
    holdout = 'holdout: {table: valid.csv, id: id, label: label, images: "train/{id}.png"}'
    tiny.spec.write_text(text.replace("test:", f"{holdout}\ntest:", 1))
    lines = (tiny.data / "train.csv").read_text().splitlines()
    (tiny.data / "valid.csv").write_text("\n".join([lines[0], *lines[31:]]) + "\n")
    rows = [f"{line},video{i // 3}" for i, line in enumerate(lines[1:31])]
    (tiny.data / "train.csv").write_text("\n".join([f"{lines[0]},source", *rows]) + "\n")

    run(tiny, "folds/__main__.py")
    table = pd.read_csv(tiny.contest().folds_file)
    assert table.groupby("group")["fold"].nunique().eq(1).all() and table["group"].nunique() == 10
    train(tiny)
    said = run(tiny, "infer.py", "small-s0")
    assert "holdout auc: " in said
    assert len(load_predictions(tiny.contest().runs / "small-s0" / "holdout.npz")) == 6
    run(tiny, "ensemble.py", "--name", "one")
    submission = pd.read_csv(tiny.contest().ensembles / "one" / "submission.csv")
    fake = load_predictions(tiny.contest().ensembles / "one" / "test.npz").probabilities[:, 1]
    assert list(submission.columns) == ["id", "label"]
    np.testing.assert_allclose(submission["label"], fake, atol=1e-6)


def test_batches_follow_from_the_seed_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    recipe = [{"HorizontalFlip": {"p": 0.5}}, {"Rotate": {"limit": 20, "p": 1.0}}]

    def make(workers: int, first: int = 0) -> list[torch.Tensor]:
        data = TrainingBatches(pixels, np.arange(40), np.arange(40), Augmentation(recipe), 8, (1, 2))
        return [images for images, _ in data.stream(first, 0, 2, workers)]

    alone, helped, resumed = make(0), make(2), make(0, first=1)
    assert len(alone) == 10
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(alone[5:], resumed, strict=True))


def test_every_row_is_seen_once_an_epoch():
    data = TrainingBatches(
        np.zeros((40, 8, 8, 3), np.uint8), np.arange(40), np.arange(4, 36), Augmentation([]), 8, (0,)
    )
    seen = [torch.cat([data[epoch, b][1] for b in range(4)]).tolist() for epoch in (0, 1)]
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(4, 36)) and seen[0] != seen[1]


@pytest.mark.parametrize("rows, group, paired, size", [(39, 1, False, 39), (39, 1, True, 38), (39, 4, True, 32)])
def test_a_batch_of_fewer_rows_than_asked_for_can_still_be_shared_and_paired(rows, group, paired, size):
    everything = (np.zeros((40, 8, 8, 3), np.uint8), np.arange(40), np.arange(rows), Augmentation([]), 64, (0,))
    data = TrainingBatches(*everything, Group(0, group), paired)
    assert data.batch_size == size and len(data[0, 0][1]) * group == size


def test_transforms_draw_independently():
    """albumentations' own Compose(seed=…) flips both ways together or not at all: correlation 1."""
    image = np.zeros((4, 4, 3), np.uint8)
    image[0, 0] = 255
    augmentation = Augmentation([{"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}}])
    augmentation.reseed(7)
    corners = np.array([np.argwhere(augmentation(image)[..., 0])[0] for _ in range(400)])
    assert abs(np.corrcoef(corners.T)[0, 1]) < 0.2
    assert 0.4 < (corners[:, 0] > 0).mean() < 0.6 and 0.4 < (corners[:, 1] > 0).mean() < 0.6


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="glibc's allocator is meant")
def test_a_step_does_not_map_its_memory_anew():
    code = (
        "import resource, torch; from pipeline.device import prepare_device; prepare_device()\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "before = 0\n"
        "for i in range(20): torch.empty(10_000_000).fill_(1); before = faults() if i == 9 else before\n"
        "print(faults() - before)"
    )
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert int(done.stdout) < 20_000  # 40 MB are 10,000 pages: 100,000 in ten steps


def test_learning_rate_rises_and_falls():
    schedule = Schedule(epochs=10, warmup_epochs=1.0, final_lr=1e-5)
    rates = [learning_rate(step, 100, schedule, 1e-3) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-3 / 101) and rates[100] == 1e-3 == max(rates)
    assert rates[550] == pytest.approx((1e-3 + 1e-5) / 2) and rates[-1] == pytest.approx(1e-5, rel=0.01)


def test_every_shipped_recipe_loads():
    names = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
    assert {"plain-cnn", "trace-resnet"} <= set(names)
    for name in names:
        Augmentation(load_recipe(name).augment)
