"""python -m competition: list contests, draft a spec, check machine and data, download, submit, play Kaggle."""

import argparse
import shlex
import sys
from pathlib import Path

from competition.cli import add_contest_arguments, add_contest_name, add_debug_argument, contest_of, run


def main() -> None:
    # What follows `serve … --` is a command of its own; argparse must not look into it.
    arguments = sys.argv[1:]
    cut = arguments.index("--") if arguments[:1] == ["serve"] and "--" in arguments else len(arguments)
    args = _parser().parse_args(arguments[:cut])
    args.command = arguments[cut + 1 :]
    args.action(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m competition", description=__doc__.partition(": ")[2])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    sub = commands.add_parser("list", help="the contests this kit knows")
    add_debug_argument(sub)
    sub.set_defaults(action=_list)

    sub = commands.add_parser(
        "doctor",
        help="what this machine has and lacks; with -c also whether Kaggle lets you in",
        description="Look at Python, packages, torch, memory, disk, the kaggle CLI, its credentials, and W&B; with -c "
        "also ask Kaggle whether the contest lets you in and how many submissions are left today. ✓ is fine; ! works, "
        "but deserves a look; ✗ would stop the main job, and makes the exit status 2. Without -c nothing about the "
        "account is a ✗, because training and the demo need none; with -c, missing or refused credentials are.",
    )
    add_contest_arguments(sub, required=False)
    sub.set_defaults(action=_doctor)

    sub = commands.add_parser("download", help="fetch a contest's data with the kaggle CLI and unpack it")
    add_contest_arguments(sub)
    sub.set_defaults(action=_download)

    sub = commands.add_parser(
        "new",
        help="look at a contest's files and write a draft of its spec",
        description="Look at the tables, folders and sample submission of a contest and write a draft of its spec. "
        "Without the folder, the files are downloaded first. Each line has a comment that says what it was seen from; "
        "GUESS marks what the files do not tell.",
    )
    sub.add_argument("slug", metavar="SLUG", help="the last part of the contest's address on Kaggle")
    sub.add_argument("--data", type=Path, metavar="DIR", help="the unpacked files (default: data/<slug>)")
    sub.add_argument("--out", type=Path, metavar="FILE", help="default: competition/specs/<slug>.yaml")
    add_debug_argument(sub)
    sub.set_defaults(action=_new)

    sub = commands.add_parser(
        "check",
        help="show what is understood of a contest's spec and data; find bad images and duplicates",
        description="Read every table and decode every image once. Shows counts, classes, sizes, bit depths, "
        "duplicates, and draws sample images to runs/<slug>/check.png. Missing and unreadable images are all counted.",
    )
    add_contest_arguments(sub)
    sub.set_defaults(action=_check)

    sub = commands.add_parser("schema", help="print the JSON schema of specs, for editors")
    add_debug_argument(sub)
    sub.set_defaults(action=_schema)

    sub = commands.add_parser(
        "fake",
        help="made-up data for any contest, to rehearse the whole job with",
        description="Write tiny made-up data, laid out as Kaggle would serve it: tables, 32×32 images that show what "
        "they are, a sample submission; and beside it DIR.zip and DIR.answers.csv, for `serve` to play Kaggle with.",
    )
    add_contest_name(sub)
    sub.add_argument("--rows", type=int, default=60, metavar="N", help="rows to train on, and to predict (default: 60)")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that is empty or not there yet")
    add_debug_argument(sub)
    sub.set_defaults(action=_fake)

    sub = commands.add_parser("serve", help="a local Kaggle; with -- COMMAND … it runs that command against it")
    add_contest_arguments(sub)
    sub.add_argument("--zip", type=Path, metavar="FILE", help="the contest's archive (default: the embedded contest's)")
    sub.add_argument(
        "--answers",
        type=Path,
        metavar="FILE",
        help="CSV with the training table's id and label columns, and perhaps Usage (Public, Private)",
    )
    sub.add_argument("--port", type=int, default=0, metavar="N", help="default: any free port")
    sub.set_defaults(action=_serve)

    sub = commands.add_parser("submit", help="check a submission, send it, wait for its score, write the ledger")
    add_contest_arguments(sub)
    sub.add_argument("-f", "--file", type=Path, metavar="FILE", help="default: submission.csv of the newest ensemble")
    sub.add_argument(
        "-m", "--message", metavar="TEXT", help="shown on Kaggle (default: the ensemble's name and scores)"
    )
    sub.add_argument("--dry-run", action="store_true", help="check the file and say what would be sent")
    sub.add_argument("--force", action="store_true", help="send the file even if Kaggle has it already")
    sub.add_argument("--yes", action="store_true", help="do not ask before the last submission of the day")
    sub.set_defaults(action=_submit)

    sub = commands.add_parser("ledger", help="all submissions with their scores, and which two to select at the end")
    add_contest_arguments(sub)
    sub.set_defaults(action=_ledger)

    sub = commands.add_parser(
        "notebook", help="notebook-only contests: pack an ensemble, run it on Kaggle, submit that"
    )
    add_contest_arguments(sub)
    sub.add_argument("--ensemble", metavar="NAME", help="which one (default: the newest)")
    sub.add_argument(
        "-m", "--message", metavar="TEXT", help="shown on Kaggle (default: the ensemble's name and scores)"
    )
    sub.add_argument("--cpu", action="store_true", help="run it without a GPU: slower, but spares the weekly quota")
    sub.add_argument("--pack-only", action="store_true", help="write dataset and notebook to look at; send nothing")
    sub.add_argument("--yes", action="store_true", help="do not ask before the last submission of the day")
    sub.set_defaults(action=_notebook)
    return parser


# The imports stand inside, so that --help does not wait for pandas and OpenCV.


def _list(_: argparse.Namespace) -> None:
    from competition.spec import list_specs

    specs = list_specs()
    widths = [max(map(len, column)) for column in zip(*[(spec.slug, spec.metric.name) for spec in specs], strict=True)]
    for spec in specs:
        print(f"{spec.slug:<{widths[0]}}  {spec.metric.name:<{widths[1]}}  {spec.title}")


def _doctor(args: argparse.Namespace) -> None:
    from competition.doctor.examine import doctor

    doctor(lambda: contest_of(args) if args.contest else None)


def _download(args: argparse.Namespace) -> None:
    from competition.kaggle.download import download

    download(contest_of(args))


def _new(args: argparse.Namespace) -> None:
    from competition.draft.new import new

    new(args.slug, args.data or Path("data") / args.slug, args.out)


def _schema(_: argparse.Namespace) -> None:
    from competition.schema import schema_text

    print(schema_text(), end="")


def _check(args: argparse.Namespace) -> None:
    from competition.checks.check import check

    check(contest_of(args))


def _fake(args: argparse.Namespace) -> None:
    from competition.fake.contest import fake
    from competition.spec import load_spec

    archive, answers = fake(load_spec(args.contest), args.rows, args.out)
    print(f"{args.out}: {args.rows} rows to train on and {args.rows} to predict, all made up")
    where = shlex.join(["--data", str(args.out), "--runs", f"{args.out}.runs"])
    print(f"next: python -m folds -c {args.contest} {where}")
    served = shlex.join(["--zip", str(archive), "--answers", str(answers)])
    print(f"Kaggle's part: python -m competition serve -c {args.contest} {served}")


def _serve(args: argparse.Namespace) -> None:
    from competition.stand_in.serve import serve

    sys.exit(serve(contest_of(args), args.zip, args.answers, args.port, args.command))


def _submit(args: argparse.Namespace) -> None:
    from competition.kaggle.submit import submit

    submit(contest_of(args), args.file, args.message, dry_run=args.dry_run, force=args.force, yes=args.yes)


def _ledger(args: argparse.Namespace) -> None:
    from competition.kaggle.show import show_ledger

    show_ledger(contest_of(args))


def _notebook(args: argparse.Namespace) -> None:
    from competition.kaggle.notebook import submit_notebook

    submit_notebook(
        contest_of(args), args.ensemble, args.message, gpu=not args.cpu, pack_only=args.pack_only, yes=args.yes
    )


if __name__ == "__main__":
    run(main)
