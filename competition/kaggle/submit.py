"""`./submit.sh`: check the file, send it with the kaggle CLI, see it arrive, wait for the score, write the ledger."""

import shlex
from functools import partial
from pathlib import Path

from competition.contest import Contest
from competition.errors import SubmissionError
from competition.files import sha256_of
from competition.kaggle.deliver import deliver
from competition.kaggle.ledger import Entry
from competition.kaggle.score import await_score, print_scores
from competition.kaggle.source import new_entry, newest_ensemble, sent_message, source_of
from competition.submissions.file import check_submission


def submit(
    contest: Contest,
    file: Path | None = None,
    message: str | None = None,
    *,
    dry_run: bool = False,
    force: bool = False,
    yes: bool = False,
) -> None:
    """Submit `file`, by default the newest ensemble's submission.csv, and print its public score beside its own.

    A file that was submitted before is not sent again: its score is looked up (and waited for) instead.

    Args:
        message: shown on Kaggle beside the submission; by default the ensemble's name and scores.
        dry_run: check the file and print what would be sent.
        force: send the file even if Kaggle has it already.
        yes: do not ask before the last submission of the day. Nothing is asked without a terminal either.

    Raises:
        SubmissionError: there is no file, or it would be rejected, as any in a notebook-only contest. Nothing was sent.
        KaggleError: none is left today, Kaggle refused the upload or the file, or has not scored it in time. The ledger
            knows; the same command run again goes on from there.
    """
    source = source_of(file) if file else newest_ensemble(contest)
    rows = check_submission(contest, source.file)
    sha256 = sha256_of(source.file)
    print(f"file      {source.file}  ({rows} rows, sha256 {sha256[:12]})")
    print(f"contest   {contest.spec.kaggle}")
    if contest.spec.rules.notebook_only:
        raise SubmissionError(
            f"the file is good, but {contest.spec.kaggle} takes notebooks only. Send one: {contest.submit_command}"
        )
    if dry_run:
        entry = new_entry(contest, source, message)
        print(f"message   {sent_message(entry)}")
        print("dry run: the file is good; nothing was sent. The command would be:")
        print(f"  kaggle {shlex.join(_command(contest, entry))}")
        return
    entry, listed = deliver(contest, source, message, partial(_command, contest), force, yes)
    print_scores(contest, await_score(contest, entry, listed))


def _command(contest: Contest, entry: Entry) -> list[str]:
    # -m=… because a message may begin with a dash; -q because what the CLI prints besides is not for parsing.
    file = str(Path(entry.file).absolute())
    return ["competitions", "submit", contest.spec.kaggle, "-f", file, f"--message={sent_message(entry)}", "-q"]
