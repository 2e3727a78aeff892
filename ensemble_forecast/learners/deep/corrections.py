"""Losses of kind ``quantiles`` about the correction to the base forecast: of its quantiles, or of one point with the quantiles' distances from it."""

import abc

import numpy as np
import torch

from ensemble_forecast.forecasts import residual_quantiles
from ensemble_forecast.learners.deep.inputs import Batch, Windows
from ensemble_forecast.learners.deep.loss import CPU, Loss, mean

FAR = 30.0  # window units: targets beyond tell nothing more
HUBER_EDGE = 1.0  # window units: from squared to absolute error


class OfCorrection(Loss):
    """Base of the losses of kind ``quantiles``: about the correction to the base, weighted by window noise over series scale, like SQL."""

    def __init__(self, quantiles: tuple[float, ...], place: torch.device = CPU) -> None:
        self.quantiles, self.levels_Q = quantiles, torch.tensor(quantiles, device=place)
        self.n_outputs = len(quantiles)

    def target(self, windows: Windows, batch: Batch, index_B: torch.Tensor) -> torch.Tensor:
        """Gather target over base in window units."""
        return ((windows.outcome(index_B) - batch.base_BH) / batch.unit_B[:, None]).clamp(-FAR, FAR).float()

    def climatology(self, target_NH: torch.Tensor) -> torch.Tensor:
        """Quantiles of what the base leaves over."""
        return torch.from_numpy(residual_quantiles(target_NH.cpu().numpy(), self.quantiles)).float()

    def forecast(self, output_BHQ: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Add corrections to the base."""
        return batch.base_BH[..., None] + output_BHQ.double() * batch.unit_B[:, None, None]

    def pinball(self, error_BHQ: torch.Tensor) -> torch.Tensor:
        """Twice the mean quantile loss of truth minus forecast: BH (Koenker and Bassett 1978, doi:10.2307/1913643)."""
        return 2 * (error_BHQ * (self.levels_Q - (error_BHQ < 0).float())).mean(dim=-1)


class Pinball(OfCorrection):
    """Quantile loss of all levels: the default, for it is what scaled quantile metrics measure."""

    def compare(self, output_BHQ: torch.Tensor, target_BH: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:
        """Compare every quantile."""
        return mean(self.pinball(target_BH.nan_to_num()[..., None] - output_BHQ) * weight_B[:, None], target_BH.isfinite())


class OfPoint(OfCorrection):
    """Base of the point losses: the net gives one number a step, its table the distances of the quantiles from it.

    The distances learn by the quantile loss; what the net says of the point learns by the point's own loss alone.
    """

    def __init__(self, quantiles: tuple[float, ...], place: torch.device = CPU) -> None:
        super().__init__(quantiles, place)
        self.n_outputs = 1
        self.middle = int(np.argmin(np.abs(np.array(quantiles) - 0.5)))

    @abc.abstractmethod
    def of_error(self, error_BH: torch.Tensor) -> torch.Tensor:
        """Loss of truth minus point."""

    def compare(self, output_BHQ: torch.Tensor, target_BH: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:
        """Compare the point, and its distances to the quantiles."""
        point_BH1, truth_BH = output_BHQ[..., self.middle : self.middle + 1], target_BH.nan_to_num()
        distances = self.pinball(truth_BH[..., None] - (point_BH1.detach() + output_BHQ - point_BH1))
        return mean((self.of_error(truth_BH - point_BH1[..., 0]) + distances) * weight_B[:, None], target_BH.isfinite())


class SquaredError(OfPoint):
    """Squared error: the point is a mean."""

    def of_error(self, error_BH: torch.Tensor) -> torch.Tensor:
        """Square."""
        return error_BH.square()


class AbsoluteError(OfPoint):
    """Absolute error: the point is a median."""

    def of_error(self, error_BH: torch.Tensor) -> torch.Tensor:
        """Take the size."""
        return error_BH.abs()


class Huber(OfPoint):
    """Squared near zero, absolute beyond one window unit (Huber 1964, doi:10.1214/aoms/1177703732)."""

    def of_error(self, error_BH: torch.Tensor) -> torch.Tensor:
        """Square the small ones."""
        return torch.nn.functional.huber_loss(error_BH, torch.zeros_like(error_BH), reduction="none", delta=HUBER_EDGE)
