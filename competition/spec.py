"""The contest spec: one YAML file that says everything that changes from contest to contest."""

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import model_validator

from competition.errors import SpecError
from competition.metrics import METRICS
from competition.spec_parts import (
    Folds,
    Holdout,
    Labelled,
    Medals,
    MetricSpec,
    Pixels,
    Rules,
    Slug,
    Source,
    Submission,
    Target,
    Test,
    Views,
)
from competition.strict_yaml import Strict, build, read_yaml

SPECS = Path(__file__).parent / "specs"


# What a run is trained on and judged by. Its split has a file of its own, and the rest comes later: both can be mended
# while runs go on.
TRAINED_ON = {"slug", "train", "holdout", "views", "pixels", "target", "metric"}


class Spec(Strict):
    """A contest. `slug` is its name in this kit (and the file's), `kaggle` its name in kaggle.com/competitions/…"""

    slug: Slug
    kaggle: Slug
    title: str
    train: Labelled
    holdout: Holdout | None = None
    test: Test
    views: Views | None = None
    pixels: Pixels = Pixels()
    target: Target
    folds: Folds = Folds()
    metric: MetricSpec
    medals: Medals | None = None
    submission: Submission
    rules: Rules

    @model_validator(mode="after")
    def _consistent(self) -> "Spec":
        target, submission, families = self.target, self.submission, METRICS[self.metric.name].families
        if target.family not in families:
            raise ValueError(f"metric {self.metric.name} is not for a {target.kind} target")
        for where, source in (("train", self.train), ("holdout", self.holdout)):
            if source is not None and len(source.label_columns) == 1 and target.kind == "multilabel":
                if target.delimiter is None:
                    raise ValueError(f"{where}.label: one column of a multilabel target needs target.delimiter")
            elif source is not None and len(source.label_columns) > 1 and target.kind == "ordinal":
                raise ValueError(f"{where}.label: an ordinal target has one label column")
            elif source is not None and len(source.label_columns) > 2 and target.kind == "binary":
                raise ValueError(f"{where}.label: a binary target has one label column, or one for each of two classes")
            elif source is not None and len(source.label_columns) == 1 and target.kind == "soft":
                raise ValueError(f"{where}.label: a soft target has a column for every class")
        if self.views is None and any(
            "*" in p.removesuffix(".*") or len(s.patterns) > 1 for s in self.sources for p in s.patterns
        ):
            raise ValueError("views is missing: it says what becomes of several images of one row")
        fits = {
            "label": target.family == "classes",
            "top_k": target.family == "classes",
            "labels": target.family == "labels",
            "value": target.family == "values",
            "probability": target.family != "values",
        }
        if not fits[submission.kind]:
            raise ValueError(f"submission.kind {submission.kind} is not for a {target.kind} target")
        if submission.kind == "probability" and submission.has_one_cell and not self.submits_yes:
            raise ValueError(
                "submission.column has no meaning here: a multiclass probability submission has a column per class"
            )
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        """All that have images."""
        return tuple(source for source in (self.train, self.holdout, self.test) if source is not None)

    @property
    def known_classes(self) -> tuple[str, ...]:
        """The target's classes as far as the spec alone tells: declared, or the names of several label columns."""
        columns = self.train.label_columns
        return self.target.classes or (columns if len(columns) > 1 else ())

    @property
    def merges(self) -> bool:
        """Whether lines with the same id make one row."""
        return self.views is not None or self.submission.row is not None or self.target.delimiter is not None

    @property
    def submits_yes(self) -> bool:
        """Whether the submission's one number is the probability of yes: the second class, or all but the negative."""
        yes_or_no = self.target.kind == "binary" or self.target.negative is not None
        return self.submission.kind == "probability" and yes_or_no and self.submission.has_one_cell

    def declaring(self, classes: tuple[str, ...]) -> "Spec":
        """This spec with its classes declared, for whoever has no training table to discover them in."""
        return self.model_copy(update={"target": self.target.model_copy(update={"classes": classes})})

    @property
    def trained_on(self) -> dict[str, Any]:
        """What runs depend on, as plain values: settings that are not the default, but for the list of the classes."""
        settings = self.model_dump(mode="json", exclude_defaults=True, include=TRAINED_ON)
        settings["target"].pop("classes", None)  # a run knows its classes, whether declared or discovered
        if self.holdout is not None and self.holdout.use == "score":
            settings.pop("holdout")  # no run is trained on it
        if self.submission.row is not None:  # lines of one image make one row
            settings["submission"] = {"row": self.submission.row}
        return settings

    @property
    def sha256(self) -> str:
        """Hash of `trained_on`."""
        return hashlib.sha256(json.dumps(self.trained_on).encode()).hexdigest()

    def made_from(self, part: str) -> str:
        """Hash of the settings that say what the rows of "test" or "holdout" are, look like and are predicted in."""
        settings = self.model_dump(mode="json", exclude_defaults=True, include={part, "views", "pixels"})
        settings["notebook_only"] = self.rules.notebook_only
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

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
    specs, broken = [], None
    for path in sorted(SPECS.glob("*.yaml")):
        try:
            specs.append(_read(path))
        except SpecError as error:  # of somebody's draft, perhaps, that is not meant
            broken = broken or error
    for spec in specs:
        if spec.kaggle == name:
            return spec
    near = difflib.get_close_matches(name, [s.slug for s in specs] + [s.kaggle for s in specs], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise SpecError(
        f"no contest is called {name!r}; {hint}Known: {', '.join(s.slug for s in specs)}. "
        f"For a contest of your own write {SPECS / (name + '.yaml')} or give the path of its YAML file."
        + (f"\nOne of them cannot be read: {broken}" if broken else "")
    )


def list_specs() -> list[Spec]:
    """Every spec in `competition/specs/`, by name."""
    return [_read(path) for path in sorted(SPECS.glob("*.yaml"))]


def _read(path: Path) -> Spec:
    spec = build(Spec, read_yaml(path), str(path))
    if path.parent == SPECS and path.stem != spec.slug:
        raise SpecError(f"{path}: slug is {spec.slug!r}; it must be the file's name, {path.stem!r}")
    return spec
