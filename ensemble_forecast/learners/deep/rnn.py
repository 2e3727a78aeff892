"""Plain recurrent net over patches of the window."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.recurrent import Recurrent


@dataclass(kw_only=True)
class Rnn(Recurrent):
    """Cells without gates: the cheapest, with the shortest memory.

    References
    ----------
    Elman (1990), Finding structure in time, doi:10.1207/s15516709cog1402_1.
    """

    family: ClassVar[str] = "rnn"
    GATES: ClassVar[int] = 1

    def cells(self, *sizes: int, **setting: Any) -> torch.nn.RNNBase:
        """Build layers; see `Recurrent.cells`."""
        return torch.nn.RNN(*sizes, **setting)
