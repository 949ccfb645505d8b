"""What one command trains, with everything checked that could be wrong, before hours are spent on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from competition.contest import Contest
from competition.errors import DataError, SpecError
from competition.rows.tables import Rows, load_train
from competition.sparse import MANY
from folds.store import Split, read_folds
from launch.plan import PlannedRun
from launch.tasks import FoldTask
from pipeline.augment import Augmentation
from pipeline.cache import decoded
from pipeline.config import Image
from pipeline.discarded import read_discarded, revival
from pipeline.network import check_network, check_rules
from pipeline.run import Run, create_run


@dataclass(frozen=True)
class Job:
    """Runs to train, and what they share. pixels: the decoded images, by the recipes' image settings."""

    contest: Contest
    rows: Rows
    split: Split
    pixels: dict[Image, np.ndarray]
    planned: list[PlannedRun]
    runs: list[Run]

    def part(self, wanted: Callable[[PlannedRun, Run], bool]) -> "Job":
        """The same with only the runs that are wanted."""
        pairs = [pair for pair in zip(self.planned, self.runs, strict=True) if wanted(*pair)]
        return replace(self, planned=[planned for planned, _ in pairs], runs=[run for _, run in pairs])


def prepare(contest: Contest, planned: list[PlannedRun]) -> Job:
    """Check the plan against the contest and its data, decode the images once, and open every run.

    Raises SpecError or DataError for whatever would stop a fold before its first step.
    """
    for each in planned:
        with each.checked():
            check_rules(each.recipe.model, contest.spec.rules)
            Augmentation(each.recipe.augment)
        if each.sweep is None:  # a sweep passes over the runs that it discarded
            _refuse_discarded(contest.runs / each.name)
    rows = load_train(contest)
    split = read_folds(contest, rows)
    _require_scores(contest, rows, split)
    pixels: dict[Image, np.ndarray] = {}
    for each in planned:
        if each.recipe.image not in pixels:
            pixels[each.recipe.image] = decoded(rows.images, each.recipe.image, contest.runs / "cache", "train")
    for each in {plan.recipe.model_dump_json(): plan for plan in planned}.values():
        with each.checked():
            images = pixels[each.recipe.image]
            check_network(each.recipe, len(contest.classes), images.shape[1:])
            augmentation = Augmentation(each.recipe.augment)
            augmentation.reseed(0)
            augmentation(images[0])
    runs = [
        create_run(contest, p.name, p.recipe, p.recipe_name, p.seed, split, p.sweep and p.sweep.name) for p in planned
    ]
    return Job(contest, rows, split, pixels, planned, runs)


def fold_numbers(contest: Contest, asked: list[int] | None) -> list[int]:
    """The folds to train, in order; all when none are named. Raises SpecError for one that there is not."""
    n = contest.spec.folds.n
    numbers = sorted(set(asked)) if asked else list(range(n))
    if wrong := next((k for k in numbers if not 0 <= k < n), None):
        raise SpecError(f"--fold {wrong}: the contest has folds 0…{n - 1}")
    return numbers


def fold_tasks(job: Job, numbers: list[int], shared: Sequence[str], until: int | None = None) -> list[FoldTask]:
    """A task for each of these folds of every run that is not finished, the first fold of all runs first.

    Args:
        shared: arguments of train.py that every task takes.
        until: the epoch to stop after.
    """
    pairs = zip(job.runs, job.planned, strict=True)
    tasks = [fold_task(job.contest, *pair, k, shared, until) for k, pair in product(numbers, pairs)]
    return [task for task in tasks if not task.finished]


def fold_task(
    contest: Contest, run: Run, planned: PlannedRun, number: int, shared: Sequence[str], until: int | None
) -> FoldTask:
    """The task of training one fold of a run, as `fold_tasks` says."""
    arguments = ["-c", contest.name, "-r", planned.argument, "--seed", str(planned.seed)]
    arguments += ["--name", run.name, "--fold", str(number), *shared]
    if planned.overrides:
        arguments += ["--set", *planned.overrides]
    if until is not None and until >= run.recipe.schedule.epochs:
        until = None  # to its end: with the last epoch, DONE is still to come
    if until is not None:
        arguments += ["--stop-after", str(until)]
    return FoldTask(run, run.folds[number], tuple(arguments), until)


def _require_scores(contest: Contest, rows: Rows, split: Split) -> None:
    """Raise DataError where the metric is not defined on the rows of a fold, such as an AUC without a positive row."""
    classes = len(contest.classes)
    if classes > MANY or contest.metric.per_row is not None:
        return
    for k in range(split.n):
        labels = rows.labels[split.fold == k]
        try:
            contest.metric(labels, np.broadcast_to(np.float32(1 / classes), (len(labels), classes)))
        except DataError as error:
            raise DataError(
                f"fold {k} of {contest.folds_file} cannot be scored: {error}. Lower folds.n in the spec, leave rare "
                "classes out of the metric (columns, where it has that key), or give rows of them to every fold"
            ) from error


def _refuse_discarded(folder: Path) -> None:
    if discarded := read_discarded(folder):
        raise DataError(f"run {folder.name!r}: {discarded.told}. {revival(folder)}")
