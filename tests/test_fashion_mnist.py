"""IDX files become a contest, and files that are not what they should be are named."""

import gzip
import hashlib
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from competition.contest import open_contest
from competition.errors import DataError
from competition.rows.tables import load_test, load_train
from competition.stand_in import fashion_mnist
from competition.stand_in.contest import LocalContest
from competition.stand_in.fashion_mnist import CLASSES, Files, build
from competition.stand_in.idx import IdxFile, read_idx

SIZES = {"train": 20, "t10k": 10}


def idx(array: np.ndarray) -> bytes:
    """The file as its description has it: 0, 0, type, dimensions, each side as four bytes, then the numbers."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def source(tmp_path: Path) -> tuple[Path, list[Files], dict[str, np.ndarray]]:
    """A folder with four small files, two of them packed; what is known of them; and their arrays."""
    folder = tmp_path / "idx"
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays, known = {}, []
    for part, n in SIZES.items():
        images, labels = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.permutation(n).astype(np.uint8) % 10
        files = []
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            content = idx(array)
            packed = part == "train"
            (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
            arrays[name] = array
            files.append(IdxFile(name, array.shape, hashlib.sha256(content).hexdigest()))
        known.append(Files(*files))
    return folder, known, arrays


def test_idx_files_become_a_contest_that_the_local_kaggle_scores(source, tmp_path):
    folder, known, arrays = source
    data = tmp_path / "data" / "fashion-mnist"
    archive, answers = build(folder, data, *known)
    contest = open_contest("fashion-mnist", str(data), str(tmp_path / "runs"))

    rows = load_train(contest)
    assert contest.classes == CLASSES  # in the order of the files' labels
    np.testing.assert_array_equal(rows.labels, arrays["train-labels-idx1-ubyte"])
    for part, name in ((rows, "train"), (load_test(contest), "t10k")):
        assert len(part) == SIZES[name]
        shown = [cv2.imread(str(picture.path), cv2.IMREAD_UNCHANGED) for picture in part.images]
        np.testing.assert_array_equal(shown, arrays[f"{name}-images-idx3-ubyte"])
    # The answers are not where anything could train on them.
    assert {path.name for path in data.iterdir()} == {"sample_submission.csv", "test", "train", "train.csv"}

    kaggle = LocalContest(contest.spec, archive, answers, tmp_path / "kaggle")
    lines = answers.read_text().splitlines()[1:]
    assert sum(line.endswith(",Public") for line in lines) == 4
    right = "id,label\n" + "".join(",".join(line.split(",")[:2]) + "\n" for line in lines)
    scored = kaggle.add("submission.csv", right.encode(), "")
    assert (scored.public_score, scored.private_score) == ("1.00000", "1.00000")


def test_what_is_there_stays_and_what_is_missing_is_made_again(source, tmp_path):
    folder, known, _ = source
    data = tmp_path / "fashion-mnist"
    made = build(folder, data, *known)
    before = {path: path.read_bytes() for path in made}
    stamps = [path.stat().st_mtime_ns for path in (*made, data / "train.csv")]
    nowhere = tmp_path / "nowhere"
    build(nowhere, data, *known)  # nothing is read when nothing is missing
    assert [path.stat().st_mtime_ns for path in (*made, data / "train.csv")] == stamps

    made[1].unlink()
    with pytest.raises(DataError, match="nowhere holds neither train-images-idx3-ubyte nor"):
        build(nowhere, data, *known)
    build(folder, data, *known)
    assert {path: path.read_bytes() for path in made} == before


def test_a_file_that_is_not_the_known_one_is_named_with_the_fix(tmp_path):
    array = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
    content = idx(array)
    known = IdxFile("images", (5, 3, 4), hashlib.sha256(content).hexdigest())
    path = tmp_path / "images.gz"
    path.write_bytes(content)  # a name is only a name
    np.testing.assert_array_equal(read_idx(tmp_path, known, "Get it."), array)

    packed = gzip.compress(content)
    for wrong, message in (
        (b"", "begins with nothing"),
        (b"<html>", "not an IDX file of bytes: it begins with 3c 68 74 6d"),
        (content[:9], "not an IDX file"),
        (content[:-1], "cut short: 75 bytes, 76 are expected"),
        (content + b"\0", "longer than its header says"),
        (packed[:-20], "its gzip data are cut short or damaged"),
        (packed[:30] + bytes([packed[30] ^ 255]) + packed[31:], "its gzip data are cut short or damaged"),
        (idx(array[:4]), "promises 4×3×4 values, 5×3×4 are expected"),
        (idx(array[::-1].copy()), "not the file it should be"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match=message) as caught:
            read_idx(tmp_path, known, "Get it.")
        assert str(caught.value).startswith(f"{path}: ") and str(caught.value).endswith("Get it.")


def test_the_command_tells_where_the_files_are_to_be_had(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["fashion_mnist", str(tmp_path), "--data", str(tmp_path / "data")])
    with pytest.raises(DataError, match="apt install dataset-fashion-mnist"):
        fashion_mnist.main()
    assert not (tmp_path / "data").exists()
