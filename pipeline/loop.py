"""The training loop of one fold: resumable after every epoch, and the same whether it was interrupted or not."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from competition.errors import DataError
from competition.metrics import Metric, log_loss
from competition.tables import Rows
from folds.store import Split
from pipeline.augment import Augmentation
from pipeline.batches import TrainingBatches
from pipeline.checkpoint import load_checkpoint, save_checkpoint, save_weights
from pipeline.config import Optimizer, Schedule
from pipeline.device import augmentation_workers, autocast
from pipeline.network import create_network
from pipeline.predict import Normalise, predict
from pipeline.progress import Progress
from pipeline.run import Fold, Run
from pipeline.store import Predictions
from pipeline.tracking import NullTracker


@dataclass(frozen=True)
class Task:
    """What the folds of a run share. pixels: (N, H, W, C) uint8, in the order of `rows`."""

    run: Run
    rows: Rows
    split: Split
    classes: tuple[str, ...]
    metric: Metric
    pixels: np.ndarray
    device: torch.device


@dataclass
class Learner:
    """What changes while a fold is trained: all of it is in the checkpoint.

    epoch: number of finished epochs. best: score, epoch and weights of the best one, where the recipe asks for it.
    """

    network: nn.Module
    normalise: Normalise
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    best: dict[str, Any] | None = None

    def save(self, fold: Fold) -> None:
        state = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        save_checkpoint(fold.checkpoint, state | {"epoch": self.epoch, "best": self.best})

    def resume(self, fold: Fold, device: torch.device) -> None:
        """Go on from the fold's checkpoint, if it has one. Raises DataError when it is damaged."""
        if state := load_checkpoint(fold.checkpoint, device):
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.best = state["epoch"], state["best"]
            print(f"fold {fold.number}  continues after epoch {self.epoch}")

    def keep_if_best(self, score: float, metric: Metric) -> None:
        if self.best is None or metric.gain(score, self.best["score"]) > 0:
            weights = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
            self.best = {"score": score, "epoch": self.epoch, "weights": weights}


def train_fold(task: Task, fold: Fold, folds: list[int], tracker: NullTracker) -> None:
    """Train one fold to the end, going on from its last checkpoint, and write everything that DONE promises.

    The order of the images, their augmentation and the dropout of an epoch follow from (seed, fold, epoch) alone, so
    the checkpoint needs no random state.

    Args:
        folds: the folds this command trains, for the time left.

    Raises DataError when the loss stops being a number; the last good checkpoint stays.
    """
    recipe, seed, metric = task.run.recipe, (task.run.seed, fold.number), task.metric
    held_out = np.flatnonzero(task.split.fold == fold.number)
    training = np.flatnonzero(task.split.fold != fold.number)
    labels = task.rows.labels[held_out]

    torch.manual_seed(_seed(*seed))
    learner = create_learner(task)
    learner.resume(fold, task.device)
    history = [row for row in fold.history() if row["epoch"] <= learner.epoch]
    fold.write_history(history)

    augmentation = Augmentation(recipe.augment)
    batches = TrainingBatches(task.pixels, task.rows.labels, training, augmentation, recipe.batch_size, seed)
    stream = batches.stream(learner.epoch, recipe.schedule.epochs, augmentation_workers(task.device))
    progress = Progress(fold.number, folds, recipe.schedule.epochs, batches.per_epoch)
    for epoch in range(learner.epoch, recipe.schedule.epochs):
        torch.manual_seed(_seed(*seed, epoch))
        began = time.monotonic()
        progress.start_epoch(epoch)
        loss = _train_epoch(task, learner, batches, stream, progress)
        trained = time.monotonic()
        probabilities = _predict(task, learner, held_out)
        val_loss = log_loss(labels, probabilities)
        if not math.isfinite(loss + val_loss):
            raise DataError(
                f"{fold.folder}: the loss is not a number any more in epoch {epoch + 1}. The checkpoint of epoch "
                f"{epoch} stays. Lower the learning rate in a new run: --set optimizer.lr={recipe.optimizer.lr / 3:.0e}"
            )
        row = {
            "epoch": epoch + 1,
            "train/loss": loss,
            "val/loss": val_loss,
            f"val/{metric.name}": metric(labels, probabilities),
            "lr": learner.optimizer.param_groups[0]["lr"],
            "images_per_second": batches.per_epoch * batches.batch_size / (trained - began),
            "seconds": time.monotonic() - began,
        }
        history.append(row)
        fold.append_history(row)
        learner.epoch = epoch + 1
        if recipe.checkpoint == "best":
            learner.keep_if_best(row[f"val/{metric.name}"], metric)
        learner.save(fold)
        tracker.log(row)
        progress.end_epoch(row, metric.name)

    if learner.best is not None:
        learner.network.load_state_dict(learner.best["weights"])
    probabilities = _predict(task, learner, held_out)
    save_weights(fold.weights, learner.network.state_dict())
    Predictions(task.rows.ids[held_out], task.classes, probabilities, task.split.sha256, labels).save(fold.oof)
    fold.finish(
        {
            "metric": metric.name,
            "score": metric(labels, probabilities),
            "log_loss": log_loss(labels, probabilities),
            "epochs": learner.epoch,
            "seconds": sum(row["seconds"] for row in history),
            "images_per_second": float(np.median([row["images_per_second"] for row in history])),
            "selected_on_oof": task.run.selected_on_oof,
        }
    )


def create_learner(task: Task) -> Learner:
    """The recipe's network, on the task's device, and its optimiser. Weights follow from torch's random state."""
    recipe = task.run.recipe
    network, normalise = create_network(recipe.model, len(task.classes), recipe.image.channels, task.pixels.shape[1:3])
    network.to(task.device, memory_format=torch.channels_last)
    return Learner(network, normalise.to(task.device), create_optimizer(network, recipe.optimizer, task.device))


def learning_rate(step: int, per_epoch: int, schedule: Schedule, peak: float) -> float:
    """The learning rate of optimiser step `step` (0 is the first): linear warm-up, then a half cosine to final_lr."""
    warmup, total = round(schedule.warmup_epochs * per_epoch), schedule.epochs * per_epoch
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = (step - warmup) / (total - warmup)
    return schedule.final_lr + (peak - schedule.final_lr) * 0.5 * (1 + math.cos(math.pi * done))


def create_optimizer(network: nn.Module, settings: Optimizer, device: torch.device) -> torch.optim.Optimizer:
    """The recipe's optimiser. With `decay: weights`, biases and normalisation parameters (vectors) are free of it."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    free = [] if settings.decay == "all" else [p for p in parameters if p.ndim <= 1]
    decayed = [p for p in parameters if not any(p is q for q in free)]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": free, "weight_decay": 0.0}]
    fused = device.type in ("cpu", "cuda")
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=True, fused=fused)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=fused)


def _train_epoch(
    task: Task,
    learner: Learner,
    batches: TrainingBatches,
    stream: Iterator[tuple[torch.Tensor, torch.Tensor]],
    progress: Progress,
) -> float:
    """One pass over the training rows; returns the mean loss."""
    recipe = task.run.recipe
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.loss.label_smoothing)
    context = autocast(task.device, recipe.precision)
    learner.network.train()
    total = torch.zeros((), device=task.device)  # summed on the device: reading it every step would stall a GPU
    for batch in range(batches.per_epoch):
        images, labels = (tensor.to(task.device, non_blocking=True) for tensor in next(stream))
        step = learner.epoch * batches.per_epoch + batch
        for group in learner.optimizer.param_groups:
            group["lr"] = learning_rate(step, batches.per_epoch, recipe.schedule, recipe.optimizer.lr)
        with context():
            logits = learner.network(learner.normalise(images))
        loss = criterion(logits.float(), labels)
        loss.backward()
        learner.optimizer.step()
        learner.optimizer.zero_grad(set_to_none=True)
        total += loss.detach()
        progress.step(loss.detach(), len(labels))
    return float(total) / batches.per_epoch


def _predict(task: Task, learner: Learner, rows: np.ndarray) -> np.ndarray:
    learner.network.eval()
    return predict([learner.network], learner.normalise, task.pixels, task.run.recipe, task.device, rows)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
