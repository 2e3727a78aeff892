"""Highway network over the flattened window."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.blocks import Gated, activation
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Flat, Shapes, flat_width, head


@dataclass(kw_only=True)
class Highway(NetLearner):
    """Layers that learn, unit by unit, how much of their input to let pass.

    Parameters
    ----------
    width
        Units of every layer.
    layers
        Number of layers.
    gate_bias
        Of the gates at first: the more negative, the more a layer lets pass.
    activation
        By name; see `blocks`.

    References
    ----------
    Srivastava, Greff, Schmidhuber (2015), Highway networks, arXiv:1505.00387. Departure: a linear map stands beside it all.
    """

    family: ClassVar[str] = "highway"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "layers": 2, "context": 12}

    width: int = 128
    layers: int = 4
    gate_bias: float = -1.0
    activation: str = "relu"

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the network."""
        return Flat(
            shapes,
            torch.nn.Linear(flat_width(shapes), self.width),
            *(Gated(self._layer(), self.width, self.gate_bias) for _ in range(self.layers)),
            head(self.width, shapes),
        )

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights; see `NetLearner.multiply_adds`."""
        inputs, outputs = flat_width(shapes), shapes.horizon * shapes.outputs
        return inputs * self.width + self.layers * 2 * self.width**2 + (self.width + inputs) * outputs, 0.0

    def _layer(self) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(self.width, self.width), activation(self.activation), torch.nn.Dropout(self.dropout))
