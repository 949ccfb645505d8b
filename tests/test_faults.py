"""The fault matrix: what can go wrong between this machine and Kaggle, each through the real kaggle CLI.

Every case says how the command ends, what it tells, and what is on the disk and on Kaggle afterwards.
"""

import os
import pty
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from commands import CONTEXT
from faults import SHAPES, Fault, Stage, always, bare, first, flat, name_of, nested, on_stage, page
from hostile import CORRUPT, HOSTILE

from competition.errors import SubmissionError
from competition.kaggle import command, download, score
from competition.stand_in import contest as local_contest
from competition.stand_in import server
from competition.stand_in.server import Request, Response

CASES: dict[str, Callable[[Stage], None]] = {}


def case(function: Callable[[Stage], None]) -> Callable[[Stage], None]:
    CASES[function.__name__] = function
    return function


def play(name: str, folder: Path) -> None:
    with on_stage(folder) as stage:
        try:
            CASES[name](stage)
        except AssertionError as error:
            raise AssertionError(f"{error}\nasked: {[name for name, _ in stage.asked]}\nsaid: {stage.said}") from error
        assert "Traceback" not in stage.said, stage.said
        assert "demokey" not in stage.said, stage.said


def refuses(stage: Stage, command: str, *says: str) -> None:
    """The command ends with status 2, tells all of `says`, and leaves no file."""
    before = stage.files()
    status = stage.kit(command)
    assert status == 2, f"status {status}"
    for part in says:
        assert re.search(part, stage.said), f"not said: {part}"
    assert stage.files() == before, f"left: {stage.files()}"


def downloads(stage: Stage) -> None:
    assert stage.kit("download") == 0, "the download failed"
    assert stage.whole(), f"the data differ: {stage.files()}"


# Asking: the same answers to every question, in every shape that Kaggle, its proxies and other people's networks have.

REFUSALS = {
    400: "kaggle CLI says",
    401: "refused the credentials from KAGGLE_API_TOKEN",
    403: "competitions/tiny-contest/rules",
    404: "knows no competition 'tiny-contest'",
    429: r"too many requests.*\(3 of 3\)",
    500: r"in trouble \(500\).*\(3 of 3\)",
    503: r"in trouble \(503\).*\(3 of 3\)",
}


def _refusal(status: int, shape: str) -> None:
    def played(stage: Stage) -> None:
        stage.fault = always("ListDataFiles", SHAPES[shape](status))
        told = shape != "bare" and status != 401
        refuses(stage, "download", f"(?s){REFUSALS[status]}", *(["told why"] if told else []))
        assert stage.count("DownloadDataFiles") == 0

    CASES[f"question_{status}_{shape}"] = played


for _i, _status in enumerate(REFUSALS):  # every status in two shapes, every shape with three statuses or more
    for _shape in (list(SHAPES)[_i % 4], list(SHAPES)[(_i + 1) % 4]):
        _refusal(_status, _shape)


@case
def question_is_answered_by_the_login_page_of_a_network(stage: Stage) -> None:
    stage.fault = lambda _: page(200, "Welcome to our hotel")
    refuses(stage, "download", "in Kaggle's place")


@case
def question_is_dropped_every_time(stage: Stage) -> None:
    stage.fault = always("ListDataFiles", replace(bare(200), cut=-1))
    refuses(stage, "download", "cannot be reached", r"\(2 of 2\)")


@case
def question_is_dropped_once(stage: Stage) -> None:
    stage.fault = first("ListDataFiles", replace(flat(200), cut=5))
    downloads(stage)


@case
def question_is_never_answered(stage: Stage) -> None:
    command.QUESTION_TIMEOUT = 10.0
    stage.fault = first("ListDataFiles", replace(flat(200), pace=60))
    downloads(stage)
    assert "did not answer for 10 s" in stage.said


@case
def nobody_listens(stage: Stage) -> None:
    os.environ |= {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    refuses(stage, "download", "cannot be reached", "http_proxy")


@case
def busy_with_a_number_of_seconds_to_wait(stage: Stage) -> None:
    stage.fault = first("ListDataFiles", replace(nested(429), headers={"Retry-After": "2"}))
    downloads(stage)
    times = [moment for name, moment in stage.asked if name == "ListDataFiles"]
    assert times[1] - times[0] > 2, "did not wait"


@case
def busy_with_a_date_to_wait_for(stage: Stage) -> None:
    def fault(request: Request) -> Response | None:
        if name_of(request) != "ListDataFiles" or stage.count("ListDataFiles") > 1:
            return None
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 10))
        return replace(page(503), headers={"Retry-After": date})

    stage.fault = fault
    downloads(stage)
    times = [moment for name, moment in stage.asked if name == "ListDataFiles"]
    assert times[1] - times[0] > 8, "did not wait"


@case
def busy_for_longer_than_anybody_waits(stage: Stage) -> None:
    stage.fault = always("ListDataFiles", replace(flat(429), headers={"Retry-After": "7200"}))
    refuses(stage, "download", "asks to wait 120 minutes")
    assert stage.count("ListDataFiles") == 1


# Downloading.


@case
def rules_not_accepted(stage: Stage) -> None:
    stage.fault = always("DownloadDataFiles", flat(403, "You must accept this competition's rules"))
    refuses(stage, "download", "competitions/tiny-contest/rules")
    stage.fault = lambda _: None
    downloads(stage)


@case
def rules_not_accepted_says_a_page(stage: Stage) -> None:
    stage.fault = always("DownloadDataFiles", page(403))
    refuses(stage, "download", "competitions/tiny-contest/rules")


@case
def download_is_busy_once(stage: Stage) -> None:
    busy = replace(nested(429), headers={"Retry-After": "2"})
    once, told = first("DownloadDataFiles", nested(429)), first("ListDataFiles", busy)
    stage.fault = lambda request: once(request) or (told(request) if stage.count("DownloadDataFiles") else None)
    downloads(stage)
    times = [moment for name, moment in stage.asked if name in ("ListDataFiles", "DownloadDataFiles")]
    assert times[3] - times[2] > 2, "did not wait"  # a question, the refusal, the question that tells how long, …


@case
def download_is_in_trouble_twice(stage: Stage) -> None:
    stage.fault = first("DownloadDataFiles", page(502), bare(503))
    downloads(stage)


@case
def download_is_in_trouble_always(stage: Stage) -> None:
    stage.fault = always("DownloadDataFiles", bare(500))
    refuses(stage, "download", r"in trouble \(500\)")


def _dropped(name: str, share: float, byte: int) -> None:
    def played(stage: Stage) -> None:
        size = stage.archive.stat().st_size
        stage.fault = first("GET", replace(whole_blob(stage), cut=int(share * size) + byte))
        downloads(stage)

    CASES[f"download_dropped_{name}"] = played


def whole_blob(stage: Stage) -> Response:
    """The archive as the local Kaggle serves it."""
    return stage.kaggle._give_blob(Request("GET", "/blob/tiny-contest.zip", {}, b""))


_dropped("before_the_answer", 0, -1)
_dropped("at_the_first_byte", 0, 0)
_dropped("after_one_byte", 0, 1)
_dropped("in_the_middle", 0.5, 0)
_dropped("before_the_last_byte", 1, -1)


@case
def killed_in_the_middle_and_resumed_by_another_process(stage: Stage) -> None:
    make_large(stage)
    stage.fault = lambda request: replace(whole_blob(stage), pace=0.001) if request.method == "GET" else None
    archive = stage.folder / "data/.downloads/tiny-contest/tiny-contest.zip"
    stage.kill_when(stage.start("download"), lambda: archive.exists() and archive.stat().st_size > 2**20)
    assert not stage.data.exists()
    ranges = []
    stage.fault = lambda request: ranges.append(request.headers.get("range")) if request.method == "GET" else None
    assert stage.kit("download") == 0
    assert (stage.data / "noise.bin").stat().st_size == 4 * 2**20
    assert ranges[-1].startswith("bytes=") and not ranges[-1].startswith("bytes=0"), ranges


@case
def link_expired_in_the_middle_and_the_error_page_went_into_the_file(stage: Stage) -> None:
    size = stage.archive.stat().st_size
    expired = Response(403, b"<Error><Code>ExpiredToken</Code></Error>", {"Content-Type": "application/xml"})
    stage.fault = first("GET", replace(whole_blob(stage), cut=size // 2), *[expired] * 3)
    downloads(stage)


@case
def link_expired_and_the_next_process_makes_a_damaged_archive(stage: Stage) -> None:
    archive = stage.folder / "data/.downloads/tiny-contest/tiny-contest.zip"
    archive.parent.mkdir(parents=True)
    content = stage.archive.read_bytes()
    # What kaggle 2.2.4 leaves: the page, then the rest of the archive, and no marker.
    archive.write_bytes(b"<Error>ExpiredToken</Error>" + content[27:])
    downloads(stage)
    assert "once more" in stage.said


@case
def length_announced_is_too_short(stage: Stage) -> None:
    size = stage.archive.stat().st_size
    stage.fault = first("GET", replace(whole_blob(stage), declared=size - 500, cut=size - 500))
    downloads(stage)
    assert "once more" in stage.said


@case
def length_announced_is_too_long(stage: Stage) -> None:
    size = stage.archive.stat().st_size
    stage.fault = first("GET", replace(whole_blob(stage), declared=size + 500, cut=size))
    downloads(stage)


@case
def no_length_no_etag(stage: Stage) -> None:
    body = stage.archive.read_bytes()
    stage.fault = always("GET", Response(200, body, {"Content-Type": "application/zip"}))
    downloads(stage)


@case
def trickle(stage: Stage) -> None:
    make_large(stage)
    download.STALLED = 10.0
    stage.fault = first("GET", replace(whole_blob(stage), pace=0.5))
    assert stage.kit("download") == 0
    assert "stood still" in stage.said


@case
def a_page_instead_of_the_archive_once(stage: Stage) -> None:
    stage.fault = first("GET", page(200))
    downloads(stage)


@case
def a_page_instead_of_the_archive_always(stage: Stage) -> None:
    stage.fault = always("GET", page(200))
    refuses(stage, "download", "arrived damaged twice")


def _hostile(name: str) -> None:
    def played(stage: Stage) -> None:
        make, says = HOSTILE[name]
        stage.fault = always("GET", Response(200, make(), {"Content-Type": "application/zip"}))
        for _ in range(2):
            assert stage.kit("download") == 2
            assert re.search(says, stage.said), f"not said: {says}"
        # Kept, to be looked at; and not fetched again, for it would be the same.
        assert stage.files() == ["data/.downloads/tiny-contest/tiny-contest.zip"], stage.files()
        assert stage.count("DownloadDataFiles") == 1

    CASES["hostile_" + re.sub(r"\W+", "_", name)] = played


for _name in (
    *("zip: parent", "zip: link", "zip: duplicate", "zip: encrypted", "zip: bomb"),
    *("zip in a zip: parent", "tar.gz: symbolic link", "7z: parent"),
):
    _hostile(_name)  # test_archive.py has them all


def _damaged(name: str) -> None:
    def played(stage: Stage) -> None:
        stage.fault = first("GET", Response(200, CORRUPT[name](), {"Content-Type": "application/zip"}))
        downloads(stage)
        assert "once more" in stage.said and stage.count("DownloadDataFiles") == 2

    CASES["damaged_" + re.sub(r"\W+", "_", name)] = played


for _name in ("zip: half, then a page", "zip: checksum", "tar.gz: half"):
    _damaged(_name)


@case
def the_data_folder_is_a_link_to_an_empty_folder_elsewhere(stage: Stage) -> None:
    elsewhere = stage.folder / "large disk/tiny"
    elsewhere.mkdir(parents=True)
    stage.data.parent.mkdir(parents=True, exist_ok=True)
    stage.data.symlink_to(elsewhere)
    assert stage.kit("download") == 0, stage.said
    assert stage.data.is_symlink() and (stage.data / "train.csv").is_file()
    assert [path.name for path in elsewhere.parent.iterdir()] == ["tiny"]


@case
def killed_while_unpacking(stage: Stage) -> None:
    with zipfile.ZipFile(stage.archive, "a") as file:
        for i in range(20_000):
            file.writestr(f"more/{i}", "x")
    unpacking = stage.folder / "data"
    stage.kill_when(stage.start("download"), lambda: any(unpacking.glob(".tiny.unpacking*/content/more")))
    assert not stage.data.exists()
    asked = stage.count("DownloadDataFiles")
    assert stage.kit("download") == 0
    assert len(list((stage.data / "more").iterdir())) == 20_000
    assert stage.count("DownloadDataFiles") == asked
    assert sorted(path.name for path in unpacking.iterdir()) == [".downloads", "tiny"]


@case
def two_downloads_at_once(stage: Stage) -> None:
    both = [stage.start("download"), stage.start("download")]
    assert [stage.end(process) for process in both] == [0, 0]
    assert stage.whole() and stage.count("DownloadDataFiles") == 1


@case
def downloaded_already(stage: Stage) -> None:
    downloads(stage)
    asked = len(stage.asked)
    downloads(stage)
    assert len(stage.asked) == asked


@case
def the_disk_is_too_small(stage: Stage) -> None:
    make_large(stage)
    download.DISK_RESERVE = 2**60
    stage.fault = always("GET", replace(whole_blob(stage), pace=0.001))
    assert stage.kit("download") == 2
    assert "are free" in stage.said and not stage.data.exists()
    download.DISK_RESERVE = 0
    stage.fault = lambda _: None
    assert stage.kit("download") == 0


def make_large(stage: Stage) -> None:
    """Above 2 MiB, where the CLI resumes; below, it begins anew."""
    with zipfile.ZipFile(stage.archive, "a", zipfile.ZIP_STORED) as file:
        file.writestr("noise.bin", os.urandom(4 * 2**20))


# Submitting.


def submits(stage: Stage, *more: str) -> None:
    assert stage.kit("submit", *more) == 0, "the submission failed"
    assert [entry.status for entry in stage.ledger] == ["complete"], stage.ledger
    assert stage.ledger[-1].public_score == 1.0
    assert len(stage.submissions) == 1


def fails(stage: Stage, says: str, status: str | None) -> None:
    """The submission ends with status 2; the ledger's row has `status`, or there is none."""
    assert stage.kit("submit") == 2
    assert re.search(says, stage.said), f"not said: {says}"
    assert [entry.status for entry in stage.ledger] == ([status] if status else [])


def _submission_refused(status: int, shape: str) -> None:
    def played(stage: Stage) -> None:
        stage.write_submission()
        stage.fault = always("ListSubmissions", SHAPES[shape](status))
        fails(stage, f"(?s){REFUSALS[status]}", None)
        assert stage.count("StartSubmissionUpload") == 0
        stage.fault = lambda _: None
        submits(stage)

    CASES[f"submissions_cannot_be_listed_{status}_{shape}"] = played


for _status, _shape in ((401, "flat"), (429, "nested"), (503, "page")):
    _submission_refused(_status, _shape)


@case
def upload_is_not_permitted(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = always("StartSubmissionUpload", flat(403, "Permission 'competitions.submit' was denied"))
    fails(stage, "was not submitted.*rules", "error")
    stage.fault = lambda _: None
    assert stage.kit("submit") == 0
    assert [entry.status for entry in stage.ledger] == ["error", "complete"]


@case
def upload_is_busy_once(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = first("StartSubmissionUpload", replace(nested(429), headers={"Retry-After": "1"}))
    submits(stage)
    times = [moment for name, moment in stage.asked if name == "StartSubmissionUpload"]
    assert times[1] - times[0] > 1


def _put_fails(status: int) -> None:
    def played(stage: Stage) -> None:
        stage.write_submission()
        stage.fault = always("PUT", bare(status))
        fails(stage, f"was not submitted.*{status}", "error")
        assert stage.submissions == []

    CASES[f"storage_refuses_{status}"] = played


for _status in (403, 503):
    _put_fails(_status)


@case
def storage_is_in_trouble_once(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = first("PUT", bare(503))
    submits(stage)


@case
def storage_drops_the_upload_once(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = first("PUT", replace(bare(200), cut=-1))
    submits(stage)


@case
def no_submission_left_says_the_grader(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = always("CreateSubmission", flat(400, "Your team has used its daily Submission allowance (5) today"))
    fails(stage, "was not submitted.*allowance", "error")


@case
def no_submission_left(stage: Stage) -> None:
    stage.write_submission()
    for _ in range(local_contest.DAILY_LIMIT):
        add_other(stage)
    fails(stage, "5 submitted, 0 left.*\n(.*\n)*.*Nothing was sent", None)
    assert stage.count("StartSubmissionUpload") == 0


@case
def limits_cannot_be_read(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = always("GetSubmissionLimits", page(404))
    submits(stage)


@case
def a_team_that_does_not_exist_yet_has_no_limits(stage: Stage) -> None:
    stage.write_submission()
    zero = Response(200, b'{"numToday": 0, "numTotal": 0, "numAllowedNow": 0}', {"Content-Type": "application/json"})
    stage.fault = always("GetSubmissionLimits", zero)
    submits(stage)


@case
def the_last_one_of_the_day_without_a_terminal_is_sent(stage: Stage) -> None:
    stage.write_submission()
    use_all_but_one(stage)
    assert stage.kit("submit") == 0 and "1 left" in stage.said
    assert len(stage.submissions) == local_contest.DAILY_LIMIT


@case
def the_last_one_of_the_day_at_a_terminal_is_asked_for(stage: Stage) -> None:
    stage.write_submission()
    use_all_but_one(stage)
    for answer, more, status in (("n\n", (), 2), ("\n", (), 2), ("", ("--yes",), 0)):
        keyboard, terminal = pty.openpty()
        os.write(keyboard, answer.encode())
        os.dup2(terminal, 0)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        assert stage.kit("submit", *more) == status, (answer, more)
    assert "kept the last" in stage.said
    assert len(stage.submissions) == local_contest.DAILY_LIMIT


def add_other(stage: Stage) -> None:
    sample = (stage.tiny.data / "sample_submission.csv").read_bytes()
    stage.kaggle.contest.add("other.csv", sample, "made by hand")


def use_all_but_one(stage: Stage) -> None:
    for _ in range(local_contest.DAILY_LIMIT - 1):
        add_other(stage)


def created_but(stage: Stage, response: Response) -> Fault:
    """The first submission is made, its answer is `response`."""
    honest, done = stage.kaggle._methods["CreateSubmission"], []

    def method(request: Request, arguments: dict) -> Response:
        answer = honest(request, arguments)
        if not done:
            done.append(True)
            return response
        return answer

    stage.kaggle._methods["CreateSubmission"] = method
    return lambda _: None


@case
def submission_made_but_the_answer_is_an_error(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = created_but(stage, page(502))
    submits(stage)


@case
def submission_made_but_the_answer_is_dropped(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = created_but(stage, replace(bare(200), cut=-1))
    submits(stage)


@case
def submission_made_but_the_answer_is_cut_off(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = created_but(stage, replace(flat(200), cut=4))
    submits(stage)


@case
def submission_made_and_the_network_goes(stage: Stage) -> None:
    stage.write_submission()
    honest, gone = stage.kaggle._methods["CreateSubmission"], []

    def method(request: Request, arguments: dict) -> Response:
        gone.append(True)
        honest(request, arguments)
        return replace(bare(200), cut=-1)

    stage.kaggle._methods["CreateSubmission"] = method
    stage.fault = lambda request: (
        replace(bare(200), cut=-1) if gone and name_of(request) != "CreateSubmission" else None
    )
    fails(stage, "cannot be reached", "pending")
    stage.fault = always("PUT", bare(500))  # nothing may be sent again
    submits(stage)


@case
def submission_not_made_and_the_answer_is_an_error(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = always("CreateSubmission", bare(502))
    fails(stage, "does not list the submission", "pending")
    stage.fault = lambda _: None
    submits(stage)


@case
def submission_said_to_be_made_but_never_listed(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = always("CreateSubmission", Response(200, b'{"message": "Successfully submitted", "ref": 9}'))
    fails(stage, "does not list the submission", "pending")
    assert stage.submissions == []


@case
def submission_is_listed_late(stage: Stage) -> None:
    stage.write_submission()
    empty = Response(200, b'{"submissions": []}', {"Content-Type": "application/json"})
    stage.fault = first("ListSubmissions", empty, empty, empty)
    submits(stage)


@case
def submission_is_pending_for_a_while(stage: Stage) -> None:
    stage.write_submission()
    local_contest.PENDING = local_contest.timedelta(seconds=1)
    submits(stage)


@case
def submission_is_pending_for_too_long(stage: Stage) -> None:
    stage.write_submission()
    local_contest.PENDING = local_contest.timedelta(hours=1)
    score.SCORE_TIMEOUT = 1.0
    fails(stage, "It is not lost", "pending")
    local_contest.PENDING = local_contest.timedelta(0)
    stage.fault = always("PUT", bare(500))
    submits(stage)


@case
def score_cannot_be_asked_for_a_while(stage: Stage) -> None:
    stage.write_submission()
    local_contest.PENDING = local_contest.timedelta(seconds=1)
    made = stage.kaggle._methods["CreateSubmission"]
    trouble = []

    def method(request: Request, arguments: dict) -> Response:
        trouble.extend([bare(503)] * 2)
        return made(request, arguments)

    stage.kaggle._methods["CreateSubmission"] = method
    stage.fault = lambda request: trouble.pop() if trouble and name_of(request) == "ListSubmissions" else None
    submits(stage)


@case
def grader_fails_and_tells_why(stage: Stage) -> None:
    stage.write_submission()
    honest = stage.kaggle.contest._score
    stage.kaggle.contest._score = _unscorable
    fails(stage, "could not score .*: the grader has a headache", "error")
    stage.kaggle.contest._score = honest
    assert stage.kit("submit") == 0
    assert [entry.status for entry in stage.ledger] == ["error", "complete"]


def _unscorable(_: object) -> tuple[float, float]:
    raise SubmissionError("the grader has a headache")


@case
def scores_are_hidden(stage: Stage) -> None:
    stage.write_submission()
    plain = server._submission
    server._submission = lambda item: plain(item) | {"publicScore": "None", "privateScore": ""}
    assert stage.kit("submit") == 0
    assert "public –" in stage.said and stage.ledger[0].public_score is None


@case
def the_same_file_again(stage: Stage) -> None:
    stage.write_submission()
    submits(stage)
    submits(stage)
    assert "not sent again" in stage.said
    assert stage.kit("submit", "--force") == 0
    assert len(stage.submissions) == 2 and len(stage.ledger) == 2


@case
def a_score_of_a_rehearsal(stage: Stage) -> None:
    stage.write_submission()
    submits(stage)
    for path in stage.folder.rglob("submissions.json"):  # from now on it is another Kaggle
        path.unlink()
    assert stage.kit("ledger") == 0
    assert "not on Kaggle: of a rehearsal" in stage.said and "Nothing to select yet" in stage.said
    assert stage.kit("submit") == 0
    assert "sent; waiting for the score" in stage.said
    assert len(stage.submissions) == 1 and [entry.status for entry in stage.ledger] == ["complete", "complete"]
    assert stage.kit("ledger") == 0
    assert "1 different submissions have both scores" in stage.said and "1st  blend" in stage.said


@case
def the_same_file_from_another_machine(stage: Stage) -> None:
    stage.write_submission()
    submits(stage)
    (stage.folder / "runs/tiny/ledger.csv").unlink()
    submits(stage)
    assert "from elsewhere" in stage.said


@case
def two_submissions_at_once(stage: Stage) -> None:
    stage.write_submission()
    both = [stage.start("submit"), stage.start("submit")]
    assert [stage.end(process) for process in both] == [0, 0]
    submits(stage)
    assert stage.count("CreateSubmission") == 1


@case
def killed_before_the_upload(stage: Stage) -> None:
    stage.write_submission()
    stage.fault = first("StartSubmissionUpload", replace(flat(200), pace=60))
    stage.kill_when(stage.start("submit"), lambda: stage.count("StartSubmissionUpload") == 1)
    assert [entry.status for entry in stage.ledger] == ["pending"]
    submits(stage)


@case
def killed_between_upload_and_score(stage: Stage) -> None:
    stage.write_submission()
    local_contest.PENDING = local_contest.timedelta(hours=1)
    stage.kill_when(stage.start("submit"), lambda: bool(stage.submissions))
    local_contest.PENDING = local_contest.timedelta(0)
    submits(stage)
    assert stage.count("CreateSubmission") == 1


@case
def killed_while_the_cli_goes_on_uploading(stage: Stage) -> None:
    stage.write_submission()

    def until_the_other_waits(request: Request) -> None:
        end = time.monotonic() + 60
        while name_of(request) == "PUT" and time.monotonic() < end:
            if "waiting for it" in getattr(sys.stderr, "getvalue", str)():  # what `submits` redirects it to
                break
            time.sleep(0.01)

    stage.fault = until_the_other_waits
    stage.kill_when(stage.start("submit"), lambda: stage.count("PUT") == 1, alone=True)
    submits(stage)
    assert "another submission of this contest is being sent; waiting for it" in stage.said
    assert stage.count("CreateSubmission") == 1


@case
def a_message_full_of_traps(stage: Stage) -> None:
    stage.write_submission()
    message = '--help "quoted", $(touch hacked) `x`\nsecond line; ünï 🐱 [00000000-000000]'
    submits(stage, f"--message={message}")
    assert stage.submissions[0].description.endswith(" ".join(message.split()))
    assert not (stage.folder / "hacked").exists()


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future]]:
    """All selected cases, played side by side."""
    chosen = [item.callspec.params["name"] for item in request.session.items if item.path == Path(__file__)]
    folder = tmp_path_factory.mktemp("faults")
    workers = 2 * (os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=CONTEXT, max_tasks_per_child=1) as pool:
        yield {name: pool.submit(play, name, folder / name) for name in chosen}


@pytest.mark.parametrize("name", CASES)
def test_fault(name, outcomes):
    outcomes[name].result()
