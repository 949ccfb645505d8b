"""The ensemble's page for labels, shares and numbers, and for thousands of classes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from competition.contest import Contest
from competition.rows.tables import Rows, load_train
from competition.sparse import greatest
from competition.spec import Medals
from folds.store import read_folds, write_folds
from pipeline.calibration import calibration_of_labels
from pipeline.ensemble import Ensemble, Options, fit_ensemble
from pipeline.mistakes import worst_mistakes
from pipeline.number_errors import bias_by_prediction, number_errors
from tests.support import make_contest, make_contest_of, make_run, write_csv
from tests.test_families import guesses
from tests.test_report import report


def build(folder: Path, family: str, classes: tuple[str, ...], n: int = 96) -> tuple[Contest, Ensemble, Rows]:
    contest = make_contest_of(family, folder, classes, n)
    rows = load_train(contest)
    split = read_folds(contest, rows)
    runs = [
        make_run(contest, rows, split, f"run-{i}", [0.5] * 3, guesses(family, rows, i).astype(np.float32))
        for i in range(3)
    ]
    return contest, fit_ensemble(contest, runs, rows, split, Options()), rows


def test_labels_are_judged_one_by_one(tmp_path):
    contest, ensemble, rows = build(tmp_path, "labels", ("cat", "dog", "owl", "bat"))
    page = report(contest, ensemble, rows)
    p, y, said = ensemble.nested[:, 1], rows.labels[:, 1], ensemble.judged[:, 1] >= 0.5
    higher, equal = ((p[y == 1][:, None] > p[y == 0]).mean(), (p[y == 1][:, None] == p[y == 0]).mean())
    f1 = f1_score(y, said)
    right = (said & (y == 1)).sum()
    rates = [f"{right / said.sum():.3f}", f"{right / y.sum():.3f}", f"{f1:.3f}"]
    share = f"{y.mean():.1%}"
    assert page.line("dog") == ["dog", str(y.sum()), share, f"{higher + equal / 2:.4f}", str(said.sum()), *rates]
    wrong = ((ensemble.judged >= 0.5) != rows.labels).any(axis=1).sum()
    assert f"{wrong} of 96 rows have a class too many or too few" in page.words
    assert "Can its probabilities be believed?" in page.words and "predicted wrongly" not in page.words
    assert "Training images by class that they have" in page.words and "nested log loss" in page.words


def test_a_class_that_no_row_has_and_more_classes_than_are_listed(tmp_path):
    names = tuple(f"c{k:02}" for k in range(50))
    page = report(*build(tmp_path, "labels", names, 64))  # rows 0 to 63: bits above the sixth are never set
    assert page.line("c07")[:4] == ["c07", "0", "0.0%", "–"]
    assert "The other 10 classes have fewer rows" in page.words and "The other 44 classes are not shown" in page.words


@pytest.mark.parametrize("family, names", [("values", ("age",)), ("values", ("age", "size")), ("shares", ("x", "y"))])
def test_numbers_have_errors_and_no_wrong_rows(tmp_path, family, names):
    contest, ensemble, rows = build(tmp_path, family, names)
    page = report(contest, ensemble, rows)
    off = ensemble.nested[:, 0].astype(float) - rows.labels[:, 0]
    line = page.line(names[0])
    assert line[3:5] == [f"{np.sqrt((off**2).mean()):.4g}", f"{np.abs(off).mean():.4g}"]
    assert line[6] == f"{1 - (off**2).mean() / rows.labels[:, 0].var():.1%}"
    assert "errors" in page.ids and "mistakes" not in page.ids and "predicted wrongly" not in page.words
    assert "log loss" not in page.words and "squared error" in page.words and "confidence" not in page.words
    titles = [f"Predicted and true: {name}" for name in names] if len(names) > 1 and family == "values" else []
    assert all(title in page.words for title in titles or ["Predicted and true"])
    (worst, *_) = worst_mistakes(rows, ensemble.nested, names, family)
    square = ((ensemble.nested - rows.labels) ** 2).mean(axis=1)
    assert worst.id == rows.ids[square.argmax()] and worst.predicted.what in page.words


def test_the_worst_of_each_family_by_hand(tmp_path):
    contest = make_contest_of("labels", tmp_path, ("cat", "dog"))  # row i has cat where i is odd, dog where i & 2
    rows = load_train(contest)
    p = rows.labels.astype(np.float32)
    p[1], p[2], p[3] = (0.3, 0.0), (0.9, 1.0), (1.0, 0.45)
    captions = [each.caption for each in worst_mistakes(rows, p, ("cat", "dog"), "labels")]
    assert captions == [
        "true no cat, predicted cat (p=90.0%), id train002",
        "true cat, predicted no cat (p=30.0%), id train001",
        "true dog, predicted no dog (p=45.0%), id train003",
    ]
    decided = (p >= 0.4).astype(np.float32)
    assert len(worst_mistakes(rows, p, ("cat", "dog"), "labels", decided)) == 2
    numbers = replace(rows, labels=np.tile(np.float32([[10, 200]]), (30, 1)))
    p = numbers.labels.copy()
    p[4], p[5] = (12, 195), (10.5, 200)
    captions = [each.caption for each in worst_mistakes(numbers, p, ("age", "size"), "values")[:2]]
    assert captions == [
        "true size 200, predicted size 195, id train004",
        "true age 10, predicted age 10.5, id train005",
    ]
    shares = replace(rows, labels=np.tile(np.float32([[0.25, 0.75]]), (30, 1)))
    p = shares.labels.copy()
    p[7] = 0.9, 0.1
    (first, *_) = worst_mistakes(shares, p, ("cat", "dog"), "shares")
    assert first.caption == "true cat (25.0%), predicted cat (90.0%), id train007"


def test_the_calibration_of_labels_by_hand():
    p = np.repeat([0.1, 0.5], [600, 200]).reshape(-1, 2)
    y = np.zeros(800, np.uint8)
    y[:60] = y[600:750] = 1  # a tenth of the first, three quarters of the second are there
    found = calibration_of_labels(y.reshape(-1, 2), p)
    assert found.counts.tolist() == [600, 200]
    np.testing.assert_allclose([found.confidence, found.accuracy], [[0.1, 0.5], [0.1, 0.75]])
    assert found.error == pytest.approx(0.25 * 0.25)


def test_errors_of_numbers_by_hand():
    true = np.tile([[0.0], [2.0]], (60, 1))
    found = number_errors(true, np.ones_like(true))
    assert [float(each[0]) for each in (found.rmse, found.mae, found.bias, found.explained)] == [1, 1, 0, 0]
    predicted = np.repeat([1.0, 3.0], 60)
    bias = bias_by_prediction(np.repeat([0.0, 4.0], 60), predicted)
    np.testing.assert_allclose([bias.predicted, bias.error, bias.low, bias.rows], [[1, 3], [1, -1], [1, -1], [60, 60]])


def test_where_the_score_would_have_stood(tmp_path):
    contest, ensemble, rows = build(tmp_path, "values", ("age",))
    best = [("Score",), *((f"{score}",) for score in (1, 1.5, 2, 90, 91, 92, 93, 94, 95, 96))]
    write_csv(contest.data / "leaderboard.csv", best[0], best[1:])
    spec = contest.spec.model_copy(update={"medals": Medals(leaderboard="leaderboard.csv", bronze=50)})
    page = report(replace(contest, spec=spec), ensemble, rows)
    assert "would have stood, indicative" in page.words
    assert "rank 4 of 11, bronze medal (thresholds: bronze 50)" in page.words


def test_thousands_of_classes_have_pairs_and_no_matrix(tmp_path):
    c, n = 1100, 1100
    classes = tuple(f"c{k:04}" for k in range(c))
    contest = make_contest(tmp_path, n, 6, classes, size=1).contest()
    rows = load_train(contest)
    write_folds(contest, rows, np.arange(n) % 3)
    split = read_folds(contest, rows)
    runs = []
    for i in range(2):
        p = np.full((n, c), 1e-5, np.float32)
        p[np.arange(n), (rows.labels + (rows.labels % 10 == 0)) % c] += (
            0.9 - 0.1 * i
        )  # each tenth is taken for the next
        runs.append(make_run(contest, rows, split, f"r{i}", [0.9] * 3, greatest(p / p.sum(axis=1, keepdims=True))))
    ensemble = fit_ensemble(contest, runs, rows, split, Options())
    page = report(contest, ensemble, rows)
    assert "110 of 1,100 rows are predicted wrongly" in page.words and "Confusion" not in page.words
    assert page.line("c0000 → c0001") == ["c0000 → c0001", "1", "100.0%", "0", "0.0%"]
    assert "The other 1,076 classes are not shown" in page.words and len(page.source) < 400_000
