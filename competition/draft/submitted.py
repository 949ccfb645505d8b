"""The submission's keys, and a metric that fits them."""

from typing import Any

from competition.draft.guess import Guess, named
from competition.draft.labels import Labels
from competition.draft.sample import Sample
from competition.metrics import METRICS
from competition.submissions.sample import WRITE_ONE

EVALUATION = "look at the contest's Evaluation page"


def guess_submission(sample: Sample | None, labels: Labels, target: dict[str, Any], known: set[str]) -> list[Guess]:
    """The submission's keys.

    Args:
        target: the target's keys without "target.". known: all classes that the labels hold.
    """
    kind = target["kind"]
    if sample is None:
        usual = {"multilabel": "labels", "regression": "value", "soft": "probability"}.get(kind, "label")
        column = [] if kind == "soft" else [Guess("submission.column", labels.columns[0], EVALUATION, False)]
        return [
            Guess("submission.sample", "sample_submission.csv", f"there is none. Write one: {WRITE_ONE}", False),
            Guess("submission.kind", usual, EVALUATION, False),
            Guess("submission.id", "id", "", False),
            *column,
        ]
    shown = named([repr(value) for value in sample.values])
    head = [Guess("submission.sample", sample.table.name, f"{len(sample.table.frame):,} rows")]
    ident = Guess("submission.id", sample.id, "its first column")
    if sample.row is not None:
        how = Guess("submission.kind", "value" if kind == "regression" else "probability", f"its values: {shown}")
        row = Guess("submission.row", sample.row, f"its ids are made of {len(sample.classes)} classes and the row's id")
        return [*head, how, ident, row, Guess("submission.column", sample.columns[0])]
    if len(sample.columns) > 1:
        how = "value" if kind == "regression" else "probability"
        guesses = [*head, Guess("submission.kind", how, f"a column for every class: {named(sample.columns)}"), ident]
        return [*guesses, *_columns(sample, known)]
    column = Guess("submission.column", sample.columns[0], f"its values: {shown}")
    if kind == "regression":
        return [*head, Guess("submission.kind", "value", "numbers"), ident, column]
    if "negative" in target:
        return [*head, Guess("submission.kind", "probability", f"its values: {shown}"), ident, column]
    words = sample.values.str.split()
    longest = int(words.str.len().max())
    if kind == "multilabel":
        return [*head, Guess("submission.kind", "labels", "one column of class names"), ident, column]
    if longest > 1 and not sample.values.isin(known).all():
        k = Guess("submission.k", longest, f"the sample's values have {longest} words")
        return [*head, Guess("submission.kind", "top_k", f"several classes in one column: {shown}"), ident, column, k]
    if kind == "binary":
        certain = sample.is_fraction
        seen = f"its values: {shown}" if certain else f"or label: the sample's values ({shown}) do not tell"
        text = not sample.values.isin(["0", "1"]).all() and sample.values.isin(known).all()
        if text and not certain:
            return [*head, Guess("submission.kind", "label", f"its values are classes: {shown}"), ident, column]
        return [*head, Guess("submission.kind", "probability", seen, certain), ident, column]
    return [*head, Guess("submission.kind", "label", f"its values: {shown}"), ident, column]


def _columns(sample: Sample, known: set[str]) -> list[Guess]:
    """What the value columns' names have to do with the classes."""
    if set(sample.columns) == known:
        return []
    if set(sample.columns) < known:
        return [Guess("submission.classes", list(sample.columns), f"{len(sample.columns)} of {len(known)} classes")]
    for name in known:
        at = sample.columns[0].find(name)
        if at >= 0:
            before, after = sample.columns[0][:at], sample.columns[0][at + len(name) :]
            if {f"{before}{each}{after}" for each in known} == set(sample.columns):
                pattern = f"{before}{{class}}{after}"
                return [Guess("submission.column", pattern, f"the columns {named(sample.columns)}")]
    seen = f"the sample's columns ({named(sample.columns)}) are not the classes ({named(sorted(known))})"
    return [Guess("submission.column", None, f"{seen}: look at both", False)]


def guess_metric(target: dict[str, Any], submission: dict[str, Any]) -> list[Guess]:
    """The metric that contests of this kind usually have, from the keys of target and submission."""
    form = submission["kind"]
    kind = "binary" if "negative" in target else target["kind"]
    one_number = "{class}" not in submission.get("column", "{class}")
    usual = {
        "binary": {"probability": "auc" if one_number else "log_loss"}.get(form, "accuracy"),
        "multiclass": {"probability": "log_loss", "top_k": "map_at_k"}.get(form, "accuracy"),
        "multilabel": "mean_column_auc" if form == "probability" else "micro_f1",
        "soft": "kl",
        "regression": "rmse",
    }[kind]
    fitting = [name for name, known in METRICS.items() if _family(kind) in known.families and name != usual]
    return [
        Guess("metric.name", usual, f"{EVALUATION}; others for this target: {', '.join(fitting) or 'none'}", False),
        Guess("metric.direction", "maximize" if METRICS[usual].maximize else "minimize"),
        *([Guess("metric.k", submission["k"])] if usual == "map_at_k" else []),
    ]


def _family(kind: str) -> str:
    return {"multilabel": "labels", "soft": "shares", "regression": "values"}.get(kind, "classes")
