"""Folds that wait to be trained, each with the command that trains it."""

from dataclasses import dataclass

from pipeline.run import Fold, Run


@dataclass(frozen=True)
class FoldTask:
    """One fold of a run.

    arguments: of train.py; they train this fold and nothing else, and go on where an earlier command stopped.
    until: the epoch after which to stop, where the fold is not to be trained to its end.
    """

    run: Run
    fold: Fold
    arguments: tuple[str, ...]
    until: int | None = None

    @property
    def name(self) -> str:
        return f"{self.run.name} fold {self.fold.number}"

    @property
    def finished(self) -> bool:
        """Whether the files say that there is nothing left to do."""
        if self.fold.done or self.until is None:
            return self.fold.done
        return any(row["epoch"] >= self.until for row in self.fold.history())


@dataclass(frozen=True)
class Failure:
    """A task that was given up. status: the last exit status of its command. reason: one line for the user."""

    task: FoldTask
    status: int
    reason: str
