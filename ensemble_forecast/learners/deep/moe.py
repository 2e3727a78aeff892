"""Mixture of experts over the flattened window."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.blocks import Residual, norm
from ensemble_forecast.learners.deep.experts import Experts
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Flat, Shapes, flat_width, head


@dataclass(kw_only=True)
class Moe(NetLearner):
    """Residual blocks whose perceptron is one of many, chosen for every window by a gate.

    Parameters
    ----------
    width
        Units between the blocks.
    hidden
        Hidden units of an expert.
    experts, top
        Experts in a block, and how many of them are asked for a window.
    blocks
        Number of blocks.
    norm
        By name; see `blocks`.

    References
    ----------
    Those of `Experts`. Departure: a linear map stands beside it all.
    """

    family: ClassVar[str] = "moe"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "hidden": 8, "experts": 4, "blocks": 1, "context": 12}

    width: int = 128
    hidden: int = 64
    experts: int = 8
    top: int = 2
    blocks: int = 2
    norm: str = "layer"

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the network."""
        return Flat(
            shapes,
            torch.nn.Linear(flat_width(shapes), self.width),
            *(Residual(self._block()) for _ in range(self.blocks)),
            norm(self.norm, self.width),
            head(self.width, shapes),
        )

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights of all experts; see `NetLearner.multiply_adds`."""
        inputs, outputs = flat_width(shapes), shapes.horizon * shapes.outputs
        per_block = self.experts * (2 * self.hidden + 1) * self.width
        return inputs * self.width + self.blocks * per_block + (self.width + inputs) * outputs, 0.0

    def _block(self) -> torch.nn.Module:
        experts = Experts(self.width, self.hidden, self.experts, self.top)
        return torch.nn.Sequential(norm(self.norm, self.width), experts, torch.nn.Dropout(self.dropout))
