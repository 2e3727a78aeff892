"""Residual multi-layer perceptron with a linear skip."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.nets import NetLearner, Shapes, head


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
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "blocks": 1, "context": 12}

    width: int = 256
    blocks: int = 2

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the perceptron."""
        return _ResidualMlp(shapes, self.width, self.blocks, self.dropout)

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights; see `NetLearner.multiply_adds`."""
        inputs, outputs = shapes.context * shapes.channels + shapes.extras, shapes.horizon * shapes.outputs
        return inputs * self.width + self.blocks * self.width**2 + (self.width + inputs) * outputs, 0.0


class _ResidualMlp(torch.nn.Module):
    """Flatten, lift to the width, refine by pre-activation blocks, read out; plus a linear skip from the inputs."""

    def __init__(self, shapes: Shapes, width: int, blocks: int, dropout: float) -> None:
        super().__init__()
        inputs = shapes.context * shapes.channels + shapes.extras
        self.lift = torch.nn.Linear(inputs, width)
        self.blocks = torch.nn.ModuleList(_block(width, dropout) for _ in range(blocks))
        self.norm = torch.nn.LayerNorm(width)
        self.head = head(width, shapes)
        self.skip = head(inputs, shapes)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        flat = torch.cat([window_BLC.flatten(1), extras_BE], dim=1)
        hidden = self.lift(flat)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.head(torch.nn.functional.gelu(self.norm(hidden))) + self.skip(flat)


def _block(width: int, dropout: float) -> torch.nn.Sequential:
    """Normalise, activate, drop, mix: one matrix, for on a CPU two shallow blocks cost less than one deep one and forecast as well."""
    return torch.nn.Sequential(torch.nn.LayerNorm(width), torch.nn.GELU(), torch.nn.Dropout(dropout), torch.nn.Linear(width, width))
