"""Gated recurrent units over patches of the window."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.recurrent import Recurrent


@dataclass(kw_only=True)
class Gru(Recurrent):
    """Cells with two gates: a quarter cheaper than an LSTM of the same width.

    References
    ----------
    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, arXiv:1406.1078.
    """

    family: ClassVar[str] = "gru"
    GATES: ClassVar[int] = 3

    def cells(self, *sizes: int, **setting: Any) -> torch.nn.RNNBase:
        """Build layers; see `Recurrent.cells`."""
        return torch.nn.GRU(*sizes, **setting)
