"""`python -m competition check`: what it shows, and which images it refuses."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from competition.checks.check import check
from competition.checks.headers import describe_file
from competition.errors import DataError, SubmissionError
from tests.support import Tiny, make_contest, write_csv


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return make_contest(tmp_path)


def test_it_shows_counts_sizes_and_duplicates_and_draws_images(tiny: Tiny, capsys: pytest.CaptureFixture):
    train, test = tiny.data / "train", tiny.data / "test"
    shutil.copy(train / "train000.png", train / "train001.png")  # a cat, now also called a dog
    shutil.copy(train / "train000.png", train / "train003.png")  # another cat
    cv2.imwrite(str(test / "test000.png"), cv2.imread(str(train / "train004.png")))
    cv2.imwrite(str(train / "train005.png"), np.full((12, 9), 40_000, np.uint16))
    check(tiny.contest())
    shown = capsys.readouterr().out
    assert "train: 30 rows; the first has id 'train000'" in shown
    assert "classes   3, in the spec: cat 10, dog 10, owl 10" in shown
    assert "8×8   █" in shown and "9×12  █ 1\n" in shown
    assert "png grey 16 bit" in shown
    assert "2 training images equal one of an earlier row, 1 of them with another label" in shown
    assert "1 images of test are also in train" in shown
    sheet = cv2.imread(str(tiny.spec.parent / "runs" / "tiny" / "check.png"))
    assert abs(sheet.shape[0] - 4 * 116) <= 1  # a line for each class, and one for the test images
    right = sheet[:, 180:]
    assert len(np.unique(right)) > 50


def test_all_missing_and_unreadable_images_are_counted_before_it_stops(tiny: Tiny):
    images = sorted((tiny.data / "train").iterdir())
    for image in images[:15]:
        image.unlink()
    whole = images[20].read_bytes()
    images[20].write_bytes(whole[: len(whole) // 2])
    (tiny.data / "test" / "test003.png").write_bytes(b"<html>")
    with pytest.raises(DataError) as caught:
        check(tiny.contest())
    missing, *named = str(caught.value).split("\n")
    assert missing == "15 rows have no image:"
    assert len(named) == 10 + 3 + 1
    assert "train.csv, line 2: train/train000.png is not there" in named[0]
    assert named[10] == "2 images cannot be read:"
    assert named[11].endswith("train020.png: the image is empty or cut short.") and "test003.png" in named[12]
    assert named[13].startswith("Download the data again")


def test_unreadable_images_alone_are_refused_after_the_rest_is_shown(tiny: Tiny, capsys: pytest.CaptureFixture):
    for image in (tiny.data / "test").iterdir():
        image.write_bytes(b"")
    with pytest.raises(DataError, match=r"20 images cannot be read:\n(.*test0\d\d\.png.*\n){10}  all of them: .*"):
        check(tiny.contest())
    assert (tiny.contest().runs / "unreadable.txt").read_text().count(".png: the image is empty") == 20
    assert "sample images:" in capsys.readouterr().out


def test_a_sample_of_other_rows_is_refused(tiny: Tiny):
    write_csv(tiny.data / "test.csv", ["id"], [(f"test{i:03}",) for i in range(19)])
    tiny.spec.write_text(tiny.spec.read_text().replace("test: {table: sample_submission.csv", "test: {table: test.csv"))
    with pytest.raises(SubmissionError, match=r"1 ids of .*sample_submission"):
        check(tiny.contest())


@pytest.mark.parametrize(
    "target, label, values, expected",
    [
        ("kind: regression, classes: [a, b]", "[a, b]", [(n, 2.5) for n in range(30)], "a: 0, 7.25, 14.5, 21.75, 29"),
        ("kind: multilabel, classes: [a, b]", "[a, b]", [(n % 2, 0) for n in range(30)], "2, in the spec: a 15, b 0"),
        ("kind: soft, classes: [a, b]", "[a, b]", [(0.25, 0.75)] * 30, "share     b: 0.75, 0.75, 0.75"),
    ],
)
def test_every_kind_of_label_is_shown(
    tmp_path: Path, target: str, label: str, values: list[tuple], expected: str, capsys: pytest.CaptureFixture
):
    tiny = make_contest(tmp_path)
    write_csv(tiny.data / "train.csv", ["id", "a", "b"], [(f"train{n:03}", *v) for n, v in enumerate(values)])
    write_csv(tiny.data / "sample_submission.csv", ["id", "a", "b"], [(f"test{n:03}", 0, 0) for n in range(20)])
    kind = "value" if "regression" in target else "probability"
    metric = {"reg": "rmse, direction: minimize", "mul": "micro_f1, direction: maximize"}.get(target[6:9])
    tiny.spec.write_text(
        f"""\
slug: tiny
kaggle: tiny
title: Tiny
train: {{table: train.csv, id: id, label: {label}, images: "train/{{id}}.png"}}
test: {{table: sample_submission.csv, id: id, images: "test/{{id}}.png"}}
target: {{{target}}}
metric: {{name: {metric or "kl, direction: minimize"}}}
submission: {{kind: {kind}, id: id}}
rules: {{pretrained: true, predefined: true}}
"""
    )
    check(tiny.contest())
    assert expected in capsys.readouterr().out


def test_headers_of_every_kind_of_file(tmp_path: Path):
    rng = np.random.default_rng(0)
    colour, deep = rng.integers(0, 255, (6, 9, 3), np.uint8), rng.integers(0, 65535, (6, 9, 3)).astype(np.uint16)
    cases = {"a.jpg": colour, "b.png": deep, "c.tif": deep, "d.png": np.dstack([colour, colour[..., :1]])}
    for name, image in cases.items():
        cv2.imwrite(str(tmp_path / name), image)
    np.save(tmp_path / "e.npy", np.zeros((6, 30, 20), np.float16))
    headers = [describe_file(path) for path in sorted(tmp_path.iterdir())]
    assert [(h.width, h.height, h.channels, h.depth) for h in headers] == [
        (9, 6, "RGB", "8 bit"),
        (9, 6, "RGB", "16 bit"),
        (9, 6, "RGB", "16 bit"),
        (9, 6, "RGB + alpha", "8 bit"),
        (20, 30, "6 planes", "float16"),
    ]
