"""The kaggle command line tool, run as a subprocess: `import kaggle` would authenticate, print and perhaps exit.

Its exit status 0 proves nothing (a failed upload and an interrupted download both end with 0): whoever runs it checks
what should be true afterwards. A failure becomes a KaggleError that says what to do.
"""

import csv
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from competition.errors import KaggleError
from competition.kaggle.conversation import Conversation, read_conversation
from competition.kaggle.failures import explain
from competition.kaggle.patience import Unreachable, patiently
from competition.locks import held
from competition.spec import Spec

# The contest that `python -m competition serve` holds; kaggle.com has none of this name.
EMBEDDED = "deepfake-digits"

# Long enough for a submission of 100 MB on a slow line; only a hung connection takes longer.
TIMEOUT = 1800.0

# For questions that Kaggle answers at once. The CLI itself would wait for ever.
QUESTION_TIMEOUT = 120.0

_PASSED_ON = re.compile(
    r"HOME|USERPROFILE|XDG_CONFIG_HOME|PATH|LANG|LC_\w+|KAGGLE_\w+|TMPDIR|TEMP|TMP|SYSTEMROOT"
    r"|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:https?_proxy|all_proxy|no_proxy)"
)


def kaggle_command() -> str:
    """Path of the kaggle script: the one beside this Python, else the one on PATH. Raises KaggleError without one."""
    beside = shutil.which("kaggle", path=str(Path(sys.executable).parent))
    command = beside or shutil.which("kaggle")
    if command is None:
        raise KaggleError("the kaggle command line tool is not installed: pip install kaggle six")
    return command


def kaggle_environment() -> dict[str, str]:
    """What the CLI needs of this environment and nothing else: no other service's secrets.

    Empty values are passed on too, because `no_proxy=` means something else than no `no_proxy`.
    """
    return {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}


def run_kaggle(
    spec: Spec | None, *arguments: str, timeout: float | None = TIMEOUT, watch: Callable[[], None] | None = None
) -> str:
    """Run `kaggle -W <arguments>` and return what it printed on stdout.

    Args:
        spec: the contest in question; its rules page is named where Kaggle denies access.
        timeout: seconds after which a hung call is ended; None waits for ever.
        watch: called about five times a second while the command runs; what it raises ends the command.

    Raises KaggleError, with the fix, when the command is missing, exits with another status than 0, or hangs.
    """
    conversation, failure = _run(spec, arguments, timeout, watch)
    if failure:
        raise failure
    return conversation.printed


def converse(
    spec: Spec | None, *arguments: str, timeout: float | None = TIMEOUT
) -> tuple[Conversation, KaggleError | None]:
    """Run the CLI so that it also tells what Kaggle's server answered; return that, and the failure if it was one.

    Not for downloads: the CLI would print the files too.
    """
    return _run(spec, arguments, timeout, None, {"VERBOSE": "1"})


def ask_kaggle(spec: Spec | None, *arguments: str) -> Conversation:
    """`converse` for a question, which is asked again, later and later, while Kaggle is busy or out of reach."""

    def ask() -> Conversation:
        conversation, failure = converse(spec, *arguments, timeout=QUESTION_TIMEOUT)
        if failure:
            raise failure
        return conversation

    return patiently(ask)


def parse_csv(output: str, first_column: str) -> list[dict[str, str]]:
    """The rows of a `--csv` listing: what follows the line that begins with `first_column`; warnings may precede it."""
    start = re.search(rf"^{first_column},", output, flags=re.MULTILINE)
    return list(csv.DictReader(io.StringIO(output[start.start() :], newline=""))) if start else []


def cli_version() -> str:
    """What `kaggle --version` prints. Raises KaggleError when the CLI is missing or does not start."""
    # 2.2.5 explains the authentication first when there are no credentials.
    return run_kaggle(None, "--version", timeout=20).strip().rpartition("Kaggle CLI ")[2]


def _run(
    spec: Spec | None,
    arguments: tuple[str, ...],
    timeout: float | None,
    watch: Callable[[], None] | None,
    extra: dict[str, str] | None = None,
) -> tuple[Conversation, KaggleError | None]:
    if spec is not None and spec.slug == EMBEDDED and os.environ.get("KAGGLE_API_ENVIRONMENT") != "LOCALHOST":
        raise KaggleError(
            f"{EMBEDDED} is the kit's own contest; kaggle.com does not know it. Put the local Kaggle in front of the "
            f"command:\n  python -m competition serve -c {EMBEDDED} -- COMMAND"
        )
    # Files rather than pipes: a pipe that nobody reads while `watch` runs would fill up and stop the command.
    with _capture() as stdout, _capture() as stderr:
        process = subprocess.Popen(
            [kaggle_command(), "-W", *arguments],
            env=kaggle_environment() | (extra or {}),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=held(),  # who is killed leaves a CLI that goes on sending: until it ends, nobody else may begin
        )
        try:
            status = _wait(process, timeout, watch)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        stdout.seek(0)
        stderr.seek(0)
        conversation = read_conversation(stdout.read(), stderr.read())
    if status is None:
        return conversation, Unreachable(
            f"Kaggle did not answer for {timeout:.0f} s. Check the network, then run the command again."
        )
    return conversation, explain(spec, conversation) if status else None


def _capture() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")


def _wait(process: subprocess.Popen, timeout: float | None, watch: Callable[[], None] | None) -> int | None:
    """The exit status, or None at the timeout."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            return process.wait(0.2)
        except subprocess.TimeoutExpired:
            if end is not None and time.monotonic() > end:
                return None
        if watch is not None:
            watch()
