"""Bringing a submission to Kaggle once, and proving that it arrived."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace

from competition.contest import Contest
from competition.errors import KaggleError
from competition.files import sha256_of
from competition.kaggle.command import converse
from competition.kaggle.conversation import Conversation
from competition.kaggle.credentials import redact
from competition.kaggle.ledger import Entry, read_ledger, write_entry
from competition.kaggle.patience import PassingError, pause
from competition.kaggle.source import Source, new_entry, sent_message
from competition.kaggle.submissions import (
    Listed,
    find_submission,
    is_missing,
    list_submissions,
    submission_limits,
    until_midnight,
)
from competition.locks import locked
from competition.made_up import refuse_made_up

# A submission that just arrived may take a moment to be listed. Seconds.
LISTING_ATTEMPTS, LISTING_PAUSE = 4, 2.0
STALE = 60.0  # seconds after which the number of submissions left is asked for again


def deliver(
    contest: Contest,
    source: Source,
    message: str | None,
    arguments: Callable[[Entry], list[str]],
    force: bool = False,
    yes: bool = False,
) -> tuple[Entry, Listed | None]:
    """Submit what `source` describes, unless Kaggle has it already.

    Args:
        arguments: of the CLI, made when it is certain that they are needed.

    Returns:
        The ledger's row, and the submission as Kaggle lists it; None where the ledger knows the score already.

    Raises KaggleError when it certainly did not arrive, or is not listed; DataError when the contest's data is made up.
    """
    refuse_made_up(contest)
    # Two shells must not both find that a file was never sent, and then both send it.
    waiting = "another submission of this contest is being sent; waiting for it (end its kaggle process if it hangs)"
    with locked(contest.runs / ".submit.lock", waiting):
        return _arrived(contest, source, message, arguments, force, yes)


def _arrived(
    contest: Contest,
    source: Source,
    message: str | None,
    arguments: Callable[[Entry], list[str]],
    force: bool,
    yes: bool,
) -> tuple[Entry, Listed | None]:
    """`deliver`, by whoever holds the lock."""
    sha256 = sha256_of(source.file)
    known = [entry for entry in read_ledger(contest.ledger_file) if entry.sha256 == sha256 and entry.status != "error"]
    pending = [entry for entry in known if entry.status == "pending"]
    listed = list_submissions(contest.spec)
    # A score of a rehearsal, or from another account, says nothing of what this Kaggle has.
    scored = [entry for entry in known if entry.status == "complete" and not is_missing(entry, listed)]
    if scored and not force:
        print(f"This was submitted on {scored[-1].time} already; it is not sent again.")
        return scored[-1], None
    found = next((each for each in listed if pending and each.tag == pending[-1].tag), None)
    if found:
        # What the last call began comes first, also under --force: it may be the very submission that was meant.
        print(f"Kaggle has this already (since {pending[-1].time}); it is not sent again.")
        return replace(pending[-1], file=str(source.file)), found
    twin = next((each for each in listed if each.tag[:8] == sha256[:8] and each.status != "error"), None)
    if twin and not force:
        print(f"Kaggle has this already, sent from elsewhere on {twin.date}; it is not sent again.")
        entry = replace(new_entry(contest, source, message), tag=twin.tag, message=twin.message)
        write_entry(contest.ledger_file, entry)
        return entry, twin
    entry = new_entry(contest, source, message)
    if pending:  # it keeps its tag
        entry = replace(pending[-1], file=entry.file, message=entry.message if message else pending[-1].message)
    print(f"message   {sent_message(entry)}")
    _allow_one_more(contest, yes)
    began = time.monotonic()
    command = arguments(entry)
    if time.monotonic() - began > STALE:  # a notebook ran meanwhile; who was asked is not asked again
        _allow_one_more(contest, yes=True)
    return entry, _send(contest, entry, command)


def _allow_one_more(contest: Contest, yes: bool) -> None:
    """Show how many submissions are left today, and ask before the last one.

    Raises KaggleError when none is left, or the user would rather keep the last.
    """
    limits = submission_limits(contest.spec)
    if limits is None:
        return
    print(f"today     {limits.made} submitted, {limits.left} left; counted anew in {until_midnight()}")
    if limits.left == 0:
        raise KaggleError(
            f"no submission is left today; the count starts anew in {until_midnight()}. Nothing was sent."
        )
    if limits.left == 1 and not yes and sys.stdin.isatty():
        print("This is the last one of today. Send it? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise KaggleError("kept the last submission of today; nothing was sent")


def _send(contest: Contest, entry: Entry, arguments: list[str]) -> Listed:
    """Run the CLI and prove that the submission arrived: return it as Kaggle lists it.

    Raises KaggleError. The entry is then in error where the file certainly did not arrive, else pending: the next call
    looks for it before it sends anything.
    """
    write_entry(contest.ledger_file, entry)
    conversation, failure = _upload(contest, arguments)
    refusal = conversation.failed
    refused = refusal is not None and refusal.status < 500 and refusal.status not in (408, 429)
    if _never_submitted(conversation) or refused:
        stored = conversation.put is None or conversation.put < 400
        why = f"HTTP status {conversation.put}" if not stored else "the CLI does not say why"
        reason = str(failure) if failure and stored else f"the upload failed ({why}). Run the command again."
        write_entry(contest.ledger_file, replace(entry, status="error", message=" ".join(reason.split())))
        raise KaggleError(f"{entry.file} was not submitted: {reason}")
    # The exit status proves nothing in either direction; only the list of submissions does.
    for attempt in range(LISTING_ATTEMPTS):
        time.sleep(LISTING_PAUSE * attempt)
        if found := find_submission(contest.spec, entry.tag):
            print("sent; waiting for the score", flush=True)
            return found
    said = str(failure or "") or f"The CLI said: {redact(' '.join(conversation.printed.split())) or 'nothing'}"
    raise KaggleError(
        f"{entry.file}: Kaggle does not list the submission (yet). Run the same command again: it looks for it first, "
        f"and sends it only if it did not arrive.\n{said}"
    )


def _upload(contest: Contest, arguments: list[str]) -> tuple[Conversation, KaggleError | None]:
    """Run `kaggle competitions submit`; again while it fails, in a way that may pass, before anything was submitted."""
    attempt = 1
    while True:
        conversation, failure = converse(contest.spec, *arguments)
        if not _never_submitted(conversation):
            return conversation, failure
        if (conversation.put or 0) >= 500:
            failure = PassingError(f"Kaggle's storage is in trouble ({conversation.put})")
        if not isinstance(failure, PassingError) or attempt >= failure.attempts:
            return conversation, failure
        pause(failure, attempt)
        attempt += 1


def _never_submitted(conversation: Conversation) -> bool:
    """Whether the CLI certainly stopped before the call that makes a submission of the uploaded file."""
    told = bool(conversation.asked) and not {"CreateSubmission", "CreateCodeSubmission"} & {*conversation.asked}
    return told or "Could not submit" in f"{conversation.printed}{conversation.complaint}"
