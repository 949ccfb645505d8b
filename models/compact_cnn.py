"""Compact CNN: six 3×3 convolutions that learn small images in a few epochs, at a rate that suits a CPU.

The plan of airbench, which holds the records of training speed on CIFAR-10 (Jordan 2024, arXiv:2404.00498), without its
whitening of the first layer, which needs the data: a 2×2 convolution, then three pairs of wide convolutions, each of
which pools right after its first. Few wide layers keep the processor busier than many narrow ones.
"""

from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

__all__ = ["CompactCNN"]


class ConvPair(nn.Sequential):
    """3×3 convolution → 2×2 max-pooling → batch norm → GELU → 3×3 convolution → batch norm → GELU."""

    def __init__(self, in_chs: int, out_chs: int) -> None:
        super().__init__(
            nn.Conv2d(in_chs, out_chs, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(out_chs),
            nn.GELU(),
            nn.Conv2d(out_chs, out_chs, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_chs),
            nn.GELU(),
        )


class CompactCNN(nn.Module):
    """Stem of 2×2 pixels, one pair of convolutions per width, and the greatest activation of each filter."""

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        global_pool: str = "max",
        widths: tuple[int, ...] = (64, 256, 256),
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.drop_rate = drop_rate
        self.num_features = widths[-1]
        stem = 8 * in_chans  # as many as a patch of 2×2 pixels has numbers, and their negatives
        self.stem = nn.Conv2d(in_chans, stem, 2)
        self.act = nn.GELU()
        self.stages = nn.Sequential(*(ConvPair(*pair) for pair in zip((stem, *widths), widths, strict=False)))
        self.reset_classifier(num_classes, global_pool)

    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.num_classes = num_classes
        pool_type = global_pool if global_pool is not None else self.global_pool.pool_type
        self.global_pool, self.head_drop, self.head = create_classifier(
            self.num_features, num_classes, pool_type=pool_type, drop_rate=self.drop_rate
        )
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.stages(self.act(self.stem(x)))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self.head_drop(self.global_pool(x))
        return x if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 32, 32),
        "pool_size": (3, 3),
        "fixed_input_size": False,
        "crop_pct": 1.0,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem",
        "classifier": "head",
        **kwargs,
    }


default_cfgs = generate_default_cfgs({"compact_cnn": _cfg()})


@register_model
def compact_cnn(pretrained: bool = False, **kwargs: Any) -> CompactCNN:
    """Widths 64-256-256: 2.0 M parameters and 82 M MACs at 28×28, grey, with 10 classes."""
    return build_model_with_cfg(CompactCNN, "compact_cnn", pretrained, **kwargs)
