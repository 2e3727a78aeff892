"""Autoencoder: the window squeezed into a few numbers, learnt first by restoring what was hidden of it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ensemble_forecast.data.origins import Origins
from ensemble_forecast.data.panel import Panel
from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.base import check_fitted
from ensemble_forecast.learners.deep.blocks import WithLoss, activation
from ensemble_forecast.learners.deep.devices import device
from ensemble_forecast.learners.deep.inputs import Batch, View, Windows
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Anchored, Shapes, head


@dataclass(kw_only=True)
class Autoencoder(NetLearner):
    """A code of the window, from which it is forecast together with the extras.

    At first the encoder learns nothing but to restore values that were hidden from it, while the head learns to read whatever the code says by then;
    after that both learn to forecast.

    Parameters
    ----------
    codes
        Numbers that a window is squeezed into.
    width, layers
        Of the encoder, and of the decoder.
    hidden_share
        Share of a window's values that are hidden while it learns to restore them; 0: it restores what it sees.
    pretraining
        Share of the steps in which only restoring is learnt.
    frozen
        Whether the encoder stays as it is after that.
    activation
        By name; see `blocks`.

    References
    ----------
    Hinton and Salakhutdinov (2006), doi:10.1126/science.1127647; He et al. (2022), Masked autoencoders, arXiv:2111.06377.
    """

    family: ClassVar[str] = "autoencoder"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "codes": 4, "width": 16, "layers": 1, "context": 12}

    codes: int = 16
    width: int = 128
    layers: int = 2
    hidden_share: float = 0.3
    pretraining: float = 0.5
    frozen: bool = False
    activation: str = "gelu"

    def __post_init__(self) -> None:
        if not 0 <= self.hidden_share < 1:
            raise BadInput(f"hidden_share must lie in [0, 1), or nothing is seen; got {self.hidden_share}")
        if not 0 <= self.pretraining <= 1:
            raise BadInput(f"pretraining must lie in [0, 1]; got {self.pretraining}")

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build encoder, decoder and head."""
        window = shapes.context * shapes.channels
        return Coded(shapes, self, self._perceptron(window, self.codes), self._perceptron(self.codes, window))

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count the weights; the decoder's as often as it is trained; see `NetLearner.multiply_adds`."""
        one = (shapes.context * shapes.channels + self.codes) * self.width + (self.layers - 1) * self.width**2
        return (1 + self.pretraining) * one + (self.codes + shapes.extras) * shapes.horizon * shapes.outputs, 0.0

    def encode(self, panel: Panel, origins: Origins) -> np.ndarray:
        """Squeeze the windows that end at some origins: float64 of shape (N, codes).

        Raises
        ------
        NotFitted
            When `fit` was not called before.
        """
        check_fitted(self)
        windows = Windows.of(panel, origins, View(**self.view_), device())

        def code(net: torch.nn.Module, batch: Batch) -> torch.Tensor:
            assert isinstance(net, Anchored)
            assert isinstance(net.body, Coded)
            return net.body.code(batch.window_BLC)

        return self._in_batches(windows, code).astype(float)

    def _perceptron(self, inputs: int, outputs: int) -> torch.nn.Module:
        layers: list[torch.nn.Module] = []
        for width in [inputs, *[self.width] * (self.layers - 1)]:
            layers += [torch.nn.Linear(width, self.width), activation(self.activation), torch.nn.Dropout(self.dropout)]
        return torch.nn.Sequential(*layers, torch.nn.Linear(self.width, outputs))


class Coded(WithLoss):
    """Encoder, decoder, and a head over the code and the extras."""

    def __init__(self, shapes: Shapes, recipe: Autoencoder, encoder: torch.nn.Module, decoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.head = head(recipe.codes + shapes.extras, shapes)
        self.hidden_share, self.pretraining, self.frozen = recipe.hidden_share, recipe.pretraining, recipe.frozen
        self.restoring = self.pretraining > 0

    def grow(self, done: float) -> bool:
        """Restore first, forecast then."""
        before, self.restoring = self.restoring, done < self.pretraining
        return self.restoring != before

    def code(self, window_BLC: torch.Tensor) -> torch.Tensor:
        """Squeeze windows: (B, codes)."""
        return self.encoder(window_BLC.flatten(1))

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Forecast: BHQ; in pretraining with the loss of restoring beside it, which alone moves the encoder."""
        restoring = self.training and self.restoring
        if restoring:
            code_BK = self._restored(window_BLC)
        else:
            code_BK, self.own_loss = self.code(window_BLC), window_BLC.new_zeros(())
        if restoring or self.frozen:
            code_BK = code_BK.detach()
        return self.head(torch.cat([code_BK, extras_BE], dim=1))

    def _restored(self, window_BLC: torch.Tensor) -> torch.Tensor:
        """Squeeze windows of which some values are hidden, and note what restoring those values costs."""
        flat_BF = window_BLC.flatten(1)
        hidden_BF = torch.rand_like(flat_BF) < self.hidden_share
        code_BK = self.encoder(flat_BF.masked_fill(hidden_BF, 0.0))
        error_BF = (self.decoder(code_BK) - flat_BF).square()
        counted_BF = hidden_BF if self.hidden_share else torch.ones_like(hidden_BF)
        self.own_loss = (error_BF * counted_BF).sum() / counted_BF.sum().clamp(min=1)
        return code_BK
