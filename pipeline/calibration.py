"""Whether probabilities can be believed."""

from dataclasses import dataclass

import numpy as np

BINS = 12  # of the confidence
FEWEST = 20  # predictions in a bin, on average
Z = 1.959964  # 95 % of a normal distribution lie within so many standard deviations
ENOUGH = 2_000_000  # probabilities of labels that are looked at


@dataclass(frozen=True)
class Calibration:
    """How often predictions of some confidence are right, in bins by ascending confidence.

    confidence, accuracy, low, high, counts: (B,); low to high is Wilson's 95 % interval of the accuracy.
    error: the expected calibration error: the mean distance of the two over the predictions (Guo et al., "On
    calibration of modern neural networks", ICML 2017; bins of equal counts as Nguyen and O'Connor, EMNLP 2015).
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray
    error: float


def calibration_of_classes(labels: np.ndarray, p: np.ndarray) -> Calibration:
    """Compare the largest probabilities of p (N, C) with how often they are those of the true class (N,)."""
    confidence = p.max(axis=1).astype(np.float64)
    return calibrate(confidence, p.argmax(axis=1) == labels, np.ones(len(p)))


def calibration_of_labels(labels: np.ndarray, p: np.ndarray) -> Calibration:
    """Compare the probabilities of all labels, p (N, C), with how often they are there: labels (N, C), 0 or 1.

    Most labels are rare, and most probabilities near 0: in bins of equal counts, all but one would say the same.
    """
    rows = np.arange(len(p))
    if p.size > ENOUGH:
        rows = np.sort(np.random.default_rng(0).permutation(len(p))[: max(1, ENOUGH // p.shape[1])])
    confidence = p[rows].astype(np.float64).ravel()
    return calibrate(confidence, labels[rows].ravel() > 0, confidence * (1 - confidence) + 1e-9)


def calibrate(confidence: np.ndarray, right: np.ndarray, weight: np.ndarray) -> Calibration:
    """Bins of equal sums of `weight`. All (N,); `right` is true or false."""
    bins = max(1, min(BINS, len(confidence) // FEWEST))
    order = np.argsort(confidence, kind="stable")
    passed = np.cumsum(weight[order])
    edges = confidence[order][np.searchsorted(passed, passed[-1] * np.arange(1, bins) / bins, side="right")]
    member = np.searchsorted(np.unique(edges), confidence, side="right")  # equal confidences share a bin
    _, member = np.unique(member, return_inverse=True)
    counts = np.bincount(member)
    mean, accuracy = (np.bincount(member, values) / counts for values in (confidence, right))
    # Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927
    centre = (accuracy + Z**2 / (2 * counts)) / (1 + Z**2 / counts)
    half = Z / (1 + Z**2 / counts) * np.sqrt(accuracy * (1 - accuracy) / counts + Z**2 / (4 * counts**2))
    error = float((counts * np.abs(mean - accuracy)).sum() / len(confidence))
    return Calibration(mean, accuracy, centre - half, centre + half, counts, error)
