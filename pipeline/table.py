"""Finished runs and ensembles of a contest as one table: cost, score out of fold, score on rows never trained on."""

import argparse
from pathlib import Path

from competition import cli
from competition.errors import DataError

LEGEND = """
GFLOP: of one image through the network, or through one of each run of an ensemble; a multiply-add counts as two.
nested: all rows scored together, with weights that have not seen them. minutes: of training, all folds together."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.table", description=__doc__)
    cli.add_contest_arguments(parser)
    parser.add_argument(
        "name", nargs="*", metavar="NAME", help="runs and ensembles, in this order (default: all, the best last)"
    )
    parser.add_argument(
        "--answers", type=Path, metavar="CSV", help="the test rows' labels, as for `python -m competition serve`"
    )
    args = parser.parse_args()

    from competition.rows.tables import load_holdout, load_train
    from competition.stand_in.contest import read_answers
    from folds.store import read_folds
    from pipeline.results import Part, Result, result_of_ensemble, result_of_run, results_table
    from pipeline.run import find_run, list_runs

    contest = cli.contest_of(args)
    rows, holdout, parts = load_train(contest), load_holdout(contest), []
    split = read_folds(contest, rows)
    if holdout is not None:
        parts.append(Part("holdout", holdout.ids, holdout.labels))
    if args.answers:
        answers = read_answers(contest, args.answers)
        parts.append(Part("test", answers.ids, answers.labels))

    def result_of(name: str) -> Result:
        folder = contest.ensembles / Path(name).name
        if (folder / "weights.json").is_file():
            return result_of_ensemble(contest, rows, split, folder, parts)
        return result_of_run(contest, rows, split, find_run(contest, name), parts)

    if args.name:
        results = [result_of(name) for name in args.name]
    else:
        results = []
        blends = sorted(contest.ensembles.glob("*/weights.json"))
        for name in [*(run.name for run in list_runs(contest)), *(path.parent.name for path in blends)]:
            try:
                results.append(result_of(name))
            except DataError as error:  # an unfinished run, or an ensemble of runs that are gone
                print(f"left out: {error}")
        results.sort(key=lambda result: (result.is_ensemble, contest.metric.gain(result.oof, 0.0)))
    if not results:
        raise DataError(f"{contest.runs} holds no finished run. Train one: python train.py {contest.options} -r RECIPE")
    print(results_table(contest, results, parts))
    print(LEGEND)


if __name__ == "__main__":
    cli.run(main)
