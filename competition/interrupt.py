"""SIGTERM: what schedulers, containers and spot machines send before they kill."""

import signal
import threading
from types import FrameType, TracebackType

from competition.errors import Terminated


def raise_on_sigterm() -> None:
    """From now on SIGTERM raises Terminated, so that `finally` and `with` do their work before this process ends."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _raise)


def ignore_sigterm() -> None:
    """For a process at its end: its exit status stands, and what Python calls at exit has nobody to raise to."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


class Termination:
    """A block in which SIGTERM only makes a note, so that what is being done can be finished and saved first."""

    requested = False

    def __enter__(self) -> "Termination":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
