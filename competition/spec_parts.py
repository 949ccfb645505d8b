"""The parts of a contest spec: where rows and images are, what is predicted, how it is scored and submitted."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from competition.metrics import METRICS, Scale
from competition.patterns import columns_in
from competition.strict_yaml import Strict

SLUG = r"^[a-z0-9][a-z0-9-]*$"
Slug = Annotated[str, Field(pattern=SLUG)]
File = Annotated[str, Field(min_length=1, description="path inside the data folder")]
Column = Annotated[str, Field(min_length=1)]


class Source(Strict):
    """Rows, and where their images are.

    table: a CSV or TSV, a JSON list of records, or a COCO file, whose images and annotations become one row each.
    files: instead of a table, the files themselves: train/{label}/{name}.png makes a row of every file that fits, with
        the columns label and name.
    parse: columns made from others: {row: "{id}_{part}"} takes column `row` apart into `id` and `part`.
    id: a column, or a pattern of columns: "{patient}_{side}".
    images: a pattern of columns, {column}, {column[0]} or {column[:2]}; .* at its end stands for whichever extension
        the file has, * elsewhere for any text. Several patterns are several images of a row. Left out with `files`.
    arrays: instead of images, columns of a JSON table that hold the planes of an image as lists of numbers.
    shape: [height, width] of such a plane, where the lists are flat.
    """

    table: File | None = None
    files: File | None = None
    encoding: str = "utf-8"
    parse: dict[Column, str] = Field(default={})
    id: Column
    images: File | tuple[File, ...] | None = None
    arrays: tuple[Column, ...] = ()
    shape: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of a row's images."""
        if self.images is None:
            return (self.files,) if self.files else ()
        return (self.images,) if isinstance(self.images, str) else self.images

    @property
    def finds_several(self) -> bool:
        """Whether the patterns can lead to more than one image of a row."""
        return len(self.patterns) > 1 or any("*" in pattern.removesuffix(".*") for pattern in self.patterns)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.table or self.files or ""

    @model_validator(mode="after")
    def _one_source(self) -> "Source":
        if (self.table is None) == (self.files is None):
            raise ValueError("give either table or files")
        if self.table and bool(self.patterns) == bool(self.arrays):
            raise ValueError("give either images or arrays: where is a row's image?")
        if self.files and self.arrays:
            raise ValueError("arrays are columns of a JSON table; files has none")
        for path in (self.table, self.files, *self.patterns):
            if path and (Path(path).is_absolute() or ".." in Path(path).parts):
                raise ValueError(f"{path!r} leads outside the data folder")
        for pattern in (*self.patterns, *([self.files] if self.files else [])):
            if not columns_in(pattern):
                example = self.id if columns_in(self.id) else f"{{{self.id}}}"
                raise ValueError(f"images: {pattern!r} names no column; write for instance train/{example}.png")
        return self


class Labelled(Source):
    """Rows with their labels.

    label: the column of the class, of several class names, or of a number; or one column per class.
    """

    label: Column | tuple[Column, ...]

    @property
    def label_columns(self) -> tuple[str, ...]:
        return (self.label,) if isinstance(self.label, str) else self.label


class Holdout(Labelled):
    """Labelled rows that are kept apart: scored separately and never trained on, or joined to the training rows."""

    use: Literal["score", "train"] = "score"
    optional: bool = Field(False, description="go on without it when the file is not there")


class Test(Source):
    """The rows to predict. The table may be the sample submission itself: many contests have no other."""


class Views(Strict):
    """Several images of one row: found by several patterns, by a * in one, or in table rows that share their id.

    take: of the images that are found, in natural order, so many, evenly spaced; left out, all.
    stack: they are the channels of one image (each is read as grey), not views that are predicted one by one.
    reduce: how the predictions of the views become the row's.
    """

    take: Annotated[int, Field(ge=1)] | None = None
    stack: bool = False
    reduce: Literal["mean", "max"] = "mean"

    @model_validator(mode="after")
    def _stack_has_a_size(self) -> "Views":
        if self.stack and self.take is None:
            raise ValueError("stack needs take: how many images are the channels of one")
        return self


class Pixels(Strict):
    """How a file becomes an 8-bit image, where it is not an ordinary picture.

    planes: which planes of an array are taken (its first or last axis, whichever is shorter); left out, all.
    layout: they are the channels, or stand one below the other in one grey image.
    range: the values that become black and white; what lies beyond is cut. Left out: an integer type's whole range,
        and the least and greatest value of each floating-point image. Integers of more than 16 bits need it.
    window: [centre, width] of a DICOM image, in its unit; left out, the range, else the file's own window.
    """

    planes: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    layout: Literal["channels", "rows"] = "channels"
    range: tuple[float, float] | None = None
    window: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _least_and_greatest(self) -> "Pixels":
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range is [least, greatest], not {list(self.range)}")
        if self.window is not None and self.window[1] <= 0:
            raise ValueError(f"window is [centre, width], and a width of {self.window[1]:g} shows nothing")
        return self


Family = Literal["classes", "labels", "shares", "values"]


class Target(Strict):
    """What is predicted of a row.

    kind: binary, multiclass: one class. ordinal: one class, and their order means something. multilabel: any number of
        classes. soft: a share of every class, which sum to 1. regression: numbers.
    classes: as written in the table, in the order that they have in every output and file. In a binary contest the
        second is the positive one. Left out, they are discovered: the label columns' names where there are several,
        else all values of the label column in natural order. Of a regression, the names of the numbers.
    delimiter: what stands between the class names in the one label column of a multilabel contest.
    negative: the class that counts as no where a metric or a submission wants yes or no; all others are yes.
    range: least and greatest possible number; predictions are kept between them.
    """

    kind: Literal["binary", "multiclass", "ordinal", "multilabel", "soft", "regression"]
    classes: tuple[str, ...] = ()
    delimiter: Annotated[str, Field(min_length=1)] | None = None
    negative: str | None = None
    range: tuple[float, float] | None = None

    @property
    def family(self) -> Family:
        """What labels and predictions look like.

        classes: labels (N,) indices, predictions (N, C) distributions. labels: (N, C) zeros and ones, and (N, C)
        probabilities. shares: (N, C) distributions, both. values: (N, C) numbers, both.
        """
        return {"multilabel": "labels", "soft": "shares", "regression": "values"}.get(self.kind, "classes")

    @property
    def loss_name(self) -> str:
        """What runs are ranked and weighted by, whatever the metric: smaller is better."""
        return "log loss" if self.family in ("classes", "labels") else "squared error"

    @model_validator(mode="after")
    def _classes(self) -> "Target":
        known = len(self.classes)
        if len(set(self.classes)) != known:
            raise ValueError("a class is listed twice")
        if self.kind == "binary" and known not in (0, 2):
            raise ValueError(f"a binary target has two classes, found {known}")
        if self.kind == "multiclass" and known in (1, 2):
            raise ValueError("a multiclass target has three classes or more; use kind: binary for two")
        if self.kind == "ordinal" and not known:
            raise ValueError("an ordinal target needs its classes, from the least to the greatest")
        if self.delimiter is not None and self.kind != "multilabel":
            raise ValueError(f"delimiter belongs to kind: multilabel, not {self.kind}")
        if self.range is not None and (self.kind != "regression" or self.range[0] >= self.range[1]):
            raise ValueError("range is [least, greatest] of a regression")
        if self.negative is not None and (self.kind != "multiclass" or (known and self.negative not in self.classes)):
            raise ValueError(f"negative: {self.negative!r} is not one of the classes of a multiclass target")
        return self


class Folds(Strict):
    """How the training rows are split.

    group: a column, or a pattern of columns; rows of one value never straddle two folds.
    near_duplicates: images whose perceptual hashes (64 bits) differ in at most so many bits stay together; left out,
        only images of equal pixels do.
    """

    n: int = Field(5, ge=2, le=100)
    seed: int = Field(0, ge=0)
    group: Column | None = None
    near_duplicates: Annotated[int, Field(ge=0, le=16)] | None = None


class MetricSpec(Strict):
    """The contest's score.

    k: of map_at_k. columns: the classes that are scored, where not all are. weights: of classes, where they are not 1.
    positive_weight: by how much a label that is there weighs more than one that is not.
    bands: of weighted_auc: [least, greatest true positive rate, weight], from 0 to 1.
    """

    name: str
    direction: Literal["maximize", "minimize"]
    k: Annotated[int, Field(ge=1)] | None = None
    columns: tuple[str, ...] | None = None
    weights: dict[str, Annotated[float, Field(gt=0)]] | None = None
    positive_weight: Annotated[float, Field(gt=0)] | None = None
    bands: tuple[tuple[float, float, float], ...] | None = None

    @property
    def scale(self) -> Scale:
        """Its name and direction: what can be known of the metric without the contest's classes."""
        return Scale(self.name, self.direction == "maximize")

    @model_validator(mode="after")
    def _known(self) -> "MetricSpec":
        if self.name not in METRICS:
            raise ValueError(f"unknown metric {self.name!r}; known: {', '.join(METRICS)}")
        definition = METRICS[self.name]
        natural = "maximize" if definition.maximize else "minimize"
        if self.direction != natural:
            raise ValueError(f"{self.name} improves in the other direction: write direction: {natural}")
        settings = ("k", "columns", "weights", "positive_weight", "bands")
        given = {key for key in settings if getattr(self, key) is not None}
        if given - definition.takes:
            raise ValueError(f"{self.name} takes no {sorted(given - definition.takes)[0]}")
        if definition.needs - given:
            raise ValueError(f"{self.name} needs {sorted(definition.needs - given)[0]}")
        return self


class Medals(Strict):
    """Private leaderboard scores that won a medal, or would; the report says which one the estimate reaches.

    leaderboard: instead, or besides, a CSV in the data folder with the column Score, one line per team.
    """

    gold: float | None = None
    silver: float | None = None
    bronze: float | None = None
    leaderboard: File | None = None


class Submission(Strict):
    """The file Kaggle expects: the lines and columns of its sample.

    kind label: `column` holds the class. labels: several class names with `delimiter` between. top_k: the `k` most
        probable classes, best first, with `delimiter` between. value: numbers. probability: of the positive class in
        `column`, or a column for every class.
    id: the column that names the row. row: a pattern of the row's {id} and {class} that this column follows in a long
        file, which has a line for every row and class; `column` then holds the number.
    column: left out, every class has a column of its own name; a pattern such as prob_{class} gives them others.
    classes: those that are submitted, where not all are.
    empty: kind labels: what is written where no class is likely; left out, the most probable one.
    """

    sample: File = "sample_submission.csv"
    kind: Literal["label", "labels", "top_k", "probability", "value"]
    id: Column
    row: str | None = None
    column: Column | None = None
    classes: tuple[str, ...] | None = None
    k: Annotated[int, Field(ge=1)] | None = None
    delimiter: Annotated[str, Field(min_length=1)] = " "
    empty: str | None = None

    @property
    def has_one_cell(self) -> bool:
        """Whether all that is said of a row stands in one cell, that of `column`."""
        return self.row is None and self.column is not None and not columns_in(self.column)

    @model_validator(mode="after")
    def _keys_fit_together(self) -> "Submission":
        if (self.kind == "top_k") != (self.k is not None):
            raise ValueError("k belongs to kind: top_k, which needs it")
        if self.empty is not None and self.kind != "labels":
            raise ValueError("empty belongs to kind: labels")
        if self.classes is not None and self.kind not in ("probability", "value"):
            raise ValueError("classes belongs to kind probability or value")
        if self.row is not None and not (
            self.kind in ("probability", "value") and {"id", "class"} == set(columns_in(self.row))
        ):
            raise ValueError("row is a pattern of {id} and {class} for kind probability or value")
        if self.column is None and (self.row is not None or self.kind in ("label", "labels", "top_k")):
            raise ValueError("submission.column is missing: the sample submission's second column")
        return self


class Rules(Strict):
    """What the contest allows. A recipe that breaks a rule is refused before it trains."""

    pretrained: bool = Field(description="may start from weights trained on other data")
    predefined: bool = Field(description="may use an architecture of a library; if not, only those in models/")
    notebook_only: bool = Field(
        default=False,
        description="takes no files, but a notebook that Kaggle runs; the test set is then predicted in float32, "
        "in which Kaggle's hardware and yours agree",
    )
