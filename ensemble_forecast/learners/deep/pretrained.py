"""A forecaster that others have pretrained, from weights that the user has on disk: Chronos-Bolt or Chronos-2, through their own package.

Nothing is downloaded: ``weights`` is a folder. What such a forecaster was pretrained on nobody can check here: it may have seen the very
series, and then its out-of-fold forecasts flatter it.
"""

import hashlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.data.task import Task
from ensemble_forecast.deadline import Deadline
from ensemble_forecast.errors import BadInput, MissingPackage
from ensemble_forecast.features.contexts import gather
from ensemble_forecast.learners.base import Learner, Size, check_fitted
from ensemble_forecast.learners.deep.devices import device, reproducible
from ensemble_forecast.windows import Roles

BATCH = 64  # origins at a time; the deadline is looked at between them
NARROWEST = 16  # steps of context: a patch of the common models
STEP_S = 3e-5  # seconds a step of context takes on a plain core, with a small model


@dataclass(kw_only=True)
class Pretrained(Learner):
    """Forecast by a pretrained model as it is; `fit` only notes which weights it was.

    Sources: Ansari et al. 2024 (arXiv:2403.07815), Chronos-2 2025 (arXiv:2510.15821). Quantile levels outside those that the model was
    trained for get its outermost ones, steps beyond its horizon are forecast from its own medians; the ensemble's calibration sees both.

    Parameters
    ----------
    weights
        Folder with ``config.json`` and weights, as `from_pretrained` of the package chronos-forecasting reads them.
    context
        Steps of history to read, at most.

    Raises
    ------
    MissingPackage
        When chronos-forecasting is not installed.
    """

    family: ClassVar[str] = "pretrained"
    group: ClassVar[str] = "deep"
    learns_from_origins: ClassVar[bool] = False

    weights: str = ""
    context: int = 512

    def __post_init__(self) -> None:
        if find_spec("chronos") is None:
            raise MissingPackage(f"learner {self.family!r} needs chronos-forecasting; install ensemble-forecast[pretrained]")
        if self.context < 1:
            raise BadInput(f"context must be at least 1 step; got {self.context}")

    def fit(self, panel: Panel, roles: Roles, task: Task, deadline: Deadline) -> Self:  # noqa: ARG002
        """Note which weights these are, and what is asked; see `Learner.fit`."""
        self.sha256_ = _read(self.weights)[1]
        self.horizon_, self.levels_, self.truncated_ = task.horizon, list(task.quantiles), False
        return self

    def predict(self, panel: Panel, origins: Origins, deadline: Deadline) -> np.ndarray:
        """Forecast the origins in batches while there is time: (N, H, Q); NaN rows where a series has no observation yet.

        Raises
        ------
        BadInput
            When the folder holds other weights than those it held for `fit`.
        """
        check_fitted(self)
        pipeline, sha256 = _read(self.weights)
        if sha256 != self.sha256_:
            raise BadInput(f"the weights in {self.weights} are not those that this forecaster was fitted with; put those back, or fit again")
        context_NL = gather(panel.y, panel, origins, self.context)
        forecast_NHQ = np.full((len(origins), self.horizon_, len(self.levels_)), np.nan)
        for count, rows in enumerate(_batches(context_NL, origins.step + 1)):
            if count and deadline.passed():
                break
            forecast_NHQ[rows] = self._forecast(pipeline, context_NL[rows, -_width(int(origins.step[rows[0]]) + 1) :])
        return np.sort(forecast_NHQ, axis=-1)

    def work(self, size: Size, task: Task) -> float:  # noqa: ARG002
        """Count the steps of context that are read; see `Learner.work`."""
        return STEP_S * size.n_scored * min(self.context, size.length)

    def _forecast(self, pipeline: Any, context_BL: np.ndarray) -> np.ndarray:
        """Forecast a batch: (B, H, Q)."""
        histories = [torch.tensor(row_L, dtype=torch.float32) for row_L in context_BL]
        with reproducible(0), warnings.catch_warnings(action="ignore"):
            quantiles, _ = pipeline.predict_quantiles(histories, prediction_length=self.horizon_, quantile_levels=self.levels_)
        return np.stack([np.asarray(one, dtype=float).reshape(self.horizon_, -1) for one in quantiles])


def _batches(context_NL: np.ndarray, length_N: np.ndarray) -> Iterator[np.ndarray]:
    """Sort the origins that have seen anything into batches of one width: short histories need not be padded to the longest."""
    width_N = np.array([_width(length) for length in length_N.tolist()])
    for width in np.unique(width_N):
        served = np.flatnonzero((width_N == width) & np.isfinite(context_NL).any(axis=1))
        yield from np.split(served, range(BATCH, len(served), BATCH)) if len(served) else ()


def _width(length: int) -> int:
    """Return the steps that a history is laid out in: a power of two, so that they depend on nothing but its own past."""
    return max(NARROWEST, 1 << (length - 1).bit_length())


def _read(weights: str) -> tuple[Any, str]:
    """Read a pretrained forecaster, and the SHA-256 of its files.

    Raises
    ------
    BadInput
        When the folder holds no forecaster that gives quantiles.
    """
    folder = Path(weights).absolute()
    if not weights or not (folder / "config.json").is_file():
        raise BadInput(f"weights must be a folder with a config.json and the weights of Chronos-Bolt or Chronos-2; got {weights!r}")
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    return _read_files(folder, tuple((file.name, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=2)
def _read_files(folder: Path, files: tuple[tuple[str, int], ...]) -> tuple[Any, str]:
    from chronos import BaseChronosPipeline  # noqa: PLC0415 - seconds, and an extra

    logging.getLogger("chronos").setLevel(logging.ERROR)
    try:
        pipeline = BaseChronosPipeline.from_pretrained(str(folder), device_map=str(device()), local_files_only=True)
    except (OSError, ValueError, KeyError, AttributeError, AssertionError) as error:
        raise BadInput(f"{folder} holds nothing that chronos-forecasting can load ({error})") from error
    if pipeline.forecast_type.value != "quantiles":
        raise BadInput(f"{folder} holds a forecaster that draws samples; use Chronos-Bolt or Chronos-2, which give quantiles")
    digest = hashlib.sha256()
    for name, _ in files:
        with (folder / name).open("rb") as stream:
            digest.update(name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return pipeline, digest.hexdigest()
