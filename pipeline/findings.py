"""What there is to say about an ensemble beyond its scores, as numbers: where it errs, how sure it is, who helps it."""

from dataclasses import dataclass, replace

import numpy as np

from blending.analysis import GainCurve, error_correlation, gain_curve, leave_one_out
from blending.evidence import score_interval
from blending.methods import Library
from competition.contest import Contest
from competition.kaggle.ledger import Entry, read_ledger
from competition.medals import Place, standing_of
from competition.rows.tables import Rows
from pipeline.calibration import Calibration, calibration_of_classes, calibration_of_labels
from pipeline.class_errors import ClassErrors, class_errors
from pipeline.ensemble import Ensemble
from pipeline.label_errors import LabelErrors, label_errors
from pipeline.mistakes import Mistake, worst_mistakes
from pipeline.number_errors import NumberErrors, number_errors

ROWS = 40_000  # on which members are compared, at most
NUMBERS = 4_000_000  # of those rows, at most: a row of many labels says as much as many rows


@dataclass(frozen=True)
class Findings:
    """An ensemble, looked at closely.

    interval: 95 % interval of the nested score. place: where it would have stood, if the spec says what won medals.
    errors: of the nested predictions, as decided. calibration: of their probabilities, where they are such.
    mistakes: the worst ones.
    gain, absence, correlation: what the members are worth to each other (`blending.analysis`), on `compared` rows;
    absence by member, best member excluded first.
    submissions: those of the ledger with a score in the contest's metric, oldest first.
    """

    interval: tuple[float, float]
    place: Place | None
    errors: ClassErrors | LabelErrors | NumberErrors
    calibration: Calibration | None
    mistakes: tuple[Mistake, ...]
    gain: GainCurve
    absence: dict[int, float]
    correlation: np.ndarray
    compared: int
    submissions: tuple[Entry, ...]


def examine(contest: Contest, ensemble: Ensemble, rows: Rows) -> Findings:
    """Raises DataError when the ledger, or the leaderboard that the spec names, is damaged."""
    family, y, nested = contest.spec.target.family, rows.labels, ensemble.nested
    calibration = None
    if family == "classes":
        errors, calibration = class_errors(y, ensemble.judged), calibration_of_classes(y, nested)
    elif family == "labels":
        errors, calibration = label_errors(y, nested, ensemble.judged), calibration_of_labels(y, nested)
    else:
        errors = number_errors(y, nested)
    library = _sampled(ensemble.library)
    return Findings(
        interval=score_interval(contest.metric, y, ensemble.judged, rows.groups),
        place=standing_of(contest, ensemble.honest.score),
        errors=errors,
        calibration=calibration,
        mistakes=tuple(worst_mistakes(rows, nested, contest.classes, family, ensemble.judged)),
        gain=gain_curve(library),
        absence=leave_one_out(library, ensemble.fitted.blend.used),
        correlation=error_correlation(library),
        compared=len(library.truth),
        submissions=tuple(
            entry
            for entry in read_ledger(contest.ledger_file)
            if entry.metric == contest.metric.name
            and (entry.public_score is not None or entry.private_score is not None)
        ),
    )


def expected(entry: Entry) -> float | None:
    """The score that was expected of a submission: nested, or the out-of-fold score where that is all there is."""
    return entry.oof_score if entry.nested_score is None else entry.nested_score


def _sampled(library: Library) -> Library:
    """The same on a sample of the rows, for what looks at `reduced` alone."""
    n, most = len(library.truth), min(ROWS, max(1000, NUMBERS // library.reduced.shape[2]))
    if n <= most:
        return library
    rows = np.sort(np.random.default_rng(0).permutation(n)[:most])
    taken = {"truth": library.truth.take(rows), "fold": library.fold[rows], "reduced": library.reduced[:, rows]}
    return replace(library, groups=None, **taken)
