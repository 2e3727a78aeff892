"""Residual multi-layer perceptron with a linear skip."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Flat, Shapes, flat_width, head


@dataclass(kw_only=True)
class Mlp(NetLearner):
    """Residual blocks over the flattened window, beside a linear map from the same inputs.

    Parameters
    ----------
    width
        Hidden units of every block.
    blocks
        Number of residual blocks; 0 leaves one hidden layer beside the linear map.

    References
    ----------
    He, Zhang, Ren, Sun (2016), Identity mappings in deep residual networks, arXiv:1603.05027 (blocks that normalise and activate first).
    """

    family: ClassVar[str] = "mlp"
    together: ClassVar[bool] = True
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "blocks": 1, "context": 12}

    width: int = 256
    blocks: int = 2

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the perceptron."""
        return Flat(
            shapes,
            torch.nn.Linear(flat_width(shapes), self.width),
            *(_Refined(self.width, self.dropout) for _ in range(self.blocks)),
            torch.nn.LayerNorm(self.width),
            torch.nn.GELU(),
            head(self.width, shapes),
        )

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights; see `NetLearner.multiply_adds`."""
        inputs, outputs = flat_width(shapes), shapes.horizon * shapes.outputs
        return inputs * self.width + self.blocks * self.width**2 + (self.width + inputs) * outputs, 0.0


class _Refined(torch.nn.Sequential):
    """Normalise, activate, drop, mix, add: one matrix, for on a CPU two shallow blocks cost less than one deep one and forecast as well."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(torch.nn.LayerNorm(width), torch.nn.GELU(), torch.nn.Dropout(dropout), torch.nn.Linear(width, width))

    def forward(self, hidden_BW: torch.Tensor) -> torch.Tensor:
        return hidden_BW + super().forward(hidden_BW)
