"""The ways to train one network that benchmarks.train compares. Each is made and measured in a process of its own."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from benchmarks.machine import describe, multiplication_flops, synchronize
from competition.rows.tables import Rows
from pipeline.augment import Augmentation
from pipeline.batches import AHEAD, TrainingBatches
from pipeline.cache import decoded
from pipeline.config import Recipe
from pipeline.device import augmentation_workers, prepare_device
from pipeline.learner import create_learner
from pipeline.network import create_network
from pipeline.predict import Normalise
from pipeline.step import create_step

Batch = tuple[torch.Tensor, torch.Tensor]
ROTATION = 5  # degrees, as in the recipe plain-cnn


@dataclass(frozen=True)
class Job:
    """What all contenders train: the same rows, network and hyperparameters. cache: folder of the decoded images."""

    rows: Rows
    classes: int
    size: tuple[int, int]
    recipe: Recipe
    batch_size: int
    cache: Path

    def network(self) -> tuple[nn.Module, Normalise]:
        torch.manual_seed(0)
        return create_network(self.recipe.model, self.classes, (*self.size, self.recipe.image.channels))

    def criterion(self) -> nn.Module:
        return nn.CrossEntropyLoss(label_smoothing=self.recipe.loss.label_smoothing)


class KitStep:
    """The kit's own training step on its own learner, one after the other."""

    def __init__(self, job: Job) -> None:
        self.device = prepare_device()
        torch.manual_seed(0)
        self.learner = create_learner(job.recipe, job.classes, (*job.size, job.recipe.image.channels), self.device)
        self.network, self.normalise = self.learner.network.train(), self.learner.normalise
        self.per_epoch, self.done = len(job.rows) // job.batch_size, 0
        self.step = create_step(job.recipe, self.learner, job.rows.labels, job.classes, self.per_epoch, (0, 0))

    def __call__(self, batch: Batch) -> None:
        self.step(*batch, *divmod(self.done, self.per_epoch))
        self.done += 1


class PlainStep:
    """A step as a tutorial writes it: float32, contiguous images, AdamW as it comes."""

    def __init__(self, job: Job) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = job.network()[0].to(self.device).train()
        settings = job.recipe.optimizer
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        self.criterion = job.criterion()

    def __call__(self, batch: Batch) -> None:
        images, labels = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        self.optimizer.zero_grad()
        self.criterion(self.network(images), labels).backward()
        self.optimizer.step()


class Ours:
    """The kit: decoded cache, augmentation in workers, KitStep."""

    def __init__(self, job: Job) -> None:
        self.step = KitStep(job)
        pixels = decoded(job.rows.images, job.recipe.image, job.cache, "train")
        every = np.arange(len(job.rows))
        augmentation = Augmentation(job.recipe.augment)
        self.batches = TrainingBatches(pixels, job.rows.labels, every, augmentation, job.batch_size, (0, 0))
        self.epoch, self.workers = 0, augmentation_workers(self.step.device)

    def measure(self, batches: int) -> float:
        ahead = AHEAD * self.workers
        epochs = -(-(ahead + batches) // self.batches.per_epoch)
        stream = self.batches.stream(self.epoch, 0, self.epoch + epochs, self.workers)
        self.epoch += epochs
        return _seconds(stream, self.step, ahead, batches, self.step.device)


class StartingPoint:
    """A student's loop: every image is decoded and augmented anew, in the process that trains."""

    def __init__(self, job: Job) -> None:
        self.step, self.dataset, self.batch_size = PlainStep(job), _Files(job), job.batch_size

    def measure(self, batches: int) -> float:
        return _seconds(_loader(self.dataset, self.batch_size, batches + 1), self.step, 1, batches, self.step.device)


class Usual:
    """The same with the usual advice followed: a worker per core decodes and augments."""

    def __init__(self, job: Job) -> None:
        self.step, self.dataset, self.batch_size = PlainStep(job), _Files(job), job.batch_size
        self.workers = os.cpu_count() or 1

    def measure(self, batches: int) -> float:
        ahead = 2 * self.workers  # DataLoader's own default
        pinned = self.step.device.type == "cuda"
        stream = _loader(self.dataset, self.batch_size, ahead + batches, num_workers=self.workers, pin_memory=pinned)
        return _seconds(stream, self.step, ahead, batches, self.step.device)


class Fastai:
    """fastai's Learner with its own data loaders and batch transforms; only the network is ours."""

    def __init__(self, job: Job) -> None:
        import pandas as pd
        from fastai.vision.all import ImageDataLoaders, LabelSmoothingCrossEntropy, Learner, Normalize, aug_transforms

        network, _ = job.network()
        mean, std = network.default_cfg["mean"], network.default_cfg["std"]
        table = pd.DataFrame(
            {"path": [str(picture.path.resolve()) for picture in job.rows.images], "label": job.rows.labels}
        )
        # Several copies make one epoch that is long enough: a Learner starts its workers anew in each.
        table = pd.concat([table] * (1 + 200 * job.batch_size // len(table)), ignore_index=True)
        table["is_valid"] = table.index == 0
        flip_and_rotate = aug_transforms(max_rotate=ROTATION, max_zoom=1.0, max_lighting=0.0, max_warp=0.0)
        loaders = ImageDataLoaders.from_df(
            table,
            path="/",
            valid_col="is_valid",
            bs=job.batch_size,
            batch_tfms=[*flip_and_rotate, Normalize.from_stats(mean, std)],
        )
        self.ahead = 2 * loaders.train.fake_l.num_workers
        loss = LabelSmoothingCrossEntropy(eps=job.recipe.loss.label_smoothing)
        settings = job.recipe.optimizer
        self.learner = Learner(loaders, network, loss_func=loss, lr=settings.lr, wd=settings.weight_decay)

    def measure(self, batches: int) -> float:
        from fastai.callback.core import Callback, CancelFitException

        device, first, marks = self.learner.dls.device, max(1, self.ahead), []

        class Clock(Callback):
            """Notes the time after the warm-up's last batch and after the last one, then ends the fit."""

            order = 1000

            def after_batch(self) -> None:
                if self.iter + 1 in (first, first + batches):
                    synchronize(device)
                    marks.append(time.perf_counter())
                if len(marks) == 2:
                    raise CancelFitException

        with self.learner.no_bar(), self.learner.no_logging():
            self.learner.fit(1, cbs=[Clock()])
        return marks[1] - marks[0]


class Limit:
    """The kit's step on one batch that is already on the device: what no input pipeline can exceed."""

    def __init__(self, job: Job) -> None:
        self.step = KitStep(job)
        images = torch.randint(0, 256, (job.batch_size, *job.size, job.recipe.image.channels), dtype=torch.uint8)
        labels = torch.randint(0, job.classes, (job.batch_size,))
        self.batch = images.to(self.step.device), labels.to(self.step.device)

    def measure(self, batches: int) -> float:
        return _seconds(itertools.repeat(self.batch), self.step, 1, batches, self.step.device)

    def machine(self) -> dict[str, Any]:
        return describe(self.step.device)

    def peak(self, dtype: str) -> float:
        """Floating-point operations per second of a matrix multiplication, with this process' threads."""
        return multiplication_flops(self.step.device, getattr(torch, dtype))

    def flops_per_image(self) -> float:
        """Floating-point operations of a training step: forward, gradients of the weights and of the layers' inputs.

        Only convolutions and linear layers count; the first layer's input needs no gradient.
        """
        macs = []

        def count(layer: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
            macs.append(output.numel() * layer.weight[0].numel())

        layers = [layer for layer in self.step.network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        hooks = [layer.register_forward_hook(count) for layer in layers]
        with torch.no_grad():
            self.step.network(self.step.normalise(self.batch[0]))
        for hook in hooks:
            hook.remove()
        return 2 * (3 * sum(macs) - macs[0]) / len(self.batch[0])

    def breakdown(self, steps: int) -> dict[str, float]:
        """Shares of the step's time, by kind of operation, from torch's profiler."""
        on_gpu = self.step.device.type == "cuda"
        with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiler:
            for _ in range(steps):
                self.step(self.batch)
            synchronize(self.step.device)
        shares = dict.fromkeys((*KINDS, "rest"), 0.0)
        for event in profiler.key_averages():
            if event.device_type == DeviceType.CPU:  # a kernel's time on the GPU is also its operation's
                time_of = event.self_device_time_total if on_gpu else event.self_cpu_time_total
                shares[_kind(event.key)] += time_of
        total = sum(shares.values()) or 1.0  # a container may hide the GPU's counters
        return {kind: share / total for kind, share in shares.items()}


KINDS = {
    "convolution": ("conv",),
    "batch norm": ("batch_norm", "batchnorm"),
    "pooling": ("pool",),
    "ReLU": ("relu", "clamp_min", "threshold"),
    "linear": ("addmm", "aten::mm", "linear"),
    "optimiser": ("adam", "optimizer"),
}

CONTENDERS: dict[str, Callable[[Job], Any]] = {
    "ours": Ours,
    "starting point": StartingPoint,
    "usual": Usual,
    "fastai": Fastai,
    "limit": Limit,
}


def available() -> dict[str, Callable[[Job], Any]]:
    """All contenders whose packages are installed."""
    return {name: made for name, made in CONTENDERS.items() if name != "fastai" or find_spec("fastai")}


class _Files(Dataset):
    """Image files decoded with Pillow, flipped and rotated by torchvision: (C, H, W) float32, normalised."""

    def __init__(self, job: Job) -> None:
        self.paths, self.labels = [picture.path for picture in job.rows.images], job.rows.labels
        config = job.network()[0].default_cfg
        self.transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(ROTATION),
                transforms.ToTensor(),
                transforms.Normalize(config["mean"], config["std"]),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.paths[row]).convert("RGB")), int(self.labels[row])


def _loader(dataset: Dataset, batch_size: int, batches: int, **workers: Any) -> Iterator[Batch]:
    """`batches` shuffled batches without a pause between epochs."""
    sampler = RandomSampler(dataset, num_samples=batches * batch_size)
    return iter(DataLoader(dataset, batch_size, sampler=sampler, **workers))


def _seconds(stream: Iterator[Batch], step: Callable[[Batch], None], ahead: int, batches: int, device: Any) -> float:
    """Seconds that `batches` steps take, once `ahead` steps have emptied the queue that workers fill at their start.

    The stream's workers begin and end with it, so that none of them computes while another contender is measured.
    """
    for batch in itertools.islice(stream, ahead):
        step(batch)
    synchronize(device)
    began = time.perf_counter()
    for batch in itertools.islice(stream, batches):
        step(batch)
    synchronize(device)
    return time.perf_counter() - began


def _kind(operation: str) -> str:
    name = operation.lower()
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "rest")
