"""Train recipes on the folds of a contest. Stop it whenever you like: the same command goes on where it stopped."""

import argparse
import sys
from functools import partial

from competition import cli
from launch.child import end_with_parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_contest_arguments(parser)
    parser.add_argument(
        "-r",
        "--recipe",
        nargs="+",
        default=["trace-resnet"],
        help="names of recipes in recipes/, or paths to YAML files, of recipes or of sweeps, such as "
        "recipes/sweeps/trace-resnet-lr-decay.yaml (default: trace-resnet)",
    )
    parser.add_argument("--fold", type=int, nargs="+", metavar="K", help="which folds to train (default: all)")
    parser.add_argument(
        "--seed", type=int, nargs="+", default=[0], help="seeds of weights, order and augmentation (default: 0)"
    )
    parser.add_argument("--name", metavar="RUN", help="name of the run (default: RECIPE-sSEED)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override keys of the recipes"
    )
    parser.add_argument(
        "--stop-after", type=int, metavar="EPOCH", help="stop each fold after this epoch, to go on another time"
    )
    parser.add_argument(
        "--launcher",
        choices=["here", "local", "ray"],
        default="here",
        help="where folds are trained: one after the other in this process (default; with a sweep, in one each), side "
        "by side on this machine, or on the machines of a Ray cluster that is running",
    )
    parser.add_argument(
        "--parallel", type=int, metavar="K", help="folds at a time with --launcher local (default: one for each GPU)"
    )
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="of the Ray cluster (default: RAY_ADDRESS, else one on this machine)"
    )
    parser.add_argument(
        "--gpus-per-fold", type=int, default=1, metavar="N", help="train each fold on N GPUs together (default: 1)"
    )
    parser.add_argument(
        "--max-restarts", type=int, metavar="M", help="of these N processes, should one of them die (default: 0)"
    )
    cli.add_wandb_argument(parser)
    args = parser.parse_args()
    if args.parallel is not None and args.launcher != "local":
        parser.error("--parallel is for --launcher local")
    if args.address is not None and args.launcher != "ray":
        parser.error("--address is for --launcher ray")
    if args.stop_after is not None and args.stop_after < 1:
        parser.error("--stop-after is an epoch, from 1 on")
    if min(args.seed) < 0:
        parser.error("--seed is 0 or more")
    if args.gpus_per_fold < 1 or (args.max_restarts is not None and args.gpus_per_fold == 1):
        parser.error("--gpus-per-fold is 1 or more, and --max-restarts for 2 or more")

    end_with_parent()
    # Imported here, because torch takes seconds and --help should not.
    from launch.halving import halve
    from launch.here import conclude, train_here
    from launch.job import fold_numbers, fold_tasks, prepare
    from launch.local import local_places, train_local
    from launch.plan import plan_runs
    from launch.ray_cluster import train_on_ray
    from launch.supervise import report
    from launch.together import check_together, train_together
    from pipeline.group import together
    from pipeline.tracking import resolve_mode

    contest, launcher, parallel = cli.contest_of(args), args.launcher, args.parallel
    processes, restarts = args.gpus_per_fold, args.max_restarts or 0
    numbers = fold_numbers(contest, args.fold)
    planned = plan_runs(contest.spec, args.recipe, args.seed, args.set, args.name)
    if launcher == "here" and any(each.sweep for each in planned):  # a point that fails must not end the others
        launcher, parallel = "local", 1
    places = local_places(parallel, processes) if launcher == "local" else []
    if processes > 1 and launcher != "ray":  # there, the machines that train the folds check it
        for each in planned:
            with each.checked():
                check_together(each.recipe, processes)
    job = prepare(contest, planned)
    mode, reason = resolve_mode(args.wandb)
    shared = ["--data", str(contest.data.resolve()), "--runs", str(contest.runs.parent.resolve()), "--wandb", mode]
    if args.debug:
        shared.append("--debug")
    if together():  # one of the processes that train_together starts
        train_here(job, fold_tasks(job, numbers, shared, args.stop_after), mode)
        return

    if launcher != "here" and processes > 1:
        shared += ["--gpus-per-fold", str(processes), "--max-restarts", str(restarts)]
    if launcher == "local":
        launch = partial(train_local, places=places)
    elif launcher == "ray":
        gpus = processes if processes > 1 else None
        launch = partial(train_on_ray, contest=contest, address=args.address, gpus_per_fold=gpus)
    elif processes > 1:
        launch = partial(train_together, processes=processes, max_restarts=restarts)
    else:
        launch = partial(train_here, job, mode=mode)

    print(reason)
    job, failures = halve(job, shared, launch, args.stop_after)
    for run in job.runs:
        for fold in run.folds:
            if fold.done:
                print(f"{run.name}: fold {fold.number} is done")
    failures += launch(fold_tasks(job, numbers, shared, args.stop_after))
    for run in job.runs:
        conclude(job, run, mode)
    if failures:
        sys.exit(report(failures))


if __name__ == "__main__":
    cli.run(main)
