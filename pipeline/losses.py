"""What training minimises, and the predictions that belong to it, for every family of targets."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from competition.errors import SpecError
from competition.spec_parts import Family, Target
from pipeline.config import Loss, Recipe

# The losses that fit a family; the first is what `auto` means.
LOSSES: dict[str, tuple[str, ...]] = {
    "classes": ("cross_entropy", "focal", "bce", "ordinal"),
    "labels": ("bce", "focal"),
    "shares": ("cross_entropy",),
    "values": ("squared", "absolute"),
}
RAREST = 100.0  # a positive label weighs at most so much more than a negative one


def fitted_to(recipe: Recipe, target: Target) -> Recipe:
    """The recipe with the loss that its `auto` means for this target. Raises SpecError for one that does not fit it."""
    name, fitting = recipe.loss.name, LOSSES[target.family]
    if name == "auto":
        name = "ordinal" if target.kind == "ordinal" else fitting[0]
    if name not in fitting:
        raise SpecError(f"loss.name: {name} is not for a {target.kind} target; use auto, or {' or '.join(fitting)}")
    if target.family == "values" and (recipe.loss.label_smoothing or recipe.loss.class_weights != "none"):
        # A recipe for classes is of use for numbers too; there is nothing to smooth or to balance there.
        recipe = recipe.model_copy(
            update={"loss": recipe.loss.model_copy(update={"label_smoothing": 0.0, "class_weights": "none"})}
        )
    return recipe.model_copy(update={"loss": recipe.loss.model_copy(update={"name": name})})


def create_loss(settings: Loss, labels: np.ndarray, classes: int, family: Family = "classes") -> nn.Module:
    """The recipe's loss: called with logits and targets (B, classes) float32, it returns their mean loss.

    Args:
        labels: of all training rows, as `Target.family` says: what the class weights balance, or the numbers' spread.

    The targets are what `soft_targets` makes of labels, perhaps mixed. Of a network for values, the logits are its
    predictions in the target's own unit.
    """
    if family == "values":
        return ValueLoss(settings.name, torch.from_numpy(spread_of(labels)[1]))
    weights = None
    if settings.class_weights == "balanced" and family == "labels":
        positive = labels.sum(axis=0, dtype=np.float64)
        ratio = (len(labels) - positive) / np.maximum(positive, 1)
        weights = torch.tensor(np.clip(ratio, 1 / RAREST, RAREST), dtype=torch.float32)
    elif settings.class_weights == "balanced":
        counts = np.bincount(labels, minlength=classes) if family == "classes" else labels.sum(axis=0)
        weights = torch.tensor(len(labels) / (np.maximum(counts, 1) * (counts > 0).sum()), dtype=torch.float32)
    return LabelLoss(settings, weights) if family == "labels" else ClassLoss(settings, weights)


class ClassLoss(nn.Module):
    """Cross-entropy, focal loss (Lin et al. 2017, arXiv:1708.02002) or binary cross-entropy per class, of soft targets.

    ordinal: cross-entropy plus the squared distance of the cumulative distributions, which is the smaller the nearer a
    wrong class is (Hou et al. 2016, arXiv:1611.05916).
    With class weights, an image weighs what its label's classes weigh, whatever the smoothing gives to others; the mean
    is over images, not over weights.
    """

    def __init__(self, settings: Loss, weights: torch.Tensor | None) -> None:
        super().__init__()
        self.name, self.gamma, self.smoothing = settings.name, settings.gamma, settings.label_smoothing
        self.register_buffer("weights", weights)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.name == "bce":
            per_class = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        else:
            log_probabilities = logits.log_softmax(dim=1)
            per_class = -targets * log_probabilities
            if self.name == "focal":
                per_class = per_class * _power(1 - log_probabilities.exp(), self.gamma)
            elif self.name == "ordinal":
                per_class = per_class + (log_probabilities.exp() - targets).cumsum(dim=1).square()
        loss = per_class.sum(dim=1)
        if self.weights is not None:
            loss = loss * (_unsmoothed(targets, self.smoothing, targets.shape[1]) @ self.weights)
        return loss.mean()


class LabelLoss(nn.Module):
    """Binary cross-entropy or focal loss, the mean over images and labels; positives weigh `weights` (C,)."""

    def __init__(self, settings: Loss, weights: torch.Tensor | None) -> None:
        super().__init__()
        self.gamma = settings.gamma if settings.name == "focal" else 0.0
        self.smoothing = settings.label_smoothing
        self.register_buffer("weights", weights)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
        if self.gamma:
            p = logits.sigmoid()
            yes, no = yes * _power(1 - p, self.gamma), no * _power(p, self.gamma)
        if self.weights is None:
            return -(targets * yes + (1 - targets) * no).mean()
        # A negative's smoothing is no positive: it would make every rare label look present.
        label, little = _unsmoothed(targets, self.smoothing, 2), self.smoothing / 2
        positive, negative = (1 - little) * yes + little * no, little * yes + (1 - little) * no
        return -(self.weights * label * positive + (1 - label) * negative).mean()


class ValueLoss(nn.Module):
    """Squared or absolute error in standard deviations of the training labels, the mean over images and numbers."""

    def __init__(self, name: str, std: torch.Tensor) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("std", std)

    def forward(self, predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        error = (predictions - targets) / self.std
        return (error.square() if self.name == "squared" else error.abs()).mean()


def soft_targets(labels: torch.Tensor, classes: int, smoothing: float, family: Family = "classes") -> torch.Tensor:
    """Labels as targets (B, classes) float32. Smoothing moves part of a label towards what is known of none."""
    if family == "classes":
        return F.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes
    targets = labels.float()
    if family == "values" or not smoothing:
        return targets
    return targets * (1 - smoothing) + smoothing / (2 if family == "labels" else classes)


def _unsmoothed(targets: torch.Tensor, smoothing: float, options: int) -> torch.Tensor:
    """The labels, perhaps mixed, of which `soft_targets` has made these targets."""
    return (targets - smoothing / options) / (1 - smoothing)


def _power(rest: torch.Tensor, gamma: float) -> torch.Tensor:
    """rest ** gamma, whose slope at 0 would be infinite for gamma < 1."""
    return rest.clamp_min(1e-6) ** gamma


def predictions_of(logits: torch.Tensor, settings: Loss, family: Family = "classes") -> torch.Tensor:
    """What a network trained with the recipe's loss predicts, (B, classes): as `Target.family` says."""
    if family == "values":
        return logits
    if family == "labels":
        return logits.sigmoid()
    if settings.name == "bce":
        each = logits.sigmoid()
        return each / each.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return logits.softmax(dim=1)


def spread_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, each (C,) float32, of values (N, C); where all are equal, the latter is 1."""
    std = labels.std(axis=0, dtype=np.float64)
    return labels.mean(axis=0, dtype=np.float64).astype(np.float32), np.where(std > 0, std, 1).astype(np.float32)
