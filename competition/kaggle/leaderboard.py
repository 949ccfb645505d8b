"""The public leaderboard: where a score stands on it, and how far it is from the medals."""

import lzma
import tempfile
import zipfile
import zlib
from pathlib import Path

from competition.contest import Contest
from competition.errors import DataError, KitError
from competition.kaggle.command import run_kaggle
from competition.medals import MEDALS, Standing, read_scores, standing

# A leaderboard of 100,000 teams has about 10 MB; whatever is far beyond is something else.
LARGEST = 64 * 2**20


def describe_standing(contest: Contest, score: float) -> str | None:
    """One line about where `score` stands on the public leaderboard, or why that is not known; None: it is empty.

    Nothing that goes wrong with Kaggle's answer is raised: a submission does not fail for its rank.
    """
    try:
        scores = read_leaderboard(contest)
    except (KitError, OSError) as error:
        return f"rank not known: {' '.join(str(error).split())}"
    if not scores:
        return None
    return describe(standing(scores, score, contest.spec.metric.scale))


def read_leaderboard(contest: Contest) -> list[float]:
    """The public score of every team, in the file's order; teams without a score are left out.

    Raises:
        KaggleError: Kaggle refuses or cannot be reached.
        DataError: what came is no leaderboard.
    """
    slug = contest.spec.kaggle
    # A folder of its own, because the CLI gives the leaderboard the name of the contest's data: <slug>.zip.
    with tempfile.TemporaryDirectory() as folder:
        run_kaggle(contest.spec, "competitions", "leaderboard", slug, "--download", "-p", folder, "-q", timeout=120)
        return read_scores(_csv_in(Path(folder) / f"{slug}.zip"), "the leaderboard")


def describe(standing: Standing) -> str:
    """The rank, the medal zone it is in, and the next one above."""
    ranks = f"{standing.rank}" if standing.rank == standing.last_rank else f"{standing.rank} to {standing.last_rank}"
    said = f"rank {ranks} of {standing.teams:,} (public)"
    reached = [medal for medal in MEDALS if standing.gaps.get(medal, -1.0) >= 0][:1]
    missed = [medal for medal in MEDALS if standing.gaps.get(medal, 0.0) < 0][-1:]
    zones = [f"{medal} from {standing.borders[medal]:.5f} ({_gap(standing.gaps[medal])})" for medal in reached + missed]
    # Kaggle's pages tell which contests give medals; its command line tool does not.
    return f"{said}; {', '.join(zones)}, if this contest gives medals" if zones else said


def _gap(gap: float) -> str:
    return f"{gap:.5f} better" if gap > 0 else f"{-gap:.5f} short" if gap < 0 else "just reached"


def _csv_in(archive: Path) -> str:
    """The text of the one CSV in a zip from outside, of which no more than LARGEST bytes are unpacked."""
    if not archive.is_file():
        raise DataError("the kaggle CLI brought no leaderboard; perhaps this contest shows none")
    try:
        with zipfile.ZipFile(archive) as file:
            tables = [member for member in file.infolist() if member.filename.lower().endswith(".csv")]
            if len(tables) != 1:
                raise DataError(f"the leaderboard's archive holds {len(tables)} CSV files, expected one")
            with file.open(tables[0]) as source:
                content = source.read(LARGEST + 1)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, RuntimeError) as error:
        raise DataError(f"the leaderboard's archive is damaged: {error}") from error
    if len(content) > LARGEST:
        raise DataError(f"the leaderboard has more than {LARGEST / 1e6:.0f} MB: that is no leaderboard")
    return content.decode("utf-8-sig", errors="replace")
