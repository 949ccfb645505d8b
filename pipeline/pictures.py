"""Pictures of runs as PNG: curves, spread and cost of several runs; the worst mistakes of one."""

from io import BytesIO
from typing import Any

import numpy as np

from pipeline.comparison import Record
from pipeline.mistakes import Mistake, read_mistakes

# Okabe and Ito's colours, which the colour-blind tell apart; their yellow is too pale for white paper. With a marker
# each, a run is also known in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000", "#8C8C8C")
MARKERS = "osD^vP*X"
LONGEST = 32  # letters of a run's name that fit


def draw_comparison(title: str, records: list[Record]) -> bytes:
    """Curves over epochs, scores by fold, and cost against score, of the first runs of `records`, which are the best.

    A run has the number that it has in the table.
    """
    shown, metric = records[: len(COLOURS)], records[0].metric
    figure = _figure(13, 9)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1, hspace=0.03, wspace=0.03)
    left_out = f": the best {len(shown)} of {len(records)} runs (name runs to see others)"
    figure.suptitle(
        title + (left_out if len(records) > len(shown) else ""), x=0.01, ha="left", weight="bold", parse_math=False
    )
    (first, second), (third, fourth) = figure.subplots(2, 2)
    _draw_curves(first, shown, "val/loss", "validation loss")
    # A contest scored by the log loss has nothing but the validation loss; there the training loss is news.
    if metric.name == "log_loss":
        _draw_curves(second, shown, "train/loss", "training loss")
    else:
        _draw_curves(second, shown, f"val/{metric.name}", f"validation {metric.name}")
    _draw_folds(third, shown)
    _draw_cost(fourth, shown)
    handles, labels = first.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    return _png(figure)


def draw_mistakes(title: str, mistakes: list[Mistake], columns: int = 6) -> bytes:
    """A grid of the mistakes, in their order along the lines, each with its classes and their probabilities."""
    lines = max(1, -(-len(mistakes) // columns))
    figure = _figure(2.1 * columns, 0.5 + 2.6 * lines)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, mistake, image in zip(axes, mistakes, read_mistakes(mistakes), strict=False):
        axis.imshow(image, interpolation="nearest" if max(image.shape) < 128 else "antialiased")
        axis.set_title(
            f"predicted {mistake.predicted} ({mistake.p_predicted:.1%})\ntrue {mistake.true} ({mistake.p_true:.1%})",
            fontsize=8,
            parse_math=False,  # a $ in a name is a dollar
        )
        style = {"fontsize": 6.5, "color": "#666666", "ha": "center", "va": "top", "parse_math": False}
        axis.text(0.5, -0.03, _short(mistake.id), transform=axis.transAxes, **style)
    return _png(figure)


def _draw_curves(axis, records: list[Record], key: str, name: str) -> None:
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
            epochs, mean, "-" if record.finished else "--", label=f"{i + 1}  {_label(record)}", linewidth=1.6, **style
        )
        axis.fill_between(epochs, low, high, color=COLOURS[i], alpha=min(0.13, 0.4 / len(records)), linewidth=0)
        means.append(mean)
    if means and key.endswith("/loss"):  # a first epoch gone wild must not flatten all that follows
        axis.set_ylim(top=min(axis.get_ylim()[1], 3 * max(mean[-1] for mean in means)))
    axis.xaxis.get_major_locator().set_params(integer=True)
    _finish(axis, f"{name}: mean of the folds, and their range", "epoch", "")


def _draw_folds(axis, records: list[Record]) -> None:
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
    axis.set_yticks(
        range(len(records)), [f"{i}  {_short(record.run.name)}" for i, record in enumerate(records, 1)], fontsize=9
    )
    for tick, colour in zip(axis.get_yticklabels(), COLOURS, strict=False):
        tick.set_color(colour)
    axis.set_ylim(max(len(records), 3) - 0.5, -0.5)
    axis.locator_params(axis="x", nbins=8)
    hollow = "; hollow: fold unfinished" if any(record.open_folds for record in records) else ""
    _finish(axis, f"one mark per fold, line: mean{hollow}", records[0].metric.name, "")


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
    _finish(axis, "cost and score of finished runs, ± sd over folds", "minutes, all folds", records[0].metric.name)


def _finish(axis, title: str, x: str, y: str) -> None:
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel(x, fontsize=9)
    axis.set_ylabel(y, fontsize=9)
    axis.tick_params(labelsize=9)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _label(record: Record) -> str:
    notes = [] if record.finished else [f"unfinished, {len(record.results)}/{record.run.n_folds} folds"]
    notes += ["selected on OOF"] if record.run.selected_on_oof else []
    return _short(record.run.name) + (f" ({', '.join(notes)})" if notes else "")


def _short(name: str) -> str:
    """A long name without its middle: its beginning and its end tell runs apart."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}…{name[-LONGEST // 2 + 1 :]}"


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    buffer = BytesIO()
    figure.canvas.print_png(buffer)
    return buffer.getvalue()
