import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.errors import DataError
from competition.tables import load_train
from folds.split import assign_folds, clusters_of
from folds.store import read_folds, write_folds
from tests.support import make_contest

ROOT = Path(__file__).parent.parent


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_every_row_has_a_fold_and_nothing_that_belongs_together_is_parted(seed, grouped):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 120)
    prints = rng.integers(0, 1000, 120)  # some images occur more than once
    groups = rng.integers(0, 60, 120) if grouped else None
    fold = assign_folds(labels, prints, groups, n=4, seed=0)
    assert set(fold) == {0, 1, 2, 3}
    for key in (prints, groups) if grouped else (prints,):
        for value in np.unique(key):
            assert len(set(fold[key == value])) == 1
    assert (fold == assign_folds(labels, prints, groups, n=4, seed=0)).all()


def test_distinct_images_are_split_exactly():
    labels = np.repeat([0, 1, 2], [50, 25, 10])
    fold = assign_folds(labels, np.arange(85), None, n=5, seed=0)
    for k in range(5):
        assert np.bincount(labels[fold == k]).tolist() == [10, 5, 2]


def test_clusters_join_through_chains():
    # Rows 0 and 1 are the same image, 1 and 2 the same patient, 3 stands alone.
    assert clusters_of([np.array([7, 7, 8, 9]), np.array(["a", "b", "b", "c"])]).tolist() == [0, 0, 0, 1]


def test_a_class_with_fewer_images_than_folds_is_refused():
    with pytest.raises(DataError, match="only 2 distinct images"):
        assign_folds(np.array([0] * 9 + [1] * 4), np.array([*range(9), 20, 20, 21, 21]), None, n=3, seed=0)


def folds(tiny) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "folds", "-c", tiny.spec, "--data", tiny.data, "--runs", tiny.spec.parent / "runs"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_keeps_duplicates_together_and_says_so(tmp_path):
    tiny = make_contest(tmp_path, n_train=30)
    # The same picture under another name and in another encoding: PNG compression differs, pixels do not.
    image = cv2.imread(str(tiny.data / "train" / "train000.png"))
    cv2.imwrite(str(tiny.data / "train" / "train003.png"), image, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    cv2.imwrite(str(tiny.data / "test" / "test000.png"), image)
    first = folds(tiny)
    assert first.returncode == 0, first.stderr
    assert "occur more than once: 1 (2 rows), straddling folds: 0" in first.stdout
    assert "test images that are also training images: 1 of 20" in first.stdout
    contest = tiny.contest()
    before = contest.folds_file.read_bytes()
    assert folds(tiny).returncode == 0
    assert contest.folds_file.read_bytes() == before

    # A split from elsewhere that parts the two copies is refused.
    rows = load_train(contest)
    lines = before.decode().splitlines()
    lines[1] = f"train000,{(read_folds(contest, rows).fold[3] + 1) % 3}"
    contest.folds_file.write_text("\n".join(lines) + "\n")
    leaking = folds(tiny)
    assert leaking.returncode == 2 and "train000" in leaking.stderr and "train003" in leaking.stderr


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
