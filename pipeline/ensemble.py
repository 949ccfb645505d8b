"""An ensemble: which runs are its members, their weights, and the scores that say what it is worth."""

import functools
import hashlib
from dataclasses import dataclass, replace

import numpy as np

from blending.decisions import Decision, decisions_for, first_decision, fit_decision
from blending.evidence import FEW_ROWS, Evidence, compare, resampled_gains
from blending.methods import RICHER, Fitted, Library, choose, fit, open_library
from blending.pruning import class_prior_loss, duplicates, useless
from blending.rules import Read, combine
from blending.truth import Truth, truth_of
from competition.contest import Contest
from competition.errors import SpecError
from competition.rows.tables import Rows
from competition.sparse import KEPT, MANY, Sparse, stacked
from folds.store import Split
from pipeline.members import Member, candidates
from pipeline.run import Run

Prediction = np.ndarray | Sparse  # (N, C) float32

IN_MEMORY = 1_000_000_000  # bytes of predictions that are kept rather than read again
DECIDED = 50_000_000  # probabilities that a decision is fitted to, at most
KNOWN_BEFORE = {  # what predicts a row without looking at it
    "classes": "the classes' shares",
    "labels": "the labels' shares",
    "shares": "the mean shares",
    "values": "the mean",
}


@dataclass(frozen=True)
class Options:
    """How to choose and weight. cap: at most so many members. pool_seeds: runs that differ in the seed only are one."""

    method: str = "auto"
    cap: int | None = None
    pool_seeds: bool = False


@dataclass(frozen=True)
class Score:
    """A score in the contest's metric, and the loss (`Target.loss_name`) of the same predictions."""

    score: float
    loss: float


@dataclass(frozen=True)
class Ensemble:
    """A fitted ensemble.

    members: M candidates, by name. left_out: why some runs are no candidates, by name.
    library: their out-of-fold predictions. fitted: the weights. tried: every method that was compared, also `fitted`.
    decision: from probabilities to hard answers, where the metric judges such.
    oof, nested: out-of-fold predictions of the blend, and of the blends that did not see the row's fold.
    judged: what the honest score judges, (N, C): `nested`, or what was decided without the row's fold.
    in_sample: the score on the rows that weights and decision were fitted on: too good. honest: the nested one's.
    single: each member's own score, without a decision. best: the index of the member of least loss.
    alone: what the best member has with a decision of its own, fitted without the row's fold: what the honest score
        is compared with. evidence: the comparison.
    uncapped: the honest score without the cap on members.
    """

    options: Options
    members: tuple[Member, ...]
    left_out: dict[str, str]
    library: Library
    fitted: Fitted
    tried: tuple[Fitted, ...]
    decision: Decision
    oof: Prediction
    nested: Prediction
    judged: Prediction
    in_sample: Score
    honest: Score
    uncapped: Score | None
    single: tuple[Score, ...]
    best: int
    alone: Score
    evidence: Evidence

    @property
    def ranking(self) -> np.ndarray:
        """Indices of the members, least loss first."""
        return np.argsort([score.loss for score in self.single], kind="stable")

    @property
    def weights(self) -> np.ndarray:
        return self.fitted.blend.weights

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(run for member in self.members for run in member.runs)

    @property
    def name(self) -> str:
        """A name that the same runs, split and options get again."""
        key = [self.runs[0].folds_sha256, *(run.name for run in self.runs)]
        if self.options != Options():
            key.append(repr(self.options))
        digest = hashlib.sha256("\n".join(key).encode()).hexdigest()
        return f"blend-{digest[:8]}"

    @property
    def selected_on_oof(self) -> bool:
        return any(self.members[j].selected_on_oof for j in self.fitted.blend.used)


def fit_ensemble(contest: Contest, runs: list[Run], rows: Rows, split: Split, options: Options) -> Ensemble:
    """Choose and weight finished runs by their out-of-fold predictions, which are read one member at a time.

    Runs no better than predicting every row alike are left out, but for the best of them where there is no other.
    Raises DataError naming the file: an unfinished run, other ids, classes, labels or another split. SpecError: a
    method that blends logarithms, for a target without probabilities of one truth.
    """
    metric, truth = contest.metric, truth_of(contest.spec.target.family, rows.labels)
    if options.method in RICHER and truth.kind == "values":
        raise SpecError(
            f"--method {options.method} blends probabilities of what comes true; for a {contest.spec.target.kind} "
            "target use auto, convex, greedy, uniform or best"
        )
    members, library, left_out = _open(contest, candidates(runs, options.pool_seeds), rows, split, truth)

    fitted, tried = _fit(library, options.method, options.cap)
    *partial, oof = combine([*fitted.nested_blends, fitted.blend], library.read, truth.kind)
    nested = _held_out(library, partial)
    decided = _decide(contest, library, partial, oof)

    def score(p: Prediction, judged: Prediction | None = None) -> Score:
        return Score(metric(rows.labels, p if judged is None else judged), float(truth.losses(p).mean()))

    single = tuple(score(library.read(j)) for j in range(len(members)))
    best = int(np.argmin([each.loss for each in single]))
    rival = library.read(best)
    rival_decided = _decide(contest, library, [rival] * len(library.folds), rival)
    uncapped = None
    if options.cap is not None and options.cap < len(members):
        free, _ = _fit(library, options.method, None)
        *free_partial, free_oof = combine([*free.nested_blends, free.blend], library.read, truth.kind)
        free_decided = _decide(contest, library, free_partial, free_oof)
        uncapped = score(_held_out(library, free_partial), free_decided.nested)
    return Ensemble(
        options=options,
        members=members,
        left_out=left_out,
        library=library,
        fitted=fitted,
        tried=tuple(tried),
        decision=decided.decision,
        oof=oof,
        nested=nested,
        judged=decided.nested,
        in_sample=score(oof, decided.decision.apply(oof)),
        honest=score(nested, decided.nested),
        uncapped=uncapped,
        single=single,
        best=best,
        alone=score(rival, rival_decided.nested),
        evidence=compare(metric, rows.labels, decided.nested, rival_decided.nested, split.fold, rows.groups),
    )


def _open(
    contest: Contest, members: tuple[Member, ...], rows: Rows, split: Split, truth: Truth
) -> tuple[tuple[Member, ...], Library, dict[str, str]]:
    """The members worth weighting, their library, and why the others are left out, by name."""

    numbers = len(rows) * (len(contest.classes) if len(contest.classes) <= MANY else 2 * KEPT)

    def reader(members: tuple[Member, ...]) -> Read:
        kept = max(2, IN_MEMORY // (4 * numbers))
        return functools.lru_cache(maxsize=kept)(lambda j: members[j].oof(rows, split, contest.classes))

    target = contest.spec.target
    library = open_library(reader(members), len(members), truth, split.fold, rows.groups)
    prior, bad = class_prior_loss(truth), useless(library.reduced, truth)
    if len(bad) == len(members):  # the least bad stays: somebody tries the commands with a single epoch
        losses = [truth.reduced_losses(t).mean() for t in library.reduced]
        bad.remove(int(np.argmin(losses)))
    alike = f"no better than {KNOWN_BEFORE[target.family]} ({target.loss_name} {prior:.4f})"
    left_out = {members[j].name: alike for j in bad}
    twins = duplicates(library.reduced, truth)
    left_out |= {
        members[j].name: f"almost the same predictions as {members[k].name}" for j, k in twins.items() if j not in bad
    }
    kept = [j for j in range(len(members)) if j not in bad and j not in twins]
    members = tuple(members[j] for j in kept)
    return members, replace(library, read=reader(members), reduced=library.reduced[kept]), left_out


def _fit(library: Library, method: str, cap: int | None) -> tuple[Fitted, list[Fitted]]:
    if method == "auto":
        return choose(library, cap)
    fitted = fit(method, library, cap)
    return fitted, [fitted]


def _held_out(library: Library, partial: list[Prediction]) -> Prediction:
    """Each fold's predictions by the blend that did not see it."""
    return _assembled(library, [p[rows] for rows, p in zip(library.folds, partial, strict=True)])


def _assembled(library: Library, parts: list[Prediction]) -> Prediction:
    """The predictions of the folds' rows, in the order of all rows."""
    order = np.argsort(np.concatenate(library.folds))
    return (stacked(parts) if isinstance(parts[0], Sparse) else np.concatenate(parts))[order]


@dataclass(frozen=True)
class _Decided:
    """A decision fitted to all rows, and the predictions of those that were fitted without the row's fold."""

    decision: Decision
    nested: Prediction


def _decide(contest: Contest, library: Library, partial: list[Prediction], oof: Prediction) -> _Decided:
    """The decision whose nested score is better than that of every simpler one by more than one standard error.

    On few rows that is the simplest one.

    Args:
        partial: for each fold, the predictions of the blend that did not see it.
    """
    metric, family, submission = contest.metric, contest.spec.target.family, contest.spec.submission
    y, nested = library.truth.y, _held_out(library, partial)
    numbers = KEPT if isinstance(nested, Sparse) else nested.shape[1]
    fill = submission.kind == "labels" and submission.empty is None
    accepted = first_decision(family, fill)
    decided = accepted.apply(nested)
    if library.independent < FEW_ROWS or submission.kind == "top_k":
        return _Decided(accepted, decided)
    for kind in decisions_for(metric.name, family, nested.shape[1]):
        parts = []
        for held_out, p in zip(library.folds, partial, strict=True):
            seen = _some(library.complement(held_out), numbers)
            parts.append(fit_decision(kind, metric.name, y[seen], p[seen], fill).apply(p[held_out]))
        candidate = _assembled(library, parts)
        gain = metric.gain(metric(y, candidate), metric(y, decided))
        if gain > resampled_gains(metric, y, candidate, decided, library.groups).std():
            some = _some(np.arange(len(y)), numbers)
            accepted, decided = fit_decision(kind, metric.name, y[some], oof[some], fill), candidate
    return _Decided(accepted, decided)


def _some(rows: np.ndarray, numbers: int) -> np.ndarray:
    """Of rows of so many numbers each, as many as a decision is fitted to: all, but in very large contests."""
    n = max(FEW_ROWS, DECIDED // numbers)
    return rows if len(rows) <= n else np.sort(np.random.default_rng(0).choice(rows, n, replace=False))
