"""The prediction store: the one module that reads and writes prediction files.

A file (NumPy's npz, without pickle) holds
    ids             (N,) strings, unique
    classes         (C,) strings, the order of the columns
    probabilities   (N, C) float32, each row a distribution
    folds_sha256    string: hash of the folds.csv behind it
    labels          (N,) int64 indices into classes, where they are known
"""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from competition.errors import DataError
from competition.files import atomic_open


@dataclass(frozen=True)
class Predictions:
    """Predictions that know which rows, classes and split they belong to. Shapes as in the module's docstring."""

    ids: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray
    folds_sha256: str
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def check(self, name: str) -> "Predictions":
        """Return self when sound. Raises DataError with `name` (the file) and the first bad id otherwise."""
        p, n = self.probabilities, len(self.ids)
        if p.shape != (n, len(self.classes)) or n == 0:
            raise DataError(
                f"{name}: probabilities have shape {p.shape}, expected ({n}, {len(self.classes)}) and a row"
            )
        if len(set(self.classes)) != len(self.classes):
            raise DataError(f"{name}: a class name occurs twice in {list(self.classes)}")
        _, first, count = np.unique(self.ids, return_index=True, return_counts=True)
        _refuse(name, self.ids, np.isin(np.arange(n), first[count > 1]), "occurs more than once")
        _refuse(name, self.ids, ~np.isfinite(p).all(axis=1), "has a probability that is NaN or infinite")
        _refuse(name, self.ids, ((p < 0) | (p > 1.001)).any(axis=1), "has a probability outside 0…1")
        off = np.abs(p.sum(axis=1, dtype=np.float64) - 1) > 1e-3
        _refuse(name, self.ids, off, "has probabilities that do not sum to 1")
        if self.labels is not None:
            if self.labels.shape != (n,):
                raise DataError(f"{name}: {self.labels.shape} labels for {n} ids")
            unknown = (self.labels < 0) | (self.labels >= len(self.classes))
            _refuse(name, self.ids, unknown, "has a label outside the classes")
        return self

    def save(self, path: Path) -> None:
        """Check and write, atomically."""
        self.check(str(path))
        arrays = {
            "ids": np.asarray(self.ids, dtype=str),
            "classes": np.asarray(self.classes, dtype=str),
            "probabilities": self.probabilities.astype(np.float32),
            "folds_sha256": np.asarray(self.folds_sha256),
        }
        if self.labels is not None:
            arrays["labels"] = self.labels.astype(np.int64)
        with atomic_open(path, "wb") as file:
            np.savez(file, **arrays)

    def reordered(self, ids: np.ndarray, classes: tuple[str, ...], name: str) -> "Predictions":
        """The same predictions with rows and columns in the given order.

        Raises DataError, with `name` (the file) and the first bad id or class, when the sets are not the same.
        """
        if tuple(self.classes) == tuple(classes) and np.array_equal(self.ids, ids):
            return self
        if set(self.classes) != set(classes):
            lacks, more = sorted(set(classes) - set(self.classes)), sorted(set(self.classes) - set(classes))
            raise DataError(f"{name}: its classes are not the contest's: it lacks {lacks} and has {more} besides")
        for these, those, problem in ((ids, self.ids, "is missing"), (self.ids, ids, "does not belong here")):
            _refuse(name, these, ~np.isin(these, those), problem)
        order = np.argsort(self.ids)
        rows = order[np.searchsorted(self.ids, ids, sorter=order)]
        columns = [self.classes.index(c) for c in classes]
        labels = None if self.labels is None else np.argsort(columns)[self.labels[rows]]
        probabilities = self.probabilities[np.ix_(rows, columns)]
        return replace(self, ids=ids, classes=classes, probabilities=probabilities, labels=labels)


def load_predictions(path: Path, folds_sha256: str | None = None) -> Predictions:
    """Read and check a prediction file.

    Args:
        folds_sha256: the split it must come from; None accepts any.

    Raises DataError naming the file: missing, damaged, unsound (see `check`), or made with another split.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        predictions = Predictions(
            arrays["ids"],
            tuple(arrays["classes"].tolist()),
            arrays["probabilities"],
            str(arrays["folds_sha256"]),
            arrays.get("labels"),
        )
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a whole prediction file ({error}); delete it and make it again") from error
    if folds_sha256 is not None and predictions.folds_sha256 != folds_sha256:
        raise DataError(
            f"{path} was made with another split (folds {predictions.folds_sha256[:12]}, the contest's is "
            f"{folds_sha256[:12]}): its rows leak into each other's folds. Train the run again under another name."
        )
    return predictions.check(str(path))


def concatenate(parts: list[Predictions]) -> Predictions:
    """Stack the folds' predictions to the out-of-fold predictions of all rows. Classes and split must agree."""
    if len({(part.classes, part.folds_sha256) for part in parts}) != 1:
        raise DataError("folds of one run disagree on their classes or their split; train the run again")
    labels = None if any(part.labels is None for part in parts) else np.concatenate([part.labels for part in parts])
    ids = np.concatenate([part.ids for part in parts])
    probabilities = np.concatenate([part.probabilities for part in parts])
    return Predictions(ids, parts[0].classes, probabilities, parts[0].folds_sha256, labels)


def _refuse(name: str, ids: np.ndarray, bad: np.ndarray, problem: str) -> None:
    if bad.any():
        raise DataError(f"{name}: id {str(ids[np.argmax(bad)])!r} {problem} ({int(bad.sum())} such rows)")
