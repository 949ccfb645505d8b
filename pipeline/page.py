"""A page that needs nothing but itself: HTML elements whose text is always escaped, and how they look."""

import base64
import html

import cv2
import numpy as np

from pipeline.drawing import Chart, svg
from pipeline.mistakes import SMALL, shrunk

VOID = ("img", "meta", "wbr")
# No script, no network: whatever a name or a file may contain.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
LOSSLESS = 64  # pixels: smaller images are worth every byte

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --card: #f4f6f8; --ink: #1c2126; --soft: #59636d; --line: #d5dbe0;
  --good: #005f96; --bad: #a84700; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --card: #1d2329; --ink: #e7eaed; --soft: #a3adb7;
  --line: #38414a; --good: #63b8ee; --bad: #f59a55; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; margin: 0;
  background: var(--ground); color: var(--ink); overflow-wrap: anywhere; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
.soft, figcaption, caption, nav { color: var(--soft); font-size: .875rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin-top: .5rem; }
a { color: var(--good); }
.headline { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem;
  margin: 1.25rem 0; }
.card { background: var(--card); border-radius: .75rem; padding: 1rem 1.25rem; border-left: .3rem solid var(--line); }
.card p { margin: .2rem 0; }
.better { border-color: var(--good); } .worse, .warning { border-color: var(--bad); }
.big { font-size: clamp(2.4rem, 9vw, 3.4rem); line-height: 1.1; font-weight: 650; }
.verdict { font-size: 1.2rem; line-height: 1.35; font-weight: 600; }
.verdict::first-letter { text-transform: uppercase; }
.big, table, dd, .signs { font-variant-numeric: tabular-nums; }
.warning { margin: .75rem 0; padding: .6rem 1.25rem; }
.signs { display: flex; flex-wrap: wrap; gap: .3rem; padding: 0; margin: .4rem 0; list-style: none; }
.signs li { border: 1px solid var(--line); border-radius: 1rem; padding: 0 .55rem; font-size: .875rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .75rem 1.5rem;
  margin: 1.25rem 0; }
.long { grid-column: 1 / -1; max-width: 46rem; }
dt { color: var(--soft); font-size: .875rem; } dd { margin: 0; }
.wide { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .9375rem; }
caption { text-align: left; padding-bottom: .4rem; caption-side: top; }
th, td { padding: .3rem clamp(.4rem, 1.2vw, .75rem); text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 0; }
th { font-weight: 600; color: var(--soft); font-size: .875rem; vertical-align: bottom; }
.text { text-align: left; } td.text { white-space: normal; min-width: 7.5rem; }
.total td { border-bottom: 0; } tbody + tbody tr:first-child td { border-top: 2px solid var(--line); }
.nothing td { color: var(--soft); } .taken td { font-weight: 650; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 2rem 2.5rem;
  align-items: start; margin: 1rem 0; }
.charts > * { margin: 0; min-width: 0; max-width: 34rem; }
figure { margin: 0; } figcaption { margin-top: .4rem; }
svg { display: block; width: 100%; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif !important; }
img { display: block; width: 100%; height: auto; border-radius: .25rem; }
img.small { image-rendering: pixelated; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); gap: 1rem .75rem; }
.gallery > * { min-width: 0; }
@media (min-width: 48rem) { .gallery { grid-template-columns: repeat(8, minmax(0, 1fr)); } }
.gallery figcaption { font-size: .78rem; line-height: 1.35; color: var(--ink); }
.gallery span { display: block; overflow: hidden; text-overflow: ellipsis; }
.gallery .soft { font-size: .75rem; white-space: nowrap; }
.classes { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1rem 2rem; }
.examples { display: grid; grid-template-columns: repeat(6, 1fr); gap: .375rem; align-items: center; }
@media print {
  :root { color-scheme: light; --ground: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --good: #005f96;
    --bad: #a84700; }
  @page { margin: 15mm; }
  html { font-size: 12px; }
  body { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; } nav { display: none; } h2 { margin-top: 1.5rem; break-after: avoid; }
  figure, tr, .card, .classes > * { break-inside: avoid; } .wide { overflow: visible; }
  .charts { grid-template-columns: 1fr 1fr; gap: 1rem 1.5rem; }
  .gallery { grid-template-columns: repeat(6, minmax(0, 1fr)); } .classes { grid-template-columns: 1fr 1fr; }
}
"""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *content: object, **attributes: object) -> Html:
    """An element; content that is no Html is escaped. Attributes: class_ is class, aria_label aria-label."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(item if isinstance(item, Html) else html.escape(str(item)) for item in content)
    return Html(f"<{name}{written}>" if name in VOID else f"<{name}{written}>{inner}</{name}>\n")


def breakable(name: str) -> Html:
    """A name that may be broken after its underscores."""
    return Html(html.escape(name).replace("_", "_<wbr>"))


def joined(parts: list[Html]) -> Html:
    return Html("".join(parts))


def table(
    label: str, head: list[str], *bodies: list[tuple[str | None, list[object]]], text: tuple[int, ...] = (0,)
) -> Html:
    """A table that scrolls within itself.

    Args:
        label: what it is, for those who do not see it.
        bodies: groups of rows, each a class for the row's looks and its cells.
        text: the columns that hold words; the others hold numbers.
    """

    def cells(name: str, row: list[object], **attributes: object) -> Html:
        return joined(
            [element(name, cell, class_="text" if i in text else None, **attributes) for i, cell in enumerate(row)]
        )

    groups = [
        element("tbody", joined([element("tr", cells("td", row), class_=looks) for looks, row in body]))
        for body in bodies
        if body
    ]
    whole = element("table", element("thead", element("tr", cells("th", head, scope="col"))), joined(groups))
    return element("div", whole, class_="wide", role="region", aria_label=label, tabindex=0)


def picture(image: np.ndarray, alt: str, side: int) -> Html:
    """An RGB image, its longer side at most `side` pixels, within the page. A small one is enlarged pixel by pixel."""
    small = max(image.shape) < SMALL
    image = shrunk(image, side)
    height, width = image.shape[:2]
    kind, options = ("png", []) if max(image.shape) <= LOSSLESS else ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, 90])
    encoded = cv2.imencode(f".{kind}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
    source = f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
    looks = "small" if small else None
    return element("img", src=source, alt=alt, width=width, height=height, class_=looks, decoding="async")


def figures(charts: dict[str, Chart], *names: str) -> Html:
    """Those of the charts that there are, beside each other where there is room."""
    drawn = [figure(charts[name]) for name in names if name in charts]
    return element("div", *drawn, class_="charts") if drawn else Html()


def figure(chart: Chart) -> Html:
    """A chart with its title and note."""
    drawing = Html(svg(chart.figure, chart.name, chart.description))
    return element("figure", element("h3", chart.title), drawing, element("figcaption", chart.note))


def signed(value: float, plus: str = "+") -> str:
    """A number with its sign, as it is printed in a text."""
    return f"{value:{plus}.4f}".replace("-", "−")


def page(title: str, *content: Html) -> str:
    """The whole document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    return "<!doctype html>\n" + element("html", head, element("body", element("main", *content)), lang="en")
