"""Residual network over the flattened window."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.blocks import Growing, Residual, activation, check_drop_path, norm
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Flat, Shapes, flat_width, head

GROWN_AT = 0.5  # of the steps


@dataclass(kw_only=True)
class ResNet(NetLearner):
    """Residual blocks of two layers that normalise first.

    Parameters
    ----------
    width, factor
        Units between the blocks, and inside one as a multiple of it.
    blocks
        Number of blocks.
    activation, norm
        By name; see `blocks`.
    gain
        Of every block at first: 0 lets a deep net start as a shallow one.
    drop_path
        Chance that the last block is left out for a row in training; it rises from zero over the blocks.
    grow_from
        Blocks that are trained for the first half; the others then begin as nothing (gain 0), so that the net goes on where it was. None: all are
        trained from the start.
    deep_supervision
        Whether every block has a head of its own in training, all of which count the same; the last one forecasts.

    References
    ----------
    Gorishniy et al. (2021), Revisiting deep learning models for tabular data, arXiv:2106.11959; Lee et al. (2015), Deeply-supervised nets,
    arXiv:1409.5185. Departures: gain, stochastic depth, and the linear map beside it all.
    """

    family: ClassVar[str] = "resnet"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "blocks": 2, "context": 12}

    width: int = 128
    factor: float = 2.0
    blocks: int = 3
    activation: str = "relu"
    norm: str = "layer"
    gain: float = 1.0
    drop_path: float = 0.0
    grow_from: int | None = None
    deep_supervision: bool = False

    def __post_init__(self) -> None:
        check_drop_path(self.drop_path)
        if self.grow_from is not None and not 1 <= self.grow_from <= self.blocks:
            raise BadInput(f"grow_from must lie between 1 and blocks ({self.blocks}); got {self.grow_from}")

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the network."""
        chances = [self.drop_path * (block + 1) / self.blocks for block in range(self.blocks)]
        first = self.blocks if self.grow_from is None else self.grow_from
        blocks = [Residual(self._block(), self.gain if place < first else 0.0, chance) for place, chance in enumerate(chances)]
        heads = [self._head(shapes) for _ in range(self.blocks if self.deep_supervision else 1)]
        return Flat(shapes, torch.nn.Linear(flat_width(shapes), self.width), Deepening(blocks, heads, first))

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights; see `NetLearner.multiply_adds`."""
        inputs, outputs = flat_width(shapes), shapes.horizon * shapes.outputs
        heads = self.blocks if self.deep_supervision else 1
        return inputs * self.width + self.blocks * 2 * self.factor * self.width**2 + (heads * self.width + inputs) * outputs, 0.0

    def _block(self) -> torch.nn.Module:
        inside = max(1, round(self.factor * self.width))
        return torch.nn.Sequential(
            norm(self.norm, self.width),
            torch.nn.Linear(self.width, inside),
            activation(self.activation),
            torch.nn.Dropout(self.dropout),
            torch.nn.Linear(inside, self.width),
        )

    def _head(self, shapes: Shapes) -> torch.nn.Module:
        return torch.nn.Sequential(norm(self.norm, self.width), activation(self.activation), head(self.width, shapes))


class Deepening(Growing):
    """Blocks in a row, read out by one head at the end (BHQ), or in training by a head after every block (KBHQ).

    Parameters
    ----------
    first
        Blocks that are trained until it grows; the others change nothing as long as their gain is 0.

    References
    ----------
    Chen, Goodfellow, Shlens (2016), Net2Net, arXiv:1511.05641 (growth that preserves the function).
    """

    def __init__(self, blocks: list[Residual], heads: list[torch.nn.Module], first: int) -> None:
        super().__init__()
        self.blocks, self.heads = torch.nn.ModuleList(blocks), torch.nn.ModuleList(heads)
        self.first, self.grown = first, first == len(blocks)

    def grow(self, done: float) -> bool:
        """Take all blocks into training once a share of it is done."""
        before, self.grown = self.grown, self.grown or done >= GROWN_AT
        return self.grown != before

    def forward(self, hidden_BW: torch.Tensor) -> torch.Tensor:
        """Read out."""
        states = []
        for place, block in enumerate(self.blocks):
            if place < self.first or self.grown or not self.training:
                hidden_BW = block(hidden_BW)
            states.append(hidden_BW)
        if self.training and len(self.heads) > 1:
            return torch.stack([head(state_BW) for head, state_BW in zip(self.heads, states, strict=True)])
        return self.heads[-1](hidden_BW)
