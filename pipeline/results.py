"""Finished runs and ensembles as one table: what each costs, and how good it is on rows that it has not seen."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blending.rules import combine
from blending.truth import kind_of
from competition.contest import Contest
from competition.images import read_image
from competition.rows.tables import Rows
from folds.store import Split
from pipeline.comparison import read_record
from pipeline.comparison_text import TOO_GOOD
from pipeline.costs import Cost, cost_of
from pipeline.ensemble_folder import read_blend
from pipeline.run import Run


@dataclass(frozen=True)
class Part:
    """Labelled rows that no fold was trained on. name: "holdout" or "test", as the prediction files are called."""

    name: str
    ids: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Result:
    """What the table says of a run or an ensemble.

    cost: of one network of each run. oof: mean of the folds' scores, of an ensemble its nested score. spread: sd of the
    folds' scores. scores: by the parts' names, where they were predicted. minutes: of training, all folds. machines:
    where that was; runs of earlier versions do not say it.
    """

    name: str
    about: str
    cost: Cost
    oof: float
    spread: float | None
    scores: dict[str, float]
    minutes: float
    machines: tuple[str, ...]

    @property
    def is_ensemble(self) -> bool:
        return self.spread is None


def result_of_run(contest: Contest, rows: Rows, split: Split, run: Run, parts: Sequence[Part]) -> Result:
    """A run's row. Raises DataError: the run is not finished, is scored in another metric, or its files do not fit."""
    run.oof(rows, split, contest.classes)  # of these folds, with these labels
    record, scores = read_record(contest, run), {}
    for part in parts:
        if (run.folder / f"{part.name}.npz").is_file():
            predictions = run.test(part.name, part.ids, contest)
            scores[part.name] = contest.metric(part.labels, predictions.probabilities)
    height, width, channels = read_image(rows.images[0], run.recipe.image.channels).shape
    shape = (*(run.recipe.image.size or (height, width)), channels)
    return Result(
        run.name,
        _counted(run.recipe.schedule.epochs, "epoch") + (f"; {TOO_GOOD}" if run.selected_on_oof else ""),
        cost_of(run.recipe.model, len(contest.classes), shape, contest.spec.target.family),
        float(record.scores.mean()),
        float(record.scores.std(ddof=1)),
        scores,
        record.minutes,
        tuple(sorted({result["machine"] for result in record.results.values() if "machine" in result})),
    )


def result_of_ensemble(contest: Contest, rows: Rows, split: Split, folder: Path, parts: Sequence[Part]) -> Result:
    """An ensemble's row, with the costs of the runs that it uses. Raises DataError also where one of them is gone."""
    members, blend, decision = read_blend(folder / "weights.json", contest.runs)
    stored = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    runs = [run for member in members for run in member.runs]
    singles = [result_of_run(contest, rows, split, run, parts) for run in runs]
    kind, scores = kind_of(contest.spec.target.family), {}
    for part in parts:
        if all(part.name in single.scores for single in singles):
            (p,) = combine([blend], lambda j, part=part: members[j].test(part.name, part.ids, contest), kind)
            scores[part.name] = contest.metric(part.labels, decision.apply(p))
    return Result(
        folder.name,
        f"{_counted(len(runs), 'run')}, {stored['method']}" + (f"; {TOO_GOOD}" if stored["selected_on_oof"] else ""),
        sum((single.cost for single in singles), Cost(0, 0)),
        stored["nested_score"],
        None,
        scores,
        sum(single.minutes for single in singles),
        tuple(sorted({machine for single in singles for machine in single.machines})),
    )


def results_table(contest: Contest, results: Sequence[Result], parts: Sequence[Part]) -> str:
    """The results in the given order, as a Markdown table, aligned to be read as it is."""
    metric, n = contest.metric.name, contest.spec.folds.n
    head = ["run", "how", "parameters", "GFLOP", f"OOF {metric}, mean ± sd of {n} folds"]
    head += [f"{part.name} ({len(part.ids):,})" for part in parts] + ["minutes"]
    lines = [head]
    for result in results:
        oof = f"{result.oof:.4f}" + (" (nested)" if result.is_ensemble else f" ± {result.spread:.4f}")
        scores = [f"{result.scores[part.name]:.4f}" if part.name in result.scores else "–" for part in parts]
        minutes = f"{result.minutes:.1f}" + (f" on {', '.join(result.machines)}" if result.machines else "")
        cost = [f"{result.cost.parameters / 1e6:.2f} M", f"{result.cost.flops / 1e9:.3g}"]
        lines.append([result.name, result.about, *cost, oof, *scores, minutes])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in (lines[0], rule, *lines[1:])
    )


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" + "s" * (n != 1)
