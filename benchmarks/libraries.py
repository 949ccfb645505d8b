"""Libraries of models to blend: real ones, made in seconds or read from files, and larger ones that resemble them."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from competition.errors import DataError

FOLDS = 5
DATA = {"digits": load_digits, "breast cancer": load_breast_cancer, "wine": load_wine}  # embedded in scikit-learn
KEYS = ("oof", "test", "y", "y_test", "fold")


@dataclass(frozen=True)
class Matrix:
    """Predictions of M models for N training rows, each by a model that did not see it, and for test rows.

    oof: (M, N, C), test: (M, N_test, C) distributions, float32. y: (N,), y_test: (N_test,) class indices. fold: (N,).
    """

    name: str
    oof: np.ndarray
    test: np.ndarray
    y: np.ndarray
    y_test: np.ndarray
    fold: np.ndarray


def load(path: Path) -> Matrix:
    """The matrix in an .npz file. Raises DataError."""
    try:
        with np.load(path) as file:
            return Matrix(path.stem, *(file[key] for key in KEYS))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: must be an .npz file that holds {', '.join(KEYS)} ({error})") from error


def make(data: str, seed: int) -> Matrix:
    """Train the models on half the rows of a data set of DATA; a test prediction is the mean of those of the folds."""
    x, y = DATA[data](return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.5, stratify=y, random_state=seed)
    fold = np.empty(len(y), dtype=np.int8)
    for k, (_, held_out) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y)):
        fold[held_out] = k
    models = _models(seed)
    oof, test = (np.zeros((len(models), len(rows), y.max() + 1), dtype=np.float32) for rows in (y, y_test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the network stops early: a library has such members
        for j, model in enumerate(models):
            for k in range(FOLDS):
                fitted = clone(model).fit(x[fold != k], y[fold != k])
                oof[j, fold == k] = fitted.predict_proba(x[fold == k])
                test[j] += fitted.predict_proba(x_test) / FOLDS
    return Matrix(f"{data} {seed}", oof, test, y, y_test, fold)


def _models(seed: int) -> list[ClassifierMixin]:
    models = [
        LogisticRegression(C=0.01),
        LogisticRegression(),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        QuadraticDiscriminantAnalysis(reg_param=0.3),
        GaussianNB(var_smoothing=1e-2),
        KNeighborsClassifier(5),
        KNeighborsClassifier(25, weights="distance"),
        DecisionTreeClassifier(min_samples_leaf=5, random_state=seed),
        RandomForestClassifier(50, random_state=seed),
        ExtraTreesClassifier(50, random_state=seed),
        make_pipeline(Nystroem(gamma=0.01, n_components=50, random_state=seed), LogisticRegression(C=10)),
        MLPClassifier((64,), max_iter=60, random_state=seed),
    ]
    return [make_pipeline(StandardScaler(), model) for model in models]


def members_like(matrix: Matrix, members: int, n: int) -> Iterator[np.ndarray]:
    """Members' probabilities of the truth, (n,) float32 each: rows of the matrix, drawn with replacement.

    A member is a mixture of two of the matrix', in logits, plus noise that all share and noise of its own, so that
    members are as much alike as in a library, and no two are the same.
    """
    rng = np.random.default_rng(0)
    t = np.clip(matrix.oof[:, np.arange(len(matrix.y)), matrix.y], 1e-6, 1 - 1e-6)
    logits, rows = np.log(t / (1 - t)), rng.integers(0, len(matrix.y), n)
    shared = rng.normal(0, 0.5, n)
    for _ in range(members):
        one, other = rng.choice(len(logits), 2, replace=False)
        share = rng.uniform()
        mixture = (share * logits[one] + (1 - share) * logits[other])[rows]
        yield (1 / (1 + np.exp(-(mixture + shared + rng.normal(0, 0.5, n))))).astype(np.float32)


def library_like(matrix: Matrix, members: int, n: int) -> np.ndarray:
    """The same as one array (members, n)."""
    t = np.empty((members, n), dtype=np.float32)  # filled row by row: a list of a large library would be a second one
    for j, member in enumerate(members_like(matrix, members, n)):
        t[j] = member
    return t


def distributions(t: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """(n, classes) float32 with probability t (n,) at y (n,), and the remainder spread over the other classes."""
    p = np.repeat(((1 - t) / (classes - 1))[:, None], classes, axis=1)
    p[np.arange(len(y)), y] = t
    return p
