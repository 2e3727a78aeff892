"""What every loss of a net offers: targets, a comparison, a table to start from, and forecasts in the target's unit.

Members of a batch ensemble, or heads along a deep net, may come first (KBHQ): the loss is their mean, never that of their mean.
"""

import abc
import math
from typing import ClassVar

import torch

from ensemble_forecast.learners.deep.inputs import Batch, Windows

CPU = torch.device("cpu")
MOST_NATS = 50.0  # more is as bad


class Loss(abc.ABC):
    """One way to learn; what it holds lies on one device, that of the windows it is given."""

    n_outputs: int
    in_nats: ClassVar[bool] = False  # a log-likelihood: only differences mean anything, and it may be negative

    @abc.abstractmethod
    def target(self, windows: Windows, batch: Batch, index_B: torch.Tensor) -> torch.Tensor:
        """Gather what outputs are compared with: float32 BH, NaN where unknown."""

    @abc.abstractmethod
    def compare(self, output_BHQ: torch.Tensor, target_BH: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:
        """Mean loss of outputs; targets that are unknown do not count."""

    @abc.abstractmethod
    def climatology(self, target_NH: torch.Tensor) -> torch.Tensor:
        """Return what a forecaster would say that knows nothing but the targets met: float32 (H, outputs)."""

    @abc.abstractmethod
    def forecast(self, output_BHQ: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Turn outputs into quantiles in the target's unit, or probabilities of (down, up): float64."""

    def __call__(self, net: torch.nn.Module, windows: Windows, index_B: torch.Tensor) -> torch.Tensor:
        """Mean loss of the origins at some positions."""
        batch = windows.inputs(index_B)
        return self.compare(net(batch.window_BLC, batch.extras_BE).float(), self.target(windows, batch, index_B), batch.weight_B)

    def shown(self, value: float) -> float:
        """Turn a mean loss into a positive number whose ratios mean something: nats become perplexity."""
        return math.exp(min(value, MOST_NATS)) if self.in_nats else value

    def targets(self, windows: Windows) -> torch.Tensor:
        """Gather the targets of all origins: NH."""
        index_B = torch.arange(len(windows), device=windows.place)
        return self.target(windows, windows.inputs(index_B), index_B)


def mean(loss_BH: torch.Tensor, known_BH: torch.Tensor) -> torch.Tensor:
    """Mean over the known steps, and over what comes first (KBH)."""
    return (loss_BH * known_BH).sum() / known_BH.expand_as(loss_BH).sum().clamp(min=1)
