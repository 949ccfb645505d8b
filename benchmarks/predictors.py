"""The ways to predict with several networks that benchmarks.infer compares."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from benchmarks.machine import describe, synchronize
from competition.rows.tables import Rows
from pipeline.cache import decoded
from pipeline.config import Recipe
from pipeline.device import autocast, prepare_device
from pipeline.network import create_network
from pipeline.predict import FLIPS, Normalise, predict


@dataclass(frozen=True)
class Job:
    """What all of them predict: the first `images` rows, with `networks` networks of one recipe, not trained."""

    rows: Rows
    classes: int
    size: tuple[int, int]
    recipe: Recipe
    cache: Path
    networks: int
    images: int

    @property
    def batch_size(self) -> int:
        """The step of pipeline.predict."""
        return min(self.images, max(64, self.recipe.batch_size))

    def create(self, device: torch.device) -> tuple[list[nn.Module], Normalise]:
        torch.manual_seed(0)
        networks = []
        for _ in range(self.networks):
            network, normalise = create_network(
                self.recipe.model, self.classes, (*self.size, self.recipe.image.channels)
            )
            networks.append(network.to(device, memory_format=torch.channels_last).eval())
        return networks, normalise.to(device)


class Ours:
    """The kit: one pass over the decoded images, which all networks share."""

    def __init__(self, job: Job) -> None:
        self.job, self.device = job, prepare_device()
        self.networks, self.normalise = job.create(self.device)
        self.pixels = decoded(job.rows.images, job.recipe.image, job.cache, "test")

    def measure(self) -> float:
        began = time.perf_counter()
        predict(self.networks, self.normalise, self.pixels, self.job.recipe, self.device, np.arange(self.job.images))
        return time.perf_counter() - began


class Limit:
    """The same forward passes on a batch that is already on the device, normalised."""

    def __init__(self, job: Job) -> None:
        self.job, self.device = job, prepare_device()
        self.networks, normalise = job.create(self.device)
        shape = (job.batch_size, *job.size, job.recipe.image.channels)
        images = normalise(torch.randint(0, 256, shape, dtype=torch.uint8).to(self.device))
        self.views = [images, *(images.flip(FLIPS[flip]) for flip in job.recipe.tta)]
        self.context = autocast(self.device, job.recipe.precision)

    @torch.inference_mode()
    def measure(self) -> float:
        synchronize(self.device)
        began = time.perf_counter()
        for start in range(0, self.job.images, self.job.batch_size):
            for network in self.networks:
                for view in self.views:
                    with self.context:
                        network(view[: self.job.images - start])
        synchronize(self.device)
        return time.perf_counter() - began

    def machine(self) -> dict[str, Any]:
        return describe(self.device)


class Separate:
    """A pass per network, each of which decodes the files anew with Pillow; float32, contiguous images."""

    def __init__(self, job: Job) -> None:
        self.job, self.device = job, torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.networks, _ = job.create(self.device)
        config = self.networks[0].default_cfg
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize(config["mean"], config["std"])]
        )

    @torch.inference_mode()
    def measure(self) -> float:
        paths = [picture.path for picture in self.job.rows.images[: self.job.images]]
        began = time.perf_counter()
        for network in self.networks:
            for start in range(0, len(paths), self.job.batch_size):
                batch = paths[start : start + self.job.batch_size]
                images = torch.stack([self.transform(Image.open(path).convert("RGB")) for path in batch])
                images = images.to(self.device)
                for view in [images, *(images.flip(FLIPS[flip]) for flip in self.job.recipe.tta)]:
                    network(view).softmax(dim=1).cpu()
        return time.perf_counter() - began


PREDICTORS: dict[str, Callable[[Job], Any]] = {"ours": Ours, "separate passes": Separate, "limit": Limit}
