"""Densely connected network over the flattened window."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.blocks import Concatenated, activation, norm
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Flat, Shapes, flat_width, head


@dataclass(kw_only=True)
class DenseNet(NetLearner):
    """Every layer reads what all layers before it gave, and appends a few units of its own.

    Parameters
    ----------
    width
        Units that the inputs are lifted to.
    growth
        Units that a layer appends.
    layers
        Number of layers.
    activation, norm
        By name; see `blocks`.

    References
    ----------
    Huang et al. (2017), Densely connected convolutional networks, arXiv:1608.06993. Departures: layers are linear, there are no transitions, and a
    linear map stands beside it all.
    """

    family: ClassVar[str] = "densenet"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "growth": 8, "layers": 2, "context": 12}

    width: int = 128
    growth: int = 64
    layers: int = 4
    activation: str = "relu"
    norm: str = "layer"

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the network."""
        widths = self._widths()
        return Flat(
            shapes,
            torch.nn.Linear(flat_width(shapes), self.width),
            *(Concatenated(self._layer(width)) for width in widths[:-1]),
            norm(self.norm, widths[-1]),
            activation(self.activation),
            head(widths[-1], shapes),
        )

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights; see `NetLearner.multiply_adds`."""
        inputs, outputs, widths = flat_width(shapes), shapes.horizon * shapes.outputs, self._widths()
        return inputs * self.width + sum(widths[:-1]) * self.growth + (widths[-1] + inputs) * outputs, 0.0

    def _widths(self) -> list[int]:
        """Units before each layer, and at the end."""
        return [self.width + layer * self.growth for layer in range(self.layers + 1)]

    def _layer(self, width: int) -> torch.nn.Module:
        return torch.nn.Sequential(
            norm(self.norm, width), activation(self.activation), torch.nn.Dropout(self.dropout), torch.nn.Linear(width, self.growth)
        )
