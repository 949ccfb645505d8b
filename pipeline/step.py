"""One optimiser step: from uint8 images on the host to changed weights."""

from collections.abc import Callable

import numpy as np
import torch

from competition.spec_parts import Family
from pipeline.config import Recipe
from pipeline.device import autocast
from pipeline.group import ALONE, Group
from pipeline.learner import Learner
from pipeline.losses import create_loss, soft_targets
from pipeline.mixing import BatchAugmentation, seed_everything, smaller
from pipeline.optimizer import set_rates

Step = Callable[[torch.Tensor, torch.Tensor, int, int], torch.Tensor]


def create_step(
    recipe: Recipe,
    learner: Learner,
    labels: np.ndarray,
    classes: int,
    per_epoch: int,
    seed: tuple[int, ...],
    family: Family = "classes",
    group: Group = ALONE,
) -> Step:
    """The recipe's training step.

    Args:
        labels: of all training rows, as `Target.family` says. per_epoch: steps in an epoch.
        seed: what each step's random state follows from, together with the step's place.
        group: the processes that train together, each on its own share of every batch.

    Returns:
        step(images, labels, epoch, batch), which takes (B, H, W, C) uint8 images and their labels, changes the
        learner's weights, and returns the loss, still on the device: reading it would make a GPU wait.

    The batch goes through the network in `recipe.accumulate` parts, one after the other. Their gradients add up to
    those of the whole batch, and its memory is that of one part; only batch norm sees no more than a part at a time.
    """
    network, optimizer, scaler = learner.network, learner.optimizer, learner.scaler
    device = next(network.parameters()).device
    criterion = create_loss(recipe.loss, labels, classes, family).to(device)
    augment, context = BatchAugmentation(recipe, device), autocast(device, recipe.precision)
    total = recipe.schedule.epochs * per_epoch
    trained = group.trained(network, device, recipe.sync_batch_norm)

    def backward(inputs: torch.Tensor, targets: torch.Tensor, share: float) -> torch.Tensor:
        with context:
            logits = trained(inputs)
        loss = criterion(logits.float(), targets) * share
        scaler.scale(loss).backward()
        return loss.detach()

    def step(images: torch.Tensor, labels: torch.Tensor, epoch: int, batch: int) -> torch.Tensor:
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        number = epoch * per_epoch + batch
        seed_everything(device, *seed, epoch, batch)
        set_rates(optimizer, number, per_epoch, recipe.schedule, recipe.optimizer.lr)
        targets = soft_targets(labels, classes, recipe.loss.label_smoothing, family)
        inputs = smaller(learner.normalise(images), recipe.progressive, number / total)
        if group.size > 1:  # the size is the same for all, but what else is drawn is each process's own
            seed_everything(device, *seed, epoch, batch, group.rank)
        inputs, targets = augment(inputs, targets)
        *parts, last = zip(inputs.chunk(recipe.accumulate), targets.chunk(recipe.accumulate), strict=True)
        with group.gradients_apart(trained):
            losses = [backward(*part, len(part[0]) / len(inputs)) for part in parts]
        losses.append(backward(*last, len(last[0]) / len(inputs)))
        if recipe.optimizer.clip_norm:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
        scaler.step(optimizer)  # or not, where float16 overflowed
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if learner.ema is not None:
            learner.ema.update(network, number + 1)
        return group.mean(torch.stack(losses).sum())

    return step
