"""The recipe's optimiser, and its learning rate as a function of the step alone."""

import math

import torch
from timm.optim import Muon
from torch import nn

from pipeline.config import Optimizer, Schedule

ONE_CYCLE_START, ONE_CYCLE_RISE = 1 / 25, 0.3  # the defaults of torch's OneCycleLR
LOW_MOMENTUM, HIGH_MOMENTUM = 0.85, 0.95  # likewise


def create_optimizer(network: nn.Module, settings: Optimizer, device: torch.device) -> torch.optim.Optimizer:
    """The recipe's optimiser. With `decay: weights`, biases and normalisation parameters (vectors) are free of it.

    muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) makes the update of each weight matrix or filter bank
    orthogonal. Vectors and the classifier's weights, for which that means little, are left to AdamW (with Nesterov's
    look-ahead, as here) at the same rate.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    vectors = [p for p in parameters if p.ndim <= 1]
    matrices = [p for p in parameters if p.ndim > 1]
    free = 0.0 if settings.decay == "weights" else settings.weight_decay
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": free},
    ]
    if settings.name == "muon":
        heads = network.get_classifier()  # distilled networks have two
        last = {id(p) for head in (heads if isinstance(heads, tuple) else (heads,)) for p in head.parameters()}
        groups[0]["params"] = [p for p in matrices if id(p) not in last]
        groups[1]["use_fallback"] = True
        classifier = [p for p in matrices if id(p) in last]
        groups.append({"params": classifier, "weight_decay": settings.weight_decay, "use_fallback": True})
        return Muon(groups, lr=settings.lr, momentum=settings.momentum, nesterov=True)
    fused = device.type in ("cpu", "cuda")
    if settings.name == "sgd":
        nesterov = settings.momentum > 0  # torch refuses one without the other
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=nesterov, fused=fused)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=fused)


def set_rates(optimizer: torch.optim.Optimizer, step: int, per_epoch: int, schedule: Schedule, peak: float) -> None:
    """Give the optimiser the learning rate of step `step`, and with one_cycle its momentum."""
    lr, momentum = learning_rate(step, per_epoch, schedule, peak), momentum_at(step, per_epoch, schedule)
    for group in optimizer.param_groups:
        group["lr"] = lr
        if momentum is not None and "momentum" in group:
            group["momentum"] = momentum
        elif momentum is not None:
            group["betas"] = (momentum, group["betas"][1])


def learning_rate(step: int, per_epoch: int, schedule: Schedule, peak: float) -> float:
    """The learning rate of optimiser step `step` (0 is the first) at `per_epoch` steps an epoch.

    cosine: Loshchilov and Hutter 2017 (arXiv:1608.03983). one_cycle: Smith and Topin 2018 (arXiv:1708.07120), in the
    two phases of torch's OneCycleLR.
    """
    total = schedule.epochs * per_epoch
    if schedule.name == "one_cycle":
        rise = _one_cycle_rise(per_epoch, schedule)
        if step <= rise:
            return _cosine(peak * ONE_CYCLE_START, peak, step / rise)
        return _cosine(peak, schedule.final_lr, (step - rise) / (total - 1 - rise))
    warmup = round(schedule.warmup_epochs * per_epoch)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return _cosine(peak, schedule.final_lr, (step - warmup) / (total - warmup))


def momentum_at(step: int, per_epoch: int, schedule: Schedule) -> float | None:
    """The momentum of step `step`, or None where the schedule leaves it alone."""
    if schedule.name != "one_cycle":
        return None
    rise, total = _one_cycle_rise(per_epoch, schedule), schedule.epochs * per_epoch
    if step <= rise:
        return _cosine(HIGH_MOMENTUM, LOW_MOMENTUM, step / rise)
    return _cosine(LOW_MOMENTUM, HIGH_MOMENTUM, (step - rise) / (total - 1 - rise))


def _one_cycle_rise(per_epoch: int, schedule: Schedule) -> float:
    """The step, not always a whole one, at which the peak is reached."""
    epochs = schedule.warmup_epochs or ONE_CYCLE_RISE * schedule.epochs
    return max(epochs * per_epoch - 1, 1e-9)


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
