"""Folds trained in this process, one after the other; and what is left to do when a run has all of them."""

from contextlib import nullcontext
from itertools import groupby

import torch

from launch.job import Job
from launch.tasks import Failure, FoldTask
from pipeline.device import place_of, prepare_device
from pipeline.group import Group, joined
from pipeline.loop import Task, train_fold
from pipeline.run import Run
from pipeline.summary import fold_table, track_fold, track_summary, write_mistakes


def train_here(job: Job, tasks: list[FoldTask], mode: str) -> list[Failure]:
    """Train folds, run by run. Raises what `train_fold` raises, and DataError when another process trains one of them.

    Args:
        mode: of the mirror in Weights & Biases.
    """
    device = prepare_device()
    with joined(device) as group:
        _train_runs(job, tasks, mode, device, group)
    return []


def _train_runs(job: Job, tasks: list[FoldTask], mode: str, device: torch.device, group: Group) -> None:
    contest = job.contest
    for name, its in groupby(sorted(tasks, key=_run_name), key=_run_name):
        waiting = list(its)
        run = waiting[0].run
        pixels = job.pixels[run.recipe.image]
        target, views = contest.spec.target, contest.spec.views
        task = Task(run, job.rows, job.split, target, contest.classes, contest.metric, pixels, device, views, group)
        print(f"{name}: {run.recipe.model.name}, {run.recipe.schedule.epochs} epochs, on {place_of(device)}")
        for each in waiting:
            with each.fold.locked() if group.first else nullcontext():
                group.wait()  # until the first one has the lock
                if each.finished:  # by another process, while this one trained others
                    continue
                with track_fold(mode if group.first else "disabled", contest, run, each.fold) as tracker:
                    train_fold(task, each.fold, [other.fold.number for other in waiting], tracker, each.until)


def conclude(job: Job, run: Run, mode: str) -> None:
    """Print a run's scores; once it has all folds, draw its worst mistakes and mirror its summary, if not done yet."""
    print(fold_table(job.contest, run))
    if run.unfinished:
        print(f"folds still to train: {' '.join(map(str, run.unfinished))}")
        return
    with run.locked():  # several processes may have trained the last folds
        if not run.concluded:
            track_summary(mode, job.contest, run, job.rows, job.split)
            # The picture comes last: with it, the summary is mirrored.
            print(f"worst mistakes: {write_mistakes(job.contest, run, job.rows, job.split)}")
    print(f"next: python infer.py {run.name} {job.contest.options}")


def _run_name(task: FoldTask) -> str:
    return str(task.run.folder)
