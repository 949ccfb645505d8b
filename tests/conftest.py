"""What all tests share: a thread each, as several run at once; and their order, which lets all cores end together."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("kit", deadline=None)  # the machine may have other work
settings.load_profile("kit")
# Before anything imports torch. What is exact to the last bit is so on the CPU, and a single card cannot be shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# A file is one worker's, which makes what its tests share; whoever begins the longest last keeps the others waiting.
LONGEST = ("readme", "faults", "together", "benchmarks", "launch", "table", "any_contest", "doctor", "notebook")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(autouse=True)
def nothing_goes_on_after_a_test() -> Iterator[None]:
    """A command that a failed test leaves behind would train for ever, and keep pytest from ending."""
    yield
    for name in ("commands", "tests.commands"):
        for process in getattr(sys.modules.get(name), "started", []):
            if process.is_alive():
                process.kill()
                process.join()
