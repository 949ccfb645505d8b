"""A packed ensemble at work, in a notebook without network: predict the test rows, blend them, write the submission.

The folder that `python -m competition notebook` packs holds contest.yaml, weights.json, runs/<run>/ as far as
prediction needs them, and the ensemble's own test.npz and submission.csv, to compare with.
"""

from pathlib import Path

import numpy as np

from blending.rules import combine
from blending.truth import kind_of
from competition.contest import Contest
from competition.rows.tables import load_test
from competition.sparse import Sparse, distance
from competition.spec import load_spec
from competition.submissions.file import write_submission
from pipeline.ensemble_folder import read_blend
from pipeline.inference import predict_rows
from pipeline.members import mean_of
from pipeline.store import Predictions, load_predictions


def predict_packed(packed: Path, data: Path, scratch: Path, submission: Path) -> None:
    """Write the packed ensemble's submission for the test rows in `data`, and say how it compares with the packed one.

    Args:
        packed: the packed folder; it is only read.
        data: the contest's data as Kaggle mounts it; it is only read.
        scratch: takes the decoded images.

    Raises DataError, SubmissionError: what is wrong with the test rows, or with the packed folder.
    """
    contest = Contest(load_spec(str(packed / "contest.yaml")), data, scratch)
    members, blend, decision = read_blend(packed / "weights.json", packed / "runs")
    rows = load_test(contest)

    def read(j: int) -> np.ndarray:
        return mean_of([predict_rows(contest, run, "test", rows).probabilities for run in members[j].runs])

    family = contest.spec.target.family
    (probabilities,) = combine([blend], read, kind_of(family))
    write_submission(contest, submission, rows.ids, decision.apply(probabilities))
    result = Predictions(rows.ids, contest.classes, probabilities, "", family=family)
    print(_comparison(packed, result, submission))


def _comparison(packed: Path, result: Predictions, submission: Path) -> str:
    """How far the result is from the packed one. As text."""
    expected, n = load_predictions(packed / "test.npz"), len(result)
    if set(result.ids) != set(expected.ids):
        return f"{n} test rows, other ones than at home: there is no packed answer to compare with"
    expected = expected.reordered(result.ids, result.classes, "the packed test.npz")
    both = (result.probabilities, expected.probabilities)
    far = distance(*both) if isinstance(both[0], Sparse) else float(np.abs(both[0] - both[1]).max())
    same = submission.read_bytes() == (packed / "submission.csv").read_bytes()
    return (
        f"{n} test rows, the same as at home: predictions differ by {far:.1e} at most; "
        f"{submission.name} is {'the same, byte for byte' if same else 'not the same to the last byte'}"
    )
