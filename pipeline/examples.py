"""Rows worth a look, by what they are."""

import numpy as np

from competition.rows.tables import Rows
from competition.spec_parts import Family

EXAMPLES = 6  # of a group
STEPS = 6  # groups of numbers, from the least to the greatest
HEADINGS: dict[Family, str] = {
    "classes": "Training images by class",
    "labels": "Training images by class that they have",
    "shares": "Training images by their largest share",
    "values": "Training images from the least to the greatest {name}",
}


def examples(rows: Rows, classes: tuple[str, ...], family: Family, most: int) -> list[tuple[str, np.ndarray]]:
    """At most `most` groups of rows: their name, and the indices of the first EXAMPLES of them; none is empty."""
    if family == "values":
        return _by_size(rows.labels[:, 0], min(most, STEPS))
    found = []
    largest = rows.labels.argmax(axis=1) if family == "shares" else rows.labels
    for k, name in enumerate(classes):
        if len(found) == most:
            break
        mine = np.flatnonzero(rows.labels[:, k] if family == "labels" else largest == k)[:EXAMPLES]
        if len(mine):
            found.append((name, mine))
    return found


def heading(classes: tuple[str, ...], family: Family) -> str:
    return HEADINGS[family].format(name=classes[0])


def _by_size(values: np.ndarray, groups: int) -> list[tuple[str, np.ndarray]]:
    order = np.argsort(values, kind="stable")
    found = []
    for part in np.array_split(order, groups):
        if len(part):
            low, high = f"{values[part[0]]:.4g}", f"{values[part[-1]]:.4g}"
            middle = np.linspace(0, len(part) - 1, min(EXAMPLES, len(part))).round().astype(int)
            found.append((low if low == high else f"{low} to {high}", part[middle]))
    return found
