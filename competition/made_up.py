"""Data that `python -m competition fake` made up, and the file that tells it from the contest's."""

import os

from competition.contest import Contest
from competition.errors import DataError

MARK = "MADE_UP.txt"
TEXT = "All of this is made up, for a rehearsal: python -m competition fake\n"


def is_made_up(contest: Contest) -> bool:
    return (contest.data / MARK).is_file()


def refuse_made_up(contest: Contest) -> None:
    """Raise DataError where made-up data stands in for the contest's, except before a local Kaggle, which serves it."""
    if is_made_up(contest) and os.environ.get("KAGGLE_API_ENVIRONMENT") != "LOCALHOST":
        raise DataError(
            f"{contest.data} holds made-up data, of `python -m competition fake`, and not the contest's. Delete that "
            f"folder, and in {contest.runs} what was made of it; or give other folders with --data and --runs."
        )
