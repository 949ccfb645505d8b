"""Dataset and notebook to Kaggle with the kaggle CLI, which ends with 0 whether it worked or not.

`datasets create`, `datasets version` and `kernels push` say in words whether they worked, `kernels status` ends with 0
for a failed notebook too, and a file that cannot be uploaded is only left out of the dataset. So every step is proved
by what is true afterwards: the dataset is ready at a newer version, the notebook has a version number, its run is
complete.

What was pushed is noted in pushed.json beside the two folders; the same command goes on after what is proved there.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from competition.contest import Contest
from competition.errors import KaggleError
from competition.files import atomic_open, sha256_of
from competition.kaggle.command import run_kaggle
from competition.kaggle.packing import Packed
from competition.spec import Spec

# A dataset is unpacked and copied on Kaggle's side; a notebook may run for 12 hours, after it has waited for a GPU.
DATASET_TIMEOUT, KERNEL_TIMEOUT = 3600.0, 14 * 3600.0
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
TOLERATED = 5  # answers in a row that may fail while something is waited for

QUESTION_TIMEOUT, PUSH_TIMEOUT = 120.0, 600.0
SLOW_LINE = 50_000  # bytes per second: slower than that, an upload is given up

T = TypeVar("T")


@dataclass(frozen=True)
class Pushed:
    """What pushed.json remembers: name and content of each part that Kaggle took, and the version it became there.

    replaces: the dataset's version before. dataset_version: None until the dataset is ready.
    """

    dataset: str = ""
    replaces: int | None = None
    dataset_version: int | None = None
    kernel: str = ""
    kernel_version: int = 0


def account(contest: Contest) -> str:
    """The name on Kaggle that datasets and notebooks of this account begin with. Raises KaggleError."""
    said = run_kaggle(contest.spec, "config", "view", timeout=QUESTION_TIMEOUT)
    found = re.search(r"^- username: (\S+)\s*$", said, flags=re.MULTILINE)
    if found is None or found[1] == "None":
        raise KaggleError(
            "the kaggle CLI does not know your user name, with which the notebook's address begins: set "
            "KAGGLE_USERNAME to the name in your profile's address, https://www.kaggle.com/<name>"
        )
    return found[1]


class Rejected(KaggleError):
    """Kaggle's last word: asking again would not change it."""


def push(packed: Packed, user: str, notes: str) -> int:
    """Bring both parts to Kaggle unless they are there, wait until the notebook has run, and return its version.

    Args:
        notes: of the dataset's version.

    Raises KaggleError, with the fix: Kaggle refuses a part, does not finish the dataset, or the notebook fails.
    """
    file = packed.dataset.parent / "pushed.json"
    dataset, kernel = f"{user}/{packed.dataset_slug}", f"{user}/{packed.kernel_slug}"
    content = f"{kernel} {sha256_of(packed.notebook)} {sha256_of(packed.kernel / 'kernel-metadata.json')}"
    wanted = Pushed(dataset=f"{dataset} {packed.digest}", kernel=content)
    done, state = _read(file), _state_if_any(dataset)
    if done.dataset == wanted.dataset and state == ("ready", done.dataset_version):
        print(f"dataset   {dataset} holds this ensemble already")
    else:
        if done.dataset != wanted.dataset or done.dataset_version is not None:
            _push_dataset(packed, dataset, state is not None, notes)
            done = Pushed(dataset=wanted.dataset, replaces=state[1] if state else None)
            _remember(file, done)
        try:
            done = replace(done, dataset_version=_wait_for_dataset(dataset, done.replaces))
        except Rejected:
            _remember(file, Pushed())
            raise
        _remember(file, done)
    if done.kernel == wanted.kernel:
        print(f"notebook  {kernel} version {done.kernel_version} was pushed already")
    else:
        done = replace(done, kernel=wanted.kernel, kernel_version=_push_kernel(packed, kernel))
        _remember(file, done)
    try:
        _wait_for_kernel(packed.contest, kernel, done.kernel_version)
    except Rejected:
        _remember(file, replace(done, kernel=""))  # the next time it is pushed again
        raise
    return done.kernel_version


def _push_dataset(packed: Packed, dataset: str, exists: bool, notes: str) -> None:
    """Create the dataset, or its next version."""
    what, message = ("version", [f"--message={notes}"]) if exists else ("create", [])
    print(f"dataset   {dataset}: {what}, {packed.archive.stat().st_size / 1e6:.1f} MB", flush=True)
    # The CLI itself would wait for a dead line for ever, and all other submissions of the contest with it.
    limit = PUSH_TIMEOUT + packed.archive.stat().st_size / SLOW_LINE
    arguments = ["datasets", what, "-p", str(packed.dataset), *message]
    said = _attempt(None, arguments, "Upload unsuccessful", timeout=limit)
    if "is being created" not in said or "Upload unsuccessful" in said:
        raise KaggleError(
            f"the dataset {dataset} was not {'updated' if exists else 'created'}: {_last_words(said)} If that does not "
            "pass by itself, mend it on https://www.kaggle.com/work/datasets; then run the same command again."
        )


def _wait_for_dataset(dataset: str, replaces: int | None) -> int | None:
    """Wait until the dataset is ready at another version than `replaces`; return the version, where Kaggle tells."""

    def ready() -> tuple[str, int | None] | None:
        status, version = state = _state(dataset)
        if status in ("failed", "deleted"):
            raise Rejected(
                f"Kaggle could not take in the dataset {dataset}: its status is {status}. Look at "
                f"https://www.kaggle.com/datasets/{dataset}, then run the same command again."
            )
        # While a version is taken in, the one before it may still be what is ready.
        return state if status == "ready" and (version is None or version != replaces) else None

    return _poll(ready, DATASET_TIMEOUT, f"Kaggle to take in {dataset}")[1]


def _push_kernel(packed: Packed, kernel: str) -> int:
    """Push the notebook, which makes Kaggle run it; return the version's number."""
    contest = packed.contest
    # 409, Conflict, is Kaggle's other way to say that a title is taken.
    said = _attempt(contest.spec, ["kernels", "push", "-p", str(packed.kernel)], r"\b409\b", timeout=PUSH_TIMEOUT)
    version = re.search(r"Kernel version (\d+) successfully", said)
    if version is None:
        quota = re.search(r"GPU|quota", said)
        advice = (
            "Give the command --cpu, or wait for the next week's quota."
            if quota
            else "If another notebook of yours has this title, rename that one on https://www.kaggle.com/work/code; "
            "then run the same command again."
        )
        raise KaggleError(f"the notebook {kernel} was not pushed: {_last_words(said)} {advice}")
    lacking = re.search(r"not valid (\w+) sources.*", said)
    if lacking:
        advice = {"competition": f"Join the competition ({contest.spec.rules_url}), then run"}.get(lacking[1], "Run")
        raise KaggleError(
            f"Kaggle left an input of the notebook {kernel} out, its {lacking[1]}: {_last_words(lacking[0])} {advice} "
            "the same command again."
        )
    print(f"notebook  {kernel} version {version[1]}: https://www.kaggle.com/code/{kernel}", flush=True)
    return int(version[1])


def _attempt(spec: Spec | None, arguments: list[str], expected: str, timeout: float) -> str:
    """What the CLI says, even if it fails: with what matches `expected`, versions of the CLI end with 0 or with 1."""
    try:
        return run_kaggle(spec, *arguments, timeout=timeout)
    except KaggleError as error:
        if re.search(expected, str(error)):
            return str(error)
        raise


def _wait_for_kernel(contest: Contest, kernel: str, version: int) -> None:
    def finished() -> bool | None:
        # kaggle 2.2.4 ignores the version and tells of the latest.
        said = run_kaggle(contest.spec, "kernels", "status", f"{kernel}/{version}", timeout=QUESTION_TIMEOUT)
        status = re.search(r'has status "(?:KernelWorkerStatus\.)?(\w+)"', said)
        if status is None or status[1] in ("QUEUED", "RUNNING", "NEW_SCRIPT"):
            return None
        if status[1] == "COMPLETE":
            return True
        reason = re.search(r'Failure message: "(.*?)"', said, flags=re.DOTALL)
        raise Rejected(
            f"the notebook {kernel}, version {version}, ended with {status[1]}"
            + (f": {' '.join(reason[1].split())}" if reason else "")
            + f". Its log tells why: https://www.kaggle.com/code/{kernel}, or kaggle kernels logs {kernel}. Run the "
            "same command again to push it anew."
        )

    _poll(finished, KERNEL_TIMEOUT, f"the notebook {kernel} to finish its run")


def _state(dataset: str) -> tuple[str, int | None]:
    """Status and current version of a dataset. Raises KaggleError when there is none, too."""
    said = run_kaggle(None, "datasets", "status", dataset, "--format", "json", timeout=QUESTION_TIMEOUT)
    try:
        state = json.loads(said[said.index("{") :])
        return str(state["status"]).lower(), state["current_version_number"]
    except (ValueError, KeyError) as error:
        raise KaggleError(f"kaggle datasets status cannot be understood: {_last_words(said)}") from error


def _state_if_any(dataset: str) -> tuple[str, int | None] | None:
    try:
        return _state(dataset)
    except KaggleError:
        # Kaggle has many words for a dataset that is not there. Were it another fault, creating it would tell.
        return None


def _poll(ask: Callable[[], T | None], limit: float, what: str) -> T:
    """The first answer of `ask` that is not None, asked for ever more slowly."""
    began, pause, failures = time.monotonic(), FIRST_PAUSE, 0
    while True:
        answer = None
        try:
            answer, failures = ask(), 0
        except Rejected:
            raise
        except KaggleError:
            # Whatever is waited for goes on without us; a passing fault of the network is no reason to stop.
            failures += 1
            if failures > TOLERATED:
                raise
        if answer is not None:
            return answer
        waited = time.monotonic() - began
        if waited > limit:
            raise KaggleError(
                f"waited {limit / 60:.0f} minutes for {what}. Run the same command later: it goes on from there."
            )
        if sys.stderr.isatty():
            # The cursor goes back, so that whatever is said next overwrites this line.
            print(f"waiting for {what}, {waited / 60:.0f} min\r", end="", file=sys.stderr, flush=True)
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _read(file: Path) -> Pushed:
    try:
        return Pushed(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Pushed()  # nothing is lost but time


def _remember(file: Path, pushed: Pushed) -> None:
    with atomic_open(file) as target:
        json.dump(asdict(pushed), target, indent=1)


def _last_words(said: str) -> str:
    without_bars = re.sub(r"\d+%\|.*?\]", "", said)
    lines = [line.strip() for line in without_bars.splitlines() if line.strip()]
    return " ".join(lines[-3:])[:400].rstrip(".") + "." if lines else "the CLI says nothing."
