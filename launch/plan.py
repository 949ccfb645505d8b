"""Which runs a command line asks for: every recipe, and every point of a sweep, with every seed."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from competition.errors import SpecError, located
from competition.spec import Spec
from launch.sweep import Point, Sweep, is_sweep, load_sweep
from pipeline.config import Recipe, load_recipe, recipe_name
from pipeline.losses import fitted_to
from pipeline.run import check_name


@dataclass(frozen=True)
class PlannedRun:
    """A run that need not exist yet.

    argument, overrides: what -r and --set take to describe its recipe, in any working directory.
    sweep, point: that it belongs to, where it is not a recipe's own run.
    """

    name: str
    recipe: Recipe
    argument: str
    overrides: tuple[str, ...]
    seed: int
    sweep: Sweep | None = None
    point: Point | None = None

    @property
    def recipe_name(self) -> str:
        return recipe_name(self.argument)

    def checked(self) -> AbstractContextManager[None]:
        """An error in the block says which point of which sweep it is about."""
        return located(self.point.where) if self.point else nullcontext()


def plan_runs(
    spec: Spec, arguments: Sequence[str], seeds: Sequence[int], overrides: Sequence[str], name: str | None
) -> list[PlannedRun]:
    """Every recipe and every point of a sweep with every seed.

    Args:
        arguments: of -r. overrides: of --set; what a point sets comes after them.

    Raises SpecError: a bad recipe, sweep or name, one name for several runs, or two points that are the same.
    """
    planned = []
    for argument in dict.fromkeys(arguments):
        if is_sweep(argument):
            planned += _plan_sweep(spec, load_sweep(argument), seeds, overrides, name)
            continue
        recipe = fitted_to(load_recipe(argument, overrides), spec.target)
        for seed in dict.fromkeys(seeds):
            its_name = check_name(name or f"{recipe_name(argument)}-s{seed}")
            planned.append(PlannedRun(its_name, recipe, _anywhere(argument), tuple(overrides), seed))
    names = [run.name for run in planned]
    if doubled := next((each for each in names if names.count(each) > 1), None):
        raise SpecError(f"two runs would be called {doubled!r}: --name is for one recipe with one seed")
    return planned


def _plan_sweep(
    spec: Spec, sweep: Sweep, seeds: Sequence[int], overrides: Sequence[str], name: str | None
) -> list[PlannedRun]:
    if name:
        raise SpecError(f"--name {name}: the runs of a sweep are called by its file and its points")
    planned, seen = [], {}
    for point in sweep.points:
        everything = (*overrides, *point.overrides)
        with located(point.where):
            recipe = fitted_to(load_recipe(sweep.recipe, everything), spec.target)
            if sweep.halving:
                sweep.halving.epochs(recipe.schedule.epochs)
            same = seen.setdefault(recipe.model_dump_json(exclude={"description"}), point)
            if same is not point:
                raise SpecError(f"is the same as point {sweep.points.index(same) + 1}")
        for seed in dict.fromkeys(seeds):
            its_name = check_name(f"{sweep.name}-{point.label}-s{seed}")
            planned.append(PlannedRun(its_name, recipe, _anywhere(sweep.recipe), everything, seed, sweep, point))
    return planned


def _anywhere(argument: str) -> str:
    """A recipe's name as it is, its path as one that holds in every working directory."""
    return argument if recipe_name(argument) == argument else str(Path(argument).resolve())
