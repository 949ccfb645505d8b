"""The embedded contest "deepfake-digits": which generator made this digit?

A small, offline stand-in for contests whose classes are image generators. One class, ``real``, is handwriting:
the 8x8 digits of ``sklearn.datasets.load_digits`` (17 grey levels). The other four are fresh draws from generative
models that ``build`` fits to those digits when first called: a Gaussian mixture, a kernel density estimate, a
restricted Boltzmann machine and per-digit factor analysis. Nothing is downloaded and nothing is a mock-up, but it is
a toy: pictures carry 8x8 pixels of information, the models are classical, and the solution lies beside the contest so
that submissions can be scored at home. The real digits are public (a look-up in ``load_digits`` would find them) and
every generator saw all of them, so scores here only compare workflows; they say nothing about real fake detection.
"""

import zipfile
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.files import atomic_open

CLASSES = ("real", "gaussian_mixture", "kernel_density", "boltzmann_machine", "factor_analysis")
NAME = "deepfake-digits"
IMAGE_SIDE = 32
TRAIN_PER_CLASS, PUBLIC_PER_CLASS, PRIVATE_PER_CLASS = 825, 110, 165  # 4,125 train; 550 + 825 = 1,375 test images
PER_CLASS = TRAIN_PER_CLASS + PUBLIC_PER_CLASS + PRIVATE_PER_CLASS
SEED = 20240501
MIXTURE_PARTS, MIXTURE_DIMENSIONS = 40, 30
KERNEL_WIDTH, KERNEL_DIMENSIONS = 2.5, 30
HIDDEN_UNITS, RBM_PASSES, GIBBS_STEPS = 200, 30, 10
FACTORS = 10

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]


def build(destination: Path) -> tuple[Path, Path]:
    """Write the contest into a folder unless it is there, and return the paths (zip, solution).

    ``<destination>/deepfake-digits.zip`` holds what a contestant gets: ``train.csv`` (columns id,label; 4,125 rows,
    825 of each name in ``CLASSES``), ``train/<id>.png``, ``test/<id>.png`` (1,375 files) and ``sample_submission.csv``
    (id,label; the same label on every row). ``<destination>/solution.csv`` (id,label,Usage) is the answer key of the
    test images, Usage being Public (40 %) or Private (60 %), stratified by class. Images are 8-bit greyscale PNG of
    32x32 pixels, values 0..255. Ids are 7 characters, to be read as text (as numbers they lose zeros and collide).

    The same machine and library versions give the same bytes every time. The folder is made if need be. Each file
    appears whole or not at all, the zip last. Raises OSError where the folder cannot be written.
    """
    archive, solution = destination / f"{NAME}.zip", destination / "solution.csv"
    if archive.exists() and solution.exists():
        return archive, solution
    from threadpoolctl import threadpool_limits  # comes with scikit-learn, which requires it

    destination.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    with threadpool_limits(limits=1):  # the order of threaded sums varies, and would vary the draws with it
        pictures = _pictures(rng)
    table = pd.DataFrame({"id": _ids(len(CLASSES) * PER_CLASS, rng), "label": np.repeat(CLASSES, PER_CLASS)})
    usage = ["train"] * TRAIN_PER_CLASS + ["Public"] * PUBLIC_PER_CLASS + ["Private"] * PRIVATE_PER_CLASS
    table["Usage"] = usage * len(CLASSES)  # within a class the pictures are already in random order
    table["png"] = [_png(picture) for picture in pictures]
    table = table.sort_values("id")  # ids were dealt at random, so this order is a shuffle that shows no class
    test = table[table["Usage"] != "train"]
    with atomic_open(solution, "wb") as file:
        file.write(_csv(test[["id", "label", "Usage"]]))
    with atomic_open(archive, "wb") as file:
        _write_zip(file, table[table["Usage"] == "train"], test)
    return archive, solution


def _pictures(rng: np.random.Generator) -> Bytes:
    """All pictures, (5 * PER_CLASS, 32, 32), class after class, random order within a class, no two alike."""
    from sklearn.datasets import load_digits  # scikit-learn costs seconds: only when the contest is made

    digits, names = load_digits(return_X_y=True)
    draws = (
        digits,
        _gaussian_mixture(digits),
        _kernel_density(digits),
        _boltzmann_machine(digits, rng),
        _factor_analysis(digits, names, rng),
    )
    chosen: list[Bytes] = []
    seen: set[bytes] = set()  # over all classes: a repeated picture would leak from train to test, or have two labels
    for fields in draws:
        levels = _same_levels(fields, digits, rng)
        kept = 0
        for row in rng.permutation(len(levels)):
            picture = _enlarge(levels[row])
            if picture.tobytes() not in seen and kept < PER_CLASS:
                seen.add(picture.tobytes())
                chosen.append(picture)
                kept += 1
        assert kept == PER_CLASS
    return np.stack(chosen)


def _gaussian_mixture(digits: Floats) -> Floats:
    """Draws from full-covariance Gaussians in the space of the leading principal components."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    pca = PCA(MIXTURE_DIMENSIONS, random_state=SEED).fit(digits)
    mixture = GaussianMixture(MIXTURE_PARTS, reg_covar=0.1, tol=0.01, max_iter=300, random_state=SEED)
    return pca.inverse_transform(mixture.fit(pca.transform(digits)).sample(len(digits))[0])


def _kernel_density(digits: Floats) -> Floats:
    """Draws from a Gaussian kernel density: a real digit plus equal noise along each leading principal component."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KernelDensity

    pca = PCA(KERNEL_DIMENSIONS, random_state=SEED).fit(digits)
    density = KernelDensity(bandwidth=KERNEL_WIDTH).fit(pca.transform(digits))
    return pca.inverse_transform(density.sample(len(digits), random_state=SEED))


def _boltzmann_machine(digits: Floats, rng: np.random.Generator) -> Floats:
    """Short Gibbs chains begun at the real digits (long ones sink into a few shapes); ink chances at the last step."""
    from sklearn.neural_network import BernoulliRBM

    machine = BernoulliRBM(HIDDEN_UNITS, learning_rate=0.05, batch_size=20, n_iter=RBM_PASSES, random_state=SEED)
    visible = machine.fit(digits / 16).gibbs(digits / 16)
    for _ in range(GIBBS_STEPS - 2):
        visible = machine.gibbs(visible)
    hidden = rng.random((len(digits), HIDDEN_UNITS)) < machine.transform(visible)
    return 16 / (1 + np.exp(-(hidden @ machine.components_ + machine.intercept_visible_)))


def _factor_analysis(digits: Floats, names: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Draws from one factor analysis per digit, as many as there are real ones, so the mix of digits tells nothing."""
    from sklearn.decomposition import FactorAnalysis

    draws = []
    for name in range(10):
        own = digits[names == name]
        model = FactorAnalysis(FACTORS, tol=0.01, max_iter=5000, random_state=SEED).fit(own)
        noise = rng.standard_normal(own.shape) * np.sqrt(model.noise_variance_)
        draws.append(model.mean_ + rng.standard_normal((len(own), FACTORS)) @ model.components_ + noise)
    return np.concatenate(draws)


def _same_levels(fields: Floats, digits: Floats, rng: np.random.Generator) -> Floats:
    """Map a class's values onto levels 0..16 by rank, so that its pool has exactly the histogram of the real digits.

    Models draw fractions, values below 0 or above 16, and seldom an exact 0 or 16, which half the real pixels are.
    Rounding and clipping would leave counts of 0s and 16s that give the class away without a look at the strokes.
    The map is monotonic and the same for all pixels of a class; for the real digits it is the identity. Ties are
    broken at random.
    """
    levels = np.empty(fields.size)
    levels[np.lexsort((rng.random(fields.size), fields.ravel()))] = np.sort(digits.ravel())
    return levels.reshape(fields.shape)


def _enlarge(levels: Floats) -> Bytes:
    """A field of 64 levels as a 32x32 picture: one path for every class, so the interpolation tells nothing."""
    field = np.rint(levels.reshape(8, 8) * (255 / 16)).astype(np.uint8)
    return np.asarray(cv2.resize(field, (IMAGE_SIDE, IMAGE_SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _ids(count: int, rng: np.random.Generator) -> list[str]:
    """Distinct ids in random order, half like 0012345 and half like 00012e5: each one a trap if read as a number."""
    digits = [f"{number:06d}" for number in rng.choice(10**6, count, replace=False)]
    traps = [f"0{text}" if place % 2 else f"{text[:5]}e{text[5]}" for place, text in enumerate(digits)]
    return [traps[place] for place in rng.permutation(count)]  # else odd and even ids would follow the class order


def _png(picture: Bytes) -> bytes:
    done, code = cv2.imencode(".png", picture)
    assert done
    return code.tobytes()


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _write_zip(file: IO[bytes], train: pd.DataFrame, test: pd.DataFrame) -> None:
    members = {
        "sample_submission.csv": _csv(test[["id"]].assign(label=CLASSES[0])),
        "train.csv": _csv(train[["id", "label"]]),
        **{f"test/{name}.png": code for name, code in zip(test["id"], test["png"], strict=True)},
        **{f"train/{name}.png": code for name, code in zip(train["id"], train["png"], strict=True)},
    }
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, date_time=(2024, 5, 1, 0, 0, 0))  # a real clock would change the bytes
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
