from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_support import metric
from scipy.optimize import minimize

from blending import convex, greedy
from blending.analysis import error_correlation, gain_curve, leave_one_out
from blending.convex import least_log_loss, least_squares
from blending.decisions import DECISIONS, Decision, decisions_for, first_decision, fit_decision
from blending.evidence import compare, in_words, score_interval
from blending.greedy import greedy_log_loss, greedy_squares
from blending.methods import METHODS, RICHER, choose, fit, improves, open_library
from blending.pool import log_linear_weights, logarithms, pooled, temperature_exponent
from blending.pruning import class_prior_loss, duplicates, elimination_path, useless
from blending.rules import Blend, combine
from blending.thresholds import best_cut
from blending.truth import Truth
from competition.errors import DataError
from competition.sparse import greatest

seeds = st.integers(0, 10**6)
quick = settings(max_examples=25, deadline=None)


def predictions(seed: int, m: int = 4, n: int = 120, c: int = 3) -> tuple[np.ndarray, Truth]:
    """(M, N, C) predictions of members of different skill, and the truth."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n)
    logits = rng.uniform(0.2, 3, (m, 1, 1)) * np.eye(c)[y] + rng.normal(size=(m, n, c))
    return pooled(logits).astype(np.float32), Truth("classes", y)


def reduced(p: np.ndarray, truth: Truth) -> np.ndarray:
    return np.stack([truth.reduce(member)[:, 0] for member in p])


def library(p: np.ndarray, truth: Truth, folds: int = 4):
    return open_library(lambda j: p[j], len(p), truth, np.arange(len(truth)) % folds)


def mean_loss(t: np.ndarray, w: np.ndarray) -> float:
    return float(-np.log(w @ t.astype(np.float64)).mean())


@quick
@given(seeds, st.integers(1, 12))
def test_the_optimum_is_on_the_simplex_certified_and_no_member_or_greedy_choice_is_better(seed, m):
    t = reduced(*predictions(seed, m))
    fitted = least_log_loss(t)
    assert (fitted.values >= 0).all() and fitted.values.sum() == pytest.approx(1)
    assert fitted.gap <= 1e-5
    loss = mean_loss(t, fitted.values)
    assert all(loss <= mean_loss(t, vertex) + 1e-6 for vertex in np.eye(m))
    assert loss <= min(greedy_log_loss(t, 100).losses) + 1e-6
    # The certificate by its definition.
    assert np.log(max(1, (t / (fitted.values @ t)).mean(axis=1).max())) == pytest.approx(fitted.gap, abs=1e-6)


def test_an_independent_optimiser_finds_nothing_better():
    t = reduced(*predictions(3))

    def loss(z):
        return mean_loss(t, pooled(z[None])[0])

    best = min(minimize(loss, start, method="Nelder-Mead", options={"maxiter": 4000}).fun for start in np.eye(4))
    assert mean_loss(t, least_log_loss(t).values) <= best + 1e-6


@quick
@given(seeds, st.permutations(range(120)), st.permutations(range(4)), st.permutations(range(3)))
def test_order_of_rows_members_and_classes_does_not_matter(seed, rows, order, columns):
    p, truth = predictions(seed)
    t = reduced(p, truth)
    loss = mean_loss(t, least_log_loss(t).values)
    assert mean_loss(t, least_log_loss(t[:, rows]).values) == pytest.approx(loss, abs=1e-5)
    w = np.empty(4)
    w[list(order)] = least_log_loss(t[list(order)]).values
    assert mean_loss(t, w) == pytest.approx(loss, abs=1e-5)
    recoded = Truth("classes", np.argsort(columns)[truth.y])
    np.testing.assert_array_equal(reduced(p[:, :, list(columns)], recoded), t)


@quick
@given(seeds)
def test_a_member_twice_is_the_member_once_and_weight_zero_is_absence(seed):
    p, truth = predictions(seed)
    t = reduced(p, truth)
    once, twice = least_log_loss(t).values, least_log_loss(np.concatenate([t, t[:1]])).values
    assert mean_loss(np.concatenate([t, t[:1]]), twice) == pytest.approx(mean_loss(t, once), abs=1e-5)
    with_zero = combine([Blend(np.array([0.4, 0, 0.6, 0]))], lambda j: p[j], "classes")[0]
    without = combine([Blend(np.array([0.4, 0.6]))], lambda j: p[[0, 2]][j], "classes")[0]
    np.testing.assert_array_equal(with_zero, without)
    assert duplicates(np.concatenate([t, t[:1]])[:, :, None], truth) in ({4: 0}, {0: 4})


def test_members_that_differ_in_rare_labels_alone_are_not_the_same():
    rng = np.random.default_rng(0)
    y = (rng.random((400, 3000)) < 1e-3).astype(np.uint8)
    p = [np.where(y, rng.uniform(0.2, 0.9, y.shape), 1e-3 * rng.random(y.shape)).astype(np.float32) for _ in range(2)]
    t = np.stack([Truth("labels", y).reduce(member) for member in (*p, p[0] + 1e-7)])
    assert np.abs(t[0] - t[1]).mean() < 1e-3
    assert duplicates(t, Truth("labels", y)) in ({2: 0}, {0: 2})


@pytest.mark.parametrize("tails", [100, 1])  # with few degrees of freedom some rows are hopeless for nearly everyone
def test_many_rows_take_the_sampled_path_to_the_same_optimum(monkeypatch, tails):
    rng = np.random.default_rng(tails)
    easy = rng.standard_t(tails, 4000) + 1
    logits = rng.uniform(0.5, 1.5, (30, 1)) * easy + rng.standard_t(tails, (30, 4000))
    t = np.clip(1 / (1 + np.exp(-np.clip(logits, -40, 40))), 1e-15, 1).astype(np.float32)
    monkeypatch.setattr(convex, "ENOUGH", 4000)
    whole = least_log_loss(t)
    monkeypatch.setattr(convex, "ENOUGH", 100)  # a sample of a sample
    monkeypatch.setattr(convex, "EXACT", 1000)
    sampled = least_log_loss(t)
    assert whole.gap <= 1e-5 and sampled.gap <= 1e-5
    assert mean_loss(t, sampled.values) == pytest.approx(mean_loss(t, whole.values), abs=1e-5)


def test_impossible_rows_and_a_perfect_member_are_survived():
    p, truth = predictions(2)
    wrong = np.eye(3, dtype=np.float32)[(truth.y + 1) % 3]
    right = np.eye(3, dtype=np.float32)[truth.y]
    fitted = least_log_loss(reduced(np.stack([wrong, p[0]]), truth))
    assert fitted.values[0] < 1e-6 and fitted.gap <= 1e-5
    assert least_log_loss(reduced(np.stack([p[0], right]), truth)).values[1] > 0.999
    np.testing.assert_array_equal(least_log_loss(reduced(p[:1], truth)).values, [1.0])


@quick
@given(seeds)
def test_greedy_lazy_or_not_picks_what_trying_everyone_picks(seed):
    t = reduced(*predictions(seed, 8, 400))
    total, losses = np.zeros(t.shape[1]), []
    for k in range(25):
        tries = [-np.log((total + row) / (k + 1)).mean() for row in t.astype(np.float64)]
        total += t[int(np.argmin(tries))]
        losses.append(min(tries))
    for group in (t.size, 800, 399):  # all looked at together; two at a time; one at a time, with old bounds
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(greedy, "GROUP", group)
            selection = greedy_log_loss(t)
        np.testing.assert_allclose(selection.losses, losses, atol=1e-6)
        assert mean_loss(t, selection.values) == pytest.approx(min(losses), abs=1e-6)


@pytest.mark.parametrize("members, rows", [(1, greedy.GROUP + 1), (1100, 63)])
def test_greedy_takes_a_single_member_and_few_rows(members, rows):
    t = np.random.default_rng(0).uniform(0.1, 1, (members, rows)).astype(np.float32)
    selection = greedy_log_loss(t)
    assert mean_loss(t, selection.values) == pytest.approx(min(selection.losses), abs=1e-6)
    assert selection.losses[0] == pytest.approx(-np.log(t).mean(axis=1).max(), abs=1e-6)


@quick
@given(seeds, st.integers(1, 5))
def test_least_squares_on_the_simplex(seed, m):
    rng = np.random.default_rng(seed)
    r = (rng.normal(size=(m, 60)) * rng.uniform(0.5, 2, (m, 1)) + rng.normal(size=60)).astype(np.float32)
    fitted = least_squares(r)
    assert (fitted.values >= 0).all() and fitted.values.sum() == pytest.approx(1)
    loss = ((fitted.values @ r) ** 2).mean()
    for vertex in np.eye(m):  # no way down along any edge: optimal, because the loss is convex
        step = 1e-4 * (vertex - fitted.values)
        assert (((fitted.values + step) @ r) ** 2).mean() >= loss - 1e-7
    assert fitted.gap < 1e-6
    greedy = greedy_squares(r, 50)
    assert min(greedy.losses) >= loss - 1e-7
    assert ((greedy.values @ r) ** 2).mean() == pytest.approx(min(greedy.losses), rel=1e-5)


def test_the_log_linear_pool_is_at_its_optimum_and_temperature_undoes_a_power():
    p, truth = predictions(4, 3, 400)
    logs, prior = logarithms(p), np.array([0.2, 0.3, 0.5])

    def loss(v, strength):
        q = pooled(np.tensordot(v, logs, 1))
        return truth.losses(q).sum() + strength / 2 * ((v - prior) ** 2).sum()

    v = log_linear_weights(logs, truth.y, prior, 5.0)
    best = minimize(lambda v: loss(np.abs(v), 5.0), prior, method="Nelder-Mead", options={"xatol": 1e-6}).fun
    assert loss(v, 5.0) <= best + 1e-4
    np.testing.assert_allclose(log_linear_weights(logs, truth.y, prior, 1e9), prior, atol=1e-6)
    power = temperature_exponent(logs[0], truth.y, 0)
    assert temperature_exponent(np.log(pooled(2 * logs[0])), truth.y, 0) == pytest.approx(power / 2, rel=1e-3)


def test_one_pass_over_the_members_gives_every_blend():
    p, _ = predictions(5)
    w, v = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.5, 0, 1.5, 0.2])
    read = []

    def reader(j):
        read.append(j)
        return p[j]

    mean, pool, sharp = combine([Blend(w), Blend(v, "log_linear"), Blend(w, power=2.0)], reader, "classes")
    assert read == [0, 1, 2, 3]
    np.testing.assert_allclose(mean, np.tensordot(w, p, 1), atol=1e-6)
    np.testing.assert_allclose(pool, pooled(np.tensordot(v, np.log(p), 1)), atol=1e-6)
    np.testing.assert_allclose(sharp, mean**2 / (mean**2).sum(axis=1, keepdims=True), atol=1e-6)
    # A label is a distribution over no and yes.
    (labels,) = combine([Blend(v, "log_linear")], lambda j: p[j, :, :2], "labels")
    both = [np.stack([1 - p[..., k], p[..., k]], axis=-1) for k in (0, 1)]
    expected = [pooled(np.tensordot(v, np.log(each), 1))[:, 1] for each in both]
    np.testing.assert_allclose(labels, np.stack(expected, axis=1), atol=1e-6)


@pytest.mark.parametrize("method", [*METHODS, "auto"])
def test_what_is_nested_does_not_depend_on_the_truth_of_its_own_fold(method):
    p, truth = predictions(6, 5, 200)

    def fitted(truth):
        return choose(library(p, truth))[0] if method == "auto" else fit(method, library(p, truth))

    whole = fitted(truth)
    for k in range(4):
        own = np.arange(200) % 4 == k
        other = fitted(Truth("classes", np.where(own, (truth.y + 1) % 3, truth.y)))
        if other.method == whole.method:  # the gate itself looks at all nested losses
            blends = [whole.nested_blends[k], other.nested_blends[k]]
            np.testing.assert_array_equal(*combine(blends, lambda j: p[j], "classes"))
    assert whole.losses.mean() == pytest.approx(whole.loss)
    assert np.isfinite(whole.losses).all() and (whole.blend.weights >= 0).all()


METHOD_KINDS = [(method, kind) for method in METHODS for kind in ("classes", "labels")]
METHOD_KINDS += [(method, "values") for method in METHODS if method not in RICHER]


@pytest.mark.parametrize(("method", "kind"), METHOD_KINDS)
def test_every_method_takes_every_target_it_can(method, kind):
    p, truth = predictions(7, 3, 90)
    if kind == "labels":
        truth = Truth(kind, np.eye(3)[truth.y] + np.roll(np.eye(3)[truth.y], 1, axis=0) > 0)
    elif kind == "values":
        p, truth = p[..., 0] * 10, Truth(kind, truth.y.astype(float))
    result = fit(method, library(p, truth), cap=2)
    (blended,) = combine([result.blend], lambda j: p[j], kind)
    assert len(result.blend.used) <= 2 and blended.shape == p[0].shape
    nested = combine(result.nested_blends, lambda j: p[j], kind)
    by_hand = [truth.losses(nested[k])[k::4].mean() for k in range(4)]
    assert [result.losses[k::4].mean() for k in range(4)] == pytest.approx(by_hand, rel=1e-4)


def test_the_gate_takes_convex_weights_unless_something_richer_is_clearly_better():
    rng = np.random.default_rng(0)
    truth = Truth("classes", rng.integers(0, 3, 600))
    # 1.5 times what is seen are the logarithms of the exact probabilities of the classes: no temperature is better.
    exact = pooled(1.5 * (1.5 * np.eye(3)[truth.y] + rng.normal(size=(6, 600, 3)))).astype(np.float32)
    accepted, tried = choose(library(exact[[0, 0, 0]], truth))
    assert accepted.method == "convex"
    assert [each.method for each in tried] == ["best", "uniform", "convex", "convex_calibrated", "log_linear"]
    # The noises are independent, so the exact blend of six members is the product of their probabilities.
    accepted, tried = choose(library(exact, truth))
    assert accepted.method == "log_linear" and accepted.loss == min(each.loss for each in tried)
    assert (accepted.blend.weights > 0.3).all()  # towards 1 each, and not the 1/6 of a mean


def test_members_that_cannot_help_are_found_and_the_path_removes_the_least_needed():
    p, truth = predictions(9, 5, 300)
    share = np.bincount(truth.y) / 300
    assert class_prior_loss(truth) == pytest.approx(-(share * np.log(share)).sum())
    flat, wrong = np.full_like(p[0], 1 / 3), np.roll(p[0], 1, axis=1)
    stack = np.stack([*p, flat, wrong])
    assert set(useless(reduced(stack, truth)[:, :, None], truth)) >= {5, 6}
    path = elimination_path(reduced(p, truth)[:, :, None], "classes")
    assert set(path) == {1, 2, 3, 4, 5}
    losses = [mean_loss(reduced(p, truth)[members], w) for members, w in (path[k] for k in range(1, 6))]
    assert all(more <= fewer + 1e-6 for fewer, more in pairwise(losses))
    assert all(set(path[k][0]) <= set(path[k + 1][0]) for k in range(1, 5))
    curve = gain_curve(library(p, truth))
    assert curve.in_sample == pytest.approx(losses[: len(curve.members)], abs=1e-5)
    assert set(curve.members) == set(path[5][0])
    worth = leave_one_out(library(p, truth), np.arange(5))
    assert max(worth, key=worth.get) == curve.members[0]
    correlation = error_correlation(library(p, truth))
    np.testing.assert_allclose(correlation, np.corrcoef([truth.losses(each) for each in p]), atol=1e-4)


HARD = [(name, kind) for name, kinds in DECISIONS["classes"].items() for kind in kinds]


@pytest.mark.parametrize(("name", "kind"), HARD)
def test_a_fitted_decision_of_classes_is_as_good_as_trying_everything(name, kind):
    rng = np.random.default_rng(1)
    c = 2 if name in ("f1", "probabilistic_f1") else 3
    y = rng.choice(c, 60, p=[0.7, 0.3] if c == 2 else [0.6, 0.3, 0.1])
    p = pooled(np.eye(c)[y] + rng.normal(size=(60, c)))
    measured = metric(name, c)

    def gain(decision: Decision) -> float:
        return measured.gain(measured(y, decision.apply(p)), 0)

    found = gain(fit_decision(kind, name, y, p))
    if kind == "cut_points":
        ends = np.arange(0, c - 1, 0.05) if c == 3 else np.unique(p[:, 1])
        grid = [(a, b)[: c - 1] for a in ends for b in (ends[ends >= a] if c == 3 else [1])]
    else:
        powers = np.geomspace(0.05, 20, 25)
        grid = [(1.0, a, b)[:c] for a in powers for b in (powers if c == 3 else [1.0])]
    assert found >= gain(Decision()) or name == "probabilistic_f1"  # which takes probabilities as they are
    best = max(gain(Decision(kind, values)) for values in grid)
    assert found >= best - (0.03 if kind != "prior" else 1)  # one coordinate at a time may rest on a lower hill
    assert c != 2 or found >= best - 1e-12  # but not where there is one only


@quick
@given(st.data(), st.sampled_from(["micro_f1", "macro_f1"]), st.booleans())
def test_thresholds_of_labels_are_as_good_as_trying_everything(data, name, fill):
    n, c = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    cells = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=n * c, max_size=n * c)
    p, y = np.array(data.draw(cells)).reshape(n, c, 2).transpose(2, 0, 1)  # with ties
    p, measured = (p / 6).astype(np.float32), metric(name, c, "multilabel")

    def score(decision: Decision) -> float:
        return measured(y, decision.apply(p))

    cuts = [*np.unique(p), 1.5]
    one = fit_decision("threshold", name, y, p, fill)
    best_of_one = max(score(Decision("threshold", (cut,), fill)) for cut in cuts)
    assert score(one) == pytest.approx(best_of_one)
    each = fit_decision("thresholds", name, y, p, fill)
    best = max(score(Decision("thresholds", values, fill)) for values in product(cuts, repeat=c))
    if fill:  # a row's label may hang on two thresholds, and no single one helps
        assert best_of_one - 1e-12 <= score(each) <= best + 1e-12
        assert all(each.apply(p).any(axis=1)) and all(one.apply(p).any(axis=1))
    else:
        assert score(each) == pytest.approx(best)
    # 0.5 stays where nothing is better.
    half = score(Decision("threshold", (0.5,), fill))
    assert (one.values == (0.5,)) == (half >= best_of_one - 1e-12)


@quick
@given(seeds, st.sampled_from([0.01, 0.1, 0.6]))
def test_the_best_cut_is_among_the_few_that_can_win(seed, share):
    rng = np.random.default_rng(seed)
    true = rng.random(300) < share
    p = np.round(rng.beta(1 + 2 * true, 4), 2).astype(np.float32)

    def f1(cut: float) -> float:
        chosen = p >= cut
        return 2 * np.sum(chosen & true) / max(np.sum(chosen) + np.sum(true), 1)

    assert f1(best_cut(p, true)) == pytest.approx(max(map(f1, np.unique(p))))


def test_answers_by_hand():
    p = np.array([[0.7, 0.6, 0.1], [0.2, 0.3, 0.25]], dtype=np.float32)
    assert Decision().apply(p) is p
    taken = {
        Decision("threshold", (0.65,)): [[1, 0, 0], [0, 0, 0]],
        Decision("threshold", (0.5,), fill=True): [[1, 1, 0], [0, 1, 0]],
        Decision("thresholds", (0.9, 0.3, 0.2)): [[0, 1, 0], [0, 1, 1]],
        Decision("thresholds", (0.1, 0.9, 0.2), fill=True): [[1, 0, 0], [1, 0, 1]],
        Decision("multipliers", (0.1, 1.0, 2.0)): [[0, 1, 0], [0, 0, 1]],
        Decision("cut_points", (0.5, 0.9)): [[0, 1, 0], [0, 1, 0]],
    }
    for decision, expected in taken.items():
        answers = decision.apply(p)
        np.testing.assert_array_equal(answers, expected)
        assert answers.dtype == np.float32


def test_a_decision_of_many_classes_is_among_those_that_are_kept():
    (p,), truth = predictions(0, 1, 200, 6)
    for k in (6, 2):
        sparse = greatest(p, k)
        held = sparse.base[:, None] + sparse.excess.toarray()
        decision = fit_decision("prior", "macro_f1", truth.y, sparse)
        held[sparse.excess.toarray() == 0] = 0  # but for those that are just as likely as the rest
        answers = decision.apply(sparse)
        assert (answers.argmax(axis=1) == (held * decision.values).argmax(axis=1)).all()
        np.testing.assert_array_equal(answers.excess.toarray(), np.eye(6)[decision.classes(sparse)])
        assert (answers.base == 0).all()
    assert fit_decision("prior", "macro_f1", truth.y, greatest(p, 6)) == fit_decision("prior", "macro_f1", truth.y, p)


def test_what_is_worth_trying():
    assert decisions_for("error", "classes", 20) == ["prior", "multipliers"]
    assert decisions_for("micro_f1", "classes", 21) == ["prior"]
    assert decisions_for("micro_f1", "labels", 20) == ["threshold", "thresholds"]
    assert decisions_for("macro_f1", "labels", 21) == ["threshold"]
    assert decisions_for("log_loss", "labels", 3) == decisions_for("rmse", "values", 1) == []
    assert first_decision("labels", fill=True).apply(np.array([[0.2, 0.1]])).tolist() == [[1, 0]]
    assert first_decision("labels", fill=False) == first_decision("classes", fill=True) == Decision()


def test_evidence_by_hand():
    y = np.arange(400) % 2
    p = np.stack([1.0 - y, y], axis=1)
    worse = p.copy()
    worse[:40] = worse[:40, ::-1]
    fold = np.arange(400) // 100
    evidence = compare(metric("accuracy"), y, p, worse, fold)
    assert evidence.gain == pytest.approx(0.1) and evidence.folds == pytest.approx((0.4, 0, 0, 0))
    assert evidence.signs == "+===" and evidence.verdict == "the ensemble is better"
    half = 1.96 * np.sqrt(0.1 * 0.9 / 400)
    assert (evidence.low, evidence.high) == pytest.approx((0.1 - half, 0.1 + half), abs=0.004)
    assert compare(metric("accuracy"), y, worse, p, fold).verdict == "the ensemble is worse"
    for rows, reference in ((slice(None), p), (slice(0, 299), worse)):  # no difference; too few rows
        few = compare(metric("macro_f1"), y[rows], p[rows], reference[rows], fold[rows])
        assert few.verdict == "no evidence that the ensemble is better"


def test_rows_of_one_group_are_no_evidence_besides_each_other():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(400), 10)
    y, right = np.zeros(4000, dtype=int), rng.integers(0, 2, (2, 400))
    p, other = (np.stack([each, 1 - each], axis=1)[group] for each in right.astype(float))
    alone, together = (compare(metric("accuracy"), y, p, other, group % 4, groups) for groups in (None, group))
    difference = right[0] - right[1]
    half = 1.96 * difference.std() / np.sqrt(400)
    assert (together.low, together.high) == pytest.approx((alone.gain - half, alone.gain + half), abs=0.1 * half)
    assert alone.high - alone.low < 0.4 * (together.high - together.low)
    assert (alone.rows, together.rows) == (4000, 400)

    # The same of the gate: 1.5 standard errors of independent rows are half of one of the groups.
    gain = difference - difference.mean()
    gain = (gain + 1.5 * gain.std() / np.sqrt(4000))[group]
    assert improves(gain, 0 * gain) and improves(gain, 0 * gain, np.arange(4000))
    assert not improves(gain, 0 * gain, group)


def test_a_metric_that_most_samples_leave_undefined_gives_no_interval():
    rng = np.random.default_rng(0)
    y = np.zeros((400, 10), dtype=np.uint8)
    y[:20] = np.repeat(np.eye(10, dtype=np.uint8), 2, axis=0)  # two rows of each label
    p, other = rng.random((2, 400, 10))
    columns = metric("mean_column_auc", 10, "multilabel")
    evidence = compare(columns, y, p, other, np.arange(400) % 2)
    assert np.isnan([evidence.low, evidence.high, *score_interval(columns, y, p)]).all()
    assert evidence.verdict == "no evidence that the ensemble is better"
    assert in_words(evidence.low, evidence.high, str).startswith("no interval")


def test_the_interval_of_a_macro_average_lies_around_its_score():
    y = np.concatenate([np.zeros(2000, dtype=int), np.arange(1, 10)])  # a third of all samples lack each rare class
    p = np.eye(10)[y]
    p[:500] = np.eye(10)[9]
    macro = metric("macro_f1", 10)
    low, high = score_interval(macro, y, p)
    assert low < macro(y, p) < high


def test_blends_of_many_classes_are_those_of_all_their_probabilities():
    rng = np.random.default_rng(0)
    y, fold = rng.integers(0, 40, 300), np.arange(300) % 3
    knowing = [rng.dirichlet(np.full(40, 0.3), 300) + share * np.eye(40)[y] for share in (0.2, 0.4)]
    dense = [(p / p.sum(axis=1, keepdims=True)).astype(np.float32) for p in knowing]
    sparse = [greatest(p, 40) for p in dense]
    truth = Truth("classes", y)
    whole, few = (open_library(lambda j, parts=parts: parts[j], 2, truth, fold) for parts in (dense, sparse))
    chosen, tried = choose(few)
    expected = fit("convex", whole)
    np.testing.assert_allclose(chosen.blend.weights, expected.blend.weights, atol=1e-4)
    assert [each.method for each in tried] == ["best", "uniform", "convex"]
    (blended,), (all_of_it,) = (combine([expected.blend], each.read, "classes") for each in (few, whole))
    np.testing.assert_allclose(blended[np.arange(300), y], all_of_it[np.arange(300), y], atol=1e-5)
    with pytest.raises(DataError, match="log_linear needs every probability"):
        fit("log_linear", few)


def test_an_interval_from_fewer_rows_is_as_wide_as_one_from_all(monkeypatch):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 6000)
    p = rng.dirichlet(np.ones(3), 6000) + 0.3 * np.eye(3)[y]
    whole = score_interval(metric("macro_f1", 3), y, p)
    monkeypatch.setattr("blending.evidence.AT_ONCE", 3 * 1500)
    few = score_interval(metric("macro_f1", 3), y, p)
    np.testing.assert_allclose(few, whole, atol=0.2 * (whole[1] - whole[0]))
