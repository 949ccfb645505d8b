"""What training shows: a live bar on a terminal, and one line per epoch that also reads well in a log."""

import sys

import numpy as np
from tqdm import tqdm


class Progress:
    """Progress of one fold within a run.

    Args:
        fold, folds: this fold's number, and all the folds this command will train.
        epochs: epochs in a fold. batches: batches in an epoch, of batch_size images.
    """

    def __init__(self, fold: int, folds: list[int], epochs: int, batches: int, batch_size: int) -> None:
        self.fold, self.epochs, self.batches, self.batch_size = fold, epochs, batches, batch_size
        self.place, self.n_folds = folds.index(fold), len(folds)
        self.seconds: list[float] = []
        self.bar: tqdm | None = None

    def start_epoch(self, epoch: int, batch: int) -> None:
        title = f"fold {self.fold} ({self.place + 1} of {self.n_folds}) epoch {epoch + 1}/{self.epochs}"
        self.bar = tqdm(total=self.batches, initial=batch, desc=title, unit="batch", disable=None, leave=False)

    def step(self) -> None:
        self.bar.update()

    def show(self, loss: float) -> None:
        """Put the loss and the speed beside the bar."""
        if not self.bar.disable:
            steps = self.bar.n - self.bar.initial
            rate = steps * self.batch_size / max(1e-9, self.bar.format_dict["elapsed"])
            self.bar.set_postfix_str(f"loss {loss:.3f}, {rate:.0f} images/s", refresh=False)

    def end_epoch(self, row: dict[str, float], metric: str) -> None:
        self.bar.close()
        self.seconds.append(row["seconds"])
        left = (self.epochs - row["epoch"]) * float(np.median(self.seconds))
        others = (self.n_folds - self.place - 1) * self.epochs * float(np.median(self.seconds))
        scores = f"val loss {row['val/loss']:.4f}  {metric} {row[f'val/{metric}']:.4f}  " if "val/loss" in row else ""
        print(
            f"fold {self.fold}  epoch {row['epoch']:3d}/{self.epochs}  loss {row['train/loss']:.4f}  {scores}"
            f"{row['images_per_second']:.0f} images/s  {row['memory_gb']:.1f} GB  "
            f"left {clock(left)}, all folds {clock(left + others)}"
        )
        sys.stdout.flush()


def clock(seconds: float) -> str:
    """A time span as minutes:seconds, with hours before them where there are any."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
