"""Distributions over many classes against the same ones held densely."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.sparse import Sparse, distance, greatest, kept, stacked, weighted_sum


def dense(p: Sparse) -> np.ndarray:
    return p.base[:, None] + p.excess.toarray()


def distributions(seed: int, n: int = 7, c: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(c, 0.1), n).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_what_is_kept_is_exact_and_the_rest_is_shared_equally(seed, k):
    p = distributions(seed)
    sparse = greatest(p, k)
    full, order = dense(sparse), np.argsort(-p, axis=1, kind="stable")
    for row in range(len(p)):
        np.testing.assert_allclose(full[row, order[row, :k]], p[row, order[row, :k]], atol=1e-6)
        if k < 30:
            np.testing.assert_allclose(full[row, order[row, k:]], p[row, order[row, k:]].mean(), atol=1e-6)
    np.testing.assert_allclose(full.sum(axis=1), 1, atol=1e-5)
    best, value = sparse.top(min(k, 5))
    np.testing.assert_allclose(value, np.take_along_axis(p, best, axis=1), atol=1e-6)
    assert (sparse.argmax(axis=1) == p.argmax(axis=1)).all()
    np.testing.assert_allclose(sparse.max(axis=1), p.max(axis=1), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_it_answers_like_an_array(seed):
    rng = np.random.default_rng(seed)
    one, other = greatest(distributions(seed), 4), greatest(distributions(seed + 1), 6)
    rows, y, w = rng.permutation(7)[:5], rng.integers(0, 30, 5), rng.random()
    np.testing.assert_allclose(one[rows, y], dense(one)[rows, y])
    np.testing.assert_allclose(dense(one[rows]), dense(one)[rows])
    mask = rng.random(7) < 0.5
    np.testing.assert_allclose(dense(one[mask]), dense(one)[mask])
    mean = weighted_sum([one, other], [w, 1 - w])
    np.testing.assert_allclose(dense(mean), w * dense(one) + (1 - w) * dense(other), atol=1e-6)
    np.testing.assert_allclose(dense(stacked([one, other])), np.vstack([dense(one), dense(other)]))
    order = rng.permutation(30)
    np.testing.assert_allclose(dense(one.with_columns(order)), dense(one)[:, order])
    apart, either = np.abs(dense(one) - dense(other)), (one.excess.toarray() != 0) | (other.excess.toarray() != 0)
    np.testing.assert_allclose(distance(one, other), apart[either].max(), atol=1e-6)
    np.testing.assert_allclose(dense(mean.trimmed(3)).sum(axis=1), 1, atol=1e-5)
    assert (np.diff(mean.trimmed(3).excess.indptr) <= 3).all() and mean.trimmed(30) is mean


def test_places_without_a_class_are_left_out():
    sparse = kept(np.array([[2, -1], [0, 1]]), np.array([[0.4, 0.9], [0.5, 0.25]]), 4)
    np.testing.assert_allclose(dense(sparse), [[0.2, 0.2, 0.4, 0.2], [0.5, 0.25, 0.125, 0.125]])
    assert sparse.top(2)[0].tolist() == [[2, -1], [0, 1]]
    np.testing.assert_allclose(sparse.top(2)[1], [[0.4, 0.2], [0.5, 0.25]])
