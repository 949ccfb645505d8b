"""A contest on this machine: its spec and its two folders."""

from dataclasses import dataclass
from pathlib import Path

from competition.spec import Spec, load_spec


@dataclass(frozen=True)
class Contest:
    """`data` is the contest as Kaggle serves it, unpacked; `runs` holds everything this kit makes of it."""

    spec: Spec
    data: Path
    runs: Path

    @property
    def slug(self) -> str:
        return self.spec.slug

    @property
    def folds_file(self) -> Path:
        return self.runs / "folds.csv"

    @property
    def ledger_file(self) -> Path:
        return self.runs / "ledger.csv"

    @property
    def ensembles(self) -> Path:
        return self.runs / "ensembles"


def open_contest(name: str, data: str | None = None, runs: str = "runs") -> Contest:
    """The contest called `name`, with data in `data` (default data/<slug>) and runs below `runs`/<slug>.

    Raises SpecError when there is no such contest. The folders need not exist yet.
    """
    spec = load_spec(name)
    return Contest(spec, Path(data) if data else Path("data") / spec.slug, Path(runs) / spec.slug)
