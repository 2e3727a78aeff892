"""What nets minimise, by name."""

from typing import Any

import numpy as np
import torch

from ensemble_forecast.data.task import Task
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.classes import BinaryCrossEntropy, CategoricalCrossEntropy, OfClass
from ensemble_forecast.learners.deep.corrections import AbsoluteError, Huber, OfCorrection, Pinball, SquaredError
from ensemble_forecast.learners.deep.likelihoods import Gaussian, StudentT
from ensemble_forecast.learners.deep.loss import CPU

OF_CORRECTION: dict[str, type[OfCorrection]] = {  # the first is the default
    "pinball": Pinball,
    "mse": SquaredError,
    "mae": AbsoluteError,
    "huber": Huber,
    "gaussian": Gaussian,
    "student_t": StudentT,
}
OF_CLASS: dict[str, type[OfClass]] = {"binary_cross_entropy": BinaryCrossEntropy, "categorical_cross_entropy": CategoricalCrossEntropy}


def loss_for(task: Task, name: str = "auto", log_odds_H: np.ndarray | None = None, place: torch.device = CPU) -> OfCorrection | OfClass:
    """Choose a loss by name, among those of the task's kind; ``place``: the device of its windows.

    Raises
    ------
    BadInput
        When the kind has no such loss.
    """
    if task.asked == "barrier":
        raise BadInput("nets do not learn the label 'barrier' yet; leave nets out of the families, or set label = 'up'")
    known: dict[str, Any] = OF_CLASS if task.kind == "direction" else OF_CORRECTION
    name = next(iter(known)) if name == "auto" else name
    if name not in known:
        raise BadInput(f"loss must be auto or one of {', '.join(known)} for kind {task.kind!r}; got {name!r}")
    return OF_CLASS[name](log_odds_H, place) if task.kind == "direction" else OF_CORRECTION[name](task.quantiles, place)
