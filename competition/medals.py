"""Medals: Kaggle's rule, and where a score stands, or would have stood, among the teams."""

import csv
import io
import math
from dataclasses import dataclass

from competition.contest import Contest
from competition.errors import DataError
from competition.metrics import Scale

MEDALS = ("gold", "silver", "bronze")


@dataclass(frozen=True)
class Standing:
    """Where a score stands among the teams.

    rank, last_rank: the first and last rank it may have; they differ where several teams have this very score.
    borders: medal -> the score of the last team in its zone; a medal that so few teams do not get is not in it.
    gaps: medal -> by how much the own score is better than that border; negative: it falls short.
    """

    rank: int
    last_rank: int
    teams: int
    borders: dict[str, float]
    gaps: dict[str, float]


@dataclass(frozen=True)
class Place:
    """Where a score at home would have stood. Indicative: it was measured on other rows than the teams' scores.

    rank, teams: among the teams and oneself; None where the spec names no leaderboard.
    medal: gold, silver or bronze; None where the score wins none.
    """

    rank: int | None
    teams: int | None
    medal: str | None

    def __str__(self) -> str:
        medal = f"{self.medal} medal" if self.medal else "no medal"
        return medal if self.rank is None else f"rank {self.rank:,} of {self.teams:,}, {medal}"


def standing_of(contest: Contest, score: float) -> Place | None:
    """Where `score` would have stood by the medals of the contest's spec; None: the spec has none.

    A threshold of the spec counts before the leaderboard's. Raises DataError when that file is missing or wrong.
    """
    medals = contest.spec.medals
    if medals is None:
        return None
    rank, teams, borders, scale = None, None, {}, contest.spec.metric.scale
    if medals.leaderboard is not None:
        path = contest.data / medals.leaderboard
        try:
            scores = read_scores(path.read_text(encoding="utf-8-sig"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}, the leaderboard of the spec's medals, cannot be read: {error}") from error
        if not scores:
            raise DataError(f"{path}: no team has a score")
        among = standing(scores, score, scale)
        rank, teams, borders = among.rank, among.teams + 1, among.borders
    borders |= {medal: border for medal in MEDALS if (border := getattr(medals, medal)) is not None}
    won = [medal for medal in MEDALS if medal in borders and scale.gain(score, borders[medal]) >= 0]
    return Place(rank, teams, won[0] if won else None)


def standing(scores: list[float], score: float, metric: Scale) -> Standing:
    """Where `score` stands among the teams' `scores` (at least one; the own team's may be among them)."""
    better = sum(metric.gain(other, score) > 0 for other in scores)
    equal = sum(other == score for other in scores)
    ranked = sorted(scores, key=lambda other: metric.gain(other, score), reverse=True)
    zones = medal_zones(len(scores))
    borders = {medal: ranked[last - 1] for medal, last in zones.items() if last > 0}
    gaps = {medal: metric.gain(score, border) for medal, border in borders.items()}
    return Standing(better + 1, better + max(1, equal), len(scores), borders, gaps)


def medal_zones(teams: int) -> dict[str, int]:
    """The last rank that wins each medal, by the rule on kaggle.com/progression, which rounds down."""
    if teams < 100:
        return dict(zip(MEDALS, (teams // 10, teams // 5, teams * 2 // 5), strict=True))
    if teams < 250:
        return dict(zip(MEDALS, (10, teams // 5, teams * 2 // 5), strict=True))
    if teams < 1000:
        return dict(zip(MEDALS, (10 + teams // 500, 50, 100), strict=True))
    return dict(zip(MEDALS, (10 + teams // 500, teams // 20, teams // 10), strict=True))


def read_scores(table: str, name: str) -> list[float]:
    """The scores of a leaderboard as Kaggle gives it for download: a CSV with the column Score, one line per team.

    Teams without a score are left out. `name` is what messages call it. Raises DataError: it is no such table.
    """
    try:
        reader = csv.DictReader(io.StringIO(table, newline=""))
        column = next((field for field in reader.fieldnames or () if field.strip().lower() == "score"), None)
        if column is None:
            raise DataError(f"{name} has no column Score, only {reader.fieldnames}")
        cells = [row[column] or "" for row in reader]
    except csv.Error as error:
        raise DataError(f"{name} is no CSV table: {error}") from error
    scores = []
    for line, cell in enumerate(cells, start=2):
        try:
            score = float(cell) if cell.strip() else math.nan
        except ValueError as error:
            raise DataError(f"{name}: row {line} has the score {cell[:40]!r}, which is no number") from error
        if math.isfinite(score):
            scores.append(score)
    return scores
