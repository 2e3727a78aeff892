"""What all modules have in common: the sizes of inputs and outputs, the table they start from, and the layers at their end."""

from dataclasses import dataclass
from typing import NamedTuple

import torch


@dataclass(frozen=True)
class Shapes:
    """Sizes of a net's inputs and outputs: (B, context, channels) and (B, extras) to (B, horizon, outputs)."""

    context: int
    channels: int
    extras: int
    horizon: int
    outputs: int


class Pace(NamedTuple):
    """How a weight is trained: at so many times the learning rate, from so large a share of the steps on."""

    share: float = 1.0
    begins: float = 0.0


class Anchored(torch.nn.Module):
    """A net plus a learnt table that starts at climatology: a net whose head starts at zero then starts as the base with honest quantiles."""

    def __init__(self, body: torch.nn.Module, anchor_HQ: torch.Tensor) -> None:
        super().__init__()
        self.body = body
        self.anchor_HQ = torch.nn.Parameter(anchor_HQ)
        self.pace: dict[str, Pace] = {}  # of what an earlier fit gave; all else trains at the recipe's pace

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Add the table to what the net says: BHQ."""
        return self.body(window_BLC, extras_BE) + self.anchor_HQ


class Last(torch.nn.Linear):
    """A linear layer that speaks for the net: zero at first, so that the net then corrects nothing."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__(width, outputs)
        torch.nn.init.zeros_(self.weight)
        torch.nn.init.zeros_(self.bias)


def head(width: int, shapes: Shapes) -> torch.nn.Sequential:
    """Build the end of a net: (B, width) to (B, horizon, outputs)."""
    return torch.nn.Sequential(Last(width, shapes.horizon * shapes.outputs), torch.nn.Unflatten(1, (shapes.horizon, shapes.outputs)))


def flat_width(shapes: Shapes) -> int:
    """Count the numbers that a net is given of one origin."""
    return shapes.context * shapes.channels + shapes.extras


class Flat(torch.nn.Module):
    """Layers over the flattened window and the extras, beside a linear map of the same inputs to the outputs.

    Parameters
    ----------
    layers
        From `flat_width` numbers to what `head` gives.
    """

    def __init__(self, shapes: Shapes, *layers: torch.nn.Module) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(*layers)
        self.linear = head(flat_width(shapes), shapes)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Forecast: BHQ."""
        flat_BF = torch.cat([window_BLC.flatten(1), extras_BE], dim=1)
        return self.layers(flat_BF) + self.linear(flat_BF)
