"""The prediction store: the one module that reads and writes prediction files.

A file (NumPy's npz, without pickle) holds
    ids             (N,) strings, unique
    classes         (C,) strings, the order of the columns
    family          string, of the target; a file of earlier versions, which has none, is of the family classes
    probabilities   (N, C) float32: each row a distribution (classes, shares), numbers from 0 to 1 (labels), or any
                    finite numbers (values)
                    Of more than a thousand classes, instead of it the most probable ones of each row (`Sparse`):
                    kept_classes int32 and kept_probabilities float16, one row's after the other's, and kept (N,) int64,
                    how many there are of each row
    folds_sha256    string: hash of the folds.csv behind it
    labels          where they are known: (N,) int64 indices into classes (classes), (N, C) uint8 zeros and ones
                    (labels), (N, C) float32 (shares, values)
    trained_sha256  string: of a mean of a run's folds, `Run.trained_sha256`; else, and in earlier versions, empty
    source_sha256   string, likewise: `Spec.made_from`, of the rows that were predicted
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from competition.errors import DataError
from competition.files import atomic_open
from competition.sparse import Sparse, from_entries, stacked
from competition.spec_parts import Family

LABELS = {"classes": np.int64, "labels": np.uint8, "shares": np.float32, "values": np.float32}
LEAST = 2.0**-24  # the smallest number above 0 that float16 has
AT_ONCE = 4_000_000  # numbers that are looked at together: with many classes, a whole file would be copied


@dataclass(frozen=True)
class Predictions:
    """Predictions that know which rows, classes and split they belong to. Shapes as in the module's docstring."""

    ids: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray | Sparse
    folds_sha256: str
    labels: np.ndarray | None = None
    family: Family = "classes"
    trained_sha256: str = ""
    source_sha256: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    def check(self, name: str) -> "Predictions":
        """Return self when sound. Raises DataError with `name` (the file) and the first bad id otherwise."""
        p, n = self.probabilities, len(self.ids)
        if self.family not in get_args(Family):
            raise DataError(f"{name}: its family {self.family!r} is none of {', '.join(get_args(Family))}")
        if p.shape != (n, len(self.classes)) or p.size == 0:
            raise DataError(
                f"{name}: probabilities have shape {p.shape}, expected ({n}, {len(self.classes)}), and not empty"
            )
        if len(set(self.classes)) != len(self.classes):
            raise DataError(f"{name}: a class name occurs twice in {list(self.classes)}")
        _, first, count = np.unique(self.ids, return_index=True, return_counts=True)
        _refuse(name, self.ids, np.isin(np.arange(n), first[count > 1]), "occurs more than once")
        if isinstance(p, Sparse):
            self._check_kept(name, p)
        else:
            self._check_all(name, p)
        if self.labels is not None:
            self._check_labels(name, self.labels)
        return self

    def _check_kept(self, name: str, p: Sparse) -> None:
        rows, _, values = p.entries()
        good = np.isfinite(p.base) & (p.base >= 0)
        good[rows[~((values >= 0) & (values <= 1.001))]] = False
        _refuse(name, self.ids, ~good, "has a probability that is not in 0…1")
        _refuse(name, self.ids, np.abs(p.sums() - 1) > 1e-2, "has probabilities that do not sum to 1")

    def _check_all(self, name: str, p: np.ndarray) -> None:
        number = "number" if self.family == "values" else "probability"
        self._all_rows(name, p, _is_finite, f"has a {number} that is NaN or infinite")
        if self.family != "values":
            self._all_rows(name, p, _is_probability, "has a probability outside 0…1")
        if self.family in ("classes", "shares"):
            self._all_rows(name, p, _is_distribution, "has probabilities that do not sum to 1")

    def _check_labels(self, name: str, labels: np.ndarray) -> None:
        if labels.shape != ((len(self),) if self.family == "classes" else self.probabilities.shape):
            raise DataError(f"{name}: labels of shape {labels.shape} for {len(self)} ids")
        if self.family == "classes":
            unknown = (labels < 0) | (labels >= len(self.classes))
            _refuse(name, self.ids, unknown, "has a label outside the classes")
        elif self.family == "labels":
            self._all_rows(name, labels, lambda y: ((y == 0) | (y == 1)).all(axis=1), "has a label that is not 0 or 1")
        else:
            self._all_rows(name, labels, _is_finite, "has a label that is NaN or infinite")
        if self.family == "shares":
            self._all_rows(name, labels, _is_distribution, "has labels that do not sum to 1")

    def _all_rows(self, name: str, array: np.ndarray, good: Callable[[np.ndarray], np.ndarray], problem: str) -> None:
        step = max(1, AT_ONCE // array.shape[1])
        bad = [~good(array[start : start + step]) for start in range(0, len(array), step)]
        _refuse(name, self.ids, np.concatenate(bad), problem)

    def save(self, path: Path) -> None:
        """Check and write, atomically."""
        self.check(str(path))
        arrays = {
            "ids": np.asarray(self.ids, dtype=str),
            "classes": np.asarray(self.classes, dtype=str),
            "folds_sha256": np.asarray(self.folds_sha256),
            "family": np.asarray(self.family),
            "trained_sha256": np.asarray(self.trained_sha256),
            "source_sha256": np.asarray(self.source_sha256),
        }
        if isinstance(self.probabilities, Sparse):
            rows, classes, values = self.probabilities.entries()
            arrays["kept"] = np.bincount(rows, minlength=len(self))
            arrays["kept_classes"] = classes.astype(np.int32)
            # What float16 would round to 0 was not impossible, and must not cost an infinite loss.
            arrays["kept_probabilities"] = np.where(values > 0, np.maximum(values, LEAST), 0).astype(np.float16)
        else:
            arrays["probabilities"] = self.probabilities.astype(np.float32, copy=False)
        if self.labels is not None:
            arrays["labels"] = self.labels.astype(LABELS[self.family], copy=False)
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
        labels = None if self.labels is None else self.labels[rows]
        moved = replace(self, ids=ids, probabilities=self.probabilities[rows], labels=labels)
        return moved if tuple(self.classes) == tuple(classes) else moved._with_columns(classes)

    def _with_columns(self, classes: tuple[str, ...]) -> "Predictions":
        place = {name: column for column, name in enumerate(self.classes)}
        columns = np.array([place[name] for name in classes])
        labels = self.labels
        if labels is not None:
            labels = np.argsort(columns)[labels] if self.family == "classes" else labels[:, columns]
        p = self.probabilities
        p = p.with_columns(columns) if isinstance(p, Sparse) else p[:, columns]
        return replace(self, classes=classes, probabilities=p, labels=labels)


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
            _probabilities(arrays),
            str(arrays["folds_sha256"]),
            arrays.get("labels"),
            str(arrays.get("family", "classes")),
            str(arrays.get("trained_sha256", "")),
            str(arrays.get("source_sha256", "")),
        )
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except PermissionError:
        raise  # nothing is wrong with the file
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a whole prediction file ({error}); delete it and make it again") from error
    if folds_sha256 is not None and predictions.folds_sha256 != folds_sha256:
        raise DataError(
            f"{path} was made with another split (folds {predictions.folds_sha256[:12]}, the contest's is "
            f"{folds_sha256[:12]}): its rows leak into each other's folds. Train the run again under another name."
        )
    return predictions.check(str(path))


def concatenate(parts: list[Predictions]) -> Predictions:
    """Stack the folds' predictions to the out-of-fold predictions of all rows. Classes, family and split must agree."""
    if len({(part.classes, part.family, part.folds_sha256) for part in parts}) != 1:
        raise DataError("folds of one run disagree on their classes, family or split; train the run again")
    labels = None if any(part.labels is None for part in parts) else np.concatenate([part.labels for part in parts])
    ids = np.concatenate([part.ids for part in parts])
    each = [part.probabilities for part in parts]
    probabilities = stacked(each) if isinstance(each[0], Sparse) else np.concatenate(each)
    return replace(parts[0], ids=ids, probabilities=probabilities, labels=labels)


def _probabilities(arrays: dict[str, np.ndarray]) -> np.ndarray | Sparse:
    if "kept" not in arrays:
        return arrays["probabilities"]
    count, n = arrays["kept"], len(arrays["classes"])
    if count.sum() != len(arrays["kept_classes"]) or (count < 0).any() or not (arrays["kept_classes"] >= 0).all():
        raise ValueError("the kept probabilities are not those of its rows")
    return from_entries(count, arrays["kept_classes"], arrays["kept_probabilities"].astype(np.float32), n)


def _is_finite(p: np.ndarray) -> np.ndarray:
    return np.isfinite(p).all(axis=1)


def _is_probability(p: np.ndarray) -> np.ndarray:
    return ((p >= 0) & (p <= 1.001)).all(axis=1)


def _is_distribution(p: np.ndarray) -> np.ndarray:
    return _is_probability(p) & (np.abs(p.sum(axis=1, dtype=np.float64) - 1) <= 1e-3)


def _refuse(name: str, ids: np.ndarray, bad: np.ndarray, problem: str) -> None:
    if bad.any():
        raise DataError(f"{name}: id {str(ids[np.argmax(bad)])!r} {problem} ({int(bad.sum())} such rows)")
