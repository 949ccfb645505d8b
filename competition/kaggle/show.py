"""`python -m competition ledger`: the submissions with all their scores, what they teach, and which two to select."""

import textwrap
from functools import partial

from competition.contest import Contest
from competition.kaggle.books import Submission, collect, distinct
from competition.kaggle.books_plot import draw_books, short
from competition.kaggle.leaderboard import describe_standing
from competition.kaggle.selection import ENOUGH, Agreement, Pick, afterwards, choose, rank_agreement, share_alike
from competition.kaggle.submissions import NEWEST
from competition.metrics import Scale

WIDTH = 110


def show_ledger(contest: Contest) -> None:
    """Print the books and the advice, complete the ledger with what Kaggle knows, and draw runs/<slug>/ledger.png.

    Where Kaggle cannot be asked, it says so and shows the books as they are.

    Raises DataError when the ledger is damaged.
    """
    submissions, complaint = collect(contest)
    if complaint:
        print(f"Kaggle could not be asked, these are the books as they were: {complaint}")
    if not submissions:
        print(f"{contest.slug}: no submission yet. {contest.submit_command} makes one.")
        return
    metric = contest.spec.metric.scale
    known = [s for s in submissions if s.expected is not None and s.status == "complete" and s.on_kaggle]
    compared = distinct(known)
    public = _agreement(compared, "public")
    picks = choose(submissions, metric, public, partial(share_alike, contest.spec))
    _print_table(contest, submissions, picks, metric)
    scored = [s.public for s in submissions if s.public is not None]
    if scored and not complaint:
        best = max(scored, key=lambda score: metric.gain(score, 0.0))
        if standing := describe_standing(contest, best):
            _print(f"The best public score, {best:.5f}: {standing}.")
    _print_agreement("public", public)
    if any(s.private is not None for s in compared):
        _print_agreement("private", _agreement(compared, "private"))
    if len(compared) >= ENOUGH:
        print("Submissions of one team resemble each other: the true doubt is larger than these intervals.")
    _print_advice(contest, submissions, picks, metric)
    if scored:
        path = contest.ledger_file.with_suffix(".png")
        draw_books(path, contest.spec.title, submissions, picks, metric)
        print(f"picture   {path}")
    print(f"ledger    {contest.ledger_file}")


def _agreement(submissions: list[Submission], kind: str) -> Agreement:
    pairs = [(s.expected, getattr(s, kind)) for s in submissions if getattr(s, kind) is not None]
    return rank_agreement([x for x, _ in pairs], [y for _, y in pairs])


def _print_table(contest: Contest, submissions: list[Submission], picks: list[Pick], metric: Scale) -> None:
    direction = "higher" if metric.maximize else "smaller"
    print(f"{contest.spec.title}: {metric.name}, {direction} is better; oldest first, times in UTC\n")
    names = [short(s.name) for s in submissions]
    wide = max(10, *map(len, names))
    heads = "".join(f"{head:>9}" for head in ("OOF", "nested", "public", "private"))
    print(f"{'':>8} {'sent':<16}  {'submission':<{wide}}{heads}  nested − public")
    marks = {id(pick.submission): mark for pick, mark in zip(picks, ("1st", "2nd"), strict=False)}
    for number, (s, name) in enumerate(zip(submissions, names, strict=True), 1):
        scores = "".join(f"{_score(score):>9}" for score in (s.oof, s.nested, s.public, s.private))
        known = s.nested is not None and s.public is not None
        difference = f"{s.nested - s.public:+.5f}" if known else "–"
        notes = [s.status] if s.status != "complete" else []
        notes += [] if s.in_ledger else ["not in the ledger"]
        notes += [] if s.on_kaggle else ["not on Kaggle: of a rehearsal, or another account"]
        line = f"{marks.get(id(s), ''):>3} {number:>4} {s.date[:16]:<16}  {name:<{wide}}{scores}  {difference:>15}"
        print(f"{line}  {', '.join(notes)}".rstrip())
    if len(submissions) >= NEWEST:
        print(f"Kaggle lists the newest {NEWEST}; of older ones, this is what the ledger has.")
    print()


def _score(score: float | None) -> str:
    return "–" if score is None else f"{score:.5f}"


def _print_agreement(kind: str, agreement: Agreement) -> None:
    title = f"Nested against {kind}"
    if agreement.n < ENOUGH:
        _print(f"{title}: {agreement.n} different submissions have both scores, too few to tell (at least {ENOUGH}).")
        return
    if agreement.tau is None:
        _print(f"{title}: one of the two scores is the same for all {agreement.n} submissions; nothing to compare.")
        return
    if agreement.low > 0:
        verdict = f"What is better at home is better on the {kind} part too."
    elif agreement.opposed:
        verdict = (
            f"They run against each other: what is better at home is worse on the {kind} part. Likely the test data "
            "differ from the training data, or the folds leak; then Kaggle's score deserves more weight."
        )
    else:
        verdict = "The interval holds 0: this does not tell whether the score at home foretells Kaggle's."
    _print(
        f"{title}: Kendall's tau {agreement.tau:+.2f}, 95 % {agreement.low:+.2f} to {agreement.high:+.2f}, over "
        f"{agreement.n} different submissions (1 the same order, 0 chance, −1 the reverse). {verdict}"
    )


def _print_advice(contest: Contest, submissions: list[Submission], picks: list[Pick], metric: Scale) -> None:
    if not picks:
        print("Nothing to select yet: no submission has a public score.")
        return
    _print(
        f"Select on https://www.kaggle.com/competitions/{contest.spec.kaggle}/submissions (who selects none gets the "
        "best public ones):"
    )
    for pick, mark in zip(picks, ("1st", "2nd"), strict=False):
        s = pick.submission
        tag = f"  [{s.tag}]" if s.tag else ""
        print(f"  {mark}  {s.name}{tag}  sent {s.date[:16]} UTC")
        _print(f"{pick.reason}.", indent=7)
    if len(picks) == 1:
        _print("There is no second one with another file.", indent=2)
    if result := afterwards(picks, submissions, metric):
        _print(f"Afterwards: {result}.")


def _print(text: str, indent: int = 0) -> None:
    space = " " * indent
    print(textwrap.fill(text, WIDTH, initial_indent=space, subsequent_indent=space or "  ", break_on_hyphens=False))
