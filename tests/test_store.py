from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.errors import DataError
from competition.sparse import greatest, kept
from pipeline.store import Predictions, concatenate, load_predictions

CLASSES = ("a", "b", "c")
FAMILIES = ("classes", "labels", "shares", "values")


def predictions(n=6, seed=0, **changes) -> Predictions:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), n).astype(np.float32)
    fields = {"ids": np.array([f"{i:03}" for i in range(n)]), "classes": CLASSES, "probabilities": p}
    fields |= {"folds_sha256": "f" * 64, "labels": rng.integers(0, 3, n)}
    return Predictions(**fields | changes)


def of_family(family: str, seed: int = 0) -> Predictions:
    """Predictions with labels as that family of targets has them."""
    rng = np.random.default_rng(seed)
    if family == "labels":
        changes = {
            "probabilities": rng.random((6, 3)).astype(np.float32),
            "labels": rng.integers(0, 2, (6, 3)).astype(np.uint8),
        }
    elif family == "shares":
        changes = {"labels": rng.dirichlet(np.ones(3), 6).astype(np.float32)}
    elif family == "values":
        changes = {key: (100 * rng.normal(size=(6, 3))).astype(np.float32) for key in ("probabilities", "labels")}
    else:
        changes = {}
    return predictions(seed=seed, family=family, **changes)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_saved_is_read_again(tmp_path, family):
    saved = replace(of_family(family), ids=np.array(["00012", "1e5", "ü", "-", "a b", "0x1"]))
    saved.save(tmp_path / "oof.npz")
    read = load_predictions(tmp_path / "oof.npz", "f" * 64)
    assert (read.classes, read.folds_sha256, read.family) == (saved.classes, saved.folds_sha256, family)
    for name in ("ids", "probabilities", "labels"):
        np.testing.assert_array_equal(getattr(read, name), getattr(saved, name))
        assert getattr(read, name).dtype.kind == getattr(saved, name).dtype.kind
    assert [path.name for path in tmp_path.iterdir()] == ["oof.npz"]


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=20, deadline=None)
@given(rows=st.permutations(range(6)), columns=st.permutations(range(3)))
def test_order_of_rows_and_classes_does_not_matter(family, rows, columns):
    straight = of_family(family)
    shuffled = replace(
        straight,
        ids=straight.ids[rows],
        classes=tuple(CLASSES[c] for c in columns),
        probabilities=straight.probabilities[np.ix_(rows, columns)],
        labels=np.argsort(columns)[straight.labels[rows]]
        if family == "classes"
        else straight.labels[np.ix_(rows, columns)],
    )
    back = shuffled.reordered(straight.ids, CLASSES, "x")
    np.testing.assert_array_equal(back.probabilities, straight.probabilities)
    np.testing.assert_array_equal(back.labels, straight.labels)


def test_a_file_without_a_family_holds_classes(tmp_path):
    fields = {name: getattr(predictions(), name) for name in ("ids", "classes", "probabilities", "labels")}
    np.savez(tmp_path / "old.npz", folds_sha256=np.array("f" * 64), **fields)
    assert load_predictions(tmp_path / "old.npz").family == "classes"


@pytest.mark.parametrize(
    "family, where, value, message",
    [
        ("values", "probabilities", np.inf, "'002' has a number that is NaN or infinite"),
        ("values", "labels", np.nan, "'002' has a label that is NaN"),
        ("labels", "probabilities", 1.5, "'002' has a probability outside"),
        ("labels", "labels", 2, "'002' has a label that is not 0 or 1"),
        ("shares", "labels", 1.5, "'002' has labels that do not sum to 1"),
        ("shares", "probabilities", 0.9, "'002' has probabilities that do not sum to 1"),
    ],
)
def test_each_family_has_its_own_rules(tmp_path, family, where, value, message):
    bad = of_family(family)
    getattr(bad, where)[2] = value
    with pytest.raises(DataError, match=message):
        bad.save(tmp_path / "oof.npz")
    with pytest.raises(DataError, match=r"labels of shape \(6,\) for 6 ids"):
        replace(of_family(family), labels=np.zeros(6, np.int64)).check("x")
    with pytest.raises(DataError, match="family 'words' is none of"):
        replace(bad, family="words").check("x")


def spoilt(change) -> Predictions:
    p = predictions()
    fields = {"ids": p.ids.copy(), "probabilities": p.probabilities.copy(), "labels": p.labels.copy()}
    change(fields)
    return Predictions(classes=CLASSES, folds_sha256=p.folds_sha256, **fields)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: f["probabilities"].__setitem__((2, 0), np.nan), "'002' has a probability that is NaN"),
        (lambda f: f["probabilities"].__setitem__((3, 1), -0.1), "'003' has a probability outside"),
        (lambda f: f["probabilities"].__setitem__(4, [0.5, 0.5, 0.5]), "'004' has probabilities that do not sum to 1"),
        (lambda f: f["ids"].__setitem__(5, "001"), "'001' occurs more than once"),
        (lambda f: f["labels"].__setitem__(1, 3), "'001' has a label outside"),
        (lambda f: f.update(probabilities=f["probabilities"][:5]), "shape"),
    ],
)
def test_unsound_predictions_are_neither_written_nor_read(tmp_path, change, message):
    bad = spoilt(change)
    with pytest.raises(DataError, match=message):
        bad.save(tmp_path / "oof.npz")
    assert not list(tmp_path.iterdir())
    fields = {"ids": bad.ids, "probabilities": bad.probabilities, "labels": bad.labels}
    np.savez(tmp_path / "oof.npz", classes=np.array(CLASSES), folds_sha256=np.array("f" * 64), **fields)
    with pytest.raises(DataError, match=message) as caught:
        load_predictions(tmp_path / "oof.npz")
    assert "oof.npz" in str(caught.value)


def test_a_file_of_another_split_a_cut_file_and_a_pickle_are_refused(tmp_path):
    path = tmp_path / "oof.npz"
    predictions().save(path)
    with pytest.raises(DataError, match="another split"):
        load_predictions(path, "e" * 64)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="not a whole prediction file"):
        load_predictions(path)
    np.savez(path, ids=np.array([print], dtype=object))
    with pytest.raises(DataError, match="not a whole prediction file"):
        load_predictions(path)
    with pytest.raises(DataError, match="does not exist"):
        load_predictions(tmp_path / "none.npz")


def test_other_ids_or_classes_are_refused_by_name():
    p = predictions()
    with pytest.raises(DataError, match=r"x: id '003' does not belong here \(3 such"):
        p.reordered(p.ids[:3], CLASSES, "x")
    with pytest.raises(DataError, match="x: id 'new' is missing"):
        p.reordered(np.array([*p.ids, "new"]), CLASSES, "x")
    with pytest.raises(DataError, match=r"lacks \['d'\] and has \['c'\]"):
        p.reordered(p.ids, ("a", "b", "d"), "x")
    with pytest.raises(DataError, match="disagree"):
        concatenate([p, predictions(folds_sha256="0" * 64)])


def test_of_many_classes_the_most_probable_are_kept_and_the_file_is_small(tmp_path):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(5000, 0.002), 300).astype(np.float32)
    names, labels = tuple(f"c{k}" for k in range(5000)), p.argmax(axis=1)
    ids = np.array([f"{i:04}" for i in range(300)])
    whole, few = Predictions(ids, names, p, "f", labels), Predictions(ids, names, greatest(p), "f", labels)
    whole.save(tmp_path / "whole.npz")
    few.save(tmp_path / "few.npz")
    assert (tmp_path / "few.npz").stat().st_size < 0.05 * (tmp_path / "whole.npz").stat().st_size
    back = load_predictions(tmp_path / "few.npz")
    rows = np.arange(300)
    np.testing.assert_allclose(back.probabilities[rows, labels], p[rows, labels], rtol=1e-3)
    order = rng.permutation(5000)
    moved = back.reordered(ids[::-1], tuple(names[k] for k in order), "few.npz")
    np.testing.assert_allclose(moved.probabilities[rows, moved.labels], p[rows, labels][::-1], rtol=1e-3)
    assert (order[moved.labels] == labels[::-1]).all()
    both = concatenate([few, Predictions(np.char.add(ids, "x"), names, greatest(p), "f", labels)])
    assert both.probabilities.shape == (600, 5000)
    spoilt = greatest(p)
    spoilt.excess.data[70] = np.nan
    with pytest.raises(DataError, match="'0001' has a probability that is not in"):
        Predictions(ids, names, spoilt, "f").check("x")


def test_a_tiny_probability_of_the_true_class_is_not_made_impossible(tmp_path):
    p = kept(np.array([[3, 1]]), np.array([[1.0, 1e-9]], np.float32), 5000)
    names = tuple(f"c{k}" for k in range(5000))
    Predictions(np.array(["a"]), names, p, "f", np.array([1])).save(tmp_path / "p.npz")
    assert 1e-9 < load_predictions(tmp_path / "p.npz").probabilities[np.array([0]), np.array([1])][0] < 1e-7
