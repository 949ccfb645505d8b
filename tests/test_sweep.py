"""Sweeps: their files, the names and commands of their points, and early discarding by fold 0."""

import json
import math
import random
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from timm.models import register_model

from competition.contest import Contest
from competition.errors import DataError, SpecError
from competition.metrics import Scale
from competition.rows.tables import load_train
from competition.strict_yaml import parse_yaml, read_yaml, write_value
from folds.store import write_folds
from launch.halving import halve, survivors
from launch.here import train_here
from launch.job import Job, prepare
from launch.plan import plan_runs
from launch.sweep import LONGEST, is_sweep, point_labels
from launch.tasks import Failure, FoldTask
from pipeline.augment import Augmentation
from pipeline.config import RECIPES, load_recipe
from pipeline.discarded import write_discarded
from pipeline.network import check_network, check_rules
from pipeline.run import check_name, open_run
from pipeline.summary import track_fold
from tests.commands import Command, finish
from tests.support import Tiny, make_contest
from tests.test_train import arguments_of
from tests.test_train import run as run_here

SMALL = """
model: {name: plain_cnn_128}
batch_size: 8
optimizer: {lr: 1e-3}
schedule: {epochs: 4}
"""
words = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
values = st.recursive(leaves, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(words, deeper, max_size=3))


@given(values)
def test_a_value_is_read_back_exactly_from_what_set_takes(value):
    written = write_value(value)
    assert repr(parse_yaml(written, "")) == repr(value)  # repr tells 1 from 1.0 and True, and -0.0 from 0.0
    assert written.isprintable()


@pytest.mark.parametrize(
    "word", ["muon", "true", "null", "3e-4", "~", "no", "1:30", "2024-01-01", "a: b", "!!int x", ""]
)
def test_words_that_mean_something_else_in_yaml_stay_words(word):
    assert parse_yaml(write_value(word), "") == word
    assert (write_value(word) == word) == (word in ("muon", "no"))


@pytest.mark.parametrize(
    "settings, labels",
    [
        (
            [{"optimizer.lr": "0.02", "loss.label_smoothing": "0.1"}, {"optimizer.lr": "1e-05"}, {}],
            ["lr=0.02,label_smoothing=0.1", "lr=1e-05", "base"],
        ),
        ([{"optimizer.name": "sgd", "schedule.name": "cosine"}], ["optimizer.name=sgd,schedule.name=cosine"]),
        ([{"a.b.c": "1", "x.b.c": "2", "y.c": "3"}], ["a.b.c=1,x.b.c=2,y.c=3"]),
        ([{"c": "1", "y.c": "2"}], ["c=1,y.c=2"]),
        ([{"lr": "1e+22"}], ["lr=1e22"]),
        ([{"tta": "[]"}, {"tta": "[horizontal]"}, {"tta": "[]", "ema": "0.9"}], ["tta=v1", "tta=v2", "tta=v1,ema=0.9"]),
        ([{"tta": "1"}, {"tta": "a b"}], ["tta=v1", "tta=v2"]),
        ([{"k" * 50: "1"}] + [{"k": str(i)} for i in range(9)], ["p01", *(f"k={i}" for i in range(9))]),
    ],
)
def test_points_are_called_by_what_they_set(settings, labels):
    assert point_labels(settings, 50) == labels


@given(st.lists(st.dictionaries(st.from_regex(r"[a-z](\.[a-z])?", fullmatch=True), leaves, max_size=4), min_size=1))
def test_points_that_set_something_else_have_other_names(settings):
    written = [{key: write_value(value) for key, value in each.items()} for each in settings]
    labels = point_labels(written, LONGEST)
    assert len(set(labels)) == len({tuple(each.items()) for each in written})
    assert all(check_name(f"x-{label}-s0") and len(label) <= LONGEST for label in labels)


scores = st.lists(st.none() | st.floats(-10, 10), min_size=1, max_size=30)
keeps = st.integers(1, 99).map(lambda percent: percent / 100)


@given(scores, keeps, st.booleans(), st.randoms(use_true_random=False))
def test_halving_keeps_exactly_the_best_in_whatever_order_they_come(scores, keep, maximize, rng: random.Random):
    scale = Scale("score", maximize)
    kept = survivors(scores, keep, scale)
    known = [place for place, score in enumerate(scores) if score is not None]
    quota = math.ceil(Fraction(round(100 * keep), 100) * len(scores))
    assert len(kept) == len(set(kept)) == min(quota, len(known)) and set(kept) <= set(known)
    worst_kept = min((scale.gain(scores[place], 0) for place in kept), default=None)
    for place in set(known) - set(kept):
        assert scale.gain(scores[place], 0) < worst_kept or place > max(k for k in kept if scores[k] == scores[place])
    # Others that come in another order decide nothing: only ties go by position.
    order = rng.sample(range(len(scores)), len(scores))
    again = survivors([scores[place] for place in order], keep, scale)
    assert sorted(scores[order[place]] for place in again) == sorted(scores[place] for place in kept)


@pytest.fixture
def spec(tmp_path: Path):
    (tmp_path / "small.yaml").write_text(SMALL)
    return make_contest(tmp_path).contest().spec


def write_sweep(folder: Path, text: str, name: str = "some") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def test_a_grid_is_every_combination_and_each_point_a_plain_command(spec, tmp_path):
    grid = "recipe: small.yaml\ngrid: {optimizer.lr: [1e-2, 2e-2], augment: [[], [{HorizontalFlip: {p: 0.5}}]]}\n"
    planned = plan_runs(spec, [write_sweep(tmp_path, grid)], [0, 3], ["ema=0.5", "optimizer.lr=1"], None)
    points = [f"some-lr={lr},augment={v}-s{s}" for lr in ("0.01", "0.02") for v in ("v1", "v2") for s in (0, 3)]
    assert [run.name for run in planned] == points
    assert {run.argument for run in planned} == {str(tmp_path / "small.yaml")}
    for run in planned:
        (as_typed,) = plan_runs(spec, [run.argument], [run.seed], run.overrides, run.name)
        assert as_typed.recipe == run.recipe and as_typed.name == run.name
    assert [run.recipe.optimizer.lr for run in planned[::2]] == [0.01, 0.01, 0.02, 0.02]
    assert all(run.recipe.ema == 0.5 for run in planned) and len(planned[2].recipe.augment) == 1


def test_recipes_and_sweeps_are_planned_together(spec, tmp_path):
    sweep = write_sweep(tmp_path, "recipe: small.yaml\npoints: [{}, {ema: 0.9}]\n")
    planned = plan_runs(spec, [str(tmp_path / "small.yaml"), sweep], [0], [], None)
    assert [run.name for run in planned] == ["small-s0", "some-base-s0", "some-ema=0.9-s0"]
    assert [run.sweep and run.sweep.name for run in planned] == [None, "some", "some"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("points: [{}]", "some.yaml: key 'recipe' is missing"),
        ("recipe: small.yaml", "give either points or a grid"),
        ("recipe: small.yaml\npoints: [{}]\ngrid: {ema: [0.1]}", "give either points or a grid"),
        ("recipe: small.yaml\npoint: [{}]\ngrid: {ema: [0.1]}", "unknown key 'point'; did you mean 'points'?"),
        ("recipe: small.yaml\ngrid: {ema: []}", "some.yaml: key 'grid.ema'"),
        ("recipe: small.yaml\ngrid: {ema: 0.5}", "some.yaml: key 'grid.ema'"),
        ("recipe: small.yaml\npoints: [{ema=1: 0}]", "some.yaml: key 'points.0.ema=1"),
        ("recipe: small.yaml\npoints: [{ema: 1e999}]", "not finite"),
        ("recipe: nowhere\npoints: [{}]", "point 1 (the recipe as it is): no recipe is called 'nowhere'"),
        ("recipe: small.yaml\npoints: [{}, {optimizer.lrr: 1}]", "some.yaml: point 2 (optimizer.lrr=1): "),
        ("recipe: small.yaml\npoints: [{optimizer.lrr: 1}]", "did you mean 'lr'?"),
        ("recipe: small.yaml\npoints: [{ema: half}]", "'ema'"),
        (
            "recipe: small.yaml\npoints: [{loss.name: bce}, {loss.name: squared}]",
            "point 2 (loss.name=squared): loss.name",
        ),
        ("recipe: small.yaml\npoints: [{}, {ema: 0.1}, {ema: 0.0}]", "point 3 (ema=0.0): is the same as point 1"),
        ("recipe: small.yaml\npoints: [{}]\nhalving: {keep: 1.0, after: [0.5]}", "'halving.keep'"),
        ("recipe: small.yaml\npoints: [{}]\nhalving: {keep: 0.5, after: [0.5, 0.5]}", "larger than the one before it"),
        ("recipe: small.yaml\npoints: [{}]\nhalving: {keep: 0.5, after: [0.5, 1.5]}", "'halving.after.1'"),
        (
            "recipe: small.yaml\npoints: [{}, {schedule.epochs: 2}]\nhalving: {keep: 0.5, after: [0.25, 0.5]}",
            "point 2 (schedule.epochs=2): halving.after: 0.25 and 0.5 of 2 epochs are both epoch 1",
        ),
    ],
)
def test_a_wrong_sweep_names_its_file_and_point(spec, tmp_path, text, message):
    with pytest.raises(SpecError) as error:
        plan_runs(spec, [write_sweep(tmp_path, text)], [0], [], None)
    assert message in str(error.value) and str(tmp_path / "some.yaml") in str(error.value)


def test_a_sweep_has_no_name_of_its_own_for_its_runs_and_a_short_one_itself(spec, tmp_path):
    points = "recipe: small.yaml\npoints: [{}]\n"
    with pytest.raises(SpecError, match="--name mine: the runs of a sweep"):
        plan_runs(spec, [write_sweep(tmp_path, points)], [0], [], "mine")
    with pytest.raises(SpecError, match="50 letters at most"):
        plan_runs(spec, [write_sweep(tmp_path, points, "x" * 51)], [0], [], None)


def test_an_unknown_recipe_leads_to_the_sweeps(spec):
    with pytest.raises(SpecError, match=r"did you mean recipes/sweeps/trace-resnet-lr-decay\.yaml\?"):
        plan_runs(spec, ["trace-resnet-lr-decy"], [0], [], None)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("sweeps/*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_sweep_loads_and_all_its_points_build(spec, path):
    planned = plan_runs(spec, [str(path)], [0], [], None)
    assert is_sweep(str(path)) and len(planned) > 1 and "description" in path.read_text()
    for run in planned:
        check_rules(run.recipe.model, spec.rules)
        Augmentation(run.recipe.augment)
        check_network(run.recipe, 3, (32, 32, 3))


def test_a_recipe_is_no_sweep(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    assert not is_sweep(str(tmp_path / "small.yaml")) and not is_sweep("trace-resnet") and not is_sweep("a/b.yaml")
    assert load_recipe(str(tmp_path / "small.yaml")).batch_size == 8


# Halving by scores that are told, without training.

EIGHT = "recipe: small.yaml\ngrid: {optimizer.lr: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]}\n"
EIGHT += "halving: {keep: 0.5, after: [0.25, 0.5, 1.0]}\n"
Scores = Callable[[float, int], float]


class Trainer:
    """Launches nothing: what training would write follows from `scores`: (learning rate, seed) → validation score.

    lost: the number of the task in which this command is killed. failing: learning rates that cannot be trained, with
    whether that is because they diverge.
    """

    def __init__(self, scores: Scores, lost: int | None = None, failing: dict[float, bool] | None = None) -> None:
        self.scores, self.lost, self.failing = scores, lost, failing or {}
        self.trained: list[tuple[str, int | None]] = []

    def __call__(self, tasks: list[FoldTask]) -> list[Failure]:
        failures = []
        for task in tasks:
            if len(self.trained) == self.lost:
                raise KeyboardInterrupt
            lr = task.run.recipe.optimizer.lr
            self.trained.append((task.run.name, task.until))
            task.fold.folder.mkdir(parents=True, exist_ok=True)
            if lr in self.failing:
                if self.failing[lr]:
                    task.fold.failed.write_text("no number any more\n")
                failures.append(Failure(task, 2, "reason"))
                continue
            for epoch in range(len(task.fold.history()) + 1, (task.until or 4) + 1):
                task.fold.append_history({"epoch": epoch, "val/accuracy": self.scores(lr, task.run.seed)})
            if task.until is None:
                task.fold.finish({"metric": "accuracy", "score": 0.5})
        return failures


@pytest.fixture
def contest(tmp_path: Path) -> Contest:
    """Nine rows in three folds; beside them a recipe of four epochs."""
    (tmp_path / "small.yaml").write_text(SMALL)
    contest = make_contest(tmp_path, n_train=9, n_test=3, size=16).contest()
    write_folds(contest, load_train(contest), np.arange(9) % 3)
    return contest


def job_of(contest: Contest, text: str = EIGHT, seeds: tuple[int, ...] = (0,)) -> Job:
    sweep = write_sweep(contest.runs.parent.parent, text)
    return prepare(contest, plan_runs(contest.spec, [sweep], seeds, [], None))


def names_of(job: Job) -> list[str]:
    return [re.sub(r"some-lr=(\d)\.0", r"\1", run.name) for run in job.runs]


def told(contest: Contest) -> dict[str, dict]:
    """What the sweep has written, without the times."""
    files = [*contest.runs.glob("*/DISCARDED"), *contest.runs.glob("sweeps/*")]
    return {str(file.relative_to(contest.runs)): json.loads(file.read_text()) | {"when": 0} for file in files}


def test_half_of_the_points_go_on_at_every_rung(contest):
    trainer = Trainer(lambda lr, _: 0.1 * lr)
    left, failures = halve(job_of(contest), ("--wandb", "disabled"), trainer)
    assert names_of(left) == ["8-s0"] and not failures
    assert [until for _, until in trainer.trained] == [1] * 8 + [2] * 4 + [None] * 2
    files = told(contest)
    assert [files[f"some-lr={k}.0-s0/DISCARDED"]["rung"] for k in range(1, 8)] == [1, 1, 1, 1, 2, 2, 3]
    assert files["some-lr=6.0-s0/DISCARDED"] == {
        "sweep": "some",
        "rung": 2,
        "epoch": 2,
        "epochs": 4,
        "metric": "accuracy",
        "when": 0,
        "score": pytest.approx(0.6),
        "needed": pytest.approx(0.7),
        "reason": "",
    }
    # The same command again trains nothing, and says the same.
    assert names_of(halve(job_of(contest), (), Trainer(lambda lr, _: -lr, lost=0))[0]) == ["8-s0"]
    assert told(contest) == files


def test_wherever_it_was_interrupted_it_decides_the_same(contest, tmp_path):
    whole = tmp_path / "whole"
    halve(job_of(contest), (), Trainer(lambda lr, _: (lr * 5) % 7))
    files = told(contest)
    shutil.move(contest.runs, whole)
    shutil.copytree(whole, contest.runs, ignore=shutil.ignore_patterns("some-*", "sweeps"))
    for lost in (0, 5, 1, 3, 2, 1, 1):
        with pytest.raises(KeyboardInterrupt):
            halve(job_of(contest), (), Trainer(lambda lr, _: (lr * 5) % 7, lost))
    halve(job_of(contest), (), Trainer(lambda lr, _: (lr * 5) % 7))
    assert told(contest) == files


def test_killed_between_two_of_its_marks_it_discards_the_others_too(contest, monkeypatch):
    job, written = job_of(contest), count()

    def write(folder: Path, discarded: object) -> None:
        if next(written) == 2:
            raise KeyboardInterrupt
        write_discarded(folder, discarded)

    monkeypatch.setattr("launch.halving.write_discarded", write)
    with pytest.raises(KeyboardInterrupt):
        halve(job, (), Trainer(lambda lr, _: lr))
    assert len(told(contest)) == 2
    trainer = Trainer(lambda lr, _: lr)
    assert names_of(halve(job_of(contest), (), trainer)[0]) == ["8-s0"]
    assert [until for _, until in trainer.trained] == [2] * 4 + [None] * 2


def test_a_point_is_as_good_as_the_mean_of_its_seeds(contest):
    text = "recipe: small.yaml\ngrid: {optimizer.lr: [1.0, 2.0]}\nhalving: {keep: 0.5, after: [0.5]}\n"
    scores = {(1.0, 0): 0.9, (1.0, 1): 0.1, (2.0, 0): 0.6, (2.0, 1): 0.5}
    left, _ = halve(job_of(contest, text, (0, 1)), (), Trainer(lambda lr, seed: scores[lr, seed]))
    assert names_of(left) == ["2-s0", "2-s1"]
    assert {file["score"] for name, file in told(contest).items() if "DISCARDED" in name} == {0.5}


def test_a_point_that_diverges_is_discarded_and_the_others_go_on(contest):
    trainer = Trainer(lambda lr, _: 0.1 * lr, failing={8.0: True})
    left, failures = halve(job_of(contest), (), trainer)
    assert names_of(left) == ["7-s0"] and not failures
    mark = told(contest)["some-lr=8.0-s0/DISCARDED"]
    assert mark["score"] is None and mark["reason"] == "no number any more" and mark["rung"] == 1


@register_model
def hungry_cnn(**kwargs: object) -> torch.nn.Module:
    """A network that wants a petabyte for a step."""
    network = timm.create_model("plain_cnn_128", **kwargs)
    network.register_forward_pre_hook(lambda *_: torch.empty(2**50))
    return network


def test_a_point_too_large_for_the_memory_is_discarded_and_the_fix_is_named(contest):
    said = []

    def launch(tasks: list[FoldTask]) -> list[Failure]:
        for task in tasks:
            try:
                train_here(job, [task], "disabled")
            except DataError as error:
                said.append(str(error))
                return [Failure(task, 2, "")]
        return []

    text = "recipe: small.yaml\npoints: [{schedule.epochs: 1}, {schedule.epochs: 1, model.name: hungry_cnn}]\n"
    job = job_of(contest, text + "halving: {keep: 0.9, after: [1.0]}\n")
    left, failures = halve(job, (), launch)
    assert names_of(left) == ["some-epochs=1-s0"] and not failures
    assert re.search(
        r"fold0: the memory does not suffice for 8 images .*nothing was saved.* --set accumulate=2 ", said[0]
    )
    assert "can't allocate memory" in told(contest)["some-epochs=1,name=hungry_cnn-s0/DISCARDED"]["reason"]


def test_where_all_diverge_nothing_is_left_and_the_failures_are_told(contest):
    left, failures = halve(
        job_of(contest), (), Trainer(lambda *_: 0, failing=dict.fromkeys(map(float, range(9)), True))
    )
    assert not left.runs and len(failures) == 8 and len(told(contest)) == 9
    left, failures = halve(job_of(contest), (), Trainer(lambda *_: 0, lost=0))
    assert not left.runs and not failures


def test_a_full_disk_discards_nobody(contest):
    left, (failure,) = halve(job_of(contest), (), Trainer(lambda lr, _: lr, failing={2.0: False}))
    assert not left.runs and failure.task.run.name == "some-lr=2.0-s0" and not told(contest)
    assert names_of(halve(job_of(contest), (), Trainer(lambda lr, _: lr))[0]) == ["8-s0"]


def test_a_sweep_that_was_changed_after_a_decision_is_refused(contest):
    halve(job_of(contest), (), Trainer(lambda lr, _: lr))
    for text, seeds, what in ((EIGHT.replace("7.0, ", ""), (0,), "points or seeds"), (EIGHT, (1,), "points or seeds")):
        with pytest.raises(SpecError, match=f"other {what}"):
            halve(job_of(contest, text, seeds), (), Trainer(lambda lr, _: lr))
    with pytest.raises(SpecError, match="other halving"):
        halve(job_of(contest, EIGHT.replace("keep: 0.5", "keep: 0.6")), (), Trainer(lambda lr, _: lr))
    with pytest.raises(SpecError, match=r"--stop-after 3: .*some\.yaml has halving"):
        halve(job_of(contest), (), Trainer(lambda lr, _: lr), 3)


def test_who_deletes_the_mark_has_the_point_back(contest):
    halve(job_of(contest), (), Trainer(lambda lr, _: lr))
    (contest.runs / "some-lr=2.0-s0" / "DISCARDED").unlink()
    assert names_of(halve(job_of(contest), (), Trainer(lambda lr, _: lr, lost=0))[0]) == ["2-s0", "8-s0"]


def test_a_score_that_nobody_looked_for_is_asked_for(contest):
    job = job_of(contest, EIGHT)
    job.runs[2].folds[0].folder.mkdir(parents=True)
    job.runs[2].folds[0].append_history({"epoch": 1, "train/loss": 1.0})
    with pytest.raises(DataError, match=r"lr=3\.0-s0/fold0/metrics\.jsonl has no val/accuracy at epoch 1"):
        halve(job, (), Trainer(lambda lr, _: lr))


# And with training.

REAL = """
recipe: small.yaml
points:
  - {optimizer.lr: 1e-6}
  - {optimizer: {name: sgd, lr: 1e30}}
  - {optimizer.lr: 3e-3, augment: [{HorizontalFlip: {p: 0.5}}]}
  - {optimizer.lr: 1e-3}
halving: {keep: 0.5, after: [0.25, 0.75]}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> tuple[Tiny, Path, Path]:
    """A contest with the runs of a halving sweep, once whole and once killed over and over: two folders of runs."""
    folder = tmp_path_factory.mktemp("swept")
    tiny = make_contest(folder, 24, 6, metric="log_loss", direction="minimize", kind="probability", size=16)
    (folder / "small.yaml").write_text(SMALL)
    (folder / "some.yaml").write_text(REAL)
    contest = tiny.contest()
    write_folds(contest, load_train(contest), np.arange(24) // 3 % 3)
    moments = [["write", 9], ["kill", 2], ["write", 21], ["term", 3], ["write", 12]]
    for name, ends in (("whole", []), ("killed", moments)):
        shutil.copytree(contest.runs, folder / name / "tiny")
        line = ["-m", "tests.crashes", json.dumps(ends), *arguments_of(tiny, folder / name)]
        command = Command(folder / name / "said", *line, "-r", str(folder / "some.yaml"), "--wandb", "disabled")
        said = finish(command)
        statuses = json.loads(command.output.read_text().splitlines()[-1])
        assert statuses == [143 if kind == "term" else -9 for kind, _ in ends] + [0], said
    return tiny, folder / "whole", folder / "killed"


def test_killed_anywhere_the_same_points_survive_bit_for_bit(swept):
    tiny, whole, killed = swept
    contests = [Contest(tiny.contest().spec, tiny.data, runs / "tiny") for runs in (whole, killed)]
    first, second = map(told, contests)
    assert second == first and len(first) == 4
    marks = {name.split("/")[0]: mark["rung"] for name, mark in first.items() if "DISCARDED" in name}
    assert sorted(marks.values()) == [1, 1, 2] and marks["some-optimizer=v1-s0"] == 1
    assert "not a number any more in epoch 1, step 1 of" in first["some-optimizer=v1-s0/DISCARDED"]["reason"]
    runs = [open_run(path.parent) for path in sorted(contests[0].runs.glob("*/config.yaml"))]
    assert [run.name for run in runs if not run.unfinished] == [run.name for run in runs if run.name not in marks]
    assert all(run.sweep == "some" for run in runs)
    for run in runs:
        twin = open_run(contests[1].runs / run.name)
        if not run.discarded:
            assert [f.weights.read_bytes() for f in run.folds] == [f.weights.read_bytes() for f in twin.folds]
        assert [row["val/loss"] for row in run.folds[0].history()] == [
            row["val/loss"] for row in twin.folds[0].history()
        ]


def test_who_would_use_a_discarded_run_is_told_why_not(swept):
    tiny, runs, _ = swept
    lost, left = "some-lr=0.001-s0", "some-lr=0.003,augment=v1-s0"
    why = "discarded at epoch 3/4 of fold 0, val log_loss 1."
    delete = f"delete {runs / 'tiny' / lost / 'DISCARDED'}"
    before = sorted((runs / "tiny" / lost).rglob("*"))
    recipe = ["-r", str(runs.parent / "small.yaml"), "--set", "optimizer.lr=0.001", "--name", lost]
    for line in (
        ["train.py", *recipe],
        ["train.py", *recipe, "--fold", "2"],
        ["infer.py", lost],
        ["ensemble.py", lost],
    ):
        said = run_here(tiny, *line, runs=runs, status=2)
        assert why in said and "by the sweep some" in said and delete in said
    assert sorted((runs / "tiny" / lost).rglob("*")) == before
    run_here(tiny, "infer.py", left, runs=runs)
    said = run_here(tiny, "ensemble.py", "--wandb", "disabled", "--name", "rest", runs=runs)
    assert f"left out: {lost} ({why}" in said and said.count("left out") == 3
    # The sweep again trains nothing more, for one fold neither.
    said = run_here(tiny, "train.py", "-r", str(runs.parent / "some.yaml"), "--fold", "1", runs=runs)
    assert f"{lost}: {why}" in said and f"{left}: fold 1 is done" in said and "rung" not in said


def test_a_sweep_stands_together_in_the_comparison(swept, tmp_path):
    tiny, runs, _ = swept
    shutil.copytree(runs, tmp_path / "runs")
    here = tmp_path / "runs" / "tiny"
    shutil.copytree(here / "some-lr=0.003,augment=v1-s0", here / "alone")
    config = read_yaml(here / "alone" / "config.yaml")
    del config["sweep"]  # as versions before wrote it
    (here / "alone" / "config.yaml").write_text(yaml.safe_dump(config))
    for name in ("some", "some-lr=1e-06-s0"):
        table = compare(tiny, tmp_path / "runs", name)
        assert "alone" not in table and table.count(" of fold 0, ") == (3 if name == "some" else 1)
    table = compare(tiny, tmp_path / "runs").splitlines()
    assert [line.split()[:2] for line in table[1:7]] == [
        *(["1", "alone"], ["sweep", "some:"], ["2", "lr=0.003,augment=v1-s0"]),
        *(["3", "lr=0.001-s0"], ["4", "lr=1e-06-s0"], ["5", "optimizer=v1-s0"]),
    ]
    assert "4 runs, 3 discarded; their names begin with some-" in table[2]
    kept, lost, wild = table[3].split(), table[4].split(), " ".join(table[6].split())
    assert kept[2:4] == ["3/3", "4"] and kept[5] == "±" and "discarded" not in kept
    assert lost[2:6] == ["0/3", "3/4", "–", "–"] and " ".join(lost[8:]).startswith(
        "discarded at epoch 3/4 of fold 0, val"
    )
    assert wild.endswith("discarded on the way to epoch 1/4 of fold 0, where its training failed")


def compare(tiny: Tiny, runs: Path, *names: str) -> str:
    return run_here(tiny, "pipeline/compare.py", *names, runs=runs)


def test_weights_and_biases_can_group_by_the_sweep(contest, monkeypatch):
    run = job_of(contest).runs[0]
    seen = {}
    monkeypatch.setattr("pipeline.summary.track", lambda _, **how: seen.update(how) or nullcontext())
    with track_fold("disabled", contest, run, run.folds[0]):
        assert seen["config"]["sweep"] == "some" and "sweep:some" in seen["tags"]


def test_a_run_says_which_sweep_it_belongs_to_and_its_own_command_need_not(contest):
    job = job_of(contest)
    plain = replace(job.planned[0], sweep=None, point=None)
    (run,) = prepare(contest, [plain]).runs
    assert run == job.runs[0] and run.sweep == "some"
