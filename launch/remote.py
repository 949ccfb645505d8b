"""What runs on the machines of a Ray cluster. The standard library only: Ray sends this module to them by value."""

import fcntl
import hashlib
import json
import platform
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from launch.child import LOOK_SECONDS, end_child, start_child

COMPARED = ("torch", "timm", "numpy", "albumentations")  # packages whose versions decide what is computed
STAMP, LOCK = "stamp", "lock"  # files that the driver has put into the probe's folder


def run_fold(arguments: Sequence[str], folder: Path, cores: int, gpus: int, kit: Path) -> int:
    """Train one fold by a `train.py` of its own; returns its exit status.

    When this task is cancelled, or its machine shut down, the command saves its checkpoint and ends first.

    Raises FileNotFoundError on a machine that joined the cluster later and has not the run's folder.
    """
    with suppress(OSError, ValueError):  # cut short by a copy: train.py finishes the fold once more
        json.loads((folder / "DONE").read_text())
        return 0  # another command trained it while this task was queued
    if not (folder.parent / "config.yaml").is_file():
        raise FileNotFoundError(f"{folder.parent} is not on {platform.node()}: runs must be on storage that all share")
    # Where no GPU was asked for, another task may have them all.
    process = start_child(arguments, folder, cores, {} if gpus else {"CUDA_VISIBLE_DEVICES": ""}, kit)
    try:
        # Not wait(): what Ray cancels with waits itself until Python code runs again.
        while (status := process.poll()) is None:
            time.sleep(LOOK_SECONDS)
        return status
    except BaseException:  # KeyboardInterrupt is how Ray cancels, SystemExit how it ends a worker
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_child(process)
        raise


def look_around(files: Sequence[Path], data: Path, probe: Path, answer: str) -> dict[str, Any]:
    """What this machine has of what training needs.

    Args:
        probe: a folder among the runs in which the driver has written STAMP, and holds LOCK.
        answer: the file to write there, for the driver to see.

    Returns:
        files: their SHA-256 by path, None for one that is missing. data: whether the folder is there. versions: of
        Python and packages. stamp: what STAMP says, None where there is none. locked: whether LOCK is seen to be held.
        error: why the probe could not be read or written.
    """
    found = {"files": hashes(files), "data": data.is_dir(), "versions": versions(), "stamp": None, "locked": False}
    try:
        found["stamp"] = (probe / STAMP).read_text()
        (probe / answer).touch()
        found["locked"] = _locked(probe / LOCK)
    except FileNotFoundError:
        pass
    except OSError as error:
        found["error"] = str(error)
    return found


def hashes(files: Sequence[Path]) -> dict[Path, str | None]:
    """SHA-256 of files here; None for one that cannot be read."""
    return {path: _sha256(path) for path in files}


def versions() -> dict[str, str | None]:
    """Of Python and of the packages compared, without importing them."""
    return {"Python": platform.python_version()} | {package: _version(package) for package in COMPARED}


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _locked(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return True
    return False
