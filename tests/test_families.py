"""Ensembles of labels, shares and numbers, and of thousands of classes: against what is known without a computer."""

import json
from dataclasses import replace

import numpy as np
import pytest

from blending.pruning import duplicates
from blending.truth import Truth
from competition.contest import Contest
from competition.errors import DataError, SpecError
from competition.rows.tables import Rows, load_train
from competition.sparse import Sparse, greatest
from folds.store import Split, read_folds, write_folds
from pipeline.ensemble import Options, fit_ensemble
from pipeline.ensemble_folder import read_blend, write_ensemble
from pipeline.ensemble_text import evidence_lines, runs_table
from pipeline.run import Run
from pipeline.store import Predictions
from tests.support import CLASSES, make_contest, make_contest_of, make_run

FAMILIES = ("labels", "shares", "values")


def opened(contest: Contest) -> tuple[Rows, Split]:
    rows = load_train(contest)
    return rows, read_folds(contest, rows)


def forge(contest: Contest, rows: Rows, split: Split, **predictions: np.ndarray) -> list[Run]:
    return [make_run(contest, rows, split, name, [0.5] * 3, p.astype(np.float32)) for name, p in predictions.items()]


def guesses(family: str, rows: Rows, seed: int) -> np.ndarray:
    rng, y = np.random.default_rng(seed), rows.labels
    if family == "labels":
        return 1 / (1 + np.exp(2.0 - 3.0 * y - rng.normal(size=y.shape)))
    noisy = y + rng.normal(size=y.shape) * 0.5 * y.std()
    if family == "values":
        return noisy
    noisy = np.clip(noisy, 0.01, None)
    return noisy / noisy.sum(axis=1, keepdims=True)


def test_two_regressions_get_the_weights_of_their_error_variances(tmp_path):
    contest = make_contest_of("values", tmp_path, ("weight",), 900)
    rows, split = opened(contest)
    rng = np.random.default_rng(1)
    errors = rng.normal(size=(2, 900)) * np.array([[2.0], [4.0]])
    runs = forge(contest, rows, split, a=rows.labels + errors[0][:, None], b=rows.labels + errors[1][:, None])
    fitted = fit_ensemble(contest, runs, rows, split, Options())
    # Of independent errors, each weighs as the other's variance: 16 to 4.
    np.testing.assert_allclose(fitted.weights, [0.8, 0.2], atol=0.03)
    assert fitted.honest.score == pytest.approx(2 * 4 / np.sqrt(2**2 + 4**2), rel=0.05)
    assert fitted.honest.loss == pytest.approx(fitted.honest.score**2)
    assert [each.score for each in fitted.single] == pytest.approx(np.sqrt((errors**2).mean(axis=1)), rel=1e-5)
    assert fitted.evidence.gain == pytest.approx(fitted.alone.score - fitted.honest.score)
    assert "nested squared error: best" in evidence_lines(contest, fitted)
    assert "squared error" in runs_table(contest, fitted).splitlines()[0]


def test_shares_that_are_a_blend_are_found_and_stay_shares(tmp_path):
    contest = make_contest_of("shares", tmp_path, n_train=90)
    rows, split = opened(contest)
    rng = np.random.default_rng(1)
    a, b = (rng.dirichlet(np.ones(3), 90).astype(np.float32) for _ in range(2))
    b = (a + b) / 2
    rows = replace(rows, labels=(np.float32(0.3) * a + np.float32(0.7) * b).astype(np.float32))
    fitted = fit_ensemble(contest, forge(contest, rows, split, a=a, b=b), rows, split, Options())
    np.testing.assert_allclose(fitted.weights, [0.3, 0.7], atol=1e-4)
    assert fitted.honest.loss < 1e-8
    np.testing.assert_allclose(fitted.nested.sum(axis=1), 1, atol=1e-6)


def test_labels_are_submitted_as_decided_and_no_row_stays_empty(tmp_path):
    contest = make_contest_of("labels", tmp_path)
    rows, split = opened(contest)
    runs = forge(contest, rows, split, a=guesses("labels", rows, 0))
    p = np.array([[0.9, 0.1, 0.5], [0.1, 0.2, 0.3], [0.6, 0.7, 0.8], [0.4, 0.4, 0.4], [0, 1, 0], [0.5, 0, 0]])
    ids = np.array([f"test{i:03}" for i in range(6)])
    written = Predictions(ids, CLASSES, p.astype(np.float32), split.sha256, family="labels")
    written.save(runs[0].folder / "test.npz")
    fitted = fit_ensemble(contest, runs, rows, split, Options("best"))
    folder = write_ensemble(contest, fitted, rows, split, "mine")
    lines = (folder / "submission.csv").read_text().splitlines()[1:]
    assert [line.split(",")[1] for line in lines] == ["cat owl", "owl", "cat dog owl", "cat", "dog", "cat"]
    members, blend, decision = read_blend(folder / "weights.json", contest.runs)
    assert (members[0].name, blend.weights.tolist(), decision) == ("a", [1.0], fitted.decision)
    with np.load(folder / "test.npz") as archive:
        assert archive["family"] == "labels"


def test_a_threshold_is_fitted_where_the_metric_needs_one_and_the_best_member_gets_its_own(tmp_path):
    contest = make_contest_of("labels", tmp_path, n_train=600)
    rows, split = opened(contest)
    shy = guesses("labels", rows, 0) / 3  # a network that never says more than a third
    fitted = fit_ensemble(contest, forge(contest, rows, split, shy=shy), rows, split, Options("best"))
    assert fitted.decision.kind == "threshold" and 0.05 < fitted.decision.values[0] < 0.3
    assert fitted.honest.score > fitted.single[0].score + 0.1
    # Its one member is the ensemble: with a decision each, neither is better.
    assert fitted.alone == fitted.honest and fitted.evidence.gain == 0
    assert "classes are decided by threshold" in evidence_lines(contest, fitted)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rows_own_fold_has_no_say_in_its_nested_prediction(tmp_path, family):
    contest = make_contest_of(family, tmp_path, n_train=480)
    rows, split = opened(contest)
    predictions = {f"r{i}": guesses(family, rows, i) for i in range(3)}
    before = fit_ensemble(contest, forge(contest, rows, split, **predictions), rows, split, Options("convex"))
    labels, here = rows.labels.copy(), split.fold == 0
    labels[np.flatnonzero(here)[:30]] = labels[np.flatnonzero(here)[30:60]]
    other = replace(rows, labels=labels)
    forged = forge(contest, other, split, **{f"{name}-other": p for name, p in predictions.items()})
    after = fit_ensemble(contest, forged, other, split, Options("convex"))
    assert not np.array_equal(before.weights, after.weights) and not after.left_out
    np.testing.assert_array_equal(after.nested[here], before.nested[here])
    assert before.decision.kind == after.decision.kind == ("threshold" if family == "labels" else "most_probable")
    np.testing.assert_array_equal(after.judged[here], before.judged[here])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_rows_and_columns_in_a_file_changes_no_bit(tmp_path, family):
    contest = make_contest_of(family, tmp_path, n_train=48)
    rows, split = opened(contest)
    runs = forge(contest, rows, split, a=guesses(family, rows, 0), b=guesses(family, rows, 1))
    before = fit_ensemble(contest, runs, rows, split, Options())
    for run in runs:
        for fold in run.folds:
            with np.load(fold.oof) as archive:
                arrays = dict(archive)
            for name in ("ids", "probabilities", "labels"):
                arrays[name] = arrays[name][::-1]
            for name in ("probabilities", "labels"):
                arrays[name] = arrays[name][:, [2, 0, 1]]
            arrays["classes"] = arrays["classes"][[2, 0, 1]]
            np.savez(fold.oof, **arrays)
    np.testing.assert_array_equal(fit_ensemble(contest, runs, rows, split, Options()).nested, before.nested)


def test_a_file_with_other_labels_and_a_method_that_makes_no_sense_are_refused(tmp_path):
    contest = make_contest_of("values", tmp_path)
    rows, split = opened(contest)
    runs = forge(contest, rows, split, a=guesses("values", rows, 0))
    with pytest.raises(SpecError, match="--method log_linear blends probabilities"):
        fit_ensemble(contest, runs, rows, split, Options("log_linear"))
    labels = rows.labels.copy()
    labels[9, 1] += 1
    with pytest.raises(DataError, match=r"fold1.*id 'train009' has another label .* \(1 such rows\)"):
        fit_ensemble(contest, runs, replace(rows, labels=labels), split, Options())
    with pytest.raises(DataError, match="labels of another kind of target"):
        fit_ensemble(contest, runs, replace(rows, labels=np.zeros(30, np.int64)), split, Options())


def test_members_no_better_than_the_mean_are_left_out(tmp_path):
    contest = make_contest_of("values", tmp_path, n_train=60)
    rows, split = opened(contest)
    useless = np.full_like(rows.labels, 20)
    runs = forge(contest, rows, split, a=guesses("values", rows, 0), useless=useless)
    fitted = fit_ensemble(contest, runs, rows, split, Options())
    assert "no better than the mean (squared error" in fitted.left_out["useless"]
    alone = fit_ensemble(contest, runs[1:], rows, split, Options())
    assert "useless is no better than the mean either" in runs_table(contest, alone)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_what_counts_as_the_same_numbers_depends_on_their_scale(scale):
    y = np.random.default_rng(0).normal(size=(100, 1)) * scale
    reduced = np.stack([y * 0.1, y * 0.1001, y * 0.2]).astype(np.float32)
    assert duplicates(reduced, Truth("values", y)) == {1: 0}


def test_thousands_of_classes_are_blended_by_their_most_probable_ones(tmp_path):
    c, n = 1100, 1200
    classes = tuple(f"c{k:04}" for k in range(c))
    contest = make_contest(tmp_path, n, 6, classes, size=1).contest()
    rows = load_train(contest)
    write_folds(contest, rows, np.arange(n) % 3)
    split = read_folds(contest, rows)
    parts = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        p = np.full((n, c), 1e-5)
        p[np.arange(n), rng.integers(0, c, n)] += 0.3 + 0.1 * rng.random(n)
        p[np.arange(n), rows.labels] += 0.5 * (rng.random(n) < 0.8)
        parts.append(greatest((p / p.sum(axis=1, keepdims=True)).astype(np.float32)))
    runs = [make_run(contest, rows, split, f"r{i}", [0.8] * 3, p, seed=i) for i, p in enumerate(parts)]
    fitted = fit_ensemble(contest, runs, rows, split, Options("uniform"))
    assert isinstance(fitted.nested, Sparse)
    mean = np.mean([part.excess.toarray() + part.base[:, None] for part in parts], axis=0)
    np.testing.assert_allclose(fitted.nested[np.arange(n), rows.labels], mean[np.arange(n), rows.labels], atol=1e-3)
    for each in (fitted, fit_ensemble(contest, runs, rows, split, Options("best", pool_seeds=True))):
        top = each.nested.argmax(axis=1)
        assert (mean[np.arange(n), top] > mean.max(axis=1) - 1e-3).all()  # but for the last digit of float16
        assert each.honest.score == (each.judged.argmax(axis=1) == rows.labels).mean()
    ids = np.array([f"test{i:03}" for i in range(6)])
    for run, part in zip(runs, parts, strict=True):
        Predictions(ids, classes, part[:6], split.sha256).save(run.folder / "test.npz")
    folder = write_ensemble(contest, fitted, rows, split, "many")
    said = [line.split(",")[1] for line in (folder / "submission.csv").read_text().splitlines()[1:]]
    assert said == [classes[k] for k in fitted.decision.classes(mean[:6])]
    assert json.loads((folder / "weights.json").read_text())["weights"] == {"r0": 0.5, "r1": 0.5}


def test_very_large_contests_are_blended_linearly_and_decided_on_some_of_the_rows(tmp_path, monkeypatch):
    contest = make_contest_of("labels", tmp_path, n_train=1200)
    rows, split = opened(contest)
    runs = forge(contest, rows, split, a=guesses("labels", rows, 1), b=guesses("labels", rows, 2))
    whole = fit_ensemble(contest, runs, rows, split, Options())
    monkeypatch.setattr("blending.methods.LARGE", 1200 * len(contest.classes) - 1)
    monkeypatch.setattr("pipeline.ensemble.DECIDED", 600 * len(contest.classes))
    some = fit_ensemble(contest, runs, rows, split, Options())
    assert [each.method for each in some.tried] == ["best", "uniform", "convex"]
    assert whole.decision.kind == some.decision.kind and whole.decision.values != some.decision.values
    assert some.honest.score == pytest.approx(whole.honest.score, abs=0.02)
