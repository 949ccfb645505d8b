"""The picture of the books: every submission's scores over time, and the leaderboard against the score at home."""

from pathlib import Path
from typing import Any

import numpy as np

from competition.files import atomic_open
from competition.kaggle.books import Submission
from competition.kaggle.selection import Pick
from competition.metrics import Scale

# Okabe and Ito's colours, which the colour-blind tell apart, and a marker each, for print.
HOME, PUBLIC, PRIVATE = "#1c2126", "#0072B2", "#D55E00"
INK = "#1c2126"
STYLE = {
    "nested": {"marker": "s", "color": HOME, "markerfacecolor": "none", "markersize": 5.5},
    "public": {"marker": "o", "color": PUBLIC, "markersize": 6},
    "private": {"marker": "D", "color": PRIVATE, "markerfacecolor": "none", "markersize": 5.5},
}
SHOWN = 60  # the newest; more would not be legible
NUMBERED = 30  # points whose numbers can be told apart; of more, only the selected ones have one
LETTERS = 30  # of a name
WIDTH = 12.0  # inches

# A score that is worse than the median by so many times the usual spread would squeeze all others together.
FAR = 6.0


def draw_books(path: Path, title: str, submissions: list[Submission], picks: list[Pick], metric: Scale) -> None:
    """Write the picture as a PNG.

    Args:
        submissions: all, oldest first; they are numbered from 1 in this order. Drawn are those with a score on Kaggle.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [(number, s) for number, s in enumerate(submissions, 1) if s.public is not None or s.private is not None]
    marks = {id(pick.submission): rank for pick, rank in zip(picks, ("1st", "2nd"), strict=False)}
    n = len(rows)
    rows = [row for i, row in enumerate(rows) if i >= n - SHOWN or id(row[1]) in marks]
    limits = _limits([value for _, s in rows for value in _scores(s).values()], metric)
    paired = any("nested" in _scores(s) for _, s in rows)

    height = max(4.6, 1.3 + 0.235 * len(rows))
    figure = Figure(figsize=(WIDTH, height), layout="constrained", dpi=110)
    canvas = FigureCanvasAgg(figure)
    said = f"{title}: {len(rows)} submission{'s' * (len(rows) != 1)}"
    said += f", the newest and the selected of {n}" if n > len(rows) else ""
    figure.suptitle(said, fontsize=11, color=INK, x=0.01, ha="left", parse_math=False)
    if paired:
        over_time, against = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _against(against, rows, marks, limits, metric)
    else:
        over_time = figure.subplots()
    _over_time(over_time, rows, marks, limits, metric)
    handles = [over_time.plot([], [], linestyle="", label=kind, **STYLE[kind])[0] for kind in STYLE]
    used = [any(kind in _scores(s) for _, s in rows) for kind in STYLE]
    figure.legend(
        handles=[handle for handle, there in zip(handles, used, strict=True) if there],
        loc="outside upper right",
        ncols=3,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    with atomic_open(path, "wb") as file:
        canvas.print_png(file)


def short(name: str) -> str:
    """A long name without its middle: its beginning and its end tell submissions apart."""
    return name if len(name) <= LETTERS else f"{name[: LETTERS // 2]}…{name[-LETTERS // 2 + 1 :]}"


def _scores(submission: Submission) -> dict[str, float]:
    """The known scores by kind; an OOF score stands in for a nested one that was never computed."""
    scores = {"nested": submission.expected, "public": submission.public, "private": submission.private}
    return {kind: score for kind, score in scores.items() if score is not None}


def _limits(values: list[float], metric: Scale) -> tuple[float, float]:
    """The range of the axes, without scores that are far worse than the others."""
    gains = np.sort([metric.gain(value, 0.0) for value in values])
    quarter, median, best = np.quantile(gains, [0.25, 0.5, 1.0])
    usual = max(best - median, median - quarter)
    kept = gains[gains >= median - FAR * usual] if usual > 0 else gains
    margin = 0.08 * (best - kept[0]) or 0.01
    ends = [kept[0] - margin, best + margin]
    return (ends[0], ends[1]) if metric.maximize else (-ends[1], -ends[0])


def _over_time(axis: Any, rows: list, marks: dict[int, str], limits: tuple[float, float], metric: Scale) -> None:
    """A line of text per submission, the newest at the bottom, with its scores beside it."""
    low, high = limits
    places = {kind: [] for kind in STYLE}
    for y, (_, submission) in enumerate(rows):
        far = []
        for kind, score in _scores(submission).items():
            if low <= score <= high:
                places[kind].append((score, y))
            else:
                far.append(f"{kind} {score:.5g}")
        if far:
            edge = {"x": 0.01, "ha": "left"} if metric.maximize else {"x": 0.99, "ha": "right"}
            text = f"◂ {', '.join(far)}" if metric.maximize else f"{', '.join(far)} ▸"
            axis.text(**edge, y=y, s=text, transform=axis.get_yaxis_transform(), va="center", fontsize=8, color=INK)
        if id(submission) in marks:
            axis.axhspan(y - 0.5, y + 0.5, color=PUBLIC, alpha=0.1, linewidth=0)
    for kind, points in places.items():
        if points:
            x, y = zip(*points, strict=True)
            line = {"linestyle": "-", "linewidth": 0.8} if kind == "public" else {"linestyle": ""}
            axis.plot(x, y, alpha=0.9, **line, **STYLE[kind])
    names = [
        f"{marks[id(s)] + '  ' if id(s) in marks else ''}{number}  {short(s.name)}{'' if s.in_ledger else ' *'}"
        for number, s in rows
    ]
    axis.set_yticks(range(len(rows)), names, parse_math=False)
    axis.set_ylim(max(len(rows), 6) - 0.5, -0.5)
    axis.set_xlim(low, high)
    axis.locator_params(axis="x", nbins=6)
    note = "" if all(s.in_ledger for _, s in rows) else "; * not in the ledger"
    _finish(axis, _label(metric), "", f"Over time, the newest at the bottom{note}")
    axis.tick_params(axis="y", length=0)


def _against(axis: Any, rows: list, marks: dict[int, str], limits: tuple[float, float], metric: Scale) -> None:
    """Leaderboard scores against the score at home, numbered."""
    from matplotlib.patheffects import withStroke

    low, high = limits
    halo = [withStroke(linewidth=2, foreground="white")]
    axis.plot(limits, limits, color=INK, alpha=0.5, linewidth=1, linestyle=(0, (4, 3)))
    left_out = 0
    for number, submission in rows:
        scores = _scores(submission)
        x = scores.pop("nested", None)
        if x is None:
            continue
        drawn = {kind: y for kind, y in scores.items() if low <= x <= high and low <= y <= high}
        left_out += len(drawn) < len(scores)
        for kind, y in drawn.items():
            axis.plot([x], [y], zorder=3, **STYLE[kind])
        if not drawn:
            continue
        y, mark = drawn.get("public", next(iter(drawn.values()))), marks.get(id(submission))
        style = {"fontsize": 8, "color": INK, "textcoords": "offset points", "path_effects": halo, "zorder": 2.5}
        if mark:
            axis.plot([x], [y], "o", markersize=13, markerfacecolor="none", color=INK, markeredgewidth=1.1)
            axis.annotate(f"{number}: {mark}", (x, y), (0, 9), ha="center", weight="bold", **style | {"zorder": 4})
        elif len(rows) <= NUMBERED:
            axis.annotate(str(number), (x, y), (5, 4), **style)
    axis.set(xlim=limits, ylim=limits)
    axis.set_box_aspect(1)
    axis.set_anchor("N")
    axis.locator_params(nbins=6)
    missing = f"; not drawn: {left_out} far worse" if left_out else ""
    _finish(axis, f"nested {_label(metric)}", f"leaderboard {metric.name}", f"Leaderboard against nested{missing}")


def _label(metric: Scale) -> str:
    return f"{metric.name} ({'higher' if metric.maximize else 'smaller'} is better)"


def _finish(axis: Any, x: str, y: str, title: str) -> None:
    axis.set_title(title, fontsize=10, loc="left", color=INK)
    axis.set_xlabel(x, fontsize=9, color=INK)
    axis.set_ylabel(y, fontsize=9, color=INK)
    axis.tick_params(labelsize=9, colors=INK)
    axis.grid(color=INK, alpha=0.13, linewidth=0.6)
    axis.set_axisbelow(True)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(edgecolor=INK, alpha=0.5, linewidth=0.8)
