"""What Kaggle knows of one's submissions: the list, and how many are left today."""

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from competition.errors import KaggleError
from competition.kaggle.command import ask_kaggle, parse_csv
from competition.kaggle.ledger import Entry, Status
from competition.spec import Spec

# What Kaggle lists at once. Whoever made more since the one that is looked for has other worries.
NEWEST = 200

_COLUMNS = {"fileName", "date", "description", "status", "publicScore", "privateScore"}
_TAG = re.compile(r"^\[([0-9a-f]{8}-[0-9a-f]{6})\]")


@dataclass(frozen=True)
class Listed:
    """A submission as Kaggle lists it.

    date: UTC, as the CLI prints it. Scores: None until known. error: why one in error has none, where Kaggle tells.
    """

    ref: str
    file_name: str
    date: str
    description: str
    status: Status
    public_score: float | None
    private_score: float | None
    error: str

    @property
    def message(self) -> str:
        """The description without the mark."""
        return self.description.removeprefix(f"[{self.tag}]").strip()

    @property
    def tag(self) -> str:
        """The mark that this kit put before its message; empty for a submission made in another way."""
        found = _TAG.match(self.description)
        return found[1] if found else ""


@dataclass(frozen=True)
class Limits:
    """made: submissions made today. left: how many may still be made today."""

    made: int
    left: int


def list_submissions(spec: Spec) -> list[Listed]:
    """The newest submissions to the contest, newest first. Raises KaggleError when Kaggle does not tell."""
    conversation = ask_kaggle(
        spec, "competitions", "submissions", spec.kaggle, "--csv", "-q", "--page-size", str(NEWEST)
    )
    rows = parse_csv(conversation.printed, "ref")
    if not rows and "No submissions found" not in conversation.printed:
        raise KaggleError(
            f"the kaggle CLI listed no submissions of {spec.kaggle}, and did not say that there are none: "
            f"{conversation.printed.strip()[:200] or 'it said nothing'}. Run the command again."
        )
    if rows and (missing := _COLUMNS - rows[0].keys()):
        raise KaggleError(f"the kaggle CLI lists submissions without {', '.join(sorted(missing))}: update this kit")
    answer = conversation.answer("ListSubmissions").get("submissions") or []
    reasons = {str(item.get("ref")): item.get("errorDescription") for item in answer if isinstance(item, dict)}
    return [_listed(row, reasons.get(row["ref"]) or "") for row in rows]


def find_submission(spec: Spec, tag: str) -> Listed | None:
    """The submission on Kaggle that carries `tag`; None when there is none."""
    return next((each for each in list_submissions(spec) if each.tag == tag), None)


def is_missing(entry: Entry, listed: list[Listed]) -> bool:
    """Whether Kaggle certainly does not have a submission of the ledger: `listed` is all it has, and that is not there.

    Such a one was sent to a local Kaggle, for a rehearsal, or from another account. One of the same file name without a
    tag may be it: descriptions can be edited.
    """
    name = Path(entry.file).name
    there = any(each.tag == entry.tag or (not each.tag and each.file_name == name) for each in listed)
    return len(listed) < NEWEST and not there


def submission_limits(spec: Spec) -> Limits | None:
    """How many submissions were and may be made today; None where this version of the CLI cannot tell."""
    try:
        said = ask_kaggle(spec, "competitions", "submission-limits", spec.kaggle, "--json", "-q").printed
    except KaggleError:
        return None
    try:
        content = json.loads(said[said.index("{") :])
        limits = Limits(int(content.get("numToday", 0)), int(content.get("numAllowedNow", 0)))
    except (ValueError, TypeError, AttributeError):
        return None
    # Nothing made and nothing left is what Kaggle says of a team that does not exist before its first submission.
    return limits if limits.made or limits.left else None


def until_midnight() -> str:
    """The time until the day's submissions are counted anew, at midnight UTC."""
    now = datetime.now(UTC)
    left = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) - now
    hours, minutes = divmod(int(left.total_seconds()) // 60, 60)
    return f"{hours} h {minutes:02} min"


def _listed(row: dict[str, str], error: str) -> Listed:
    status = (row["status"] or "").rpartition(".")[2].lower()
    return Listed(
        ref=row["ref"],
        file_name=row["fileName"] or "",
        date=row["date"],
        description=row["description"] or "",
        status=status if status in ("complete", "error") else "pending",
        public_score=_score(row["publicScore"]),
        private_score=_score(row["privateScore"]),
        error=" ".join(error.split()),
    )


def _score(text: str) -> float | None:
    """Kaggle's scores are strings, and empty (or None) where they are not shown."""
    try:
        score = float(text)
    except (TypeError, ValueError):  # a short line has None
        return None
    return score if math.isfinite(score) else None
