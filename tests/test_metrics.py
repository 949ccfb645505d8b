"""Every metric against a formula of its own, written out here or scikit-learn's."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_support import metric
from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score

from competition.errors import DataError, SpecError
from competition.metrics import METRICS
from competition.sparse import greatest

Y = np.array([0, 0, 1, 1, 2])
P = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4]])
LABELS = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1], [1, 1, 0]], dtype=np.uint8)
LABEL_P = np.array([[0.9, 0.2, 0.5], [0.6, 0.1, 0.3], [0.4, 0.8, 0.7], [0.5, 0.3, 0.2]], dtype=np.float32)
ALASKA = [[0, 0.4, 2], [0.4, 1, 1]]
# What each metric needs of the spec, and of the number of classes.
NEEDED = {"map_at_k": {"k": 2}, "weighted_log_loss": {"weights": {"a": 2.0}}, "weighted_auc": {"bands": ALASKA}}
BINARY = ("f1", "probabilistic_f1", "weighted_auc")
KINDS = {"classes": "multiclass", "labels": "multilabel", "shares": "soft", "values": "regression"}


def judged(positive: np.ndarray, score: np.ndarray) -> float:
    """The share of pairs of a positive and a negative row that are in the right order, a tie counting half."""
    pairs = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    return float(np.mean(pairs))


def one_by_one(y: np.ndarray, p: np.ndarray) -> Iterator[tuple[int, int, bool, float]]:
    for i in range(p.shape[0]):
        for c in range(p.shape[1]):
            yield i, c, bool(y[i, c]), float(p[i, c])


@pytest.mark.parametrize(
    ("name", "family"), [(name, family) for name in METRICS for family in sorted(METRICS[name].families)]
)
def test_the_truth_itself_scores_best_and_the_mean_of_rows_is_the_score(name, family):
    c, rng = 2 if name in BINARY else 4, np.random.default_rng(0)
    y = rng.integers(0, c, 60)
    p = rng.dirichlet(np.ones(c), 60).astype(np.float32)
    perfect = np.eye(c)[y]
    if family != "classes":
        y = {"labels": lambda: rng.integers(0, 2, (60, c)), "shares": lambda: rng.dirichlet(np.ones(c), 60)}.get(
            family, lambda: rng.normal(size=(60, c))
        )()
        perfect = y.astype(float)
    measured = metric(name, c, KINDS[family], **NEEDED.get(name, {}))
    best = measured(y, perfect)
    assert best == pytest.approx(1 if measured.maximize else 0, abs=1e-9)
    assert measured.gain(best, measured(y, p)) > 0
    if measured.per_row is not None:
        assert measured.per_row(y, p).shape == (60,)
        assert measured.per_row(y, p).mean() == pytest.approx(measured(y, p), rel=1e-12)
    with pytest.raises(DataError, match=f"{name} of no rows"):
        measured(y[:0], p[:0])


def test_accuracy_error_and_log_loss_by_hand():
    assert metric("accuracy")(Y, P) == metric("micro_f1")(Y, P) == 4 / 5
    assert metric("error")(Y, P) == pytest.approx(1 / 5)
    assert metric("log_loss")(Y, P) == pytest.approx(-sum(map(math.log, [0.8, 0.3, 0.7, 0.5, 0.4])) / 5)
    assert metric("log_loss", 2)(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-math.log(1e-15))


def test_log_losses_of_labels_one_by_one():
    losses = [-math.log(p if true else 1 - p) for _, _, true, p in one_by_one(LABELS, LABEL_P)]
    assert metric("log_loss", kind="multilabel")(LABELS, LABEL_P) == pytest.approx(np.mean(losses))
    equal = metric("weighted_log_loss", kind="multilabel", weights={"a": 1.0})
    assert equal(LABELS, LABEL_P) == pytest.approx(np.mean(losses))
    # RSNA 2022: a weight by class, twice that where the label is there, and all rows weigh the same.
    expected = []
    for row in range(4):
        terms = [
            ((7 if c == 0 else 1) * (2 if true else 1), -math.log(p if true else 1 - p))
            for i, c, true, p in one_by_one(LABELS, LABEL_P)
            if i == row
        ]
        expected.append(sum(w * loss for w, loss in terms) / sum(w for w, _ in terms))
    weighted = metric("weighted_log_loss", kind="multilabel", weights={"a": 7.0}, positive_weight=2.0)
    assert weighted(LABELS, LABEL_P) == pytest.approx(np.mean(expected))
    certain = np.array([[0, 1.0, 0]], dtype=np.float32)
    wrong = metric("log_loss", kind="multilabel")(np.array([[1, 0, 0]]), certain)
    assert wrong == pytest.approx(-2 * math.log(1e-15) / 3)


def test_auc_is_the_share_of_ordered_pairs():
    y, score = np.array([0, 0, 1, 1, 0]), np.array([0.1, 0.4, 0.4, 0.9, 0.2])
    assert metric("auc", 2)(y, np.stack([1 - score, score], axis=1)) == pytest.approx(judged(y == 1, score))
    assert metric("auc")(Y, P) == pytest.approx(np.mean([judged(c == Y, P[:, c]) for c in range(3)]))
    # With a class that means no, what counts is that it is not this one.
    assert metric("auc", negative="b")(Y, P) == pytest.approx(judged(Y != 1, 1 - P[:, 1]))
    assert metric("auc", negative="b")(Y[:4], P[:4]) == 3 / 4  # no row is of class c, and none is missed
    # Tiny probabilities keep their order, though 1 minus them is 1.
    p = np.array([[1.0, 1e-12], [1.0, 2e-12]], dtype=np.float32)
    assert metric("weighted_auc", 2, bands=[[0, 1, 1]])(np.array([0, 1]), p) == 1
    with pytest.raises(DataError, match="a class does not occur"):
        metric("auc", 2)(np.zeros(3, int), np.full((3, 2), 0.5))
    with pytest.raises(DataError, match="auc is not defined: all of these rows"):
        metric("auc", negative="a")(Y[2:], P[2:])


def test_mean_column_auc_of_some_labels_or_of_classes():
    labels = np.array([[1, 0, 1], [0, 1, 1], [0, 1, 1], [1, 1, 1]], dtype=np.uint8)
    some = metric("mean_column_auc", kind="multilabel", columns=["b", "a"])
    expected = np.mean([judged(labels[:, c] == 1, LABEL_P[:, c]) for c in (0, 1)])
    assert some(labels, LABEL_P) == pytest.approx(expected)
    with pytest.raises(DataError, match="for the class 'c': all of these rows"):
        metric("mean_column_auc", kind="multilabel")(labels, LABEL_P)
    with pytest.raises(DataError, match="for the class 'c': none of these rows"):
        metric("mean_column_auc", kind="multilabel")(1 - labels, LABEL_P)
    assert metric("mean_column_auc")(Y, P) == pytest.approx(metric("auc")(Y, P))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30), st.floats(0.1, 0.9))
def test_a_weighted_auc_whose_bands_weigh_the_same_is_the_auc(rows, border):
    positive, score = np.array([row[0] for row in rows]), np.array([row[1] / 6 for row in rows])
    p = np.stack([1 - score, score], axis=1)
    flat = metric("weighted_auc", 2, bands=[[0, border, 3], [border, 1, 3]])
    if positive.all() or not positive.any():
        with pytest.raises(DataError, match="weighted_auc is not defined"):
            flat(positive.astype(int), p)
    else:
        assert flat(positive.astype(int), p) == pytest.approx(roc_auc_score(positive, score))


def test_weighted_auc_counts_the_first_positives_twice():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 4, 500), rng.dirichlet(np.ones(4), 500)
    alaska = metric("weighted_auc", 4, negative="a", bands=ALASKA)
    score = 1 - p[:, 0]
    # The r-th positive from the top is the true positive rate from (r - 1) / P to r / P; ties there are none.
    found = np.sort(score[y != 0])[::-1]
    below = np.array([np.mean(score[y == 0] < s) for s in found])
    ends = np.arange(len(found) + 1) / len(found)
    weight = [sum(w * max(0, min(b, high) - max(a, low)) for low, high, w in ALASKA) for a, b in pairwise(ends)]
    assert alaska(y, p) == pytest.approx(np.dot(below, weight) / 1.4)
    assert alaska(y, np.full((500, 4), 0.25)) == pytest.approx((2 * (0.4 - 0.08) + (0.6 - 0.42)) / 1.4)  # the diagonal


def test_macro_f1_counts_an_absent_class_as_zero():
    # Class 0: precision 1, recall 1/2. Class 1: precision 2/3, recall 1. Class 2: 1. Class 3: in neither.
    p = np.hstack([P, np.zeros((5, 1))])
    assert metric("macro_f1", 4)(Y, p) == pytest.approx((2 / 3 + 4 / 5 + 1 + 0) / 4)


@pytest.mark.parametrize("seed", range(3))
def test_f1_and_kappa_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    c = 3 + seed
    y, p = rng.integers(0, c, 50), rng.random((50, c))
    predicted = p.argmax(axis=1)
    assert metric("macro_f1", c)(y, p) == pytest.approx(f1_score(y, predicted, average="macro"))
    kappa = cohen_kappa_score(y, predicted, weights="quadratic")
    assert metric("quadratic_weighted_kappa", c)(y, p) == pytest.approx(kappa)
    assert metric("f1", 2)(y % 2, p[:, :2]) == pytest.approx(f1_score(y % 2, p[:, :2].argmax(axis=1)))
    labels, p = rng.integers(0, 2, (50, c)), rng.random((50, c)) * 0.8
    labels[:, 0] = p[:, 0] = 0  # nothing true and nothing predicted
    for average in ("micro", "macro"):
        expected = f1_score(labels, p >= 0.5, average=average, zero_division=0)
        assert metric(f"{average}_f1", c, "multilabel")(labels, p) == pytest.approx(expected)


def test_f1_and_kappa_where_nothing_is_predicted_or_true():
    assert metric("f1", 2)(np.zeros(3, int), np.tile([1.0, 0.0], (3, 1))) == 0
    assert metric("quadratic_weighted_kappa", 2)(np.ones(3, int), np.tile([0.0, 1.0], (3, 1))) == 1
    for name in ("micro_f1", "macro_f1"):
        labels = metric(name, kind="multilabel")
        assert labels(LABELS, np.full((4, 3), 0.49)) == labels(0 * LABELS, np.zeros((4, 3))) == 0
        assert labels(np.ones((4, 3)), np.full((4, 3), 0.5)) == 1  # 0.5 is chosen


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_map_at_k_by_looking_at_the_first_k(data):
    c = data.draw(st.integers(3, 6))
    k = data.draw(st.integers(1, c))
    p = np.array(data.draw(st.lists(st.lists(st.integers(0, 3), min_size=c, max_size=c), min_size=1, max_size=8))) / 10
    y = np.array(data.draw(st.lists(st.integers(0, c - 1), min_size=len(p), max_size=len(p))))
    total = 0.0
    for true, row in zip(y, p, strict=True):
        first = sorted(range(c), key=lambda j: (-row[j], j))[:k]  # a tie: the earlier class first
        total += 1 / (first.index(true) + 1) if true in first else 0
    assert metric("map_at_k", c, k=k)(y, p) == pytest.approx(total / len(y))


def test_errors_of_numbers_by_hand():
    y, p = np.array([[1.0, 10.0], [2.0, 10.0]], dtype=np.float32), np.array([[1.0, 13.0], [4.0, 14.0]])
    rmse = metric("rmse", 2, "regression")
    assert rmse(y, p) == pytest.approx((math.sqrt(4 / 2) + math.sqrt((9 + 16) / 2)) / 2)
    assert metric("mae", 2, "regression")(y, p) == pytest.approx((0 + 3 + 2 + 4) / 4)


def test_probabilistic_f1_as_kaggle_writes_it():
    rng = np.random.default_rng(0)
    y, positive = rng.integers(0, 2, 40), rng.random(40).astype(np.float32)
    true = sum(float(p) for p, label in zip(positive, y, strict=True) if label)
    false = sum(float(p) for p, label in zip(positive, y, strict=True) if not label)
    precision, recall = true / (true + false), true / y.sum()
    measured = metric("probabilistic_f1", 2)
    p = np.stack([1 - positive, positive], axis=1)
    assert measured(y, p) == pytest.approx(2 * precision * recall / (precision + recall))
    assert measured(y, np.tile([1.0, 0.0], (40, 1))) == 0
    certain = np.eye(2)[(positive > 0.5).astype(int)]
    assert measured(y, certain) == pytest.approx(f1_score(y, positive > 0.5))
    with pytest.raises(DataError, match="none of these rows is positive"):
        measured(0 * y, p)


def test_kl_divergence_term_by_term():
    y = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    p = np.array([[0.25, 0.25, 0.5], [0.0, 0.6, 0.4]], dtype=np.float32)
    rows = [0.5 * math.log(0.5 / 0.25) * 2, math.log(1 / 1e-15)]
    assert metric("kl", kind="soft")(y, p) == pytest.approx(np.mean(rows))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: metric("mean_column_auc", columns=["a", "bb"]), "metric.columns: 'bb' .*did you mean 'b'"),
        (lambda: metric("weighted_log_loss", kind="multilabel", weights={"x": 2.0}), "metric.weights: 'x'"),
        (lambda: metric("map_at_k", k=4), "metric.k: 4 is more than the 3 classes"),
        (lambda: metric("auc", negative="z"), "target.negative: 'z'"),
        (lambda: metric("weighted_auc", bands=ALASKA), "target.negative is missing"),
        (lambda: metric("f1"), "metric.name: f1 needs two classes, not 3: a, b, c"),
        (lambda: metric("probabilistic_f1"), "metric.name: probabilistic_f1 needs two"),
        *(
            (lambda bands=bands: metric("weighted_auc", 2, bands=bands), "metric.bands")
            for bands in ([], [[0, 0.4, 1]], [[0.1, 1, 1]], [[0, 0.4, 1], [0.5, 1, 1]], [[0, 1, 0]], [[0, 1, -1]])
        ),
        (lambda: metric("mean_column_auc", columns=[]), "metric.columns is empty"),
    ],
)
def test_a_setting_that_does_not_fit_the_classes_is_named(make, said):
    with pytest.raises(SpecError, match=said):
        make()


def test_gain_is_positive_for_the_better_score():
    assert metric("accuracy").gain(0.9, 0.8) > 0 > metric("log_loss").gain(0.9, 0.8)


def test_many_classes_are_ranked_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 8, 30), rng.random((30, 8))
    whole = metric("map_at_k", 8, k=3)
    expected = whole(y, p)
    monkeypatch.setattr("competition.scoring.ranking.NUMBERS", 20)
    assert whole(y, p) == expected


def test_predictions_that_keep_a_few_of_many_classes_score_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 8, 40), rng.dirichlet(np.ones(8), 40).astype(np.float32)
    sparse = greatest(p, 5)
    for name in METRICS:
        if "classes" in METRICS[name].families and name not in (*BINARY, "auc", "mean_column_auc", "log_loss"):
            measured = metric(name, 8, **NEEDED.get(name, {}))
            assert measured(y, sparse) == pytest.approx(measured(y, p)), name
    held = sparse.base[:, None] + sparse.excess.toarray()
    assert metric("log_loss", 8)(y, sparse) == pytest.approx(metric("log_loss", 8)(y, held))
    monkeypatch.setattr("competition.metrics.MANY", 7)
    for make in (lambda: metric("auc", 8), lambda: metric("mean_column_auc", 8)):
        with pytest.raises(SpecError, match="auc needs every probability, and of 8 classes"):
            make()
