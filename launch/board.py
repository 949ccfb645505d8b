"""How far all tasks are, while they are trained elsewhere."""

from types import TracebackType
from typing import Literal

from launch.tasks import FoldTask

State = Literal["queued", "starting", "training", "waiting", "done", "failed"]


class Board:
    def __init__(self, tasks: list[FoldTask]) -> None:
        self.tasks = tasks

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def show(self, task: FoldTask, state: State, note: str = "") -> None:
        """A task is in another state now. note: why, or where."""
        print(f"{task.name}: {state} {note}".rstrip(), flush=True)

    def refresh(self) -> None:
        """Draw it anew, if that is due."""

    def close(self) -> None:
        """Draw it a last time, and leave the terminal as it was."""
