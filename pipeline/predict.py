"""Predictions of a network over an array of images."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from competition.sparse import KEPT, MANY, Sparse, kept, stacked
from competition.spec_parts import Family
from pipeline.config import Recipe
from pipeline.device import autocast
from pipeline.losses import predictions_of

FLIPS = {"horizontal": (3,), "vertical": (2,)}


class Normalise(nn.Module):
    """uint8 (B, H, W, C) to float32 (B, C, H, W) with the mean and deviation the network expects, on its device."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("scale", 1 / (255 * torch.tensor(std)[:, None, None]), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # A permuted (B, H, W, C) tensor is already in channels_last memory format.
        return (images.permute(0, 3, 1, 2).float() - self.mean) * self.scale


@torch.inference_mode()
def predict(
    networks: Sequence[nn.Module],
    normalise: Normalise,
    pixels: np.ndarray,
    recipe: Recipe,
    device: torch.device,
    rows: np.ndarray | None = None,
    title: str | None = None,
    family: Family = "classes",
    labels: np.ndarray | None = None,
) -> np.ndarray | Sparse:
    """Predictions, averaged over the networks and over the recipe's test-time flips.

    Args:
        networks: in evaluation mode, on `device`; all of them see each batch, so images are read once.
        pixels: (N, H, W, C) uint8. rows: which of them, in this order; all when left out. family: of the target.
        labels: (N,) true classes of these rows, whose probabilities are kept even where others are not.
        title: name of a progress bar; none is shown when left out.

    Returns:
        (N, classes) float32, as `Target.family` says; of more than MANY classes, the most probable ones.
    """
    rows = np.arange(len(pixels)) if rows is None else rows
    context, step = autocast(device, recipe.precision), max(1, max(64, recipe.batch_size) // recipe.accumulate)
    starts = tqdm(range(0, len(rows), step), desc=title, disable=None if title else True, leave=False)
    parts = []
    for start in starts:
        images = normalise(torch.from_numpy(pixels[rows[start : start + step]]).to(device))
        views = [images, *(images.flip(FLIPS[flip]) for flip in recipe.tta)]
        total = 0
        for network in networks:
            for view in views:
                with context:
                    logits = network(view)
                total = total + predictions_of(logits.float(), recipe.loss, family)
        mean = total / (len(networks) * len(views))
        if family == "classes" and mean.shape[1] > MANY:
            parts.append(_most_probable(mean, None if labels is None else labels[start : start + step]))
        else:
            parts.append(mean.cpu().numpy())
    return stacked(parts) if isinstance(parts[0], Sparse) else np.concatenate(parts)


def _most_probable(p: torch.Tensor, labels: np.ndarray | None) -> Sparse:
    """The greatest of the probabilities (B, C), found on their device, and those of the labels."""
    values, classes = p.topk(KEPT, dim=1)
    if labels is not None:
        true = torch.from_numpy(labels).to(p.device)[:, None]
        among = (classes == true).any(dim=1, keepdim=True)
        values = torch.cat([values, p.gather(1, true)], dim=1)
        classes = torch.cat([classes, torch.where(among, -1, true)], dim=1)
    return kept(classes.cpu().numpy(), values.cpu().numpy(), p.shape[1])
