"""Early discarding in a sweep: successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943), synchronous.

At each rung, all points that are left have been trained for the same share of fold 0's epochs; the best of them go on.
Which these are follows from their scores alone: it is the same however many are trained at once, and however often the
sweep was interrupted.

No library does this with commands that go on from checkpoints. Optuna's pruner and Ray Tune's ASHA compare a point with
those that came before it, so that its fate depends on timing; scikit-learn's halving search trains anew at every rung;
Ray Tune's synchronous HyperBand pauses functions that Tune itself calls.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from competition.errors import DataError, SpecError
from competition.files import atomic_open
from competition.metrics import Scale
from competition.strict_yaml import Strict, build, read_yaml
from launch.job import Job, fold_task
from launch.plan import PlannedRun
from launch.sweep import Halving, Sweep
from launch.tasks import Failure, FoldTask
from pipeline.discarded import Discarded, write_discarded
from pipeline.run import Run

Launcher = Callable[[list[FoldTask]], list[Failure]]


class Rung(Strict):
    """How the points stood at a rung, by label: the mean of their seeds' scores, None where training failed."""

    scores: dict[str, float | None]
    kept: tuple[str, ...]


class Decisions(Strict):
    """The file of a halving sweep: its plan, and its rungs so far. What was decided once stays so."""

    runs: tuple[str, ...]
    halving: Halving
    rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    """A point with its runs, one for each seed. epochs: of its fold 0, at each rung."""

    label: str
    planned: list[PlannedRun]
    runs: list[Run]
    epochs: list[int]

    @property
    def discarded(self) -> Discarded | None:
        return next((run.discarded for run in self.runs if run.discarded), None)

    def tasks(self, job: Job, shared: Sequence[str], rung: int) -> list[FoldTask]:
        """What is left to do until a rung."""
        tasks = []
        for planned, run in zip(self.planned, self.runs, strict=True):
            until = self.epochs[rung] if self.epochs[rung] < run.recipe.schedule.epochs else None
            tasks.append(fold_task(job.contest, run, planned, 0, shared, until))
        return [task for task in tasks if not task.finished]

    def score(self, rung: int, metric: str) -> float:
        """The mean of its seeds' scores at a rung. Raises DataError when one is not known."""
        scores = []
        for run in self.runs:
            row = next((row for row in run.folds[0].history() if row["epoch"] == self.epochs[rung]), {})
            if f"val/{metric}" not in row:
                raise DataError(
                    f"{run.folds[0].metrics} has no val/{metric} at epoch {self.epochs[rung]}, where the points of the "
                    f"sweep are compared; delete {run.folds[0].folder}, and the same command trains it anew"
                )
            scores.append(row[f"val/{metric}"])
        return sum(scores) / len(scores)


@dataclass(frozen=True)
class _Result:
    """Of a candidate at a rung. score: None where training failed for `reason`."""

    candidate: _Candidate
    score: float | None
    reason: str = ""


def halve(job: Job, shared: Sequence[str], launch: Launcher, until: int | None = None) -> tuple[Job, list[Failure]]:
    """Train fold 0 of every sweep with `halving` from rung to rung, and discard points on the way.

    Args:
        shared: arguments of train.py that every task takes.
        until: of --stop-after, which no sweep with halving takes.

    Returns:
        The job without the runs that are discarded, and without sweeps that cannot be decided because tasks failed;
        and these failures.

    Raises SpecError when a sweep was changed since its first decision.
    """
    failures = []
    for sweep in dict.fromkeys(planned.sweep for planned in job.planned if planned.sweep):
        if sweep.halving is None:
            continue
        if until is not None:
            raise SpecError(f"--stop-after {until}: {sweep.path} has halving, which says itself where its folds stop")
        candidates = _candidates(job, sweep)
        if failed := _halve(job, sweep, candidates, shared, launch):
            failures += failed
            job = job.part(lambda planned, _, its=sweep: planned.sweep != its)
    for run in job.runs:
        if run.discarded:
            print(f"{run.name}: {run.discarded.told}")
    return job.part(lambda _, run: run.discarded is None), failures


def survivors(scores: Sequence[float | None], keep: float, scale: Scale) -> list[int]:
    """The places of the points that go on, the best first: `keep` of all, rounded up. Of equals, the first is better.

    Args:
        scores: None for a point whose training failed; it never goes on.
    """
    scored = [place for place, score in enumerate(scores) if score is not None]
    best = sorted(scored, key=lambda place: -scale.gain(scores[place], 0.0))  # sorting is stable
    return best[: math.ceil(Fraction(str(keep)) * len(scores))]


def _candidates(job: Job, sweep: Sweep) -> list[_Candidate]:
    candidates = []
    for point in sweep.points:
        part = job.part(lambda planned, _, its=point: planned.sweep == sweep and planned.point == its)
        epochs = sweep.halving.epochs(part.runs[0].recipe.schedule.epochs)
        candidates.append(_Candidate(point.label, part.planned, part.runs, epochs))
    return candidates


def _halve(
    job: Job, sweep: Sweep, candidates: list[_Candidate], shared: Sequence[str], launch: Launcher
) -> list[Failure]:
    """Decide all rungs that are not decided yet. Returns the failures that leave no point, or make it impossible."""
    path, metric = job.contest.runs / "sweeps" / f"{sweep.name}.json", job.contest.metric
    decisions = _read_decisions(path, sweep, candidates)
    for rung in range(len(decisions.rungs), len(sweep.halving.after)):
        # A point that was discarded at this very rung, before the command was ended, takes part in the decision again.
        entering = [each for each in candidates if each.discarded is None or each.discarded.rung > rung]
        if not entering:
            break
        print(f"{sweep.name}: rung {rung + 1} of {len(sweep.halving.after)}, {len(entering)} points", flush=True)
        tasks = [task for each in entering if each.discarded is None for task in each.tasks(job, shared, rung)]
        for task in tasks:
            task.fold.failed.unlink(missing_ok=True)  # of an earlier attempt
        failures = launch(tasks) if tasks else []
        if not all(failure.task.fold.failed.is_file() for failure in failures):
            return failures
        reasons = {each.task.run.name: each.task.fold.failed.read_text(encoding="utf-8").strip() for each in failures}
        results = [_result(each, rung, metric.name, reasons) for each in entering]
        kept = survivors([each.score for each in results], sweep.halving.keep, metric)
        _discard(sweep.name, rung, metric, results, kept)
        # Last: what stands in the file has been carried out.
        decided = Rung(
            scores={each.candidate.label: each.score for each in results},
            kept=tuple(entering[place].label for place in kept),
        )
        decisions = decisions.model_copy(update={"rungs": (*decisions.rungs, decided)})
        with atomic_open(path) as file:
            file.write(decisions.model_dump_json(indent=1) + "\n")
        if not kept:
            return failures
    return []


def _result(candidate: _Candidate, rung: int, metric: str, reasons: dict[str, str]) -> _Result:
    """Where a candidate stands at a rung. reasons: why the training of runs failed, by their names."""
    discarded = candidate.discarded
    if discarded and discarded.rung == rung + 1:
        return _Result(candidate, discarded.score, discarded.reason)
    if reason := next((reasons[run.name] for run in candidate.runs if run.name in reasons), None):
        return _Result(candidate, None, reason)
    score = candidate.score(rung, metric)
    return _Result(candidate, None, f"val/{metric} is not a number") if math.isnan(score) else _Result(candidate, score)


def _discard(sweep: str, rung: int, metric: Scale, results: list[_Result], kept: list[int]) -> None:
    """Print how the candidates stand, and mark the runs of those that are not kept."""
    scores = [results[place].score for place in kept]
    needed = min(scores, key=lambda score: metric.gain(score, 0.0), default=None)
    others = [place for place in range(len(results)) if place not in kept]
    width = max(len(each.candidate.label) for each in results)
    for place in [*kept, *others]:
        candidate, score = results[place].candidate, results[place].score
        said = f"failed: {results[place].reason}" if score is None else f"val {metric.name} {score:.4f}"
        print(f"  {'kept' if place in kept else 'discarded':<10} {candidate.label:<{width}}  {said}", flush=True)
    for result in (results[place] for place in others):
        for run in result.candidate.runs:
            if run.discarded is None:
                discarded = Discarded(
                    sweep=sweep,
                    rung=rung + 1,
                    epoch=result.candidate.epochs[rung],
                    epochs=run.recipe.schedule.epochs,
                    metric=metric.name,
                    score=result.score,
                    needed=needed,
                    reason=result.reason,
                    when=datetime.now(UTC).isoformat(timespec="seconds"),
                )
                write_discarded(run.folder, discarded)


def _read_decisions(path: Path, sweep: Sweep, candidates: list[_Candidate]) -> Decisions:
    """What was decided so far. Raises SpecError when that was about other runs, or by other rules."""
    fresh = Decisions(runs=tuple(run.name for each in candidates for run in each.runs), halving=sweep.halving)
    if not path.is_file():
        return fresh
    decisions = build(Decisions, read_yaml(path), str(path))
    if (decisions.runs, decisions.halving) != (fresh.runs, fresh.halving):
        what = "halving" if decisions.runs == fresh.runs else "points or seeds"
        raise SpecError(
            f"{sweep.path}: points were already discarded when it had other {what}. Give the file another name; or, to "
            f"decide anew with what is trained, delete {path} and the files DISCARDED of its runs"
        )
    return decisions
