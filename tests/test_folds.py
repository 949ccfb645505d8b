import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.errors import DataError
from competition.rows.tables import load_train
from folds.balance import balanced_folds
from folds.report import leak_report, rare_report
from folds.split import assign_folds, clusters_of, strata_of
from folds.store import read_folds, write_folds
from tests.commands import Command, finish
from tests.support import make_contest


def split(labels, keys, n, seed=0, family="classes"):
    return assign_folds(strata_of(family, labels, n), clusters_of(keys), n, seed)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from(["classes", "labels", "shares", "values"]))
def test_every_row_has_a_fold_and_nothing_that_belongs_together_is_parted(seed, grouped, family):
    rng = np.random.default_rng(seed)
    labels = {
        "classes": rng.integers(0, 3, 120),
        "labels": (rng.random((120, 4)) < 0.2).astype(np.uint8),
        "shares": rng.dirichlet(np.ones(3), 120),
        "values": rng.normal(size=(120, 2)),
    }[family]
    prints = rng.integers(0, 1000, 120)  # some images occur more than once
    keys = [prints, rng.integers(0, 60, 120)] if grouped else [prints]
    fold = split(labels, keys, 4, family=family)
    assert set(fold) == {0, 1, 2, 3}
    for key in keys:
        for value in np.unique(key):
            assert len(set(fold[key == value])) == 1
    assert (fold == split(labels, keys, 4, family=family)).all()


@pytest.mark.parametrize("balanced", [False, True])
def test_distinct_images_are_split_exactly(balanced):
    labels = np.repeat([0, 1, 2], [50, 25, 10])
    strata = strata_of("classes", labels, 5)
    fold = balanced_folds(strata, np.ones(85, int), 5, 0) if balanced else assign_folds(strata, np.arange(85), 5, 0)
    for k in range(5):
        assert np.bincount(labels[fold == k]).tolist() == [10, 5, 2]


def test_labels_are_spread_as_evenly_as_their_number_allows():
    rng = np.random.default_rng(0)
    labels = (rng.random((2000, 12)) < np.linspace(0.005, 0.5, 12)).astype(np.uint8)
    fold = split(labels, [np.arange(2000)], 5, family="labels")
    counts = np.stack([labels[fold == k].sum(axis=0) for k in range(5)])
    spread = counts.max(axis=0).astype(int) - counts.min(axis=0)
    assert (spread <= np.maximum(1, 0.06 * counts.mean(axis=0))).all()
    assert np.ptp(np.bincount(fold)) <= 0.06 * 400


def test_numbers_are_spread_over_their_whole_range():
    values = np.random.default_rng(0).lognormal(size=(1000, 1))
    fold = split(values, [np.arange(1000)], 5, family="values")
    tails = np.sort(values[:, 0])[[100, 900]]
    for k in range(5):
        assert abs((values[fold == k] < tails[0]).sum() - 20) <= 1
        assert abs((values[fold == k] > tails[1]).sum() - 20) <= 1


def test_groups_of_unequal_size_fill_the_folds_evenly():
    rng = np.random.default_rng(0)
    groups = rng.geometric(0.02, 3000)
    labels = rng.integers(0, 2, 3000)
    fold = split(labels, [np.arange(3000), groups], 5)
    shares = np.array([np.bincount(labels[fold == k], minlength=2) for k in range(5)])
    assert (np.abs(shares - shares.mean(axis=0)) < 0.05 * shares.mean(axis=0)).all()


def test_clusters_join_through_chains():
    # Rows 0 and 1 are the same image, 1 and 2 the same patient, 3 stands alone.
    assert clusters_of([np.array([7, 7, 8, 9]), np.array(["a", "b", "b", "c"])]).tolist() == [0, 0, 0, 1]
    # Row 0 has two images, one of which is also row 2's.
    assert clusters_of([np.array([1, 2, 3, 2])], np.array([0, 0, 1, 2])).tolist() == [0, 1, 0]


def test_a_rare_class_is_in_as_many_folds_as_it_can_be_and_that_is_said():
    labels, images = np.array([0] * 9 + [1] * 4 + [2]), np.array([*range(9), 20, 20, 21, 21, 30])
    fold = split(labels, [images], 3)
    assert len(set(fold[labels == 1])) == 2
    lines = rare_report(fold, labels, "classes", ("a", "b", "c", "d"))
    assert [line.split(" classes ")[1][:12] for line in lines] == ["do not occur", "are in one f", "are in fewer"]
    assert "(d)" in lines[0] and "(c)" in lines[1] and "(b)" in lines[2]
    with pytest.raises(DataError, match="only 2 distinct images"):
        split(np.array([0, 1, 1]), [np.array([5, 5, 6])], 3)


def test_contradictory_labels_are_reported_for_every_kind_of_label():
    ids, fold, row_of = np.array(["a", "b", "c"]), np.array([0, 0, 1]), np.arange(3)
    for labels in (np.array([0, 1, 1]), np.array([[0, 1], [1, 1], [1, 1]]), np.array([[0.5], [0.25], [1]])):
        lines = leak_report(ids, fold, labels, np.array(["x", "x", "y"]), row_of, None, {})
        assert lines[-1].endswith("1 images have two different labels, for instance a and b")
    # two images of a row are one row, and of three copies the two that disagree are named
    prints, row_of = np.array(["x", "x", "x", "y", "x"]), np.array([0, 0, 1, 2, 2])
    lines = leak_report(ids, fold, np.array([0, 0, 1]), prints, row_of, None, {})
    assert "more than once: 1 (3 rows), straddling folds: 1" in lines[0] and lines[-1].endswith("for instance a and c")


def folds(tiny, status: int = 0) -> str:
    where = ["-c", str(tiny.spec), "--data", str(tiny.data), "--runs", str(tiny.spec.parent / "runs")]
    return finish(Command(tiny.spec.parent / "said", "-m", "folds", *where), status)


def test_the_command_keeps_duplicates_together_and_says_so(tmp_path):
    tiny = make_contest(tmp_path, n_train=30)
    # The same picture under another name and in another encoding: PNG compression differs, pixels do not.
    image = cv2.imread(str(tiny.data / "train" / "train000.png"))
    cv2.imwrite(str(tiny.data / "train" / "train003.png"), image, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    cv2.imwrite(str(tiny.data / "test" / "test000.png"), image)
    first = folds(tiny)
    assert "occur more than once: 1 (2 rows), straddling folds: 0" in first
    assert "test images that are also training images: 1 of 20" in first
    contest = tiny.contest()
    before = contest.folds_file.read_bytes()
    folds(tiny)
    assert contest.folds_file.read_bytes() == before

    # Nearly the same is not the same, unless the spec asks for it.
    image[0, 0] ^= 8
    cv2.imwrite(str(tiny.data / "train" / "train006.png"), image)
    contest.folds_file.unlink()
    tiny.spec.write_text(tiny.spec.read_text().replace("seed: 0", "seed: 0, near_duplicates: 4"))
    assert "train000, train003, train006" in folds(tiny)
    fold = read_folds(contest, load_train(contest)).fold
    assert fold[0] == fold[3] == fold[6]

    # A split from elsewhere that parts the two copies is refused.
    rows = load_train(contest)
    contest.folds_file.write_bytes(before)
    lines = before.decode().splitlines()
    lines[1] = f"train000,{(read_folds(contest, rows).fold[3] + 1) % 3}"
    contest.folds_file.write_text("\n".join(lines) + "\n")
    leaking = folds(tiny, status=2)
    assert "train000" in leaking and "train003" in leaking


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda text: text.replace("train004", "train999"), "'train004' has no fold"),
        (lambda text: text + "extra,0\n", "not in the table"),
        (lambda text: text + "train000,0\n", "occurs twice"),
        (lambda text: text.replace(",2\n", ",7\n"), "folds 0…2"),
    ],
)
def test_a_split_of_other_rows_is_refused(tmp_path, spoil, message):
    contest = make_contest(tmp_path, n_train=12).contest()
    write_folds(contest, load_train(contest), np.arange(12) % 3)
    contest.folds_file.write_text(spoil(contest.folds_file.read_text()))
    with pytest.raises(DataError, match=message):
        read_folds(contest, load_train(contest))
