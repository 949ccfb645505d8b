import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from competition.metrics import log_loss
from pipeline.blending import blend, convex_weights, nested_blend, true_class


def members(seed: int, m: int = 4, n: int = 80, c: int = 3) -> tuple[list[np.ndarray], np.ndarray]:
    """Members of different skill on the same labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, c, n)
    skill = rng.uniform(0.2, 3, m)
    logits = [s * np.eye(c)[y] + rng.normal(size=(n, c)) for s in skill]
    return [(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)).astype(np.float32) for z in logits], y


seeds = st.integers(0, 10**6)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_the_optimum_is_certified_and_beats_every_vertex(seed):
    p, y = members(seed)
    fitted = convex_weights(true_class(p, y))
    assert (fitted.values >= 0).all() and np.isclose(fitted.values.sum(), 1)
    loss = log_loss(y, blend(p, fitted.values))
    assert all(loss <= log_loss(y, vertex) + 1e-5 for vertex in p)
    assert fitted.gap < 1e-3


def test_an_independent_optimiser_finds_nothing_better():
    p, y = members(3)
    t = true_class(p, y)

    def loss(z):
        w = np.exp(z) / np.exp(z).sum()
        return -np.log(w @ t).mean()

    best = min(minimize(loss, start, method="Nelder-Mead", options={"maxiter": 4000}).fun for start in np.eye(4))
    assert -np.log(convex_weights(t).values @ t).mean() <= best + 1e-5


@settings(max_examples=25, deadline=None)
@given(seeds, st.permutations(range(80)), st.permutations(range(4)), st.permutations(range(3)))
def test_order_of_rows_members_and_classes_does_not_matter(seed, rows, order, columns):
    p, y = members(seed)
    w = convex_weights(true_class(p, y)).values
    np.testing.assert_allclose(convex_weights(true_class([q[rows] for q in p], y[rows])).values, w, atol=2e-3)
    np.testing.assert_allclose(convex_weights(true_class([p[i] for i in order], y)).values, w[order], atol=2e-3)
    recoded = [q[:, columns] for q in p]
    np.testing.assert_array_equal(convex_weights(true_class(recoded, np.argsort(columns)[y])).values, w)


def test_closed_forms():
    p, y = members(1)
    np.testing.assert_array_equal(convex_weights(true_class(p[:1], y)).values, [1.0])
    # A member twice is the member once: the blend is the same.
    once, twice = convex_weights(true_class(p, y)), convex_weights(true_class([*p, p[0]], y))
    np.testing.assert_allclose(blend([*p, p[0]], twice.values), blend(p, once.values), atol=2e-3)
    # Weight 0 is as good as absent, and equal weights are the mean.
    np.testing.assert_array_equal(blend(p[:2], np.array([1.0, 0.0])), blend(p[:1], np.array([1.0])))
    np.testing.assert_allclose(blend(p, np.full(4, 0.25)), np.mean(p, axis=0), atol=1e-6)
    # Probabilities of exactly 0 for the true class are survived.
    sure = np.eye(3, dtype=np.float32)[(y + 1) % 3]
    assert convex_weights(true_class([sure, p[0]], y)).values[0] < 1e-3


def test_nested_predictions_do_not_depend_on_the_labels_of_their_own_fold():
    p, y = members(5)
    fold = np.arange(80) % 4
    nested = nested_blend(p, y, fold)
    for k in range(4):
        other = np.where(fold == k, (y + 1) % 3, y)
        np.testing.assert_array_equal(nested_blend(p, other, fold)[fold == k], nested[fold == k])
    np.testing.assert_allclose(nested.sum(axis=1), 1, atol=1e-6)
