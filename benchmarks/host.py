"""How busy the machine is; what torch adds is in benchmarks.machine."""

import os


def load_average() -> float:
    """How many processes wanted a core during the last minute, before the benchmark itself began."""
    return os.getloadavg()[0]
