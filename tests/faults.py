"""The stage of test_faults.py: a tiny contest on a local Kaggle with faults, and the kit's commands against it.

Every scene plays in a process of its own, because the environment, the working folder and the kit's patience are the
process's; several play at once, because most of their time is waiting.
"""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from support import Tiny, make_contest, write_csv

from competition import cli
from competition.__main__ import main
from competition.kaggle import deliver, patience, score
from competition.kaggle.ledger import Entry, read_ledger
from competition.stand_in import contest as local_contest
from competition.stand_in.contest import LocalContest
from competition.stand_in.server import LocalKaggle, Request, Response, environment, running

ROOT = Path(__file__).parent.parent
Fault = Callable[[Request], Response | None]

API_CALL = re.compile(r"/api/v1/\w+\.\w+/(\w+)")


class Stage:
    """A folder with data/, runs/ and home/; `fault` may answer in the local Kaggle's stead.

    asked: the requests so far, by API method, or as "PUT" and "GET". said: all that the commands printed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tiny: Tiny = make_contest(folder / "contest")
        self.archive = self.tiny.archive
        state = folder / "state"
        self.kaggle = LocalKaggle(LocalContest(self.tiny.contest().spec, self.tiny.archive, self.tiny.answers, state))
        self.fault: Fault = lambda _: None
        self.asked: list[tuple[str, float]] = []
        self.said = ""
        honest = self.kaggle.respond

        def respond(request: Request) -> Response:
            self.asked.append((name_of(request), time.monotonic()))
            return self.fault(request) or honest(request)

        self.kaggle.respond = respond
        (folder / "home").mkdir()

    @property
    def data(self) -> Path:
        return self.folder / "data/tiny"

    @property
    def ledger(self) -> list[Entry]:
        return read_ledger(self.folder / "runs/tiny/ledger.csv")

    @property
    def submissions(self) -> list:
        return self.kaggle.contest.submissions

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.asked)

    def arguments(self, name: str) -> list[str]:
        return [name, "-c", str(self.tiny.spec), "--data", "data/tiny", "--runs", "runs"]

    def kit(self, name: str, *more: str) -> int:
        """Run `python -m competition NAME` in this process; return its exit status."""
        sys.argv = ["python -m competition", *self.arguments(name), *more]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                cli.run(main)
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
            finally:  # this process goes on, other than a command's
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.said += said.getvalue()
        return status

    def start(self, name: str, *more: str) -> subprocess.Popen:
        """Start `python -m competition NAME` as a process group of its own, to be killed or to run beside another."""
        return subprocess.Popen(
            [sys.executable, "-m", "competition", *self.arguments(name), *more],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, process: subprocess.Popen) -> int:
        self.said += process.communicate()[0]
        return process.returncode

    def kill_when(self, process: subprocess.Popen, moment: Callable[[], bool], alone: bool = False) -> None:
        """kill -9 the command, and unless `alone` the CLI under it, as soon as `moment` has come."""
        while not moment():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
        process.communicate()

    def write_submission(self) -> Path:
        """An ensemble's files, all right, and the sample that they are compared with."""
        self.data.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.tiny.data / "sample_submission.csv", self.data)
        folder = self.folder / "runs/tiny/ensembles/blend"
        folder.mkdir(parents=True, exist_ok=True)
        rows = [(f"test{i:03}", ("cat", "dog", "owl")[i % 3]) for i in range(20)]
        write_csv(folder / "submission.csv", ["id", "label"], rows)
        (folder / "weights.json").write_text(json.dumps({"oof_score": 0.81, "nested_score": 0.79}))
        return folder / "submission.csv"

    def files(self) -> list[str]:
        """Everything below the folder that a command could have written, but for locks."""
        parts = ("data", "runs", "home")
        found = [path for part in parts for path in (self.folder / part).rglob("*") if path.is_file()]
        return sorted(str(path.relative_to(self.folder)) for path in found if path.suffix != ".lock")

    def whole(self) -> bool:
        """Whether the data folder holds the contest, byte for byte, and nothing is left beside it."""
        files = [path for path in self.tiny.data.rglob("*") if path.is_file()]
        same = all((self.data / path.relative_to(self.tiny.data)).read_bytes() == path.read_bytes() for path in files)
        return same and self.files() == sorted(f"data/tiny/{path.relative_to(self.tiny.data)}" for path in files)


def name_of(request: Request) -> str:
    call = API_CALL.fullmatch(request.path)
    return call[1] if call else request.method


@contextlib.contextmanager
def on_stage(folder: Path) -> Iterator[Stage]:
    """A stage to whose Kaggle this process's environment leads, with short pauses. It changes this process for good."""
    patience.FIRST_PAUSE, patience.PassingError.attempts, patience.Unreachable.attempts = 0.05, 3, 2
    score.FIRST_PAUSE = deliver.LISTING_PAUSE = 0.05
    local_contest.PENDING = timedelta(0)
    folder.mkdir()
    os.chdir(folder)
    stage = Stage(folder)
    with running(stage.kaggle) as port:
        os.environ |= {**environment(port), "HOME": str(folder / "home")}
        yield stage


# Faults, to be combined.


def flat(status: int, message: str = "told why") -> Response:
    return Response(status, json.dumps({"code": status, "message": message}).encode(), JSON)


def nested(status: int, message: str = "told why") -> Response:
    return Response(status, json.dumps({"error": {"code": status, "message": message}}).encode(), JSON)


def page(status: int, title: str = "told why") -> Response:
    body = f"<html><head><title>{title}</title></head>\n\n<body>{'-' * 50}\nlong</body></html>".encode()
    return Response(status, body, {"Content-Type": "text/html"})


def bare(status: int) -> Response:
    return Response(status)


JSON = {"Content-Type": "application/json"}
SHAPES = {"flat": flat, "nested": nested, "page": page, "bare": bare}


def always(method: str, response: Response) -> Fault:
    return lambda request: response if name_of(request) == method else None


def first(method: str, *responses: Response) -> Fault:
    """The first calls of `method` are answered with `responses`, the others honestly."""
    left, lock = list(responses), threading.Lock()

    def fault(request: Request) -> Response | None:
        with lock:
            return left.pop(0) if left and name_of(request) == method else None

    return fault
