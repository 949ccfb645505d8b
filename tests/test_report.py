"""The ensemble's page: its numbers, what no name can do to it, contests of odd shapes, and a real browser."""

import html
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from scipy.stats import binomtest

from blending.evidence import score_interval
from blending.pool import pooled
from competition.contest import Contest
from competition.kaggle.ledger import Entry, write_entry
from competition.rows.tables import Rows, load_train
from competition.spec import Medals
from folds.store import read_folds, write_folds
from pipeline.calibration import calibration_of_classes
from pipeline.charts import MEMBERS, draw_charts
from pipeline.class_errors import Pair, confused_pairs
from pipeline.ensemble import Ensemble, Options, fit_ensemble
from pipeline.findings import examine
from pipeline.page import VOID
from pipeline.report import write_report
from tests.support import make_contest, make_run

HOSTILE = """<script>alert("x")</script><img src=x onerror='y'>&amp; $\\frac{_"""
MEASURE = """
onload = () => {
  const pages = [...document.querySelectorAll("iframe")].map(frame => frame.contentDocument);
  document.body.append("measured " + pages.map(page => `${page.documentElement.scrollWidth}/${page.images.length}`));
}
"""
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@dataclass
class Page(HTMLParser):
    """What a browser would find in a page: its words, elements, ids, references, and the rows of its tables."""

    source: str
    words: str = ""
    tags: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    ids: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    lines: list[list[str]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.add(tag)
        self.attributes |= set(found)
        self.ids += [found["id"]] if "id" in found else []
        self.references += [value for key, value in attrs if key in ("src", "href", "xlink:href", "srcset", "data")]
        self.references += re.findall(r"url\(([^)]*)\)", " ".join(value or "" for value in found.values()))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.lines.append([])
        if tag in ("td", "th"):
            self.lines[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words += data
        if self.open and self.open[-1] in ("td", "th"):
            self.lines[-1][-1] += data

    def line(self, name: str) -> list[str]:
        """The table's row with a cell that reads so."""
        (line,) = (line for line in self.lines if name in line)
        return line


def guesses(rows: Rows, c: int, seed: int, skill: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return pooled(skill * np.eye(c)[rows.labels] + rng.normal(size=(len(rows), c))).astype(np.float32)


def build(
    folder: Path, skills: list[float], n: int = 90, options: Options | None = None, **contest
) -> tuple[Contest, Ensemble, Rows]:
    """An ensemble of runs of such skills."""
    contest = make_contest(folder, n_train=n, n_test=6, size=4, **contest).contest()
    rows = load_train(contest)
    c = len(contest.spec.target.classes)
    write_folds(contest, rows, np.arange(n) // c % 3)
    split = read_folds(contest, rows)
    runs = []
    for i, skill in enumerate(skills):
        p = guesses(rows, c, i, skill)
        scores = [contest.metric(rows.labels[here], p[here]) for here in (split.fold == k for k in range(3))]
        runs.append(make_run(contest, rows, split, f"run-{i}", scores, p))
    return contest, fit_ensemble(contest, runs, rows, split, options or Options()), rows


def report(contest: Contest, ensemble: Ensemble, rows: Rows, name: str = "blend") -> Page:
    """Write the page; what holds for every page is checked here."""
    findings = examine(contest, ensemble, rows)
    charts = draw_charts(contest, ensemble, findings)
    path = write_report(contest, ensemble, rows, findings, charts, contest.ensembles / name)
    assert cv2.imread(str(path.with_name("overview.png"))) is not None
    page = Page(path.read_text())
    assert "script" not in page.tags and not any(name.startswith("on") for name in page.attributes)
    assert {reference.partition(":")[0] for reference in page.references if reference[0] != "#"} <= {"data"}
    assert [name for name, times in Counter(page.ids).items() if times > 1] == []
    assert {reference[1:] for reference in page.references if reference[0] == "#"} <= set(page.ids)
    drawings = re.findall(r"<svg.*?</svg>", page.source, re.DOTALL)
    assert len(drawings) == len(charts) and all(ElementTree.fromstring(each) for each in drawings)  # noqa: S314
    return page


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> tuple[Contest, Ensemble, Rows]:
    return build(tmp_path_factory.mktemp("three"), [2.5, 2.0, 1.5])


def test_the_page_says_what_the_ensemble_is_worth(three):
    _, ensemble, rows = three
    page, evidence = report(*three), ensemble.evidence
    low, high = score_interval(three[0].metric, rows.labels, ensemble.judged)
    assert low < ensemble.honest.score < high
    for said in (f"{ensemble.honest.score:.4f}", f"95 % {low:.4f} to {high:.4f}", evidence.verdict):
        assert said in page.words
    gain = f"{evidence.gain:+.4f} accuracy, 95 % {evidence.low:+.4f} to {evidence.high:+.4f}".replace("-", "−")
    assert gain in page.words
    for rank, j in enumerate(ensemble.ranking, 1):
        weight = f"{ensemble.weights[j]:.3f} ± {ensemble.fitted.spread[j]:.3f}"
        scores = [
            f"{ensemble.single[j].score:.4f}",
            ensemble.members[j].spread("accuracy"),
            f"{ensemble.single[j].loss:.4f}",
        ]
        assert page.line(f"run-{j}") == [str(rank), f"run-{j}", *scores, weight, "100", "3.0"]
    assert page.line("ensemble, nested")[2:5] == [f"{ensemble.honest.score:.4f}", "", f"{ensemble.honest.loss:.4f}"]
    for each in ensemble.tried:
        name = each.method + " (taken)" * (each is ensemble.fitted)
        assert page.line(name)[1] == f"{each.loss:.4f}"
    wrong = int((ensemble.judged.argmax(axis=1) != rows.labels).sum())
    assert (
        f"{wrong} of 90 rows are predicted wrongly" in page.words
        and f"The {min(wrong, 24)} surest mistakes" in page.words
    )
    assert "Fewer than 300 rows" in page.words and "Nothing is scored yet" in page.words


def test_the_same_ensemble_gives_the_same_bytes(three):
    assert report(*three).source == report(*three).source


def test_no_name_becomes_markup(three, tmp_path):
    contest, ensemble, rows = three
    entry = Entry("2026-01-01T00:00:00", "t", "f", "0", HOSTILE, "accuracy", 0.5, 0.5, 0.6, None, "complete", HOSTILE)
    contest = replace(contest, runs=tmp_path)
    write_entry(contest.ledger_file, entry)
    target = contest.spec.target.model_copy(update={"classes": tuple(f"{HOSTILE} {k}" for k in range(3))})
    spec = contest.spec.model_copy(update={"title": HOSTILE, "target": target})
    members = tuple(replace(member, name=f"{HOSTILE} {member.name}") for member in ensemble.members)
    ensemble = replace(ensemble, members=members, left_out={HOSTILE: HOSTILE})
    rows = replace(rows, ids=np.array([f"{HOSTILE} {name}" for name in rows.ids]))
    name = HOSTILE.replace("/", "-")
    page = report(replace(contest, spec=spec), ensemble, rows, name)
    assert page.words.strip().startswith(f"{HOSTILE}: ") and f"Ensemble {name}" in page.words
    assert all(f"{HOSTILE} {more}" in page.words for more in ("run-0", "run-1", "run-2", "0", "1", "2", "train0"))
    assert [HOSTILE, HOSTILE] in page.lines and ["2026-01-01 00:00", HOSTILE] in [line[:2] for line in page.lines]


def test_submissions_are_set_against_what_was_expected(three, tmp_path):
    contest = replace(three[0], runs=tmp_path)
    for i, (public, metric) in enumerate([(0.7, "accuracy"), (0.8, "accuracy"), (0.9, "auc"), (None, "accuracy")]):
        time = f"2026-01-0{i + 1}T10:00:00+00:00"
        scores = (0.9, 0.65 + i / 10, public, None)
        write_entry(contest.ledger_file, Entry(time, str(i), "f", "0", f"mix-{i}", metric, *scores, "complete", ""))
    page = report(contest, *three[1:], name="mix-1")
    assert page.line("mix-0") == ["2026-01-01 10:00", "mix-0", "0.6500", "0.7000", "–"]
    assert not any("mix-2" in line or "mix-3" in line for line in page.lines)
    assert "Public minus expected: +0.0500 on average of 2, from +0.0500 to +0.0500." in page.words
    assert "Leaderboard scores of 2 submissions" in page.source


def test_one_run_has_no_members_to_compare(tmp_path):
    page = report(*build(tmp_path, [2.0]))
    assert "no evidence that the ensemble is better" in page.words and "members" not in page.ids


def test_two_classes_a_decision_and_medals(tmp_path):
    contest, ensemble, rows = build(tmp_path, [2.0, 1.0], classes=("real", "fake"))
    decision = replace(ensemble.decision, kind="multipliers", values=(0.5, 2.0))
    ensemble = replace(ensemble, decision=decision, judged=decision.apply(ensemble.nested))
    spec = contest.spec.model_copy(update={"medals": Medals(gold=0.99, silver=0.1)})
    page = report(replace(contest, spec=spec), ensemble, rows)
    assert (
        "silver medal (thresholds: gold 0.99, silver 0.1)" in page.words
        and "weighting every class (0.5, 2)" in page.words
    )
    wrong = int((decision.classes(ensemble.nested) != rows.labels).sum())
    assert f"{wrong} of 90 rows are predicted wrongly" in page.words


def test_forty_classes_are_a_plain_map_and_examples_of_some(tmp_path):
    page = report(*build(tmp_path, [5.0, 4.0], n=240, classes=tuple(f"class-{k:02}" for k in range(40))))
    assert "Classes are in the contest's order, 0 to 39" in page.words
    assert "The other 16 classes are not shown" in page.words
    assert len(page.source) < 400_000


def test_without_a_mistake_there_is_no_gallery(tmp_path):
    page = report(*build(tmp_path, [60.0, 50.0]))
    assert "0 of 90 rows are predicted wrongly" in page.words and "surest mistakes" not in page.words
    assert "Hardest pairs" not in page.words


def test_what_does_not_fit_is_counted_and_a_cap_has_its_price(tmp_path):
    contest, ensemble, rows = build(
        tmp_path, [1.5 + i / 50 for i in range(MEMBERS + 4)], n=180, options=Options("uniform")
    )
    page = report(contest, ensemble, rows)
    assert f"Not drawn: 4 lighter ones that weigh {4 / (MEMBERS + 4):.3f} together" in page.words
    assert f"Drawn: the best {MEMBERS} of {MEMBERS + 4}" in page.words
    split = read_folds(contest, rows)
    ensemble = fit_ensemble(contest, list(ensemble.runs), rows, split, Options("uniform", cap=2))
    page = report(contest, ensemble, rows)
    price = f"{ensemble.uncapped.score - ensemble.honest.score:.4f}".replace("-", "−")
    assert f"at most 2 members costs\n{price} accuracy" in page.words
    assert page.line("nested, without the cap")[2] == f"{ensemble.uncapped.score:.4f}"


def test_calibration_by_hand():
    confidence = np.repeat([0.6, 0.9], [60, 40])
    labels = np.zeros(100, np.int64)
    labels[:30] = labels[60:64] = 1  # half of the first, nine tenths of the second are right
    found = calibration_of_classes(labels, np.stack([confidence, 1 - confidence], axis=1))
    assert found.counts.tolist() == [60, 40]  # equal confidences share a bin
    np.testing.assert_allclose([found.confidence, found.accuracy], [[0.6, 0.9], [0.5, 0.9]])
    assert found.error == pytest.approx(0.6 * 0.1)
    np.testing.assert_allclose(
        [found.low[1], found.high[1]], binomtest(36, 40).proportion_ci(method="wilson"), atol=1e-6
    )


def test_pairs_by_hand():
    confusion = np.array([[7, 2, 1], [3, 16, 1], [0, 0, 5]])
    labels, predicted = (np.repeat(each, confusion.ravel()) for each in np.indices((3, 3)).reshape(2, 9))
    expected = (Pair(1, 0, 3, 0.15, 2, 0.2), Pair(0, 2, 1, 0.1, 0, 0.0), Pair(1, 2, 1, 0.05, 0, 0.0))
    assert confused_pairs(labels, predicted) == expected
    assert confused_pairs(labels, predicted, n=1) == expected[:1] and confused_pairs(labels, labels) == ()


def test_the_interval_of_a_score_is_that_of_a_proportion(three):
    y = np.zeros(2000, np.int64)
    p = np.eye(2)[(np.arange(2000) % 5 == 0).astype(int)]
    low, high = score_interval(three[0].metric, y, p)
    np.testing.assert_allclose([low, high], 0.8 + 1.96 * np.sqrt(0.16 / 2000) * np.array([-1, 1]), atol=0.003)


@pytest.mark.skipif(BROWSER is None, reason="NO BROWSER: the page was not opened. Install chromium to test this.")
def test_a_browser_shows_the_page_without_errors_and_without_sideways_scrolling(tmp_path):
    """In frames as wide as a phone: the page as it is; and with something too wide, to see that it would be noticed."""
    names = ("a_rather_long_name_of_a_class", "b", "another-of-the-classes")
    page = report(*build(tmp_path / "contest", [2.0, 1.5, 1.0, 2.2], classes=names))
    wide = page.source.replace("<main>", "<main><div style='width:600px'>wide</div>")
    frames = "".join(
        f'<iframe width="390" height="700" srcdoc="{html.escape(each)}"></iframe>' for each in (page.source, wide)
    )
    (tmp_path / "frames.html").write_text(f"<!doctype html><meta charset='utf-8'>{frames}<script>{MEASURE}</script>")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr --dump-dom"
    own = ["--virtual-time-budget=5000", f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "frames.html").as_uri()]
    shown = subprocess.run([BROWSER, *flags.split(), *own], capture_output=True, text=True, timeout=60)
    (found,) = re.findall(r"measured (\d+)/(\d+),(\d+)/", shown.stdout)
    assert (int(found[0]), int(found[2]) > 600) == (390, True)
    assert int(found[1]) == page.source.count("<img")
    assert "CONSOLE" not in shown.stderr
