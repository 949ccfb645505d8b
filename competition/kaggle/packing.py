"""An ensemble packed for a notebook without network: one archive for a Kaggle dataset, and the notebook that runs it.

Only files are handled here, nothing is predicted: the archive holds

    packed.json     the ensemble's name, and a digest of all the rest
    contest.yaml    the spec, its classes declared
    weights.json    the blend
    test.npz, submission.csv    what the ensemble predicts at home, to compare with
    runs/<run>/     config.yaml; weights.safetensors and DONE of each fold; only of runs that weigh something
    code/           the kit's packages, as source
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from competition.contest import Contest
from competition.errors import DataError
from competition.files import atomic_open, sha256_of, sha256_of_all
from competition.kaggle.cells import notebook_json
from competition.strict_yaml import read_yaml

KIT = Path(__file__).parent.parent.parent
PACKAGES = ("competition", "folds", "blending", "models", "pipeline")

# What Kaggle allows in names of datasets and notebooks.
LONGEST_NAME = 50


@dataclass(frozen=True)
class Packed:
    """What was packed: `dataset` and `kernel` are the two folders to push; `digest` covers the archive's content."""

    contest: Contest
    dataset: Path
    kernel: Path
    digest: str

    @property
    def archive(self) -> Path:
        return self.dataset / "packed.zip"

    @property
    def notebook(self) -> Path:
        return self.kernel / "inference.ipynb"

    @property
    def dataset_slug(self) -> str:
        return _slug(self.contest, "ensemble-weights")

    @property
    def kernel_slug(self) -> str:
        return _slug(self.contest, "ensemble-inference")


def pack(contest: Contest, ensemble: Path, gpu: bool) -> Packed:
    """Write the archive and the notebook to `<ensemble>/notebook`. The same ensemble and code give the same bytes.

    Args:
        ensemble: the ensemble's folder. gpu: whether the notebook is to run on a GPU.

    Raises DataError naming the file that is missing, and what makes it.
    """
    files = _files(contest, ensemble)
    spec = contest.spec.declaring(contest.classes)  # the notebook needs no training table
    texts = {"contest.yaml": yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)}
    parts = {name: sha256_of(path) for name, path in files.items()}
    parts |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    texts["packed.json"] = json.dumps({"ensemble": ensemble.name, "digest": digest}, indent=1)

    folder = ensemble / "notebook"
    packed = Packed(contest, folder / "dataset", folder / "kernel", digest)
    with atomic_open(packed.archive, "wb") as sink, zipfile.ZipFile(sink, "w") as archive:
        # Stored, not deflated: weights hardly shrink. ZipInfo's own date is the same at every packing.
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name), text)
        for name, path in files.items():
            with path.open("rb") as source, archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                while data := source.read(2**20):
                    member.write(data)
    with atomic_open(packed.notebook) as file:
        file.write(notebook_json(contest.spec, packed.dataset_slug, digest, gpu))
    return packed


def write_metadata(packed: Packed, user: str, gpu: bool) -> None:
    """Write dataset-metadata.json and kernel-metadata.json, which address both folders to an account."""
    dataset = {
        "title": _title(packed.dataset_slug),
        "id": f"{user}/{packed.dataset_slug}",
        "licenses": [{"name": "CC0-1.0"}],
    }
    kernel = {
        "id": f"{user}/{packed.kernel_slug}",
        "title": _title(packed.kernel_slug),
        "code_file": packed.notebook.name,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": gpu,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": [f"{user}/{packed.dataset_slug}"],
        "competition_sources": [packed.contest.spec.kaggle],
    }
    if gpu:
        # Without it Kaggle may give a P100, which is older than what today's torch is built for.
        kernel["machine_shape"] = "NvidiaTeslaT4"
    for path, content in (
        (packed.dataset / "dataset-metadata.json", dataset),
        (packed.kernel / "kernel-metadata.json", kernel),
    ):
        with atomic_open(path) as file:
            json.dump(content, file, indent=1)


def _files(contest: Contest, ensemble: Path) -> dict[str, Path]:
    """The files to pack, by their names in the archive."""
    again = f"Make the ensemble again: python ensemble.py {contest.options}"
    files = {name: ensemble / name for name in ("weights.json", "test.npz", "submission.csv")}
    for run, trained in _runs(ensemble / "weights.json").items():
        folder = contest.runs / run
        if not (folder / "config.yaml").is_file():
            raise DataError(f"{folder} is not there, but {ensemble.name} needs it. Make the ensemble again without it.")
        folds = [f"fold{k}" for k in range(read_yaml(folder / "config.yaml")["n_folds"])]
        names = ["config.yaml", *(f"{fold}/{name}" for fold in folds for name in ("weights.safetensors", "DONE"))]
        files |= {f"runs/{run}/{name}": folder / name for name in names}
        done = [folder / fold / "DONE" for fold in folds]
        if trained and all(path.is_file() for path in done) and sha256_of_all(done) != trained:
            raise DataError(f"{folder} was trained anew since {ensemble.name} was made. {again}")
    for package in PACKAGES:
        for path in sorted((KIT / package).rglob("*.py")):
            files[f"code/{path.relative_to(KIT).as_posix()}"] = path
    for path in files.values():
        if not path.is_file():
            raise DataError(
                f"{path} is missing. Is its run finished? python -m pipeline.compare {contest.options} tells. {again}"
            )
    return files


def _runs(weights: Path) -> dict[str, str]:
    """The runs that weigh something, and a hash of their DONE; of earlier versions an empty one."""
    try:
        stored = json.loads(weights.read_text(encoding="utf-8"))
        trained = stored.get("trained_sha256", {})
        used = [run for member in stored["members"] if member["weight"] for run in member["runs"]]
        return {run: trained.get(run, "") for run in used}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{weights}: does not describe a blend ({error!r}); make the ensemble again") from error


def _slug(contest: Contest, purpose: str) -> str:
    """A name on Kaggle: the contest's, shortened if need be, and a purpose."""
    parts = [part for part in contest.spec.kaggle[: LONGEST_NAME - len(purpose) - 1].split("-") if part]
    return "-".join([*parts, purpose])


def _title(slug: str) -> str:
    """A title that Kaggle turns into this very slug."""
    return slug.replace("-", " ").capitalize()
