"""The books: what the ledger and Kaggle know together, what it teaches, and where a score stands."""

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import kendalltau
from support import Tiny, make_contest, write_csv

from competition import spec_parts
from competition.contest import Contest
from competition.errors import KaggleError
from competition.files import sha256_of
from competition.kaggle import leaderboard, patience, submissions
from competition.kaggle.books import Submission, collect, distinct
from competition.kaggle.books_plot import draw_books
from competition.kaggle.conversation import Conversation
from competition.kaggle.leaderboard import describe, describe_standing
from competition.kaggle.ledger import Entry, read_ledger, write_entry
from competition.kaggle.selection import Agreement, afterwards, choose, rank_agreement, share_alike
from competition.kaggle.show import show_ledger
from competition.medals import medal_zones, standing
from competition.metrics import Scale
from competition.stand_in import contest as local_contest
from competition.stand_in.contest import LocalContest
from competition.stand_in.server import LocalKaggle, environment, running
from competition.strict_yaml import build

ACCURACY, LOG_LOSS = Scale("accuracy", maximize=True), Scale("log_loss", maximize=False)
UNKNOWN, AGREED, OPPOSED = Agreement(3), Agreement(9, 0.8, 0.4, 0.95), Agreement(9, -0.8, -0.95, -0.4)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return make_contest(tmp_path)


@pytest.fixture
def kaggle(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalContest]:
    """The tiny contest on a local Kaggle, to which this process's environment leads."""
    held = LocalContest(tiny.contest().spec, tiny.archive, tiny.answers, tmp_path / "state")
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(local_contest, "PENDING", timedelta(0))
    with running(LocalKaggle(held)) as port:
        for name, value in {**environment(port), "HOME": str(tmp_path / "home")}.items():
            monkeypatch.setenv(name, value)
        yield held


def submission(name: str, expected: float | None, public: float | None, private: float | None = None) -> Submission:
    sha8 = f"{name:0>8}"
    return Submission(
        name, "2026-05-01 12:30:00", f"{sha8}-00000a", sha8, None, expected, public, private, "complete", Path(name)
    )


def prediction(tiny: Tiny, name: str, wrong: int) -> Path:
    """A submission file in which so many rows, from the last one on, are not what the answers say."""
    rows = [line.split(",")[:2] for line in tiny.answers.read_text().splitlines()[1:]]
    keep = len(rows) - wrong
    path = tiny.contest().ensembles / name / "submission.csv"
    path.parent.mkdir(parents=True)
    other = {"cat": "dog", "dog": "owl", "owl": "cat"}
    write_csv(path, ["id", "label"], [(id, y if i < keep else other[y]) for i, (id, y) in enumerate(rows)])
    return path


def booked(contest: Contest, file: Path, nested: float | None, **known: object) -> Entry:
    """A pending submission of `file` in the ledger; `known` replaces some of its columns."""
    sha256 = sha256_of(file)
    time, tag, ensemble = "2026-05-01T12:30:00+00:00", f"{sha256[:8]}-00000a", file.parent.name
    entry = Entry(time, tag, str(file), sha256, ensemble, "accuracy", nested, nested, None, None, "pending", "")
    entry = replace(entry, **known)
    write_entry(contest.ledger_file, entry)
    return entry


def packed(table: str, name: str = "tiny-publicleaderboard.csv") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, table)
    return content.getvalue()


@pytest.mark.parametrize(
    ("teams", "gold", "silver", "bronze"),
    [
        (9, 0, 1, 3),
        (99, 9, 19, 39),
        (100, 10, 20, 40),
        (249, 10, 49, 99),
        (250, 10, 50, 100),
        (500, 11, 50, 100),
        (999, 11, 50, 100),
        (1000, 12, 50, 100),
        (5000, 20, 250, 500),
    ],
)
def test_the_medal_zones_are_those_of_kaggles_table(teams, gold, silver, bronze):
    assert medal_zones(teams) == {"gold": gold, "silver": silver, "bronze": bronze}


def test_equal_scores_share_their_ranks_and_borders_are_the_last_scores_within():
    scores = [round(0.99 - 0.01 * i, 2) for i in range(50)]
    found = standing([*reversed(scores), 0.91, 0.91], 0.91, ACCURACY)
    assert (found.rank, found.last_rank, found.teams) == (9, 11, 52)
    assert found.borders == {"gold": 0.95, "silver": 0.91, "bronze": 0.82}
    assert describe(found) == (
        "rank 9 to 11 of 52 (public); silver from 0.91000 (just reached), gold from 0.95000 (0.04000 short), "
        "if this contest gives medals"
    )
    assert "rank 1 of 50 (public); gold from 0.95000 (0.05000 better), if" in describe(standing(scores, 1.0, ACCURACY))


def test_where_smaller_is_better_the_smallest_score_leads():
    found = standing([0.5, 0.1, 0.3, 0.2, 0.4], 0.25, LOG_LOSS)
    assert (found.rank, found.last_rank) == (3, 3)
    assert found.borders == {"silver": 0.1, "bronze": 0.2}
    assert describe(found).startswith("rank 3 of 5 (public); bronze from 0.20000 (0.05000 short), if")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packed('\ufeffTeamName,Extra,Score\r\n"a,\nb",,0.9\r\nc,,\r\nd,x,0.7\r\n'), "rank 2 of 2 (public)"),
        (packed("Rank,Score\r\n"), None),
        (packed("Rank,Team\r\n1,a\r\n"), "no column Score, only ['Rank', 'Team']"),
        (packed("Rank,Score\r\n1,best\r\n"), "row 2 has the score 'best'"),
        (packed("x", name="x.txt"), "holds 0 CSV files"),
        (packed("Score\n" + "0.5\n" * 10_000), "that is no leaderboard"),
        (packed("Score\n0.5\n" * 9)[:-9], "is damaged"),
        (None, "brought no leaderboard"),
    ],
    ids=["tolerant", "empty", "no column", "no number", "no table", "too large", "damaged", "nothing"],
)
def test_a_leaderboard_is_read_within_bounds_and_nothing_about_it_is_raised(tiny, monkeypatch, content, said):
    def bring(*arguments: object, **_: object) -> str:
        if content is not None:
            (Path(arguments[arguments.index("-p") + 1]) / "tiny-contest.zip").write_bytes(content)
        return ""

    monkeypatch.setattr(leaderboard, "run_kaggle", bring)
    monkeypatch.setattr(leaderboard, "LARGEST", 20_000)
    found = describe_standing(tiny.contest(), 0.8)
    assert found is None if said is None else said in found


def test_tau_is_scipys_and_its_interval_does_not_vanish_when_few_points_agree():
    x, y = [0.1, 0.2, 0.2, 0.4, 0.5, 0.6, 0.3], [0.3, 0.2, 0.5, 0.5, 0.4, 0.9, 0.1]
    found = rank_agreement(x, y)
    assert found.tau == pytest.approx(kendalltau(x, y).statistic)
    assert found.low < found.tau < found.high
    reverse = rank_agreement(x, [-value for value in y])
    assert (reverse.tau, reverse.low, reverse.high) == pytest.approx((-found.tau, -found.high, -found.low))
    five = rank_agreement(range(5), range(5))
    assert (five.tau, five.high) == (1, 1) and 0 < five.low < 0.3
    assert rank_agreement(range(5), range(5, 0, -1)).opposed
    assert rank_agreement(range(4), range(4)).tau is None
    assert rank_agreement(range(9), [1.0] * 9).tau is None


def test_the_interval_holds_the_true_tau_as_often_as_it_says():
    rng, rho, missed = np.random.default_rng(0), 0.8, 0
    for _ in range(1000):
        x, noise = rng.normal(size=(2, 8))
        found = rank_agreement(x, rho * x + np.sqrt(1 - rho**2) * noise)
        missed += not found.low <= 2 / np.pi * np.arcsin(rho) <= found.high
    assert missed < 60


def chosen(submissions: list[Submission], agreement: Agreement, metric=ACCURACY, shares=None) -> list[tuple[str, str]]:
    """The names picked, with the reasons. Files share 90 % of their rows unless `shares` says otherwise by name."""
    picks = choose(submissions, metric, agreement, lambda _, other: (shares or {}).get(other.name, 0.9))
    return [(pick.submission.name, pick.reason) for pick in picks]


def test_the_best_at_home_comes_first_and_the_best_public_among_the_others_is_the_hedge():
    several = [submission("a", 0.8, 0.7), submission("b", 0.9, 0.6), submission("c", 0.7, 0.75)]
    (first, why), (second, hedge) = chosen(several, AGREED)
    assert (first, second) == ("b", "c")
    assert "best nested score, 0.90000" in why and "best public score, 0.75000" in hedge and "90.0%" in hedge
    assert [name for name, _ in chosen(several, UNKNOWN, LOG_LOSS)] == ["c", "b"]
    assert [name for name, _ in chosen([*several, submission("d", 0.99, None)], AGREED)] == ["b", "c"]


def test_a_hedge_must_be_another_file_with_other_predictions():
    several = [submission("a", 0.9, 0.7), submission("b", 0.8, 0.75), submission("c", 0.7, 0.72)]
    assert [name for name, _ in chosen(several, AGREED, shares={"b": 0.995})] == ["a", "c"]
    (_, _), (name, hedge) = chosen(several, AGREED, shares={"b": 0.995, "c": 0.999})
    assert name == "b" and "weak hedge" in hedge and "99.5%" in hedge
    gone = [several[0], replace(several[1], file=None)]
    assert "not known" in chosen(gone, AGREED)[1][1]
    again = replace(several[0], tag="x", name="again")
    assert [name for name, _ in chosen([several[0], again], AGREED)] == ["a"]
    notebook = replace(several[0], tag="x", sha8="0a0a0a0a")  # of the same ensemble, with another version of the kit
    assert [name for name, _ in chosen([several[0], notebook], AGREED)] == ["a"]
    assert chosen([], AGREED) == chosen([submission("d", 0.9, None)], UNKNOWN) == []


def test_public_comes_first_where_home_runs_against_it_or_is_not_known():
    several = [submission("a", 0.9, 0.6), submission("b", 0.8, 0.7), submission("c", 0.7, 0.8)]
    (first, why), (second, hedge) = chosen(several, OPPOSED)
    assert (first, second) == ("c", "a") and "runs against it" in why and "best nested score" in hedge
    blind = [replace(each, nested=None) for each in several]
    (first, why), (second, hedge) = chosen(blind, UNKNOWN)
    assert (first, second) == ("c", "b") and "no score at home is known" in why and "best public" in hedge


def test_afterwards_the_choice_is_judged_by_the_private_scores():
    several = [submission("a", 0.9, 0.7, 0.5), submission("b", 0.8, 0.75, 0.55), submission("c", 0.7, 0.72, 0.6)]
    picks = choose(several, ACCURACY, AGREED, lambda *_: 0.5)
    said = afterwards(picks, several, ACCURACY)
    assert "private 0.55000" in said and "1 of 3 submissions did better, the best, c, by 0.05000" in said
    assert "private 0.50000" in afterwards(picks, several, LOG_LOSS)
    assert "no submission has a better one" in afterwards(picks, several[:2], ACCURACY)
    assert afterwards(picks[:0], several, ACCURACY) is None


def test_rows_agree_by_label_by_probability_and_for_auc_by_order(tmp_path):
    def files(contest: Contest, header: list[str], first: list[tuple], second: list[tuple]) -> float | None:
        write_csv(contest.runs / "a.csv", header, first)
        write_csv(contest.runs / "b.csv", header, second)
        return share_alike(contest.spec, contest.runs / "a.csv", contest.runs / "b.csv")

    def contest(name: str, **options: object) -> Contest:
        (tmp_path / name).mkdir()
        made = make_contest(tmp_path / name, **options).contest()
        made.runs.mkdir(parents=True)
        return made

    label = partial(files, contest("label"), ["id", "label"])
    assert label([("1", "cat"), ("2", "dog")], [("2", "dog"), ("1", "owl")]) == 0.5
    assert label([("1", "cat"), ("2", "dog")], [("2", "dog"), ("3", "owl")]) is None
    two = {"classes": ("real", "fake"), "kind": "probability"}
    rows, cubed = [("1", 0.1), ("2", 0.5), ("3", 0.9)], [("1", 0.001), ("2", 0.125), ("3", 0.88)]
    loss = contest("loss", metric="log_loss", direction="minimize", **two)
    assert files(loss, ["id", "label"], rows, cubed) == pytest.approx(1 / 3)
    assert files(contest("auc", metric="auc", **two), ["id", "label"], rows, cubed) == 1
    assert share_alike(loss.spec, loss.runs / "a.csv", loss.runs / "gone.csv") is None

    def submits(**submission: object) -> Contest:
        shape = build(spec_parts.Submission, {"id": "id", "column": "y", **submission}, "x")
        return replace(loss, spec=loss.spec.model_copy(update={"submission": shape}))

    first, second = [("1", "a b"), ("2", "c a"), ("3", "a")], [("1", "b a"), ("2", "c b"), ("3", "a b")]
    assert files(submits(kind="top_k", k=2), ["id", "y"], first, second) == pytest.approx(2 / 3)
    assert files(submits(kind="labels"), ["id", "y"], first, second) == pytest.approx(1 / 3)
    first, second = [("1", 10), ("2", 50), ("3", 30)], [("1", 12), ("2", 53), ("3", 30)]
    assert files(submits(kind="value"), ["id", "y"], first, second) == pytest.approx(2 / 3)


def test_the_same_file_or_ensemble_counts_once():
    first = submission("a", 0.9, 0.7)
    resent = replace(first, tag="x", public=0.71)
    rewritten = replace(first, sha8="ffffffff", public=0.72)
    remade = replace(rewritten, sha8="eeeeeeee", nested=0.91)
    stranger = replace(first, nested=None, in_ledger=False)
    assert distinct([first, resent, rewritten, remade, stranger]) == [first, remade]


def test_the_books_are_completed_from_kaggle_and_shown_without_it(tiny, kaggle, monkeypatch, capsys):
    contest = tiny.contest()
    show_ledger(contest)
    assert "no submission yet" in capsys.readouterr().out

    entries = [booked(contest, prediction(tiny, f"blend-{wrong}", wrong), 0.9 - wrong / 100) for wrong in (2, 8, 14)]
    entries.append(booked(contest, prediction(tiny, "broken", 1), 0.5))
    entries.append(booked(contest, prediction(tiny, "never-sent", 3), 0.5))
    write_entry(contest.ledger_file, replace(entries[1], status="complete", public_score=0.7))
    write_entry(contest.ledger_file, replace(entries[2], status="error", message="the answer was lost"))
    for entry in entries[:3]:
        kaggle.add("submission.csv", Path(entry.file).read_bytes(), f"[{entry.tag}] said")
    kaggle.add("submission.csv", b"id,label\n", f"[{entries[3].tag}] said")
    kaggle.add("by-hand.csv", Path(entries[1].file).read_bytes(), "")

    show_ledger(contest)
    said = capsys.readouterr().out
    found = read_ledger(contest.ledger_file)
    assert [(e.status, e.public_score, e.private_score) for e in found] == [
        ("complete", 1.0, 0.83333),
        ("complete", 1.0, 0.33333),  # Kaggle's score counts
        ("complete", 0.75, 0.0),
        ("error", None, None),
        ("pending", None, None),
    ]
    assert found[2].message == "said" and "no rows" in found[3].message
    assert "by-hand.csv" in said and "–  not in the ledger" in said and "–  error" in said and "–  pending" in said
    assert "rank 1 of 4 (public)" in said
    assert "3 different submissions have both scores, too few to tell" in said
    first, second = said.index("1st  blend-2"), said.index("2nd  blend-8")
    assert f"[{entries[0].tag}]  sent " in said[first:second]
    assert "70.0% of its rows" in said[second:].replace("\n       ", " ")
    assert "no submission has a better one" in said
    picture = cv2.imread(str(contest.runs / "ledger.png"))
    assert picture.std() > 0

    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.05)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", os.environ["http_proxy"])
    show_ledger(contest)
    said = capsys.readouterr().out
    assert said.startswith("Kaggle could not be asked") and "1st  blend-2" in said and "by-hand" not in said
    assert read_ledger(contest.ledger_file) == found


def test_a_submission_from_another_machine_keeps_its_tag_and_a_changed_listing_is_no_crash(tiny, monkeypatch):
    header = "ref,fileName,date,description,status,publicScore,privateScore\r\n"
    row = '7,mine.csv,2026-05-01 12:30:00.5,"[0123abcd-00000f] a\nb",SubmissionStatus.COMPLETE,0.5,None\r\n'
    monkeypatch.setattr(submissions, "ask_kaggle", lambda *_: Conversation(header + row, ""))
    [found], complaint = collect(tiny.contest())
    assert (found.tag, found.sha8, found.public, found.private) == ("0123abcd-00000f", "0123abcd", 0.5, None)
    assert not found.in_ledger and not complaint and not tiny.contest().ledger_file.exists()

    monkeypatch.setattr(submissions, "ask_kaggle", lambda *_: Conversation("ref,date\r\n7,x\r\n", ""))
    found, complaint = collect(tiny.contest())
    assert found == [] and "without description, fileName" in complaint


def test_a_refusal_by_kaggle_is_one_line(tiny, monkeypatch, capsys):
    def refuse(*_: object) -> str:
        raise KaggleError("too many requests.\nIt said: 429")

    monkeypatch.setattr(submissions, "ask_kaggle", refuse)
    booked(tiny.contest(), prediction(tiny, "blend", 2), 0.9)
    show_ledger(tiny.contest())
    said = capsys.readouterr().out
    assert (
        said.splitlines()[0].endswith("as they were: too many requests. It said: 429")
        and "Nothing to select yet" in said
    )


@pytest.mark.parametrize(("n", "metric"), [(1, ACCURACY), (2, LOG_LOSS), (40, ACCURACY), (70, LOG_LOSS)])
def test_the_picture_holds_any_number_of_submissions_and_any_name(tmp_path, n, metric):
    scores = np.random.default_rng(0).uniform(0.8, 0.9, (n, 3)).round(3)
    several = [submission(f"{'a long $name_' * 9}{i}", *row) for i, row in enumerate(scores.tolist())]
    several.append(replace(submission("by hand", None, 0.01), in_ledger=False))
    picks = choose(several, metric, AGREED, lambda *_: 0.5)
    draw_books(tmp_path / "ledger.png", "a $contest", several, picks, metric)
    height, width, _ = cv2.imread(str(tmp_path / "ledger.png")).shape
    assert width == 1320 and 500 <= height < 2000
