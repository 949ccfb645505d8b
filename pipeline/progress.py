"""What training shows: a live bar on a terminal, and one line per epoch that also reads well in a log."""

import sys

from tqdm import tqdm

from pipeline.config import Recipe
from pipeline.pace import costs, pace


class Progress:
    """Progress of one fold within a run.

    Args:
        fold, folds: this fold's number, and all the folds this command will train.
        batches: batches in an epoch.
    """

    def __init__(self, fold: int, folds: list[int], recipe: Recipe, batches: int) -> None:
        self.fold, self.recipe, self.batches = fold, recipe, batches
        self.place, self.n_folds = folds.index(fold), len(folds)
        self.rows: list[dict[str, float]] = []
        self.bar: tqdm | None = None

    def start_epoch(self, epoch: int, batch: int) -> None:
        title = f"fold {self.fold} ({self.place + 1} of {self.n_folds}) epoch {epoch + 1}/{self.recipe.schedule.epochs}"
        self.bar = tqdm(total=self.batches, initial=batch, desc=title, unit="batch", disable=None, leave=False)

    def step(self) -> None:
        self.bar.update()

    def show(self, loss: float) -> None:
        """Put the loss and the speed beside the bar."""
        if not self.bar.disable:
            steps = self.bar.n - self.bar.initial
            rate = steps * self.recipe.batch_size / max(1e-9, self.bar.format_dict["elapsed"])
            self.bar.set_postfix_str(f"loss {loss:.3f}, {rate:.0f} images/s", refresh=False)

    def end_epoch(self, row: dict[str, float], metric: str) -> None:
        self.bar.close()
        self.rows.append(row)
        cost, seconds = costs(self.recipe), pace(self.rows, self.recipe)
        left = seconds * cost[row["epoch"] :].sum()
        others = seconds * cost.sum() * (self.n_folds - self.place - 1)
        scores = f"val loss {row['val/loss']:.4f}  {metric} {row[f'val/{metric}']:.4f}  " if "val/loss" in row else ""
        print(
            f"fold {self.fold}  epoch {row['epoch']:3d}/{len(cost)}  loss {row['train/loss']:.4f}  {scores}"
            f"{row['images_per_second']:.0f} images/s  {row['memory_gb']:.1f} GB  "
            f"left {clock(left)}, all folds {clock(left + others)}"
        )
        sys.stdout.flush()


def clock(seconds: float) -> str:
    """A time span as minutes:seconds, with hours before them where there are any."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
