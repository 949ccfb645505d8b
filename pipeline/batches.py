"""Training batches as pure functions of (seed, fold, epoch, batch): the same whichever worker makes them, and after a
restart the same as without one."""

import atexit
import multiprocessing
import signal
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from competition.errors import DataError, KitError, SpecError
from pipeline.augment import Augmentation
from pipeline.group import ALONE, Group

AHEAD = 8  # batches that each worker has ready, at most
READY = 1_000_000_000  # bytes of shared memory that all of them may take


class TrainingBatches(Dataset):
    """Batches of augmented uint8 images, addressed by (epoch, batch).

    Args:
        pixels: (N, H, W, C) uint8, usually a memory map. labels: (N, …), one for every image.
        rows: the training images among them.
        seed: what the order and the augmentations are derived from.
        group: the processes that train together: each makes its own share of every batch.
        paired: whether each share must have an even number of images.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray,
        rows: np.ndarray,
        augmentation: Augmentation,
        batch_size: int,
        seed: tuple[int, ...],
        group: Group = ALONE,
        paired: bool = False,
    ) -> None:
        self.pixels, self.labels, self.rows = pixels, labels, rows
        self.augmentation, self.seed = augmentation, seed
        fitting = len(rows) - len(rows) % (group.size * (2 if paired else 1))  # to be shared, and paired
        if not fitting:
            raise DataError(f"{len(rows)} images are left to train on, too few for {group.size} processes")
        self.batch_size = min(batch_size, fitting)
        # A last, smaller batch is left out: batch statistics of a few images do harm, and each epoch leaves out others.
        self.per_epoch = len(rows) // self.batch_size
        self._order: tuple[int, np.ndarray] = (-1, rows)
        self.share = group.share(self.batch_size)
        # Images of the same place in two shares would be augmented alike.
        self.stream_of = () if group.size == 1 else (group.rank,)

    def __getitem__(self, position: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (B, H, W, C) uint8 and labels (B, …) of one batch, or of this process's share of it."""
        epoch, batch = position
        rows = self.rows_of(epoch, batch)[self.share]
        self.augmentation.reseed(*self.seed, epoch, batch, *self.stream_of)
        images = [self.augmentation(self.pixels[row]) for row in rows]
        if len(shapes := {image.shape for image in images}) > 1:
            raise SpecError(f"augment: images come out in different sizes, {shapes}: give what resizes them p: 1.0")
        return torch.from_numpy(np.stack(images)), torch.from_numpy(self.labels[rows])

    def rows_of(self, epoch: int, batch: int) -> np.ndarray:
        """The rows (B,) that one batch is made of, over all processes."""
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([*self.seed, epoch]).permutation(self.rows))
        return self._order[1][batch * self.batch_size : (batch + 1) * self.batch_size]

    def stream(self, epoch: int, batch: int, epochs: int, workers: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All batches from (epoch, batch) to the end of epoch `epochs` - 1, made ahead of time without a pause."""
        ahead = None
        if workers:
            atexit.register(_end_workers)
            ahead = int(np.clip(READY // (workers * self.batch_size * self.pixels[0].nbytes), 2, AHEAD))
        positions = [divmod(n, self.per_epoch) for n in range(epoch * self.per_epoch + batch, epochs * self.per_epoch)]
        loader = DataLoader(
            self,
            sampler=positions,
            batch_size=None,
            num_workers=workers,
            # Workers share the decoded images with this process; started in another way, each would get a copy.
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            prefetch_factor=ahead,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_prepare_worker,
        )
        try:
            yield from loader
        except KitError as error:  # a worker's comes with its traceback: the last line is what it said
            raise type(error)(str(error).strip().splitlines()[-1].removeprefix(f"{_name(error)}: ")) from error
        except RuntimeError as error:
            if "shared memory" not in str(error) or "Too many open files" in str(error):
                raise
            raise DataError(
                "the machine's shared memory (/dev/shm) does not suffice for the batches that are made ahead. A "
                "container gets more by docker run --shm-size=8g, or --ipc=host"
            ) from error


def _name(error: Exception) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _end_workers() -> None:
    """At the end of the process. multiprocessing would send SIGTERM, which workers ignore, and wait for ever."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's own handler would call it an error
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


def _prepare_worker(_worker: int) -> None:
    cv2.setNumThreads(0)  # workers that each start a thread per core slow one another down
    for number in (signal.SIGINT, signal.SIGTERM):  # often sent to the whole group; the trainer ends its workers
        signal.signal(number, signal.SIG_IGN)
