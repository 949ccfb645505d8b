"""The processes that train one fold together: each computes on its share of every batch, and all have the same weights.

A single process is a group of one, for which everything here does nothing. torchrun starts the others
(`launch/together.py`); they find one another through a file, so that nothing listens but on this machine's loopback.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import nn

from competition.errors import KitError
from competition.files import atomic_open

MEETING_PLACE = "TRAIN_TOGETHER"  # environment: a folder of this group's own
REASON = "error"  # in that folder: the message with which all gave up
LOOK_EVERY = 8  # steps between two questions that all processes must answer in the same way


@dataclass(frozen=True)
class Group:
    """rank: this process among the `size` ones."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """This process's part of n things in a row; n is a multiple of the size."""
        part = n // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def trained(self, network: nn.Module, device: torch.device, synchronise: bool) -> nn.Module:
        """The network to call in training: its gradients are the means over the group.

        Args:
            synchronise: whether batch norm shares its statistics too, or takes those of each process's own images.
        """
        if self.size == 1:
            return network
        if synchronise:
            network = convert_sync_batchnorm(network)
        devices = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices, gradient_as_bucket_view=True)

    def gradients_apart(self, trained: nn.Module) -> contextlib.AbstractContextManager[None]:
        """A block whose gradients are added up in each process by itself; the next ones after it share the sums."""
        return contextlib.nullcontext() if self.size == 1 else trained.no_sync()

    def any(self, here: bool) -> bool:
        """Whether it holds in any process."""
        if self.size == 1:
            return here
        anywhere = torch.tensor([here], dtype=torch.uint8)
        dist.all_reduce(anywhere, dist.ReduceOp.MAX)
        return bool(anywhere)

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean over the processes, in the place of `tensor`."""
        if self.size > 1:
            dist.all_reduce(tensor)
            tensor /= self.size
        return tensor

    def broadcast(self, network: nn.Module) -> None:
        """Give every process the first one's weights and buffers."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, 0)

    def gather(self, part: Any) -> list[Any] | None:
        """Every process's part, in the order of their ranks, in the first process; None in the others."""
        if self.size == 1:
            return [part]
        parts = [None] * self.size if self.first else None
        dist.gather_object(part, parts)
        return parts

    def split(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of any number of rows; the parts in the order of the ranks are all of them."""
        return np.array_split(rows, self.size)[self.rank]

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            self.any(False)


ALONE = Group()


def together() -> bool:
    """Whether this process is one of several that train a fold together."""
    return MEETING_PLACE in os.environ


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """This process's group, until the end of the block. All but the first process of it are silent inside the block."""
    if not together():
        yield ALONE
        return
    # A new file for every attempt: what a killed process wrote into the last one would confuse the others.
    store = Path(os.environ[MEETING_PLACE]) / f"attempt{os.environ['TORCHELASTIC_RESTART_COUNT']}"
    if (store.parent / REASON).is_file():  # another attempt would end as the last one did
        sys.exit(2)
    group = Group(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{store}", rank=group.rank, world_size=group.size)
    try:
        with contextlib.ExitStack() as stack:
            if not group.first:
                nowhere = stack.enter_context(Path(os.devnull).open("w"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
                stack.enter_context(contextlib.redirect_stderr(nowhere))
            yield group
    except KitError as error:
        # It stops all of them at the same step. The command that started them says it, once.
        with atomic_open(store.parent / REASON) as file:
            file.write(str(error))
        sys.exit(2)
    dist.destroy_process_group()
