"""Batch ensemble of perceptrons: many nets that share their matrices, trained and averaged as one."""

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.blocks import activation
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Shapes, flat_width


@dataclass(kw_only=True)
class TabM(NetLearner):
    """Perceptrons that share every matrix and scale its inputs and outputs each in their own way; each has a last layer of its own.

    In training the loss is the mean over members, never that of their mean; the forecast is their mean.

    Parameters
    ----------
    members
        Nets in one.
    width, layers
        Of the shared perceptron.
    activation
        By name; see `blocks`.

    References
    ----------
    Gorishniy, Kotelnikov, Babenko (2025), TabM, arXiv:2410.24210; Wen, Tran, Ba (2020), BatchEnsemble, arXiv:2002.06715.
    """

    family: ClassVar[str] = "tabm"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 16, "layers": 2, "members": 3, "context": 12}

    members: int = 8
    width: int = 128
    layers: int = 2
    activation: str = "relu"

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the members."""
        widths = [flat_width(shapes), *[self.width] * self.layers]
        layers: list[torch.nn.Module] = []
        for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            layers += [SharedLinear(self.members, inputs, outputs, varied=layer == 0), activation(self.activation), torch.nn.Dropout(self.dropout)]
        return BatchEnsemble(shapes, self.members, torch.nn.Sequential(*layers), widths[-1])

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights of all members; see `NetLearner.multiply_adds`."""
        weights = flat_width(shapes) * self.width + (self.layers - 1) * self.width**2 + self.width * shapes.horizon * shapes.outputs
        return self.members * weights, 0.0


class SharedLinear(torch.nn.Module):
    """One matrix for all members, between scales and a bias of each: (K, B, inputs) to (K, B, outputs).

    Parameters
    ----------
    varied
        Whether the input scales start as random signs, which makes the members differ; else all scales start at one.
    """

    def __init__(self, members: int, inputs: int, outputs: int, *, varied: bool) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(inputs, outputs, bias=False)
        signs = torch.randint(0, 2, (members, 1, inputs)) * 2.0 - 1.0
        self.scale_in = torch.nn.Parameter(signs if varied else torch.ones(members, 1, inputs))
        self.scale_out = torch.nn.Parameter(torch.ones(members, 1, outputs))
        self.bias = torch.nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, x_KBF: torch.Tensor) -> torch.Tensor:
        """Map each member's rows."""
        return self.linear(x_KBF * self.scale_in) * self.scale_out + self.bias


class BatchEnsemble(torch.nn.Module):
    """K members side by side: KBHQ in training, their mean BHQ in use."""

    def __init__(self, shapes: Shapes, members: int, layers: torch.nn.Module, width: int) -> None:
        super().__init__()
        self.members, self.layers = members, layers
        self.weight = torch.nn.Parameter(torch.zeros(members, width, shapes.horizon * shapes.outputs))
        self.bias = torch.nn.Parameter(torch.zeros(members, 1, shapes.horizon * shapes.outputs))
        self.unflatten = torch.nn.Unflatten(2, (shapes.horizon, shapes.outputs))

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Forecast with every member."""
        flat_BF = torch.cat([window_BLC.flatten(1), extras_BE], dim=1)
        hidden_KBF = self.layers(flat_BF.expand(self.members, *flat_BF.shape))
        output_KBHQ = self.unflatten(torch.baddbmm(self.bias, hidden_KBF, self.weight))
        return output_KBHQ if self.training else output_KBHQ.mean(dim=0)
