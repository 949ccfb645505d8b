"""A contest on this machine: its spec and its two folders."""

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from competition.metrics import Metric, create_metric
from competition.spec import Spec, load_spec


@dataclass(frozen=True)
class Contest:
    """`data` is the contest as Kaggle serves it, unpacked; `runs` holds everything this kit makes of it.

    `name` is what opens the contest again: the spec's slug, or the absolute path of its file; empty for one in memory.
    """

    spec: Spec
    data: Path
    runs: Path
    name: str = ""

    @property
    def slug(self) -> str:
        return self.spec.slug

    @property
    def options(self) -> str:
        """What opens it again, as a shell takes it: -c, and --data and --runs where they are not the usual folders."""
        words = ["-c", self.name or self.slug]
        if self.data != Path("data") / self.slug:
            words += ["--data", str(self.data)]
        if self.runs.parent != Path("runs"):
            words += ["--runs", str(self.runs.parent)]
        return shlex.join(words)

    @property
    def submit_command(self) -> str:
        """What sends the newest ensemble."""
        return f"{'python -m competition notebook' if self.spec.rules.notebook_only else './submit.sh'} {self.options}"

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The target's classes: declared by the spec, or discovered in the training table. Raises as `load_train`."""
        from competition.rows.tables import discover_classes  # which needs this module

        return self.spec.target.classes or discover_classes(self)

    @cached_property
    def metric(self) -> Metric:
        """The contest's metric for predictions of its classes."""
        return create_metric(self.spec.metric, self.spec.target, self.classes)

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
    again = str(Path(name).resolve()) if Path(name).is_file() else spec.slug
    return Contest(spec, Path(data) if data else Path("data") / spec.slug, Path(runs) / spec.slug, again)
