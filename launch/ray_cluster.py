"""Folds trained on a Ray cluster that is running: Ray finds a machine for each, and tells when one is lost."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from competition.contest import Contest
from competition.errors import SpecError
from competition.interrupt import raise_on_sigterm
from launch import child, remote
from launch.child import KIT, LOG
from launch.cluster_check import check_cluster
from launch.nodes import able, cpus_per_fold, living
from launch.supervise import supervise
from launch.tasks import Failure, FoldTask

if TYPE_CHECKING:
    import ray

LOST = 137  # exit status of a command whose machine was lost
CONNECT_SECONDS = 5.0
ENDING_SECONDS = 75.0  # more than a command has to save its checkpoint
START = (
    "Start one: `ray start --head` on one machine and `ray start --address=HOST:6379` on the others, then give the "
    "same command on one of them. One machine needs no Ray: --launcher local"
)


def train_on_ray(
    tasks: list[FoldTask], contest: Contest, address: str | None, gpus_per_fold: int | None = None
) -> list[Failure]:
    """Train folds, each as a task of a Ray cluster.

    Args:
        address: HOST:PORT of the cluster; None for RAY_ADDRESS, else the one that runs on this machine.
        gpus_per_fold: None for one where the cluster has any, else for the CPU.

    Raises:
        SpecError: there is no Ray, no such cluster, or no machine in it that can train a fold.
        DataError: its machines do not share what training needs.
    """
    if not tasks:
        return []
    with connected(address):
        import ray

        nodes, gpus = able(living(ray.nodes()), gpus_per_fold)
        left = check_cluster(nodes, _own_files(tasks), contest.data.resolve(), contest.runs.resolve())
        nodes, gpus = able(left, gpus)
        cpus = cpus_per_fold(nodes, gpus)
        print(f"Ray cluster: machines {len(nodes)}, folds to train {len(tasks)}; for each {cpus} CPUs, {gpus} GPUs")
        # Ray itself never tries a task again: supervise knows whether a fold got any further.
        run_fold = ray.remote(num_cpus=cpus, num_gpus=gpus, max_calls=1, max_retries=0)(remote.run_fold)

        def start(task: FoldTask) -> _Attempt:
            folder = task.fold.folder.resolve()
            reference = run_fold.options(name=task.name).remote(task.arguments, folder, cpus, gpus, KIT)
            return _Attempt(reference, folder)

        return supervise(tasks, start)


class _Attempt:
    """A task that Ray has queued, or runs."""

    def __init__(self, reference: "ray.ObjectRef", folder: Path) -> None:
        self.reference, self.folder = reference, folder
        self.answer = reference.future()

    def poll(self) -> int | None:
        import ray

        if not self.answer.done():
            return None
        error = self.answer.exception()
        if error is None:
            return self.answer.result()
        with (self.folder / LOG).open("a") as log:
            log.write(f"error: Ray: {_first_line(getattr(error, 'cause', error))}\n")
        return 1 if isinstance(error, ray.exceptions.RayTaskError) else LOST

    def end(self) -> None:
        import ray

        ray.cancel(self.reference)
        try:
            self.answer.exception(ENDING_SECONDS)
        except NotYet:
            ray.cancel(self.reference, force=True)


def cluster_address(told: str | None) -> str:
    """Where to connect. Raises SpecError when nothing answers there, which Ray takes minutes to notice."""
    address = told or os.environ.get("RAY_ADDRESS") or "auto"
    if address == "auto":
        return address
    host, _, port = address.rpartition(":")
    if "//" in address or not host or not port.isdigit():
        raise SpecError(
            f"--address (or RAY_ADDRESS) {address!r}: HOST:PORT of the cluster's head is wanted, and train.py on a "
            f"machine of the cluster: ray:// clients see neither its storage nor its locks. {START}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise SpecError(f"no Ray cluster answers at {address} ({error}). {START}") from error
    return address


@contextmanager
def connected(told: str | None) -> Iterator[None]:
    # Before the import, which reads them: no statistics sent, and one try to connect instead of twenty.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_NUM_REDIS_GET_RETRIES": "1"}
    try:
        import ray
    except ImportError as error:
        raise SpecError(
            "Ray is not installed here: pip install -r requirements-ray.txt. One machine needs no Ray: --launcher local"
        ) from error
    address = cluster_address(told)
    for module in (child, remote):  # so that machines need not be able to import the kit
        ray.cloudpickle.register_pickle_by_value(module)
    try:
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            raise SpecError(f"cannot connect to a Ray cluster at {address!r}: {_first_line(error)} {START}") from error
        raise_on_sigterm()  # Ray has put its own in its place
        # It has no setting for its messages about lost workers and machines, pages of them in the midst of the table.
        # The fold's log says what was lost.
        ray._private.worker._worker_logs_enabled = False
        yield
    finally:
        ray.shutdown()


def _own_files(tasks: Sequence[FoldTask]) -> list[Path]:
    """Specs and recipes that the tasks' commands name by their paths."""
    paths = {argument for task in tasks for argument in task.arguments if argument.startswith("/")}
    return sorted(path for path in map(Path, paths) if path.is_file())


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
