"""What a network costs, whatever machine it runs on: its parameters, and the arithmetic for one image."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from competition.spec_parts import Family
from pipeline.config import Model
from pipeline.network import create_network


@dataclass(frozen=True)
class Cost:
    """parameters: trained numbers. flops: of the forward pass of one image, a multiplication and an addition each."""

    parameters: int
    flops: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.flops + other.flops)


def cost_of(model: Model, classes: int, shape: tuple[int, int, int], family: Family = "classes") -> Cost:
    """Count by torch's own `FlopCounterMode`: convolutions, matrix products and attention, which are nearly all of it.

    Args:
        shape: (height, width, channels) of the images, at their full size.
    """
    # The weights are of no interest here: no pre-trained ones are fetched, and nothing is computed.
    network, _ = create_network(model.model_copy(update={"pretrained": False}), classes, shape, family)
    network = network.to("meta").eval()
    height, width, channels = shape
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, channels, height, width, device="meta"))
    return Cost(sum(p.numel() for p in network.parameters()), counter.get_total_flops())
