"""The training loop of one fold: resumable after every epoch, and the same whether it was interrupted or not."""

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from competition.errors import DataError
from competition.files import atomic_open
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
from pipeline.tracking import NullTracker, Tracker


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


def train_fold(task: Task, fold: Fold, folds: list[int], tracker: Tracker | NullTracker) -> None:
    """Train one fold to the end, going on from its last checkpoint, and write everything that DONE promises.

    The order of the images, their augmentation and the dropout of an epoch follow from (seed, fold, epoch) alone, so
    the checkpoint needs no random state.

    Args:
        folds: the folds this command trains, for the time left.

    Raises DataError when the loss stops being a number; the last good checkpoint stays.
    """
    recipe, seed = task.run.recipe, (task.run.seed, fold.number)
    training = np.flatnonzero(task.split.fold != fold.number)
    held_out = np.flatnonzero(task.split.fold == fold.number)

    torch.manual_seed(_seed(*seed))
    network, normalise = create_network(recipe.model, len(task.classes), recipe.image.channels, task.pixels.shape[1:3])
    network.to(task.device, memory_format=torch.channels_last)
    normalise.to(task.device)
    optimizer = create_optimizer(network, recipe.optimizer, task.device)
    augmentation = Augmentation(recipe.augment)
    batches = TrainingBatches(task.pixels, task.rows.labels, training, augmentation, recipe.batch_size, seed)

    start, best = 0, None
    if state := load_checkpoint(fold.checkpoint, task.device):
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        start, best = state["epoch"], state["best"]
        print(f"fold {fold.number}  continues after epoch {start}")
    history = [row for row in fold.history() if row["epoch"] <= start]
    _write_history(fold, history)

    epochs = recipe.schedule.epochs
    stream = batches.stream(start, epochs, augmentation_workers(task.device))
    progress = Progress(fold.number, folds, epochs, batches.per_epoch)
    for epoch in range(start, epochs):
        torch.manual_seed(_seed(*seed, epoch))
        clock = time.monotonic()
        progress.start_epoch(epoch)
        loss = _train_epoch(task, network, normalise, optimizer, batches, stream, epoch, progress)
        trained = time.monotonic()
        network.eval()
        probabilities = predict([network], normalise, task.pixels, recipe, task.device, held_out)
        row = {
            "epoch": epoch + 1,
            "train/loss": loss,
            "val/loss": log_loss(task.rows.labels[held_out], probabilities),
            f"val/{task.metric.name}": task.metric(task.rows.labels[held_out], probabilities),
            "lr": optimizer.param_groups[0]["lr"],
            "images_per_second": batches.per_epoch * batches.batch_size / (trained - clock),
            "seconds": time.monotonic() - clock,
        }
        if not math.isfinite(row["train/loss"] + row["val/loss"]):
            raise DataError(
                f"{fold.folder}: the loss is not a number any more in epoch {epoch + 1}. The checkpoint of epoch "
                f"{epoch} stays. Lower the learning rate in a new run: --set optimizer.lr={recipe.optimizer.lr / 3:.0e}"
            )
        history.append(row)
        _append(fold, row)
        tracker.log(row)
        progress.end_epoch(row, task.metric.name)
        if recipe.checkpoint == "best" and (
            best is None or task.metric.gain(row[f"val/{task.metric.name}"], best["score"]) > 0
        ):
            weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            best = {"score": row[f"val/{task.metric.name}"], "epoch": epoch + 1, "weights": weights}
        state = {"epoch": epoch + 1, "network": network.state_dict(), "optimizer": optimizer.state_dict(), "best": best}
        save_checkpoint(fold.checkpoint, state)

    if best is not None:
        network.load_state_dict(best["weights"])
    network.eval()
    probabilities = predict([network], normalise, task.pixels, recipe, task.device, held_out)
    labels = task.rows.labels[held_out]
    save_weights(fold.weights, network.state_dict())
    Predictions(task.rows.ids[held_out], task.classes, probabilities, task.split.sha256, labels).save(fold.oof)
    fold.finish(
        {
            "metric": task.metric.name,
            "score": task.metric(labels, probabilities),
            "log_loss": log_loss(labels, probabilities),
            "epochs": epochs,
            "seconds": sum(row["seconds"] for row in history),
            "images_per_second": float(np.median([row["images_per_second"] for row in history])),
            "selected_on_oof": task.run.selected_on_oof,
        }
    )


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
    network: nn.Module,
    normalise: Normalise,
    optimizer: torch.optim.Optimizer,
    batches: TrainingBatches,
    stream: Iterator[tuple[torch.Tensor, torch.Tensor]],
    epoch: int,
    progress: Progress,
) -> float:
    """One pass over the training rows; returns the mean loss."""
    recipe = task.run.recipe
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.loss.label_smoothing)
    context = autocast(task.device, recipe.precision)
    network.train()
    total = torch.zeros((), device=task.device)  # summed on the device: reading it every step would stall a GPU
    for batch in range(batches.per_epoch):
        images, labels = (tensor.to(task.device, non_blocking=True) for tensor in next(stream))
        step = epoch * batches.per_epoch + batch
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, batches.per_epoch, recipe.schedule, recipe.optimizer.lr)
        with context():
            logits = network(normalise(images))
        loss = criterion(logits.float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total += loss.detach()
        progress.step(loss.detach(), len(labels))
    return float(total) / batches.per_epoch


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _write_history(fold: Fold, rows: list[dict[str, Any]]) -> None:
    with atomic_open(fold.metrics) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def _append(fold: Fold, row: dict[str, Any]) -> None:
    with fold.metrics.open("a") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())
