"""Checkpoints of a training: written whole or not at all, refused when they belong to another training."""

from __future__ import annotations

import os
import pickle
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

_FORMAT = 1
_KEYS = {"format", "settings", "step", "model", "optimizer", "history"}


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: of another training, or damaged. The message says what to do."""


def settings_of(model: nn.Module, columns: Mapping[str, Tensor], plan: Mapping[str, object]) -> dict[str, str]:
    """What a checkpoint must agree with, as text: the settings, the model's shapes, and a checksum of the
    data.
    """
    settings = {name: str(value) for name, value in plan.items()}
    settings["model"] = (
        type(model).__name__
        + " "
        + ", ".join(f"{name}{tuple(value.shape)}" for name, value in model.state_dict().items())
    )
    for name, values in columns.items():
        total = values.double().sum().item()
        settings[f"data {name}"] = f"{tuple(values.shape)} {values.dtype} sum {total:.9g}"
    return settings


def save(
    path: Path,
    *,
    settings: dict[str, str],
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: dict[str, object],
) -> None:
    """Write the state of a training; a crash while writing leaves the file that was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "format": _FORMAT,
        "settings": settings,
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
    }
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def restore(
    path: Path, *, settings: dict[str, str], model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, dict[str, object]]:
    """Put the state of `path` into model and optimizer.

    Returns
    -------
    (steps done, history); (0, {}) when there is no such file.

    Raises
    ------
    CheckpointError : damaged, or written by a training with other settings (the message names those that
        differ).
    """
    if not path.exists():
        return 0, {}
    state = _read(path)
    theirs = state["settings"]
    different = [name for name in sorted({*settings, *theirs}) if settings.get(name) != theirs.get(name)]
    if different:
        listed = "; ".join(
            f"{name}: {_short(theirs.get(name))} there, {_short(settings.get(name))} here" for name in different[:4]
        )
        raise CheckpointError(
            f"{path} is the checkpoint of another training ({listed}). Use another file, delete this one, or "
            "start afresh with resume=False, which overwrites it"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["history"]


def _short(text: str | None, length: int = 90) -> str:
    text = "none" if text is None else text
    return text if len(text) <= length else text[: length - 3] + "..."


def _read(path: Path) -> dict:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise CheckpointError(
            f"the checkpoint {path} cannot be read, it is damaged or incomplete: delete this file and start "
            f"again ({type(error).__name__}: {_short(str(error))})"
        ) from error
    if not isinstance(state, dict) or set(state) != _KEYS or state["format"] != _FORMAT:
        raise CheckpointError(
            f"{path} is not a checkpoint that this version of lessons_lib.training wrote: delete this file, "
            "or name another one"
        )
    return state
