"""Folds trained in this process, one after the other; and what is left to do when a run has all of them."""

from itertools import groupby

from launch.job import Job
from launch.tasks import Failure, FoldTask
from pipeline.device import prepare_device
from pipeline.loop import Task, train_fold
from pipeline.run import Run
from pipeline.summary import fold_table, track_fold, track_summary, write_mistakes


def train_here(job: Job, tasks: list[FoldTask], mode: str) -> list[Failure]:
    """Train folds, run by run. Raises what `train_fold` raises, and DataError when another process trains one of them.

    Args:
        mode: of the mirror in Weights & Biases.
    """
    contest, device = job.contest, prepare_device()
    for name, its in groupby(sorted(tasks, key=_run_name), key=_run_name):
        waiting = list(its)
        run = waiting[0].run
        pixels = job.pixels[run.recipe.image]
        target, views = contest.spec.target, contest.spec.views
        task = Task(run, job.rows, job.split, target, contest.classes, contest.metric, pixels, device, views)
        print(f"{name}: {run.recipe.model.name}, {run.recipe.schedule.epochs} epochs, on {device}")
        for each in waiting:
            with each.fold.locked():
                if each.finished:  # by another process, while this one trained others
                    continue
                with track_fold(mode, contest, run, each.fold) as tracker:
                    train_fold(task, each.fold, [other.fold.number for other in waiting], tracker, each.until)
    return []


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
    print(f"next: python infer.py {run.folder}")


def _run_name(task: FoldTask) -> str:
    return str(task.run.folder)
