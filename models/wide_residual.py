"""Wide residual networks for small images, as published: Zagoruyko and Komodakis 2016 (arXiv:1605.07146).

They see the image at its full size first, which images of 28×28 or 32×32 pixels need, and spend their parameters on
width rather than depth: WRN-D-K has D convolutional layers, and K times the 16, 32 and 64 filters of the thinnest.
"""

from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

__all__ = ["WideResNet"]


class PreActBlock(nn.Module):
    """[Batch norm → ReLU → 3×3 convolution] × 2, added to what came in."""

    def __init__(self, in_chs: int, out_chs: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_chs)
        self.conv1 = nn.Conv2d(in_chs, out_chs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_chs)
        self.conv2 = nn.Conv2d(out_chs, out_chs, 3, padding=1, bias=False)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        plain = stride == 1 and in_chs == out_chs
        self.shortcut = None if plain else nn.Conv2d(in_chs, out_chs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = self.bn1(x).relu()
        # Where the width changes, the shortcut starts from the activated input too, as in the authors' code.
        past = x if self.shortcut is None else self.shortcut(active)
        return past + self.drop_path(self.conv2(self.bn2(self.conv1(active)).relu()))


class WideResNet(nn.Module):
    """Stem at stride 1, then three stages of (depth - 4) / 6 blocks; the second and third halve the resolution."""

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        global_pool: str = "avg",
        depth: int = 16,
        width: int = 4,
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise TypeError(f"depth is 10, 16, 22, 28, …, not {depth}")
        self.num_classes = num_classes
        self.drop_rate = drop_rate
        blocks, in_chs = (depth - 4) // 6, 16
        self.stem = nn.Conv2d(in_chans, in_chs, 3, padding=1, bias=False)
        drop_paths = iter(torch.linspace(0, drop_path_rate, 3 * blocks).tolist())
        self.stages = nn.Sequential()
        for i, filters in enumerate((16 * width, 32 * width, 64 * width)):
            stage = nn.Sequential()
            for j in range(blocks):
                stage.append(PreActBlock(in_chs, filters, 2 if i and not j else 1, next(drop_paths)))
                in_chs = filters
            self.stages.append(stage)
        self.bn = nn.BatchNorm2d(in_chs)
        self.num_features = in_chs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
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
        return self.bn(self.stages(self.stem(x))).relu()

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
        "pool_size": (8, 8),
        "fixed_input_size": False,
        "crop_pct": 1.0,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem",
        "classifier": "head",
        **kwargs,
    }


default_cfgs = generate_default_cfgs({"wide_resnet": _cfg()})


@register_model
def wide_resnet(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """WRN-16-4, 2.7 M parameters, unless `depth` and `width` say otherwise; WRN-28-10 has 36.5 M."""
    return build_model_with_cfg(WideResNet, "wide_resnet", pretrained, **kwargs)
