"""Pictures of runs as PNG: curves, spread and cost of several runs; the worst mistakes of one."""

import numpy as np

from pipeline.comparison import Record, ranked
from pipeline.drawing import COLOURS, MARKERS, finish, new_figure, png, short
from pipeline.mistakes import SMALL, Mistake, read_mistakes


def draw_comparison(title: str, records: list[Record]) -> bytes:
    """Curves over epochs, scores by fold, and cost against score, of the best runs of `records`.

    A run has its number in `records`, and so in the table.
    """
    numbers = {id(record): number for number, record in enumerate(records, 1)}
    shown, metric = ranked(records)[: len(COLOURS)], records[0].metric
    names = [f"{numbers[id(record)]}  {short(record.label)}" for record in shown]
    figure = new_figure(13, 9)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1, hspace=0.03, wspace=0.03)
    left_out = f": the best {len(shown)} of {len(records)} runs (name runs to see others)"
    figure.suptitle(
        title + (left_out if len(records) > len(shown) else ""), x=0.01, ha="left", weight="bold", parse_math=False
    )
    (first, second), (third, fourth) = figure.subplots(2, 2)
    _draw_curves(first, shown, names, "val/loss", "validation loss")
    # A contest scored by the log loss has nothing but the validation loss; there the training loss is news.
    if metric.name == "log_loss":
        _draw_curves(second, shown, names, "train/loss", "training loss")
    else:
        _draw_curves(second, shown, names, f"val/{metric.name}", f"validation {metric.name}")
    _draw_folds(third, shown, names)
    _draw_cost(fourth, shown)
    handles, labels = first.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    return png(figure)


def draw_mistakes(title: str, mistakes: list[Mistake], columns: int = 6) -> bytes:
    """A grid of the mistakes, in their order along the lines, each with what was said of it and what is true."""
    lines = max(1, -(-len(mistakes) // columns))
    figure = new_figure(2.1 * columns, 0.5 + 2.6 * lines)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, mistake, image in zip(axes, mistakes, read_mistakes(mistakes), strict=False):
        axis.imshow(image, interpolation="nearest" if max(image.shape) < SMALL else "antialiased")
        axis.set_title(
            f"predicted {mistake.predicted}\ntrue {mistake.true}",
            fontsize=8,
            parse_math=False,  # a $ in a name is a dollar
        )
        style = {"fontsize": 6.5, "color": "#666666", "ha": "center", "va": "top", "parse_math": False}
        axis.text(0.5, -0.03, short(mistake.id), transform=axis.transAxes, **style)
    return png(figure)


def _draw_curves(axis, records: list[Record], names: list[str], key: str, name: str) -> None:
    """Each run's mean over its folds as a line, between their least and greatest values. Dashed: still unfinished."""
    means = []
    for i, record in enumerate(records):
        by_epoch: dict[int, list[float]] = {}
        for row in (row for rows in record.histories.values() for row in rows if key in row):
            by_epoch.setdefault(row["epoch"], []).append(row[key])
        if not by_epoch:
            continue
        epochs = sorted(by_epoch)
        mean, low, high = ([f(by_epoch[epoch]) for epoch in epochs] for f in (np.mean, min, max))
        style = {"color": COLOURS[i], "marker": MARKERS[i], "markevery": max(1, len(epochs) // 8), "markersize": 4.5}
        axis.plot(
            epochs, mean, "-" if record.finished else "--", label=names[i] + _notes(record), linewidth=1.6, **style
        )
        axis.fill_between(epochs, low, high, color=COLOURS[i], alpha=min(0.13, 0.4 / len(records)), linewidth=0)
        means.append(mean)
    if means and key.endswith("/loss"):  # a first epoch gone wild must not flatten all that follows
        axis.set_ylim(top=min(axis.get_ylim()[1], 3 * max(mean[-1] for mean in means)))
    axis.xaxis.get_major_locator().set_params(integer=True)
    finish(axis, "epoch", title=f"{name}: mean of the folds, and their range")


def _draw_folds(axis, records: list[Record], names: list[str]) -> None:
    """A dot per fold. Hollow: an unfinished fold's last validation score."""
    for i, record in enumerate(records):
        axis.scatter(
            record.scores, [i] * len(record.scores), 44, COLOURS[i], marker=MARKERS[i], alpha=0.8, linewidths=0
        )
        rows = [record.last_validated(k) for k in record.open_folds]
        last = [row[f"val/{record.metric.name}"] for row in rows if row]
        axis.scatter(last, [i] * len(last), 44, marker=MARKERS[i], facecolors="none", edgecolors=COLOURS[i])
        if record.finished:
            axis.plot([record.scores.mean()] * 2, [i - 0.3, i + 0.3], color=COLOURS[i], linewidth=2)
    axis.set_yticks(range(len(records)), names, fontsize=9)
    axis.set_ylim(max(len(records), 3) - 0.5, -0.5)
    axis.locator_params(axis="x", nbins=8)
    hollow = "; hollow: fold unfinished" if any(record.open_folds for record in records) else ""
    finish(axis, records[0].metric.name, title=f"one mark per fold, line: mean{hollow}")
    for tick, colour in zip(axis.get_yticklabels(), COLOURS, strict=False):
        tick.set_color(colour)


def _draw_cost(axis, records: list[Record]) -> None:
    """Minutes of all folds against the mean score and its standard deviation; finished runs only."""
    for i, record in enumerate(records):
        if record.finished:
            mean, sd = record.scores.mean(), record.scores.std(ddof=1)
            style = {"color": COLOURS[i], "marker": MARKERS[i], "markersize": 7, "capsize": 3, "elinewidth": 1}
            axis.errorbar(record.minutes, mean, sd, **style)
    if not any(record.finished for record in records):
        axis.text(0.5, 0.5, "no run is finished yet", transform=axis.transAxes, ha="center", color="#666666")
    axis.set_xlim(0, 1.08 * max((record.minutes for record in records if record.finished), default=1))
    finish(axis, "minutes, all folds", records[0].metric.name, "cost and score of finished runs, ± sd over folds")


def _notes(record: Record) -> str:
    state = "discarded" if record.discarded else "unfinished"
    notes = [] if record.finished else [f"{state}, {len(record.results)}/{record.run.n_folds} folds"]
    notes += ["selected on OOF"] if record.run.selected_on_oof else []
    return f" ({', '.join(notes)})" if notes else ""
