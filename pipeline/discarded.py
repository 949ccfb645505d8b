"""A run that a sweep gave up: the file DISCARDED in its folder says when and why."""

from pathlib import Path

from competition.files import atomic_open
from competition.strict_yaml import Strict, build, read_yaml


class Discarded(Strict):
    """Why a point of a sweep was trained no further.

    rung: at which look at all points, counted from 1; epoch: of `epochs`, how far fold 0 was to be trained for it.
    score: the validation score there, the mean over the point's seeds; None where training failed for `reason`.
    needed: the score of the last point that was kept; None where none was.
    when: UTC, ISO 8601.
    """

    sweep: str
    rung: int
    epoch: int
    epochs: int
    metric: str
    score: float | None
    needed: float | None
    reason: str = ""
    when: str

    @property
    def place(self) -> str:
        """How far it came, and how good it was there."""
        where = f"epoch {self.epoch}/{self.epochs} of fold 0"
        if self.score is None:
            return f"discarded on the way to {where}, where its training failed"
        return f"discarded at {where}, val {self.metric} {self.score:.4f}"

    @property
    def told(self) -> str:
        """Everything, for whoever wants to use the run."""
        needed = "" if self.needed is None else f", where the last one kept had {self.needed:.4f}"
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.place}{needed}, by the sweep {self.sweep}{reason}"


def discarded_file(folder: Path) -> Path:
    return folder / "DISCARDED"


def revival(folder: Path) -> str:
    """What to do with the discarded run in `folder` to have it all the same."""
    return f"To train it all the same, delete {discarded_file(folder)}"


def read_discarded(folder: Path) -> Discarded | None:
    """Why the run in `folder` was discarded; None when it was not. Raises SpecError when the file is damaged."""
    path = discarded_file(folder)
    return build(Discarded, read_yaml(path), str(path)) if path.is_file() else None


def write_discarded(folder: Path, discarded: Discarded) -> None:
    with atomic_open(discarded_file(folder)) as file:
        file.write(discarded.model_dump_json(indent=1) + "\n")
