"""Which runs a command line asks for: every recipe with every seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from competition.errors import SpecError
from competition.spec import Spec
from pipeline.config import Recipe, load_recipe, recipe_name
from pipeline.losses import fitted_to
from pipeline.run import check_name


@dataclass(frozen=True)
class PlannedRun:
    """A run that need not exist yet.

    argument, overrides: what -r and --set take to describe its recipe, in any working directory.
    """

    name: str
    recipe: Recipe
    argument: str
    overrides: tuple[str, ...]
    seed: int

    @property
    def recipe_name(self) -> str:
        return recipe_name(self.argument)


def plan_runs(
    spec: Spec, recipes: Sequence[str], seeds: Sequence[int], overrides: Sequence[str], name: str | None
) -> list[PlannedRun]:
    """Every recipe with every seed. Raises SpecError: a bad recipe or name, or one name for several runs."""
    planned = []
    for argument in dict.fromkeys(recipes):
        recipe = fitted_to(load_recipe(argument, overrides), spec.target)
        for seed in dict.fromkeys(seeds):
            its_name = check_name(name or f"{recipe_name(argument)}-s{seed}")
            planned.append(PlannedRun(its_name, recipe, _anywhere(argument), tuple(overrides), seed))
    names = [run.name for run in planned]
    if doubled := next((each for each in names if names.count(each) > 1), None):
        raise SpecError(f"two runs would be called {doubled!r}: --name is for one recipe with one seed")
    return planned


def _anywhere(argument: str) -> str:
    """A recipe's name as it is, its path as one that holds in every working directory."""
    return argument if recipe_name(argument) == argument else str(Path(argument).resolve())
