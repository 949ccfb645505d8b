"""What a draft is made of: values of the spec's keys, each with what it was seen from."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Guess:
    """A key of the spec, such as train.table. A value of None writes the comment alone.

    seen: what it was seen from, or what to look at. sure: False where nothing in the folder tells.
    """

    key: str
    value: Any
    seen: str = ""
    sure: bool = True


def named(items: list[str] | tuple[str, ...], limit: int = 4) -> str:
    """A few items for a comment."""
    return ", ".join(items[:limit]) + (", …" if len(items) > limit else "")
