"""Networks by name: created through timm only, and held to the contest's rules."""

import difflib

import timm
import torch
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import nn

import models
from competition.errors import SpecError
from competition.spec_parts import Family, Rules
from pipeline.config import Model, Recipe
from pipeline.predict import Normalise


def is_ours(name: str) -> bool:
    """Whether the network `name` is defined in models/, layer by layer."""
    return timm.is_model(name) and timm.model_entrypoint(name).__module__.startswith(f"{models.__name__}.")


def our_networks() -> list[str]:
    return [name for name in timm.list_models() if is_ours(name)]


def check_rules(model: Model, rules: Rules) -> None:
    """Raise SpecError when the network does not exist or breaks a rule of the contest."""
    if not timm.is_model(model.name):
        near = difflib.get_close_matches(model.name, timm.list_models(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SpecError(f"model.name: no network is called {model.name!r}{hint} Ours: {', '.join(our_networks())}")
    if model.pretrained and not rules.pretrained:
        raise SpecError("model.pretrained: this contest forbids pre-trained weights; set it to false")
    if not is_ours(model.name) and not rules.predefined:
        raise SpecError(
            f"model.name: this contest forbids pre-defined networks such as {model.name!r}; "
            f"use one defined in models/: {', '.join(our_networks())}"
        )


def check_network(recipe: Recipe, num_classes: int, shape: tuple[int, int, int]) -> None:
    """Raise SpecError when the recipe's network cannot be built, or not be trained as the recipe says.

    Args:
        shape: (height, width, channels) of the images.
    """
    create_network(recipe.model, num_classes, shape)
    if recipe.progressive is not None and _needs(recipe.model).fixed_input_size:
        raise SpecError(f"progressive: {recipe.model.name} is built for one image size")


def create_network(
    model: Model, num_classes: int, shape: tuple[int, int, int], family: Family = "classes"
) -> tuple[nn.Module, Normalise]:
    """Build the recipe's network, and the normalisation that its inputs need.

    Args:
        shape: (height, width, channels) of the images; only networks of a fixed input size are told the first two.
        family: of the target; a network for values is a `Standardised` one.

    Raises SpecError when the network does not take one of model.args.
    """
    args, needs, (*size, channels) = dict(model.args), _needs(model), shape
    if ours := {"num_classes", "in_chans", "pretrained"} & set(args):
        raise SpecError(f"model.args: {', '.join(sorted(ours))} follows from the contest, image.channels and the model")
    if weights := {"checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"} & set(args):
        raise SpecError(
            f"model.args: {', '.join(sorted(weights))} would load other weights; model.pretrained does that"
        )
    if needs.fixed_input_size:
        args["img_size"] = tuple(size)
    try:
        network = timm.create_model(
            model.name, pretrained=model.pretrained, num_classes=num_classes, in_chans=channels, **args
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise SpecError(f"model.args: {model.name} does not take them: {error}") from error
    mean, std = needs.mean, needs.std
    if channels != len(mean):
        mean, std = ((sum(each) / len(each),) * channels for each in (mean, std))
    return (Standardised(network, num_classes) if family == "values" else network), Normalise(mean, std)


def _needs(model: Model) -> PretrainedCfg:
    """What timm knows of a network's inputs; of one registered without that, what is usual."""
    return get_pretrained_cfg(model.name) or PretrainedCfg()


class Standardised(nn.Module):
    """A network whose outputs are numbers in the target's own unit: it learns them in standard deviations.

    mean, std: (numbers,) of the training labels, saved with the weights.
    """

    def __init__(self, network: nn.Module, numbers: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("std", torch.ones(numbers))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images).float() * self.std + self.mean

    def get_classifier(self) -> nn.Module:
        return self.network.get_classifier()
