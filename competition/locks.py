"""One process at a time: a lock that the system takes back from whoever dies."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_held: set[int] = set()


@contextmanager
def locked(file: Path, waiting: str | None = None) -> Iterator[None]:
    """Hold the lock `file` (made where missing, and left there: removing it would let a third process slip in).

    Args:
        waiting: said once when another process holds the lock; then this one waits.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        _held.add(handle)
        yield
    finally:
        _held.discard(handle)
        os.close(handle)


def held() -> tuple[int, ...]:
    """Descriptors of the locks that this process holds.

    A child that inherits them (`pass_fds`) holds the locks until it ends, also when this process is killed before.
    """
    return tuple(_held)
