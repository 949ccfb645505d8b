"""Whether the machines of a Ray cluster share what training needs: the kit, the data, and the runs with their locks."""

import fcntl
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from competition.errors import DataError
from launch.child import KIT
from launch.nodes import SHOWN, Node, living
from launch.remote import LOCK, STAMP, hashes, look_around, versions

NOTICE_SECONDS = 30.0  # after a machine has gone, by Ray's own settings
ANSWER_SECONDS = 90.0  # a worker may take some to start on a machine that has never had one
CODE = ("competition", "folds", "blending", "models", "pipeline", "launch", "recipes")


def check_cluster(nodes: Sequence[Node], own_files: Sequence[Path], data: Path, runs: Path) -> list[Node]:
    """Have every machine look at what it shares with this one.

    Versions that differ are told on stderr, and so is a machine that has gone meanwhile: it keeps no other from it.

    Args:
        own_files: specs and recipes outside the kit.

    Returns the machines that are still there.

    Raises DataError with every machine's every problem, each with what to do about it.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    files = [*kit_files(), *own_files]
    here, its_versions = hashes(files), versions()
    look = ray.remote(num_cpus=0, max_retries=0)(look_around)
    with _probe(runs) as (probe, stamp):
        asked = {}
        for node in nodes:
            there = look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False))
            asked[node] = there.remote(files, data, probe, node.id)
        answered, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECONDS)
        found, silent, wrong = {}, {}, []
        for node, answer in asked.items():
            try:
                if answer not in answered:
                    raise TimeoutError(f"no answer within {ANSWER_SECONDS:.0f} seconds")
                found[node] = ray.get(answer)
            except (ray.exceptions.RayError, TimeoutError) as error:
                silent[node] = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        left = _living_of(silent)
        for node, reason in silent.items():
            if node.id in left:
                wrong.append(f"{node.name} could not be checked: {reason}; see `ray status`, or stop that machine")
            else:
                print(f"warning: {node.name} has left the Ray cluster: it gets no fold", file=sys.stderr)
        for node, facts in found.items():
            seen = (probe / node.id).is_file()
            wrong += [f"{node.name}: {problem}" for problem in problems(facts, here, stamp, seen, data, runs)]
    if wrong:
        shown = "".join(f"\n  {problem}" for problem in wrong[: 2 * SHOWN])
        more = f"\n  … and {len(wrong) - 2 * SHOWN} more" if len(wrong) > 2 * SHOWN else ""
        raise DataError(f"not every machine of the Ray cluster can train:{shown}{more}")
    for node, facts in found.items():
        if told := differences(facts["versions"], its_versions):
            print(f"warning: {node.name} has {told}: its folds may come out a little different", file=sys.stderr)
    return list(found)


def _living_of(nodes: Iterable[Node]) -> set[str]:
    """The ids of those that are still there, once Ray has had the time to notice which are not."""
    import ray

    ids, end = {node.id for node in nodes}, time.monotonic() + NOTICE_SECONDS
    while (left := ids & {node.id for node in living(ray.nodes())}) and time.monotonic() < end:
        time.sleep(0.5)
    return left


def kit_files() -> list[Path]:
    """What decides how this kit trains: its code, recipes and specs."""
    inside = [path for name in CODE for kind in ("py", "yaml") for path in (KIT / name).rglob(f"*.{kind}")]
    return sorted([*KIT.glob("*.py"), *inside])


def problems(
    facts: Mapping[str, Any], files: Mapping[Path, str | None], stamp: str, seen: bool, data: Path, runs: Path
) -> list[str]:
    """What keeps a machine from training, by what it has found there (`look_around`), each with the fix.

    Args:
        files: the SHA-256 of the same files here.
        stamp: what the probe's file says here.
        seen: whether the file is here that the machine has written.
    """
    wrong = []
    if other := [path for path, digest in files.items() if facts["files"][path] != digest]:
        how = "is another file than here" if facts["files"][other[0]] else "is missing"
        more = f" (and {len(other) - 1} more files)" if len(other) > 1 else ""
        wrong.append(f"{other[0]} {how}{more}; keep the kit, specs and recipes on storage that all machines share")
    if not facts["data"]:
        wrong.append(f"{data} is missing; keep the contest's data on storage that all machines share, or copy it there")
    if "error" in facts:
        wrong.append(f"{runs} cannot be written: {facts['error']}; give the user that Ray runs as the right to it")
    elif facts["stamp"] != stamp or not seen:
        wrong.append(
            f"{runs} is another folder than here; mount the same storage at the same path on all machines, or point "
            f"--runs to one"
        )
    elif not facts["locked"]:
        wrong.append(
            f"a lock that is held here on a file in {runs} is not seen there, so two machines could train one fold; "
            f"mount the storage with locks (NFS without nolock or local_lock, Lustre with flock)"
        )
    return wrong


def differences(there: Mapping[str, str | None], here: Mapping[str, str | None]) -> str:
    """The versions that are not the same, in words; empty when all are."""
    return ", ".join(
        f"{name} {there[name] or 'none'} (here {here[name] or 'none'})" for name in here if there[name] != here[name]
    )


@contextmanager
def _probe(runs: Path) -> Iterator[tuple[Path, str]]:
    """A folder among the runs with a stamp in it, and with a lock that this process holds."""
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=runs, ignore_cleanup_errors=True) as folder:
        probe, stamp = Path(folder), secrets.token_hex(8)
        (probe / STAMP).write_text(stamp)
        with (probe / LOCK).open("a") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DataError(
                    f"{runs} is on storage without file locks ({error}), so two machines could train one fold; mount "
                    f"it with them (NFS without nolock, Lustre with flock), or point --runs to another storage"
                ) from error
            yield probe, stamp
