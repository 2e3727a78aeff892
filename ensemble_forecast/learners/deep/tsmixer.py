"""TSMixer: perceptrons that mix steps and channels in turn."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.blocks import Residual, activation
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Last, Shapes


@dataclass(kw_only=True)
class TsMixer(NetLearner):
    """Blocks that mix the steps of the window, then the channels of every step; at the end the window's steps become those of the horizon.

    Parameters
    ----------
    width
        Channels that the window and the extras are lifted to.
    hidden
        Units between the two layers that mix channels.
    blocks
        Number of blocks.
    activation
        By name; see `blocks`.

    References
    ----------
    Chen et al. (2023), TSMixer, arXiv:2303.06053. Departures: layer instead of batch normalisation; the channels of all blocks are lifted ones, of
    which one layer at the end makes the outputs.
    """

    family: ClassVar[str] = "tsmixer"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 8, "hidden": 8, "blocks": 1, "context": 12}

    width: int = 16
    hidden: int = 32
    blocks: int = 2
    activation: str = "relu"

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the mixer."""
        return _Mixed(shapes, self.width, [self._block(shapes.context) for _ in range(self.blocks)])

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights, each as often as there are steps or channels; see `NetLearner.multiply_adds`."""
        steps, ahead = shapes.context, shapes.horizon
        per_block = steps * self.width * (steps + 2 * self.hidden)
        ends = steps * shapes.channels * self.width + shapes.extras * self.width + self.width * ahead * (steps + shapes.outputs)
        return self.blocks * per_block + ends, 0.0

    def _block(self, context: int) -> torch.nn.Module:
        steps = torch.nn.Sequential(
            Transposed(torch.nn.LayerNorm(context)),
            Transposed(torch.nn.Linear(context, context)),
            activation(self.activation),
            torch.nn.Dropout(self.dropout),
        )
        channels = torch.nn.Sequential(
            torch.nn.LayerNorm(self.width),
            torch.nn.Linear(self.width, self.hidden),
            activation(self.activation),
            torch.nn.Dropout(self.dropout),
            torch.nn.Linear(self.hidden, self.width),
            torch.nn.Dropout(self.dropout),
        )
        return torch.nn.Sequential(Residual(steps), Residual(channels))


class Transposed(torch.nn.Module):
    """Apply a layer along the steps of every channel: (B, L, C) to (B, L', C)."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x_BLC: torch.Tensor) -> torch.Tensor:
        """Swap the axes, map, swap back."""
        return self.layer(x_BLC.transpose(1, 2)).transpose(1, 2)


class _Mixed(torch.nn.Module):
    """Lift, mix, map steps to the horizon, and read every step of it out."""

    def __init__(self, shapes: Shapes, width: int, blocks: list[torch.nn.Module]) -> None:
        super().__init__()
        self.lift, self.lift_extras = torch.nn.Linear(shapes.channels, width), torch.nn.Linear(shapes.extras, width)
        self.blocks = torch.nn.Sequential(*blocks)
        self.ahead = Transposed(torch.nn.Linear(shapes.context, shapes.horizon))
        self.out = Last(width, shapes.outputs)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        lifted_BLW = self.lift(window_BLC) + self.lift_extras(extras_BE)[:, None]
        return self.out(self.ahead(self.blocks(lifted_BLW)))
