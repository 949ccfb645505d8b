"""What is submitted: a file, what is known of its origin, and the row that the ledger gets about it."""

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from competition.contest import Contest
from competition.errors import DataError, SubmissionError
from competition.files import sha256_of
from competition.kaggle.ledger import Entry


@dataclass(frozen=True)
class Source:
    """A file to submit and what is known of its origin."""

    file: Path
    ensemble: str = ""
    oof_score: float | None = None
    nested_score: float | None = None


def source_of(file: Path) -> Source:
    """A file, with the scores of the ensemble in whose folder it lies, if it is the ensemble's own.

    Raises SubmissionError, DataError.
    """
    if not file.is_file():
        problem = "is a folder; give the CSV file in it" if file.is_dir() else "does not exist"
        raise SubmissionError(f"{file} {problem}")
    weights = file.parent / "weights.json"
    if not weights.exists():
        return Source(file)
    try:
        content = json.loads(weights.read_text(encoding="utf-8"))
        if content.get("submission_sha256", "") not in ("", sha256_of(file)):
            return Source(file)
        scores = [None if content.get(key) is None else float(content[key]) for key in ("oof_score", "nested_score")]
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{weights}: cannot be read: {error}. Make the ensemble again.") from error
    return Source(file, file.parent.name, *scores)


def newest_ensemble(contest: Contest) -> Source:
    """The submission of the ensemble that was written last. Raises SubmissionError when there is none."""
    weights = list(contest.ensembles.glob("*/weights.json"))
    if not weights:
        raise SubmissionError(
            f"{contest.ensembles}: no ensemble yet. Make one with `python ensemble.py {contest.options}`"
        )
    return source_of(max(weights, key=lambda path: path.stat().st_mtime).parent / "submission.csv")


def new_entry(contest: Contest, source: Source, message: str | None) -> Entry:
    """The ledger's row of a submission that is about to be sent."""
    sha256, metric = sha256_of(source.file), contest.spec.metric.name
    return Entry(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        tag=f"{sha256[:8]}-{secrets.token_hex(3)}",
        file=str(source.file),
        sha256=sha256,
        ensemble=source.ensemble,
        metric=metric,
        oof_score=source.oof_score,
        nested_score=source.nested_score,
        public_score=None,
        private_score=None,
        status="pending",
        message=" ".join((message or _default_message(source, metric)).split()),
    )


def sent_message(entry: Entry) -> str:
    """The message as Kaggle shows it. The tag comes first: should Kaggle cut a long message, it is still found."""
    return f"[{entry.tag}] {entry.message}"


def _default_message(source: Source, metric: str) -> str:
    scores = [f"OOF {source.oof_score:.5f}"] if source.oof_score is not None else []
    scores += [f"nested {source.nested_score:.5f}"] if source.nested_score is not None else []
    return " ".join([source.ensemble or source.file.name, *([metric, *scores] if scores else [])])
