"""What changes while a fold is trained, and its way into a checkpoint and back."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn

from competition.errors import DataError
from competition.metrics import Metric
from pipeline.checkpoint import load_checkpoint, save_checkpoint
from pipeline.config import Recipe
from pipeline.device import arithmetic
from pipeline.losses import spread_of
from pipeline.network import create_network
from pipeline.optimizer import create_optimizer
from pipeline.predict import Normalise
from pipeline.run import Fold


@dataclass
class Learner:
    """A network in training. Everything here, and nothing else, decides how training goes on.

    epoch: number of finished epochs. batch: finished steps of the next one. losses: (batch,) float32, theirs.
    seconds: time already spent on that epoch. best: score, epoch and weights of the best epoch, where asked for.
    """

    network: nn.Module
    normalise: Normalise
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: ModelEmaV3 | None = None
    epoch: int = 0
    batch: int = 0
    losses: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    seconds: float = 0.0
    best: dict[str, Any] | None = None

    @property
    def evaluated(self) -> nn.Module:
        """The network that makes predictions: the moving average where the recipe has one. In evaluation mode."""
        return (self.network if self.ema is None else self.ema.module).eval()

    def is_finite(self) -> bool:
        """Whether every weight is a number: one bad gradient spoils them a step before the loss shows it."""
        return bool(torch.stack([tensor.isfinite().all() for tensor in self.network.state_dict().values()]).all())

    def save(self, fold: Fold) -> None:
        """Write the checkpoint. Batch order, augmentation and dropout follow from the step, so no random state is."""
        state = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        state["scaler"] = self.scaler.state_dict()
        if self.ema is not None:
            state["ema"] = self.ema.module.state_dict()
        state |= {"epoch": self.epoch, "batch": self.batch, "losses": self.losses[: self.batch].clone()}
        save_checkpoint(fold.checkpoint, state | {"seconds": self.seconds, "best": self.best})

    def resume(self, fold: Fold) -> bool:
        """Go on from the fold's checkpoint; False if it has none. Raises DataError when it is damaged, or of another
        version of the network.
        """
        state = load_checkpoint(fold.checkpoint)
        if state is None:
            return False
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise DataError(
                f"{fold.checkpoint}: not of this network ({error}). Was its code changed? Undo that, or delete the "
                "file to train this fold from the start."
            ) from error
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # none where another machine trained in another number format
            self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        self.epoch, self.batch, self.losses = state["epoch"], state["batch"], state["losses"]
        self.seconds, self.best = state["seconds"], state["best"]
        return True

    def keep_if_best(self, score: float, metric: Metric) -> None:
        if self.best is None or metric.gain(score, self.best["score"]) > 0:
            weights = {name: tensor.clone() for name, tensor in self.evaluated.state_dict().items()}
            self.best = {"score": score, "epoch": self.epoch, "weights": weights}


def create_learner(
    recipe: Recipe, classes: int, shape: tuple[int, int, int], device: torch.device, values: np.ndarray | None = None
) -> Learner:
    """The recipe's network on `device`, for images of `shape` (height, width, channels), with its optimiser.

    Its weights follow from torch's random state.

    Args:
        values: (N, classes) the training labels, where the target is numbers.
    """
    network, normalise = create_network(recipe.model, classes, shape, "classes" if values is None else "values")
    if values is not None:
        for buffer, statistic in zip((network.mean, network.std), spread_of(values), strict=True):
            buffer.copy_(torch.from_numpy(statistic))
    network.to(device, memory_format=torch.channels_last)
    # Warm-up: the average would otherwise remember the random weights of the start for too long.
    ema = ModelEmaV3(network, decay=recipe.ema, use_warmup=True, warmup_power=0.8) if recipe.ema else None
    # float16 has so few exponents that gradients must be scaled up not to vanish; the other formats need none of it.
    scaler = torch.amp.GradScaler(device.type, enabled=arithmetic(device, recipe.precision) == torch.float16)
    optimizer = create_optimizer(network, recipe.optimizer, device)
    return Learner(network, normalise.to(device), optimizer, scaler, ema)
