"""What all commands share: the contest's arguments, readable errors, and the exit status."""

import argparse
import sys
import traceback
from collections.abc import Callable

from competition.contest import Contest, open_contest
from competition.errors import KitError


def add_contest_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument(
        "-c",
        "--contest",
        metavar="C",
        required=required,
        help="name of a spec in competition/specs/, or a path to a YAML file",
    )
    parser.add_argument("--data", metavar="DIR", help="the contest's data (default: data/<slug>)")
    parser.add_argument("--runs", metavar="DIR", default="runs", help="where runs go, below <slug>/ (default: runs)")
    add_debug_argument(parser)


def add_debug_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def contest_of(args: argparse.Namespace) -> Contest:
    return open_contest(args.contest, args.data, args.runs)


def run(main: Callable[[], None]) -> None:
    """Call `main` and exit with 0 done, 2 the user must change something, 130 interrupted, 1 anything else.

    An error is one message on stderr; its traceback is shown only with --debug.
    """
    debug = "--debug" in sys.argv
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(_say("interrupted; the same command continues where it stopped", 130))
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, KitError):
            sys.exit(_say(str(error), 2))
        hint = "" if debug else " (--debug shows where)"
        sys.exit(_say(f"{type(error).__name__}: {error}{hint}", 1))


def _say(message: str, status: int) -> int:
    print(f"error: {message}" if status != 130 else message, file=sys.stderr)
    return status
