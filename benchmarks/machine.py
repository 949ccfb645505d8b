"""What a figure was measured on: the processor, its load, and how fast it multiplies matrices."""

import time
from typing import Any

import torch

from pipeline.device import arithmetic, available_cores
from pipeline.machine import processor


def describe(device: torch.device) -> dict[str, Any]:
    """Processor, cores, versions and threads of this process, and what `precision: auto` means here."""
    return {
        "cpu": processor(),
        "cores": available_cores(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "precision": str(arithmetic(device, "auto")).removeprefix("torch."),
    }


def multiplication_flops(device: torch.device, dtype: torch.dtype, size: int = 2048, seconds: float = 0.3) -> float:
    """Floating-point operations per second of a size³ matrix multiplication, repeated for about `seconds`."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    c = a @ b  # outside the clock: the first call also chooses and prepares the kernel
    synchronize(device)
    done, began = 0, time.perf_counter()
    while done == 0 or time.perf_counter() - began < seconds:
        for _ in range(1 if device.type == "cpu" else 100):
            torch.mm(a, b, out=c)
            done += 1
        synchronize(device)
    return done * 2 * size**3 / (time.perf_counter() - began)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done everything it was given: without it, a GPU's clock stops too early."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def describe_lines(machine: dict[str, Any]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, on {machine['device']}; torch {machine['torch']} with "
        f"{machine['torch_threads']} threads, precision auto = {machine['precision']}; "
        f"load average at the start {machine['load_average']:.2f}"
    )
