"""What all commands share: the contest's arguments, readable errors, and the exit status."""

import argparse
import errno
import os
import select
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from competition.errors import KitError, Terminated
from competition.interrupt import ignore_sigterm, raise_on_sigterm

if TYPE_CHECKING:
    from competition.contest import Contest

_SPACE, _RIGHTS = "Free some space there, or point --runs to another disk", "Give yourself the right to it"
UNWRITABLE = {  # what the user can do about a file that cannot be written or read
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "Point --runs to a folder that can be written",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
}


def add_contest_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    add_contest_name(parser, required)
    parser.add_argument("--data", metavar="DIR", help="the contest's data (default: data/<slug>)")
    parser.add_argument("--runs", metavar="DIR", default="runs", help="where runs go, below <slug>/ (default: runs)")
    add_debug_argument(parser)


def add_contest_name(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument(
        "-c",
        "--contest",
        metavar="C",
        required=required,
        help="name of a spec in competition/specs/, or a path to a YAML file",
    )


def add_debug_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_wandb_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wandb",
        choices=["auto", "online", "offline", "disabled"],
        default="auto",
        help="where to mirror it in Weights & Biases (default: online where you are logged in, else offline)",
    )


def contest_of(args: argparse.Namespace) -> "Contest":
    from competition.contest import open_contest  # needs packages, and the doctor starts without any

    return open_contest(args.contest, args.data, args.runs)


def run(main: Callable[[], None]) -> None:
    """Call `main` and exit with 0 done, 2 the user must change something, 130 Ctrl-C, 143 SIGTERM, 1 anything else.

    141 is what nobody reads any more, as after `| head`.

    An error is one message on stderr; its traceback is shown only with --debug.
    """
    debug = "--debug" in sys.argv
    raise_on_sigterm()
    try:
        main()
        sys.stdout.flush()  # what cannot be written is better known here than to Python at its end
    except KeyboardInterrupt:
        sys.exit(_say("interrupted; the same command continues where it stopped", 130))
    except Terminated:
        sys.exit(_say("terminated; the same command continues where it stopped", 143))
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _is_unread():  # and not another pipe of the command's
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush at its end
            sys.exit(141)
        if debug:
            traceback.print_exc()
        if isinstance(error, KitError):
            sys.exit(_say(str(error), 2))
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            where = f"{error.filename}: " if error.filename else ""
            sys.exit(_say(f"{where}{error.strerror}. {UNWRITABLE[error.errno]}, then give the same command again", 2))
        hint = "" if debug else " (--debug shows where)"
        sys.exit(_say(f"{type(error).__name__}: {error}{hint}", 1))
    finally:
        ignore_sigterm()


def _is_unread() -> bool:
    """Whether stdout is a pipe whose reader has gone."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _say(message: str, status: int) -> int:
    print(message if status > 128 else f"error: {message}", file=sys.stderr)
    return status
