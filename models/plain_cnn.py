"""The starting point: four convolution blocks and two fully connected layers.

A student's solution to the UniBuc contest, kept as the baseline that everything else is compared with. At 100×100 the
convolutions need 143 million multiply-accumulates; with 128 hidden units the network has 1.6 million parameters.
"""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

__all__ = ["PlainCNN"]


class PlainCNN(nn.Module):
    """[3×3 convolution → batch norm → ReLU → 2×2 max-pooling] × 4 → hidden layer → dropout → classes.

    The hidden layer sees every position of the last feature map, so the input size is fixed at construction.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        img_size: int | tuple[int, int] = 100,
        widths: tuple[int, ...] = (32, 64, 128, 256),
        hidden: int = 128,
        drop_rate: float = 0.5,
    ) -> None:
        super().__init__()
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        self.num_classes = num_classes
        self.num_features = widths[-1]
        self.head_hidden_size = hidden
        blocks = []
        for before, after in zip((in_chans, *widths), widths, strict=False):
            blocks += [
                nn.Conv2d(before, after, 3, padding=1),
                nn.BatchNorm2d(after),
                # The author's order is ReLU, then pooling. The two commute, and pooling first leaves ReLU a quarter
                # of the work (EXPERIMENTS.md).
                nn.MaxPool2d(2),
                nn.ReLU(inplace=True),
            ]
        self.features = nn.Sequential(*blocks)
        shrink = 2 ** len(widths)
        self.hidden = nn.Linear(widths[-1] * (height // shrink) * (width // shrink), hidden)
        self.drop = nn.Dropout(drop_rate)
        self.fc = self._classifier(num_classes)

    def _classifier(self, num_classes: int) -> nn.Module:
        return nn.Linear(self.head_hidden_size, num_classes) if num_classes else nn.Identity()

    def get_classifier(self) -> nn.Module:
        return self.fc

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.fc = self._classifier(num_classes)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self.drop(self.hidden(x.flatten(1)).relu())
        return x if pre_logits else self.fc(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "num_classes": 1000,
        "input_size": (3, 100, 100),
        "fixed_input_size": True,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "first_conv": "features.0",
        "classifier": "fc",
        **kwargs,
    }


default_cfgs = generate_default_cfgs({"plain_cnn_128": _cfg(), "plain_cnn_256": _cfg()})


def _create_plain_cnn(variant: str, pretrained: bool = False, **kwargs: Any) -> PlainCNN:
    return build_model_with_cfg(PlainCNN, variant, pretrained, **kwargs)


@register_model
def plain_cnn_128(pretrained: bool = False, **kwargs: Any) -> PlainCNN:
    """128 hidden units."""
    return _create_plain_cnn("plain_cnn_128", pretrained, **dict({"hidden": 128}, **kwargs))


@register_model
def plain_cnn_256(pretrained: bool = False, **kwargs: Any) -> PlainCNN:
    """256 hidden units."""
    return _create_plain_cnn("plain_cnn_256", pretrained, **dict({"hidden": 256}, **kwargs))
