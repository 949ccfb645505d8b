"""The Kaggle side, end to end: the real kaggle CLI, in an empty home, against the local Kaggle."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from support import Tiny, make_contest, write_csv

from competition.contest import Contest
from competition.errors import DataError, SubmissionError
from competition.files import sha256_of
from competition.kaggle import deliver as deliver_module
from competition.kaggle import patience
from competition.kaggle.command import kaggle_environment, parse_csv
from competition.kaggle.conversation import Conversation, read_conversation
from competition.kaggle.download import download
from competition.kaggle.failures import explain
from competition.kaggle.ledger import read_ledger
from competition.kaggle.patience import PassingError, patiently
from competition.kaggle.source import source_of
from competition.kaggle.submit import submit
from competition.stand_in import contest as local_contest
from competition.stand_in.contest import DAILY_LIMIT, LimitReached, LocalContest
from competition.stand_in.server import LocalKaggle, Request, Response, environment, running

ROOT = Path(__file__).parent.parent
Fault = Callable[[Request], Response | None]


@dataclass
class Served:
    """A tiny contest on a local Kaggle, to which this process's environment leads. `fault` may answer in its stead."""

    tiny: Tiny
    contest: Contest
    kaggle: LocalKaggle
    fault: Fault

    @property
    def submissions(self) -> list:
        return self.kaggle.contest.submissions


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return make_contest(tmp_path)


@pytest.fixture
def served(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    contest = tiny.contest()
    kaggle = LocalKaggle(LocalContest(contest.spec, tiny.archive, tiny.answers, tmp_path / "state"))
    served = Served(tiny, contest, kaggle, fault=lambda _: None)
    honest = served.kaggle.respond
    served.kaggle.respond = lambda request: served.fault(request) or honest(request)
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(local_contest, "PENDING", timedelta(0))
    with running(served.kaggle) as port:
        for name, value in {**environment(port), "HOME": str(tmp_path / "home")}.items():
            monkeypatch.setenv(name, value)
        yield served


def write_ensemble(contest: Contest, answers: Path, name: str = "blend") -> Path:
    """An ensemble's files, of which every fifth row is wrong."""
    folder = contest.ensembles / name
    folder.mkdir(parents=True)
    with answers.open(encoding="utf-8", newline="") as file:
        rows = [(row["id"], "owl" if i % 5 == 0 else row["label"]) for i, row in enumerate(csv.DictReader(file))]
    write_csv(folder / "submission.csv", ["id", "label"], rows)
    (folder / "weights.json").write_text(json.dumps({"oof_score": 0.81, "nested_score": 0.79, "metric": "accuracy"}))
    return folder / "submission.csv"


def test_scores_of_another_submission_are_not_taken_for_this_ones(tiny):
    file = write_ensemble(tiny.contest(), tiny.answers)
    weights = file.with_name("weights.json")
    record = json.loads(weights.read_text())
    for sha256, known in (("", 0.79), (sha256_of(file), 0.79), ("0" * 64, None)):  # none in ensembles of before
        weights.write_text(json.dumps(record | {"submission_sha256": sha256}))
        assert source_of(file).nested_score == known


def test_from_an_empty_home_to_a_score_in_the_ledger(tiny, tmp_path):
    write_ensemble(tiny.contest(tmp_path / "data/tiny"), tiny.answers)
    arguments = f"-c {tiny.spec} --data data/tiny --runs runs"
    message = "'first, \"try\"'"
    command = f"python -m competition download {arguments} && {ROOT}/submit.sh {arguments} -m {message} && exit 7"
    (tmp_path / "home").mkdir()
    serve = f"-m competition serve {arguments} --zip {tiny.archive} --answers {tiny.answers} -- bash -c".split()
    done = subprocess.run(
        [sys.executable, *serve, command],
        cwd=tmp_path,
        env={
            "HOME": str(tmp_path / "home"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "VIRTUAL_ENV": sys.prefix,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stdout + done.stderr
    assert "OOF 0.81000   nested 0.79000   public 0.87500   private 0.83333" in done.stdout
    [entry] = read_ledger(tmp_path / "runs/tiny/ledger.csv")
    assert (entry.ensemble, entry.public_score, entry.private_score, entry.status) == (
        "blend",
        0.875,
        0.83333,
        "complete",
    )
    [stored] = json.loads((tmp_path / "data/.local-kaggle/tiny/submissions.json").read_text())
    assert stored["description"] == f'[{entry.tag}] first, "try"'
    assert (tmp_path / "data/tiny/train/train000.png").read_bytes() == (tiny.data / "train/train000.png").read_bytes()


def test_data_of_another_shape_names_what_is_there(served):
    (served.contest.data / "train.csv").rename(served.contest.data / "labels.csv")
    with pytest.raises(DataError, match=r"train\.csv.* is not there; the folder holds: labels\.csv"):
        download(served.contest)


def test_wrong_credentials_end_with_status_2_and_the_fix(served, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "competition", "download", "-c", served.tiny.spec, "--data", tmp_path / "fresh"],
        cwd=ROOT,
        env=os.environ | {"KAGGLE_API_TOKEN": "", "KAGGLE_KEY": "not-the-key"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "KAGGLE_USERNAME and KAGGLE_KEY" in done.stderr and "kaggle.com/settings/api" in done.stderr
    assert "Traceback" not in done.stderr and "not-the-key" not in done.stderr


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda rows: rows[:-1], "1 ids of .* are missing, the first is 'test019'"),
        (lambda rows: [*rows, ("test999", 0.3, 0.3, 0.4)], "1 ids are not in"),
        (lambda rows: [*rows, rows[0]], "line 22: id 'test000' occurs twice"),
        (lambda rows: [("test000", "", 0.5, 0.5), *rows[1:]], "line 2: id .*test000.* has an empty"),
        (lambda rows: [*rows[:3], ("test003", "nan", 0.5, 0.5), *rows[4:]], "line 5: id .*test003.* has an empty"),
        (lambda rows: [("test000", 0.9, 0.9, 0.9), *rows[1:]], "do not sum to 1"),
    ],
    ids=["missing", "extra", "duplicate", "empty", "nan", "sum"],
)
def test_a_bad_file_is_refused_before_anything_is_sent(tmp_path, monkeypatch, spoil, problem):
    contest = make_contest(tmp_path, kind="probability", metric="log_loss", direction="minimize").contest()
    monkeypatch.setattr(deliver_module, "converse", lambda *_, **__: pytest.fail("sent"))
    rows = [(f"test{i:03}", 0.2, 0.3, 0.5) for i in range(20)]
    file = tmp_path / "mine.csv"
    write_csv(file, ["id", "cat", "dog", "owl"], spoil(rows))
    with pytest.raises(SubmissionError, match=problem):
        submit(contest, file)
    assert not contest.ledger_file.exists()

    write_csv(file, ["id", "cat", "dog", "owl"], rows)
    submit(contest, file, dry_run=True)
    assert not contest.ledger_file.exists()


def test_the_newest_ensemble_is_the_default(tiny, capsys):
    contest = tiny.contest()
    with pytest.raises(SubmissionError, match="no ensemble yet"):
        submit(contest)
    for age, name in ((5, "b"), (0, "c"), (9, "a")):
        weights = write_ensemble(contest, tiny.answers, name).with_name("weights.json")
        os.utime(weights, (1e9 - age, 1e9 - age))
    submit(contest, dry_run=True)
    assert "ensembles/c/submission.csv" in capsys.readouterr().out


def test_the_cli_gets_kaggles_variables_and_no_other_secret(monkeypatch):
    monkeypatch.setattr(
        os,
        "environ",
        {"KAGGLE_KEY": "k", "no_proxy": "", "HTTPS_PROXY": "p", "LC_ALL": "C", "WANDB_API_KEY": "s", "XPATH": ""},
    )
    assert kaggle_environment() == {"KAGGLE_KEY": "k", "no_proxy": "", "HTTPS_PROXY": "p", "LC_ALL": "C"}


def test_listings_are_read_past_what_stands_before_them():
    listing = 'Warning: old version\r\nNext Page Token = 20\r\nref,description\r\n7,"a ""b"",\r\nc"\r\n'
    assert parse_csv(listing, "ref") == [{"ref": "7", "description": 'a "b",\r\nc'}]
    assert parse_csv("No submissions found\n", "ref") == []


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            "You must accept this competition's rules before you'll be able to download files.",
            "competitions/tiny-contest/rules",
        ),
        ("403 Client Error: Forbidden for url: https://api.kaggle.com/v1/x.Y/Z", "competitions/tiny-contest/rules"),
        ("403 Client Error: Forbidden for url: https://storage.googleapis.com/x?sig=1", "link to the file has expired"),
        ("Permission 'competitions.participate' was denied", "competitions/tiny-contest/rules"),
        ("404 Client Error: Not Found for url: http://x", "no competition 'tiny-contest'"),
        ("Authentication required to call the Kaggle API.\n\nFirst, you will", "kaggle.com/settings/api"),
        ("429 Client Error: Too Many Requests", "Wait some minutes"),
        (
            "HTTPSConnectionPool(host='api.kaggle.com'): Max retries exceeded (SSLError: verify failed)",
            "cannot be reached",
        ),
        ("Traceback …\nModuleNotFoundError: No module named 'six'", "pip install --upgrade kaggle six"),
        ("Your team has used its daily Submission allowance (5) today", "daily Submission allowance"),
    ],
)
def test_every_refusal_gets_its_advice(tiny, said, advice):
    assert advice in str(explain(tiny.contest().spec, Conversation(said, "")))


def test_pauses_double_with_jitter_and_end_with_the_last_attempt(monkeypatch, capsys):
    slept = []
    monkeypatch.setattr(patience.time, "sleep", slept.append)
    monkeypatch.setattr(patience.random, "uniform", lambda _, high: high)

    def busy() -> None:
        raise PassingError("busy. Wait.")

    with pytest.raises(PassingError, match="busy"):
        patiently(busy)
    assert slept == [3, 6, 12, 24]
    assert capsys.readouterr().err.splitlines()[0] == "busy; trying again in 3 s (2 of 5)"
    slept.clear()
    patience.pause(PassingError("busy", retry_after=30), 4)
    assert slept == [32]


def test_what_the_cli_says_of_its_calls_is_taken_apart():
    rule = "-" * 50
    request = (
        f"{'-' * 21}Request{'-' * 22}\nPOST http://x/v1/a.B/ListX\nAuthorization: Bearer secret\n\nb'{{}}'\n{rule}\n"
    )
    head = f"{'-' * 21}Response{'-' * 21}\n"
    page = f"{head}503\nRetry-After: Fri, 31 Dec 2027 23:59:59 GMT\n\n<html>\n\n<title> a\nb </title>\n{rule}\n"
    found = read_conversation(f"{request}{page}bye\n", 'DEBUG:x.y:"PUT http://x HTTP/1.1" 403 0\nreally\n')
    assert (found.printed, found.complaint, found.put, found.asked) == ("bye\n", "really\n", 403, ("ListX",))
    assert (found.failed.status, found.failed.message) == (503, "a b")
    assert found.failed.retry_after > 0 and "secret" not in repr(found)
    answered = read_conversation(f'{request}{page}{request}{head}200\n\n\n{{"a": 1}}\n{rule}\n', "")
    assert answered.failed is None and answered.answer("ListX") == {"a": 1}
    assert read_conversation(f"{request}", "lost").failed is None


def test_the_local_kaggle_allows_five_a_day_and_remembers_them(tiny, tmp_path):
    def kaggle() -> LocalContest:
        return LocalContest(tiny.contest().spec, tiny.archive, tiny.answers, tmp_path / "state")

    sample = (tiny.data / "sample_submission.csv").read_bytes()
    assert kaggle().add("bad.csv", b"\xff\x00", "").error.startswith("bad.csv: ")
    for i in range(DAILY_LIMIT):
        assert kaggle().add("sample_submission.csv", sample, "").ref == i + 2
    with pytest.raises(LimitReached):
        kaggle().add("sample_submission.csv", sample, "")
    assert len(kaggle().submissions) == DAILY_LIMIT + 1
    assert [team for team, _ in kaggle().baselines] == ["most frequent class", "random guess", "right 7 times in 10"]


def test_the_local_kaggle_continues_a_download(tiny, tmp_path):
    kaggle = LocalKaggle(LocalContest(tiny.contest().spec, tiny.archive, tiny.answers, tmp_path / "state"))
    size = tiny.archive.stat().st_size

    def get(**headers: str) -> Response:
        return kaggle.respond(
            Request("GET", "/blob/tiny-contest.zip", {name.replace("_", "-"): v for name, v in headers.items()}, b"")
        )

    whole = get()
    etag = whole.headers["ETag"]
    rest = get(range="bytes=100-", if_range=etag)
    assert (whole.status, whole.length) == (200, size)
    assert (rest.status, rest.start, rest.length) == (206, 100, size - 100)
    assert get(range="bytes=100-", if_range='"another"').status == 200
    assert get(range=f"bytes={size}-", if_range=etag).status == 416
