"""The contest that the local Kaggle holds: its archive, its secret answers, the submissions and their scores."""

import hashlib
import json
import tempfile
import threading
import zipfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from competition.contest import Contest
from competition.errors import DataError, KitError, SubmissionError
from competition.files import atomic_open
from competition.kaggle.archive import unpack
from competition.patterns import columns_in, fill
from competition.rows.labels import read_labels
from competition.rows.sources import Table
from competition.rows.tables import discover_classes, read_ids, read_table
from competition.spec import Spec
from competition.submissions.checking import check_ids
from competition.submissions.file import read_submission
from competition.submissions.sample import read_sample

DAILY_LIMIT = 5
PUBLIC_SHARE = 0.4

# A submission is scored at once, but shown as pending for this long: whoever waits for a score meets that state too.
PENDING = timedelta(seconds=1)


@dataclass(frozen=True)
class Submitted:
    """A submission as it is stored. Empty scores belong to one in error, which tells why."""

    ref: int
    file_name: str
    date: str
    description: str
    public_score: str
    private_score: str
    error: str

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.date)

    @property
    def status(self) -> str:
        if datetime.now(UTC) < self.at + PENDING:
            return "PENDING"
        return "ERROR" if self.error else "COMPLETE"


class LimitReached(KitError):
    """The day's submissions are used up."""


class LocalContest:
    """A contest's archive and answers, and its submissions, kept in `folder` across restarts."""

    def __init__(self, spec: Spec, archive: Path, answers: Path, folder: Path) -> None:
        """
        Args:
            archive: the zip to download.
            answers: CSV with the training table's label columns, an id column of the training table, the test table or
                the sample, and, optionally, Usage (Public or Private); one line for each of the sample's rows.

        Raises DataError when the answers are not usable, or the archive holds no sample submission.
        """
        self.spec = spec
        self.archive = archive
        self._folder = folder
        self._lock = threading.Lock()
        self._contest = _competitors_contest(spec, archive, folder)
        self._answers = read_answers(self._contest, answers)
        self.baselines = self._baselines()

    @property
    def submissions(self) -> list[Submitted]:
        """Newest first."""
        path = self._folder / "submissions.json"
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        return [Submitted(**item) for item in reversed(stored)]

    def made_today(self) -> int:
        """How many of the day's submissions (UTC) are used; one in error costs none."""
        today = datetime.now(UTC).date()
        return sum(submitted.at.date() == today and not submitted.error for submitted in self.submissions)

    def add(self, file_name: str, content: bytes, description: str) -> Submitted:
        """Score a file and store it as a submission. Raises LimitReached when the day's submissions are used up."""
        with self._lock:
            if self.made_today() >= DAILY_LIMIT:
                raise LimitReached(
                    f"Your team has used its daily Submission allowance ({DAILY_LIMIT}) today, "
                    "please try again tomorrow UTC."
                )
            earlier = self.submissions
            public, private, error = "", "", ""
            try:
                public, private = (f"{score:.5f}" for score in self._score(self._read(file_name, content)))
            except KitError as problem:
                error = str(problem)
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            submitted = Submitted(len(earlier) + 1, file_name, now, description, public, private, error)
            with atomic_open(self._folder / "submissions.json") as file:
                json.dump([asdict(item) for item in [*reversed(earlier), submitted]], file, indent=1)
        return submitted

    def leaderboard(self) -> list[tuple[str, str]]:
        """Teams and public scores, best first: the baselines and the user's best submission."""
        rows = list(self.baselines)
        own = [submitted.public_score for submitted in self.submissions if submitted.status == "COMPLETE"]
        if own:
            rows.append(("demo", max(own, key=self._quality)))
        return sorted(rows, key=lambda row: self._quality(row[1]), reverse=True)

    def _quality(self, score: str) -> float:
        return self._contest.metric.gain(float(score), 0.0)

    def _read(self, file_name: str, content: bytes) -> np.ndarray:
        """An uploaded file as predictions (N, C) in the order of the answers. Raises SubmissionError."""
        path = self._folder / "upload.csv.tmp"
        with atomic_open(path, "wb") as file:
            file.write(content)
        try:
            return read_submission(self._contest, path, self._answers.ids)
        except KitError as error:
            # Whoever reads the reason knows the file by its name, and nothing of this folder.
            raise SubmissionError(str(error).replace(str(path), file_name).replace(f"{self._folder}/", "")) from error
        finally:
            path.unlink()

    def _score(self, predictions: np.ndarray) -> tuple[float, float]:
        """The public and the private score."""
        labels, public, metric = self._answers.labels, self._answers.public, self._contest.metric
        return metric(labels[public], predictions[public]), metric(labels[~public], predictions[~public])

    def _baselines(self) -> list[tuple[str, str]]:
        """What can be reached without looking at an image, and what a fair model might reach."""
        family, truth, c = self.spec.target.family, self._answers.labels, len(self._contest.classes)
        n, random = len(truth), np.random.default_rng(0)
        if family == "classes":
            truth, guess = np.eye(c)[truth], np.eye(c)[random.integers(c, size=n)]
        else:
            guess = truth[random.permutation(n)]
        fair = np.where(random.random((n, 1)) < 0.7, truth, guess)
        if family in ("classes", "labels"):
            name, always = "most frequent class", np.eye(c)[truth.sum(axis=0).argmax()]
        else:
            name, always = "always the mean", truth.mean(axis=0)
        entries = {name: np.tile(always, (n, 1)), "random guess": guess, "right 7 times in 10": fair}
        if self.spec.submission.kind == "probability" and family in ("classes", "labels"):
            # Not quite certain of its choice, for log loss: certainty would cost a fortune there.
            blur = 0.1 / c if family == "classes" else 0.05
            entries = {team: 0.9 * p + blur for team, p in entries.items()}
        return [(team, f"{self._score(p)[0]:.5f}") for team, p in entries.items()]


@dataclass(frozen=True)
class Answers:
    """The test rows' ids (N,), their labels (as `read_labels` has them), and which of them are public, (N,) bool."""

    ids: np.ndarray
    labels: np.ndarray
    public: np.ndarray


def _competitors_contest(spec: Spec, archive: Path, folder: Path) -> Contest:
    """What the competitor has, as far as scoring needs it: the sample submission, in `folder`, and the classes."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        if not spec.target.classes:  # they are discovered in the training table, or the names of the files
            unpack(archive, data)
            spec = spec.declaring(discover_classes(Contest(spec, data, Path(scratch))))
    name = spec.submission.sample
    try:
        with zipfile.ZipFile(archive) as packed, atomic_open(folder / name, "wb") as file:
            file.write(packed.read(name))
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{archive}: holds no {name} that can be read: {error}") from error
    return Contest(spec, folder, folder)


def read_answers(contest: Contest, path: Path) -> Answers:
    """Read the true labels of the sample submission's rows. Raises DataError as `LocalContest`."""
    spec, table = contest.spec, read_table(path, [])
    # Whoever writes answers may call the id as the training table does, as the test table does, or as the sample.
    names = (spec.test.id, spec.train.id, spec.submission.id)
    name = next((name for name in names if set(columns_in(name) or [name]) <= set(table.columns)), spec.train.id)
    ids = read_ids(path, table.assign(**{name: fill(name, table, str(path))}), name)
    labels = read_labels(spec.target, contest.classes, spec.train, Table(table, path))
    sample = read_sample(contest)
    check_ids(path, ids, sample.path, sample.ids)
    if "Usage" not in table.columns:
        return Answers(ids, labels, np.array([_hash_share(name) < PUBLIC_SHARE for name in ids]))
    usage = table["Usage"]
    if not usage.isin(["Public", "Private"]).all():
        row = int(np.argmin(usage.isin(["Public", "Private"])))
        raise DataError(f"{path}, line {row + 2}: Usage is {usage.iloc[row]!r}, expected Public or Private")
    return Answers(ids, labels, (usage == "Public").to_numpy())


def _hash_share(name: str) -> float:
    """A number in 0…1 that depends on nothing but the id."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
