"""What the hardware offers: device, precision, number of workers. `python -m pipeline.device` prints it as JSON."""

import ctypes
import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from competition.errors import SpecError
from pipeline.machine import processor


def prepare_device() -> torch.device:
    """Choose the first GPU (CUDA or Apple's), else the CPU, and prepare this process for it.

    Of several processes that torchrun started, each has a GPU of its own.
    """
    if torch.cuda.is_available():
        # TF32 has 10 bits of mantissa: a recipe's float32 would differ from GPU to GPU in the third digit.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        device = torch.device("cuda", torch.cuda.current_device())
        built_for = torch.cuda.get_arch_list()
        if torch.version.cuda is not None and built_for:  # AMD's cards have other names
            name, capability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
            require_code(name, capability, built_for)
        return device
    if torch.backends.mps.is_available():
        return torch.device("mps")
    _keep_freed_memory()
    return torch.device("cpu")


def require_code(name: str, capability: tuple[int, int], built_for: Sequence[str]) -> None:
    """Raise SpecError where torch was built without code for this GPU, as for a P100 since CUDA 13.

    Args:
        built_for: as torch tells it. sm_80 is for GPUs of capability 8.0 and later 8.x, compute_80 for all later ones.
    """
    major, minor = capability
    for built in built_for:
        kind, _, digits = built.partition("_")
        digits = digits.rstrip("af")  # code for one GPU, or one family, alone
        for_major, for_minor = int(digits[:-1]), int(digits[-1])
        if kind == "sm" and for_major == major and for_minor <= minor:
            return
        if kind == "compute" and (for_major, for_minor) <= (major, minor):
            return
    raise SpecError(
        f"torch {torch.__version__} holds no code for {name}, of compute capability {major}.{minor}. Install an "
        "earlier torch, for an earlier CUDA (https://pytorch.org/get-started/previous-versions), or hide the GPU: "
        "CUDA_VISIBLE_DEVICES="
    )


def place_of(device: torch.device) -> str:
    """The device in words; with a hint where it is the CPU although there is a GPU: the driver is too old, mostly."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
    if device.type == "cpu" and torch.version.cuda is not None and not hidden and Path("/dev/nvidia0").exists():
        return "cpu (torch does not see the NVIDIA GPU that is here; `python -m competition doctor` tells more)"
    return str(device)


def _keep_freed_memory() -> None:
    """Have glibc reuse freed memory instead of giving it back to the system.

    By default every large activation is mapped, zeroed page by page and unmapped again in each step, which costs
    training on the CPU a tenth of its time or more. The process then keeps its peak, which every step needs.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):
        m_trim_threshold, m_mmap_threshold = -1, -3  # of malloc.h
        libc.mallopt(m_mmap_threshold, 2**30)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def machine_name(device: torch.device) -> str:
    """What the minutes of a training were spent on: the GPU's name, or the processor's with the cores it may use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()}, {available_cores()} cores"


def native_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done by the hardware; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    cpuinfo = Path("/proc/cpuinfo")
    if device.type != "cpu" or not cpuinfo.is_file():
        return False
    text = cpuinfo.read_text()
    return "avx512_bf16" in text or "amx_bf16" in text or " bf16" in text  # the last on Arm


def arithmetic(device: torch.device, precision: Literal["auto", "float32", "bfloat16", "float16"]) -> torch.dtype:
    """The number format that a recipe's precision means on this device.

    auto is bfloat16 where the hardware has it, float16 on older GPUs with tensor cores (T4, V100), else float32.
    """
    if precision != "auto":
        return getattr(torch, precision)
    if native_bfloat16(device):
        return torch.bfloat16
    tensor_cores = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return torch.float16 if tensor_cores else torch.float32


def autocast(device: torch.device, precision: Literal["auto", "float32", "bfloat16", "float16"]) -> torch.autocast:
    """The context in which the network runs in the recipe's precision. It can be entered again and again."""
    dtype = arithmetic(device, precision)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def available_cores() -> int:
    """Cores this process may use, which a container can restrict, and a launcher by TRAIN_CORES in the environment."""
    if told := os.environ.get("TRAIN_CORES"):
        return max(1, int(told))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def augmentation_workers(device: torch.device) -> int:
    """Processes that make training batches. On the CPU the network needs the cores itself, and one worker keeps up."""
    cores = available_cores()
    return max(1, cores // 8) if device.type == "cpu" else max(1, min(16, cores - 1))


def peak_memory(device: torch.device) -> int:
    """The most memory used so far, in bytes: of the GPU, or resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether torch raised it for want of memory. Only CUDA has a class for that."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    )


def describe(device: torch.device) -> dict[str, Any]:
    """What training would find here, after one product of matrices that proves it; raises whatever that raises.

    Sizes are in bytes; of the GPU, and only where there is one.
    """
    dtype = arithmetic(device, "auto")
    ones = torch.ones(8, 8, device=device, dtype=dtype)
    (ones @ ones).sum().item()
    facts = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "type": device.type,
        "name": {"cpu": "the CPU", "mps": "Apple's GPU"}.get(device.type),
        "threads": torch.get_num_threads(),
        "native_bfloat16": native_bfloat16(device),
        "precision": str(dtype).removeprefix("torch."),
    }
    if device.type == "cuda":
        free, memory = torch.cuda.mem_get_info(device)
        facts |= {"name": torch.cuda.get_device_name(device), "free": free, "memory": memory}
    return facts


if __name__ == "__main__":
    print(json.dumps(describe(prepare_device())))
