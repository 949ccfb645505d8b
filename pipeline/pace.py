"""How long a fold's epochs take, and those to come: smaller images take less time."""

import numpy as np

from pipeline.config import Recipe


def costs(recipe: Recipe) -> np.ndarray:
    """What each epoch costs (epochs,), in epochs of whole images: its share of their pixels, in (0, 1]."""
    epochs = recipe.schedule.epochs
    if recipe.progressive is None:
        return np.ones(epochs)
    return recipe.progressive.share((np.arange(epochs) + 0.5) / epochs) ** 2


def pace(history: list[dict[str, float]], recipe: Recipe) -> float:
    """Seconds that an epoch of whole images takes, by the rows of metrics.jsonl, at least one: their median."""
    cost = costs(recipe)
    return float(np.median([row["seconds"] / cost[int(row["epoch"]) - 1] for row in history]))
