"""Log-linear pooling: a weighted mean of logarithms of probabilities, and its special case of one member, temperature.

It is sharper than a mean of probabilities, and wins where members of different kinds agree; on few rows it overfits.
"""

import functools

import numpy as np

from blending.convex import nonnegative_quadratic

FEW = 7  # classes
LEAST = 1e-7  # probabilities below are taken for this: the logarithm of nearly nothing would outvote everyone


def logarithms(p: np.ndarray) -> np.ndarray:
    """Of probabilities, clipped."""
    return np.log(np.clip(p, LEAST, 1))


def pooled(total: np.ndarray) -> np.ndarray:
    """Distributions (..., C) from weighted sums of logarithms (..., C)."""
    q = np.exp(total - over_classes(np.maximum, total))
    return q / over_classes(np.add, q)


def over_classes(operation: np.ufunc, x: np.ndarray) -> np.ndarray:
    """np.add or np.maximum over the classes (..., C), as (..., 1)."""
    if x.shape[-1] > FEW:
        return operation.reduce(x, axis=-1, keepdims=True)
    # NumPy reduces a short last axis number by number; whole columns take a tenth of the time.
    return functools.reduce(operation, (x[..., k] for k in range(x.shape[-1])))[..., None]


def log_linear_weights(
    logs: np.ndarray, y: np.ndarray, prior: np.ndarray, strength: float, tolerance: float = 1e-9
) -> np.ndarray:
    """The v >= 0 of least summed log loss of softmax(sum_j v[j] logs[j]) + strength/2 · |v - prior|², by Newton.

    Args:
        logs: (M, N, C) logarithms of the members' probabilities. y: (N,) class indices.
        prior: (M,) weights to stay near to, such as those of a linear blend.
        strength: how near; the squared distance of 1 weighs as much as half a nat of one row.

    Returns:
        (M,) float64. A sum above 1 makes the pool more certain than its members, below 1 less.
    """
    m, n, c = logs.shape
    flat, true = logs.reshape(m, -1), logs[:, np.arange(n), y]
    v = prior.astype(np.float64)
    loss, q = _pool_loss(flat, true, v, prior, strength, c)
    for _ in range(50):
        weighted = flat * q.reshape(-1)
        mean = over_classes(np.add, weighted.reshape(m, n, c))[..., 0]
        gradient = (mean - true).mean(axis=1) + strength / n * (v - prior)
        hessian = (weighted @ flat.T - mean @ mean.T) / n + (strength / n + 1e-12) * np.eye(m)
        step = nonnegative_quadratic(hessian, hessian @ v - gradient) - v
        slope = gradient @ step
        if -slope <= tolerance:
            break
        for length in 0.5 ** np.arange(30):
            there = _pool_loss(flat, true, v + length * step, prior, strength, c)
            if there[0] <= loss + 1e-4 * length * slope:
                break
        else:
            break
        v = v + length * step
        loss, q = there
    return v


def temperature_exponent(logs: np.ndarray, y: np.ndarray, strength: float) -> float:
    """The power to which probabilities (logs: (N, C), their logarithms) are raised for the least log loss.

    Above 1 sharpens; `strength` pulls towards 1. It is 1 / temperature in Guo et al., "On calibration of modern neural
    networks", ICML 2017.
    """
    return float(log_linear_weights(logs[None], y, np.ones(1), strength)[0])


def _pool_loss(
    flat: np.ndarray, true: np.ndarray, v: np.ndarray, prior: np.ndarray, strength: float, c: int
) -> tuple[float, np.ndarray]:
    """The mean loss with its penalty, and the pool (N, C)."""
    total = (v @ flat).reshape(-1, c)
    top = over_classes(np.maximum, total)
    q = np.exp(total - top)
    sums = over_classes(np.add, q)
    losses = (np.log(sums) + top)[:, 0] - v @ true
    return float(losses.mean() + strength / 2 / len(losses) * ((v - prior) ** 2).sum()), q / sums
