"""A table of all tasks on a terminal, redrawn in place; elsewhere a line for whatever changes."""

import sys
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING

from launch.standing import Standing, State, time_left
from launch.tasks import FoldTask
from pipeline.progress import clock

if TYPE_CHECKING:
    from rich.console import Group

DRAW_SECONDS = 1.0
SUMMARY_SECONDS = 60.0  # between summaries where there is no terminal
LOOKS = 32  # folders looked at before it is drawn: thousands would be too much for a shared disk
WORDS = {"run": 40, "where": 40}  # columns of words, and their width at most
COLUMNS = ("run", "fold", "state", "where", "epoch", "score", "images/s", "left")


class Board:
    """Shows how all tasks stand. Whatever changes is said in a line; a terminal has a table below these lines."""

    def __init__(self, tasks: list[FoldTask]) -> None:
        self.standings = {task.fold.folder: Standing(task) for task in tasks}
        self.turn, self.drawn, self.summed_up = 0, 0.0, time.monotonic()
        self.live = None
        if sys.stdout.isatty() and tasks:
            from rich.live import Live

            self.live = Live(auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> "Board":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def show(self, task: FoldTask, state: State, note: str = "") -> None:
        """A task is in another state now. note: why it failed or crashed, or who trains it."""
        standing = self.standings[task.fold.folder]
        before, noted = standing.state, standing.note
        standing.change(state, note)
        if state == "waiting" and (before, noted) != (state, note):
            self._say(task, f"waits for {note}, which trains it")
        elif state == "done":
            self._say(task, f"done: {standing.result}")
        elif state == "failed":
            self._say(task, f"failed: {note}")
        elif state == "queued":
            self._say(task, note)

    def refresh(self) -> None:
        """Look at the folders of some tasks, and draw anew, if that is due."""
        if time.monotonic() - self.drawn < DRAW_SECONDS:
            return
        self.drawn = time.monotonic()
        for state in ("training", "pending"):
            for standing in self._some([each for each in self.standings.values() if each.state == state]):
                standing.look()
                if state != standing.state:
                    self._say(standing.task, f"trained by {standing.note}")
        self.turn += LOOKS
        if self.live:
            self.live.update(self.table(self.live.console.height), refresh=True)
        elif time.monotonic() - self.summed_up > SUMMARY_SECONDS:
            self.summed_up = time.monotonic()
            print(self.summary(), flush=True)

    def close(self) -> None:
        """Leave the terminal to others, with the last table on it."""
        if self.live:
            self.live.update(self.table(self.live.console.height))
            self.live.stop()

    def summary(self) -> str:
        """How many tasks are in which state, and the time left."""
        standings = list(self.standings.values())
        counts = Counter(each.state for each in standings)
        said = [f"{counts['done']} of {len(standings)} done"]
        said += [f"{counts[state]} {state}" for state in State.__args__ if counts[state] and state != "done"]
        left = time_left(standings)
        return ", ".join(said) + (f"; about {clock(left)} left" if left is not None else "")

    def table(self, height: int) -> "Group":
        """The failed tasks, those in training, and a summary of all, in no more than `height` lines."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for name in COLUMNS:
            width = WORDS.get(name)
            justify = "left" if width else "right"
            table.add_column(name, justify=justify, max_width=width, no_wrap=True, overflow="ellipsis")
        room = max(2, height - 4)
        failed, training = (
            [each for each in self.standings.values() if each.state == s] for s in ("failed", "training")
        )
        shown = failed[-max(room // 2, room - len(training)) :]
        for standing in [*shown, *training[: room - len(shown)]]:
            table.add_row(*map(Text, _cells(standing)))
        return Group(table, Text(self.summary()))

    def _some(self, standings: list[Standing]) -> list[Standing]:
        """A few of them, each time the next few."""
        first = self.turn % len(standings) if len(standings) > LOOKS else 0
        return [*standings[first:], *standings[:first]][:LOOKS]

    def _say(self, task: FoldTask, what: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {task.name}: {what}", flush=True)


def _cells(standing: Standing) -> list[str]:
    score, rate, left = standing.score, standing.rate, standing.left
    return [
        standing.task.run.name,
        str(standing.task.fold.number),
        standing.state,
        standing.note,
        f"{standing.epoch}/{standing.epochs}",
        "" if score is None else f"{score:.4f}",
        "" if rate is None else f"{rate:.0f}",
        clock(left) if left is not None and standing.state == "training" else "",
    ]
