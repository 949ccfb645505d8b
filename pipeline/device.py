"""What the hardware offers: device, precision, number of workers."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

import torch


def pick_device() -> torch.device:
    """The first GPU (CUDA or Apple's), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def native_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done by the hardware; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    cpuinfo = Path("/proc/cpuinfo")
    if device.type != "cpu" or not cpuinfo.is_file():
        return False
    text = cpuinfo.read_text()
    return "avx512_bf16" in text or "amx_bf16" in text or " bf16" in text  # the last on Arm


def autocast(
    device: torch.device, precision: Literal["auto", "float32", "bfloat16"]
) -> Callable[[], AbstractContextManager]:
    """A factory of contexts in which the network runs in the recipe's precision."""
    if precision == "bfloat16" or (precision == "auto" and native_bfloat16(device)):
        return lambda: torch.autocast(device.type, torch.bfloat16)
    return nullcontext


def available_cores() -> int:
    """Cores this process may use, which a container can restrict."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def augmentation_workers(device: torch.device) -> int:
    """Processes that make training batches. On the CPU the network needs the cores itself, and one worker keeps up."""
    cores = available_cores()
    return max(1, cores // 8) if device.type == "cpu" else max(1, min(16, cores - 1))
