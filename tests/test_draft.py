"""`python -m competition new` on small contests of every shape: what it writes is loaded and read."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from competition.checks.check import check
from competition.contest import open_contest
from competition.draft.assemble import draft
from competition.draft.guess import Guess
from competition.draft.new import new
from competition.errors import DataError, SpecError
from competition.fake.contest import fake
from competition.rows.tables import load_holdout, load_test, load_train
from competition.schema import FILE as SCHEMA
from competition.schema import schema_text
from competition.spec import list_specs, load_spec
from tests.support import write_csv

TRAIN = [f"{i:05x}" for i in range(0x3A0, 0x3A0 + 40)]  # among them 003e1, which is a number to many readers
TEST = [f"{i}test" for i in range(10)]


def draw(data: Path, files: list[str], channels: int = 3, dtype: type = np.uint8) -> None:
    rng = np.random.default_rng(0)
    for file in files:
        path = data / file
        path.parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, np.iinfo(dtype).max, (8, 10, channels)).astype(dtype)
        if path.suffix == ".npy":
            np.save(path, np.moveaxis(image, 2, 0).astype(np.float16))
        else:
            cv2.imwrite(str(path), image)


@dataclass(frozen=True)
class Expected:
    """Keys of the draft by their dotted names; how many rows are read, and of how many images."""

    keys: dict[str, Any]
    train: int = 40
    test: int = 10
    views: int = 1


def binary(data: Path) -> Expected:
    draw(data, [f"train/{i}.png" for i in TRAIN] + [f"test/{i}.png" for i in TEST])
    write_csv(data / "train.csv", ["id", "fake"], [(i, n % 2) for n, i in enumerate(TRAIN)])
    write_csv(data / "sample_submission.csv", ["id", "fake"], [(i, 0.5) for i in TEST])
    return Expected(
        {
            "train.images": "train/{id}.png",
            "train.label": "fake",
            "test.table": "sample_submission.csv",
            "target.kind": "binary",
            "submission.kind": "probability",
            "metric.name": "auc",
        }
    )


def extension_in_ids_and_class_folders_in_train(data: Path) -> Expected:
    kinds = ["blast", "brown spot", "normal", "tungro"]
    rows = [(f"{i}.jpg", kinds[n % 4], n % 3) for n, i in enumerate(TRAIN)]
    draw(data, [f"train_images/{label}/{i}" for i, label, _ in rows] + [f"test_images/{i}.jpg" for i in TEST])
    write_csv(data / "train.csv", ["image_id", "label", "variety"], rows)
    write_csv(data / "sample_submission.csv", ["image_id", "label"], [(f"{i}.jpg", "") for i in TEST])
    return Expected(
        {
            "train.images": "train_images/{label}/{image_id}",
            "train.label": "label",
            "test.images": "test_images/{image_id}",
            "target.kind": "multiclass",
            "target.classes": kinds,
            "submission.kind": "label",
        }
    )


def class_folders(data: Path) -> Expected:
    kinds = ["Common wheat", "Maize", "Sugar beet"]
    draw(data, [f"train/{kinds[n % 3]}/{i}.png" for n, i in enumerate(TRAIN)] + [f"test/{i}.png" for i in TEST])
    write_csv(data / "sample_submission.csv", ["file", "species"], [(f"{i}.png", "Sugar beet") for i in TEST])
    return Expected(
        {
            "train.files": "train/{label}/{name}.png",
            "train.id": "name",
            "target.classes": kinds,
            "test.images": "test/{file}",
            "submission.kind": "label",
        }
    )


def class_folders_of_the_same_names(data: Path) -> Expected:
    names = [f"{n:05}.jpg" for n in range(10)]
    draw(
        data, [f"{k}/{name}" for k in ("Cover", "JMiPOD", "UERD") for name in names] + [f"Test/{n}" for n in names[:5]]
    )
    write_csv(data / "sample_submission.csv", ["Id", "Label"], [(name, 0.5) for name in names[:5]])
    return Expected(
        {
            "train.files": "{label}/{name}.jpg",
            "train.id": "{label}/{name}",
            "folds.group": "name",
            "target.negative": "Cover",
            "submission.kind": "probability",
            "test.images": "Test/{Id}",
        },
        30,
        5,
    )


def two_class_folders_each_numbered_from_one(data: Path) -> Expected:
    draw(
        data, [f"train/{k}/{n}.png" for k in ("cat", "dog") for n in range(1, 21)] + [f"test/{n}.png" for n in range(5)]
    )
    write_csv(data / "sample_submission.csv", ["id", "dog", "cat"], [(n, 0.5, 0.5) for n in range(5)])
    return Expected(
        {
            "train.id": "{label}/{name}",
            "target.kind": "binary",
            "submission.kind": "probability",
            "submission.column": None,
            "metric.name": "log_loss",
        },
        40,
        5,
    )


def two_columns_of_ones_and_zeros(data: Path) -> Expected:
    draw(data, [f"train/{i}.png" for i in TRAIN] + [f"test/{i}.png" for i in TEST])
    write_csv(data / "train.csv", ["id", "real", "fake"], [(i, 1 - n % 2, n % 2) for n, i in enumerate(TRAIN)])
    write_csv(data / "sample_submission.csv", ["id", "real", "fake"], [(i, 0.5, 0.5) for i in TEST])
    return Expected({"target.kind": "binary", "train.label": ["real", "fake"], "submission.kind": "probability"})


def names_that_repeat_in_later_folders(data: Path) -> Expected:
    names = {"ash": "abcdef", "elm": "ghijkl", "oak": "lmnopq"}  # l is in two
    draw(data, [f"train/{k}/{n}.png" for k in names for n in names[k]] + [f"test/{n}.png" for n in "xyz"])
    write_csv(data / "sample_submission.csv", ["id", "label"], [(n, "ash") for n in "xyz"])
    return Expected({"train.id": "{label}/{name}"}, 18, 3)


def class_in_the_file_name(data: Path) -> Expected:
    draw(data, [f"train/{['cat', 'dog'][n % 2]}.{n}.jpg" for n in range(40)] + [f"test/{n}.jpg" for n in range(1, 11)])
    write_csv(data / "sample_submission.csv", ["id", "label"], [(n, 0.5) for n in range(1, 11)])
    return Expected(
        {
            "train.files": "train/{label}.{number}.jpg",
            "train.id": "{label}.{number}",
            "target.kind": "binary",
            "target.classes": ["cat", "dog"],
            "test.images": "test/{id}.jpg",
            "metric.name": "auc",
        }
    )


def one_hot_in_one_folder(data: Path) -> Expected:
    columns = ["ETT - Abnormal", "NGT - Normal", "CVC - Normal"]
    draw(data, [f"images/{i}.jpg" for i in TRAIN + TEST])
    rows = [(i, n % 2, int(n % 3 == 0), 1, f"p{n // 3}") for n, i in enumerate(TRAIN)]
    write_csv(data / "train.csv", ["uid", *columns, "PatientID"], rows)
    write_csv(data / "test.csv", ["uid"], [(i,) for i in TEST])
    write_csv(data / "sample_submission.csv", ["uid", *columns], [(i, 0, 0, 0) for i in TEST])
    # A column of ones alone is no label in the table's sense, but the sample asks for it.
    return Expected(
        {
            "train.label": columns,
            "train.images": "images/{uid}.jpg",
            "test.table": "test.csv",
            "target.kind": "multilabel",
            "folds.group": "PatientID",
            "submission.kind": "probability",
        }
    )


def delimited(data: Path) -> Expected:
    kinds = ["healthy", "scab", "scab rust", "rust", "rust scab complex"]
    draw(data, [f"train_images/{i}.jpg" for i in TRAIN] + [f"test_images/{i}.jpg" for i in TEST])
    write_csv(data / "train.csv", ["image", "labels"], [(f"{i}.jpg", kinds[n % 5]) for n, i in enumerate(TRAIN)])
    write_csv(data / "sample_submission.csv", ["image", "labels"], [(f"{i}.jpg", "healthy") for i in TEST])
    return Expected(
        {
            "target.kind": "multilabel",
            "target.delimiter": " ",
            "target.classes": ["complex", "healthy", "rust", "scab"],
            "submission.kind": "labels",
            "metric.name": "micro_f1",
        }
    )


def regression(data: Path) -> Expected:
    draw(data, [f"train/{i}.jpg" for i in TRAIN] + [f"test/{i}.jpg" for i in TEST])
    write_csv(data / "train.csv", ["Id", "Eyes", "Pawpularity"], [(i, n % 2, 1 + 2 * n) for n, i in enumerate(TRAIN)])
    write_csv(data / "test.csv", ["Id", "Eyes"], [(i, 1) for i in TEST])
    write_csv(data / "sample_submission.csv", ["Id", "Pawpularity"], [(i, 38.25) for i in TEST])
    return Expected(
        {
            "train.label": "Pawpularity",
            "target.kind": "regression",
            "target.range": [1.0, 79.0],
            "submission.kind": "value",
            "metric.name": "rmse",
        }
    )


def coco_in_latin_1(data: Path) -> Expected:
    def content(ids: list[str], part: str, labelled: bool) -> dict[str, Any]:
        images = [{"id": n, "file_name": f"images/{i[-1]}/{i}.jpg", "location": n // 4} for n, i in enumerate(ids)]
        marks = [{"id": n + 100, "image_id": n, "category_id": n % 3 + 10} for n in range(len(ids))]
        draw(data, [f"{part}/{image['file_name']}" for image in images])
        names = [{"id": 10 + n, "name": f"Andr\u00e9 {n}"} for n in range(3)]
        return {"images": images, **({"annotations": marks, "categories": names} if labelled else {})}

    for part, ids in (("train", TRAIN), ("test", TEST)):
        text = json.dumps(content(ids, part, part == "train"), ensure_ascii=False)
        (data / part / "metadata.json").write_text(text, encoding="latin-1")
    write_csv(data / "sample_submission.csv", ["Id", "Predicted"], [(n, 0) for n in range(10)])
    return Expected(
        {
            "train.table": "train/metadata.json",
            "train.encoding": "latin-1",
            "train.images": "train/{file_name}",
            "train.label": "category_id",
            "train.id": "id",
            "test.images": "test/{file_name}",
            "folds.group": "location",
            "target.classes": ["10", "11", "12"],
        }
    )


def json_arrays(data: Path) -> Expected:
    def record(i: str) -> dict[str, Any]:
        return {"id": i, "band_1": [0.5] * 64, "band_2": [-1.25] * 64, "inc_angle": 43.9}

    data.mkdir(exist_ok=True)
    (data / "train.json").write_text(json.dumps([record(i) | {"is_iceberg": n % 2} for n, i in enumerate(TRAIN)]))
    (data / "test.json").write_text(json.dumps([record(i) for i in TEST]))
    write_csv(data / "sample_submission.csv", ["id", "is_iceberg"], [(i, 0.5) for i in TEST])
    return Expected(
        {
            "train.arrays": ["band_1", "band_2"],
            "train.shape": [8, 8],
            "train.label": "is_iceberg",
            "test.table": "test.json",
            "target.kind": "binary",
        }
    )


def prefix_folders_of_arrays(data: Path) -> Expected:
    ids = [f"{'0123456789abcdef'[n % 16]}{i}" for n, i in enumerate(TRAIN)]
    draw(data, [f"train/{i[0]}/{i}.npy" for i in ids] + [f"test/{i[0]}/{i}.npy" for i in TEST], channels=6)
    write_csv(data / "train_labels.csv", ["id", "target"], [(i, n % 2) for n, i in enumerate(ids)])
    write_csv(data / "sample_submission.csv", ["id", "target"], [(i, 0.5) for i in TEST])
    return Expected(
        {
            "train.images": "train/{id[0]}/{id}.npy",
            "test.images": "test/{id[0]}/{id}.npy",
            "train.table": "train_labels.csv",
            "pixels.layout": "rows",
        }
    )


def top_k_of_many(data: Path) -> Expected:
    rows = [(f"c{n % 3}", f"{i}.jpg", f"w_{n // 2:03}") for n, i in enumerate(TRAIN)]
    draw(data, [f"train_images/{chain}/{i}" for chain, i, _ in rows] + [f"test_images/{i}.jpg" for i in TEST])
    write_csv(data / "train.csv", ["chain", "image", "hotel_id"], rows)
    five = " ".join(f"w_{n:03}" for n in range(5))
    write_csv(data / "sample_submission.csv", ["image", "hotel_id"], [(f"{i}.jpg", five) for i in TEST])
    return Expected(
        {
            "train.images": "train_images/{chain}/{image}",
            "train.label": "hotel_id",
            "submission.kind": "top_k",
            "submission.k": 5,
            "metric.name": "map_at_k",
        }
    )


def long_submission_of_slices(data: Path) -> Expected:
    columns = ["patient_overall", "C1", "C2"]
    uids = [f"1.2.826.{n}" for n in range(12)]
    files = [f"train_images/{i}/{s}.png" for i in uids for s in range(1, 9)]
    draw(data, files + [f"test_images/{i}/{s}.png" for i in TEST for s in range(1, 9)])
    write_csv(data / "train.csv", ["uid", *columns], [(i, n % 2, n % 3 // 2, 0) for n, i in enumerate(uids)])
    pairs = [(f"{i}_{name}", i, name) for i in TEST for name in columns]
    write_csv(data / "test.csv", ["row_id", "uid", "prediction_type"], pairs)
    write_csv(data / "sample_submission.csv", ["row_id", "fractured"], [(row, 0.5) for row, _, _ in pairs])
    return Expected(
        {
            "train.images": "train_images/{uid}/*.png",
            "train.label": columns,
            "test.id": "uid",
            "target.kind": "multilabel",
            "submission.row": "{id}_{class}",
            "submission.column": "fractured",
        },
        12,
        10,
        8,
    )


def many_rows_of_a_patient(data: Path) -> Expected:
    def rows(patients: list[str]) -> list[tuple]:
        return [(p, f"{p}{s}{v}", s, v) for p in patients for s in "LR" for v in range(2)]

    train, test = rows([f"1{n:03}" for n in range(10)]), rows([f"9{n:03}" for n in range(4)])
    draw(data, [f"train_images/{p}/{i}.png" for p, i, *_ in train] + [f"test_images/{p}/{i}.png" for p, i, *_ in test])
    header = ["patient_id", "image_id", "laterality", "view"]
    write_csv(
        data / "train.csv", [*header, "age", "cancer"], [(*r, 50 + n % 9, n // 4 % 2) for n, r in enumerate(train)]
    )
    write_csv(data / "test.csv", [*header, "prediction_id"], [(*row, f"{row[0]}_{row[2]}") for row in test])
    ids = dict.fromkeys(f"{row[0]}_{row[2]}" for row in test)
    write_csv(data / "sample_submission.csv", ["prediction_id", "cancer"], [(i, 0.021) for i in ids])
    return Expected(
        {
            "train.id": "{patient_id}_{laterality}",
            "train.images": "train_images/{patient_id}/{image_id}.png",
            "test.id": "prediction_id",
            "folds.group": "patient_id",
            "views.reduce": "mean",
            "submission.kind": "probability",
        },
        20,
        8,
        2,
    )


def channels_in_several_files(data: Path) -> Expected:
    colours = ("blue", "green", "red")
    draw(data, [f"train/{i}_{c}.png" for i in TRAIN for c in colours], channels=1)
    draw(data, [f"test/{i}_{c}.png" for i in TEST for c in colours], channels=1)
    write_csv(data / "train.csv", ["Id", "Target"], [(i, ["1", "1|2", "2", "2|0"][n % 4]) for n, i in enumerate(TRAIN)])
    write_csv(data / "sample_submission.csv", ["Id", "Predicted"], [(i, "0") for i in TEST])
    return Expected(
        {
            "train.images": [f"train/{{Id}}_{c}.png" for c in colours],
            "train.label": "Target",
            "target.delimiter": "|",
            "views.reduce": "mean",
        },
        views=3,
    )


def a_column_per_class_and_16_bits(data: Path) -> Expected:
    kinds = ["beagle", "collie", "pug"]
    draw(data, [f"train/{i}.png" for i in TRAIN] + [f"validation/{i}.png" for i in TEST], dtype=np.uint16)
    draw(data, [f"test/{i}.png" for i in TEST], dtype=np.uint16)
    write_csv(data / "labels.csv", ["id", "breed"], [(i, kinds[n % 3]) for n, i in enumerate(TRAIN)])
    write_csv(data / "validation.csv", ["id", "breed"], [(i, kinds[n % 3]) for n, i in enumerate(TEST)])
    write_csv(data / "sample_submission.csv", ["id", *kinds], [(i, 0.33, 0.33, 0.34) for i in TEST])
    return Expected(
        {
            "train.table": "labels.csv",
            "train.label": "breed",
            "holdout.images": "validation/{id}.png",
            "submission.kind": "probability",
            "metric.name": "log_loss",
        }
    )


SHAPES = [
    binary,
    extension_in_ids_and_class_folders_in_train,
    class_folders,
    class_folders_of_the_same_names,
    two_class_folders_each_numbered_from_one,
    two_columns_of_ones_and_zeros,
    names_that_repeat_in_later_folders,
    class_in_the_file_name,
    one_hot_in_one_folder,
    delimited,
    regression,
    coco_in_latin_1,
    json_arrays,
    prefix_folders_of_arrays,
    top_k_of_many,
    long_submission_of_slices,
    many_rows_of_a_patient,
    channels_in_several_files,
    a_column_per_class_and_16_bits,
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_draft_reads_every_row_and_image(shape: Callable[[Path], Expected], tmp_path: Path):
    expected = shape(tmp_path / "data")
    new("a-contest", tmp_path / "data", tmp_path / "draft.yaml")

    spec = load_spec(str(tmp_path / "draft.yaml")).model_dump(mode="json")
    found = {key: spec[key.split(".")[0]][key.split(".")[1]] for key in expected.keys}
    assert found == expected.keys

    contest = open_contest(str(tmp_path / "draft.yaml"), str(tmp_path / "data"), str(tmp_path / "runs"))
    train, test = load_train(contest), load_test(contest)
    assert (len(train), len(test)) == (expected.train, expected.test)
    assert (len(train.images), len(test.images)) == (expected.train * expected.views, expected.test * expected.views)
    assert (load_holdout(contest) is not None) == ("holdout.images" in expected.keys)


def test_every_line_says_what_it_was_seen_from(tmp_path: Path, capsys: pytest.CaptureFixture):
    regression(tmp_path / "data")
    new("pets", tmp_path / "data", tmp_path / "draft.yaml")
    text = (tmp_path / "draft.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=/")
    assert '  images: "train/{Id}.jpg"  # 40 of 40 rows that were tried have it\n' in text
    assert "  kind: regression  # 40 different numbers from 1 to 79" in text
    assert "  # GUESS: look at the contest's Evaluation page" in text
    shown = capsys.readouterr().out
    assert "  metric.name: rmse  (" in shown and "target.kind" not in shown
    assert f"python -m competition check -c {tmp_path / 'draft.yaml'} --data {tmp_path / 'data'}" in shown


def asked(tmp_path: Path, capsys: pytest.CaptureFixture) -> str:
    """What `new` says of the contest in tmp_path/data."""
    new("a-contest", tmp_path / "data", tmp_path / "draft.yaml")
    return capsys.readouterr().out


def test_what_the_files_do_not_tell_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture):
    data = tmp_path / "data"
    draw(
        data,
        [f"train/{side}{i}.png" for i in TRAIN for side in "LR"]
        + [f"test/{side}{i}.png" for i in TEST for side in "LR"],
    )
    header = ["id", "left", "right"]
    write_csv(data / "train.csv", [*header, "age"], [(i, f"L{i}.png", f"R{i}.png", n) for n, i in enumerate(TRAIN)])
    write_csv(data / "test.csv", header, [(i, f"L{i}.png", f"R{i}.png") for i in TEST])
    write_csv(data / "sample_submission.csv", ["id", "age"], [(i, 0) for i in TEST])
    said = asked(tmp_path, capsys)
    assert (
        "  target.kind: multiclass  (40 values; if they are amounts: kind: regression, submission.kind: value" in said
    )
    assert "Are these two pictures of a row? images: [train/{" in said


def test_a_contest_without_a_sample_is_told_to_write_one(tmp_path: Path, capsys: pytest.CaptureFixture):
    class_folders(tmp_path / "data")
    (tmp_path / "data/sample_submission.csv").unlink()
    assert "submission.sample: sample_submission.csv  (there is none. Write one: a line for every" in asked(
        tmp_path, capsys
    )
    contest = open_contest(str(tmp_path / "draft.yaml"), str(tmp_path / "data"), str(tmp_path / "runs"))
    with pytest.raises(DataError, match="Where the contest has none, write it: a line for every test row"):
        check(contest)


def test_a_draft_that_does_not_load_is_there_to_be_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    binary(tmp_path / "data")
    monkeypatch.setattr(
        "competition.draft.new.draft", lambda slug, data: [*draft(slug, data), Guess("views.reduse", "mean")]
    )
    with pytest.raises(SpecError, match=r"draft\.yaml: unknown key 'views\.reduse'"):
        new("pets", tmp_path / "data", tmp_path / "draft.yaml")
    assert "  kind: binary" in (tmp_path / "draft.yaml").read_text()


def test_images_of_several_sizes_are_told_of_before_a_recipe_fails(tmp_path: Path, capsys: pytest.CaptureFixture):
    binary(tmp_path / "data")
    cv2.imwrite(str(tmp_path / "data/test" / f"{TEST[0]}.png"), np.zeros((400, 512, 3), np.uint8))
    asked(tmp_path, capsys)
    check(open_contest(str(tmp_path / "draft.yaml"), str(tmp_path / "data"), str(tmp_path / "runs")))
    assert "sizes: 2 different ones; recipes need one: train.py … --set 'image.size=[8,10]'" in capsys.readouterr().out


def test_a_draft_replaces_no_file(tmp_path: Path):
    binary(tmp_path / "data")
    (tmp_path / "mine.yaml").write_text("mine")
    with pytest.raises(SpecError, match=r"mine\.yaml exists"):
        new("x", tmp_path / "data", tmp_path / "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    "files, message",
    [
        (["notes.txt"], "no images"),
        (["train.zip"], r"unpack train\.zip first"),
        (["a/1.png", "a/2.png"], "neither folders nor file names look like classes"),
    ],
)
def test_a_folder_without_a_contest_is_refused(tmp_path: Path, files: list[str], message: str):
    (tmp_path / "data").mkdir()
    for file in files:
        (tmp_path / "data" / file).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / file).touch()
    with pytest.raises(DataError, match=message):
        new("x", tmp_path / "data", tmp_path / "draft.yaml")
    assert not (tmp_path / "draft.yaml").exists()


def test_names_of_any_letters_reach_the_draft_as_they_are(tmp_path: Path):
    data, kinds = tmp_path / "data", ['a "b": c', "# d, [e]", "no", "é\u2028f", "{g}\x85\x1b"]
    draw(data, [f"train/{i}.png" for i in TRAIN] + ["train/{id}*.png"])
    header = ["id", "weird: column #", "{odd}[0]"]
    write_csv(data / "train.csv", header, [(i, kinds[n % 5], f"{i}.png") for n, i in enumerate(TRAIN)])
    write_csv(data / "sample_submission.csv", ["id", "weird: column #"], [(TRAIN[0], kinds[0])])
    new("x", data, tmp_path / "draft.yaml")
    spec = load_spec(str(tmp_path / "draft.yaml"))
    assert set(spec.target.classes) == set(kinds)
    assert spec.train.label == "weird: column #"


def shipped() -> list[str]:
    """Contests whose data look like what they are when they are made up; DICOM needs a package that is optional."""
    return [spec.slug for spec in list_specs() if "dcm" not in str(spec.train.patterns)]


@pytest.mark.parametrize("slug", shipped())
def test_drafts_of_made_up_contests_find_the_rows_of_their_specs(slug: str, tmp_path: Path):
    spec = load_spec(slug)
    fake(spec, 60, tmp_path / "data")
    new(slug, tmp_path / "data", tmp_path / "draft.yaml")
    ours = open_contest(slug, str(tmp_path / "data"), str(tmp_path / "ours"))
    theirs = open_contest(str(tmp_path / "draft.yaml"), str(tmp_path / "data"), str(tmp_path / "theirs"))

    assert set(load_test(theirs).ids) == set(load_test(ours).ids)
    assert theirs.spec.target.family == ours.spec.target.family
    # The ninth and eleventh label column of ranzcr are not submitted.
    assert set(theirs.classes) == set(ours.spec.submission.classes or ours.classes)
    assert theirs.spec.submission.kind == ours.spec.submission.kind
    files = {picture.path for picture in load_train(theirs).images}
    assert files <= {picture.path for picture in load_train(ours).images} or ours.spec.train.arrays


def test_the_schema_of_the_specs_is_current():
    # As values: other versions of pydantic write 0 as 0.0.
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json.loads(schema_text()), (
        "write it anew: python -m competition schema > competition/specs/schema.json"
    )


def test_the_schema_describes_every_key_of_a_source():
    found = json.loads(schema_text())
    source = found["$defs"]["Test"]["properties"]
    assert source["files"]["description"].startswith("instead of a table, the files themselves")
    assert source["images"]["description"].endswith("Left out with `files`.")
    assert "rmse" in found["$defs"]["MetricSpec"]["properties"]["name"]["enum"]
