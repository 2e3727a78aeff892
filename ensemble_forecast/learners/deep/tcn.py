"""Temporal convolutional network: dilated causal convolutions whose reach covers the whole window."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.blocks import activation
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Shapes, head


def levels_to_cover(context: int, kernel: int) -> int:
    """Count the levels until the newest step sees the oldest one; level i reaches ``2 (kernel - 1) 2^i`` steps further back.

    >>> levels_to_cover(7, 3), levels_to_cover(13, 3), levels_to_cover(14, 3)
    (2, 2, 3)
    """
    levels, reach = 1, 1 + 2 * (kernel - 1)
    while reach < context:
        reach += 2 * (kernel - 1) * 2**levels
        levels += 1
    return levels


@dataclass(kw_only=True)
class Tcn(NetLearner):
    """Residual blocks of two dilated causal convolutions, as many as it takes to see the whole window; the newest step is read out.

    Parameters
    ----------
    channels
        Of every convolution.
    kernel
        Steps a convolution sees, at least 2.
    activation
        By name; see `blocks`.

    References
    ----------
    Bai, Kolter, Koltun (2018), An empirical evaluation of generic convolutional and recurrent networks, arXiv:1803.01271.
    """

    family: ClassVar[str] = "tcn"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "channels": 8, "context": 12}

    channels: int = 32
    kernel: int = 3
    activation: str = "relu"

    def __post_init__(self) -> None:
        if self.kernel < 2:
            raise BadInput(f"kernel must be at least 2, or no number of levels sees the window; got {self.kernel}")

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the network."""
        return _Causal(shapes, self.channels, self.kernel, self.activation, self.dropout)

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights of every level, each as often as there are steps; see `NetLearner.multiply_adds`."""
        first = self.kernel * self.channels * (shapes.channels + self.channels)
        others = (levels_to_cover(shapes.context, self.kernel) - 1) * 2 * self.kernel * self.channels**2
        return shapes.context * (first + others) + (self.channels + shapes.extras) * shapes.horizon * shapes.outputs, 0.0


class _Causal(torch.nn.Module):
    """Levels of doubling dilation; the newest step sees the whole window."""

    def __init__(self, shapes: Shapes, channels: int, kernel: int, activation_name: str, dropout: float) -> None:
        super().__init__()
        levels = levels_to_cover(shapes.context, kernel)
        inputs = [shapes.channels, *[channels] * (levels - 1)]
        self.levels = torch.nn.Sequential(*(_Level(width, channels, kernel, 2**i, activation_name, dropout) for i, width in enumerate(inputs)))
        self.head = head(channels + shapes.extras, shapes)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        hidden_BCL = self.levels(window_BLC.transpose(1, 2))
        return self.head(torch.cat([hidden_BCL[..., -1], extras_BE], dim=1))


class _Level(torch.nn.Module):
    """Two weight-normalised convolutions that look back only, and a skip."""

    def __init__(self, inputs: int, channels: int, kernel: int, dilation: int, activation_name: str, dropout: float) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        for width in (inputs, channels):
            causal = torch.nn.Conv1d(width, channels, kernel, dilation=dilation)
            padding = torch.nn.ConstantPad1d(((kernel - 1) * dilation, 0), 0.0)
            layers += [padding, torch.nn.utils.parametrizations.weight_norm(causal), activation(activation_name), torch.nn.Dropout(dropout)]
        self.layers = torch.nn.Sequential(*layers)
        self.skip = torch.nn.Conv1d(inputs, channels, 1) if inputs != channels else torch.nn.Identity()
        self.activation = activation(activation_name)

    def forward(self, x_BCL: torch.Tensor) -> torch.Tensor:
        return self.activation(self.layers(x_BCL) + self.skip(x_BCL))
