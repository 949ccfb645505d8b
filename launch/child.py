"""One train.py in a process of its own. The standard library only: Ray sends this module to machines by value."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

KIT = Path(__file__).resolve().parent.parent
LOG = "train.log"  # in the fold's folder
PARENT = "TRAIN_PARENT"  # environment: the process without which this one is to end
CORES = "TRAIN_CORES"  # environment: how many of the machine's cores this process may use
HEAD = "--- "  # of the log's line for a new attempt
LOOK_SECONDS = 0.5


def start_child(
    arguments: Sequence[str], folder: Path, cores: int, environment: Mapping[str, str], kit: Path = KIT
) -> subprocess.Popen:
    """Start `train.py` with `arguments`; what it says is added to train.log in the fold's `folder`.

    It ends when this process does, however that ends: an orphan would hold the fold's lock, and a core.

    Args:
        cores: how many it may use.
        environment: what else its environment has, beside that of this process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    its_own = {PARENT: str(os.getpid()), CORES: str(cores), "OMP_NUM_THREADS": str(cores), "PYTHONUNBUFFERED": "1"}
    line = [sys.executable, str(kit / "train.py"), *arguments]
    with (folder / LOG).open("a") as log:
        log.write(f"{HEAD}{time.strftime('%Y-%m-%d %H:%M:%S')} on {platform.node()}\n")
        log.flush()
        return subprocess.Popen(
            line,
            cwd=kit,
            env={**os.environ, **its_own, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C on the terminal is for the launcher, which then ends its children in order
        )


def end_child(process: subprocess.Popen, patience: float = 60.0) -> None:
    """Have a child save its checkpoint and end; kill it where that takes more than `patience` seconds."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_words(folder: Path) -> str:
    """The error with which the last attempt in the fold's log ended, else its last line; and where the rest is."""
    log = folder / LOG
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    starts = [number for number, line in enumerate(lines) if line.startswith(HEAD)]
    said = [line.strip() for line in lines[starts[-1] + 1 if starts else 0 :] if line.strip()]
    errors = [line for line in said if line.startswith("error: ")]
    return f"{(errors or said or ['it said nothing'])[-1]} ({log})"


def end_with_parent() -> None:
    """Have this process killed when the one that started it as a child is gone. Does nothing in other processes."""
    if parent := os.environ.get(PARENT):
        threading.Thread(target=_watch, args=(int(parent),), daemon=True, name="parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
