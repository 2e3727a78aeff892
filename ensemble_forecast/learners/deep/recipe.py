"""How a net is trained: the choices that a space may search, with their defaults."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ensemble_forecast.learners.base import Learner

LOSSES = {  # names by kind of task; the first is the default
    "quantiles": ("pinball", "mse", "mae", "huber", "gaussian", "student_t"),
    "direction": ("binary_cross_entropy", "categorical_cross_entropy"),
}


@dataclass(kw_only=True)
class Recipe(Learner):
    """A learner that is trained by gradients: the choices of its training.

    Parameters
    ----------
    loss
        By name, see `losses`; "auto": pinball, or binary cross-entropy for kind ``direction``.
    balanced
        Kind ``direction`` only: whether both classes count the same in training; forecasts are put back to the frequencies that were met.
    steps, batch, accumulate
        Updates of the weights; origins in a batch; batches whose gradients make one update.
    epochs
        Passes over the fit role at most, in place of ``steps``: the stop role is then looked at after each of them, "plateau" halves the rate
        after 10 looks without gain, and 50 end the training. 0: ``steps`` is the length, and looks lie ever further apart.
    optimiser, learning_rate, momentum, weight_decay
        By name, see `optimisers`; the peak of the rate, 0 to have it found; of "momentum", "rmsprop" and the first moment of the Adam family;
        of matrices only.
    finder
        What finds the rate: "range_test", or "sweep" over some of them in the first ninth of the steps (see `finder`).
    schedule, warm_up
        By name, see `schedules`; share of the steps in which the rate rises.
    l1
        Penalty on the mean absolute weight of matrices.
    clip
        Largest norm of the gradient.
    ema
        Decay of the weights' exponential moving average, which is what forecasts; 0: the last weights forecast.
    initialisation
        Of matrices, by name, see `initialisation`.
    augmentation, strength
        What is done to training windows, by name, see `augmentation`; and how much of it.
    dropout
        Of the module.
    devices
        That share every batch, see `parallel`; more than one pays for large nets only.
    precision
        Of the products in a step: "float32"; "bfloat16", where the device has instructions for it; "auto": bfloat16 on a GPU, float32 on a CPU.
    start, transfer, layer_decay
        Folder of a saved ensemble whose net of the same family lends its weights, empty: none; what becomes of them ("fine_tune", "frozen" or
        "unfreeze"), and how much slower each layer trains than the one after it, see `transfer`. The ensemble must be of other series, or of a
        history that ends before the first window; where shocks are common to all series, of other days as well.
    """

    ABSENT: ClassVar[dict[str, Any]] = {"precision": "auto"}  # see `encoding`

    loss: str = "auto"
    balanced: bool = False
    steps: int = 1000
    epochs: int = 0
    batch: int = 256
    accumulate: int = 1
    optimiser: str = "adamw"
    learning_rate: float = 2e-3
    finder: str = "range_test"
    momentum: float = 0.9
    weight_decay: float = 1e-2
    schedule: str = "cosine"
    warm_up: float = 0.05
    l1: float = 0.0
    clip: float = 1.0
    ema: float = 0.998
    initialisation: str = "default"
    augmentation: str = "none"
    strength: float = 0.1
    dropout: float = 0.1
    devices: int = 1
    precision: str = "auto"
    start: str = ""
    transfer: str = "fine_tune"
    layer_decay: float = 1.0
