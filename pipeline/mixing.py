"""What is done to whole training batches, on the device: smaller images, erased rectangles, mixed images."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from timm.data.mixup import Mixup
from timm.data.random_erasing import RandomErasing

from pipeline.config import Progressive, Recipe

MULTIPLE = 4  # sides of smaller images: fewer different sizes, so that no kernel is chosen anew at every step


class BatchAugmentation:
    """The recipe's `erase` and `mix`, in this order. Draws from the global random states."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        mix = recipe.mix
        self.mixup = self.erasing = None
        if mix.on:
            self.mixup = Mixup(
                mixup_alpha=mix.mixup,
                cutmix_alpha=mix.cutmix,
                prob=mix.probability,
                mode="elem",  # one strength per image: with one per batch, whole batches would go unmixed
                label_smoothing=0.0,  # the targets are smoothed already
            )
        if recipe.erase:
            self.erasing = RandomErasing(recipe.erase, mode="pixel", device=device)

    def __call__(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Change normalised images (B, C, H, W).

        Args:
            targets: (B, classes) float32.

        Returns:
            Images in channels_last memory format; and the targets, mixed as the images are.
        """
        if self.erasing is not None:
            images = self.erasing(images)
        if self.mixup is not None:
            # timm mixes class indices only. Taking the images themselves for classes, it tells the shares of each.
            self.mixup.num_classes = len(images)
            images, shares = self.mixup(images, torch.arange(len(images), device=images.device))
            targets = shares @ targets
        return images.contiguous(memory_format=torch.channels_last), targets


def smaller(images: torch.Tensor, settings: Progressive | None, progress: float) -> torch.Tensor:
    """Images (B, C, H, W) at the size that `settings` gives them after `progress` of the training, in [0, 1)."""
    if settings is None:
        return images
    share = settings.share(progress)
    full = tuple(images.shape[2:])
    height, width = (min(side, round(side * share / MULTIPLE) * MULTIPLE) if share < 1 else side for side in full)
    if (height, width) == full:
        return images
    if settings.how == "resize":
        return F.interpolate(images, (height, width), mode="bilinear", antialias=True, align_corners=False)
    top, left = random.randint(0, full[0] - height), random.randint(0, full[1] - width)  # noqa: S311
    return images[:, :, top : top + height, left : left + width]


def seed_everything(device: torch.device, *parts: int) -> None:
    """Set every global random state that a training step on `device` draws from: torch's, Python's and numpy's."""
    seed = int(np.random.SeedSequence(parts).generate_state(1)[0])
    torch.default_generator.manual_seed(seed)  # torch.manual_seed asks every kind of device: 0.1 ms at each step
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
