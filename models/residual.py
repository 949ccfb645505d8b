"""Trace ResNet: a small residual network, trained from scratch, that tells image generators apart.

What gives a generator away is mostly high-frequency: up-sampling and decoder patterns a few pixels wide, repeated all
over the image. Hence, against an ImageNet ResNet of the same cost:

* the stem halves the resolution once, by a learned 3x3 convolution and with no max-pool, so the first stage still
  sees patterns a few pixels wide (feed the image at its own size: shrinking it first removes them);
* shortcuts that change resolution average 2x2 pixels before their 1x1 convolution, so no pixel is skipped;
* global pooling makes the score hardly depend on where in the image a trace lies, and accepts any input size.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

__all__ = ["TraceResNet"]


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm and, unless `act` is off, ReLU."""

    def __init__(self, in_chs: int, out_chs: int, kernel_size: int = 3, stride: int = 1, act: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(in_chs, out_chs, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_chs)
        self.act = nn.ReLU(inplace=True) if act else nn.Identity()


class HighPass(nn.Module):
    """An image's channels (B, C, H, W), then what a 3×3 binomial blur takes away from each of them: (B, 2C, H, W).

    A network can learn such a filter; given it, it need not, and what it gains is in EXPERIMENTS.md.
    """

    GAIN = 3.0  # brings the differences of photographs to about the image's own range

    def __init__(self, channels: int):
        super().__init__()
        blur = torch.tensor([0.25, 0.5, 0.25])
        rest = -blur[:, None] * blur
        rest[1, 1] += 1
        # one filter, not an image less another: that would lose in bfloat16 what is left
        self.register_buffer("rest", (self.GAIN * rest).expand(channels, 1, 3, 3).clone(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.rest, groups=len(self.rest))], 1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, in_chs: int, out_chs: int, stride: int = 1, drop_path: float = 0.0):
        super().__init__()
        self.conv1 = ConvNorm(in_chs, out_chs, stride=stride)
        self.conv2 = ConvNorm(out_chs, out_chs, act=False)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.shortcut = nn.Sequential()
        if stride > 1:
            # ceil_mode matches the output size of a padded 3x3 convolution on odd sizes
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
        if in_chs != out_chs:
            self.shortcut.append(ConvNorm(in_chs, out_chs, kernel_size=1, act=False))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.drop_path(self.conv2(self.conv1(x))) + self.shortcut(x))


class TraceResNet(nn.Module):
    """Stem at stride 2, then one stage of basic blocks per width; each stage after the first halves the resolution.

    high_pass: show the stem the image's finest detail by itself, too.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        global_pool: str = "avg",
        widths: tuple[int, ...] = (32, 64, 128, 192),
        depths: tuple[int, ...] = (1, 1, 1, 1),
        high_pass: bool = False,
    ):
        super().__init__()
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.num_features = widths[-1]

        self.high_pass = HighPass(in_chans) if high_pass else nn.Identity()
        self.stem = ConvNorm(2 * in_chans if high_pass else in_chans, widths[0], stride=2)
        # deeper blocks are dropped more often: the first ones hold the filters that all others need
        drop_paths = iter(torch.linspace(0, drop_path_rate, sum(depths)).tolist())
        self.stages = nn.Sequential()
        self.feature_info = []
        in_chs = widths[0]
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            stage = nn.Sequential()
            for j in range(depth):
                stage.append(BasicBlock(in_chs, width, stride=2 if i and not j else 1, drop_path=next(drop_paths)))
                in_chs = width
            self.stages.append(stage)
            self.feature_info.append({"num_chs": width, "reduction": 2 ** (i + 1), "module": f"stages.{i}"})
        self.reset_classifier(num_classes, global_pool)
        self.init_weights()

    def init_weights(self) -> None:
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        for m in self.modules():
            if isinstance(m, BasicBlock):
                # each block starts as its shortcut, which lets the learning rate rise quickly in short runs
                nn.init.zeros_(m.conv2.bn.weight)

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
        return self.stages(self.stem(self.high_pass(x)))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self.head_drop(self.global_pool(x))
        return x if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


def _cfg(**kwargs):
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 100, 100),
        "pool_size": (7, 7),
        "fixed_input_size": False,
        "crop_pct": 1.0,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem.conv",
        "classifier": "head",
        **kwargs,
    }


default_cfgs = generate_default_cfgs({"trace_resnet_s": _cfg(), "trace_resnet_m": _cfg()})


def _create_trace_resnet(variant: str, pretrained: bool = False, **kwargs) -> TraceResNet:
    feature_cfg = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}
    return build_model_with_cfg(TraceResNet, variant, pretrained, feature_cfg=feature_cfg, **kwargs)


@register_model
def trace_resnet_s(pretrained: bool = False, **kwargs) -> TraceResNet:
    """Four blocks, widths 32-64-128-192: 0.89 M parameters and 151 M MACs at 100x100 with 5 classes.

    About the MACs of a plain 32-64-128-256 network (144 M), spent at 50x50 and below: sized for training on a CPU.
    """
    return _create_trace_resnet("trace_resnet_s", pretrained, **kwargs)


@register_model
def trace_resnet_m(pretrained: bool = False, **kwargs) -> TraceResNet:
    """Ten blocks, widths 64-128-256-512: 12.6 M parameters and 1.85 G MACs at 100x100 with 5 classes.

    The same plan with 12 times the work, most of it still at stride 2 to 8 where the traces are: sized for a GPU.
    """
    model_args = {"widths": (64, 128, 256, 512), "depths": (2, 3, 3, 2)}
    return _create_trace_resnet("trace_resnet_m", pretrained, **{**model_args, **kwargs})
