"""The books: every submission of a contest, as the ledger and Kaggle know it together."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from competition.contest import Contest
from competition.errors import KaggleError
from competition.files import sha256_of
from competition.kaggle.ledger import Entry, Status, read_ledger, write_entry
from competition.kaggle.submissions import Listed, is_missing, list_submissions


@dataclass(frozen=True)
class Submission:
    """One submission. Scores are in the contest's metric, None where not known.

    name: of its ensemble, else of its file. date: UTC, "YYYY-MM-DD HH:MM:SS". tag: as in the ledger; empty for one made
    elsewhere without this kit. sha8: the first 8 digits of the file's hash; empty where not known. file: where its file
    still is, unchanged; None where it is not. in_ledger: False for one that only Kaggle knows.
    on_kaggle: False for one that Kaggle does not know, as of a rehearsal: its scores do not count, and are left out.
    """

    name: str
    date: str
    tag: str
    sha8: str
    oof: float | None
    nested: float | None
    public: float | None
    private: float | None
    status: Status
    file: Path | None = None
    in_ledger: bool = True
    on_kaggle: bool = True

    @property
    def expected(self) -> float | None:
        """The honest score at home: nested, or out-of-fold where that is all there is."""
        return self.oof if self.nested is None else self.nested


def collect(contest: Contest) -> tuple[list[Submission], str]:
    """Every submission, oldest first, and why Kaggle's part is missing (empty when it is not).

    The ledger's rows are completed with what Kaggle shows now: the scores of pending ones, private scores after the
    deadline, and public ones, which some hosts compute anew. Submissions that only Kaggle knows do not go into it.

    Raises DataError when the ledger is damaged.
    """
    try:
        listed, complaint = list_submissions(contest.spec), ""
    except KaggleError as error:
        listed, complaint = [], " ".join(str(error).split())
    # Read after Kaggle's answer, which takes seconds: another process may be writing its score meanwhile.
    entries = read_ledger(contest.ledger_file)
    by_tag = {each.tag: each for each in listed if each.tag}
    submissions = []
    for entry in entries:
        found = by_tag.pop(entry.tag, None)
        if found is not None and (completed := _completed(entry, found)) != entry:
            write_entry(contest.ledger_file, completed)
            entry = completed
        submission = _known(contest, entry, found)
        if not complaint and entry.status == "complete" and is_missing(entry, listed):
            submission = replace(submission, public=None, private=None, on_kaggle=False)
        submissions.append(submission)
    submissions += [_stranger(each) for each in listed if not each.tag or each.tag in by_tag]
    return sorted(submissions, key=lambda submission: submission.date), complaint


def distinct(submissions: Iterable[Submission]) -> list[Submission]:
    """The submissions without those that repeat an earlier one: the same file, or the same ensemble and scores."""
    seen, kept = set(), []
    for submission in submissions:
        marks = {submission.sha8} if submission.sha8 else set()
        if submission.expected is not None:
            marks.add((submission.name, submission.oof, submission.nested))
        if not marks & seen:
            kept.append(submission)
        seen |= marks
    return kept


def _completed(entry: Entry, listed: Listed) -> Entry:
    """The ledger's row with what Kaggle shows."""
    if listed.status == "pending":
        return entry
    if listed.status == "error":
        message = entry.message if entry.status == "error" else listed.error or "Kaggle could not score it"
        return replace(entry, status="error", message=message)
    return replace(
        entry,
        status="complete",
        # One that was believed lost has a message about that.
        message=listed.message if entry.status == "error" else entry.message,
        public_score=entry.public_score if listed.public_score is None else listed.public_score,
        private_score=entry.private_score if listed.private_score is None else listed.private_score,
    )


def _known(contest: Contest, entry: Entry, listed: Listed | None) -> Submission:
    same = entry.metric == contest.spec.metric.name  # else the spec was changed, and its scores compare with nothing
    return Submission(
        name=entry.ensemble or Path(entry.file).name,
        date=_date(listed.date if listed else entry.time),
        tag=entry.tag,
        sha8=entry.sha256[:8],
        oof=entry.oof_score if same else None,
        nested=entry.nested_score if same else None,
        public=entry.public_score,
        private=entry.private_score,
        status=entry.status,
        file=_file(contest, entry),
    )


def _stranger(listed: Listed) -> Submission:
    """A submission made on the site, or by this kit on another machine, which then left its tag."""
    return Submission(
        name=" ".join(listed.file_name.split()) or "?",
        date=_date(listed.date),
        tag=listed.tag,
        sha8=listed.tag[:8],
        oof=None,
        nested=None,
        public=listed.public_score,
        private=listed.private_score,
        status=listed.status,
        in_ledger=False,
    )


def _file(contest: Contest, entry: Entry) -> Path | None:
    """The submitted file, if it is still what it was: an ensemble may have been made anew under its name.

    Of a notebook, the submission that was packed with it.
    """
    for path in (Path(entry.file), contest.ensembles / (entry.ensemble or "-") / Path(entry.file).name):
        if path.is_file() and sha256_of(path) == entry.sha256:
            if path.suffix != ".ipynb":
                return path
            packed = path.parents[2] / "submission.csv"
            return packed if packed.is_file() and packed.stat().st_mtime <= path.stat().st_mtime else None
    return None


def _date(text: str) -> str:
    return text.replace("T", " ")[:19]
