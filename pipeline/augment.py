"""Augmentation with albumentations, reproducible from a seed."""

import difflib
import os
import random
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from competition.errors import SpecError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise importing it asks the network for a newer version

import albumentations as A


class Augmentation:
    """A sequence of albumentations transforms whose outcome depends on nothing but the seed of `reseed`."""

    def __init__(self, entries: Sequence[dict[str, dict[str, Any]]]) -> None:
        """Args: entries: one {name: arguments} per transform, as in a recipe. Raises SpecError for an unknown one."""
        self._names = ", ".join(name for entry in entries for name in entry)
        self._compose = A.Compose([_transform(name, args) for entry in entries for name, args in entry.items()])

    def reseed(self, *seed: int) -> None:
        """Start the random streams anew.

        Each transform gets a stream of its own. Compose's own `seed` gives all of them the same one, and then a
        horizontal and a vertical flip of p = 0.5 happen always together or not at all.
        """
        for number, transform in enumerate(self._compose.transforms):
            state = np.random.SeedSequence([*seed, number]).generate_state(2, np.uint64)
            transform.set_random_state(np.random.default_rng(int(state[0])), random.Random(int(state[1])))  # noqa: S311

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Transform one (H, W, C) uint8 image into another one.

        Raises SpecError when a transform cannot take it, or makes something else of it.
        """
        try:
            made = self._compose(image=image)["image"]
        except Exception as error:  # whatever its author let through
            said = " ".join(str(error).split())
            raise SpecError(f"augment ({self._names}): cannot take an image of shape {image.shape}: {said}") from error
        if not isinstance(made, np.ndarray) or made.dtype != np.uint8 or made.shape[2:] != image.shape[2:]:
            raise SpecError(
                f"augment ({self._names}): an image of whole numbers 0…255 becomes {getattr(made, 'dtype', made)} of "
                f"shape {tuple(made.shape)}. Leave out Normalize, ToFloat, ToTensorV2 and the like: the kit does that"
            )
        return made


def _transform(name: str, args: dict[str, Any]) -> A.BasicTransform:
    known = [n for n, c in vars(A).items() if isinstance(c, type) and issubclass(c, A.BasicTransform)]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise SpecError(
            f"augment: albumentations has no transform {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # albumentations only warns about an unknown argument, and ignores it
            return getattr(A, name)(**args)
    except (TypeError, ValueError, Warning) as error:
        raise SpecError(f"augment.{name}: {error}") from error
