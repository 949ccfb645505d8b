"""An ensemble: its members, their weights, the scores that say what it is worth, and its folder."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from competition.contest import Contest
from competition.errors import DataError
from competition.files import atomic_open
from competition.metrics import METRICS, log_loss
from competition.submission import write_submission
from competition.tables import Rows, load_test
from folds.store import Split
from pipeline.blending import blend, convex_weights, nested_blend, true_class
from pipeline.run import Run
from pipeline.store import Predictions


@dataclass(frozen=True)
class Score:
    """A score in the contest's metric, and the log loss of the same predictions."""

    score: float
    log_loss: float


@dataclass(frozen=True)
class Ensemble:
    """A fitted ensemble.

    runs: its candidates. weights: (M,) on the simplex, in their order. gap: bound of the log loss above the optimum.
    members, oof, nested: out-of-fold probabilities (N, C) of each run, of the blend, and of the nested blend.
    in_sample: the blend's score on the rows its weights were fitted on: too good. honest: the nested blend's.
    single: each run's own score. uniform: the score of equal weights, which fits nothing.
    """

    runs: tuple[Run, ...]
    weights: np.ndarray
    gap: float
    members: tuple[np.ndarray, ...]
    oof: np.ndarray
    nested: np.ndarray
    in_sample: Score
    honest: Score
    uniform: Score
    single: tuple[Score, ...]

    @property
    def name(self) -> str:
        """A name that the same runs on the same split get again."""
        key = "\n".join([self.runs[0].folds_sha256, *(run.name for run in self.runs)])
        return f"blend-{hashlib.sha256(key.encode()).hexdigest()[:8]}"

    @property
    def best(self) -> int:
        """Index of the run with the least log loss."""
        return int(np.argmin([score.log_loss for score in self.single]))

    @property
    def selected_on_oof(self) -> bool:
        return any(run.selected_on_oof for run, w in zip(self.runs, self.weights, strict=True) if w > 0)


def fit_ensemble(contest: Contest, runs: list[Run], rows: Rows, split: Split) -> Ensemble:
    """Weight finished runs by their out-of-fold log loss.

    Raises DataError naming the file: an unfinished run, other ids, classes, labels or another split.
    """
    metric = METRICS[contest.spec.metric.name]
    members = tuple(run.oof(rows, split, contest.spec.target.classes).probabilities for run in runs)
    fitted = convex_weights(true_class(members, rows.labels))
    oof, nested = blend(members, fitted.values), nested_blend(members, rows.labels, split.fold)
    equal = blend(members, np.full(len(members), 1 / len(members)))

    def score(p: np.ndarray) -> Score:
        return Score(metric(rows.labels, p), log_loss(rows.labels, p))

    single = tuple(score(p) for p in members)
    return Ensemble(
        tuple(runs), fitted.values, fitted.gap, members, oof, nested, score(oof), score(nested), score(equal), single
    )


def write_ensemble(contest: Contest, ensemble: Ensemble, rows: Rows, split: Split, name: str) -> Path:
    """Write oof.npz, test.npz, submission.csv and, last, weights.json to ensembles/<name>; return that folder.

    Raises DataError when a member has no test predictions yet, SubmissionError when they do not fit the sample. The
    submission is checked before anything is written.
    """
    spec, folder = contest.spec, contest.ensembles / name
    test = load_test(contest)
    used = [(run, w) for run, w in zip(ensemble.runs, ensemble.weights, strict=True) if w > 0]
    missing = [str(run.folder) for run, _ in used if not (run.folder / "test.npz").is_file()]
    if missing:
        raise DataError(
            f"no test predictions yet of {', '.join(missing)}. Predict first: python infer.py {' '.join(missing)}"
        )
    parts = [run.test("test", test.ids, spec.target.classes).probabilities for run, _ in used]
    probabilities = blend(parts, np.array([w for _, w in used]))

    write_submission(contest, folder / "submission.csv", test.ids, probabilities)
    Predictions(rows.ids, spec.target.classes, ensemble.oof, split.sha256, rows.labels).save(folder / "oof.npz")
    Predictions(test.ids, spec.target.classes, probabilities, split.sha256).save(folder / "test.npz")
    with atomic_open(folder / "weights.json") as file:
        json.dump(_record(contest, ensemble), file, indent=1)
    return folder


def _record(contest: Contest, ensemble: Ensemble) -> dict:
    return {
        "metric": contest.spec.metric.name,
        "oof_score": ensemble.in_sample.score,
        "nested_score": ensemble.honest.score,
        "in_sample": asdict(ensemble.in_sample),
        "nested": asdict(ensemble.honest),
        "uniform": asdict(ensemble.uniform),
        "best_single": {"run": ensemble.runs[ensemble.best].name} | asdict(ensemble.single[ensemble.best]),
        "duality_gap": ensemble.gap,
        "selected_on_oof": ensemble.selected_on_oof,
        "folds_sha256": ensemble.runs[0].folds_sha256,
        "weights": {run.name: float(w) for run, w in zip(ensemble.runs, ensemble.weights, strict=True)},
    }


def runs_table(contest: Contest, ensemble: Ensemble) -> str:
    """Every candidate with its scores, cost and weight, best log loss first; then the blends. As text."""
    metric = contest.spec.metric.name
    head = f"{metric:>10}{'sd':>8}{'log loss':>10}"
    width = max(24, *(len(run.name) for run in ensemble.runs)) + 2
    lines = [f"{'run':<{width}}{head}{'images/s':>10}{'minutes':>9}{'weight':>8}"]
    for i in np.argsort([score.log_loss for score in ensemble.single]):
        run, score = ensemble.runs[i], ensemble.single[i]
        results = [fold.result() for fold in run.folds]
        spread = np.std([result["score"] for result in results], ddof=1)
        lines.append(
            f"{run.name:<{width}}{score.score:>10.4f}{spread:>8.4f}{score.log_loss:>10.4f}"
            f"{np.median([result['images_per_second'] for result in results]):>10.0f}"
            f"{sum(result['seconds'] for result in results) / 60:>9.1f}{ensemble.weights[i]:>8.3f}"
            + ("  selected on OOF: too good" if run.selected_on_oof else "")
        )
    for title, score in (
        ("equal weights", ensemble.uniform),
        ("these weights, in sample", ensemble.in_sample),
        ("these weights, nested", ensemble.honest),
    ):
        lines.append(f"{title:<{width}}{score.score:>10.4f}{'':>8}{score.log_loss:>10.4f}")
    return "\n".join(lines)
