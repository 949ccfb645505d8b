"""Commands in processes of their own that start at once, because a server has imported torch for them. No test itself.

They can be signalled, killed, and hold locks like any other. Only Python's own start is left out, which takes seconds;
the commands that tests type into a shell have it.
"""

import multiprocessing
import os
import re
import runpy
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONTEXT = multiprocessing.get_context("forkserver")
# All that any test needs: there is one server, and it asks the first who uses it what to import.
CONTEXT.set_forkserver_preload(
    ["launch.halving", "launch.here", "launch.local", "launch.together", "pipeline.tracking", "test_faults"]
)


started: list[BaseProcess] = []  # all commands of the tests so far; those that outlive their test are killed


class Command:
    """`python ARGUMENTS`, typed in the kit's folder: a script and what follows it, or -m, a module and what follows it.

    output: the file that gets what it says on stdout; what it says on stderr gets one beside it.
    """

    def __init__(self, output: Path, *arguments: str, **environment: str) -> None:
        self.output = output
        self.errors = output.with_name(f"{output.name}.err")
        output.parent.mkdir(parents=True, exist_ok=True)
        task = (arguments, output, self.errors, os.environ | environment)
        self.process = CONTEXT.Process(target=_run, args=task)
        self.process.start()
        started.append(self.process)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def end(self, patience: float = 240) -> int:
        """Wait for its end, which comes at last by force; returns its exit status."""
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        return self.process.exitcode

    @property
    def running(self) -> bool:
        return self.process.is_alive()

    @property
    def said(self) -> str:
        return "".join(file.read_text() for file in (self.output, self.errors) if file.is_file())


def finish(command: Command, status: int = 0) -> str:
    """What a command has said at its end, which must have this status, and no traceback."""
    ended = command.end()
    assert ended == status and "Traceback" not in command.said, f"status {ended}\n{command.said}"
    return command.said


def _run(arguments: tuple[str, ...], output: Path, errors: Path, environment: dict[str, str]) -> None:
    multiprocessing.set_start_method(None, force=True)  # data loaders start their workers as they do everywhere
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a shell's background
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    for number, path in ((1, output), (2, errors)):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    try:
        if arguments[0] == "-m":
            sys.argv = list(arguments[1:])
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(arguments)
            runpy.run_path(arguments[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code
    # Out of the block, as the exception holds data loaders, for whose workers multiprocessing would wait in vain.
    sys.exit(status)


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
