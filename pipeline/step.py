"""One optimiser step: from uint8 images on the host to changed weights."""

from collections.abc import Callable

import numpy as np
import torch

from competition.spec_parts import Family
from pipeline.config import Recipe
from pipeline.device import autocast
from pipeline.learner import Learner
from pipeline.losses import create_loss, soft_targets
from pipeline.mixing import BatchAugmentation, seed_everything
from pipeline.optimizer import set_rates


def create_step(
    recipe: Recipe,
    learner: Learner,
    labels: np.ndarray,
    classes: int,
    per_epoch: int,
    seed: tuple[int, ...],
    family: Family = "classes",
) -> Callable[[torch.Tensor, torch.Tensor, int, int], torch.Tensor]:
    """The recipe's training step.

    Args:
        labels: of all training rows, as `Target.family` says. per_epoch: steps in an epoch.
        seed: what each step's random state follows from, together with the step's place.

    Returns:
        step(images, labels, epoch, batch), which takes (B, H, W, C) uint8 images and their labels, changes the
        learner's weights, and returns the loss, still on the device: reading it would make a GPU wait.
    """
    network, optimizer, scaler = learner.network, learner.optimizer, learner.scaler
    device = next(network.parameters()).device
    criterion = create_loss(recipe.loss, labels, classes, family).to(device)
    augment, context = BatchAugmentation(recipe, device), autocast(device, recipe.precision)
    total = recipe.schedule.epochs * per_epoch

    def step(images: torch.Tensor, labels: torch.Tensor, epoch: int, batch: int) -> torch.Tensor:
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        number = epoch * per_epoch + batch
        seed_everything(device, *seed, epoch, batch)
        set_rates(optimizer, number, per_epoch, recipe.schedule, recipe.optimizer.lr)
        targets = soft_targets(labels, classes, recipe.loss.label_smoothing, family)
        inputs, targets = augment(learner.normalise(images), targets, number / total)
        with context:
            logits = network(inputs)
        loss = criterion(logits.float(), targets)
        scaler.scale(loss).backward()
        if recipe.optimizer.clip_norm:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
        scaler.step(optimizer)  # or not, where float16 overflowed
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if learner.ema is not None:
            learner.ema.update(network, number + 1)
        return loss.detach()

    return step
