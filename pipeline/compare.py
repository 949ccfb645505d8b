"""Runs of a contest side by side, in progress too: scores, paired differences, what was set differently, and curves."""

import argparse

from competition import cli
from competition.errors import DataError


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.compare", description=__doc__)
    cli.add_contest_arguments(parser)
    parser.add_argument(
        "run", nargs="*", metavar="RUN", help="runs, by name or folder, or all of a sweep, by its name (default: all)"
    )
    parser.add_argument(
        "--base",
        metavar="RUN",
        help="what each change to this run's recipe is worth, on the folds that both have finished",
    )
    args = parser.parse_args()

    from competition.files import atomic_open
    from pipeline.ablation import changes, changes_table
    from pipeline.comparison import differences, grouped, read_record
    from pipeline.comparison_text import comparison_table, differences_table, settings_table
    from pipeline.pictures import draw_comparison
    from pipeline.run import find_run, find_runs, list_runs

    contest = cli.contest_of(args)
    runs = find_runs(contest, args.run) if args.run else list_runs(contest)
    if not runs:
        raise DataError(f"{contest.runs} holds no run. Train one: python train.py {contest.options} -r RECIPE")

    records = grouped([read_record(contest, run) for run in runs])
    print(comparison_table(records))
    if args.base:
        base = read_record(contest, find_run(contest, args.base))
        print(f"\n{changes_table(changes([*records, base], base), base)}")
    else:
        for best, others in differences(records):
            print(f"\n{differences_table(best, others)}")
        if settings := settings_table(records):
            print(f"\nset differently (runs by their number above):\n{settings}")
    picture = contest.runs / "compare.png"
    with atomic_open(picture, "wb") as file:
        file.write(draw_comparison(contest.spec.title, records))
    print(f"\ncurves: {picture}")


if __name__ == "__main__":
    cli.run(main)
