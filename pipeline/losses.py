"""What training minimises, and the probabilities that belong to it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.config import Loss


def create_loss(settings: Loss, labels: np.ndarray, classes: int) -> nn.Module:
    """The recipe's loss: called with logits (B, classes) float32 and targets, it returns their mean loss.

    Args:
        labels: (N,) the training labels, whose frequencies the class weights balance.

    The targets are class indices (B,) int64, which it smooths, or probabilities (B, classes) that are smoothed already.
    """
    weights = None
    if settings.class_weights == "balanced":
        counts = np.bincount(labels, minlength=classes)
        weights = torch.tensor(len(labels) / (np.maximum(counts, 1) * (counts > 0).sum()), dtype=torch.float32)
    return ClassLoss(settings, weights)


class ClassLoss(nn.Module):
    """Cross-entropy, focal loss (Lin et al. 2017, arXiv:1708.02002) or binary cross-entropy per class, of soft targets.

    With class weights, an image weighs what its target's classes weigh; the mean is over images, not over weights.
    """

    def __init__(self, settings: Loss, weights: torch.Tensor | None) -> None:
        super().__init__()
        self.name, self.smoothing, self.gamma = settings.name, settings.label_smoothing, settings.gamma
        self.register_buffer("weights", weights)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if targets.ndim == 1:
            targets = smoothed(targets, logits.shape[1], self.smoothing)
        if self.name == "bce":
            per_class = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        else:
            log_probabilities = logits.log_softmax(dim=1)
            per_class = -targets * log_probabilities
            if self.name == "focal":
                per_class = per_class * (1 - log_probabilities.exp()) ** self.gamma
        loss = per_class.sum(dim=1)
        return (loss if self.weights is None else loss * (targets @ self.weights)).mean()


def smoothed(labels: torch.Tensor, classes: int, smoothing: float) -> torch.Tensor:
    """Targets (B, classes) float32: 1 - smoothing for the label, and `smoothing` shared equally by all classes."""
    return F.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def probabilities_of(logits: torch.Tensor, settings: Loss) -> torch.Tensor:
    """Class probabilities (B, classes) of a network trained with the recipe's loss; each row sums to 1."""
    if settings.name == "bce":
        each = logits.sigmoid()
        return each / each.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return logits.softmax(dim=1)
