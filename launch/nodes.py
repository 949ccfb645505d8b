"""The machines of a Ray cluster, and what of one each fold gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from competition.errors import SpecError

SHOWN = 8  # machines that a message names


@dataclass(frozen=True)
class Node:
    id: str
    name: str
    cpus: int
    gpus: int


def living(described: Sequence[dict[str, Any]]) -> list[Node]:
    """The machines that can run tasks, of those that `ray.nodes()` describes."""
    nodes = []
    for node in described:
        resources = node.get("Resources", {})
        if node["Alive"] and resources.get("CPU", 0) >= 1:
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            nodes.append(Node(node["NodeID"], name, int(resources["CPU"]), int(resources.get("GPU", 0))))
    return sorted(nodes, key=lambda node: node.name)


def able(nodes: Sequence[Node], gpus_per_fold: int | None) -> tuple[list[Node], int]:
    """The machines that can train a fold, and how many GPUs each fold gets.

    Args:
        gpus_per_fold: None for one where there are any, else for the CPU.

    Raises SpecError when none can: Ray would wait for one for ever.
    """
    if not nodes:
        raise SpecError("no machine of the Ray cluster has CPUs for tasks; add some: ray start --address=HOST:PORT")
    gpus = min(1, max(node.gpus for node in nodes)) if gpus_per_fold is None else gpus_per_fold
    those = [node for node in nodes if node.gpus >= gpus]
    if not those:
        shown = ", ".join(f"{node.name} has {node.gpus}" for node in nodes[:SHOWN])
        more = f", and {len(nodes) - SHOWN} more machines no more" if len(nodes) > SHOWN else ""
        raise SpecError(f"--gpus-per-fold {gpus}: no machine of the Ray cluster has so many GPUs: {shown}{more}")
    return those, gpus


def cpus_per_fold(nodes: Sequence[Node], gpus: int) -> int:
    """So many that every machine can take a fold: the smallest one's CPUs, or the part of them that its GPUs have."""
    return max(1, min(node.cpus * gpus // node.gpus if gpus else node.cpus for node in nodes))
