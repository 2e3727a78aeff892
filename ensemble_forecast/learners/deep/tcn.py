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

    Forecasts are those of the whole stack, from fewer steps: a level passes on every second one, counted from the newest, which are all that the
    newest step will see of them, and on these the next level's dilation is 1.

    Parameters
    ----------
    channels
        Of every convolution; dropout leaves out whole ones.
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
        """Count the weights of every level, each as often as it has steps; see `NetLearner.multiply_adds`."""
        steps, inputs, count = shapes.context, shapes.channels, 0
        for _ in range(levels_to_cover(shapes.context, self.kernel)):
            count += steps * self.kernel * self.channels * (inputs + self.channels)
            steps, inputs = (steps + 1) // 2, self.channels
        return float(count + (self.channels + shapes.extras) * shapes.horizon * shapes.outputs), 0.0


class _Causal(torch.nn.Module):
    """Levels of doubling dilation; the newest step sees the whole window."""

    def __init__(self, shapes: Shapes, channels: int, kernel: int, activation_name: str, dropout: float) -> None:
        super().__init__()
        inputs = [shapes.channels, *[channels] * (levels_to_cover(shapes.context, kernel) - 1)]
        self.levels = torch.nn.ModuleList(_Level(width, channels, kernel, activation_name, dropout) for width in inputs)
        self.head = head(channels + shapes.extras, shapes)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        seen_BCL = window_BLC.transpose(1, 2)
        for level in self.levels:
            hidden_BCL = level(seen_BCL)
            seen_BCL = hidden_BCL[..., (hidden_BCL.shape[-1] - 1) % 2 :: 2]
        return self.head(torch.cat([hidden_BCL[..., -1], extras_BE], dim=1))


class _Level(torch.nn.Module):
    """Two weight-normalised convolutions that look back only, and a skip."""

    def __init__(self, inputs: int, channels: int, kernel: int, activation_name: str, dropout: float) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        for width in (inputs, channels):
            causal = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(width, channels, kernel))
            layers += [torch.nn.ConstantPad1d((kernel - 1, 0), 0.0), causal, activation(activation_name), torch.nn.Dropout1d(dropout)]
        self.layers = torch.nn.Sequential(*layers)
        self.skip = torch.nn.Conv1d(inputs, channels, 1) if inputs != channels else torch.nn.Identity()
        self.activation = activation(activation_name)

    def forward(self, x_BCL: torch.Tensor) -> torch.Tensor:
        return self.activation(self.layers(x_BCL) + self.skip(x_BCL))
