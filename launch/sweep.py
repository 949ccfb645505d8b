"""Sweep files: one recipe with several settings, each of which is trained as a run of its own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from competition.errors import SpecError
from competition.strict_yaml import Strict, build, read_yaml, write_value
from pipeline.config import recipe_name
from pipeline.run import check_name

KEYS = ("recipe", "points", "grid")  # a recipe has none of them
LONGEST_SWEEP, LONGEST = (
    50,
    90,
)  # letters of names: W&B takes 64 in a tag, and 128 in an id that says more than the name
NAMEABLE = re.compile(r"[A-Za-z0-9._-]{1,30}")  # values that stand in a run's name as they are

Key = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$")]


class Halving(Strict):
    """Early discarding: after these shares of fold 0's epochs, only the best `keep` of the points there go on."""

    keep: Annotated[float, Field(gt=0, lt=1)]
    after: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _shares_rise(self) -> "Halving":
        if any(later <= earlier for earlier, later in pairwise(self.after)):
            raise ValueError(f"after: each share must be larger than the one before it, unlike {list(self.after)}")
        return self

    def epochs(self, total: int) -> list[int]:
        """The epochs of `total` after which points are compared. Raises SpecError where two are the same."""
        epochs = [max(1, round(share * total)) for share in self.after]
        for shares, (earlier, later) in zip(pairwise(self.after), pairwise(epochs), strict=True):
            if earlier == later:
                first, second = shares
                raise SpecError(f"halving.after: {first:g} and {second:g} of {total} epochs are both epoch {later}")
        return epochs


class SweepFile(Strict):
    """recipe: a name, or a path beside the sweep file. Keys of points and grid are those that --set takes.

    points: what each point sets; {} is the recipe as it is. grid: the values of each key, all combined.
    """

    description: str = ""
    recipe: str
    points: Annotated[tuple[dict[Key, Any], ...], Field(min_length=1)] | None = None
    grid: Annotated[dict[Key, Annotated[tuple[Any, ...], Field(min_length=1)]], Field(min_length=1)] | None = None
    halving: Halving | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "SweepFile":
        if (self.points is None) == (self.grid is None):
            raise ValueError("give either points or a grid")
        return self

    def settings(self) -> list[dict[str, Any]]:
        """What each point sets, in order; in a grid, the last key varies fastest."""
        if self.points is not None:
            return list(self.points)
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]


@dataclass(frozen=True)
class Point:
    """One setting of a sweep. label: what its runs are called, between the sweep's name and the seed.

    overrides: what --set takes, read back exactly. where: the file and the point, for an error.
    """

    label: str
    overrides: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class Sweep:
    """recipe: what -r takes, the same for all points."""

    name: str
    path: Path
    recipe: str
    points: tuple[Point, ...]
    halving: Halving | None


def is_sweep(argument: str) -> bool:
    """Whether an argument of -r is the path of a sweep file: its keys tell."""
    path = Path(argument)
    return recipe_name(argument) != argument and path.is_file() and not read_yaml(path).keys().isdisjoint(KEYS)


def load_sweep(argument: str) -> Sweep:
    """Read a sweep file. Its recipe and what the points set are not looked at yet.

    Raises SpecError: an unknown key, a wrong type, a number that is not finite, or a name that no run may have.
    """
    path, name = Path(argument), check_name(recipe_name(argument))
    if len(name) > LONGEST_SWEEP:
        raise SpecError(f"{path}: the name of a sweep has {LONGEST_SWEEP} letters at most; rename the file")
    file = build(SweepFile, read_yaml(path), str(path))
    recipe = file.recipe if recipe_name(file.recipe) == file.recipe else str(path.parent / file.recipe)
    try:
        settings = [{key: write_value(value) for key, value in each.items()} for each in file.settings()]
    except ValueError as error:
        raise SpecError(f"{path}: a number among the values is not finite") from error
    points = []
    for number, (label, its) in enumerate(zip(point_labels(settings, LONGEST - len(name)), settings, strict=True), 1):
        overrides = tuple(f"{key}={value}" for key, value in its.items())
        where = f"{path}: point {number} ({' '.join(overrides) or 'the recipe as it is'})"
        points.append(Point(label, overrides, where))
    return Sweep(name, path, recipe, tuple(points), file.halving)


def point_labels(settings: Sequence[Mapping[str, str]], longest: int) -> list[str]:
    """A name for each point, from the keys and values that it sets: "lr=0.02,label_smoothing=0.1".

    Of a key, its last part, or as many as tell it from the others. Where a value of a key is no name, such as a list,
    its values go by their position: "augment=v2". A point whose label would be too long is called by its own: "p07".

    Args:
        settings: values as `write_value` writes them.
    """
    values: dict[str, list[str]] = {}
    for each in settings:
        for key, value in each.items():
            values.setdefault(key, []).append(value)
    named = {key: _names(its) for key, its in values.items()}
    short = {key: _shortest(key, values) for key in values}
    labels = []
    for number, each in enumerate(settings, 1):
        label = ",".join(f"{short[key]}={named[key][value]}" for key, value in each.items()) or "base"
        labels.append(label if len(label) <= longest else f"p{number:0{len(str(len(settings)))}}")
    return labels


def _names(values: Sequence[str]) -> dict[str, str]:
    """The values of one key → how they are called."""
    named = {value: value.replace("e+", "e") for value in values}  # 1e+22: a name has no +
    if all(NAMEABLE.fullmatch(name) for name in named.values()):
        return named
    return {value: f"v{position}" for position, value in enumerate(named, 1)}


def _shortest(key: str, keys: Mapping[str, object]) -> str:
    """The fewest last parts of a dotted key with which no other key ends."""
    parts = key.split(".")
    endings = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
    return next(
        (end for end in endings if not any(f".{other}".endswith(f".{end}") for other in keys if other != key)), key
    )
