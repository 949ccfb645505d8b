"""Predictions of a network over an array of images."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

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
) -> np.ndarray:
    """Predictions, averaged over the networks and over the recipe's test-time flips.

    Args:
        networks: in evaluation mode, on `device`; all of them see each batch, so images are read once.
        pixels: (N, H, W, C) uint8. rows: which of them, in this order; all when left out. family: of the target.
        title: name of a progress bar; none is shown when left out.

    Returns:
        (N, classes) float32, as `Target.family` says.
    """
    rows = np.arange(len(pixels)) if rows is None else rows
    context, step = autocast(device, recipe.precision), max(64, recipe.batch_size)
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
        parts.append((total / (len(networks) * len(views))).cpu().numpy())
    return np.concatenate(parts)
