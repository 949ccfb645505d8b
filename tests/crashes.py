"""Runs train.py over and over, ending it each time at another moment, and at last to its end. Not a test by itself.

    python -m tests.crashes '[["write", 3], ["term", 5], ["kill", 2], ["limit", 100000]]' train.py's arguments …

write n: killed in the middle of the n-th file it writes. term, kill n: signalled in its n-th step. sometime s: killed
after s seconds, wherever it is. limit n: no file may grow beyond n bytes. Prints each attempt's exit status as JSON;
torch is imported once for all. The commands of a sweep run in the same process, so that they count too.
"""

import fcntl
import json
import os
import resource
import runpy
import signal
import sys
import time

import launch.local
import pipeline.loop
from launch.tasks import Failure, FoldTask
from pipeline.progress import Progress


def main() -> None:
    moments, sys.argv = json.loads(sys.argv[1]), ["train.py", *sys.argv[2:]]
    pipeline.loop.LOOK_SECONDS = pipeline.loop.CHECKPOINT_SECONDS = -1.0  # a checkpoint after every step
    launch.local.train_local = train_in_turn
    statuses = []
    for kind, value in [*moments, ("end", 0)]:
        child = os.fork()
        if not child:
            if kind == "write":
                _die_in_write(value)
            elif kind in ("term", "kill"):
                _signal_in_step(value, signal.SIGTERM if kind == "term" else signal.SIGKILL)
            elif kind == "limit":
                resource.setrlimit(resource.RLIMIT_FSIZE, (value, value))
            runpy.run_path("train.py", run_name="__main__")
            os._exit(0)
        if kind == "sometime":
            time.sleep(value)
            os.kill(child, signal.SIGKILL)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(statuses))


def train_in_turn(tasks: list[FoldTask], **_how: object) -> list[Failure]:
    """Run the command of each task, one after the other, in this process."""
    failures = []
    for task in tasks:
        before, sys.argv = sys.argv, ["train.py", *task.arguments]
        try:
            runpy.run_path("train.py", run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code
        finally:
            sys.argv = before
        if status > 128:
            sys.exit(status)
        if not task.finished:
            failures.append(Failure(task, status, "it says why above"))
    return failures


def _die_in_write(number: int) -> None:
    """The `number`-th fsync from now leaves half a new file on the disk, or a cut last line, and kills this process."""
    left = [number]

    def fsync(file: int) -> None:
        left[0] -= 1
        if not left[0]:
            size, appended = os.fstat(file).st_size, fcntl.fcntl(file, fcntl.F_GETFL) & os.O_APPEND
            os.ftruncate(file, size - 10 if appended else size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = fsync


def _signal_in_step(number: int, what: signal.Signals) -> None:
    """The `number`-th step from now sends this process a signal, before the step's checkpoint."""
    left, step = [number], Progress.step

    def signalling_step(self: Progress) -> None:
        step(self)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), what)

    Progress.step = signalling_step


if __name__ == "__main__":
    main()
