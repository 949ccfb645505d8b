"""Folds trained side by side on this machine: a process for each, on cards and cores of its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from competition.errors import SpecError
from launch.child import end_child, start_child
from launch.supervise import supervise
from launch.tasks import Failure, FoldTask
from pipeline.device import available_cores


@dataclass(frozen=True)
class Place:
    """Where one fold at a time is trained. cards: for CUDA_VISIBLE_DEVICES; none on a machine that has none."""

    cards: tuple[str, ...]
    cores: int


def local_places(parallel: int | None, gpus_per_fold: int = 1) -> list[Place]:
    """Places on this machine. Raises SpecError when it has too few cards or cores for them."""
    return places(visible_cards(), available_cores(), parallel, gpus_per_fold)


def places(cards: Sequence[str], cores: int, parallel: int | None, gpus_per_fold: int = 1) -> list[Place]:
    """`parallel` places of the same size; without a number, as many as the cards allow, and one where there are none.

    Raises SpecError, with what was asked for and what there is, when there are too few cards or cores.
    """
    n = parallel if parallel is not None else max(1, len(cards) // gpus_per_fold)
    if n < 1:
        raise SpecError(f"--parallel {n}: at least one fold is trained at a time")
    if cards and n * gpus_per_fold > len(cards):
        raise SpecError(
            f"--parallel {n} with --gpus-per-fold {gpus_per_fold} takes {n * gpus_per_fold} GPUs, "
            f"and {len(cards)} can be seen here ({', '.join(cards)})"
        )
    if not cards and n > cores:
        raise SpecError(f"--parallel {n}: without a GPU each fold needs a core, and this process may use {cores}")
    groups = [tuple(cards[k * gpus_per_fold : (k + 1) * gpus_per_fold]) for k in range(n)]
    return [Place(group, max(1, cores // n)) for group in groups]


def visible_cards() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them: numbers, or UUIDs of cards or their slices."""
    import torch

    n, told = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is None:
        return [str(k) for k in range(n)]
    names = [name.strip() for name in told.split(",")]
    # Of slices a process sees the first one only, however many it is told; each of its children sees its own.
    return names if n and names[0].startswith("MIG-") else names[:n]


def train_local(tasks: list[FoldTask], places: list[Place]) -> list[Failure]:
    """Train folds, one in each place at a time."""
    free = list(places)
    return supervise(tasks, lambda task: _Child(task, free), len(places))


class _Child:
    """A task's command as a child of this process, in a place that is free again when it has ended."""

    def __init__(self, task: FoldTask, free: list[Place]) -> None:
        self.free, self.place = free, free.pop(0)
        cards = {"CUDA_VISIBLE_DEVICES": ",".join(self.place.cards)} if self.place.cards else {}
        self.process = start_child(task.arguments, task.fold.folder, self.place.cores, cards)

    def poll(self) -> int | None:
        status = self.process.poll()
        if status is not None:
            self.free.append(self.place)
        return status

    def end(self) -> None:
        end_child(self.process)
