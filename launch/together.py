"""One fold on several GPUs of this machine, or in several processes on its CPU, by torchrun's engine."""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from competition.errors import DataError, SpecError, Terminated
from competition.interrupt import raise_on_sigterm
from launch.child import CORES, KIT, PARENT
from launch.tasks import Failure, FoldTask
from pipeline.config import Recipe
from pipeline.device import available_cores
from pipeline.group import MEETING_PLACE, REASON

LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


def check_together(recipe: Recipe, processes: int) -> None:
    """Raise SpecError when `processes` cannot train this recipe together on this machine."""
    cards = torch.cuda.device_count()
    if cards and processes > cards:
        raise SpecError(f"--gpus-per-fold {processes}: this machine has {cards}")
    if torch.backends.mps.is_available():
        raise SpecError("--gpus-per-fold: Apple's GPU cannot be shared by several processes")
    if recipe.batch_size % processes:
        raise SpecError(f"--gpus-per-fold {processes}: batch_size {recipe.batch_size} has no {processes} equal shares")
    share = recipe.batch_size // processes
    if recipe.mix.on and share % 2:
        raise SpecError(f"--gpus-per-fold {processes}: images are mixed in pairs, and {share} per process are odd")
    if share % recipe.accumulate:
        raise SpecError(f"--gpus-per-fold {processes}: {share} images per process have no {recipe.accumulate} parts")
    if recipe.sync_batch_norm and not cards:
        raise SpecError("sync_batch_norm: torch has it on GPUs only, and this machine has none")


def train_together(tasks: list[FoldTask], processes: int, max_restarts: int) -> list[Failure]:
    """Train folds one after the other, each in `processes` processes.

    Args:
        max_restarts: how often a fold's processes are started again, from its last checkpoint, when one of them dies.

    Raises:
        DataError: what one process would have raised. RuntimeError: a process died too often.
    """
    for task in tasks:
        recipe = task.run.recipe
        print(
            f"{task.name}: {processes} processes × {recipe.batch_size // processes} images = batch_size "
            f"{recipe.batch_size}, at the recipe's learning rate {recipe.optimizer.lr:g}",
            flush=True,
        )
        with tempfile.TemporaryDirectory(prefix="fold-") as place, _environment(place, processes):
            _train(task, Path(place), processes, max_restarts)
    return []


def _train(task: FoldTask, place: Path, processes: int, max_restarts: int) -> None:
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="fold",
        rdzv_backend="c10d",
        rdzv_endpoint=str(place / "rendezvous"),
        rdzv_configs={"store_type": "file"},
        local_addr="127.0.0.1",
        max_restarts=max_restarts,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(config, sys.executable)(str(KIT / "train.py"), *task.arguments)
    except SignalException as end:
        raise KeyboardInterrupt if end.sigval == signal.SIGINT else Terminated from None
    except ChildFailedError as error:
        if task.finished:  # what dies after the last file is written did no harm
            return
        if (place / REASON).is_file():
            raise DataError((place / REASON).read_text()) from None
        rank, failure = error.get_first_failure()
        how = f"was killed by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with {failure.exitcode}"
        raise RuntimeError(
            f"{task.name}: process {rank} of {processes} {how}; the same command goes on from the last checkpoint"
        ) from None
    finally:  # torchrun puts its own in their place
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise_on_sigterm()


@contextmanager
def _environment(place: str, processes: int) -> Iterator[None]:
    """What the processes of one fold find in their environment."""
    cores = str(max(1, available_cores() // processes))
    its_own = {
        MEETING_PLACE: place,
        PARENT: str(os.getpid()),
        CORES: cores,
        "OMP_NUM_THREADS": cores,
        # Nothing of this is to be reached from other machines.
        "GLOO_SOCKET_IFNAME": LOOPBACK,
        "NCCL_SOCKET_IFNAME": LOOPBACK,
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    before = {name: os.environ.get(name) for name in its_own}
    os.environ.update(its_own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
