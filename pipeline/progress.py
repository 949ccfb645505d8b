"""What training shows: a live bar on a terminal, and one line per epoch that also reads well in a log."""

import sys
import time

from tqdm import tqdm


class Progress:
    """Progress of one fold within a run.

    Args:
        fold, folds: this fold's number, and all the folds this command will train.
        epochs: epochs in a fold. batches: batches in an epoch.
    """

    def __init__(self, fold: int, folds: list[int], epochs: int, batches: int) -> None:
        self.fold, self.epochs, self.batches = fold, epochs, batches
        self.folds_left = len(folds) - folds.index(fold) - 1
        self.bar: tqdm | None = None
        self._shown = 0.0

    def start_epoch(self, epoch: int) -> None:
        title = f"fold {self.fold} epoch {epoch + 1}/{self.epochs}"
        self.bar = tqdm(total=self.batches, desc=title, unit="batch", disable=None, leave=False)

    def step(self, loss, batch_size: int) -> None:
        """Count a batch. `loss` is read (which waits for a GPU) at most twice a second, and only for a visible bar."""
        self.bar.update()
        if not self.bar.disable and time.monotonic() - self._shown > 0.5:
            self._shown = time.monotonic()
            rate = self.bar.n * batch_size / max(1e-9, self.bar.format_dict["elapsed"])
            self.bar.set_postfix_str(f"loss {float(loss):.3f}, {rate:.0f} images/s", refresh=False)

    def end_epoch(self, row: dict[str, float], metric: str) -> None:
        self.bar.close()
        left = (self.epochs - row["epoch"]) * row["seconds"]
        total = left + self.folds_left * self.epochs * row["seconds"]
        print(
            f"fold {self.fold}  epoch {row['epoch']:3d}/{self.epochs}  loss {row['train/loss']:.4f}  "
            f"val loss {row['val/loss']:.4f}  {metric} {row[f'val/{metric}']:.4f}  "
            f"{row['images_per_second']:.0f} images/s  left {_clock(left)}, all folds {_clock(total)}"
        )
        sys.stdout.flush()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
