"""Convolutional network along the window."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.blocks import activation, sequence_norm
from ensemble_forecast.learners.deep.names import check_name
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Shapes, head

CONVOLUTIONS = ("standard", "pointwise", "depthwise_separable")


def convolution(kind: str, channels: int, out: int, kernel: int) -> torch.nn.Module:
    """Build a convolution (B, channels, L) to (B, out, L).

    ``"pointwise"`` mixes channels and looks at one step; ``"depthwise_separable"`` filters each channel by itself, then mixes them: about
    ``channels x (kernel + out)`` weights instead of ``channels x kernel x out`` (Chollet 2017, arXiv:1610.02357).

    Raises
    ------
    BadInput
        When the kind is unknown.
    """
    check_name("convolution", kind, CONVOLUTIONS)
    if kind == "standard":
        return torch.nn.Conv1d(channels, out, kernel, padding="same")
    pointwise = torch.nn.Conv1d(channels, out, 1)
    if kind == "pointwise":
        return pointwise
    return torch.nn.Sequential(torch.nn.Conv1d(channels, channels, kernel, padding="same", groups=channels), pointwise)


@dataclass(kw_only=True)
class Cnn(NetLearner):
    """Convolutions with pooling between them; the mean over time and the newest step are read out.

    Parameters
    ----------
    channels, kernel, layers
        Of every convolution, and how many.
    convolution
        "standard", "pointwise" or "depthwise_separable".
    pool
        Steps that are averaged after each layer while enough are left; 1: none.
    activation, norm
        By name; see `blocks`.

    References
    ----------
    Wang, Yan, Oates (2017), Time series classification from scratch with deep neural networks, arXiv:1611.06455 (the fully convolutional net).
    Departures: pooling, the newest step beside the mean.
    """

    family: ClassVar[str] = "cnn"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "channels": 8, "layers": 2, "context": 12}

    channels: int = 32
    kernel: int = 5
    layers: int = 3
    convolution: str = "standard"
    pool: int = 2
    activation: str = "relu"
    norm: str = "layer"

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the network."""
        return _Convolved(shapes, self.channels, [self._layer(channels, pool) for channels, _, pool in self._plan(shapes)])

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights of every layer, each as often as there are steps; see `NetLearner.multiply_adds`."""
        total = 0.0
        for channels, length, _ in self._plan(shapes):
            filters, mixing = channels * self.kernel, channels * self.channels
            per_step = {"standard": filters * self.channels, "pointwise": mixing, "depthwise_separable": filters + mixing}[self.convolution]
            total += length * per_step
        return total + (2 * self.channels + shapes.extras) * shapes.horizon * shapes.outputs, 0.0

    def _plan(self, shapes: Shapes) -> list[tuple[int, int, int]]:
        """Channels and steps that enter each layer, and the pooling after it."""
        plan, channels, length = [], shapes.channels, shapes.context
        for _ in range(self.layers):
            pool = self.pool if length >= 2 * self.pool else 1
            plan.append((channels, length, pool))
            channels, length = self.channels, -(-length // pool)
        return plan

    def _layer(self, channels: int, pool: int) -> torch.nn.Module:
        return torch.nn.Sequential(
            convolution(self.convolution, channels, self.channels, self.kernel),
            sequence_norm(self.norm, self.channels),
            activation(self.activation),
            torch.nn.Dropout(self.dropout),
            torch.nn.AvgPool1d(pool, ceil_mode=True, count_include_pad=False) if pool > 1 else torch.nn.Identity(),
        )


class _Convolved(torch.nn.Module):
    """Layers along the window; read out are the mean over time, the newest step, and the extras."""

    def __init__(self, shapes: Shapes, channels: int, layers: list[torch.nn.Module]) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(*layers)
        self.head = head(2 * channels + shapes.extras, shapes)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        hidden_BCL = self.layers(window_BLC.transpose(1, 2))
        return self.head(torch.cat([hidden_BCL.mean(dim=2), hidden_BCL[..., -1], extras_BE], dim=1))
