"""The contest spec: one YAML file that says everything that changes from contest to contest."""

import difflib
import hashlib
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from competition.errors import SpecError
from competition.metrics import METRICS
from competition.strict_yaml import Strict, build, read_yaml

SPECS = Path(__file__).parent / "specs"

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
File = Annotated[str, Field(min_length=1, description="path inside the data folder")]
Column = Annotated[str, Field(min_length=1)]


class Labelled(Strict):
    """A CSV table of ids and labels, and where its images are."""

    table: File
    id: Column
    label: Column
    images: File = Field(description="path of a row's image; {column} stands for the value in that column")


class Holdout(Labelled):
    """A labelled file that is kept apart: scored separately and never trained on, or joined to the training rows."""

    use: Literal["score", "train"] = "score"
    optional: bool = Field(False, description="go on without it when the file is not there")


class Test(Strict):
    """The rows to predict. The table may be the sample submission itself: many contests have no other."""

    table: File
    id: Column
    images: File


class Target(Strict):
    """One class per row. `classes` fixes their order everywhere: in the network's output and in every file."""

    kind: Literal["binary", "multiclass"]
    classes: tuple[str, ...] = Field(
        description="as written in the table; in a binary contest the second is the positive one"
    )

    @model_validator(mode="after")
    def _classes(self) -> "Target":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is listed twice")
        if self.kind == "binary" and len(self.classes) != 2:
            raise ValueError(f"a binary target has two classes, found {len(self.classes)}")
        if self.kind == "multiclass" and len(self.classes) < 3:
            raise ValueError("a multiclass target has three classes or more; use kind: binary for two")
        return self


class Folds(Strict):
    """How the training rows are split. `group` names a column whose values never straddle two folds."""

    n: int = Field(5, ge=2, le=100)
    seed: int = Field(0, ge=0)
    group: Column | None = None


class MetricSpec(Strict):
    name: str
    direction: Literal["maximize", "minimize"]

    @model_validator(mode="after")
    def _known(self) -> "MetricSpec":
        if self.name not in METRICS:
            raise ValueError(f"unknown metric {self.name!r}; known: {', '.join(METRICS)}")
        natural = "maximize" if METRICS[self.name].maximize else "minimize"
        if self.direction != natural:
            raise ValueError(f"{self.name} improves in the other direction: write direction: {natural}")
        return self


class Medals(Strict):
    """Private leaderboard scores that won a medal, or would; the report says which one the estimate reaches."""

    gold: float | None = None
    silver: float | None = None
    bronze: float | None = None


class Submission(Strict):
    """The file Kaggle expects.

    kind label: column `column` holds the class name. kind probability: in a binary contest `column` holds the positive
    class's probability; in a multiclass one every class has a column of its own name, and rows sum to 1.
    """

    sample: File = "sample_submission.csv"
    kind: Literal["label", "probability"]
    id: Column
    column: Column | None = None


class Rules(Strict):
    """What the contest allows. A recipe that breaks a rule is refused before it trains."""

    pretrained: bool = Field(description="may start from weights trained on other data")
    predefined: bool = Field(description="may use an architecture of a library; if not, only those in models/")


class Spec(Strict):
    """A contest. `slug` is its name in this kit (and the file's), `kaggle` its name in kaggle.com/competitions/…"""

    slug: Slug
    kaggle: Slug
    title: str
    train: Labelled
    holdout: Holdout | None = None
    test: Test
    target: Target
    folds: Folds = Folds()
    metric: MetricSpec
    medals: Medals | None = None
    submission: Submission
    rules: Rules

    @model_validator(mode="after")
    def _consistent(self) -> "Spec":
        for where, table in (("train", self.train), ("holdout", self.holdout), ("test", self.test)):
            if table is None:
                continue
            for path in (table.table, table.images):
                if Path(path).is_absolute() or ".." in Path(path).parts:
                    raise ValueError(f"{where}: {path!r} leads outside the data folder")
            if not re.search(r"\{[^{}]+\}", table.images):
                raise ValueError(
                    f"{where}.images: {table.images!r} names no column; write for instance train/{{{table.id}}}.png"
                )
        needs_column = self.submission.kind == "label" or self.target.kind == "binary"
        if needs_column and self.submission.column is None:
            raise ValueError("submission.column is missing: the sample submission's second column")
        if not needs_column and self.submission.column is not None:
            raise ValueError(
                "submission.column has no meaning here: a multiclass probability submission has a column per class"
            )
        return self

    @property
    def sha256(self) -> str:
        """Hash of every setting; two files that differ only in comments or order have the same."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def rules_url(self) -> str:
        return f"https://www.kaggle.com/competitions/{self.kaggle}/rules"


def load_spec(name: str) -> Spec:
    """Read the spec called `name`: a slug of `competition/specs/`, the slug on Kaggle, or a path to a YAML file.

    Raises SpecError: no such spec (with the nearest name), or a key that is unknown, missing or of the wrong type.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return _read(Path(name))
    path = SPECS / f"{name}.yaml"
    if path.is_file():
        return _read(path)
    specs = list_specs()
    for spec in specs:
        if spec.kaggle == name:
            return spec
    near = difflib.get_close_matches(name, [s.slug for s in specs] + [s.kaggle for s in specs], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise SpecError(
        f"no contest is called {name!r}; {hint}Known: {', '.join(s.slug for s in specs)}. "
        f"For a contest of your own write {SPECS / (name + '.yaml')} or give the path of its YAML file."
    )


def list_specs() -> list[Spec]:
    """Every spec in `competition/specs/`, by name."""
    return [_read(path) for path in sorted(SPECS.glob("*.yaml"))]


def _read(path: Path) -> Spec:
    spec = build(Spec, read_yaml(path), str(path))
    if path.parent == SPECS and path.stem != spec.slug:
        raise SpecError(f"{path}: slug is {spec.slug!r}; it must be the file's name, {path.stem!r}")
    return spec
