"""Rows from every source that a spec can name, and what is wrong with them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competition.contest import Contest
from competition.errors import DataError
from competition.patterns import capture, columns_in, fill
from competition.rows.labels import natural
from competition.rows.tables import load_holdout, load_test, load_train
from competition.spec import Spec
from competition.strict_yaml import build, parse_yaml

BASE = """\
slug: x
kaggle: x
title: x
test: {files: "test/{id}.png", id: id}
metric: {name: log_loss, direction: minimize}
submission: {kind: probability, id: id}
rules: {pretrained: true, predefined: true}
"""
BINARY = BASE.replace("kind: probability", "kind: probability, column: p") + "target: {kind: binary}\n"
LABELS = BASE + "target: {kind: multilabel}\n"
TAGS = LABELS.replace("multilabel", 'multilabel, delimiter: "|", classes: [u, v]')
NUMBERS = BASE.replace("log_loss", "rmse").replace("kind: probability", "kind: value") + "target: {kind: regression}\n"


class Folder:
    """A contest's data folder, filled by the test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def touch(self, *names: str) -> None:
        """Files that are there; nobody looks into them."""
        for name in names:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).touch()

    def write(self, name: str, text: str, encoding: str = "utf-8") -> None:
        self.touch(name)
        (self.path / name).write_text(text, encoding=encoding)

    def contest(self, *parts: str) -> Contest:
        spec = build(Spec, parse_yaml("".join(parts), "x.yaml"), "x.yaml")
        return Contest(spec, self.path, self.path.parent / "runs")

    def names(self, rows) -> list[list[str]]:
        """The files of each row's pictures, below the data folder."""
        each: list[list[str]] = [[] for _ in rows.ids]
        for row, picture in zip(rows.row_of, rows.images, strict=True):
            each[row].append("+".join(str(file.relative_to(self.path)) for file in picture.files))
        return each


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path / "data")


def test_a_class_in_the_file_name(folder):
    folder.touch("train/cat.1.png", "train/dog.1.png", "train/cat.10.png", "train/notes.txt", "test/7.png")
    contest = folder.contest(BINARY, 'train: {files: "train/{kind}.{n}.png", id: "{kind}.{n}", label: kind}\n')
    rows = load_train(contest)
    assert contest.classes == ("cat", "dog")
    assert rows.ids.tolist() == ["cat.1", "cat.10", "dog.1"] and rows.labels.tolist() == [0, 0, 1]
    assert folder.names(rows)[2] == ["train/dog.1.png"]
    assert load_test(contest).ids.tolist() == ["7"]


def test_a_class_in_the_folder_leaves_other_folders_alone(folder):
    folder.touch("Cover/1.jpg", "UERD/1.jpg", "JUNI/1.jpg", "Test/1.jpg")
    contest = folder.contest(
        BASE.replace('"test/{id}.png", id: id', '"Test/{n}.jpg", id: "{n}.jpg"').replace(
            "id: id}", "id: Id, column: p}"
        ),
        'train: {files: "{kind}/{n}.jpg", id: "{kind}/{n}", label: kind}\nfolds: {group: n}\n',
        "target: {kind: multiclass, classes: [Cover, JUNI, UERD], negative: Cover}\n",
    )
    rows = load_train(contest)
    assert rows.ids.tolist() == ["Cover/1", "JUNI/1", "UERD/1"] and rows.groups.tolist() == ["1"] * 3
    assert load_test(contest).ids.tolist() == ["1.jpg"]


def test_columns_with_slices_and_an_extension_that_is_looked_for(folder):
    folder.touch("train/a/abc.jpeg", "train/0/00012.png", "train/1/1e5.tif")
    folder.write("train.csv", "id,y\nabc,no\n00012,yes\n1e5,no\n")
    contest = folder.contest(BINARY, 'train: {table: train.csv, id: id, images: "train/{id[0]}/{id}.*", label: y}\n')
    rows = load_train(contest)
    assert rows.ids.tolist() == ["abc", "00012", "1e5"]
    assert folder.names(rows) == [["train/a/abc.jpeg"], ["train/0/00012.png"], ["train/1/1e5.tif"]]


@pytest.mark.parametrize("name, text", [("t.csv", "id,y\né,1\n"), ("t.tsv", "id\ty\né\t1\n")])
def test_any_encoding(folder, name, text):
    folder.touch("é.png")
    folder.write(name, text.replace("1\n", "1\nb,0\n").replace("b,0", "b\t0" if name == "t.tsv" else "b,0"), "latin-1")
    folder.touch("b.png")
    source = f'train: {{table: {name}, id: id, images: "{{id}}.png", label: y%s}}\n'
    assert load_train(folder.contest(BINARY, source % ", encoding: latin-1")).ids.tolist() == ["é", "b"]
    with pytest.raises(DataError, match=rf"{name}: .* is not utf-8 .*Set encoding in the spec"):
        load_train(folder.contest(BINARY, source % ""))


def coco(**extra) -> dict:
    return {
        "images": [{"id": 1, "file_name": "a/1.jpg", "location": 7}, {"id": 2, "file_name": "a/2.jpg", "location": 8}],
        "annotations": [{"id": 5, "image_id": 2, "category_id": 30}, {"id": 6, "image_id": 1, "category_id": 4}],
        "categories": [{"id": 4, "name": "fox"}, {"id": 30, "name": "Dachs à poil"}],
    } | extra


def test_coco_joins_images_annotations_and_names(folder):
    folder.touch("a/1.jpg", "a/2.jpg")
    folder.write("t.json", json.dumps(coco(), ensure_ascii=False), "latin-1")
    source = 'train: {table: t.json, id: id, images: "{file_name}", label: %s, encoding: latin-1}\n'
    contest = folder.contest(BINARY, source % "category_id", "folds: {group: location}\n")
    rows = load_train(contest)
    assert contest.classes == ("4", "30") and rows.labels.tolist() == [0, 1] and rows.groups.tolist() == ["7", "8"]
    assert folder.contest(BINARY, source % "category").classes == ("Dachs à poil", "fox")
    # Herbarium 2022 calls the keys otherwise.
    other = {
        "images": [{"image_id": "z", "file_name": "a/1.jpg"}],
        "annotations": [{"image_id": "z", "category_id": 4}],
    }
    folder.write("t.json", json.dumps(other | {"categories": [{"category_id": 4, "name": "fox"}]}))
    contest = folder.contest(
        LABELS.replace("multilabel", 'multilabel, delimiter: " "'),
        'train: {table: t.json, id: image_id, images: "{file_name}", label: category}\n',
    )
    assert load_train(contest).ids.tolist() == ["z"] and contest.classes == ("fox",)


def test_records_with_arrays_are_written_once_and_read_by_their_place(folder):
    rng = np.random.default_rng(0)
    planes = rng.normal(size=(3, 2, 4, 5)).astype(np.float32)
    records = [
        {"id": name, "hh": p[0].ravel().tolist(), "hv": p[1].ravel().tolist(), "angle": "na", "y": i % 2}
        for i, (name, p) in enumerate(zip("abc", planes, strict=True))
    ]
    folder.write("t.json", " " + json.dumps(records, indent=1))
    source = "train: {table: t.json, id: id, arrays: [hh, hv], shape: [4, 5], label: y}\n"
    contest = folder.contest(BINARY, source)
    rows = load_train(contest)
    assert rows.labels.tolist() == [0, 1, 0] and contest.classes == ("0", "1")
    (stored,) = {picture.files[0] for picture in rows.images}
    np.testing.assert_array_equal(np.load(stored)[[picture.index for picture in rows.images]], planes)
    before = stored.stat().st_mtime_ns
    assert load_train(contest).images == rows.images and stored.stat().st_mtime_ns == before
    with pytest.raises(DataError, match=r"t\.json, record 1: .*flat lists; set shape"):
        load_train(folder.contest(BINARY, source.replace(", shape: [4, 5]", "")))
    folder.write("t.json", json.dumps(records)[:-40])
    with pytest.raises(DataError, match=r"t\.json: cannot be read as JSON"):
        load_train(contest)


@pytest.mark.parametrize(
    "views, expected",
    [
        ("{}", [f"v/a/s{i}.png" for i in (1, 2, 3, 10, 20)]),
        ("{take: 1}", ["v/a/s3.png"]),
        ("{take: 2}", ["v/a/s2.png", "v/a/s10.png"]),
        ("{take: 3, stack: true}", ["v/a/s1.png+v/a/s3.png+v/a/s20.png"]),
        ("{take: 6, stack: true}", ["v/a/s1.png+v/a/s2.png+v/a/s3.png+v/a/s3.png+v/a/s10.png+v/a/s20.png"]),
    ],
)
def test_several_images_of_a_row_in_natural_order(folder, views, expected):
    folder.touch(*(f"v/{row}/s{i}.png" for row in "ab" for i in (20, 3, 1, 2, 10)))
    folder.write("t.csv", "id,y\na,1\nb,0\n")
    source = 'train: {table: t.csv, id: id, images: "v/{id}/*.png", label: y}\n'
    rows = load_train(folder.contest(BINARY, source, f"views: {views}\n"))
    assert folder.names(rows) == [expected, [name.replace("/a/", "/b/") for name in expected]]
    assert [rows.picture(row) for row in (0, 1)] == [rows.images[0], rows.images[len(rows.images) // 2]]


def test_lines_with_the_same_id_are_the_views_of_one_row(folder):
    folder.touch(*(f"i/{n}.png" for n in range(5)))
    folder.write("t.csv", "p,side,n,y\nP1,L,0,1\nP2,L,3,0\nP1,L,1,1\nP1,R,2,0\nP1,L,4,1\n")
    source = 'train: {table: t.csv, id: "{p}_{side}", images: "i/{n}.png", label: y}\nfolds: {group: p}\n'
    rows = load_train(folder.contest(BINARY, source, "views: {reduce: max}\n"))
    assert rows.ids.tolist() == ["P1_L", "P2_L", "P1_R"] and rows.labels.tolist() == [1, 0, 0]
    assert rows.groups.tolist() == ["P1", "P2", "P1"]
    assert folder.names(rows) == [["i/0.png", "i/1.png", "i/4.png"], ["i/3.png"], ["i/2.png"]]
    with pytest.raises(DataError, match="line 4: id 'P1_L' occurs twice"):
        load_train(folder.contest(BINARY, source))
    folder.write("t.csv", "p,side,n,y\nP1,L,0,1\nP1,L,1,0\n")
    with pytest.raises(DataError, match="line 3: id 'P1_L' has another label than in an earlier line"):
        load_train(folder.contest(BINARY, source, "views: {}\n"))
    folder.write("t.csv", "p,side,n,y\nP1,L,0,1\nP1,R,3,0\nP1,L,1,1\nP1,L,4,1\n")
    stacked = load_train(folder.contest(BINARY, source, "views: {stack: true, take: 3}\n"))
    assert folder.names(stacked) == [["i/0.png+i/1.png+i/4.png"], ["i/3.png+i/3.png+i/3.png"]]


def test_rows_without_a_group_stand_alone(folder):
    folder.touch(*(f"{n}.png" for n in "abcd"))
    folder.write("t.csv", "id,patient,y\na,P1,1\nb,,0\nc,P1,1\nd,,0\n")
    source = 'train: {table: t.csv, id: id, images: "{id}.png", label: y}\nfolds: {group: patient}\n'
    assert load_train(folder.contest(BINARY, source)).groups.tolist() == ["P1", "b", "P1", "d"]


def test_a_table_of_semicolons_is_told_from_one_without_the_column(folder):
    folder.touch("a.png")
    folder.write("t.csv", "id;y\na;1\n")
    with pytest.raises(DataError, match=r"t\.csv: its columns are separated by semicolons"):
        load_train(folder.contest(BINARY, 'train: {table: t.csv, id: id, images: "{id}.png", label: y}\n'))


def test_a_long_sample_submission_names_each_row_once(folder):
    folder.touch("test/s_1.png", "test/s_2.png", "a.png", "b.png")
    folder.write("t.csv", "id,C1,C_2\na,1,0\nb,0,1\n")
    folder.write("sample_submission.csv", "row,p\ns_1_C1,0\ns_1_C_2,0\ns_2_C1,0\ns_2_C_2,0\n")
    base = LABELS.replace('files: "test/{id}.png", id: id', "TEST").replace("id: id}", "id: row, row: ROW, column: p}")
    test = 'table: sample_submission.csv, parse: {row: "{study}_{class}"}, id: study, images: "test/{study}.png"'
    contest = folder.contest(
        base.replace("TEST", test).replace("ROW", '"{id}_{class}"'),
        'train: {table: t.csv, id: id, images: "{id}.png", label: [C1, C_2]}\n',
    )
    assert load_test(contest).ids.tolist() == ["s_1", "s_2"]
    assert load_train(contest).labels.tolist() == [[1, 0], [0, 1]] and contest.classes == ("C1", "C_2")


def test_labels_of_every_kind(folder):
    folder.touch("a.png", "b.png", "c.png")
    folder.write("t.csv", "id,tags,v,w,q\na,x y,1,0,0.5\nb,,0,3,1e2\nc,y,2,2,-1\n")
    source = 'train: {table: t.csv, id: id, images: "{id}.png", label: %s}\n'
    delimited = folder.contest(LABELS.replace("multilabel", 'multilabel, delimiter: " "'), source % "tags")
    assert delimited.classes == ("x", "y")
    assert load_train(delimited).labels.tolist() == [[1, 1], [0, 0], [0, 1]]
    numbers = load_train(folder.contest(NUMBERS, source % "[q, v]"))
    assert numbers.labels.dtype == np.float32 and numbers.labels.tolist() == [[0.5, 1], [100, 0], [-1, 2]]
    soft = BASE.replace("log_loss", "kl") + "target: {kind: soft}\n"
    assert load_train(folder.contest(soft, source % "[v, w]")).labels.tolist() == [[1, 0], [0, 1], [0.5, 0.5]]
    one_hot = BASE + "target: {kind: multiclass}\n"
    folder.write("t.csv", "id,r,s,t\na,0,0,1\nb,1,0,0\nc,0,1,0\n")
    assert load_train(folder.contest(one_hot, source % "[r, s, t]")).labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    "base, table, message",
    [
        (BINARY, "id,y\na,1\nb,1\n", "holds 1 classes"),
        (BINARY, "id,y\na,1\nb,\n", "line 3: the label is empty"),
        (BINARY, "id,y\na,1\na,0\n", "line 3: id 'a' occurs twice"),
        (BINARY, "id,y\na,1\n,0\n", "line 3: id '' is empty"),
        (BINARY, "id,y\na,1\nmissing,0\n", r"line 3: id 'missing' has no image .*data/missing\.png \(1 such rows\)"),
        (BINARY, "id,y\na,1\n../b,0\n", r"line 3: image path '\.\./b\.png' leads outside"),
        (BINARY, "id,z\na,1\n", "column 'y' is missing; found 'id', 'z'"),
        (NUMBERS, "id,y\na,1\nb,nan\n", "line 3 has a label that is not a number: {'y': 'nan'}"),
        (NUMBERS.replace("regression", "regression, range: [0, 1]"), "id,y\na,1\nb,1.5\n", r"outside the spec's range"),
        (TAGS, "id,y\na,u|v\nb,u|w\n", "line 3: label 'u|w' is not one of"),
    ],
)
def test_a_wrong_table_names_the_line_and_what_is_wrong(folder, base, table, message):
    folder.touch("a.png", "b.png")
    folder.write("t.csv", table)
    contest = folder.contest(base, 'train: {table: t.csv, id: id, images: "{id}.png", label: y}\n')
    with pytest.raises(DataError, match=message.replace("|", r"\|").replace("{", r"\{")):
        load_train(contest)


def test_one_hot_columns_must_be_one_hot(folder):
    folder.touch("a.png", "b.png")
    folder.write("t.csv", "id,r,s,t\na,0,1,1\nb,2,0,0\n")
    source = 'train: {table: t.csv, id: id, images: "{id}.png", label: [r, s, t]}\n'
    with pytest.raises(DataError, match="line 3 has a label that is neither 0 nor 1"):
        load_train(folder.contest(BASE + "target: {kind: multiclass}\n", source))
    folder.write("t.csv", "id,r,s,t\na,0,1,1\nb,1,0,0\n")
    with pytest.raises(DataError, match="line 2 has not exactly one class"):
        load_train(folder.contest(BASE + "target: {kind: multiclass}\n", source))


def test_a_holdout_of_files_can_be_joined_or_kept_apart(folder):
    folder.touch("train/a/1.png", "train/b/2.png", "val/a/3.png")
    source = 'train: {files: "train/{y}/{n}.png", id: n, label: y}\n'
    holdout = 'holdout: {files: "val/{y}/{n}.png", id: n, label: y, use: %s}\n'
    joined = folder.contest(BINARY, source, holdout % "train")
    assert load_train(joined).ids.tolist() == ["1", "2", "3"] and load_train(joined).row_of.tolist() == [0, 1, 2]
    apart = folder.contest(BINARY, source, holdout % "score")
    assert len(load_train(apart)) == 2 and load_holdout(apart).labels.tolist() == [0]


names = st.text("abc0_.-é ", min_size=1, max_size=6)


@given(names, names, st.integers(-3, 3), st.integers(-3, 3))
def test_patterns_cut_as_python_does(one, other, first, last):
    table = pd.DataFrame({"one": [one], "an other": [other]})
    assert fill("x/{one}/{an other}.png", table, "t").tolist() == [f"x/{one}/{other}.png"]
    assert fill(f"{{one[{first}:{last}]}}{{an other[:{last}]}}", table, "t").tolist() == [
        one[first:last] + other[:last]
    ]
    assert fill("{one[0]}", table, "t").tolist() == [one[0]]
    assert columns_in("x/{one}/{an other[0]}{one[:2]}") == ["one", "an other"]


@given(st.lists(st.tuples(st.sampled_from(["cat", "dog", "hot.dog"]), st.integers(0, 999)), min_size=1))
def test_what_a_pattern_made_it_takes_apart_again(pairs):
    table = pd.DataFrame(pairs, columns=["kind", "n"]).astype(str)
    pattern = "train/{kind}/{n}.{kind}.jpg"
    found = capture(pattern, fill(pattern, table, "t"))
    pd.testing.assert_frame_equal(found.astype(str), table)
    assert capture(pattern, pd.Series(["train/cat/1.dog.jpg", "x"])).isna().all().all()
    known = capture("{kind}.{n}", pd.Series(["hot.dog.5"]), {"kind": ("hot", "hot.dog")})
    assert known.iloc[0].tolist() == ["hot.dog", "5"]


def test_natural_order():
    assert sorted(["b2", "10", "a10", "2", "a9", "b"], key=natural) == ["2", "10", "a9", "a10", "b", "b2"]
