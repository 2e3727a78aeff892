"""DLinear: the window's trend and what is left of it, each mapped to the horizon by one matrix."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Shapes, flat_width, head


@dataclass(kw_only=True)
class DLinear(NetLearner):
    """Two linear maps, of a moving average of the window and of the rest; the extras go with the rest.

    Parameters
    ----------
    kernel
        Steps of the moving average; the window's ends are held.

    References
    ----------
    Zeng et al. (2023), Are transformers effective for time series forecasting?, arXiv:2205.13504. Its NLinear is ``kernel = 1``.
    """

    family: ClassVar[str] = "dlinear"
    together: ClassVar[bool] = True
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "kernel": 5, "context": 12}

    kernel: int = 25

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build both maps."""
        return Decomposed(shapes, self.kernel)

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights; see `NetLearner.multiply_adds`."""
        inputs = flat_width(shapes) + shapes.context * shapes.channels
        return shapes.context * shapes.channels * self.kernel + inputs * shapes.horizon * shapes.outputs, 0.0


class Decomposed(torch.nn.Module):
    """Split the window, map both parts, add."""

    def __init__(self, shapes: Shapes, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.ends = torch.nn.ReplicationPad1d(((kernel - 1) // 2, kernel // 2))
        self.of_trend = head(shapes.context * shapes.channels, shapes)
        self.of_rest = head(flat_width(shapes), shapes)

    def trend(self, window_BLC: torch.Tensor) -> torch.Tensor:
        """Average every step with its neighbours: BLC."""
        return torch.nn.functional.avg_pool1d(self.ends(window_BLC.transpose(1, 2)), self.kernel, 1).transpose(1, 2)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Forecast: BHQ."""
        trend_BLC = self.trend(window_BLC)
        rest_BF = torch.cat([(window_BLC - trend_BLC).flatten(1), extras_BE], dim=1)
        return self.of_trend(trend_BLC.flatten(1)) + self.of_rest(rest_BF)
