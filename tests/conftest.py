"""What all tests share: a thread each, as several run at once; and their order, which lets all cores end together."""

import os

import pytest
from hypothesis import settings

settings.register_profile("kit", deadline=None)  # the machine may have other work
settings.load_profile("kit")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch

# A file is one worker's, which makes what its tests share; whoever begins the longest last keeps the others waiting.
LONGEST = ("readme", "faults", "together", "benchmarks", "launch", "table", "any_contest", "doctor", "notebook")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))
