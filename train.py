"""Train a recipe on the folds of a contest. Stop it whenever you like: the same command goes on where it stopped."""

import argparse

from competition import cli
from competition.errors import SpecError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_contest_arguments(parser)
    parser.add_argument(
        "-r",
        "--recipe",
        default="trace-resnet",
        help="name of a recipe in recipes/, or a path to a YAML file (default: %(default)s)",
    )
    parser.add_argument("--fold", type=int, nargs="+", metavar="K", help="which folds to train (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, order and augmentation (default: 0)")
    parser.add_argument("--name", metavar="RUN", help="name of the run (default: RECIPE-sSEED)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override keys of the recipe"
    )
    cli.add_wandb_argument(parser)
    args = parser.parse_args()

    # Imported here, because torch takes seconds and --help should not.
    from competition.rows.tables import load_train
    from folds.store import read_folds
    from pipeline.augment import Augmentation
    from pipeline.cache import decoded
    from pipeline.config import load_recipe, recipe_name
    from pipeline.device import prepare_device
    from pipeline.loop import Task, train_fold
    from pipeline.losses import fitted_to
    from pipeline.network import check_network, check_rules
    from pipeline.run import create_run
    from pipeline.summary import fold_table, track_fold, track_summary, write_mistakes
    from pipeline.tracking import resolve_mode

    contest = cli.contest_of(args)
    spec, recipe = contest.spec, load_recipe(args.recipe, args.set)
    recipe = fitted_to(recipe, spec.target)
    check_rules(recipe.model, spec.rules)
    Augmentation(recipe.augment)
    numbers = sorted(set(args.fold)) if args.fold else list(range(spec.folds.n))
    if numbers[-1] >= spec.folds.n or numbers[0] < 0:
        raise SpecError(f"--fold {numbers[-1]}: the contest has folds 0…{spec.folds.n - 1}")

    rows = load_train(contest)
    split = read_folds(contest, rows)
    pixels = decoded(rows.images, recipe.image, contest.runs / "cache", "train")
    check_network(recipe, len(contest.classes), pixels.shape[1:])
    name = args.name or f"{recipe_name(args.recipe)}-s{args.seed}"
    run = create_run(contest, name, recipe, recipe_name(args.recipe), args.seed, split)

    device, (mode, reason) = prepare_device(), resolve_mode(args.wandb)
    task = Task(run, rows, split, spec.target, contest.classes, contest.metric, pixels, device, spec.views)
    print(f"{run.folder}: {recipe.model.name}, {recipe.schedule.epochs} epochs, on {device}\n{reason}")
    to_train = [run.folds[k] for k in numbers if not run.folds[k].done]
    for fold in run.folds:
        if fold.done:
            print(f"fold {fold.number}  is done")
    for fold in to_train:
        with fold.locked(), track_fold(mode, contest, run, fold) as tracker:
            train_fold(task, fold, [each.number for each in to_train], tracker)

    print(fold_table(contest, run))
    if run.unfinished:
        print(f"folds still to train: {' '.join(map(str, run.unfinished))}")
    else:
        if to_train or not run.mistakes.is_file():  # the picture comes last: with it, the summary is mirrored
            track_summary(mode, contest, run, rows, split)
            print(f"worst mistakes: {write_mistakes(contest, run, rows, split)}")
        print(f"next: python infer.py {run.folder}")


if __name__ == "__main__":
    cli.run(main)
