"""Trainings kept on disk on the way, so that one that was killed goes on where it was: plain arrays and JSON, nothing that executes.

Workers say where by the variable ENSEMBLE_FORECAST_CHECKPOINTS; without it nothing is kept. A checkpoint is named after all that determines a
training (recipe, seed, origins, values), so that it can serve no other one.
"""

import hashlib
import io
import json
import os
import time
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ensemble_forecast import atomic

EVERY_S = 30.0  # between two writes: a training that is shorter is cheaper to repeat
META = "meta"


class Checkpoint:
    """The state of one training in one file.

    Parameters
    ----------
    determined_by
        All that determines the training (arrays, numbers, texts): the file is named after it.
    """

    def __init__(self, folder: Path, determined_by: tuple[Any, ...], every_s: float = EVERY_S) -> None:
        self._folder, self._determined_by, self._every_s = folder, determined_by, every_s
        self._written = time.monotonic()

    @classmethod
    def of(cls, *determined_by: Any) -> Self | None:
        """Keep a training in the folder that the worker named; None where it named none."""
        folder = os.environ.get("ENSEMBLE_FORECAST_CHECKPOINTS")
        return cls(Path(folder), determined_by) if folder else None

    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() - self._written >= self._every_s

    def write(self, state: dict[str, Any]) -> None:
        """Replace what is there, all of it or nothing."""
        laid_aside: dict[str, np.ndarray] = {}
        laid_aside[META] = np.frombuffer(json.dumps(_plain(state, laid_aside)).encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **laid_aside)
        atomic.write_bytes(self._path, buffer.getvalue())
        self._written = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Return what was written last; None where nothing was."""
        if not self._may_exist() or not self._path.exists():
            return None
        with np.load(self._path, allow_pickle=False) as file:
            return _rebuilt(json.loads(file[META].tobytes()), file)

    def remove(self) -> None:
        """Leave nothing behind."""
        if self._may_exist():
            self._path.unlink(missing_ok=True)

    @cached_property
    def _path(self) -> Path:
        digest = hashlib.sha256()
        for part in self._determined_by:
            digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        return self._folder / f"{digest.hexdigest()[:32]}.npz"

    def _may_exist(self) -> bool:
        """Whether any checkpoint lies there: most trainings are short, and need not be named."""
        return self._folder.is_dir() and any(self._folder.iterdir())


def _plain(value: Any, laid_aside: dict[str, np.ndarray]) -> Any:
    """Replace tensors and arrays by the names under which they are laid aside."""
    if isinstance(value, dict):
        return {"dict": [[key, _plain(item, laid_aside)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_plain(item, laid_aside) for item in value]
    if isinstance(value, torch.Tensor | np.ndarray):
        name = f"{len(laid_aside):05d}"
        laid_aside[name] = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        return {"tensor" if isinstance(value, torch.Tensor) else "array": name}
    return value


def _rebuilt(value: Any, file: Any) -> Any:
    """Put back what `_plain` laid aside."""
    if isinstance(value, list):
        return [_rebuilt(item, file) for item in value]
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()))
    if kind == "dict":
        return {key: _rebuilt(item, file) for key, item in content}
    array = file[content]
    return torch.from_numpy(array) if kind == "tensor" else array
