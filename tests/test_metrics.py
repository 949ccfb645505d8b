import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

from competition.errors import DataError
from competition.metrics import METRICS

Y = np.array([0, 0, 1, 1, 2])
P = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4]])


def test_accuracy_and_log_loss_by_hand():
    assert METRICS["accuracy"](Y, P) == 4 / 5
    assert METRICS["log_loss"](Y, P) == pytest.approx(-sum(map(math.log, [0.8, 0.3, 0.7, 0.5, 0.4])) / 5)
    assert METRICS["log_loss"](np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-math.log(1e-15))


def test_auc_is_the_share_of_ordered_pairs():
    y, score = np.array([0, 0, 1, 1, 0]), np.array([0.1, 0.4, 0.4, 0.9, 0.2])
    pairs = [(score[i] > score[j]) + 0.5 * (score[i] == score[j]) for i in (2, 3) for j in (0, 1, 4)]
    assert METRICS["auc"](y, np.stack([1 - score, score], axis=1)) == pytest.approx(np.mean(pairs))
    with pytest.raises(DataError, match="does not occur"):
        METRICS["auc"](np.zeros(3, int), np.full((3, 2), 0.5))


def test_macro_f1_counts_an_absent_class_as_zero():
    # Class 0: precision 1, recall 1/2. Class 1: precision 2/3, recall 1. Class 2: 1. Class 3: in neither.
    p = np.hstack([P, np.zeros((5, 1))])
    assert METRICS["macro_f1"](Y, p) == pytest.approx((2 / 3 + 4 / 5 + 1 + 0) / 4)


@pytest.mark.parametrize("seed", range(3))
def test_f1_and_kappa_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, 2 + seed, 50), rng.random((50, 2 + seed))
    predicted = p.argmax(axis=1)
    assert METRICS["macro_f1"](y, p) == pytest.approx(f1_score(y, predicted, average="macro"))
    kappa = cohen_kappa_score(y, predicted, weights="quadratic")
    assert METRICS["quadratic_weighted_kappa"](y, p) == pytest.approx(kappa)
    assert METRICS["f1"](y % 2, p[:, :2]) == pytest.approx(f1_score(y % 2, p[:, :2].argmax(axis=1)))
    # Edges: nothing predicted and nothing true; everything right and of one class.
    assert METRICS["f1"](np.zeros(3, int), np.tile([1.0, 0.0], (3, 1))) == 0
    assert METRICS["quadratic_weighted_kappa"](np.ones(3, int), np.tile([0.0, 1.0], (3, 1))) == 1


def test_gain_is_positive_for_the_better_score():
    assert METRICS["accuracy"].gain(0.9, 0.8) > 0 > METRICS["log_loss"].gain(0.9, 0.8)
