"""The training loop of one fold: resumable at every step, and the same whether it was interrupted or not."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from blending.truth import truth_of
from competition.errors import DataError, SpecError, Terminated
from competition.files import atomic_open
from competition.interrupt import Termination
from competition.metrics import Metric
from competition.rows.tables import Rows
from competition.sparse import Sparse, stacked
from competition.spec_parts import Target, Views
from folds.store import Split
from pipeline.augment import Augmentation
from pipeline.batches import TrainingBatches
from pipeline.checkpoint import save_weights
from pipeline.device import augmentation_workers, machine_name, out_of_memory, peak_memory
from pipeline.group import ALONE, LOOK_EVERY, Group
from pipeline.learner import Learner, create_learner
from pipeline.mixing import seed_everything
from pipeline.optimizer import learning_rate
from pipeline.predict import predict
from pipeline.progress import Progress
from pipeline.run import Fold, Run
from pipeline.step import Step, create_step
from pipeline.store import Predictions
from pipeline.tracking import NullTracker
from pipeline.views import predictions_of_rows

LOOK_SECONDS = 1.0  # how often the loss is read in an epoch: reading it makes a GPU wait
CHECKPOINT_SECONDS = 300.0  # the most that a crash in a long epoch costs
LONG_VALIDATION = 10.0  # seconds, above which a checkpoint is written before; of the first one nobody knows


@dataclass(frozen=True)
class Task:
    """What the folds of a run share.

    pixels: (V, H, W, C) uint8, in the order of the rows' images. group: the processes that train each fold together.
    """

    run: Run
    rows: Rows
    split: Split
    target: Target
    classes: tuple[str, ...]
    metric: Metric
    pixels: np.ndarray
    device: torch.device
    views: Views | None = None
    group: Group = ALONE

    def images_of(self, rows: np.ndarray) -> np.ndarray:
        """The places in `pixels` of the images of some rows (N,) bool."""
        return np.flatnonzero(rows[self.rows.row_of])

    def loss(self, labels: np.ndarray, predictions: np.ndarray | Sparse) -> float:
        return float(truth_of(self.target.family, labels).losses(predictions).mean())


def train_fold(task: Task, fold: Fold, folds: list[int], tracker: NullTracker, until: int | None = None) -> None:
    """Train one fold to the end, going on from its last checkpoint, and write everything that DONE promises.

    The images of a step, their augmentation and its dropout follow from (seed, fold, epoch, batch) alone, so the
    checkpoint needs no random state. In a group, every process computes the same decisions; the first one alone writes.

    Args:
        folds: the folds this command trains, for the time left.
        until: the epoch after which to stop; training goes on there another time.

    Raises:
        DataError: the loss stopped being a number, or the memory does not suffice; the last good checkpoint stays.
        SpecError: several processes cannot train this network.
        Terminated: asked to end by SIGTERM; the step was finished and a checkpoint written.
    """
    if task.group.first:
        fold.failed.unlink(missing_ok=True)
    try:
        _train_fold(task, fold, folds, tracker, until)
    except RuntimeError as error:
        if "Expected to have finished reduction" in str(error):
            name = task.run.recipe.model.name
            raise SpecError(
                f"--gpus-per-fold: {name} has weights that not every step uses; leave the option out"
            ) from error
        if not out_of_memory(error):
            raise
        raise _too_large(task, fold, error) from error


def _train_fold(task: Task, fold: Fold, folds: list[int], tracker: NullTracker, until: int | None) -> None:
    recipe, seed, metric = task.run.recipe, (task.run.seed, fold.number), task.metric
    held_out, family, group = task.split.fold == fold.number, task.target.family, task.group
    labels, epochs = task.rows.labels[held_out], recipe.schedule.epochs
    values = task.rows.labels[~held_out] if family == "values" else None

    seed_everything(task.device, *seed)
    learner = create_learner(recipe, len(task.classes), task.pixels.shape[1:], task.device, values)
    if learner.resume(fold):
        print(f"fold {fold.number}  continues after epoch {learner.epoch}, step {learner.batch}")
    history = [row for row in fold.history() if row["epoch"] <= learner.epoch]
    group.wait()  # until all have read what the first one writes anew
    if group.first:
        fold.write_history(history)

    augmentation = Augmentation(recipe.augment)
    image_labels = task.rows.labels[task.rows.row_of]
    training = task.images_of(~held_out)
    drawn = (task.pixels, image_labels, training, augmentation, recipe.batch_size, seed)
    batches = TrainingBatches(*drawn, group, recipe.mix.on)
    classes = len(task.classes)
    step = create_step(recipe, learner, image_labels[training], classes, batches.per_epoch, seed, family, group)
    stream = batches.stream(learner.epoch, learner.batch, epochs, augmentation_workers(task.device))
    progress = Progress(fold.number, folds, recipe, batches.per_epoch)
    probabilities, trained_before, validation = None, learner.epoch == epochs, math.inf
    with Termination() as termination:
        while learner.epoch < epochs:
            loss, seconds = _train_epoch(task, fold, learner, batches, stream, step, progress, termination)
            number = learner.epoch + 1
            validating = number % recipe.schedule.validate_every == 0 or number in (epochs, until)
            if validating and validation > LONG_VALIDATION and group.first and learner.is_finite():
                learner.save(fold)  # whoever sent SIGTERM may not wait for the validation's end
            learner.epoch, learner.batch, learner.seconds = learner.epoch + 1, 0, 0.0
            row = {
                "epoch": learner.epoch,
                "train/loss": loss,
                "lr": learner.optimizer.param_groups[0]["lr"],
                "images_per_second": batches.per_epoch * batches.batch_size / seconds,
                "memory_gb": peak_memory(task.device) / 1e9,
            }
            began = time.monotonic()
            if validating:
                probabilities = _predict(task, learner, held_out)
                if group.first:
                    row["val/loss"] = task.loss(labels, probabilities)
                    row[f"val/{metric.name}"] = metric(labels, probabilities)
                validation = time.monotonic() - began
            if group.any(not (learner.is_finite() and math.isfinite(row.get("val/loss", 0.0)))):
                raise _diverged(task, fold, learner.epoch, batches, batches.per_epoch - 1, "network")
            row["seconds"] = seconds + time.monotonic() - began
            history.append(row)
            if group.first:
                fold.append_history(row)
                if recipe.checkpoint == "best":
                    learner.keep_if_best(row[f"val/{metric.name}"], metric)
                learner.save(fold)
                tracker.log(row)
            progress.end_epoch(row, metric.name)
            if group.any(termination.requested):
                raise Terminated
            if until is not None and until <= learner.epoch < epochs:
                return

    if learner.best is not None:
        learner.evaluated.load_state_dict(learner.best["weights"])
    if recipe.checkpoint == "best" or trained_before:
        probabilities = _predict(task, learner, held_out)
    if group.first:
        _finish(task, fold, learner, probabilities, history)
    group.wait()


def _finish(task: Task, fold: Fold, learner: Learner, probabilities: np.ndarray | Sparse, history: list[dict]) -> None:
    """Write the weights, the held-out predictions and, last of all, DONE."""
    held_out, metric = task.split.fold == fold.number, task.metric
    labels, family = task.rows.labels[held_out], task.target.family
    save_weights(fold.weights, learner.evaluated.state_dict())
    Predictions(task.rows.ids[held_out], task.classes, probabilities, task.split.sha256, labels, family).save(fold.oof)
    fold.finish(
        {
            "metric": metric.name,
            "score": metric(labels, probabilities),
            "loss": task.loss(labels, probabilities),
            "epochs": learner.epoch,
            "seconds": sum(row["seconds"] for row in history),
            "images_per_second": float(np.median([row["images_per_second"] for row in history])),
            "selected_on_oof": task.run.selected_on_oof,
            "machine": machine_name(task.device),
            "image": task.pixels.shape[1:],
        }
    )


def _train_epoch(
    task: Task,
    fold: Fold,
    learner: Learner,
    batches: TrainingBatches,
    stream: Iterator[tuple[torch.Tensor, torch.Tensor]],
    step: Step,
    progress: Progress,
    termination: Termination,
) -> tuple[float, float]:
    """The rest of one pass over the training rows; returns the pass's mean loss and its seconds."""
    epoch, group = learner.epoch, task.group
    losses = torch.zeros(batches.per_epoch, device=task.device)
    losses[: learner.batch] = learner.losses[: learner.batch]
    learner.losses = losses
    learner.network.train()

    began, spent = time.monotonic(), learner.seconds
    looked = saved = began
    progress.start_epoch(epoch, learner.batch)
    for batch in range(learner.batch, batches.per_epoch):
        losses[batch] = step(*next(stream), epoch, batch)
        learner.batch = batch + 1

        progress.step()
        now = time.monotonic()
        last = learner.batch == batches.per_epoch
        if group.size > 1 and learner.batch % LOOK_EVERY and not last:
            continue
        if group.any(last or termination.requested or now - looked > LOOK_SECONDS):
            looked = now
            finite = losses[: learner.batch].isfinite()
            if not finite.all():
                raise _diverged(task, fold, epoch + 1, batches, int(finite.logical_not().nonzero()[0]), "loss")
            now = time.monotonic()  # the look has waited for the steps that the GPU still had to do
            progress.show(float(losses[max(0, batch - 49) : learner.batch].mean()))
            learner.seconds = spent + now - began
            ending = group.any(termination.requested)
            if ending or group.any(now - saved > CHECKPOINT_SECONDS and not last):
                saved = now
                if not learner.is_finite():
                    raise _diverged(task, fold, epoch + 1, batches, batch, "network")
                if group.first:
                    learner.save(fold)
            if ending:
                raise Terminated
    return float(losses.mean()), learner.seconds


def _diverged(task: Task, fold: Fold, epoch: int, batches: TrainingBatches, batch: int, what: str) -> DataError:
    """The error of a loss or network that holds no numbers, seen after step `batch` of `epoch` (counted from 1)."""
    recipe, step = task.run.recipe, (epoch - 1) * batches.per_epoch + batch
    lr = learning_rate(step, batches.per_epoch, recipe.schedule, recipe.optimizer.lr)
    ids = ", ".join(task.rows.ids[task.rows.row_of[batches.rows_of(epoch - 1, batch)]][:8])
    clip = "" if recipe.optimizer.clip_norm else "optimizer.clip_norm=1, or "
    reason = (
        f"the {what} is not a number any more in epoch {epoch}, step {batch + 1} of {batches.per_epoch}, at learning "
        f"rate {lr:.2e}"
    )
    return _failure(
        fold,
        f"{reason}, on the images {ids}, …",
        f"Look at these images; what helps most often is --set {clip}optimizer.lr={recipe.optimizer.lr / 3:.0e}",
    )


def _too_large(task: Task, fold: Fold, error: RuntimeError) -> DataError:
    recipe, memory = task.run.recipe, "the memory of the GPU" if task.device.type == "cuda" else "the memory"
    images = recipe.batch_size // recipe.accumulate
    wanted = (n for n in range(2 * recipe.accumulate, recipe.batch_size + 1) if recipe.batch_size % n == 0)
    parts = next(wanted, recipe.batch_size)
    return _failure(
        fold,
        f"{memory} does not suffice for {images} images at a time ({str(error).splitlines()[0]})",
        f"If no other program takes it, --set accumulate={parts} makes the same update with "
        f"{recipe.batch_size // parts} at a time",
    )


def _failure(fold: Fold, reason: str, fix: str) -> DataError:
    """The error of a recipe that cannot be trained. Its reason stays in the fold's folder, for a sweep to go on."""
    with atomic_open(fold.failed) as file:
        file.write(reason + "\n")
    kept = "the last good checkpoint stays" if fold.checkpoint.is_file() else "nothing was saved before it"
    return DataError(f"{fold.folder}: {reason}; {kept}. {fix}, with --name for a new run")


def _predict(task: Task, learner: Learner, rows: np.ndarray) -> np.ndarray | Sparse | None:
    """Predictions of some rows (N,) bool, in the group's first process; in the others, which do their part, None."""
    images, recipe, family, group = task.images_of(rows), task.run.recipe, task.target.family, task.group
    group.broadcast(learner.evaluated)
    mine = group.split(images)
    labels = task.rows.labels[task.rows.row_of[mine]]
    p = predict(
        [learner.evaluated], learner.normalise, task.pixels, recipe, task.device, mine, family=family, labels=labels
    )
    parts = group.gather(p)
    if parts is None:
        return None
    p = stacked(parts) if isinstance(p, Sparse) else np.concatenate(parts)
    return predictions_of_rows(p, task.rows.row_of[images], task.views, task.target)
