"""From predictions of images to predictions of rows, where a row can have several."""

import numpy as np

from competition.errors import SpecError
from competition.sparse import MANY, Sparse
from competition.spec_parts import Target, Views


def predictions_of_rows(
    p: np.ndarray | Sparse, row_of: np.ndarray, views: Views | None, target: Target
) -> np.ndarray | Sparse:
    """One prediction for every row, from those of its images.

    Args:
        p: (V, C) predictions of images, each row's together. row_of: (V,) the rows, ascending.
        views: how a row's are reduced. Of a yes or no, the greatest is that of the yes.

    Returns:
        (R, C) float32, R being the number of different rows; numbers lie in the target's range.

    Raises SpecError for the greatest of more classes than are kept.
    """
    starts = np.flatnonzero(np.diff(row_of, prepend=-1))
    if isinstance(p, Sparse) and len(starts) < len(p):
        if views is not None and views.reduce == "max":
            raise SpecError(f"views.reduce: max is for at most {MANY} classes, and here are {p.shape[1]}; use mean")
        return p.mean_of_groups(starts)
    if len(starts) < len(p):
        if views is not None and views.reduce == "max":
            p = np.maximum.reduceat(p, starts, axis=0)
            if target.kind == "binary":
                p[:, 0] = 1 - p[:, 1]
            elif target.family in ("classes", "shares"):
                p /= p.sum(axis=1, keepdims=True)
        else:
            p = np.add.reduceat(p, starts, axis=0) / np.diff(starts, append=len(p))[:, None].astype(p.dtype)
    return p.clip(*target.range) if target.range is not None else p
