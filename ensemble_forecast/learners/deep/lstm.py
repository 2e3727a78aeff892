"""Long short-term memory over patches of the window."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.recurrent import Recurrent


@dataclass(kw_only=True)
class Lstm(Recurrent):
    """Cells that carry a state through gates.

    References
    ----------
    Hochreiter and Schmidhuber (1997), Long short-term memory, doi:10.1162/neco.1997.9.8.1735.
    """

    family: ClassVar[str] = "lstm"
    GATES: ClassVar[int] = 4

    def cells(self, *sizes: int, **setting: Any) -> torch.nn.RNNBase:
        """Build layers; see `Recurrent.cells`."""
        return torch.nn.LSTM(*sizes, **setting)
