"""Contenders side by side: a process each, so that none feels the others' threads or allocator, measured in turn."""

import multiprocessing
import signal
import statistics
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tqdm import tqdm


@dataclass(frozen=True)
class Contender:
    """A contender in its own process. It waits on its pipe, and computes nothing, until it is called."""

    process: Any
    pipe: Connection

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object in the process and wait for its result. Raises what the method raises."""
        self.pipe.send((method, arguments))
        try:
            result, error = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise RuntimeError(f"the process {self.process.name!r} ended with status {self.process.exitcode}") from None
        if error is not None:
            raise error
        return result


@contextmanager
def contenders(factories: Mapping[str, Callable[[Any], Any]], job: Any) -> Iterator[dict[str, Contender]]:
    """A process for each of `factories`, which makes the contender from `job`; all of them end with the block.

    The processes are forked from a server that has only imported the modules: nothing computes before the fork.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sorted({factory.__module__ for factory in factories.values()}))
    started = {}
    try:
        for name, factory in factories.items():
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, factory, job), name=name)
            process.start()
            theirs.close()
            started[name] = Contender(process, ours)
        yield started
    finally:
        for contender in started.values():
            contender.pipe.close()
        for contender in started.values():
            contender.process.join(timeout=60)
            contender.process.terminate()


def _serve(pipe: Connection, factory: Callable[[Any], Any], job: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, whose end closes the pipe
    multiprocessing.set_start_method(None, force=True)  # data loaders start their workers as they do everywhere
    contender = None
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        try:
            contender = contender or factory(job)
            answer = (getattr(contender, method)(*arguments), None)
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = (None, error)
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return


def interleaved(names: list[str], repeats: int, measure: Callable[[str], Any], title: str) -> dict[str, list[Any]]:
    """`repeats` measurements of everyone: each repeat takes all in turn, and each begins with another one.

    A machine that slows down for a while then slows down everyone, and the ratios within a repeat hardly feel it.
    """
    values: dict[str, list[Any]] = {name: [] for name in names}
    with tqdm(total=repeats * len(names), desc=title, disable=None, leave=False) as bar:
        for repeat in range(repeats):
            first = repeat % len(names)
            for name in names[first:] + names[:first]:
                values[name].append(measure(name))
                bar.update()
    return values


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(values: list[float], reference: list[float]) -> float:
    """Median of the per-repeat ratios."""
    return statistics.median(a / b for a, b in zip(values, reference, strict=True))
