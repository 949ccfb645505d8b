"""How far a task is that is trained elsewhere: what its launcher knows, and what the files of its fold tell."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from launch.tasks import FoldTask
from pipeline.pace import costs, pace

# queued: until it is its turn here. pending: its command is on its way, and does not train yet. waiting: for another
# process, which trains the fold.
State = Literal["queued", "pending", "training", "waiting", "done", "failed"]


@dataclass
class Standing:
    """A task and how far it is.

    note: of a failed task, why; of others, who trains or trained it: a process and its machine.
    epoch, score, rate, pace: its last epoch, validation score, images per second, and seconds per epoch of whole
        images, where known.
    """

    task: FoldTask
    state: State = "queued"
    note: str = ""
    epoch: int = 0
    score: float | None = None
    rate: float | None = None
    pace: float | None = None
    _lock: int | None = None
    _metrics: int | None = None
    _since: float = 0.0

    @property
    def epochs(self) -> int:
        return self.task.run.recipe.schedule.epochs

    @property
    def work_left(self) -> float:
        """What is left of it, in epochs of whole images."""
        return float(costs(self.task.run.recipe)[self.epoch : self.task.until].sum())

    @property
    def left(self) -> float | None:
        """Seconds until it is done, at the pace of its epochs so far."""
        if self.pace is None:
            return None
        return max(0.0, self.work_left * self.pace - (time.monotonic() - self._since))

    @property
    def result(self) -> str:
        """What a finished task has come to."""
        if not self.task.fold.done:
            return f"stopped after epoch {self.task.until}, as asked"
        result = self.task.fold.result()
        return f"{result['metric']} {result['score']:.4f} in {result['seconds'] / 60:.1f} minutes"

    def change(self, state: State, note: str) -> None:
        self.state, self.note = state, note
        if state == "pending":
            self._lock = _written(self._lock_file)

    def look(self) -> None:
        """Read what is new in the fold's folder. What cannot be read now, on a shared disk, is read another time."""
        with suppress(OSError, ValueError):
            if self.state == "pending" and _written(self._lock_file) != self._lock:
                self.note = self._lock_file.read_text().strip()
                self.state = "training" if self.note else "pending"
            if (written := _written(self.task.fold.metrics)) != self._metrics:
                self._read(self.task.fold.history())
                self._metrics, self._since = written, time.monotonic()

    @property
    def _lock_file(self) -> Path:
        return self.task.fold.folder / ".lock"

    def _read(self, history: list[dict[str, float]]) -> None:
        if not history:
            return
        self.epoch, self.rate = int(history[-1]["epoch"]), history[-1]["images_per_second"]
        self.pace = pace(history, self.task.run.recipe)
        scores = [row[key] for row in history for key in row if key.startswith("val/") and key != "val/loss"]
        self.score = scores[-1] if scores else None


def time_left(standings: list[Standing]) -> float | None:
    """Seconds until all are done, were as many trained at a time as now. None while nothing is known of their pace."""
    training = sum(each.state == "training" for each in standings)
    paces = [each.pace for each in standings if each.pace is not None]
    if not training or not paces:
        return None
    usual = float(np.median(paces))
    open_ones = [each for each in standings if each.state in ("queued", "pending", "training")]
    return sum(each.work_left * (each.pace or usual) for each in open_ones) / training


def _written(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.is_file() else None
