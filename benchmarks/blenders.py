"""What benchmarks.blend compares: functions from out-of-fold predictions to weights, the kit's and its peers'.

The kit's take predictions (M, N, C) and class indices (N,); the peers' take what `peer_form` makes of the predictions.
Peers are imported when they are called, as they may be missing.
"""

import contextlib
import io
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.libraries import FOLDS, Matrix
from blending.convex import least_log_loss
from blending.greedy import greedy_log_loss
from blending.methods import PICKS, choose, fit, nested_losses, open_library
from blending.rules import Blend, combine
from blending.truth import SMALLEST, Truth

Weigh = Callable[[np.ndarray, np.ndarray], np.ndarray]


def true_class(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The members' probabilities of the truth, (M, N) float32, as the kit reduces them."""
    return open_library(p.__getitem__, len(p), Truth("classes", y), np.zeros(len(y))).reduced[..., 0]


def greedy(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return greedy_log_loss(true_class(p, y), PICKS).values


def convex(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return least_log_loss(true_class(p, y)).values


def bagged(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The method `convex` as it is used: bagged, and fitted once more without each fold."""
    library = open_library(p.__getitem__, len(p), Truth("classes", y), np.arange(len(y)) % FOLDS)
    return fit("convex", library).blend.weights


OURS: dict[str, Weigh] = {"greedy": greedy, "convex": convex, "convex, bagged and nested": bagged}


def peer_form(p: np.ndarray) -> np.ndarray:
    """Predictions (M, N, C) as they are; of two classes, (M, N) float64 of the second.

    It is taken from the smaller of the two probabilities, as 1 - p loses what float32 knows about a p near 0.
    """
    if p.shape[2] > 2:
        return p
    return np.where(p[..., 1] < 0.5, p[..., 1], 1 - p[..., 0].astype(np.float64))


def autogluon(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    selection = autogluon_selection(p, y, PICKS)
    return selection.weights_


def autogluon_selection(p: np.ndarray, y: np.ndarray, picks: int, use_best: bool = True) -> Any:
    """AutoGluon's fitted EnsembleSelection. `use_best`: forget the picks behind the best prefix."""
    from autogluon.core.metrics import log_loss
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

    selection = EnsembleSelection(picks, "binary" if p.ndim == 2 else "multiclass", log_loss)
    selection.use_best = use_best
    return selection.fit(list(p), y)


def hillclimbers(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Its climb_hill at its default precision, 0.01; the metric is the fastest that a user would write."""
    return _climb_hill(p, y, _binary_log_loss)


def hillclimbers_as_documented(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The same with scikit-learn's metric, as in its own examples: far slower, and the same weights."""
    from sklearn.metrics import log_loss

    return _climb_hill(p, y, log_loss)


def _climb_hill(p: np.ndarray, y: np.ndarray, metric: Callable[[Any, Any], float]) -> np.ndarray:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an invalid escape sequence in its source, where it is compiled
        from hillclimbers import climb_hill, partial

    members = [str(j) for j in range(len(p))]
    with contextlib.redirect_stdout(io.StringIO()):
        return climb_hill(
            train=pd.DataFrame({"y": y}),
            oof_pred_df=pd.DataFrame(p.T, columns=members),
            # It returns the blend of these "test predictions", one row per member: the weights themselves.
            test_pred_df=pd.DataFrame(np.eye(len(p)), columns=members),
            target="y",
            objective="minimize",
            eval_metric=partial(metric),
            plot_hill=False,
        )


def _binary_log_loss(y: Any, p: Any) -> float:
    y, p = y.to_numpy(), p.to_numpy()
    return -np.log(np.maximum(np.where(y == 1, p, 1 - p), SMALLEST)).mean()


PEERS: dict[str, tuple[str, Weigh]] = {  # with the module that each needs
    "AutoGluon": ("autogluon.core", autogluon),
    "hillclimbers": ("hillclimbers", hillclimbers),
}


def installed() -> list[str]:
    return [name for name, (module, _) in PEERS.items() if _exists(module)]


def peers(classes: int) -> dict[str, Weigh]:
    """The installed peers that can blend so many classes."""
    return {name: PEERS[name][1] for name in installed() if classes == 2 or name != "hillclimbers"}


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False


def quality(matrix: Matrix) -> dict[str, Any]:
    """Log loss of every method and peer on one matrix: in sample, nested and on the test rows; and the certificate."""
    truth, test_truth = Truth("classes", matrix.y), Truth("classes", matrix.y_test)
    read, read_test = matrix.oof.__getitem__, matrix.test.__getitem__
    library = open_library(read, len(matrix.oof), truth, matrix.fold)

    def losses(blend: Blend, nested: float) -> dict[str, float]:
        (p,), (p_test,) = combine([blend], read, truth.kind), combine([blend], read_test, truth.kind)
        in_sample, test = float(truth.losses(p).mean()), float(test_truth.losses(p_test).mean())
        return {"in sample": in_sample, "nested": nested, "test": test}

    accepted, tried = choose(library)
    found = {fitted.method: losses(fitted.blend, fitted.loss) for fitted in [*tried, fit("greedy", library)]}
    theirs = peer_form(matrix.oof)
    for name, weigh in peers(matrix.oof.shape[2]).items():
        seen = [library.complement(rows) for rows in library.folds]
        nested = nested_losses(library, [weigh(theirs[:, rows], matrix.y[rows]) for rows in seen])
        found[name] = losses(Blend(weigh(theirs, matrix.y)), float(nested.mean()))
    found["auto"] = found[accepted.method]
    members, rows, classes = matrix.oof.shape
    return {
        "name": matrix.name,
        "members": members,
        "rows": rows,
        "classes": classes,
        "test_rows": len(matrix.y_test),
        "chosen": accepted.method,
        "log_loss": found,
        "certificate": _certificate(library.reduced[..., 0], theirs, matrix.y),
    }


def _certificate(t: np.ndarray, theirs: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """That the optimum is one, and that the greedy selection is AutoGluon's.

    AutoGluon rounds losses to 6 decimals, and draws lots among equals: where two members nearly tie it may pick another
    one, and its losses may differ from then on. At that pick they still agree.
    """
    optimum, ours = least_log_loss(t), greedy_log_loss(t, 100)
    above = -np.log(optimum.values @ t.astype(np.float64)).mean() - min(ours.losses)
    found = {"gap": optimum.gap, "above_greedy_100": float(above)}
    holds = optimum.gap <= 1e-5 and above <= 1e-6
    if "AutoGluon" in installed():
        peer = autogluon_selection(theirs, y, PICKS, use_best=False)
        picks = len(peer.trajectory_)
        difference = np.abs(np.array(peer.trajectory_) - ours.losses[:picks])
        same = next((k for k in range(picks) if peer.indices_[k] != ours.order[k]), picks)
        found |= {"same_picks": same, "difference": float(difference[: same + 1].max())}
        found["difference_later"] = float(difference.max())
        holds &= found["difference"] <= 2e-6
    return found | {"holds": bool(holds)}
