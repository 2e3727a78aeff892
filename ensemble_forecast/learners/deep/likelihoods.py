"""Likelihoods of the correction to the base forecast: a net gives the parameters of a distribution for every step."""

import abc
import math
from typing import ClassVar

import numpy as np
import torch
from scipy.special import ndtri, stdtrit

from ensemble_forecast.forecasts import residual_quantiles
from ensemble_forecast.learners.deep.corrections import OfCorrection
from ensemble_forecast.learners.deep.inputs import Batch
from ensemble_forecast.learners.deep.loss import CPU, mean

LEAST_SPREAD = 1e-3  # window units
LEAST_FREEDOM = 2.1  # of a Student t: below 2 it has no variance


class OfLikelihood(OfCorrection):
    """Base of the likelihoods: a net gives the parameters of a distribution for every step."""

    in_nats: ClassVar[bool] = True

    @abc.abstractmethod
    def parameters(self, output_BHQ: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Location, spread and what else there is, from raw outputs: BH each."""

    @abc.abstractmethod
    def negative_log(self, target_BH: torch.Tensor, parameters: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Negative log-likelihood: BH."""

    @abc.abstractmethod
    def levels(self, parameters: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Quantiles of the standard distribution at each step: BHQ."""

    def compare(self, output_BHQ: torch.Tensor, target_BH: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:
        """Compare in likelihood."""
        return mean(self.negative_log(target_BH.nan_to_num(), self.parameters(output_BHQ)) * weight_B[:, None], target_BH.isfinite())

    def climatology(self, target_NH: torch.Tensor) -> torch.Tensor:
        """Median and spread of what the base leaves over, as raw outputs."""
        quarter_H3 = residual_quantiles(target_NH.cpu().numpy(), (0.25, 0.5, 0.75))
        spread_H = np.maximum((quarter_H3[:, 2] - quarter_H3[:, 0]) / (2 * ndtri(0.75)), 10 * LEAST_SPREAD)
        raw_H = np.log(np.expm1(spread_H - LEAST_SPREAD))
        rest = np.zeros((len(raw_H), self.n_outputs - 2))
        return torch.from_numpy(np.column_stack([quarter_H3[:, 1], raw_H, rest])).float()

    def forecast(self, output_BHQ: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Read the quantiles off the distribution."""
        parameters = self.parameters(output_BHQ.double())
        return super().forecast(parameters[0][..., None] + parameters[1][..., None] * self.levels(parameters), batch)


class Gaussian(OfLikelihood):
    """Normal distribution of the correction."""

    def __init__(self, quantiles: tuple[float, ...], place: torch.device = CPU) -> None:
        super().__init__(quantiles, place)
        self.n_outputs = 2

    def parameters(self, output_BHQ: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Mean and deviation."""
        return output_BHQ[..., 0], LEAST_SPREAD + torch.nn.functional.softplus(output_BHQ[..., 1])

    def negative_log(self, target_BH: torch.Tensor, parameters: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Negative log of the normal density."""
        mean_BH, deviation_BH = parameters
        return -torch.distributions.Normal(mean_BH, deviation_BH, validate_args=False).log_prob(target_BH)

    def levels(self, parameters: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return normal quantiles, the same at each step."""
        return torch.from_numpy(ndtri(self.quantiles)).to(parameters[0].device).expand(*parameters[0].shape, -1)


class StudentT(OfLikelihood):
    """Student's t with its own degrees of freedom at each step: heavy tails as the data have them (Salinas et al. 2020, DeepAR, arXiv:1704.04110)."""

    def __init__(self, quantiles: tuple[float, ...], place: torch.device = CPU) -> None:
        super().__init__(quantiles, place)
        self.n_outputs = 3

    def parameters(self, output_BHQ: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Location, spread, degrees of freedom."""
        positive = torch.nn.functional.softplus
        return output_BHQ[..., 0], LEAST_SPREAD + positive(output_BHQ[..., 1]), LEAST_FREEDOM + 10 * positive(output_BHQ[..., 2])

    def negative_log(self, target_BH: torch.Tensor, parameters: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Negative log of the t density: written out, for torch's own checks its degrees of freedom, and to check is to wait for the device."""
        location, spread, freedom = parameters
        score_BH = (target_BH - location) / spread
        whole_BH = spread.log() + 0.5 * freedom.log() + 0.5 * math.log(math.pi) + torch.lgamma(0.5 * freedom) - torch.lgamma(0.5 * (freedom + 1.0))
        return -(-0.5 * (freedom + 1.0) * torch.log1p(score_BH**2.0 / freedom) - whole_BH)

    def levels(self, parameters: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Quantiles of t by the degrees of freedom of each step."""
        freedom = parameters[2]
        return torch.from_numpy(stdtrit(freedom.cpu().numpy()[..., None], self.quantiles)).to(freedom.device)
