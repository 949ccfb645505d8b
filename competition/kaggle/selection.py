"""Which two submissions to select for the private leaderboard, and whether the scores at home foretell Kaggle's."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd

from competition.errors import DataError
from competition.kaggle.books import Submission, distinct
from competition.metrics import Scale
from competition.rows.tables import read_table
from competition.spec import Spec

# Below this many submissions the order of two scores says nothing: 4 agree perfectly by chance 1 time in 24.
ENOUGH = 5

# Two files that agree on more of the rows are one bet: their private scores can hardly differ.
ALIKE = 0.99

# Numbers that differ by no more than this count as agreeing.
CLOSE = 0.05

Z = 1.96


@dataclass(frozen=True)
class Agreement:
    """Rank agreement of two scores over `n` submissions: Kendall's tau with its 95 % interval, -1 to 1.

    tau is None where the submissions are too few, or one of the scores is the same for all.
    """

    n: int
    tau: float | None = None
    low: float = -1.0
    high: float = 1.0

    @property
    def opposed(self) -> bool:
        """Whether the scores run against each other, beyond chance."""
        return self.tau is not None and self.high < 0


@dataclass(frozen=True)
class Pick:
    """A submission to select, and why, as half a sentence."""

    submission: Submission
    reason: str


def rank_agreement(x: Iterable[float], y: Iterable[float]) -> Agreement:
    """Kendall's tau-b of two scores of the same submissions, each (N,).

    tau-b, because label scores tie often, and because it means something with few points: it counts pairs. Its
    interval solves |t - tau| = 1.96 sd(tau) for tau, with the variance under independence shrunk by 1 - tau². Unlike
    Fisher's or a bootstrap's it does not vanish when few submissions agree perfectly. In simulations of bivariate
    normal scores it held the true tau in 94 to 100 of 100 cases, for 5 to 40 points and any tau up to 0.95.
    """
    a, b = (np.sign(np.subtract.outer(values, values)) for values in (np.array([*x], float), np.array([*y], float)))
    n = len(a)
    norm = np.sqrt((a**2).sum() * (b**2).sum())
    if n < ENOUGH or norm == 0:
        return Agreement(n)
    tau = float((a * b).sum() / norm)
    c = Z**2 * 2 * (2 * n + 5) / (9 * n * (n - 1))
    half = np.sqrt(c * (1 + c - tau**2))
    return Agreement(n, tau, max(-1.0, float((tau - half) / (1 + c))), min(1.0, float((tau + half) / (1 + c))))


def share_alike(spec: Spec, first: Path, second: Path) -> float | None:
    """The share of rows on which two submission files agree; None where they cannot be compared.

    A row agrees when its label is the same, or its first one of several by rank, or its set of labels; or when none of
    its numbers differs by more than CLOSE. Values are measured by the range of those in the first file. For AUC, which
    sees only the order, the probabilities are replaced by their ranks, 0 to 1.
    """
    submission = spec.submission
    try:
        a, b = (read_table(path, [submission.id]).set_index(submission.id) for path in (first, second))
    except DataError:
        return None
    if (
        not a.columns.equals(b.columns)
        or not a.index.is_unique
        or not b.index.is_unique
        or set(a.index) != set(b.index)
    ):
        return None
    b = b.loc[a.index]
    if submission.kind == "label":
        return float((a == b).to_numpy().mean())
    if submission.kind in ("labels", "top_k"):
        what_counts = frozenset if submission.kind == "labels" else itemgetter(0)
        a, b = (cells.iloc[:, 0].str.split(submission.delimiter, regex=False).map(what_counts) for cells in (a, b))
        return float((a == b).mean())
    a, b = a.apply(pd.to_numeric, errors="coerce"), b.apply(pd.to_numeric, errors="coerce")
    if "auc" in spec.metric.name:
        a, b = a.rank(pct=True), b.rank(pct=True)
    unit = a.max() - a.min() if submission.kind == "value" else 1.0
    return float(((a - b).abs() <= CLOSE * unit).all(axis=1).mean())


def choose(
    submissions: list[Submission],
    metric: Scale,
    agreement: Agreement,
    alike: Callable[[Path, Path], float | None],
) -> list[Pick]:
    """The two to select, or fewer where there are no more different files.

    The first is the best by the honest score at home, which rests on all training rows, while the public score rests
    on a part of the test rows. The second is a hedge: the best public score among those that predict something else.
    Where both scores run against each other, the training rows are no guide: then public chooses the first, and home
    the hedge. Without any score at home, public is all there is.

    Args:
        submissions: any; those without a score on Kaggle are no candidates.
        agreement: of the score at home with the public score.
        alike: `share_alike` of two files.
    """
    candidates = [s for s in submissions if s.status == "complete" and s.public is not None]
    if not candidates:
        return []

    def quality(score: float | None) -> float:
        return -np.inf if score is None else metric.gain(score, 0.0)

    def by_home(s: Submission) -> tuple[float, float]:
        return quality(s.expected), quality(s.public)

    def by_public(s: Submission) -> tuple[float, float]:
        return quality(s.public), quality(s.expected)

    blind = all(s.expected is None for s in candidates)
    public_first = blind or agreement.opposed
    first = max(candidates, key=by_public if public_first else by_home)
    if blind:
        reason = f"{_public(first)}; no score at home is known, and the public one rests on a part of the test rows"
    elif public_first:
        reason = f"{_public(first)}: it deserves more trust here than the score at home, which runs against it"
    else:
        reason = f"{_home(first)}: it rests on all training rows, the public score only on a part of the test rows"
    home_hedges = agreement.opposed and not blind
    rest = [s for s in candidates if s is not first and len(distinct([first, s])) == 2]
    rest.sort(key=by_home if home_hedges else by_public, reverse=True)
    if not rest:
        return [Pick(first, reason)]
    second, share = _most_different(first, rest, alike)
    best = _home(second) if home_hedges and second.expected is not None else _public(second)
    if share is None:
        hedge = f"a hedge: {best}, among the other files (not both are here, so what they share is not known)"
    elif share < ALIKE:
        hedge = f"a hedge: {best}, among those that differ; {share:.1%} of its rows are predicted as by the first"
    else:
        hedge = f"a weak hedge: no file differs more from the first, and yet {share:.1%} of its rows are the same"
    return [Pick(first, reason), Pick(second, hedge)]


def afterwards(picks: list[Pick], submissions: list[Submission], metric: Scale) -> str | None:
    """What the two would have won: the better one's private score against the best. None while that is not known."""
    known = [s for s in submissions if s.private is not None]
    mine = [pick.submission.private for pick in picks if pick.submission.private is not None]
    if not mine:
        return None
    won = max(mine, key=lambda score: metric.gain(score, 0.0))
    best = max(known, key=lambda s: metric.gain(s.private, 0.0))
    lost = metric.gain(best.private, won)
    if lost <= 0:
        return f"private {won:.5f} for the better of the two: no submission has a better one"
    better = sum(metric.gain(s.private, won) > 0 for s in known)
    return (
        f"private {won:.5f} for the better of the two; {better} of {len(known)} submissions did better, the best, "
        f"{best.name}, by {lost:.5f} ({best.private:.5f})"
    )


def _most_different(
    first: Submission, rest: list[Submission], alike: Callable[[Path, Path], float | None]
) -> tuple[Submission, float | None]:
    """The first of `rest` that differs enough from `first`, or else the one that differs most; and what they share."""
    shares = []
    for other in rest:
        share = alike(first.file, other.file) if first.file and other.file else None
        if share is None or share < ALIKE:
            return other, share
        shares.append(share)
    least = int(np.argmin(shares))
    return rest[least], shares[least]


def _public(submission: Submission) -> str:
    return f"the best public score, {submission.public:.5f}"


def _home(submission: Submission) -> str:
    kind = "OOF" if submission.nested is None else "nested"
    return f"the best {kind} score, {submission.expected:.5f}"
