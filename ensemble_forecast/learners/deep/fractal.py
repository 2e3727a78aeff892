"""Fractal network over the flattened window: deep without residual connections."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.blocks import activation, check_drop_path, norm
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Flat, Shapes, flat_width, head

ALONE = 0.5  # of the training batches follow one column only, as in the paper


@dataclass(kw_only=True)
class FractalNet(NetLearner):
    """Blocks in which columns of 1, 2, 4, ... layers run side by side and are averaged wherever they end together.

    Parameters
    ----------
    width
        Units of every layer.
    columns
        Columns of a block; the last one has ``2^(columns - 1)`` layers.
    blocks
        Blocks in a row.
    drop_path
        Chance in training that a column is left out where columns meet (one always stays); where it is above zero, half of the batches follow one
        column through all blocks, so that each learns to forecast by itself.
    activation, norm
        By name; see `blocks`.

    References
    ----------
    Larsson, Maire, Shakhnarovich (2017), FractalNet, arXiv:1605.07648. Departures: layers are linear, and a linear map stands beside it all.
    """

    family: ClassVar[str] = "fractal"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "columns": 2, "blocks": 1, "context": 12}

    width: int = 128
    columns: int = 3
    blocks: int = 1
    drop_path: float = 0.15
    activation: str = "relu"
    norm: str = "layer"

    def __post_init__(self) -> None:
        check_drop_path(self.drop_path)

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the network."""
        return Flat(
            shapes,
            torch.nn.Linear(flat_width(shapes), self.width),
            Fractals([Fractal(self.columns, self._layer, self.drop_path) for _ in range(self.blocks)]),
            head(self.width, shapes),
        )

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights; see `NetLearner.multiply_adds`."""
        inputs, outputs = flat_width(shapes), shapes.horizon * shapes.outputs
        return inputs * self.width + self.blocks * (2**self.columns - 1) * self.width**2 + (self.width + inputs) * outputs, 0.0

    def _layer(self) -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.Linear(self.width, self.width), norm(self.norm, self.width), activation(self.activation), torch.nn.Dropout(self.dropout)
        )


class Fractal(torch.nn.Module):
    """Columns of 1, 2, 4, ... layers between the same two ends: (B, width) to (B, width)."""

    def __init__(self, columns: int, layer: Callable[[], torch.nn.Module], drop: float) -> None:
        super().__init__()
        self.columns = torch.nn.ModuleList(torch.nn.ModuleList(layer() for _ in range(2**column)) for column in range(columns))
        self.drop = drop

    def forward(self, x_BW: torch.Tensor, alone: int | None = None) -> torch.Tensor:
        """Average what the columns say wherever they meet; ``alone``: follow this column only."""
        deepest = 2 ** (len(self.columns) - 1)
        state = [x_BW] * len(self.columns)
        for row in range(1, deepest + 1):
            meeting = [column for column in range(len(state)) if row % (deepest // 2**column) == 0]
            followed = [column for column in meeting if column == alone] if alone is not None else self._kept(meeting)
            if not followed:
                continue
            said = [self.layer(column, row * 2**column // deepest - 1)(state[column]) for column in followed]
            joined_BW = torch.stack(said).mean(dim=0)
            for column in meeting:
                state[column] = joined_BW
        return state[0]  # all columns meet in the last row

    def layer(self, column: int, place: int) -> torch.nn.Module:
        """Return a layer by its column and its place in it."""
        layers = self.columns[column]
        assert isinstance(layers, torch.nn.ModuleList)
        return layers[place]

    def _kept(self, meeting: list[int]) -> list[int]:
        """Leave some of the columns that meet out of a training batch, but never all."""
        if not self.training or not self.drop:
            return meeting
        kept = [column for column, chance in zip(meeting, torch.rand(len(meeting)).tolist(), strict=True) if chance >= self.drop]
        return kept or [meeting[int(torch.randint(len(meeting), ()))]]


class Fractals(torch.nn.Module):
    """Blocks in a row; half of the training batches follow one column through all of them.

    ``alone`` may be set to a column that shall forecast by itself.
    """

    def __init__(self, blocks: list[Fractal]) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(blocks)
        self.n_columns, self.drops = len(blocks[0].columns), blocks[0].drop > 0
        self.alone: int | None = None
        self.draws_on_host = self.drops  # which column is followed decides which kernels run: see `recordings`

    def forward(self, hidden_BW: torch.Tensor) -> torch.Tensor:
        """Go through all blocks: same shape."""
        alone = self.alone
        if self.training and self.drops and float(torch.rand(())) < ALONE:
            alone = int(torch.randint(self.n_columns, ()))
        for block in self.blocks:
            hidden_BW = block(hidden_BW, alone)
        return hidden_BW
