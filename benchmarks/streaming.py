"""How much memory it takes to blend predictions that lie in files, measured in a process of its own."""

import resource
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.libraries import FOLDS, Matrix, distributions, members_like
from blending.methods import choose, fit, open_library
from blending.truth import Truth
from competition.errors import KitError


@dataclass(frozen=True)
class Job:
    """Where `write` has put the predictions, and of how many members."""

    folder: Path
    members: int


def write(matrix: Matrix, members: int, n: int, classes: int, folder: Path) -> Job:
    """Write a library that resembles the matrix, a file per member. Raises KitError if the disk is too small."""
    needed, free = 4 * members * n * classes, shutil.disk_usage(folder).free
    if needed + 2**30 > free:
        raise KitError(
            f"{folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} are free: set TMPDIR or less --memory"
        )
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, n)
    np.save(folder / "y.npy", y)
    np.save(folder / "fold.npy", rng.permutation(n) % FOLDS)
    for j, t in enumerate(members_like(matrix, members, n)):
        np.save(folder / f"{j}.npy", distributions(t, y, classes))
    return Job(folder, members)


class Streaming:
    """A contender of `benchmarks.processes`: as its process is forked from a small server, the peak is its own."""

    def __init__(self, job: Job) -> None:
        threadpool_limits(1)
        self.job = job

    def measure(self, method: str) -> dict[str, float]:
        """Seconds, and bytes resident before and at the peak, of `fit(method)`, or of `choose` for "auto"."""
        folder = self.job.folder
        before, began = _peak(), time.perf_counter()
        truth = Truth("classes", np.load(folder / "y.npy"))
        library = open_library(
            lambda j: np.load(folder / f"{j}.npy"), self.job.members, truth, np.load(folder / "fold.npy")
        )
        if method == "auto":
            choose(library)
        else:
            fit(method, library)
        return {"seconds": time.perf_counter() - began, "bytes_before": before, "bytes_peak": _peak()}


def _peak() -> int:
    """Bytes; macOS counts them, others count kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
