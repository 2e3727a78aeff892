"""What nets minimise, by kind of task, and how their outputs become forecasts in the target's unit."""

import torch

from ensemble_forecast.data.task import Task
from ensemble_forecast.forecasts import residual_quantiles
from ensemble_forecast.learners.deep.inputs import Batch, Windows

FAR = 30.0  # window units: targets beyond tell nothing more


class Pinball:
    """Quantile loss of the correction to the base, weighted by window noise over series scale so that it lies near SQL.

    References
    ----------
    Koenker and Bassett (1978), Regression quantiles, doi:10.2307/1913643.
    """

    def __init__(self, quantiles: tuple[float, ...]) -> None:
        self.quantiles = quantiles
        self.n_outputs = len(quantiles)

    def __call__(self, net: torch.nn.Module, windows: Windows, index_B: torch.Tensor) -> torch.Tensor:
        """Mean loss of the origins at some positions; missing targets do not count."""
        batch = windows.inputs(index_B)
        truth_BH = self._correction(windows, batch, index_B)
        known_BH = truth_BH.isfinite()
        levels_Q = torch.tensor(self.quantiles, device=windows.place)
        error_BHQ = truth_BH.nan_to_num()[..., None] - net(batch.window_BLC, batch.extras_BE).float()
        loss_BH = 2 * torch.maximum(levels_Q * error_BHQ, (levels_Q - 1) * error_BHQ).mean(dim=-1)
        return (loss_BH * batch.weight_B[:, None] * known_BH).sum() / known_BH.sum().clamp(min=1)

    def climatology(self, windows: Windows) -> torch.Tensor:
        """Quantiles of what the base leaves over: float32 HQ."""
        index_B = torch.arange(len(windows), device=windows.place)
        truth_BH = self._correction(windows, windows.inputs(index_B), index_B)
        return torch.from_numpy(residual_quantiles(truth_BH.cpu().numpy(), self.quantiles)).float()

    def forecast(self, output_BHQ: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Bring outputs to the target's unit: float64 BHQ."""
        return batch.base_BH[..., None] + output_BHQ.double() * batch.unit_B[:, None, None]

    def _correction(self, windows: Windows, batch: Batch, index_B: torch.Tensor) -> torch.Tensor:
        """Target over base in window units: float32 BH, NaN where unknown."""
        return ((windows.outcome(index_B) - batch.base_BH) / batch.unit_B[:, None]).clamp(-FAR, FAR).float()


class CrossEntropy:
    """Binary cross-entropy of the logit that the target lies above its last value, at every horizon step."""

    n_outputs = 1

    def __call__(self, net: torch.nn.Module, windows: Windows, index_B: torch.Tensor) -> torch.Tensor:
        """Mean loss of the origins at some positions; missing targets do not count."""
        batch, label_BH = windows.inputs(index_B), self._label(windows, index_B)
        known_BH = label_BH.isfinite()
        logit_BH = net(batch.window_BLC, batch.extras_BE).float()[..., 0]
        loss_BH = torch.nn.functional.binary_cross_entropy_with_logits(logit_BH, label_BH.nan_to_num(), reduction="none")
        return (loss_BH * known_BH).sum() / known_BH.sum().clamp(min=1)

    def climatology(self, windows: Windows) -> torch.Tensor:
        """Logit of the base rate, shrunk by one up and one down: float32 H1."""
        label_BH = self._label(windows, torch.arange(len(windows), device=windows.place))
        return torch.logit((label_BH.nansum(dim=0) + 1) / (label_BH.isfinite().sum(dim=0) + 2))[:, None].cpu()

    def forecast(self, output_BHQ: torch.Tensor, batch: Batch) -> torch.Tensor:  # noqa: ARG002
        """Turn logits into probabilities of (down, up): float64 BH2."""
        up_BH1 = torch.sigmoid(output_BHQ.double())
        return torch.cat([1 - up_BH1, up_BH1], dim=-1)

    def _label(self, windows: Windows, index_B: torch.Tensor) -> torch.Tensor:
        """1 where the target lies above the last value, 0 where not: float32 BH, NaN where unknown."""
        truth_BH = windows.outcome(index_B)
        return torch.where(truth_BH.isnan(), truth_BH, (truth_BH > windows.last(index_B)[:, None]).double()).float()


def loss_for(task: Task) -> Pinball | CrossEntropy:
    """Choose the loss by the kind of task."""
    return CrossEntropy() if task.kind == "direction" else Pinball(task.quantiles)
