"""The base of recurrent nets: cells over patches of the window."""

import abc
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.devices import in_precision
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Shapes, head

WAIT_S = 1.5e-4  # seconds that a step along the sequence adds to a training step on a plain core, in each layer and direction


@dataclass(kw_only=True)
class Recurrent(NetLearner):
    """Recurrent layers over patches of consecutive steps, read out from the last state.

    Parameters
    ----------
    patch
        Steps read at once: divides the length of the sequence, and the time a training step takes.
    layers, hidden
        Depth and width of the stack.
    bidirectional
        Whether a second stack reads the window backwards; its state at the oldest step is read out too. All of it lies before the origin.

    References
    ----------
    Patches: Nie et al. (2023), arXiv:2211.14730. Both directions: Schuster and Paliwal (1997), doi:10.1109/78.650093.
    """

    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "hidden": 8, "layers": 1, "patch": 4, "context": 12}
    GATES: ClassVar[int]  # matrices of each kind in a cell

    patch: int = 4
    layers: int = 1
    hidden: int = 64
    bidirectional: bool = False

    @abc.abstractmethod
    def cells(self, *sizes: int, **setting: Any) -> torch.nn.RNNBase:
        """Build layers of the family's cells: inputs, hidden, layers."""

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the stack."""
        patch = min(self.patch, shapes.context)
        between = self.dropout if self.layers > 1 else 0.0  # torch warns where there is nothing between
        layers = self.cells(patch * shapes.channels, self.hidden, self.layers, batch_first=True, dropout=between, bidirectional=self.bidirectional)
        return PatchedRecurrent(shapes, patch, layers, self.dropout)

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights, each as often as there are patches; see `NetLearner.multiply_adds`."""
        patch, directions = min(self.patch, shapes.context), 1 + self.bidirectional
        patches = shapes.context // patch
        first = self.GATES * self.hidden * (self.hidden + patch * shapes.channels)
        others = (self.layers - 1) * self.GATES * self.hidden * (1 + directions) * self.hidden
        outputs = directions * self.hidden * shapes.horizon * shapes.outputs
        return directions * patches * (first + others) + outputs, WAIT_S * directions * patches * self.layers


class PatchedRecurrent(torch.nn.Module):
    """Cut the window into patches (the oldest steps that fill none are left out), run the layers, read out the last states and the extras."""

    def __init__(self, shapes: Shapes, patch: int, layers: torch.nn.RNNBase, dropout: float) -> None:
        super().__init__()
        self.length = shapes.context // patch * patch
        self.patches = torch.nn.Unflatten(1, (shapes.context // patch, patch))
        self.layers = layers
        self.dropout = torch.nn.Dropout(dropout)
        self.head = head((1 + layers.bidirectional) * layers.hidden_size + shapes.extras, shapes)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Forecast: BHQ."""
        with in_precision(window_BLC.device, "float32"):  # a GPU would run the cells in float16, whatever it is told: small gradients would vanish
            states_BPH, _ = self.layers(self.patches(window_BLC[:, -self.length :]).flatten(2))
        newest, oldest = states_BPH[:, -1, : self.layers.hidden_size], states_BPH[:, 0, self.layers.hidden_size :]
        return self.head(torch.cat([self.dropout(newest), self.dropout(oldest), extras_BE], dim=1))
