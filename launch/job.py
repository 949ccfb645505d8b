"""What one command trains, with everything checked that could be wrong, before hours are spent on it."""

from dataclasses import dataclass

import numpy as np

from competition.contest import Contest
from competition.errors import SpecError
from competition.rows.tables import Rows, load_train
from folds.store import Split, read_folds
from launch.plan import PlannedRun
from launch.tasks import FoldTask
from pipeline.augment import Augmentation
from pipeline.cache import decoded
from pipeline.config import Image
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


def prepare(contest: Contest, planned: list[PlannedRun]) -> Job:
    """Check the plan against the contest and its data, decode the images once, and open every run.

    Raises SpecError or DataError for whatever would stop a fold before its first step.
    """
    for each in planned:
        check_rules(each.recipe.model, contest.spec.rules)
        Augmentation(each.recipe.augment)
    rows = load_train(contest)
    split = read_folds(contest, rows)
    pixels: dict[Image, np.ndarray] = {}
    for each in planned:
        if each.recipe.image not in pixels:
            pixels[each.recipe.image] = decoded(rows.images, each.recipe.image, contest.runs / "cache", "train")
        check_network(each.recipe, len(contest.classes), pixels[each.recipe.image].shape[1:])
    runs = [create_run(contest, p.name, p.recipe, p.recipe_name, p.seed, split) for p in planned]
    return Job(contest, rows, split, pixels, planned, runs)


def fold_numbers(contest: Contest, asked: list[int] | None) -> list[int]:
    """The folds to train, in order; all when none are named. Raises SpecError for one that there is not."""
    n = contest.spec.folds.n
    numbers = sorted(set(asked)) if asked else list(range(n))
    if wrong := next((k for k in numbers if not 0 <= k < n), None):
        raise SpecError(f"--fold {wrong}: the contest has folds 0…{n - 1}")
    return numbers


def fold_tasks(job: Job, numbers: list[int], shared: tuple[str, ...], until: int | None = None) -> list[FoldTask]:
    """A task for each of these folds of every run that is not finished, the first fold of all runs first.

    Args:
        shared: arguments of train.py that every task takes.
        until: the epoch to stop after.
    """
    tasks = []
    for k in numbers:
        for run, planned in zip(job.runs, job.planned, strict=True):
            arguments = ["-c", job.contest.name, "-r", planned.argument, "--seed", str(planned.seed)]
            arguments += ["--name", run.name, "--fold", str(k), *shared]
            if planned.overrides:
                arguments += ["--set", *planned.overrides]
            if until is not None:
                arguments += ["--stop-after", str(until)]
            tasks.append(FoldTask(run, run.folds[k], tuple(arguments), until))
    return [task for task in tasks if not task.finished]
