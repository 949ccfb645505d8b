"""Checkpoints: last.pt to go on from, weights.safetensors to predict with."""

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from competition.errors import DataError
from competition.files import atomic_open


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write everything that training needs to go on. The previous checkpoint stays until this one is whole."""
    buffer = BytesIO()  # torch.save to a full disk would raise a RuntimeError about positions
    torch.save(state, buffer)
    with atomic_open(path, "wb") as file:
        file.write(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state that `save_checkpoint` wrote, on the CPU, or None where there is none.

    Raises DataError for a damaged file, and OSError for one that cannot be read.
    """
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # a full GPU is no damaged file
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path}: not a whole checkpoint ({error}). Delete it to train this fold from the start."
        ) from error


def save_weights(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write a network's parameters and buffers as safetensors, atomically."""
    # Copies, because safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    with atomic_open(path, "wb") as file:
        file.write(safetensors.torch.save(tensors))


def load_weights(path: Path, network: nn.Module) -> None:
    """Load them into `network`. Raises DataError when the file is missing, damaged or of another network."""
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except PermissionError:
        raise  # nothing is wrong with the file
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataError(
            f"{path}: not the whole weights of this run's network ({error}). Delete {path.parent / 'DONE'} and give "
            f"the training command again: it makes them anew from last.pt"
        ) from error
