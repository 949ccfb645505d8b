"""A run on disk: one recipe with one seed, a folder per fold. Nothing here needs torch."""

import fcntl
import functools
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np
import yaml

from competition.contest import Contest, open_contest
from competition.errors import DataError, SpecError
from competition.files import atomic_open, sha256_of_all
from competition.rows.tables import Rows
from competition.strict_yaml import build, read_yaml
from folds.store import Split
from pipeline.config import Recipe
from pipeline.discarded import Discarded, read_discarded, revival
from pipeline.store import Predictions, concatenate, load_predictions

PACKAGES = ("torch", "timm", "albumentations", "opencv-python-headless", "opencv-python", "numpy")
RESERVED = ("ensembles", "cache", "sweeps", "wandb")  # folders beside the runs
HELD = "is being trained by another process"
LOCK_SECONDS = 2.0  # a killed process may keep a lock so long, and a look at it takes it for an instant
KEYS = ("contest", "recipe_name", "seed", "folds_sha256", "n_folds")


@dataclass(frozen=True)
class Fold:
    """The folder of one fold of a run. DONE is written last: with it, everything else is there and whole."""

    number: int
    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.pt"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.safetensors"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def oof(self) -> Path:
        return self.folder / "oof.npz"

    @property
    def done(self) -> bool:
        """Whether DONE is there and whole: with one cut short by a copy, the fold is finished once more."""
        with suppress(DataError):
            return bool(self.result())
        return False

    @property
    def failed(self) -> Path:
        """There, with the reason, when the last attempt to train the fold ended through its own recipe's fault."""
        return self.folder / "FAILED"

    def result(self) -> dict[str, Any]:
        """What DONE says: metric, score, loss, epochs, seconds, images_per_second, selected_on_oof, machine, and the
        shape of an image. Raises DataError if unfinished.
        """
        try:
            result = dict(json.loads((self.folder / "DONE").read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{self.folder} is not finished; run the training command again") from error
        # A run trained when classes were the only targets calls its loss by its name.
        return {"loss": result["log_loss"]} | result if "log_loss" in result else result

    def finish(self, result: dict[str, Any]) -> None:
        with atomic_open(self.folder / "DONE") as file:
            json.dump(result, file, indent=1)

    def history(self) -> list[dict[str, float]]:
        """The rows of metrics.jsonl, one per epoch. A last line cut short by a crash is left out."""
        if not self.metrics.is_file():
            return []
        lines = self.metrics.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1]]  # what follows the last newline was never finished

    def write_history(self, rows: list[dict[str, float]]) -> None:
        with atomic_open(self.metrics) as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def append_history(self, row: dict[str, float]) -> None:
        """Add an epoch's row; once this returns, a crash does not lose it."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def locked(self) -> AbstractContextManager[None]:
        """Hold the fold for this process. Raises DataError when another one trains it. A killed holder lets go."""
        return _locked(self.folder, HELD)

    @property
    def holder(self) -> str | None:
        """The process that holds the fold, if any does. Not for that process: it would lose its hold by looking."""
        if not (self.folder / ".lock").is_file():
            return None
        with (self.folder / ".lock").open("a+") as file:
            return None if _lock(file) else _holder(file)


@dataclass(frozen=True)
class Run:
    """A run's folder and its resolved configuration.

    classes: the order of its networks' outputs. spec: `Spec.trained_on` when it was started; both are None in runs of
    earlier versions. sweep: the sweep whose point it is.
    """

    folder: Path
    contest: str
    recipe: Recipe
    recipe_name: str
    seed: int
    folds_sha256: str
    n_folds: int
    classes: tuple[str, ...] | None = None
    spec: dict[str, Any] | None = None
    sweep: str | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def settings(self) -> dict[str, Any]:
        """All that a run of another seed has in common with it, by dotted keys: recipe, and what else it depends on."""
        spec = {key: value for key, value in (self.spec or {}).items() if key != "metric"}
        tree = self.recipe.model_dump(mode="json", exclude={"description"}) | ({"spec": spec} if spec else {})
        return {key: value for key, value in flatten(tree).items() if value != {}}

    @property
    def folds(self) -> list[Fold]:
        return [Fold(k, self.folder / f"fold{k}") for k in range(self.n_folds)]

    @property
    def discarded(self) -> Discarded | None:
        """When and why a sweep gave this run up, if one did."""
        return read_discarded(self.folder)

    @property
    def mistakes(self) -> Path:
        return self.folder / "worst.png"

    @property
    def unfinished(self) -> list[int]:
        return [fold.number for fold in self.folds if not fold.done]

    @property
    def concluded(self) -> bool:
        """Whether the picture of mistakes is there, and no fold was trained anew since it was drawn."""
        if not self.mistakes.is_file():
            return False
        drawn = self.mistakes.stat().st_mtime_ns
        return all((fold.folder / "DONE").stat().st_mtime_ns <= drawn for fold in self.folds)

    @property
    def trained_sha256(self) -> str:
        """Hash of what the folds' DONE say, such as how long each took: another one once a fold is trained anew."""
        return sha256_of_all(fold.folder / "DONE" for fold in self.folds)

    def locked(self) -> AbstractContextManager[None]:
        """Hold what belongs to all folds together. Waits for another process that does."""
        return _locked(self.folder, None)

    @property
    def selected_on_oof(self) -> bool:
        return self.recipe.checkpoint == "best"

    def require_finished(self) -> None:
        """Raise DataError when a fold is missing: incomplete out-of-fold predictions are of no use."""
        if self.discarded:
            raise DataError(f"{self.folder}: {self.discarded.told}. {revival(self.folder)}")
        if self.unfinished:
            folds = " ".join(map(str, self.unfinished))
            raise DataError(f"{self.folder}: folds {folds} are not finished; run its train.py command again")

    def require_contest(self, contest: Contest) -> None:
        """Raise DataError where the spec or the classes are others than those that the run was trained with.

        The metric may be another: whatever is predicted is scored anew.
        """
        for key, before, now in (
            ("classes", self.classes, contest.classes),
            ("spec", self.spec, contest.spec.trained_on),
        ):
            differences = [] if before is None else _differences(before, now, f"{key}.")
            for name, was, becomes in differences:
                if not name.startswith("spec.metric"):
                    if key == "classes" and len(was) == len(becomes):
                        k = next(k for k, pair in enumerate(zip(was, becomes, strict=True)) if len({*pair}) > 1)
                        name, was, becomes = f"class {k}", was[k], becomes[k]
                    raise DataError(
                        f"{self.folder} was trained with another {name}: {was!r:.200}, now {becomes!r:.200}. Its "
                        "networks know nothing of that: undo it, or train again under another name"
                    )

    def scored_as(self, contest: Contest) -> bool:
        """Whether the scores in its files are of the contest's metric and target as they are now; True if unknown."""
        now = contest.spec.trained_on
        return self.spec is None or all(self.spec[key] == now[key] for key in ("metric", "target"))

    def oof(self, rows: Rows, split: Split, classes: tuple[str, ...]) -> Predictions:
        """Out-of-fold predictions of every training row, in the order of `rows`.

        Raises DataError: an unfinished fold, a file of another split, or one that holds other rows than its fold's.
        """
        self.require_finished()
        parts = []
        for fold in self.folds:
            here = split.fold == fold.number
            part = load_predictions(fold.oof, split.sha256).reordered(rows.ids[here], classes, str(fold.oof))
            again = f"delete {fold.folder} and train the fold again"
            if part.labels is None:
                raise DataError(f"{fold.oof} holds no labels; {again}")
            if part.labels.ndim != rows.labels.ndim:
                raise DataError(f"{fold.oof} holds labels of another kind of target ({part.family}); {again}")
            wrong = (part.labels != rows.labels[here]).reshape(len(part), -1).any(axis=1)
            if wrong.any():
                raise DataError(
                    f"{fold.oof}: id {str(rows.ids[here][np.argmax(wrong)])!r} has another label than in the training "
                    f"table ({int(wrong.sum())} such rows); {again}"
                )
            parts.append(part)
        return concatenate(parts).reordered(rows.ids, classes, str(self.folder))

    def test(self, name: str, ids: Any, contest: Contest) -> Predictions:
        """The predictions `name` ("test" or "holdout") of all folds together, in the order of `ids`.

        Raises DataError: no such file, or one made before a fold was trained anew or the spec named other images.
        """
        path = self.folder / f"{name}.npz"
        if not path.is_file():
            raise DataError(f"{path} does not exist. Predict first: python infer.py {self.folder}")
        predictions = load_predictions(path, self.folds_sha256)
        for made, now, what in (
            (predictions.trained_sha256, self.trained_sha256, "by other weights than the run has now"),
            (
                predictions.source_sha256,
                contest.spec.made_from(name),
                f"of other {name} images than the spec names now",
            ),
        ):
            if made not in ("", now):
                raise DataError(f"{path} was made {what}. Predict again: python infer.py {self.folder}")
        return predictions.reordered(ids, contest.classes, str(path))


@contextmanager
def _locked(folder: Path, refusal: str | None) -> Iterator[None]:
    """Hold `folder` for this process. Where another one does: wait; with `refusal`, raise DataError after a moment."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (folder / ".lock").open("a+") as file:
        while not _lock(file):
            if refusal and time.monotonic() - began > LOCK_SECONDS:
                raise DataError(f"{folder} {refusal}: {_holder(file)}")
            time.sleep(0.1)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def _lock(file: IO) -> bool:
    """Lock an open file for this process, if no other one has."""
    try:
        # Not flock: workers would inherit it, and hold it for seconds after their parent was killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _holder(file: IO) -> str:
    file.seek(0)
    return file.read().strip() or "?"


def check_name(name: str) -> str:
    """Return a name that a run or an ensemble may have. Raises SpecError for one that could lead out of its folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=,-]*", name) or name in RESERVED:
        raise SpecError(f"--name {name!r}: a name has letters, digits and . _ = , - only, and is not one of {RESERVED}")
    return name


def create_run(
    contest: Contest, name: str, recipe: Recipe, recipe_name: str, seed: int, split: Split, sweep: str | None = None
) -> Run:
    """Open the run `name`, or start it by writing its config.yaml.

    Args:
        sweep: that it is a point of. Only said when it is started: who goes on training it need not know.

    Raises SpecError when a run of that name has other settings or another split: its folds would not belong together.
    """
    folder = contest.runs / check_name(name)
    with _locked(folder, None):  # two commands that start it at once must not both believe that they did
        return _created(contest, folder, recipe, recipe_name, seed, split, sweep)


def _created(
    contest: Contest, folder: Path, recipe: Recipe, recipe_name: str, seed: int, split: Split, sweep: str | None
) -> Run:
    path = folder / "config.yaml"
    settings = {
        "contest": contest.name,
        "recipe_name": recipe_name,
        "seed": seed,
        "recipe": recipe.model_dump(mode="json"),
        "spec": contest.spec.trained_on,
        "folds_sha256": split.sha256,
        "n_folds": split.n,
        "classes": list(contest.classes),
    }
    if path.exists():
        written = read_yaml(path)
        stored = dict(written)
        # Keys that recipes have got since then have their defaults.
        stored["recipe"] = build(Recipe, stored["recipe"], f"{path}: recipe").model_dump(mode="json")
        known = {key: value for key, value in settings.items() if key in stored}  # earlier versions lack the spec
        if "spec" in known:  # which tells what matters, whatever the spec's file is called now and where it is
            del known["contest"]
        for key, before, now in _differences({key: stored[key] for key in known}, known):
            if key == "recipe.description":
                continue
            raise SpecError(
                f"run {folder.name!r} was started with another {key}: {before!r}, now {now!r}. "
                f"Give the new one another name (--name), or delete {folder}."
            )
        if written["contest"] != contest.name:  # from now on it is opened by its new name
            _write_config(path, written | {"contest": contest.name})
    else:
        environment = {
            "python": platform.python_version(),
            "packages": {package: _version(package) for package in PACKAGES},
            "git_commit": _git_commit(),
        }
        belongs = {"sweep": sweep} if sweep else {}
        _write_config(path, settings | belongs | {"spec_sha256": contest.spec.sha256, "environment": environment})
    return open_run(folder)


def _write_config(path: Path, settings: dict[str, Any]) -> None:
    with atomic_open(path) as file:
        yaml.safe_dump(settings, file, sort_keys=False, allow_unicode=True)


def open_run(folder: Path) -> Run:
    """Read a run from its folder. Raises SpecError or DataError when it is not one."""
    if not (folder / "config.yaml").is_file():
        raise DataError(f"{folder} is not a run: it has no config.yaml")
    path = folder / "config.yaml"
    config = read_yaml(path)
    if missing := [key for key in (*KEYS, "recipe") if key not in config]:
        raise DataError(f"{path}: {', '.join(missing)} is missing. Restore the file, or move {folder} away")
    recipe = build(Recipe, config["recipe"], f"{path}: recipe")
    classes = tuple(config["classes"]) if "classes" in config else None
    later = {"classes": classes, "spec": config.get("spec"), "sweep": config.get("sweep")}
    return Run(folder, recipe=recipe, **later, **{key: config[key] for key in KEYS})


def list_runs(contest: Contest) -> list[Run]:
    """Every run of the contest, finished or not, by name."""
    return [open_run(path.parent) for path in sorted(contest.runs.glob("*/config.yaml"))]


def find_run(contest: Contest, name: str) -> Run:
    """The run given by name or by path. Raises DataError, naming the runs there are."""
    for folder in (contest.runs / name, Path(name)):
        if (folder / "config.yaml").is_file():
            return open_run(folder)
    known = ", ".join(run.name for run in list_runs(contest)) or "none yet"
    raise DataError(f"no run {name!r} in {contest.runs}; there are: {known}")


def find_runs(contest: Contest, names: Sequence[str]) -> list[Run]:
    """The runs given by name or by path, or all of a sweep by its name; each once. Raises as `find_run`."""
    known: dict[str | None, list[Run]] = {}
    for run in list_runs(contest):
        known.setdefault(run.sweep, []).append(run)
    known |= {run.name: [run] for each in list(known.values()) for run in each}
    found = [run for name in names for run in known.get(name) or [find_run(contest, name)]]
    return list({run.folder.resolve(): run for run in found}.values())


def contest_of(run: Run, data: str | None) -> Contest:
    """The contest that `run` belongs to, with `data` as its data folder (default: data/<slug>).

    Raises SpecError where the spec that it was started with is no more.
    """
    if "/" in run.contest and not Path(run.contest).is_file():
        raise SpecError(f"{run.contest}, the spec of {run.folder}, is not there any more. Say where it is now: -c SPEC")
    return open_contest(run.contest, data, str(run.folder.parent.parent))


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}: the keys that --set takes."""
    flat = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def _differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two trees of settings differ: the key as --set takes it, and both values, None where there is none."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in now | before:
            if (name in before) != (name in now):
                yield f"{key}{name}", before.get(name), now.get(name)
            else:
                yield from _differences(before[name], now[name], f"{key}{name}.")
    elif before != now:
        yield key.removesuffix("."), before, now


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@functools.cache  # a sweep starts many runs
def _git_commit() -> str | None:
    """The kit's commit, marked "+" when files differ from it; None outside a git checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if dirty.stdout.strip() else "")
