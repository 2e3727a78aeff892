"""PatchTST: attention among overlapping patches of each channel."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.errors import BadInput
from ensemble_forecast.learners.deep.attention import check_heads, encoder, perceptron
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Shapes, head


@dataclass(kw_only=True)
class PatchTransformer(NetLearner):
    """Channels are encoded one by one with the same weights; all their tokens, and the extras, are read out at once.

    Parameters
    ----------
    patch, stride
        Steps in a patch, and between the beginnings of two.
    width, heads, layers, factor
        Of a token, of the attention, of the stack, and of the feed-forward part as a multiple of the width.

    References
    ----------
    Nie et al. (2023), A time series is worth 64 words, arXiv:2211.14730. Departures: layer instead of batch normalisation, first in each part; the
    window is padded at its old end; the channels are read out together, since only the target is forecast.
    """

    family: ClassVar[str] = "patch_transformer"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 8, "heads": 2, "layers": 1, "patch": 4, "stride": 2, "context": 12}

    patch: int = 16
    stride: int = 8
    width: int = 64
    heads: int = 4
    layers: int = 2
    factor: int = 2

    def __post_init__(self) -> None:
        check_heads(self.width, self.heads)
        if not 1 <= self.stride <= self.patch:
            raise BadInput(f"stride must lie between 1 and patch ({self.patch}), or steps are skipped; got {self.stride}")

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the encoder."""
        encoded = encoder(self.layers, self.width, self.heads, self.dropout, lambda: perceptron(self.width, self.factor * self.width, self.dropout))
        return _Patched(shapes, self._patch(shapes), self.stride, self._count(shapes), self.width, encoded)

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count projections, attention and feed-forward parts of all tokens; see `NetLearner.multiply_adds`."""
        count = self._count(shapes)
        per_token = (4 + 2 * self.factor) * self.width**2 + 2 * count * self.width
        tokens = shapes.channels * count * (self._patch(shapes) * self.width + self.layers * per_token)
        return tokens + (shapes.channels * count * self.width + shapes.extras) * shapes.horizon * shapes.outputs, 0.0

    def _patch(self, shapes: Shapes) -> int:
        return min(self.patch, shapes.context)

    def _count(self, shapes: Shapes) -> int:
        """Patches of a window, of which the oldest may reach beyond it."""
        return 1 + -(-(shapes.context - self._patch(shapes)) // self.stride)


class _Patched(torch.nn.Module):
    """Cut each channel into patches, encode them, read all out."""

    def __init__(self, shapes: Shapes, patch: int, stride: int, count: int, width: int, encoded: torch.nn.Module) -> None:
        super().__init__()
        self.patch, self.stride = patch, stride
        self.pad = torch.nn.ReplicationPad1d((patch + (count - 1) * stride - shapes.context, 0))
        self.lift = torch.nn.Linear(patch, width)
        self.positions = torch.nn.Parameter(0.02 * torch.randn(count, width))
        self.encoder = encoded
        self.head = head(shapes.channels * count * width + shapes.extras, shapes)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        patches_BCPS = self.pad(window_BLC.transpose(1, 2)).unfold(2, self.patch, self.stride)
        tokens_NPW = self.lift(patches_BCPS.flatten(0, 1)) + self.positions
        encoded_BF = self.encoder(tokens_NPW).reshape(window_BLC.shape[0], -1)  # not len: what is exported must follow the size
        return self.head(torch.cat([encoded_BF, extras_BE], dim=1))
