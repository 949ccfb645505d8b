"""The processor and its load; what torch adds is in benchmarks.machine."""

import os
import platform
from pathlib import Path


def cpu() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def load_average() -> float:
    """How many processes wanted a core during the last minute, before the benchmark itself began."""
    return os.getloadavg()[0]
