"""Predict the test set, and the official holdout where there is one, with every fold of finished runs."""

import argparse
from pathlib import Path

from competition import cli


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "run", nargs="+", metavar="RUN", help="a run's folder, runs/<slug>/<run>; or, with -c, its name"
    )
    cli.add_contest_arguments(parser, required=False)
    args = parser.parse_args()

    # Imported here, because torch takes seconds and --help should not.
    from competition.rows.tables import load_holdout, load_test
    from pipeline.inference import predict_run
    from pipeline.run import contest_of, find_run, open_run

    for name in args.run:
        if args.contest:
            contest = cli.contest_of(args)
            run = find_run(contest, name)
        else:
            run = open_run(Path(name))
            contest = contest_of(run, args.data)
        predict_run(contest, run, "test", load_test(contest))
        holdout = load_holdout(contest)
        if holdout is not None:
            predictions = predict_run(contest, run, "holdout", holdout)
            score = contest.metric(holdout.labels, predictions.probabilities)
            print(f"holdout {contest.metric.name}: {score:.4f}")


if __name__ == "__main__":
    cli.run(main)
