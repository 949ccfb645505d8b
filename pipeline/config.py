"""A recipe: how one kind of network is trained. One small YAML file each in `recipes/`."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from competition.errors import SpecError
from competition.strict_yaml import Strict, build, parse_yaml, read_yaml

RECIPES = Path(__file__).parent.parent / "recipes"

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Model(Strict):
    """A network by its name in timm's registry; `args` go to its constructor (drop_rate, drop_path_rate, …)."""

    name: str
    pretrained: bool = False
    args: dict[str, int | float | bool | str] = Field(default={})


class Image(Strict):
    """size: [height, width] to resize to; left out, images keep their own size, which must then be one and the same."""

    size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] | None = None
    channels: Literal[1, 3] = 3


class Loss(Strict):
    label_smoothing: Share = 0.0


class Optimizer(Strict):
    """decay: which parameters weight decay acts on: "all", or only "weights" of convolutions and linear layers."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: Positive
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    decay: Literal["weights", "all"] = "weights"
    momentum: Share = 0.9


class Schedule(Strict):
    """Cosine from optimizer.lr to final_lr over `epochs`, after `warmup_epochs` of linear rise from zero."""

    epochs: Annotated[int, Field(ge=1)]
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    final_lr: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _warmup_fits(self) -> "Schedule":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs:g} must be smaller than epochs {self.epochs}")
        return self


class Recipe(Strict):
    """Everything that decides what is learned, except the data, the fold and the seed.

    augment: albumentations transforms with their arguments, applied in order to training images.
    checkpoint: whose weights make the predictions: the last epoch's, or the best epoch's on the held-out fold. The
        latter is recorded as `selected_on_oof`, because the fold's score is then too good.
    tta: flips whose predictions are averaged with the plain ones, on held-out and test images alike.
    precision: auto takes bfloat16 where the hardware has it, else float32.
    """

    description: str = ""
    model: Model
    image: Image = Image()
    augment: tuple[dict[str, dict[str, Any]], ...] = ()
    batch_size: Annotated[int, Field(ge=2)]
    loss: Loss = Loss()
    optimizer: Optimizer
    schedule: Schedule
    checkpoint: Literal["last", "best"] = "last"
    tta: tuple[Literal["horizontal", "vertical"], ...] = ()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _single_transforms(self) -> "Recipe":
        for entry in self.augment:
            if len(entry) != 1:
                raise ValueError(f"augment: each entry holds one transform, found {list(entry)}")
        return self


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read the recipe called `name` (of `recipes/`, or a path to a YAML file) and apply `key=value` overrides.

    Keys are dotted paths, values are YAML: "optimizer.lr=3e-4", "tta=[horizontal]".
    Raises SpecError: no such recipe (with the nearest name), an unknown key, a wrong type.
    """
    path = RECIPES / f"{name}.yaml" if recipe_name(name) == name else Path(name)
    if path.parent == RECIPES and not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SpecError(
            f"no recipe is called {name!r}; {hint}Known: {', '.join(known)}; or give the path of a YAML file"
        )
    data = read_yaml(path)
    for override in overrides:
        _set(data, override)
    return build(Recipe, data, f"{path} with --set {' '.join(overrides)}" if overrides else str(path))


def recipe_name(name: str) -> str:
    """The recipe's own name, where it was given as a path."""
    return Path(name).stem if name.endswith((".yaml", ".yml")) or "/" in name else name


def _set(data: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise SpecError(f"--set {override}: write key=value, for instance optimizer.lr=3e-4")
    *parents, last = key.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise SpecError(f"--set {override}: {parent!r} holds a value, not further keys")
    data[last] = parse_yaml(value, f"--set {override}")
