"""Tasks whose commands run elsewhere, seen through to their end: started, started again after a crash, or given up."""

import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Thread
from typing import Protocol

from launch.board import Board
from launch.child import last_words
from launch.tasks import Failure, FoldTask
from pipeline.run import HELD

TICK_SECONDS = 0.2
PAUSES = (0.0, 10.0, 60.0)  # seconds before a task that crashed 1, 2, 3 times in a row is started again
HELD_SECONDS = 5.0  # between looks at a fold that another process trains


class Attempt(Protocol):
    """A task's command, on its way: waiting for a machine, running, or ended."""

    def poll(self) -> int | None:
        """The command's exit status, 137 when the machine under it was lost; None while it waits or runs.

        Asked for several times a second until it tells a status, and not again.
        """

    def end(self) -> None:
        """Have the command save its checkpoint and end, and wait for that. It may have ended already."""


@dataclass(eq=False)
class _Course:
    """How a task fared. crashes: in a row, without a new checkpoint. checkpoint: when the last one was written."""

    task: FoldTask
    checkpoint: int | None
    crashes: int = 0


def supervise(
    tasks: Iterable[FoldTask], start: Callable[[FoldTask], Attempt], at_once: int | None = None
) -> list[Failure]:
    """Have every task's command run until the task is finished, by this or by another process, or cannot be.

    What the files say counts, not what the command said when it ended: a task is done when it is `finished`. A command
    that ends with 2 asks for something of the user, so its task is given up, unless another process trains the fold:
    then it is looked at now and then, until it is finished or free. Any other end is a crash: the command is started
    again and goes on from the last checkpoint. One that crashes without getting as far as another checkpoint is started
    again a few times only; a machine that is taken away now and then does no harm.

    An exception, Ctrl-C and SIGTERM among them, ends all commands first. A second one leaves at once: commands must
    end by themselves when this process is gone.

    Args:
        start: sends a task's command on its way. Whatever it raises ends everything.
        at_once: how many commands may be on their way.

    Returns:
        The tasks that were given up.
    """
    waiting = {_Course(task, _written(task)): 0.0 for task in tasks}  # and when each may be started
    underway: dict[_Course, Attempt] = {}
    failures: list[Failure] = []
    with Board([course.task for course in waiting]) as board:
        try:
            while waiting or underway:
                for course, attempt in list(underway.items()):
                    if (status := attempt.poll()) is not None:
                        del underway[course]
                        _judge(course, status, waiting, failures, board)
                for course, due in list(waiting.items()):
                    if at_once is not None and len(underway) >= at_once:
                        break
                    if due <= time.monotonic():
                        del waiting[course]
                        _begin(course, start, waiting, underway, board)
                board.refresh()
                time.sleep(TICK_SECONDS)
        except BaseException:
            board.close()
            _end(list(underway.values()))
            raise
    return failures


def report(failures: list[Failure]) -> int:
    """Print what could not be trained, and why; returns the exit status for it: 2 if only the user can help."""
    print(f"given up: {len(failures)} fold{'s' if len(failures) > 1 else ''}", file=sys.stderr)
    for failure in failures:
        print(f"{failure.task.name}: {failure.reason}", file=sys.stderr)
    return 2 if all(failure.status == 2 for failure in failures) else 1


def _begin(
    course: _Course,
    start: Callable[[FoldTask], Attempt],
    waiting: dict[_Course, float],
    underway: dict[_Course, Attempt],
    board: Board,
) -> None:
    """Start a task, unless another process has finished it or trains it."""
    task = course.task
    if task.finished:
        board.show(task, "done")
    elif holder := task.fold.holder:
        _wait(course, holder, waiting, board)
    else:
        board.show(task, "pending")
        underway[course] = start(task)


def _judge(course: _Course, status: int, waiting: dict[_Course, float], failures: list[Failure], board: Board) -> None:
    """Decide what becomes of a task whose command has ended."""
    task = course.task
    if task.finished:
        board.show(task, "done")
        return
    holder, words = task.fold.holder, last_words(task.fold.folder)
    if status == 2:
        if holder or HELD in words:  # it may have been let go since
            _wait(course, holder or "another process", waiting, board)
            return
        failures.append(Failure(task, status, words))
        board.show(task, "failed", words)
        return
    written = _written(task)
    course.crashes = 1 if written != course.checkpoint else course.crashes + 1
    course.checkpoint = written
    if course.crashes > len(PAUSES):
        reason = (
            f"{_ending(status)}, and got no further when started again {len(PAUSES)} times; at last it said: {words}"
        )
        failures.append(Failure(task, status, reason))
        board.show(task, "failed", reason)
    else:
        pause = PAUSES[course.crashes - 1]
        others = dict(waiting)
        waiting.clear()
        waiting[course] = time.monotonic() + pause  # first in line: it has come a part of its way
        waiting.update(others)
        board.show(task, "queued", f"{_ending(status)}; goes on {f'in {pause:.0f} seconds' if pause else 'at once'}")


def _wait(course: _Course, holder: str, waiting: dict[_Course, float], board: Board) -> None:
    """Look at a fold that another process holds later: the later the more tasks wait, for the shared disk's sake."""
    waiting[course] = time.monotonic() + max(HELD_SECONDS, 0.1 * len(waiting))
    board.show(course.task, "waiting", holder)


def _written(task: FoldTask) -> int | None:
    """When the fold's checkpoint was written. It is not, without a step more than in the one before."""
    return task.fold.checkpoint.stat().st_mtime_ns if task.fold.checkpoint.is_file() else None


def _ending(status: int) -> str:
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return "its machine was lost" if status == 137 else f"ended with status {status}"


def _end(attempts: list[Attempt]) -> None:
    """End all attempts at once. Their threads do not keep this process when it is told a second time to end."""
    if attempts:
        print(f"ending {len(attempts)} commands, once they have saved their checkpoints; Ctrl-C again kills them")
    threads = [Thread(target=attempt.end, daemon=True) for attempt in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
