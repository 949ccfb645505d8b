"""Submissions of every kind: what is written is checked, and scores at Kaggle what the predictions score here."""

import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import write_csv

from competition.contest import Contest
from competition.errors import DataError, KitError, SpecError, SubmissionError
from competition.kaggle.download import check_tables
from competition.medals import Place, standing_of
from competition.sparse import kept
from competition.spec import Spec
from competition.stand_in.contest import LocalContest
from competition.strict_yaml import build
from competition.submissions.file import check_submission, write_submission
from competition.submissions.sample import read_sample
from competition.submissions.values import top_classes

N = 30
IDS = [f"{i:05}" for i in range(N - 2)] + ["1e5", "a_b.jpg"]
ABC = ("ant", "bee", "cow")
COLUMNS = {name: name for name in ABC}


def rows_of(ids: list[str], *cells: object) -> list[tuple]:
    return [(name, *cells) for name in ids]


# target, metric, submission, the sample's columns, its rows
KINDS = {
    "label": ({"kind": "multiclass"}, "accuracy", {"kind": "label", "column": "y"}, ["id", "y"], rows_of(IDS, "ant")),
    "ordinal": (
        {"kind": "ordinal"},
        "quadratic_weighted_kappa",
        {"kind": "label", "column": "y"},
        ["id", "y"],
        rows_of(IDS[::-1], "ant"),
    ),
    "labels": (
        {"kind": "multilabel"},
        "macro_f1",
        {"kind": "labels", "column": "y", "empty": "none"},
        ["id", "y"],
        rows_of(IDS, "ant bee"),
    ),
    "top_k": (
        {"kind": "multiclass"},
        {"name": "map_at_k", "k": 2},
        {"kind": "top_k", "column": "y", "k": 2, "delimiter": ";"},
        ["id", "y"],
        rows_of(IDS[::-1], "ant;bee"),
    ),
    "yes": (
        {"kind": "binary", "classes": ["no", "yes"]},
        "auc",
        {"kind": "probability", "column": "y"},
        ["id", "y"],
        rows_of(IDS, 0.5),
    ),
    "negative": (
        {"kind": "multiclass", "negative": "bee"},
        {"name": "weighted_auc", "bands": [[0, 0.4, 2], [0.4, 1, 1]]},
        {"kind": "probability", "column": "y"},
        ["id", "y"],
        rows_of(IDS, 0.5),
    ),
    "columns": (
        {"kind": "multiclass"},
        "log_loss",
        {"kind": "probability"},
        ["Unnamed: 0", "id", "cow", "ant", "bee"],
        [(i, name, 0.2, 0.4, 0.4) for i, name in enumerate(IDS)],
    ),
    "two columns": (
        {"kind": "binary", "classes": ["no", "yes"]},
        "log_loss",
        {"kind": "probability", "column": "p_{class}"},
        ["id", "p_yes", "p_no"],
        rows_of(IDS, 0.5, 0.5),
    ),
    "some columns": (
        {"kind": "multilabel"},
        {"name": "mean_column_auc", "columns": ["cow", "ant"]},
        {"kind": "probability", "classes": ["ant", "cow"], "column": "p({class})"},
        ["id", "p(cow)", "p(ant)"],
        rows_of(IDS, 0, 0),
    ),
    "soft": ({"kind": "soft"}, "kl", {"kind": "probability"}, ["id", *ABC], rows_of(IDS, 1, 0, 0)),
    "value": (
        {"kind": "regression", "classes": ["points"], "range": [1, 100]},
        "rmse",
        {"kind": "value", "column": "y"},
        ["id", "y"],
        rows_of(IDS, 50),
    ),
    "values": ({"kind": "regression"}, "mae", {"kind": "value"}, ["id", *ABC], rows_of(IDS, 0, 0, 0)),
    "long": (
        {"kind": "multilabel"},
        {"name": "weighted_log_loss", "weights": {"bee": 7}},
        {"kind": "probability", "row": "{id}_{class}", "column": "y"},
        ["id", "y"],
        [(f"{name}_{c}", 0.5) for c in reversed(ABC) for name in IDS],
    ),
    "long distribution": (
        {"kind": "multiclass"},
        "log_loss",
        {"kind": "probability", "row": "{class}/{id}", "column": "y"},
        ["id", "y"],
        [(f"{c}/{name}", 0.5) for name in IDS for c in ABC],
    ),
}
MINIMIZED = ("log_loss", "weighted_log_loss", "kl", "rmse", "mae")


def make(folder: Path, kind: str, **submission: object) -> Contest:
    """A contest of that kind with nothing but its sample."""
    target, metric, submitted, header, rows = KINDS[kind]
    metric = metric if isinstance(metric, dict) else {"name": metric}
    metric = metric | {"direction": "minimize" if metric["name"] in MINIMIZED else "maximize"}
    target = {"classes": list(ABC)} | target
    several = target["kind"] in ("multilabel", "soft", "regression")
    if submitted.get("row"):
        test = {"parse": {"id": submitted["row"].replace("{id}", "{name}")}, "id": "name", "images": "test/{name}.png"}
    else:
        test = {"id": "id", "images": "test/{id}.png"}
    data = {
        "slug": "tiny",
        "kaggle": "tiny",
        "title": "Tiny",
        "train": {
            "table": "train.csv",
            "id": "id",
            "label": target["classes"] if several else "label",
            "images": "train/{id}.png",
        },
        "test": {"table": "sample_submission.csv"} | test,
        "target": target,
        "metric": metric,
        "submission": {"id": "id"} | submitted | submission,
        "rules": {"pretrained": True, "predefined": True},
    }
    write_csv(folder / "data/sample_submission.csv", header, rows)
    return Contest(build(Spec, data, kind), folder / "data", folder / "runs")


@pytest.fixture
def contest_of(tmp_path):
    (tmp_path / "data").mkdir()
    return partial(make, tmp_path)


def truth_and_predictions(contest: Contest) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and predictions that know something of them, both of IDS."""
    random, c = np.random.default_rng(0), len(contest.classes)
    some = random.dirichlet(np.ones(c), N).astype(np.float32)
    family = contest.spec.target.family
    if family == "classes":
        y = np.arange(N) % c
        return y, (some + np.eye(c, dtype=np.float32)[y]) / 2
    if family == "labels":
        y = np.stack([np.arange(N) % (j + 2) == 0 for j in range(c)], axis=1).astype(np.uint8)
        return y, random.random((N, c), dtype=np.float32) * 0.7 + 0.3 * y
    if family == "shares":
        return random.dirichlet(np.ones(c), N).astype(np.float32), some
    low, high = contest.spec.target.range or (-5, 5)
    return (random.uniform(low, high, (2, N, c))).astype(np.float32)


def local_kaggle(contest: Contest, y: np.ndarray, folder: Path) -> LocalContest:
    """A local Kaggle whose answers say `y`, the first half of them public."""
    family, classes = contest.spec.target.family, contest.classes
    columns = [[classes[c] for c in y]] if family == "classes" else y.T
    answers = pd.DataFrame(dict(zip(contest.spec.train.label_columns, columns, strict=True)))
    answers["id"], answers["Usage"] = IDS, ["Public"] * (N // 2) + ["Private"] * (N - N // 2)
    answers.to_csv(folder / "answers.csv", index=False)
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for path in contest.data.iterdir():
            archive.write(path, path.name)
    return LocalContest(contest.spec, folder / "archive.zip", folder / "answers.csv", folder / "state")


@pytest.mark.parametrize("kind", KINDS)
def test_kaggle_scores_the_file_as_the_predictions_score_here(contest_of, tmp_path, kind):
    contest = contest_of(kind)
    y, p = truth_and_predictions(contest)
    kaggle, order, path = (
        local_kaggle(contest, y, tmp_path),
        np.random.default_rng(1).permutation(N),
        tmp_path / "s.csv",
    )
    write_submission(contest, path, np.array(IDS)[order], p[order])
    sample = pd.read_csv(contest.data / "sample_submission.csv", dtype=str)
    sample = sample[[column for column in sample.columns if column != "Unnamed: 0"]]
    written = pd.read_csv(path, dtype=str)
    assert list(written.columns) == list(sample.columns) and list(written["id"]) == list(sample["id"])
    assert check_submission(contest, path) == len(sample)

    written.iloc[::-1].to_csv(path, index=False)  # the order of the lines means nothing
    submitted = kaggle.add("s.csv", path.read_bytes(), "")
    halves = slice(0, N // 2), slice(N // 2, N)
    assert submitted.error == ""
    assert [submitted.public_score, submitted.private_score] == [f"{contest.metric(y[h], p[h]):.5f}" for h in halves]
    assert len(kaggle.baselines) == 3


def lines(kind: str, changes: dict[int, str]) -> str:
    """A good file of a kind, in which some lines are another (line 1 is the header)."""
    _, _, _, header, rows = KINDS[kind]
    made = [",".join(map(str, row)) for row in [header, *rows]]
    for number, line in changes.items():
        made[number - 1] = line
    return "\n".join(made) + "\n"


@pytest.mark.parametrize(
    ("kind", "changes", "problem"),
    [
        ("label", {3: "00001,bea"}, "line 3: id '00001' has 'bea', which is not one of the classes ant, bee, cow"),
        ("label", {3: "00001,"}, "line 3: id '00001' has an empty class name"),
        ("label", {3: "00001,ant bee"}, "line 3: id '00001' has 'ant bee', which is not"),
        ("label", {3: "1,ant"}, "1 ids of {sample} are missing, the first is '00001'"),
        ("label", {3: "00000,ant"}, "line 3: id '00000' occurs twice"),
        ("label", {1: "id,x"}, "column 'y' is missing"),
        ("label", {1: "y,id"}, "expected exactly ['id', 'y']"),
        ("label", {1: "id,y,z"}, "expected exactly ['id', 'y']"),
        ("labels", {5: "00003,"}, "line 5: id '00003' has an empty class name"),
        ("labels", {5: "00003,ant  bee"}, "line 5: id '00003' has an empty class name"),
        (
            "labels",
            {5: "00003,bee ant bee", 7: "00005,ant ant"},
            "line 5: id '00003' has the class 'bee' twice (2",
        ),
        ("labels", {5: "00003,none ant"}, "line 5: id '00003' has 'none', which is not"),
        ("top_k", {2: "a_b.jpg,ant;bee;cow"}, "line 2: id 'a_b.jpg' has not exactly 2 classes"),
        ("top_k", {3: "1e5,ant"}, "line 3: id '1e5' has not exactly 2 classes (1 such rows)"),
        ("top_k", {3: "1e5,ant;ant"}, "line 3: id '1e5' has the class 'ant' twice"),
        ("yes", {4: "00002,"}, "line 4: id '00002' has an empty, non-numeric or infinite probability"),
        ("yes", {4: "00002,nan"}, "line 4: id '00002' has an empty, non-numeric"),
        ("yes", {4: "00002,1.0001"}, "line 4: id '00002' has a probability outside 0…1"),
        ("soft", {2: "00000,0.5,0.25,0.2"}, "line 2: id '00000' has probabilities that do not sum to 1"),
        ("soft", dict(enumerate((f"{i},1,0,0,0" for i in IDS), 2)), "more values than the 4 columns"),
        ("some columns", {2: "00000,0.9,-0.1"}, "line 2: id '00000' has a probability outside 0…1"),
        ("value", {2: "00000,0.99"}, "line 2: id '00000' has a value outside 1…100"),
        ("values", {6: "00004,1,inf,1"}, "line 6: id '00004' has an empty, non-numeric or infinite value"),
        ("long", {2: "00000_dog,0.5"}, "1 ids of {sample} are missing, the first is '00000_cow'"),
        ("long", {2: "00000_cow,2"}, "line 2: id '00000_cow' has a probability outside 0…1"),
        ("long distribution", {}, "line 2: id 'ant/00000' has probabilities that do not sum to 1 (90 such rows)"),
    ],
)
def test_a_wrong_file_is_refused_at_its_first_wrong_line(contest_of, tmp_path, kind, changes, problem):
    contest, path = contest_of(kind), tmp_path / "mine.csv"
    path.write_text(lines(kind, changes))
    with pytest.raises(SubmissionError, match=r"mine\.csv") as caught:
        check_submission(contest, path)
    assert problem.format(sample=contest.data / "sample_submission.csv") in str(caught.value)


def test_what_is_written_is_what_the_kind_says(contest_of, tmp_path):
    def cells(kind: str, rows: list[list[float]], **submission: object) -> list[list[str]]:
        contest = contest_of(kind, **submission)
        p = np.resize(np.array(rows, dtype=np.float32), (N, len(contest.classes)))
        write_submission(contest, tmp_path / "s.csv", np.array(IDS), p)
        table = pd.read_csv(tmp_path / "s.csv", dtype=str, keep_default_na=False)
        return table.set_index("id").loc[IDS[: len(rows)]].to_numpy().tolist()

    some = [[0.1, 0.5, 0.7], [0.2, 0.4, 0.3]]
    assert cells("labels", some) == [["bee cow"], ["none"]]
    assert cells("labels", some, empty="") == [["bee cow"], [""]]
    assert cells("labels", some[1:]) == [["none"]]  # in every line
    assert cells("labels", some, empty=None) == [["bee cow"], ["bee"]]
    assert cells("top_k", [[0.2, 0.3, 0.5], [0.4, 0.2, 0.4]]) == [["cow;bee"], ["ant;cow"]]
    assert cells("top_k", [[0.2, 0.3, 0.5]], k=9) == [["cow;bee;ant"]]
    assert cells("value", [[0.5], [100.5], [7.25]]) == [["1.0"], ["100.0"], ["7.25"]]
    assert cells("negative", [[0.25, 0.5, 0.25]]) == [["0.5"]]
    assert cells("negative", [[0.6, 0, 0.4]]) == [["1.0"]]  # in float32 0.6 and 0.4 are more than 1
    assert cells("some columns", [[1 + 1e-7, 0, -1e-9]]) == [["0.0", "1.0"]]
    [third] = cells("columns", [[1.0, 1.0, 1.0]])
    assert third == ["0.3333333333333333"] * 3


def test_of_many_classes_the_probabilities_that_are_kept_are_enough(contest_of, tmp_path):
    known = kept(np.array([[2, 1], [1, -1], [0, 2]]), np.array([[0.5, 0.3], [0.6, 0], [0.4, 0.4]]), 3)
    whole = np.array([[0.2, 0.3, 0.5], [0.2, 0.6, 0.2], [0.4, 0.2, 0.4]])
    rows = np.arange(N) % 3
    for kind in ("top_k", "label", "columns"):
        contest = contest_of(kind)
        written = []
        for p in (known, whole):
            write_submission(contest, tmp_path / "s.csv", np.array(IDS), p[rows])
            written.append(pd.read_csv(tmp_path / "s.csv", index_col="id"))
        if kind == "columns":
            np.testing.assert_allclose(*written, atol=1e-7)
        else:
            assert written[0].equals(written[1])


def test_predictions_of_other_rows_are_refused_and_nothing_is_written(contest_of, tmp_path):
    contest, path = contest_of("long"), tmp_path / "s.csv"
    _, p = truth_and_predictions(contest)
    for ids, problem in (
        ([*IDS[:-1], "x"], "predictions: 1 ids of .*sample_submission.csv are missing, the first is 'a_b.jpg'"),
        ([*IDS, "x"], "predictions: 1 ids are not in .*, the first is 'x'"),
        ([*IDS, "1e5"], "predictions: id '1e5' occurs twice"),
    ):
        with pytest.raises(SubmissionError, match=problem):
            write_submission(contest, path, np.array(ids), np.resize(p, (len(ids), 3)))
    with pytest.raises(SubmissionError, match="infinite probability"):
        write_submission(contest, path, np.array(IDS), p * np.nan)
    assert not path.exists()


@pytest.mark.parametrize(
    ("kind", "submission", "header", "problem"),
    [
        ("columns", {}, ["id", *ABC, "dog"], r"sample_submission.csv: .*nothing of column 'dog'"),
        ("columns", {}, ["id", "ant", "bee"], "column 'cow' is missing"),
        ("columns", {"classes": ["ant", "dog"]}, ["id", "ant", "dog"], "'dog' is not one of the target's classes"),
        ("values", {"column": "y"}, ["id", "y"], "submission.column: 3 numbers do not fit into the one column 'y'"),
        ("labels", {"delimiter": "n"}, ["id", "y"], "'n' is part of the class name 'ant'"),
        ("long", {}, ["id", "y"], r"line 2: 'x' does not fit submission.row, '{id}_{class}'"),
    ],
)
def test_a_sample_that_is_not_what_the_spec_says_is_refused(contest_of, tmp_path, kind, submission, header, problem):
    contest = contest_of(kind, **submission)
    write_csv(contest.data / "sample_submission.csv", header, [("x", *["ant"] * (len(header) - 1))])
    (tmp_path / "mine.csv").write_bytes((contest.data / "sample_submission.csv").read_bytes())
    with pytest.raises((DataError, SpecError), match=problem):
        check_submission(contest, tmp_path / "mine.csv")


def test_classes_that_the_sample_writes_in_another_way_are_told(contest_of, capsys):
    contest = contest_of("label")
    target = contest.spec.target.model_copy(update={"classes": ("0.0", "1.0", "x.0")})
    contest = replace(contest, spec=contest.spec.model_copy(update={"target": target}))
    sample = contest.data / "sample_submission.csv"
    for value in ("0.0", "x", "2", ""):
        write_csv(sample, ["id", "y"], [("a", value)])
        read_sample(contest)
        assert not capsys.readouterr().err
    write_csv(sample, ["id", "y"], [("a", "1"), ("b", "0")])
    read_sample(contest)
    assert capsys.readouterr().err.count("written '1' there, and '1.0' in the training table") == 1


def test_a_long_sample_may_want_a_part_of_the_classes(contest_of, tmp_path):
    contest = contest_of("long distribution")
    write_csv(contest.data / "sample_submission.csv", ["id", "y"], [("bee/1", 0), ("ant/2", 0), ("cow/1", 0)])
    sample = read_sample(contest)
    assert (list(sample.ids), list(sample.row_of), list(sample.class_of)) == (["1", "2"], [0, 1, 0], [1, 0, 2])
    write_submission(contest, tmp_path / "s.csv", np.array(["2", "1"]), np.array([[0.5, 0.25, 0.25], [0.25, 0.75, 0]]))
    assert (tmp_path / "s.csv").read_text() == "id,y\nbee/1,0.75\nant/2,0.5\ncow/1,0.0\n"


def test_discovered_classes_are_declared_to_whoever_has_no_training_table(contest_of, tmp_path):
    contest = contest_of("label")
    spec = contest.spec.declaring(())
    write_csv(contest.data / "train.csv", ["id", "label"], [("x", "cow"), ("y", "ant"), ("z", "bee"), ("w", "ant")])
    contest = replace(contest, spec=spec)
    y, p = truth_and_predictions(contest)
    kaggle = local_kaggle(contest, y, tmp_path)
    (contest.data / "train.csv").unlink()
    packed = build(Spec, spec.declaring(contest.classes).model_dump(mode="json"), "contest.yaml")
    assert packed == contest_of("label").spec
    write_submission(replace(contest, spec=packed), tmp_path / "s.csv", np.array(IDS), p)
    assert kaggle.add("s.csv", (tmp_path / "s.csv").read_bytes(), "").error == ""


def test_answers_must_be_those_of_the_sample(contest_of, tmp_path):
    contest = contest_of("label")
    y, _ = truth_and_predictions(contest)
    local_kaggle(contest, y, tmp_path)
    answers = (tmp_path / "answers.csv").read_text()
    for wrong, problem in (
        (answers.replace("1e5", "2e5"), "1 ids of .* are missing, the first is '1e5'"),
        (answers.replace("cow", "dog"), "line 4: label 'dog' is not one of"),
        (answers.replace("Private", "Secret"), "Usage is 'Secret'"),
    ):
        (tmp_path / "answers.csv").write_text(wrong)
        with pytest.raises(KitError, match=rf"answers\.csv.*{problem}"):
            LocalContest(contest.spec, tmp_path / "archive.zip", tmp_path / "answers.csv", tmp_path / "state")


def test_a_contest_of_files_needs_no_table_but_the_sample(contest_of):
    contest = contest_of("label")
    files = contest.spec.train.model_copy(update={"table": None, "files": "train/{label}/{id}.png"})
    contest = replace(contest, spec=contest.spec.model_copy(update={"train": files}))
    check_tables(contest)
    (contest.data / "sample_submission.csv").rename(contest.data / "sample.csv")
    with pytest.raises(DataError, match=r"sample_submission\.csv, .* is not there; the folder holds: sample\.csv"):
        check_tables(contest)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.7]), min_size=4, max_size=4), max_size=6), st.integers(1, 4))
def test_the_most_probable_classes_are_those_of_a_stable_sort(rows, k):
    p = np.array(rows, dtype=np.float32).reshape(-1, 4)
    assert (top_classes(p, k) == np.argsort(-p, axis=1, kind="stable")[:, :k]).all()


def test_a_score_stands_where_the_leaderboard_or_the_specs_medals_put_it(contest_of):
    contest = contest_of("columns")  # log loss: smaller is better
    (contest.data / "private.csv").write_text(
        "Rank,TeamId,Score,SubmissionCount\n" + "".join(f"{i},{i},{i / 100},3\n" for i in range(1, 51)) + "51,51,,1\n"
    )

    def stands(score: float, **medals: object) -> Place | None:
        spec = build(Spec, contest.spec.model_dump(mode="json") | {"medals": medals or None}, "x")
        return standing_of(replace(contest, spec=spec), score)

    assert stands(0.06) is None
    assert stands(0.055, leaderboard="private.csv") == Place(6, 51, "silver")  # 5 of 50 win gold, 10 silver, 20 bronze
    assert stands(0.6, leaderboard="private.csv") == Place(51, 51, None)
    assert stands(0.055, leaderboard="private.csv", gold=0.06) == Place(6, 51, "gold")
    assert stands(0.055, gold=0.01, bronze=0.055) == Place(None, None, "bronze")
    assert str(stands(0.6, leaderboard="private.csv")) == "rank 51 of 51, no medal"
    with pytest.raises(DataError, match=r"gone\.csv, the leaderboard of the spec's medals, cannot be read"):
        stands(0.1, leaderboard="gone.csv")
