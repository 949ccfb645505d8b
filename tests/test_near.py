import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from competition.hashes import FLAT, perceptual_hash, prints_and_hashes
from competition.images import Picture
from folds import near
from folds.near import near_clusters, near_report


def by_brute_force(hashes: np.ndarray, distance: int) -> np.ndarray:
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1).astype(int)
    differing = (bits[:, None] != bits[None]).sum(axis=2)
    seen = hashes != FLAT
    return connected_components((differing <= distance) & seen[:, None] & seen)[1]


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return ((a[:, None] == a) == (b[:, None] == b)).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 16), st.sampled_from([1, 50, 10**6]))
def test_clusters_are_those_of_comparing_all_pairs(seed, distance, many):
    rng = np.random.default_rng(seed)
    hashes = rng.integers(1, 2**64, 60, np.uint64)
    for row in range(20, 60):  # most are an earlier one with some bits changed, so that there are chains
        changed = rng.choice(64, rng.integers(0, 2 * distance + 2), replace=False).astype(np.uint64)
        hashes[row] = np.bitwise_xor.reduce(np.uint64(1) << changed, initial=hashes[rng.integers(0, row)])
    hashes[rng.integers(0, 60, 6)] = FLAT
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "_MANY", many)
        found = near_clusters(hashes, distance)
    assert same_partition(found, by_brute_force(hashes, distance))
    assert (np.diff(np.unique(found, return_index=True)[1]) > 0).all()  # numbered by first appearance


def test_none_and_one():
    assert near_clusters(np.array([], np.uint64), 4).tolist() == []
    assert near_clusters(np.array([5], np.uint64), 4).tolist() == [0]


def texture(seed: int, side: int = 100) -> np.ndarray:
    """Something smooth, as photographs are."""
    noise = np.random.default_rng(seed).uniform(0, 255, (8, 8, 3)).astype(np.float32)
    return cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.array([int(a ^ b).bit_count() for a, b in zip(one.tolist(), other.tolist(), strict=True)])


@pytest.mark.parametrize(
    "copy",
    [
        lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_COLOR),
        lambda image: cv2.resize(image, (57, 64), interpolation=cv2.INTER_AREA),
        lambda image: cv2.resize(image, (230, 200), interpolation=cv2.INTER_CUBIC),
        lambda image: (image * 0.8 + 20).astype(np.uint8),
    ],
    ids=["jpg", "smaller", "larger", "paler"],
)
def test_a_changed_copy_keeps_its_hash_and_another_image_has_another(copy):
    images = [texture(seed) for seed in range(40)]
    hashes = np.array([perceptual_hash(image) for image in images], np.uint64)
    copies = np.array([perceptual_hash(copy(image)) for image in images], np.uint64)
    assert distances(hashes, copies).max() <= 4
    assert distances(hashes, np.roll(copies, 1)).min() > 8


def test_flat_images_have_no_hash_and_are_not_joined():
    noise = np.random.default_rng(0).integers(0, 3, (64, 64, 3))
    flat = [perceptual_hash((level + noise).astype(np.uint8)) for level in (0, 100, 250)]
    assert flat == [FLAT] * 3
    assert near_clusters(np.array([*flat, 9, 9], np.uint64), 16).tolist() == [0, 1, 2, 3, 3]
    lit = np.zeros((64, 64, 1), np.uint8)
    lit[20:30, 30:50] = 200
    assert perceptual_hash(lit) != FLAT and perceptual_hash(np.repeat(lit, 5, axis=2)) == perceptual_hash(lit)


def test_one_pass_gives_both(tmp_path):
    files = []
    for i, seed in enumerate((1, 2, 1)):
        files.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(files[-1]), texture(seed))
    prints, hashes = prints_and_hashes([Picture((file,)) for file in files], "some")
    assert hashes.dtype == np.uint64 and hashes[0] == hashes[2] != hashes[1] and prints[0] == prints[2] != prints[1]
    assert hashes[0] == perceptual_hash(texture(1)[:, :, ::-1])


def test_the_report_counts_rows_not_images():
    ids, labels = np.array([f"row{i}" for i in range(10)]), np.array([0] * 8 + [1, 1])
    row_of = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    cluster = np.array([0, 0, 1, 2, 2, 3, 3, 3, 3, 3, 4])  # the two images of row 0 are no pair of rows
    fold = np.array([0, 0, 1, 1, 2, 2, 2, 2, 2, 0])
    assert near_report(ids, labels, fold, cluster, row_of) == [
        "clusters of nearly equal training images: 2 (7 rows), with different labels: 1, straddling folds: 0",
        "  5 rows, different labels: row4, row5, row6, row7, row8",
        "  2 rows: row2, row3",
    ]
    columns = np.stack([labels, 1 - labels], axis=1)
    assert near_report(ids, columns, fold, cluster, row_of, shown=0)[0].endswith(
        "different labels: 1, straddling folds: 0"
    )
    fold[3] = 2
    (first,) = near_report(ids, labels, fold, cluster, row_of, shown=0)
    assert first.endswith("straddling folds: 1 WARNING: split again, or scores are too good")
