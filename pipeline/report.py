"""report.html of an ensemble: one file to look at, without a network. Its pictures are made here."""

import base64
import html
from io import BytesIO
from pathlib import Path

import numpy as np

from competition.contest import Contest
from competition.files import atomic_open
from competition.images import read_image
from competition.tables import Rows
from pipeline.ensemble import Ensemble, runs_table

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid #8886; border-radius: .5rem; font-size: .85rem; }
img { max-width: 100%; background: white; border-radius: .5rem; }
"""


def write_report(contest: Contest, ensemble: Ensemble, rows: Rows, folder: Path) -> None:
    """Write report.html and overview.png to the ensemble's folder."""
    picture = draw_overview(contest, ensemble, rows)
    with atomic_open(folder / "overview.png", "wb") as file:
        file.write(picture)
    metric = contest.spec.metric.name
    note = " A member's epochs were chosen on its own held-out folds: too good." if ensemble.selected_on_oof else ""
    best = ensemble.members[ensemble.best].name
    encoded = base64.b64encode(picture).decode()
    body = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(contest.spec.title)}: {html.escape(folder.name)}</title><style>{STYLE}</style>
<h1>{html.escape(contest.spec.title)}</h1>
<p>Expect about <b>{ensemble.honest.score:.4f}</b> {metric}: the nested out-of-fold score, where each fold is blended
with weights fitted on the other folds.{note} In sample it is {ensemble.in_sample.score:.4f}; the best single run,
{html.escape(best)}, has {ensemble.single[ensemble.best].score:.4f}.</p>
<img alt="Example images by class, out-of-fold confusion, and weights" src="data:image/png;base64,{encoded}">
<pre>{html.escape(runs_table(contest, ensemble))}</pre>
</html>
"""
    with atomic_open(folder / "report.html") as file:
        file.write(body)


def draw_overview(contest: Contest, ensemble: Ensemble, rows: Rows) -> bytes:
    """Example images by class, the nested confusion matrix, and the weights, as one PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes = contest.spec.target.classes[:12]
    figure = Figure(figsize=(13, 1.6 + 0.75 * len(classes)), layout="constrained", dpi=110)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.45))
    _draw_examples(left, rows, classes)
    top, bottom = right.subplots(2, 1, height_ratios=(2.2, 1))
    _draw_confusion(top, rows.labels, ensemble.nested.argmax(axis=1), classes)
    _draw_weights(bottom, ensemble)
    metric = contest.spec.metric.name
    figure.suptitle(
        f"{contest.spec.title}: nested OOF {metric} {ensemble.honest.score:.4f}, "
        f"best single run {ensemble.single[ensemble.best].score:.4f}"
    )
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _draw_examples(figure, rows: Rows, classes: tuple[str, ...], columns: int = 6) -> None:
    figure.suptitle("training images by class", fontsize=10)
    axes = figure.subplots(len(classes), columns, squeeze=False)
    for label, line in enumerate(axes):
        for axis, row in zip(line, np.flatnonzero(rows.labels == label), strict=False):
            axis.imshow(read_image(rows.images[row]), interpolation="nearest")
        for axis in line:
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(classes[label].replace("_", "\n"), rotation=0, ha="right", va="center", fontsize=9)


def _draw_confusion(axis, labels: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]) -> None:
    count = np.zeros((len(classes), len(classes)))
    shown = (labels < len(classes)) & (predicted < len(classes))
    np.add.at(count, (labels[shown], predicted[shown]), 1)
    share = count / np.maximum(1, count.sum(axis=1, keepdims=True))
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(share):
        axis.text(j, i, f"{value:.0%}", ha="center", va="center", fontsize=8, color="white" if value > 0.5 else "black")
    names = [name.replace("_", "\n") for name in classes]
    axis.set_xticks(range(len(classes)), names, fontsize=8)
    axis.set_yticks(range(len(classes)), names, fontsize=8)
    axis.set(xlabel="predicted", ylabel="true", title="out-of-fold confusion of the ensemble (nested weights)")
    axis.title.set_fontsize(10)


def _draw_weights(axis, ensemble: Ensemble) -> None:
    order = np.argsort(ensemble.weights, kind="stable")
    names = [ensemble.members[i].name for i in order]
    bars = axis.barh(range(len(order)), ensemble.weights[order], color="#3b76af")
    axis.bar_label(
        bars,
        [f"{ensemble.weights[i]:.2f}  ({ensemble.single[i].score:.4f} alone)" for i in order],
        fontsize=8,
        padding=3,
    )
    axis.set_yticks(range(len(order)), names, fontsize=8)
    axis.set(xlim=(0, 1.25 * max(ensemble.weights)), title="weights")
    axis.title.set_fontsize(10)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
