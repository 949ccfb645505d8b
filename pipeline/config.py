"""A recipe: how one kind of network is trained. One small YAML file each in `recipes/`."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from competition.errors import SpecError
from competition.strict_yaml import Strict, build, parse_yaml, read_yaml

RECIPES = Path(__file__).parent.parent / "recipes"

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Model(Strict):
    """A network by its name in timm's registry; `args` go to its constructor (drop_rate, drop_path_rate, …)."""

    name: str
    pretrained: bool = False
    args: dict[str, Any] = Field(default={})

    @field_validator("args")
    @classmethod
    def _plain_values(cls, args: dict[str, Any]) -> dict[str, Any]:
        for key, value in args.items():
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(each, int | float | str) for each in values):
                hint = "; write a space after the colon" if ":" in key else ""
                raise ValueError(f"{key!r} needs a number, true, false or text, or a list of them{hint}")
        return args


class Image(Strict):
    """size: [height, width] to resize to; left out, images keep their own size, which must then be one and the same."""

    size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] | None = None
    channels: Literal[1, 3] = 3


class Mix(Strict):
    """Mixup and CutMix, with the alpha of their Beta distribution (0: off); where both are on, an even coin decides.

    probability: share of the images that are mixed at all.
    """

    mixup: Annotated[float, Field(ge=0)] = 0.0
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    probability: Share = 1.0

    @property
    def on(self) -> bool:
        return bool(self.mixup or self.cutmix)


class Progressive(Strict):
    """Smaller images at first: from `start` times the full side, growing until `until` of the epochs have passed.

    how: "resize" shrinks the whole image; "crop" cuts a random part out, which keeps its finest detail.
    """

    start: Annotated[float, Field(gt=0, lt=1)]
    until: Annotated[float, Field(gt=0, le=1)] = 0.75
    how: Literal["resize", "crop"] = "resize"

    def share(self, progress: float | np.ndarray) -> np.ndarray:
        """Share of the full side after `progress` of the training, in [0, 1]; of any shape."""
        return self.start + (1 - self.start) * np.minimum(1.0, progress / self.until)


class Loss(Strict):
    """name: auto is what the contest's target asks for: cross_entropy for one class or shares, ordinal where the
        classes have an order, bce for several labels, squared for numbers. bce asks of every class by itself whether it
        is there; focal turns to the badly predicted, by `gamma`; ordinal is the smaller the nearer a wrong class is;
        absolute minds outliers less than squared.
    class_weights: "balanced" weighs an image by the inverse frequency of its class, their mean over images is 1; of
        several labels, the positives of each weigh as much as its negatives, up to a hundred times as much each.
    """

    name: Literal["auto", "cross_entropy", "focal", "bce", "ordinal", "squared", "absolute"] = "auto"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    gamma: Annotated[float, Field(ge=0)] = 2.0
    class_weights: Literal["none", "balanced"] = "none"


class Optimizer(Strict):
    """decay: which parameters weight decay acts on: "all", or only "weights" of convolutions and linear layers.

    momentum: of sgd and muon; AdamW keeps its usual 0.9 and 0.999.
    clip_norm: gradients longer than this, over all parameters, are shortened to it (0: never).
    """

    name: Literal["adamw", "sgd", "muon"] = "adamw"
    lr: Positive
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    decay: Literal["weights", "all"] = "weights"
    momentum: Share = 0.9
    clip_norm: Annotated[float, Field(ge=0)] = 0.0


class Schedule(Strict):
    """How the learning rate moves over `epochs`.

    cosine: `warmup_epochs` of linear rise from zero to optimizer.lr, then a half cosine to final_lr.
    one_cycle: a cosine rise from optimizer.lr / 25 that takes `warmup_epochs` (30 % of the epochs where it is 0), then
        a half cosine to final_lr; the momentum (AdamW's first beta) goes from .95 to .85 and back meanwhile.
    validate_every: epochs between two looks at the held-out fold. The last epoch always has one.
    """

    name: Literal["cosine", "one_cycle"] = "cosine"
    epochs: Annotated[int, Field(ge=1)]
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    final_lr: Annotated[float, Field(ge=0)] = 0.0
    validate_every: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _warmup_fits(self) -> "Schedule":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs:g} must be smaller than epochs {self.epochs}")
        return self


class Recipe(Strict):
    """Everything that decides what is learned, except the data, the fold and the seed.

    augment: albumentations transforms with their arguments, applied in order to training images.
    mix, erase, progressive: what is done to whole training batches after that. erase: share of the images in which a
        random rectangle (2 to 33 % of the area) is overwritten with noise.
    batch_size: images of one optimiser step, over all processes that train a fold together.
    accumulate: parts in which a batch goes through the network one after the other, where memory is short.
    sync_batch_norm: whether processes that train together share the statistics of batch norm (on GPUs only).
    ema: decay per step of an exponential moving average of the weights, which then makes the predictions (0: none).
    checkpoint: which epoch makes the predictions: the last one, or the best on the held-out fold. The latter is
        recorded as `selected_on_oof`, because the fold's score is then too good.
    tta: flips whose predictions are averaged with the plain ones, on held-out and test images alike.
    precision: auto takes bfloat16 where the hardware has it, float16 on older GPUs with tensor cores, else float32.
    """

    description: str = ""
    model: Model
    image: Image = Image()
    augment: tuple[dict[str, dict[str, Any]], ...] = ()
    mix: Mix = Mix()
    erase: Share = 0.0
    progressive: Progressive | None = None
    batch_size: Annotated[int, Field(ge=2)]
    accumulate: Annotated[int, Field(ge=1)] = 1
    sync_batch_norm: bool = False
    loss: Loss = Loss()
    optimizer: Optimizer
    schedule: Schedule
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    checkpoint: Literal["last", "best"] = "last"
    tta: tuple[Literal["horizontal", "vertical"], ...] = ()
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    @model_validator(mode="after")
    def _keys_fit_together(self) -> "Recipe":
        for entry in self.augment:
            if len(entry) != 1:
                raise ValueError(f"augment: each entry holds one transform, found {list(entry)}")
        if self.mix.on and self.batch_size % 2:
            raise ValueError(f"mix: images are mixed in pairs, so batch_size must be even, not {self.batch_size}")
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate: {self.accumulate} equal parts of batch_size {self.batch_size} are not whole")
        if self.checkpoint == "best" and self.schedule.validate_every > 1:
            raise ValueError("checkpoint: best needs schedule.validate_every: 1")
        return self


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read the recipe called `name` (of `recipes/`, or a path to a YAML file) and apply `key=value` overrides.

    Keys are dotted paths, values are YAML: "optimizer.lr=3e-4", "tta=[horizontal]".
    Raises SpecError: no such recipe (with the nearest name), an unknown key, a wrong type.
    """
    path = RECIPES / f"{name}.yaml" if recipe_name(name) == name else Path(name)
    if path.parent == RECIPES and not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
        sweeps = {p.stem: f"recipes/sweeps/{p.name}" for p in sorted(RECIPES.glob("sweeps/*.yaml"))}
        near = difflib.get_close_matches(name, [*sweeps, *known], n=1, cutoff=0.5)
        hint = f"did you mean {sweeps.get(near[0], repr(near[0]))}? " if near else ""
        raise SpecError(
            f"no recipe is called {name!r}; {hint}Known: {', '.join(known)}; or give the path of a YAML file, of a "
            f"recipe or of a sweep ({', '.join(sweeps.values())})"
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
