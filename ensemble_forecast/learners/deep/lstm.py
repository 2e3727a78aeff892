"""Long short-term memory over patches of the window."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.nets import NetLearner, Shapes, head

WAIT_S = 1.5e-4  # seconds that a step along the sequence adds to a training step on a plain core, in each layer


@dataclass(kw_only=True)
class Lstm(NetLearner):
    """LSTM layers over patches of consecutive steps, read out from the last state.

    Parameters
    ----------
    patch
        Steps read at once: divides the length of the sequence, and the time a training step takes.
    layers, hidden
        Depth and width of the stack.

    References
    ----------
    Hochreiter and Schmidhuber (1997), Long short-term memory, doi:10.1162/neco.1997.9.8.1735. Patches: Nie et al. (2023), arXiv:2211.14730.
    """

    family: ClassVar[str] = "lstm"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "hidden": 8, "layers": 1, "patch": 4, "context": 12}

    patch: int = 4
    layers: int = 1
    hidden: int = 64

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the stack."""
        return _PatchedLstm(shapes, min(self.patch, shapes.context), self.layers, self.hidden, self.dropout)

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights, each as often as there are patches; see `NetLearner.multiply_adds`."""
        patch = min(self.patch, shapes.context)
        patches = shapes.context // patch
        first = 4 * self.hidden * (self.hidden + patch * shapes.channels)
        others = (self.layers - 1) * 8 * self.hidden**2
        return patches * (first + others) + self.hidden * shapes.horizon * shapes.outputs, WAIT_S * patches * self.layers


class _PatchedLstm(torch.nn.Module):
    """Cut the window into patches (the oldest steps that fill none are left out), run the layers, read out the last state and the extras."""

    def __init__(self, shapes: Shapes, patch: int, layers: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.length = shapes.context // patch * patch
        self.patches = torch.nn.Unflatten(1, (shapes.context // patch, patch))
        between = dropout if layers > 1 else 0.0  # torch warns where there is nothing between
        self.lstm = torch.nn.LSTM(patch * shapes.channels, hidden, layers, batch_first=True, dropout=between)
        self.dropout = torch.nn.Dropout(dropout)
        self.head = head(hidden + shapes.extras, shapes)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(self.patches(window_BLC[:, -self.length :]).flatten(2))
        return self.head(torch.cat([self.dropout(states[:, -1]), extras_BE], dim=1))
