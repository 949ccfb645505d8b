"""The report's section on trust: whether predictions can be believed, and what the leaderboard made of expectations."""

import numpy as np

from competition.contest import Contest
from pipeline.drawing import Chart
from pipeline.findings import Findings, expected
from pipeline.page import Html, element, figure, figures, joined, signed, table

LISTED = 12  # submissions in the table, the newest


def trust_section(contest: Contest, findings: Findings, charts: dict[str, Chart], name: str) -> Html:
    if not findings.submissions:
        hint = f"{contest.submit_command} sends the submission and keeps its score for this place."
        nothing = element("div", element("h3", "Expected and scored"), element("p", f"Nothing is scored yet: {hint}"))
        drawn = [figure(charts["reliability"])] if "reliability" in charts else []
        return element("div", *drawn, nothing, class_="charts")
    rows = []
    for entry in list(reversed(findings.submissions))[:LISTED]:
        scores = [expected(entry), entry.public_score, entry.private_score]
        looks = "taken" if entry.ensemble == name else None
        when = entry.time.replace("T", " ")[:16]
        rows.append((looks, [when, entry.ensemble or entry.file, *("–" if s is None else f"{s:.4f}" for s in scores)]))
    both = [(expected(entry), entry.public_score) for entry in findings.submissions]
    gaps = [public - nested for nested, public in both if nested is not None and public is not None]
    said = []
    if gaps:
        spread = f", from {signed(min(gaps))} to {signed(max(gaps))}" if len(gaps) > 1 else ""
        said.append(f"Public minus expected: {signed(np.mean(gaps))} on average of {len(gaps)}{spread}.")
    if len(findings.submissions) > len(rows):
        said.append(f"{len(findings.submissions) - len(rows)} older ones are in the ledger.")
    head = ["time, UTC", "ensemble or file", "expected", "public", "private"]
    return joined(
        [
            figures(charts, "reliability", "leaderboard"),
            element("h3", "Submissions"),
            table("Submissions", head, rows, text=(1,)),
            element("p", " ".join(said), class_="soft"),
        ]
    )
