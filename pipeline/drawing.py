"""What all pictures share: ink, colours and type, and how a figure becomes a PNG, pixels, or SVG within a page."""

import html
import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

# Okabe and Ito's colours, which the colour-blind tell apart; their yellow is too pale for white paper. With a marker
# each, a run is also known in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000", "#8C8C8C")
MARKERS = "osD^vP*X"
GOOD, BAD = COLOURS[0], COLOURS[1]  # both legible on white and on black
INK = "#1c2126"  # whatever is no data; within a page it becomes the colour of the page's text
FAINT = 0.65  # opacity of what matters less
LONGEST = 32  # letters of a run's name that fit
WIDTH = 4.2  # inches of a chart within a page: on a phone, a point is then a pixel or more
LETTERS = 18  # of a name beside a chart


@dataclass(frozen=True)
class Chart:
    """name: unique in a page. title, note: to be read with it. description: instead of it."""

    name: str
    title: str
    note: str
    description: str
    figure: Any


def new_figure(width: float, height: float) -> Any:
    """A matplotlib figure of so many inches that arranges its axes itself."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    return figure


def finish(axis: Any, x: str = "", y: str = "", title: str = "", grid: str = "both") -> None:
    """Label an axis, in ink; `grid`: "x", "y" or "both"."""
    axis.set_title(title, fontsize=10, loc="left", color=INK, parse_math=False)
    axis.set_xlabel(x, fontsize=9, color=INK)
    axis.set_ylabel(y, fontsize=9, color=INK)
    axis.tick_params(labelsize=9, colors=INK)
    axis.grid(axis=grid, color=INK, alpha=0.13, linewidth=0.6)
    axis.set_axisbelow(True)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(edgecolor=INK, alpha=0.5, linewidth=0.8)


def write(axis: Any, x: float, y: float, text: str, **style: Any) -> None:
    """Text in ink. A $ in it is a dollar."""
    axis.text(x, y, text, **{"fontsize": 9, "color": INK, "parse_math": False} | style)


def short(name: str, longest: int = LONGEST) -> str:
    """A long name without its middle: its beginning and its end tell runs apart."""
    return name if len(name) <= longest else f"{name[: longest // 2]}…{name[-longest // 2 + 1 :]}"


def png(figure: Any) -> bytes:
    buffer = BytesIO()
    figure.canvas.print_png(buffer)
    return buffer.getvalue()


def pixels(figure: Any) -> np.ndarray:
    """(H, W, 3) uint8, on white."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def svg(figure: Any, name: str, description: str) -> str:
    """The figure as an <svg> element of a page: text is text, the ground is clear, ink is the page's, width is free.

    Args:
        name: different for every figure of a page, so that their inner references do not meet.
        description: what there is to see, for those who do not.
    """
    from matplotlib import rc_context

    buffer = BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue().decode()
    size = re.search(r'viewBox="[^"]*"', text)[0]
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)  # would style the page
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # the same in every figure, and nothing refers to them
    body = re.sub(r"\s*<!--.*?-->|(?<=\n) +", "", body, flags=re.DOTALL)
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    label = html.escape(description)
    return f'<svg {spaces} role="img" aria-label="{label}" {size}>' + body.replace(INK, "currentColor").strip()


def rgb(colour: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(colour[1:]), np.uint8) / 255
