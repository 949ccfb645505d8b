"""A run's folds side by side: as text, and as Weights & Biases runs (one group per run, one W&B run per fold)."""

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from blending.truth import truth_of
from competition.contest import Contest
from competition.files import atomic_open
from competition.rows.tables import Rows
from folds.store import Split
from pipeline.class_errors import MAPPED
from pipeline.mistakes import TITLES, read_mistakes, worst_mistakes
from pipeline.pictures import draw_mistakes
from pipeline.run import Fold, Run
from pipeline.tracking import NullTracker, track


def fold_table(contest: Contest, run: Run) -> str:
    """The finished folds' scores with their mean and standard deviation over folds, as text."""
    results = {fold.number: fold.result() for fold in run.folds if fold.done}
    if not results:
        return f"{run.name}: no fold is finished"
    metric = next(iter(results.values()))["metric"]
    loss = contest.spec.target.loss_name
    wide, wide_loss = max(12, len(metric) + 2), max(12, len(loss) + 2)
    lines = [f"{'fold':>6}{metric:>{wide}}{loss:>{wide_loss}}{'images/s':>12}{'minutes':>12}"]
    for number, result in results.items():
        lines.append(
            f"{number:>6}{result['score']:>{wide}.4f}{result['loss']:>{wide_loss}.4f}"
            f"{result['images_per_second']:>12.0f}{result['seconds'] / 60:>12.1f}"
        )
    scores, losses = (np.array([result[key] for result in results.values()]) for key in ("score", "loss"))
    lines.append(f"{'mean':>6}{scores.mean():>{wide}.4f}{losses.mean():>{wide_loss}.4f}")
    if len(scores) > 1:
        lines.append(f"{'sd':>6}{scores.std(ddof=1):>{wide}.4f}{losses.std(ddof=1):>{wide_loss}.4f}")
    if run.selected_on_oof:
        lines.append("selected on OOF: each fold's best epoch was chosen on that fold, so these scores are too good")
    return "\n".join(lines)


def track_fold(mode: str, contest: Contest, run: Run, fold: Fold) -> AbstractContextManager[NullTracker]:
    """The W&B run of one fold. Its id depends on the run and the split, so that a resumed fold goes on in it."""
    return track(
        mode,
        project=contest.slug,
        group=run.name,
        job_type="fold",
        run_id=f"{run.name}-{run.folds_sha256[:8]}-f{fold.number}",
        name=f"{run.name}-f{fold.number}",
        tags=_tags("cv", run),
        config=_config(run) | {"fold": fold.number},
        folder=contest.runs,
    )


def write_mistakes(contest: Contest, run: Run, rows: Rows, split: Split) -> Path:
    """Draw a finished run's worst mistakes to worst.png in its folder, and return its path."""
    classes, family = contest.classes, contest.spec.target.family
    mistakes = worst_mistakes(rows, run.oof(rows, split, classes).probabilities, classes, family)
    title = f"{run.name}: the {len(mistakes)} {TITLES[family]} among {len(rows):,} rows, the worst first (OOF)"
    with atomic_open(run.mistakes, "wb") as file:
        file.write(draw_mistakes(title, mistakes))
    return run.mistakes


def track_summary(mode: str, contest: Contest, run: Run, rows: Rows, split: Split) -> None:
    """The W&B run that sums up a finished run: scores over all folds, the worst mistakes, the folds and their files."""
    classes, metric, family = contest.classes, contest.metric, contest.spec.target.family
    oof = run.oof(rows, split, classes)
    results = [fold.result() for fold in run.folds]
    scores = np.array([result["score"] for result in results])
    mistakes = worst_mistakes(rows, oof.probabilities, classes, family)
    images = read_mistakes(mistakes)  # before the mirror starts: a missing image is no failure of the run there
    columns = ["score", "loss", "images_per_second", "seconds"]
    with track(
        mode,
        project=contest.slug,
        group=run.name,
        job_type="summary",
        run_id=f"{run.name}-{run.folds_sha256[:8]}-summary",
        name=f"{run.name}-summary",
        tags=_tags("summary", run),
        config=_config(run),
        folder=contest.runs,
    ) as tracker:
        tracker.summarise(
            {
                f"oof/{metric.name}": metric(rows.labels, oof.probabilities),
                "oof/loss": float(truth_of(family, rows.labels).losses(oof.probabilities).mean()),
                f"cv/{metric.name}": float(scores.mean()),
                f"cv/{metric.name}_sd": float(scores.std(ddof=1)),
                "selected_on_oof": run.selected_on_oof,
            }
        )
        if family == "classes" and len(classes) <= MAPPED:
            tracker.confusion_matrix(rows.labels, oof.probabilities.argmax(axis=1), classes)
        if mistakes:
            tracker.gallery("worst_mistakes", images, [mistake.caption for mistake in mistakes])
        tracker.table(
            "folds", ["fold", *columns], [[k, *(result[c] for c in columns)] for k, result in enumerate(results)]
        )
        for fold in run.folds:
            tracker.artifact(fold.oof, f"{run.name}-f{fold.number}-oof", "oof")


def _tags(kind: str, run: Run) -> list[str]:
    return [kind, run.recipe.model.name, *([f"sweep:{run.sweep}"] if run.sweep else [])]


def _config(run: Run) -> dict:
    sweep = {"sweep": run.sweep} if run.sweep else {}  # the table of runs can be grouped by it
    return run.recipe.model_dump(mode="json") | {"recipe": run.recipe_name, "seed": run.seed} | sweep
