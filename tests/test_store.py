import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.errors import DataError
from pipeline.store import Predictions, concatenate, load_predictions

CLASSES = ("a", "b", "c")


def predictions(n=6, seed=0, **changes) -> Predictions:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), n).astype(np.float32)
    fields = {"ids": np.array([f"{i:03}" for i in range(n)]), "classes": CLASSES, "probabilities": p}
    fields |= {"folds_sha256": "f" * 64, "labels": rng.integers(0, 3, n)}
    return Predictions(**fields | changes)


def test_what_is_saved_is_read_again(tmp_path):
    saved = predictions(ids=np.array(["00012", "1e5", "ü", "-", "a b", "0x1"]))
    saved.save(tmp_path / "oof.npz")
    read = load_predictions(tmp_path / "oof.npz", "f" * 64)
    assert read.classes == saved.classes and read.folds_sha256 == saved.folds_sha256
    for name in ("ids", "probabilities", "labels"):
        np.testing.assert_array_equal(getattr(read, name), getattr(saved, name))
    assert [path.name for path in tmp_path.iterdir()] == ["oof.npz"]


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)), st.permutations(range(3)))
def test_order_of_rows_and_classes_does_not_matter(rows, columns):
    straight = predictions()
    shuffled = Predictions(
        straight.ids[rows],
        tuple(CLASSES[c] for c in columns),
        straight.probabilities[np.ix_(rows, columns)],
        straight.folds_sha256,
        np.argsort(columns)[straight.labels[rows]],
    )
    back = shuffled.reordered(straight.ids, CLASSES, "x")
    np.testing.assert_array_equal(back.probabilities, straight.probabilities)
    np.testing.assert_array_equal(back.labels, straight.labels)


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
