"""Processes that run train.py as a command would, and are quick: torch is imported once for all. No test by itself."""

import multiprocessing
import os
import re
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["launch.here", "launch.job", "launch.local", "launch.plan"])


class Driver:
    """A command `train.py`, whose output is kept in a file."""

    def __init__(self, arguments: list[str], output: Path) -> None:
        self.output = output
        self.process = CONTEXT.Process(target=_run, args=(arguments, output))
        self.process.start()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def end(self, patience: float = 120) -> int:
        """Wait for its end; returns its exit status."""
        self.process.join(patience)
        return self.process.exitcode

    @property
    def said(self) -> str:
        return self.output.read_text() if self.output.is_file() else ""


def _run(arguments: list[str], output: Path) -> None:
    os.chdir(ROOT)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["train.py", *arguments]
    os.environ["TRAIN_CORES"] = "2"  # two children on a machine of one core, and one thread for each anywhere
    runpy.run_path("train.py", run_name="__main__")


def until(reached: Callable[[], object], patience: float = 120) -> None:
    """Wait for something to come true."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < patience, "it never came to that"
        time.sleep(0.02)


def children(name: str) -> list[int]:
    """The processes `train.py` alive that train the run `name`, with their workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().split(b"\0")
        except OSError:  # it has ended since
            continue
        if any(part.endswith(b"train.py") for part in line) and name.encode() in line:
            found.append(int(path.parent.name))
    return found


def holder(folder: Path) -> int:
    """The process that trains a fold, or did last."""
    return int(re.match(r"process (\d+) ", (folder / ".lock").read_text())[1])
