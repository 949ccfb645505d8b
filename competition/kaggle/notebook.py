"""Notebook-only competitions: an ensemble packed, pushed, run on Kaggle, submitted and scored."""

from dataclasses import replace

from competition.contest import Contest
from competition.errors import SubmissionError
from competition.kaggle.deliver import deliver
from competition.kaggle.ledger import Entry
from competition.kaggle.packing import pack, write_metadata
from competition.kaggle.push import account, push
from competition.kaggle.score import await_score, print_scores
from competition.kaggle.source import Source, newest_ensemble, sent_message, source_of
from competition.submissions.file import check_submission

# Kaggle runs the notebook once more, on the hidden test set, before it scores.
RERUN_TIMEOUT = 14 * 3600.0


def submit_notebook(
    contest: Contest,
    ensemble: str | None = None,
    message: str | None = None,
    *,
    gpu: bool = True,
    pack_only: bool = False,
    yes: bool = False,
) -> None:
    """Pack an ensemble, by default the newest, push it as dataset and notebook, and submit the notebook's output.

    Whatever a former call of the same command finished is not done again.

    Args:
        message: shown on Kaggle beside the submission; by default the ensemble's name and scores.
        gpu: whether the notebook runs on a GPU.
        pack_only: write the folders and send nothing.
        yes: do not ask before the last submission of the day.

    Raises:
        DataError, SubmissionError: there is no such ensemble, or a file of it is missing or wrong.
        KaggleError: Kaggle refused something, or did not finish in time.
    """
    source = _ensemble(contest, ensemble)
    folder = source.file.parent
    if not source.ensemble:
        raise SubmissionError(
            f"{folder}: weights.json is of another submission.csv. Make the ensemble again: python ensemble.py "
            f"{contest.options} --name {folder.name}"
        )
    check_submission(contest, source.file)
    packed = pack(contest, folder, gpu)
    print(f"packed    {packed.archive}  ({packed.archive.stat().st_size / 1e6:.1f} MB, {packed.digest[:12]})")
    print(f"          {packed.notebook}")
    if pack_only:
        print("nothing was sent; the same command without --pack-only pushes both and submits")
        return
    user = account(contest)
    write_metadata(packed, user, gpu)

    def arguments(entry: Entry) -> list[str]:
        version = push(packed, user, notes=f"{folder.name} {packed.digest[:12]}")
        command = ["competitions", "submit", contest.spec.kaggle, "-k", f"{user}/{packed.kernel_slug}"]
        return [*command, "-v", str(version), "-f", "submission.csv", f"--message={sent_message(entry)}", "-q"]

    # The notebook is what is submitted: its hash covers the weights' and the code's, of which it holds the digest.
    entry, listed = deliver(contest, replace(source, file=packed.notebook), message, arguments, yes=yes)
    print_scores(contest, await_score(contest, entry, listed, RERUN_TIMEOUT))


def _ensemble(contest: Contest, name: str | None) -> Source:
    if name is None:
        return newest_ensemble(contest)
    if not (contest.ensembles / name / "weights.json").is_file():
        known = ", ".join(sorted(path.parent.name for path in contest.ensembles.glob("*/weights.json"))) or "none yet"
        raise SubmissionError(f"no ensemble {name!r} in {contest.ensembles}; there are: {known}")
    return source_of(contest.ensembles / name / "submission.csv")
