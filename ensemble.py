"""Compare the finished runs of a contest, weight them by their out-of-fold predictions, and write the submission."""

import argparse

from competition import cli
from competition.errors import DataError, SpecError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_contest_arguments(parser)
    parser.add_argument(
        "run", nargs="*", metavar="RUN", help="candidates, by name or folder (default: every finished run)"
    )
    parser.add_argument(
        "--method",
        choices=["auto", "best", "uniform", "greedy", "convex", "convex_calibrated", "log_linear"],
        default="auto",
        help="how to weight (default: convex, unless the nested loss of a richer one is clearly lower)",
    )
    parser.add_argument(
        "--max-members", type=int, metavar="K", help="keep at most K of them; the price in score is shown"
    )
    parser.add_argument("--pool-seeds", action="store_true", help="runs that differ only in their seed count as one")
    parser.add_argument("--name", help="the ensemble's name (default: made from its runs)")
    cli.add_wandb_argument(parser)
    args = parser.parse_args()

    from competition.medals import standing_of
    from competition.rows.tables import load_train
    from folds.store import read_folds
    from pipeline.charts import draw_charts
    from pipeline.ensemble import Options, fit_ensemble
    from pipeline.ensemble_folder import replaced_runs, write_ensemble
    from pipeline.ensemble_text import evidence_lines, runs_table
    from pipeline.findings import examine
    from pipeline.mirror import track_ensemble
    from pipeline.report import write_report
    from pipeline.run import check_name, find_run, list_runs
    from pipeline.tracking import resolve_mode

    if args.max_members is not None and args.max_members < 1:
        raise SpecError(f"--max-members {args.max_members}: an ensemble has a member at least")
    if args.name:
        check_name(args.name)
    contest = cli.contest_of(args)
    standing_of(contest, 0.0)  # a leaderboard that is missing is said before the work
    rows = load_train(contest)
    split = read_folds(contest, rows)
    if args.run:
        runs = list({run.folder.resolve(): run for run in (find_run(contest, name) for name in args.run)}.values())
        for run in runs:
            if run.folder.resolve().parent != contest.runs.resolve():
                raise DataError(f"{run.folder} is not in {contest.runs}: the runs of an ensemble lie side by side")
    else:
        runs = []
        for run in list_runs(contest):
            if run.discarded:
                print(f"left out: {run.name} ({run.discarded.place}, by the sweep {run.discarded.sweep})")
            elif run.unfinished:
                print(f"left out: {run.name} (folds {' '.join(map(str, run.unfinished))} are not finished)")
            elif run.folds_sha256 != split.sha256:
                print(f"left out: {run.name} (trained on another split than {contest.folds_file} is now)")
            elif run.classes is not None and set(run.classes) != set(contest.classes):
                print(f"left out: {run.name} (trained with other classes)")
            else:
                runs.append(run)
    if not runs:
        train = f"python train.py {contest.options} -r RECIPE"
        raise DataError(f"{contest.runs} holds no finished run that fits. Train one: {train}")

    options = Options(args.method, args.max_members, args.pool_seeds)
    ensemble = fit_ensemble(contest, runs, rows, split, options)
    print(runs_table(contest, ensemble))
    print(evidence_lines(contest, ensemble))
    name = args.name or ensemble.name
    if before := replaced_runs(contest.ensembles / name, ensemble):
        print(f"{name} was the ensemble of {', '.join(before)}; it is replaced")
    folder = write_ensemble(contest, ensemble, rows, split, name)
    findings = examine(contest, ensemble, rows)
    charts = draw_charts(contest, ensemble, findings)
    report = write_report(contest, ensemble, rows, findings, charts, folder)
    print(f"{folder / 'submission.csv'}: expect about {ensemble.honest.score:.4f} {contest.metric.name} (nested OOF)")
    if findings.place is not None:
        print(f"with that score: {findings.place} (indicative: the teams were scored on other rows)")
    print(f"report: {report}")
    mode, reason = resolve_mode(args.wandb)
    print(reason)
    track_ensemble(mode, contest, ensemble, findings, charts, folder)
    print(f"next: {contest.submit_command}")


if __name__ == "__main__":
    cli.run(main)
