"""`python -m competition serve`: the local Kaggle around one command, or until Ctrl-C."""

import os
import shlex
import shutil
import subprocess
import threading
from pathlib import Path

from competition.contest import Contest
from competition.errors import KitError
from competition.kaggle.command import EMBEDDED
from competition.stand_in.contest import LocalContest
from competition.stand_in.server import LocalKaggle, environment, running


def serve(contest: Contest, archive: Path | None, answers: Path | None, port: int, command: list[str]) -> int:
    """Hold the contest while `command` runs against it; return its exit status. Without a command, until Ctrl-C.

    Args:
        archive, answers: the zip and its answers; both None for the embedded contest, which is built here.

    Raises KitError when they are missing, the port is taken, or the command does not exist.
    """
    state = contest.data.parent / ".local-kaggle" / contest.slug
    if archive is None or answers is None:
        archive, answers = _embedded(contest, state)
    kaggle = LocalKaggle(LocalContest(contest.spec, archive, answers, state))
    with running(kaggle, port) as port:
        if command:
            return _run(command, port)
        print(f"# {contest.spec.title} on http://127.0.0.1:{port}, submissions in {state}. In another shell:")
        for name, value in environment(port).items():
            print(f"export {name}={shlex.quote(value)}")
        print("# Ctrl-C ends it", flush=True)
        threading.Event().wait()
    return 0


def _embedded(contest: Contest, state: Path) -> tuple[Path, Path]:
    if contest.slug != EMBEDDED:
        raise KitError(f"only {EMBEDDED} is built in; for {contest.slug} give --zip FILE and --answers FILE")
    from competition.stand_in.digits import build

    return build(state / "contest")


def _run(command: list[str], port: int) -> int:
    program = shutil.which(command[0])
    if program is None:
        raise KitError(f"{command[0]}: no such command")
    process = subprocess.Popen([program, *command[1:]], env=os.environ | environment(port))
    try:
        while True:
            try:
                status = process.wait()
                return status if status >= 0 else 128 - status
            except KeyboardInterrupt:
                continue  # Ctrl-C reached the command too; it decides what to do, and the server outlives it
    finally:
        if process.poll() is None:  # SIGTERM reached the server alone
            process.terminate()
            process.wait()
