"""Losses of kind ``direction``: whether the target lies above its last value."""

import abc

import numpy as np
import torch

from ensemble_forecast.learners.deep.inputs import Batch, Windows
from ensemble_forecast.learners.deep.loss import CPU, Loss, mean


class OfClass(Loss):
    """Base of the losses of kind ``direction``: whether the target lies above its last value.

    Parameters
    ----------
    log_odds_H
        Of up, as it was met, at each step: where given, both classes count the same in training, and forecasts are put back to these odds
        (King and Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868).
    """

    def __init__(self, log_odds_H: np.ndarray | None = None, place: torch.device = CPU) -> None:
        self.log_odds_H = None if log_odds_H is None else torch.from_numpy(log_odds_H).to(place)

    def target(self, windows: Windows, batch: Batch, index_B: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - labels need no unit
        """1 where the target lies above the last value, 0 where not."""
        truth_BH = windows.outcome(index_B)
        return torch.where(truth_BH.isnan(), truth_BH, (truth_BH > windows.last(index_B)[:, None]).double()).float()

    @abc.abstractmethod
    def logit(self, output_BHQ: torch.Tensor) -> torch.Tensor:
        """Log odds of up that outputs say: BH."""

    def compare(self, output_BHQ: torch.Tensor, target_BH: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Cross-entropy, with both classes at the same weight where they are balanced; rows all count the same."""
        logit_BH = self.logit(output_BHQ)
        label_BH = target_BH.nan_to_num().expand_as(logit_BH)
        loss_BH = torch.nn.functional.binary_cross_entropy_with_logits(logit_BH, label_BH, reduction="none")
        if self.log_odds_H is not None:
            up_H = torch.sigmoid(self.log_odds_H).to(loss_BH)
            loss_BH = loss_BH * (label_BH / (2 * up_H) + (1 - label_BH) / (2 * (1 - up_H)))
        return mean(loss_BH, target_BH.isfinite())

    def forecast(self, output_BHQ: torch.Tensor, batch: Batch) -> torch.Tensor:  # noqa: ARG002
        """Turn outputs into probabilities of (down, up): float64 BH2."""
        logit_BH = self.logit(output_BHQ.double())
        if self.log_odds_H is not None:
            logit_BH = logit_BH + self.log_odds_H.to(logit_BH)
        up_BH = torch.sigmoid(logit_BH)
        return torch.stack([1 - up_BH, up_BH], dim=-1)

    def _first_logit(self, target_NH: torch.Tensor) -> torch.Tensor:
        """Log odds that training starts from, at each step: as met, or even where the classes are balanced."""
        met_H = log_odds(target_NH)
        return met_H if self.log_odds_H is None else torch.zeros_like(met_H)


class BinaryCrossEntropy(OfClass):
    """One logit for up."""

    n_outputs = 1

    def logit(self, output_BHQ: torch.Tensor) -> torch.Tensor:
        """Take it as it is."""
        return output_BHQ[..., 0]

    def climatology(self, target_NH: torch.Tensor) -> torch.Tensor:
        """Logit of the base rate."""
        return self._first_logit(target_NH)[:, None].cpu()


class CategoricalCrossEntropy(OfClass):
    """A logit for each class; the softmax of two classes is the sigmoid of their difference."""

    n_outputs = 2

    def logit(self, output_BHQ: torch.Tensor) -> torch.Tensor:
        """Take the difference, up minus down."""
        return output_BHQ[..., 1] - output_BHQ[..., 0]

    def climatology(self, target_NH: torch.Tensor) -> torch.Tensor:
        """Logits of the base rate."""
        half_H = self._first_logit(target_NH).cpu() / 2
        return torch.stack([-half_H, half_H], dim=1)


def log_odds(label_NH: torch.Tensor) -> torch.Tensor:
    """Log odds of up at each step, shrunk by one up and one down: H."""
    return torch.logit((label_NH.nansum(dim=0) + 1) / (label_NH.isfinite().sum(dim=0) + 2))
