"""Transformer over patches of the window: an encoder, or an encoder and a decoder with a causal mask."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ensemble_forecast.learners.deep.attention import check_heads, encoder, perceptron
from ensemble_forecast.learners.deep.experts import Experts
from ensemble_forecast.learners.deep.inputs import FIRST_BASE
from ensemble_forecast.learners.deep.names import check_name
from ensemble_forecast.learners.deep.nets import NetLearner
from ensemble_forecast.learners.deep.shapes import Last, Shapes, head

POSITIONS = ("sinusoidal", "learned")


def sinusoids(length: int, width: int) -> torch.Tensor:
    """Code positions by sines and cosines of geometrically spaced frequencies (Vaswani et al. 2017): float32 (length, width).

    >>> sinusoids(3, 4).shape, float(sinusoids(3, 4)[0, 1])
    (torch.Size([3, 4]), 1.0)
    """
    frequency = torch.exp(-math.log(1e4) * torch.arange(0, width, 2) / width)
    angle = torch.arange(length)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :width]


@dataclass(kw_only=True)
class Transformer(NetLearner):
    """Attention among patches of the window, and a token that holds the extras.

    Parameters
    ----------
    patch
        Steps in a token; 1: every step is one.
    width, heads, layers, factor
        Of a token, of the attention, of the stack, and of the feed-forward part as a multiple of the width.
    experts, top
        Feed-forward parts in a layer of the encoder, and how many of them a token is sent to; 0: one, for all tokens. See `Experts`.
    decoder
        Whether the horizon is decoded: every step ahead is a token that attends to the window and to the steps before it. Without, all tokens
        of the encoder are read out at once.
    positions
        "sinusoidal" or "learned".

    References
    ----------
    Vaswani et al. (2017), Attention is all you need, arXiv:1706.03762; Nie et al. (2023), A time series is worth 64 words, arXiv:2211.14730.
    Departures: layers normalise first; the decoder is given the base forecast of each step instead of its own last output, so that one pass decodes
    all.
    """

    family: ClassVar[str] = "transformer"
    SMOKE: ClassVar[dict[str, Any]] = {"steps": 20, "width": 8, "heads": 2, "layers": 1, "patch": 4, "context": 12}

    patch: int = 8
    width: int = 64
    heads: int = 4
    layers: int = 2
    factor: int = 2
    experts: int = 0
    top: int = 2
    decoder: bool = False
    positions: str = "learned"

    def __post_init__(self) -> None:
        check_name("positions", self.positions, POSITIONS)
        check_heads(self.width, self.heads)

    def net(self, shapes: Shapes) -> torch.nn.Module:
        """Build the encoder, and the decoder where one is wanted."""
        encoded = encoder(self.layers, self.width, self.heads, self.dropout, self._each)
        embedded = Embedded(shapes, min(self.patch, shapes.context), self.width, self.positions)
        if not self.decoder:
            return _Encoded(shapes, embedded, encoded)
        layer = torch.nn.TransformerDecoderLayer(self.width, self.heads, self.factor * self.width, self.dropout, batch_first=True, norm_first=True)
        decoder = torch.nn.TransformerDecoder(layer, self.layers, torch.nn.LayerNorm(self.width))
        return Decoded(shapes, embedded, encoded, decoder, self.positions)

    def multiply_adds(self, shapes: Shapes) -> tuple[float, float]:
        """Count projections, attention and feed-forward parts of all tokens; see `NetLearner.multiply_adds`."""
        patch = min(self.patch, shapes.context)
        tokens, steps = 1 + shapes.context // patch, shapes.horizon
        mixing, each = 4 * self.width**2, 2 * self.factor * self.width**2
        encoded = mixing + max(self.experts, 1) * each + 2 * tokens * self.width
        total = tokens * patch * shapes.channels * self.width + self.layers * tokens * encoded
        if not self.decoder:
            return total + tokens * self.width * steps * shapes.outputs, 0.0
        total += self.layers * (steps * (2 * mixing + each + 2 * (steps + tokens) * self.width))
        return total + steps * self.width * shapes.outputs, 0.0

    def _each(self) -> torch.nn.Module:
        """Build what a layer of the encoder does with each token."""
        hidden = self.factor * self.width
        return Experts(self.width, hidden, self.experts, self.top) if self.experts else perceptron(self.width, hidden, self.dropout)


class Embedded(torch.nn.Module):
    """Tokens of a window: its patches (the oldest steps that fill none are left out), then one of the extras: (B, P + 1, width)."""

    def __init__(self, shapes: Shapes, patch: int, width: int, positions: str) -> None:
        super().__init__()
        count = shapes.context // patch
        self.length = count * patch
        self.patches = torch.nn.Unflatten(1, (count, patch))
        self.lift = torch.nn.Linear(patch * shapes.channels, width)
        self.lift_extras = torch.nn.Linear(shapes.extras, width)
        self.positions = position_code(count, width, positions)
        self.count, self.width = count + 1, width

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Embed: BPW."""
        tokens_BPW = self.lift(self.patches(window_BLC[:, -self.length :]).flatten(2)) + self.positions
        return torch.cat([tokens_BPW, self.lift_extras(extras_BE)[:, None]], dim=1)


class _Encoded(torch.nn.Module):
    """Encode, and read all tokens out at once."""

    def __init__(self, shapes: Shapes, embedded: Embedded, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.embedded, self.encoder = embedded, encoder
        self.head = head(embedded.count * embedded.width, shapes)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.embedded(window_BLC, extras_BE)).flatten(1))


class Decoded(torch.nn.Module):
    """Encode the window; decode every step of the horizon from it and from the steps before."""

    def __init__(self, shapes: Shapes, embedded: Embedded, encoder: torch.nn.Module, decoder: torch.nn.Module, positions: str) -> None:
        super().__init__()
        self.embedded, self.encoder, self.decoder = embedded, encoder, decoder
        self.horizon = shapes.horizon
        self.lift = torch.nn.Linear(1, embedded.width)
        self.positions = position_code(shapes.horizon, embedded.width, positions)
        self.register_buffer("mask_HH", torch.nn.Transformer.generate_square_subsequent_mask(shapes.horizon), persistent=False)
        self.out = Last(embedded.width, shapes.outputs)

    def forward(self, window_BLC: torch.Tensor, extras_BE: torch.Tensor) -> torch.Tensor:
        """Forecast: BHQ."""
        memory_BPW = self.encoder(self.embedded(window_BLC, extras_BE))
        base_BH = extras_BE[:, FIRST_BASE : FIRST_BASE + self.horizon]
        return self.out(self.decode(self.lift(base_BH[..., None]) + self.positions, memory_BPW))

    def decode(self, steps_BHW: torch.Tensor, memory_BPW: torch.Tensor) -> torch.Tensor:
        """Let every step attend to the window and to the steps before it: BHW."""
        return self.decoder(steps_BHW, memory_BPW, tgt_mask=self.mask_HH, tgt_is_causal=True)


def position_code(length: int, width: int, kind: str) -> torch.nn.Parameter:
    """Code of each position, (length, width): learned from a small random start, or fixed."""
    if kind == "learned":
        return torch.nn.Parameter(0.02 * torch.randn(length, width))
    return torch.nn.Parameter(sinusoids(length, width), requires_grad=False)
