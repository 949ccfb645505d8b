"""Runs side by side, as tables of text."""

from collections import Counter
from collections.abc import Iterable

from competition.strict_yaml import write_value
from pipeline.comparison import Difference, Record

TOO_GOOD = "selected on OOF: too good"
LISTED = 3  # runs that share the commonest value of a key are listed up to this many


def comparison_table(records: list[Record]) -> str:
    """One numbered line per run, in the given order, which has the runs of a sweep together: they get a headline.

    An unfinished run has no score, but its progress beside it.
    """
    names = [f"  {record.label}" if record.run.sweep else record.label for record in records]
    width, of_score = _width(names), f"{records[0].metric.name}, mean ± sd"
    of_loss = f"OOF {records[0].loss_name}"
    wide, wide_loss = max(24, len(of_score) + 2), max(14, len(of_loss) + 2)
    lines = [
        f"{'':>3} {'run':<{width}}{'folds':>6}{'epochs':>8}{of_score:>{wide}}"
        f"{of_loss:>{wide_loss}}{'images/s':>10}{'minutes':>9}"
    ]
    splits = {record.run.folds_sha256 for record in records}
    labels = {record.labels_sha256 for record in records if record.labels_sha256}
    headed = None
    for number, (record, name) in enumerate(zip(records, names, strict=True), 1):
        if record.run.sweep != headed:
            headed = record.run.sweep
            lines += [_headline(headed, records)] if headed else []
        epochs, scores = str(record.run.recipe.schedule.epochs), record.scores
        if not record.finished:
            between = record.run.recipe.schedule.epochs if record.results else 0  # no fold is open
            reached = max((record.histories[k][-1]["epoch"] for k in record.open_folds), default=between)
            epochs = f"{reached}/{epochs}"
        score = f"{scores.mean():.4f} ± {scores.std(ddof=1):.4f}" if record.finished else "–"
        loss = f"{record.loss:.4f}" if record.finished else "–"
        notes = [
            *([] if record.finished else [record.progress]),
            *([TOO_GOOD] if record.run.selected_on_oof else []),
            *([f"split {record.run.folds_sha256[:8]}"] if len(splits) > 1 else []),
            *([f"labels {record.labels_sha256[:8]}"] if len(labels) > 1 and record.labels_sha256 else []),
        ]
        folds = f"{len(record.results)}/{record.run.n_folds}"
        lines.append(
            f"{number:>3} {name:<{width}}{folds:>6}{epochs:>8}{score:>{wide}}{loss:>{wide_loss}}"
            f"{record.images_per_second:>10.0f}{record.minutes:>9.1f}  {'; '.join(notes)}".rstrip()
        )
    return "\n".join(lines)


def differences_table(best: Record, others: list[Difference]) -> str:
    """A line per run: its differences to the best one, and in words whether they are more than the folds' spread."""
    width = _width([best.run.name, *(each.record.run.name for each in others)])
    mark = f" ({TOO_GOOD})" if best.run.selected_on_oof else ""
    signs = "+ better, − worse, = equal"
    lines = [
        f"{best.metric.name} against the best mean, {best.run.name}{mark}, on the same folds: {signs}",
        f"{'run':<{width}}{'mean ± 95 %':>20}{'sd':>9}  by fold",
    ]
    for each in others:
        verdict = "within the spread of the folds" if each.within_spread else "worse, beyond the spread of the folds"
        mark = f"; {TOO_GOOD}" if each.record.run.selected_on_oof else ""
        lines.append(
            f"{each.record.run.name:<{width}}{f'{each.mean:+.4f} ± {each.margin:.4f}':>20}{each.sd:>9.4f}"
            f"  {each.signs}  {verdict}{mark}"
        )
    return "\n".join(lines)


def settings_table(records: list[Record]) -> str:
    """The keys in which the runs differ, one line each: the runs, by their numbers in the table, and their value."""
    settings = [{"recipe": each.run.recipe_name, "seed": each.run.seed} | each.run.settings for each in records]
    lines = []
    for key in dict.fromkeys(key for each in settings for key in each):
        values = [write_value(each[key]) if key in each else "–" for each in settings]
        commonest, n = Counter(values).most_common(1)[0]
        if n == len(values):
            continue
        said = []
        for value in dict.fromkeys(values):
            numbers = [str(number) for number, its in enumerate(values, 1) if its == value]
            who = "the others" if value == commonest and n > LISTED else " ".join(numbers)
            said.append(f"{who}: {value}")
        lines.append((key, " | ".join(said)))
    width = max((len(key) for key, _ in lines), default=0) + 2
    return "\n".join(f"{key:<{width}}{values}" for key, values in lines)


def _headline(sweep: str, records: list[Record]) -> str:
    group = [record for record in records if record.run.sweep == sweep]
    discarded = sum(record.discarded is not None for record in group)
    said = f"{len(group)} runs, {discarded} discarded" if discarded else f"{len(group)} runs"
    return f"{'':>3} sweep {sweep}: {said}; their names begin with {sweep}-"


def _width(names: Iterable[str]) -> int:
    return max(24, *map(len, names)) + 2
